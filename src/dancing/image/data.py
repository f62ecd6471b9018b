"""What the training data of all image models share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt

from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.image.scene import uncovered

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SCENE_FRAMES = 240
_MARGIN_STEP = 7


def usable(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with frames.

    Raises:
        DancingError: when there are none.
    """
    found = [clip for clip in clips if clip.n_pictures]
    if not found:
        raise DancingError("no clip has pictures; training the image model needs them")
    return found


def person_margin(clips: Sequence[Clip], spare: int) -> list[int]:
    """How far hair, hands and shoes reach beyond the landmarks: left, top, right, bottom, pixels.

    Args:
        clips: clips with pictures and mattes.
        spare: pixels beyond what nearly all mattes show.
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
    margin = np.percentile(beyond, 99, axis=0).clip(0, 0.15 * height) + spare
    return [int(side) for side in np.ceil(margin)]


def empty_scene(clips: Sequence[Clip], matte_margin: int) -> NDArray[np.uint8]:
    """The scene without the dancer or her shadow, from what lies outside the matte over time.

    A pixel is the median of what is about as bright as it gets, for a shadow only darkens. Pixels
    that the dancer always covers take the colour of the nearest seen one.

    Args:
        clips: clips with pictures and mattes, all of one size, before one steady camera.
        matte_margin: pixels around the matte that may be the dancer too.

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
            matte = clip.matte[t] >= 32
            # No iterations would be as many as change anything.
            covered.append(
                binary_dilation(matte, iterations=matte_margin) if matte_margin else matte
            )
        first += clip.n_pictures
    plate, hidden = uncovered(pictures, covered)
    if hidden.all():
        raise DancingError("the dancer covers the whole picture, no background is to be seen")
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return plate[tuple(nearest)]


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


def all_landmarks(clips: Sequence[Clip]) -> NDArray[np.float32]:
    return np.concatenate([clip.landmarks[: clip.n_pictures] for clip in clips])


def frames_of(clip: Clip, matte: bool = False) -> Iterator[NDArray[np.uint8]]:
    stored = clip.matte if matte else clip.frames
    assert stored is not None
    return (stored[t] for t in range(clip.n_pictures))


def channels_first(pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(pictures, -1, -3).copy())


def cached(
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
    digest = hashlib.sha256(key.encode() + all_landmarks(clips).tobytes()).hexdigest()[:16]
    path = folder / f"pictures-{digest}.npy"
    if not path.is_file():
        # On several GPUs several processes come here at once.
        with write_then_rename(path) as partial:
            shape = (int(starts[-1]),)
            store = np.lib.format.open_memmap(partial, "w+", dtype=np.uint8, shape=shape)
            for start, picture in zip(starts[:-1], pictures, strict=True):
                store[start : start + picture.size] = picture
            store.flush()
            del store  # what is open cannot be renamed on every system
    return np.load(path, mmap_mode="r")
