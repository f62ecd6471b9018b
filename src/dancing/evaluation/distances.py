"""How far dances are from real dance, as distributions of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import PoseSequence
from dancing.evaluation.table import Estimate
from dancing.metrics import (
    diversity,
    energy_distance,
    frechet_distance,
    geometric_features,
    kinetic_features,
    standardize,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WINDOW = 10.0
"""Seconds of a window; sets of windows are compared as distributions."""
HALVINGS = 12
"""Random halvings of the clips over which distances are averaged."""
KINDS = ("kinetic", "geometric")


@dataclass(frozen=True)
class Features:
    """Of a dance: kinetic (windows, 51) and geometric (windows, 15) features."""

    kinetic: Floats
    geometric: Floats


def windows_in(duration: float) -> int:
    """How many whole windows there are in so many seconds; one in a shorter dance."""
    return max(1, int(duration / WINDOW + 1e-6))


def window_features(poses: PoseSequence, windows: int) -> Features:
    """The features of the first windows of a dance."""
    kinetic, geometric = [], []
    for number in range(windows):
        start, stop = (round(k * WINDOW * poses.fps) for k in (number, number + 1))
        part = poses[start:stop]
        seen: dict[str, Any] = {"aspect": part.aspect, "visibility": part.visibility}
        kinetic.append(kinetic_features(part.landmarks, part.fps, **seen))
        geometric.append(geometric_features(part.landmarks, part.fps, **seen))
    return Features(np.array(kinetic), np.array(geometric))


class Distances:
    """Distances between the windows of one half of the songs and a row's of the other half.

    Args:
        real: features of the real dances to the clips.
        groups: of each clip; clips of one group are not independent of each other.
        scale: dances whose features have mean 0 and standard deviation 1 after scaling.
        seed: of the random halvings.

    Attributes:
        notes: on what there are too few windows for.
    """

    def __init__(
        self,
        real: Sequence[Features],
        groups: Sequence[str],
        scale: Sequence[Features],
        seed: int,
    ) -> None:
        self._scale = {
            key: standardize(np.concatenate([getattr(features, key) for features in scale]))
            for key in KINDS
        }
        self._real = real
        self.notes: list[str] = []
        window_group = np.repeat(groups, [len(features.kinetic) for features in real])
        names = np.unique(window_group)
        generator = np.random.default_rng([seed, 1])
        half = len(window_group) // 2
        self._halves = []
        for _ in range(HALVINGS if half else 0):
            # By songs, so that at most one song has windows in both halves.
            rank = {name: k for k, name in enumerate(generator.permutation(names))}
            order = np.argsort([rank[name] for name in window_group], kind="stable")
            self._halves.append((order[:half], order[-half:]))
        for key, title in (("kinetic", "FID_k"), ("geometric", "FID_g")):
            dimensions = self._scaled(real, key).shape[1]
            if half < 10 * dimensions:
                self.notes.append(
                    f"{title} is refused: {dimensions} dimensions need {10 * dimensions} windows "
                    f"in each half, there are {half}"
                )

    def floor(self) -> dict[str, Estimate | None]:
        """What real dance itself has."""
        return self.figures([self._real])

    def figures(self, found: Sequence[Sequence[Features]]) -> dict[str, Estimate | None]:
        """Distances and diversity of a row, given its features by seed and clip."""
        figures: dict[str, Estimate | None] = {}
        for key in KINDS:
            real = self._scaled(self._real, key)
            rows = [self._scaled(dances, key) for dances in found]
            energy, frechet = [], []
            for number, (one, other) in enumerate(self._halves):
                there = rows[number % len(rows)][other]
                energy.append(energy_distance(real[one], there))
                if len(one) >= 10 * real.shape[1]:
                    frechet.append(frechet_distance(real[one], there))
            figures[f"energy_{key}"] = Estimate(float(np.mean(energy))) if energy else None
            figures[f"fid_{key}"] = Estimate(float(np.mean(frechet))) if frechet else None
            if key == "kinetic" and self._halves:
                figures["diversity"] = Estimate(float(np.mean([diversity(row) for row in rows])))
        return figures

    def _scaled(self, dances: Sequence[Features], key: str) -> Floats:
        """(windows, d), z-scored."""
        return self._scale[key](np.concatenate([getattr(features, key) for features in dances]))
