"""Which genre a dance is of: features of its style, and a classifier that is trained on real dance.

Conventions are those of `dancing.metrics.motion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import ANKLES, ELBOWS, HIPS, KNEES, NOSE, SHOULDERS, WRISTS
from dancing.metrics.footfalls import footfalls
from dancing.metrics.motion import (
    RATE,
    at_common_rate,
    geometric_features,
    kinetic_features,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SHRINKAGE = 0.1
"""How far the covariance of features is drawn towards independence, 0 to 1."""
_PLACED = (NOSE, *SHOULDERS, *ELBOWS, *WRISTS, *KNEES, *ANKLES)


def style_features(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """What tells styles of dance apart in a stretch of about ten seconds.

    - The logarithms of 0.01 plus `kinetic_features`;
    - `geometric_features`;
    - mean and standard deviation of the places of nose, shoulders, elbows, wrists, knees and
      ankles from the mid-hip, in torso lengths, and the standard deviation of the mid-hip's own;
    - footfalls a second.

    Beats are not used, so that dances with and without music can be compared.

    Returns:
        (113,) float64.
    """
    seen: dict[str, Any] = {"aspect": aspect, "visibility": visibility}
    points, _ = at_common_rate(landmarks, fps, aspect, visibility)
    hip = points[:, HIPS].mean(1, keepdims=True)
    placed = points[:, list(_PLACED)] - hip
    return np.concatenate(
        [
            np.log(0.01 + kinetic_features(landmarks, fps, **seen)),
            geometric_features(landmarks, fps, **seen),
            placed.mean(0).ravel(),
            placed.std(0).ravel(),
            hip.std(0).ravel(),
            [len(footfalls(landmarks, fps, **seen)) * RATE / len(points)],
        ]
    )


class GenreClassifier:
    """Regularised linear discriminant analysis: Gaussians with one covariance, one for each genre.

    Features are z-scored, and their covariance within the genres S becomes (1 - s) S + s diag(S),
    s = 0.1. Every genre is as likely as any other beforehand, however many examples it has.
    Friedman, "Regularized discriminant analysis", J. American Statistical Association 84, 1989.

    Args:
        features: (n, d), such as `style_features` of real dances.
        genres: (n,) names.

    Attributes:
        genres: the names, sorted.

    Raises:
        ValueError: for less than two genres, or values that are not finite.
    """

    def __init__(self, features: ArrayLike, genres: Sequence[str]) -> None:
        values = np.asarray(features, np.float64)
        names, member = np.unique(np.asarray(genres, str), return_inverse=True)
        if values.ndim != 2 or len(values) != len(member) or not np.isfinite(values).all():
            raise ValueError(f"features of shape {values.shape} for {len(member)} genres")
        if len(names) < 2:
            raise ValueError("there is nothing to tell apart: less than two genres")
        self.genres = tuple(map(str, names))
        self._mean = values.mean(0)
        spread = values.std(0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)
        scaled = (values - self._mean) / self._spread
        centres = np.array([scaled[member == k].mean(0) for k in range(len(names))])
        within = scaled - centres[member]
        covariance = within.T @ within / len(values)
        # What never varies within a genre must not decide alone.
        own = np.maximum(np.diag(covariance), 0.01)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(own)
        self._weights = np.linalg.solve(covariance, centres.T)  # (d, genres)
        self._offsets = -0.5 * (centres.T * self._weights).sum(0)

    def scores(self, features: ArrayLike) -> Floats:
        """(n, genres) logarithms of likelihoods, each up to what is common to all genres.

        Those of several stretches of one dance may be added.
        """
        values = (np.asarray(features, np.float64) - self._mean) / self._spread
        found: Floats = np.clip(values, -5, 5) @ self._weights + self._offsets
        return found

    def __call__(self, features: ArrayLike) -> str:
        """The genre of one dance, of the features (n, d) of its stretches together."""
        return self.genres[int(self.scores(features).sum(0).argmax())]
