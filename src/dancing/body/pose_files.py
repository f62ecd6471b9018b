"""Pose files: .npz, .json and .csv, to and from named arrays."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import LANDMARKS
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.rows import Rows, stretches

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
    OverflowError,
    RecursionError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)
_OPTIONAL = ("visibility", "world", "beats")
_SCALARS = ("fps", "aspect")
SUFFIXES = (".npz", ".json", ".csv")

Poses = dict[str, Any]
"""Arrays 'landmarks', 'visibility', 'world', 'beats', and numbers 'fps' and 'aspect', by name, as
the attributes of `PoseSequence`; only 'landmarks' must be there. World landmarks to be written may
be `Rows`."""


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

    Raises:
        DancingError: when the file is missing or is not a pose file.
    """
    if not path.is_file():
        raise DancingError(f"{path}: no such pose file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DancingError(f"{path}: not a pose file (.npz, .json or .csv)")
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
    with np.load(path, allow_pickle=False) as file:
        if not hasattr(file, "files") or "landmarks" not in file.files:
            raise DancingError("it has no array named 'landmarks'")
        found: dict[str, Any] = {"landmarks": file["landmarks"]}
        found |= {name: float(file[name]) for name in _SCALARS if name in file.files}
        found |= {name: file[name] for name in _OPTIONAL if name in file.files}
        if "world" not in found and "world3d" in file.files:  # as renderers and others name it
            found["world"] = file["world3d"]
    return found


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
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or "landmarks" not in values:
        raise DancingError("it has no entry 'landmarks'")
    found: dict[str, Any] = {"landmarks": np.array(values["landmarks"], np.float32)}
    found |= {name: values[name] for name in _SCALARS if name in values}
    found |= {name: np.array(values[name]) for name in _OPTIONAL if values.get(name) is not None}
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
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise DancingError("it has no rows")

    def column(name: str) -> list[float]:
        if rows[0].get(name) is None:
            raise DancingError(f"it has no column '{name}'")
        return [float(row[name]) for row in rows]

    found: dict[str, Any] = {}
    for field, shape in (("landmarks", (33, 2)), ("visibility", (33,)), ("world", (33, 3))):
        names = [name for kind, _, _, name in _csv_columns() if kind == field]
        if field == "landmarks" or names[0] in rows[0]:
            found[field] = np.array([column(name) for name in names]).T.reshape(-1, *shape)
    if "time" in rows[0] and len(rows) > 1:
        time = np.array(column("time"))
        if not (np.diff(time) > 0).all():
            raise DancingError("its column 'time' does not rise")
        found["fps"] = round((len(time) - 1) / (time[-1] - time[0]), 6)
    if "aspect" in rows[0]:
        found["aspect"] = column("aspect")[0]
    if "beat" in rows[0]:
        found["beats"] = np.array([float(t) for row in rows for t in row["beat"].split()])
    return found


def _optional(poses: Poses) -> dict[str, NDArray[Any]]:
    return {name: poses[name] for name in _OPTIONAL if poses.get(name) is not None}


_WRITERS = {".npz": _write_npz, ".json": _write_json, ".csv": _write_csv}
_READERS = {".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}
