"""What a card says of a `dcgan` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.body.skeleton import N_LANDMARKS
from dancing.image.card import ImageCard
from dancing.onnx_check import Tensor


@dataclass(frozen=True, kw_only=True)
class Card(ImageCard):
    """The card of a `dcgan` model."""

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the ONNX model takes, by name."""
        return {"landmarks": Tensor("float32", ("N", N_LANDMARKS, 2))}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it returns: pictures of the network's own size, which are scaled to `size`."""
        return {"pictures": Tensor("uint8", ("N", "height", "width", 3))}
