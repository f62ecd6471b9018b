"""See people in frames, with MediaPipe's pose landmarker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.data.pose_model import import_mediapipe, model_path

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Tracking one person in a video, MediaPipe smooths the landmarks as for a live camera, which makes
# them late by most of a frame and doubles their error. The filter goes by the time between frames
# (tracking does not), so that frames said to be a day apart come out as they were seen.
_FRAME_MS = 24 * 3600 * 1000


@dataclass(frozen=True, eq=False)
class Person:
    """One person seen in one picture.

    Attributes:
        points: (33, 6) float32: x, y in [0, 1] of the picture, visibility in [0, 1], and the
            world landmark's x, y, z in metres, hip-centred.
        matte: (H, W) uint8 of the picture's size, 255 where the person is.
    """

    points: NDArray[np.float32]
    matte: NDArray[np.uint8]


class Landmarker:
    """See people in pictures. Use as a context manager.

    Args:
        people: the most to look for in one picture.
        video: pictures follow each other in time, so that people are tracked, which is faster;
            False takes every picture for itself.

    Raises:
        DancingError: when MediaPipe is not installed or its model cannot be found.
    """

    def __init__(self, people: int, video: bool) -> None:
        self._mediapipe = import_mediapipe()
        from mediapipe.tasks import python as tasks

        vision = tasks.vision
        options = vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model_path())),
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
            num_poses=people,
            output_segmentation_masks=True,
        )
        self._video = video
        self._count = 0
        with _quiet_stderr():
            self._landmarker = vision.PoseLandmarker.create_from_options(options)

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *_: object) -> None:
        with _quiet_stderr():
            self._landmarker.close()

    def __call__(self, picture: NDArray[np.uint8]) -> list[Person]:
        """The people in a picture (H, W, 3) uint8 RGB."""
        self._count += 1
        with _quiet_stderr() if self._count == 1 else nullcontext():
            return self._look(picture)

    def _look(self, picture: NDArray[np.uint8]) -> list[Person]:
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
        )
        if self._video:
            result = self._landmarker.detect_for_video(image, self._count * _FRAME_MS)
        else:
            result = self._landmarker.detect(image)
        people = zip(
            result.pose_landmarks,
            result.pose_world_landmarks,
            result.segmentation_masks or [],
            strict=True,
        )
        return [
            Person(
                np.array(
                    [
                        (p.x, p.y, p.visibility, w.x, w.y, w.z)
                        for p, w in zip(landmarks, world, strict=True)
                    ],
                    np.float32,
                ),
                _matte(mask),
            )
            for landmarks, world, mask in people
        ]


def _matte(mask: Any) -> NDArray[np.uint8]:
    share = mask.numpy_view()
    return (share.reshape(share.shape[:2]) * 255 + 0.5).astype(np.uint8)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr: MediaPipe greets with a dozen lines of log."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
