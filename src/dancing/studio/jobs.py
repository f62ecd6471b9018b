"""Work that a page watches and can give up, and the folder in which its files lie for a while."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dancing.files import sweep, temporary_folder
from dancing.listener import Listener
from dancing.studio.limits import SHARE, Tally

_Made = TypeVar("_Made")
_TICK = 0.3
_SWEEP = 60.0
_BLOCK = 4096  # bytes that the smallest file takes


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
    when the next one starts.

    Args:
        keep: seconds that files are kept.
        space: bytes that all of them may take.

    Attributes:
        root: the folder.
        cache: for what the page's framework takes in and hands out.
        waited_for: tells which files here somebody in line has still to use.
    """

    def __init__(self, keep: float, space: int = 2**40) -> None:
        self._keep = keep
        self._space = space
        self._stored = 0  # bytes, as far as known
        self._uploads = Tally(keep)
        self._busy: set[Path] = set()
        self._closed = threading.Event()
        self._folder = temporary_folder(Path(tempfile.gettempdir()))
        self.root = Path()
        self.waited_for: Callable[[], set[Path]] = set

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def _work(self) -> Path:
        return self.root / "work"

    def __enter__(self) -> Workspace:
        self.root = self._folder.__enter__().resolve()
        self.cache.mkdir()
        self._work.mkdir()
        threading.Thread(target=self._sweep_on, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._closed.set()
        self._folder.__exit__(*error)

    def room(self, who: str) -> int:
        """Bytes that a visitor may still store."""
        share = int(self._space * SHARE) - self._uploads.total(who)
        return max(0, min(self._space - self._stored, share))

    def store(self, who: str, size: int) -> bool:
        """Count what a visitor stores; False when there is no room for it."""
        if size > self.room(who):
            return False
        self._stored += size
        self._uploads.add(who, size)
        return True

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
        """Remove what is older than it may be and in no use, and what killed servers left."""
        sweep(self.root.parent)
        used = {part for path in self.waited_for() for part in (path, *path.parents)}
        for entry in (*self.cache.iterdir(), *self._work.iterdir()):
            if entry in used:
                with suppress(FileNotFoundError):
                    os.utime(entry)  # its time counts from the last use on
            elif entry not in self._busy and self._is_old(entry):
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
        self._stored = self._measured()

    def _measured(self) -> int:
        """Bytes that all files and folders take."""
        taken = 0
        for folder, _, names in os.walk(self.root):
            taken += _BLOCK
            for name in names:
                with suppress(OSError):
                    taken += max(_BLOCK, (Path(folder) / name).stat().st_size)
        return taken

    def _sweep_on(self) -> None:
        while not self._closed.wait(min(_SWEEP, self._keep)):
            try:
                self.sweep()
            except Exception as error:  # another time, then; files must not stay for ever
                traceback.print_exception(error)

    def _is_old(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            times = [entry.stat().st_mtime for entry in (path, *path.glob("*"))]
            return time.time() - max(times) > self._keep
        return False
