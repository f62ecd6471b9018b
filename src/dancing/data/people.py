"""Who is in a video: one person is tracked, or several where there are several."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.tracks import measure
from dancing.data.landmarker import Landmarker, Person
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_PEOPLE = 4


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
