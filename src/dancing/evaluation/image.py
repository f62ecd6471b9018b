"""How well a bundle draws: its image model beside real frames and the nearest training frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dancing.bundle import Bundle
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.evaluation import fidelity, plots
from dancing.evaluation.clips import (
    command,
    file_names,
    group,
    mean_estimate,
    opened,
    ratio_estimate,
    unseen,
)
from dancing.evaluation.frames import (
    MARGIN,
    Frame,
    Retrieval,
    Window,
    drawn_frames,
    spread,
    true_frames,
)
from dancing.evaluation.table import Column, Estimate, Report, Row
from dancing.image.dancer import Dancer
from dancing.listener import Listener
from dancing.metrics import change, decibels, face_fit, psnr, sharpness, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.landmarker import Landmarker

    Picture = NDArray[np.uint8]
    Floats = NDArray[np.float64]

FRAMES = 200
"""Frames that are scored by default."""

REAL, NEAREST = "real", "nearest training frame"
COLUMNS = (
    Column("psnr_person", "PSNR person", 2, interval=True),
    Column("ssim_person", "SSIM person", 3, interval=True),
    Column("psnr_frame", "PSNR frame", 2, interval=True),
    Column("ssim_frame", "SSIM frame", 3, interval=True),
    Column("sharpness_ratio", "sharpness", 2),
    Column("face_sharpness_ratio", "face sharpness", 2),
    Column("face_fit", "face fit", 2),
    Column("steadiness_ratio", "steadiness", 2),
)
_RATIOS = {
    "sharpness": "sharpness_ratio",
    "face_sharpness": "face_sharpness_ratio",
    "changes": "steadiness_ratio",
}
POSE_COLUMNS = (
    Column("pck", "PCK@0.1", 3),
    Column("pck_ratio", "PCK / real", 2),
    Column("pose_error", "pose error", 3),
)


@dataclass
class _Tally:
    """What was found in one row's frames of one clip."""

    mse_person: list[float] = field(default_factory=list)
    mse_frame: list[float] = field(default_factory=list)
    ssim_person: list[float] = field(default_factory=list)
    ssim_frame: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    face_sharpness: list[float] = field(default_factory=list)
    face_fit: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    looked: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class _Compared:
    """What was found in the frames of one clip.

    Attributes:
        window: what of the clip's pictures was compared.
        boxed: the frames with a person's box, which `mse_person` and others of it are of.
        rows: by the row's name, in the table's order.
        poses: of the rows too, where there is a pose estimator.
    """

    clip: Clip
    window: Window
    boxed: list[int]
    rows: dict[str, _Tally]
    poses: dict[str, fidelity.PoseSums] | None


class _Shown(NamedTuple):
    """A true frame, and what every row shows in its place."""

    frame: Frame
    pictures: dict[str, Picture]


def evaluate(
    bundle: str | Path | Bundle,
    data: Sequence[str | Path],
    *,
    beside: Sequence[str | Path | Bundle] = (),
    train_data: Sequence[str | Path] = (),
    frames: int = FRAMES,
    include_training: bool = False,
    plot: str | Path | None = None,
    listener: Listener | None = None,
) -> Report:
    """Score a bundle's image model on the clips with pictures of datasets.

    Frames are drawn from their true landmarks, as `dancing generate` draws them, and compared with
    the true frames at the size of these, where all bundles show them. The person's box is the
    smallest upright one around the true matte (128 and more, no margin) where the data have one,
    else around the landmarks and half a torso length.
    Squared errors are averaged before they become PSNR. If the pose estimator is there, it looks
    at the drawn and at the real frames: how well the pose asked for (body joints inside the
    picture) is found again.

    Args:
        bundle: its image model is scored.
        beside: further bundles that draw the same frames, each with a row of its own.
        data: dataset files; clips without pictures are left out.
        train_data: dataset files of training clips, for the row 'nearest training frame'.
            Default: the other clips of `data`.
        frames: how many to score at most, in pairs of consecutive ones spread evenly.
        include_training: score clips that the bundle was trained on too; the table says so.
        plot: a picture to write: the worst, median and best frame beside the truth.
        listener: told of progress.

    Raises:
        DancingError: when bundle or data cannot be used, or no clip is left to score.
    """
    listener = listener or Listener()
    plots.check(plot)
    bundles = [one if isinstance(one, Bundle) else Bundle(one) for one in (bundle, *beside)]
    dancers = _named([Dancer(one) for one in bundles])
    with opened(data) as clips, opened(train_data) as training, ExitStack() as stack:
        kept, facts, notes = _select(clips, data, bundles, include_training)
        retrieval, note = _retrieval(kept, training)
        notes.append(note)
        estimator = fidelity.opened_estimator(stack, listener)
        if estimator is None:
            notes.append("no pose fidelity: the pose estimator is not installed")
        chosen = _chosen(kept, frames)
        compared = _draw(chosen, dancers, retrieval, estimator, listener)
        if plot is not None:
            _plot(plot, compared, dancers, retrieval)
    rows = [_row(name, compared) for name in compared[0].rows]
    notes += _reading(compared)
    total = sum(len(times) for _, times in chosen)
    facts["command"] = command(
        "image",
        bundles,
        data,
        train_data,
        frames=None if frames == FRAMES else frames,
        include_training=include_training,
    )
    facts |= {
        "clips": len(chosen),
        "songs_or_sources": len({group(clip) for clip, _ in chosen}),
        "data": file_names(data),
        "train_data": file_names(train_data),
        "frames": total,
        "bundles": [one.name for one in bundles],
        "drawn": {name: list(dancer.size) for name, dancer in dancers.items()},
        "compared": [list(one.window.size) for one in compared],
    }
    sizes = dict.fromkeys("x".join(map(str, one.window.size)) for one in compared)
    title = (
        f"pictures of {' and '.join(facts['bundles'])}: {total} frames of {facts['clips']} clips, "
        f"compared at {', '.join(sizes)}"
    )
    columns = COLUMNS if estimator is None else (*COLUMNS, *POSE_COLUMNS)
    return Report(title, facts, columns, rows, notes)


def _named(dancers: Sequence[Dancer]) -> dict[str, Dancer]:
    """Dancers by their rows' names: the model's, or, of several, those of their files."""
    if len(dancers) == 1:
        return {dancers[0].bundle.stage("image").model: dancers[0]}
    named = {file_names([dancer.bundle.path])[0]: dancer for dancer in dancers}
    if len(named) < len(dancers):
        raise DancingError("two bundles have the same name, by which their rows could not be told")
    return named


def _select(
    clips: Sequence[Clip],
    data: Sequence[str | Path],
    bundles: Sequence[Bundle],
    include_training: bool,
) -> tuple[list[Clip], dict[str, Any], list[str]]:
    """The clips with pictures that are new to all bundles; facts, of the first one, and notes."""
    usable = [clip for clip in clips if clip.n_pictures]
    if not usable:
        raise DancingError(f"{', '.join(map(str, data))}: no clip has pictures")
    kept, facts, notes = unseen(usable, bundles[0], "image", include_training)
    for bundle in bundles[1:]:
        kept, more, further = unseen(kept, bundle, "image", include_training)
        notes += further
        facts["left_out"] += more["left_out"]
        facts["includes_training"] |= more["includes_training"]
    if len(usable) < len(clips):
        notes.append(f"left out: {len(clips) - len(usable)} clips without pictures")
    return kept, facts, notes


def _retrieval(clips: Sequence[Clip], training: Sequence[Clip]) -> tuple[Retrieval | None, str]:
    """What finds the nearest training frame, if there is one for every clip, and a note on it."""
    pool = [clip for clip in training if clip.n_pictures]
    retrieval = Retrieval(pool or clips)
    if not all(retrieval.knows(clip) for clip in clips):
        return None, f"no row '{NEAREST}': there are no clips of another source"
    return retrieval, f"{NEAREST}: the most similar pose in the picture, of " + (
        "the training data" if pool else "the other clips, as no training data was given"
    )


def _chosen(clips: Sequence[Clip], frames: int) -> list[tuple[Clip, list[int]]]:
    """The frames to score, by clip; few frames of many clips leave clips without any."""
    times = spread([clip.n_pictures for clip in clips], frames)
    return [(clip, some) for clip, some in zip(clips, times, strict=True) if some]


def _draw(
    chosen: Sequence[tuple[Clip, list[int]]],
    dancers: dict[str, Dancer],
    retrieval: Retrieval | None,
    estimator: Landmarker | None,
    listener: Listener,
) -> list[_Compared]:
    """Draw the frames from their true landmarks, and compare what every row shows with them."""
    total = sum(len(times) for _, times in chosen)
    done = 0
    names = [REAL, *([] if retrieval is None else [NEAREST]), *dancers]
    compared = []
    for clip, times in chosen:
        window = Window.of(clip, list(dancers.values()))
        rows = {name: _Tally() for name in names}
        asked = fidelity.Asked()
        boxed = []
        before: _Shown | None = None
        drawn = [drawn_frames(clip, times, dancer, window) for dancer in dancers.values()]
        for frame, *pictures in zip(true_frames(clip, times, window), *drawn, strict=True):
            shown = _Shown(
                frame, {REAL: frame.picture, **dict(zip(dancers, pictures, strict=True))}
            )
            if retrieval is not None:
                shown.pictures[NEAREST] = retrieval(clip, frame.time, window)
            repeated = None
            if before is not None and np.array_equal(before.frame.picture, frame.picture):
                # Of footage with fewer frames a second, data repeat some: there the true person
                # stands still, and moves the farther in the next one.
                repeated = _Shown(replace(before.frame, time=frame.time), before.pictures)
            _compare(rows, shown, before if repeated is None else None)
            if frame.box is not None:
                boxed.append(frame.time)
            if estimator is not None:
                asked.add(clip, frame.time, window)
                for name, tally in rows.items():
                    tally.looked.append(fidelity.look(estimator, shown.pictures[name]))
            before = shown if repeated is None else repeated
            done += 1
            listener.progress("drawing", done, total)
        poses = None
        if estimator is not None:
            poses = {
                name: fidelity.pose_sums(tally.looked, asked, window)
                for name, tally in rows.items()
            }
        compared.append(_Compared(clip, window, boxed, rows, poses))
    return compared


def _compare(rows: dict[str, _Tally], shown: _Shown, before: _Shown | None) -> None:
    """Add what is found in one frame, and of its change where it follows the one before."""
    frame = shown.frame
    for name, tally in rows.items():
        _compare_picture(tally, frame, shown.pictures[name])
        if before is not None and before.frame.time == frame.time - 1:
            both = frame.matte & before.frame.matte
            tally.changes.append(change(before.pictures[name], shown.pictures[name], both))


def _compare_picture(tally: _Tally, frame: Frame, picture: Picture) -> None:
    squares = (picture.astype(np.float64) - frame.picture) ** 2
    tally.mse_frame.append(float(squares.mean()))
    tally.ssim_frame.append(ssim(picture, frame.picture))
    if frame.face is not None:
        tally.face_sharpness.append(sharpness(picture[frame.face]))
        tally.face_fit.append(face_fit(picture, frame.picture, frame.face))
    if frame.box is None:
        return
    tally.mse_person.append(float(squares[frame.box].mean()))
    tally.ssim_person.append(ssim(picture[frame.box], frame.picture[frame.box]))
    tally.sharpness.append(sharpness(picture[frame.box]))


def _reading(compared: Sequence[_Compared]) -> list[str]:
    """Notes on how the table is to be read."""
    drawn = [name for name in compared[0].rows if name != REAL]
    mattes = sum(one.clip.matte is not None for one in compared)
    return [
        f"person's box: the smallest around the true matte ({mattes} of {len(compared)} clips), "
        f"else around the landmarks and {MARGIN:g} torso lengths; "
        "sharpness there too, steadiness inside the matte, drawn / real",
        "drawn pictures are scaled to the data's size; face: the square around the landmarks of "
        f"the head; face fit: where the real face is among the sharper half of {_faces(compared)}",
        "PSNR: of the mean squared error over all frames, which the worst dominate; "
        "the mean of each frame's own, person: "
        + ", ".join(f"{name} {_own_decibels(compared, name)}" for name in drawn),
        "intervals by resampling songs or sources",
    ]


def _faces(compared: Sequence[_Compared]) -> int:
    """How many frames have a face."""
    return sum(len(one.rows[REAL].face_fit) for one in compared)


def _row(name: str, compared: Sequence[_Compared]) -> Row:
    figures: dict[str, Estimate | None] = {}
    groups = [group(one.clip) for one in compared]

    def pooled(key: str, of: str = name) -> list[float]:
        """Values of all frames."""
        return [value for one in compared for value in getattr(one.rows[of], key)]

    sharp_faces = [
        float(face >= np.median(one.rows[REAL].face_sharpness))
        for one in compared
        for face in one.rows[REAL].face_sharpness
    ]

    def by_frame(key: str) -> list[str]:
        """The group of each of these values."""
        counts = [len(getattr(one.rows[name], key)) for one in compared]
        return [g for g, count in zip(groups, counts, strict=True) for _ in range(count)]

    if name != REAL:
        for part in ("person", "frame"):
            mse, similarity = f"mse_{part}", f"ssim_{part}"
            figures[f"psnr_{part}"] = _decibels(mean_estimate(pooled(mse), by_frame(mse)))
            figures[similarity] = mean_estimate(pooled(similarity), by_frame(similarity))
    for key in ("sharpness", "face_sharpness", "changes"):
        title = _RATIOS[key]
        figures[title] = ratio_estimate(pooled(key), pooled(key, REAL), by_frame(key))
    if name != REAL:
        figures["face_fit"] = ratio_estimate(
            [fit * sharp for fit, sharp in zip(pooled("face_fit"), sharp_faces, strict=True)],
            sharp_faces,
            by_frame("face_fit"),
        )
    poses = [one.poses for one in compared if one.poses is not None]
    if poses:
        own = [sums[name] for sums in poses]
        figures |= fidelity.pose_estimates(own, groups)
        real = [sums[REAL].right for sums in poses]
        figures["pck_ratio"] = ratio_estimate([sums.right for sums in own], real, groups)
    return Row(name, figures, [_detail(name, one) for one in compared])


def _detail(name: str, one: _Compared) -> dict[str, Any]:
    """The values of one clip in the row of this name."""
    mine = one.rows[name]
    moved = sum(one.rows[REAL].changes)
    detail: dict[str, Any] = {
        "clip": one.clip.name,
        "frames": len(mine.mse_frame),
        **{
            key: float(np.mean(getattr(mine, key))) if getattr(mine, key) else None
            for key in (
                "mse_person",
                "mse_frame",
                "ssim_person",
                "ssim_frame",
                "sharpness",
                "face_sharpness",
                "face_fit",
            )
        },
        "steadiness_ratio": sum(mine.changes) / moved if moved else None,
    }
    if one.poses is not None:
        found = fidelity.pose_estimates([one.poses[name]], [group(one.clip)])
        detail |= {key: estimate and estimate.value for key, estimate in found.items()}
    return detail


def _decibels(mse: Estimate | None) -> Estimate | None:
    """The PSNR of a mean squared error and its interval."""
    if mse is None:
        return None
    if mse.low is None or mse.high is None:
        return Estimate(decibels(mse.value))
    return Estimate(decibels(mse.value), decibels(mse.high), decibels(mse.low))


def _own_decibels(compared: Sequence[_Compared], name: str) -> str:
    """The mean of the PSNR of each frame's person, those that are exact aside."""
    found = [decibels(mse) for one in compared for mse in one.rows[name].mse_person if mse > 0]
    return f"{np.mean(found):.2f}" if found else "-"


def _plot(
    path: str | Path,
    compared: Sequence[_Compared],
    dancers: dict[str, Dancer],
    retrieval: Retrieval | None,
) -> None:
    """The worst, median and best frame of the first bundle by the error in the person's box.

    They are drawn once more, cut to that box.
    """
    first = next(iter(dancers))
    scored = [
        (mse, one, time)
        for one in compared
        for mse, time in zip(one.rows[first].mse_person, one.boxed, strict=True)
    ]
    ranked = sorted(scored, key=lambda item: -item[0])
    if not ranked:
        raise DancingError(f"{path}: nothing to draw, the person is in no frame")
    rows = []
    for title, (_, one, time) in (
        ("worst", ranked[0]),
        ("median", ranked[len(ranked) // 2]),
        ("best", ranked[-1]),
    ):
        clip, window = one.clip, one.window
        frame = next(true_frames(clip, [time], window))
        assert frame.box is not None
        others = {} if retrieval is None else {NEAREST: retrieval(clip, time, window)}
        for name, dancer in dancers.items():
            (others[name],) = drawn_frames(clip, [time], dancer, window)
        pictures = {REAL: frame.picture[frame.box]}
        for name, picture in others.items():
            both = picture[frame.box], pictures[REAL]
            pictures[f"{name}\n{psnr(*both):.1f} dB, SSIM {ssim(*both):.2f}"] = both[0]
        rows.append((f"{title}: {clip.name}, {time / clip.fps:.1f} s", pictures))
    plots.frames(path, rows)
