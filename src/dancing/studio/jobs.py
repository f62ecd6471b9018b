"""Work that a page watches and can give up, and the folder in which its files lie for a while."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dancing.listener import Listener

_Made = TypeVar("_Made")
_TICK = 0.3
_PREFIX = "dancing-studio-"
_SWEEP = 60.0


class AbandonedError(Exception):
    """Raised inside work that nobody waits for any more."""


@dataclass(frozen=True)
class Step:
    """How far work is.

    Attributes:
        stage: what is being done.
        done, total: steps of that stage; total is None where it is not known.
        left: seconds until the stage ends, if that can be told.
    """

    stage: str
    done: int
    total: int | None
    left: float | None


class Job(Generic[_Made]):
    """Work in a thread of its own. Use as a context manager: leaving it gives the work up.

    Args:
        work: called with a listener. Its `progress` raises `AbandonedError` once the job is left,
            which ends the work as any error would: nothing stays half-written.
        ending: set when the work is to come to its end early.

    Attributes:
        notes: what the work had to say, each line once.
    """

    def __init__(
        self, work: Callable[[Listener], _Made], ending: threading.Event | None = None
    ) -> None:
        self.notes: list[str] = []
        self._work = work
        self._ending = ending or threading.Event()
        self._left = threading.Event()
        self._step = Step("starting", 0, None, None)
        self._began, self._first = time.monotonic(), 0
        self._made: list[_Made] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Job[_Made]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not joined: whoever closes a page's generator is not to wait for the work's end.
        self._left.set()

    def steps(self) -> Iterator[Step]:
        """How far the work is, a few times a second until its end."""
        while self._thread.is_alive():
            yield self._step
            self._thread.join(_TICK)

    def made(self) -> _Made:
        """What the work returned, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._made[0]

    def _run(self) -> None:
        try:
            self._made.append(self._work(_JobListener(self)))
        except BaseException as error:
            self._error = error

    def follow(self, stage: str, done: int, total: int | None) -> None:
        """Take in how far the work is; called in its thread."""
        if self._left.is_set():
            raise AbandonedError
        now = time.monotonic()
        # Measured from the first steps on: before them, a stage gets ready.
        if stage != self._step.stage or self._step.done == 0:
            self._began, self._first = now, done
        left = None
        if total is not None and done > self._first:
            left = (now - self._began) * (total - done) / (done - self._first)
        self._step = Step(stage, done, total, left)

    def ending(self) -> bool:
        """Whether the work is to come to its end."""
        return self._ending.is_set()


class _JobListener(Listener):
    """Hears the work of one job; what it notes is that job's alone."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def progress(self, stage: str, done: int, total: int | None) -> None:
        self._job.follow(stage, done, total)

    def note(self, text: str) -> None:
        if text not in self._job.notes:
            self._job.notes.append(text)

    def stopped(self) -> bool:
        return self._job.ending()


class Workspace:
    """A private temporary folder whose files go some time after they were written.

    Use as a context manager: at its end the folder goes. That of a server that was killed goes
    when the next one starts, after the same time.

    Args:
        keep: seconds that files are kept.

    Attributes:
        root: the folder.
        cache: for what the page's framework takes in and hands out.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._busy: set[Path] = set()
        self._closed = threading.Event()
        for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            if self._is_old(old):
                shutil.rmtree(old, ignore_errors=True)
        self.root = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        self.cache, self._work = self.root / "cache", self.root / "work"
        self.cache.mkdir()
        self._work.mkdir()

    def __enter__(self) -> Workspace:
        threading.Thread(target=self._sweep_on, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        shutil.rmtree(self.root, ignore_errors=True)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one job; it stays as long as the job works, and goes if that fails."""
        folder = Path(tempfile.mkdtemp(dir=self._work))
        self._busy.add(folder)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            with suppress(FileNotFoundError):
                os.utime(folder)
            self._busy.discard(folder)

    def sweep(self) -> None:
        """Remove what is older than it may be."""
        for entry in (*self.cache.iterdir(), *self._work.iterdir()):
            if entry not in self._busy and self._is_old(entry):
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)

    def _sweep_on(self) -> None:
        while not self._closed.wait(min(_SWEEP, self._keep)):
            # A fresh time tells other servers that this one lives.
            with suppress(OSError):
                os.utime(self.root)
                self.sweep()

    def _is_old(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            times = [entry.stat().st_mtime for entry in (path, *path.glob("*"))]
            return time.time() - max(times) > self._keep
        return False
