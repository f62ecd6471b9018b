"""The default image model: a U-Net that draws the dancer from limb maps."""
