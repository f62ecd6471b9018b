"""Training data of stage 2: pictures of the dancer with their landmarks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch.utils.data import Dataset as TorchDataset

from dancing.dancer import crop_corners
from dancing.dataset import Clip
from dancing.errors import DancingError
from dancing.video import cut, cut_crop, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCENE_FRAMES = 60
_MATTE_MARGIN = 6


class Pictures(TorchDataset[dict[str, torch.Tensor]]):
    """Every frame of clips: 'landmarks' (33, 2) of the pose picture, 'picture' (3, S, S) uint8.

    Args:
        clips: clips of open datasets, with pictures.
        view: (left, top, right, bottom) as fractions of the clip's picture; see `square_view`.
        size: S.
        cache: folder for the scaled pictures; see `_cached`.
    """

    def __init__(
        self, clips: Sequence[Clip], view: Sequence[float], size: int, cache: Path
    ) -> None:
        self._landmarks = _landmarks(clips)
        scaled = (resize(cut(frame, view), size, size) for clip in clips for frame in _frames(clip))
        shape = (len(self._landmarks), size, size, 3)
        self._pictures = _cached(scaled, shape, cache, clips, [list(view), size])

    def __len__(self) -> int:
        return len(self._landmarks)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "landmarks": torch.from_numpy(self._landmarks[index]),
            "picture": _channels_first(self._pictures[index]),
        }


class Crops(TorchDataset[dict[str, torch.Tensor]]):
    """Every frame of clips, cut to a crop that moves with the dancer.

    Items: 'landmarks' (33, 2) in pixels of the crop, 'picture' and 'plate' (3, H, W) uint8,
    'matte' (1, H, W) uint8.

    Args:
        clips: clips of open datasets, with pictures and mattes.
        plate: the empty scene, (H', W', 3) uint8; see `empty_scene`.
        crop: (width, height) in pixels.
        cache: folder for the cut pictures; see `_cached`.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        plate: NDArray[np.uint8],
        crop: tuple[int, int],
        cache: Path,
    ) -> None:
        height, width = plate.shape[:2]
        points = _landmarks(clips) * np.array([width, height], np.float32)
        self._corners = crop_corners(points, crop)
        self._landmarks = (points - self._corners[:, None]).astype(np.float32)
        self._plate, self._crop = plate, crop
        corners = iter(self._corners)

        def crops() -> Iterator[NDArray[np.uint8]]:
            for clip in clips:
                for frame, matte in zip(_frames(clip), _frames(clip, matte=True), strict=True):
                    yield cut_crop(np.dstack([frame, matte]), next(corners), crop)

        shape = (len(points), crop[1], crop[0], 4)
        self._pictures = _cached(crops(), shape, cache, clips, [list(crop)])

    def __len__(self) -> int:
        return len(self._landmarks)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        picture = self._pictures[index]
        return {
            "landmarks": torch.from_numpy(self._landmarks[index]),
            "picture": _channels_first(picture[..., :3]),
            "matte": _channels_first(picture[..., 3:]),
            "plate": _channels_first(cut_crop(self._plate, self._corners[index], self._crop)),
        }


def empty_scene(clips: Sequence[Clip]) -> NDArray[np.uint8]:
    """The scene without the dancer: the median over time of what lies outside the matte.

    Pixels that the dancer always covers take the median of the pictures there.

    Args:
        clips: clips with pictures and mattes, all of one size, before one steady camera.

    Returns:
        (H, W, 3) uint8.

    """
    chosen = np.linspace(0, sum(clip.n_pictures for clip in clips) - 1, _SCENE_FRAMES).astype(int)
    pictures, covered = [], []
    first = 0
    for clip in clips:
        for t in chosen[(chosen >= first) & (chosen < first + clip.n_pictures)] - first:
            assert clip.frames is not None and clip.matte is not None
            pictures.append(clip.frames[t])
            covered.append(binary_dilation(clip.matte[t] >= 32, iterations=_MATTE_MARGIN))
        first += clip.n_pictures
    stack, mask = np.stack(pictures), np.stack(covered)
    plate = np.median(stack, axis=0)
    for row in range(stack.shape[1]):
        seen = np.ma.masked_array(stack[:, row], np.repeat(mask[:, row, :, None], 3, -1))
        plate[row] = np.ma.median(seen, axis=0).filled(plate[row])
    return plate.astype(np.uint8)


def picture_size(clips: Sequence[Clip]) -> tuple[int, int]:
    """(width, height) of the clips' pictures.

    Raises:
        DancingError: when they differ.
    """
    shapes = {clip.frames.shape[1:3] for clip in clips if clip.frames is not None}
    if len(shapes) != 1:
        raise DancingError(f"the clips' pictures are of different sizes: {sorted(shapes)}")
    height, width = shapes.pop()
    return width, height


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


def _landmarks(clips: Sequence[Clip]) -> NDArray[np.float32]:
    return np.concatenate([clip.landmarks[: clip.n_pictures] for clip in clips])


def _frames(clip: Clip, matte: bool = False) -> Iterator[NDArray[np.uint8]]:
    stored = clip.matte if matte else clip.frames
    assert stored is not None
    return (stored[t] for t in range(clip.n_pictures))


def _channels_first(picture: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _cached(
    pictures: Iterator[NDArray[np.uint8]],
    shape: tuple[int, ...],
    folder: Path,
    clips: Sequence[Clip],
    settings: list[Any],
) -> NDArray[np.uint8]:
    """Pictures in a memory-mapped file, made once; a resumed run finds it again."""
    # Whatever changes the pictures changes the name, so a stale cache is never read.
    key = json.dumps([[[clip.source, clip.name, len(clip)] for clip in clips], settings])
    digest = hashlib.sha256(key.encode() + _landmarks(clips).tobytes()).hexdigest()[:16]
    path = folder / f"pictures-{digest}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # On several GPUs several processes come here at once.
        partial = path.with_name(f".{path.stem}-{os.getpid()}.partial")
        store = np.lib.format.open_memmap(partial, "w+", dtype=np.uint8, shape=shape)
        for index, picture in enumerate(pictures):
            store[index] = picture
        store.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")
