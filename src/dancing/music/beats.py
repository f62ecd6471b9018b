"""Beat tracking: the beats that a dancer would count, on NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise
from pathlib import Path

import numpy as np

from dancing.media import SAMPLE_RATE
from dancing.music.mfcc import MelSpectrum
from dancing.rows import Rows, stretches


@dataclass(frozen=True)
class Beats:
    """What a dancer counts; all times in seconds."""

    times: np.ndarray
    """(B,) float64, rising; empty where no pulse is heard."""
    tempo: float
    """Beats a minute, the song's median, 60 to 200; 0 without beats."""
    downbeats: np.ndarray
    """(D,) float64, the beats that begin a bar, taken to have four beats: a best guess."""
    confidence: float
    """How regular the sound is at the beat's period: about 0 for noise, 1 for a machine."""


_BEAT_HOP = 220
BEAT_RATE = SAMPLE_RATE / _BEAT_HOP  # about 100 frames a second
_BEAT_FFT = 1024
_BEAT_MELS = 40
_BANDS = (0, 2, 10, 23, _BEAT_MELS)  # edges in mel bands: about 220 Hz, 810 Hz, 2.3 kHz
_BAND_GAINS = np.array([1.2, 0.8, 1.0, 0.8])
_TEMPI = np.exp(np.arange(np.log(60), np.log(200), 0.01))
# A period that is heard clearly may be another level of the metre than the beat.
_RATIOS = (1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3)
# Little more than an octave, so that double and half of a usual dance tempo cannot be chosen.
_SLOWEST, _FASTEST = 70.5, 158.0
_STEPS = 16  # sixteenths in a bar
_NO_PULSE = 0.1  # confidence below which there are no beats; noise has 0.02 to 0.09


@dataclass(frozen=True)
class _Reading:
    """One way to count a song: a grid of sixteenths, and what is heard on it."""

    grid: np.ndarray
    """(G,) seconds."""
    profile: np.ndarray
    """(16, 5): mean onset at each sixteenth of a bar, less the mean: four bands, and change."""
    cues: np.ndarray
    """(5,): onsets alike after a beat, two beats, a bar; onsets on the grid against all; tempo."""

    def scores(self) -> np.ndarray:
        """(16,) how likely it is that the downbeats are grid[s::16]."""
        template, weights = _learned()
        turned = [np.roll(self.profile, -shift, axis=0).T for shift in range(_STEPS)]
        return np.einsum("sbj,bj->s", turned, template) + self.cues @ weights


@lru_cache(maxsize=1)
def _learned() -> tuple[np.ndarray, np.ndarray]:
    """What tells the right reading of a song's metre: template (5, 16) and weights (5,) of cues.

    How much louder than average the onsets of each of four bands, and the change of sound, are at
    each sixteenth of a bar, the first being the downbeat; then the cues of `_Reading`. Logistic
    regression over readings, by recipes/beat_template.py.
    """
    with np.load(_TABLES, allow_pickle=False) as tables:
        return tables["template"], tables["cues"]


_TABLES = Path(__file__).with_name("beat_template.npz")


def track_beats(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Beats:
    """Find the beats that a dancer would count, following a tempo that drifts.

    Onsets in four bands of a mel spectrogram (SuperFlux: Böck & Widmer 2013) give a tempo curve
    (autocorrelation, Viterbi path) and, for each level of the metre that this period may be, beats
    by dynamic programming (Ellis 2007). The reading (which level, which of its sixteenths is the
    downbeat) whose bar looks most like a bar of dance music wins, and is tracked once more with
    the song's own pattern around the beat.

    Args:
        audio: (N,) float, mono.
        sample_rate: of `audio`, in Hz.

    Returns:
        the beats; without any for silence, noise, speech, or less than two seconds. A tempo
        below 70 or above 158 is heard in double or half time.
    """
    if sample_rate != SAMPLE_RATE:
        from scipy.signal import resample_poly

        divisor = np.gcd(sample_rate, SAMPLE_RATE)
        audio = resample_poly(audio, SAMPLE_RATE // divisor, sample_rate // divisor)
    spectrum = amplitude_spectrum()
    spectrum.add(audio)
    return beats_of(spectrum.finish())


def amplitude_spectrum() -> MelSpectrum:
    """The spectrum that `beats_of` needs, still to be told of the sound."""
    return MelSpectrum(_BEAT_HOP, _BEAT_FFT, _BEAT_MELS, np.sqrt)


def beats_of(amplitudes: Rows) -> Beats:
    """The beats of an `amplitude_spectrum`; see `track_beats`."""
    none = Beats(np.zeros(0), 0.0, np.zeros(0), 0.0)
    if len(amplitudes) < 2 * BEAT_RATE:
        return none
    loudness = _Loudness(amplitudes)
    onsets, loud = _onsets(loudness)
    tempo, confidence = _tempo_curve(onsets @ _BAND_GAINS)
    readings = _readings(loudness, onsets, tempo) if confidence > _NO_PULSE else []
    if not readings:
        return none
    scores = np.array([reading.scores() for reading in readings])
    best, shift = np.unravel_index(scores.argmax(), scores.shape)
    grid = readings[best].grid
    times = _settle(onsets, grid[shift % 4 :: 4])
    # The bars of the reading vote on which of the settled beats begin one.
    bars = np.searchsorted(times, grid[shift::_STEPS] - 0.15)
    downbeat = int(np.bincount(bars % 4, minlength=4).argmax())

    first, last = np.flatnonzero(loud)[[0, -1]] / BEAT_RATE
    heard = (times >= max(first - 0.07, 0)) & (times <= last + 0.07)
    is_downbeat = np.arange(len(times)) % 4 == downbeat
    if heard.sum() < 2:
        return none
    return Beats(
        times=times[heard],
        tempo=60 / float(np.median(np.diff(times))),
        downbeats=times[heard & is_downbeat],
        confidence=confidence,
    )


_AUDIBLE = 0.05  # on the scale of _Loudness: about 50 dB below the song's mean


class _Loudness:
    """Mel amplitudes on a logarithmic scale, on which the song's mean is 3.

    Args:
        amplitudes: (T, 40), an `amplitude_spectrum`.
    """

    def __init__(self, amplitudes: Rows) -> None:
        self._amplitudes = amplitudes
        self._scale = 20 / (amplitudes.mean() + np.float32(1e-9))

    def __len__(self) -> int:
        return len(self._amplitudes)

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Which frames, and these (n, 40)."""
        for frames, rows in self._amplitudes.chunks():
            rows *= self._scale
            yield frames, np.log1p(rows, out=rows)


def _onsets(loudness: _Loudness) -> tuple[np.ndarray, np.ndarray]:
    """Onset strength (T, 4) in bands, about 1 when strong; (T,) whether anything is heard.

    SuperFlux: what is louder than the loudest of three neighbouring bands 20 ms ago, so that
    vibrato and glides are no onsets.
    """
    from scipy.ndimage import maximum_filter1d

    onsets = np.empty((len(loudness), len(_BANDS) - 1))
    loud = np.empty(len(loudness), bool)
    before = np.full((2, _BEAT_MELS), np.inf, np.float32)
    for frames, rows in loudness.chunks():
        past = np.concatenate([before, rows])
        rise = np.maximum(rows - maximum_filter1d(past[:-2], 3, axis=1), 0)
        for band, (low, high) in enumerate(pairwise(_BANDS)):
            onsets[frames, band] = rise[:, low:high].mean(1)
        loud[frames] = rows.max(1) > _AUDIBLE
        before = past[-2:]
    spread = onsets.std(0)
    if spread.max() < _STEADY:
        return np.zeros_like(onsets), loud
    # A band without onsets is not blown up to the size of the others.
    onsets /= spread + 0.1 * spread.max() + 0.01
    return onsets, loud


_STEADY = 0.05  # spread of onset strength below which a sound is a mere tone; songs have 0.2 to 0.7


def _tempo_curve(novelty: np.ndarray) -> tuple[np.ndarray, float]:
    """The clearest period: beats a minute at each second, and its mean autocorrelation."""
    from scipy.fft import irfft, next_fast_len, rfft

    size, longest = int(10 * BEAT_RATE), int(4.2 * BEAT_RATE)
    window, length = np.hanning(size), next_fast_len(2 * size)
    padded = np.pad(novelty - novelty.mean(), (size // 2, size))
    seconds = int(np.ceil(len(novelty) / BEAT_RATE))
    lags = 60 * BEAT_RATE / _TEMPI
    clarity = {beats: np.empty((seconds, len(lags))) for beats in (0.5, 1, 2, 4)}
    for second in range(seconds):
        begin = round(second * BEAT_RATE)
        spectrum = rfft(padded[begin : begin + size] * window, length)
        correlation = irfft(spectrum.real**2 + spectrum.imag**2, length)[:longest]
        correlation /= correlation[0] + 1e-3
        for beats, row in clarity.items():
            row[second] = np.interp(lags * beats, np.arange(longest), correlation)
    gain = 0.3 * clarity[0.5] + clarity[1] + 0.5 * clarity[2] + 0.5 * clarity[4]
    gain -= 0.3 * (np.log2(_TEMPI / 115) / 0.6) ** 2
    distance = np.abs(np.log(_TEMPI)[:, None] - np.log(_TEMPI))
    cost = np.minimum(8 * distance, 3)  # drift is cheap; a sudden change is possible, but dear
    total, back = gain[0], []
    for row in gain[1:]:
        options = total - cost
        back.append(options.argmax(1).astype(np.uint8))
        total = options.max(1) + row
    path = [int(total.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    path.reverse()
    # At a slow tempo the period found may be half the one that is heard.
    regular = max(float(clarity[b][np.arange(len(path)), path].mean()) for b in (1, 2))
    return _TEMPI[path], float(np.clip(regular, 0, 1))


def follow(activation: np.ndarray, periods: np.ndarray) -> list[np.ndarray]:
    """Beat times (s) along each of several period curves, by dynamic programming (Ellis 2007).

    Args:
        activation: (T,) of unit spread, high on beats.
        periods: (H, T) frames between beats.
    """
    count, length = periods.shape
    bend = np.linspace(-0.2, 0.2, 31)  # logarithm of interval over period
    # No interval is shorter than this, so that so many frames can be done at once.
    block = int(periods.min() * 0.8)
    ahead = int(periods.max() * 1.25) + 1  # room for intervals that reach before the song
    best = np.zeros((count, ahead + length))
    previous = np.full((count, length), -1, np.int32)
    rows = np.arange(count)[:, None, None]
    for begin in range(0, length, block):
        frames = np.arange(begin, min(begin + block, length))
        period = periods[:, frames, None]
        lags = np.maximum(np.rint(period * np.exp(bend)).astype(int), block)
        values = best[rows, ahead + frames[:, None] - lags]
        values -= _TIGHTNESS * np.log(lags / period) ** 2
        choice = values.argmax(-1)[..., None]
        value = np.take_along_axis(values, choice, -1)[..., 0]
        lag = np.take_along_axis(lags, choice, -1)[..., 0]
        best[:, ahead + frames] = np.maximum(value, 0) + activation[frames]
        previous[:, frames] = np.where(value > 0, frames - lag, -1)
    result = []
    for score, before, period in zip(best[:, ahead:], previous, periods, strict=True):
        tail = max(0, length - int(np.ceil(period[-1])))
        frame = tail + int(score[tail:].argmax())
        beats = []
        while frame >= 0:
            beats.append(frame)
            frame = before[frame]
        result.append(np.array(beats[::-1]) / BEAT_RATE)
    return result


_TIGHTNESS = 500  # cost of an interval's squared logarithmic deviation; hinders slips of phase


def _cover(beats: np.ndarray, seconds: float) -> np.ndarray:
    """Beats continued at their own pace to both ends of the song."""
    first, last = np.median(np.diff(beats[:9])), np.median(np.diff(beats[-9:]))
    before = np.arange(beats[0] - first, 0, -first)[::-1]
    after = np.arange(beats[-1] + last, seconds, last)
    return np.concatenate([before, beats, after])


def _at(onsets: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(len(times), 4) strongest onsets within 20 ms of the times."""
    frames = np.rint(times * BEAT_RATE).astype(int).clip(0, len(onsets) - 1)
    around = (onsets[(frames + away).clip(0, len(onsets) - 1)] for away in range(-2, 3))
    return reduce(np.maximum, around)


def _readings(loudness: _Loudness, onsets: np.ndarray, tempo: np.ndarray) -> list[_Reading]:
    """The ways to count a song whose clearest period has this tempo curve."""
    length = len(onsets)
    readings = []
    for beats in _levels(onsets, tempo):
        if len(beats) < 4:
            continue
        beats = _cover(beats, length / BEAT_RATE)
        steps = np.arange(0, len(beats) - 1, 0.25)
        grid = np.interp(steps, np.arange(len(beats)), beats)
        heard = _at(onsets, grid)
        # Change of harmony and timbre: mean spectrum of the beat after against the beat before.
        edges = np.rint(np.append(grid, grid[-1] + 0.1) * BEAT_RATE).astype(int).clip(0, length)
        spectra = np.diff(_sums(loudness, edges), axis=0)
        spectra /= np.maximum(np.diff(edges), 1)[:, None]
        running = np.concatenate([np.zeros((1, _TIMBRE)), spectra.cumsum(0, out=spectra)])
        change = np.zeros(len(grid))
        for part in stretches(max(len(spectra) - 7, 0)):
            middle = np.arange(part.start, part.stop) + 4
            after, now, before = running[middle + 4], running[middle], running[middle - 4]
            change[middle] = np.sqrt((((after - 2 * now + before) / 4) ** 2).mean(1))
        table = np.column_stack([heard, change / (change.std() + 1e-9)])
        profile = np.zeros((_STEPS, table.shape[1]))
        for step in range(min(_STEPS, len(table))):
            profile[step] = table[step::_STEPS].mean(0)
        centred = table - table.mean(0)
        power = (centred**2).mean(0) + 1e-9
        alike = [
            float(((centred[lag:] * centred[:-lag]).mean(0) / power).mean())
            if len(centred) > lag + 4
            else 0.0
            for lag in (4, 8, 16)
        ]
        on_grid = float((heard.mean(0) / (onsets.mean(0) + 1e-9)).mean())
        usual = -(np.log2(60 / np.median(np.diff(beats)) / 110) ** 2)
        readings.append(
            _Reading(grid, profile - profile.mean(0), np.array([*alike, on_grid, usual]))
        )
    return readings


def _levels(onsets: np.ndarray, tempo: np.ndarray) -> list[np.ndarray]:
    """Beat times (s) at each level of the metre that a tempo curve may be."""
    novelty = onsets @ _BAND_GAINS
    novelty /= novelty.std() + 1e-9
    seconds = np.arange(len(onsets)) / BEAT_RATE
    curve = np.interp(seconds, np.arange(len(tempo)), tempo)
    ratios = [r for r in _RATIOS if _SLOWEST < np.median(curve) * r < _FASTEST]
    return follow(novelty, np.stack([60 * BEAT_RATE / (curve * ratio) for ratio in ratios]))


def _sums(loudness: _Loudness, edges: np.ndarray) -> np.ndarray:
    """(E, 25) sums of the lower bands over all frames before each of the rising edges."""
    sums = np.zeros((len(edges), _TIMBRE))
    total = np.zeros((1, _TIMBRE))
    for frames, rows in loudness.chunks():
        running = np.concatenate([total, rows[:, :_TIMBRE]]).cumsum(0)
        first, last = np.searchsorted(edges, [frames.start + 1, frames.stop + 1])
        sums[first:last] = running[edges[first:last] - frames.start]
        total = running[-1:]
    return sums


_TIMBRE = 25  # mel bands, up to about 2.6 kHz, by which a change of harmony and timbre is heard


def _settle(onsets: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Beats tracked again by the pattern that the song has around its beats.

    Where little plays (intros, breaks) the first pass may slip by a sixteenth or a half beat; the
    pattern of the whole song tells an off-beat from a beat there.
    """
    from scipy.ndimage import maximum_filter1d, median_filter

    length = len(onsets)
    frames = np.arange(length)
    intervals = median_filter(np.diff(beats), 17, mode="nearest") * BEAT_RATE
    period = np.interp(frames / BEAT_RATE, (beats[1:] + beats[:-1]) / 2, intervals)
    near = maximum_filter1d(onsets, 3, axis=0)
    near -= onsets.mean(0)
    activation = np.zeros(length)
    for sixteenth, weight in ((-2, 0.7), (-1, 1.0), (0, 1.0), (1, 1.0), (2, 0.7)):
        there = beats[:-1] + sixteenth / 4 * np.diff(beats)
        pattern = _at(onsets, there).mean(0) - onsets.mean(0)
        shifted = np.rint(frames + sixteenth * period / 4).astype(int).clip(0, length - 1)
        activation += weight * (near[shifted] @ pattern)
    activation /= activation.std() + 1e-9
    settled = follow(activation, period[None])[0]
    if len(settled) < 4:
        settled = beats
    settled = _cover(settled, length / BEAT_RATE)
    settled -= _LATE
    if len(settled) >= 7:  # beats lie on frames of 10 ms: a steady hand between them
        settled = _steadied(settled)
    return settled


def _steadied(beats: np.ndarray) -> np.ndarray:
    """Each beat where the parabola through seven, itself in the middle, has it (Savitzky-Golay)."""
    # Not by scipy.signal: to import it takes half a second and 25 MB.
    from scipy.ndimage import convolve1d

    places = np.arange(7)
    powers = (3.0 - places) ** np.arange(3)[:, None]
    weights = np.linalg.lstsq(powers, np.array([1.0, 0.0, 0.0]), rcond=None)[0]
    steady = convolve1d(beats, weights, mode="nearest")
    steady[:3] = np.polyval(np.polyfit(places, beats[:7], 2), places[:3])
    steady[-3:] = np.polyval(np.polyfit(places, beats[-7:], 2), places[-3:])
    return steady


_LATE = 0.004  # seconds by which onset strength peaks after a beat; measured on known beats
