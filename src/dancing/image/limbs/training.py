"""The GAN in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dancing.body.skeleton import ANKLES, N_LANDMARKS, NOSE, SHOULDERS
from dancing.bundle import PREVIEW
from dancing.card import read
from dancing.image.compositing import crops, darken, lay_over, within
from dancing.image.data import usable as usable
from dancing.image.limbs.card import Card
from dancing.image.limbs.config import Config
from dancing.image.limbs.data import Crops
from dancing.image.limbs.data import data as data
from dancing.image.limbs.depth import turned
from dancing.image.limbs.discriminators import Discriminators, feature_distance, hinge_loss
from dancing.image.limbs.losses import (
    fidelity,
    near_hands,
    shade_at,
    shade_loss,
    temporal_change,
    texture,
    unit_range,
)
from dancing.image.limbs.network import Deployed, Networks, composite
from dancing.image.limbs.runtime import PLATE
from dancing.image.limbs.sampler import CropSampler, Request
from dancing.media.video import encode_png
from dancing.training.module import (
    TrainingModule,
    moving_average,
    set_rate,
    weights_in,
    weights_of,
)
from dancing.training.muon import Muon

BATCH_SIZE, EPOCHS = 4, 30
_EXAMPLES = 8
_CALIBRATED = 24  # poses, to find the eight bits


class Training(TrainingModule):
    """The GAN in training.

    Batches: 'chosen' (N,), which pictures they are, 'landmarks' (N, 33, 2) in pixels of the
    picture, 'corners' (N, 2) of the crops, 'picture' and 'plate' (N, 3, H, W) and 'matte' (N, 1, H,
    W) uint8 of the crops, and of the whole picture and the whole plate at an eighth 'small' (N, 4,
    h, w) uint8, colour and matte, and 'small_plate' (1, 3, h, w) uint8. Where 'paired', a bool,
    says so, pictures of odd index follow on the ones before; then the adversarial losses count.
    """

    config: Config
    # A shadow's slow gradients, and the last layer, show every step of eight bits, and what comes
    # before it most of the rest.
    exact = ("shade", "head/", "encoders.0/")

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        # One optimiser after the other, by hand: that is what a GAN needs.
        self.automatic_optimization = False
        self.networks = Networks(config, origin["size"])
        self.discriminators = Discriminators(config)
        self.room = nn.Buffer(origin["room"], persistent=False)
        self.to(memory_format=torch.channels_last)
        # What is drawn with: an average over the last steps, steadier than any of them.
        self.averaged = moving_average(self.networks, config.ema_decay)
        self._examples: list[dict[str, torch.Tensor]] = []

    def sampled(self, samples: Crops, batch_size: int, *, rank: int, processes: int) -> CropSampler:
        return CropSampler(
            samples.boxes,
            samples.follows,
            batch_size,
            self.config,
            paired=self.config.adversarial_from <= 0,
            seed=self.seed,
            rank=rank,
            processes=processes,
        )

    def examples(self, samples: Crops) -> list[Request]:
        return samples.examples()

    def begin(self) -> None:
        self.networks.person.finger_maps.fingers.begin(self.config)

    def training_step(self, batch: dict[str, torch.Tensor], step: int) -> None:
        config = self.config
        inner, others, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        factor = min(1.0, (self.averaged.n_averaged.item() + 1) / config.warm_up_steps)
        progress = self.shared_progress()
        fall = (1 - config.final_rate_factor) / (1 - config.full_rate_until)
        factor *= min(1.0, config.final_rate_factor + fall * (1 - progress))
        rate = config.learning_rate * factor
        set_rate(inner, rate)
        set_rate(others, rate * config.others_learning_rate_factor)

        landmarks = batch["landmarks"] - batch["corners"][:, None]
        height, width = batch["picture"].shape[2:]
        layers = self.networks.person(landmarks, (width, height))
        shade = self.networks.shade(batch["landmarks"])
        real, matte = unit_range(batch["picture"]), unit_range(batch["matte"])
        light = 1 - shade_at(shade, batch["corners"], (width, height))
        generated = composite(layers, unit_range(batch["plate"]) * light)
        hands = near_hands(landmarks, width, height, config.hand_crop_torsos)
        importance = 1 + (config.hand_weight - 1) * hands
        parts, errors = fidelity(layers, generated, real, matte, importance, config)
        adversarial = batch["paired"]
        loss = (
            parts["train_l1"]
            + config.matte_weight
            * (config.adversarial_matte_factor if adversarial else 1)
            * parts["train_matte"]
            + config.edge_weight
            * (config.adversarial_edge_factor if adversarial else 1)
            * parts["train_edges"]
        )
        loss = loss + config.shade_weight * shade_loss(shade, batch)
        if len(self.room):
            views, behind = self._views(step)
            parts["train_depth"] = (self.networks.person.depth(views) - behind).abs().mean()
            loss = loss + config.depth_weight * parts["train_depth"]
        if adversarial:
            loss = loss + config.temporal_weight * temporal_change(generated, real)
            patch = config.texture_patch
            difference = (texture(generated, patch) - texture(real, patch)).abs()
            parts["train_texture"] = (nn.functional.avg_pool2d(matte, patch) * difference).mean()
            loss = loss + config.texture_weight * parts["train_texture"]
            loss_g, features, loss_d = self._adversarial(generated, real, landmarks, optimise_d)
            loss = loss + config.adversarial_weight * loss_g
            loss = loss + config.feature_weight * features
            parts |= {"loss_d": loss_d, "loss_g": loss_g, "train_features": features}
        self.networks.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.networks.parameters(), config.gradient_clip)
        inner.step()
        others.step()
        self.log_dict(parts)
        self.averaged.update_parameters(self.networks)
        # All processes have to hold the same difficulties, for they draw the batch of all.
        measured = torch.stack([batch["chosen"].float(), errors.detach().float()])
        gathered = self.all_gather(measured).reshape(-1, *measured.shape)  # type: ignore[union-attr]
        frames, all_errors = gathered.transpose(0, 1).flatten(1).cpu().numpy()
        assert isinstance(self.sampler, CropSampler)
        self.sampler.update(
            frames.astype(np.int64), all_errors, paired=progress >= config.adversarial_from
        )

    def _views(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's slice of the step's random views; see `turned`."""
        count = self.config.depth_views
        random = self.random(step, everywhere=True)
        views, behind = turned(self.room, self.origin["focal"], count, self.config, random)
        share = max(1, count // self.trainer.world_size)
        first = self.trainer.global_rank * share % count
        return views[first : first + share], behind[first : first + share]

    def _adversarial(
        self,
        generated: torch.Tensor,
        real: torch.Tensor,
        landmarks: torch.Tensor,
        optimise_d: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take the discriminators' step, then find the generator's losses against them.

        Returns:
            The generator's adversarial loss, the L1 of features, the discriminators' hinge loss.
        """
        outputs_real = self.discriminators(real, landmarks)
        outputs_fake = self.discriminators(generated.detach(), landmarks)
        loss_d = hinge_loss(outputs_real, outputs_fake)
        optimise_d.zero_grad()
        self.manual_backward(loss_d)
        optimise_d.step()

        self.discriminators.requires_grad_(False)
        outputs = self.discriminators(generated, landmarks)
        self.discriminators.requires_grad_(True)
        means = torch.stack([output.float().mean() for output, _ in outputs])
        loss_g = -(means * means.new_tensor(self.discriminators.loss_weights)).mean()
        return loss_g, feature_distance(outputs, outputs_real), loss_d

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        generated = self._generated(batch)
        person = (batch["matte"] >= 128).float()
        error = ((generated - unit_range(batch["picture"])).square() * person).sum((1, 2, 3))
        mse = (error / (3 * person.sum((1, 2, 3))).clamp(min=1)).mean()
        self.log("val_person_mse", mse, prog_bar=True, batch_size=len(generated))
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

    def _generated(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        networks: Networks = self.averaged.module  # type: ignore[assignment]
        height, width = batch["picture"].shape[2:]
        landmarks = batch["landmarks"] - batch["corners"][:, None]
        layers = networks.person(landmarks, (width, height))
        shade = networks.shade(batch["landmarks"])
        light = 1 - shade_at(shade, batch["corners"], (width, height))
        return composite(layers, unit_range(batch["plate"]) * light)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        config = self.config
        # Muon is for what maps features to features; first and last layers are Adam's.
        inner = [
            weight
            for name, weight in self.networks.named_parameters()
            if weight.ndim == 4 and not name.startswith(("person.head", "shade.last"))
        ]
        fingers = list(self.networks.person.finger_maps.fingers.parameters())
        pose = list(self.networks.person.pose.parameters())
        chosen = {id(weight) for weight in (*inner, *fingers, *pose)}
        others = [weight for weight in self.networks.parameters() if id(weight) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": fingers, "factor": config.fingers_learning_rate_factor},
            {"params": pose, "factor": config.pose_learning_rate_factor},
        ]
        return [
            Muon(inner, config.learning_rate, config.muon_momentum),
            torch.optim.Adam(groups, config.learning_rate * config.others_learning_rate_factor),
            torch.optim.Adam(
                self.discriminators.parameters(),
                lr=config.discriminator_learning_rate,
                betas=(config.discriminator_beta1, 0.999),
            ),
        ]

    def figure(self) -> NDArray[np.uint8]:
        """Up to eight pictures: real above generated."""
        columns = []
        for batch in self._examples:
            generated = (self._generated(batch)[0] * 255 + 0.5).byte()
            column = torch.cat([batch["picture"][0], generated], 1).permute(1, 2, 0).cpu().numpy()
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
        networks: Networks = self.averaged.module  # type: ignore[assignment]
        poses = self.origin["poses"]
        left_out = self.config.pose_bound_part
        networks.person.pose.bound(poses, networks.person.depth(poses), left_out)
        return Deployed(networks).eval()

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
        return weights_of(networks=self.averaged.module, discriminators=self.discriminators)

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        # The second name is that of older bundles.
        for name, older in (("networks", "drawer"), ("discriminators", "judges")):
            getattr(self, name).load_state_dict(weights_in(weights, name, older))
        self.averaged.module.load_state_dict(self.networks.state_dict())

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
        left, right = SHOULDERS
        facing = poses[:, left, 0] - poses[:, right, 0]
        upright = poses[:, ANKLES, 1].mean(1) - poses[:, NOSE, 1]
        chosen = inputs[np.where(facing >= 0.8 * facing.max(), upright, -np.inf).argmax()]
        layers, shade = self._deployed()(*map(torch.from_numpy, chosen.values()))
        size = self.origin["size"]
        darken(frame, shade[0].numpy(), size)
        corner = chosen["corners"][0].astype(np.int64)
        lay_over(frame, *within(layers[0].numpy(), corner, size))
        return frame
