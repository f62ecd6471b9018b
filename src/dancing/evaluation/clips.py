"""Which clips are scored, and means and ratios of what was found on them, with intervals."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dancing.bundle import Bundle
from dancing.data.dataset import Clip, Dataset, source_hash
from dancing.errors import DancingError
from dancing.evaluation.table import Estimate
from dancing.metrics import bootstrap_interval


@contextmanager
def opened(paths: Sequence[str | Path]) -> Iterator[list[Clip]]:
    """All clips of dataset files, which stay open within the block."""
    with ExitStack() as stack:
        yield [clip for path in paths for clip in stack.enter_context(Dataset(path))]


def command(
    stage: str,
    bundles: Sequence[Bundle],
    data: Sequence[str | Path],
    train_data: Sequence[str | Path],
    **options: int | bool | str | Path | None,
) -> str:
    """The command line that makes a report, with file names alone: cards are shared.

    Args:
        options: by the names of the command's, those that were not left at their defaults; None
            and False are left out.
    """
    words = ["dancing", "evaluate", stage]
    named = [bundle.path for bundle in bundles]
    for option, paths in (("--bundle", named), ("--data", data), ("--train-data", train_data)):
        words += [word for name in file_names(paths) for word in (option, name)]
    for name, value in options.items():
        if value is not None and value is not False:
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:
                words.append(file_names([value])[0] if isinstance(value, Path) else str(value))
    return shlex.join(words)


def file_names(paths: Sequence[str | Path]) -> list[str]:
    """The names of files and folders without the folders that they lie in."""
    # Of '.' too, which has no name of its own.
    return [Path(path).absolute().name for path in paths]


def trained_on(bundle: Bundle, stage: str) -> frozenset[str]:
    """Hashes of the songs and sources that a bundle's model of this stage was trained on."""
    return bundle.stage(stage).sources


def unseen(
    clips: Sequence[Clip], bundle: Bundle, stage: str, include_training: bool
) -> tuple[list[Clip], dict[str, Any], list[str]]:
    """The clips that the bundle was not trained on.

    Args:
        include_training: take all of them, and say so.

    Returns:
        The clips to score; facts for the report; notes for its reader.

    Raises:
        DancingError: when no clip is left.
    """
    sources = trained_on(bundle, stage)
    seen = [clip for clip in clips if clip.origins & sources]
    notes = []
    if not sources:
        notes.append(
            f"the card of {bundle.name} does not say what its {stage} model was trained on: "
            "whether these clips are new to it is unknown"
        )
    if include_training:
        if seen:
            notes.append(
                f"INCLUDES TRAINING DATA: {len(seen)} of {len(clips)} clips were trained on, "
                "these are not figures for new material"
            )
        kept, left_out = list(clips), []
    else:
        kept = [clip for clip in clips if not clip.origins & sources]
        left_out = [clip.name for clip in seen]
        if left_out:
            notes.append(
                f"left out: {len(left_out)} of {len(clips)} clips, the bundle was trained on them"
            )
    if not kept:
        raise DancingError(
            f"{bundle.name} was trained on all {len(clips)} clips given: name others, "
            "or score it on what it knows with --include-training"
        )
    facts = {
        "bundle": bundle.name,
        "model": bundle.stage(stage).model,
        "clips": len(kept),
        "songs_or_sources": len({group(clip) for clip in kept}),
        "left_out": left_out,
        "includes_training": bool(include_training and seen),
    }
    return kept, facts, notes


def group(clip: Clip) -> str:
    """What clips have in common that are not independent of each other: their song or source."""
    return source_hash(clip.split_key)


def mean_estimate(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Estimate | None:
    """The mean over clips or frames, with its interval; see `ratio_estimate`."""
    return ratio_estimate(values, [1.0] * len(values), groups, seed)


def ratio_estimate(
    values: Sequence[float], references: Sequence[float], groups: Sequence[str], seed: int = 0
) -> Estimate | None:
    """sum(values) / sum(references), with a 95 % interval by resampling their groups.

    Clips of one song are not independent, so whole groups are drawn, values and references
    together. One group has no interval; references that sum to 0 have no ratio.
    """
    if not sum(references) > 0:
        return None
    ratio = float(sum(values) / sum(references))
    names, member = np.unique(groups, return_inverse=True)
    tops = np.bincount(member, np.asarray(values, np.float64))
    bottoms = np.bincount(member, np.asarray(references, np.float64))

    def statistic(drawn: Any, axis: int) -> Any:
        index = drawn.astype(np.intp)
        return tops[index].sum(axis) / bottoms[index].sum(axis)

    if len(names) < 2:
        return Estimate(ratio)
    # Few groups may all be drawn without reference; then there is no interval.
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = bootstrap_interval(np.arange(len(names)), seed, statistic=statistic)
    return Estimate(ratio, *ends) if np.isfinite(ends).all() else Estimate(ratio)
