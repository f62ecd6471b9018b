"""Poses of any body, in any place, as the dancer's own body would do them in its own picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import Placement, PoseSequence, torso_length
from dancing.body.skeleton import BONE_KINDS, HIPS, MID_HIP, N_LANDMARKS, SHOULDERS
from dancing.rows import stretches

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A picture shows bones shortened. How long one is, the clip tells when it lies across.
PERCENTILE = 90
_LARGE = ("torso", "upper_arm", "forearm", "thigh", "shin")
# How far one body seems another from clip to clip, as measured on clips of 5 to 20 s. A bone seems
# too short more easily than too long, and does so in a short clip; head and feet seldom lie across.
_SAME = (0.92, 1.15)
_SAME_LOOSE = (0.65, 1.25)
_LOOSE = ("neck", "face", "foot")
_SAME_KNOWN = (0.97, 1.03)
_SAME_SIZE = (0.94, 1.06)
# Beyond these bounds the correction sets in evenly: no two clips that are nearly alike are fitted
# in different ways.
_ONSET = 0.1
_ONSET_KNOWN = 0.03
_ONSET_SIZE = 0.06
_SAME_FLOOR = 0.02  # of the picture's height
_SAME_PLACE = 0.15  # of its width
_ENOUGH = 10.0  # seconds in which a clip shows every limb in full
_FARTHEST = 1.6  # hardly anybody's bones differ by more
# A bone that seems too short for anybody may point at the camera, or be short, as a child's is. One
# that lies across keeps its length while it turns; what points at the camera does not.
_NEVER_SEEN = 2.4  # times too short at which a bone that shows no length of its own is left alone
_STEADY = (0.65, 0.85)  # median length over the 90th percentile: of foreshortened, of true bones
_TURNS = np.deg2rad((2.0, 5.0))  # standard deviation of the direction: of resting, of moving bones
_LONGEST = 4.0  # times as long or as short, the most that a bone is changed


def proportions(landmarks: NDArray[np.floating[Any]], aspect: float) -> dict[str, float]:
    """Lengths of a body's bones, over its median torso length.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture's width and height.
        aspect: width over height of that picture.

    Returns:
        By the names in `BONE_KINDS`: the 90th percentile of the lengths seen, both sides together.
    """
    torso = max(torso_length(landmarks, aspect), 1e-6)
    return {
        kind: max(round(length / torso, 4), 1e-4)
        for kind, length in _lengths(landmarks, aspect).items()
    }


def floor_level(landmarks: NDArray[np.floating[Any]]) -> float:
    """Where the floor is: the median height, from the top, of the lowest landmark.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture's width and height.
    """
    return float(np.median(landmarks[..., 1].max(1)))


def retarget(
    poses: PoseSequence,
    placement: Placement,
    wanted: Mapping[str, float],
    *,
    picture: Sequence[float] = (0.0, 0.0, 1.0, 1.0),
    inside: Sequence[int] = range(N_LANDMARKS),
    source: Mapping[str, float] | None = None,
    in_place: bool = False,
) -> PoseSequence:
    """The same dance by the dancer's body, in the dancer's place.

    Every kind of bone gets the dancer's length, at its own angle; the path is scaled with the legs;
    the lowest landmark stays as far above or below the floor as it was, also scaled. Then the path
    is moved, and if need be narrowed, so that the dancer does not leave the picture. What is the
    same within what clips of one body differ by is left alone: the dancer's own poses come back as
    they are.

    Args:
        poses: of any body, in a picture of any shape.
        placement: of the dancer, with a `floor`.
        wanted: the dancer's `proportions`.
        picture: (left, top, right, bottom), which the landmarks must not leave, in fractions of
            the dancer's picture.
        inside: the landmarks that must not leave it at the sides and above.
        source: `proportions` of the body that the poses are of, if known, over the dancer's torso
            length. Default: they are measured on the poses.
        in_place: write into the landmarks of `poses`, so that a long dance is there once.

    Returns:
        Poses in a picture of the dancer's aspect.
    """
    aspect = placement.aspect
    factors = _factors(poses, placement.torso, wanted, source)
    same_body = all(factor == 1 for factor in factors.values())
    legs = (factors["thigh"] + factors["shin"]) / 2

    # Of each frame: where the path and the lowest landmark are, and what the new body takes up.
    path, lowest, feet = np.empty((3, len(poses)))
    low, high = np.empty((2, len(poses), 2))
    parts = stretches(len(poses))
    for part in parts:
        joints = _joints(poses.landmarks[part], poses.aspect)
        body = _rebuilt(joints, factors)
        path[part], lowest[part] = joints[:, MID_HIP, 0], joints[:, :N_LANDMARKS, 1].max(1)
        feet[part] = body[..., 1].max(1)
        low[part], high[part] = body[:, inside].min(1), body[:, inside].max(1)

    floor_there = float(np.median(lowest))
    assert placement.floor is not None
    floor = placement.floor
    if same_body and abs(floor - floor_there) <= _SAME_FLOOR:
        floor = floor_there
    middle_there = float(np.median(path))
    middle = placement.x * aspect
    same_picture = abs(poses.aspect - aspect) < 0.01
    if same_body and same_picture and abs(middle - middle_there) <= _SAME_PLACE * aspect:
        middle = middle_there

    left, top, right, bottom = np.array(picture) * [aspect, 1, aspect, 1]
    rises = legs * (lowest - floor_there)
    # Too wide or too high for the picture: smaller, as a camera farther away would see it.
    width = float((high[:, 0] - low[:, 0]).max())
    height = float((feet - low[:, 1] - rises).max())
    smaller = min(1.0, (right - left) / max(width, 1e-6), (floor - top) / max(height, 1e-6))
    low, high, feet, rises = (each * smaller for each in (low, high, feet, rises))
    rises[rises > 0] *= min(1.0, max(bottom - floor, 0) / max(float(rises.max()), 1e-6))

    x = _kept_inside(
        middle + smaller * legs * (path - middle_there), left - low[:, 0], right - high[:, 0]
    )
    y = floor + rises - feet
    place = np.stack([x, y], 1)[:, None]

    def moved(part: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The landmarks as they were, and as they shall be."""
        joints = _joints(poses.landmarks[part], poses.aspect)
        return joints[:, :N_LANDMARKS], _rebuilt(joints, factors) * smaller + place[part]

    if same_picture and all(np.abs(new - old).max() < 1e-6 for old, new in map(moved, parts)):
        return poses
    landmarks = poses.landmarks if in_place else np.empty_like(poses.landmarks)
    for part in parts:
        landmarks[part] = moved(part)[1] / [aspect, 1]
    return replace(poses, landmarks=landmarks, aspect=aspect)


def _joints(landmarks: NDArray[np.floating[Any]], aspect: float) -> NDArray[np.float64]:
    """(T, 35, 2) in picture heights: the landmarks, mid-shoulder, mid-hip."""
    points = np.asarray(landmarks, np.float64) * [aspect, 1.0]
    middles = [points[:, pair].mean(1, keepdims=True) for pair in (SHOULDERS, HIPS)]
    return np.concatenate([points, *middles], 1)


def _lengths(landmarks: NDArray[np.floating[Any]], aspect: float) -> dict[str, float]:
    return {
        kind: max(float(np.percentile(np.abs(_across(landmarks, aspect, kind)), PERCENTILE)), 1e-6)
        for kind in BONE_KINDS
    }


def _across(
    landmarks: NDArray[np.floating[Any]], aspect: float, kind: str
) -> NDArray[np.complex128]:
    """(T, bones) x + iy of all bones of a kind, from start to end, in picture heights."""
    starts, ends = np.array(BONE_KINDS[kind]).T
    found = np.empty((len(landmarks), len(starts)), np.complex128)
    for part in stretches(len(landmarks)):
        joints = _joints(landmarks[part], aspect)
        across = joints[:, ends] - joints[:, starts]
        found[part] = across[..., 0] + 1j * across[..., 1]
    return found


def _factors(
    poses: PoseSequence,
    torso: float,
    wanted: Mapping[str, float],
    source: Mapping[str, float] | None,
) -> dict[str, float]:
    """By how much each kind of bone is to be longer."""
    if source is not None:
        ratios = {kind: wanted[kind] / source[kind] for kind in BONE_KINDS}
        sure = max(_beyond(ratio, *_SAME_KNOWN, _ONSET_KNOWN) for ratio in ratios.values())
        return {
            kind: _partly(float(np.clip(ratio, 1 / _LONGEST, _LONGEST)), sure)
            for kind, ratio in ratios.items()
        }
    measured = _lengths(poses.landmarks, poses.aspect)
    shown = _shown(poses.landmarks, poses.aspect)
    ratios = {kind: wanted[kind] * torso / measured[kind] for kind in BONE_KINDS}
    size = float(np.median([ratios[kind] for kind in _LARGE]))
    size = _partly(size, _beyond(size, *_SAME_SIZE, _ONSET_SIZE))
    doubt = 0.5 * max(0.0, 1 - poses.duration / _ENOUGH)
    factors = {}
    for kind in BONE_KINDS:
        ratio = ratios[kind] / size
        low, high = _SAME_LOOSE if kind in _LOOSE else _SAME
        sure = _beyond(ratio, low, high + doubt, _ONSET)
        if ratio > _FARTHEST:
            unseen = float(np.interp(ratio, (_FARTHEST, _NEVER_SEEN), (_FARTHEST, 1.0)))
            ratio = unseen + shown[kind] * (min(ratio, _LONGEST) - unseen)
        factors[kind] = size * _partly(ratio, sure)
    return factors


def _beyond(ratio: float, low: float, high: float, onset: float) -> float:
    """0 between two bounds, 1 farther beyond them than `onset`, evenly in between."""
    return min(1.0, max(0.0, low - ratio, ratio - high) / onset)


def _partly(factor: float, sure: float) -> float:
    """So much of a correction: a factor at 1, none at 0."""
    return factor if sure == 1 else 1 + sure * (factor - 1)


def _shown(landmarks: NDArray[np.floating[Any]], aspect: float) -> dict[str, float]:
    """How sure it is, 0 to 1, that each kind of bone was seen in its full length."""
    sure = {}
    for kind in BONE_KINDS:
        across = _across(landmarks, aspect, kind)
        lengths = np.abs(across)
        steady = np.median(lengths) / max(np.percentile(lengths, PERCENTILE), 1e-9)
        # The circular standard deviation (Mardia and Jupp, Directional Statistics, 2000).
        directions = across / np.maximum(lengths, 1e-9)
        spread = np.sqrt(-2 * np.log(np.clip(np.abs(directions.mean(0)), 1e-9, 1))).max()
        sure[kind] = float(np.interp(steady, _STEADY, (0, 1)) * np.interp(spread, _TURNS, (0, 1)))
    return sure


def _rebuilt(joints: NDArray[np.float64], factors: Mapping[str, float]) -> NDArray[np.float64]:
    """(T, 33, 2) landmarks from the mid-hip, each bone by its factor longer."""
    body = np.zeros_like(joints)
    for kind, bones in BONE_KINDS.items():
        for start, end in bones:
            bone = joints[:, end] - joints[:, start]
            body[:, end] = body[:, start] + factors[kind] * bone
    return body[:, :N_LANDMARKS]


def _kept_inside(
    path: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A path (T,) moved, then narrowed, as little as keeps it between two others."""
    middle = np.median(path)
    for width in np.linspace(1, 0, 21):
        narrowed = middle + width * (path - middle)
        least, most = (low - narrowed).max(), (high - narrowed).min()
        if least <= most:
            return narrowed + np.clip(0.0, least, most)
    # Limbs reach too far to both sides in turn for any standing place.
    return np.clip(narrowed, low, high)
