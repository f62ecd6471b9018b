"""Turned and scaled parts of pictures, by linear interpolation between their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Places are whole 32nds of a pixel, and colours are rounded, as in OpenCV, with which MediaPipe
# looks: its landmarks of the same picture then differ by some thousandths of a pixel.
_ONE = 32
_BITS = 10  # of a weight, the product of two places
# Three colours lie in one number of 64 bits, and are multiplied at once.
_LANE = 20
# So many places are worked on at a time: the arrays then stay in the processor's cache.
_BLOCK = 1 << 15


def warp(
    picture: NDArray[np.uint8],
    matrix: NDArray[np.floating],
    shape: tuple[int, int],
    repeat_edges: bool = False,
) -> NDArray[np.uint8]:
    """A picture as seen through an affine map.

    Args:
        picture: (H, W) or (H, W, 3).
        matrix: (2, 3), from the new picture's (x, y, 1) to this one's (x, y), in pixels, whole
            numbers being the pixels' middles.
        shape: height and width of the new picture.
        repeat_edges: beyond the edges is their colour, not black.

    Returns:
        (height, width) or (3, height, width).
    """
    height, width = shape
    ends = (picture.shape[1], picture.shape[0])
    # From the first pixel of a black frame around the picture.
    lines = np.array(matrix, np.float64)
    lines[:, 2] += 1
    low, high = (1, ends) if repeat_edges else (0, tuple(n + 1 for n in ends))
    corners = lines @ [[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]
    first = np.floor(corners.min(1)).clip(low, high).astype(int)
    last = np.floor(corners.max(1) + 1).clip(low, high).astype(int) + 1
    pixels = _packed(picture, first, last)
    lines[:, 2] -= first
    limits = [((low - a) * _ONE, (b - a) * _ONE) for a, b in zip(first, high, strict=True)]
    colours = picture.shape[2] if picture.ndim == 3 else 1
    made = np.empty((colours, height, width), np.uint8)
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):
        block = slice(top, min(top + rows, height))
        x, y = (
            _places(line, block, width, limit) for line, limit in zip(lines, limits, strict=True)
        )
        sums = _looked_up(pixels, x, y)
        for k in range(colours):
            made[k, block] = sums >> pixels.dtype.type(_BITS + k * _LANE)
    return made if picture.ndim == 3 else made[0]


def _packed(
    picture: NDArray[np.uint8], first: NDArray[np.integer], last: NDArray[np.integer]
) -> NDArray[np.unsignedinteger]:
    """Part of a picture in a black frame, all colours of a pixel in one number.

    Args:
        first, last: x and y, counted from the frame's first pixel, of the outermost pixels.
    """
    kind: Any = np.uint64 if picture.ndim == 3 else np.uint32
    made = np.zeros((last - first + 1)[::-1], kind)
    left, top = (first - 1).clip(0)
    right, bottom = last.clip(None, picture.shape[1::-1])
    part = picture[top:bottom, left:right]
    x, y = np.array([left, top]) + 1 - first
    inside = made[y : y + part.shape[0], x : x + part.shape[1]]
    planes = np.moveaxis(part, 2, 0) if picture.ndim == 3 else part[None]
    inside[...] = planes[-1]
    for plane in planes[-2::-1]:
        inside <<= kind(_LANE)
        inside |= plane
    return made


def _places(
    line: NDArray[np.float64], rows: slice, width: int, ends: tuple[int, int]
) -> NDArray[np.int32]:
    """Where to look along one axis, in 32nds of a pixel."""
    across, down, offset = (line * _ONE).astype(np.float32)
    x = across * np.arange(width, dtype=np.float32) + (offset + np.float32(0.5))
    y = down * np.arange(rows.start, rows.stop, dtype=np.float32)
    places = y[:, None] + x
    np.clip(places, *ends, out=places)
    return places.astype(np.int32)


def _looked_up(
    pixels: NDArray[np.unsignedinteger], x: NDArray[np.int32], y: NDArray[np.int32]
) -> NDArray[np.unsignedinteger]:
    """Weighted sums of four pixels each, and half of what the weights add up to."""
    stride = pixels.shape[1]
    flat = pixels.ravel()
    part_x = (x & (_ONE - 1)).astype(np.uint16)
    part_y = (y & (_ONE - 1)).astype(np.uint16)
    both = part_x * part_y
    part_x *= _ONE
    part_y *= _ONE
    right, below = part_x - both, part_y - both
    here = np.uint16(_ONE * _ONE) - part_x - below
    x >>= _ONE.bit_length() - 1
    y >>= _ONE.bit_length() - 1
    y *= stride
    y += x
    half = 1 << (_BITS - 1)
    sums = np.full(x.shape, half | half << _LANE | half << 2 * _LANE, np.uint64).astype(flat.dtype)
    for offset, weight in ((0, here), (1, right), (stride, below), (stride + 1, both)):
        term = flat[offset:].take(y)
        term *= weight
        sums += term
    return sums
