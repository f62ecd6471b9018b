"""What a card says of a `warp` model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import (
    ANKLES,
    EARS,
    ELBOWS,
    HIPS,
    KNEES,
    N_LANDMARKS,
    NOSE,
    SHOULDERS,
    TOES,
    WRISTS,
)
from dancing.card import numbers
from dancing.image.card import ImageCard
from dancing.image.warp.refining import CHANNELS
from dancing.onnx_check import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURNS = 60.0
"""Degrees by which somebody may turn who was photographed from the front."""
POINT = 6
"""Numbers of a landmark: x, y in pixels, visibility, and x, y, z in metres."""
_SIDES = (16, 4096)
_MOST_REFERENCES = 32
_MOST_PIXELS = 64_000_000  # of all references together: 256 MB
_FARTHEST = 20_000  # pixels of a landmark from its picture
_FARTHEST_SEEN = 1000.0  # pictures
_SEEN = 0.5  # visibility
_PARTS = {
    "head": (NOSE, *EARS),
    "shoulders": SHOULDERS,
    "elbows": ELBOWS,
    "hands": WRISTS,
    "hips": HIPS,
    "knees": KNEES,
    "feet": (*ANKLES, *TOES),
}


@dataclass(frozen=True)
class ReferenceCard:
    """What a card says of one picture of the person; see `reference.Reference`.

    Attributes:
        size: (width, height) of the picture in pixels.
        points: the landmarks, (33, 6), row by row.
        head: whether only the head is drawn from it.
    """

    size: tuple[int, int]
    points: tuple[float, ...]
    head: bool = False

    def __post_init__(self) -> None:
        _check_size("size", self.size)
        numbers("points", self.points, N_LANDMARKS * POINT, -_FARTHEST, _FARTHEST)

    @property
    def holds(self) -> str:
        """What it shows, in words."""
        if self.head:
            return f"a picture of the person's head, {self.size[0]}x{self.size[1]}"
        missing = unseen(np.array(self.points).reshape(N_LANDMARKS, POINT), self.size)
        parts = f"without {', '.join(missing)}" if missing else "from head to foot"
        return f"a picture of the person, {parts}, {self.size[0]}x{self.size[1]}"


@dataclass(frozen=True, kw_only=True)
class Card(ImageCard):
    """The card of a `warp` model.

    Attributes:
        margin: left, top, right and bottom, pixels of a frame by which the person reaches beyond
            the box of the landmarks.
        plate: (width, height) of the scene's picture, of the frame's shape; it may have more
            pixels than a frame.
        references: the pictures of the person, at least one.
        seen: left, top, right and bottom of a frame as fractions of the first picture that the
            person was cut out of; it may reach outside. None in cards of earlier versions.
        made_from: hashes of the names of the photos and videos; see `dancing.data.dataset`.
    """

    margin: tuple[int, int, int, int]
    plate: tuple[int, int]
    references: tuple[ReferenceCard, ...]
    seen: tuple[float, float, float, float] | None = None
    made_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= side <= max(self.size) for side in self.margin):
            raise ValueError("margin")
        _check_size("plate", self.plate)
        if not 1 <= len(self.references) <= _MOST_REFERENCES:
            raise ValueError(f"{len(self.references)} references")
        if sum(one.size[0] * one.size[1] for one in self.references) > _MOST_PIXELS:
            raise ValueError("references are too large")
        if self.seen is not None:
            left, top, right, bottom = self.seen
            if max(map(abs, self.seen)) > _FARTHEST_SEEN or not (left < right and top < bottom):
                raise ValueError("seen")

    @property
    def shot(self) -> tuple[float, float, float, float] | None:
        """What a frame shows of a picture by the camera that the person was seen with."""
        return self.seen

    @property
    def sources(self) -> frozenset[str]:
        """Hashes of the names of all photos and videos that the person was seen in."""
        return super().sources | frozenset(self.made_from)

    @property
    def holds(self) -> list[str]:
        """What the bundle's files show, in words, one line each."""
        return [*(one.holds for one in self.references), "the scene behind the person"]

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Of the network; see `refining.Refiner`."""
        return {"sketch": Tensor("uint8", (1, "height", "width", CHANNELS))}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """Of the network."""
        return {"mending": Tensor("uint8", (1, "height", "width", 5))}


def unseen(points: NDArray[np.floating[Any]], size: tuple[int, int]) -> list[str]:
    """The parts of a body that a picture does not show: hidden, or outside of it.

    Args:
        points: (33, 6), as `Reference.points`.
        size: (width, height) of the picture.
    """
    inside = ((points[:, :2] >= 0) & (points[:, :2] <= size)).all(1)
    seen = inside & (points[:, 2] >= _SEEN)
    return [part for part, marks in _PARTS.items() if not seen[list(marks)].any()]


def _check_size(name: str, size: tuple[int, int]) -> None:
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in size):
        raise ValueError(f"{name}: sides not from {_SIDES[0]} to {_SIDES[1]} pixels")
