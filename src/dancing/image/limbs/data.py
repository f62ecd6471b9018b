"""Training data of `limbs`: batches of crops around the dancer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from dancing.body.kinematics import fit_focal, locate
from dancing.body.skeleton import N_LANDMARKS
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.image.compositing import (
    SHADE_STRIDE,
    centred,
    crop_sizes,
    person_boxes,
)
from dancing.image.data import (
    all_landmarks,
    cached,
    channels_first,
    empty_scene,
    frames_of,
    person_margin,
    picture_size,
)
from dancing.image.limbs.config import Config
from dancing.media.video import cut_crop, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SHOWN = 64


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
        cache: folder for the cut pictures; see `cached`.
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
        config: Config,
        *,
        batch_size: int,
    ) -> None:
        height, width = plate.shape[:2]
        size = np.array([width, height], np.float32)
        points = all_landmarks(clips) * size
        self.paired = False
        self._difficulties = config.least_difficulty, config.most_difficulty
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
                for frame, matte in zip(frames_of(clip), frames_of(clip, matte=True), strict=True):
                    low, high = next(corners)
                    yield cut_crop(np.dstack([frame, matte]), low, tuple(high - low)).ravel()

        areas = (self._kept[:, 1] - self._kept[:, 0]).prod(1) * 4
        self._starts = np.concatenate([[0], np.cumsum(areas)])
        settings = [list(map(int, margin)), "even"]
        self._pictures = cached(pictures(), self._starts, cache, clips, settings)
        self._small_plate = _shrunk(plate)
        self._small = cached(
            (
                np.dstack([_shrunk(frame), _shrunk(matte)]).ravel()
                for clip in clips
                for frame, matte in zip(frames_of(clip), frames_of(clip, matte=True), strict=True)
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
        weights = self.weights.clip(*self._difficulties)
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
        picture = channels_first(np.stack(pictures))
        return {
            "paired": self.paired,
            "chosen": torch.from_numpy(np.asarray(chosen)),
            "landmarks": torch.from_numpy(self.landmarks[list(chosen)]),
            "corners": torch.from_numpy(corners.astype(np.float32)),
            "picture": picture[:, :3],
            "matte": picture[:, 3:],
            "plate": channels_first(np.stack(plates)),
            "small": channels_first(small),
            "small_plate": channels_first(self._small_plate[None]),
        }


def _drawn(weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices drawn at random, as often as the weights say."""
    sums = weights.cumsum()
    return np.searchsorted(sums, torch.rand(count, dtype=torch.float64).numpy() * sums[-1], "right")


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An eighth of the size, what lies beyond a multiple of it dropped."""
    height, width = (side // SHADE_STRIDE for side in picture.shape[:2])
    return resize(picture[: height * SHADE_STRIDE, : width * SHADE_STRIDE], width, height)


def data(
    config: Config,
    kept: Sequence[Clip],
    held_out: Sequence[Clip],
    *,
    cache: Path,
    batch_size: int,
    **_: Any,
) -> tuple[Crops, Crops | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    width, height = picture_size([*kept, *held_out])
    if width % 2 or height % 2:
        raise DancingError(f"pictures of {width}x{height} make no video, both must be even")
    for clip in (*kept, *held_out):
        if clip.matte is None:
            raise DancingError(f"clip '{clip.name}' has no matte; 'dancing prepare' makes them")
    plate = empty_scene(kept, config.scene_matte_pixels)
    margin = person_margin(kept, config.crop_margin_pixels)
    train = Crops(kept, plate, margin, cache, config, batch_size=batch_size)
    facts = {
        "size": [width, height],
        "plate": torch.from_numpy(plate),
        "margin": margin,
        "poses": torch.from_numpy(train.landmarks[:: _step(train.n_pictures, config)]),
        **_rooms(kept, height, config),
    }
    if not held_out:
        return train, None, facts
    return train, Crops(held_out, plate, margin, cache, config, batch_size=0), facts


def _step(count: int, config: Config) -> int:
    """From one kept pose to the next, of so many."""
    return max(1, count // config.kept_poses)


def _rooms(clips: Sequence[Clip], height: int, config: Config) -> dict[str, Any]:
    """'room', landmarks (T, 33, 3) of those clips that have world landmarks, metres in the room of
    `dancing.kinematics`, and 'focal', the camera's focal length in pixels."""
    known = [(clip, clip.world) for clip in clips if clip.world is not None]
    if not known:
        return {"room": torch.zeros(0, N_LANDMARKS, 3), "focal": 0.0}
    focal = fit_focal([(clip.landmarks, world, clip.aspect) for clip, world in known])
    rooms = []
    for clip, world in known:
        place = locate(clip.landmarks, world, clip.aspect, focal, clip.fps)
        rooms.append((world + place[:, None]).astype(np.float32))
    room = np.concatenate(rooms)
    return {
        "room": torch.from_numpy(room[:: _step(len(room), config)]),
        "focal": focal * height,
    }
