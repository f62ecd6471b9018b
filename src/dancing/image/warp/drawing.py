"""Draw a deformed picture: where each pixel comes from, and its colour there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_NEARLY = 0.02  # of a triangle's side: pixels on an edge belong to both
_OUTSIDE = -99.0
_ALL = 0.999  # of the cells around are known
_FLAT = 1e-6  # cells that a triangle covers which is not drawn
_FOLD = 4.0  # times as far apart as cells, where a mesh lies on itself


def drawn(
    pixels: NDArray[np.uint8],
    places: Points,
    moved: Points,
    triangles: NDArray[np.intp],
    size: tuple[int, int],
    stride: int,
) -> tuple[NDArray[np.uint8], tuple[int, int]] | None:
    """A picture whose places have moved.

    Args:
        pixels: (h, w, 4), colours multiplied by alpha.
        places: (N, 2) x, y of the mesh's vertices in `pixels`.
        moved: (N, 2) where they are in the new picture.
        triangles: (M, 3) vertices; of two on one spot the later one is in front.
        size: (width, height) of the new picture; what lies outside is left out.
        stride: at every such pixel it is computed where it comes from, between them interpolated.

    Returns:
        Pixels (h, w, 4) of a part of the new picture, and its left and top; None where nothing of
        it is inside.
    """
    import cv2

    low = np.floor(moved.min(0) / stride).astype(int) - 1
    high = np.ceil(moved.max(0) / stride).astype(int) + 2
    low = low.clip(0)
    high = np.minimum(high, [-(-side // stride) for side in size])
    if (high <= low).any():
        return None
    columns, rows = (high - low).tolist()
    # Cells' middles are whole numbers.
    corners = (moved / stride - low - 0.5)[triangles]
    edges = corners[:, 1:] - corners[:, :1]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    owner = _owners(corners, edges, area, columns, rows)
    maps = _maps(corners, edges, area, (places - 0.5)[triangles])
    y, x = np.mgrid[:rows, :columns]
    origin = np.where((owner >= 0)[..., None], _mapped(maps[owner], x, y), 0).astype(np.float32)
    # Around the mesh its places go on, so that they can be interpolated up to its edge.
    covered = (owner >= 0).astype(np.float32)
    near = cv2.blur(covered, (3, 3))
    edge = (near > 0) & (owner < 0)
    origin[edge] = (cv2.blur(origin, (3, 3)) / np.maximum(near, 1e-6)[..., None])[edge]
    covered[edge] = 1
    box = (columns * stride, rows * stride)
    known = cv2.compare(cv2.resize(covered, box, interpolation=cv2.INTER_LINEAR), _ALL, cv2.CMP_GE)
    source = np.full((*known.shape, 2), _OUTSIDE, np.float32)
    cv2.copyTo(cv2.resize(origin, box, interpolation=cv2.INTER_LINEAR), known, source)
    _keep_folds(source, owner, origin, maps, stride)
    left, top = (low * stride).tolist()
    source = source[: size[1] - top, : size[0] - left]
    return cv2.remap(pixels, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), (
        left,
        top,
    )


def _owners(
    corners: Points, edges: Points, area: Points, columns: int, rows: int
) -> NDArray[np.intp]:
    """Which triangle each cell (rows, columns) lies in, the last one; or -1.

    Barycentric coordinates of all cells in a square around each triangle.

    Args:
        corners: (M, 3, 2) of the triangles, in cells.
        edges: (M, 2, 2) from the first corner to the others.
        area: (M,) their cross product.
    """
    owner = np.full((rows, columns), -1)
    first = np.ceil(corners.min(1) - _NEARLY).astype(int)
    across = np.floor(corners.max(1) + _NEARLY).astype(int) - first + 1
    # Stretched triangles have larger squares; few are.
    squares = 2 ** np.ceil(np.log2(across.max(1).clip(1))).astype(int)
    squares[(across <= 0).any(1)] = 0
    squares[np.abs(area) < _FLAT] = 0
    for side in np.unique(squares[squares > 0]):
        these = np.flatnonzero(squares == side)
        y, x = np.mgrid[:side, :side].reshape(2, -1)
        x = first[these, 0, None] + x
        y = first[these, 1, None] + y
        dx, dy = x - corners[these, 0, 0, None], y - corners[these, 0, 1, None]
        one, two, whole = edges[these, 0, :, None], edges[these, 1, :, None], area[these, None]
        b = (dx * two[:, 1] - dy * two[:, 0]) / whole
        c = (one[:, 0] * dy - one[:, 1] * dx) / whole
        inside = (b >= -_NEARLY) & (c >= -_NEARLY) & (b + c <= 1 + _NEARLY)
        inside &= (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        which, cell = np.nonzero(inside)
        owner[y[which, cell], x[which, cell]] = these[which]
    return owner


def _maps(corners: Points, edges: Points, area: Points, places: Points) -> Points:
    """(M, 2, 3) from the cells (x, y, 1) of each triangle to where they come from.

    Args:
        corners, edges, area: as of `_owners`.
        places: (M, 3, 2) where the corners come from.
    """
    area = np.where(np.abs(area) < _FLAT, np.inf, area)[:, None]
    sides = places[:, 1:] - places[:, :1]
    across = (sides[:, 0] * edges[:, 1, 1:] - sides[:, 1] * edges[:, 0, 1:]) / area
    down = (sides[:, 1] * edges[:, 0, :1] - sides[:, 0] * edges[:, 1, :1]) / area
    offset = places[:, 0] - across * corners[:, 0, :1] - down * corners[:, 0, 1:]
    return np.stack([across, down, offset], 2)


def _mapped(maps: Points, x: NDArray[Any], y: NDArray[Any]) -> Points:
    """Points (..., 2) through maps (..., 2, 3), each its own."""
    found: Points = maps[..., 0] * x[..., None] + maps[..., 1] * y[..., None] + maps[..., 2]
    return found


def _keep_folds(
    source: NDArray[np.float32],
    owner: NDArray[np.intp],
    origin: NDArray[np.float32],
    maps: Points,
    stride: int,
) -> None:
    """Where a mesh lies on itself, take pixels from either side of the edge, not from between.

    Args:
        source: (rows * stride, columns * stride, 2), changed.
        owner, origin: of each cell (rows, columns).
        maps: of each triangle.
    """
    import cv2

    seen = owner >= 0
    far = _FOLD * stride
    folds = np.zeros(owner.shape, np.uint8)
    for axis in (0, 1):
        one, two = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        apart = np.abs(origin[one] - origin[two]).max(-1) > far
        apart &= seen[one] & seen[two]
        folds[one] |= apart
        folds[two] |= apart
    if not folds.any():
        return
    folds = cv2.dilate(folds, np.ones((3, 3), np.uint8)) * seen.astype(np.uint8)
    rows, columns = np.nonzero(folds)
    inner = (np.arange(stride) + 0.5) / stride - 0.5
    y, x = (each.ravel() for each in np.meshgrid(inner, inner, indexing="ij"))
    places = _mapped(maps[owner[rows, columns]][:, None], columns[:, None] + x, rows[:, None] + y)
    cells = source.reshape(len(owner), stride, -1, stride, 2)
    cells[rows, :, columns] = places.reshape(-1, stride, stride, 2)


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
    rest = cv2.merge([255 - pixels[..., 3]] * box.shape[2])
    cv2.multiply(box, rest, dst=rest, scale=1 / 255)
    if box.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
    box[:] = cv2.add(pixels, rest)
