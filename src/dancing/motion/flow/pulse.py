"""The pulse of a dance whose music is not at hand, from its footfalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dancing.body.skeleton import LEGS
from dancing.music.beats import BEAT_RATE, follow
from dancing.music.counts import FASTEST, SLOWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FEWEST = 8
_FAST, _LANDED = 0.2, 0.35
_RECENT = 0.4
_WIDTH = 0.04


def footfalls(room: Floats, fps: float) -> Floats:
    """Times (F,) in seconds, rising, at which a foot comes down or to rest.

    That is where a foot (the mean of heel and toe) that moved faster than 0.2 m/s falls below 35 %
    of its fastest speed of the last 0.4 s.

    Args:
        room: (T, 33, 3) metres.
    """
    times = []
    for leg in LEGS:
        foot = gaussian_filter1d(room[:, [leg.heel, leg.toe]].mean(1), 1.0, axis=0, mode="nearest")
        speed = np.linalg.norm(np.gradient(foot, axis=0), axis=-1) * fps
        width = max(round(_RECENT * fps), 1)
        peak = maximum_filter1d(speed, width, origin=width // 2 - (width + 1) % 2)
        landed = (speed < _LANDED * peak) & (peak > _FAST)
        times.append(np.flatnonzero(landed[1:] & ~landed[:-1]) + 1)
    return np.sort(np.concatenate(times)) / fps


def pulse(room: Floats, fps: float) -> Floats:
    """Counts (C,) in seconds, 75 to 150 a minute and following the dance, on which feet come down.

    Half counts are laid along the footfalls by the beat tracker's dynamic programming, at the pace
    at which the footfalls lie closest to them. Empty where feet hardly move.

    Args:
        room: (T, 33, 3) metres.
    """
    falls = footfalls(room, fps)
    if len(falls) < _FEWEST:
        return np.zeros(0)
    grid = np.arange(round(len(room) / fps * BEAT_RATE) + 1) / BEAT_RATE
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
