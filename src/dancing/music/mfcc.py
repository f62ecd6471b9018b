"""Mel spectra and MFCC, equal to librosa's, on NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dancing.media import SAMPLE_RATE
from dancing.rows import Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HOP_LENGTH = 735
N_FFT = 2048
N_MFCC = 13
N_MELS = 128


@lru_cache(maxsize=4)
def _mel_filters(n_fft: int, n_mels: int) -> csr_array:
    """(n_mels, n_fft // 2 + 1) triangular filters, Slaney's scale and norm (librosa's default).

    Sparse, since a bin is in two of them at most; and a dense product is summed by the BLAS in an
    order that depends on the number of cores, so that each machine would dance a little otherwise.

    Slaney, Auditory Toolbox (1998): linear below 1 kHz (200/3 Hz a mel), logarithmic above.
    """
    from scipy.sparse import csr_array

    knee, step, log_step = 15.0, 200 / 3, np.log(6.4) / 27
    top = knee + np.log(SAMPLE_RATE / 2 / 1000) / log_step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < knee, mels * step, 1000 * np.exp((mels - knee) * log_step))
    bins = np.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return csr_array((triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32))


class MelSpectrum:
    """The mel spectrum of a sound that comes in blocks, of any length in bounded memory.

    Frame t is centred on sample t * hop; there are zeros beyond the ends of the sound.

    Args:
        hop, n_fft: samples from frame to frame, and of a frame.
        n_mels: bands.
        scale: what becomes of power (n, n_mels) float32, number by number.
    """

    def __init__(
        self, hop: int, n_fft: int, n_mels: int, scale: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self._hop, self._n_fft = hop, n_fft
        self._filters = _mel_filters(n_fft, n_mels)
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
        self._scale = scale
        self._rows = Rows(n_mels)
        # Sound from the beginning of the next frame on.
        self._blocks = [np.zeros(n_fft // 2, np.float32)]
        self._held = n_fft // 2
        self._samples = 0

    def add(self, block: np.ndarray) -> None:
        """Hear the next samples, (n,) float at 22,050 Hz."""
        self._blocks.append(np.asarray(block, np.float32))
        self._held += len(block)
        self._samples += len(block)
        ready = max(self._held - self._n_fft + self._hop, 0) // self._hop
        if ready >= _BATCH:
            self._transform(ready // _CHUNK * _CHUNK)

    def finish(self) -> Rows:
        """All frames: (1 + N // hop, n_mels) of N samples."""
        self._blocks.append(np.zeros(self._n_fft // 2, np.float32))
        self._transform(1 + self._samples // self._hop - len(self._rows))
        return self._rows

    def _transform(self, frames: int) -> None:
        """Make the next frames from what is held."""
        from scipy.fft import rfft

        sound = np.concatenate(self._blocks)
        for first in range(0, frames, _CHUNK):
            last = min(first + _CHUNK, frames)
            piece = sound[first * self._hop : (last - 1) * self._hop + self._n_fft]
            spectrum = rfft(sliding_window_view(piece, self._n_fft)[:: self._hop] * self._window)
            power = spectrum.real**2 + spectrum.imag**2
            self._rows.append(self._scale((self._filters @ power.T).T))
        rest = sound[frames * self._hop :].copy()
        self._blocks, self._held = [rest], len(rest)


_CHUNK = 256  # frames that are transformed at once
# Frames that are waited for: in turn with the decoder, NumPy's threads keep it from the processor.
_BATCH = 4 * _CHUNK


def mfcc(audio: np.ndarray, n_mfcc: int = N_MFCC) -> np.ndarray:
    """Mel-frequency cepstral coefficients, as `librosa.feature.mfcc(hop_length=735)` has them.

    Args:
        audio: (N,) float32 at 22,050 Hz, N >= 1.
        n_mfcc: coefficients to keep, 1 to 128.

    Returns:
        (1 + N // 735, n_mfcc) float32, 30 rows a second (librosa's array, transposed). They come
        from 128 mel bands in dB, cut 80 dB below the song's loudest, by an orthonormal DCT-II.
    """
    spectrum = decibel_spectrum()
    spectrum.add(audio)
    return cepstrum(spectrum.finish(), n_mfcc)


def decibel_spectrum() -> MelSpectrum:
    """The spectrum that `cepstrum` needs, still to be told of the sound."""
    return MelSpectrum(HOP_LENGTH, N_FFT, N_MELS, _decibels)


def cepstrum(decibels: Rows, n_mfcc: int = N_MFCC) -> np.ndarray:
    """(T, n_mfcc) MFCC of a `decibel_spectrum`; see `mfcc`."""
    from scipy.fft import dct

    floor = np.max([rows.max() for _, rows in decibels.chunks()]) - 80
    result = np.empty((len(decibels), n_mfcc), np.float32)
    for frames, rows in decibels.chunks():
        np.maximum(rows, floor, out=rows)
        result[frames] = dct(rows, axis=1, norm="ortho", overwrite_x=True)[:, :n_mfcc]
    return result


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-10))
