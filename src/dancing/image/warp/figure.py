"""A body in a picture as what the warp needs of it: axes of the trunk, chains of the limbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import ARMS, HEAD, HIPS, LEFT_ARM, LEFT_LEG, LEGS, SHOULDERS, Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

LIMBS = (*ARMS, *LEGS)
LEFT = tuple(limb in (LEFT_ARM, LEFT_LEG) for limb in LIMBS)
N_ARMS = len(ARMS)
# A hand reaches farther than its landmarks, the knuckles.
_FINGERTIPS = 1.8
_LEAST = 1e-6
_FOLDED = -0.3  # cosine between bones of a folded limb


class Figure:
    """A body's pose in pixels of a picture, y down.

    Args:
        points: (33, 2) landmarks in pixels.
        torso: length of its torso in pixels when it stands upright; default: as it is seen here.

    Attributes:
        torso: that length.
        hips, shoulders: the middles of hips and shoulders.
        up: unit vector from the one to the other.
        across: unit vector at right angles to `up`, towards the person's left.
        hip_line, shoulder_line: from the person's right joint to the left one.
        chains: (4, 4, 2), of each of `LIMBS`: shoulder, elbow, wrist, fingertips; hip, knee, ankle,
            toe.
        face: (11, 2) landmarks of the head.
    """

    def __init__(self, points: NDArray[Any], torso: float | None = None) -> None:
        points = self.points = np.array(points, np.float64)
        self.hips, self.shoulders = points[HIPS].mean(0), points[SHOULDERS].mean(0)
        spine = self.shoulders - self.hips
        self.torso = torso or max(length(spine), _LEAST)
        self.up = unit(spine)
        self.hip_line = points[HIPS[0]] - points[HIPS[1]]
        self.shoulder_line = points[SHOULDERS[0]] - points[SHOULDERS[1]]
        normal = np.array([-self.up[1], self.up[0]])
        faces = float(normal @ (self.hip_line + self.shoulder_line)) >= 0
        self.across = normal if faces else -normal
        arms = [[*points[list(arm[:3])], _fingertips(points, arm)] for arm in ARMS]
        legs = [points[[leg.hip, leg.knee, leg.ankle, leg.toe]] for leg in LEGS]
        self.chains = np.array([*arms, *legs])
        self.face = points[list(HEAD)]


def _fingertips(points: Points, arm: Arm) -> Points:
    wrist = points[arm.wrist]
    tips: Points = wrist + _FINGERTIPS * (points[[arm.pinky, arm.index_finger]].mean(0) - wrist)
    return tips


def length(vector: Points) -> float:
    """Of one vector."""
    return float(np.hypot(*vector))


def unit(vectors: Points) -> Points:
    """Vectors (..., 2) at length 1."""
    found: Points = vectors / np.maximum(np.hypot(vectors[..., :1], vectors[..., 1:]), _LEAST)
    return found


def angle(vectors: Points) -> Points:
    """Of vectors (..., 2) in radians, clockwise from the x axis, as y points down."""
    found: Points = np.arctan2(vectors[..., 1], vectors[..., 0])
    return found


def cross(a: Points, b: Points) -> Points:
    """The cross product of vectors (..., 2)."""
    found: Points = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return found


def wrapped(angles: Any, low: float = -np.pi) -> Any:
    """Angles brought into [low, low + 2 pi)."""
    return (angles - low) % (2 * np.pi) + low


def smooth(x: Any) -> Any:
    """0 below 0, 1 above 1, and a smooth step between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def to_segment(points: Points, start: Points, end: Points) -> Points:
    """Distances of points (..., 2) to the line from start to end."""
    bone = end - start
    along = np.clip((points - start) @ bone / max(float(bone @ bone), _LEAST), 0, 1)
    offset = points - start - along[..., None] * bone
    found: Points = np.hypot(offset[..., 0], offset[..., 1])
    return found


def folded(joints: Points) -> bool:
    """Whether two bones, (3, 2) from start over joint to end, are folded together."""
    one, two = unit(np.diff(joints, axis=0))
    return float(one @ two) < _FOLDED


def past_joint(points: Points, joints: Points) -> Points:
    """How far points (..., 2) are past a joint, as seen along two bones (3, 2) that meet there."""
    one, two = unit(np.diff(joints, axis=0))
    found: Points = (points - joints[1]) @ unit(one + two)
    return found
