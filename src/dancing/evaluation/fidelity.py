"""Whether the pose that was asked for is found again in a drawn frame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.evaluation.clips import ratio_estimate
from dancing.evaluation.frames import Window
from dancing.evaluation.table import Estimate
from dancing.listener import Listener
from dancing.metrics import BODY_JOINTS, pck, pose_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.landmarker import Landmarker

    Picture = NDArray[np.uint8]
    Floats = NDArray[np.float64]


@dataclass
class Asked:
    """The poses (33, 2) in the window that one clip's frames were drawn from, and what is seen."""

    landmarks: list[Floats] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    def add(self, clip: Clip, time: int, window: Window) -> None:
        """The pose of one more frame."""
        points = window.points(clip.landmarks[time])
        seen = np.all((points >= 0) & (points <= 1), axis=1)
        if clip.visibility is not None:
            seen &= clip.visibility[time] >= 0.5
        self.landmarks.append(points)
        self.seen.append(seen)


class PoseSums(NamedTuple):
    """Of the joints asked for in a clip's frames: how many, how many in place, how many found
    anywhere, and the sum of the errors of those."""

    asked: float
    right: float
    found: float
    errors: float


def opened_estimator(stack: ExitStack, listener: Listener) -> Landmarker | None:
    """The pose estimator, open within the stack; the listener is told where there is none."""
    from dancing.data.landmarker import Landmarker

    try:
        return stack.enter_context(Landmarker(people=1, video=False))
    except DancingError as error:
        listener.note(f"pose fidelity is left out: {error}")
        return None


def look(landmarker: Landmarker, picture: Picture) -> Floats:
    """The pose (33, 2) that is found in a picture, NaN where nobody is."""
    people = landmarker(picture)
    if not people:
        return np.full((33, 2), np.nan)
    return people[0].points[:, :2].astype(np.float64)


def pose_sums(looked: Sequence[Floats], asked: Asked, window: Window) -> PoseSums:
    """Of what was found in the frames of a clip."""
    joints = list(BODY_JOINTS)
    seen, found = np.array(asked.seen), np.array(looked)
    count = int(seen[:, joints].sum())
    if not count:
        return PoseSums(0, 0, 0, 0)
    options: dict[str, Any] = {
        "visibility": seen.astype(np.float64),
        "aspect": window.size[0] / window.size[1],
        "joints": joints,
    }
    right = count * pck(found, np.array(asked.landmarks), 0.1, **options)
    there = int((seen & np.isfinite(found).all(2))[:, joints].sum())
    if not there:
        return PoseSums(count, right, 0, 0)
    error = pose_error(found, np.array(asked.landmarks), **options)
    return PoseSums(count, right, there, there * error)


def pose_estimates(sums: Sequence[PoseSums], groups: Sequence[str]) -> dict[str, Estimate | None]:
    """PCK and the mean error of the joints that were found, given the sums of clips."""
    asked, right, found, errors = zip(*sums, strict=True)
    return {
        "pck": ratio_estimate(right, asked, groups),
        "pose_error": ratio_estimate(errors, found, groups),
    }
