"""All of it: songs and pose files in, video or pose files out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dancing.body import facing, pose_files
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import N_LANDMARKS
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.files import MEDIA_SUFFIXES, expand, fitted, is_pipe
from dancing.image.background import TRANSPARENT, Background
from dancing.image.dancer import Dancer
from dancing.image.warp.photo import as_bundle
from dancing.listener import Listener
from dancing.media import FPS
from dancing.media.video import OUTPUT_SUFFIXES, VideoWriter, check_output, is_generated
from dancing.motion.choreographer import AUTO, Choreographer
from dancing.motion.flow.stage import kept_exactly
from dancing.music.song import load_song
from dancing.rows import Rows, release


def plan(
    songs: Sequence[str | Path],
    output: str | Path | None,
    poses_from: str | Path | None = None,
    background: str | Path | None = None,
    listener: Listener | None = None,
) -> list[tuple[Path | None, Path]]:
    """Which song becomes which file.

    Videos that were generated are no songs of a folder, nor where others are named beside them: so
    the same call in the same folder does the same again.

    Args:
        songs: songs, or folders of them.
        output: a file for one song, a folder for one or more. Default: the working folder, each
            video named like its song.
        poses_from: a pose file; then there may be no song.
        background: as for `generate`; a transparent one makes .webm of what is named here.
        listener: told of what in a folder is not taken.

    Returns:
        Pairs of a song (None if there is only a pose file) and its output.

    Raises:
        DancingError: when there is no song, one file is named for several songs, or the output is
            named like a file but is a folder, or the other way round.
    """
    listener = listener or Listener()
    found: list[Path | None] = [*_songs(songs, listener)]
    if not found:
        if poses_from is None:
            raise DancingError("a song is needed, or poses to draw (--poses-from)")
        found = [None]
    file = _named_file(output)
    if file is not None:
        if len(found) > 1:
            raise DancingError(
                f"{output}: is one file, but there are {len(found)} songs; give a folder"
            )
        return [(found[0], file)]
    for song in found:
        if song is not None and is_pipe(song):
            raise DancingError(f"{song}: a pipe has no name; name the output, with -o OUT.mp4")
    folder = Path(output or "")
    suffix = ".webm" if background == TRANSPARENT else ".mp4"
    stems = [Path(song or poses_from or "").stem for song in found]
    taken: set[str] = set()
    jobs = []
    for song, stem in zip(found, stems, strict=True):
        # Songs whose names differ in the suffix only keep it; equal names are numbered.
        plain = stem if stems.count(stem) == 1 or song is None else song.name
        unique, number = fitted(plain, suffix), 1
        while unique in taken:
            number += 1
            unique = fitted(plain, f"_{number}{suffix}")
        taken.add(unique)
        jobs.append((song, folder / unique))
    return jobs


def _songs(songs: Sequence[str | Path], listener: Listener) -> list[Path]:
    """The songs meant; videos that were generated only where nothing else is named."""
    dances: list[Path] = []

    def is_dance(file: Path) -> bool:
        if generated := is_generated(file):
            dances.append(file)
        return generated

    found = expand(songs, MEDIA_SUFFIXES, "songs", listener, leave=is_dance)
    if not all(map(is_generated, found)):
        found = [song for song in found if not is_dance(song)]
    if dances:
        more = f" and {len(dances) - 1} more" if len(dances) > 1 else ""
        listener.note(f"{dances[0]}{more}: made by this program, not taken for songs")
    return found


def _named_file(output: str | Path | None) -> Path | None:
    """The file that the output is, or None where it is a folder.

    Raises:
        DancingError: where it is unclear which.
    """
    if output is None or str(output).endswith(("/", os.sep)):
        return None
    path = Path(output)
    if str(path) == "-":
        raise DancingError("-: what is made cannot go to standard output; name a file")
    if not path.is_dir():
        return path if path.suffix else None
    if path.suffix.lower() in {*OUTPUT_SUFFIXES, *pose_files.SUFFIXES}:
        raise DancingError(
            f"{path}: is a folder named like a file; write {path}{os.sep} to put videos into it"
        )
    return None


def generate(
    song: str | Path | None,
    output: str | Path,
    *,
    dancer: str | Path = "default",
    motion: str | Path | None = None,
    seed: int = 0,
    energy: float = 1.0,
    genre: str = AUTO,
    keep: str | Path | None = None,
    start_pose: str | Path | None = None,
    poses: str | Path | None = None,
    poses_from: str | Path | None = None,
    as_is: bool = False,
    style: str = "person",
    background: str | Path | None = None,
    height: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Path:
    """Make a dance video from a song.

    Args:
        song: any audio or video file; with `poses_from` it only gives the sound, and may be None.
        output: an .mp4, .mov or .webm; or .npz, .json or .csv for the poses alone.
        dancer: an embedded dancer's name, a bundle, or a photo of a person.
        motion: the bundle whose motion model is used. Default: the dancer's own, else the
            default dancer's.
        seed: the same seed gives the same file.
        energy: how vigorous the dance is, 0 to 2; 1 is what the music asks for.
        genre: of the dance: 'auto' (what the song asks for), a name, or several with their parts;
            see `Choreographer`.
        keep: a pose file whose poses are kept; the rest of the dance is filled in.
        start_pose: a pose file; the dance begins with its first pose.
        poses: a pose file to write beside the video.
        poses_from: a pose file to draw instead of new poses.
        as_is: draw poses exactly where they are. Default: with the dancer's own proportions, in
            the dancer's place, and turned no further than the dancer can be drawn; see
            `Dancer.fit` and `Dancer.turns`.
        style: 'person', 'skeleton' or 'side-by-side'.
        background: what is behind the person: a colour, a picture, a video or 'transparent' (for
            .mov and .webm); see `Background`. Default: the scene that the dancer was filmed in.
        height: of the video in pixels, even. Default: that of the dancer's model.
        start, duration: the part of the song, seconds. Default: all of it.
        listener: told of progress and of what is worth knowing.

    Returns:
        The path written.

    Raises:
        DancingError: when an input cannot be used or the output cannot be written.
    """
    output = Path(output)
    listener = listener or Listener()
    poses_only = output.suffix.lower() in pose_files.SUFFIXES
    scene = None if background is None else Background(background, listener)
    transparent = scene is not None and scene.transparent
    if not poses_only:
        check_output(output, transparent)
    if poses is not None and Path(poses).suffix.lower() not in pose_files.SUFFIXES:
        raise DancingError(f"{poses}: poses are written as .npz, .json or .csv")
    if not np.isfinite(start) or (duration is not None and not np.isfinite(duration)):
        raise DancingError("start and duration are numbers of seconds")
    _spare_inputs([song, poses_from, keep, start_pose, background], [output, poses])
    if keep is not None and start_pose is not None:
        raise DancingError("kept poses (--keep) have a first pose: give no --start-pose beside")
    with as_bundle(dancer, output.parent, listener) as made:
        bundle = Bundle(made)
        drawer = Dancer(bundle, height)  # has read all that it needs
    drawer.check(style, scene)
    given: PoseSequence | None = None
    world: Rows | None = None
    if poses_from is not None:
        sequence, body = _poses_from_file(poses_from, start, duration, listener), None
        if drawer.turns is not None and sequence.world is not None and not as_is:
            sequence = facing.within(sequence, drawer.turns)
        else:
            _note_backs(poses_from, sequence, drawer, listener)
    elif song is None:
        raise DancingError("a song is needed, or poses to draw (--poses-from)")
    else:
        given = None if keep is None else PoseSequence.load(keep, listener).resampled(FPS)
        world = None if keep is not None else Rows(N_LANDMARKS, 3)
        wishes = {
            "energy": energy,
            "genre": genre,
            "keep": given,
            "start_pose": None if start_pose is None else PoseSequence.load(start_pose, listener),
            "world": world,
            "turns": drawer.turns,
        }
        sequence, body = _choreograph(
            song, start, duration, bundle, motion, seed, wishes, drawer, listener
        )
    if not as_is:
        sequence = drawer.fit(sequence, body, in_place=True)
        if given is not None:
            sequence = kept_exactly(sequence, given.in_aspect(sequence.aspect))
    if poses_only:
        sequence.save(output, world)
        return output
    if poses is not None:
        sequence.save(poses, world)
    sequence = replace(sequence, world=None)  # is not drawn
    release()
    size = drawer.frame_size(style)
    writer = VideoWriter(
        output, *size, sound=song, start=start, transparent=transparent, listener=listener
    )
    with writer as video:
        for done, frame in enumerate(drawer(sequence, style, scene), 1):
            video.write(frame)
            listener.progress("drawing", done, len(sequence))
    return output


def _spare_inputs(
    inputs: Sequence[str | Path | None], outputs: Sequence[str | Path | None]
) -> None:
    """Refuse to write over what is read, or twice to one file."""
    taken = {os.path.realpath(path) for path in inputs if path is not None}
    for path in outputs:
        if path is not None:
            if os.path.realpath(path) in taken:
                raise DancingError(f"{path}: is an input or named twice; choose another output")
            taken.add(os.path.realpath(path))


def _choreograph(
    song: str | Path,
    start: float,
    duration: float | None,
    bundle: Bundle,
    motion: str | Path | None,
    seed: int,
    wishes: dict[str, Any],
    drawer: Dancer,
    listener: Listener,
) -> tuple[PoseSequence, dict[str, float] | None]:
    """Poses for the song, and the proportions of the body that they are of, if known.

    What this took, features and motion model, is gone when pictures are drawn.
    """
    listener.progress("listening", 0, 1)
    music = load_song(song, start, duration, listener)
    release()
    listener.progress("listening", 1, 1)
    if not len(music.beats):
        listener.note(f"{song}: found no beat; the dance follows the sound alone")
    if motion is None:
        motion = bundle.path if bundle.has("motion") else "default"
    motion_bundle = Bundle(motion)
    listener.progress("choreographing", 0, 1)
    sequence = Choreographer(motion_bundle)(music, seed, drawer.placement, **wishes)
    listener.progress("choreographing", 1, 1)
    if sequence.world is None and not wishes["world"]:
        _note_backs(song, sequence, drawer, listener)
    return sequence, motion_bundle.stage("motion").proportions


def _note_backs(
    source: str | Path, poses: PoseSequence, drawer: Dancer, listener: Listener
) -> None:
    """Say for how long poses show a back that the dancer cannot be drawn with."""
    away = facing.seconds_away(poses)
    if drawer.turns is not None and away > 0:
        listener.note(
            f"{source}: the dancer faces away for {away:.1f} s, drawn as if seen from the front"
        )


def _poses_from_file(
    path: str | Path, start: float, duration: float | None, listener: Listener
) -> PoseSequence:
    sequence = PoseSequence.load(path, listener)
    sequence = sequence.resampled(FPS)
    first = round(start * FPS)
    last = len(sequence) if duration is None else first + max(1, round(duration * FPS))
    if first >= len(sequence):
        raise DancingError(f"{path}: has {sequence.duration:.1f} s of poses, none after {start} s")
    return sequence if first == 0 and last >= len(sequence) else sequence[first:last]
