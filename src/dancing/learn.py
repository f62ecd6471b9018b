"""Your own dancer: photos or videos of a person go in, a bundle that draws that person comes out.

That takes seconds, and needs no torch; see `dancing.image.warp.photo`. Where a model is trained,
work goes on in a folder beside the output, OUTPUT.learning: what was chosen of the videos
(`plan.json`), their pictures (`kept.h5`, `held_out.h5`) and the training runs (`image`,
`motion`). After a stop the same call goes on from there; when all is done it is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.bundle import CARD, Bundle, check_output, write_bundle
from dancing.data.dataset import Clip, Dataset, DatasetWriter, Packed, StoredFrames
from dancing.data.footage import (
    DIFFERENT_CLOTHES,
    clothes,
    fitting_height,
    length,
    missing_parts,
    steady_scenes,
)
from dancing.data.pose_model import model_path
from dancing.data.prepare import prepare
from dancing.errors import DancingError
from dancing.family import family
from dancing.files import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    expand,
    fitted,
    only_one,
    write_then_rename,
)
from dancing.image.warp import photo
from dancing.listener import Listener, Renamed
from dancing.media.video import probe

if TYPE_CHECKING:
    from dancing.data.footage import Shot
    from dancing.evaluation.table import Report

MINUTES = 18.0
SHORTEST = 8.0
"""Seconds of dancing before one steady camera that are needed at least."""
# Seconds of footage for each minute of the time, so that looking at it takes a fraction of that.
_FOOTAGE = 8.0
_HELD_OUT = 0.2
_SCORED = 60
# What is kept for export and evaluation: minutes, and a part of the time.
_RESERVE, _RESERVED = 0.7, 0.02
_LEAST = 0.5
_MOVES = 0.4
_ENDLESS = 10**6
_IMAGE_SETTINGS = ("learning_rate=4e-3", "adversarial_from=0.6", "texture_weight=0.5")
_MOTION_SETTINGS = ("learning_rate=2e-3",)
_TRAINED = {
    "image": ("learning the look", _IMAGE_SETTINGS, 1 - _MOVES),
    "motion": ("learning the moves", _MOTION_SETTINGS, _MOVES),
}
"""Of each stage that is trained: what it is called, settings, and share of the time."""
_MODELS = ("warp", "limbs")


@dataclass(frozen=True)
class Learned:
    """What came of it.

    Attributes:
        bundle: the path written.
        report: how well held-out frames are drawn; None where the look was not trained.
        notes: what is worth knowing of the videos or photos, one line each.
    """

    bundle: Path
    report: Report | None
    notes: list[str]


def learn(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    start: str | Path = "default",
    moves: bool = False,
    model: str = "warp",
    minutes: float = MINUTES,
    device: str = "auto",
    listener: Listener | None = None,
) -> Learned:
    """Learn a dancer from photos and videos of one person.

    With `warp`, the bundle holds pictures of the person; `listener` is told so before.

    Args:
        inputs: photos or videos, or folders of them; with `warp`, scene and framing are those of
            the first.
        output: the bundle's folder, or a .zip.
        start: the dancer whose weights to start from, where something is trained.
        moves: of videos: learn the person's way to dance too.
        model: the family that draws: 'warp', which deforms pictures and takes seconds; or 'limbs',
            trained on videos before one steady camera.
        minutes: how long training may take in all, what was done before a stop included.
        device: see `dancing.training.fit`.
        listener: told of progress; an error that it raises there ends the work, and the same call
            goes on with it later. When it says that it was stopped, training ends, and what has
            been learned is evaluated and exported.

    Raises:
        DancingError: when the inputs do not fit: nobody in them, or, to train on, too short, a
            camera that moves, different clothes; or when other work lies in the folder, or goes on
            in it.
    """
    listener = listener or Listener()
    output = Path(output)
    check_output(output)
    if model not in _MODELS:
        raise DancingError(f"no model '{model}' is learned; there are {', '.join(_MODELS)}")
    files = _expanded(inputs, listener)
    if model == "warp" and not moves:
        if start != "default":
            raise DancingError("nothing is trained, so there are no weights to start from")
        with only_one(working_folder(output)):
            return Learned(output, None, photo.learn(files, output, listener))
    videos = [file for file in files if not photo.is_photo(file)]
    if not videos:
        raise DancingError("moves, and the model limbs, are learned from videos, not from photos")
    if model == "limbs" and len(videos) < len(files):
        raise DancingError("the model limbs is learned from videos alone")
    return _trained(files, videos, output, start, moves, model, minutes, device, listener)


def _expanded(inputs: Sequence[str | Path], listener: Listener) -> list[Path]:
    return expand(inputs, VIDEO_SUFFIXES | PICTURE_SUFFIXES, "videos or photos", listener)


def _trained(
    files: Sequence[Path],
    videos: Sequence[Path],
    output: Path,
    start: str | Path,
    moves: bool,
    model: str,
    minutes: float,
    device: str,
    listener: Listener,
) -> Learned:
    began = time.monotonic()
    bundle = Bundle(start)
    stages = [stage for stage, wanted in (("image", model == "limbs"), ("motion", moves)) if wanted]
    for stage in stages:
        if not bundle.stage(stage).config:
            raise DancingError(f"{start}: has no weights that training could start from")
    from dancing.evaluation import image as image_evaluation
    from dancing.export import export
    from dancing.training.train import train

    work = working_folder(output)
    with only_one(work):
        kept, held_out = work / "kept.h5", work / "held_out.h5"
        plan = _plan(work, videos, bundle, model)
        if "notes" not in plan:
            plan["notes"], plan["seconds"] = _gather(
                videos, work, minutes, listener, kept, held_out
            )
            plan["spent"] = (time.monotonic() - began) / 60
            _save(work, plan)
        left = max(_LEAST, minutes * (1 - _RESERVED) - _RESERVE - plan["spent"])
        for stage in stages:
            what, settings, share = _TRAINED[stage]
            listener.progress(what, 0, 100)
            train(
                stage,
                [kept],
                work / stage,
                settings=settings,
                minutes=left * share if len(stages) > 1 else left,
                **_training(work / stage, start, device),
                listener=_under(what, listener),
            )
        listener.progress("export", 0, 1)
        made = export(
            [work / stage for stage in stages],
            work / "bundle",
            name=output.stem,
            licence="as agreed with the person filmed",
            data=f"made from {', '.join(file.name for file in videos)} ({plan['seconds']:.1f} s of "
            f"it, the last fifth held out), starting from '{bundle.name}'",
        )
        listener.progress("export", 1, 1)
        if model == "warp":
            look = work / "look"
            notes = plan["notes"] + photo.learn(files, look, listener)
            write_bundle(_together(Bundle(look), Bundle(made)), output)
            shutil.rmtree(work)
            return Learned(output, None, notes)
        report = image_evaluation.evaluate(
            made,
            [held_out],
            train_data=[kept],
            frames=_SCORED,
            listener=Renamed(listener, lambda _: "evaluation"),
        )
        report.save_to_card(Bundle(made), "image", family("image").name)
        names = (CARD, *Bundle(made).card.files)
        write_bundle({name: (made / name).read_bytes() for name in names}, output)
        shutil.rmtree(work)
        return Learned(output, report, plan["notes"])


def _under(name: str, listener: Listener) -> Listener:
    return Renamed(listener, lambda _: name)


def _together(look: Bundle, moves: Bundle) -> dict[str, bytes]:
    """The files of a bundle that draws with one and moves with another."""
    card = replace(
        look.card,
        motion=moves.card.motion,
        features=moves.card.features,
        files={**look.card.files, **moves.card.files},
        data=f"{look.card.data}; moves {moves.card.data}",
    )
    files = {name: one.file(name) for one in (look, moves) for name in one.card.files}
    return files | {CARD: (json.dumps(card.to_json(), indent=2) + "\n").encode()}


def working_folder(output: str | Path) -> Path:
    """Where unfinished work on a bundle lies."""
    return Path(output).with_name(fitted(Path(output).name, ".learning"))


def previews_folder(output: str | Path) -> Path:
    """Where `previews` of unfinished work on a bundle lie."""
    return working_folder(output) / "image" / "samples"


def previews(output: str | Path) -> list[Path]:
    """The pictures saved so far while a bundle is being learned, the oldest first.

    Each is a PNG: above, frames of the videos; below, how they are drawn at that time.
    """
    return sorted(previews_folder(output).glob("step_*.png"))


def _training(run: Path, start: str | Path, device: str) -> dict[str, Any]:
    """What both stages are trained with."""
    from dancing.training.checkpoint import CHECKPOINT

    return {
        "start": start,
        "epochs": _ENDLESS,
        "device": device,
        "resume": (run / CHECKPOINT).is_file(),
        "hold_out": False,
    }


def _plan(work: Path, files: Sequence[Path], bundle: Bundle, model: str) -> dict[str, Any]:
    """What is being learned here, to tell whether to go on or to refuse."""
    try:
        inputs = [[os.path.realpath(file), file.stat().st_size] for file in files]
    except OSError as error:
        raise DancingError(f"{error.filename}: no such file") from error
    wanted = {"videos": inputs, "from": str(bundle.path), "model": model}
    path = work / "plan.json"
    if not path.is_file():
        return wanted
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        plan = {}
    if {key: plan.get(key) for key in wanted} != wanted:
        raise DancingError(
            f"{work}: holds unfinished work on other videos, or from another dancer; "
            "remove that folder, or name another output"
        )
    return plan


def _save(work: Path, plan: dict[str, Any]) -> None:
    with write_then_rename(work / "plan.json") as temporary:
        temporary.write_text(json.dumps(plan, indent=1), encoding="utf-8")


def _gather(
    files: Sequence[Path],
    work: Path,
    minutes: float,
    listener: Listener,
    kept: Path,
    held_out: Path,
) -> tuple[list[str], float]:
    """Prepare the videos, choose what is fit, and hold out the end of each.

    Returns:
        Notes, and the seconds that were chosen.
    """
    notes: list[str] = []
    durations = [probe(file).duration for file in files]
    most = _share(durations, _FOOTAGE * minutes)
    for file, duration in zip(files, durations, strict=True):
        if duration > most + 0.5:
            notes.append(
                f"{file.name}: only the first {most:.0f} of its {duration:.0f} s are used; "
                "more would need more --minutes"
            )
    listener.progress("looking", 0, 1)
    model_path(listener)
    height = fitting_height(files, most)
    listener.progress("looking", 1, 1)
    with ExitStack() as stack:
        found: list[tuple[Path, list[Clip]]] = []
        for number, file in enumerate(files):
            prepared = work / f"video_{number}.h5"
            (report,) = prepare(
                [file], prepared, size=height, seconds=most, listener=listener
            ).files
            notes += report.notes
            if report.seconds_cut > 0.5:
                notes.append(f"{file.name}: {report.seconds_cut:.1f} s without the dancer left out")
            found.append((file, stack.enter_context(Dataset(prepared)).clips))
        _check_clothes(found)
        scenes = steady_scenes([clip for _, clips in found for clip in clips], listener)
        chosen = scenes[0] if scenes else []
        seconds, whole = length(chosen), sum(c.duration for _, clips in found for c in clips)
        if seconds < SHORTEST:
            camera = " before one steady camera" if whole >= SHORTEST else ""
            advice = "put the camera on a tripod" if camera else "film 30 s or more"
            raise DancingError(
                f"{', '.join(map(str, files))}: {seconds:.1f} s of dancing{camera}, but at least "
                f"{SHORTEST:.0f} s are needed; {advice}"
            )
        with DatasetWriter(kept) as first, DatasetWriter(held_out) as last:
            for file, clips in found:
                notes += _divide(
                    file, clips, [shot for shot in chosen if shot[0] in clips], first, last
                )
    for prepared in work.glob("video_*.h5"):
        prepared.unlink()
    return notes, seconds


def _share(durations: Sequence[float], total: float) -> float:
    """How much of each video to take at most, so that all together are not above the total."""
    left = total
    for taken, duration in enumerate(sorted(durations)):
        share = left / (len(durations) - taken)
        if duration > share:
            return share
        left -= duration
    return total


def _check_clothes(found: Sequence[tuple[Path, list[Clip]]]) -> None:
    """Refuse videos that show the dancer in different clothes."""
    worn = [
        (file, clothes([(clip, range(clip.n_pictures)) for clip in clips])) for file, clips in found
    ]
    for (one, first), (other, second) in combinations(worn, 2):
        if np.abs(first - second).max() > DIFFERENT_CLOTHES:
            raise DancingError(
                f"{one} and {other}: the clothes, or the light, differ; learn a dancer from each"
            )


def _divide(
    file: Path,
    clips: Sequence[Clip],
    shots: Sequence[Shot],
    first: DatasetWriter,
    last: DatasetWriter,
) -> list[str]:
    """Write the shots of a video, the last fifth of them into `last`; returns notes."""
    notes = []
    left_out = sum(clip.duration for clip in clips) - length(shots)
    if left_out > 0.5:
        notes.append(
            f"{file.name}: {left_out:.1f} s with a camera that moves, or in front of another "
            "background, left out"
        )
    if not shots:
        return notes
    if missing := missing_parts(shots):
        notes.append(
            f"{file.name}: most of the time {', '.join(missing)} cannot be seen, and will be drawn "
            "by guess; film the whole body"
        )
    frames = [(clip, t) for clip, shot in shots for t in shot]
    middle = len(frames) - int(len(frames) * _HELD_OUT)
    _copy(frames[:middle], first, file.name)
    # Under a name of its own: what was not trained on may be scored.
    _copy(frames[middle:], last, f"{file.name}, its end")
    return notes


def _copy(frames: Sequence[tuple[Clip, int]], writer: DatasetWriter, source: str) -> None:
    """Write runs of consecutive frames as clips."""
    numbered = enumerate(frames)
    for _, run in groupby(numbered, key=lambda item: (item[1][0].name, item[1][1] - item[0])):
        part = [frame for _, frame in run]
        clip, start, end = part[0][0], part[0][1], part[-1][1] + 1
        features = clip.features_at_poses()
        writer.clip(
            clip.name,
            clip.poses[start:end],
            mfcc=None if features is None else features[start:end],
            downbeats=_within(clip.downbeats, start / clip.fps, end / clip.fps),
            frames=_packed(clip.frames, range(start, end)),
            mattes=_packed(clip.matte, range(start, end)),
            source=source,
            **{
                key: clip.attributes[key]
                for key in ("sample_rate", "hop_length")
                if key in clip.attributes
            },
        )


def _within(times: Any, start: float, end: float) -> Any:
    """Those of the times, in seconds, that lie within a part, from its start."""
    return None if times is None else times[(times >= start) & (times < end)] - start


def _packed(stored: StoredFrames | None, frames: range) -> Iterator[Packed]:
    """Pictures as `prepare` packed them: nothing is to be done but to copy."""
    assert stored is not None, "prepare stores frames and mattes"
    return map(stored.packed, frames)
