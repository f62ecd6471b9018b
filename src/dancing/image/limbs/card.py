"""What a card says of a `limbs` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.image.card import ImageCard

INPUTS = ("landmarks", "corners", "crop")
OUTPUTS = ("layers", "shade")


@dataclass(frozen=True, kw_only=True)
class Card(ImageCard):
    """The card of a `limbs` model.

    Attributes:
        margin: left, top, right and bottom, pixels by which the person reaches beyond the box of
            the landmarks.
    """

    margin: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= side <= 4096 for side in self.margin):
            raise ValueError("margin")
