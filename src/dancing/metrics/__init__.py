"""Measures of dance and of pictures: pure functions on arrays.

`motion` measures movement, `body_use` vigour, weight and flight, `beats` how a dance keeps to the
music's beats, `footfalls` how its feet do, `structure` its form and repetitions, `genres` its
style; `distributions` compares sets of clips, `image` compares frames. Each docstring has the
formula, its unit, its source and what to beware of.
"""

from dancing.body.skeleton import BODY_JOINTS
from dancing.metrics.beats import BeatScore, beat_score, motion_beats
from dancing.metrics.body_use import BodyUse, body_use, in_the_room
from dancing.metrics.distributions import (
    Standardization,
    bootstrap_interval,
    diversity,
    energy_distance,
    frechet_distance,
    standardize,
)
from dancing.metrics.footfalls import FootfallScore, footfall_score, footfalls
from dancing.metrics.genres import GenreClassifier, style_features
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
from dancing.metrics.structure import (
    Form,
    block_distances,
    block_edges,
    form,
    longest_run,
    patterns,
    sound_distances,
)

__all__ = [
    "BODY_JOINTS",
    "BeatScore",
    "BodyUse",
    "FootfallScore",
    "Form",
    "GenreClassifier",
    "Standardization",
    "beat_score",
    "block_distances",
    "block_edges",
    "body_use",
    "bootstrap_interval",
    "change",
    "decibels",
    "diversity",
    "energy_distance",
    "face_fit",
    "foot_sliding",
    "footfall_score",
    "footfalls",
    "form",
    "frechet_distance",
    "geometric_feature_names",
    "geometric_features",
    "in_the_room",
    "jerk",
    "joint_speed",
    "kinetic_feature_names",
    "kinetic_features",
    "longest_run",
    "motion_beats",
    "motion_magnitude",
    "patterns",
    "pck",
    "person_box",
    "pose_error",
    "psnr",
    "sharpness",
    "sound_distances",
    "ssim",
    "standardize",
    "steadiness",
    "style_features",
]
