"""What training of both stages shares: the run folder, checkpoints, the Lightning trainer.

A run folder holds `last.safetensors` (weights, optimiser state, dimensions and origin of the
data: all that is needed to go on or to export), `samples/` (figures made on the way) and
`logs/` (TensorBoard).
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import Callback, RichProgressBar, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from dancing.bundle import Bundle
from dancing.dataset import Clip
from dancing.errors import DancingError, DancingWarning
from dancing.files import write_then_rename
from dancing.poses import torso_length
from dancing.retarget import floor_level, proportions
from dancing.video import encode_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.pipeline import Progress

CHECKPOINT = "last.safetensors"
DEVICES = ("auto", "cpu", "cuda")
_TREE = "checkpoint"
_DECAY = 0.999
_FIGURE_EVERY = 60.0
_CHECKPOINT_EVERY = 120.0


class TrainingModule(L.LightningModule):
    """A model family in training. Each family's file has one of these, named `Training`.

    Attributes:
        exact: parts of names of layers that keep full precision in the export; see `calibration`.

    Args:
        config: the family's `Config`: dimensions and hyperparameters.
        origin: where the data come from, kept in the checkpoint: see `describe_data`.
    """

    exact: tuple[str, ...] = ()

    def __init__(self, config: Any, origin: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.origin = origin

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep in the checkpoint what it takes to build this module again."""
        checkpoint["hyper_parameters"] = {
            "config": dataclasses.asdict(self.config),
            "origin": self.origin,
        }

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

    def card(self) -> dict[str, Any]:
        """What the bundle's card says of this stage: all that inference needs to know."""
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """Further files of the bundle, by name."""
        return {}


class SafetensorsIO(CheckpointIO):
    """Lightning checkpoints as safetensors: tensors by number, the tree around them as JSON."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; the file under `path` is replaced at the end, never half-way."""
        tensors: dict[str, torch.Tensor] = {}
        tree = json.dumps(_pack(checkpoint, tensors))
        with write_then_rename(path) as temporary:
            save_file(tensors, temporary, metadata={_TREE: tree})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back, on the CPU.

        Raises:
            DancingError: when the file is no such checkpoint.
        """
        try:
            with safe_open(path, "pt") as file:
                tree = json.loads((file.metadata() or {})[_TREE])
                return _unpack(tree, file)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DancingError(f"{path}: not a checkpoint of this program ({error})") from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def configured(kind: Any, settings: Sequence[str], base: dict[str, Any] | None = None) -> Any:
    """A family's Config with some fields set, each given as 'name=value'.

    Args:
        base: values of the other fields, if not the defaults.

    Raises:
        DancingError: for an unknown name or a value of the wrong type.
    """
    fields = {name: getattr(kind, name) for name in kind.__dataclass_fields__}
    values = {name: value for name, value in (base or {}).items() if name in fields}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in fields:
            raise DancingError(f"no setting '{name}'; there are {', '.join(fields)}")
        try:
            values[name] = type(fields[name])(text)
        except ValueError as error:
            raise DancingError(f"setting {name}: '{text}' is not a number") from error
    try:
        return kind(**values)
    except ValueError as error:
        raise DancingError(f"settings do not fit: {error}") from error


def split(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and those held out by the hash of their song or source.

    A clip that is not held out but shares its song or source with one that is (see
    `Clip.origins`) is on neither side. So adding data never moves a clip across. With so few
    sources that one side would be empty, all are trained on and none is held out.
    """
    out = [clip for clip in clips if clip.held_out]
    secret = _origins(out)
    kept = [clip for clip in clips if not clip.held_out and not clip.origins & secret]
    if kept and out:
        return kept, out
    warnings.warn(
        "too few songs or sources to hold any out: no validation figures",
        category=DancingWarning,
        stacklevel=2,
    )
    return list(clips), []


def describe_data(clips: Sequence[Clip]) -> dict[str, Any]:
    """What a checkpoint keeps of its training data: sizes, sources, the dancer's place and body."""
    landmarks = np.concatenate([clip.landmarks for clip in clips])
    hips = landmarks[:, [23, 24]].mean(1)
    aspect = float(np.median([clip.aspect for clip in clips]))
    return {
        "command": shlex.join(["dancing", *sys.argv[1:]]),
        "clips": len(clips),
        "seconds": round(sum(clip.duration for clip in clips), 1),
        "sources": sorted(_origins(clips)),
        "placement": {
            "x": round(float(np.median(hips[:, 0])), 4),
            "y": round(float(np.median(hips[:, 1])), 4),
            "torso": round(torso_length(landmarks, aspect), 4),
            "floor": round(floor_level(landmarks), 4),
            "aspect": round(aspect, 6),
        },
        "proportions": proportions(landmarks, aspect),
    }


def fit(
    build: Callable[[], TrainingModule],
    train: Dataset[Any],
    validation: Dataset[Any] | None,
    run: Path,
    *,
    batch_size: int,
    epochs: int,
    minutes: float | None = None,
    start: Bundle | None = None,
    device: str = "auto",
    resume: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Train, on a CPU, one GPU or several, and leave the result in the run folder.

    Args:
        build: makes the module; its first weights depend on the seed.
        minutes: stop after this time in all, resumed parts included, if the epochs have not
            ended before.
        start: a bundle whose model of the same stage and family to start from.
        resume: go on from the run's checkpoint.
        progress: told of the percents done; else a terminal shows a bar of its own.
        stop: asked after every step; when it says True, training ends as if its time were over.

    Returns:
        The last value of every logged figure.

    Raises:
        DancingError: when the device is not there, `start` has no such model or one of other
            dimensions, or the run folder does not fit `resume`.
    """
    checkpoint = run / CHECKPOINT
    check_run(run, resume)
    if device == "cuda" and not torch.cuda.is_available():
        raise DancingError("device 'cuda' was asked for, but PyTorch finds no such GPU")
    # Some datasets make whole batches by themselves.
    batched = getattr(train, "batched", False)
    if not batched and len(train) < batch_size:  # type: ignore[arg-type]
        raise DancingError(
            f"only {len(train)} samples to train on, fewer than the batch size {batch_size}; "  # type: ignore[arg-type]
            "give more data, or a smaller --batch-size"
        )
    loading = {"batch_size": None} if batched else {"batch_size": batch_size, "drop_last": True}
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    L.seed_everything(seed, workers=True, verbose=False)
    module = build()
    if start is not None:
        _start_from(module, start)
    elif not resume:
        module.begin()
    if resume:
        stored = SafetensorsIO().load_checkpoint(checkpoint)["hyper_parameters"]
        if stored["config"] != dataclasses.asdict(module.config):
            raise DancingError(f"{run}: was trained with other settings: {stored['config']}")
        # Once seen, always seen, even if it goes on with other data.
        seen = {*stored["origin"]["sources"], *module.origin["sources"]}
        module.origin["sources"] = sorted(seen)
        for fact in ("view", "size"):
            if module.origin.get(fact) != stored["origin"].get(fact):
                raise DancingError(
                    f"{run}: these data show the dancer in another {fact}; start anew"
                )
    callbacks: list[Callback] = [_Keeper(run)]
    visible = sys.stderr.isatty() and progress is None
    if progress is not None:
        callbacks.append(_Teller(progress))
    if stop is not None:
        callbacks.append(_Stopper(stop))
    if visible:
        callbacks.append(RichProgressBar())
    trainer = L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices="auto",
        # Each optimiser of a GAN uses a part of the weights.
        strategy="ddp_find_unused_parameters_true" if _gpus(device) > 1 else "auto",
        precision=_precision(device),
        max_epochs=epochs,
        max_time=None if minutes is None else timedelta(minutes=minutes),
        plugins=[SafetensorsIO()],
        callbacks=callbacks,
        logger=TensorBoardLogger(str(run), name="logs", version=""),
        # Lightning's own forgets about time where a model steps its optimisers by itself.
        enable_checkpointing=False,
        enable_progress_bar=visible,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )
    in_main = threading.current_thread() is threading.main_thread()
    interrupt = signal.getsignal(signal.SIGINT)
    if (
        in_main
        and hasattr(signal, "SIGPROF")
        and signal.getsignal(signal.SIGPROF) == signal.SIG_DFL
    ):
        # MediaPipe, if it was used before, counts time by this signal. Lightning puts back what
        # Python knows of handlers, the default, by which the next one would end the program.
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        trainer.fit(
            module,
            DataLoader(train, shuffle=True, **loading),  # type: ignore[arg-type]
            None
            if validation is None
            else DataLoader(validation, batch_size=None if batched else batch_size),
            ckpt_path=checkpoint if resume else None,
        )
    except SystemExit:
        # Lightning ends the program by itself when it is interrupted.
        if in_main:
            signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from None
    trainer.save_checkpoint(checkpoint)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def moving_average(network: torch.nn.Module) -> AveragedModel:
    """A copy that `update_parameters` draws after the network: an exponential average of weights.

    It is over few steps at first, so that the first weights are soon forgotten.
    """

    def drawn_after(
        averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
    ) -> torch.Tensor:
        return torch.lerp(averaged, current, max(1 - _DECAY, 9 / (10 + int(steps))))

    averaged = AveragedModel(network, avg_fn=drawn_after)
    averaged.requires_grad_(False)
    return averaged


def model_of(bundle: Bundle, stage: str, model: str) -> dict[str, Any]:
    """What a bundle's card says of its model of a stage, if that is of the family named `model`.

    Raises:
        DancingError: when it is not.
    """
    settings = bundle.settings(stage)
    if settings.get("model") != model or not isinstance(settings.get("config"), dict):
        raise DancingError(
            f"{bundle.path}: its {stage} model is '{settings.get('model')}', not '{model}'"
        )
    return settings


def _start_from(module: TrainingModule, bundle: Bundle) -> None:
    """Give a module the weights of a bundle's model of the same family, to go on from.

    What that model has seen counts as seen by this one, so that it is never scored on it.
    """
    stage = module.origin["stage"]
    settings = model_of(bundle, stage, module.origin["model"])
    content = bundle.file(f"{stage}.safetensors")
    try:
        module.begin_with(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise DancingError(
            f"{bundle.path}: its {stage} model does not fit the settings ({error})"
        ) from error
    seen = settings.get("training", {}).get("sources", [])
    module.origin["sources"] = sorted({*module.origin["sources"], *seen})


def check_run(run: Path, resume: bool) -> None:
    """Refuse a run folder that does not fit, before any work is done.

    Raises:
        DancingError: when there is nothing to resume, or something that would be overwritten.
    """
    exists = (run / CHECKPOINT).is_file()
    if resume and not exists:
        raise DancingError(f"{run}: nothing to resume, it holds no {CHECKPOINT}")
    if exists and not resume:
        raise DancingError(f"{run}: already holds a run; --resume it, or choose another folder")


def _origins(clips: Sequence[Clip]) -> frozenset[str]:
    return frozenset[str]().union(*(clip.origins for clip in clips))


def _gpus(device: str) -> int:
    return 0 if device == "cpu" else torch.cuda.device_count()


def _precision(device: str) -> Literal["bf16-mixed", "32-true"]:
    """bfloat16 where the processor multiplies matrices in it; there it is several times faster.

    Processors that only multiply vectors in it (AVX-512) are faster in float32.
    """
    if _gpus(device):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if fast else "32-true"


class _Keeper(Callback):
    """Save a checkpoint and the model's figure now and then, so that a kill costs minutes."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._saved = self._drawn = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        now = time.monotonic()
        # Several processes save together or not at all.
        if trainer.strategy.broadcast(now - self._saved >= _CHECKPOINT_EVERY):
            self._saved = now
            trainer.save_checkpoint(self._run / CHECKPOINT)
        if now - self._drawn >= _FIGURE_EVERY:
            self._draw(trainer, module)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._saved = time.monotonic()
        trainer.save_checkpoint(self._run / CHECKPOINT)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._draw(trainer, module)

    def _draw(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._drawn = time.monotonic()
        if not trainer.is_global_zero or not isinstance(module, TrainingModule):
            return
        training = module.training
        module.eval()
        with torch.no_grad():
            picture = module.figure()
        module.train(training)
        with write_then_rename(
            self._run / "samples" / f"step_{trainer.global_step:07d}.png"
        ) as file:
            file.write_bytes(encode_png(picture))
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_image(
                "samples", picture, trainer.global_step, dataformats="HWC"
            )


class _Teller(Callback):
    """Tell of the part that is done."""

    def __init__(self, progress: Progress) -> None:
        self._tell = progress

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, TrainingModule)
        self._tell("training", round(100 * module.progress()), 100)


class _Stopper(Callback):
    """End the training when asked to."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.should_stop or self._stop()


def _pack(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(node, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = node.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(node, dict):
        return {"map": [[_pack(k, tensors), _pack(v, tensors)] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        return [_pack(value, tensors) for value in node]
    if isinstance(node, Path):
        return str(node)
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"a checkpoint cannot hold a {type(node).__name__}")


def _unpack(node: Any, file: Any) -> Any:
    if isinstance(node, dict):
        if "tensor" in node:
            return file.get_tensor(node["tensor"])
        return {_unpack(k, file): _unpack(v, file) for k, v in node["map"]}
    if isinstance(node, list):
        return [_unpack(value, file) for value in node]
    return node
