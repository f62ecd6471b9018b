"""What a pose file leaves open: landmarks that were not seen, and landmarks in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dancing.body.skeleton import HEAD, HIPS, LANDMARKS, LIMB_BONES, NOSE, SHOULDERS, TRUNK
from dancing.errors import DancingError

LONGEST_GAP = 0.3  # seconds without the person that are filled, here and in videos
LONGEST_HIDDEN = 2.0  # seconds in which a part of a person who is seen may be hidden
# No fraction of a picture, on the median of a movement, and hardly a person of fewer pixels.
_PIXELS = 4.0
_NAMED = 5  # that an error lists
# From the middle of which others a landmark is measured while it is hidden (of none: from the
# picture), in the order in which they are filled.
_ORIGINS: tuple[tuple[int, Sequence[int]], ...] = (
    *((pair[k], [pair[1 - k]]) for pair in (SHOULDERS, HIPS) for k in (0, 1)),
    *((shoulder, HIPS) for shoulder in SHOULDERS),
    *((hip, SHOULDERS) for hip in HIPS),
    *((place, []) for place in TRUNK),
    (NOSE, SHOULDERS),
    *((place, [NOSE]) for place in HEAD if place != NOSE),
    *((end, [start]) for start, end in LIMB_BONES),
)


def repaired(
    poses: dict[str, Any], size: tuple[float, float] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Poses as `PoseSequence` takes them, and notes on what was done.

    Where nobody was seen for up to 0.3 s, landmarks are interpolated, at both ends held. A part
    that is hidden goes on with the body for up to 2 s. Landmarks in pixels become fractions.

    Args:
        poses: as `dancing.body.pose_files.Poses`. Not changed.
        size: width and height in pixels of the picture, where the file does not tell them.

    Raises:
        DancingError: for longer gaps, by frame, and for pixels of a picture of unknown size.
    """
    poses = dict(poses)
    notes = []
    width, height = (poses.pop(name, None) for name in ("width", "height"))
    guess = poses.pop("guessed_size", None)
    landmarks = np.asarray(poses["landmarks"])
    if landmarks.dtype.kind in "fiu" and landmarks.ndim == 3 and landmarks.shape[1:] == (33, 2):
        fps = float(poses.get("fps", 30.0))
        if missing := int(np.isnan(landmarks).any((1, 2)).sum()):
            landmarks = _without_gaps(landmarks, fps)
            notes.append(f"{missing} frames without (all) landmarks were filled in")
        if poses.get("world") is not None:
            poses["world"] = _interpolated(np.asarray(poses["world"]), fps)
        if poses.get("visibility") is not None:
            poses["visibility"] = np.nan_to_num(poses["visibility"], nan=0.0)
    if not (_is_length(width) and _is_length(height)):
        width, height = size or (None, None)
    if landmarks.dtype.kind in "fiu" and landmarks.size and _in_pixels(landmarks):
        if not width and guess:
            width, height = guess
            notes.append(
                "it tells no size of its picture, so where in the picture the person is stays open"
            )
        elif not width:
            raise DancingError(
                f"its landmarks look like pixels (up to {landmarks.max():.4g}), but fractions of "
                "the picture's width and height are needed: divide them, or add the picture's "
                "'width' and 'height' to the file"
            )
        else:
            notes.append(f"its landmarks are pixels, read as fractions of {width:.6g}x{height:.6g}")
        landmarks = landmarks / np.array([width, height], np.float64)
    if width and height:
        poses.setdefault("aspect", width / height)
    if poses.pop("foreign", False):
        assumed = {"fps": "30 frames a second", "aspect": "a picture of 9:16"}
        if unknown := [words for name, words in assumed.items() if name not in poses]:
            notes.append(f"it does not say otherwise: {' and '.join(unknown)} assumed")
    poses["landmarks"] = landmarks
    return poses, notes


def bridged(landmarks: NDArray[Any], fps: float) -> NDArray[np.float64]:
    """Landmarks (T, 33, 2), where NaN filled in as far as gaps are short enough.

    What is hidden keeps its way from the joint that it hangs on, changing evenly from how that was
    before to how it is after. So an arm that cannot be seen goes where the shoulder goes.
    """
    points = np.array(landmarks, np.float64)
    missing = np.asarray(np.isnan(points).any(-1))
    nobody = np.asarray(missing.all(1))
    fillable = ~nobody | _short(nobody, nobody, LONGEST_GAP * fps)
    at = np.arange(len(points))
    for child, parents in _ORIGINS:
        gaps = missing[:, child]
        if not gaps.any() or gaps.all():
            continue
        origin = points[:, parents].mean(1) if parents else np.zeros((len(points), 2))
        known = np.isfinite(origin).all(1)
        seen = known & ~gaps
        fill = known & np.isnan(points[:, child]).any(1) & fillable
        fill &= _short(gaps, ~nobody, LONGEST_HIDDEN * fps)
        if fill.any() and seen.any():
            way = points[:, child] - origin
            for axis in range(2):
                evenly = np.interp(at[fill], at[seen], way[seen, axis])
                points[fill, child, axis] = origin[fill, axis] + evenly
    return points


def _short(flags: NDArray[np.bool_], counted: NDArray[np.bool_], most: float) -> NDArray[np.bool_]:
    """Where flags (T,) are set for at most so many frames on end, of those that are counted."""
    edges = _edges(flags)
    before = np.concatenate([[0], np.cumsum(counted)])
    short = edges[before[edges[:, 1]] - before[edges[:, 0]] <= most + 1e-6]
    steps = np.zeros(len(flags) + 1, int)
    steps[short[:, 0]] += 1
    steps[short[:, 1]] -= 1
    within: NDArray[np.bool_] = np.cumsum(steps)[:-1] > 0
    return within


def _without_gaps(landmarks: NDArray[Any], fps: float) -> NDArray[np.float64]:
    points = bridged(landmarks, fps)
    missing = np.asarray(np.isnan(points).any(-1))
    if not missing.any():
        return points
    if nobody := _runs(np.isnan(landmarks).all((1, 2)) & missing.all(1)):
        raise DancingError(
            f"nobody is in its frames {_named(nobody)} (counted from 0): up to {LONGEST_GAP} s on "
            "end are filled in; cut the movement there"
        )
    most = missing.sum(0)
    lacking = [LANDMARKS[place] for place in np.argsort(-most, kind="stable") if most[place]]
    raise DancingError(
        f"it lacks {_listed(lacking)} in its frames {_named(_runs(missing[:, most.argmax()]))} "
        f"(counted from 0): up to {LONGEST_HIDDEN:g} s on end are filled in; cut the movement there"
    )


def _interpolated(world: NDArray[Any], fps: float) -> NDArray[Any]:
    """World landmarks (T, ...) without NaN."""
    if world.dtype.kind != "f" or not np.isnan(world).any():
        return world
    missing = np.asarray(np.isnan(world.reshape(len(world), -1)).any(1))
    long = [run for run in _runs(missing) if run[1] - run[0] > LONGEST_GAP * fps + 1e-6]
    if long or missing.all():
        raise DancingError(
            f"its world landmarks are missing in frames {_named(long or _runs(missing))} (counted "
            f"from 0): up to {LONGEST_GAP} s on end are filled in"
        )
    at = np.arange(len(world))
    columns = world.reshape(len(world), -1).astype(np.float64)
    for column in columns.T:
        column[missing] = np.interp(at[missing], at[~missing], column[~missing])
    return columns.reshape(world.shape)


def _in_pixels(landmarks: NDArray[Any]) -> bool:
    return bool(np.median(np.abs(landmarks - 0.5)) > _PIXELS)


def _is_length(number: float | None) -> bool:
    return number is not None and np.isfinite(number) and number > 0


def _named(runs: Sequence[tuple[int, int]]) -> str:
    return _listed(
        [str(first) if last == first + 1 else f"{first}-{last - 1}" for first, last in runs]
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where flags (T,) are set: (first, one past the last) of each stretch."""
    return [(int(first), int(last)) for first, last in _edges(flags)]


def _edges(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return edges.reshape(-1, 2)
