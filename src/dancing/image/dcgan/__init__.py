"""The reference image model: a small DCGAN."""
