"""Own videos and pose files to a dataset: find the dancer in every frame, keep what learning needs.

One video goes through in one pass: a thread decodes and packs the pictures into a temporary file
while MediaPipe looks at them; once the person's whole way is known, the wanted pictures are
written. Memory holds landmarks only, so a video may be hours long.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import savgol_filter

from dancing import poses as pose_files
from dancing.dataset import DatasetWriter, Packed
from dancing.errors import DancingError, DancingWarning
from dancing.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES, expand
from dancing.landmarker import Landmarker, Person, model_path
from dancing.poses import PoseSequence, interpolate
from dancing.video import FPS, ahead, fitting_width, probe, read_frames, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.audio import Song
    from dancing.pipeline import Progress

SIZE = 640
LONGEST_GAP = round(0.3 * FPS)  # frames without the person that are interpolated
SHORTEST_CLIP = FPS  # frames
MOST_PEOPLE = 4

# Landmarks tremble from frame to frame. A parabola through 7 frames takes most of that away (four
# fifths of the jerk) without delay, and leaves accents as they are.
_SMOOTHING = (7, 2)
_POSITIONS = [0, 1, 3, 4, 5]


@dataclass
class FileReport:
    """What became of one input file.

    Attributes:
        path: the file.
        clips: clips made of it.
        frames: frames in these clips.
        interpolated: frames among them in which the person was not seen.
        seconds_cut: length left out, for nobody (or somebody else) was seen.
        silent: the clips have no music features.
        warnings: what is worth knowing, one line each.
        error: why no clip was made, or None.
    """

    path: Path
    clips: int = 0
    frames: int = 0
    interpolated: int = 0
    seconds_cut: float = 0.0
    silent: bool = False
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def lines(self) -> list[str]:
        """The report for a person."""
        if self.error is not None:
            return [f"failed: {self.error}"]
        parts = [f"{self.clips} clip{'s' * (self.clips != 1)}", f"{self.frames} frames"]
        if self.interpolated:
            parts.append(f"{self.interpolated} interpolated")
        if self.seconds_cut:
            parts.append(f"{self.seconds_cut:.1f} s cut")
        return [f"{self.path}: {', '.join(parts)}", *(f"note: {line}" for line in self.warnings)]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did, file by file in the order of the inputs."""

    files: list[FileReport]

    @property
    def clips(self) -> int:
        """Number of clips in the dataset."""
        return sum(file.clips for file in self.files)

    @property
    def silent(self) -> int:
        """Number of files whose clips have no music features."""
        return sum(file.silent for file in self.files)

    def lines(self) -> list[str]:
        """The report for a person, a line or more a file."""
        return [line for file in self.files for line in file.lines()]

    @property
    def failed(self) -> list[FileReport]:
        """The files that gave no clip."""
        return [file for file in self.files if file.error is not None]


def prepare(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    size: int = SIZE,
    jobs: int = 1,
    songs: str | Path | None = None,
    labels: str | Path | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Make a dataset file of videos, and of pose files for motion only.

    Videos are resampled by time to 30 frames a second and scaled to `size`. The largest person is
    followed; gaps up to 0.3 s are interpolated, longer ones cut the video into several clips
    (name, name_2, ...; attribute `start` in seconds), of which those under 1 s are dropped.

    Args:
        inputs: videos, pose files (.npz, .json, .csv), or folders: of these the videos are
            taken, or the pose files where there is no video.
        output: the dataset file (.h5) to write; it appears only when all is done.
        size: height of the stored pictures in pixels, even; the width keeps the aspect.
        jobs: how many videos to work on at once, each in a process of its own.
        songs: a folder with the songs that pose files were danced to. A pose file's song is the
            one named in its `song` (.npz), else the longest name found in the file's name.
        labels: a folder with landmarks and mattes made by other means. For a video NAME.mp4, the
            pose file NAME.npz (.json, .csv) there gives the landmarks, taken as they are, and the
            grey of NAME_alpha.mp4 gives the matte; what is missing there is estimated. None of
            these files is taken for an input, where the folder is one.
        seconds: how much of each video to look at, from its beginning. Default: all of it.
        progress: called as (what, done, total or None): frames of a video, or files.

    Returns:
        A report; a file that failed is named there and does not stop the others.

    Raises:
        DancingError: when no file gave a clip, or the output cannot be written.
    """
    if size < 16 or size % 2:
        raise DancingError(f"the size is {size}, but an even number of 16 or more is needed")
    label_folder = None if labels is None else Path(labels)
    if label_folder is not None and not label_folder.is_dir():
        raise DancingError(f"{labels}: no such folder of labels")
    files = [file for item in inputs for file in _expand(Path(item))]
    if label_folder is not None:
        files = [file for file in files if not _is_label(file, label_folder)]
    if not files:
        raise DancingError("no videos or pose files were given")
    song_book = _SongBook(Path(songs)) if songs is not None else None
    is_pose = [file.suffix.lower() in pose_files.SUFFIXES for file in files]
    videos = [file for file, pose in zip(files, is_pose, strict=True) if not pose]
    wanted = [_Labels.of(video, label_folder) for video in videos]
    if any(label.poses is None or label.matte is None for label in wanted):
        model_path()  # first of all: a missing model must not cost time, nor be fetched twice
    progress = progress or _no_progress
    reports = []
    with DatasetWriter(output) as writer, ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    dir=Path(output).parent, prefix=f".{Path(output).stem}-"
                )
            )
        )
        watched = stack.enter_context(
            closing(
                _watch_all(videos, wanted, folder, size, seconds, min(jobs, len(videos)), progress)
            )
        )
        for done, (file, pose) in enumerate(zip(files, is_pose, strict=True)):
            if pose:
                report, clips = _read_poses(file, song_book)
                progress("pose files", done + 1, len(files))
            else:
                report, clips = next(watched)
            for clip in clips:
                clip.write(writer)
            reports.append(report)
        if not any(report.clips for report in reports):
            reasons = [report.error for report in reports if report.error]
            more = f" (and {len(reasons) - 1} more files failed)" if len(reasons) > 1 else ""
            raise DancingError(f"{reasons[0]}{more}")
    return PrepareReport(reports)


def _no_progress(what: str, done: int, total: int | None) -> None:
    pass


def _expand(item: Path) -> list[Path]:
    """A file as it is; of a folder its videos, or where there are none its pose files."""
    if item.is_dir() and not any(file.suffix.lower() in VIDEO_SUFFIXES for file in item.iterdir()):
        return expand([item], pose_files.SUFFIXES, "videos or pose files")
    return expand([item], VIDEO_SUFFIXES, "videos or pose files")


# -------------------------------------------------------------------------------------- labels

_MATTE_NAME = "_alpha"


@dataclass(frozen=True)
class _Labels:
    """The files that say what is in a video, so that it need not be estimated.

    Attributes:
        poses: a pose file, or None.
        matte: a video whose grey is the matte, or None.
    """

    poses: Path | None = None
    matte: Path | None = None

    @classmethod
    def of(cls, video: Path, folder: Path | None) -> _Labels:
        """The files in a folder that are named like the video."""
        if folder is None:
            return cls()

        def first(stem: str, suffixes: Iterable[str]) -> Path | None:
            files = (folder / f"{stem}{suffix}" for suffix in sorted(suffixes))
            return next((file for file in files if file.is_file()), None)

        return cls(
            first(video.stem, pose_files.SUFFIXES),
            first(video.stem + _MATTE_NAME, VIDEO_SUFFIXES),
        )


def _is_label(file: Path, folder: Path) -> bool:
    """Whether a file lies in the folder of labels and is named as one."""
    named = file.suffix.lower() in pose_files.SUFFIXES or file.stem.endswith(_MATTE_NAME)
    return named and file.parent.resolve() == folder.resolve()


def _check_length(labels: Path, found: int, video: Path, frames: int) -> None:
    """Labels of another cut of the video would be wrong throughout, if only by some frames."""
    if abs(found - frames) > 1:
        raise DancingError(
            f"{labels}: has {found} frames at {FPS} a second, but {video.name} has {frames}"
        )


# ------------------------------------------------------------------------------------ pictures


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


# -------------------------------------------------------------------------------------- people


@dataclass
class _Track:
    """One person over time, as seen in some of the frames.

    Attributes:
        frames: numbers of the frames, rising.
        points: for each, (33, 6) as in `Person`.
        mattes: for each, the matte's number in the spool.
        centres: for each, (2,) middle of the torso in picture heights.
        sizes: for each, diagonal of the box around all landmarks in picture heights.
    """

    frames: list[int] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    mattes: list[int] = field(default_factory=list)
    centres: list[NDArray[np.float64]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    @property
    def weight(self) -> float:
        """Who is the dancer: the cube of the size summed over time.

        A person who is there all the time must not outweigh a larger one who comes later, nor
        somebody who passes close to the camera the dancer behind.
        """
        return float(np.power(self.sizes, 3).sum())

    def __len__(self) -> int:
        return self.frames[-1] - self.frames[0] + 1

    def distance(self, frame: int, centre: NDArray[np.float64], size: float) -> float:
        """How far a person seen now is from this track's last sight; inf if another person."""
        gap = frame - self.frames[-1]
        away = float(np.hypot(*(centre - self.centres[-1])))
        near = away < self.sizes[-1] * (0.15 + 0.05 * gap)
        alike = 0.5 < size / self.sizes[-1] < 2
        return away if near and alike and 0 < gap <= LONGEST_GAP + 1 else np.inf

    def overlap(self, other: _Track) -> int:
        """Number of frames in which both were there."""
        return min(self.frames[-1], other.frames[-1]) - max(self.frames[0], other.frames[0]) + 1


class _Tracks:
    """Tells people apart over time: each goes on as the nearest of about the same size."""

    def __init__(self) -> None:
        self.tracks: list[_Track] = []
        self._active: list[_Track] = []

    def add(self, frame: int, people: Sequence[tuple[Person, int]], aspect: float) -> None:
        """Take in the people seen in a frame, each with the number of the matte."""
        self._active = [t for t in self._active if frame - t.frames[-1] <= LONGEST_GAP + 1]
        measures = [_measure(person, aspect) for person, _ in people]
        pairs = sorted(
            (track.distance(frame, *measure), i, k)
            for i, track in enumerate(self._active)
            for k, measure in enumerate(measures)
        )
        followed: dict[int, _Track] = {}
        for distance, i, k in pairs:
            track = self._active[i]
            if np.isfinite(distance) and k not in followed and track.frames[-1] != frame:
                followed[k] = track
                self._append(track, frame, *people[k], *measures[k])
        for k in range(len(people)):
            if k not in followed:
                track = _Track()
                self._append(track, frame, *people[k], *measures[k])
                self._active.append(track)
                self.tracks.append(track)

    def _append(
        self,
        track: _Track,
        frame: int,
        person: Person,
        matte: int,
        centre: NDArray[np.float64],
        size: float,
    ) -> None:
        track.frames.append(frame)
        track.points.append(person.points)
        track.mattes.append(matte)
        track.centres.append(centre)
        track.sizes.append(size)

    def dancer(self) -> list[_Track]:
        """The tracks of the largest person, in order of time.

        Somebody who is there at the same time as the largest is another person; somebody of
        about the same size who comes before or after is taken for the same one.
        """
        chosen: list[_Track] = []
        for track in sorted(self.tracks, key=lambda track: track.weight, reverse=True):
            if all(track.overlap(other) <= LONGEST_GAP for other in chosen) and (
                not chosen or 0.5 < np.median(track.sizes) / np.median(chosen[0].sizes) < 2
            ):
                chosen.append(track)
        return sorted(chosen, key=lambda track: track.frames[0])


def _measure(person: Person, aspect: float) -> tuple[NDArray[np.float64], float]:
    points = np.asarray(person.points[:, :2], np.float64) * [aspect, 1.0]
    return points[[11, 12, 23, 24]].mean(0), float(np.hypot(*np.ptp(points, axis=0))) + 1e-9


class _Watcher:
    """Sees the people in a video, at little more than the cost of seeing one.

    MediaPipe tracks one person nearly twice as fast as it looks out for several. So one is
    tracked, and once a second a closer look tells whether anybody else is there who could be the
    dancer; from then on several are tracked.

    Attributes:
        crowded: whether several people are tracked.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._tracker = stack.enter_context(Landmarker(1, video=True))
        self._survey = stack.enter_context(Landmarker(MOST_PEOPLE, video=False))
        self.crowded = False

    def __call__(self, frame: int, picture: NDArray[np.uint8]) -> list[Person]:
        people = self._tracker(picture)
        if self.crowded or frame % FPS or not self._others(picture, people):
            return people
        self.crowded = True
        self._tracker = self._stack.enter_context(Landmarker(MOST_PEOPLE, video=True))
        return self._tracker(picture)

    def _others(self, picture: NDArray[np.uint8], people: list[Person]) -> bool:
        """Whether a closer look shows somebody else of at least half the size."""
        aspect = picture.shape[1] / picture.shape[0]
        seen = [_measure(person, aspect) for person in self._survey(picture)]
        if len(seen) < 1 + (not people):
            return False
        centre, size = _measure(people[0], aspect) if people else max(seen, key=lambda m: m[1])
        return any(
            np.hypot(*(other - centre)) > 0.15 * size and other_size > 0.5 * size
            for other, other_size in seen
        )


# --------------------------------------------------------------------------------------- clips


@dataclass(frozen=True)
class _Clip:
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


_Result = tuple[FileReport, list[_Clip]]


def _watch_all(
    videos: Sequence[Path],
    labels: Sequence[_Labels],
    folder: Path,
    size: int,
    seconds: float | None,
    jobs: int,
    progress: Progress,
) -> Generator[_Result, None, None]:
    """The clips of each video in turn; their pictures lie in `folder` until the next is asked."""
    places = [folder / str(number) for number in range(len(videos))]
    if jobs <= 1:
        for video, label, place in zip(videos, labels, places, strict=True):
            yield _watch(video, label, place, size, seconds, progress)
            shutil.rmtree(place)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        results = pool.map(_watch, videos, labels, places, repeat(size), repeat(seconds))
        for done, (place, result) in enumerate(zip(places, results, strict=True)):
            progress("videos", done + 1, len(videos))
            yield result
            shutil.rmtree(place)
    except BrokenProcessPool as error:
        raise DancingError(
            "a process was killed, perhaps for lack of memory: try fewer jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _watch(
    path: Path,
    labels: _Labels,
    folder: Path,
    size: int,
    seconds: float | None,
    progress: Progress = _no_progress,
) -> _Result:
    report = FileReport(path)
    folder.mkdir()
    clips: list[_Clip] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DancingWarning)
        try:
            clips = _clips_of_video(path, labels, folder, size, seconds, progress, report)
        except DancingError as error:
            report.error = str(error)
    report.warnings += [str(w.message) for w in caught if issubclass(w.category, DancingWarning)]
    return report, clips


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


def _clips_of_video(
    path: Path,
    labels: _Labels,
    folder: Path,
    size: int,
    seconds: float | None,
    progress: Progress,
    report: FileReport,
) -> list[_Clip]:
    info = probe(path)
    most = None if seconds is None else max(1, round(seconds * FPS))
    total = round(info.duration * FPS) or None
    total = total if most is None else min(total or most, most)
    tracks = _Tracks()
    count = 0
    with ExitStack() as stack:
        pictures = stack.enter_context(_Spool(folder / "frames"))
        mattes = stack.enter_context(_Spool(folder / "mattes"))
        known = labels.poses is not None and labels.matte is not None
        watcher = None if known else _Watcher(stack)

        def decoded() -> Iterator[NDArray[np.uint8]]:
            for picture in islice(read_frames(path, FPS, max(size, SIZE)), most):
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
            progress(path.name, count, total and max(total, count))
        aspect = pictures.shape[1] / pictures.shape[0]
        exact_mattes = None
        if labels.matte is not None:
            exact_mattes = _labelled_mattes(labels.matte, path, count, pictures.shape, mattes)
    if total and count < total - FPS // 2:
        report.warnings.append(
            f"{path}: only {count / FPS:.1f} s of its {total / FPS:.1f} s can be read"
        )
    if labels.poses is None:
        pieces = _seen_pieces(tracks, aspect, path)
        if watcher is not None and watcher.crowded:
            report.warnings.append(f"{path}: several people, the largest was followed")
    else:
        pieces = [_labelled_piece(labels.poses, path, count, aspect, tracks, exact_mattes)]
    mfcc, beats, downbeats = _music_of_video(path, info.has_sound, report)

    clips: list[_Clip] = []
    for piece in pieces:
        start, poses = piece.start, piece.poses
        if poses.beats is None and beats is not None:
            poses = replace(poses, beats=_within(beats - start / FPS, poses.duration))
        music = None if mfcc is None or start >= len(mfcc) else mfcc[start : start + len(poses)]
        frames = range(start, start + len(poses))
        shown = piece.mattes if exact_mattes is None else exact_mattes[start : start + len(poses)]
        clips.append(
            _Clip(
                path.stem if not clips else f"{path.stem}_{len(clips) + 1}",
                poses,
                music,
                None if downbeats is None else _within(downbeats - start / FPS, poses.duration),
                {"source": path.name, "start": start / FPS}
                | ({} if music is None else _feature_constants()),
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


def _seen_pieces(tracks: _Tracks, aspect: float, path: Path) -> list[_Piece]:
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
    labels: Path,
    path: Path,
    count: int,
    aspect: float,
    tracks: _Tracks,
    mattes: Sequence[int] | None,
) -> _Piece:
    """The dancer as the pose file says, neither cut nor smoothed."""
    poses = PoseSequence.load(labels)
    _check_length(labels, len(poses.resampled(FPS)), path, count)
    poses = replace(poses.resampled(FPS, count), aspect=aspect)
    if mattes is None:
        mattes = _mattes_at(poses, tracks, path)
    return _Piece(0, poses, mattes)


def _mattes_at(poses: PoseSequence, tracks: _Tracks, path: Path) -> list[int]:
    """For each frame the estimator's matte of whoever stands where the labels say."""
    centres = (poses.landmarks[:, [11, 12, 23, 24]] * [poses.aspect, 1.0]).mean(1)
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
    labels: Path, path: Path, count: int, shape: tuple[int, ...], spool: _Spool
) -> list[int]:
    """The numbers in the spool of a matte video's frames, one for each of the video's."""
    numbers = [
        spool.add(resize(np.ascontiguousarray(grey[..., 1]), shape[1], shape[0]))
        for grey in read_frames(labels)
    ]
    _check_length(labels, len(numbers), path, count)
    return [*numbers, *numbers[-1:]][:count]


def _music_of_video(
    path: Path, has_sound: bool, report: FileReport
) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    from dancing.audio import load_song

    if not has_sound:
        report.warnings.append(f"{path}: has no sound, its clips have no music")
        return None, None, None
    try:
        song = load_song(path)
    except DancingError as error:
        report.warnings.append(str(error))
        return None, None, None
    return song.mfcc, song.beats, song.downbeats


def _feature_constants() -> dict[str, int]:
    from dancing.audio import HOP_LENGTH, SAMPLE_RATE

    return {"sample_rate": SAMPLE_RATE, "hop_length": HOP_LENGTH}


def _within(beats: NDArray[np.float64], duration: float) -> NDArray[np.float64]:
    return beats[(beats >= 0) & (beats < duration)]


# ---------------------------------------------------------------------------------- pose files


class _SongBook:
    """The songs in a folder, found by the pose files that were danced to them."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DancingError(f"{folder}: no such folder of songs")
        songs = expand([folder], MEDIA_SUFFIXES, "songs")
        self._songs = sorted(songs, key=lambda song: len(song.stem), reverse=True)
        self._heard: dict[Path, Song] = {}

    def find(self, pose_file: Path) -> Path | None:
        """The song named in the file, else the one whose name is the longest in the file's."""
        named = _song_named_in(pose_file)
        if named is not None:
            return next((song for song in self._songs if named in (song.name, song.stem)), None)
        for song in self._songs:
            # As a whole word: song_1 is not in dance_song_10.
            if re.search(rf"(?<![^\W_]){re.escape(song.stem)}(?![^\W_])", pose_file.stem):
                return song
        return None

    def heard(self, song: Path) -> Song:
        """A song without its sound; kept, as several dances share a song."""
        from dancing.audio import load_song

        if song not in self._heard:
            self._heard[song] = replace(load_song(song), audio=np.zeros(0, np.float32))
        return self._heard[song]


def _song_named_in(pose_file: Path) -> str | None:
    if pose_file.suffix.lower() != ".npz":
        return None
    with np.load(pose_file, allow_pickle=False) as file:
        if "song" not in file.files:
            return None
        try:
            name = str(file["song"])
        except ValueError:  # an object array, which would have to be unpickled
            return None
    return Path(name).name


def _read_poses(path: Path, songs: _SongBook | None) -> _Result:
    report = FileReport(path)
    attributes: dict[str, Any] = {"source": path.name}
    try:
        poses = PoseSequence.load(path).resampled(FPS)
        song = None if songs is None else songs.find(path)
        mfcc = downbeats = None
        if songs is not None and song is not None:
            heard = songs.heard(song)
            mfcc = heard.mfcc[np.minimum(np.arange(len(poses)), len(heard.mfcc) - 1)]
            downbeats = _within(heard.downbeats, poses.duration)
            attributes |= {"song": song.name} | _feature_constants()
            if poses.beats is None:
                poses = replace(poses, beats=_within(heard.beats, poses.duration))
    except DancingError as error:
        report.error = str(error)
        return report, []
    report.clips, report.frames, report.silent = 1, len(poses), mfcc is None
    return report, [_Clip(path.stem, poses, mfcc, downbeats, attributes)]
