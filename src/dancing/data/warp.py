"""Turned and scaled parts of pictures, by linear interpolation between their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Places and weights are whole 256ths of a pixel: products then fit 16 bits, of which four
# (a pixel's colours) are multiplied at once as one number of 64 bits.
_ONE = 256
# So many places are worked on at a time: the arrays then stay in the processor's cache.
_BLOCK = 1 << 16


class Warp:
    """A picture to look up between its pixels.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._height, self._width = picture.shape[:2]
        self._colours = picture.shape[2:]
        # Black around it: a pixel before, and two after, so that a whole pixel beyond the edge has
        # a next one.
        rows, self._stride = self._height + 3, self._width + 3
        inside = np.s_[1 : self._height + 1, 1 : self._width + 1]
        if self._colours:
            framed = np.zeros((rows, self._stride, 4), np.uint16)
            for k in range(3):
                framed[inside][..., k] = picture[..., k]
            self._pixels: NDArray[np.unsignedinteger] = framed.view(np.uint64).ravel()
        else:
            framed = np.zeros((rows, self._stride), np.uint16)
            framed[inside] = picture
            self._pixels = framed.ravel()

    def __call__(
        self, matrix: NDArray[np.floating], shape: tuple[int, int], repeat_edges: bool = False
    ) -> NDArray[np.uint16]:
        """The picture as seen through an affine map.

        Args:
            matrix: (2, 3), from the new picture's (x, y, 1) to this one's (x, y), in pixels,
                whole numbers being the pixels' middles.
            shape: height and width of the new picture.
            repeat_edges: beyond the edges is their colour, not black.

        Returns:
            (height, width) or (height, width, 3) uint16, 256 times the colours.
        """
        height, width = shape
        made = np.empty((height, width), self._pixels.dtype)
        rows = max(1, _BLOCK // width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            made[top:bottom] = self._looked_up(
                self._places(matrix[0], self._width, (top, bottom), width, repeat_edges),
                self._places(matrix[1], self._height, (top, bottom), width, repeat_edges),
            )
        if self._colours:
            return made.view(np.uint16).reshape(height, width, 4)[..., :3]
        return made.astype(np.uint16, copy=False)

    def _places(
        self,
        line: NDArray[np.floating],
        length: int,
        rows: tuple[int, int],
        width: int,
        repeat_edges: bool,
    ) -> NDArray[np.int32]:
        """Where to look along one axis, in 256ths of a pixel from the black frame's edge."""
        across, down, offset = (line * _ONE).astype(np.float32)
        start = offset + np.float32(_ONE + 0.5)
        x = across * np.arange(width, dtype=np.float32) + start
        y = down * np.arange(*rows, dtype=np.float32)
        low, high = (1, length) if repeat_edges else (0, length + 1)
        places = y[:, None] + x
        np.clip(places, low * _ONE, high * _ONE, out=places)
        return places.astype(np.int32)

    def _looked_up(self, x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.unsignedinteger]:
        part_x, part_y = x & (_ONE - 1), y & (_ONE - 1)
        both = (part_x * part_y + _ONE // 2) // _ONE
        right, below = part_x - both, part_y - both
        here = _ONE - part_x - below
        x >>= 8
        y >>= 8
        y *= self._stride
        y += x
        made = here.astype(self._pixels.dtype)
        made *= self._pixels.take(y)
        for offset, weight in ((1, right), (self._stride, below), (self._stride + 1, both)):
            term = weight.astype(self._pixels.dtype)
            term *= self._pixels[offset:].take(y)
            made += term
        return made
