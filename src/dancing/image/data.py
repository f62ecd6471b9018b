"""Training data of stage 2: square pictures of the dancer with their landmarks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from dancing.dataset import Clip
from dancing.errors import DancingError
from dancing.video import cut, resize

_MIN_EPOCH = 4096


class Pictures(TorchDataset[dict[str, torch.Tensor]]):
    """Every frame of clips: 'landmarks' (33, 2) of the pose picture, 'picture' (3, S, S) uint8.

    The pictures are cut to the view and scaled once, into a memory-mapped file in `cache`, which
    a resumed run finds again.

    Args:
        clips: clips of open datasets, with pictures.
        view: (left, top, right, bottom) as fractions of the clip's picture; see `square_view`.
        size: S.
        repeat: repeat a small set, so that an epoch is not too short.
    """

    def __init__(
        self, clips: Sequence[Clip], view: Sequence[float], size: int, cache: Path, *, repeat: bool
    ) -> None:
        counts = [clip.n_pictures for clip in clips]
        total = sum(counts)
        self._landmarks = np.concatenate(
            [clip.landmarks[:count] for clip, count in zip(clips, counts, strict=True)]
        )
        # Whatever changes the pictures changes the name, so a stale cache is never read.
        key = json.dumps(
            [[clip.source, clip.name, len(clip)] for clip in clips] + [list(view), size]
        )
        digest = hashlib.sha256(key.encode() + self._landmarks.tobytes()).hexdigest()[:16]
        path = cache / f"pictures-{digest}.npy"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            store = np.lib.format.open_memmap(
                partial, "w+", dtype=np.uint8, shape=(total, size, size, 3)
            )
            index = 0
            for clip, count in zip(clips, counts, strict=True):
                assert clip.frames is not None
                for t in range(count):
                    store[index] = resize(cut(clip.frames[t], view), size, size)
                    index += 1
            store.flush()
            partial.rename(path)
        self._pictures = np.load(path, mmap_mode="r")
        self._repeats = -(-_MIN_EPOCH // total) if repeat else 1

    def __len__(self) -> int:
        return len(self._landmarks) * self._repeats

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        index %= len(self._landmarks)
        picture = torch.from_numpy(np.array(self._pictures[index]))
        return {
            "landmarks": torch.from_numpy(self._landmarks[index]),
            "picture": picture.permute(2, 0, 1),
        }


def square_view(clips: Sequence[Clip]) -> list[float]:
    """The square part of the picture in which the dancer moves, with a margin.

    Returns:
        [left, top, right, bottom] as fractions of width and height; it reaches outside the
        picture where the dancer fills it.

    Raises:
        DancingError: when the clips' pictures are of different shapes.
    """
    shapes = {clip.frames.shape[1:3] for clip in clips if clip.frames is not None}
    if len(shapes) != 1:
        raise DancingError(f"the clips' pictures are of different sizes: {sorted(shapes)}")
    height, width = shapes.pop()
    points = np.concatenate([clip.landmarks.reshape(-1, 2) for clip in clips]) * [width, height]
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    side = float((high - low).max()) * 1.16
    centre = (low + high) / 2
    corners = np.concatenate([centre - side / 2, centre + side / 2])
    return [round(float(v), 5) for v in corners / [width, height, width, height]]
