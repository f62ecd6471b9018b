"""Pictures of an evaluation. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import PoseSequence
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.metrics import joint_speed, motion_beats

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_SECONDS = 12.0
_DPI, _LEAST = 110, 3.4  # inches of a picture's longer side


@dataclass(frozen=True)
class SpeedPanel:
    """One clip: its music beats in seconds, and dances to it by name."""

    name: str
    beats: NDArray[np.float64]
    dances: dict[str, PoseSequence]


def check(path: str | Path | None) -> None:
    """Refuse a name that is no .png, or to draw without matplotlib, before any work is done."""
    if path is None:
        return
    if Path(path).suffix.lower() != ".png":
        raise DancingError(f"{path}: a plot is written as .png")
    import matplotlib  # noqa: F401


def speeds(path: str | Path, panels: Sequence[SpeedPanel]) -> None:
    """Draw speed over time for each dance, its minima, and the music's beats; 12 s at most."""
    from matplotlib.figure import Figure

    count = sum(len(panel.dances) for panel in panels)
    figure = Figure(figsize=(13, 1.75 * count + 0.7), layout="constrained")
    axes = iter(figure.subplots(count, 1, squeeze=False)[:, 0])
    for panel in panels:
        top = 0.0
        lines = []
        for number, (label, poses) in enumerate(panel.dances.items()):
            axis = next(axes)
            seen: dict[str, Any] = {"aspect": poses.aspect, "visibility": poses.visibility}
            time, speed = joint_speed(poses.landmarks, poses.fps, **seen)
            rests = motion_beats(poses.landmarks, poses.fps, **seen)
            axis.vlines(
                panel.beats,
                0,
                1,
                "tab:red",
                alpha=0.45,
                linewidth=0.9,
                transform=axis.get_xaxis_transform(),
            )
            axis.plot(time, speed, color="tab:blue" if number else "0.25", linewidth=1.3)
            axis.plot(rests, np.interp(rests, time, speed), "ko", markersize=3.5)
            axis.set_xlim(0, min(_SECONDS, poses.duration))
            axis.set_title(f"{panel.name}: {label}", loc="left", fontsize=9)
            axis.set_ylabel("torso / s", fontsize=8)
            axis.tick_params(labelsize=8)
            top = max(top, float(speed[time <= _SECONDS].max(initial=0)))
            lines.append(axis)
        # One scale a clip, or who hardly moves looks like a dancer.
        for axis in lines:
            axis.set_ylim(0, 1.1 * top or 1)
    axis.set_xlabel("seconds; red: beats of the music, dots: beats of the movement")
    _save(figure, path)


def frames(path: str | Path, rows: Sequence[tuple[str, dict[str, NDArray[np.uint8]]]]) -> None:
    """Draw pictures beside each other, with what they are.

    Args:
        rows: text beside a row, and its pictures (H, W, 3) by title, of one size; as many in every
            row.
    """
    from matplotlib.figure import Figure

    columns = len(rows[0][1])
    shapes = np.array([next(iter(pictures.values())).shape[:2] for _, pictures in rows])
    # As large as they are, or at least to be seen.
    high, wide = shapes.T * max(1 / _DPI, _LEAST / shapes.max())
    size = (wide.max() * columns + 0.5, high.sum() + 0.5 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=high)
    for line, (text, pictures) in zip(axes, rows, strict=True):
        for axis, (title, picture) in zip(line, pictures.items(), strict=True):
            axis.imshow(picture)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(title, fontsize=9)
        line[0].set_ylabel(text, fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: str | Path) -> None:
    with write_then_rename(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)
