"""The frames that are compared: true ones, drawn ones, and the nearest of other clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dancing.body.poses import PoseSequence, torso_length
from dancing.body.skeleton import HEAD
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.image.dancer import Dancer
from dancing.metrics import BODY_JOINTS, person_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Floats = NDArray[np.float64]

MARGIN = 0.5
"""Torso lengths around the landmarks that belong to the person's box, where there is no matte."""
SSIM_WINDOW = 11
"""Pixels that a box needs in height and width to be compared."""
FACE = 0.36
"""Torso lengths from the middle of the face to the sides of its square."""
_FOREHEAD = 0.15  # of these, by which that is above the mean of the landmarks
_SHORTEST_TORSO = 0.5  # of the clip's median
_EXACT = 1e-3  # pixels


@dataclass(frozen=True)
class Window:
    """The part of a clip's pictures that all dancers show, in the clip's own pixels.

    Attributes:
        box: left, top, right, bottom in pixels of the clip's pictures.
        picture: (width, height) of the clip's pictures.
    """

    box: tuple[int, int, int, int]
    picture: tuple[int, int]

    @classmethod
    def of(cls, clip: Clip, dancers: Sequence[Dancer]) -> Window:
        """The largest one.

        Raises:
            DancingError: when a dancer does not say what it shows, or that is not in the pictures.
        """
        assert clip.frames is not None
        height, width = clip.frames.shape[1:3]
        low, high = np.zeros(2), np.ones(2)
        for dancer in dancers:
            if dancer.shot is None:
                raise DancingError(
                    f"{dancer.bundle.path}: does not say which part of the footage it shows; "
                    "learn it again"
                )
            low = np.maximum(low, dancer.shot[:2])
            high = np.minimum(high, dancer.shot[2:])
        left, top = np.ceil(low * [width, height] - _EXACT).astype(int).tolist()
        right, bottom = np.floor(high * [width, height] + _EXACT).astype(int).tolist()
        if min(right - left, bottom - top) < SSIM_WINDOW:
            raise DancingError(f"clip '{clip.name}': shows nothing that is drawn")
        return cls((left, top, right, bottom), (width, height))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    def of_footage(self, picture: Picture) -> Picture:
        """This part of a picture by the same camera."""
        if picture.shape[1::-1] == self.picture:
            left, top, right, bottom = self.box
            return picture[top:bottom, left:right]
        return self._scaled(picture, (0.0, 0.0, 1.0, 1.0))

    def of_drawn(self, picture: Picture, dancer: Dancer) -> Picture:
        """This part of a picture that a dancer has drawn."""
        assert dancer.shot is not None
        return self._scaled(picture, dancer.shot)

    def points(self, landmarks: NDArray[np.floating[Any]]) -> Floats:
        """Landmarks (..., 2) of the clip's pictures as fractions of this part."""
        inside: Floats = (landmarks * np.array(self.picture) - self.box[:2]) / self.size
        return inside

    def _scaled(self, picture: Picture, shot: Sequence[float]) -> Picture:
        """This part of a picture that shows `shot` of the clip's ones; bicubic, to the pixel."""
        size = picture.shape[1::-1]
        low, high = np.array(shot).reshape(2, 2)
        corners = np.reshape(self.box, (2, 2)) / self.picture
        box = ((corners - low) / (high - low) * size).ravel()
        if self.size == size and np.abs(box - [0, 0, *size]).max() < _EXACT:
            return picture
        box = box.clip(0, size * 2)
        image = Image.fromarray(picture)
        return np.asarray(image.resize(self.size, Image.Resampling.BICUBIC, box=tuple(box)))


@dataclass(frozen=True)
class Frame:
    """One true frame in a window.

    Attributes:
        time: its number in the clip.
        box: rows and columns of the person's box; None where it is too small to be compared.
        face: rows and columns of the face; None where it is too small, or reaches outside.
        matte: what the person covers, or the box where there is no matte.
    """

    time: int
    picture: Picture
    box: tuple[slice, slice] | None
    face: tuple[slice, slice] | None
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


def drawn_frames(
    clip: Clip, times: Sequence[int], dancer: Dancer, window: Window
) -> Iterator[Picture]:
    """These frames of a clip as the dancer draws them from the clip's poses.

    Where a frame depends on those before it, they are drawn too.
    """
    every = range(times[-1] + 1) if dancer.consecutive else times
    wanted = set(times)
    drawn = dancer(_poses_at(clip, list(every), dancer))
    for time, picture in zip(every, drawn, strict=True):
        if time in wanted:
            yield window.of_drawn(picture, dancer)


def _poses_at(clip: Clip, times: Sequence[int], dancer: Dancer) -> PoseSequence:
    """The poses of these frames in the dancer's pose picture."""
    landmarks, aspect = clip.landmarks[times], clip.aspect
    if dancer.shot != dancer.view:
        shot, view = (np.array(part).reshape(2, 2) for part in (dancer.shot, dancer.view))
        landmarks = (landmarks - shot[0]) / np.ptp(shot, 0) * np.ptp(view, 0) + view[0]
        aspect = dancer.placement.aspect
    visibility = None if clip.visibility is None else clip.visibility[times]
    return PoseSequence(landmarks, clip.fps, visibility, aspect=aspect)


def true_frames(clip: Clip, times: Sequence[int], window: Window) -> Iterator[Frame]:
    """These frames of a clip with pictures."""
    assert clip.frames is not None
    torso = torso_length(clip.landmarks, clip.aspect)
    for time in times:
        picture = window.of_footage(clip.frames[time])
        matte = None
        if clip.matte is not None:
            matte = window.of_footage(clip.matte[time]) >= 128
        if matte is not None and matte.any():
            person = person_box(matte)
            slices = tuple(
                slice(int(hit[0]), int(hit[-1]) + 1)
                for hit in (np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0)))
            )
        else:
            slices = _landmark_box(clip, time, window, torso)
            matte = np.zeros(picture.shape[:2], bool)
            matte[slices] = True
        large = all(part.stop - part.start >= SSIM_WINDOW for part in slices)
        box = (slices[0], slices[1]) if large else None
        yield Frame(time, picture, box, _face(clip, time, window, torso), matte)


class Retrieval:
    """The frame of other clips whose pose in the picture is nearest."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._poses = [_flat(clip, slice(clip.n_pictures)) for clip in clips]

    def knows(self, clip: Clip) -> bool:
        """Whether there is a clip of another song and source."""
        return any(not clip.origins & other.origins for other in self._clips)

    def __call__(self, clip: Clip, time: int, window: Window) -> Picture:
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
        return window.of_footage(best[1].frames[best[2]])


def _landmark_box(clip: Clip, time: int, window: Window, torso: float) -> tuple[slice, ...]:
    """Rows and columns around the landmarks; empty where the person is outside."""
    margin = MARGIN * torso * np.array([1 / clip.aspect, 1.0])
    points = clip.landmarks[time].astype(np.float64)
    low = window.points(points.min(0) - margin) * window.size
    high = window.points(points.max(0) + margin) * window.size
    (x0, y0), (x1, y1) = (np.clip(np.rint(v), 0, window.size).astype(int) for v in (low, high))
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _face(clip: Clip, time: int, window: Window, torso: float) -> tuple[slice, slice] | None:
    """Rows and columns of a square around the landmarks of the head."""
    length = torso_length(clip.landmarks[time : time + 1], clip.aspect)
    half = FACE * max(length, _SHORTEST_TORSO * torso) * window.picture[1]
    x, y = window.points(clip.landmarks[time, list(HEAD)].mean(0)) * window.size
    left, top = round(x - half), round(y - (1 + _FOREHEAD) * half)
    side = round(2 * half)
    inside = (
        left >= 0 and top >= 0 and left + side <= window.size[0] and top + side <= window.size[1]
    )
    if side < SSIM_WINDOW or not inside:
        return None
    return slice(top, top + side), slice(left, left + side)


def _flat(clip: Clip, frames: slice) -> Floats:
    points = clip.landmarks[frames][:, list(BODY_JOINTS)] * [clip.aspect, 1.0]
    flat: Floats = points.reshape(len(points), -1)
    return flat
