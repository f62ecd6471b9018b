"""Measures of dance and of pictures: pure functions on arrays.

`motion` measures movement, `beats` how it keeps to the music's beats, `footfalls` how the feet do,
`distributions` compares sets of clips, `image` compares frames. Each docstring has the formula, its
unit, its source and what to beware of.
"""

from dancing.body.skeleton import BODY_JOINTS
from dancing.metrics.beats import BeatScore, beat_score, motion_beats
from dancing.metrics.distributions import (
    Standardization,
    bootstrap_interval,
    diversity,
    energy_distance,
    frechet_distance,
    standardize,
)
from dancing.metrics.footfalls import FootfallScore, footfall_score, footfalls
from dancing.metrics.image import (
    change,
    decibels,
    face_fit,
    pck,
    person_box,
    pose_error,
    psnr,
    sharpness,
    ssim,
    steadiness,
)
from dancing.metrics.motion import (
    foot_sliding,
    geometric_feature_names,
    geometric_features,
    jerk,
    joint_speed,
    kinetic_feature_names,
    kinetic_features,
    motion_magnitude,
)

__all__ = [
    "BODY_JOINTS",
    "BeatScore",
    "FootfallScore",
    "Standardization",
    "beat_score",
    "bootstrap_interval",
    "change",
    "decibels",
    "diversity",
    "energy_distance",
    "face_fit",
    "foot_sliding",
    "footfall_score",
    "footfalls",
    "frechet_distance",
    "geometric_feature_names",
    "geometric_features",
    "jerk",
    "joint_speed",
    "kinetic_feature_names",
    "kinetic_features",
    "motion_beats",
    "motion_magnitude",
    "pck",
    "person_box",
    "pose_error",
    "psnr",
    "sharpness",
    "ssim",
    "standardize",
    "steadiness",
]
