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


class Warp:
    """A picture to look up between its pixels.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._height, self._width = picture.shape[:2]
        self._colours = 3 if picture.ndim == 3 else 1
        # Black around it: a pixel before, and two after, so that a whole pixel beyond the edge has
        # a next one.
        self._stride = self._width + 3
        kind: Any = np.uint64 if picture.ndim == 3 else np.uint32
        framed = np.zeros((self._height + 3, self._stride), kind)
        inside = framed[1 : self._height + 1, 1 : self._width + 1]
        planes = np.moveaxis(picture, 2, 0) if picture.ndim == 3 else picture[None]
        inside[...] = planes[-1]
        for plane in planes[-2::-1]:
            inside <<= kind(_LANE)
            inside |= plane
        self._pixels = framed.ravel()

    def __call__(
        self, matrix: NDArray[np.floating], shape: tuple[int, int], repeat_edges: bool = False
    ) -> NDArray[np.uint8]:
        """The picture as seen through an affine map.

        Args:
            matrix: (2, 3), from the new picture's (x, y, 1) to this one's (x, y), in pixels,
                whole numbers being the pixels' middles.
            shape: height and width of the new picture.
            repeat_edges: beyond the edges is their colour, not black.

        Returns:
            (height, width) or (colours, height, width) uint8.
        """
        height, width = shape
        made = np.empty((self._colours, height, width), np.uint8)
        rows = max(1, _BLOCK // width)
        kind = self._pixels.dtype.type
        for top in range(0, height, rows):
            lines = slice(top, min(top + rows, height))
            sums = self._looked_up(
                *(
                    self._places(line, length, lines, width, repeat_edges)
                    for line, length in zip(matrix, (self._width, self._height), strict=True)
                )
            )
            for k in range(self._colours):
                made[k, lines] = sums >> kind(_BITS + k * _LANE)
        return made if self._colours > 1 else made[0]

    def _places(
        self,
        line: NDArray[np.floating],
        length: int,
        lines: slice,
        width: int,
        repeat_edges: bool,
    ) -> NDArray[np.int32]:
        """Where to look along one axis, in 32nds of a pixel from the black frame's edge."""
        across, down, offset = (line * _ONE).astype(np.float32)
        x = across * np.arange(width, dtype=np.float32) + (offset + np.float32(_ONE + 0.5))
        y = down * np.arange(lines.start, lines.stop, dtype=np.float32)
        places = y[:, None] + x
        low, high = (1, length) if repeat_edges else (0, length + 1)
        np.clip(places, low * _ONE, high * _ONE, out=places)
        return places.astype(np.int32)

    def _looked_up(self, x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.unsignedinteger]:
        kind = self._pixels.dtype
        part_x = (x & (_ONE - 1)).astype(np.uint16)
        part_y = (y & (_ONE - 1)).astype(np.uint16)
        both = part_x * part_y
        part_x *= _ONE
        part_y *= _ONE
        right, below = part_x - both, part_y - both
        here = np.uint16(_ONE * _ONE) - part_x - below
        x >>= _ONE.bit_length() - 1
        y >>= _ONE.bit_length() - 1
        y *= self._stride
        y += x
        half = 1 << (_BITS - 1)
        sums = np.full(x.shape, half | half << _LANE | half << 2 * _LANE, np.uint64).astype(kind)
        for offset, weight in (
            (0, here), (1, right), (self._stride, below), (self._stride + 1, both),
        ):  # fmt: skip
            term = self._pixels[offset:].take(y)
            term *= weight
            sums += term
        return sums
