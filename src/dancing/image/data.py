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
from scipy.ndimage import binary_dilation, distance_transform_edt
from torch.utils.data import Dataset as TorchDataset

from dancing.compositing import SHADE_STRIDE, centred, crop_sizes, person_boxes
from dancing.dataset import Clip
from dancing.errors import DancingError
from dancing.video import cut, cut_crop, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCENE_FRAMES = 240
_MATTE_MARGIN = 6
_MARGIN_STEP = 7
_SPARE = 4
_SAME_LIGHT = 10.0
_SHOWN = 64


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
        starts = np.arange(len(self._landmarks) + 1) * size * size * 3
        flat = (picture.ravel() for picture in scaled)
        stored = _cached(flat, starts, cache, clips, [list(view), size])
        self._pictures = stored.reshape(-1, size, size, 3)

    def __len__(self) -> int:
        return len(self._landmarks)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "landmarks": torch.from_numpy(self._landmarks[index]),
            "picture": _channels_first(self._pictures[index]),
        }


class Crops(TorchDataset[dict[str, Any]]):
    """Batches of pictures, each cut to a crop around the dancer; an item is a whole batch.

    The crops of a batch are of one size, the smallest of multiples of 32 that holds the dancer
    and her margin, at a random even place around her. Items: see `dancing.image.limbs.Training`.

    Attributes:
        landmarks: (n_pictures, 33, 2) float32 in pixels of the picture.
        weights: (n_pictures,) how much more often than others a picture is drawn, 1 at first; kept
            between 0.3 and 3.
        paired: whether batches consist of pairs of consecutive pictures, cut alike.

    Args:
        clips: clips of open datasets, with pictures and mattes.
        plate: the empty scene, (H', W', 3) uint8; see `empty_scene`.
        margin: see `person_margin`.
        cache: folder for the cut pictures; see `_cached`.
        batch_size: pictures a batch, drawn at random; 0 for some of the pictures, one by one, in
            order and cut in the middle, to validate on.
    """

    batched = True

    def __init__(
        self,
        clips: Sequence[Clip],
        plate: NDArray[np.uint8],
        margin: Sequence[int],
        cache: Path,
        batch_size: int,
    ) -> None:
        height, width = plate.shape[:2]
        size = np.array([width, height], np.float32)
        points = _landmarks(clips) * size
        self.paired = False
        self.landmarks = points.astype(np.float32)
        self._plate = plate
        self._batch_size = batch_size
        self._boxes = person_boxes(points, margin)
        self._crops = crop_sizes(self._boxes)
        self._follows = np.concatenate(
            [np.arange(clip.n_pictures) < clip.n_pictures - 1 for clip in clips]
        )
        self.weights = np.ones(len(points))
        # What is kept of each picture: the box, and all that a crop around it may reach.
        self._kept = np.stack([self._boxes[:, 1] - self._crops, self._boxes[:, 0] + self._crops], 1)
        if not batch_size:
            self._shown = np.linspace(0, len(points) - 1, min(len(points), _SHOWN)).astype(int)

        def pictures() -> Iterator[NDArray[np.uint8]]:
            corners = iter(self._kept)
            for clip in clips:
                for frame, matte in zip(_frames(clip), _frames(clip, matte=True), strict=True):
                    low, high = next(corners)
                    yield cut_crop(np.dstack([frame, matte]), low, tuple(high - low)).ravel()

        areas = (self._kept[:, 1] - self._kept[:, 0]).prod(1) * 4
        self._starts = np.concatenate([[0], np.cumsum(areas)])
        settings = [list(map(int, margin)), "even"]
        self._pictures = _cached(pictures(), self._starts, cache, clips, settings)
        self._small_plate = _small(plate)
        self._small = _cached(
            (
                np.dstack([_small(frame), _small(matte)]).ravel()
                for clip in clips
                for frame, matte in zip(_frames(clip), _frames(clip, matte=True), strict=True)
            ),
            np.arange(len(points) + 1) * self._small_plate[..., 0].size * 4,
            cache,
            clips,
            ["small"],
        )

    @property
    def n_pictures(self) -> int:
        """Number of pictures in all."""
        return len(self.landmarks)

    def __len__(self) -> int:
        if not self._batch_size:
            return len(self._shown)
        return max(1, self.n_pictures // self._batch_size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not self._batch_size:
            t = self._shown[index]
            corners = centred(self._boxes[t : t + 1], self._crops[t])
            return self._batch([t], corners, self._crops[t])
        weights = self.weights.clip(0.3, 3)
        if self.paired:
            weights *= self._follows
        count = self._batch_size // 2 if self.paired else self._batch_size
        crop = self._crops[_drawn(weights, 1)[0]]
        chosen = _drawn(weights * (self._crops == crop).all(1), count)
        room = self._boxes[chosen, 0] + crop - self._boxes[chosen, 1]
        corners = (
            self._boxes[chosen, 1]
            - crop
            + (torch.rand(count, 2).numpy() * (room // 2 + 1)).astype(int) * 2
        )
        if self.paired:
            chosen = np.stack([chosen, chosen + 1], 1).ravel()
            corners = corners.repeat(2, axis=0)
        return self._batch(chosen, corners, crop)

    def _batch(
        self,
        chosen: Sequence[int] | NDArray[np.int64],
        corners: NDArray[np.int64],
        crop: NDArray[np.int64],
    ) -> dict[str, Any]:
        width, height = (int(side) for side in crop)
        corners = np.broadcast_to(corners, (len(chosen), 2))
        pictures, plates = [], []
        for t, corner in zip(chosen, corners, strict=True):
            low, high = self._kept[t]
            stored = self._pictures[self._starts[t] : self._starts[t + 1]]
            stored = stored.reshape(high[1] - low[1], high[0] - low[0], 4)
            pictures.append(cut_crop(stored, corner - low, (width, height)))
            plates.append(cut_crop(self._plate, corner, (width, height)))
        rows, columns = self._small_plate.shape[:2]
        small = self._small.reshape(-1, rows, columns, 4)[list(chosen)]
        picture = _channels_first(np.stack(pictures))
        return {
            "paired": self.paired,
            "chosen": torch.from_numpy(np.asarray(chosen)),
            "landmarks": torch.from_numpy(self.landmarks[list(chosen)]),
            "corners": torch.from_numpy(corners.astype(np.float32)),
            "picture": picture[:, :3],
            "matte": picture[:, 3:],
            "plate": _channels_first(np.stack(plates)),
            "small": _channels_first(small),
            "small_plate": _channels_first(self._small_plate[None]),
        }


def _drawn(weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices drawn at random, as often as the weights say."""
    sums = weights.cumsum()
    return np.searchsorted(sums, torch.rand(count, dtype=torch.float64).numpy() * sums[-1], "right")


def person_margin(clips: Sequence[Clip]) -> list[int]:
    """How far hair, hands and shoes reach beyond the landmarks: left, top, right, bottom, pixels.

    Args:
        clips: clips with pictures and mattes.
    """
    beyond = []
    for clip in clips:
        assert clip.matte is not None
        height, width = clip.matte.shape[1:3]
        for t in range(0, clip.n_pictures, _MARGIN_STEP):
            rows, columns = np.nonzero(clip.matte[t] >= 128)
            if len(rows):
                low, high = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
                points = clip.landmarks[t] * [width, height]
                beyond.append(np.concatenate([points.min(0) - low, high - points.max(0)]))
    if not beyond:
        raise DancingError("the mattes of these clips show nobody")
    # Not the largest: a matte that takes the background for the person must not count.
    margin = np.percentile(beyond, 99, axis=0).clip(0, 0.15 * height) + _SPARE
    return [int(side) for side in np.ceil(margin)]


def empty_scene(clips: Sequence[Clip]) -> NDArray[np.uint8]:
    """The scene without the dancer or her shadow, from what lies outside the matte over time.

    A pixel is the median of what is about as bright as it gets, for a shadow only darkens. Pixels
    that the dancer always covers take the colour of the nearest seen one.

    Args:
        clips: clips with pictures and mattes, all of one size, before one steady camera.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DancingError: when the dancer covers the whole picture throughout.
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
    hidden = mask.all(0)
    if hidden.all():
        raise DancingError("the dancer covers the whole picture, no background is to be seen")
    plate = np.zeros(stack.shape[1:], np.float32)
    for row in range(stack.shape[1]):
        colours = np.moveaxis(stack[:, row], 0, -1).astype(np.float32)  # (W, 3, frames)
        light = np.where(mask[:, row].T, np.nan, colours.mean(1))
        lit = np.abs(light - _quantile(light, 0.95)[:, None]) <= _SAME_LIGHT
        plate[row] = _quantile(np.where(lit[:, None], colours, np.nan), 0.5)
    # Noise may leave no value that near.
    hidden |= np.isnan(plate).any(-1)
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return plate[tuple(nearest)].round().astype(np.uint8)


def _quantile(values: NDArray[np.float32], q: float) -> NDArray[np.float32]:
    """np.nanquantile over the last axis, many times as fast; NaN where there is no value."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    at = q * np.maximum(np.isfinite(values).sum(-1, keepdims=True) - 1, 0)
    low, high = (
        np.take_along_axis(ordered, end(at).astype(int), -1) for end in (np.floor, np.ceil)
    )
    mixed: NDArray[np.float32] = (low + (high - low) * (at % 1).astype(np.float32))[..., 0]
    return mixed


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


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An eighth of the size, what lies beyond a multiple of it dropped."""
    height, width = (side // SHADE_STRIDE for side in picture.shape[:2])
    return resize(picture[: height * SHADE_STRIDE, : width * SHADE_STRIDE], width, height)


def _channels_first(pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(pictures, -1, -3).copy())


def _cached(
    pictures: Iterator[NDArray[np.uint8]],
    starts: NDArray[np.int64],
    folder: Path,
    clips: Sequence[Clip],
    settings: list[Any],
) -> NDArray[np.uint8]:
    """Pictures one after the other in a memory-mapped file, made once.

    Args:
        pictures: flattened.
        starts: where in the file each begins, and the end.
        settings: what else than the clips decides about the content.
    """
    # Whatever changes the pictures changes the name, so a stale cache is never read.
    key = json.dumps([[[clip.source, clip.name, len(clip)] for clip in clips], settings])
    digest = hashlib.sha256(key.encode() + _landmarks(clips).tobytes()).hexdigest()[:16]
    path = folder / f"pictures-{digest}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # On several GPUs several processes come here at once.
        partial = path.with_name(f".{path.stem}-{os.getpid()}.partial")
        store = np.lib.format.open_memmap(partial, "w+", dtype=np.uint8, shape=(int(starts[-1]),))
        for start, picture in zip(starts[:-1], pictures, strict=True):
            store[start : start + picture.size] = picture
        store.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")
