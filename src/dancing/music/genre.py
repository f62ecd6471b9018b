"""Which genre of dance a song asks for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.song import Song

    Floats = NDArray[np.float64]

CALM = "modern"
"""What is danced where no beat is heard."""
_PLACES = 16
_HEARD = 3
_FEWEST = 8


def genre_of(song: Song) -> str:
    """The genre that fits a song best.

    A linear classifier on `song_features`, learned from synthesised songs
    (`recipes/song_genre.py`): what a drum pattern suggests, not what a listener knows of styles.
    """
    if len(song.beats) < _FEWEST:
        return CALM
    names, mean, std, weights = _learned()
    features = (song_features(song.mfcc, song.beats, song.downbeats) - mean) / std
    return str(names[int((weights @ np.append(np.clip(features, -4, 4), 1.0)).argmax())])


def song_features(mfcc: NDArray[np.floating], beats: Floats, downbeats: Floats) -> Floats:
    """(F,) what a song's rhythm is like, whatever its instruments and its recording.

    The course of the first three MFCC (loudness, and two of how bright the sound is) over the
    sixteen positions of a bar of four beats, the mean of all bars, and the logarithm of the tempo.

    Args:
        mfcc: (T, n) at 30 rows a second.
        beats: (B,) seconds, eight or more.
        downbeats: (D,) those of them that begin a bar.
    """
    first = int(np.searchsorted(beats, downbeats[0] - 0.05)) if len(downbeats) else 0
    bars = max((len(beats) - 1 - first) // 4, 1)
    places = first + np.arange(bars * _PLACES) / 4
    at = np.clip(np.rint(np.interp(places, np.arange(len(beats)), beats) * FPS), 0, len(mfcc) - 1)
    rows = np.asarray(mfcc, np.float64)[at.astype(int)]
    bar = rows.reshape(bars, _PLACES, -1)[..., :_HEARD].mean(0)
    spread = np.maximum(rows[:, :_HEARD].std(0), 1.0)
    pattern = (bar - bar.mean(0)) / spread  # (16, 3)
    tempo = np.log(60 / np.median(np.diff(beats)) / 100)
    return np.append(pattern, tempo)


@lru_cache(maxsize=1)
def _learned() -> tuple[NDArray[np.str_], Floats, Floats, Floats]:
    """Names (G,), mean and standard deviation (F,) of the features, weights (G, F + 1)."""
    with np.load(Path(__file__).with_name("genres.npz")) as file:
        return file["names"], file["mean"], file["std"], file["weights"]
