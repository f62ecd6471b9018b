"""How much visitors of the studio may ask for."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from dancing.errors import DancingError

FILES = 20
"""Files that may be uploaded at a time."""
SHARE = 0.5
"""Of the room for all files, what one visitor's uploads may take."""
_VISITORS = 1000  # of a tally, until those who did nothing of late are forgotten


@dataclass(frozen=True)
class Limits:
    """How much visitors may ask for.

    Attributes:
        jobs: dances made at a time; others wait in line.
        upload: megabytes of one file.
        space: megabytes of all visitors' files together.
        seconds: length of a dance.
        minutes: how long learning a dancer may take.
        keep: minutes that files are kept on the server.
    """

    jobs: int = 1
    upload: int = 200
    space: int = 8000
    seconds: int = 600
    minutes: int = 60
    keep: float = 60.0

    def __post_init__(self) -> None:
        for name in ("jobs", "upload", "space", "seconds", "minutes", "keep"):
            if not getattr(self, name) > 0:
                raise DancingError(f"the limit '{name}' is {getattr(self, name)}, but is above 0")


class Tally:
    """How much each visitor did of late.

    Args:
        seconds: how long it counts.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._done: dict[str, deque[tuple[float, int]]] = {}

    def add(self, who: str, amount: int = 1) -> None:
        """Count what a visitor does."""
        now = time.monotonic()
        if len(self._done) > _VISITORS:
            self._done = {other: done for other, done in self._done.items() if self.total(other)}
        done = self._done.setdefault(who, deque())
        # What comes close together is one entry, so that there are few.
        if done and now - done[-1][0] < self._seconds / 60:
            now, earlier = done.pop()
            amount += earlier
        done.append((now, amount))

    def total(self, who: str) -> int:
        """What a visitor did of late."""
        done = self._done.get(who, deque())
        while done and time.monotonic() - done[0][0] > self._seconds:
            done.popleft()
        return sum(amount for _, amount in done)

    def clear(self, who: str) -> None:
        """Forget what a visitor did."""
        self._done.pop(who, None)
