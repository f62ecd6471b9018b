"""Reading pictures of every kind."""

import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from dancing.errors import DancingError
from dancing.media import picture as reader
from dancing.media.picture import NotAPicture, is_moving, on_white, read_moving, read_picture

pillow_heif.register_heif_opener()

KINDS = {
    "jpg": {"quality": 95, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "avif": {"quality": 95},
    "heic": {"quality": 95},
}


def scene(width=64, height=48):
    """A picture whose quarters differ: green, blue above; red, blue below."""
    picture = np.zeros((height, width, 3), np.uint8)
    left, top = np.s_[:, : width // 2], np.s_[: height // 2, : width // 2]
    picture[:], picture[left], picture[top] = (0, 0, 255), (255, 0, 0), (0, 255, 0)
    return picture


def close(found, expected, within=6.0):
    return found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < within


@pytest.mark.parametrize("kind", KINDS)
def test_turned_and_mirrored_pictures_are_upright(tmp_path, kind):
    """All eight orientations of EXIF; HEIC and AVIF have boxes of their own for it."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        path = tmp_path / f"{orientation}.{kind}"
        Image.fromarray(scene()).save(path, exif=exif.tobytes(), **KINDS[kind])
        stored = Image.fromarray(scene())
        stored.info["exif"] = exif.tobytes()
        expected = np.asarray(ImageOps.exif_transpose(stored))
        found = read_picture(path)
        assert close(found, expected), orientation
        assert found.flags.c_contiguous and found.dtype == np.uint8


def test_a_photograph_of_tiles_is_whole(tmp_path):
    """As of phones: tiles that reach over the edge, a thumbnail, and which is the main picture."""
    path = tmp_path / "phone.heic"
    picture = scene(300, 200)
    Image.fromarray(picture).save(path, tile_size=128, thumbnails=[64], quality=90)
    assert close(read_picture(path), picture)
    other = Image.fromarray(255 - picture)
    other.save(path, save_all=True, append_images=[Image.fromarray(picture)], primary_index=1)
    assert close(read_picture(path), picture)
    assert not is_moving(path)


@pytest.mark.parametrize(
    ("mode", "kind", "colour"),
    [
        ("CMYK", "jpg", (200, 40, 60)),
        ("L", "jpg", (90, 90, 90)),
        ("P", "png", (200, 40, 60)),
        ("1", "png", (255, 255, 255)),
        ("LA", "png", (90, 90, 90)),
        ("RGB", "jp2", (200, 40, 60)),
        ("RGB", "bmp", (200, 40, 60)),
        ("RGB", "gif", (200, 40, 60)),
        ("16", "png", (156, 156, 156)),
        ("16", "tif", (156, 156, 156)),
    ],
)
def test_colours_of_every_kind(tmp_path, mode, kind, colour):
    path = tmp_path / f"p.{kind}"
    if mode == "16":
        image = Image.fromarray(np.full((8, 10), 40_000, np.uint16))
    elif mode == "1":
        image = Image.new("1", (10, 8), 1)
    else:
        image = Image.new("RGB", (10, 8), (200, 40, 60))
        image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(path, **({"quality": 95} if kind == "jpg" else {}))
    assert close(read_picture(path), np.full((8, 10, 3), colour), 2)


def test_a_profile_is_obeyed(tmp_path):
    """Lightness 50 of a profile that keeps Lab, and a profile that is of no use."""
    path = tmp_path / "p.tif"
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.new("LAB", (4, 4), (128, 128, 128)).save(path, icc_profile=lab)
    assert close(read_picture(path), np.full((4, 4, 3), 119), 3)
    Image.new("RGB", (4, 4), (200, 40, 60)).save(path, icc_profile=b"no profile")
    assert close(read_picture(path), np.full((4, 4, 3), (200, 40, 60)), 1)


def test_transparency_is_told_and_put_on_white(tmp_path):
    path = tmp_path / "p.png"
    pixels = np.dstack([scene(), np.full((48, 64), 255, np.uint8)])
    Image.fromarray(pixels).save(path)
    assert read_picture(path).shape == (48, 64, 3)  # opaque
    pixels[:24, :, 3], pixels[24:36, :, 3] = 0, 128
    Image.fromarray(pixels).save(path)
    found = read_picture(path)
    np.testing.assert_array_equal(found, pixels)
    white = on_white(found)
    assert (white[:24] == 255).all() and (white[36:] == scene()[36:]).all()
    assert (white[24:36, :32] == [255, 127, 127]).all()


def test_a_moving_picture_has_frames_and_times(tmp_path):
    frames = [Image.fromarray(np.full((8, 10, 3), shade, np.uint8)) for shade in (20, 120, 220)]
    for kind in ("gif", "png", "webp", "avif"):
        path = tmp_path / f"p.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[200, 300, 0])
        assert is_moving(path)
        found = list(read_moving(path))
        assert [round(float(picture.mean()), -1) for picture, _ in found] == [20, 120, 220]
        # AVIF stores no time of nothing.
        assert [seconds for _, seconds in found][:2] == pytest.approx([0.2, 0.3], abs=0.002)
        assert found[2][1] == pytest.approx(0.1) or kind == "avif"
        assert close(read_picture(path), np.full((8, 10, 3), 20))


def test_large_pictures_are_made_smaller_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "KEPT_PIXELS", 64 * 48)
    monkeypatch.setattr(reader, "MOST_PIXELS", 256 * 192)
    for kind in ("jpg", "png", "heic"):
        path = tmp_path / f"p.{kind}"
        Image.fromarray(scene(256, 192)).save(path)
        assert close(read_picture(path), scene(), 9)
        Image.fromarray(scene(257, 192)).save(path)
        with pytest.raises(DancingError, match="too large"):
            read_picture(path)
    content = bytearray((tmp_path / "p.png").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)  # of the head, with its sum
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with pytest.raises(DancingError, match="too large"):
        read_picture(bytes(content))
    monkeypatch.setattr(reader, "MOST_BYTES", 10)
    with pytest.raises(NotAPicture, match=r"p\.png: is too large a file"):
        read_picture(tmp_path / "p.png")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures_get_one_line(tmp_path, kind):
    path = tmp_path / f"p.{kind}"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    random = np.random.default_rng(1)
    for length in (0, 3, 30, len(content) // 2, len(content)):
        broken = bytearray(content[:length])
        for at in random.integers(0, max(length, 1), 5):
            if length == len(content):
                broken[at] = random.integers(256)
        path.write_bytes(broken)
        try:
            assert read_picture(path).ndim == 3
        except DancingError as error:
            assert path.name in str(error) and "\n" not in str(error)
    with pytest.raises(DancingError, match="no such file"):
        read_picture(tmp_path / "none.png")
