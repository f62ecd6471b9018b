"""The GAN in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.body.skeleton import N_LANDMARKS
from dancing.bundle import PREVIEW
from dancing.card import read
from dancing.image.compositing import crops, darken, lay_over, within
from dancing.image.data import usable as usable
from dancing.image.limbs.card import Card
from dancing.image.limbs.data import data as data
from dancing.image.limbs.depth import turned
from dancing.image.limbs.discriminators import _SAY, Discriminators
from dancing.image.limbs.losses import (
    _PATCH,
    fidelity,
    near_hands,
    shade_at,
    shade_loss,
    temporal_change,
    texture,
    unit_range,
)
from dancing.image.limbs.network import Config, Deployed, Networks, composite
from dancing.image.limbs.runtime import PLATE
from dancing.media.video import encode_png
from dancing.training.module import TrainingModule, moving_average
from dancing.training.muon import Muon

# Of the others' learning rate: pictures say little of where a finger is, and what `Fingers.begin`
# knows would be lost.
_FINGERS_SHARE = 0.02
# What the whole pose says moves every channel of every level.
_POSE_SHARE = 0.3
_WARM_UP = 100
BATCH_SIZE, EPOCHS = 4, 30
_EXAMPLES = 8
_CALIBRATED = 24  # of the kept poses, drawn to find the eight bits
_VIEWS = 256  # of turned poses, that depth learns from in a step
# Factors once there are discriminators. The loss of edges is least for blurred ones where their
# place is uncertain; a free matte would paint the shadow on the floor, badly.
_MATTE_JUDGED, _EDGES_JUDGED = 2.0, 0.4
_JUDGES_RATE = 4e-4


class Training(TrainingModule):
    """The GAN in training.

    Batches: 'chosen' (N,), which pictures they are, 'landmarks' (N, 33, 2) in pixels of the
    picture, 'corners' (N, 2) of the crops, 'picture' and 'plate' (N, 3, H, W) and 'matte' (N, 1, H,
    W) uint8 of the crops, and of the whole picture and the whole plate at an eighth 'small' (N, 4,
    h, w) uint8, colour and matte, and 'small_plate' (1, 3, h, w) uint8. Where 'paired', a bool,
    says so, pictures of odd index follow on the ones before; then the discriminators judge.
    """

    config: Config
    # A shadow's slow gradients, and the last layer, show every step of eight bits, and what comes
    # before it most of the rest.
    exact = ("shade", "head/", "encoders.0/")

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        # One optimiser after the other, by hand: that is what a GAN needs.
        self.automatic_optimization = False
        self.drawer = Networks(config, origin["size"])
        self.judges = Discriminators()
        self.room = nn.Buffer(origin["room"], persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What is drawn with: an average over the last steps, steadier than any of them.
        self.averaged = moving_average(self.drawer)
        self._examples: list[dict[str, torch.Tensor]] = []
        self._error = 0.0

    def begin(self) -> None:
        self.drawer.person.finger_maps.fingers.begin()

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        inner, others, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        factor = min(1.0, (self.averaged.n_averaged.item() + 1) / _WARM_UP)
        factor *= min(1.0, 0.03 + 1.94 * (1 - self.progress()))
        _set_rate(inner, self.config.learning_rate * factor)
        _set_rate(others, self.config.learning_rate * factor / 4)

        landmarks = batch["landmarks"] - batch["corners"][:, None]
        height, width = batch["picture"].shape[2:]
        layers = self.drawer.person(landmarks, (width, height))
        shade = self.drawer.shade(batch["landmarks"])
        real, matte = unit_range(batch["picture"]), unit_range(batch["matte"])
        light = 1 - shade_at(shade, batch["corners"], (width, height))
        drawn = composite(layers, unit_range(batch["plate"]) * light)
        hands = near_hands(landmarks, width, height)
        importance = 1 + (self.config.hand_weight - 1) * hands
        parts, errors = fidelity(layers, drawn, real, matte, importance)
        judged = batch["paired"]
        matte_weight = self.config.matte_weight * (_MATTE_JUDGED if judged else 1)
        edge_weight = self.config.edge_weight * (_EDGES_JUDGED if judged else 1)
        loss = (
            parts["train_l1"]
            + matte_weight * parts["train_matte"]
            + edge_weight * parts["train_edges"]
        )
        loss = loss + shade_loss(shade, batch)
        if len(self.room):
            views, behind = turned(self.room, self.origin["focal"], _VIEWS)
            parts["train_depth"] = (self.drawer.person.depth(views) - behind).abs().mean()
            loss = loss + parts["train_depth"]
        if judged:
            loss = loss + self.config.temporal_weight * temporal_change(drawn, real)
            difference = (texture(drawn) - texture(real)).abs()
            parts["train_texture"] = (nn.functional.avg_pool2d(matte, _PATCH) * difference).mean()
            loss = loss + self.config.texture_weight * parts["train_texture"]
            adversarial, features, loss_d = self._judge(drawn, real, landmarks, optimise_d)
            loss = loss + self.config.adversarial_weight * adversarial
            loss = loss + self.config.feature_weight * features
            parts |= {"loss_d": loss_d, "loss_g": adversarial, "train_features": features}
        self.drawer.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.drawer.parameters(), 1.0)
        inner.step()
        others.step()
        self.log_dict(parts)
        self.averaged.update_parameters(self.drawer)
        data = self.trainer.train_dataloader.dataset  # type: ignore[union-attr]
        data.weights[batch["chosen"].cpu().numpy()] = self._difficulty(errors)
        data.paired = self.progress() >= self.config.adversarial_from

    def _difficulty(self, errors: torch.Tensor) -> NDArray[np.floating[Any]]:
        """How much worse than others the pictures are drawn, (N,), 1 for the mean of late ones."""
        error = errors.detach().float().cpu().numpy()
        self._error += 0.01 * (error.mean() - self._error) if self._error else error.mean()
        difficulty: NDArray[np.floating[Any]] = error / self._error
        return difficulty

    def _judge(
        self,
        drawn: torch.Tensor,
        real: torch.Tensor,
        landmarks: torch.Tensor,
        optimise_d: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Train the judges, then hear them on what was drawn, and how far their features lie."""
        judged_real = self.judges(real, landmarks)
        judged_fake = self.judges(drawn.detach(), landmarks)
        losses = [
            torch.relu(1 - a.float()).mean() + torch.relu(1 + b.float()).mean()
            for (a, _), (b, _) in zip(judged_real, judged_fake, strict=True)
        ]
        loss_d = torch.stack(losses).mean()
        optimise_d.zero_grad()
        self.manual_backward(loss_d)
        optimise_d.step()

        self.judges.requires_grad_(False)
        heard = self.judges(drawn, landmarks)
        self.judges.requires_grad_(True)
        verdicts = torch.stack([verdict.float().mean() for verdict, _ in heard])
        verdict = -(verdicts * verdicts.new_tensor(_SAY)).mean()
        distances = [
            (a.float() - b.detach().float()).abs().mean()
            for (_, fake), (_, true) in zip(heard, judged_real, strict=True)
            for a, b in zip(fake, true, strict=True)
        ]
        return verdict, torch.stack(distances).mean(), loss_d

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        drawn = self._drawn(batch)
        person = (batch["matte"] >= 128).float()
        error = ((drawn - unit_range(batch["picture"])).square() * person).sum((1, 2, 3))
        mse = (error / (3 * person.sum((1, 2, 3))).clamp(min=1)).mean()
        self.log("val_person_mse", mse, prog_bar=True, batch_size=len(drawn))
        if index == 0:
            self._examples = []
        if index % max(1, int(self.trainer.num_val_batches[0]) // _EXAMPLES) == 0:
            self._example(batch)

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        # Until there are some of the validation.
        self._example(batch)

    def _example(self, batch: dict[str, torch.Tensor]) -> None:
        if len(self._examples) < _EXAMPLES:
            self._examples.append(
                {name: value[:1] for name, value in batch.items() if name != "paired"}
            )

    def _drawn(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        drawer: Networks = self.averaged.module  # type: ignore[assignment]
        height, width = batch["picture"].shape[2:]
        landmarks = batch["landmarks"] - batch["corners"][:, None]
        layers = drawer.person(landmarks, (width, height))
        shade = drawer.shade(batch["landmarks"])
        light = 1 - shade_at(shade, batch["corners"], (width, height))
        return composite(layers, unit_range(batch["plate"]) * light)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        # Muon is for what maps features to features; first and last layers are Adam's.
        inner = [
            weight
            for name, weight in self.drawer.named_parameters()
            if weight.ndim == 4 and not name.startswith(("person.head", "shade.last"))
        ]
        fingers = list(self.drawer.person.finger_maps.fingers.parameters())
        pose = list(self.drawer.person.pose.parameters())
        chosen = {id(weight) for weight in (*inner, *fingers, *pose)}
        others = [weight for weight in self.drawer.parameters() if id(weight) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": fingers, "share": _FINGERS_SHARE},
            {"params": pose, "share": _POSE_SHARE},
        ]
        return [
            Muon(inner, self.config.learning_rate),
            torch.optim.Adam(groups, self.config.learning_rate / 4),
            torch.optim.Adam(self.judges.parameters(), lr=_JUDGES_RATE, betas=(0.5, 0.999)),
        ]

    def figure(self) -> NDArray[np.uint8]:
        """Up to eight pictures: real above generated."""
        columns = []
        for batch in self._examples:
            drawn = (self._drawn(batch)[0] * 255 + 0.5).byte()
            column = torch.cat([batch["picture"][0], drawn], 1).permute(1, 2, 0).cpu().numpy()
            columns.append(column)
        height = max(column.shape[0] for column in columns) // 2
        rows = []
        for half in (0, 1):
            row = []
            for column in columns:
                part = np.array_split(column, 2)[half]
                row.append(np.pad(part, ((0, height - len(part)), (0, 0), (0, 0))))
            rows.append(np.concatenate(row, 1))
        return np.concatenate(rows)

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        example = {
            "landmarks": torch.rand(2, N_LANDMARKS, 2) * 64,
            "corners": torch.zeros(2, 2),
            "crop": torch.tensor([64, 96]),
        }
        return self._deployed(), example, ["layers", "shade"]

    def _deployed(self) -> Deployed:
        drawer: Networks = self.averaged.module  # type: ignore[assignment]
        poses = self.origin["poses"]
        drawer.person.pose.bound(poses, drawer.person.depth(poses))
        return Deployed(drawer).eval()

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        return {
            "landmarks": {0: "batch"},
            "corners": {0: "batch"},
            "layers": {0: "batch", 1: "height", 2: "width"},
            "shade": {0: "batch"},
        }

    def calibration(self) -> list[dict[str, NDArray[Any]]]:
        poses = self.origin["poses"].numpy()
        inputs = []
        for pose in poses[:: max(1, len(poses) // _CALIBRATED)]:
            crop, corners = crops(pose[None], self.origin["margin"], self.origin["size"])
            inputs.append(
                {
                    "landmarks": pose[None],
                    "corners": corners.astype(np.float32),
                    "crop": np.array(crop, np.int64),
                }
            )
        return inputs

    def weights(self) -> dict[str, torch.Tensor]:
        return {
            **{
                f"drawer.{name}": value for name, value in self.averaged.module.state_dict().items()
            },
            **{f"judges.{name}": value for name, value in self.judges.state_dict().items()},
        }

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        for name in ("drawer", "judges"):
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
            getattr(self, name).load_state_dict(own)
        self.averaged.module.load_state_dict(self.drawer.state_dict())

    def card(self) -> Card:
        own = {"view": [0.0, 0.0, 1.0, 1.0]} | {
            name: self.origin[name] for name in ("size", "margin")
        }
        return read(Card, self.facts() | own)

    def files(self) -> dict[str, bytes]:
        plate = self.origin["plate"].numpy()
        return {PLATE: encode_png(plate), PREVIEW: encode_png(self._portrait(plate.copy()))}

    @torch.no_grad()
    def _portrait(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw the most upright pose that faces the camera over the plate, in place."""
        inputs = self.calibration()
        poses = np.concatenate([one["landmarks"] for one in inputs])
        facing = poses[:, 11, 0] - poses[:, 12, 0]
        upright = poses[:, 27:29, 1].mean(1) - poses[:, 0, 1]
        chosen = inputs[np.where(facing >= 0.8 * facing.max(), upright, -np.inf).argmax()]
        layers, shade = self._deployed()(*map(torch.from_numpy, chosen.values()))
        size = self.origin["size"]
        darken(frame, shade[0].numpy(), size)
        corner = chosen["corners"][0].astype(np.int64)
        lay_over(frame, *within(layers[0].numpy(), corner, size))
        return frame


def _set_rate(optimiser: Any, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
