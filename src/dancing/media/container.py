"""Open media files of known containers, and nothing that such a file may point to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dancing.errors import DancingError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg's names of what is read, which holds its sound and frames itself. What names other files
# or addresses (playlists such as hls, dash, concat, imf; image2, which counts files up; scripts;
# devices) stays out, and so does what makes frames of any text (tty) or raw samples of any bytes.
# Pictures are read elsewhere (picture.py).
_SOUND_FORMATS = (
    "aa aac ac3 ac4 aiff amr amrnb amrwb ape aptx asf asf_o au caf dsf dss dts dtshd eac3 flac gsm "
    "iff ircam latm lc3 loas mlp mmf mp2 mp3 mpc mpc8 nistsphere oma opus qcp qoa shn sln sox "
    "spdif tak truehd tta voc vqf w64 wav wavarc wsd wv xwma"
)
_VIDEO_FORMATS = (
    "3gp apng avi avif av1 cavsvideo dirac dv evc flic flv gif gxf h261 h263 h264 hevc ipod ivf "
    "jpegxl_anim m4v matroska matroska,webm mjpeg mov mov,mp4,m4a,3gp,3g2,mj2 mp4 mpeg mpeg1video "
    "mpeg2video mpegts mpegtsraw mpegvideo mpjpeg mxf nsv nut obu ogg rm swf ty vc1 vob vvc webm "
    "webp wtv yuv4mpegpipe"
)
_FORMATS = ",".join(f"{_SOUND_FORMATS} {_VIDEO_FORMATS}".split())
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_ATTACHED_PICTURE, _STILL = 0x400, 0x80000  # AV_DISPOSITION_ATTACHED_PIC, _STILL_IMAGE


def open_media(path: str | Path) -> InputContainer:
    """A media file, opened; nothing else than this file is ever read.

    Raises:
        DancingError: when the file is missing, a folder, empty or may not be read, or is of no
            known container.
    """
    import av

    path = Path(path)
    if path.is_dir():
        raise DancingError(f"{path}: is a folder, a file is needed")
    if not path.exists():
        raise DancingError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DancingError(f"{path}: the file is empty")
    try:
        return av.open(
            str(path.absolute()),  # a relative name with a colon would be taken for a protocol
            metadata_errors="ignore",
            options=_OPTIONS,
        )
    except PermissionError as error:
        raise DancingError(f"{path}: may not be read (permission denied)") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DancingError(f"{path}: is not a media file, or is damaged") from error


def film_of(container: InputContainer) -> VideoStream | None:
    """The pictures of a video.

    A song's cover and the tiles of a photograph are video streams too, but tell no time
    (`dancing.media.picture` reads photographs).
    """
    still = _ATTACHED_PICTURE | _STILL
    return next((s for s in container.streams.video if not int(s.disposition) & still), None)


def origin_of(container: InputContainer) -> float:
    """Time 0 of a file's pictures and sound alike, in seconds of its own time stamps."""
    import av

    stream = film_of(container) or container.streams.audio[0]
    if stream.start_time is None or stream.time_base is None:
        return (container.start_time or 0) / av.time_base
    return float(stream.start_time * stream.time_base)
