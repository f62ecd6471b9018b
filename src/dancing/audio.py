"""Songs: decode any media file, and hear in it what a dancer needs (MFCC, beats).

Only NumPy, SciPy and PyAV. Times are seconds from the start of what was loaded; audio is mono
float32 at 22,050 Hz; feature rows come at 30 a second, row t centred on t / 30 s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dancing.errors import DancingError, DancingWarning

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

SAMPLE_RATE = 22050
HOP_LENGTH = 735
N_FFT = 2048
N_MFCC = 13
N_MELS = 128
FPS = 30

SHORTEST = 0.1  # seconds of sound below which there is no song

# ------------------------------------------------------------------------------------ decoding


def decode_blocks(
    path: str | Path,
    sample_rate: int = SAMPLE_RATE,
    start: float = 0.0,
    duration: float | None = None,
) -> Iterator[np.ndarray]:
    """Stream the sound of an audio or video file as mono blocks, in bounded memory.

    Time 0 is the first sound of an audio file (encoder priming removed) and the start of the
    pictures of a video, as in `video.read_frames`, so that its sound stays with its pictures.

    Args:
        path: any file that FFmpeg can read; its first audio track is taken.
        sample_rate: of the blocks, in Hz.
        start: where to begin, in seconds >= 0, exact to a sample of the file.
        duration: how much to give at most, in seconds; None is to the end.

    Yields:
        (n,) float32, the mean of the channels; full scale is [-1, 1].

    Raises:
        DancingError: when the file is missing, empty, no media file or without sound, or when
            nothing in it can be decoded. A damaged file gives what can be decoded, with a warning.
    """
    for block in _decode(path, sample_rate, start, duration, _mono):
        yield block[0]


def decode_stereo(
    path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> Iterator[np.ndarray]:
    """Like `decode_blocks`, but for listening: (2, n) float32 blocks.

    Sound of one channel, or of more than two, is mixed to the middle.
    """
    return _decode(path, sample_rate, start, duration, _stereo)


def _decode(
    path: str | Path,
    sample_rate: int,
    start: float,
    duration: float | None,
    mix: Callable[[np.ndarray], np.ndarray],
) -> Iterator[np.ndarray]:
    """Blocks (channels, n) float32, mixed and resampled."""
    import av

    wanted = None if duration is None else round(duration * sample_rate)
    resampler: av.AudioResampler | None = None
    rate = 0
    with _open(Path(path)) as container:
        for samples, samples_rate in _sound(container, Path(path), start):
            mixed = mix(samples)
            layout = "mono" if len(mixed) == 1 else "stereo"
            converted: list[av.AudioFrame] = []
            # The first frame, or a chained stream that changes its rate.
            if resampler is None or samples_rate != rate:
                if resampler:
                    converted += resampler.resample(None)
                rate = samples_rate
                resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
            frame = av.AudioFrame.from_ndarray(mixed, format="fltp", layout=layout)
            frame.sample_rate = rate
            for part in chain(converted, resampler.resample(frame)):
                block = part.to_ndarray()
                if wanted is not None:
                    block = block[:, :wanted]
                    wanted -= block.shape[1]
                if block.shape[1]:
                    yield block
            if wanted == 0:
                return
        for part in resampler.resample(None) if resampler else ():
            block = part.to_ndarray()[:, :wanted]
            if block.shape[1]:
                yield block


def _open(path: Path) -> InputContainer:
    """The opened file, which is sure to have an audio track."""
    import av

    if path.is_dir():
        raise DancingError(f"{path}: is a folder, a song file is needed")
    if not path.exists():
        raise DancingError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DancingError(f"{path}: the file is empty")
    try:
        # A relative name with a colon would be taken for a protocol.
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise DancingError(f"{path}: may not be read (permission denied)") from error
        raise DancingError(f"{path}: is not a media file, or is damaged") from error
    if not container.streams.audio:
        container.close()
        raise DancingError(f"{path}: has no sound")
    return container


def film_of(container: InputContainer) -> VideoStream | None:
    """The pictures of a video; a song's cover is a video stream too, but tells no time."""
    streams = container.streams.video
    return next((s for s in streams if not int(s.disposition) & _ATTACHED_PICTURE), None)


def origin_of(container: InputContainer) -> float:
    """Time 0 of a file's pictures and sound alike, in seconds of its own time stamps."""
    import av

    stream = film_of(container) or container.streams.audio[0]
    if stream.start_time is None or stream.time_base is None:
        return (container.start_time or 0) / av.time_base
    return float(stream.start_time * stream.time_base)


def _sound(container: InputContainer, path: Path, start: float) -> Iterator[tuple[np.ndarray, int]]:
    """Decoded sound from `start` on: ((channels, n) float32, its sample rate), as in the file.

    Packets before `start` are read but not decoded. Seeking by the container would be faster on
    an hour's file, but is inexact for mp3 and others that carry no time stamps.
    """
    import av

    stream = container.streams.audio[0]
    origin = origin_of(container)
    drop: int | None = None  # samples still to be left out
    end = 0.0  # seconds up to which sound was decoded
    decoded, damaged = False, 0
    packets = container.demux(stream)
    while True:
        begun = True
        try:
            packet = next(packets)
            if packet.pts is not None and packet.time_base is not None:
                time = float(packet.pts * packet.time_base) - origin
                if time < start - _PREROLL:
                    continue
                begun = time >= start
            frames = packet.decode()
        except (StopIteration, av.EOFError):
            break
        except av.FFmpegError:
            damaged += begun  # in the pre-roll a decoder may complain: it lacks what went before
            if damaged > HOPELESS and not decoded:
                break
            continue
        for frame in frames:
            decoded = True
            samples = _samples(frame)
            if drop is None:
                # A raw stream may carry no time stamps: it begins at the origin.
                stamp = origin if frame.time is None else frame.time
                time = stamp - origin
                drop, end = round((start - time) * frame.sample_rate), time
                if drop < 0:  # the sound of a video may begin after its first picture
                    limit = (container.duration or 0) / av.time_base * frame.sample_rate
                    samples = np.pad(samples, ((0, 0), (int(min(-drop, limit)), 0)))
            if drop < samples.shape[1]:
                yield samples[:, max(drop, 0) :], frame.sample_rate
            drop = max(drop - samples.shape[1], 0)
            end += samples.shape[1] / frame.sample_rate
    if damaged and not decoded:
        raise DancingError(f"{path}: no sound could be decoded, the file is damaged")
    if not decoded and start <= 0:
        raise DancingError(f"{path}: has no sound, its audio track is empty")
    promised = float((stream.duration or 0) * (stream.time_base or Fraction(0)))
    # The length of a bare AAC stream is a guess of FFmpeg's, from its first bit rates.
    if decoded and end < promised - 1 and container.format.name != "aac":
        message = f"{path}: cut off, it ends after {end:.1f} s of {promised:.1f} s"
        warnings.warn(message, DancingWarning, stacklevel=2)
    elif damaged:
        message = f"{path}: damaged, {damaged} pieces of its sound left out"
        warnings.warn(message, DancingWarning, stacklevel=2)


_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC
_LOUDEST = 8.0  # well above full scale, and within what encoders take
_PREROLL = 1.0  # seconds decoded before the start, for decoders that need a past
HOPELESS = 1000  # undecodable packets in a row after which a file is given up


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """(channels, n) float32 of any sample format; full scale is [-1, 1]."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    with np.errstate(over="ignore"):
        values: np.ndarray = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        values = values / 128 - 1
    elif samples.dtype.kind == "i":
        values /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    # A file of floats may hold anything.
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(-_LOUDEST, _LOUDEST)


def _mono(samples: np.ndarray) -> np.ndarray:
    return samples.mean(0, dtype=np.float64, keepdims=True).astype(np.float32)


def _stereo(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(samples) if len(samples) == 2 else _mono(samples).repeat(2, 0)


def load_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> np.ndarray:
    """(N,) float32 mono sound at 22,050 Hz; see `decode_blocks` for the rest."""
    blocks = list(decode_blocks(path, SAMPLE_RATE, start, duration))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


# ------------------------------------------------------------------------------------ spectra


@lru_cache(maxsize=4)
def _mel_filters(n_fft: int, n_mels: int) -> np.ndarray:
    """(n_mels, n_fft // 2 + 1) triangular filters, Slaney's scale and norm (librosa's default).

    Slaney, Auditory Toolbox (1998): linear below 1 kHz (200/3 Hz a mel), logarithmic above.
    """
    knee, step, log_step = 15.0, 200 / 3, np.log(6.4) / 27
    top = knee + np.log(SAMPLE_RATE / 2 / 1000) / log_step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < knee, mels * step, 1000 * np.exp((mels - knee) * log_step))
    bins = np.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _mel_power(audio: np.ndarray, hop: int, n_fft: int, n_mels: int) -> np.ndarray:
    """(T, n_mels) float32 mel power; frame t is centred on sample t * hop, zeros beyond the ends.

    Goes through the song in chunks, so that beside the result only a few megabytes are needed.
    """
    from scipy.fft import rfft

    filters = _mel_filters(n_fft, n_mels).T
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    n_frames = 1 + len(audio) // hop
    result = np.empty((n_frames, n_mels), np.float32)
    for first in range(0, n_frames, _CHUNK):
        last = min(first + _CHUNK, n_frames)
        begin, end = first * hop - n_fft // 2, (last - 1) * hop + n_fft // 2
        piece = np.zeros(end - begin, np.float32)
        inside = audio[max(begin, 0) : max(end, 0)]
        piece[max(-begin, 0) :][: len(inside)] = inside
        spectrum = rfft(sliding_window_view(piece, n_fft)[::hop] * window)
        result[first:last] = (spectrum.real**2 + spectrum.imag**2) @ filters
    return result


_CHUNK = 256  # frames of one chunk


def mfcc(audio: np.ndarray, n_mfcc: int = N_MFCC) -> np.ndarray:
    """Mel-frequency cepstral coefficients, as `librosa.feature.mfcc(hop_length=735)` has them.

    Args:
        audio: (N,) float32 at 22,050 Hz, N >= 1.
        n_mfcc: coefficients to keep, 1 to 128.

    Returns:
        (1 + N // 735, n_mfcc) float32, 30 rows a second (librosa's array, transposed). They come
        from 128 mel bands in dB, cut 80 dB below the song's loudest, by an orthonormal DCT-II.
    """
    from scipy.fft import dct

    mel = _mel_power(audio, HOP_LENGTH, N_FFT, N_MELS)
    np.maximum(mel, 1e-10, out=mel)
    np.log10(mel, out=mel)
    mel *= 10
    np.maximum(mel, mel.max() - 80, out=mel)
    return dct(mel, axis=1, norm="ortho", overwrite_x=True)[:, :n_mfcc].copy()


# ------------------------------------------------------------------------------------ beats


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
_BEAT_RATE = SAMPLE_RATE / _BEAT_HOP  # about 100 frames a second
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

# What tells the right reading of a song's metre: how much louder than average the onsets of each
# band are at each sixteenth of a bar, the first being the downbeat, then five other signs (see
# _Reading.cues). Learned by recipes/beat_template.py (logistic regression over readings).
# fmt: off
_TEMPLATE = np.array(
    [
        # below 220 Hz
        [0.28, -0.21, -0.43, 0.08, -0.01, -0.11, 0.11, 0.03,
         0.12, -0.10, 0.09, 0.04, -0.05, 0.01, 0.06, 0.10],
        # to 810 Hz
        [0.28, -0.27, -0.03, 0.17, -0.02, -0.06, -0.02, -0.04,
         -0.09, -0.04, 0.22, -0.03, -0.12, 0.17, -0.11, -0.03],
        # to 2.3 kHz
        [0.06, -0.18, -0.13, 0.17, 0.09, -0.19, -0.07, -0.28,
         0.02, -0.04, 0.09, 0.00, 0.24, 0.10, 0.11, 0.01],
        # above
        [-0.39, -0.18, 0.12, -0.08, 0.30, -0.36, -0.15, -0.44,
         0.05, -0.06, 0.16, 0.19, 0.41, 0.12, 0.22, 0.09],
        # change of sound and harmony
        [1.61, 0.32, 0.79, -0.19, 0.29, -0.91, 0.10, 0.28,
         -0.37, -1.16, -0.31, -0.20, -0.08, -0.45, 0.00, 0.29],
    ]
)
# fmt: on
_CUES = np.array([0.6, 0.78, 0.97, 0.3, 2.29])


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
        turned = [np.roll(self.profile, -shift, axis=0).T for shift in range(_STEPS)]
        return np.einsum("sbj,bj->s", turned, _TEMPLATE) + self.cues @ _CUES


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
    none = Beats(np.zeros(0), 0.0, np.zeros(0), 0.0)
    if len(audio) < 2 * SAMPLE_RATE or not np.any(audio):
        return none
    log_mel, onsets = _onsets(audio)
    tempo, confidence = _tempo_curve(onsets @ _BAND_GAINS)
    readings = _readings(log_mel, onsets, tempo) if confidence > _NO_PULSE else []
    if not readings:
        return none
    scores = np.array([reading.scores() for reading in readings])
    best, shift = np.unravel_index(scores.argmax(), scores.shape)
    grid = readings[best].grid
    times = _settle(onsets, grid[shift % 4 :: 4])
    # The bars of the reading vote on which of the settled beats begin one.
    bars = np.searchsorted(times, grid[shift::_STEPS] - 0.15)
    downbeat = int(np.bincount(bars % 4, minlength=4).argmax())

    loud = np.flatnonzero(log_mel.max(1) > _AUDIBLE) / _BEAT_RATE
    heard = (times >= max(loud[0] - 0.07, 0)) & (times <= loud[-1] + 0.07)
    is_downbeat = np.arange(len(times)) % 4 == downbeat
    if heard.sum() < 2:
        return none
    return Beats(
        times=times[heard],
        tempo=60 / float(np.median(np.diff(times))),
        downbeats=times[heard & is_downbeat],
        confidence=confidence,
    )


_AUDIBLE = 0.05  # of _onsets' logarithmic scale: about 50 dB below the song's mean


def _onsets(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel spectrogram (T, 40), and onset strength (T, 4) in bands, about 1 when strong.

    SuperFlux: what is louder than the loudest of three neighbouring bands 20 ms ago, so that
    vibrato and glides are no onsets.
    """
    from scipy.ndimage import maximum_filter1d

    log_mel = np.sqrt(_mel_power(audio, _BEAT_HOP, _BEAT_FFT, _BEAT_MELS))
    log_mel *= 20 / (log_mel.mean() + 1e-9)
    np.log1p(log_mel, out=log_mel)
    rise = np.zeros_like(log_mel)
    rise[2:] = np.maximum(log_mel[2:] - maximum_filter1d(log_mel[:-2], 3, axis=1), 0)
    bands = [rise[:, low:high].mean(1) for low, high in pairwise(_BANDS)]
    onsets = np.stack(bands, axis=1).astype(np.float64)
    spread = onsets.std(0)
    if spread.max() < _STEADY:
        return log_mel, np.zeros_like(onsets)
    # A band without onsets is not blown up to the size of the others.
    return log_mel, onsets / (spread + 0.1 * spread.max() + 0.01)


_STEADY = 0.05  # spread of onset strength below which a sound is a mere tone; songs have 0.2 to 0.7


def _tempo_curve(novelty: np.ndarray) -> tuple[np.ndarray, float]:
    """The clearest period: beats a minute at each second, and its mean autocorrelation."""
    from scipy.fft import irfft, next_fast_len, rfft

    size, longest = int(10 * _BEAT_RATE), int(4.2 * _BEAT_RATE)
    window, length = np.hanning(size), next_fast_len(2 * size)
    padded = np.pad(novelty - novelty.mean(), (size // 2, size))
    correlations = []
    for second in range(int(np.ceil(len(novelty) / _BEAT_RATE))):
        begin = round(second * _BEAT_RATE)
        spectrum = rfft(padded[begin : begin + size] * window, length)
        correlation = irfft(spectrum.real**2 + spectrum.imag**2, length)[:longest]
        correlations.append(correlation / (correlation[0] + 1e-3))
    table = np.array(correlations)

    lags = 60 * _BEAT_RATE / _TEMPI
    clarity = {
        beats: np.stack([np.interp(lags * beats, np.arange(longest), row) for row in table])
        for beats in (0.5, 1, 2, 4)
    }
    gain = 0.3 * clarity[0.5] + clarity[1] + 0.5 * clarity[2] + 0.5 * clarity[4]
    gain -= 0.3 * (np.log2(_TEMPI / 115) / 0.6) ** 2
    distance = np.abs(np.log(_TEMPI)[:, None] - np.log(_TEMPI))
    cost = np.minimum(8 * distance, 3)  # drift is cheap; a sudden change is possible, but dear
    total, back = gain[0], []
    for row in gain[1:]:
        options = total - cost
        back.append(options.argmax(1))
        total = options.max(1) + row
    path = [int(total.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    path.reverse()
    # At a slow tempo the period found may be half the one that is heard.
    regular = max(float(clarity[b][np.arange(len(path)), path].mean()) for b in (1, 2))
    return _TEMPI[path], float(np.clip(regular, 0, 1))


def _follow(activation: np.ndarray, periods: np.ndarray) -> list[np.ndarray]:
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
    previous = np.full((count, length), -1)
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
        result.append(np.array(beats[::-1]) / _BEAT_RATE)
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
    from scipy.ndimage import maximum_filter1d

    frames = np.rint(times * _BEAT_RATE).astype(int).clip(0, len(onsets) - 1)
    return maximum_filter1d(onsets, 5, axis=0)[frames]


def _readings(log_mel: np.ndarray, onsets: np.ndarray, tempo: np.ndarray) -> list[_Reading]:
    """The ways to count a song whose clearest period has this tempo curve."""
    length = len(onsets)
    novelty = onsets @ _BAND_GAINS
    seconds = np.arange(length) / _BEAT_RATE
    curve = np.interp(seconds, np.arange(len(tempo)), tempo)
    ratios = [r for r in _RATIOS if _SLOWEST < np.median(curve) * r < _FASTEST]
    periods = np.stack([60 * _BEAT_RATE / (curve * ratio) for ratio in ratios])
    summed = np.concatenate([np.zeros((1, log_mel.shape[1])), log_mel.cumsum(0, np.float64)])
    readings = []
    for beats in _follow(novelty / (novelty.std() + 1e-9), periods):
        if len(beats) < 4:
            continue
        beats = _cover(beats, length / _BEAT_RATE)
        steps = np.arange(0, len(beats) - 1, 0.25)
        grid = np.interp(steps, np.arange(len(beats)), beats)
        heard = _at(onsets, grid)
        # Change of harmony and timbre: mean spectrum of the beat after against the beat before.
        edges = np.rint(np.append(grid, grid[-1] + 0.1) * _BEAT_RATE).astype(int).clip(0, length)
        spectra = np.diff(summed[edges], axis=0) / np.maximum(np.diff(edges), 1)[:, None]
        running = np.concatenate([np.zeros((1, log_mel.shape[1])), spectra.cumsum(0)])
        middle = np.arange(4, len(spectra) - 3)
        after, now, before = running[middle + 4], running[middle], running[middle - 4]
        change = np.zeros(len(grid))
        change[middle] = np.sqrt((((after - 2 * now + before)[:, :25] / 4) ** 2).mean(1))
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


def _settle(onsets: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Beats tracked again by the pattern that the song has around its beats.

    Where little plays (intros, breaks) the first pass may slip by a sixteenth or a half beat; the
    pattern of the whole song tells an off-beat from a beat there.
    """
    from scipy.ndimage import maximum_filter1d, median_filter
    from scipy.signal import savgol_filter

    length = len(onsets)
    frames = np.arange(length)
    intervals = median_filter(np.diff(beats), 17, mode="nearest") * _BEAT_RATE
    period = np.interp(frames / _BEAT_RATE, (beats[1:] + beats[:-1]) / 2, intervals)
    near = maximum_filter1d(onsets, 3, axis=0) - onsets.mean(0)
    activation = np.zeros(length)
    for sixteenth, weight in ((-2, 0.7), (-1, 1.0), (0, 1.0), (1, 1.0), (2, 0.7)):
        there = beats[:-1] + sixteenth / 4 * np.diff(beats)
        pattern = _at(onsets, there).mean(0) - onsets.mean(0)
        shifted = np.rint(frames + sixteenth * period / 4).astype(int).clip(0, length - 1)
        activation += weight * (near[shifted] @ pattern)
    settled = _follow(activation / (activation.std() + 1e-9), period[None])[0]
    if len(settled) < 4:
        settled = beats
    settled = _cover(settled, length / _BEAT_RATE)
    settled -= _LATE
    if len(settled) >= 7:  # beats lie on frames of 10 ms: a steady hand between them
        settled = savgol_filter(settled, 7, 2)
    return settled


_LATE = 0.004  # seconds by which onset strength peaks after a beat; measured on known beats


# ------------------------------------------------------------------------------------ songs


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


def load_song(path: str | Path, start: float = 0.0, duration: float | None = None) -> Song:
    """Load a song (or the part from `start` seconds, `duration` long) and its features.

    Raises:
        DancingError: when it cannot be decoded (see `decode_blocks`) or is shorter than 0.1 s.
    """
    path = Path(path)
    audio = load_audio(path, start, duration)
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
