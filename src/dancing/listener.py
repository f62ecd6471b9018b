"""Who follows a long piece of work: told how far it is, and what is worth knowing; may end it."""

from __future__ import annotations

import warnings

from dancing.errors import DancingWarning


class Listener:
    """Passed down into long work. This one takes no notice of progress and never ends the work.

    A note becomes a `DancingWarning` of Python's, so that who calls the library without a listener
    of their own still sees it.
    """

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Told of steps done; raising an error here ends the work as any error would.

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
