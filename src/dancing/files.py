"""Write files so that nothing is ever half-written; find the media files in a folder.

What is still being written lies beside its place under a hidden name, `.dancing-*.partial*`, and is
locked by the process that writes it. The system gives up the lock when that process ends, however
it ends. So what nobody holds was left by a process that was killed, and goes when the next file is
written to the same folder.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mimetypes
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from dancing.errors import DancingError
from dancing.listener import Listener, Silent

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FILMS = frozenset(
    ".mp4 .m4v .mov .qt .mkv .webm .avi .divx .mpg .mpeg .mpe .vob .ts .mts .m2ts .m2t .3gp .3g2 "
    ".flv .f4v .wmv .asf .mxf .ogv .ogm .rm .rmvb .dv .nut .wtv".split()
)
_SOUNDS = frozenset(
    ".mp3 .mp2 .mpa .m4a .m4b .m4r .f4a .aac .ac3 .eac3 .ec3 .dts .dtshd .thd .mlp .ogg .oga .opus "
    ".spx .flac .wav .wave .w64 .rf64 .bwf .aif .aiff .aifc .au .snd .caf .wma .wv .ape .tta .tak "
    ".mpc .amr .awb .mka .weba .ra .voc .dsf .gsm .shn .oma".split()
)
_SILENT_FILMS = frozenset(".m1v .m2v .mjpeg .mjpg .y4m .h264 .264 .h265 .265 .hevc .ivf".split())
MEDIA_SUFFIXES = _SOUNDS | _FILMS
VIDEO_SUFFIXES = _FILMS | _SILENT_FILMS
PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .heic .heif .hif .webp .avif .tif .tiff .bmp .jp2 .ppm".split()
)
_KINDS = mimetypes.MimeTypes()  # without the system's own lists, which differ and err
# What it does not know, but is no media for certain.
_OTHERS = frozenset(
    ".npz .h5 .safetensors .onnx .cue .m3u .m3u8 .pls .xspf .mid .midi .lrc .nfo .log .ini .sfv "
    ".part .db .lnk .url .rar .7z .md .yaml .yml .toml".split()
)
_NAMED = 5  # files that a note names

PIPE_BYTES = 4 * 2**30
"""What is taken through a pipe at most: six hours of uncompressed sound."""
NAME_BYTES = 255
"""The longest name of a file on the usual file systems."""

_PARTIAL = re.compile(r"\.dancing-[0-9a-f]{16}\.partial(\..*)?", re.DOTALL)
_LONGEST_SUFFIX = 32  # bytes; longer ones tell no kind of file
_LOCK = ".lock"  # in a temporary folder
_LOCKED_AT = 2**62  # a byte beyond any content: Windows keeps others from reading what is locked


def example_song() -> Path:
    """The song that comes with the package."""
    installed = Path(__file__).parent / "song.ogg"
    return installed if installed.is_file() else Path(__file__).parents[2] / "examples/song.ogg"


def cache_folder() -> Path:
    """Where downloaded files are kept: `$DANCING_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("DANCING_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dancing"


@contextmanager
def write_then_rename(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` only if the block succeeds.

    The temporary name keeps the suffix, which format libraries look at. Missing parent folders
    are made. Where `path` is a link, the file that it points to is written.

    Raises:
        DancingError: when the place cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise DancingError(f"{path}: is a folder, a file name is needed")
        if path.exists() and not path.is_file():
            raise DancingError(f"{path}: is a device or a pipe, a file is needed")
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix if _size(path.suffix) <= _LONGEST_SUFFIX else ""
        with _temporary(target.parent, suffix) as (temporary, lock):
            yield temporary
            if sys.platform == "win32":
                lock.close()  # what is open cannot be renamed there
            temporary.replace(target)
    except OSError as error:
        raise DancingError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder within another, for this user alone; it goes at the end."""
    with _temporary(parent, None) as (folder, _):
        yield folder


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Keep other processes from the same work on `path`, a file or folder, for this long.

    Raises:
        DancingError: when another process is at it, or the place cannot be written.
    """
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    place = path.parent / f".dancing-{name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        for wait in (0.1, 0.4, 0.0):  # who sweeps holds it for a moment
            if lock := _take(place):
                break
            time.sleep(wait)
        else:
            raise DancingError(f"{path}: another process is at work on it; wait until it has ended")
    except OSError as error:
        raise DancingError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        _remove(place, lock)


@contextmanager
def _temporary(folder: Path, suffix: str | None) -> Iterator[tuple[Path, BinaryIO]]:
    """A new empty file, or a folder where `suffix` is None, and its lock; both go at the end.

    Not by tempfile: its files are private, and a result has the permissions of any new file. These
    depend on the process's umask, which only opening a file applies safely with other threads.
    """
    sweep(folder)
    path: Path | None = None
    lock: BinaryIO | None = None
    try:  # from before it is there, for a signal may end this between any two steps
        while lock is None:
            path = folder / f".dancing-{secrets.token_hex(8)}.partial{suffix or ''}"
            if suffix is None:
                path.mkdir(mode=0o700)
            with suppress(FileNotFoundError):  # swept before it was locked
                lock = _take(path / _LOCK if suffix is None else path)
        assert path is not None
        yield path, lock
    finally:
        if path is not None:
            _remove(path, lock)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder: hidden files and folders of this program."""
    try:
        left = [entry for entry in os.scandir(folder) if _PARTIAL.fullmatch(entry.name)]
    except OSError:
        return
    for entry in left:
        with suppress(OSError):
            path = Path(entry)
            inner = path / _LOCK if entry.is_dir(follow_symlinks=False) else path
            if lock := _take(inner, sure=True):
                _remove(path, lock)


def _take(path: Path, sure: bool = False) -> BinaryIO | None:
    """Open a file, made if need be, and lock it; None where another process holds it.

    Args:
        sure: None, too, where the file system has no locks.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = open(os.open(path, flags, 0o666), "rb+")  # noqa: SIM115, PTH123
    locked = _lock(file)
    if locked or (locked is None and not sure):
        # Who held it before may have removed it while this process opened it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
    file.close()
    return None


def _lock(file: BinaryIO) -> bool | None:
    """Whether the file could be locked; None where its file system has no locks."""
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED_AT)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _remove(path: Path, lock: BinaryIO | None) -> None:
    """Remove a temporary file or folder, and let its lock go, if there is one."""
    if sys.platform == "win32" and lock is not None:
        lock.close()  # what is open cannot be removed there
    with lock or nullcontext():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def fitted(stem: str, end: str) -> str:
    """A name of a stem and an end, the stem cut to what a file's name has room for."""
    while stem and _size(stem + end) > NAME_BYTES:
        stem = stem[:-1]
    return stem + end


def _size(name: str) -> int:
    return len(os.fsencode(name))


def is_pipe(path: Path) -> bool:
    """Whether it can be read once only: '-', which is standard input, or the path of a pipe."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return str(path) == "-"
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def from_pipe(path: Path, folder: Path) -> Iterator[Path]:
    """What comes through a pipe, as a temporary file in a folder.

    Raises:
        DancingError: when nothing comes, more than `PIPE_BYTES` come, or it cannot be stored.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary, _ = stack.enter_context(_temporary(folder, ""))
            _pour(path, temporary)
        except OSError as error:
            raise DancingError(f"{path}: cannot be stored ({error.strerror or error})") from error
        try:
            yield temporary
        except DancingError as error:
            raise DancingError(str(error).replace(str(temporary), str(path))) from error


def _pour(path: Path, into: Path) -> None:
    standard = str(path) == "-"
    if standard and os.isatty(0):
        raise DancingError("-: standard input is the keyboard; pipe a song into it")
    with (
        open(0 if standard else path, "rb", closefd=not standard) as pipe,
        into.open("wb") as file,
    ):
        while block := pipe.read(2**20):
            if file.tell() + len(block) > PIPE_BYTES:
                raise DancingError(
                    f"{path}: more than {PIPE_BYTES >> 30} GiB came through the pipe; "
                    "store it in a file first"
                )
            file.write(block)
        if not file.tell():
            raise DancingError(f"{path}: nothing came through the pipe")


def expand(
    inputs: Iterable[str | Path],
    suffixes: Iterable[str],
    what: str,
    listener: Listener | None = None,
    leave: Callable[[Path], bool] = lambda _: False,
) -> list[Path]:
    """The files meant by a list of files and folders; folders give what they directly hold.

    A file named by the user is taken whatever its suffix. Hidden files are left out.

    Args:
        suffixes: of the files to take from folders.
        what: these files, in words.
        listener: told of files in folders that may be media, but are not taken.
        leave: of a folder's files, which not to take.

    Raises:
        DancingError: when a folder holds no such file.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    listener = listener or Silent()
    found: list[Path] = []
    for item in map(Path, inputs):
        if not item.is_dir():
            found.append(item)
            continue
        files = sorted(f for f in item.iterdir() if f.is_file() and not f.name.startswith("."))
        inside = [file for file in files if file.suffix.lower() in wanted]
        taken = [file for file in inside if not leave(file)]
        passed = [file.name for file in files if file not in inside and _may_be_media(file)]
        if passed:
            more = f" and {len(passed) - _NAMED} more" if len(passed) > _NAMED else ""
            listener.note(
                f"{item}: passed over, being of no known kind: {', '.join(passed[:_NAMED])}{more}; "
                "what is named itself is tried"
            )
        if not taken:
            but = " but what this program made" if inside else ""
            raise DancingError(f"{item}: this folder holds no {what}{but}")
        found += taken
    return found


def _may_be_media(file: Path) -> bool:
    """Whether its name does not say that it is something else."""
    suffix = file.suffix.lower()
    if suffix in MEDIA_SUFFIXES | VIDEO_SUFFIXES | _OTHERS:
        return False
    kind = _KINDS.guess_type(f"x{suffix}")[0]
    return kind is None or kind.startswith(("audio/", "video/"))


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
