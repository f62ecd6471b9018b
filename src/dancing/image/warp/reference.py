"""Pictures of a person that others are made from, and how a bundle holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.skeleton import N_LANDMARKS
from dancing.image.warp.card import POINT, Card, ReferenceCard
from dancing.media.picture import read_png
from dancing.media.video import encode_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLATE = "plate.png"


@dataclass(frozen=True, eq=False)
class Reference:
    """One picture of the person, cut out, at its own resolution.

    Attributes:
        colour: (H, W, 3) uint8 RGB, not multiplied by alpha, without the background's bleeding in.
        alpha: (H, W) uint8, 255 where the person is.
        points: (33, 6) float32 landmarks: x, y in pixels of this picture, visibility in [0, 1],
            and the world landmark's x, y, z in metres, hip-centred.
        head: whether it shows only the head; other landmarks may lie outside.
    """

    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    points: NDArray[np.float32]
    head: bool = False

    @property
    def card(self) -> ReferenceCard:
        """What a card says of it."""
        height, width = self.alpha.shape
        return ReferenceCard(
            size=(width, height),
            points=tuple(round(float(value), 4) for value in self.points.ravel()),
            head=self.head,
        )


def files_of(references: Sequence[Reference], plate: NDArray[np.uint8]) -> dict[str, bytes]:
    """The files of a bundle, by name, that hold the references and the plate (H, W, 3)."""
    files = {
        _name(number): encode_png(np.dstack([one.colour, one.alpha]))
        for number, one in enumerate(references)
    }
    return files | {PLATE: encode_png(plate)}


def read_references(card: Card, file: Callable[[str], bytes]) -> list[Reference]:
    """The references of a bundle.

    Args:
        file: the content of a file of the bundle, by name.

    Raises:
        ValueError: when one is no plain PNG of the card's size.
    """
    found = []
    for number, entry in enumerate(card.references):
        name = _name(number)
        pixels = read_png(name, file(name), entry.size)
        points = np.array(entry.points, np.float32).reshape(N_LANDMARKS, POINT)
        # Without alpha where all of it is opaque.
        alpha = pixels[..., 3] if pixels.shape[2] == 4 else np.full(pixels.shape[:2], 255, np.uint8)
        found.append(Reference(np.ascontiguousarray(pixels[..., :3]), alpha, points, entry.head))
    return found


def read_plate(card: Card, file: Callable[[str], bytes]) -> NDArray[np.uint8]:
    """The scene of a bundle, (H, W, 3) uint8.

    Args:
        file: the content of a file of the bundle, by name.

    Raises:
        ValueError: when it is no plain PNG of the card's size.
    """
    return read_png(PLATE, file(PLATE), card.plate)[..., :3]


def _name(number: int) -> str:
    return f"reference_{number:02d}.png"
