"""Counts: the pulse that a dancer counts, and how loud and eventful the music is around it.

A dance is made in counts and warped to the song's beats afterwards, so it keeps to the beat and
follows the tempo by construction. Counts are beats, except where these are too slow or too fast to
dance to: then there are two counts a beat, or two beats a count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.media import FPS
from dancing.music.mfcc import N_MELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOWEST, FASTEST = 75.0, 150.0
"""Counts a minute: an octave, so that every tempo has one reading."""
PHRASE = 8
"""Counts of a phrase: dancers count to eight, two bars of four."""
MADE_UP = 80.0
"""Counts a minute where no beat is heard."""
QUIET = 15.0
"""Decibels below the song's loud passages at which it may be silent."""
FLAT = 2.0
"""Decibels by which the spectrum of silence differs from a constant: all bands are at the bottom
of what features tell apart."""

_FEWEST = 4
_CLOSEST = 0.15


@dataclass(frozen=True)
class Counts:
    """The counts of a piece of music, beginning before it and ending after it.

    Attributes:
        times: (C,) float64 seconds, rising.
        phase: (C,) 0 to 7, place in the phrase of eight, 0 on a downbeat; -1 where unknown.
        heard: whether they come from beats; if not, they are made up.
    """

    times: Floats
    phase: NDArray[np.intp]
    heard: bool

    def __len__(self) -> int:
        return len(self.times)

    @property
    def tempo(self) -> Floats:
        """(C,) counts a minute."""
        return 60 / np.gradient(self.times)

    def at(self, positions: Floats) -> Floats:
        """Seconds of fractional positions on the counts."""
        return np.interp(positions, np.arange(len(self)), self.times)

    def positions(self, seconds: Floats) -> Floats:
        """Fractional positions on the counts of times in seconds."""
        return np.interp(seconds, self.times, np.arange(len(self)))


def count(beats: Floats, downbeats: Floats | None, duration: float) -> Counts:
    """Counts for music with these beats.

    Args:
        beats: (B,) seconds, rising; fewer than four are as good as none.
        downbeats: (D,) seconds, those that begin a bar; None or empty where unknown.
        duration: of the music, seconds.

    Returns:
        Counts from before 0 to beyond the duration. Gaps between the beats are filled at the pace
        around them.
    """
    beats = np.asarray(beats, np.float64)
    keep = np.diff(beats, prepend=-np.inf) > _CLOSEST
    times = _filled(beats[keep])
    if len(times) < _FEWEST:
        steps = np.arange(-1, np.ceil(duration * MADE_UP / 60) + 3)
        return Counts(steps * 60 / MADE_UP, steps.astype(np.intp) % PHRASE, False)
    marks = np.zeros(0) if downbeats is None else np.asarray(downbeats, np.float64)
    above = np.searchsorted(times, marks).clip(1, len(times) - 1)
    nearest = above - (marks - times[above - 1] <= times[above] - marks)
    tempo = 60 / float(np.median(np.diff(times)))
    if tempo > FASTEST:
        first = _vote(nearest, 2)
        times, nearest = times[first::2], (nearest - first) // 2
    elif tempo < SLOWEST:
        halves = np.arange(2 * len(times) - 1) / 2
        times, nearest = np.interp(halves, np.arange(len(times)), times), nearest * 2
    start, stop = times[1] - times[0], times[-1] - times[-2]
    before = np.arange(times[0] - start, -2 * start, -start)[::-1]
    after = np.arange(times[-1] + stop, duration + 3 * stop, stop)
    times = np.concatenate([before, times, after])
    phase = np.full(len(times), -1, np.intp)
    if len(marks):
        # Bars are of four counts; the first one begins a phrase.
        first = int(nearest.min()) // 4 * 4 + _vote(nearest, 4) + len(before)
        phase = (np.arange(len(times)) - first) % PHRASE
    return Counts(times, phase, True)


def _filled(beats: Floats) -> Floats:
    """Beats with those put in that are missing between two."""
    if len(beats) < _FEWEST:
        return beats
    gaps = np.diff(beats)
    missing = np.maximum(np.rint(gaps / np.median(gaps)).astype(int), 1)
    places = np.concatenate([[0], np.cumsum(missing)])
    return np.interp(np.arange(places[-1] + 1), places, beats)


def _vote(places: NDArray[np.intp], modulus: int) -> int:
    """The remainder that most places have."""
    return int(np.bincount(places % modulus, minlength=modulus).argmax()) if len(places) else 0


def loudness(mfcc: NDArray[np.floating]) -> Floats:
    """(T,) decibels: the mean level of the mel bands, which is what the first coefficient holds."""
    return np.asarray(mfcc, np.float64)[:, 0] / np.sqrt(N_MELS)


def energy(mfcc: NDArray[np.floating], counts: Counts) -> Floats:
    """How loud the music is around each count, relative to its own loud passages.

    Args:
        mfcc: (T, n) at 30 rows a second.

    Returns:
        (C,) decibels, about -20 (calm) to 0 (loud), averaged over the count before and after.
    """
    level = loudness(mfcc)
    sums = np.concatenate([[0.0], np.cumsum(level)])
    edges = np.clip(np.rint(counts.at(np.arange(-1.0, len(counts) + 1)) * FPS), 0, len(level))
    first, last = edges[:-2].astype(int), edges[2:].astype(int)
    empty = last <= first
    first = np.where(empty, np.clip(first - 1, 0, len(level) - 1), first)
    last = np.where(empty, first + 1, last)
    return np.maximum((sums[last] - sums[first]) / (last - first) - np.percentile(level, 90), -40.0)


def sounding(mfcc: NDArray[np.floating], frames: int) -> NDArray[np.bool_]:
    """(frames,) whether there is music: the sound is not both low and without any shape.

    See QUIET and FLAT. Features reach 80 dB below the song's loudest band, so that a calm passage
    has a shape, and silence and its hiss have none.
    """
    rows = np.asarray(mfcc, np.float64)[np.minimum(np.arange(frames), len(mfcc) - 1)]
    level = loudness(rows)
    loud = float(np.percentile(level, 90))
    if float(np.ptp(level)) < 1.0 and loud < _NOTHING:
        return np.zeros(frames, bool)
    shape = np.sqrt((rows[:, 1:] ** 2).sum(1) / N_MELS)
    return (level > loud - QUIET) | (shape > FLAT)


_NOTHING = -70.0  # decibels of a song that is silent throughout


def surge(levels: Floats) -> Floats:
    """How loud each count is for its song: (C,), -2.5 (calm) to 1.5 (loud), 0 at the median.

    `energy` smoothed over a bar, in standard deviations of the song; where it hardly varies, in
    units of 2 dB, so that a steady song is not made restless.
    """
    smooth = gaussian_filter1d(levels, 2.0, mode="nearest")
    above = smooth - np.median(smooth)
    return np.clip(above / max(float(np.std(above)), 2.0), -2.5, 1.5)
