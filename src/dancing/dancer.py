"""Stage 2 at work: poses go in, pictures come out. ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.poses import PoseSequence, draw_skeleton
from dancing.video import decode_picture, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

STYLES = ("person", "skeleton", "side-by-side")
PLATE = "plate.png"
SHADE_STRIDE = 8
"""Pixels of the picture a side of a cell of the shade."""
_BATCH = 8
_DARK = np.array([24, 26, 32], np.uint8)


class Dancer:
    """Draws a person in given poses with the image model of a bundle.

    Args:
        bundle: name of an embedded dancer, path of a bundle, or an open `Bundle`.

    Attributes:
        size: (width, height) of a drawn picture in pixels.
        view: (left, top, right, bottom), the part of the pose picture that is drawn, as
            fractions of that picture; it may reach outside.
        placement: where this person stands in the pose picture; see `Choreographer`.

    Raises:
        DancingError: when the bundle cannot be used or holds no image model.
    """

    def __init__(self, bundle: str | Path | Bundle = "default") -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        settings = self.bundle.settings("image")
        width, height = settings["size"]
        self.size = (int(width), int(height))
        self.view = tuple(float(value) for value in settings["view"])
        self.placement: dict[str, float] = settings["placement"]
        self._plate: NDArray[np.uint8] | None = None
        if "margin" in settings:
            self._margin = [int(side) for side in settings["margin"]]
            try:
                self._plate = resize(decode_picture(self.bundle.file(PLATE)), *self.size)
            except ValueError as error:
                raise DancingError(f"{self.bundle.path}: {PLATE} is not a picture") from error

    def __call__(self, poses: PoseSequence, style: str = "person") -> Iterator[NDArray[np.uint8]]:
        """Draw every pose, streamed.

        Args:
            poses: any length; drawn frame by frame at the poses' own rate.
            style: 'person', 'skeleton' (lines instead of the person) or 'side-by-side'.

        Yields:
            (H, W, 3) uint8 RGB; side-by-side is twice as wide.
        """
        if style not in STYLES:
            raise DancingError(f"no style '{style}'; there are {', '.join(STYLES)}")
        if style == "skeleton":
            return self._skeletons(poses)
        if style == "person":
            return self._people(poses)
        pairs = zip(self._skeletons(poses), self._people(poses), strict=True)
        return (np.concatenate(pair, axis=1) for pair in pairs)

    def in_view(self, landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Landmarks (..., 2) of the pose picture as fractions of the drawn one."""
        corner = np.array(self.view[:2])
        inside: NDArray[np.float64] = (landmarks - corner) / (np.array(self.view[2:]) - corner)
        return inside

    def frame_size(self, style: str) -> tuple[int, int]:
        """(width, height) of the pictures of a style."""
        return self.size[0] * (2 if style == "side-by-side" else 1), self.size[1]

    def _skeletons(self, poses: PoseSequence) -> Iterator[NDArray[np.uint8]]:
        for t, landmarks in enumerate(poses.landmarks):
            canvas = np.broadcast_to(_DARK, (self.size[1], self.size[0], 3)).copy()
            visibility = None if poses.visibility is None else poses.visibility[t]
            draw_skeleton(canvas, self.in_view(landmarks), visibility)
            yield canvas

    def _people(self, poses: PoseSequence) -> Iterator[NDArray[np.uint8]]:
        batches = (
            poses.landmarks[start : start + _BATCH] for start in range(0, len(poses), _BATCH)
        )
        if self._plate is None:
            for batch in batches:
                for picture in self._run(landmarks=batch)[0]:
                    yield resize(picture, *self.size)
            return
        for batch in batches:
            yield from self._on_plate(batch, self._plate)

    def _on_plate(
        self, landmarks: NDArray[np.float32], plate: NDArray[np.uint8]
    ) -> Iterator[NDArray[np.uint8]]:
        """Draw the person and her shadow, and lay them over the empty scene."""
        points = landmarks * np.array(self.size, np.float32)
        boxes = person_boxes(points, self._margin)
        crop = np.ceil((boxes[:, 1] - boxes[:, 0]).max(0) / 32).astype(np.int64) * 32
        corners = (boxes.sum(1) - crop) // 2
        layers, shades = self._run(landmarks=points, corners=corners.astype(np.float32), crop=crop)
        for drawn, shade, corner in zip(layers, shades, corners, strict=True):
            frame = _shaded(plate, shade)
            low, high = np.maximum(corner, 0), np.minimum(corner + crop, self.size)
            if (low < high).all():
                inner = drawn[low[1] - corner[1] : high[1] - corner[1]]
                inner = inner[:, low[0] - corner[0] : high[0] - corner[0]].astype(np.int32)
                there = frame[low[1] : high[1], low[0] : high[0]]
                matte = inner[..., 3:]
                there[:] = (inner[..., :3] * matte + there * (255 - matte) + 127) // 255
            yield frame

    def _run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return self.bundle.image.run(None, inputs)
        except DancingError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.bundle.path}: the image model failed ({error})") from error


def _shaded(scene: NDArray[np.uint8], shade: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A copy of a scene (H, W, 3), darkened by a shade (h, w) of a cell for every 8x8 pixels."""
    rows, columns = (side * SHADE_STRIDE for side in shade.shape)
    light = resize((255 - shade * 255 + 0.5).astype(np.uint8), columns, rows)
    light = light[: scene.shape[0], : scene.shape[1], None].astype(np.uint16)
    return ((scene * light + 127) // 255).astype(np.uint8)


def person_boxes(points: NDArray[np.floating[Any]], margin: Sequence[int]) -> NDArray[np.int64]:
    """Boxes around dancers.

    Args:
        points: (T, 33, 2) landmarks in pixels of the picture.
        margin: (left, top, right, bottom), how far the person reaches beyond the landmarks.

    Returns:
        (T, 2, 2): left and top, right and bottom; they may reach outside the picture.
    """
    low = np.floor(points.min(1)) - margin[:2]
    high = np.ceil(points.max(1)) + margin[2:]
    return np.stack([low, high], 1).astype(np.int64)
