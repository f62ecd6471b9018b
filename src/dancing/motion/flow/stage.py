"""From the room to the dancer's place in the frame, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dancing.body import kinematics
from dancing.body.poses import Placement, PoseSequence
from dancing.body.skeleton import HIPS, N_LANDMARKS
from dancing.errors import DancingError
from dancing.media import FPS
from dancing.rows import Rows, stretches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def kept_exactly(poses: PoseSequence, given: PoseSequence) -> PoseSequence:
    """Poses with what is given, where its visibility is 0.5 or more, in place of their own.

    Args:
        poses: with world landmarks.
        given: from the same beginning, of any length, at the same rate, with world landmarks.
    """
    frames = min(len(given), len(poses))
    known = _given(given)[:frames]
    assert given.world is not None and poses.world is not None
    landmarks, world = poses.landmarks.copy(), poses.world.copy()
    landmarks[:frames][known] = given.landmarks[:frames][known]
    world[:frames][known] = given.world[:frames][known]
    return replace(poses, landmarks=landmarks, world=world)


@dataclass(frozen=True)
class Held:
    """What of a dance is given.

    Attributes:
        channels: (T, CHANNELS) packed poses at 30 frames a second, from the song's beginning.
        known: (T, CHANNELS) which of them are given.
    """

    channels: Floats
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Room:
    """A dance in the room, of which any stretch can be made.

    Attributes:
        frames: how many it has, 30 a second.
        points: of a slice of them, (n, 33, 3) metres.
    """

    frames: int
    points: Callable[[slice], Floats]


class Stage:
    """Between the room and the dancer's place in the frame.

    Args:
        focal: the camera's focal length in frame heights.
        home: (3,) metres, where the mid-hip is at home.
        torso: length in metres.
        place: where the dancer stands in the frame; see `Choreographer`.
    """

    def __init__(self, focal: float, home: Floats, torso: float, place: Placement) -> None:
        self._focal, self._home = focal, home
        self._place = place
        self._middle = kinematics.project(home[None], focal, 1.0)[0]
        # The torso's length in the frame, seen at home.
        self._torso = focal * torso / home[2]

    def seen(self, room: Room, world: Rows) -> NDArray[np.float32]:
        """Landmarks (T, 33, 2) in [0, 1] of the picture of a dance.

        The path is moved where it would leave the picture.

        Args:
            world: here go the world landmarks, (33, 3) metres.
        """
        landmarks = np.empty((room.frames, N_LANDMARKS, 2), np.float32)
        over = np.empty(room.frames)
        for stretch in stretches(room.frames):
            points = room.points(stretch)
            picture = self._picture(points)
            left, right = picture[..., 0].min(1), picture[..., 0].max(1)
            over[stretch] = np.maximum(_EDGE - left, 0) - np.maximum(right - (1 - _EDGE), 0)
            landmarks[stretch] = picture
            world.append(points - points[:, HIPS].mean(1, keepdims=True))
        if over.any():
            shifts = []
            for sign in (1, -1):
                reach = maximum_filter1d(np.maximum(sign * over, 0), 2 * FPS + 1, mode="nearest")
                shifts.append(sign * gaussian_filter1d(reach, FPS / 2, mode="nearest"))
            for stretch in stretches(room.frames):
                if any(shift[stretch].any() for shift in shifts):
                    picture = self._picture(room.points(stretch))
                    for shift in shifts:
                        picture[..., 0] += shift[stretch, None]
                    landmarks[stretch] = picture
        return landmarks

    def _picture(self, points: Floats) -> Floats:
        flat = kinematics.project(points, self._focal, 1.0)
        return self._place.in_frame((flat - self._middle) / self._torso)

    def held(self, poses: PoseSequence, what: str) -> Held:
        """Given poses as the model wants them.

        Raises:
            DancingError: when they have no world landmarks.
        """
        if poses.world is None:
            raise DancingError(
                f"{what} have no world landmarks; poses of 'dancing generate --poses' do"
            )
        flat = self._place.from_frame(poses.landmarks) * self._torso + self._middle
        seen = _given(poses)
        world = poses.world.astype(np.float64)
        place = kinematics.locate(flat, world, 1.0, self._focal, poses.fps, seen)
        contact = np.zeros((len(world), 2))
        channels = kinematics.pack(world, place - self._home, contact)
        # Whether feet stand follows from the poses; the model shall say so.
        known = np.concatenate([np.repeat(seen, 3, axis=1), contact > 0], axis=1)
        return Held(channels, known)


_EDGE = 0.02  # of the picture's width that stays free


def _given(poses: PoseSequence) -> NDArray[np.bool_]:
    """(T, 33) which landmarks are given."""
    if poses.visibility is None:
        return np.ones(poses.landmarks.shape[:2], bool)
    return poses.visibility >= 0.5
