"""The scene behind a dancer, as it is seen when the dancer is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_LIGHT = 10.0


def uncovered(
    pictures: Sequence[NDArray[np.uint8]], covered: Sequence[NDArray[np.bool_]], light: float = 0.95
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The scene without the dancer.

    A pixel is the median of what is about as bright as one quantile: as it gets, for a shadow only
    darkens; or as half of what is seen, for captions may be brighter.

    Args:
        pictures: T of (H, W, 3) before one steady camera.
        covered: T of (H, W) where the dancer is.
        light: that quantile.

    Returns:
        (H, W, 3), and (H, W) which pixels are never seen.
    """
    hidden: NDArray[np.bool_] = np.logical_and.reduce(covered)
    scene = np.zeros(pictures[0].shape, np.float32)
    for row in range(len(scene)):
        colours = np.stack([picture[row] for picture in pictures], -1).astype(np.float32)
        here = np.stack([mask[row] for mask in covered], -1)  # (W, T)
        seen = np.where(here, np.nan, colours.mean(1))
        lit = np.abs(seen - _quantile(seen, light)[:, None]) <= _SAME_LIGHT
        scene[row] = _quantile(np.where(lit[:, None], colours, np.nan), 0.5)
    # Noise may leave no value that near.
    hidden |= np.isnan(scene).any(-1)
    return np.nan_to_num(scene).round().astype(np.uint8), hidden


def _quantile(values: NDArray[np.float32], q: float) -> NDArray[np.float32]:
    """np.nanquantile over the last axis, many times as fast; NaN where there is no value."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    at = q * np.maximum(np.isfinite(values).sum(-1, keepdims=True) - 1, 0)
    low, high = (
        np.take_along_axis(ordered, end(at).astype(int), -1) for end in (np.floor, np.ceil)
    )
    mixed: NDArray[np.float32] = (low + (high - low) * (at % 1).astype(np.float32))[..., 0]
    return mixed
