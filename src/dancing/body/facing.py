"""How far a dancer turns from the camera, and dances kept within what can be drawn of a dancer.

Yaw is in degrees about the vertical: 0 faces the camera, 90 shows a side, 180 the back. Points are
metres, x right, y down, z away from the camera; see `dancing.body.kinematics`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dancing.body import kinematics
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import ARMS, EARS, HEAD, HIPS, SHOULDERS
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_HEAD_FURTHER = 15.0  # degrees that the head may turn further than the trunk
_SIDE = 90.0  # where a turn is folded: what turns further away is drawn turning back
_SOFT = 0.12  # seconds: a whole spin lasts half a second, and folded would be a shake
_NARROW = (0.5, 0.9)  # of their width, where shoulders have lost their shape, and where not
_NEARLY = 0.5  # degrees; so much further is rounding


def yaws(points: NDArray[np.floating[Any]]) -> Floats:
    """(T, 2) yaw of trunk (hips and shoulders together) and head (ears), of points (T, 33, 3)."""
    across = [points[:, left] - points[:, right] for left, right in (HIPS, SHOULDERS, EARS)]
    lines = np.stack([across[0] + across[1], across[2]], 1).astype(np.float64)
    found: Floats = np.degrees(np.arctan2(lines[..., 2], lines[..., 0]))
    return found


def corrections(yaw: Floats, turns: float) -> Floats:
    """By how many degrees trunk and head are to be turned, so that neither turns too far.

    A dance that stays well within the limit is left as it is, nearly. A spin becomes a twist to one
    side, back, and to the other, at the time of the spin; a back becomes a front.

    Args:
        yaw: (T, 2) of trunk and head, 30 a second; see `yaws`.
        turns: degrees of yaw that the trunk stays within, above 0; of more than 90, only 90 are
            used, as a greater fold would have to be faster than the turn. The head stays within 15
            more.

    Returns:
        (T, 2) of the whole body about its mid-hip, and then of the head about the neck.
    """
    body = _limited(yaw[:, 0], turns) - yaw[:, 0]
    head = yaw[:, 1] + body
    return np.stack([body, _limited(head, turns + _HEAD_FURTHER) - head], 1)


def _limited(yaw: Floats, most: float) -> Floats:
    """Yaw (T,) folded into -most to most.

    The fold is a triangle wave with its tips cut off and rounded: nowhere steeper than 1, so that
    no turn becomes faster; and of period 360, so that it does not matter how often the dancer has
    turned before.
    """
    degrees = np.arange(-180.0, 180.0)
    wave = np.clip(np.degrees(np.arcsin(np.sin(np.radians(degrees)))), -most, most)
    wave = gaussian_filter1d(wave, min(most, _SIDE) / 6, mode="wrap")
    folded = np.interp(yaw, degrees, wave, period=360.0)
    far = np.abs((yaw + 180) % 360 - 180) > most
    if not far.any():
        return folded
    far = maximum_filter1d(far.astype(np.float64), 2 * round(2 * _SOFT * FPS) + 1, mode="nearest")
    soft = gaussian_filter1d(folded, _SOFT * FPS, mode="nearest")
    share = gaussian_filter1d(far, _SOFT * FPS, mode="nearest")
    limited: Floats = folded + share * (soft - folded)
    return limited


def turned(points: Floats, degrees: Floats) -> Floats:
    """Points (T, 33, 3) whose body and head are turned by degrees (T, 2); see `corrections`."""
    points = _about(points, points[:, HIPS].mean(1), degrees[:, 0])
    head = list(HEAD)
    points[:, head] = _about(points[:, head], points[:, SHOULDERS].mean(1), degrees[:, 1])
    return points


def filled_out(points: Floats, shape: Floats) -> Floats:
    """Points (T, 33, 3) whose shoulders and head have their shape also in fast spins.

    There a motion model draws them together to a line. It is hardly seen of a spin, but is of a
    body that goes on facing the camera.

    Args:
        shape: (33, 3) metres, the body facing the camera.
    """
    points = points.copy()
    full = np.maximum(_width(shape), 1e-6)
    short = np.interp(_width(points) / full, _NARROW, (1.0, 0.0))[:, None, None]
    whole = np.broadcast_to(shape, points.shape)
    shifts = _about(whole, np.zeros((len(points), 3)), yaws(points)[:, 0]) - points
    shoulders = short * (shifts - shifts[:, SHOULDERS].mean(1, keepdims=True))
    head = short * (shifts - shifts[:, EARS].mean(1, keepdims=True))
    for arm in ARMS:
        points[:, list(arm)] += shoulders[:, [arm.shoulder]]
    points[:, list(HEAD)] += head[:, list(HEAD)]
    return points


def _width(points: Floats) -> Floats:
    """Of the shoulders of points (..., 33, 3)."""
    left, right = SHOULDERS
    width: Floats = np.linalg.norm(points[..., left, :] - points[..., right, :], axis=-1)
    return width


def _about(points: Floats, axis: Floats, degrees: Floats) -> Floats:
    """Points (T, n, 3) turned about verticals through (T, 3)."""
    angle = np.radians(degrees)[:, None]
    x, y, z = np.moveaxis(points - axis[:, None], -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos - z * sin, y, x * sin + z * cos], -1) + axis[:, None]


def within(poses: PoseSequence, turns: float) -> PoseSequence:
    """Poses whose dancer nowhere turns further than can be drawn.

    The body is turned in the room, standing feet stay where they are, and what the camera sees of
    it is the new picture.

    Args:
        poses: with world landmarks, 30 a second.
        turns: see `corrections`.

    Returns:
        The poses as they are, if none turns too far.
    """
    assert poses.world is not None
    if (np.abs(yaws(poses.world)) <= [turns + _NEARLY, turns + _HEAD_FURTHER + _NEARLY]).all():
        return poses
    picture, world = poses.landmarks.astype(np.float64), poses.world.astype(np.float64)
    focal = kinematics.fit_focal([(picture, world, poses.aspect)])
    place = kinematics.locate(picture, world, poses.aspect, focal, poses.fps)
    room = kinematics.lifted(picture, place[:, 2:] + world[..., 2], poses.aspect, focal)
    shape = np.median(_about(room - place[:, None], 0 * place, -yaws(room)[:, 0]), axis=0)
    made = filled_out(room, shape)
    made = turned(made, corrections(yaws(made), turns))
    # Feet slide where they did, but not because the body is turned.
    down = kinematics.contacts(room, poses.fps)
    old, new = (kinematics.planting(kinematics.soles(points), down) for points in (room, made))
    shifts = [None if a is None or b is None else b - a for a, b in zip(old, new, strict=True)]
    made = kinematics.moved_feet(made, shifts)
    return replace(
        poses,
        landmarks=kinematics.project(made, focal, poses.aspect).astype(np.float32),
        world=(made - made[:, HIPS].mean(1, keepdims=True)).astype(np.float32),
    )


def seconds_away(poses: PoseSequence) -> float:
    """For how long the dancer shows the back, going by the picture: left and right have swapped."""
    left, right = ([pair[side] for pair in (HIPS, SHOULDERS)] for side in (0, 1))
    across = poses.landmarks[:, left, 0] - poses.landmarks[:, right, 0]
    return float((across.sum(1) < 0).sum()) / poses.fps
