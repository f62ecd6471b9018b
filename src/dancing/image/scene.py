"""The scene behind a dancer, as it is seen when the dancer is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_LIGHT = 10.0


def uncovered(
    pictures: NDArray[np.uint8], covered: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The scene without the dancer or her shadow.

    A pixel is the median of what is about as bright as it gets, for a shadow only darkens.

    Args:
        pictures: (T, H, W, 3) before one steady camera.
        covered: (T, H, W) where the dancer is.

    Returns:
        (H, W, 3), and (H, W) which pixels are never seen.
    """
    hidden: NDArray[np.bool_] = covered.all(0)
    scene = np.zeros(pictures.shape[1:], np.float32)
    for row in range(pictures.shape[1]):
        colours = np.moveaxis(pictures[:, row], 0, -1).astype(np.float32)  # (W, 3, T)
        light = np.where(covered[:, row].T, np.nan, colours.mean(1))
        lit = np.abs(light - _quantile(light, 0.95)[:, None]) <= _SAME_LIGHT
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
