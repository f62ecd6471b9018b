"""Poses over time: `PoseSequence`, and the body frame that metrics and models use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body import pose_files
from dancing.body.repair import repaired
from dancing.body.skeleton import HIPS, N_LANDMARKS, SHOULDERS
from dancing.errors import DancingError
from dancing.listener import Listener

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.rows import Rows

LONGEST = 6 * 3600.0  # seconds of a pose file
# No body is so far from its picture, in sizes of it, nor has so many metres.
_FARTHEST = 1000.0


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
        _check_near("landmarks", landmarks)
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
                _check_near(name, value)
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

    def in_aspect(self, aspect: float) -> PoseSequence:
        """The same poses in a frame of another shape, as high as before, with the same middle.

        Args:
            aspect: width over height of that frame.
        """
        if aspect == self.aspect:
            return self
        landmarks = self.landmarks.copy()
        landmarks[..., 0] = (landmarks[..., 0] - 0.5) * (self.aspect / aspect) + 0.5
        return replace(self, landmarks=landmarks, aspect=aspect)

    def save(self, path: str | Path, world: Rows | None = None) -> None:
        """Write a pose file; the suffix (.npz, .json or .csv) chooses the format.

        Args:
            world: world landmarks, where they are no part of the poses; see `Choreographer`.

        Raises:
            DancingError: for another suffix, or when the file cannot be written.
        """
        fields = ("landmarks", "fps", "visibility", "world", "beats", "aspect")
        values = {name: getattr(self, name) for name in fields}
        pose_files.write(Path(path), values | ({"world": world} if world else {}))

    @classmethod
    def load(
        cls,
        path: str | Path,
        listener: Listener | None = None,
        size: tuple[float, float] | None = None,
    ) -> PoseSequence:
        """Read a pose file (.npz, .json or .csv), or one of another tool.

        Short gaps are filled, and pixels become fractions; see `dancing.body.repair`.

        Args:
            path: the file, or a folder of OpenPose's files.
            listener: told of what was repaired.
            size: width and height in pixels of the picture, if known, for landmarks in pixels.

        Raises:
            DancingError: when the file is missing, is not a pose file, or is longer than six hours.
        """
        values = pose_files.read(Path(path))
        try:
            with np.errstate(all="ignore"):  # absurd numbers are refused below
                values, notes = repaired(values, size)
                poses = cls(**values)
            if poses.duration > LONGEST:
                raise DancingError(
                    f"it holds {poses.duration / 3600:.1f} h of poses, at most "
                    f"{LONGEST / 3600:g} h are taken; is its fps right?"
                )
            for note in notes:
                (listener or Listener()).note(f"{path}: {note}")
            return poses
        except DancingError as error:
            raise DancingError(f"{path}: {error}") from error
        except pose_files.UNREADABLE as error:
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
    torso = points[:, SHOULDERS].mean(1) - points[:, HIPS].mean(1)
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
    return (points - points[0, HIPS].mean(0)) / length


@dataclass(frozen=True)
class Placement:
    """Where a dancer stands in a frame.

    Attributes:
        x, y: of the mid-hip, as fractions of width and height.
        torso: its length, as a fraction of the height.
        aspect: width over height of the frame.
        floor: height of the lowest landmark from the top, as a fraction; None where not known.

    Raises:
        ValueError: for a torso without length, or an absurd aspect.
    """

    x: float
    y: float
    torso: float
    aspect: float
    floor: float | None = None

    def __post_init__(self) -> None:
        if not (self.torso > 0 and 0.05 <= self.aspect <= 20):
            raise ValueError("placement")

    def in_frame(self, body: NDArray[np.float64]) -> NDArray[np.float64]:
        """Landmarks (..., 2) in torso lengths from the mid-hip as fractions of the frame."""
        return body * self._scale() + [self.x, self.y]

    def from_frame(self, landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The inverse of `in_frame`."""
        return (landmarks - np.array([self.x, self.y])) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.torso / self.aspect, self.torso])


def _check_near(name: str, values: NDArray[np.float32]) -> None:
    if np.abs(values).max() > _FARTHEST:
        raise DancingError(f"{name} hold values up to {np.abs(values).max():.3g}, which are absurd")


def _finite(name: str, value: Any, dtype: type) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DancingError(f"{name} are not numbers but {array.dtype}")
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.size and not np.isfinite([array.min(), array.max()]).all():
        raise DancingError(f"{name} hold values that are not finite (NaN or infinity)")
    return array
