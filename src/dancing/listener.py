"""Who follows a long piece of work: told how far it is and what is worth knowing; may end it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from dancing.errors import DancingWarning


class Listener:
    """Passed down into long work. This one ignores progress and never ends the work.

    Its notes are Python's warnings, `DancingWarning`, so that who calls the library without a
    listener sees them.
    """

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Told of steps done. An error raised here ends the work as any error would.

        Args:
            stage: what is being done, in words.
            done, total: steps of that stage; total is None where it is not known.
        """

    def note(self, text: str) -> None:
        """Told one line for a person: the work went on, but this is worth knowing."""
        warnings.warn(text, DancingWarning, stacklevel=3)

    def stopped(self) -> bool:
        """Asked now and then; True ends training as if its time were over."""
        return False


class Silent(Listener):
    """Takes no notice of anything."""

    def note(self, text: str) -> None:
        pass


class Renamed(Listener):
    """Hands on to another listener, with stages under other names."""

    def __init__(self, listener: Listener, name: Callable[[str], str]) -> None:
        self._listener = listener
        self._name = name

    def progress(self, stage: str, done: int, total: int | None) -> None:
        self._listener.progress(self._name(stage), done, total)

    def note(self, text: str) -> None:
        self._listener.note(text)

    def stopped(self) -> bool:
        return self._listener.stopped()
