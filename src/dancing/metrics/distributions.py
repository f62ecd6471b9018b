"""Distances between sets of feature vectors, diversity within one, and confidence intervals.

A set is an array (n, d): n clips or windows, d numbers each, such as
`dancing.metrics.kinetic_features`. Put features on one scale with `standardize` first, always by
the real *training* clips. And print the floor beside every distance: that between two halves of
the real set at the same n. A model at the floor cannot be told from the data; below it one
measures luck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_BLOCK = 1 << 21  # numbers held at once: 16 MiB


class Standardization(NamedTuple):
    """Mean and standard deviation (d,) of a set of features; call it to z-score another set."""

    mean: Floats
    std: Floats

    def __call__(self, features: ArrayLike) -> Floats:
        """(features - mean) / std, float64."""
        scores: Floats = (np.asarray(features, np.float64) - self.mean) / self.std
        return scores


def standardize(train: ArrayLike) -> Standardization:
    """The scale of features: their mean and standard deviation over the real training clips.

    A feature that never varies there gets a standard deviation of 1: it is 0 in the training set,
    and what differs from it elsewhere counts in the feature's own unit.

    Args:
        train: (n, d).

    Returns:
        mean and std, to unpack or to call: `z = standardize(train)(features)`.
    """
    values = _set("train", train)
    mean, std = values.mean(0), values.std(0)
    # Equal numbers can have a standard deviation of a rounding error.
    varies = std > 1e-9 * np.abs(values).max(0)
    return Standardization(mean, np.where(varies, std, 1.0))


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Squared Frechet distance of two Gaussians fitted to the sets: what FID is.

        |mx - my|^2 + trace(Cx + Cy - 2 (Cx^1/2 Cy Cx^1/2)^1/2)

    Dowson and Landau 1982; Heusel et al. 2017. The last trace is the sum of the singular values
    of Cx^1/2 Cy^1/2, with roots from symmetric eigendecompositions: real, and stable where
    covariances are singular (the matrix square root that is commonly used turns complex there).

    Caveats: it sees means and covariances only, and for finite n it is too large, the more the
    fewer windows: compare at equal n only, and print the floor. Published figures on some forty
    clips of 72 features measure n. For small sets use `energy_distance`.

    Args:
        x: (n, d).
        y: (m, d); n and m have to be at least 10 d.

    Returns:
        At least 0, in squared units of the features; 0 for equal sets.

    Raises:
        ValueError: below ten windows a dimension, or for values that are not finite.
    """
    x, y = _pair(x, y)
    dimensions = x.shape[1]
    fewest = min(len(x), len(y))
    if fewest < 10 * dimensions:
        raise ValueError(
            f"a Frechet distance in {dimensions} dimensions needs at least {10 * dimensions} "
            f"windows on either side, not {fewest}: use fewer features or energy_distance"
        )
    apart = ((x.mean(0) - y.mean(0)) ** 2).sum()
    roots, total = [], 0.0
    for values in (x, y):
        covariance = np.atleast_2d(np.cov(values, rowvar=False))
        eigenvalues, vectors = np.linalg.eigh(covariance)
        root = np.sqrt(np.maximum(eigenvalues, 0))
        roots.append((vectors * root) @ vectors.T)
        total += float(np.trace(covariance))
    overlap = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    return max(0.0, float(apart + total - 2 * overlap))


def energy_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Energy distance of two sets, for any number of dimensions and for small sets.

        sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|)

    with Euclidean norms, and means over all pairs, those of a point with itself too (the
    V-statistic). So it is 0 for equal sets and never negative; in one dimension it equals
    `scipy.stats.energy_distance`. Szekely and Rizzo, "Energy statistics", J. Stat. Planning and
    Inference 143, 2013. It is 0 only for equal distributions, not just equal moments.

    Caveat: between two samples of one distribution its square is E|X - X'| (1/n + 1/m) on
    average, so compare at equal n and m and print the floor.

    Args:
        x: (n, d).
        y: (m, d). All n m pairs are visited, in blocks of 16 MiB.

    Returns:
        At least 0, in the square root of the features' units.
    """
    x, y = _pair(x, y)
    between = _mean_distance(x, y)
    squared = 2 * between - _mean_distance(x, x) - _mean_distance(y, y)
    # The root would turn a rounding error of 1e-16 into 1e-8.
    return float(np.sqrt(squared)) if squared > 1e-13 * between else 0.0


def diversity(x: ArrayLike) -> float:
    """Mean Euclidean distance over all pairs of different members of a set.

    The "Dist" of AI Choreographer (ICCV 2021). The target is the value of real dance: noise
    exceeds it.

    Args:
        x: (n, d).

    Returns:
        0 for a single member.
    """
    x = _set("x", x)
    if len(x) < 2:
        return 0.0
    return _mean_distance(x, x) * len(x) / (len(x) - 1)


def bootstrap_interval(
    values: ArrayLike,
    seed: int = 0,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    statistic: Callable[..., Any] = np.mean,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of values, one a clip (Efron 1979).

    Caveats: clips of one song are not independent; give one value a song where they are many. With
    less than about ten values the interval is too narrow.

    Args:
        values: (n,) finite.
        seed: of the resampling.
        level: the probability of the interval.
        resamples: how many sets of n values are drawn, with replacement.
        statistic: takes an array and `axis=`, like `numpy.mean` or `numpy.median`.

    Returns:
        Its lower and upper end; for a single value that value twice.
    """
    array = _set("values", values).ravel()
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, but a number between 0 and 1 is needed")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, but at least 1 is needed")
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(array))
    found = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        chosen = generator.integers(0, len(array), (count, len(array)))
        found.append(np.asarray(statistic(array[chosen], axis=1), np.float64))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _set(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}, but (n, d) is needed, n and d >= 1")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    return array


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _set("x", x), _set("y", y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x has {a.shape[1]} features and y has {b.shape[1]}")
    return a, b


def _mean_distance(x: Floats, y: Floats) -> float:
    rows = max(1, _BLOCK // len(y))
    total = sum(float(cdist(x[i : i + rows], y).sum()) for i in range(0, len(x), rows))
    return total / (len(x) * len(y))
