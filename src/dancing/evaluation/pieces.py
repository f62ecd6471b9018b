"""What is danced to: clips and songs, with what their dances are scored against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.poses import PoseSequence, body_frame, interpolate
from dancing.data.dataset import Clip, source_hash
from dancing.errors import DancingError
from dancing.evaluation.clips import group
from dancing.evaluation.distances import windows_in
from dancing.media import FPS
from dancing.music.song import Song, load_song

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A clip or a song to dance to, with what its dances are scored against.

    Attributes:
        origins: hashes of the songs and sources that it is of.
        poses: a real dance to it; of a song a dummy that is never measured.
        beats: seconds.
        windows: how many are compared as distributions; of a song none.
        genre: of the real dance; empty where unknown.
    """

    name: str
    group: str
    origins: frozenset[str]
    poses: PoseSequence
    song: Song
    beats: Floats
    windows: int
    genre: str = ""

    @property
    def frames(self) -> int:
        return max(1, round(self.song.duration * FPS))


def clip_piece(clip: Clip, exact: dict[str, Floats]) -> Piece:
    """A clip with its own beats, or the exact ones of its song."""
    song = song_of(clip)
    start = float(clip.attributes.get("start", 0.0))
    known = [exact[key] - start for key in sorted(clip.origins) if key in exact]
    beats = known[0] if known else np.asarray(song.beats, np.float64)
    inside = (beats >= 0) & (beats < clip.duration)
    return Piece(
        clip.name,
        group(clip),
        clip.origins,
        poses_of(clip),
        song,
        beats[inside],
        windows_in(clip.duration),
        genre_of(clip),
    )


def song_piece(file: Path, exact: dict[str, Floats]) -> Piece:
    """A song with the beats that are tracked in it, or its exact ones."""
    song = load_song(file)
    key = source_hash(file.name)
    nobody = PoseSequence(np.zeros((1, 33, 2), np.float32))
    beats = exact.get(key, song.beats)
    return Piece(file.name, key, frozenset({key}), nobody, song, beats, 0)


def exact_beats(songs: Sequence[Path]) -> dict[str, Floats]:
    """Beats in seconds by the hash of the song's name, of the songs with a .json beside."""
    found = {}
    for song in songs:
        path = song.with_suffix(".json")
        if not path.is_file():
            continue
        try:
            beats = np.array(json.loads(path.read_text(encoding="utf-8"))["beats"], np.float64)
            if beats.ndim != 1 or not np.isfinite(beats).all():
                raise ValueError("they are not a list of seconds")
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DancingError(f"{path}: holds no usable 'beats' ({error})") from error
        found[source_hash(song.name)] = beats
    return found


def song_of(clip: Clip) -> Song:
    """A clip's music as the choreographer wants it: a Song without its sound.

    Features at 30 rows a second, and the beats and downbeats that the clip has.
    """
    rows = clip.features_at_poses()
    if rows is None:
        raise DancingError(f"clip '{clip.name}' has no music features")
    frames = max(1, round(clip.duration * FPS))
    beats = np.zeros(0) if clip.beats is None else clip.beats
    between = np.diff(beats)
    return Song(
        path=Path(clip.source),
        mfcc=interpolate(rows, np.arange(frames) / FPS * clip.fps),
        beats=beats,
        downbeats=np.zeros(0) if clip.downbeats is None else clip.downbeats,
        tempo=60 / float(np.median(between)) if len(between) and np.median(between) > 0 else 0.0,
        duration=clip.duration,
    )


def genre_of(clip: Clip) -> str:
    """The genre that a clip names; empty if none."""
    return clip.genre


def poses_of(clip: Clip) -> PoseSequence:
    """A clip's poses.

    Raises:
        DancingError: when there is no body to measure in them.
    """
    poses = clip.poses
    try:
        body_frame(poses.landmarks, poses.aspect)
    except ValueError as error:
        raise DancingError(f"clip '{clip.name}' cannot be scored: {error}") from error
    return poses
