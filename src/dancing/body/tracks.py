"""People over time: who of one frame is who in the next, and which of them is the dancer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dancing.body.repair import LONGEST_GAP
from dancing.body.skeleton import TRUNK
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST_GAP = round(LONGEST_GAP * FPS)  # frames in which somebody may be missing


class Seen(Protocol):
    """Somebody in a frame."""

    @property
    def points(self) -> NDArray[np.floating[Any]]:
        """(33, 2 or more): x and y of the landmarks in [0, 1] of the picture, and more of them."""


@dataclass
class Track:
    """One person over time, as seen in some of the frames.

    Attributes:
        frames: numbers of the frames, rising.
        points: for each, as in `Seen`.
        mattes: for each, the number of what belongs to it, as given: in a video, of the matte.
        centres: for each, (2,) middle of the torso in picture heights.
        sizes: for each, diagonal of the box around all landmarks in picture heights.
    """

    frames: list[int] = field(default_factory=list)
    points: list[NDArray[np.floating[Any]]] = field(default_factory=list)
    mattes: list[int] = field(default_factory=list)
    centres: list[NDArray[np.float64]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    @property
    def weight(self) -> float:
        """Who is the dancer: the cube of the size summed over time.

        A person who is there all the time must not outweigh a larger one who comes later, nor
        somebody who passes close to the camera the dancer behind.
        """
        return float(np.power(self.sizes, 3).sum())

    def __len__(self) -> int:
        return self.frames[-1] - self.frames[0] + 1

    def distance(self, frame: int, centre: NDArray[np.float64], size: float) -> float:
        """How far a person seen now is from this track's last sight; inf if another person."""
        gap = frame - self.frames[-1]
        away = float(np.hypot(*(centre - self.centres[-1])))
        near = away < self.sizes[-1] * (0.15 + 0.05 * gap)
        alike = 0.5 < size / self.sizes[-1] < 2
        return away if near and alike and 0 < gap <= _LONGEST_GAP + 1 else np.inf

    def overlap(self, other: Track) -> int:
        """Number of frames in which both were there."""
        return min(self.frames[-1], other.frames[-1]) - max(self.frames[0], other.frames[0]) + 1


class Tracks:
    """Tells people apart over time: each goes on as the nearest of about the same size."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._active: list[Track] = []

    def add(self, frame: int, people: Sequence[tuple[Seen, int]], aspect: float) -> None:
        """Take in the people seen in a frame, each with the number of the matte."""
        self._active = [t for t in self._active if frame - t.frames[-1] <= _LONGEST_GAP + 1]
        measures = [measure(person, aspect) for person, _ in people]
        pairs = sorted(
            (track.distance(frame, *measure), i, k)
            for i, track in enumerate(self._active)
            for k, measure in enumerate(measures)
        )
        followed: dict[int, Track] = {}
        for distance, i, k in pairs:
            track = self._active[i]
            if np.isfinite(distance) and k not in followed and track.frames[-1] != frame:
                followed[k] = track
                self._append(track, frame, *people[k], *measures[k])
        for k in range(len(people)):
            if k not in followed:
                track = Track()
                self._append(track, frame, *people[k], *measures[k])
                self._active.append(track)
                self.tracks.append(track)

    def _append(
        self,
        track: Track,
        frame: int,
        person: Seen,
        matte: int,
        centre: NDArray[np.float64],
        size: float,
    ) -> None:
        track.frames.append(frame)
        track.points.append(person.points)
        track.mattes.append(matte)
        track.centres.append(centre)
        track.sizes.append(size)

    def dancer(self) -> list[Track]:
        """The tracks of the largest person, in order of time.

        Somebody who is there at the same time as the largest is another person; somebody of
        about the same size who comes before or after is taken for the same one.
        """
        chosen: list[Track] = []
        for track in sorted(self.tracks, key=lambda track: track.weight, reverse=True):
            if all(track.overlap(other) <= _LONGEST_GAP for other in chosen) and (
                not chosen or 0.5 < np.median(track.sizes) / np.median(chosen[0].sizes) < 2
            ):
                chosen.append(track)
        return sorted(chosen, key=lambda track: track.frames[0])


def measure(person: Seen, aspect: float) -> tuple[NDArray[np.float64], float]:
    points = np.asarray(person.points[:, :2], np.float64) * [aspect, 1.0]
    return points[TRUNK].mean(0), float(np.hypot(*np.ptp(points, axis=0))) + 1e-9
