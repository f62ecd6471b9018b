"""The clips of one video: where the dancer is in every frame, and the frames that go with it.

A video goes through in one pass: a thread decodes and compresses the frames into a temporary file
while the pose networks look at them; once the person's whole track is known, the wanted frames
are written.
Memory holds landmarks only, so a video may be hours long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import savgol_filter

from dancing.body import pose_files
from dancing.body.poses import PoseSequence, interpolate
from dancing.body.skeleton import TRUNK
from dancing.body.tracks import Tracks
from dancing.data.dataset import DatasetWriter, Packed
from dancing.data.people import Watcher
from dancing.data.report import FileReport
from dancing.errors import DancingError
from dancing.files import VIDEO_SUFFIXES
from dancing.listener import Listener
from dancing.media import FPS
from dancing.media.video import ahead, fitting_width, probe, read_frames, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray


SIZE = 640
SHORTEST_CLIP = FPS  # frames
# Landmarks tremble from frame to frame. A parabola through 7 frames takes most of that away (four
# fifths of the jerk) without delay, and leaves accents as they are.
_SMOOTHING = (7, 2)
_POSITIONS = [0, 1, 3, 4, 5]
_MATTE_NAME = "_alpha"


@dataclass(frozen=True)
class Labels:
    """The files that say what is in a video, so that it need not be estimated.

    Attributes:
        poses: a pose file, or None.
        matte: a video whose grey is the matte, or None.
    """

    poses: Path | None = None
    matte: Path | None = None

    @classmethod
    def of(cls, video: Path, folder: Path | None) -> Labels:
        """The files in a folder that are named like the video."""
        if folder is None:
            return cls()

        # Among what is there: to ask for a name that is too long would be an error.
        there = {file.name for file in folder.iterdir() if file.is_file()}

        def first(stem: str, suffixes: Iterable[str]) -> Path | None:
            names = (f"{stem}{suffix}" for suffix in sorted(suffixes))
            return next((folder / name for name in names if name in there), None)

        return cls(
            first(video.stem, pose_files.SUFFIXES),
            first(video.stem + _MATTE_NAME, VIDEO_SUFFIXES),
        )


def is_label(file: Path, folder: Path) -> bool:
    """Whether a file lies in the folder of labels and is named as one."""
    named = file.suffix.lower() in pose_files.SUFFIXES or file.stem.endswith(_MATTE_NAME)
    return named and file.parent.resolve() == folder.resolve()


def _check_length(labels: Path, found: int, video: Path, frames: int, cut: bool) -> None:
    """Labels of another cut of the video would be wrong throughout, if only by some frames.

    Args:
        cut: only the video's first `frames` are taken; labels may go on.
    """
    if found < frames - 1 or (found > frames + 1 and not cut):
        raise DancingError(
            f"{labels}: has {found} frames at {FPS} a second, but {video.name} has {frames}"
        )


class _Spool:
    """Packed pictures in a temporary file, until it is known which of them are wanted.

    Attributes:
        shape: of a picture.
    """

    def __init__(self, path: Path) -> None:
        self.shape: tuple[int, ...] = ()
        self._path = path
        self._ends = [0]

    def __enter__(self) -> _Spool:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        del self._file  # so that a spool can go from one process to another

    def add(self, picture: NDArray[np.uint8]) -> int:
        """Store a picture; returns its number."""
        self.shape, data = Packed.of(picture)
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        return len(self._ends) - 2

    def read(self, numbers: Iterable[int]) -> Iterator[Packed]:
        """Give pictures back by their numbers."""
        with self._path.open("rb") as file:
            for number in numbers:
                start, end = self._ends[number : number + 2]
                file.seek(start)
                yield Packed(self.shape, file.read(end - start))


def _scaled(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) or (H, W) uint8 made smaller, its aspect kept."""
    return resize(picture, fitting_width(picture.shape[1], picture.shape[0], height), height)


@dataclass(frozen=True)
class PreparedClip:
    """A clip ready to be written; pictures are numbers in a spool."""

    name: str
    poses: PoseSequence
    mfcc: NDArray[np.float32] | None
    downbeats: NDArray[np.float64] | None
    attributes: dict[str, Any]
    frames: tuple[_Spool, Iterable[int]] | None = None
    mattes: tuple[_Spool, Iterable[int]] | None = None

    def write(self, writer: DatasetWriter) -> None:
        writer.clip(
            self.name,
            self.poses,
            mfcc=self.mfcc,
            downbeats=self.downbeats,
            frames=_from_spool(self.frames),
            mattes=_from_spool(self.mattes),
            **self.attributes,
        )


def _from_spool(pictures: tuple[_Spool, Iterable[int]] | None) -> Iterator[Packed] | None:
    return None if pictures is None else pictures[0].read(pictures[1])


@dataclass(frozen=True)
class _Piece:
    """A stretch of a video in which the dancer is known.

    Attributes:
        start: number of its first frame in the video.
        poses: where the dancer is; no beats yet, unless the labels have them.
        mattes: for each frame, the matte's number in the spool.
        interpolated: frames in which the dancer was not seen.
    """

    start: int
    poses: PoseSequence
    mattes: Sequence[int]
    interpolated: int = 0


def clips_of_video(
    path: Path,
    labels: Labels,
    folder: Path,
    size: int,
    seconds: float | None,
    report: FileReport,
    listener: Listener,
) -> list[PreparedClip]:
    info = probe(path)
    most = None if seconds is None else max(1, round(seconds * FPS))
    total = round(info.duration * FPS) or None
    total = total if most is None else min(total or most, most)
    tracks = Tracks()
    count = 0
    with ExitStack() as stack:
        pictures = stack.enter_context(_Spool(folder / "frames"))
        mattes = stack.enter_context(_Spool(folder / "mattes"))
        known = labels.poses is not None and labels.matte is not None
        watcher = None if known else Watcher(stack)

        def decoded() -> Iterator[NDArray[np.uint8]]:
            for picture in islice(read_frames(path, FPS, max(size, SIZE), listener), most):
                pictures.add(_scaled(picture, size))
                yield picture

        for picture in stack.enter_context(closing(ahead(decoded()))):
            if watcher is not None:
                seen = watcher(count, picture)
                people = [
                    (person, 0 if labels.matte else mattes.add(_scaled(person.matte, size)))
                    for person in seen
                ]
                tracks.add(count, people, picture.shape[1] / picture.shape[0])
            count += 1
            listener.progress(path.name, count, total and max(total, count))
        aspect = pictures.shape[1] / pictures.shape[0]
        exact_mattes = None
        if labels.matte is not None:
            exact_mattes = _labelled_mattes(
                labels.matte, path, count, count == most, pictures.shape, mattes
            )
    if total and count < total - FPS // 2:
        listener.note(f"{path}: only {count / FPS:.1f} s of its {total / FPS:.1f} s can be read")
    if labels.poses is None:
        pieces = _seen_pieces(tracks, aspect, path)
        if watcher is not None and watcher.crowded:
            listener.note(f"{path}: several people, the largest was followed")
    else:
        pieces = [
            _labelled_piece(
                PoseSequence.load(labels.poses, listener, (info.width, info.height)),
                labels.poses,
                path,
                count,
                count == most,
                aspect,
                tracks,
                exact_mattes,
            )
        ]
    mfcc, beats, downbeats = _music_of_video(path, info.has_sound, seconds, listener)

    clips: list[PreparedClip] = []
    for piece in pieces:
        start, poses = piece.start, piece.poses
        if poses.beats is None and beats is not None:
            poses = replace(poses, beats=beats_within(beats - start / FPS, poses.duration))
        music = None if mfcc is None or start >= len(mfcc) else mfcc[start : start + len(poses)]
        frames = range(start, start + len(poses))
        shown = piece.mattes if exact_mattes is None else exact_mattes[start : start + len(poses)]
        clips.append(
            PreparedClip(
                path.stem if not clips else f"{path.stem}_{len(clips) + 1}",
                poses,
                music,
                None
                if downbeats is None
                else beats_within(downbeats - start / FPS, poses.duration),
                {"source": path.name, "start": start / FPS}
                | ({} if music is None else feature_constants()),
                (pictures, frames),
                (mattes, shown),
            )
        )
    report.clips = len(clips)
    report.frames = sum(len(piece.poses) for piece in pieces)
    report.interpolated = sum(piece.interpolated for piece in pieces)
    report.seconds_cut = (count - report.frames) / FPS
    report.silent = all(clip.mfcc is None for clip in clips)
    return clips


def _seen_pieces(tracks: Tracks, aspect: float, path: Path) -> list[_Piece]:
    """The dancer as the estimator saw them, with short gaps closed."""
    chosen = [track for track in tracks.dancer() if len(track) >= SHORTEST_CLIP]
    if not chosen:
        enough = " for a second on end" if tracks.tracks else ""
        raise DancingError(f"{path}: nobody can be seen{enough}")
    pieces = []
    for track in chosen:
        start, length = track.frames[0], len(track)
        # Positions among the frames in which the person was seen.
        at = np.interp(np.arange(length), np.array(track.frames) - start, range(len(track.frames)))
        points = interpolate(np.stack(track.points), at)
        points[..., _POSITIONS] = savgol_filter(points[..., _POSITIONS], *_SMOOTHING, axis=0)
        poses = PoseSequence(
            points[..., :2], FPS, points[..., 2], world=points[..., 3:], aspect=aspect
        )
        shown = [track.mattes[i] for i in np.rint(at).astype(int)]
        pieces.append(_Piece(start, poses, shown, length - len(track.frames)))
    return pieces


def _labelled_piece(
    poses: PoseSequence,
    labels: Path,
    path: Path,
    count: int,
    cut: bool,
    aspect: float,
    tracks: Tracks,
    mattes: Sequence[int] | None,
) -> _Piece:
    """The dancer as the pose file says, neither cut nor smoothed."""
    _check_length(labels, len(poses.resampled(FPS)), path, count, cut)
    poses = replace(poses.resampled(FPS, count), aspect=aspect)
    if mattes is None:
        mattes = _mattes_at(poses, tracks, path)
    return _Piece(0, poses, mattes)


def _mattes_at(poses: PoseSequence, tracks: Tracks, path: Path) -> list[int]:
    """For each frame the estimator's matte of whoever stands where the labels say."""
    centres = (poses.landmarks[:, TRUNK] * [poses.aspect, 1.0]).mean(1)
    nearest: dict[int, tuple[float, int]] = {}
    for track in tracks.tracks:
        for frame, centre, size, matte in zip(
            track.frames, track.centres, track.sizes, track.mattes, strict=True
        ):
            away = float(np.hypot(*(centre - centres[frame])))
            if away < 0.5 * size:
                nearest[frame] = min(nearest.get(frame, (away, matte)), (away, matte))
    if not nearest:
        raise DancingError(f"{path}: nobody can be seen where its labels say")
    frames = sorted(nearest)
    at = np.rint(np.interp(np.arange(len(poses)), frames, range(len(frames)))).astype(int)
    return [nearest[frames[i]][1] for i in at]


def _labelled_mattes(
    labels: Path, path: Path, count: int, cut: bool, shape: tuple[int, ...], spool: _Spool
) -> list[int]:
    """The numbers in the spool of a matte video's frames, one for each of the video's."""
    numbers = [
        spool.add(resize(np.ascontiguousarray(grey[..., 1]), shape[1], shape[0]))
        for grey in islice(read_frames(labels), count if cut else None)
    ]
    _check_length(labels, len(numbers), path, count, cut)
    return [*numbers, *numbers[-1:]][:count]


def _music_of_video(
    path: Path, has_sound: bool, seconds: float | None, listener: Listener
) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    from dancing.music.song import load_song

    if not has_sound:
        listener.note(f"{path}: has no sound, its clips have no music")
        return None, None, None
    try:
        song = load_song(path, duration=seconds, listener=listener)
    except DancingError as error:
        listener.note(str(error))
        return None, None, None
    return song.mfcc, song.beats, song.downbeats


def feature_constants() -> dict[str, int]:
    from dancing.media import SAMPLE_RATE
    from dancing.music.mfcc import HOP_LENGTH

    return {"sample_rate": SAMPLE_RATE, "hop_length": HOP_LENGTH}


def beats_within(beats: NDArray[np.float64], duration: float) -> NDArray[np.float64]:
    return beats[(beats >= 0) & (beats < duration)]
