"""The pulse of a dance whose music is not at hand, from its footfalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dancing.metrics.footfalls import footfalls
from dancing.music.beats import BEAT_RATE, follow
from dancing.music.counts import FASTEST, SLOWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.dataset import Clip

    Floats = NDArray[np.float64]

_FEWEST = 8
_WIDTH = 0.04


def pulse(clip: Clip) -> Floats:
    """Counts (C,) in seconds, 75 to 150 a minute and following the dance, on which feet come down.

    Half counts are laid along the footfalls by the beat tracker's dynamic programming, at the pace
    at which the footfalls lie closest to them. Empty where feet hardly move.
    """
    falls = footfalls(clip.landmarks, clip.fps, aspect=clip.aspect, visibility=clip.visibility)
    if len(falls) < _FEWEST:
        return np.zeros(0)
    grid = np.arange(round(clip.duration * BEAT_RATE) + 1) / BEAT_RATE
    activation = np.exp(-(((grid[:, None] - falls) / _WIDTH) ** 2) / 2).sum(1)
    activation /= activation.std()
    paces = np.geomspace(SLOWEST, FASTEST, 25) * 2 / 60
    periods = np.repeat(BEAT_RATE / paces[:, None], len(grid), 1)
    best = max(follow(activation, periods), key=lambda halves: _closeness(falls, halves))
    if len(best) < _FEWEST:
        return np.zeros(0)
    # Of the two halves the one on which more feet come down.
    near = np.abs(falls - best[np.abs(falls[:, None] - best).argmin(1)]) < 2 * _WIDTH
    which = np.abs(falls[near, None] - best).argmin(1) % 2
    return best[int(which.mean() > 0.5) :: 2] if near.any() else best[::2]


def _closeness(falls: Floats, halves: Floats) -> float:
    """Mean cosine of the phase of footfalls between half counts: 1 where all lie on them."""
    if len(halves) < _FEWEST:
        return -1.0
    places = np.interp(falls, halves, np.arange(len(halves)))
    return float(np.cos(2 * np.pi * places).mean())
