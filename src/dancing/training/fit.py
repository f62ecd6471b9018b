"""The training loop of both stages, on Lightning."""

from __future__ import annotations

import dataclasses
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors import SafetensorError
from safetensors.torch import load
from torch.utils.data import DataLoader, Dataset

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.media.video import encode_png
from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO
from dancing.training.module import TrainingModule

if TYPE_CHECKING:
    from dancing.pipeline import Progress


DEVICES = ("auto", "cpu", "cuda")
_FIGURE_EVERY = 60.0
_CHECKPOINT_EVERY = 120.0


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
        # Older runs lack the newer fields.
        config = dataclasses.asdict(type(module.config)()) | stored["config"]
        if config != dataclasses.asdict(module.config):
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
