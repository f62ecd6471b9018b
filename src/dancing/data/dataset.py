"""The dataset file: clips of music features, poses and pictures in HDF5, one group a clip.

A dataset file is data, not trust: opening one checks every clip before anything is used.
docs/data.md describes the layout.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from dancing.body.pose_files import SUFFIXES as POSE_SUFFIXES
from dancing.body.poses import PoseSequence, interpolate
from dancing.body.skeleton import N_LANDMARKS
from dancing.errors import DancingError
from dancing.files import MEDIA_SUFFIXES, write_then_rename

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

SUFFIXES = (".h5", ".hdf5")
HELD_OUT_FRACTION = 0.1

_POSE_KEYS = ("pose_landmark_sequences", "pose_landmarks")
_FILE_SUFFIXES = {*MEDIA_SUFFIXES, *POSE_SUFFIXES, *SUFFIXES}
_MAX_FRAMES = 30 * 3600 * 24
_MAX_SIDE = 8192
_MAX_CHUNK = _MAX_SIDE**2 * 3  # bytes
_MAX_EMPTY = 10_000_000  # bytes of numbers that a file may hold without the room that they take
_MAX_RATIO = 1000  # gzip packs zeros about 1000 to 1
_GZIP_LEVEL = 1  # readable by plain h5py, and fast enough to keep up with a video
_RANGES = {  # of the attributes that are numbers
    "fps": (1, 1000),
    "aspect": (0.05, 20),
    "sample_rate": (1, 1e7),
    "hop_length": (1, 1e7),
    "start": (0, 1e9),
}


class Clip:
    """One clip of an open dataset. Pictures stay on disk and are read frame by frame.

    Attributes:
        name: the group's name.
        landmarks: (T, 33, 2) float32 in [0, 1] of the picture.
        fps: pose frames a second.
        visibility: (T, 33) float32, or None.
        world: (T, 33, 3) float32 metres, hip-centred, or None.
        beats: (B,) float64 seconds, or None.
        downbeats: (D,) float64 seconds, the beats that begin a bar, or None.
        mfcc: (T_a, n_mfcc) float32 as stored, or None for a clip without sound.
        frames: `StoredFrames` (T, H, W, 3) uint8 RGB, or None.
        matte: `StoredFrames` (T, H, W) uint8, or None.
        attributes: the group's attributes.
    """

    def __init__(self, name: str, group: h5py.Group) -> None:
        self.name = name
        self._group = group
        _check_links(name, group)
        pose_key = next((key for key in _POSE_KEYS if key in group), None)
        if pose_key is None:
            raise DancingError(f"clip '{name}' has no '{_POSE_KEYS[0]}'")
        self.landmarks = _numbers(
            name, group[pose_key], (None, N_LANDMARKS, 2), np.float32, single=True
        )
        frames = len(self.landmarks)
        self.attributes = {key: _plain(value) for key, value in group.attrs.items()}
        self._check_attributes()
        self.fps = float(self.attributes.get("fps", 30.0))
        self.visibility = self._optional("pose_visibility", (frames, N_LANDMARKS), np.float32)
        self.world = self._optional("pose_world_landmarks", (frames, N_LANDMARKS, 3), np.float32)
        self.beats = self._optional("beats", (None,), np.float64)
        self.downbeats = self._optional("downbeats", (None,), np.float64)
        mfcc = self._optional("audio_mfcc_sequences", (None, None), np.float32)
        self.mfcc = mfcc if mfcc is not None and len(mfcc) else None
        self.frames = self._picture("frames", 4)
        self.matte = self._picture("matte", 3)
        if self.matte is not None and (
            self.frames is None or self.matte.shape != self.frames.shape[:3]
        ):
            raise DancingError(f"clip '{name}': 'matte' does not fit 'frames'")

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def duration(self) -> float:
        """Length of the movement in seconds."""
        return len(self) / self.fps

    @property
    def source(self) -> str:
        """Name of the file that the clip was cut from; the clip's name if none is stored."""
        return str(self.attributes.get("source") or self.name)

    @property
    def split_key(self) -> str:
        """What decides on which side of a split the clip lies: the song if known, else the source.

        Clips of one source may differ in whether their song is known, so a split has to look at
        `origins` too.
        """
        return str(self.attributes.get("song") or self.source)

    @property
    def origins(self) -> frozenset[str]:
        """Hashes of song and source: clips that share one must not lie on both sides."""
        stored = {str(self.attributes.get(key) or "") for key in ("song", "source")} - {""}
        return frozenset(map(source_hash, stored or {self.name}))

    @property
    def genre(self) -> str:
        """Genre of the dance, such as 'house'; empty where unknown."""
        return str(self.attributes.get("genre") or "")

    @property
    def held_out(self) -> bool:
        """Whether training leaves this clip out; see `is_held_out`."""
        return is_held_out(self.split_key)

    @property
    def aspect(self) -> float:
        """Width over height of the picture that the landmarks are fractions of."""
        if self.frames is not None:
            return self.frames.shape[2] / self.frames.shape[1]
        return float(self.attributes.get("aspect", 9 / 16))

    @property
    def poses(self) -> PoseSequence:
        """The clip's movement."""
        return PoseSequence(
            self.landmarks, self.fps, self.visibility, self.world, self.beats, self.aspect
        )

    @property
    def n_pictures(self) -> int:
        """Number of frames that have both a picture and a pose."""
        return 0 if self.frames is None else min(len(self.frames), len(self))

    def features_at_poses(self) -> NDArray[np.float32] | None:
        """MFCC resampled by time to one row per pose: (T, n_mfcc) float32, or None.

        The rows lie hop_length / sample_rate apart where the file says so; otherwise they are
        spread evenly over the clip.
        """
        if self.mfcc is None:
            return None
        pose_times = np.arange(len(self)) / self.fps
        sample_rate, hop_length = (self.attributes.get(k) for k in ("sample_rate", "hop_length"))
        if sample_rate and hop_length:
            rows_a_second = float(sample_rate) / float(hop_length)
        else:
            rows_a_second = len(self.mfcc) / self.duration
        return interpolate(self.mfcc, pose_times * rows_a_second)

    def _check_attributes(self) -> None:
        for key, (low, high) in _RANGES.items():
            value = self.attributes.get(key, low)
            number = isinstance(value, int | float)
            if not number or not low <= value <= high:
                raise DancingError(
                    f"clip '{self.name}': attribute '{key}' is "
                    f"{value if number else type(value).__name__}, "
                    f"but a number between {low:g} and {high:g} is needed"
                )
        for key in ("song", "source", "genre"):
            value = self.attributes.get(key, "")
            if not isinstance(value, str | int | float):
                raise DancingError(
                    f"clip '{self.name}': attribute '{key}' is {type(value).__name__}, "
                    "but text is needed"
                )

    def _optional(
        self, key: str, shape: tuple[int | None, ...], dtype: type
    ) -> NDArray[Any] | None:
        if key not in self._group:
            return None
        return _numbers(self.name, self._group[key], shape, dtype)

    def _picture(self, key: str, ndim: int) -> StoredFrames | None:
        if key not in self._group:
            return None
        data = self._group[key]
        if not isinstance(data, h5py.Dataset):
            raise DancingError(f"clip '{self.name}': '{key}' is no array")
        if data.dtype != np.uint8 or data.ndim != ndim or (ndim == 4 and data.shape[3] != 3):
            expected = "(T, H, W, 3)" if ndim == 4 else "(T, H, W)"
            raise DancingError(
                f"clip '{self.name}': '{key}' is {data.dtype} {data.shape}, "
                f"but {expected} uint8 is needed"
            )
        frames, height, width = data.shape[:3]
        low, high = _RANGES["aspect"]
        if not (
            0 < frames <= _MAX_FRAMES
            and all(0 < n <= _MAX_SIDE for n in (height, width))
            and low <= width / height <= high
        ):
            raise DancingError(f"clip '{self.name}': '{key}' has an absurd shape {data.shape}")
        if math.prod(data.chunks or ()) > _MAX_CHUNK:  # all of one is unpacked for each picture
            raise DancingError(
                f"clip '{self.name}': '{key}' is stored in chunks of {data.chunks}, which are too "
                "large: store one chunk a frame"
            )
        return StoredFrames(data)


class StoredFrames:
    """Frames that stay in the file: an index or a slice reads them.

    Attributes:
        shape: (T, H, W) or (T, H, W, 3); the values are uint8.
    """

    def __init__(self, data: h5py.Dataset) -> None:
        self._data = data
        self.shape: tuple[int, ...] = data.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: int | slice | np.integer[Any]) -> NDArray[np.uint8]:
        """The frame, or (T, ...) frames.

        Raises:
            DancingError: when the file is damaged there.
        """
        try:
            return self._data[frames]
        except (OSError, RuntimeError) as error:
            raise DancingError(
                f"{self._data.file.filename}: '{self._data.name}' is damaged at frame {frames}"
            ) from error

    def packed(self, frame: int) -> Packed:
        """A frame as the file stores it, compressed."""
        shape = self.shape[1:]
        return Packed(shape, self._data.id.read_direct_chunk((frame, *[0] * len(shape)))[1])


class Dataset:
    """An open dataset file: a sequence of `Clip`. Use as a context manager.

    Raises:
        DancingError: when the file is missing, is not HDF5, or any clip is not as the layout
            says (links, virtual or external data, wrong types or shapes, values not finite).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DancingError(f"{path}: no such dataset file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            if error.errno == errno.EAGAIN:
                why = "is being written by another program; wait until it has ended"
            elif error.errno is not None:
                why = f"cannot be opened ({os.strerror(error.errno)})"
            else:
                why = "not an HDF5 file, or cut short"
            raise DancingError(f"{path}: {why}") from error
        try:
            self.clips = _read_clips(self._file)
        except DancingError as error:
            self._file.close()
            raise DancingError(f"{path}: {error}") from error
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            self._file.close()
            raise DancingError(f"{path}: cannot be read ({error})") from error

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; pictures of its clips can no longer be read."""
        self._file.close()


class Packed(NamedTuple):
    """A picture compressed as the file stores it: work that may be done ahead, in a thread."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, picture: NDArray[np.uint8]) -> Packed:
        """Compress one picture."""
        return cls(picture.shape, zlib.compress(np.ascontiguousarray(picture).data, _GZIP_LEVEL))


class _Recording(io.FileIO):
    """A file that keeps its error for `check`: HDF5 crashes when a write fails as it closes."""

    _error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        while left and self._error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def check(self) -> None:
        if self._error is not None:
            raise OSError(*self._error.args)


class DatasetWriter:
    """Write a dataset file clip by clip, in bounded memory. Use as a context manager.

    The file appears under its name only when the block ends without an error.

    Raises:
        DancingError: when the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __enter__(self) -> DatasetWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(write_then_rename(self._path))
            self._raw = _Recording(temporary, "w+")
            stack.callback(self._raw.check)  # after both are closed, before it is renamed
            stack.enter_context(self._raw)
            self._file = stack.enter_context(h5py.File(self._raw, "w"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def clip(
        self,
        name: str,
        poses: PoseSequence,
        *,
        mfcc: NDArray[np.float32] | None = None,
        downbeats: NDArray[np.float64] | None = None,
        frames: Iterator[NDArray[np.uint8] | Packed] | None = None,
        mattes: Iterator[NDArray[np.uint8] | Packed] | None = None,
        **attributes: str | float | int,
    ) -> None:
        """Write one clip.

        Args:
            name: the group's name; made unique by a number if taken.
            poses: the movement; its beats, visibility and world landmarks are kept.
            mfcc: (T_a, n_mfcc) float32; None for a clip without sound.
            downbeats: (D,) seconds, the beats that begin a bar, where known.
            frames: T pictures (H, W, 3) uint8, taken one by one.
            mattes: T mattes (H, W) uint8, taken one by one.
            attributes: further attributes, such as source, song, sample_rate, hop_length.

        Raises:
            ValueError: when there are more or fewer than T pictures, or their sizes differ.
        """
        unique, number = name, 1
        while unique in self._file:
            number += 1
            unique = f"{name}_{number}"
        group = self._file.create_group(unique)
        group["pose_landmark_sequences"] = poses.landmarks
        group["audio_mfcc_sequences"] = (
            np.zeros((0, 13), np.float32) if mfcc is None else np.asarray(mfcc, np.float32)
        )
        for key, value in (
            ("pose_visibility", poses.visibility),
            ("pose_world_landmarks", poses.world),
            ("beats", poses.beats),
            ("downbeats", downbeats),
        ):
            if value is not None:
                group[key] = value
        group.attrs.update(
            {"fps": poses.fps, "aspect": poses.aspect, "duration": poses.duration} | attributes
        )
        if mfcc is not None:
            group.attrs["n_mfcc"] = mfcc.shape[1]
        if frames is not None:
            self._stream(group, "frames", frames, len(poses))
        if mattes is not None:
            self._stream(group, "matte", mattes, len(poses))
        self._raw.check()

    def _stream(
        self,
        group: h5py.Group,
        key: str,
        pictures: Iterator[NDArray[np.uint8] | Packed],
        count: int,
    ) -> None:
        data, given = None, 0
        for given, picture in enumerate(pictures, 1):
            if data is None:
                data = group.create_dataset(
                    key,
                    (count, *picture.shape),
                    np.uint8,
                    chunks=(1, *picture.shape),
                    compression="gzip",
                    compression_opts=_GZIP_LEVEL,
                    shuffle=False,
                )
            if given > count:
                break
            if picture.shape != data.shape[1:]:
                raise ValueError(f"'{key}': {picture.shape} follows {data.shape[1:]}")
            if isinstance(picture, Packed):
                data.id.write_direct_chunk((given - 1, *[0] * len(picture.shape)), picture.data)
            else:
                data[given - 1] = picture
            self._raw.check()
        if given != count:
            less = "fewer" if given < count else "more"
            raise ValueError(f"'{key}': {less} pictures than the {count} poses")


def source_hash(key: str) -> str:
    """Hash of the name of a song or source: what training stores to tell later what it has seen.

    Folders, upper case and the suffix of a known file type are left out, so that `Music/Song.MP3`,
    `song.wav` and a video `song.mp4` are one.
    """
    name = unicodedata.normalize("NFKC", key).strip().casefold().rstrip("/\\")
    name = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = name.rpartition(".")
    if stem and dot + suffix in _FILE_SUFFIXES:
        name = stem
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


def content_hash(clips: Iterable[Clip]) -> str:
    """SHA-256 of the movement, music and names of clips, and of the shapes of their pictures.

    Of the pictures themselves only the first of each clip counts, so that it takes no time.
    """
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.name} {clip.source} {clip.fps}".encode(errors="surrogatepass"))
        for values in (clip.landmarks, clip.world, clip.mfcc, clip.beats):
            digest.update(b"-" if values is None else values.tobytes())
        if clip.frames is not None:
            digest.update(repr(clip.frames.shape).encode() + clip.frames[0].tobytes())
    return digest.hexdigest()


def is_held_out(key: str) -> bool:
    """Whether clips of this song or source are kept out of training (about one in ten).

    Decided by a hash of the name alone, so that adding data never moves a clip across.
    """
    return int(source_hash(key), 16) < HELD_OUT_FRACTION * 16**16


def _read_clips(file: h5py.File) -> list[Clip]:
    _check_links("/", file)
    clips = []
    if any(key in file for key in _POSE_KEYS):
        clips.append(Clip(Path(file.filename).stem, file))
    else:
        for name in file:
            if isinstance(file[name], h5py.Group):
                clips.append(Clip(name, file[name]))
    if not clips:
        raise DancingError("holds no clips")
    return clips


def _check_links(name: str, group: h5py.Group) -> None:
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise DancingError(f"clip '{name}': '{key}' is a link to elsewhere, refused")
        item = group[key]
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            raise DancingError(f"clip '{name}': '{key}' is stored in another file, refused")


def _numbers(
    name: str, data: Any, shape: tuple[int | None, ...], dtype: type, single: bool = False
) -> NDArray[Any]:
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu":
        kind = data.dtype if isinstance(data, h5py.Dataset) else "no array"
        raise DancingError(f"clip '{name}': '{data.name}' is {kind}, but numbers are needed")
    found = (1, *data.shape) if single and data.ndim == len(shape) - 1 else data.shape
    fits = len(found) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, found, strict=True)
    )
    if not fits or (single and found[0] < 1):
        wanted = tuple("T" if n is None else n for n in shape)
        raise DancingError(
            f"clip '{name}': '{data.name}' has shape {data.shape}, but {wanted} is needed"
        )
    if data.size > _MAX_FRAMES * N_LANDMARKS * 3:
        raise DancingError(f"clip '{name}': '{data.name}' has an absurd shape {data.shape}")
    # A few bytes of a file may ask for gigabytes: never written, or packed.
    size = max(data.size, math.prod(data.chunks or ())) * data.dtype.itemsize
    if size > max(_MAX_EMPTY, _MAX_RATIO * max(data.id.get_storage_size(), 4096)):
        raise DancingError(f"clip '{name}': '{data.name}' is larger than what the file holds")
    values = data.astype(dtype)[()].reshape(found)
    if not np.isfinite(values).all():
        raise DancingError(f"clip '{name}': '{data.name}' holds NaN or infinity")
    return values


def _plain(value: Any) -> Any:
    """An attribute as a Python value: bytes, NumPy scalars and arrays of one unpacked."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value
