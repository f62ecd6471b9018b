"""Stage 2, poses to images: `Dancer`, and a folder for each model family."""

FAMILIES = {
    "limbs": "dancing.image.limbs",
    "dcgan": "dancing.image.dcgan",
    "warp": "dancing.image.warp",
}
DEFAULT_FAMILY = "limbs"
