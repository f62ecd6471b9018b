"""Flow matching in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.body.drawing import draw_poses
from dancing.body.kinematics import CHANNELS, FEET_CHANNELS, unpack
from dancing.card import read
from dancing.data.dataset import Clip
from dancing.motion.flow.card import Card
from dancing.motion.flow.data import Phrases, principal_components
from dancing.motion.flow.features import CONTEXT
from dancing.motion.flow.network import Config, Denoiser
from dancing.training.module import TrainingModule, moving_average, set_rate
from dancing.training.muon import Muon

_SCALE = ("mean", "std", "change_std", "music", "genres", "genre_vigour")
BATCH_SIZE, EPOCHS = 64, 100


class Training(TrainingModule):
    """Flow matching in training. Batches are those of `dancing.motion.flow.data.Phrases`."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.automatic_optimization = False  # two optimisers
        self._genres = list(origin.get("genres", []))
        self.network = Denoiser(config, len(self._genres))
        if "basis" in origin:  # else it comes with the weights
            self.network.basis.copy_(origin["basis"])
            self.network.variance.copy_(origin["variance"])
        # What dances: an average over the last steps.
        self.averaged = moving_average(self.network, config.ema_decay)
        self.spread = nn.Buffer(torch.tensor(origin["change_std"]))
        self.std = nn.Buffer(torch.tensor(origin["std"]), persistent=False)
        self.mean_contact = nn.Buffer(torch.tensor(origin["mean"][-2:]), persistent=False)
        self._examples: dict[str, torch.Tensor] = {}

    def losses(
        self,
        network: nn.Module,
        batch: dict[str, torch.Tensor],
        time: torch.Tensor,
        random: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean squared errors (N,) of the dance, of its change from pose to pose, and of that of
        feet that stand, in centimetres.

        The last is after the contact consistency loss of Tseng et al., EDGE, CVPR 2023: what a
        foot may slide is far less than what it moves in a step, from which its scale is.
        """
        dance, known, mask = batch["dance"], batch["known"], batch["mask"]
        along = time[:, None, None]
        noise = torch.randn(dance.shape, generator=random, device=dance.device)
        point = along * dance + (1 - along) * noise
        point = torch.where(mask > 0, known, point)
        found = network(point, time, mask, batch["mfcc"], batch["context"]).float()
        wanted = batch["valid"][..., None] * (1 - mask)
        share = wanted.sum((1, 2)).clamp(min=1)
        error = (wanted * (found - dance).square()).sum((1, 2)) / share
        whole = torch.where(wanted > 0, found, dance)
        change = (whole - dance).diff(dim=1)
        down = dance[..., -2:] * self.std[-2:] + self.mean_contact > 0  # (N, T, 2)
        stands = (down[:, 1:] & down[:, :-1]).float()[..., None]  # (N, T - 1, 2, 1)
        feet = (100 * self.std * change)[..., FEET_CHANNELS].unflatten(-1, (2, -1))
        slip = (stands * feet.square()).mean((1, 2, 3))
        return error, (change / self.spread).square().sum((1, 2)) / share, slip

    def training_step(self, batch: dict[str, torch.Tensor], step: int) -> None:
        config = self.config
        muon, adam = self.optimizers()  # type: ignore[attr-defined]
        wave = 1 + math.cos(math.pi * self.shared_progress())
        factor = config.final_rate_factor + (1 - config.final_rate_factor) / 2 * wave
        factor *= min(1.0, (self.averaged.n_averaged.item() + 1) / config.warm_up_steps)
        set_rate(muon, config.learning_rate * factor)
        set_rate(adam, config.learning_rate * factor * config.others_learning_rate_factor)

        random = self.random(step)
        normal = torch.randn(len(batch["dance"]), generator=random, device=self.device)
        time = torch.sigmoid(normal + config.time_mean)
        error, change, slip = self.losses(self.network, batch, time, random)
        weight = 1 / (1 - time).clamp(min=config.least_time_left).square()
        parts = error + config.change_weight * change + config.stand_weight * slip
        loss = (weight * parts).mean()
        self.log_dict({"train_error": error.mean(), "train_change": change.mean()}, prog_bar=True)
        self.network.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        muon.step()
        adam.step()
        self.averaged.update_parameters(self.network)

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        # The same times and noise each time, so that the figures can be compared.
        random = torch.Generator(self.device).manual_seed(index)
        count = len(batch["dance"])
        time = (torch.arange(count, device=self.device) + 0.5) / count
        error, change, slip = self.losses(self.averaged, batch, time, random)
        figures = {"val_error": error.mean(), "val_change": change.mean(), "val_slip": slip.mean()}
        self.log_dict(figures, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        config = self.config
        inner = [
            weight
            for name, weight in self.network.blocks.named_parameters()
            if name.endswith(".weight")  # of its dense layers, which are all that has one
        ]
        chosen = {id(weight) for weight in inner}
        others = [weight for weight in self.network.parameters() if id(weight) not in chosen]
        return [
            Muon(inner, config.learning_rate, config.muon_momentum),
            torch.optim.AdamW(
                others,
                config.learning_rate * config.others_learning_rate_factor,
                (config.beta1, config.beta2),
                weight_decay=config.weight_decay,
            ),
        ]

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
            "context": torch.zeros(1, window, CONTEXT + len(self._genres)),
        }
        return self.averaged.module, example, ["dance"]

    def card(self) -> Card:
        own = {key: self.origin[key] for key in (*_SCALE, "body", "genre") if key in self.origin}
        return read(Card, self.facts() | own | {"window": self.config.window})


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with world landmarks; all where there are none, so that the error says so."""
    return [clip for clip in clips if clip.world is not None] or list(clips)


def data(
    config: Config,
    kept: Sequence[Clip],
    held_out: Sequence[Clip],
    *,
    known: dict[str, Any] | None,
    **_: Any,
) -> tuple[Phrases, Phrases | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them.

    Args:
        known: the card's entry of the model that is trained further, whose scale is kept.
    """
    facts = None
    if known is not None:  # one without genres says nothing of them
        facts = {"genres": [], "genre_vigour": []} | {k: known[k] for k in _SCALE if k in known}
    train = Phrases(kept, config, augment=True, facts=facts)
    # Figures on the same scale.
    held = Phrases(held_out, config, augment=False, facts=train.facts) if held_out else None
    basis, variance = principal_components(train, config.components)
    return train, held, train.facts | {"basis": basis, "variance": variance}
