"""Flow matching in beat time: a transformer that turns noise into a phrase of dance.

A window is `counts` counts of a dance, each of FRAMES poses at equal parts of the count, and one
token of the transformer. The
network is told what of it is known (the end of the phrase before, or what the user holds), the
music, the place in the phrase, the tempo and how vigorous the dance shall be, and fills in the
rest. Between noise (t = 0) and dance (t = 1) lies a straight line, along which it is moved by the
velocity that the network predicts (Lipman et al., Flow Matching for Generative Modeling, ICLR
2023). Counts of a dance lie close to a plane of few dimensions, and noise does not: what lies
outside of the principal components is dropped. In each component the best linear guess of the
dance is known, and the network predicts what is missing to it, in units of its error (after Karras
et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, section 5,
for each component).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.dataset import Clip
from dancing.kinematics import CHANNELS, unpack
from dancing.motion.data import Phrases, principal_components
from dancing.motion.lstm_vae import draw_poses
from dancing.phrases import CONTEXT, FRAMES
from dancing.training import TrainingModule, moving_average

_SCALE = ("mean", "std", "change_std", "music")
_NEAREST = 0.1  # to the end of the line, where the velocity's weight would be infinite


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        counts: length of a window; half of it is known from the window before.
        components: principal components of a count's poses; what else there is of it, is dropped.
        width: of a token.
        depth: transformer blocks.
        heads: of attention.
        n_mfcc: music features a frame.
        learning_rate: of AdamW, at its highest.
        steps: training steps over which the learning rate falls to a tenth.
    """

    counts: int = 16
    components: int = 176
    width: int = 192
    depth: int = 5
    heads: int = 6
    n_mfcc: int = 13
    learning_rate: float = 8e-4
    steps: int = 8000

    def __post_init__(self) -> None:
        sizes = self.counts, self.components, self.width, self.depth, self.heads, self.steps
        if min(sizes) < 1 or self.components > FRAMES * CHANNELS:
            raise ValueError("all of them must be at least 1, components at most 909")
        if self.counts % 2 or self.width % (2 * self.heads):
            raise ValueError("counts must be even, width a multiple of 2 * heads")

    @property
    def window(self) -> int:
        """Poses of a window."""
        return self.counts * FRAMES


class _Block(nn.Module):
    """Attention and a dense layer, scaled and shifted by the time on the line.

    The modulation is shared by all blocks but for an offset (Chen et al., PixArt-alpha, 2023).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.offset = nn.Parameter(torch.zeros(6, width))
        self.norm_1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_2 = nn.LayerNorm(width, elementwise_affine=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        parts = (modulation + self.offset).unsqueeze(2).unbind(1)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = parts
        normal = self.norm_1(tokens) * (1 + scale_1) + shift_1
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(normal).chunk(3, -1)
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + gate_1 * self.mixed(seen.transpose(1, 2).flatten(2))
        normal = self.norm_2(tokens) * (1 + scale_2) + shift_2
        return tokens + gate_2 * self.dense(normal)


class Denoiser(nn.Module):
    """The network alone: what the dance will be, given a point on the line to it.

    Input: point (N, T, CHANNELS), standardised, known channels in place; time (N,) in [0, 1];
    mask (N, T, CHANNELS), 1 where known; mfcc (N, T, n_mfcc), standardised, 0 where not heard;
    context (N, T, CONTEXT). Output: the dance (N, T, CHANNELS), standardised.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.basis = nn.Buffer(torch.zeros(config.components, FRAMES * CHANNELS))
        self.variance = nn.Buffer(torch.ones(config.components))
        inputs = 3 * config.components + FRAMES * (config.n_mfcc + CONTEXT)
        self.enter = nn.Linear(inputs, width)
        self.position = nn.Parameter(0.02 * torch.randn(config.counts, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        shared = nn.Linear(width, 6 * width)
        self.modulation = nn.Sequential(nn.SiLU(), shared)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, config.components)
        frequencies = torch.exp(-math.log(1000.0) * torch.arange(width // 2) / (width // 2))
        self.frequencies = nn.Buffer(1000.0 * frequencies, persistent=False)
        for layer in (shared, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        point: torch.Tensor,
        time: torch.Tensor,
        mask: torch.Tensor,
        mfcc: torch.Tensor,
        context: torch.Tensor,
    ) -> torch.Tensor:
        point, mask, music = (
            rows.unflatten(1, (-1, FRAMES)).flatten(2)
            for rows in (point, mask, torch.cat([mfcc, context], -1))
        )
        # Not in half precision: what is nearly done must not be spoilt.
        with torch.autocast(point.device.type, enabled=False):
            along = time[:, None, None]
            components = point @ self.basis.T
            noisy = along.square() * self.variance + (1 - along).square()
            scaled = components / noisy.sqrt()
            known = (mask * point) @ self.basis.T
            # How much of each component is known.
            share = mask @ self.basis.square().T
        tokens = self.enter(torch.cat([scaled, known, share, music], -1)) + self.position
        angles = time.unsqueeze(1) * self.frequencies
        modulation = self.modulation(self.time(torch.cat([angles.sin(), angles.cos()], -1)))
        modulation = modulation.unflatten(-1, (6, -1))
        for block in self.blocks:
            tokens = block(tokens, modulation)
        found = self.leave(self.norm(tokens))
        with torch.autocast(point.device.type, enabled=False):
            guess = along * self.variance / noisy * components
            error = (1 - along) * (self.variance / noisy).sqrt()
            dance = (guess + error * found.float()) @ self.basis
        return dance.unflatten(-1, (FRAMES, -1)).flatten(1, 2)


class Training(TrainingModule):
    """Flow matching in training. Batches are those of `dancing.motion.data.Phrases`."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.network = Denoiser(config)
        if "basis" in origin:  # else it comes with the weights
            self.network.basis.copy_(origin["basis"])
            self.network.variance.copy_(origin["variance"])
        # What dances: an average over the last steps.
        self.averaged = moving_average(self.network)
        self.spread = nn.Buffer(torch.tensor(origin["change_std"]))
        self._examples: dict[str, torch.Tensor] = {}

    def losses(
        self, network: nn.Module, batch: dict[str, torch.Tensor], time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared errors (N,) of the dance and of its change from pose to pose."""
        dance, known, mask = batch["dance"], batch["known"], batch["mask"]
        along = time[:, None, None]
        point = along * dance + (1 - along) * torch.randn_like(dance)
        point = torch.where(mask > 0, known, point)
        found = network(point, time, mask, batch["mfcc"], batch["context"]).float()
        wanted = batch["valid"][..., None] * (1 - mask)
        share = wanted.sum((1, 2)).clamp(min=1)
        error = (wanted * (found - dance).square()).sum((1, 2)) / share
        whole = torch.where(wanted > 0, found, dance)
        change = (whole - dance).diff(dim=1) / self.spread
        return error, change.square().sum((1, 2)) / share

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        time = torch.sigmoid(torch.randn(len(batch["dance"]), device=self.device) - 0.4)
        error, change = self.losses(self.network, batch, time)
        weight = 1 / (1 - time).clamp(min=_NEAREST).square()
        loss = (weight * (error + 0.25 * change)).mean()
        self.log_dict({"train_error": error.mean(), "train_change": change.mean()}, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=1.0)

    def on_train_batch_end(self, *_: Any) -> None:
        self.averaged.update_parameters(self.network)

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        # The same times and noise each time, so that the figures can be compared.
        with torch.random.fork_rng():
            torch.manual_seed(index)
            time = (torch.arange(len(batch["dance"]), device=self.device) + 0.5) / len(
                batch["dance"]
            )
            error, change = self.losses(self.averaged, batch, time)
        self.log_dict({"val_error": error.mean(), "val_change": change.mean()}, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=0.01,
        )
        steps = self.config.steps

        def rate(step: int) -> float:
            falling = 0.1 + 0.45 * (1 + math.cos(math.pi * min(step / steps, 1)))
            return min(step / 200, 1) * falling

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def figure(self) -> NDArray[np.uint8]:
        """Three windows: real poses over time above generated ones with the same first half."""
        batch = {name: value[:3] for name, value in self._examples.items()}
        mask = torch.zeros_like(batch["mask"])
        mask[:, : mask.shape[1] // 2] = 1
        dance = batch["dance"]
        point = torch.randn_like(dance)
        for step in range(10):
            time = torch.full((len(dance),), step / 10, device=dance.device)
            point = torch.where(mask > 0, dance, point)
            found = self.averaged(point, time, mask, batch["mfcc"], batch["context"])
            point = point + (found - point) / (10 - step)
        rows = [row for pair in zip(dance, point, strict=True) for row in pair]
        mean, std = (np.array(self.origin[key]) for key in ("mean", "std"))
        pictures = []
        for row in rows:
            points, _ = unpack(row.float().cpu().numpy() * std + mean)
            pictures.append(draw_poses((points[..., :2] / 0.5).astype(np.float32)))
        return np.concatenate(pictures)

    def weights(self) -> dict[str, torch.Tensor]:
        return {f"network.{k}": v for k, v in self.averaged.module.state_dict().items()}

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        self.network.load_state_dict({k.removeprefix("network."): v for k, v in weights.items()})
        self.averaged.module.load_state_dict(self.network.state_dict())

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        window = self.config.window
        example = {
            "point": torch.zeros(1, window, CHANNELS),
            "time": torch.zeros(1),
            "mask": torch.zeros(1, window, CHANNELS),
            "mfcc": torch.zeros(1, window, self.config.n_mfcc),
            "context": torch.zeros(1, window, CONTEXT),
        }
        return self.averaged.module, example, ["dance"]

    def card(self) -> dict[str, Any]:
        facts = {"window": self.config.window, "placement": self.origin["placement"]}
        return facts | {key: self.origin[key] for key in (*_SCALE, "body")}


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with world landmarks and beats; all where there are none, so that the error says so."""
    found = [clip for clip in clips if clip.world is not None and clip.beats is not None]
    return found or list(clips)


def data(
    config: Config,
    kept: Sequence[Clip],
    held_out: Sequence[Clip],
    known: dict[str, Any] | None = None,
) -> tuple[Phrases, Phrases | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them.

    Args:
        known: the card's entry of the model that is trained further, whose scale is kept.
    """
    shape = config.counts, FRAMES, config.n_mfcc
    facts = None if known is None else {key: known[key] for key in _SCALE}
    train = Phrases(kept, *shape, augment=True, facts=facts)
    # Figures on the same scale.
    held = Phrases(held_out, *shape, augment=False, facts=train.facts) if held_out else None
    basis, variance = principal_components(train, config.components)
    return train, held, train.facts | {"basis": basis, "variance": variance}
