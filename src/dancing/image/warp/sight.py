"""Who is to dance, as seen in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.media.video import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.landmarker import Person

    Picture = NDArray[np.uint8]

_TALLEST = 1600  # pixels of a person that are kept


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture, and who is to dance in it.

    Attributes:
        path: the file that it is from.
        picture: (H, W, 3), over a backdrop where it was transparent.
        alpha: (H, W) where the file has its own; else None.
        matte: (H, W), coarse.
        points: (33, 6) with x, y in pixels.
        resolution: pixels of the file to one of the picture, at least 1.
        scene: (H, W, 3) without the person, where that was seen; else None.
        head: whether only the head is to be drawn from it.
    """

    path: Path
    picture: Picture
    alpha: Picture | None
    matte: Picture
    points: NDArray[np.float32]
    resolution: float
    scene: Picture | None = None
    head: bool = False

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.matte.shape
        return width, height

    @classmethod
    def of(
        cls,
        path: Path,
        picture: Picture,
        person: Person,
        alpha: Picture | None = None,
        scene: Picture | None = None,
    ) -> Sight:
        """Of a person in a picture, which is made smaller where the person is very tall."""
        height, width = picture.shape[:2]
        resolution = max(1.0, tall(person.matte) / _TALLEST)
        size = (round(width / resolution), round(height / resolution))
        return cls(
            path,
            np.ascontiguousarray(resize(picture, *size)),
            None if alpha is None else resize(alpha, *size),
            resize(person.matte, *size),
            person.points * np.array([*size, 1, 1, 1, 1], np.float32),
            resolution,
            None if scene is None else resize(scene, *size),
        )


def tall(matte: Picture) -> int:
    """Pixels that a person is high, as a matte (H, W) has it."""
    rows = np.flatnonzero((matte >= 128).any(1))
    return int(np.ptp(rows)) + 1 if len(rows) else 0
