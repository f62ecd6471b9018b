"""Mend a painted person with a small network that works at a low resolution.

Of what was painted the network sees a small picture. It returns which of its pixels to keep, and a
picture of its own, of which what lies between parts is used: in cracks, at joints. Detail remains
that of the references, at their resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import EARS, EYES, MOUTH, NOSE
from dancing.image.warp.choice import N_GROUPS, TRUNK_GROUP, group_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.image.warp.figure import Figure
    from dancing.image.warp.painter import Painted

NETWORK = Path(__file__).with_name("network.onnx")
"""The network that comes with the package; every bundle has its own."""
TORSO = 64
"""Pixels of a torso, about, in the picture that the network sees."""
N_LINES = 6
CHANNELS = 4 + N_GROUPS + N_LINES
MULTIPLE = 16
"""Of which the sides of that picture are multiples."""
_LEAST = 0.7  # of `TORSO`: people who are smaller are left as they are
_CRACKS = 3, 7  # pixels: what is filled beside the head, and elsewhere, is as wide at most
# An outline drawn so small is soft, and would be seen to be when it is enlarged.
_STEEPER = np.clip((np.arange(256) - 127.5) * 2.5 + 127.5, 0, 255).astype(np.uint8)
_BAND = 64  # rows of pixels, about, that are mended at once, as far as the person is wide there
_AROUND = 5  # pixels around the person, in which it may grow


@dataclass(frozen=True, eq=False)
class Sketch:
    """What the network sees of a painted person.

    Attributes:
        pixels: (h, w, `CHANNELS`) uint8: red, green and blue multiplied by alpha, alpha; what each
            of the groups of `dancing.image.warp.choice` covers; lines between landmarks: along
            each limb, along hands and feet, in the face.
        corner: left and top in the picture, in the picture's pixels.
        cell: the picture's pixels on a side of one of these.
    """

    pixels: NDArray[np.uint8]
    corner: tuple[int, int]
    cell: int


def sketch(painted: Painted, pose: Figure) -> Sketch | None:
    """What the network sees; None of a person too small for it, or of nobody."""
    import cv2

    cell = max(1, round(pose.torso / TORSO))
    if not painted.layers or pose.torso < _LEAST * TORSO:
        return None
    corners = np.array([corner for _, _, corner in painted.layers])
    ends = corners + [pixels.shape[1::-1] for _, pixels, _ in painted.layers]
    low = corners.min(0) // cell - _AROUND
    size = -(-ends.max(0) // cell) + _AROUND - low
    columns, rows = (-(-size // MULTIPLE) * MULTIPLE).tolist()
    left, top = (low * cell).tolist()
    colours = _shrunk(window(painted.canvas, left, top, columns * cell, rows * cell), cell)
    groups = np.zeros((N_GROUPS, rows, columns), np.uint8)
    for part, found, corner in painted.layers:
        # In whole cells
        first = (np.array(corner) - [left, top]) // cell
        offset = np.array(corner) - [left, top] - first * cell
        count = -(-(offset + found.shape[1::-1]) // cell)
        alpha = cv2.extractChannel(found, 3).astype(np.uint8, copy=False)
        covered = window(alpha, *(-offset).tolist(), *(count * cell).tolist())
        (x, y), (end_x, end_y) = first, first + count
        group = groups[group_of(part), y:end_y, x:end_x]
        np.maximum(group, _shrunk(covered, cell), out=group)
    points = (pose.points - [left, top]) / cell
    chains = (pose.chains - [left, top]) / cell
    face = [points[list(pair)] for pair in (EYES, MOUTH)]
    ears = points[EARS]
    strokes = [
        *[[chain[:3]] for chain in chains],
        [chain[2:] for chain in chains],
        [*face, np.array([ears[0], points[NOSE], ears[1]])],
    ]
    drawn = np.zeros((N_LINES, rows, columns), np.uint8)
    for canvas, lines in zip(drawn, strokes, strict=True):
        fixed = [np.rint(line * 16 - 8).clip(-(2**20), 2**20).astype(np.int32) for line in lines]
        cv2.polylines(canvas, fixed, False, 255, 2, cv2.LINE_AA, 4)
    pixels = cv2.merge([*cv2.split(colours), *groups, *drawn]).astype(np.uint8, copy=False)
    return Sketch(pixels, (left, top), cell)


class Refiner:
    """Mends painted people.

    Args:
        run: the network: `sketch` (1, h, w, `CHANNELS`) uint8 to `mending` (1, h, w, 5) uint8: red,
            green, blue and alpha of its own picture, colours not multiplied by alpha; and how much
            to keep of what was painted.
    """

    def __init__(self, run: Callable[..., list[NDArray[Any]]]) -> None:
        self._run = run

    def __call__(
        self, painted: Painted, pose: Figure
    ) -> list[tuple[NDArray[np.uint8], tuple[int, int]]]:
        """The mended person, in parts that do not overlap.

        Returns:
            Of each part its pixels (h, w, 4), colours multiplied by alpha, and its left and top.
        """
        import cv2

        seen = sketch(painted, pose)
        if seen is None:
            return [(painted.canvas, (0, 0))]
        (found,) = self._run({"sketch": seen.pixels[None]})
        own, fill, keep = _chosen(found[0], seen.pixels)
        person = cv2.dilate(cv2.max(cv2.extractChannel(seen.pixels, 3), fill), np.ones((3, 3)))
        # Between the middles of cells these are interpolated: one more all around.
        maps = [cv2.copyMakeBorder(e, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for e in (own, fill, keep)]
        parts = []
        band = -(-_BAND // seen.cell)
        for top in range(0, len(person), band):
            rows = person[top : top + band]
            columns = np.flatnonzero(rows.any(0))
            if not len(columns):
                continue
            left, end = int(columns[0]), int(columns[-1]) + 1
            corner = seen.corner[0] + left * seen.cell, seen.corner[1] + top * seen.cell
            width, height = (end - left) * seen.cell, len(rows) * seen.cell
            part = window(painted.canvas, *corner, width, height)
            around = [each[top : top + len(rows) + 2, left : end + 2] for each in maps]
            parts.append((_mended(part, around, seen.cell), corner))
        return parts


def _mended(
    part: NDArray[np.uint8], around: Sequence[NDArray[np.uint8]], cell: int
) -> NDArray[np.uint8]:
    """A part (h, w, 4) of what was painted, mended.

    Args:
        around: what `_chosen` returns, of this part and a cell more on each side.
    """
    import cv2

    size = part.shape[1] + 2 * cell, part.shape[0] + 2 * cell
    inside = np.s_[cell:-cell, cell:-cell]
    own, fill, keep = (cv2.resize(each, size)[inside] for each in around)
    part = cv2.multiply(part, cv2.merge([keep] * 4), scale=1 / 255)
    uncovered = cv2.bitwise_not(cv2.extractChannel(part, 3))
    seen_behind = cv2.multiply(cv2.LUT(fill, _STEEPER), uncovered, scale=1 / 255)
    behind = cv2.multiply(own, cv2.merge([seen_behind] * 4), scale=1 / 255)
    found = cv2.add(part, behind)
    return found.astype(np.uint8, copy=False)


def _chosen(
    mending: NDArray[np.uint8], sketched: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """What of a mending is used.

    Outlines stay those of the references, which are sharp, and whole: fingers, hair and skirts are
    of more shapes than the network has seen. Only what is open between parts is filled.

    Args:
        mending: (h, w, 5) of the network.
        sketched: (h, w, `CHANNELS`), what it was given.

    Returns:
        Colours (h, w, 4) with alpha 255, their alpha (h, w), and how much to keep (h, w).
    """
    import cv2

    small, large = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side,) * 2) for side in _CRACKS)
    *colours, alpha, keep = cv2.split(mending)
    painted = cv2.extractChannel(sketched, 3)
    # Beside a neck there is no gap but for hair, which the head's own picture shows.
    below = sketched[..., 4 + TRUNK_GROUP : 4 + N_GROUPS].max(2)
    closed = [
        cv2.morphologyEx(cv2.compare(seen, 127, cv2.CMP_GT), cv2.MORPH_CLOSE, element)
        for seen, element in ((painted, small), (below, large))
    ]
    fill = cv2.multiply(alpha, cv2.bitwise_not(painted), scale=1 / 255)
    fill = np.minimum(fill, cv2.max(*closed))
    # The neighbourhood of what is filled is as the network has it.
    near = cv2.dilate(fill, small)
    keep = cv2.bitwise_not(np.minimum(cv2.bitwise_not(keep), near))
    own = cv2.merge([*colours, np.full_like(alpha, 255)]).astype(np.uint8, copy=False)
    return own, np.minimum(alpha, near), keep


def window(
    pixels: NDArray[np.uint8], left: int, top: int, width: int, height: int
) -> NDArray[np.uint8]:
    """A part of a picture, zero where it reaches beyond it."""
    import cv2

    inside = pixels[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    before = max(0, -top), max(0, -left)
    after = height - before[0] - inside.shape[0], width - before[1] - inside.shape[1]
    if inside.shape[:2] == (height, width):
        return inside
    if not inside.size:
        return np.zeros((height, width, *pixels.shape[2:]), np.uint8)
    found = cv2.copyMakeBorder(
        inside, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT, value=0
    )
    return found.astype(np.uint8, copy=False)


def _shrunk(pixels: NDArray[np.uint8], cell: int) -> NDArray[np.uint8]:
    """The mean of each square of so many pixels."""
    import cv2

    # OpenCV is fastest on squares of two by two.
    for side in (2, cell // 2) if cell % 2 == 0 else (cell,):
        height, width = (each // side for each in pixels.shape[:2])
        found = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        pixels = found.astype(np.uint8, copy=False)
    return pixels
