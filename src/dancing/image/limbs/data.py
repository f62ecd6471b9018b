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
from dancing.image.limbs.sampler import Request
from dancing.media.video import cut_crop, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray


_EXAMPLES = 64


class Crops(TorchDataset[dict[str, Any]]):
    """Pictures, each cut to a crop around the dancer; an item is a whole batch, by its `Request`.

    Crops are multiples of 32 pixels wide and high. Items: see `dancing.image.limbs.training`.

    Attributes:
        landmarks: (n_pictures, 33, 2) float32 in pixels of the picture.
        boxes: (n_pictures, 2, 2) of the dancer and her margin; see `person_boxes`.
        follows: (n_pictures,) bool, whether the next picture follows on this one.

    Args:
        clips: clips of open datasets, with pictures and mattes.
        plate: the empty scene, (H', W', 3) uint8; see `empty_scene`.
        margin: see `person_margin`.
        cache: folder for the cut pictures; see `cached`.
    """

    batched = True

    def __init__(
        self,
        clips: Sequence[Clip],
        plate: NDArray[np.uint8],
        margin: Sequence[int],
        cache: Path,
    ) -> None:
        height, width = plate.shape[:2]
        size = np.array([width, height], np.float32)
        points = all_landmarks(clips) * size
        self.landmarks = points.astype(np.float32)
        self._plate = plate
        self.boxes = person_boxes(points, margin)
        self._crops = crop_sizes(self.boxes)
        self.follows = np.concatenate(
            [np.arange(clip.n_pictures) < clip.n_pictures - 1 for clip in clips]
        )
        # What is kept of each picture: the box, and all that a crop around it may reach.
        self._kept = np.stack([self.boxes[:, 1] - self._crops, self.boxes[:, 0] + self._crops], 1)

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

    def __len__(self) -> int:
        """Number of pictures in all."""
        return len(self.landmarks)

    def examples(self) -> list[Request]:
        """Some of the pictures, one by one, in order and cut in the middle, to validate on."""
        frames = np.linspace(0, len(self) - 1, min(len(self), _EXAMPLES)).astype(np.int64)
        return [
            Request(
                np.array([t]),
                centred(self.boxes[t : t + 1], self._crops[t]),
                self._crops[t],
                paired=False,
            )
            for t in frames
        ]

    def __getitem__(self, request: Request) -> dict[str, Any]:
        frames, corners, crop, paired = request
        width, height = (int(side) for side in crop)
        pictures, plates = [], []
        for t, corner in zip(frames, corners, strict=True):
            low, high = self._kept[t]
            stored = self._pictures[self._starts[t] : self._starts[t + 1]]
            stored = stored.reshape(high[1] - low[1], high[0] - low[0], 4)
            pictures.append(cut_crop(stored, corner - low, (width, height)))
            plates.append(cut_crop(self._plate, corner, (width, height)))
        rows, columns = self._small_plate.shape[:2]
        small = self._small.reshape(-1, rows, columns, 4)[frames]
        picture = channels_first(np.stack(pictures))
        return {
            "paired": paired,
            "chosen": torch.from_numpy(frames),
            "landmarks": torch.from_numpy(self.landmarks[frames]),
            "corners": torch.from_numpy(corners.astype(np.float32)),
            "picture": picture[:, :3],
            "matte": picture[:, 3:],
            "plate": channels_first(np.stack(plates)),
            "small": channels_first(small),
            "small_plate": channels_first(self._small_plate[None]),
        }


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
    train = Crops(kept, plate, margin, cache)
    facts = {
        "size": [width, height],
        "plate": torch.from_numpy(plate),
        "margin": margin,
        "poses": torch.from_numpy(train.landmarks[:: _step(len(train), config)]),
        **_rooms(kept, height, config),
    }
    if not held_out:
        return train, None, facts
    return train, Crops(held_out, plate, margin, cache), facts


def _step(count: int, config: Config) -> int:
    """From one kept pose to the next, of so many."""
    return max(1, count // config.kept_poses)


def _rooms(clips: Sequence[Clip], height: int, config: Config) -> dict[str, Any]:
    """'room', landmarks (T, 33, 3) of those clips that have world landmarks, metres in the room of
    `dancing.body.kinematics`, and 'focal', the camera's focal length in pixels."""
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
