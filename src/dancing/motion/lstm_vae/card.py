"""What a card says of an `lstm-vae` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.card import StageCard

INPUTS = ("mfcc", "noise")
OUTPUTS = ("poses",)


@dataclass(frozen=True, kw_only=True)
class Card(StageCard):
    """The card of an `lstm-vae` model.

    Attributes:
        window: frames that are made at a time.
    """

    window: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.window <= 10_000:
            raise ValueError("window")
        if type(self.config.get("latent_dim")) is not int:
            raise ValueError("config has no 'latent_dim'")
