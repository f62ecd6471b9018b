"""The reference image model: a small DCGAN that draws 128x128 pictures from 66 numbers.

Generator: pose (33, 2) -> Dense + ReLU -> 16x16x256 -> transposed convolutions to 128, 64 and 3
channels, 3x3, stride 2, ReLU between, tanh at the end. Discriminator: convolutions to 64 and 128
channels, 3x3, stride 2, LeakyReLU -> flatten -> Dense 1, sigmoid. The reference says "Dense layer
(256 units)" before the reshape to 16x16x256, which does not fit: it is read as a dense layer to
16*16*256 units. Training after Radford et al., Unsupervised Representation Learning with DCGANs,
2015: binary cross-entropy, Adam(2e-4, beta1 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dancing.body.skeleton import N_LANDMARKS
from dancing.training.ranges import check_ranges

SIZE = 128


@dataclass(frozen=True)
class Config:
    """Hyperparameters; the dimensions are fixed by the reference.

    Attributes:
        learning_rate: of both Adam optimisers.
        beta1: decay of their first moments, a step.
        beta2: of their second moments.
        l1_weight: factor of an L1 term between drawn and true picture in the generator's loss
            (Isola et al., Image-to-Image Translation with Conditional Adversarial Networks,
            2016, equation 4). At 0, the reference, nothing ties the picture to the pose.
    """

    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    l1_weight: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, positive=["learning_rate"], not_negative=["l1_weight"])
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError("beta1 and beta2 must be at least 0 and below 1")


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


def _up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Exactly twice the size, as 'same' padding gives."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
