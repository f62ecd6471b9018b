"""Lay a drawn person over a scene: where to draw, the shadow on the floor, the person.

All arithmetic is on integers and on the box that changes; NumPy's a colour at a time, for it is
several times slower on interleaved colours with one matte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.media.video import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHADE_STRIDE = 8
"""Pixels of the picture a side of a cell of the shade."""
_STEP = 32
_FAINTEST = 2 / 255


def crops(
    points: NDArray[np.floating[Any]], margin: Sequence[int], size: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """The smallest crop that holds the person in each of several frames, and where it lies.

    Args:
        points: (T, 33, 2) landmarks in pixels of the picture.
        margin: how far the person reaches beyond the landmarks: left, top, right, bottom, pixels.
        size: (width, height) of the picture; what lies farther outside than the margin is left
            out.

    Returns:
        (width, height) of the crops, multiples of 32, and (T, 2) their left and top, even numbers,
        so that landmarks and margins are in their middle.
    """
    first = -np.array(margin[:2])
    last = np.array(size) + margin[2:]
    boxes = np.clip(person_boxes(points, margin), first, last)
    crop = crop_sizes(boxes).max(0)
    return (int(crop[0]), int(crop[1])), centred(boxes, crop)


def crop_sizes(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T, 2) width and height of the smallest crops that hold boxes (T, 2, 2), multiples of 32."""
    sides = (boxes[:, 1] - boxes[:, 0]).clip(1)
    return -(-sides // _STEP) * _STEP


def centred(boxes: NDArray[np.int64], crop: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T, 2) left and top of crops, even numbers, so that boxes (T, 2, 2) are in their middle."""
    corners: NDArray[np.int64] = (boxes.sum(1) - crop) // 4 * 2
    return corners


def person_boxes(points: NDArray[np.floating[Any]], margin: Sequence[int]) -> NDArray[np.int64]:
    """Boxes around dancers.

    Args:
        points: (T, 33, 2) landmarks in pixels of the picture.
        margin: (left, top, right, bottom), how far the person reaches beyond the landmarks.

    Returns:
        (T, 2, 2): left and top, right and bottom, all even, since films store one hue for two by
        two pixels; they may reach outside the picture.
    """
    low = np.floor((points.min(1) - margin[:2]) / 2)
    high = np.ceil((points.max(1) + margin[2:]) / 2)
    return 2 * np.stack([low, high], 1).astype(np.int64)


def within(
    layers: NDArray[np.uint8], corner: NDArray[np.int64], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """What of a crop is inside the picture and not empty.

    Args:
        layers: (h, w, 4) colour and matte.
        corner: left and top of the crop in the picture.
        size: (width, height) of the picture.

    Returns:
        The layers there, perhaps none, and their left and top.
    """
    low = np.maximum(-corner, 0)
    high = np.maximum(np.array(size) - corner, 0)
    inside = layers[low[1] : high[1], low[0] : high[0]]
    rows = np.flatnonzero(inside[..., 3].any(1))
    columns = np.flatnonzero(inside[..., 3].any(0))
    if not len(rows):
        return inside[:0, :0], (0, 0)
    left, top = corner + low
    seen = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return seen, (int(left + columns[0]), int(top + rows[0]))


def scaled(
    layers: NDArray[np.uint8],
    corner: tuple[int, int],
    size: tuple[int, int],
    wanted: tuple[int, int],
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Layers for a picture of another size.

    The whole picture is scaled: the corner of a part would fall between pixels, and the person
    would tremble.

    Args:
        layers, corner: as `within` returns them.
        size, wanted: (width, height) of the picture, and of the other one.

    Returns:
        As `within`, for the other picture.
    """
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    height, width = layers.shape[:2]
    canvas[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = layers
    return within(resize(canvas, *wanted), np.zeros(2, np.int64), wanted)


def darken(frame: NDArray[np.uint8], shade: NDArray[np.float32], size: tuple[int, int]) -> None:
    """Lay the person's shadow on the scene, in place.

    Args:
        frame: (H, W, 3) uint8.
        shade: (rows, columns) in [0, 1], how far the floor is darkened: means over cells of 8x8
            pixels of the picture; bilinear between their middles.
        size: (width, height) of the picture that the shade was made for.
    """
    import cv2

    dark = shade >= _FAINTEST
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    if not len(rows):
        return
    height, width = frame.shape[:2]
    # Pixels of the frame a cell, across and down.
    across, down = SHADE_STRIDE * width / size[0], SHADE_STRIDE * height / size[1]
    # A cell reaches to the middles of its neighbours.
    top, bottom = _span(rows, down, height)
    left, right = _span(columns, across, width)
    # Where a pixel's middle lies among those of cells.
    place = np.array([[1 / across, 0, (left + 0.5) / across - 0.5],
                      [0, 1 / down, (top + 0.5) / down - 0.5]])  # fmt: skip
    kept = cv2.warpAffine(
        1 - shade, place, (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    kept = cv2.convertScaleAbs(kept, alpha=255)
    box = frame[top:bottom, left:right]
    box[:] = cv2.multiply(box, cv2.merge([kept] * 3), scale=1 / 255)


def lay_over(frame: NDArray[np.uint8], layers: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    """Lay a person over a frame, in place.

    Args:
        frame: (H, W, 3) uint8, or (H, W, 4), empty, which then takes colours and alpha.
        layers, corner: as `within` returns them.
    """
    height, width = layers.shape[:2]
    box = frame[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    if frame.shape[2] == 4:
        box[:] = layers
        return
    matte = layers[..., 3].astype(np.uint16)
    rest = 255 - matte
    for colour in range(3):
        mixed = box[..., colour] * rest
        mixed += layers[..., colour] * matte
        # Division by 255, rounded.
        mixed += 128
        mixed += mixed >> 8
        box[..., colour] = mixed >> 8


def _span(cells: NDArray[np.intp], step: float, end: int) -> tuple[int, int]:
    """First and last pixel, exclusive, that these cells have a part in."""
    first, last = np.floor((cells[0] - 0.5) * step), np.ceil((cells[-1] + 1.5) * step)
    return int(np.clip(first, 0, end)), int(np.clip(last, 0, end))
