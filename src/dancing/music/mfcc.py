"""Mel spectra and MFCC, equal to librosa's, on NumPy and SciPy."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dancing.media import SAMPLE_RATE

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


def mel_power(audio: np.ndarray, hop: int, n_fft: int, n_mels: int) -> np.ndarray:
    """(T, n_mels) float32 mel power; frame t is centred on sample t * hop, zeros beyond the ends.

    Goes through the song in chunks, so that beside the result only a few megabytes are needed.
    """
    from scipy.fft import rfft

    filters = _mel_filters(n_fft, n_mels)
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
        power = spectrum.real**2 + spectrum.imag**2
        result[first:last] = (filters @ power.T).T
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

    mel = mel_power(audio, HOP_LENGTH, N_FFT, N_MELS)
    np.maximum(mel, 1e-10, out=mel)
    np.log10(mel, out=mel)
    mel *= 10
    np.maximum(mel, mel.max() - 80, out=mel)
    return dct(mel, axis=1, norm="ortho", overwrite_x=True)[:, :n_mfcc].copy()
