"""Say what is in a dataset, a bundle or a pose file, and draw it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body import foreign_poses, pose_files
from dancing.body.drawing import draw_skeleton
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import LEFT_ARM, LEFT_LEG, RIGHT_ARM
from dancing.bundle import CARD, Bundle
from dancing.card import Card
from dancing.data import dataset
from dancing.data.dataset import Clip, Dataset
from dancing.errors import DancingError
from dancing.family import STAGES
from dancing.files import write_then_rename
from dancing.listener import Listener, Silent
from dancing.media.video import probe, read_frames, resize

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_FIGURES = 10
_HEIGHT = 320
_DARK = (24, 26, 32)


def describe(path: str | Path) -> list[str]:
    """Lines that say what is in a dataset, a dancer bundle or a pose file.

    Raises:
        DancingError: when it is none of these, or damaged.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "bundle":
        bundle = Bundle(path)
        for name in bundle.card.files:
            bundle.file(name)
        return json.dumps(_shortened(bundle.card), indent=2, ensure_ascii=False).splitlines()
    if kind == "dataset":
        with Dataset(path) as data:
            total = sum(clip.duration for clip in data)
            return [f"{path}: {len(data)} clips, {total:.1f} s", *map(_clip_line, data)]
    notes = _Notes()
    sequence = PoseSequence.load(path, notes)
    extras = [name for name in ("visibility", "world") if getattr(sequence, name) is not None]
    beats = "no beats" if sequence.beats is None else f"{len(sequence.beats)} beats"
    return [
        f"{path}: {len(sequence)} poses at {sequence.fps:g} fps, {sequence.duration:.1f} s, "
        f"{beats}, picture {sequence.aspect:.3f} wide for 1 high"
        + (f", with {' and '.join(extras)}" if extras else ""),
        *notes.lines,
    ]


class _Notes(Listener):
    """Keeps notes as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(f"note: {text}")


def plot(path: str | Path, output: str | Path) -> None:
    """Draw a dataset's first clip (pictures with skeletons, MFCC with beats) or a pose file.

    Args:
        path: a dataset or a pose file.
        output: the picture to write, .png.

    Raises:
        DancingError: when there is nothing to draw.
    """
    path, output = Path(path), Path(output)
    if output.suffix.lower() != ".png":
        raise DancingError(f"{output}: a plot is written as .png")
    kind = _kind(path)
    if kind == "bundle":
        raise DancingError(f"{path}: a bundle has nothing to plot")
    if kind == "dataset":
        with Dataset(path) as data:
            clip = data.clips[0]
            figure = _figure(clip.poses, f"{path.name}: {clip.name}", clip)
    else:
        figure = _figure(PoseSequence.load(path, Silent()), path.name, None)
    with write_then_rename(output) as temporary:
        figure.savefig(temporary, dpi=110)


def strip(sequence: PoseSequence, clip: Clip | None = None) -> NDArray[np.uint8]:
    """Figures beside each other over time, on the clip's pictures where there are some.

    Returns:
        (320, W, 3) uint8.
    """
    count = len(sequence) if clip is None or clip.frames is None else clip.n_pictures
    width = 2 * round(_HEIGHT * sequence.aspect / 2)
    columns = []
    for t in np.linspace(0, count - 1, min(_FIGURES, count)).astype(int):
        if clip is not None and clip.frames is not None:
            picture = resize(clip.frames[t], width, _HEIGHT).copy()
        else:
            picture = np.full((_HEIGHT, width, 3), _DARK, np.uint8)
        visibility = None if sequence.visibility is None else sequence.visibility[t]
        draw_skeleton(picture, sequence.landmarks[t], visibility)
        columns.append(picture)
    return np.concatenate(columns, axis=1)


def sightings(
    video: str | Path, count: int = 8, height: int = 480
) -> Iterator[tuple[float, NDArray[np.uint8], int]]:
    """What the pose estimator sees in a video: pictures spread over it, skeletons drawn on them.

    Args:
        video: any video file.
        count: how many pictures.
        height: of the pictures, in pixels.

    Yields:
        Seconds from the start, the picture (H, W, 3) uint8, and how many people are in it.

    Raises:
        DancingError: when the video cannot be read, or the pose estimator is not installed.
    """
    from dancing.data.landmarker import Landmarker
    from dancing.data.people import MOST_PEOPLE

    rate = count / (probe(video).duration or count)
    with Landmarker(MOST_PEOPLE, video=False) as look:
        for number, frame in enumerate(islice(read_frames(video, rate, height), count)):
            picture = frame.copy()
            people = look(frame)
            for person in people:
                draw_skeleton(picture, person.points[:, :2], person.points[:, 2])
            yield number / rate, picture, len(people)


def _figure(sequence: PoseSequence, title: str, clip: Clip | None) -> Figure:
    from matplotlib.figure import Figure

    mfcc = None if clip is None else clip.features_at_poses()
    rows = 3 if mfcc is not None else 2
    picture = strip(sequence, clip)
    width, curve = 14.0, 2.2
    tall = min(6.0, width * picture.shape[0] / picture.shape[1])
    figure = Figure(figsize=(width, tall + curve * (rows - 1) + 0.6), layout="constrained")
    axes = figure.subplots(rows, 1, height_ratios=[tall, *[curve] * (rows - 1)])
    axes[0].imshow(picture)
    axes[0].set_axis_off()
    axes[0].set_title(title)
    time = np.arange(len(sequence)) / sequence.fps
    for name, index in (
        ("left wrist", LEFT_ARM.wrist),
        ("right wrist", RIGHT_ARM.wrist),
        ("left hip", LEFT_LEG.hip),
        ("left ankle", LEFT_LEG.ankle),
    ):
        axes[1].plot(time, 1 - sequence.landmarks[:, index, 1], label=name, linewidth=1)
    axes[1].set_ylabel("height in picture")
    axes[1].legend(loc="upper right", ncols=4, fontsize=8)
    if mfcc is not None:
        # The first coefficient is loudness and would drown the others.
        axes[2].imshow(
            mfcc[:, 1:].T, aspect="auto", origin="lower", extent=(0, time[-1], 1, mfcc.shape[1])
        )
        axes[2].set_ylabel("MFCC")
    for axis in axes[1:]:
        axis.set_xlim(0, max(time[-1], 1 / sequence.fps))
        if sequence.beats is not None:
            for beat in sequence.beats:
                axis.axvline(beat, color="tab:red", alpha=0.6, linewidth=0.8)
    axes[-1].set_xlabel("seconds; red lines are beats")
    return figure


def _kind(path: Path) -> str:
    if path.suffix.lower() in pose_files.SUFFIXES or foreign_poses.is_folder(path):
        return "poses"
    if path.suffix.lower() in dataset.SUFFIXES:
        return "dataset"
    if path.suffix.lower() == ".zip" or (path / CARD).is_file() or not path.exists():
        return "bundle"
    raise DancingError(f"{path}: not a dataset (.h5), a bundle or a pose file")


def _clip_line(clip: Clip) -> str:
    parts = [f"{len(clip)} poses at {clip.fps:g} fps"]
    if clip.frames is not None:
        frames, height, width, _ = clip.frames.shape
        parts.append(f"{frames} pictures {width}x{height}")
    parts.append("no sound" if clip.mfcc is None else f"MFCC {clip.mfcc.shape}")
    if clip.beats is not None:
        parts.append(f"{len(clip.beats)} beats")
    if clip.held_out:
        parts.append("held out")
    return f"  {clip.name}: {', '.join(parts)} (from {clip.source})"


def _shortened(card: Card) -> dict[str, Any]:
    """The card, without long lists of numbers, and what the bundle shows of a person."""
    short: dict[str, Any] = json.loads(json.dumps(card.to_json()))
    if card.image is not None and card.image.holds:
        short = {"holds": card.image.holds} | short
    for reference in short.get("image", {}).get("references", []):
        reference["points"] = f"{len(reference['points'])} numbers"
    for stage in STAGES:
        for step in short.get(stage, {}).get("training", []):
            if "sources" in step:
                step["sources"] = f"{len(step['sources'])} hashes"
    return short
