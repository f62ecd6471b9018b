"""Read pictures of any kind: of cameras and phones, drawn, or moving."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from dancing.errors import DancingError
from dancing.media.colour import BT709, is_ordinary, to_screen

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MOST_PIXELS = 110_000_000
"""A picture of more is refused."""
KEPT_PIXELS = 25_000_000
"""A picture of more is made smaller."""
MOST_BYTES = 1_000_000_000
"""A picture's file of more is refused."""
_FORMATS = "AVIF BMP GIF HEIF JPEG JPEG2000 PNG PPM TIFF WEBP".split()
_MOVING = frozenset("AVIF GIF PNG WEBP".split())
_SHORTEST, _INSTEAD = 0.011, 0.1  # seconds a frame is shown, as browsers have it
_ORIENTATION = 0x112  # tag of EXIF
_TURNS = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""What `turned` is to do for an orientation of EXIF."""


_PNG = b"\x89PNG\r\n\x1a\n"
_PACKED = (b"iCCP", b"iTXt", b"zTXt")  # chunks that may unpack to a thousand times their size


class NotAPicture(DancingError):  # noqa: N818
    """A file is no picture of a known kind; it may be something else."""


def is_moving(path: str | Path) -> bool:
    """Whether a picture has several frames that are shown one after the other.

    Raises:
        NotAPicture: when it is no picture.
        DancingError: when it cannot be read.
    """
    with _opened(path) as image:
        return image.format in _MOVING and getattr(image, "is_animated", False)


def read_picture(source: str | Path | bytes) -> NDArray[np.uint8]:
    """A picture, upright, in the colours of an ordinary screen.

    Of several pictures in a file, it is the main one; of a moving one, the first frame.

    Args:
        source: a file, or its content.

    Returns:
        (H, W, 3) uint8 RGB; (H, W, 4) RGBA, alpha not premultiplied, where a part is transparent.
        What has more than `KEPT_PIXELS` is made smaller.

    Raises:
        NotAPicture: when it is no picture.
        DancingError: when it is missing, damaged, or beyond `MOST_PIXELS` or `MOST_BYTES`.
    """
    with _opened(source) as image:
        return _pixels(image)


def read_png(name: str, content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture that a stranger's bundle holds, as from `read_picture`.

    It is checked before it is decoded: pictures can be huge, or name other files.

    Args:
        name: of the file, for errors.
        size: (width, height) that it must have.

    Raises:
        ValueError: when it is no plain PNG of this size.
    """
    if png_size(content) != size:
        raise ValueError(f"{name} is not a picture (PNG) of the card's size")
    at = len(_PNG)
    while len(head := content[at : at + 8]) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in _PACKED:
            raise ValueError(f"{name} holds more than a picture ({kind.decode()})")
        at += length + 12
    try:
        return read_picture(content)
    except DancingError as error:
        raise ValueError(f"{name} is not a picture") from error


def png_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) as the head of a PNG file says; None where it is no PNG."""
    if content[:8] != _PNG:
        return None
    width, height = struct.unpack(">2I", content[16:24].ljust(8))
    return width, height


def read_moving(path: str | Path) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """The frames of a moving picture, each as from `read_picture`, and its seconds.

    Raises:
        DancingError: as `read_picture`.
    """
    from PIL import ImageSequence

    with _opened(path) as image:
        for _ in ImageSequence.Iterator(image):
            picture = _pixels(image)
            seconds = float(image.info.get("duration") or 0) / 1000
            yield picture, seconds if seconds >= _SHORTEST else _INSTEAD


def on_white(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 3), or (H, W, 4) with alpha as it looks on white paper: (H, W, 3)."""
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:].astype(np.uint16)
    return ((picture[..., :3] * alpha + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)


def turned(
    picture: NDArray[np.uint8], transposed: bool, left_right: bool, up_down: bool
) -> NDArray[np.uint8]:
    """A picture (H, W, ...) with its axes exchanged, then mirrored."""
    picture = picture.swapaxes(0, 1) if transposed else picture
    return np.ascontiguousarray(picture[:: -1 if up_down else 1, :: -1 if left_right else 1])


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    name = "the picture" if isinstance(source, bytes) else source
    too_large = DancingError(
        f"{name}: the picture is too large, make it smaller than {MOST_PIXELS // 1_000_000} million"
        " pixels"
    )
    with _bytes_of(source) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large pictures, and of odd ones
                image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise too_large from None
        except UnidentifiedImageError as error:
            raise NotAPicture(f"{name}: is no picture of a known kind, or is damaged") from error
        except Exception as error:
            raise DancingError(f"{name}: the picture is damaged") from error
        if image.width * image.height > MOST_PIXELS:
            raise too_large
        try:
            yield image
        except Exception as error:  # the decoders raise whatever their parts raise
            raise DancingError(f"{name}: the picture is damaged") from error


@contextmanager
def _bytes_of(source: str | Path | bytes) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    path = Path(source)
    if not path.is_file():
        raise DancingError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise NotAPicture(f"{path}: is too large a file for a picture")
    try:
        file = path.open("rb")
    except OSError as error:
        raise DancingError(f"{path}: cannot be read ({error.strerror or error})") from error
    with file:
        yield file


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    scale = (KEPT_PIXELS / (image.width * image.height)) ** 0.5
    size = tuple(max(1, round(side * scale)) for side in image.size)
    if scale < 1:
        image.draft(None, size)  # of what can be made smaller while it is decoded
    image.load()
    turn = _turn(image)
    if image.mode.startswith("I"):  # 16 bits of grey
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    elif image.mode in ("1", "P", "F"):
        image = image.convert("RGB")
    if scale < 1:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    pixels = _ordinary(image)
    if pixels.shape[2] == 4 and pixels[..., 3].min() == 255:
        pixels = pixels[..., :3]
    return turned(pixels, *turn)


def _turn(image: Image.Image) -> tuple[bool, bool, bool]:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1), (False, False, False))
    except Exception:  # a damaged note does no harm to the picture
        return False, False, False


def _ordinary(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3 or 4) in the colours of an ordinary screen."""
    from PIL import ImageCms

    wanted = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):  # a useless profile
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(own):
                screen = ImageCms.createProfile("sRGB")
                return np.array(ImageCms.profileToProfile(image, own, screen, outputMode=wanted))
    pixels = np.array(image.convert(wanted))
    codes = image.info.get("nclx_profile") or {}  # HEIC's own way of a profile
    named = codes.get("color_primaries", BT709), codes.get("transfer_characteristics", BT709)
    if not profile and not is_ordinary(*named):
        pixels[..., :3] = to_screen(pixels[..., :3] * np.uint16(257), *named)
    return pixels
