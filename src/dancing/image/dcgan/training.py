"""The DCGAN in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.body.skeleton import N_LANDMARKS
from dancing.card import read
from dancing.data.dataset import Clip
from dancing.image.data import usable as usable
from dancing.image.dcgan.card import Card
from dancing.image.dcgan.data import Pictures, square_view
from dancing.image.dcgan.network import SIZE, Config, Deployed, Discriminator, Generator
from dancing.training.module import TrainingModule

BATCH_SIZE, EPOCHS = 32, 30


class Training(TrainingModule):
    """The GAN in training. Batches: 'landmarks' (N, 33, 2), 'picture' (N, 3, 128, 128) uint8."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        # One optimiser after the other, by hand: that is what a GAN needs.
        self.automatic_optimization = False
        self.deployed_generator = Deployed(Generator(), origin["view"])
        self.discriminator = Discriminator()
        self.to(memory_format=torch.channels_last)
        self._examples: dict[str, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        poses = self.deployed_generator.in_view(batch["landmarks"])
        real = _in_range(batch["picture"])
        generator = self.deployed_generator.generator
        optimise_g, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        half = len(real) // 2

        output_real = self.discriminator(real[:half])
        output_fake = self.discriminator(generator(poses[half:]).detach())
        loss_d = 0.5 * (_cross_entropy(output_real, 1.0) + _cross_entropy(output_fake, 0.0))
        optimise_d.zero_grad()
        self.manual_backward(loss_d)
        optimise_d.step()

        generated = generator(poses)
        adversarial = _cross_entropy(self.discriminator(generated), 1.0)
        l1 = nn.functional.l1_loss(generated.float(), real)
        optimise_g.zero_grad()
        self.manual_backward(adversarial + self.config.l1_weight * l1)
        optimise_g.step()
        self.log_dict({"loss_d": loss_d, "loss_g": adversarial, "train_l1": l1}, prog_bar=True)

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        drawn = self.deployed_generator.generator(
            self.deployed_generator.in_view(batch["landmarks"])
        )
        l1 = nn.functional.l1_loss(drawn.float(), _in_range(batch["picture"]))
        self.log("val_l1", l1, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(
                part.parameters(),
                lr=self.config.learning_rate,
                betas=(self.config.beta1, self.config.beta2),
                fused=True,
            )
            for part in (self.deployed_generator.generator, self.discriminator)
        ]

    def figure(self) -> NDArray[np.uint8]:
        """Eight pictures: real above generated."""
        real = self._examples["picture"][:8].permute(0, 2, 3, 1)
        drawn = self.deployed_generator(self._examples["landmarks"][:8])
        rows = [torch.cat(list(row), 1).cpu().numpy() for row in (real, drawn)]
        return np.concatenate(rows)

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        return self.deployed_generator, {"landmarks": torch.zeros(2, N_LANDMARKS, 2)}, ["pictures"]

    def card(self) -> Card:
        size = [4 * SIZE, 4 * SIZE]
        return read(Card, self.facts() | {"size": size, "view": self.origin["view"]})


def data(
    config: Config, kept: Sequence[Clip], held_out: Sequence[Clip], *, cache: Path, **_: Any
) -> tuple[Pictures, Pictures | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    view = square_view([*kept, *held_out])
    validation = Pictures(held_out, view, SIZE, cache) if held_out else None
    return Pictures(kept, view, SIZE, cache), validation, {"view": view}


def _in_range(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to [-1, 1], laid out as the convolutions are fastest."""
    return (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _cross_entropy(probability: torch.Tensor, target: float) -> torch.Tensor:
    # PyTorch refuses this loss under a GPU's mixed precision, even for float32.
    with torch.autocast(probability.device.type, enabled=False):
        return nn.functional.binary_cross_entropy(probability, torch.full_like(probability, target))
