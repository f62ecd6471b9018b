"""What a card says of a `warp` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.body.skeleton import N_LANDMARKS
from dancing.card import numbers
from dancing.image.card import ImageCard
from dancing.onnx_check import Tensor

POINT = 6
"""Numbers of a landmark: x, y in pixels, visibility, and x, y, z in metres."""
_SIDES = (16, 4096)
_MOST_REFERENCES = 32
_MOST_PIXELS = 64_000_000  # of all references together: 256 MB
_FARTHEST = 20_000  # pixels of a landmark from its picture


@dataclass(frozen=True)
class ReferenceCard:
    """What a card says of one picture of the person; see `reference.Reference`.

    Attributes:
        size: (width, height) of the picture in pixels.
        points: the landmarks, (33, 6), row by row.
    """

    size: tuple[int, int]
    points: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_size("size", self.size)
        numbers("points", self.points, N_LANDMARKS * POINT, -_FARTHEST, _FARTHEST)


@dataclass(frozen=True, kw_only=True)
class Card(ImageCard):
    """The card of a `warp` model, which has no ONNX file.

    Attributes:
        margin: left, top, right and bottom, pixels of a frame by which the person reaches beyond
            the box of the landmarks.
        plate: (width, height) of the scene's picture, of the frame's shape; it may have more
            pixels than a frame.
        references: the pictures of the person, at least one.
    """

    margin: tuple[int, int, int, int]
    plate: tuple[int, int]
    references: tuple[ReferenceCard, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= side <= max(self.size) for side in self.margin):
            raise ValueError("margin")
        _check_size("plate", self.plate)
        if not 1 <= len(self.references) <= _MOST_REFERENCES:
            raise ValueError(f"{len(self.references)} references")
        if sum(one.size[0] * one.size[1] for one in self.references) > _MOST_PIXELS:
            raise ValueError("references are too large")

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Of an ONNX model: there is none."""
        return {}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """Of an ONNX model: there is none."""
        return {}


def _check_size(name: str, size: tuple[int, int]) -> None:
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in size):
        raise ValueError(f"{name}: sides not from {_SIDES[0]} to {_SIDES[1]} pixels")
