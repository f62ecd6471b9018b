"""Train an image model on datasets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dancing.bundle import Bundle
from dancing.dataset import Dataset
from dancing.errors import DancingError
from dancing.image import FAMILIES
from dancing.training import (
    check_run,
    configured,
    describe_data,
    fit,
    split,
)

if TYPE_CHECKING:
    from dancing.pipeline import Progress


def train(
    datasets: Sequence[str | Path],
    run: str | Path,
    *,
    model: str,
    settings: Sequence[str] = (),
    epochs: int = 30,
    minutes: float | None = None,
    batch_size: int | None = None,
    start: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    seed: int = 0,
    hold_out: bool = True,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Train an image model; see `dancing.training.fit` for the arguments and the result.

    Args:
        datasets: dataset files; clips without pictures are left out.
        run: the run folder.
        model: the family's name, a key of `dancing.image.FAMILIES`.
        settings: fields of the family's Config, as 'name=value'.
        batch_size: pictures a step. Default: the family's.
        start: name or path of a bundle whose image model of this family to start from.
        hold_out: keep one song or source in ten out, to validate on.

    Raises:
        DancingError: when data, settings, device or run folder do not fit.
    """
    began = time.monotonic()
    run = Path(run)
    check_run(run, resume)
    family = import_module(FAMILIES[model])
    config = configured(family.Config, settings)
    batch_size = batch_size or family.BATCH_SIZE
    with ExitStack() as stack:
        clips = [clip for path in datasets for clip in stack.enter_context(Dataset(path))]
        clips = [clip for clip in clips if clip.n_pictures]
        if not clips:
            raise DancingError("no clip has pictures; training the image model needs them")
        kept, held_out = split(clips) if hold_out else (clips, [])
        cache = run / "cache"
        pictures, validation, facts = family.data(config, kept, held_out, cache, batch_size)
        origin = {"stage": "image", "model": model, **facts, **describe_data(kept)}

    return fit(
        lambda: family.Training(config, origin),
        pictures,
        validation,
        run,
        batch_size=batch_size,
        epochs=epochs,
        # Cutting pictures out takes its time too.
        minutes=None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60),
        start=None if start is None else Bundle(start),
        device=device,
        resume=resume,
        seed=seed,
        progress=progress,
        stop=stop,
    )
