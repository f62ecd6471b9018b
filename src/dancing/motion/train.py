"""Train a motion model on datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dancing.bundle import Bundle
from dancing.dataset import Dataset
from dancing.motion import FAMILIES
from dancing.training import (
    CHECKPOINT,
    SafetensorsIO,
    check_run,
    configured,
    describe_data,
    fit,
    model_of,
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
    epochs: int = 100,
    minutes: float | None = None,
    batch_size: int = 64,
    device: str = "auto",
    resume: bool = False,
    start: str | Path | None = None,
    seed: int = 0,
    hold_out: bool = True,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Train a motion model; see `dancing.training.fit` for the arguments and the result.

    Args:
        datasets: dataset files; clips that the family cannot learn from are left out.
        run: the run folder.
        model: the family's name, a key of `dancing.motion.FAMILIES`.
        settings: fields of the family's Config, as 'name=value'.
        start: a bundle (or an embedded dancer's name) whose motion model is trained further,
            to take over the moves of a dancer from a few minutes of video. Its dimensions are
            kept; `settings` may change how it learns.
        hold_out: keep one song or source in ten out, to validate on.

    Raises:
        DancingError: when data, settings, device or run folder do not fit.
    """
    check_run(Path(run), resume)
    family = import_module(FAMILIES[model])
    bundle = None if start is None else Bundle(start)
    known = None if bundle is None else model_of(bundle, "motion", model)
    if resume:
        stored = SafetensorsIO().load_checkpoint(Path(run) / CHECKPOINT)["hyper_parameters"]
        known = stored["origin"] | {"config": stored["config"]}
    config = configured(family.Config, settings, None if known is None else known["config"])
    with ExitStack() as stack:
        clips = [clip for path in datasets for clip in stack.enter_context(Dataset(path))]
        clips = family.usable(clips)
        kept, held_out = split(clips) if hold_out else (clips, [])
        windows, validation, facts = family.data(config, kept, held_out, known)
        origin = {"stage": "motion", "model": model, **describe_data(kept), **facts}

    return fit(
        lambda: family.Training(config, origin),
        windows,
        validation,
        Path(run),
        batch_size=batch_size,
        epochs=epochs,
        minutes=minutes,
        start=bundle,
        device=device,
        resume=resume,
        seed=seed,
        progress=progress,
        stop=stop,
    )
