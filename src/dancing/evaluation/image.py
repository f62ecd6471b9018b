"""How well a bundle draws: its image model beside real frames and the nearest training frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dancing.body.poses import PoseSequence, torso_length
from dancing.bundle import Bundle
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.evaluation import plots
from dancing.evaluation.clips import (
    command,
    file_names,
    group,
    mean_estimate,
    opened,
    ratio_estimate,
    unseen,
)
from dancing.evaluation.table import Column, Estimate, Report, Row
from dancing.image.dancer import Dancer
from dancing.listener import Listener
from dancing.media.video import cut, resize
from dancing.metrics import (
    BODY_JOINTS,
    change,
    decibels,
    pck,
    person_box,
    pose_error,
    psnr,
    sharpness,
    ssim,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.landmarker import Landmarker

    Picture = NDArray[np.uint8]
    Floats = NDArray[np.float64]

FRAMES = 200
"""Frames that are scored by default."""
MARGIN = 0.5
"""Torso lengths around the landmarks that belong to the person's box, where there is no matte."""

COLUMNS = (
    Column("psnr_person", "PSNR person", 2, interval=True),
    Column("ssim_person", "SSIM person", 3, interval=True),
    Column("psnr_frame", "PSNR frame", 2, interval=True),
    Column("ssim_frame", "SSIM frame", 3, interval=True),
    Column("sharpness_ratio", "sharpness", 2),
    Column("steadiness_ratio", "steadiness", 2),
)
POSE_COLUMNS = (
    Column("pck", "PCK@0.1", 3),
    Column("pck_ratio", "PCK / real", 2),
    Column("pose_error", "pose error", 3),
)
_REAL, _NEAREST = "real", "nearest training frame"
_SSIM_WINDOW = 11


@dataclass
class _Tally:
    """What was found in one row's frames of one clip."""

    mse_person: list[float] = field(default_factory=list)
    mse_frame: list[float] = field(default_factory=list)
    ssim_person: list[float] = field(default_factory=list)
    ssim_frame: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    found: list[Floats] = field(default_factory=list)


@dataclass
class _Asked:
    """The poses (33, 2) in the view that one clip's frames were drawn from, and what is seen."""

    landmarks: list[Floats] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class _Frame:
    """One true frame in the dancer's view."""

    time: int
    picture: Picture
    box: tuple[slice, slice] | None
    matte: NDArray[np.bool_]


def evaluate(
    bundle: str | Path | Bundle,
    data: Sequence[str | Path],
    *,
    train_data: Sequence[str | Path] = (),
    frames: int = FRAMES,
    include_training: bool = False,
    plot: str | Path | None = None,
    listener: Listener | None = None,
) -> Report:
    """Score a bundle's image model on the clips with pictures of datasets.

    Frames are drawn from their true landmarks and compared with the true frames in the dancer's
    own view and size. The person's box is the smallest upright one around the true matte (128 and
    more, no margin) where the data have one, else around the landmarks and half a torso length.
    Squared errors are averaged before they become PSNR. If the pose estimator is there, it looks
    at the drawn and at the real frames: how well the pose asked for (body joints inside the
    picture) is found again.

    Args:
        bundle: its image model is scored.
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
    bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
    dancer = Dancer(bundle)
    with opened(data) as clips, opened(train_data) as training, ExitStack() as stack:
        usable = [clip for clip in clips if clip.n_pictures]
        if not usable:
            raise DancingError(f"{', '.join(map(str, data))}: no clip has pictures")
        kept, facts, notes = unseen(usable, bundle, "image", include_training)
        if len(usable) < len(clips):
            notes.append(f"left out: {len(clips) - len(usable)} clips without pictures")
        pool = [clip for clip in training if clip.n_pictures]
        model = str(facts["model"])
        names = [_REAL, _NEAREST, model]
        retrieval = _Retrieval(pool or kept)
        if all(retrieval.knows(clip) for clip in kept):
            notes.append(
                "nearest training frame: the most similar pose in the picture, of "
                + (
                    "the training data"
                    if pool
                    else "the other clips, as no training data was given"
                )
            )
        else:
            names.remove(_NEAREST)
            notes.append(f"no row '{_NEAREST}': there are no clips of another source")
        landmarker = _landmarker(stack, listener)
        if landmarker is None:
            notes.append("no pose fidelity: the pose estimator is not installed")
        chosen = _spread([clip.n_pictures for clip in kept], frames)
        # Few frames of many clips may leave clips without any.
        kept = [clip for clip, times in zip(kept, chosen, strict=True) if times]
        chosen = [times for times in chosen if times]
        facts |= {"clips": len(kept), "songs_or_sources": len({group(clip) for clip in kept})}
        total = sum(map(len, chosen))
        scored: list[tuple[float, Clip, int]] = []
        tallies: list[dict[str, _Tally]] = []
        asked: list[_Asked] = []
        done = 0
        for clip, times in zip(kept, chosen, strict=True):
            tally: dict[str, _Tally] = defaultdict(_Tally)
            wanted = _Asked()
            before: tuple[_Frame, dict[str, Picture]] | None = None
            drawn = dancer(_at(clip, times))
            for frame, picture in zip(_frames(clip, times, dancer), drawn, strict=True):
                pictures = {_REAL: frame.picture, model: picture}
                if _NEAREST in names:
                    pictures[_NEAREST] = retrieval(clip, frame.time, dancer)
                for name in names:
                    _compare(tally[name], frame, pictures[name])
                if frame.box is not None:
                    scored.append((tally[model].mse_person[-1], clip, frame.time))
                if before is not None and before[0].time == frame.time - 1:
                    both = frame.matte & before[0].matte
                    for name in names:
                        tally[name].changes.append(change(before[1][name], pictures[name], both))
                if landmarker is not None:
                    _ask(wanted, clip, frame.time, dancer)
                    for name in names:
                        tally[name].found.append(_look(landmarker, pictures[name]))
                before = frame, pictures
                done += 1
                listener.progress("drawing", done, total)
            tallies.append(tally)
            asked.append(wanted)
        columns = COLUMNS if landmarker is None else (*COLUMNS, *POSE_COLUMNS)
        groups = [group(clip) for clip in kept]
        poses = None
        if landmarker is not None:
            poses = [
                {name: _pose_sums(tally[name], wanted, dancer) for name in names}
                for tally, wanted in zip(tallies, asked, strict=True)
            ]
        rows = [_row(name, kept, groups, tallies, poses) for name in names]
        if plot is not None:
            _plot(plot, scored, dancer, retrieval if _NEAREST in names else None, model)
    mattes = sum(clip.matte is not None for clip in kept)
    notes.append(
        f"person's box: the smallest around the true matte ({mattes} of {len(kept)} clips), "
        f"else around the landmarks and {MARGIN:g} torso lengths; "
        "sharpness there too, steadiness inside the matte, drawn / real"
    )
    notes.append(
        "PSNR: of the mean squared error over all frames, which the worst dominate; "
        "the mean of each frame's own, person: "
        + ", ".join(f"{name} {_own_decibels(tallies, name)}" for name in names if name != _REAL)
    )
    notes.append("intervals by resampling songs or sources")
    facts |= {
        "command": command(
            "image",
            bundle,
            data,
            train_data,
            frames=None if frames == FRAMES else frames,
            include_training=include_training,
        ),
        "data": file_names(data),
        "train_data": file_names(train_data),
        "frames": total,
        "size": list(dancer.size),
        "view": list(dancer.view),
    }
    title = (
        f"pictures of {facts['bundle']}: {total} frames of {facts['clips']} clips, "
        f"{dancer.size[0]}x{dancer.size[1]}"
    )
    return Report(title, facts, columns, rows, notes)


class _Retrieval:
    """The frame of other clips whose pose in the picture is nearest."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._poses = [_flat(clip, slice(clip.n_pictures)) for clip in clips]

    def knows(self, clip: Clip) -> bool:
        """Whether there is a clip of another song and source."""
        return any(not clip.origins & other.origins for other in self._clips)

    def __call__(self, clip: Clip, time: int, dancer: Dancer) -> Picture:
        wanted = _flat(clip, slice(time, time + 1))
        best: tuple[float, Clip, int] | None = None
        for other, poses in zip(self._clips, self._poses, strict=True):
            if clip.origins & other.origins:
                continue
            distances = ((poses - wanted) ** 2).sum(1)
            nearest = int(distances.argmin())
            if best is None or distances[nearest] < best[0]:
                best = float(distances[nearest]), other, nearest
        assert best is not None and best[1].frames is not None
        return _in_view(best[1].frames[best[2]], dancer)


def _flat(clip: Clip, frames: slice) -> Floats:
    points = clip.landmarks[frames][:, list(BODY_JOINTS)] * [clip.aspect, 1.0]
    flat: Floats = points.reshape(len(points), -1)
    return flat


def _spread(counts: Sequence[int], frames: int) -> list[list[int]]:
    """For clips of so many frames: which to take, at most so many, as pairs of neighbours."""
    starts = [(clip, t) for clip, count in enumerate(counts) for t in range(max(1, count - 1))]
    taken = [set[int]() for _ in counts]
    everything = frames >= sum(counts)
    wanted = len(starts) if everything else max(1, min(len(starts), frames // 2))
    for index in np.linspace(0, len(starts) - 1, wanted).round().astype(int):
        clip, t = starts[index]
        taken[clip] |= {t, min(t + 1, counts[clip] - 1)}
    return [sorted(times) for times in taken]


def _at(clip: Clip, times: Sequence[int]) -> PoseSequence:
    visibility = None if clip.visibility is None else clip.visibility[times]
    return PoseSequence(clip.landmarks[times], clip.fps, visibility, aspect=clip.aspect)


def _frames(clip: Clip, times: Sequence[int], dancer: Dancer) -> Iterator[_Frame]:
    assert clip.frames is not None
    torso = torso_length(clip.landmarks, clip.aspect)
    for time in times:
        picture = _in_view(clip.frames[time], dancer)
        matte = None
        if clip.matte is not None:
            matte = _in_view(np.repeat(clip.matte[time][..., None], 3, 2), dancer)[..., 0] >= 128
        if matte is not None and matte.any():
            box = person_box(matte)
            slices = tuple(
                slice(int(hit[0]), int(hit[-1]) + 1)
                for hit in (np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0)))
            )
        else:
            slices = _landmark_box(clip, time, dancer, torso)
            matte = np.zeros(picture.shape[:2], bool)
            matte[slices] = True
        large = all(part.stop - part.start >= _SSIM_WINDOW for part in slices)
        yield _Frame(time, picture, (slices[0], slices[1]) if large else None, matte)


def _landmark_box(clip: Clip, time: int, dancer: Dancer, torso: float) -> tuple[slice, ...]:
    """Rows and columns of the view around the landmarks; empty where the person is outside."""
    margin = MARGIN * torso * np.array([1 / clip.aspect, 1.0])
    points = clip.landmarks[time].astype(np.float64)
    low = dancer.in_view(points.min(0) - margin) * dancer.size
    high = dancer.in_view(points.max(0) + margin) * dancer.size
    (x0, y0), (x1, y1) = (np.clip(np.rint(v), 0, dancer.size).astype(int) for v in (low, high))
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _in_view(picture: Picture, dancer: Dancer) -> Picture:
    return resize(cut(picture, dancer.view), *dancer.size)


def _compare(tally: _Tally, frame: _Frame, picture: Picture) -> None:
    squares = (picture.astype(np.float64) - frame.picture) ** 2
    tally.mse_frame.append(float(squares.mean()))
    tally.ssim_frame.append(ssim(picture, frame.picture))
    if frame.box is None:
        return
    tally.mse_person.append(float(squares[frame.box].mean()))
    tally.ssim_person.append(ssim(picture[frame.box], frame.picture[frame.box]))
    tally.sharpness.append(sharpness(picture[frame.box]))


def _ask(wanted: _Asked, clip: Clip, time: int, dancer: Dancer) -> None:
    points = dancer.in_view(clip.landmarks[time])
    seen = np.all((points >= 0) & (points <= 1), axis=1)
    if clip.visibility is not None:
        seen &= clip.visibility[time] >= 0.5
    wanted.landmarks.append(points)
    wanted.seen.append(seen)


def _look(landmarker: Landmarker, picture: Picture) -> Floats:
    people = landmarker(picture)
    if not people:
        return np.full((33, 2), np.nan)
    return people[0].points[:, :2].astype(np.float64)


def _landmarker(stack: ExitStack, listener: Listener) -> Landmarker | None:
    from dancing.data.landmarker import Landmarker

    try:
        return stack.enter_context(Landmarker(people=1, video=False))
    except DancingError as error:
        listener.note(f"pose fidelity is left out: {error}")
        return None


def _row(
    name: str,
    clips: Sequence[Clip],
    groups: Sequence[str],
    tallies: Sequence[dict[str, _Tally]],
    poses: Sequence[dict[str, _PoseSums]] | None,
) -> Row:
    figures: dict[str, Estimate | None] = {}

    def pooled(key: str, of: str = name) -> list[float]:
        """Values of all frames."""
        return [value for tally in tallies for value in getattr(tally[of], key)]

    def by_frame(key: str) -> list[str]:
        """The group of each of these values."""
        counts = [len(getattr(tally[name], key)) for tally in tallies]
        return [g for g, count in zip(groups, counts, strict=True) for _ in range(count)]

    if name != _REAL:
        for part in ("person", "frame"):
            mse, similarity = f"mse_{part}", f"ssim_{part}"
            figures[f"psnr_{part}"] = _decibels(mean_estimate(pooled(mse), by_frame(mse)))
            figures[similarity] = mean_estimate(pooled(similarity), by_frame(similarity))
    for key, title in (("sharpness", "sharpness_ratio"), ("changes", "steadiness_ratio")):
        figures[title] = ratio_estimate(pooled(key), pooled(key, _REAL), by_frame(key))
    if poses is not None:
        own, real = [clip[name] for clip in poses], [clip[_REAL] for clip in poses]
        figures |= _pose_figures(own, groups)
        right = [sums.right for sums in own]
        figures["pck_ratio"] = ratio_estimate(right, [sums.right for sums in real], groups)
    details = []
    for index, (clip, tally) in enumerate(zip(clips, tallies, strict=True)):
        mine = tally[name]
        moved = sum(tally[_REAL].changes)
        detail: dict[str, Any] = {
            "clip": clip.name,
            "frames": len(mine.mse_frame),
            **{
                key: float(np.mean(getattr(mine, key))) if getattr(mine, key) else None
                for key in ("mse_person", "mse_frame", "ssim_person", "ssim_frame", "sharpness")
            },
            "steadiness_ratio": sum(mine.changes) / moved if moved else None,
        }
        if poses is not None:
            found = _pose_figures([poses[index][name]], [groups[index]])
            detail |= {key: figure and figure.value for key, figure in found.items()}
        details.append(detail)
    return Row(name, figures, details)


class _PoseSums(NamedTuple):
    """Of the joints asked for in a clip's frames: how many, how many in place, how many found
    anywhere, and the sum of the errors of those."""

    asked: float
    right: float
    found: float
    errors: float


def _pose_sums(tally: _Tally, wanted: _Asked, dancer: Dancer) -> _PoseSums:
    joints = list(BODY_JOINTS)
    seen, found = np.array(wanted.seen), np.array(tally.found)
    count = int(seen[:, joints].sum())
    if not count:
        return _PoseSums(0, 0, 0, 0)
    options: dict[str, Any] = {
        "visibility": seen.astype(np.float64),
        "aspect": dancer.size[0] / dancer.size[1],
        "joints": joints,
    }
    right = count * pck(found, np.array(wanted.landmarks), 0.1, **options)
    there = int((seen & np.isfinite(found).all(2))[:, joints].sum())
    if not there:
        return _PoseSums(count, right, 0, 0)
    error = pose_error(found, np.array(wanted.landmarks), **options)
    return _PoseSums(count, right, there, there * error)


def _pose_figures(sums: Sequence[_PoseSums], groups: Sequence[str]) -> dict[str, Estimate | None]:
    asked, right, found, errors = zip(*sums, strict=True)
    return {
        "pck": ratio_estimate(right, asked, groups),
        "pose_error": ratio_estimate(errors, found, groups),
    }


def _decibels(mse: Estimate | None) -> Estimate | None:
    """The PSNR of a mean squared error and its interval."""
    if mse is None:
        return None
    if mse.low is None or mse.high is None:
        return Estimate(decibels(mse.value))
    return Estimate(decibels(mse.value), decibels(mse.high), decibels(mse.low))


def _own_decibels(tallies: Sequence[dict[str, _Tally]], name: str) -> str:
    """The mean of the PSNR of each frame's person, those that are exact aside."""
    found = [decibels(mse) for tally in tallies for mse in tally[name].mse_person if mse > 0]
    return f"{np.mean(found):.2f}" if found else "-"


def _plot(
    path: str | Path,
    scored: Sequence[tuple[float, Clip, int]],
    dancer: Dancer,
    retrieval: _Retrieval | None,
    model: str,
) -> None:
    """The worst, median and best frame by the error in the person's box, drawn once more."""
    ranked = sorted(scored, key=lambda item: -item[0])
    if not ranked:
        raise DancingError(f"{path}: nothing to draw, the person is in no frame")
    rows = []
    for title, (_, clip, time) in (
        ("worst", ranked[0]),
        ("median", ranked[len(ranked) // 2]),
        ("best", ranked[-1]),
    ):
        frame = next(_frames(clip, [time], dancer))
        others = {} if retrieval is None else {_NEAREST: retrieval(clip, time, dancer)}
        others[model] = next(iter(dancer(_at(clip, [time]))))
        pictures = {"real": frame.picture}
        for name, picture in others.items():
            assert frame.box is not None
            decibels = psnr(picture[frame.box], frame.picture[frame.box])
            similarity = ssim(picture[frame.box], frame.picture[frame.box])
            pictures[f"{name}\n{decibels:.1f} dB, SSIM {similarity:.2f}"] = picture
        rows.append((f"{title}: {clip.name}, {time / clip.fps:.1f} s", pictures))
    plots.frames(path, rows)
