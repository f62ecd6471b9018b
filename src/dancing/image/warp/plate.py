"""The scene behind a person: filled in where the person is, and continued beyond its borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def filled(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The scene without the person.

    Args:
        picture: (H, W, 3) uint8.
        alpha: (H, W) uint8, the person's.

    Returns:
        (H, W, 3) uint8: the picture, and behind the person what may be there.
    """
    import cv2

    height, width = alpha.shape
    around = max(3, round(0.012 * max(height, width)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * around + 1, 2 * around + 1))
    hidden = cv2.dilate((alpha > 8).astype(np.uint8), disc)
    scale = min(1.0, 240 / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = (cv2.resize(hidden * 255, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    small = cv2.inpaint(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA), mask, 5, cv2.INPAINT_TELEA
    )
    guess = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(hidden[..., None] > 0, guess, picture)


def extended(
    plate: NDArray[np.uint8], left: int, top: int, right: int, bottom: int
) -> NDArray[np.uint8]:
    """The scene with so many pixels more on each side."""
    import cv2

    return cv2.copyMakeBorder(plate, top, bottom, left, right, cv2.BORDER_REFLECT)
