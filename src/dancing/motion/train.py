"""Train a motion model on datasets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from dancing.dataset import Dataset
from dancing.motion import FAMILIES
from dancing.motion.data import Windows
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
        datasets: dataset files; clips without sound are left out.
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
        with_sound = [clip for clip in clips if clip.mfcc is not None] or clips
        kept, held_out = split(with_sound)
        windows = Windows(kept, config.window, config.n_mfcc, augment=True)
        long_enough = [clip for clip in held_out if len(clip) >= config.window]
        validation = (
            Windows(long_enough, config.window, config.n_mfcc, augment=False)
            if long_enough
            else None
        )
        origin = {"stage": "motion", "model": model, **describe_data(kept)}
        origin |= windows.feature_statistics()
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
