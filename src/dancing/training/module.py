"""What a model family gives to training and export."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from torch.optim.swa_utils import AveragedModel

from dancing.training.sampler import BatchSampler, Shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.card import StageCard


class TrainingModule(L.LightningModule):
    """A model family in training. Each family's file has one of these, named `Training`.

    Attributes:
        seed: of all random numbers in training; set before it.
        sampler: what draws the batches, while training.
        exact: parts of names of layers that keep full precision in the export; see `calibration`.

    Args:
        config: the family's `Config`: dimensions and hyperparameters.
        origin: stage, model, `history` (the steps of training so far, this one last, as in a card)
            and what the family needs to know of the data; kept in the checkpoint.
    """

    exact: tuple[str, ...] = ()

    def __init__(self, config: Any, origin: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.origin = origin
        self.seed = 0
        self.sampler: BatchSampler | None = None
        self._sampler_state: dict[str, Any] | None = None

    def on_fit_start(self) -> None:
        """Begin to count the minutes of this step of training."""
        self._began = time.monotonic()
        self._minutes = float(self.origin["history"][-1].get("minutes", 0.0))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what it takes to build this module and to go on, and its history."""
        minutes = self._minutes + (time.monotonic() - self._began) / 60
        self.origin["history"][-1] |= {
            "steps": self.trainer.global_step,
            "minutes": round(minutes, 2),
            "device": _device_name(self.device),
        }
        checkpoint["hyper_parameters"] = {
            "config": dataclasses.asdict(self.config),
            "origin": self.origin,
            "seed": self.seed,
        }
        if self.sampler is not None:
            checkpoint["sampler"] = self.sampler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the random numbers of the run."""
        self.seed = checkpoint["hyper_parameters"].get("seed", self.seed)
        self._sampler_state = checkpoint.get("sampler")

    def begin_sampling(
        self, samples: Any, batch_size: int, *, rank: int, processes: int
    ) -> BatchSampler:
        """Set `sampler`, as it was when the run stopped."""
        self.sampler = self.sampled(samples, batch_size, rank=rank, processes=processes)
        if self._sampler_state is not None:
            self.sampler.load_state_dict(self._sampler_state)
        return self.sampler

    def sampled(self, samples: Any, batch_size: int, *, rank: int, processes: int) -> BatchSampler:
        """What draws the batches of one process from the training data."""
        return Shuffled(len(samples), batch_size, seed=self.seed, rank=rank, processes=processes)

    def examples(self, samples: Any) -> Sequence[Any] | None:
        """What to load of the validation data, one batch each; None for all, in order."""
        return None

    def on_train_epoch_start(self) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(self.current_epoch)

    def random(self, step: int, *, everywhere: bool = False) -> torch.Generator:
        """Random numbers of a training step, whether or not the run was stopped before it.

        Args:
            step: its place in the epoch.
            everywhere: the same ones in all processes.
        """
        key = [self.seed, self.current_epoch, step, 0 if everywhere else 1 + self.global_rank]
        (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(state >> np.uint64(1)))

    def progress(self) -> float:
        """The part of the training that is done, 0 to 1, by epochs or by time."""
        trainer = self.trainer
        assert trainer.max_epochs is not None
        batches = trainer.fit_loop.batch_idx / max(1, int(trainer.num_training_batches))
        done = (trainer.current_epoch + min(1.0, batches)) / trainer.max_epochs
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Timer):
                left = callback.time_remaining()
                if left is not None:
                    elapsed = callback.time_elapsed()
                    done = max(done, elapsed / max(elapsed + left, 1e-9))
        return min(1.0, done)

    def shared_progress(self) -> float:
        """`progress` of the first process, for all of them: their clocks differ. All must ask."""
        progress = self.progress()
        if self.trainer.world_size == 1:
            return progress
        shared = torch.tensor(progress, device=self.device)
        torch.distributed.broadcast(shared, 0)
        return shared.item()

    def figure(self) -> NDArray[np.uint8]:
        """A picture (H, W, 3) of what the model makes now."""
        raise NotImplementedError

    def deployed(self) -> tuple[torch.nn.Module, dict[str, torch.Tensor], list[str]]:
        """What is exported to ONNX: the module, example inputs by name, the outputs' names."""
        raise NotImplementedError

    def weights(self) -> dict[str, torch.Tensor]:
        """What the bundle keeps to go on training from."""
        return self.state_dict()

    def begin(self) -> None:
        """Prepare the first weights, where there are none to go on from."""

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        """Go on from what `weights` kept.

        Raises:
            RuntimeError: when they are of another model.
        """
        self.load_state_dict(weights)

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Which axes of the exported inputs and outputs vary; by default the batch."""
        _, inputs, outputs = self.deployed()
        return {name: {0: "batch"} for name in [*inputs, *outputs]}

    def calibration(self) -> list[dict[str, NDArray[Any]]]:
        """Typical inputs, if the exported convolutions are to compute in eight bits."""
        return []

    def card(self) -> StageCard:
        """What the bundle's card says of this stage: all that inference needs to know."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What all cards say, as `dancing.card.read` takes it."""
        names = ("model", "placement", "proportions")
        return {
            "config": dataclasses.asdict(self.config),
            "training": self.origin["history"],
            **{name: self.origin[name] for name in names},
        }

    def files(self) -> dict[str, bytes]:
        """Further files of the bundle, by name."""
        return {}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def weights_of(**parts: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What a bundle keeps of several networks: each weight as PART.NAME."""
    return {
        f"{part}.{name}": value
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def weights_in(weights: dict[str, torch.Tensor], *parts: str) -> dict[str, torch.Tensor]:
    """Of these, the weights of one network, by its names in present and older bundles."""
    prefixes = tuple(f"{part}." for part in parts)
    return {
        key.partition(".")[2]: value for key, value in weights.items() if key.startswith(prefixes)
    }


def set_rate(optimiser: Any, rate: float) -> None:
    """Set the learning rate of an optimiser, times the `factor` of each of its groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def moving_average(network: torch.nn.Module, decay: float) -> AveragedModel:
    """A copy that `update_parameters` draws after the network: an exponential average of weights.

    It is over few steps at first, so that the first weights are soon forgotten.

    Args:
        decay: what is left of the average after a step.
    """

    def drawn_after(
        averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
    ) -> torch.Tensor:
        return torch.lerp(averaged, current, max(1 - decay, 9 / (10 + int(steps))))

    averaged = AveragedModel(network, avg_fn=drawn_after)
    averaged.requires_grad_(False)
    return averaged
