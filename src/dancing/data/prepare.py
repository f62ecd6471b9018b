"""Videos and pose files to a dataset."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body import foreign_poses, pose_files
from dancing.body.poses import PoseSequence
from dancing.data.dataset import DatasetWriter
from dancing.data.pose_model import model_path
from dancing.data.report import FileReport, PrepareReport
from dancing.data.video_clips import (
    SIZE,
    Labels,
    PreparedClip,
    beats_within,
    clips_of_video,
    feature_constants,
    is_label,
)
from dancing.errors import DancingError
from dancing.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES, expand, temporary_folder
from dancing.listener import Listener, Silent
from dancing.media import FPS

if TYPE_CHECKING:
    from dancing.music.song import Song


def prepare(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    size: int = SIZE,
    jobs: int = 1,
    songs: str | Path | None = None,
    labels: str | Path | None = None,
    genre: str | None = None,
    seconds: float | None = None,
    listener: Listener | None = None,
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
        genre: of the dances, such as 'house', where a pose file does not name its own (`genre`,
            .npz). Models of the family `flow` learn to tell genres apart.
        seconds: how much of each video to take, from its beginning. Default: all of it.
        listener: told of progress: frames of a video, or files. Notes go into the report.

    Returns:
        A report; a file that failed is named there and does not stop the others.

    Raises:
        DancingError: when no file gave a clip, or the output cannot be written.
    """
    listener = listener or Listener()
    if size < 16 or size % 2:
        raise DancingError(f"the size is {size}, but an even number of 16 or more is needed")
    label_folder = None if labels is None else Path(labels)
    if label_folder is not None and not label_folder.is_dir():
        raise DancingError(f"{labels}: no such folder of labels")
    files = [file for item in inputs for file in _expand(Path(item), listener)]
    if label_folder is not None:
        files = [file for file in files if not is_label(file, label_folder)]
    if not files:
        raise DancingError("no videos or pose files were given")
    song_book = _SongBook(Path(songs), listener) if songs is not None else None
    is_pose = [file.suffix.lower() in pose_files.SUFFIXES or file.is_dir() for file in files]
    videos = [file for file, pose in zip(files, is_pose, strict=True) if not pose]
    wanted = [Labels.of(video, label_folder) for video in videos]
    if any(label.poses is None or label.matte is None for label in wanted):
        model_path(
            listener
        )  # first of all: a missing model must not cost time, nor be fetched twice
    reports = []
    with DatasetWriter(output) as writer, ExitStack() as stack:
        folder = stack.enter_context(temporary_folder(Path(output).parent))
        watched = stack.enter_context(
            closing(
                _watch_all(videos, wanted, folder, size, seconds, min(jobs, len(videos)), listener)
            )
        )
        for done, (file, pose) in enumerate(zip(files, is_pose, strict=True)):
            if pose:
                report, clips = _read_poses(file, song_book)
                listener.progress("pose files", done + 1, len(files))
            else:
                report, clips = next(watched)
            for clip in clips:
                if genre:
                    clip.attributes.setdefault("genre", genre)
                clip.write(writer)
            reports.append(report)
        if not any(report.clips for report in reports):
            reasons = [report.error for report in reports if report.error]
            more = f" (and {len(reasons) - 1} more files failed)" if len(reasons) > 1 else ""
            raise DancingError(f"{reasons[0]}{more}")
    return PrepareReport(reports)


class _FileListener(Listener):
    """Keeps the notes of one file for its report, and hands progress on."""

    def __init__(self, report: FileReport, listener: Listener) -> None:
        self._report = report
        self._listener = listener

    def progress(self, stage: str, done: int, total: int | None) -> None:
        self._listener.progress(stage, done, total)

    def note(self, text: str) -> None:
        self._report.notes.append(text)


def _expand(item: Path, listener: Listener) -> list[Path]:
    """A file or a folder of OpenPose as it is; of others the videos, or if none the pose files."""
    if foreign_poses.is_folder(item):
        return [item]
    if item.is_dir() and not any(file.suffix.lower() in VIDEO_SUFFIXES for file in item.iterdir()):
        return expand([item], pose_files.SUFFIXES, "videos or pose files", listener)
    return expand([item], VIDEO_SUFFIXES, "videos or pose files", listener)


_Result = tuple[FileReport, list[PreparedClip]]


def _watch_all(
    videos: Sequence[Path],
    labels: Sequence[Labels],
    folder: Path,
    size: int,
    seconds: float | None,
    jobs: int,
    listener: Listener,
) -> Generator[_Result, None, None]:
    """The clips of each video in turn; their pictures lie in `folder` until the next is asked."""
    places = [folder / str(number) for number in range(len(videos))]
    if jobs <= 1:
        for video, label, place in zip(videos, labels, places, strict=True):
            yield _watch(video, label, place, size, seconds, listener)
            shutil.rmtree(place)
        return
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    silent = repeat(Silent())  # progress does not cross processes
    with _signals_held_back():
        pool = ProcessPoolExecutor(jobs, context, initializer=_end_with, initargs=(theirs,))
        results = pool.map(_watch, videos, labels, places, repeat(size), repeat(seconds), silent)
    try:
        for done, (place, result) in enumerate(zip(places, results, strict=True)):
            listener.progress("videos", done + 1, len(videos))
            yield result
            shutil.rmtree(place)
    except BrokenProcessPool as error:
        raise DancingError(
            "a process was killed, perhaps for lack of memory: try fewer jobs"
        ) from error
    finally:
        ours.close()  # ends the processes, in the middle of a video too
        pool.shutdown(cancel_futures=True)


def _end_with(parent: Connection) -> None:
    """Have this process end when its parent closes the connection, or ends in any way."""

    def wait() -> None:
        with suppress(EOFError, OSError):
            parent.recv()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes begun here do not hear what a terminal sends to all; their parent ends them."""
    if sys.platform == "win32":
        yield
        return
    ending = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(
    path: Path,
    labels: Labels,
    folder: Path,
    size: int,
    seconds: float | None,
    listener: Listener,
) -> _Result:
    report = FileReport(path)
    folder.mkdir()
    clips: list[PreparedClip] = []
    try:
        own = _FileListener(report, listener)
        clips = clips_of_video(path, labels, folder, size, seconds, report, own)
    except DancingError as error:
        report.error = str(error)
    return report, clips


class _SongBook:
    """The songs in a folder, found by the pose files that were danced to them."""

    def __init__(self, folder: Path, listener: Listener) -> None:
        self._listener = listener
        if not folder.is_dir():
            raise DancingError(f"{folder}: no such folder of songs")
        songs = expand([folder], MEDIA_SUFFIXES, "songs")
        self._songs = sorted(songs, key=lambda song: len(song.stem), reverse=True)
        self._heard: dict[Path, Song] = {}

    def find(self, pose_file: Path) -> Path | None:
        """The song named in the file, else the one whose name is the longest in the file's."""
        named = pose_files.song_of(pose_file)
        if named is not None:
            return next((song for song in self._songs if named in (song.name, song.stem)), None)
        for song in self._songs:
            # As a whole word: song_1 is not in dance_song_10.
            if re.search(rf"(?<![^\W_]){re.escape(song.stem)}(?![^\W_])", pose_file.stem):
                return song
        return None

    def heard(self, song: Path) -> Song:
        """A song; kept, as several dances share one."""
        from dancing.music.song import load_song

        if song not in self._heard:
            self._heard[song] = load_song(song, listener=self._listener)
        return self._heard[song]


def _read_poses(path: Path, songs: _SongBook | None) -> _Result:
    report = FileReport(path)
    attributes: dict[str, Any] = {"source": path.name}
    try:
        poses = PoseSequence.load(path, _FileListener(report, Silent())).resampled(FPS)
        song = None if songs is None else songs.find(path)
        mfcc = downbeats = None
        if genre := pose_files.genre_of(path):
            attributes["genre"] = genre
        if songs is not None and song is not None:
            heard = songs.heard(song)
            mfcc = heard.mfcc[np.minimum(np.arange(len(poses)), len(heard.mfcc) - 1)]
            downbeats = beats_within(heard.downbeats, poses.duration)
            attributes |= {"song": song.name} | feature_constants()
            if poses.beats is None:
                poses = replace(poses, beats=beats_within(heard.beats, poses.duration))
    except DancingError as error:
        report.error = str(error)
        return report, []
    report.clips, report.frames, report.silent = 1, len(poses), mfcc is None
    return report, [PreparedClip(path.stem, poses, mfcc, downbeats, attributes)]
