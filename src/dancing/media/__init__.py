"""Media files in and out: sound and video, and the rates that everything after them shares."""

SAMPLE_RATE = 22050
"""Samples a second of the mono audio that features are computed from."""
FPS = 30
"""Frames a second: of poses, of music features, and of the videos made."""
