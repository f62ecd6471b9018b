"""What can be behind the dancer."""

import struct
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest

from dancing.errors import DancingError
from dancing.image.background import Background
from dancing.media.video import encode_png
from videos import plain, write_video


def halves(width=80, height=40):
    """Red left, blue right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = picture[:, width // 2 :, 2] = 255
    return picture


@pytest.mark.parametrize(
    ("name", "colour"),
    [("#0f8", (0, 255, 136)), ("#102030", (16, 32, 48)), ("Lime", (0, 255, 0)), ("#FFF", 255)],
)
def test_colours(name, colour):
    background = Background(name)
    (frame,) = islice(background.frames(30, 20), 1)
    assert frame.shape == (20, 30, 3)
    assert (frame == np.array(colour)).all()
    assert not background.shaded and not background.transparent


def test_transparent():
    background = Background("transparent")
    (frame,) = islice(background.frames(30, 20), 1)
    assert frame.shape == (20, 30, 4) and not frame.any()
    assert background.transparent and not background.shaded


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (300, 100), (34, 38), (90, 160)])
def test_a_picture_covers_the_frame(tmp_path, size):
    """Without bands, in its own proportions, its middle in the middle."""
    path = tmp_path / "p.PNG"
    path.write_bytes(encode_png(halves()))
    background = Background(path)
    first, second = islice(background.frames(*size), 2)
    assert first is second and background.shaded
    assert first.shape == (size[1], size[0], 3)
    middle = size[0] // 2
    assert (first[:, : middle - 4, 0] > 240).all() and (first[:, middle + 4 :, 2] > 240).all()
    np.testing.assert_array_equal(next(Background(halves()).frames(*size)), first)


def test_a_turned_photograph_is_upright(tmp_path):
    """Phones turn pictures by a note in the file."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = 80, 40, "yuvj420p"
    codec.time_base = Fraction(1, 30)
    frame = av.VideoFrame.from_ndarray(halves(), format="rgb24").reformat(format="yuvj420p")
    content = b"".join(bytes(packet) for packet in codec.encode(frame))
    note = struct.pack(">HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)  # a quarter to the right
    note = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + note
    head = b"\xff\xe1" + struct.pack(">H", len(note) + 2)
    (tmp_path / "p.jpg").write_bytes(content[:2] + head + note + content[2:])
    (frame,) = islice(Background(str(tmp_path / "p.jpg")).frames(40, 80), 1)
    assert (frame[:36, :, 0] > 200).all() and (frame[44:, :, 2] > 200).all()


def test_a_video_plays_by_time_and_again(tmp_path):
    shades = [20, 80, 140, 200]
    path = write_video(tmp_path / "v.mp4", [plain(s)[0] for s in shades], fps=15)
    frames = list(islice(Background(path).frames(50, 90), 20))
    assert {frame.shape for frame in frames} == {(90, 50, 3)}
    found = [frame.mean() for frame in frames]
    expected = (shades * 5)[:10]
    np.testing.assert_allclose(found[::2], expected, atol=4)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("none.png", "no file, no colour"),
        ("purpel", "no file, no colour"),
        ("#12345", "#rrggbb"),
        ("text.png", "not a picture"),
        ("text.mp4", "not a media file"),
    ],
)
def test_what_is_no_background_is_refused(tmp_path, monkeypatch, what, says):
    monkeypatch.chdir(tmp_path)
    for name in ("text.png", "text.mp4"):
        (tmp_path / name).write_text("nothing " * 50)
    with pytest.raises(DancingError, match=f"{what}.*{says}"):
        Background(what)
