"""Draw a deformed picture: where each pixel comes from, and its colour there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_NEARLY = 0.02  # of a triangle's side: pixels on an edge belong to both
_FLAT = 1e-6  # cells that a triangle covers which is not drawn
_TURNS = np.array([[1, -1], [-1, 1]], np.float32)
_FOLD = 4.0  # times as far apart as cells, where a mesh lies on itself


@dataclass(frozen=True, eq=False)
class Piece:
    """A picture whose places have moved.

    Attributes:
        pixels: (h, w, 4), colours multiplied by alpha.
        places: (N, 2) x, y of the mesh's vertices in `pixels`.
        moved: (N, 2) where they are in the new picture.
        triangles: (M, 3) vertices; of two on one spot the later one is in front.
        shown: uint8 of any size, over all of `pixels`: 0 where there is nothing.
    """

    pixels: NDArray[np.uint8]
    places: Points
    moved: Points
    triangles: NDArray[np.intp]
    shown: NDArray[np.uint8]


def drawn(
    pieces: Sequence[Piece], size: tuple[int, int], stride: int
) -> list[tuple[NDArray[np.uint8], tuple[int, int]] | None]:
    """Pictures whose places have moved.

    Args:
        size: (width, height) of the new picture; what lies outside is left out.
        stride: at every such pixel it is computed where it comes from, between them interpolated.

    Returns:
        Of each piece, pixels (h, w, 4) of a part of the new picture, and its left and top; None
        where nothing of it is inside.
    """
    if not pieces:
        return []
    grids = _Grids(pieces, size, stride)
    return [grids.drawn(number) for number in range(len(pieces))]


class _Grids:
    """Of every so many pixels of the new picture, where they come from in each piece.

    All pieces at once: their cells lie below each other in one array, with a row between them.

    Args:
        pieces, size, stride: see `drawn`.
    """

    def __init__(self, pieces: Sequence[Piece], size: tuple[int, int], stride: int) -> None:
        self._pieces, self._size, self._stride = pieces, size, stride
        first = np.cumsum([0, *(len(piece.places) for piece in pieces[:-1])])
        moved = np.concatenate([piece.moved for piece in pieces])
        places = np.concatenate([piece.places for piece in pieces])
        low, high = np.minimum.reduceat(moved, first), np.maximum.reduceat(moved, first)
        self._low = (np.floor(low / stride).astype(int) - 1).clip(0)
        last = [-(-side // stride) for side in size]
        high = np.minimum(np.ceil(high / stride).astype(int) + 2, last)
        self._sides = high - self._low
        rows = self._sides[:, 1].clip(0) + 1
        self._top = np.cumsum(rows) - rows
        # Of people outside the picture two by two cells remain.
        shape = int(rows.sum()) + 1, int(self._sides[:, 0].max().clip(0)) + 2

        corners = np.concatenate(
            [piece.triangles + start for piece, start in zip(pieces, first, strict=True)]
        )
        which = np.repeat(np.arange(len(pieces)), [len(piece.triangles) for piece in pieces])
        # Cells' middles are whole numbers.
        moved = (moved / stride - 0.5).astype(np.float32)
        places = (places - 0.5).astype(np.float32)
        # Where in the array a cell (0, 0) of the picture would be.
        base = self._top * shape[1] - self._low @ [1, shape[1]]
        limits = np.stack([self._low, high], 1).astype(np.int32)[which]
        triangles = _Triangles(moved[corners], places[corners], limits, base[which])
        owner, self._origin = triangles.cells(shape)
        self._find_folds(triangles, owner)
        self._go_on(owner >= 0)

    def _go_on(self, seen: NDArray[np.bool_]) -> None:
        """Around a mesh its places go on, so that they can be interpolated up to its edge."""
        import cv2

        near = cv2.blur(seen.astype(np.float32), (3, 3))
        self._covered = np.where(near > 1e-3, np.uint8(255), np.uint8(0))
        around = cv2.blur(self._origin, (3, 3)) / np.maximum(near, 1e-3)[..., None]
        self._origin = np.where(seen[..., None], self._origin, around)

    def _find_folds(self, triangles: _Triangles, owner: NDArray[np.intp]) -> None:
        """Where a mesh lies on itself, take pixels from either side of the edge, not from between.

        Args:
            owner: (rows, columns) the triangle that each cell lies in, or -1.
        """
        import cv2

        stride, seen = self._stride, owner >= 0
        folds = np.zeros(owner.shape, np.uint8)
        for one, two in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            steps = cv2.absdiff(self._origin[one], self._origin[two])
            apart = cv2.inRange(steps, (0, 0), (_FOLD * stride, _FOLD * stride)) == 0
            apart &= seen[one] & seen[two]
            folds[one] |= apart
            folds[two] |= apart
        self._folds = np.flatnonzero((cv2.dilate(folds, np.ones((3, 3), np.uint8)) > 0) & seen)
        inner = ((np.arange(stride) + 0.5) / stride - 0.5).astype(np.float32)
        steps = triangles.steps[owner.ravel()[self._folds], :, :, None, None]
        middles = self._origin.reshape(-1, 2)[self._folds, :, None, None]
        places = middles + steps[:, :, 0] * inner + steps[:, :, 1] * inner[:, None]
        self._at_folds = places.transpose(0, 2, 3, 1)

    def drawn(self, number: int) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
        """A piece; see `drawn`."""
        import cv2

        box = self._box(number)
        if box is None:
            return None
        left, top, columns, rows = box
        stride = self._stride
        cells = np.s_[top : top + rows, left : left + columns]
        size = (columns * stride, rows * stride)
        source = cv2.resize(self._origin[cells], size)
        known = cv2.resize(self._covered[cells], size)
        known = cv2.compare(known, 255, cv2.CMP_EQ)
        width = self._origin.shape[1]
        first, last = np.searchsorted(self._folds, [top * width, (top + rows) * width])
        if last > first:
            row, column = np.divmod(self._folds[first:last] - top * width - left, width)
            inside = column < columns
            row, column = row[inside], column[inside]
            source.reshape(rows, stride, columns, stride, 2)[row, :, column] = self._at_folds[
                first:last
            ][inside]
            known.reshape(rows, stride, columns, stride)[row, :, column] = 255
        x = int(self._low[number, 0] + left) * stride
        y = int(self._low[number, 1] + top - self._top[number]) * stride
        part = np.s_[: self._size[1] - y, : self._size[0] - x]
        pixels = cv2.remap(
            self._pieces[number].pixels, source[part], None, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        return cv2.copyTo(pixels, known[part]), (x, y)

    def _box(self, number: int) -> tuple[int, int, int, int] | None:
        """Left, top, columns and rows in the array of what shows anything of a piece, and a cell
        around it; None where nothing does."""
        import cv2

        columns, rows = self._sides[number].tolist()
        if columns <= 0 or rows <= 0:
            return None
        piece, start = self._pieces[number], int(self._top[number])
        cells = np.s_[start : start + rows, :columns]
        scale = np.array(piece.shown.shape[::-1]) / piece.pixels.shape[1::-1]
        places = (self._origin[cells] + 0.5) * scale.astype(np.float32) - 0.5
        shown = cv2.remap(piece.shown, places, None, cv2.INTER_LINEAR)
        left, top, width, height = cv2.boundingRect(cv2.bitwise_and(shown, self._covered[cells]))
        if not width:
            return None
        end, bottom = min(columns, left + width + 1), min(rows, top + height + 1)
        left, top = max(0, left - 1), max(0, top - 1)
        return left, start + top, end - left, bottom - top


class _Triangles:
    """Triangles of meshes, and the cells that lie in them.

    Args:
        corners: (M, 3, 2) in cells of the new picture.
        places: (M, 3, 2) where they come from.
        limits: (M, 2, 2) first and last cell, exclusive, that is wanted.
        base: (M,) where in an array the cell (0, 0) of the new picture would be.

    Attributes:
        steps: (M, 2, 2) how far a cell's place is from that of the next one across, and down.
    """

    def __init__(
        self,
        corners: NDArray[np.float32],
        places: NDArray[np.float32],
        limits: NDArray[np.int32],
        base: NDArray[np.intp],
    ) -> None:
        edges, sides = (each[:, 1:] - each[:, :1] for each in (corners, places))
        area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
        flat = np.abs(area) < _FLAT
        one, two, three = np.moveaxis(corners, 1, 0)
        low = np.minimum(np.minimum(one, two), three)
        high = np.maximum(np.maximum(one, two), three)
        self._first = np.ceil(low - _NEARLY).astype(np.int32)
        across = np.floor(high + _NEARLY).astype(np.int32) - self._first + 1
        most = np.maximum(across[:, 0], across[:, 1])
        # Stretched triangles have larger squares; few are.
        self._squares = 2 ** np.ceil(np.log2(most.clip(1))).astype(np.int32)
        outside = (self._first >= limits[:, 1]) | (self._first + across <= limits[:, 0])
        outside |= across <= 0
        self._squares[flat | outside[:, 0] | outside[:, 1]] = 0
        self._limits, self._base = limits, base
        # Barycentric coordinates grow by so much from one cell to the next, across and down.
        grow = np.stack([edges[:, 1, ::-1], edges[:, 0, ::-1]], 1) * _TURNS
        grow /= np.where(flat, np.float32(np.inf), area)[:, None, None]
        start = (grow @ (self._first - one)[..., None])[..., 0]
        self.steps = sides.swapaxes(1, 2) @ grow
        # With them the places: (4, M) of the first cell, and (2, 4, M).
        self._start = np.hstack([start, places[:, 0] + (start[:, None] @ sides)[:, 0]]).T
        self._grow = np.hstack([grow, self.steps]).transpose(2, 1, 0)

    def cells(self, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Which triangle each cell (rows, columns) lies in, the last one; and its place.

        -1 and 0 where there is none. Barycentric coordinates of all cells in a square around each
        triangle.
        """
        owner = np.full(shape, -1)
        origin = np.zeros((*shape, 2), np.float32)
        for side in np.unique(self._squares[self._squares > 0]):
            these = np.flatnonzero(self._squares == side)
            along = np.arange(side)[:, None]
            first = self._first[these].T
            low, end = self._limits[these].transpose(1, 2, 0)[:, :, None]
            cells = first[:, None] + along
            columns, rows = (cells >= low) & (cells < end)
            # (4, side, side, K): the longest axis is the last one, which NumPy is fastest on.
            across, down = self._grow[:, :, None, these] * along.astype(np.float32)
            down += self._start[:, None, these]
            values = down[:, :, None] + across[:, None]
            b, c = values[:2]
            inside = np.minimum(np.minimum(b, c), 1 - b - c) >= -_NEARLY
            inside &= rows[:, None] & columns
            number, cell = np.nonzero(inside.reshape(-1, len(these)).T)
            corner = self._base[these] + first[0] + first[1] * shape[1]
            place = corner[number] + (along * shape[1] + along[:, 0]).ravel()[cell]
            owner.ravel()[place] = these[number]
            found = values[2:].reshape(2, -1, len(these))[:, cell, number]
            origin.reshape(-1, 2)[place] = found.T
        return owner, origin


def lay_over(
    canvas: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
    opacity: float = 1.0,
) -> None:
    """Lay pixels (h, w, 4), multiplied by alpha, over a canvas.

    Args:
        canvas: (H, W, 4) of the same kind, or (H, W, 3) without alpha; changed.
    """
    import cv2

    if opacity < 1:
        pixels = cv2.convertScaleAbs(pixels, alpha=opacity)
    height, width = pixels.shape[:2]
    box = canvas[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    rest = cv2.merge([cv2.bitwise_not(cv2.extractChannel(pixels, 3))] * box.shape[2])
    cv2.multiply(box, rest, dst=rest, scale=1 / 255)
    if box.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
    box[:] = cv2.add(pixels, rest, dst=rest)
