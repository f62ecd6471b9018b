"""Stage 2, poses to pictures: one file a model family, training data, trainer."""

FAMILIES = {"limbs": "dancing.image.limbs", "dcgan": "dancing.image.dcgan"}
DEFAULT_FAMILY = "limbs"
