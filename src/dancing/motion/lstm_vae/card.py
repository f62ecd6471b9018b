"""What a card says of an `lstm-vae` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.body.skeleton import N_LANDMARKS
from dancing.card import StageCard
from dancing.music.mfcc import N_MFCC
from dancing.onnx_check import Tensor


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
        if not 1 <= self.latent_dim <= 10_000:
            raise ValueError("latent_dim")

    @property
    def latent_dim(self) -> int:
        """Length of the noise that a dance is made from."""
        return int(self.config["latent_dim"])

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the ONNX model takes, by name."""
        return {
            "mfcc": Tensor("float32", ("N", self.window, N_MFCC)),
            "noise": Tensor("float32", ("N", self.latent_dim)),
        }

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it returns."""
        return {"poses": Tensor("float32", ("N", self.window, N_LANDMARKS, 2))}
