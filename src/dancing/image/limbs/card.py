"""What a card says of a `limbs` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.body.skeleton import N_LANDMARKS
from dancing.image.card import ImageCard
from dancing.onnx_check import Tensor


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
        if not all(0 <= side <= max(self.size) for side in self.margin):
            raise ValueError("margin")

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the ONNX model takes, by name."""
        return {
            "landmarks": Tensor("float32", ("N", N_LANDMARKS, 2)),
            "corners": Tensor("float32", ("N", 2)),
            "crop": Tensor("int64", (2,)),
        }

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it returns."""
        columns, rows = (4 * -(-side // 32) for side in self.size)
        return {
            "layers": Tensor("uint8", ("N", "height", "width", 4)),
            "shade": Tensor("float32", ("N", rows, columns)),
        }
