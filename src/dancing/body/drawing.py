"""Draw skeletons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dancing.body.skeleton import CONNECTIONS, LANDMARKS

_SIDE_COLOURS = {"left": (255, 138, 60), "right": (70, 170, 255), "middle": (235, 235, 235)}


def draw_skeleton(
    canvas: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]],
    visibility: NDArray[np.floating[Any]] | None = None,
) -> None:
    """Draw one pose into a picture, in place: left side orange, right side blue.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        landmarks: (33, 2) in [0, 1] of the canvas.
        visibility: (33,) in [0, 1]; a bone fades with the less visible of its ends.
    """
    height, width = canvas.shape[:2]
    points = np.asarray(landmarks, np.float64) * [width, height]
    radius = max(1.0, height / 160)
    for a, b in CONNECTIONS:
        seen = 1.0 if visibility is None else float(min(visibility[a], visibility[b]))
        # The face is small: full-width lines would fill it.
        thickness = radius * (0.5 if b <= 10 else 1.0)
        _draw_capsule(
            canvas, points[a], points[b], thickness, _bone_colour(a, b), 0.25 + 0.75 * seen
        )


def _bone_colour(a: int, b: int) -> tuple[int, int, int]:
    sides = {LANDMARKS[i].split("_")[0] if "_" in LANDMARKS[i] else "middle" for i in (a, b)}
    side = sides.pop() if len(sides) == 1 else "middle"
    return _SIDE_COLOURS.get(side, _SIDE_COLOURS["middle"])


def _draw_capsule(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    colour: tuple[int, int, int],
    opacity: float,
) -> None:
    """An anti-aliased thick line with round ends; only its bounding box is touched."""
    height, width = canvas.shape[:2]
    low = np.floor(np.minimum(start, end) - radius - 1)
    high = np.ceil(np.maximum(start, end) + radius + 2)
    x0, y0 = np.clip(low, 0, [width, height]).astype(int)
    x1, y1 = np.clip(high, 0, [width, height]).astype(int)
    if x0 >= x1 or y0 >= y1:
        return
    x = np.arange(x0, x1) + 0.5 - start[0]
    y = np.arange(y0, y1)[:, None] + 0.5 - start[1]
    dx, dy = end - start
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
    distance = np.hypot(x - along * dx, y - along * dy)
    alpha = (np.clip(radius + 0.5 - distance, 0, 1) * opacity)[..., None]
    box = canvas[y0:y1, x0:x1]
    box[:] = (box * (1 - alpha) + np.array(colour) * alpha + 0.5).astype(np.uint8)


def draw_poses(body: NDArray[np.float32], count: int = 12, size: int = 120) -> NDArray[np.uint8]:
    """Figures beside each other over time: (size, count * size, 3) uint8.

    Args:
        body: (T, 33, 2) in the body frame.
    """
    strip = np.full((size, count * size, 3), 24, np.uint8)
    for i, t in enumerate(np.linspace(0, len(body) - 1, count).astype(int)):
        draw_skeleton(strip[:, i * size : (i + 1) * size], body[t] / 5.5 + [0.5, 0.45])
    return strip
