"""The training loop of both stages, on Lightning."""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors import SafetensorError
from safetensors.torch import load
from torch.utils.data import DataLoader, Dataset

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.listener import Listener
from dancing.media.video import encode_png
from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO
from dancing.training.module import TrainingModule

_FIGURE_EVERY = 60.0
_CHECKPOINT_EVERY = 120.0
_PREFETCHED = 2  # batches by each worker


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
    devices: int | None = None,
    workers: int = 0,
    resume: bool = False,
    seed: int = 0,
    listener: Listener | None = None,
    bar: bool = False,
) -> dict[str, float]:
    """Train, on a CPU, one GPU or several, and leave the result in the run folder.

    Args:
        build: makes the module; its first weights depend on the seed.
        batch_size: of each process.
        minutes: stop after this time in all, resumed parts included, if the epochs have not
            ended before.
        start: a bundle whose model of the same stage and family to start from.
        devices: how many GPUs, or processes on the CPU. Default: all GPUs, one process.
        workers: processes beside each that load its batches; they change nothing that is learned.
        resume: go on from the run's checkpoint.
        listener: told of the percents done; asked after every step whether to stop.
        bar: show a progress bar with the losses on the terminal.
        seed: of all random numbers; a run that is resumed keeps its own.

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
    processes = devices or max(1, _gpus(device))
    if _gpus(device) and processes > _gpus(device):
        raise DancingError(f"{processes} devices were asked for, there are {_gpus(device)} GPUs")
    together = batch_size * processes
    if not getattr(train, "batched", False) and len(train) < together:  # type: ignore[arg-type]
        several = "" if processes == 1 else f" on {processes} devices together"
        raise DancingError(
            f"only {len(train)} samples to train on, fewer than the batch size {together}{several};"  # type: ignore[arg-type]
            " give more data, or a smaller --batch-size"
        )
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    L.seed_everything(seed, workers=True, verbose=False)
    module = build()
    module.seed = seed
    if start is not None:
        _start_from(module, start)
    elif not resume:
        module.begin()
    if resume:
        _check_resumed(module, run)
    callbacks: list[Callback] = [_Following(listener or Listener())]
    if bar:
        callbacks.append(RichProgressBar())
    if minutes is not None:
        callbacks.append(Timer(timedelta(minutes=minutes)))
    # The last one, for it has to know whether the others stop.
    callbacks.append(_Keeper(run))
    trainer = _trainer(run, device, devices, processes, epochs, callbacks)
    in_main = threading.current_thread() is threading.main_thread()
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module,
            datamodule=_Loaders(module, train, validation, batch_size, workers),
            ckpt_path=checkpoint if resume else None,
        )
    except SystemExit as end:
        # Lightning ends the program by itself when it is interrupted; other signals say their code.
        if end.code != 1:
            raise
        if in_main:
            signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from None
    if not _midway(trainer):
        trainer.save_checkpoint(checkpoint)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _check_resumed(module: TrainingModule, run: Path) -> None:
    """Refuse to go on with other settings, or with data that show the dancer otherwise."""
    stored = SafetensorsIO().load_checkpoint(run / CHECKPOINT)["hyper_parameters"]
    # Older runs lack the newer fields.
    config = dataclasses.asdict(type(module.config)()) | stored["config"]
    if config != dataclasses.asdict(module.config):
        raise DancingError(f"{run}: was trained with other settings: {stored['config']}")
    for fact in ("view", "size"):
        if module.origin.get(fact) != stored["origin"].get(fact):
            raise DancingError(f"{run}: these data show the dancer in another {fact}; start anew")


def _trainer(
    run: Path,
    device: str,
    devices: int | None,
    processes: int,
    epochs: int,
    callbacks: list[Callback],
) -> L.Trainer:
    return L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=devices or "auto",
        # Each optimiser of a GAN uses a part of the weights.
        strategy="ddp_find_unused_parameters_true" if processes > 1 else "auto",
        # The module's own sampler knows of the processes.
        use_distributed_sampler=False,
        precision=_precision(device),
        max_epochs=epochs,
        plugins=[SafetensorsIO()],
        callbacks=callbacks,
        logger=TensorBoardLogger(str(run), name="logs", version=""),
        # Lightning's own forgets about time where a model steps its optimisers by itself.
        enable_checkpointing=False,
        enable_progress_bar=any(isinstance(each, RichProgressBar) for each in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )


def _start_from(module: TrainingModule, bundle: Bundle) -> None:
    """Give a module the weights of a bundle's model of the same family, to go on from."""
    stage = module.origin["stage"]
    content = bundle.file(f"{stage}.safetensors")
    try:
        module.begin_with(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise DancingError(
            f"{bundle.path}: its {stage} model does not fit the settings ({error})"
        ) from error


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


class _Loaders(L.LightningDataModule):
    """Loaders for each process, as the module's sampler says.

    Every process validates on all of the validation data: so the figures are those of one process,
    and no process waits for another.
    """

    def __init__(
        self,
        module: TrainingModule,
        train: Dataset[Any],
        validation: Dataset[Any] | None,
        batch_size: int,
        workers: int,
    ) -> None:
        super().__init__()
        self._module, self._train, self._validation = module, train, validation
        self._batch_size, self._workers = batch_size, workers
        # Some datasets make whole batches by themselves.
        self._batched = getattr(train, "batched", False)

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        assert trainer is not None
        sampler = self._module.begin_sampling(
            self._train, self._batch_size, rank=trainer.global_rank, processes=trainer.world_size
        )
        if sampler.ahead is not None and self._workers * _PREFETCHED > sampler.ahead:
            raise ValueError(f"at most {sampler.ahead // _PREFETCHED} workers")
        sampler.begin_at(*_position(trainer, len(sampler)))
        loading: dict[str, Any] = {
            "num_workers": self._workers,
            "prefetch_factor": _PREFETCHED if self._workers else None,
        }
        if self._batched:
            return DataLoader(self._train, batch_size=None, sampler=sampler, **loading)
        return DataLoader(self._train, batch_sampler=sampler, **loading)

    def val_dataloader(self) -> Any:
        if self._validation is None:
            return []
        examples = self._module.examples(self._validation)
        if examples is not None:
            return DataLoader(self._validation, batch_size=None, sampler=examples)
        return DataLoader(self._validation, batch_size=self._batch_size)


def _position(trainer: L.Trainer, steps: int) -> tuple[int, int]:
    """Epoch and step to begin with; not (0, 0) where a checkpoint was read.

    Args:
        steps: of an epoch.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    if epochs.processed >= epochs.started or done >= steps:
        return epochs.started, 0
    return epochs.started - 1, done


def _midway(trainer: L.Trainer) -> bool:
    """Whether training was stopped within an epoch; what `_Keeper` saved then can go on there."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return 0 < done < trainer.num_training_batches


class _Keeper(Callback):
    """Save a checkpoint and the model's figure now and then, so that a kill costs minutes."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._saved = self._drawn = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        now = time.monotonic()
        # Several processes stop together, and save together or not at all.
        due = now - self._saved >= _CHECKPOINT_EVERY
        due, trainer.should_stop = trainer.strategy.broadcast((due, trainer.should_stop))
        # A run that stops within an epoch is to go on there; once it has left the epoch's loop, its
        # checkpoint would count the epoch as done.
        if due or trainer.should_stop:
            self._saved = now
            trainer.save_checkpoint(self._run / CHECKPOINT)
        if now - self._drawn >= _FIGURE_EVERY:
            self._draw(trainer, module)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not _midway(trainer):
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


class _Following(Callback):
    """Tell a listener of the part that is done, and end the training when it says so."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, TrainingModule)
        self._listener.progress("training", round(100 * module.progress()), 100)
        trainer.should_stop = trainer.should_stop or self._listener.stopped()
