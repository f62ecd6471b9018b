"""All of it: songs and pose files in, video or pose files out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dancing import poses as pose_files
from dancing.audio import Song, load_song
from dancing.bundle import Bundle
from dancing.choreographer import Choreographer
from dancing.dancer import Dancer
from dancing.errors import DancingError, DancingWarning
from dancing.files import MEDIA_SUFFIXES, expand
from dancing.poses import PoseSequence
from dancing.video import FPS, VideoWriter

Progress = Callable[[str, int, int | None], None]
"""Called with the stage's name, steps done, and steps in all (None if not known)."""


def plan(
    songs: Sequence[str | Path], output: str | Path | None, poses_from: str | Path | None = None
) -> list[tuple[Path | None, Path]]:
    """Which song becomes which file.

    Args:
        songs: songs, or folders of them.
        output: a file for one song, a folder for one or more. Default: the working folder, each
            video named like its song.
        poses_from: a pose file; then there may be no song.

    Returns:
        Pairs of a song (None if there is only a pose file) and its output.

    Raises:
        DancingError: when there is no song, or one file is named for several songs.
    """
    found: list[Path | None] = [*expand(songs, MEDIA_SUFFIXES, "songs")]
    if not found:
        if poses_from is None:
            raise DancingError("a song is needed, or poses to draw (--poses-from)")
        found = [None]
    if output is None:
        folder = Path()
    elif Path(output).is_dir() or str(output).endswith(("/", os.sep)) or not Path(output).suffix:
        folder = Path(output)
    elif len(found) == 1:
        return [(found[0], Path(output))]
    else:
        raise DancingError(
            f"{output}: is one file, but there are {len(found)} songs; give a folder"
        )
    plain = [Path(song or poses_from or "").with_suffix(".mp4").name for song in found]
    taken: set[str] = set()
    jobs = []
    for song, name in zip(found, plain, strict=True):
        # Songs whose names differ in the suffix only keep it; equal names are numbered.
        unique = name if plain.count(name) == 1 or song is None else f"{song.name}.mp4"
        stem, number = unique.removesuffix(".mp4"), 1
        while unique in taken:
            number += 1
            unique = f"{stem}_{number}.mp4"
        taken.add(unique)
        jobs.append((song, folder / unique))
    return jobs


def generate(
    song: str | Path | None,
    output: str | Path,
    *,
    dancer: str | Path = "default",
    motion: str | Path | None = None,
    seed: int = 0,
    energy: float = 1.0,
    keep: str | Path | None = None,
    start_pose: str | Path | None = None,
    poses: str | Path | None = None,
    poses_from: str | Path | None = None,
    style: str = "person",
    start: float = 0.0,
    duration: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make a dance video from a song.

    Args:
        song: any audio or video file; with `poses_from` it only gives the sound, and may be None.
        output: an .mp4; with the suffix .npz, .json or .csv the poses alone are written.
        dancer: an embedded dancer's name, or a bundle.
        motion: the bundle whose motion model is used. Default: the dancer's own, else the
            default dancer's.
        seed: the same seed gives the same file.
        energy: how vigorous the dance is, 0 to 2; 1 is what the music asks for.
        keep: a pose file whose poses are kept; the rest of the dance is filled in.
        start_pose: a pose file; the dance begins with its first pose.
        poses: a pose file to write beside the video.
        poses_from: a pose file to draw instead of new poses.
        style: 'person', 'skeleton' or 'side-by-side'.
        start, duration: the part of the song, seconds. Default: all of it.
        progress: told of what is done.

    Returns:
        The path written.

    Raises:
        DancingError: when an input cannot be used or the output cannot be written.
    """
    output = Path(output)
    tell = progress or (lambda stage, done, total: None)
    poses_only = output.suffix.lower() in pose_files.SUFFIXES
    if not poses_only and output.suffix.lower() != ".mp4":
        raise DancingError(f"{output}: the output is an .mp4, or .npz, .json or .csv for poses")
    if poses is not None and Path(poses).suffix.lower() not in pose_files.SUFFIXES:
        raise DancingError(f"{poses}: poses are written as .npz, .json or .csv")
    if not np.isfinite(start) or (duration is not None and not np.isfinite(duration)):
        raise DancingError("start and duration are numbers of seconds")
    _spare_inputs([song, poses_from, keep, start_pose], [output, poses])
    if keep is not None and start_pose is not None:
        raise DancingError("kept poses (--keep) have a first pose: give no --start-pose beside")
    bundle = Bundle(dancer)
    drawer = Dancer(bundle)
    if poses_from is not None:
        sequence = _poses_from_file(poses_from, start, duration)
    elif song is None:
        raise DancingError("a song is needed, or poses to draw (--poses-from)")
    else:
        tell("listening", 0, 1)
        music = load_song(song, start, duration)
        tell("listening", 1, 1)
        wishes = {
            "energy": energy,
            "keep": None if keep is None else PoseSequence.load(keep),
            "start_pose": None if start_pose is None else PoseSequence.load(start_pose),
        }
        sequence = _choreograph(music, song, bundle, motion, seed, wishes, drawer, tell)
    if poses_only:
        sequence.save(output)
        return output
    if poses is not None:
        sequence.save(poses)
    width, height = drawer.frame_size(style)
    with VideoWriter(output, width, height, sound=song, start=start) as video:
        for done, frame in enumerate(drawer(sequence, style), 1):
            video.write(frame)
            tell("drawing", done, len(sequence))
    return output


def _spare_inputs(
    inputs: Sequence[str | Path | None], outputs: Sequence[str | Path | None]
) -> None:
    """Refuse to write over what is read, or twice to one file."""
    taken = {Path(path).resolve() for path in inputs if path is not None}
    for path in outputs:
        if path is not None:
            if Path(path).resolve() in taken:
                raise DancingError(f"{path}: is an input or named twice; choose another output")
            taken.add(Path(path).resolve())


def _choreograph(
    music: Song,
    song: str | Path,
    bundle: Bundle,
    motion: str | Path | None,
    seed: int,
    wishes: dict[str, Any],
    drawer: Dancer,
    tell: Progress,
) -> PoseSequence:
    if not len(music.beats):
        warnings.warn(
            f"{song}: found no beat; the dance follows the sound alone",
            category=DancingWarning,
            stacklevel=3,
        )
    if motion is None:
        motion_bundle = bundle if bundle.has("motion") else Bundle("default")
    else:
        motion_bundle = Bundle(motion)
    tell("choreographing", 0, 1)
    sequence = Choreographer(motion_bundle)(music, seed, drawer.placement, **wishes)
    tell("choreographing", 1, 1)
    return sequence


def _poses_from_file(path: str | Path, start: float, duration: float | None) -> PoseSequence:
    sequence = PoseSequence.load(path)
    sequence = sequence.resampled(FPS)
    first = round(start * FPS)
    last = len(sequence) if duration is None else first + max(1, round(duration * FPS))
    if first >= len(sequence):
        raise DancingError(f"{path}: has {sequence.duration:.1f} s of poses, none after {start} s")
    return sequence if first == 0 and last >= len(sequence) else sequence[first:last]
