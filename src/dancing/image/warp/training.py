"""The network of `warp` in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dancing.bundle import PREVIEW
from dancing.card import read
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.image.data import empty_scene, person_margin
from dancing.image.data import usable as with_pictures
from dancing.image.limbs.losses import unit_range
from dancing.image.warp.card import TURNS, Card
from dancing.image.warp.config import Config
from dancing.image.warp.data import Sketches
from dancing.image.warp.losses import Discriminators, losses, varied
from dancing.image.warp.network import Deployed, Generator, mended
from dancing.image.warp.reference import PLATE, Reference, files_of
from dancing.image.warp.refining import CHANNELS
from dancing.training.module import TrainingModule, moving_average, weights_in, weights_of
from dancing.training.train import describe_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_SIZE, EPOCHS = 8, 30
_EXAMPLES = 8
_CALIBRATED = 12


class Training(TrainingModule):
    """The GAN in training. Batches: see `data.Sketches`."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.automatic_optimization = False
        self.generator = Generator(config)
        self.discriminators = Discriminators()
        self.to(memory_format=torch.channels_last)
        self.averaged = moving_average(self.generator, config.ema_decay)
        self._examples: dict[str, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor], step: int) -> None:
        config = self.config
        optimise_g, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        progress = self.shared_progress()
        factor = min(1.0, (self.averaged.n_averaged.item() + 1) / config.warm_up_steps)
        factor *= min(1.0, config.final_rate_factor + (1 - progress) / config.falling_part)
        for group in optimise_g.param_groups:
            group["lr"] = config.learning_rate * factor
        sketches, true = varied(
            unit_range(batch["sketch"]), unit_range(batch["true"]), config, self.random(step)
        )
        judged = self.discriminators if progress >= config.adversarial_from else None
        loss, loss_d, parts = losses(self.generator, judged, sketches, true, config)
        optimise_g.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.generator.parameters(), config.gradient_clip)
        optimise_g.step()
        if loss_d is not None:
            parts["discriminators"] = loss_d
            optimise_d.zero_grad()
            self.manual_backward(loss_d)
            optimise_d.step()
        self.averaged.update_parameters(self.generator)
        self.log_dict({f"train_{name}": value for name, value in parts.items()})

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        found, true = self._found(batch), unit_range(batch["true"])
        self.log("val_l1", (found - true).abs().mean(), prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        # Until there are some of the validation.
        self._examples = self._examples or batch

    def _found(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        sketches = unit_range(batch["sketch"])
        return mended(sketches[:, :4], *self.averaged.module(sketches))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        config = self.config
        return [
            torch.optim.Adam(self.generator.parameters(), config.learning_rate, (0.9, 0.99)),
            torch.optim.Adam(
                self.discriminators.parameters(), config.discriminator_learning_rate, (0.5, 0.999)
            ),
        ]

    def figure(self) -> NDArray[np.uint8]:
        """Up to eight people: painted, mended, true."""
        batch = {name: value[:_EXAMPLES] for name, value in self._examples.items()}
        rows = [unit_range(batch["sketch"])[:, :4], self._found(batch), unit_range(batch["true"])]
        seen = [row[:, :3] + 0.5 * (1 - row[:, 3:]) for row in rows]
        picture = torch.cat([torch.cat(list(row), 2) for row in seen], 1)
        return (picture * 255 + 0.5).byte().permute(1, 2, 0).cpu().numpy()

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        generator: Generator = self.averaged.module  # type: ignore[assignment]
        example = torch.zeros(1, 64, 48, CHANNELS, dtype=torch.uint8)
        return Deployed(generator).eval(), {"sketch": example}, ["mending"]

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        sides = {1: "height", 2: "width"}
        return {"sketch": sides, "mending": sides}

    def calibration(self) -> list[dict[str, NDArray[Any]]]:
        sketches = self.origin["sketches"].permute(0, 2, 3, 1).contiguous().numpy()
        return [{"sketch": one[None]} for one in sketches]

    def weights(self) -> dict[str, torch.Tensor]:
        return weights_of(generator=self.averaged.module, discriminators=self.discriminators)

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        for name in ("generator", "discriminators"):
            getattr(self, name).load_state_dict(weights_in(weights, name))
        self.averaged.module.load_state_dict(self.generator.state_dict())

    def card(self) -> Card:
        reference = self._reference()
        plate = self.origin["plate"]
        own = {
            "size": self.origin["size"],
            "view": [0.0, 0.0, 1.0, 1.0],
            "turns": TURNS,
            "seen": [0.0, 0.0, 1.0, 1.0],
            "margin": self.origin["margin"],
            "plate": [plate.shape[1], plate.shape[0]],
            "references": [
                {"size": list(reference.card.size), "points": list(reference.card.points)}
            ],
        }
        return read(Card, self.facts() | self.origin["person"] | own)

    def files(self) -> dict[str, bytes]:
        plate = self.origin["plate"].numpy()
        files = files_of([self._reference()], plate)
        return files | {PREVIEW: files[PLATE]}

    def _reference(self) -> Reference:
        kept = self.origin["reference"]
        return Reference(*(kept[name].numpy() for name in ("colour", "alpha", "points")))


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with pictures, mattes and world landmarks.

    Raises:
        DancingError: when there are none.
    """
    found = [
        clip for clip in with_pictures(clips) if clip.matte is not None and clip.world is not None
    ]
    if not found:
        raise DancingError("no clip has mattes and world landmarks; 'dancing prepare' makes them")
    return found


def data(
    config: Config, kept: Sequence[Clip], held_out: Sequence[Clip], **_: Any
) -> tuple[Sketches, Sketches | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them.

    The dancer of an exported bundle is the person of the first clip.
    """
    train = Sketches(kept, config)
    person, first = train.people[0], kept[0]
    frame = person.best()
    colour, alpha = person.picture(frame)
    assert first.world is not None
    points = np.column_stack([person.points[frame], person.visibility[frame], first.world[frame]])
    reference = {"colour": colour, "alpha": alpha, "points": points.astype(np.float32)}
    chosen = np.linspace(0, len(train) - 1, min(len(train), _CALIBRATED)).astype(int)
    facts = {
        "size": list(person.size),
        "margin": person_margin([first], 2),
        "plate": torch.from_numpy(empty_scene([first], 2)),
        "reference": {name: torch.from_numpy(value) for name, value in reference.items()},
        "person": describe_data([first]),
        "sketches": torch.stack([train[index]["sketch"] for index in chosen.tolist()]),
    }
    return train, Sketches(held_out, config) if held_out else None, facts
