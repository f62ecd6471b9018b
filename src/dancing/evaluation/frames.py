"""The frames that drawn ones are compared with: the true ones, and the nearest of other clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.poses import PoseSequence, torso_length
from dancing.data.dataset import Clip
from dancing.image.dancer import Dancer
from dancing.media.video import cut, resize
from dancing.metrics import BODY_JOINTS, person_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Floats = NDArray[np.float64]

MARGIN = 0.5
"""Torso lengths around the landmarks that belong to the person's box, where there is no matte."""
SSIM_WINDOW = 11
"""Pixels that a box needs in height and width to be compared."""


@dataclass(frozen=True)
class Frame:
    """One true frame in the dancer's view.

    Attributes:
        time: its number in the clip.
        box: rows and columns of the person's box; None where it is too small to be compared.
        matte: what the person covers, or the box where there is no matte.
    """

    time: int
    picture: Picture
    box: tuple[slice, slice] | None
    matte: NDArray[np.bool_]


def spread(counts: Sequence[int], frames: int) -> list[list[int]]:
    """For clips of so many frames: which to take, at most so many, as pairs of neighbours."""
    starts = [(clip, t) for clip, count in enumerate(counts) for t in range(max(1, count - 1))]
    taken = [set[int]() for _ in counts]
    everything = frames >= sum(counts)
    wanted = len(starts) if everything else max(1, min(len(starts), frames // 2))
    for index in np.linspace(0, len(starts) - 1, wanted).round().astype(int):
        clip, t = starts[index]
        taken[clip] |= {t, min(t + 1, counts[clip] - 1)}
    return [sorted(times) for times in taken]


def poses_at(clip: Clip, times: Sequence[int]) -> PoseSequence:
    """The poses of these frames."""
    visibility = None if clip.visibility is None else clip.visibility[times]
    return PoseSequence(clip.landmarks[times], clip.fps, visibility, aspect=clip.aspect)


def true_frames(clip: Clip, times: Sequence[int], dancer: Dancer) -> Iterator[Frame]:
    """These frames of a clip with pictures."""
    assert clip.frames is not None
    torso = torso_length(clip.landmarks, clip.aspect)
    for time in times:
        picture = in_view(clip.frames[time], dancer)
        matte = None
        if clip.matte is not None:
            matte = in_view(np.repeat(clip.matte[time][..., None], 3, 2), dancer)[..., 0] >= 128
        if matte is not None and matte.any():
            box = person_box(matte)
            slices = tuple(
                slice(int(hit[0]), int(hit[-1]) + 1)
                for hit in (np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0)))
            )
        else:
            slices = _landmark_box(clip, time, dancer, torso)
            matte = np.zeros(picture.shape[:2], bool)
            matte[slices] = True
        large = all(part.stop - part.start >= SSIM_WINDOW for part in slices)
        yield Frame(time, picture, (slices[0], slices[1]) if large else None, matte)


class Retrieval:
    """The frame of other clips whose pose in the picture is nearest."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._poses = [_flat(clip, slice(clip.n_pictures)) for clip in clips]

    def knows(self, clip: Clip) -> bool:
        """Whether there is a clip of another song and source."""
        return any(not clip.origins & other.origins for other in self._clips)

    def __call__(self, clip: Clip, time: int, dancer: Dancer) -> Picture:
        wanted = _flat(clip, slice(time, time + 1))
        best: tuple[float, Clip, int] | None = None
        for other, poses in zip(self._clips, self._poses, strict=True):
            if clip.origins & other.origins:
                continue
            distances = ((poses - wanted) ** 2).sum(1)
            nearest = int(distances.argmin())
            if best is None or distances[nearest] < best[0]:
                best = float(distances[nearest]), other, nearest
        assert best is not None and best[1].frames is not None
        return in_view(best[1].frames[best[2]], dancer)


def in_view(picture: Picture, dancer: Dancer) -> Picture:
    """A picture of a clip's size, cut and scaled to what the dancer shows."""
    return resize(cut(picture, dancer.view), *dancer.size)


def _landmark_box(clip: Clip, time: int, dancer: Dancer, torso: float) -> tuple[slice, ...]:
    """Rows and columns of the view around the landmarks; empty where the person is outside."""
    margin = MARGIN * torso * np.array([1 / clip.aspect, 1.0])
    points = clip.landmarks[time].astype(np.float64)
    low = dancer.in_view(points.min(0) - margin) * dancer.size
    high = dancer.in_view(points.max(0) + margin) * dancer.size
    (x0, y0), (x1, y1) = (np.clip(np.rint(v), 0, dancer.size).astype(int) for v in (low, high))
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _flat(clip: Clip, frames: slice) -> Floats:
    points = clip.landmarks[frames][:, list(BODY_JOINTS)] * [clip.aspect, 1.0]
    flat: Floats = points.reshape(len(points), -1)
    return flat
