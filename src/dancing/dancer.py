"""Stage 2 at work: poses go in, pictures come out. ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.poses import PoseSequence, draw_skeleton
from dancing.video import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

STYLES = ("person", "skeleton", "side-by-side")
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

    def frame_size(self, style: str) -> tuple[int, int]:
        """(width, height) of the pictures of a style."""
        return self.size[0] * (2 if style == "side-by-side" else 1), self.size[1]

    def _skeletons(self, poses: PoseSequence) -> Iterator[NDArray[np.uint8]]:
        corner = np.array(self.view[:2])
        extent = np.array(self.view[2:]) - corner
        for t, landmarks in enumerate(poses.landmarks):
            canvas = np.broadcast_to(_DARK, (self.size[1], self.size[0], 3)).copy()
            visibility = None if poses.visibility is None else poses.visibility[t]
            draw_skeleton(canvas, (landmarks - corner) / extent, visibility)
            yield canvas

    def _people(self, poses: PoseSequence) -> Iterator[NDArray[np.uint8]]:
        session = self.bundle.image
        for start in range(0, len(poses), _BATCH):
            batch = poses.landmarks[start : start + _BATCH]
            try:
                pictures: Any = session.run(None, {"landmarks": batch})[0]
            except Exception as error:  # ONNX Runtime's exceptions share no public base class.
                raise DancingError(
                    f"{self.bundle.path}: the image model failed ({error})"
                ) from error
            for picture in pictures:
                yield resize(picture, *self.size)
