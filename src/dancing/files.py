"""Write files so that nothing is ever half-written; find the media files in a folder."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dancing.errors import DancingError

MEDIA_SUFFIXES = frozenset(
    ".mp3 .m4a .aac .ogg .oga .opus .flac .wav .aif .aiff .wma "
    ".mp4 .mov .mkv .webm .avi .m4v .mpg .mpeg .3gp .ts".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .mov .mkv .webm .avi .m4v .mpg .mpeg .3gp .ts".split())


def example_song() -> Path:
    """The song that comes with the package."""
    installed = Path(__file__).parent / "song.ogg"
    return installed if installed.is_file() else Path(__file__).parents[2] / "examples/song.ogg"


@contextmanager
def write_then_rename(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` only if the block succeeds.

    The temporary name keeps the suffix, which format libraries look at. Missing parent folders
    are made.

    Raises:
        DancingError: when the place cannot be written or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise DancingError(f"{path}: is a folder, a file name is needed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(path)
    except OSError as error:
        raise DancingError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DancingError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    """An empty file beside `path`, of a name that was free.

    Not by tempfile: its files are private, and a result has the permissions of any new file. These
    depend on the process's umask, which only opening a file applies safely with other threads.
    """
    while True:
        name = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.partial{path.suffix}")
        try:
            name.touch(exist_ok=False)
        except FileExistsError:
            continue
        return name


def expand(inputs: Iterable[str | Path], suffixes: Iterable[str], what: str) -> list[Path]:
    """The files meant by a list of files and folders; folders give what they directly hold.

    A file named by the user is taken whatever its suffix. Hidden files are left out.

    Raises:
        DancingError: when a folder holds no such file.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    found: list[Path] = []
    for item in map(Path, inputs):
        if not item.is_dir():
            found.append(item)
            continue
        inside = sorted(
            file
            for file in item.iterdir()
            if file.is_file() and file.suffix.lower() in wanted and not file.name.startswith(".")
        )
        if not inside:
            raise DancingError(f"{item}: this folder holds no {what}")
        found += inside
    return found


def replace_folder(new: Path, place: Path) -> None:
    """Move a folder to a place in the same file system; one that is there gives way.

    The two change places in one step where the system can, so that at no moment, also if this
    process is killed, there is none. Elsewhere the older one has another name for a moment, and
    `put_back` returns it if the process is killed then.

    Raises:
        OSError: when that is not possible.
    """
    old = _set_aside(place)
    if not place.exists():
        new.replace(place)
    elif not _exchange(new, place):
        place.replace(old)
        new.replace(place)
    shutil.rmtree(old, ignore_errors=True)


def put_back(place: Path) -> None:
    """Return a folder to its place, if a process was killed while it replaced it.

    Raises:
        OSError: when that is not possible.
    """
    old = _set_aside(place)
    if old.is_dir() and not place.exists():
        old.replace(place)


def _set_aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.before")


def _exchange(one: Path, other: Path) -> bool:
    """Give each of two folders the other's name in one step; False where the system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    library: Any = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None
    if hasattr(library, "renameat2"):  # Linux: AT_FDCWD, RENAME_EXCHANGE
        done = library.renameat2(-100, names[0], -100, names[1], 2)
    elif hasattr(library, "renamex_np"):  # macOS: RENAME_SWAP
        done = library.renamex_np(*names, 2)
    else:
        return False
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
