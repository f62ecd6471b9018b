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
_PICTURE_FORMATS = (
    "bmp_pipe dds_pipe dpx_pipe exr_pipe gif_pipe hdr_pipe ico j2k_pipe jpeg_pipe jpegls_pipe "
    "jpegxl_pipe pam_pipe pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe png_pipe ppm_pipe "
    "psd_pipe qoi_pipe sgi_pipe sunrast_pipe tiff_pipe webp_pipe xbm_pipe xpm_pipe xwd_pipe"
)
_FORMATS = ",".join(f"{_SOUND_FORMATS} {_VIDEO_FORMATS} {_PICTURE_FORMATS}".split())
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_JPEG = b"\xff\xd8\xff"  # by its name FFmpeg takes a JPEG for image2
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC


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
        with path.open("rb") as file:
            jpeg = file.read(len(_JPEG)) == _JPEG
        return av.open(
            str(path.absolute()),  # a relative name with a colon would be taken for a protocol
            format="jpeg_pipe" if jpeg else None,
            metadata_errors="ignore",
            options=_OPTIONS,
        )
    except PermissionError as error:
        raise DancingError(f"{path}: may not be read (permission denied)") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DancingError(f"{path}: is not a media file, or is damaged") from error


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
