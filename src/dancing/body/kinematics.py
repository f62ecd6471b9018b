"""A dancer in the room: camera, skeleton and feet.

Room coordinates are metres, x right, y down, z away from the camera, as in MediaPipe's world
landmarks. The camera is a pinhole at the origin that looks along z through the middle of the
picture; its focal length is in picture heights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d

from dancing.body.skeleton import ARMS, FEET, HIPS, LEGS, LIMB_BONES, MIRROR, N_LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CHANNELS = 3 * N_LANDMARKS + 2
"""Numbers of one pose: see `pack`."""

_UPPER = slice(0, 23)
_LOWER = slice(23, 33)
UPPER_CHANNELS = slice(0, 3 * 23)
"""Of the numbers of a pose, the landmarks of the upper body."""
LOWER_HEIGHTS = slice(3 * 23 + 1, 3 * 33, 3)
"""Of the numbers of a pose, the heights (y) of hips, legs and feet in the room."""
FEET_CHANNELS = [3 * end + axis for leg in LEGS for end in (leg.heel, leg.toe) for axis in range(3)]
"""Of the numbers of a pose, those of heel and toe of the left foot, then of the right."""
_DEPTH_SMOOTHING = 0.25  # seconds; depth hangs on small differences of size and trembles
_FOCALS = np.exp(np.linspace(np.log(0.7), np.log(4.0), 30))
_STILL = 0.25  # metres a second below which a foot on the floor stands
_DRAGGED = 0.02  # metres a frame, 0.6 a second, below which a foot on the floor makes no step
_FURTHEST = 0.15  # metres that a standing foot is put back at most
_FLOOR = 0.05  # metres above the floor within which a foot is down


def fit_focal(clips: Sequence[tuple[NDArray[Any], NDArray[Any], float]]) -> float:
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


def locate(
    picture: Floats,
    world: Floats,
    aspect: float,
    focal: float,
    fps: float,
    seen: NDArray[np.bool_] | None = None,
) -> Floats:
    """Where the mid-hip is in the room: (T, 3) metres.

    Least squares over the landmarks, frame by frame; the depth is smoothed over time, and the
    sideways place found again for it.

    Args:
        picture: (T, 33, 2) landmarks in [0, 1].
        world: (T, 33, 3) metres, hip-centred.
        seen: (T, 33) which landmarks count. Default: all. Frames with fewer than four are bridged.
    """
    seen = np.ones(world.shape[:2], bool) if seen is None else seen
    frames = np.arange(len(world))
    enough = seen.sum(1) >= 4
    if not enough.any():
        return np.tile([0.0, 0.0, 3.0], (len(world), 1))
    points = _centred(picture, aspect)
    depth = _solve(points, world, focal, seen)[:, 2]
    depth = np.interp(frames, frames[enough], depth[enough])
    depth = gaussian_filter1d(depth, _DEPTH_SMOOTHING * fps, mode="nearest")
    reach = np.maximum(depth[:, None] + world[..., 2], 0.1)
    sideways = points * reach[..., None] / focal - world[..., :2]
    place = (sideways * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None]
    place = np.column_stack([np.interp(frames, frames[enough], x[enough]) for x in place.T])
    return np.column_stack([place, depth])


def project(points: Floats, focal: float, aspect: float) -> Floats:
    """Points (..., 3) in the room to the picture, (..., 2) in [0, 1] of width and height."""
    flat = focal * points[..., :2] / np.maximum(points[..., 2:], 0.1)
    return (flat + np.array([aspect / 2, 0.5])) / np.array([aspect, 1.0])


def lifted(picture: Floats, depth: Floats, aspect: float, focal: float) -> Floats:
    """Points (T, n, 3) in the room at depths (T, n) that are seen there: inverts `project`."""
    flat = _centred(picture, aspect) * depth[..., None] / focal
    return np.concatenate([flat, depth[..., None]], -1)


def _centred(picture: Floats, aspect: float) -> Floats:
    return np.asarray(picture, np.float64) * [aspect, 1.0] - [aspect / 2, 0.5]


def _solve(
    points: Floats, world: Floats, focal: float, seen: NDArray[np.bool_] | None = None
) -> Floats:
    """p (z + w_z) = f (r + w) is linear in the place (r, z)."""
    world = np.asarray(world, np.float64)
    matrix = np.zeros((*points.shape, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = focal
    matrix[..., 2] = -points
    target = points * world[..., 2:] - focal * world[..., :2]
    if seen is not None:
        matrix, target = matrix * seen[..., None, None], target * seen[..., None]
    matrix, target = matrix.reshape(len(points), -1, 3), target.reshape(len(points), -1)
    normal = np.einsum("tij,tik->tjk", matrix, matrix) + 1e-9 * np.eye(3)
    return np.linalg.solve(normal, np.einsum("tij,ti->tj", matrix, target)[..., None])[..., 0]


def contacts(room: Floats, fps: float) -> NDArray[np.bool_]:
    """(T, 2) whether the left and the right foot stand on the floor.

    A foot stands if its heel or toe is low and slow: within 5 cm of the clip's floor and below
    0.25 m/s. A single pose stands.
    """
    down = np.zeros((len(room), 2), bool)
    if len(room) < 2:
        return ~down
    floor = floor_of(room)
    for side, leg in enumerate(LEGS):
        ends = gaussian_filter1d(room[:, [leg.heel, leg.toe]], 1.0, axis=0, mode="nearest")
        speed = np.linalg.norm(np.gradient(ends, axis=0), axis=-1) * fps
        low = ends[..., 1] > floor - _FLOOR
        down[:, side] = (low & (speed < _STILL)).any(1)
    return down


def floor_of(room: Floats) -> float:
    """The height (y, metres) of the floor: the 95th percentile of how low feet are."""
    return float(np.percentile(room[:, FEET, 1], 95))


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
    points[:, _UPPER] += points[:, HIPS].mean(1, keepdims=True)
    return points, channels[:, -2:].astype(np.float64)


def mirror_map() -> tuple[NDArray[np.intp], Floats]:
    """Order and signs that turn packed poses into their mirror image."""
    order = np.concatenate([[3 * m, 3 * m + 1, 3 * m + 2] for m in MIRROR])
    order = np.concatenate([order, [CHANNELS - 1, CHANNELS - 2]])
    signs = np.concatenate([np.tile([-1.0, 1.0, 1.0], N_LANDMARKS), [1.0, 1.0]])
    return order, signs


BONES = (tuple(HIPS), *LIMB_BONES)
"""Pairs of landmarks whose distance in the room does not change."""


def bone_lengths(world: Floats) -> Floats:
    """Median length in metres of each of BONES."""
    return np.array(
        [np.median(np.linalg.norm(world[:, b] - world[:, a], axis=-1)) for a, b in BONES]
    )


def with_bones(points: Floats, lengths: Sequence[float]) -> Floats:
    """Points (T, 33, 3) with every bone at its length, in its direction."""
    points = points.copy()
    middle = points[:, HIPS].mean(1)
    across = _unit(points[:, HIPS[1]] - points[:, HIPS[0]]) * lengths[0] / 2
    old = points.copy()
    left, right = HIPS
    points[:, left], points[:, right] = middle - across, middle + across
    for (parent, child), length in zip(LIMB_BONES, lengths[1:], strict=True):
        points[:, child] = points[:, parent] + _unit(old[:, child] - old[:, parent]) * length
    return points


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def standing(body: Floats, lengths: Sequence[float]) -> Floats:
    """A pose (33, 3) at rest: that of `body`, which faces the camera, with the arms hanging."""
    pose = body.copy()
    for side, (shoulder, elbow, wrist, pinky, index, thumb) in zip((1.0, -1.0), ARMS, strict=True):
        # Beyond their lengths, which `with_bones` restores.
        pose[elbow] = pose[shoulder] + [0.2 * side, 1.0, 0.05]
        pose[wrist] = pose[elbow] + [0.1 * side, 1.0, -0.25]
        pose[pinky] = pose[wrist] + [0.05 * side, 1.0, 0.1]
        pose[index] = pose[wrist] + [0.0, 1.0, -0.25]
        pose[thumb] = pose[wrist] + [-0.2 * side, 0.7, -0.6]
    return with_bones(pose[None], lengths)[0]


def soles(points: Floats) -> Floats:
    """Where feet are: (T, 2, 2, 3), left and right, heel and toe."""
    return points[:, [[leg.heel, leg.toe] for leg in LEGS]]


def resting(feet: Floats, floor: float) -> NDArray[np.bool_]:
    """(T, 2) whether feet are within 5 cm of the floor and make no step: below 2 cm a frame.

    Args:
        feet: (T, 2, 2, 3) metres; see `soles`.
        floor: its height (y) in metres.
    """
    if len(feet) < 2:
        return np.ones((len(feet), 2), bool)
    smooth = gaussian_filter1d(feet, 1.5, axis=0, mode="nearest")
    speed = np.linalg.norm(np.gradient(smooth, axis=0), axis=-1).min(-1)
    found: NDArray[np.bool_] = (feet[..., 1].max(-1) > floor - _FLOOR) & (speed < _DRAGGED)
    return found


def planting(
    feet: Floats, down: NDArray[np.bool_], floor: float | None = None
) -> list[Floats | None]:
    """How feet are moved so that they no longer slide while they stand.

    While a foot is down, the sideways drift of its slower end (heel or toe, so that it can turn on
    either) is taken away; between two stands the correction moves over evenly. Where the floor is
    known, its lower end stands on it then, and is never below.

    Args:
        feet: (T, 2, 2, 3) metres; see `soles`.
        down: (T, 2) whether the left and the right foot stand.
        floor: its height (y) in metres.

    Returns:
        For each foot (T, 3) metres; None for one that never stands.
    """
    paths: list[Floats | None] = []
    every, lowest = np.arange(len(feet)), feet[..., 1].max(-1)
    for side in range(2):
        stands = _runs(binary_opening(binary_closing(down[:, side]), np.ones(3)))
        if not stands:
            paths.append(None)
            continue
        frames, shifts = [], []
        for first, last in stands:
            steps = np.diff(feet[first:last, side], axis=0) * [1.0, 0.0, 1.0]
            slower = np.linalg.norm(steps, axis=-1).argmin(1)
            drift = np.cumsum(steps[np.arange(len(steps)), slower], axis=0)
            drift = np.concatenate([np.zeros((1, 3)), drift])
            frames.append(np.arange(first, last))
            shifts.append(drift.mean(0) - drift)
            if floor is not None:
                shifts[-1][:, 1] = floor - lowest[first:last, side]
        at, shift = np.concatenate(frames), np.concatenate(shifts)
        size = np.linalg.norm(shift, axis=1, keepdims=True)
        shift = shift * np.minimum(1, _FURTHEST / np.maximum(size, 1e-6))
        path = np.column_stack([np.interp(every, at, shift[:, k]) for k in range(3)])
        path = gaussian_filter1d(path, 1.0, axis=0, mode="nearest")
        if floor is not None:
            path[:, 1] = np.minimum(path[:, 1], floor - lowest[:, side])
        paths.append(path)
    return paths


def moved_feet(points: Floats, paths: Sequence[Floats | None]) -> Floats:
    """Points (T, 33, 3) with feet moved as `planting` says.

    The knees give way, hips and bone lengths stay.
    """
    points = points.copy()
    for (hip, knee, ankle, heel, toe), path in zip(LEGS, paths, strict=True):
        if path is None:
            continue
        wanted = points[:, ankle] + path
        bent, reached = _bend(points[:, hip], points[:, knee], points[:, ankle], wanted)
        moved = reached - points[:, ankle]
        points[:, knee] = bent
        points[:, [ankle, heel, toe]] += moved[:, None]
    return points


def _bend(hip: Floats, knee: Floats, ankle: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Knee and ankle of a leg whose ankle goes to a place, or as near to it as it reaches."""
    thigh = np.linalg.norm(knee - hip, axis=-1, keepdims=True)
    shank = np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    reach = np.linalg.norm(wanted - hip, axis=-1, keepdims=True)
    reach = np.clip(reach, np.abs(thigh - shank) + 1e-3, thigh + shank - 1e-4)
    along = _unit(wanted - hip)
    forward = knee - hip
    forward = _unit(forward - (forward * along).sum(-1, keepdims=True) * along)
    part = (thigh**2 - shank**2 + reach**2) / (2 * reach)
    height = np.sqrt(np.maximum(thigh**2 - part**2, 0))
    return hip + part * along + height * forward, hip + reach * along


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and behind the last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
