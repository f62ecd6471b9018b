"""Write files so that nothing is ever half-written; find the media files in a folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
