"""Read frames of any video; write frames and a song's sound into one. PyAV throughout."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.listener import Listener, Silent
from dancing.media.colour import BT709, is_ordinary, to_screen
from dancing.media.container import film_of, open_media, origin_of
from dancing.media.picture import on_white, turned
from dancing.media.sound import HOPELESS, decode_stereo

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

FPS = 30
LONGEST = 6 * 3600.0
"""Seconds of a video that are read; what comes after is left out."""
LONGEST_HELD = 60.0
"""Seconds without a new picture after which a video is over."""
MOST_PIXELS = 8192 * 4320
"""Pixels of a video's picture, as stored and as shown; larger ones are refused."""
_REORDERED = 16  # pictures by which a codec puts one out of order, at most
_UNSPECIFIED = 2
_QUARTERS = [
    (False, False, False),
    (True, False, True),
    (False, True, True),
    (True, True, False),
]
"""What `turned` is to do for quarters to the left."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Codec:
    name: str
    pixels: str
    options: dict[str, Any]


@dataclass(frozen=True)
class _Format:
    """How a kind of file is written.

    Attributes:
        container: FFmpeg's name of it.
        opaque, transparent: codecs of the pictures; None where there can be no transparency.
        sound: codec of the sound.
        rate: samples a second.
        options: of the container.
    """

    container: str
    opaque: _Codec
    transparent: _Codec | None
    sound: str
    rate: int
    options: dict[str, str]


_H264 = _Codec("libx264", "yuv420p", {"preset": "veryfast", "crf": "18"})
_PRORES = _Codec("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})
# As fast as VP9 gets. Transparency asks for no frames out of order.
_FAST_VP9 = {
    **{"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "20", "b": "0"},
    **{"auto-alt-ref": "0", "lag-in-frames": "0"},
}
_FORMATS = {
    ".mp4": _Format("mp4", _H264, None, "aac", 44_100, {"movflags": "+faststart"}),
    ".mov": _Format("mov", _H264, _PRORES, "aac", 44_100, {"movflags": "+faststart"}),
    ".webm": _Format(
        "webm",
        _Codec("libvpx-vp9", "yuv420p", _FAST_VP9),
        _Codec("libvpx-vp9", "yuva420p", _FAST_VP9),
        "libopus",
        48_000,
        {},
    ),
}


def check_output(path: str | Path, transparent: bool = False) -> None:
    """Refuse a name whose suffix says no video that can be written.

    Raises:
        DancingError: for such a suffix, or one of files without transparency where it is wanted.
    """
    _format_of(path, transparent)


def _format_of(path: str | Path, transparent: bool) -> tuple[_Format, _Codec]:
    found = _FORMATS.get(Path(path).suffix.lower())
    if found is None:
        raise DancingError(f"{path}: a video is written as {', '.join(_FORMATS)}")
    codec = found.transparent if transparent else found.opaque
    if codec is None:
        raise DancingError(
            f"{path}: {Path(path).suffix} cannot be transparent; write a .webm, or a .mov"
        )
    return found, codec


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, as seen on a screen (rotation and pixel shape applied).

    Attributes:
        width, height: pixels.
        fps: average frames a second; videos of phones often vary around it.
        duration: seconds from the start of the pictures, at most `LONGEST`; 0 if the file does
            not say.
        has_sound: whether there is an audio track.
    """

    width: int
    height: int
    fps: float
    duration: float
    has_sound: bool


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and length of a video.

    Raises:
        DancingError: when the file is missing, is no media file, or has no pictures, or larger ones
            than `MOST_PIXELS`.
    """
    with _open_video(path) as (container, stream):
        frame = next(_decode(container, stream, path, Silent()), None)
        if frame is None:
            raise DancingError(f"{path}: no picture of this video can be decoded")
        width, height = _display_size(frame, stream)
        end = ((container.start_time or 0) + (container.duration or 0)) / av.time_base
        duration = max(end - origin_of(container), 0.0) if container.duration else 0.0
        rate = 1 / _interval(stream)
        return VideoInfo(width, height, rate, min(duration, LONGEST), bool(container.streams.audio))


def read_frames(
    path: str | Path,
    fps: float = FPS,
    height: int | None = None,
    listener: Listener | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video at a constant rate, resampled by time, upright, streamed.

    Time 0 is the first frame, as in `dancing.media.sound.decode_blocks`, also where the sound
    begins earlier or later.

    Args:
        path: any video that FFmpeg reads. Variable frame rate, rotation, mirroring and pixel shape
            are obeyed. Colours that the file does not name are those of BT.709 from 720 lines or
            1280 columns on, else of BT.601, as players have it; HDR and wide gamuts become
            ordinary (`dancing.media.colour`); transparent parts are white. It ends before a gap of
            more than `LONGEST_HELD`, and after `LONGEST`.
        fps: output rate; output frame k shows the input frame nearest to k / fps seconds.
        height: output height in pixels, the width keeps the aspect (both even); None keeps
            the size.
        listener: told of what is damaged or left out.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        DancingError: when the file is missing, is no media file, or has no pictures, or larger ones
            than `MOST_PIXELS`. A damaged file gives what can be decoded, with a note.
    """
    listener = listener or Listener()
    with _open_video(path) as (container, stream):
        count = 0
        previous: tuple[float, av.VideoFrame] | None = None
        picture: NDArray[np.uint8] | None = None
        size: tuple[int, int] | None = None
        for time, frame in _timed(container, stream, path, listener):
            size = size or _output_size(frame, stream, height, path)
            reached = previous[0] if previous else 0.0
            if time - reached > LONGEST_HELD or time > LONGEST:
                why = f"more than {LONGEST / 3600:.0f} h long"
                if time - reached > LONGEST_HELD:
                    why = f"without pictures for {time - reached:.0f} s"
                listener.note(f"{path}: {why}, what comes after {reached:.1f} s is left out")
                break
            if previous is not None:
                picture = None
                while count / fps < (previous[0] + time) / 2:
                    picture = _upright(previous[1], size) if picture is None else picture
                    yield picture
                    count += 1
            previous = (time, frame)
        if previous is None or size is None:
            raise DancingError(f"{path}: no picture of this video can be decoded")
        length = min(_interval(stream), LONGEST_HELD)
        picture = _upright(previous[1], size)
        while count == 0 or count / fps < previous[0] + length - 0.5 / fps:
            yield picture
            count += 1


def ahead(items: Iterator[_Item], depth: int = 4) -> Generator[_Item, None, None]:
    """The items, made up to `depth` ahead in a thread, while the last one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        pending = deque(thread.submit(next, items, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item


def resize(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture (H, W), (H, W, 3) or (H, W, 4) uint8 at another size.

    Bicubic up, area average down.
    """
    if picture.shape[:2] == (height, width):
        return picture
    pixels = "gray" if picture.ndim == 2 else {3: "rgb24", 4: "rgba"}[picture.shape[2]]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=pixels)
    return _reformatted(frame, width, height, pixels).to_ndarray().astype(np.uint8, copy=False)


def fitting_width(width: int, height: int, wanted: int) -> int:
    """The even width of a picture of this size when it is made `wanted` high."""
    return max(2, 2 * round(width * wanted / height / 2))


def cut(picture: NDArray[np.uint8], view: Sequence[float]) -> NDArray[np.uint8]:
    """The view (left, top, right, bottom) of a picture (H, W, ...), in fractions of its size.

    Outside the picture, its edge is repeated.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = (
        round(value * side) for value, side in zip(view, (width, height) * 2, strict=True)
    )
    return cut_crop(picture, (left, top), (right - left, bottom - top))


def cut_crop(
    picture: NDArray[np.uint8], corner: Sequence[int] | NDArray[np.int64], crop: tuple[int, int]
) -> NDArray[np.uint8]:
    """A crop of (width, height) pixels, from its left and top corner, of a picture (H, W, ...).

    Outside the picture, its edge is repeated.
    """
    rows = np.clip(np.arange(corner[1], corner[1] + crop[1]), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(corner[0], corner[0] + crop[0]), 0, picture.shape[1] - 1)
    return picture[rows[:, None], columns]


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) uint8 RGB as the content of a PNG file."""
    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width = picture.shape[:2]
    codec.pix_fmt, codec.time_base = "rgb24", Fraction(1, FPS)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


class VideoWriter:
    """Write a video with sound frame by frame. Use as a context manager.

    The suffix chooses the format: .mp4 (H.264, AAC, faststart), .mov (H.264, or ProRes 4444 where
    transparent; AAC) or .webm (VP9, Opus). The file appears under its name only when the block
    ends without an error. The sound is streamed from the song's file and cut, or padded with
    silence, to the length of the pictures.

    Args:
        path: the video to make.
        width, height: pixels, both even.
        sound: a media file whose sound goes in, or None for a silent video.
        start: where in the song to begin, seconds.
        transparent: pictures have a fourth channel, straight (not premultiplied) alpha; .mov and
            .webm only.
        listener: told of what is damaged in the sound.

    Raises:
        DancingError: when the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        sound: str | Path | None = None,
        start: float = 0.0,
        transparent: bool = False,
        listener: Listener | None = None,
    ) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"a video needs an even width and height, not {width}x{height}")
        self._format, self._codec = _format_of(path, transparent)
        self._layout = "rgba" if transparent else "rgb24"
        self._size = (width, height)
        self._sound = sound
        self._start = start
        self._listener = listener
        self._file = write_then_rename(path)
        self._count = 0
        self._samples = 0

    def __enter__(self) -> VideoWriter:
        self._temporary = self._file.__enter__()
        try:
            self._open()
        except BaseException as error:
            self._file.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failure:
            kind, error, trace = type(failure), failure, failure.__traceback__
            raise
        finally:
            if self._sound is not None:
                self._blocks.close()
            # FFmpeg writes a trailer when it closes, which fails once more on a full disk.
            try:
                self._container.close()
            except (FFmpegError, OSError) as failure:
                if kind is None:
                    kind, error, trace = type(failure), failure, failure.__traceback__
                    self._file.__exit__(kind, error, trace)
                    raise
            self._file.__exit__(kind, error, trace)

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Add one picture, (H, W, 3) uint8 RGB, or (H, W, 4) with alpha where transparent."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=self._layout)
        picture = _reformatted(picture, *self._size, self._codec.pixels, BT709)
        picture.pts = self._count
        picture.time_base = Fraction(1, FPS)
        self._container.mux(self._video.encode(picture))
        self._count += 1
        self._write_sound(until=self._count)

    def _open(self) -> None:
        self._container = av.open(
            str(self._temporary.absolute()),
            "w",
            format=self._format.container,
            options=self._format.options,
        )
        video = self._container.add_stream(self._codec.name, rate=FPS)
        self._video = cast("VideoStream", video)
        self._video.width, self._video.height = self._size
        self._video.pix_fmt = self._codec.pixels
        self._video.options = self._codec.options
        if self._layout == "rgba":
            self._video.metadata["alpha_mode"] = "1"  # without it, browsers show a .webm opaque
        context = self._video.codec_context
        # Threads that share a frame can make x264 write the same pictures in other bytes.
        context.thread_type = "FRAME"
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = 1
        if self._sound is not None:
            rate = self._format.rate
            sound = self._container.add_stream(self._format.sound, rate=rate, layout="stereo")
            self._audio = cast("AudioStream", sound)
            self._audio.bit_rate = 192_000
            self._blocks = decode_stereo(self._sound, rate, self._start, listener=self._listener)
            self._left_over = np.zeros((2, 0), np.float32)

    def _write_sound(self, until: int) -> None:
        """Encode the sound up to the end of video frame `until`, keeping both interleaved."""
        if self._sound is None:
            return
        rate = self._format.rate
        target = until * rate // FPS
        while self._samples < target:
            if not self._left_over.shape[1]:
                silence = np.zeros((2, target - self._samples), np.float32)
                self._left_over = next(self._blocks, silence)
            part = self._left_over[:, : target - self._samples]
            self._left_over = self._left_over[:, part.shape[1] :]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part), format="fltp", layout="stereo"
            )
            frame.sample_rate = rate
            frame.pts = self._samples
            frame.time_base = Fraction(1, rate)
            self._samples += part.shape[1]
            self._container.mux(self._audio.encode(frame))

    def _finish(self) -> None:
        self._container.mux(self._video.encode(None))
        if self._sound is not None:
            self._container.mux(self._audio.encode(None))


@contextmanager
def _open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with open_media(path) as container:
        stream = film_of(container)
        if stream is None:
            raise DancingError(f"{path}: has no pictures, a video is needed")
        if stream.codec_context is None:
            raise DancingError(f"{path}: its kind of video cannot be decoded")
        _check_size(path, stream.width, stream.height)
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        stream.thread_type = "AUTO"
        yield container, stream


def _check_size(path: str | Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise DancingError(
            f"{path}: pictures of {width}x{height} are too large, at most "
            f"{MOST_PIXELS // 1_000_000} million pixels can be read"
        )


def _interval(stream: VideoStream) -> float:
    """Seconds from one picture to the next, on average."""
    # What has no time stamps has no average either, but for a number that FFmpeg makes up.
    told = stream.average_rate if stream.start_time is not None else None
    return 1 / float(told or stream.guessed_rate or FPS)


def _timed(
    container: InputContainer, stream: VideoStream, path: str | Path, listener: Listener
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The pictures in the order they are shown, and when, in seconds from the start.

    A decoder gives them in that order, whatever their time stamps. Where these are missing, the
    pictures are counted. Where they are out of order, they are those of decoding, as always in an
    AVI, and are sorted. Where they fall back by more, another recording begins.
    """
    start, interval = origin_of(container), _interval(stream)
    avi = container.format.name == "avi"
    depth = _REORDERED if avi else 0
    delayed = avi or stream.start_time is None
    waiting: deque[av.VideoFrame] = deque()
    times: list[float] = []
    latest = start - interval
    shift = 0.0

    def first() -> tuple[float, av.VideoFrame]:
        nonlocal start, delayed
        if delayed:  # FFmpeg made up the times of display, with the delay of decoding
            start, delayed = min(times[0], start + _REORDERED * interval), False
        return heappop(times) - start, waiting.popleft()

    for number, frame in enumerate(_decode(container, stream, path, listener)):
        if frame.time is None:
            if not number and stream.start_time is None:
                listener.note(
                    f"{path}: has no time stamps, taken for {1 / interval:.4g} pictures a second"
                )
            time = latest + interval
        else:
            time = frame.time + shift
            if time < latest - _REORDERED * interval:
                shift += latest + interval - time
                time = latest + interval
            elif time < latest:
                depth = _REORDERED
        latest = max(latest, time)
        waiting.append(frame)
        heappush(times, time)
        while len(waiting) > depth:
            yield first()
    while waiting:
        yield first()


def _decode(
    container: InputContainer, stream: VideoStream, path: str | Path, listener: Listener
) -> Iterator[av.VideoFrame]:
    """Decode as far as possible: what is damaged is left out, with one note at the end."""
    packets = container.demux(stream)
    damaged = in_a_row = 0
    while in_a_row < HOPELESS:
        try:
            frames = next(packets).decode()
        except (StopIteration, EOFError):
            break
        except FFmpegError:
            damaged += 1
            in_a_row += 1
            packets = container.demux(stream)  # an error of its own has ended it
            continue
        if frames:
            in_a_row = 0
        yield from frames
    if damaged:
        listener.note(f"{path}: damaged, {damaged} pieces of its pictures left out")


def _display_size(frame: av.VideoFrame, stream: VideoStream) -> tuple[int, int]:
    pixel = float(stream.sample_aspect_ratio or 1)
    if not 0.1 <= pixel <= 10:  # no camera's, but a mistake
        pixel = 1.0
    width, height = max(1, round(frame.width * pixel)), frame.height
    return (height, width) if _turn(frame)[0] else (width, height)


def _output_size(
    frame: av.VideoFrame, stream: VideoStream, height: int | None, path: str | Path
) -> tuple[int, int]:
    width, full = _display_size(frame, stream)
    if height is not None:
        width, full = fitting_width(width, full, height), height
    _check_size(path, width, full)
    return width, full


def _turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How a picture is to be `turned` to be upright, to the nearest quarter."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV gives nothing where it does not know all, as in a 3D video
        return _QUARTERS[round(frame.rotation / 90) % 4]
    if matrix is None:
        return _QUARTERS[0]
    # A point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _upright(frame: av.VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    turn = _turn(frame)
    width, height = size[::-1] if turn[0] else size
    ordinary = is_ordinary(frame.color_primaries, frame.color_trc)
    pixels = "rgb48le" if not ordinary else "rgba" if _has_alpha(frame.format.name) else "rgb24"
    high = frame.height >= 720 or frame.width >= 1280
    own = BT709 if high and frame.colorspace == _UNSPECIFIED else None
    scaled = _reformatted(frame, width, height, pixels, own=own)
    picture = cast("NDArray[Any]", scaled.to_ndarray())
    if not ordinary:
        picture = to_screen(picture, frame.color_primaries, frame.color_trc)
    return turned(on_white(picture), *turn)


@cache
def _has_alpha(pixels: str) -> bool:
    return any(part.is_alpha for part in av.VideoFormat(pixels).components) or pixels == "pal8"


_reformatters = threading.local()


def _reformatted(
    frame: av.VideoFrame,
    width: int,
    height: int,
    pixels: str,
    colorspace: int | None = None,
    own: int | None = None,
) -> av.VideoFrame:
    """A frame in another size or pixel format.

    `colorspace` is what it becomes, and `own` what it is where its own tag is not to be taken.
    FFmpeg's scaler takes longer to set up than to run, so one is kept for each kind of use; and
    it holds state, so each thread has its own.
    """
    key = (frame.width, frame.height, frame.format.name, width, height, pixels)
    scalers: dict[Any, VideoReformatter] = _reformatters.__dict__
    scaler = scalers.setdefault(str(key), VideoReformatter())
    way = "AREA" if height < frame.height else "BICUBIC"
    return scaler.reformat(
        frame,
        width,
        height,
        pixels,
        src_colorspace=own,
        dst_colorspace=colorspace,
        interpolation=way,
    )
