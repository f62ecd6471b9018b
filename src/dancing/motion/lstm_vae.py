"""The reference motion model: an LSTM variational autoencoder from MFCC to poses.

MFCC (T, 13) -> LSTM 128 -> LSTM 128 -> z_mean, z_log_var -> z -> Dense 128 -> repeated T times
-> LSTM 128 -> Dense of each step -> (T, 33, 2). Loss: reconstruction MSE + KL divergence
(Kingma and Welling, Auto-Encoding Variational Bayes, 2013, equation 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.dataset import Clip
from dancing.motion.data import Windows
from dancing.poses import N_LANDMARKS, draw_skeleton
from dancing.training import TrainingModule


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        window: T, frames that are made at a time.
        n_mfcc: features a frame.
        units: width of every LSTM and of the decoder's dense layer.
        latent_dim: length of z.
        kl_weight: factor of the KL term. At 1, the textbook loss, z soon carries nothing and
            every window is the mean pose; the shipped weights use less (their card says).
        learning_rate: of Adam.
    """

    window: int = 120
    n_mfcc: int = 13
    units: int = 128
    latent_dim: int = 32
    kl_weight: float = 1.0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.window < 2 or min(self.n_mfcc, self.units, self.latent_dim) < 1:
            raise ValueError("window must be at least 2, dimensions at least 1")


class LstmVae(nn.Module):
    """The network alone.

    Input: mfcc (N, T, n_mfcc), standardised; noise (N, latent_dim), standard normal.
    Output: poses (N, T, 33, 2) in the body frame; z_mean and z_log_var (N, latent_dim).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        units, latent = config.units, config.latent_dim
        self.encoder_1 = nn.LSTM(config.n_mfcc, units, batch_first=True)
        self.encoder_2 = nn.LSTM(units, units, batch_first=True)
        self.z_mean = nn.Linear(units, latent)
        self.z_log_var = nn.Linear(units, latent)
        self.decoder_dense = nn.Linear(latent, units)
        self.decoder_lstm = nn.LSTM(units, units, batch_first=True)
        self.decoder_poses = nn.Linear(units, N_LANDMARKS * 2)

    def forward(
        self, mfcc: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sequence, _ = self.encoder_1(mfcc)
        sequence, _ = self.encoder_2(sequence)
        summary = sequence[:, -1]
        z_mean, z_log_var = self.z_mean(summary), self.z_log_var(summary)
        z = z_mean + torch.exp(0.5 * z_log_var) * noise
        repeated = self.decoder_dense(z).unsqueeze(1).expand(-1, mfcc.shape[1], -1)
        steps, _ = self.decoder_lstm(repeated)
        poses = self.decoder_poses(steps).unflatten(-1, (N_LANDMARKS, 2))
        return poses, z_mean, z_log_var


class Deployed(nn.Module):
    """What inference runs: raw MFCC (N, T, n_mfcc) and noise to poses (N, T, 33, 2)."""

    def __init__(self, network: LstmVae, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Buffer(mean)
        self.std = nn.Buffer(std)

    def forward(self, mfcc: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.network((mfcc - self.mean) / self.std, noise)[0]


class Training(TrainingModule):
    """The LSTM-VAE in training. Batches: 'mfcc' (N, T, n_mfcc), 'poses' (N, T, 33, 2)."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.network = LstmVae(config)
        self.mfcc_mean = nn.Buffer(torch.tensor(origin["mfcc_mean"]))
        self.mfcc_std = nn.Buffer(torch.tensor(origin["mfcc_std"]))
        self._examples: dict[str, torch.Tensor] = {}

    def losses(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction error (MSE, torso lengths squared) and KL divergence (nats a window)."""
        mfcc = (batch["mfcc"] - self.mfcc_mean) / self.mfcc_std
        noise = torch.randn(len(mfcc), self.config.latent_dim, device=mfcc.device)
        poses, mean, log_var = self.network(mfcc, noise)
        mean, log_var = mean.float(), log_var.float()
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1).mean()
        return nn.functional.mse_loss(poses.float(), batch["poses"]), divergence

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        reconstruction, divergence = self.losses(batch)
        loss = reconstruction + self.config.kl_weight * divergence
        self.log_dict(
            {"train_loss": loss, "train_mse": reconstruction, "train_kl": divergence},
            prog_bar=True,
        )
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        reconstruction, divergence = self.losses(batch)
        self.log_dict({"val_mse": reconstruction, "val_kl": divergence}, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.config.learning_rate, fused=True)

    def figure(self) -> NDArray[np.uint8]:
        """Three windows: real poses over time above generated ones."""
        mfcc = self._examples["mfcc"][:3]
        noise = torch.randn(len(mfcc), self.config.latent_dim, device=mfcc.device)
        made = Deployed(self.network, self.mfcc_mean, self.mfcc_std)(mfcc, noise)
        rows = [row for pair in zip(self._examples["poses"], made, strict=False) for row in pair]
        return np.concatenate([draw_poses(row.float().cpu().numpy()) for row in rows])

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        example = {
            "mfcc": torch.zeros(1, self.config.window, self.config.n_mfcc),
            "noise": torch.zeros(1, self.config.latent_dim),
        }
        return Deployed(self.network, self.mfcc_mean, self.mfcc_std), example, ["poses"]

    def card(self) -> dict[str, Any]:
        return {"window": self.config.window, "placement": self.origin["placement"]}


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with sound; all of them where there are none, so that the error can say so."""
    return [clip for clip in clips if clip.mfcc is not None] or list(clips)


def data(
    config: Config,
    kept: Sequence[Clip],
    held_out: Sequence[Clip],
    _: dict[str, Any] | None = None,
) -> tuple[Windows, Windows | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    windows = Windows(kept, config.window, config.n_mfcc, augment=True)
    long_enough = [clip for clip in held_out if len(clip) >= config.window]
    validation = (
        Windows(long_enough, config.window, config.n_mfcc, augment=False) if long_enough else None
    )
    return windows, validation, windows.feature_statistics()


def draw_poses(body: NDArray[np.float32], count: int = 12, size: int = 120) -> NDArray[np.uint8]:
    """Figures beside each other over time: (size, count * size, 3) uint8.

    Args:
        body: (T, 33, 2) in the body frame.
    """
    strip = np.full((size, count * size, 3), 24, np.uint8)
    for i, t in enumerate(np.linspace(0, len(body) - 1, count).astype(int)):
        draw_skeleton(strip[:, i * size : (i + 1) * size], body[t] / 5.5 + [0.5, 0.45])
    return strip
