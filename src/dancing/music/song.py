"""A song and its features: `load_song`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Listener, Silent
from dancing.media import SAMPLE_RATE
from dancing.media.sound import decode_blocks, load_audio
from dancing.music.beats import amplitude_spectrum, beats_of
from dancing.music.mfcc import cepstrum, decibel_spectrum

SHORTEST = 0.1  # seconds of sound below which there is no song


@dataclass(frozen=True)
class Song:
    """A song as heard: its music features, and its sound for who asks for it."""

    path: Path
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
    start: float = 0.0
    """Where it begins in the file, seconds."""
    sample_rate: int = SAMPLE_RATE
    """Of `audio`, in Hz."""

    @property
    def n_frames(self) -> int:
        """T, rows of the features and poses of the dance: 1 + N // 735."""
        return len(self.mfcc)

    @cached_property
    def audio(self) -> np.ndarray:
        """(N,) float32 mono. Features and dance do without: it is decoded when first asked for,
        and takes 5 MB a minute."""
        return load_audio(self.path, self.start, self.duration, Silent())


def load_song(
    path: str | Path,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Song:
    """Load the features of a song (or of the part from `start` seconds, `duration` long).

    The sound is heard as it is decoded and not kept: an hour takes 15 MB.

    Raises:
        DancingError: when it cannot be decoded (see `decode_blocks`) or is shorter than 0.1 s.
    """
    path = Path(path)
    decibels, amplitudes = decibel_spectrum(), amplitude_spectrum()
    samples = 0
    for block in decode_blocks(path, SAMPLE_RATE, start, duration, listener):
        decibels.add(block)
        amplitudes.add(block)
        samples += len(block)
    seconds = samples / SAMPLE_RATE
    if start > 0 and not samples:
        raise DancingError(f"{path}: ends before {start:g} s, begin earlier")
    if seconds < SHORTEST:
        raise DancingError(f"{path}: {seconds:.2f} s of sound, at least {SHORTEST:g} s are needed")
    mfcc = cepstrum(decibels.finish())
    beats = beats_of(amplitudes.finish())
    return Song(
        path=path,
        mfcc=mfcc,
        beats=beats.times,
        downbeats=beats.downbeats,
        tempo=beats.tempo,
        duration=seconds,
        start=start,
    )
