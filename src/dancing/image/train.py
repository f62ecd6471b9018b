"""Train an image model on datasets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from dancing.dataset import Dataset
from dancing.errors import DancingError
from dancing.image import FAMILIES
from dancing.training import check_run, configured, describe_data, fit, split


def train(
    datasets: Sequence[str | Path],
    run: str | Path,
    *,
    model: str,
    settings: Sequence[str] = (),
    epochs: int = 30,
    minutes: float | None = None,
    batch_size: int = 32,
    device: str = "auto",
    resume: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Train an image model; see `dancing.training.fit` for the arguments and the result.

    Args:
        datasets: dataset files; clips without pictures are left out.
        run: the run folder.
        model: the family's name, a key of `dancing.image.FAMILIES`.
        settings: fields of the family's Config, as 'name=value'.

    Raises:
        DancingError: when data, settings, device or run folder do not fit.
    """
    run = Path(run)
    check_run(run, resume)
    family = import_module(FAMILIES[model])
    config = configured(family.Config, settings)
    with ExitStack() as stack:
        clips = [clip for path in datasets for clip in stack.enter_context(Dataset(path))]
        clips = [clip for clip in clips if clip.n_pictures]
        if not clips:
            raise DancingError("no clip has pictures; training the image model needs them")
        kept, held_out = split(clips)
        pictures, validation, facts = family.data(config, kept, held_out, run / "cache")
        origin = {"stage": "image", "model": model, **facts, **describe_data(kept)}
    return fit(
        lambda: family.Training(config, origin),
        pictures,
        validation,
        run,
        batch_size=batch_size,
        epochs=epochs,
        minutes=minutes,
        device=device,
        resume=resume,
        seed=seed,
    )
