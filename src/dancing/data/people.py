"""People over time: who in a video is the dancer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.skeleton import TRUNK
from dancing.data.landmarker import Landmarker, Person
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray


LONGEST_GAP = round(0.3 * FPS)  # frames without the person that are interpolated
MOST_PEOPLE = 4


@dataclass
class Track:
    """One person over time, as seen in some of the frames.

    Attributes:
        frames: numbers of the frames, rising.
        points: for each, (33, 6) as in `Person`.
        mattes: for each, the matte's number in the spool.
        centres: for each, (2,) middle of the torso in picture heights.
        sizes: for each, diagonal of the box around all landmarks in picture heights.
    """

    frames: list[int] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
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
        return away if near and alike and 0 < gap <= LONGEST_GAP + 1 else np.inf

    def overlap(self, other: Track) -> int:
        """Number of frames in which both were there."""
        return min(self.frames[-1], other.frames[-1]) - max(self.frames[0], other.frames[0]) + 1


class Tracks:
    """Tells people apart over time: each goes on as the nearest of about the same size."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._active: list[Track] = []

    def add(self, frame: int, people: Sequence[tuple[Person, int]], aspect: float) -> None:
        """Take in the people seen in a frame, each with the number of the matte."""
        self._active = [t for t in self._active if frame - t.frames[-1] <= LONGEST_GAP + 1]
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
        person: Person,
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
            if all(track.overlap(other) <= LONGEST_GAP for other in chosen) and (
                not chosen or 0.5 < np.median(track.sizes) / np.median(chosen[0].sizes) < 2
            ):
                chosen.append(track)
        return sorted(chosen, key=lambda track: track.frames[0])


def measure(person: Person, aspect: float) -> tuple[NDArray[np.float64], float]:
    points = np.asarray(person.points[:, :2], np.float64) * [aspect, 1.0]
    return points[TRUNK].mean(0), float(np.hypot(*np.ptp(points, axis=0))) + 1e-9


class Watcher:
    """Sees the people in a video, at little more than the cost of seeing one.

    One person is tracked about twice as fast as several are looked out for. So one is tracked,
    and once a second a closer look tells whether anybody else is there who could be the dancer;
    from then on several are tracked.

    Attributes:
        crowded: whether several people are tracked.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._tracker = stack.enter_context(Landmarker(1, video=True))
        self._survey = stack.enter_context(Landmarker(MOST_PEOPLE, video=False))
        self.crowded = False

    def __call__(self, frame: int, picture: NDArray[np.uint8]) -> list[Person]:
        people = self._tracker(picture)
        if self.crowded or frame % FPS or not self._others(picture, people):
            return people
        self.crowded = True
        self._tracker = self._stack.enter_context(Landmarker(MOST_PEOPLE, video=True))
        return self._tracker(picture)

    def _others(self, picture: NDArray[np.uint8], people: list[Person]) -> bool:
        """Whether a closer look shows somebody else of at least half the size."""
        aspect = picture.shape[1] / picture.shape[0]
        seen = [measure(person, aspect) for person in self._survey(picture)]
        if len(seen) < 1 + (not people):
            return False
        centre, size = measure(people[0], aspect) if people else max(seen, key=lambda m: m[1])
        return any(
            np.hypot(*(other - centre)) > 0.15 * size and other_size > 0.5 * size
            for other, other_size in seen
        )
