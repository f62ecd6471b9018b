"""Body poses: the 33 landmarks, their bones, the body frame, pose files and the skeleton drawing.

Landmark order and names are those of MediaPipe Pose
(https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker).
"""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.errors import DancingError
from dancing.files import write_then_rename

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANDMARKS = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
N_LANDMARKS = len(LANDMARKS)

BONES = (
    (0, 1), (1, 2), (2, 3), (3, 7),
    (0, 4), (4, 5), (5, 6), (6, 8),
    (9, 10),
    (11, 12), (11, 23), (12, 24), (23, 24),
    (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19),
    (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20),
    (23, 25), (25, 27), (27, 29), (27, 31), (29, 31),
    (24, 26), (26, 28), (28, 30), (28, 32), (30, 32),
)  # fmt: skip
"""Pairs of landmark indices joined by a line: MediaPipe's pose connections."""


def _mirror_index(name: str) -> int:
    swapped = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
    return LANDMARKS.index(swapped)


MIRROR = tuple(_mirror_index(name) for name in LANDMARKS)
"""MIRROR[i] is the landmark that i becomes when the picture is flipped left to right."""

_SIDE_COLOURS = {"left": (255, 138, 60), "right": (70, 170, 255), "middle": (235, 235, 235)}
_UNREADABLE = (
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


@dataclass(frozen=True)
class PoseSequence:
    """Poses of one person over time.

    Attributes:
        landmarks: (T, 33, 2) float32, x right and y down, in [0, 1] of the picture's width and
            height; values outside are legal.
        fps: frames a second, 1 to 1000.
        visibility: (T, 33) float32 in [0, 1], or None.
        world: (T, 33, 3) float32 metres, hip-centred, or None.
        beats: (B,) float64 seconds, or None.
        aspect: width over height of the picture that the landmarks are fractions of.

    Raises:
        DancingError: on shapes that do not fit, no frames, or values that are not finite.
    """

    landmarks: NDArray[np.float32]
    fps: float = 30.0
    visibility: NDArray[np.float32] | None = None
    world: NDArray[np.float32] | None = None
    beats: NDArray[np.float64] | None = None
    aspect: float = 9 / 16

    def __post_init__(self) -> None:
        landmarks = _finite("landmarks", self.landmarks, np.float32)
        if landmarks.shape == (N_LANDMARKS, 2):
            landmarks = landmarks[None]
        if landmarks.ndim != 3 or landmarks.shape[1:] != (N_LANDMARKS, 2) or not len(landmarks):
            raise DancingError(
                f"landmarks have shape {landmarks.shape}, but (T, 33, 2) with T >= 1 is needed"
            )
        object.__setattr__(self, "landmarks", landmarks)
        fps = float(self.fps)
        if not (np.isfinite(fps) and 1 <= fps <= 1000):
            raise DancingError(f"fps is {self.fps}, but a number between 1 and 1000 is needed")
        object.__setattr__(self, "fps", fps)
        aspect = float(self.aspect)
        if not (np.isfinite(aspect) and 0.05 <= aspect <= 20):
            raise DancingError(f"aspect is {self.aspect}, but width / height is needed")
        object.__setattr__(self, "aspect", aspect)
        frames = len(landmarks)
        for name, shape in (("visibility", (frames, 33)), ("world", (frames, 33, 3))):
            value = getattr(self, name)
            if value is not None:
                value = _finite(name, value, np.float32)
                if value.shape != shape:
                    raise DancingError(f"{name} has shape {value.shape}, but {shape} is needed")
                object.__setattr__(self, name, value)
        if self.beats is not None:
            object.__setattr__(self, "beats", _finite("beats", self.beats, np.float64).ravel())

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, frames: slice) -> PoseSequence:
        """A stretch of the movement, given as a slice of frames with step 1."""
        first, last, _ = frames.indices(len(self))
        beats = self.beats
        if beats is not None:
            inside = (beats >= first / self.fps) & (beats < last / self.fps)
            beats = beats[inside] - first / self.fps
        return replace(
            self,
            landmarks=self.landmarks[first:last],
            visibility=None if self.visibility is None else self.visibility[first:last],
            world=None if self.world is None else self.world[first:last],
            beats=beats,
        )

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def resampled(self, fps: float, frames: int | None = None) -> PoseSequence:
        """The same movement at another frame rate, by linear interpolation over time.

        Args:
            fps: the new rate.
            frames: how many frames to return; the last pose is held where the movement is
                shorter. Default: as many as the duration holds.
        """
        if frames is None:
            frames = max(1, round(self.duration * fps))
        if fps == self.fps and frames == len(self):
            return self
        at = np.arange(frames) / fps * self.fps

        return replace(
            self,
            landmarks=interpolate(self.landmarks, at),
            fps=fps,
            visibility=None if self.visibility is None else interpolate(self.visibility, at),
            world=None if self.world is None else interpolate(self.world, at),
        )

    def mirrored(self) -> PoseSequence:
        """The dance as a mirror shows it: x flipped, left and right landmarks exchanged."""
        mirror = list(MIRROR)
        world = (
            None if self.world is None else self.world[:, mirror] * np.array([-1, 1, 1], np.float32)
        )
        return replace(
            self,
            landmarks=self.landmarks[:, mirror] * np.array([-1, 1], np.float32)
            + np.array([1, 0], np.float32),
            visibility=None if self.visibility is None else self.visibility[:, mirror],
            world=world,
        )

    def save(self, path: str | Path) -> None:
        """Write a pose file; the suffix (.npz, .json or .csv) chooses the format.

        Raises:
            DancingError: for another suffix, or when the file cannot be written.
        """
        path = Path(path)
        writer = {".npz": _write_npz, ".json": _write_json, ".csv": _write_csv}.get(
            path.suffix.lower()
        )
        if writer is None:
            raise DancingError(f"{path}: poses are written as .npz, .json or .csv")
        with write_then_rename(path) as temporary:
            writer(self, temporary)

    @classmethod
    def load(cls, path: str | Path) -> PoseSequence:
        """Read a pose file (.npz, .json or .csv).

        Raises:
            DancingError: when the file is missing or is not a pose file.
        """
        path = Path(path)
        if not path.is_file():
            raise DancingError(f"{path}: no such pose file")
        reader = {".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}.get(
            path.suffix.lower()
        )
        if reader is None:
            raise DancingError(f"{path}: not a pose file (.npz, .json or .csv)")
        try:
            return cls(**reader(path))
        except DancingError as error:
            raise DancingError(f"{path}: {error}") from error
        except _UNREADABLE as error:
            raise DancingError(f"{path}: cannot be read as a pose file ({error})") from error


def interpolate(values: NDArray[Any], at: NDArray[np.float64]) -> NDArray[Any]:
    """Values of an array (T, ...) at fractional row positions, held at both ends."""
    at = np.clip(at, 0, len(values) - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, len(values) - 1)
    weight = (at - low).astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - weight) + values[high] * weight


def torso_length(landmarks: NDArray[np.floating[Any]], aspect: float = 1.0) -> float:
    """Median over time of the distance from mid-shoulder to mid-hip, in picture heights."""
    points = np.asarray(landmarks, np.float64) * [aspect, 1.0]
    torso = points[:, [11, 12]].mean(1) - points[:, [23, 24]].mean(1)
    return float(np.median(np.hypot(torso[:, 0], torso[:, 1])))


def body_frame(landmarks: NDArray[np.floating[Any]], aspect: float = 1.0) -> NDArray[np.float64]:
    """Landmarks free of the picture: in torso lengths, from the first frame's mid-hip.

    Only the first frame is centred, so the path through the room is kept.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture's width and height.
        aspect: width over height of that picture.

    Returns:
        (T, 33, 2) float64, x right and y down.

    Raises:
        ValueError: when the torso has no length.
    """
    length = torso_length(landmarks, aspect)
    if not length > 0:
        raise ValueError("the torso (landmarks 11, 12, 23, 24) has no length")
    points = np.asarray(landmarks, np.float64) * [aspect, 1.0]
    return (points - points[0, [23, 24]].mean(0)) / length


def draw_skeleton(
    canvas: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]],
    visibility: NDArray[np.floating[Any]] | None = None,
) -> None:
    """Draw one pose into a picture, in place: left side orange, right side blue.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        landmarks: (33, 2) in [0, 1] of the canvas.
        visibility: (33,) in [0, 1]; a bone fades with the less visible of its ends.
    """
    height, width = canvas.shape[:2]
    points = np.asarray(landmarks, np.float64) * [width, height]
    radius = max(1.0, height / 160)
    for a, b in BONES:
        seen = 1.0 if visibility is None else float(min(visibility[a], visibility[b]))
        # The face is small: full-width lines would fill it.
        thickness = radius * (0.5 if b <= 10 else 1.0)
        _draw_capsule(
            canvas, points[a], points[b], thickness, _bone_colour(a, b), 0.25 + 0.75 * seen
        )


def _bone_colour(a: int, b: int) -> tuple[int, int, int]:
    sides = {LANDMARKS[i].split("_")[0] if "_" in LANDMARKS[i] else "middle" for i in (a, b)}
    side = sides.pop() if len(sides) == 1 else "middle"
    return _SIDE_COLOURS.get(side, _SIDE_COLOURS["middle"])


def _draw_capsule(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    colour: tuple[int, int, int],
    opacity: float,
) -> None:
    """An anti-aliased thick line with round ends; only its bounding box is touched."""
    height, width = canvas.shape[:2]
    low = np.floor(np.minimum(start, end) - radius - 1)
    high = np.ceil(np.maximum(start, end) + radius + 2)
    x0, y0 = np.clip(low, 0, [width, height]).astype(int)
    x1, y1 = np.clip(high, 0, [width, height]).astype(int)
    if x0 >= x1 or y0 >= y1:
        return
    x = np.arange(x0, x1) + 0.5 - start[0]
    y = np.arange(y0, y1)[:, None] + 0.5 - start[1]
    dx, dy = end - start
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
    distance = np.hypot(x - along * dx, y - along * dy)
    alpha = (np.clip(radius + 0.5 - distance, 0, 1) * opacity)[..., None]
    box = canvas[y0:y1, x0:x1]
    box[:] = (box * (1 - alpha) + np.array(colour) * alpha + 0.5).astype(np.uint8)


def _finite(name: str, value: Any, dtype: type) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DancingError(f"{name} are not numbers but {array.dtype}")
    array = np.ascontiguousarray(array, dtype=dtype)
    if not np.isfinite(array).all():
        raise DancingError(f"{name} hold values that are not finite (NaN or infinity)")
    return array


def _optional(poses: PoseSequence) -> dict[str, NDArray[Any]]:
    named = {name: getattr(poses, name) for name in _OPTIONAL}
    return {name: value for name, value in named.items() if value is not None}


def _write_npz(poses: PoseSequence, path: Path) -> None:
    arrays: dict[str, Any] = {
        "landmarks": poses.landmarks,
        **{name: np.float64(getattr(poses, name)) for name in _SCALARS},
        **_optional(poses),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        if not hasattr(file, "files") or "landmarks" not in file.files:
            raise DancingError("it has no array named 'landmarks'")
        found: dict[str, Any] = {"landmarks": file["landmarks"]}
        found |= {name: float(file[name]) for name in _SCALARS if name in file.files}
        found |= {name: file[name] for name in _OPTIONAL if name in file.files}
        if "world" not in found and "world3d" in file.files:  # as renderers and others name it
            found["world"] = file["world3d"]
    return found


def _write_json(poses: PoseSequence, path: Path) -> None:
    values = {
        **{name: getattr(poses, name) for name in _SCALARS},
        "landmark_names": LANDMARKS,
        "landmarks": poses.landmarks.tolist(),
        **{name: value.tolist() for name, value in _optional(poses).items()},
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
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


def _write_csv(poses: PoseSequence, path: Path) -> None:
    columns = [column for column in _csv_columns() if getattr(poses, column[0]) is not None]
    beats = np.array([]) if poses.beats is None else poses.beats
    frames = np.round(beats * poses.fps).astype(int)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time", "aspect", "beat", *(column[3] for column in columns)])
        for t in range(len(poses)):
            # The column 'beat' holds the exact time of a beat nearest to this frame.
            beat = " ".join(repr(float(time)) for time in beats[frames == t])
            row = [t, repr(t / poses.fps), repr(poses.aspect), beat]
            for field, landmark, axis, _ in columns:
                value = getattr(poses, field)[t, landmark]
                row.append(str(value if axis is None else value[axis]))
            writer.writerow(row)


def _read_csv(path: Path) -> dict[str, Any]:
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
