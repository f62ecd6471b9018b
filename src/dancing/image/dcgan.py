"""The reference image model: a small DCGAN that draws 128x128 pictures from 66 numbers.

Generator: pose (33, 2) -> Dense + ReLU -> 16x16x256 -> transposed convolutions to 128, 64 and 3
channels, 3x3, stride 2, ReLU between, tanh at the end. Discriminator: convolutions to 64 and 128
channels, 3x3, stride 2, LeakyReLU -> flatten -> Dense 1, sigmoid. The reference says "Dense layer
(256 units)" before the reshape to 16x16x256, which does not fit: it is read as a dense layer to
16*16*256 units. Training after Radford et al., Unsupervised Representation Learning with DCGANs,
2015: binary cross-entropy, Adam(2e-4, beta1 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.dataset import Clip
from dancing.image.data import Pictures, square_view
from dancing.poses import N_LANDMARKS
from dancing.training import TrainingModule

SIZE = 128


BATCH_SIZE = 32


@dataclass(frozen=True)
class Config:
    """Hyperparameters; the dimensions are fixed by the reference.

    Attributes:
        learning_rate: of both Adam optimisers.
        l1_weight: factor of an L1 term between drawn and true picture in the generator's loss
            (Isola et al., Image-to-Image Translation with Conditional Adversarial Networks,
            2016, equation 4). At 0, the reference, nothing ties the picture to the pose.
    """

    learning_rate: float = 2e-4
    l1_weight: float = 0.0


class Generator(nn.Module):
    """Poses (N, 33, 2), in [-1, 1] of the view, to pictures (N, 3, 128, 128) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(N_LANDMARKS * 2, 16 * 16 * 256),
            nn.ReLU(),
            nn.Unflatten(1, (256, 16, 16)),
            _up(256, 128),
            nn.ReLU(),
            _up(128, 64),
            nn.ReLU(),
            _up(64, 3),
            nn.Tanh(),
        )

    def forward(self, poses: torch.Tensor) -> torch.Tensor:
        return self.layers(poses)


class Discriminator(nn.Module):
    """Pictures (N, 3, 128, 128) in [-1, 1] to the probability (N, 1) that they are real."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(32 * 32 * 128, 1),
            nn.Sigmoid(),
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features = self.layers[:-2](pictures)
        # A probability close to 1 needs more digits than mixed precision leaves it.
        with torch.autocast(pictures.device.type, enabled=False):
            return self.layers[-2:](features.float())


class Deployed(nn.Module):
    """What inference runs: landmarks (N, 33, 2) of the pose picture to (N, 128, 128, 3) uint8."""

    def __init__(self, generator: Generator, view: list[float]) -> None:
        super().__init__()
        self.generator = generator
        left, top, right, bottom = view
        self.corner = nn.Buffer(torch.tensor([left, top]))
        self.extent = nn.Buffer(torch.tensor([right - left, bottom - top]))

    def in_view(self, landmarks: torch.Tensor) -> torch.Tensor:
        """Landmarks of the pose picture as the generator wants them."""
        return (landmarks - self.corner) / self.extent * 2 - 1

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        pictures = self.generator(self.in_view(landmarks))
        return ((pictures + 1) * 127.5 + 0.5).permute(0, 2, 3, 1).clamp(0, 255).to(torch.uint8)


class Training(TrainingModule):
    """The GAN in training. Batches: 'landmarks' (N, 33, 2), 'picture' (N, 3, 128, 128) uint8."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        # One optimiser after the other, by hand: that is what a GAN needs.
        self.automatic_optimization = False
        self.deployed_generator = Deployed(Generator(), origin["view"])
        self.discriminator = Discriminator()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._examples: dict[str, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        poses = self.deployed_generator.in_view(batch["landmarks"])
        real = _in_range(batch["picture"])
        generator = self.deployed_generator.generator
        optimise_g, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        half = len(real) // 2

        judged_real = self.discriminator(real[:half])
        judged_fake = self.discriminator(generator(poses[half:]).detach())
        loss_d = 0.5 * (_judged(judged_real, 1.0) + _judged(judged_fake, 0.0))
        optimise_d.zero_grad()
        self.manual_backward(loss_d)
        optimise_d.step()

        drawn = generator(poses)
        adversarial = _judged(self.discriminator(drawn), 1.0)
        l1 = nn.functional.l1_loss(drawn.float(), real)
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
                part.parameters(), lr=self.config.learning_rate, betas=(0.5, 0.999), fused=True
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

    def card(self) -> dict[str, Any]:
        return {
            "size": [4 * SIZE, 4 * SIZE],
            "view": self.origin["view"],
            "placement": self.origin["placement"],
        }


def data(
    config: Config, kept: Sequence[Clip], held_out: Sequence[Clip], cache: Path, batch_size: int
) -> tuple[Pictures, Pictures | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    view = square_view([*kept, *held_out])
    validation = Pictures(held_out, view, SIZE, cache) if held_out else None
    return Pictures(kept, view, SIZE, cache), validation, {"view": view}


def _up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Exactly twice the size, as 'same' padding gives."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def _in_range(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to [-1, 1], laid out as the convolutions are fastest."""
    return (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _judged(probability: torch.Tensor, target: float) -> torch.Tensor:
    # PyTorch refuses this loss under a GPU's mixed precision, even for float32.
    with torch.autocast(probability.device.type, enabled=False):
        return nn.functional.binary_cross_entropy(probability, torch.full_like(probability, target))
