"""Decode the sound of any media file, streamed. NumPy and PyAV only.

Audio is float32, full scale [-1, 1]; times are seconds from the start of the file's sound, or of
its video where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Listener
from dancing.media import SAMPLE_RATE
from dancing.media.container import (
    film_of,
    is_bare,
    is_timed,
    missing_bytes,
    open_parts,
    origin_of,
)

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer

LONGEST = 6 * 3600.0  # seconds of sound given at most
LONGEST_GAP = 3600.0  # seconds of silence within a song; time stamps that leap farther are wrong
HOPELESS = 1000  # undecodable packets in a row after which a file is given up
_TOLERANCE = 0.1  # seconds that time stamps may be off the count of samples, as in FFmpeg's players
_RESTART = 1.0  # seconds back after which time stamps are taken to begin anew
_RATES = (1_000, 3_000_000)  # Hz
_MOST_CHANNELS = 64
_LOUDEST = 8.0  # well above full scale, and within what encoders take
_GATHERED = 8192  # samples worked on at once; the frames of some codecs are very short


def decode_blocks(
    path: str | Path,
    sample_rate: int = SAMPLE_RATE,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Iterator[np.ndarray]:
    """Stream the sound of an audio or video file as mono blocks, in bounded memory.

    Time 0 is the first sound of an audio file (encoder priming removed) and the first frame of a
    video, as in `dancing.media.video.read_frames`, so that its sound stays with its frames. Where
    time stamps leave a gap of more than 0.1 s there is silence; where they overlap or run back,
    sound is neither lost nor repeated. Chained Ogg files and joined WAV files are one song.

    Args:
        path: any file that FFmpeg can read. Of several audio tracks the default one is taken,
            else the first, of those that can be decoded.
        sample_rate: of the blocks, in Hz.
        start: where to begin, in seconds >= 0, exact to a sample of the file.
        duration: how much to give at most, in seconds; None is to the end. Never more than
            `LONGEST`, with a note.
        listener: told of what is damaged, and of nonsense in the time stamps.

    Yields:
        (n,) float32, full scale is [-1, 1]: the mean of both channels, or one of them while they
        cancel each other. Surround sound is first mixed to two channels, the low-frequency one
        included.

    Raises:
        DancingError: when the file is missing, empty, no media file or without sound; when
            nothing in it can be decoded; for sample rates outside of 1,000 to 3,000,000 Hz and
            for more than 64 channels. A damaged file gives what can be decoded, with a note.
    """
    for block in _decode(path, sample_rate, start, duration, _Mono(), listener or Listener()):
        yield block[0]


def decode_stereo(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> Generator[np.ndarray, None, None]:
    """Like `decode_blocks`, but for listening: (2, n) float32 blocks.

    Sound of one channel comes from the middle; more than two are mixed as FFmpeg does it.
    """
    return _decode(path, sample_rate, start, duration, _stereo, listener or Listener())


def load_audio(
    path: str | Path,
    start: float = 0.0,
    duration: float | None = None,
    listener: Listener | None = None,
) -> np.ndarray:
    """(N,) float32 mono sound at 22,050 Hz; see `decode_blocks` for the rest."""
    blocks = list(decode_blocks(path, SAMPLE_RATE, start, duration, listener))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


@dataclass(frozen=True)
class _Piece:
    """Some sound as it is in the file.

    Attributes:
        samples: (channels, n): uint8, signed integers, or floats.
        rate: Hz.
        layout: FFmpeg's name of the channels.
    """

    samples: np.ndarray
    rate: int
    layout: str

    @property
    def kind(self) -> tuple[object, ...]:
        return self.samples.dtype, len(self.samples), self.rate, self.layout


def _decode(
    path: str | Path,
    sample_rate: int,
    start: float,
    duration: float | None,
    mix: Callable[[_Piece], np.ndarray],
    listener: Listener,
) -> Generator[np.ndarray, None, None]:
    """Blocks (channels, n) float32, mixed and resampled."""
    import av

    wanted = round(min(LONGEST if duration is None else duration, LONGEST) * sample_rate)
    resampler: av.AudioResampler | None = None
    rate = 0
    for piece in _gathered(_sound(Path(path), start, listener)):
        mixed = np.ascontiguousarray(mix(piece))
        layout = "mono" if len(mixed) == 1 else "stereo"
        converted: list[av.AudioFrame] = []
        # The first piece, or one of a chained stream that changes its rate.
        if resampler is None or piece.rate != rate:
            converted += resampler.resample(None) if resampler else []
            rate = piece.rate
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
        frame = av.AudioFrame.from_ndarray(mixed, format="fltp", layout=layout)
        frame.sample_rate = rate
        for part in chain(converted, resampler.resample(frame)):
            block = part.to_ndarray()[:, :wanted]
            wanted -= block.shape[1]
            if block.shape[1]:
                yield block
        if wanted == 0:
            if duration is None or duration > LONGEST:
                listener.note(f"{path}: longer than {LONGEST / 3600:g} hours, the rest is left out")
            return
    for part in resampler.resample(None) if resampler else ():
        block = part.to_ndarray()[:, :wanted]
        wanted -= block.shape[1]
        if block.shape[1]:
            yield block


def _gathered(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """The pieces in larger ones; NumPy takes as long for a hundred samples as for thousands."""
    waiting: list[np.ndarray] = []
    last: _Piece | None = None
    for piece in chain(pieces, (None,)):
        full = sum(samples.shape[1] for samples in waiting) >= _GATHERED
        if last is not None and (full or piece is None or piece.kind != last.kind):
            yield _Piece(np.concatenate(waiting, axis=1), last.rate, last.layout)
            waiting = []
        if piece is not None:
            waiting.append(piece.samples)
        last = piece


def _sound(path: Path, start: float, listener: Listener) -> Iterator[_Piece]:
    """The sound of a file from `start` on, as in the file, of the best track that gives some."""
    failures: list[_UndecodableError] = []
    for number in count():
        try:
            yield from _sound_of_track(path, number, start, listener)
            return
        except _UndecodableError as error:
            failures.append(error)
        except IndexError:
            break
    if not failures:
        raise DancingError(f"{path}: has no sound")
    raise DancingError(f"{path}: {max(error.why for error in failures)[1]}")


def _sound_of_track(path: Path, number: int, start: float, listener: Listener) -> Iterator[_Piece]:
    """The sound of one of the `_tracks` of a file from `start` on.

    What comes before is decoded, too: only the count of its samples tells exactly where the next
    one belongs, as the times of packets are rounded, and in Vorbis off by milliseconds.

    Raises:
        _UndecodableError: when nothing of it can be decoded; then nothing was given.
        IndexError: when there is no such track.
    """
    reader = _Reader()
    end = promised = 0.0
    leaps = parts = 0
    found = is_ogg = False
    for container in open_parts(path):
        parts += 1
        if container is None:
            reader.fail(_DAMAGED)
            continue
        tracks = _tracks(container)
        if number >= len(tracks):
            continue
        found, track = True, tracks[number]
        clock = _Clock(container, track, end, joined=parts > 1)
        for frame, following in pairwise(chain(reader.frames(container, track), (None,))):
            assert frame is not None
            begin = max(end, start)
            time, end = clock.place(frame, following)
            if end <= start:
                continue
            samples, rate, layout = _samples(frame), frame.sample_rate, frame.layout.name
            for silence in _silence(samples, round((time - begin) * rate)):
                yield _Piece(silence, rate, layout)
            samples = samples[:, max(round((start - time) * rate), 0) :]
            if samples.shape[1]:  # FFmpeg's resampler fails at none
                yield _Piece(samples, rate, layout)
        leaps += clock.leaps
        promised = 0.0 if parts > 1 else _promised(path, container, track, reader.begin)
        is_ogg = container.format.name == "ogg"
    if not found and (number > 0 or not reader.damaged):
        raise IndexError(number)
    if not reader.decoded:
        raise _UndecodableError(reader.why)
    if leaps:
        listener.note(f"{path}: its time stamps leap by hours, taken for a mistake")
    elif end < promised - 1:
        listener.note(f"{path}: cut off, it ends after {end:.1f} s of {promised:.1f} s")
    elif is_ogg and missing_bytes(path) > 0:  # amid a page
        listener.note(f"{path}: cut off, it ends after {end:.1f} s")
    elif reader.damaged:
        listener.note(f"{path}: damaged, {reader.damaged} pieces of its sound left out")


def _tracks(container: InputContainer) -> list[AudioStream]:
    """The audio tracks, the default one first."""
    return sorted(container.streams.audio, key=lambda track: not int(track.disposition) & _DEFAULT)


_DEFAULT = 1  # AV_DISPOSITION_DEFAULT


class _Reader:
    """Decodes a track, through all parts of a file, as far as that is possible.

    Attributes:
        begin: byte of the file at which the first packet begins; None where not known.
        decoded: whether anything could be decoded.
        damaged: packets that could not.
        why: the most telling reason.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.decoded = False
        self.damaged = 0
        self.why = _EMPTY

    def frames(self, container: InputContainer, track: AudioStream) -> Iterator[av.AudioFrame]:
        """The frames of one part that can be decoded."""
        import av

        if track.codec_context is None:
            self.fail(_UNKNOWN)
            return
        packets = container.demux(track)
        failed = 0  # in a row
        while failed < HOPELESS:
            try:
                packet = next(packets)
            except (StopIteration, av.EOFError):
                return
            except av.FFmpegError:
                packets = container.demux(track)  # the error has ended it
                self.fail(_DAMAGED)
                failed += 1
                continue
            if self.begin is None:
                self.begin = packet.pos
            try:
                frames = _decoded(packet)
            except av.EOFError:
                return
            except _UndecodableError as error:
                self.fail(error.why)
                # Before the first frame there may be junk, between joined MP3 files their tags.
                if is_bare(container) and (not self.decoded or bytes(packet)[:3] == b"ID3"):
                    self.damaged -= 1
                failed += 1 - self.decoded
                continue
            if frames:
                failed = 0
                self.decoded = True
            yield from frames

    def fail(self, why: _Why) -> None:
        """Count a packet, or a part, that cannot be decoded."""
        self.damaged += 1
        self.why = max(self.why, why)


_Why = tuple[int, str]  # how telling a reason is compared with others, and the reason
_EMPTY = (0, "has no sound, its audio track is empty")
_DAMAGED = (1, "no sound could be decoded, the file is damaged")
_UNKNOWN = (3, "the codec of its sound cannot be decoded, convert it first")
_ENCRYPTED = (4, "its sound is encrypted (DRM) and cannot be decoded")


class _UndecodableError(Exception):
    """Nothing of a track, or of a packet, can be decoded."""

    def __init__(self, why: _Why) -> None:
        super().__init__(why[1])
        self.why = why


def _decoded(packet: av.Packet[AudioStream]) -> list[av.AudioFrame]:
    """The frames of a packet.

    Raises:
        _UndecodableError: when it cannot be decoded, or is of a rate or number of channels that
            is no song's.
    """
    import av

    if (
        packet.size == 0 and packet.dts is not None
    ):  # an empty one is no fault; the last has no time
        return []
    if packet.has_sidedata("encryption_info"):
        raise _UndecodableError(_ENCRYPTED)
    try:
        frames = packet.decode()
    except av.EOFError:
        raise
    except av.PatchWelcomeError as error:
        raise _UndecodableError(_UNKNOWN) from error
    except av.FFmpegError as error:
        raise _UndecodableError(_DAMAGED) from error
    for frame in frames:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not _RATES[0] <= rate <= _RATES[1]:
            reason = f"sound of {rate:,} Hz, only {_RATES[0]:,} to {_RATES[1]:,} Hz can be used"
            raise _UndecodableError((2, reason))
        if not 1 <= channels <= _MOST_CHANNELS:
            reason = f"sound of {channels} channels, at most {_MOST_CHANNELS} can be used"
            raise _UndecodableError((2, reason))
    return frames


class _Clock:
    """Tells where decoded frames belong in a song, from their time stamps and lengths.

    They are laid one behind the other. Silence comes before a frame whose time stamp, and that of
    the one after it, is later by more than `_TOLERANCE`. Where time stamps run back far, or leap
    by more than `LONGEST_GAP`, they count anew from there.

    Args:
        container, track: what is read.
        end: seconds of the song that there are already.
        joined: whether they are of another part of the same file.

    Attributes:
        leaps: how often the time stamps leapt too far to be obeyed.
    """

    def __init__(
        self, container: InputContainer, track: AudioStream, end: float, joined: bool
    ) -> None:
        self._origin = origin_of(container, track)
        self._obeyed = is_timed(container)
        self._end = end
        # From the time of the file to that of the song: now, and before it last counted anew.
        self._shift = self._earlier = end
        self._begun = joined
        self.leaps = 0

    def place(self, frame: av.AudioFrame, following: av.AudioFrame | None) -> tuple[float, float]:
        """The seconds at which a frame begins and ends; the one that follows is only looked at."""
        length = frame.samples / frame.sample_rate
        late = self._late(frame, self._end)
        if self._begun:
            late = self._obeyed_part_of(late, following, length)
        if abs(late) > LONGEST_GAP or (self._begun and late < 0):
            self.leaps += abs(late) > LONGEST_GAP
            self._shift, self._earlier = self._shift - late, self._shift
            late = 0.0
        begin = self._end + round(late * frame.sample_rate) / frame.sample_rate
        self._begun, self._end = True, begin + length
        return begin, self._end

    def _obeyed_part_of(self, late: float, following: av.AudioFrame | None, length: float) -> float:
        """Seconds of silence before a frame that seems to be late; below 0 where it runs back."""
        if not self._obeyed:
            return 0.0
        if abs(late + self._earlier - self._shift) <= _TOLERANCE:
            self._shift, self._earlier = self._earlier, self._shift
            return 0.0
        if following is not None and late > 0:
            late = min(late, self._late(following, self._end + length))
        return late if late > _TOLERANCE or late < -_RESTART else 0.0

    def _late(self, frame: av.AudioFrame, end: float) -> float:
        """Seconds between `end` and the time stamp of a frame; 0 if it has none."""
        return 0.0 if frame.time is None else frame.time - self._origin + self._shift - end


def _promised(
    path: Path, container: InputContainer, track: AudioStream, begin: int | None
) -> float:
    """How long the sound of a file should be, in seconds; 0 where nothing in it says so."""
    import av

    if is_bare(container) and not _counts_frames(path, begin or 0):
        return 0.0
    if track.duration is not None and track.time_base is not None:
        promised = float(track.duration * track.time_base)
        if container.format.name == "wav" and track.bit_rate:  # FFmpeg goes by the file's size
            promised += missing_bytes(path) * 8 / track.bit_rate
        return promised
    written = re.match(r"(\d{1,6}):(\d\d):(\d\d(\.\d+)?)", track.metadata.get("DURATION", ""))
    if written:
        last = 3600.0 * int(written[1]) + 60 * int(written[2]) + float(written[3])
    else:
        last = 0.0 if film_of(container) else (container.duration or 0) / av.time_base
    return last - origin_of(container, track)


def _counts_frames(path: Path, begin: int) -> bool:
    """Whether an MP3 has a header with the number of its frames, just before the first one."""
    with path.open("rb") as file:
        file.seek(max(begin - 4096, 0))
        header = file.read(min(begin, 4096))
    return any(mark in header for mark in (b"Xing", b"Info", b"VBRI"))


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """(channels, n) in the frame's own numbers."""
    import av

    channels = frame.layout.nb_channels
    if frame.format.is_planar:
        if channels <= 8:
            return frame.to_ndarray()
        (frame,) = av.AudioResampler(format="flt").resample(frame)  # PyAV shows eight planes only
    samples: np.ndarray
    if frame.format.name == "s64":
        samples = np.frombuffer(bytes(frame.planes[0]), np.int64)[: frame.samples * channels]
    else:
        samples = frame.to_ndarray()
    return samples.reshape(-1, channels).T


def _silence(like: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """So many samples of silence, in blocks of the same kind of numbers."""
    zero = 128 if like.dtype.kind == "u" else 0
    for begin in range(0, count, _GATHERED):
        yield np.full((len(like), min(_GATHERED, count - begin)), zero, like.dtype)


def _floats(samples: np.ndarray) -> np.ndarray:
    """float32 of any sample format; full scale is [-1, 1]."""
    with np.errstate(over="ignore"):
        values: np.ndarray = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        values = values / 128 - 1
    elif samples.dtype.kind == "i":
        values /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    # A file of floats may hold anything.
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(-_LOUDEST, _LOUDEST)


def _stereo(piece: _Piece) -> np.ndarray:
    """(2, n) float32 to listen to."""
    samples = _floats(piece.samples)
    if len(samples) == 1:
        return samples.repeat(2, 0)
    if len(samples) == 2:
        return samples
    mixing = _mixing(piece.layout, len(samples), for_ears=True)
    if piece.samples.dtype.kind in "iu":  # in FFmpeg these are never louder than full scale
        mixing = mixing / max(1.0, mixing.sum(1).max())
    return (mixing @ samples).clip(-_LOUDEST, _LOUDEST)


class _Mono:
    """One channel to be analysed.

    The mean of both channels loses what they have in opposite phase. While nearly all is lost of
    what was heard in the last seconds, the louder channel alone is taken; from one to the other
    it goes gradually. All other sound is the plain mean.
    """

    def __init__(self) -> None:
        self._powers = np.zeros(4)  # of the mean, of half the difference, left, right
        self._wanted = 0.0  # how much of half the difference is added: 1 gives left, -1 right
        self._added: float | None = None

    def __call__(self, piece: _Piece) -> np.ndarray:
        samples = _floats(piece.samples)
        if len(samples) > 2:
            mixing = _mixing(piece.layout, len(samples), for_ears=False)
            samples = (mixing / mixing.sum(1, keepdims=True)) @ samples
        if len(samples) == 1:
            return samples
        left, right = samples
        mean, difference = (left + right) / 2, (left - right) / 2
        seconds = len(mean) / piece.rate
        self._powers *= np.exp(-seconds / _MEMORY)
        self._powers += [float(x @ x) for x in (mean, difference, left, right)]
        if (total := self._powers[:2].sum()) > 0:
            kept = self._powers[0] / total
            if self._wanted == 0 and kept < _CANCELLED:
                self._wanted = 1.0 if self._powers[2] >= self._powers[3] else -1.0
            elif kept > _KEPT:
                self._wanted = 0.0
            if self._added is None:
                self._added = self._wanted
        before = self._added or 0.0
        step = seconds / _TURN
        after = before + min(max(self._wanted - before, -step), step)
        if before == after == 0:
            return mean[None]
        self._added = after
        ramp = np.linspace(before, after, len(mean), dtype=np.float32)
        return (mean + ramp * difference)[None]


_CANCELLED, _KEPT = (
    0.11,
    0.4,
)  # shares of the power that are in the mean; of songs, 0.12 is the least
_MEMORY = 2.0  # seconds after which what was heard counts a third
_TURN = 0.5  # seconds to go from the mean to one channel


@lru_cache
def _mixing(name: str, channels: int, for_ears: bool) -> np.ndarray:
    """(2, channels) float32: how much of each of three or more channels is in left and right.

    For ears as FFmpeg does it, which leaves out the low frequencies and what comes from above. To
    be analysed all count: the drum may be in the low frequencies. Where the file does not say the
    places, they are the usual ones; where there are none, all channels count alike.
    """
    import av

    try:
        layout = av.AudioLayout(name)
        if all(channel.name == "NONE" for channel in layout.channels):
            layout = av.AudioLayout(f"{channels}c")
        places = [channel.name for channel in layout.channels]
    except ValueError:
        places = []
    mixing = np.zeros((2, channels), np.float32)
    if _PLACES.issuperset(places):
        for number, place in enumerate(places):
            level = _LEVELS.get(place, 0.0 if for_ears else _HALF)
            side = place.removeprefix("LFE")
            mixing[:, number] = level * ("R" not in side), level * ("L" not in side)
    return mixing if mixing.sum(1).all() else np.full((2, channels), 1 / channels, np.float32)


_HALF = 0.5**0.5  # of the power
_LEVELS = {"FL": 1.0, "FR": 1.0, "FLC": 1.0, "FRC": 1.0, "FC": _HALF, "BC": 0.5}
_LEVELS |= dict.fromkeys(("BL", "BR", "SL", "SR", "TFL", "TFR"), _HALF)
_PLACES = {"LFE", "LFE2", "WL", "WR", "TC", "TFC", "TBL", "TBC", "TBR", "TSL", "TSR"}
_PLACES |= {"BFL", "BFC", "BFR", *_LEVELS}
