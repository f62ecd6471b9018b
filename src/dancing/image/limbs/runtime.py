"""The image model `limbs` at work: a person in a crop that moves along, laid over any scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.image.background import Background
from dancing.image.compositing import crops, darken, lay_over, scaled, within
from dancing.image.limbs.card import Card
from dancing.media.picture import read_png
from dancing.media.video import ahead

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLATE = "plate.png"


class Runtime:
    """Draws a person with a `limbs` model.

    Args:
        run: the network: named inputs, and the outputs' width and height, to its outputs, layers
            and shade; see docs/data.md.
        card: what the bundle says of the model.
        file: the content of a file of the bundle, by name.

    Attributes:
        scene: what the dancer was filmed in front of.
        margin: left, top, right, bottom, pixels by which the person may reach out of the frame.
        consecutive: no, each frame is drawn by itself.

    Raises:
        ValueError: when the background plate is no PNG of the card's size.
    """

    consecutive = False

    def __init__(
        self,
        run: Callable[..., list[NDArray[Any]]],
        card: Card,
        file: Callable[[str], bytes],
    ) -> None:
        self._run = run
        self._size = card.size
        self.margin = card.margin
        self.scene = Background(read_png(PLATE, file(PLATE), card.size)[..., :3])

    def __call__(
        self,
        batches: Iterator[NDArray[np.float32]],
        size: tuple[int, int],
        background: Background | None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames (H, W, 3 or 4) uint8 of batches (N, 33, 2) of landmarks in [0, 1] of the frame.

        Args:
            size: (width, height) of the frames.
            background: what is behind the person; default: `scene`.
        """
        scene = background or self.scene

        def drawn() -> Iterator[tuple[NDArray[np.int64], list[NDArray[Any]]]]:
            for batch in batches:
                points = batch * np.array(self._size, np.float32)
                crop, corners = crops(points, self.margin, self._size)
                inputs = {
                    "landmarks": points,
                    "corners": corners.astype(np.float32),
                    "crop": np.array(crop, np.int64),
                }
                yield corners, self._run(inputs, width=crop[0], height=crop[1])

        frames = scene.frames(*size)
        # One batch is drawn while the one before is encoded: not all of that keeps all cores busy.
        for corners, layers in ahead(drawn(), 1):
            for person, shade, corner in zip(*layers, corners, strict=True):
                frame = next(frames).copy()
                if scene.shaded:
                    darken(frame, shade, self._size)
                seen, place = within(person, corner, self._size)
                if size != self._size:
                    seen, place = scaled(seen, place, self._size, size)
                lay_over(frame, seen, place)
                yield frame
