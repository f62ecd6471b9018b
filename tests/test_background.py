"""What can be behind the dancer."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from dancing.errors import DancingError
from dancing.image.background import Background
from dancing.media.video import encode_png
from media import Recorder
from videos import AVA, plain, write_video


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


@pytest.mark.parametrize("shape", [(16, 4096), (4096, 16), (1, 1), (40, 80)])
def test_any_shape_covers_any_frame(shape):
    for size in ((4096, 16), (16, 4096), (2, 2)):
        (frame,) = islice(Background(np.full((*shape, 3), 99, np.uint8)).frames(*size), 1)
        assert frame.shape == (*size[::-1], 3) and (frame == 99).all()


def test_a_picture_is_told_by_its_content_and_not_by_its_name(tmp_path):
    """FFmpeg would take the name for a pattern that counts files up."""
    red, blue = halves()[:, :20], halves()[:, 60:]
    (tmp_path / "x%03d.jpg").write_bytes(encode_png(red))
    (tmp_path / "x001.jpg").write_bytes(encode_png(blue))
    (tmp_path / "video.png").write_bytes(AVA.read_bytes())
    (frame,) = islice(Background(tmp_path / "x%03d.jpg").frames(20, 40), 1)
    assert (frame == [255, 0, 0]).all()
    first, *_, last = islice(Background(tmp_path / "video.png").frames(40, 72), 60)
    assert (first != last).any()


def test_transparent_parts_become_white_with_a_note(tmp_path):
    picture = np.dstack([halves(), np.full((40, 80), 255, np.uint8)])
    picture[:, :40, 3] = 0
    Image.fromarray(picture).save(tmp_path / "p.png")
    told = Recorder()
    (frame,) = islice(Background(tmp_path / "p.png", told).frames(80, 40), 1)
    assert (frame[:, :36] == 255).all() and (frame[:, 44:] == [0, 0, 255]).all()
    assert "p.png: what is transparent in it becomes white" in told.notes[0]


def test_a_video_plays_by_time_and_again(tmp_path):
    shades = [20, 80, 140, 200]
    path = write_video(tmp_path / "v.mp4", [plain(s)[0] for s in shades], fps=15)
    frames = list(islice(Background(path).frames(50, 90), 20))
    assert {frame.shape for frame in frames} == {(90, 50, 3)}
    found = [frame.mean() for frame in frames]
    expected = (shades * 5)[:10]
    np.testing.assert_allclose(found[::2], expected, atol=4)


def test_a_moving_picture_plays_by_time_and_again(tmp_path):
    shades = [Image.new("RGB", (64, 48), (shade,) * 3) for shade in (20, 120)]
    path = tmp_path / "p.webp"
    shades[0].save(path, save_all=True, append_images=shades[1:], duration=[100, 200])
    frames = list(islice(Background(path).frames(50, 90), 18))
    assert {frame.shape for frame in frames} == {(90, 50, 3)}
    found = [frame.mean() for frame in frames]
    np.testing.assert_allclose(found, ([20] * 3 + [120] * 6) * 2, atol=4)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("none.png", "no file, no colour"),
        ("purpel", "no file, no colour"),
        ("#12345", "#rrggbb"),
        ("text.png", "not a media file"),
        ("text.txt", "not a media file"),
        ("text.mp4", "not a media file"),
    ],
)
def test_what_is_no_background_is_refused(tmp_path, monkeypatch, what, says):
    monkeypatch.chdir(tmp_path)
    for name in ("text.png", "text.txt", "text.mp4"):
        (tmp_path / name).write_text("nothing " * 50)
    with pytest.raises(DancingError, match=f"{what}.*{says}"):
        Background(what)
