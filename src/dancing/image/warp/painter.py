"""Draw a person in a pose from the layers of references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.skeleton import EARS, NOSE
from dancing.image.warp.drawing import Piece, drawn, lay_over
from dancing.image.warp.figure import N_ARMS, Figure, length
from dancing.image.warp.layers import Layer
from dancing.image.warp.skinning import Part, skinned

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CELLS = 40
"""Cells a torso's length, of the grid on which it is computed where pixels come from."""
_SIDEWAYS = 0.45  # torso lengths between shoulders: of less, one arm is behind the trunk
_LIFTED = 0.35  # torso lengths between ankles: of more, the higher foot is in front


@dataclass(frozen=True, eq=False)
class Painted:
    """A person in a pose.

    Attributes:
        canvas: (height, width, 4) uint8, colours multiplied by alpha.
        layers: what was laid over each other, from back to front: the part, its pixels (h, w, 4),
            and their left and top.
    """

    canvas: NDArray[np.uint8]
    layers: list[tuple[Part, NDArray[np.uint8], tuple[int, int]]]


def paint(
    layers_of: Callable[[Part], Sequence[tuple[Layer, float]]],
    pose: Figure,
    skirt: bool,
    size: tuple[int, int],
) -> Painted:
    """The person in a pose.

    Args:
        layers_of: what to draw a part from: a layer, and perhaps another one that is seen within
            the outline of the first, with its opacity.
        pose: in pixels of the picture.
        skirt: cloth hangs over the legs.
        size: (width, height) of the picture.
    """
    stride = max(1, round(pose.torso / _CELLS))
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    layers: list[tuple[Part, NDArray[np.uint8], tuple[int, int]]] = []
    chosen = [(part, *each) for part in _order(pose, skirt) for each in layers_of(part)]
    moved = skinned([layer.skin for _, layer, _ in chosen], pose)
    pieces = [
        Piece(layer.pixels, layer.places, places, layer.triangles, layer.shown)
        for (_, layer, _), places in zip(chosen, moved, strict=True)
    ]
    for (part, _, opacity), found in zip(chosen, drawn(pieces, size, stride), strict=True):
        if found is None:
            continue
        if layers and layers[-1][0] == part:
            # Two outlines at once would be a ghost's.
            _, outline, outlined = layers[-1]
            lay_over(canvas, _within(outline, outlined, *found), found[1], opacity)
            continue
        lay_over(canvas, *found)
        layers.append((part, *found))
    return Painted(canvas, layers)


def _within(
    outline: NDArray[np.uint8],
    outlined: tuple[int, int],
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> NDArray[np.uint8]:
    """Of pixels (h, w, 4) at a corner, what is seen within the alpha of others at theirs."""
    import cv2

    (left, top), (height, width) = np.subtract(outlined, corner), outline.shape[:2]
    rows = slice(max(0, top), max(0, top + height))
    columns = slice(max(0, left), max(0, left + width))
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    box = alpha[rows, columns]
    box[:] = outline[rows.start - top :, columns.start - left :, 3][: box.shape[0], : box.shape[1]]
    seen = cv2.multiply(pixels, cv2.merge([alpha] * 4), scale=1 / 255)
    return seen.astype(np.uint8, copy=False)


def _order(pose: Figure, skirt: bool) -> list[Part]:
    """Parts from back to front, as a person stands who looks about where the camera is."""
    behind = []
    if length(pose.shoulder_line) < _SIDEWAYS * pose.torso:
        # Who turns to the right of the picture has the left shoulder farther from the camera.
        looks_right = pose.points[NOSE, 0] > pose.points[EARS, 0].mean()
        behind = [0 if looks_right else 1]
    ankles = pose.chains[N_ARMS:, 2, 1]
    legs = [2, 3] if ankles[0] < ankles[1] else [3, 2]
    if abs(ankles[0] - ankles[1]) > _LIFTED * pose.torso:
        legs.reverse()
    below = _limbs(legs)
    middle = [*below, ("trunk", None)] if skirt else [("trunk", None), *below]
    front = [limb for limb in range(N_ARMS) if limb not in behind]
    return [*_limbs(behind), *middle, ("head", None), *_limbs(front)]


def _limbs(limbs: list[int]) -> list[Part]:
    return [(part, limb) for limb in limbs for part in ("upper", "lower")]
