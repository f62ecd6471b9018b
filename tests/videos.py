"""Videos that tests make: of any frames, at any times, turned, with sound or without."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

AVA = Path(__file__).parent / "data" / "ava.mp4"
"""Three seconds of a rendered dancer with music: 202x360, 30 frames a second."""

_CLOCK = 9000  # ticks a second of the videos made here
_SOUND_RATE = 44100


def write_video(
    path,
    frames,
    times=None,
    fps=30,
    sound=None,
    sound_start=0.0,
    pixel=None,
    clock=_CLOCK,
    matrix=None,
    **context,
):
    """Write a video: frames (H, W, 3) uint8 shown at `times` (default k / fps), and a (N,) sound.

    `pixel` is the shape of a pixel, width over height; `clock` the ticks a second; `matrix` how the
    video is to be shown; `context` holds properties of the codec's context, such as colour tags.
    """
    frames = list(frames)
    times = [k / fps for k in range(len(frames))] if times is None else times
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        # Odd sizes need pixels that are stored one by one.
        odd = height % 2 or width % 2
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = width, height, "yuv444p" if odd else "yuv420p"
        if pixel is not None:
            video.codec_context.sample_aspect_ratio = pixel
        video.options = {"preset": "veryfast", "crf": "16"}
        video.time_base = video.codec_context.time_base = Fraction(1, clock)
        for name, value in context.items():
            setattr(video.codec_context, name, value)
        if matrix is not None:
            video.set_display_matrix(matrix)
        if sound is not None:
            audio = container.add_stream("aac", rate=_SOUND_RATE, layout="mono")
            samples = av.AudioFrame.from_ndarray(
                np.asarray(sound, np.float32)[None], format="fltp", layout="mono"
            )
            samples.sample_rate, samples.pts = _SOUND_RATE, round(sound_start * _SOUND_RATE)
            samples.time_base = Fraction(1, _SOUND_RATE)
        for picture, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if "colorspace" in context:
                frame = frame.reformat(format=video.pix_fmt, dst_colorspace=context["colorspace"])
            frame.pts, frame.time_base = round(time * clock), Fraction(1, clock)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


def turn(path, degrees):
    """Mark an mp4 to be shown turned clockwise, as phones do: the matrix of its first track."""
    data = bytearray(path.read_bytes())
    # 'tkhd' version 0: the matrix begins 44 bytes after the name.
    at = data.index(b"tkhd") + 44
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = np.array([cos, sin, 0, -sin, cos, 0], np.float64) * 65536
    data[at : at + 24] = matrix.astype(">i4").tobytes()
    path.write_bytes(data)
    return path


def sine(seconds, hertz=440):
    """A quiet tone (N,) at 44.1 kHz."""
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * _SOUND_RATE)) / _SOUND_RATE)


def sound_of(path):
    """The sound of a file as (N,) at 44.1 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=_SOUND_RATE)
        frames = [f for raw in container.decode(audio=0) for f in resampler.resample(raw)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def plain(colour, count=1, size=(64, 48)):
    """`count` pictures of one colour; `size` is (width, height)."""
    return [np.full((size[1], size[0], 3), colour, np.uint8)] * count
