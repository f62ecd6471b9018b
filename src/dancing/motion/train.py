"""Train a motion model on datasets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from dancing.dataset import Dataset
from dancing.motion import FAMILIES
from dancing.training import check_run, configured, describe_data, fit, split


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
    seed: int = 0,
) -> dict[str, float]:
    """Train a motion model; see `dancing.training.fit` for the arguments and the result.

    Args:
        datasets: dataset files; clips that the family cannot learn from are left out.
        run: the run folder.
        model: the family's name, a key of `dancing.motion.FAMILIES`.
        settings: fields of the family's Config, as 'name=value'.

    Raises:
        DancingError: when data, settings, device or run folder do not fit.
    """
    check_run(Path(run), resume)
    family = import_module(FAMILIES[model])
    config = configured(family.Config, settings)
    with ExitStack() as stack:
        clips = [clip for path in datasets for clip in stack.enter_context(Dataset(path))]
        kept, held_out = split(family.usable(clips))
        windows, validation, facts = family.data(config, kept, held_out)
        origin = {"stage": "motion", "model": model, **describe_data(kept), **facts}
    return fit(
        lambda: family.Training(config, origin),
        windows,
        validation,
        Path(run),
        batch_size=batch_size,
        epochs=epochs,
        minutes=minutes,
        device=device,
        resume=resume,
        seed=seed,
    )
