"""What a pose file leaves open: frames in which nobody was seen, and landmarks in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dancing.errors import DancingError

LONGEST_GAP = 0.3  # seconds without the person that are filled, here and in videos
# No fraction of a picture, on the median of a movement, and hardly a person of fewer pixels.
_PIXELS = 4.0


def repaired(poses: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Poses as `PoseSequence` takes them, and notes on what was done.

    Landmarks that are missing (NaN) for up to 0.3 s are interpolated, at both ends held. Landmarks
    in pixels become fractions where 'width' and 'height' of the picture are known.

    Args:
        poses: as `dancing.body.pose_files.Poses`, with 'width' and 'height' in pixels where the
            file tells them. Not changed.

    Raises:
        DancingError: for longer gaps, by frame, and for pixels of a picture of unknown size.
    """
    poses = dict(poses)
    notes = []
    width, height = (poses.pop(name, None) for name in ("width", "height"))
    fps = float(poses.get("fps", 30.0))
    filled = 0
    for name in ("landmarks", "world", "visibility"):
        if poses.get(name) is not None and np.asarray(poses[name]).dtype.kind == "f":
            poses[name], gaps = _filled(np.asarray(poses[name]), fps, name)
            filled = max(filled, gaps)
    if filled:
        notes.append(f"{filled} frames without (all) landmarks were filled in")
    landmarks = np.asarray(poses["landmarks"])
    if landmarks.dtype.kind in "fiu" and landmarks.size and _in_pixels(landmarks):
        if not (width and height):
            raise DancingError(
                f"its landmarks look like pixels (up to {landmarks.max():.0f}), but fractions of "
                "the picture's width and height are needed: divide them, or add the picture's "
                "'width' and 'height' to the file"
            )
        poses["landmarks"] = landmarks / np.array([width, height], np.float64)
        poses.setdefault("aspect", width / height)
        notes.append(f"its landmarks are pixels, read as fractions of {width:g}x{height:g}")
    elif width and height:
        poses.setdefault("aspect", width / height)
    return poses, notes


def _in_pixels(landmarks: NDArray[Any]) -> bool:
    return bool(np.median(np.abs(landmarks - 0.5)) > _PIXELS)


def _filled(values: NDArray[Any], fps: float, name: str) -> tuple[NDArray[Any], int]:
    """Values (T, ...) without NaN, and the number of frames that had any."""
    missing = np.isnan(values)
    if not missing.any() or values.ndim < 2:
        return values, 0
    by_frame = missing.reshape(len(values), -1)
    columns = values.reshape(len(values), -1).copy()
    too_long = np.zeros(len(values), bool)
    for column, gaps in zip(columns.T, by_frame.T, strict=True):
        if gaps.any():
            for first, last in _runs(gaps):
                too_long[first:last] |= last - first > LONGEST_GAP * fps
            if not gaps.all():
                at = np.arange(len(column))
                column[gaps] = np.interp(at[gaps], at[~gaps], column[~gaps])
    if too_long.any():
        frames = ", ".join(
            str(first) if last == first + 1 else f"{first}-{last - 1}"
            for first, last in _runs(too_long)[:5]
        )
        raise DancingError(
            f"its {name} are missing in frames {frames}{' and others' * (len(_runs(too_long)) > 5)}"
            f" ({too_long.sum() / fps:.1f} s): gaps of up to {LONGEST_GAP} s are filled in, for "
            "longer ones cut the movement there"
        )
    return columns.reshape(values.shape), int(by_frame.any(1).sum())


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where flags (T,) are set: (first, one past the last) of each stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
