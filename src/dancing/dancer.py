"""Stage 2 at work: poses go in, pictures come out. ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.poses import PoseSequence, draw_skeleton
from dancing.video import cut_crop, decode_picture, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

STYLES = ("person", "skeleton", "side-by-side")
PLATE = "plate.png"
_BATCH = 8
# Hair, hands and shoes reach beyond the landmarks; pixels, both sides together.
_CROP_MARGIN = (44, 88)
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
        if "crop" in settings:
            self._crop = (int(settings["crop"][0]), int(settings["crop"][1]))
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
                for picture in self._run(landmarks=batch):
                    yield resize(picture, *self.size)
            return
        crop = fitting_crop(poses.landmarks * np.array(self.size), self._crop)
        for batch in batches:
            yield from self._on_plate(batch, self._plate, crop)

    def _on_plate(
        self, landmarks: NDArray[np.float32], plate: NDArray[np.uint8], crop: tuple[int, int]
    ) -> Iterator[NDArray[np.uint8]]:
        """Draw the crops that move with the dancer, and lay them over the empty scene."""
        points = landmarks * np.array(self.size, np.float32)
        corners = crop_corners(points, crop)
        scenes = np.stack([cut_crop(plate, corner, crop) for corner in corners])
        crops = self._run(landmarks=points - corners[:, None].astype(np.float32), plate=scenes)
        for drawn, corner in zip(crops, corners, strict=True):
            frame = plate.copy()
            low, high = np.maximum(corner, 0), np.minimum(corner + crop, self.size)
            if (low < high).all():
                inner = drawn[low[1] - corner[1] : high[1] - corner[1]]
                frame[low[1] : high[1], low[0] : high[0]] = inner[
                    :, low[0] - corner[0] : high[0] - corner[0], :3
                ]
            yield frame

    def _run(self, **inputs: NDArray[Any]) -> NDArray[np.uint8]:
        try:
            return self.bundle.image.run(None, inputs)[0]
        except DancingError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.bundle.path}: the image model failed ({error})") from error


def fitting_crop(points: NDArray[np.floating[Any]], largest: tuple[int, int]) -> tuple[int, int]:
    """The smallest crop that holds the dancer throughout, so that less is drawn.

    One size for the whole dance, for a change of size would show.

    Args:
        points: (T, 33, 2) landmarks in pixels of the picture.
        largest: (width, height) of the crop that the model was trained with.

    Returns:
        (width, height), multiples of 32.
    """
    needed = (points.max(1) - points.min(1)).max(0) + _CROP_MARGIN
    width, height = np.minimum(np.ceil(needed / 32) * 32, largest).astype(int)
    return int(width), int(height)


def crop_corners(points: NDArray[np.floating[Any]], crop: tuple[int, int]) -> NDArray[np.int64]:
    """Where to cut so that the dancer is in the middle.

    Args:
        points: (T, 33, 2) landmarks in pixels of the picture.
        crop: (width, height) in pixels.

    Returns:
        (T, 2) left and top; the crop may reach outside the picture.
    """
    middle = (points.min(1) + points.max(1)) / 2
    return np.round(middle - np.array(crop) / 2).astype(np.int64)
