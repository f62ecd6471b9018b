"""A dancer in the room: camera, skeleton and feet.

Room coordinates are metres, x right, y down, z away from the camera, as in MediaPipe's world
landmarks. The camera is a pinhole at the origin that looks along z through the middle of the
picture; its focal length is in picture heights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.poses import MIRROR, N_LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CHANNELS = 3 * N_LANDMARKS + 2
"""Numbers of one pose: see `pack`."""
JOINTS = (0, *range(11, 17), *range(23, 33))

_UPPER = slice(0, 23)
_LOWER = slice(23, 33)
_FEET = ((27, 29, 31), (28, 30, 32))
_DEPTH_SMOOTHING = 0.25  # seconds; depth hangs on small differences of size and trembles
_FOCALS = np.exp(np.linspace(np.log(0.7), np.log(4.0), 30))
_STILL = 0.25  # metres a second below which a foot on the floor stands
_FLOOR = 0.05  # metres above the floor within which a foot is down


def fit_focal(clips: Sequence[tuple[Floats, Floats, float]]) -> float:
    """The focal length with which world landmarks fall best on those of the picture.

    Args:
        clips: landmarks (T, 33, 2), world (T, 33, 3) and aspect of each.
    """
    samples = [(p[:: max(1, len(p) // 20)], w[:: max(1, len(w) // 20)], a) for p, w, a in clips]

    def error(focal: float) -> float:
        total = 0.0
        for picture, world, aspect in samples:
            place = _solve(_centred(picture, aspect), world, focal)
            drawn = project(world + place[:, None], focal, aspect)
            total += float((((drawn - picture) * [aspect, 1.0]) ** 2).sum())
        return total

    return float(_FOCALS[int(np.argmin([error(focal) for focal in _FOCALS]))])


def locate(picture: Floats, world: Floats, aspect: float, focal: float, fps: float) -> Floats:
    """Where the mid-hip is in the room: (T, 3) metres.

    Least squares over all landmarks, frame by frame; the depth is smoothed over time, and the
    sideways place found again for it.

    Args:
        picture: (T, 33, 2) landmarks in [0, 1].
        world: (T, 33, 3) metres, hip-centred.
    """
    points = _centred(picture, aspect)
    place = _solve(points, world, focal)
    depth = gaussian_filter1d(place[:, 2], _DEPTH_SMOOTHING * fps, mode="nearest")
    reach = np.maximum(depth[:, None] + world[..., 2], 0.1)
    sideways = (points * reach[..., None] / focal - world[..., :2]).mean(1)
    return np.column_stack([sideways, depth])


def project(points: Floats, focal: float, aspect: float) -> Floats:
    """Points (..., 3) in the room to the picture, (..., 2) in [0, 1] of width and height."""
    flat = focal * points[..., :2] / np.maximum(points[..., 2:], 0.1)
    return (flat + [aspect / 2, 0.5]) / [aspect, 1.0]


def _centred(picture: Floats, aspect: float) -> Floats:
    return np.asarray(picture, np.float64) * [aspect, 1.0] - [aspect / 2, 0.5]


def _solve(points: Floats, world: Floats, focal: float) -> Floats:
    """p (z + w_z) = f (r + w) is linear in the place (r, z)."""
    world = np.asarray(world, np.float64)
    matrix = np.zeros((*points.shape, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = focal
    matrix[..., 2] = -points
    target = points * world[..., 2:] - focal * world[..., :2]
    matrix, target = matrix.reshape(len(points), -1, 3), target.reshape(len(points), -1)
    normal = np.einsum("tij,tik->tjk", matrix, matrix) + 1e-9 * np.eye(3)
    return np.linalg.solve(normal, np.einsum("tij,ti->tj", matrix, target)[..., None])[..., 0]


def contacts(room: Floats, fps: float) -> NDArray[np.bool_]:
    """(T, 2) whether the left and the right foot stand on the floor.

    A foot stands if its heel or toe is low and slow: within 5 cm of the clip's floor (the 95th
    percentile of how low feet are) and below 0.25 m/s.
    """
    down = np.zeros((len(room), 2), bool)
    floor = np.percentile(room[:, [29, 30, 31, 32], 1], 95)
    for side, (_, heel, toe) in enumerate(_FEET):
        ends = gaussian_filter1d(room[:, [heel, toe]], 1.0, axis=0, mode="nearest")
        speed = np.linalg.norm(np.gradient(ends, axis=0), axis=-1) * fps
        low = ends[..., 1] > floor - _FLOOR
        down[:, side] = (low & (speed < _STILL)).any(1)
    return down


def pack(world: Floats, place: Floats, down: NDArray[Any]) -> Floats:
    """Poses as (T, CHANNELS) numbers for a model to learn.

    Landmarks of the upper body (0 to 22) are relative to the mid-hip; those of hips, legs and feet
    are where they are in the room, so that a standing foot is a constant; then the two contacts.
    """
    upper = world[:, _UPPER]
    lower = world[:, _LOWER] + place[:, None]
    frames = len(world)
    return np.concatenate([upper.reshape(frames, -1), lower.reshape(frames, -1), down], axis=1)


def unpack(channels: Floats) -> tuple[Floats, Floats]:
    """What `pack` packed: points in the room (T, 33, 3), contacts (T, 2)."""
    points = channels[:, : 3 * N_LANDMARKS].reshape(-1, N_LANDMARKS, 3).astype(np.float64)
    points[:, _UPPER] += points[:, [23, 24]].mean(1, keepdims=True)
    return points, channels[:, -2:].astype(np.float64)


def mirror_map() -> tuple[NDArray[np.intp], Floats]:
    """Order and signs that turn packed poses into their mirror image."""
    order = np.concatenate([[3 * m, 3 * m + 1, 3 * m + 2] for m in MIRROR])
    order = np.concatenate([order, [CHANNELS - 1, CHANNELS - 2]])
    signs = np.concatenate([np.tile([-1.0, 1.0, 1.0], N_LANDMARKS), [1.0, 1.0]])
    return order, signs


# Parent before child: every one is put at its length from its parent.
_RIGID = (
    (11, 13), (13, 15), (15, 17), (15, 19), (15, 21),
    (12, 14), (14, 16), (16, 18), (16, 20), (16, 22),
    (23, 25), (25, 27), (27, 29), (27, 31), (24, 26), (26, 28), (28, 30), (28, 32),
)  # fmt: skip
BONES = ((23, 24), *_RIGID)
"""Pairs of landmarks whose distance in the room does not change."""


def bone_lengths(world: Floats) -> Floats:
    """Median length in metres of each of BONES."""
    return np.array([np.median(np.linalg.norm(world[:, b] - world[:, a], axis=-1)) for a, b in BONES])


def with_bones(points: Floats, lengths: Sequence[float]) -> Floats:
    """Points (T, 33, 3) with every bone at its length, directions kept; what hangs on it follows."""
    points = points.copy()
    middle = points[:, [23, 24]].mean(1)
    across = _unit(points[:, 24] - points[:, 23]) * lengths[0] / 2
    old = points.copy()
    points[:, 23], points[:, 24] = middle - across, middle + across
    for (parent, child), length in zip(_RIGID, lengths[1:], strict=True):
        points[:, child] = points[:, parent] + _unit(old[:, child] - old[:, parent]) * length
    return points


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
