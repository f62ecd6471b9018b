"""Pose files: .npz, .json and .csv, to and from named arrays."""

from __future__ import annotations

import csv
import json
import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body import foreign_poses
from dancing.body.skeleton import LANDMARKS, N_LANDMARKS
from dancing.errors import DancingError
from dancing.files import write_then_rename

if TYPE_CHECKING:
    from numpy.typing import NDArray


UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    OSError,
    EOFError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TokenError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)
_OPTIONAL = ("visibility", "world", "beats")
_SCALARS = ("fps", "aspect")
_SIZE = ("width", "height")  # of the picture, where the landmarks are its pixels
_MOST_TEXT = 1 << 28  # bytes of a .json or .csv: two hours of poses
_MOST_ARRAYS = 1 << 29  # bytes of an .npz, unpacked
SUFFIXES = (".npz", ".json", ".csv")

Poses = dict[str, Any]
"""Arrays 'landmarks', 'visibility', 'world', 'beats', and numbers 'fps' and 'aspect', by name, as
the attributes of `PoseSequence`; only 'landmarks' must be there. As read from a file, they may be
NaN where nobody was seen, and pixels, with numbers 'width' and 'height' of the picture if known."""


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
    reader = foreign_poses.read_folder if path.is_dir() else _READERS.get(path.suffix.lower())
    if not path.is_file() and not path.is_dir():
        raise DancingError(f"{path}: no such pose file")
    if reader is None:
        raise DancingError(f"{path}: not a pose file (.npz, .json or .csv)")
    if path.is_file() and path.stat().st_size > _MOST_TEXT:
        raise DancingError(f"{path}: is larger than {_MOST_TEXT >> 20} MB, write it as .npz")
    try:
        return reader(path)
    except DancingError as error:
        raise DancingError(f"{path}: {error}") from error
    except UNREADABLE as error:
        raise DancingError(f"{path}: cannot be read as a pose file ({error})") from error


def _write_npz(poses: Poses, path: Path) -> None:
    arrays: dict[str, Any] = {
        "landmarks": poses["landmarks"],
        **{name: np.float64(poses[name]) for name in _SCALARS},
        **_optional(poses),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _read_npz(path: Path) -> Poses:
    with np.load(path, allow_pickle=False) as file:
        if not hasattr(file, "files") or "landmarks" not in file.files:
            raise DancingError("it has no array named 'landmarks'")
        _check_sizes(path)
        found: dict[str, Any] = {"landmarks": file["landmarks"]}
        found |= {name: _number(file[name]) for name in _SCALARS + _SIZE if name in file.files}
        found |= {name: file[name] for name in _OPTIONAL if name in file.files}
        if "world" not in found and "world3d" in file.files:  # as renderers and others name it
            found["world"] = file["world3d"]
    return found


def _check_sizes(path: Path) -> None:
    """Refuse arrays of more memory than may be, or than the file says, before it is taken."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = header(file)
            size = math.prod(shape) * dtype.itemsize
            if max(size, info.file_size) > _MOST_ARRAYS or size > info.file_size:
                raise DancingError(f"its array '{info.filename}' is too large or cut short")


def _number(value: Any) -> float:
    """A number, also where it is stored as an array of one."""
    array = np.asarray(value)
    if array.size != 1:
        raise DancingError(f"a number is needed where it has {array.size}")
    return float(array.item())


def _write_json(poses: Poses, path: Path) -> None:
    values = {
        **{name: poses[name] for name in _SCALARS},
        "landmark_names": LANDMARKS,
        "landmarks": poses["landmarks"].tolist(),
        **{name: value.tolist() for name, value in _optional(poses).items()},
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_json(path: Path) -> Poses:
    values = json.loads(path.read_text(encoding="utf-8"))
    own = isinstance(values, dict) and _is_own(values.get("landmarks"))
    if not own:
        other = values
        if isinstance(values, dict) and isinstance(values.get("landmarks"), list):
            other = {**values, "frames": values["landmarks"]}
        found = foreign_poses.convert(other)
        if found is None:
            raise DancingError("it has no entry 'landmarks', and is of no other tool known here")
        return found
    found = {"landmarks": _rows(values["landmarks"], (N_LANDMARKS, 2))}
    found |= {
        name: _number(values[name]) for name in _SCALARS + _SIZE if values.get(name) is not None
    }
    for name, shape in (("visibility", (N_LANDMARKS,)), ("world", (N_LANDMARKS, 3)), ("beats", ())):
        if values.get(name) is not None:
            found[name] = _rows(values[name], shape)
    return found


def _is_own(landmarks: Any) -> bool:
    """Whether JSON's landmarks are ours: numbers (or nothing at all), not objects with names."""
    entry = landmarks
    while isinstance(entry, list) and entry:
        entry = next((inner for inner in entry if inner is not None), 0.0)
    return isinstance(entry, int | float)


def _rows(rows: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of JSON's lists, NaN where there is null, also for a whole row of this shape."""
    nothing = np.full(shape, np.nan).tolist()
    if isinstance(rows, list) and shape:
        rows = [nothing if row is None else row for row in rows]
    array = np.array(rows)
    return np.array(rows, np.float64) if array.dtype == object else array


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
    fps, aspect = poses["fps"], poses["aspect"]
    beats = np.array([]) if poses.get("beats") is None else poses["beats"]
    frames = np.round(beats * fps).astype(int)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time", "aspect", "beat", *(column[3] for column in columns)])
        for t in range(len(poses["landmarks"])):
            # The column 'beat' holds the exact time of a beat nearest to this frame.
            beat = " ".join(repr(float(time)) for time in beats[frames == t])
            row = [t, repr(t / fps), repr(aspect), beat]
            for field, landmark, axis, _ in columns:
                value = poses[field][t, landmark]
                row.append(str(value if axis is None else value[axis]))
            writer.writerow(row)


def _read_csv(path: Path) -> Poses:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        rows = [row for row in reader if row]
    if not rows:
        raise DancingError("it has no rows")
    if any(len(row) != len(names) for row in rows):
        raise DancingError("its rows are not all as long as the first one, which names the columns")
    place = {name: number for number, name in enumerate(names)}

    def column(name: str) -> list[float]:
        return [float(row[place[name]] or "nan") for row in rows]

    found: dict[str, Any] = {}
    fields = {name: (field, i, axis) for field, i, axis, name in _csv_columns()}
    if not any(name in place for name in fields):
        fields = _foreign_columns(names)
    for field, shape in (
        ("landmarks", (N_LANDMARKS, 2)), ("visibility", (N_LANDMARKS,)), ("world", (N_LANDMARKS, 3))
    ):  # fmt: skip
        wanted = {name: key for name, key in fields.items() if key[0] == field}
        if field != "landmarks" and not any(name in place for name in wanted):
            continue
        lacking = next((name for name in wanted if name not in place), None)
        if lacking is not None or len(wanted) < math.prod(shape):
            named = f"no column '{lacking}'" if lacking else "no columns of all 33 landmarks"
            raise DancingError(f"it has {named}")
        found[field] = np.empty((len(rows), *shape))
        for name, (_, landmark, axis) in wanted.items():
            where = (landmark,) if axis is None else (landmark, axis)
            found[field][(slice(None), *where)] = column(name)
    if "time" in place and len(rows) > 1:
        time = np.array(column("time"))
        if not (np.diff(time) > 0).all():
            raise DancingError("its column 'time' does not rise")
        found["fps"] = round((len(time) - 1) / (time[-1] - time[0]), 6)
    for name in ("aspect", *_SIZE):
        if name in place:
            found[name] = column(name)[0]
    if "beat" in place:
        found["beats"] = np.array([float(t) for row in rows for t in row[place["beat"]].split()])
    return found


def _foreign_columns(names: list[str]) -> dict[str, tuple[str, int, int | None]]:
    """(field, landmark, axis) of the columns of another tool's file, by name."""
    columns: dict[str, tuple[str, int, int | None]] = {}
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
