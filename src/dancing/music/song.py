"""A song and its features: `load_song`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Listener
from dancing.media import SAMPLE_RATE
from dancing.media.sound import load_audio
from dancing.music.beats import track_beats
from dancing.music.mfcc import mfcc

SHORTEST = 0.1  # seconds of sound below which there is no song


@dataclass(frozen=True)
class Song:
    """A song as heard: its sound and its music features."""

    path: Path
    audio: np.ndarray
    """(N,) float32 mono."""
    sample_rate: int
    mfcc: np.ndarray
    """(T, 13) float32, 30 rows a second."""
    beats: np.ndarray
    """(B,) float64 seconds; empty where none are heard."""
    downbeats: np.ndarray
    """(D,) float64 seconds: those of `beats` that begin a bar."""
    tempo: float
    """Beats a minute, 0 without beats."""
    duration: float
    """Seconds."""

    @property
    def n_frames(self) -> int:
        """T, rows of the features and poses of the dance: 1 + N // 735."""
        return len(self.mfcc)


def load_song(
    path: str | Path,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Song:
    """Load a song (or the part from `start` seconds, `duration` long) and its features.

    Raises:
        DancingError: when it cannot be decoded (see `decode_blocks`) or is shorter than 0.1 s.
    """
    path = Path(path)
    audio = load_audio(path, start, duration, listener)
    seconds = len(audio) / SAMPLE_RATE
    if start > 0 and not len(audio):
        raise DancingError(f"{path}: ends before {start:g} s, begin earlier")
    if seconds < SHORTEST:
        raise DancingError(f"{path}: {seconds:.2f} s of sound, at least {SHORTEST:g} s are needed")
    beats = track_beats(audio)
    return Song(
        path=path,
        audio=audio,
        sample_rate=SAMPLE_RATE,
        mfcc=mfcc(audio),
        beats=beats.times,
        downbeats=beats.downbeats,
        tempo=beats.tempo,
        duration=seconds,
    )
