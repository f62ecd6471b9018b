"""Training data of `dcgan`: every frame, scaled to a square."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from dancing.data.dataset import Clip
from dancing.image.data import all_landmarks, cached, channels_first, frames_of, picture_size
from dancing.media.video import cut, resize
from dancing.training.sampler import Draw


class Pictures(TorchDataset[dict[str, torch.Tensor]]):
    """Every frame of clips: 'landmarks' (33, 2) of the pose picture, 'picture' (3, S, S) uint8.

    Args:
        clips: clips of open datasets, with pictures.
        view: (left, top, right, bottom) as fractions of the clip's picture; see `square_view`.
        size: S.
        cache: folder for the scaled pictures; see `cached`.
    """

    def __init__(
        self, clips: Sequence[Clip], view: Sequence[float], size: int, cache: Path
    ) -> None:
        self._landmarks = all_landmarks(clips)
        scaled = (
            resize(cut(frame, view), size, size) for clip in clips for frame in frames_of(clip)
        )
        starts = np.arange(len(self._landmarks) + 1) * size * size * 3
        flat = (picture.ravel() for picture in scaled)
        stored = cached(flat, starts, cache, clips, [list(view), size])
        self._pictures = stored.reshape(-1, size, size, 3)

    def __len__(self) -> int:
        return len(self._landmarks)

    def __getitem__(self, draw: Draw | int) -> dict[str, torch.Tensor]:
        index = draw.sample if isinstance(draw, Draw) else draw
        return {
            "landmarks": torch.from_numpy(self._landmarks[index]),
            "picture": channels_first(self._pictures[index]),
        }


def square_view(clips: Sequence[Clip]) -> list[float]:
    """The square part of the picture in which the dancer moves, with a margin.

    Returns:
        [left, top, right, bottom] as fractions of width and height; it reaches outside the
        picture where the dancer fills it.

    Raises:
        DancingError: when the clips' pictures are of different shapes.
    """
    width, height = picture_size(clips)
    points = np.concatenate([clip.landmarks.reshape(-1, 2) for clip in clips]) * [width, height]
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    side = float((high - low).max()) * 1.16
    centre = (low + high) / 2
    corners = np.concatenate([centre - side / 2, centre + side / 2])
    return [round(float(v), 5) for v in corners / [width, height, width, height]]
