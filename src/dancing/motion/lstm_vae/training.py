"""The LSTM-VAE in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.body.drawing import draw_poses
from dancing.card import read
from dancing.data.dataset import Clip
from dancing.motion.lstm_vae.card import Card
from dancing.motion.lstm_vae.data import Windows
from dancing.motion.lstm_vae.network import Config, Deployed, LstmVae
from dancing.training.module import TrainingModule

BATCH_SIZE, EPOCHS = 64, 100


class Training(TrainingModule):
    """The LSTM-VAE in training. Batches: 'mfcc' (N, T, n_mfcc), 'poses' (N, T, 33, 2)."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.network = LstmVae(config)
        self.mfcc_mean = nn.Buffer(torch.tensor(origin["mfcc_mean"]))
        self.mfcc_std = nn.Buffer(torch.tensor(origin["mfcc_std"]))
        self._examples: dict[str, torch.Tensor] = {}

    def losses(
        self, batch: dict[str, torch.Tensor], random: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction error (MSE, torso lengths squared) and KL divergence (nats a window)."""
        mfcc = (batch["mfcc"] - self.mfcc_mean) / self.mfcc_std
        shape = len(mfcc), self.config.latent_dim
        noise = torch.randn(shape, generator=random, device=mfcc.device)
        poses, mean, log_var = self.network(mfcc, noise)
        mean, log_var = mean.float(), log_var.float()
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1).mean()
        return nn.functional.mse_loss(poses.float(), batch["poses"]), divergence

    def training_step(self, batch: dict[str, torch.Tensor], step: int) -> torch.Tensor:
        reconstruction, divergence = self.losses(batch, self.random(step))
        loss = reconstruction + self.config.kl_weight * divergence
        self.log_dict(
            {"train_loss": loss, "train_mse": reconstruction, "train_kl": divergence},
            prog_bar=True,
        )
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        # The same noise each time, so that the figures can be compared.
        random = torch.Generator(self.device).manual_seed(index)
        reconstruction, divergence = self.losses(batch, random)
        self.log_dict({"val_mse": reconstruction, "val_kl": divergence}, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.parameters(),
            lr=self.config.learning_rate,
            betas=(self.config.beta1, self.config.beta2),
            fused=True,
        )

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

    def card(self) -> Card:
        return read(Card, self.facts() | {"window": self.config.window})


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with sound; all of them where there are none, so that the error can say so."""
    return [clip for clip in clips if clip.mfcc is not None] or list(clips)


def data(
    config: Config,
    kept: Sequence[Clip],
    held_out: Sequence[Clip],
    **_: Any,
) -> tuple[Windows, Windows | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    windows = Windows(kept, config, augment=True)
    long_enough = [clip for clip in held_out if len(clip) >= config.window]
    validation = Windows(long_enough, config, augment=False) if long_enough else None
    return windows, validation, windows.feature_statistics()
