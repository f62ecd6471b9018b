"""Train a model of either stage on datasets."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dancing.body.poses import torso_length
from dancing.body.retarget import floor_level, proportions
from dancing.body.skeleton import HIPS
from dancing.bundle import Bundle
from dancing.card import Parent, Setting, TrainingData, TrainingStep, plain, weights_id
from dancing.data.dataset import Clip, Dataset, content_hash
from dancing.errors import DancingError
from dancing.family import family
from dancing.listener import Listener
from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO
from dancing.training.fit import check_run, fit
from dancing.version import VERSION


def train(
    stage: str,
    datasets: Sequence[str | Path],
    run: str | Path,
    *,
    model: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    start: str | Path | None = None,
    device: str = "auto",
    devices: int | None = None,
    workers: int = 0,
    resume: bool = False,
    seed: int = 0,
    hold_out: bool = True,
    listener: Listener | None = None,
    bar: bool = False,
) -> dict[str, float]:
    """Train a model; see `dancing.training.fit.fit` for the other arguments and the result.

    A run that is resumed keeps its settings, and one that starts from a bundle begins with those of
    the bundle's model; `settings` go before the latter, and must not contradict the former.

    Args:
        stage: 'motion' or 'image'.
        datasets: dataset files; clips that the family cannot learn from are left out.
        run: the run folder.
        model: the family's name. Default: the stage's best.
        settings: fields of the family's Config, as 'name=value'.
        epochs, batch_size: defaults: the family's.
        start: name or path of a bundle whose model of this stage and family to start from.
        hold_out: keep one song or source in ten out, to validate on.

    Raises:
        DancingError: when data, settings, device or run folder do not fit.
    """
    began = time.monotonic()
    listener = listener or Listener()
    run = Path(run)
    check_run(run, resume)
    kind = family(stage, model)
    learning = kind.training
    bundle = None if start is None else Bundle(start)
    known = None if bundle is None else _known(bundle, stage, kind.name)
    stored = None
    if resume:
        stored = SafetensorsIO().load_checkpoint(run / CHECKPOINT)["hyper_parameters"]
        known = stored["origin"] | {"config": stored["config"]}
    config = configured(learning.Config, settings, None if known is None else known["config"])
    batch_size = batch_size or learning.BATCH_SIZE
    with ExitStack() as stack:
        opened = [stack.enter_context(Dataset(path)) for path in datasets]
        clips = learning.usable([clip for dataset in opened for clip in dataset])
        kept, held_out = split(clips, listener) if hold_out else (clips, [])
        samples, validation, facts = learning.data(
            config, kept, held_out, cache=run / "cache", known=known
        )
        asked: dict[str, Setting] = {
            "settings": " ".join(settings),
            "minutes": minutes or 0.0,
            "epochs": epochs or learning.EPOCHS,
            "batch_size": batch_size,
            "seed": seed,
            "device": device,
            "hold_out": hold_out,
        }
        step = TrainingStep(
            data=_trained_on(opened, kept),
            sources=tuple(sorted(origins_of(kept))),
            asked=asked,
            config=dataclasses.asdict(config),
            versions={"dancing": VERSION, "torch": str(torch.__version__)},
        )
        origin = {
            "stage": stage,
            "model": kind.name,
            "history": _history(step, bundle, stage, stored),
            **facts,
            **describe_data(kept),
        }
        # The datasets stay open: some families read pictures all along.
        return fit(
            lambda: learning.Training(config, origin),
            samples,
            validation,
            run,
            batch_size=batch_size,
            epochs=epochs or learning.EPOCHS,
            # Preparing the data takes its time too.
            minutes=None
            if minutes is None
            else max(0.0, minutes - (time.monotonic() - began) / 60),
            start=bundle,
            device=device,
            devices=devices,
            workers=workers,
            resume=resume,
            seed=seed,
            listener=listener,
            bar=bar,
        )


def _known(bundle: Bundle, stage: str, model: str) -> dict[str, Any]:
    """What a bundle's card says of its model of a stage, if that is of the family named `model`.

    Raises:
        DancingError: when it is not.
    """
    card = bundle.stage(stage)
    if card.model != model or not card.config:
        raise DancingError(f"{bundle.path}: its {stage} model is '{card.model}', not '{model}'")
    known: dict[str, Any] = plain(card)
    return known


def _trained_on(datasets: Sequence[Dataset], kept: Sequence[Clip]) -> tuple[TrainingData, ...]:
    """What of each dataset is trained on."""
    found = []
    for dataset in datasets:
        clips = [clip for clip in dataset if clip in kept]
        seconds = round(sum(clip.duration for clip in clips), 1)
        content = content_hash(dataset.clips)
        found.append(TrainingData(dataset.path.name, content, len(clips), seconds))
    return tuple(found)


def _history(
    step: TrainingStep, bundle: Bundle | None, stage: str, stored: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The steps that led to the weights of a run, its own last, as a card has them."""
    if stored is not None:
        *before, last = stored["origin"]["history"]
        again = plain(step)
        # The settings are those that the run began with, whether or not they were given again.
        asked = again["asked"] | {"settings": last["asked"]["settings"]}
        # Once seen, always seen, even if it goes on with other data.
        data = [*last["data"], *(each for each in again["data"] if each not in last["data"])]
        sources = sorted({*last["sources"], *again["sources"]})
        return [*before, last | {"data": data, "sources": sources, "asked": asked}]
    steps = []
    if bundle is not None:
        steps = [plain(each) for each in bundle.stage(stage).training]
        parent = Parent(weights_id(bundle.file(f"{stage}.safetensors")), name=bundle.name)
        step = dataclasses.replace(step, parents=(parent,))
    return [*steps, plain(step)]


def configured(kind: Any, settings: Sequence[str], base: dict[str, Any] | None = None) -> Any:
    """A family's Config with some fields set, each given as 'name=value'.

    Args:
        base: values of the other fields, from a card or a checkpoint; the defaults for those it
            lacks, as older ones do.

    Raises:
        DancingError: for an unknown name, a value of the wrong type or one out of range.
    """
    fields = {name: getattr(kind, name) for name in kind.__dataclass_fields__}
    values = {name: value for name, value in (base or {}).items() if name in fields}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in fields:
            raise DancingError(f"no setting '{name}'; there are {', '.join(fields)}")
        values[name] = _parsed(name, text, type(fields[name]))
    try:
        return kind(**values)
    except ValueError as error:
        raise DancingError(f"settings do not fit: {error}") from error


def _parsed(name: str, text: str, kind: type) -> bool | int | float | str:
    """A setting's value; `kind` is the type of its field."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise DancingError(f"setting {name}: '{text}' is neither true nor false")
        return text.lower() == "true"
    try:
        value: int | float | str = kind(text)
    except ValueError as error:
        whole = "whole " if kind is int else ""
        raise DancingError(f"setting {name}: '{text}' is not a {whole}number") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise DancingError(f"setting {name}: '{text}' is not a finite number")
    return value


def split(clips: Sequence[Clip], listener: Listener) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and those held out by the hash of their song or source.

    A clip that is not held out but shares its song or source with one that is (see
    `Clip.origins`) is on neither side. So adding data never moves a clip across. With so few
    sources that one side would be empty, all are trained on and none is held out.
    """
    out = [clip for clip in clips if clip.held_out]
    secret = origins_of(out)
    kept = [clip for clip in clips if not clip.held_out and not clip.origins & secret]
    if kept and out:
        return kept, out
    listener.note("too few songs or sources to hold any out: no validation figures")
    return list(clips), []


def describe_data(clips: Sequence[Clip]) -> dict[str, Any]:
    """What a checkpoint keeps of its training data: the dancer's place and body."""
    landmarks = np.concatenate([clip.landmarks for clip in clips])
    hips = landmarks[:, HIPS].mean(1)
    aspect = float(np.median([clip.aspect for clip in clips]))
    return {
        "placement": {
            "x": round(float(np.median(hips[:, 0])), 4),
            "y": round(float(np.median(hips[:, 1])), 4),
            "torso": round(torso_length(landmarks, aspect), 4),
            "floor": round(floor_level(landmarks), 4),
            "aspect": round(aspect, 6),
        },
        "proportions": proportions(landmarks, aspect),
    }


def origins_of(clips: Sequence[Clip]) -> frozenset[str]:
    return frozenset[str]().union(*(clip.origins for clip in clips))
