"""Decode the sound of any media file, streamed. NumPy and PyAV only.

Audio is float32, full scale [-1, 1]; times are seconds from the start of the file's sound, or of
its video where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Listener
from dancing.media import SAMPLE_RATE
from dancing.media.container import open_media, origin_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


def decode_blocks(
    path: str | Path,
    sample_rate: int = SAMPLE_RATE,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Iterator[np.ndarray]:
    """Stream the sound of an audio or video file as mono blocks, in bounded memory.

    Time 0 is the first sound of an audio file (encoder priming removed) and the first frame of a
    video, as in `dancing.media.video.read_frames`, so that its sound stays with its frames.

    Args:
        path: any file that FFmpeg can read; its first audio track is taken.
        sample_rate: of the blocks, in Hz.
        start: where to begin, in seconds >= 0, exact to a sample of the file.
        duration: how much to give at most, in seconds; None is to the end.
        listener: told of what is damaged.

    Yields:
        (n,) float32, the mean of the channels; full scale is [-1, 1].

    Raises:
        DancingError: when the file is missing, empty, no media file or without sound, or when
            nothing in it can be decoded. A damaged file gives what can be decoded, with a note.
    """
    for block in _decode(path, sample_rate, start, duration, _mono, listener or Listener()):
        yield block[0]


def decode_stereo(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Generator[np.ndarray, None, None]:
    """Like `decode_blocks`, but for listening: (2, n) float32 blocks.

    Sound of one channel, or of more than two, is mixed to the middle.
    """
    return _decode(path, sample_rate, start, duration, _stereo, listener or Listener())


def _decode(
    path: str | Path,
    sample_rate: int,
    start: float,
    duration: float | None,
    mix: Callable[[np.ndarray], np.ndarray],
    listener: Listener,
) -> Generator[np.ndarray, None, None]:
    """Blocks (channels, n) float32, mixed and resampled."""
    import av

    wanted = None if duration is None else round(duration * sample_rate)
    resampler: av.AudioResampler | None = None
    rate = 0
    with _open(Path(path)) as container:
        for samples, samples_rate in _sound(container, Path(path), start, listener):
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
    container = open_media(path)
    if not container.streams.audio:
        container.close()
        raise DancingError(f"{path}: has no sound")
    return container


def _sound(
    container: InputContainer, path: Path, start: float, listener: Listener
) -> Iterator[tuple[np.ndarray, int]]:
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
        listener.note(f"{path}: cut off, it ends after {end:.1f} s of {promised:.1f} s")
    elif damaged:
        listener.note(f"{path}: damaged, {damaged} pieces of its sound left out")


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


def load_audio(
    path: str | Path,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> np.ndarray:
    """(N,) float32 mono sound at 22,050 Hz; see `decode_blocks` for the rest."""
    blocks = list(decode_blocks(path, SAMPLE_RATE, start, duration, listener))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
