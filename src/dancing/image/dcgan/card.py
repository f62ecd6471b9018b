"""What a card says of a `dcgan` model."""

from __future__ import annotations

from dancing.image.card import ImageCard as Card

INPUTS = ("landmarks",)
OUTPUTS = ("pictures",)

__all__ = ["INPUTS", "OUTPUTS", "Card"]
