"""Open media files of known containers, and nothing that such a file may point to."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from dancing.errors import DancingError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg's names of what is read, which holds its sound and frames itself. What names other files
# or addresses (playlists such as hls, dash, concat, imf; image2, which counts files up; scripts;
# devices) stays out, and so does what makes frames of any text (tty) or raw samples of any bytes.
# Pictures are read elsewhere (picture.py).
_BARE_FORMATS = (
    "aac ac3 ac4 amr amrnb amrwb aptx dts dtshd eac3 gsm latm lc3 loas mlp mp2 mp3 shn sln spdif "
    "truehd"
)
_SOUND_FORMATS = (
    "aa aiff ape asf asf_o au caf dsf dss flac iff ircam mmf mpc mpc8 nistsphere oma qcp qoa sox "
    "tak tta voc vqf w64 wav wavarc wsd wv xwma"
)
_VIDEO_FORMATS = (
    "3gp apng avi avif av1 cavsvideo dirac dv evc flic flv gif gxf h261 h263 h264 hevc ipod ivf "
    "jpegxl_anim m4v matroska matroska,webm mjpeg mov mov,mp4,m4a,3gp,3g2,mj2 mp4 mpeg mpeg1video "
    "mpeg2video mpegts mpegtsraw mpegvideo mpjpeg mxf nsv nut obu ogg rm swf ty vc1 vob vvc webm "
    "webp wtv yuv4mpegpipe"
)
_FORMATS = ",".join(f"{_BARE_FORMATS} {_SOUND_FORMATS} {_VIDEO_FORMATS}".split())
MOST_PIXELS = 8192 * 4320
"""A video's picture of more is not decoded."""
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "max_pixels": str(MOST_PIXELS),  # FFmpeg decodes a picture when it opens a file
}
_ATTACHED_PICTURE, _STILL = 0x400, 0x80000  # AV_DISPOSITION_ATTACHED_PIC, _STILL_IMAGE
_MOST_PARTS = 1000


def open_media(path: str | Path) -> InputContainer:
    """A media file, opened; nothing else than this file is ever read.

    Raises:
        DancingError: when the file is missing, a folder, a pipe or a device, empty or may not be
            read, or is of no known container.
    """
    path = Path(path)
    _check(path)
    # A relative name with a colon would be taken for a protocol.
    return _opened(str(path.absolute()), path)


def open_parts(path: str | Path) -> Iterator[InputContainer | None]:
    """The parts of a media file, opened one after another: the links of a chained Ogg file, as of
    internet radio, or joined WAV files; any other file is one part.

    Each link may be of another codec, rate or channel count, and its time stamps begin anew.

    Yields:
        An open container, closed when the next one is asked for; None for a part that cannot be
        read.

    Raises:
        DancingError: as `open_media`; and for a file of more than 1,000 parts.
    """
    path = Path(path)
    _check(path)
    bounds = _bounds_of_parts(path)
    if len(bounds) == 2:
        with open_media(path) as container:
            yield container
        return
    if len(bounds) > _MOST_PARTS + 1:
        raise DancingError(f"{path}: joined of more than {_MOST_PARTS:,} files, split it up")
    with path.open("rb") as file:
        for begin, end in pairwise(bounds):
            try:
                container = _opened(_Window(file, begin, min(end, path.stat().st_size)), path)
            except DancingError:
                yield None
                continue
            with container:
                yield container


def missing_bytes(path: str | Path) -> int:
    """How much an Ogg or WAV file lacks of the length that its last page or its header tells."""
    return _bounds_of_parts(Path(path))[-1] - Path(path).stat().st_size


def is_bare(container: InputContainer) -> bool:
    """Whether a file is a mere run of packets of sound, its length a guess of FFmpeg's."""
    return container.format.name in _BARE_FORMATS.split()


def is_timed(container: InputContainer) -> bool:
    """Whether packets of sound carry times of their own; else FFmpeg makes them up by counting.

    AVI counts, too, and wrongly where the bit rate varies.
    """
    name = container.format.name
    return name in f"{_VIDEO_FORMATS} asf asf_o flac".split() and name != "avi"


def _check(path: Path) -> None:
    if path.is_dir():
        raise DancingError(f"{path}: is a folder, a file is needed")
    if not path.exists():
        raise DancingError(f"{path}: no such file")
    if not path.is_file():
        raise DancingError(f"{path}: is no regular file but a pipe or device; save it as a file")
    if path.stat().st_size == 0:
        raise DancingError(f"{path}: the file is empty")


def _opened(source: str | _Window, path: Path) -> InputContainer:
    import av

    try:
        return av.open(
            source,
            "r",
            metadata_errors="ignore",
            options=_OPTIONS,
        )
    except PermissionError as error:
        raise DancingError(f"{path}: may not be read (permission denied)") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DancingError(f"{path}: is not a media file, or is damaged") from error


class _Window:
    """A part of an open file, as a file to read."""

    def __init__(self, file: io.BufferedReader, begin: int, end: int) -> None:
        self._file, self._begin, self._end = file, begin, end
        file.seek(begin)

    def read(self, size: int) -> bytes:
        return self._file.read(max(0, min(size, self._end - self._file.tell())))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._begin, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._end}
        return self._file.seek(max(self._begin, base[whence] + offset)) - self._begin

    def tell(self) -> int:
        return self._file.tell() - self._begin


def _bounds_of_parts(path: Path) -> list[int]:
    """Bytes where the parts of a file begin, and where the last one ought to end."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"OggS", b"RIFF"):
            return [0, path.stat().st_size]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if head[:4] == b"OggS":
                return _bounds_of_links(data)
            return _bounds_of_waves(data) if head[8:] == b"WAVE" else [0, len(data)]


def _bounds_of_links(data: mmap.mmap) -> list[int]:
    """As `_bounds_of_parts`. In Ogg, pages that begin a stream begin a link, too, unless they
    follow another such page."""
    bounds: list[int] = []
    position, beginning = 0, False
    while position + 27 <= len(data):
        if data[position : position + 4] != b"OggS":
            found = data.find(b"OggS", position)
            position = len(data) if found < 0 else found
            continue
        if data[position + 5] & 2:
            if not beginning:
                bounds.append(position)
            beginning = True
        else:
            beginning = False
        segments = data[position + 26]
        position += 27 + segments + sum(data[position + 27 : position + 27 + segments])
    return [0, *bounds[1:], max(position, len(data))]


def _bounds_of_waves(data: mmap.mmap) -> list[int]:
    """As `_bounds_of_parts`, for WAV files one behind the other."""
    bounds = [0]
    while True:
        size = int.from_bytes(data[bounds[-1] + 4 : bounds[-1] + 8], "little")
        end = bounds[-1] + 8 + size + size % 2
        if size == 0 or size >= _UNKNOWN_SIZE:
            return [*bounds, len(data)]
        if data[end : end + 4] != b"RIFF":
            return [*bounds, max(end - 1, len(data))]
        bounds.append(end)


_UNKNOWN_SIZE = 0x7F000000  # and more is written by who streams a WAV and cannot know


def film_of(container: InputContainer) -> VideoStream | None:
    """The pictures of a video.

    A song's cover and the tiles of a photograph are video streams too, but tell no time
    (`dancing.media.picture` reads photographs).
    """
    still = _ATTACHED_PICTURE | _STILL
    return next((s for s in container.streams.video if not int(s.disposition) & still), None)


def origin_of(container: InputContainer, sound: AudioStream | None = None) -> float:
    """Time 0 of a file's pictures and sound alike, in seconds of its own time stamps.

    That is its first picture; in a file without pictures, the begin of the track of `sound`.
    """
    import av

    stream = film_of(container) or sound or container.streams.audio[0]
    if stream.start_time is None or stream.time_base is None:
        return (container.start_time or 0) / av.time_base
    return float(stream.start_time * stream.time_base)
