"""What signals do to the command line, from the first import to the last moment.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) raise an exception while a command works, so
that what it had begun is removed; the exit code is that of a shell, 128 and the signal's number.
Before and after, when nothing is there to be removed, they end the process at once.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False  # see dancing/__init__.py
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_TOGETHER = 1.0
"""Seconds within which further signals belong to the first: `timeout` and service managers send
several."""


def leave_at_once() -> None:
    """From here on these signals end the process without a word."""
    _handle(_leave)


def end_in_order() -> None:
    """From here on the first of these signals is raised: KeyboardInterrupt, or SystemExit."""
    began: list[float] = []

    def end(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        began.append(now)
        if len(began) == 1:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        if now - began[0] > _TOGETHER:
            _leave(number, frame)

    _handle(end)


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _handle(handler: Any) -> None:
    for number in _ENDING:
        # Who started this process may have had it ignore one, as nohup does.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
