"""The image model `dcgan` at work: whole frames, person and scene together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.image.dcgan.card import Card
from dancing.media.video import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.image.background import Background


class Runtime:
    """Draws frames with a `dcgan` model.

    Args:
        run: the network: named inputs to its outputs, here one, pictures (N, H, W, 3) uint8.
        card: what the bundle says of the model.
        file: the content of a file of the bundle, by name.

    Attributes:
        scene: None; it is drawn together with the person.
        margin: 0, nobody may reach out of the frame.
        consecutive: no, each frame is drawn by itself.
    """

    scene = None
    margin = (0, 0, 0, 0)
    consecutive = False

    def __init__(
        self,
        run: Callable[..., list[NDArray[Any]]],
        card: Card,
        file: Callable[[str], bytes],
    ) -> None:
        self._run = run

    def __call__(
        self,
        batches: Iterator[NDArray[np.float32]],
        size: tuple[int, int],
        background: Background | None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames (H, W, 3) uint8 of batches (N, 33, 2) of landmarks in [0, 1] of the frame."""
        for batch in batches:
            for picture in self._run({"landmarks": batch})[0]:
                yield resize(picture, *size)
