"""Pose files: .npz, .json and .csv, to and from named arrays."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import warnings
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from dancing.body import foreign_poses
from dancing.body.skeleton import LANDMARKS, N_LANDMARKS
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.rows import Rows, stretches

if TYPE_CHECKING:
    from numpy.typing import NDArray


UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    OSError,
    EOFError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TokenError,
    LZMAError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)
_OPTIONAL = ("visibility", "world", "beats")
_SCALARS = ("fps", "aspect")
_SIZE = ("width", "height")  # of the picture, where the landmarks are its pixels
_MOST_TEXT = 1 << 28  # bytes of a file; of a .json or .csv two hours of poses
_MOST_VALUES = 20_000_000  # numbers, lists, objects and texts of a .json
_LONGEST_ROW = 1 << 20  # bytes of a row of a .csv
_MOST_NUMBERS = 1 << 26  # of an array of an .npz: six hours of world landmarks
_LONGEST_REASON = 200  # characters of a library's error, which may quote the file
_PIECE = 1 << 20  # bytes read from an .npz at once
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_SHAPES = {"visibility": (N_LANDMARKS,), "world": (N_LANDMARKS, 3), "beats": ()}
SUFFIXES = (".npz", ".json", ".csv")

Poses = dict[str, Any]
"""Arrays 'landmarks', 'visibility', 'world', 'beats', and numbers 'fps' and 'aspect', by name, as
the attributes of `PoseSequence`; only 'landmarks' must be there. As read from a file, they may be
NaN where nobody was seen, and pixels; then 'width' and 'height' are numbers of the picture, if
known, or 'guessed_size' both of one that would hold the movement. 'foreign' is whether another tool
wrote them."""


def write(path: Path, poses: Poses) -> None:
    """Write a pose file; the suffix chooses the format.

    Raises:
        DancingError: for another suffix than those of `SUFFIXES`, or when it cannot be written.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DancingError(f"{path}: poses are written as .npz, .json or .csv")
    with write_then_rename(path) as temporary:
        writer(poses, temporary)


def read(path: Path) -> Poses:
    """Read a pose file, without checking shapes and values.

    Besides our own, those of other tools are read; see `dancing.body.foreign_poses`.

    Raises:
        DancingError: when the file is missing, too large, or is not a pose file.
    """
    if path.is_dir():
        reader: Callable[[Path], Poses] | None = foreign_poses.read_folder
    elif not path.is_file():
        raise DancingError(f"{path}: no such pose file")
    else:
        reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DancingError(f"{path}: not a pose file (.npz, .json or .csv)")
    try:
        if path.is_file() and path.stat().st_size > _MOST_TEXT:
            raise DancingError(f"is larger than {_MOST_TEXT >> 20} MB; cut the movement into parts")
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            return reader(path)
    except DancingError as error:
        raise DancingError(f"{path}: {error}") from error
    except UNREADABLE as error:
        raise DancingError(f"{path}: cannot be read as a pose file ({_line(error)})") from error


def song_of(path: Path) -> str | None:
    """The name of the song that an .npz names as danced to, if any."""
    name = _text(path, "song")
    return None if name is None else Path(name).name


def genre_of(path: Path) -> str | None:
    """The genre of dance that an .npz names, if any."""
    return _text(path, "genre")


def _text(path: Path, key: str) -> str | None:
    if path.suffix.lower() != ".npz" or not path.is_file():
        return None
    try:
        with _Pieces(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            return str(_array(archive, key)) if f"{key}.npy" in names else None
    except (DancingError, *UNREADABLE):
        return None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:_LONGEST_REASON] or type(error).__name__


def _write_npz(poses: Poses, path: Path) -> None:
    arrays: dict[str, Any] = {
        "landmarks": poses["landmarks"],
        **{name: np.float64(poses[name]) for name in _SCALARS},
        **_optional(poses),
    }
    # As np.savez_compressed does, for which all would have to be in memory.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if not isinstance(array, Rows):
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
                    continue
                header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for _, rows in array.chunks():
                    file.write(rows.astype("<f4", copy=False).data)


def _read_npz(path: Path) -> Poses:
    with _Pieces(path) as file, zipfile.ZipFile(file) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        if "landmarks" not in names:
            raise DancingError("it has no array named 'landmarks'")
        found = _split(_array(archive, "landmarks"))
        found |= {
            name: _number(name, _array(archive, name)) for name in _SCALARS + _SIZE if name in names
        }
        found |= {name: _array(archive, name) for name in _OPTIONAL if name in names}
        if "world" not in found and "world3d" in names:  # as renderers and others name it
            found["world"] = _array(archive, "world3d")
    return found


class _Pieces(io.FileIO):
    """A zip that is read in pieces: one whose directory is huge would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        if size is None or size < 0:
            size = left
        if min(size, left) > _PIECE:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """An array of an .npz; its header is checked before memory is taken for it."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        read_header = _HEADERS.get(np.lib.format.read_magic(file))
        if read_header is None:
            raise DancingError(f"its array '{name}' is of an unknown format")
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise DancingError(
            f"its array '{name}' holds Python's objects, which are never unpacked: store numbers, "
            "NaN where nobody was seen"
        )
    size = math.prod(shape) * dtype.itemsize
    if max(math.prod(shape), size / 8) > _MOST_NUMBERS:
        raise DancingError(
            f"its array '{name}' has {math.prod(shape)} entries, at most {_MOST_NUMBERS} are taken"
        )
    if size > info.file_size:
        raise DancingError(f"its array '{name}' is cut short")
    with archive.open(info) as file:
        values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return values


def _split(rows: NDArray[Any]) -> Poses:
    """Landmarks (T, 33, 2), and visibility, of rows as MediaPipe's users store them.

    Rows are (T, 33, 2 to 4) or (T, 66, 99 or 132): x, y, z and visibility.
    """
    if rows.ndim == 2 and rows.shape[1] in (66, 99, 132):
        rows = rows.reshape(len(rows), N_LANDMARKS, -1)
    if rows.ndim != 3 or rows.shape[1] != N_LANDMARKS or rows.shape[2] not in (3, 4):
        return {"landmarks": rows}
    found: Poses = {"landmarks": rows[..., :2]}
    if rows.shape[2] == 4:
        found["visibility"] = rows[..., 3]
    return found


def _number(name: str, value: Any) -> float:
    """A number, also where it is stored as an array of one."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError) as error:
        raise DancingError(f"its '{name}' is not one number") from error


def _write_json(poses: Poses, path: Path) -> None:
    values = {**{name: poses[name] for name in _SCALARS}, "landmark_names": LANDMARKS}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(values).removesuffix("}"))
        for name, array in {"landmarks": poses["landmarks"], **_optional(poses)}.items():
            file.write(f', "{name}": [')
            # As text, an hour of poses at once would take a gigabyte.
            for part in stretches(len(array)):
                file.write(", " if part.start else "")
                file.write(json.dumps(array[part].tolist())[1:-1])
            file.write("]")
        file.write("}")


def _read_json(path: Path) -> Poses:
    text = path.read_bytes()
    if sum(map(text.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise DancingError(f"it holds more than {_MOST_VALUES} values; cut the movement into parts")
    values = json.loads(text)
    own = values.get("landmarks") if isinstance(values, dict) else None
    rows = _numbers(own)
    if rows is None or _split(rows)["landmarks"].shape[-2:] != (N_LANDMARKS, 2):
        found = foreign_poses.convert(values)
        if found is None:
            raise DancingError("it has no entry 'landmarks', and is of no other tool known here")
    else:
        found = _split(rows)
    if isinstance(values, dict):
        found |= {
            name: _number(name, values[name])
            for name in _SCALARS + _SIZE
            if values.get(name) is not None
        }
        for name, shape in _SHAPES.items():
            if values.get(name) is not None:
                found[name] = _rows(name, values[name], shape)
    return found


def _numbers(values: Any) -> NDArray[Any] | None:
    """An array of JSON's lists, if they are even and hold numbers only."""
    try:
        found = np.array(values)
    except ValueError:
        return None
    return found if found.dtype.kind in "fiu" else None


def _rows(name: str, rows: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """(T, *shape) of JSON's lists, NaN where there is null."""
    found = _numbers(rows)
    if found is not None:
        return found
    if not isinstance(rows, list):
        raise DancingError(f"its '{name}' is no list")
    found = np.full((len(rows), *shape), np.nan)
    for t, row in enumerate(rows):
        if row is not None:
            try:
                values = np.array(row, np.float64)
            except (TypeError, ValueError):
                values = np.zeros(0)
            if values.shape != shape:
                raise DancingError(f"its '{name}' of frame {t} is not {shape} numbers")
            found[t] = values
    return found


def _csv_columns() -> list[tuple[str, int, int | None, str]]:
    """(field, landmark, axis, column name) of every column after frame and time."""
    columns: list[tuple[str, int, int | None, str]] = []
    for i, name in enumerate(LANDMARKS):
        columns += [("landmarks", i, k, f"{name}_{axis}") for k, axis in enumerate("xy")]
    for i, name in enumerate(LANDMARKS):
        columns.append(("visibility", i, None, f"{name}_visibility"))
    for i, name in enumerate(LANDMARKS):
        columns += [("world", i, k, f"{name}_world_{axis}") for k, axis in enumerate("xyz")]
    return columns


def _write_csv(poses: Poses, path: Path) -> None:
    columns = [column for column in _csv_columns() if poses.get(column[0]) is not None]
    fields = dict.fromkeys(column[0] for column in columns)
    fps, aspect = poses["fps"], poses["aspect"]
    # The column 'beat' holds the exact time of a beat nearest to the frame.
    beats: dict[int, list[str]] = {}
    for time in [] if poses.get("beats") is None else poses["beats"].tolist():
        beats.setdefault(round(time * fps), []).append(repr(time))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time", "aspect", "beat", *(column[3] for column in columns)])
        for part in stretches(len(poses["landmarks"])):
            values = [poses[field][part].reshape(part.stop - part.start, -1) for field in fields]
            for t, numbers in zip(
                range(part.start, part.stop), np.concatenate(values, axis=1), strict=True
            ):
                beat = " ".join(beats.get(t, []))
                writer.writerow([t, repr(t / fps), repr(aspect), beat, *map(str, numbers)])


def _read_csv(path: Path) -> Poses:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(_lines(file))
        names = [name.strip() for name in next(reader, [])]
        if not names:
            raise DancingError("it has no rows")
        fields = {name: (field, i, axis) for field, i, axis, name in _csv_columns()}
        foreign = not any(name in fields for name in names)
        if foreign:
            fields = _foreign_columns(names)
        fields = _whole(fields, names)
        known = [name for name in (*fields, "time", *_SCALARS, *_SIZE) if name in names]
        places = [names.index(name) for name in known]
        numbers = array("d")
        frames: list[str | None] = []
        beats: list[float] = []
        frame, beat = (names.index(n) if n in names else None for n in ("frame", "beat"))
        for row in reader:
            if row:
                if len(row) != len(names):
                    raise DancingError(
                        f"its line {reader.line_num} has {len(row)} columns, but the first, which "
                        f"names them, has {len(names)}"
                    )
                if len(frames) >= foreign_poses.MOST_FRAMES:
                    raise DancingError(
                        f"it holds more than {len(frames)} rows; cut the movement into parts"
                    )
                numbers.extend(_cell(row[place]) for place in places)
                frames.append(None if frame is None else row[frame])
                if beat is not None:
                    beats += map(float, row[beat].split())
    if not numbers:
        raise DancingError("it has no rows")
    table = np.frombuffer(numbers).reshape(-1, len(known))
    columns = dict(zip(known, table.T, strict=True))
    at, total = foreign_poses.positions(frames)
    found: dict[str, Any] = {}
    for name, (field, landmark, axis) in fields.items():
        if field not in found:
            shape = (2,) if field == "landmarks" else _SHAPES[field][1:]
            found[field] = np.full((total, N_LANDMARKS, *shape), np.nan)
        where = (landmark,) if axis is None else (landmark, axis)
        found[field][(at, *where)] = columns[name]
    if "time" in columns and len(table) > 1:
        time = columns["time"]
        if not (np.diff(time) > 0).all():
            raise DancingError("its column 'time' does not rise")
        found["fps"] = round(float(at[-1] / (time[-1] - time[0])), 6)
        if found["fps"] < 1:
            raise DancingError("its column 'time' is not in seconds")
    for name in (*_SCALARS, *_SIZE):
        if name in columns:
            found.setdefault(name, float(columns[name][0]))
    if beat is not None:
        found["beats"] = np.array(beats)
    found["foreign"] = foreign
    return found


def _cell(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        if text.strip().lower() in ("", "none", "null", "na"):
            return math.nan
        raise


def _lines(file: TextIO) -> Iterator[str]:
    """Lines of a file that may be one line of gigabytes."""
    while line := file.readline(_LONGEST_ROW + 1):
        if len(line) > _LONGEST_ROW:
            raise DancingError(f"it has a row of more than {_LONGEST_ROW >> 20} MB")
        yield line


_Field = tuple[str, int, int | None]


def _whole(fields: dict[str, _Field], names: list[str]) -> dict[str, _Field]:
    """The columns to read: of the landmarks all, of other fields all or none.

    Raises:
        DancingError: when there are some of a field's columns only.
    """
    wanted: dict[str, _Field] = {}
    for field, count in (("landmarks", 2), ("visibility", 1), ("world", 3)):
        columns = {name: key for name, key in fields.items() if key[0] == field}
        if field != "landmarks" and not any(name in names for name in columns):
            continue
        lacking = next((name for name in columns if name not in names), None)
        if lacking is not None:
            raise DancingError(f"it has no column '{lacking}'")
        if len({key[1:] for key in columns.values()}) < count * N_LANDMARKS:
            known = len({key[1] for key in columns.values()})
            raise DancingError(
                f"it has columns of {known} landmarks, but x and y of MediaPipe's 33 are needed"
                if field == "landmarks"
                else f"it has the {field} of {known} landmarks, but of 33 is needed"
            )
        wanted |= columns
    return wanted


def _foreign_columns(names: list[str]) -> dict[str, _Field]:
    """The columns of another tool's file, by name."""
    columns: dict[str, _Field] = {}
    for name, (landmark, axis) in foreign_poses.csv_landmarks(names).items():
        if landmark >= N_LANDMARKS:
            raise DancingError(f"it has more than {N_LANDMARKS} landmarks (column '{name}')")
        if axis == "visibility":
            columns[name] = ("visibility", landmark, None)
        elif axis in "xy":
            columns[name] = ("landmarks", landmark, "xy".index(axis))
    if not columns:
        raise DancingError(f"it has no column '{_csv_columns()[0][3]}'")
    return columns


def _optional(poses: Poses) -> dict[str, NDArray[Any]]:
    return {name: poses[name] for name in _OPTIONAL if poses.get(name) is not None}


_WRITERS = {".npz": _write_npz, ".json": _write_json, ".csv": _write_csv}
_READERS = {".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}
