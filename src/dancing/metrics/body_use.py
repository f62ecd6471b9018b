"""Vigour, and how the body is used: speeds of its parts, turning, weight, flight and the floor.

The input is a dancer in the room: (T, 33, 3) metres, x right, y down, z away from the camera, which
looks level (`in_the_room` makes it of world landmarks and the picture). Speeds and heights are had
of (T, 33, 2) in torso lengths too (`dancing.body.poses.body_frame`); then what needs depth or the
floor is None. Everything is resampled to 30 frames a second and smoothed by a Gaussian of one
frame, since estimated depth trembles.

Compare generated with real dance as ratios, from the same kind of input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.body.kinematics import fit_focal, locate
from dancing.body.skeleton import FEET, HEELS, HIPS, TOES, WRISTS
from dancing.metrics.motion import RATE, resample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

GRAVITY = 9.81
"""Metres a second squared."""
LIFTED = 0.03
"""Metres above its usual height on the floor beyond which a heel or toe is in the air."""
SUNK = 0.03
"""Metres below it beyond which it is in the floor."""
SHORTEST_FLIGHT = 0.15
"""Seconds in the air below which there is too little of a parabola."""
_STANDS = 0.25  # metres a second below which a heel or toe may stand


@dataclass(frozen=True)
class BodyUse:
    """How a dancer uses the body; see `body_use`. Speeds and heights are in metres, or in torso
    lengths where only the picture is known; what needs the room is None then.

    Attributes:
        hands: mean speed of the wrists, a second.
        feet: mean speed of heels and toes, a second.
        hips: mean speed of the mid-hip, a second.
        turning: mean speed at which the line through the hips turns, degrees a second.
        hip_height: standard deviation of the height of the mid-hip.
        lifted: fraction of time with a foot in the air, or both.
        airborne: fraction of time with both feet in the air.
        sunk: fraction of time with a heel or toe in the floor.
        flights: how many last long enough to be measured.
        unfall: mean deviation of flights from free fall: 0 falls freely, 1 floats; None without a
            flight.
    """

    hands: float
    feet: float
    hips: float
    turning: float | None
    hip_height: float
    lifted: float | None
    airborne: float | None
    sunk: float | None
    flights: int
    unfall: float | None


def in_the_room(
    landmarks: ArrayLike, world: ArrayLike, fps: float, *, aspect: float = 1.0
) -> Floats:
    """Where the body is in the room: (T, 33, 3) metres, x right, y down, z away from the camera.

    The pinhole camera is the one with which the world landmarks fall best on those of the picture
    (`dancing.body.kinematics.fit_focal`). Where somebody stays at one distance its focal length is
    uncertain, and so is the distance, but hardly what is measured here.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture.
        world: (T, 33, 3) metres, hip-centred.
        fps: frames a second.
        aspect: the picture's width over height.
    """
    picture, points = np.asarray(landmarks, np.float64), np.asarray(world, np.float64)
    focal = fit_focal([(picture, points, aspect)])
    return points + locate(picture, points, aspect, focal, fps)[:, None]


def body_use(points: ArrayLike, fps: float) -> BodyUse:
    """How vigorous a dance is, and what it does with hips, weight and floor.

    - Speeds are means over time, and over both hands, or heels and toes of both feet.
    - Turning: the mean angle between the lines from right to left hip of consecutive frames, times
      30. It has the turns of the body, and the tilting and twisting of the pelvis.
    - The floor: the median height of the lower heel, and of the lower toe, while it is slower than
      0.25 m/s. A foot is in the air when its heel and toe are more than 3 cm above theirs, and in
      the floor when one is 3 cm below. Both feet in the air is a hop, a jump or a run.
    - A flight is a stretch of at least 0.15 s with both feet in the air. Over its frames the height
      of the mid-hip is compared with y(t) = a + b t + g t^2 / 2, a and b fitted:

          unfall = rms(y - fit) / rms(g t^2 / 2 - its best line)

      So it is |acceleration - g| / g where the acceleration is even: 0 is free fall, 1 hips that
      float. The mid-hip is not the centre of mass: arms that swing and legs that are tucked make
      0.1 to 0.3 in jumps of people.

    Args:
        points: (T, 33, 3) metres in the room, or (T, 33, 2) torso lengths in the picture.
        fps: frames a second.

    Returns:
        Speeds of 0 for a single frame.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 3 or places.shape[1] != 33 or places.shape[2] not in (2, 3):
        raise ValueError(f"points have shape {places.shape}, but (T, 33, 3) or (T, 33, 2)")
    places, _ = resample(places, np.ones(places.shape[:2], bool), fps)
    places = gaussian_filter1d(places, 1.0, axis=0, mode="nearest")
    hip = places[:, HIPS].mean(1)
    known: dict[str, Any] = {
        "hands": _speed(places[:, WRISTS]),
        "feet": _speed(places[:, FEET]),
        "hips": _speed(hip[:, None]),
        "hip_height": float(hip[:, 1].std()),
    }
    if places.shape[2] == 2:
        return BodyUse(
            **known,
            turning=None,
            lifted=None,
            airborne=None,
            sunk=None,
            flights=0,
            unfall=None,
        )
    above = _above_floor(places)
    up = above.min(1) > LIFTED
    air = up.all(1)
    unfalls = [
        _unfall(hip[first:last, 1])
        for first, last in _runs(air)
        if last - first >= SHORTEST_FLIGHT * RATE
    ]
    return BodyUse(
        **known,
        turning=_turning(places[:, HIPS]),
        lifted=float(up.any(1).mean()),
        airborne=float(air.mean()),
        sunk=float((above < -SUNK).any((1, 2)).mean()),
        flights=len(unfalls),
        unfall=float(np.mean(unfalls)) if unfalls else None,
    )


def _speed(points: Floats) -> float:
    if len(points) < 2:
        return 0.0
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).mean() * RATE)


def _turning(hips: Floats) -> float:
    """Degrees a second of the line between two points (T, 2, 3)."""
    line = hips[:, 0] - hips[:, 1]
    across = np.linalg.norm(np.cross(line[1:], line[:-1]), axis=-1)
    along = (line[1:] * line[:-1]).sum(-1)
    return float(np.degrees(np.arctan2(across, along)).mean() * RATE) if len(across) else 0.0


def _above_floor(points: Floats) -> Floats:
    """(T, 2, 2) metres of heels and toes, left and right, above the height where they stand."""
    ends = points[:, [HEELS, TOES]]
    height = ends[..., 1]
    still = np.ones(height.shape, bool)
    if len(ends) > 1:
        still = np.linalg.norm(np.gradient(ends, axis=0), axis=-1) * RATE < _STANDS
    # Of the two feet the lower one: the other may be held up, and as still.
    frames, lower = np.arange(len(ends))[:, None], height.argmax(2)
    stands = still[frames, [[0, 1]], lower]
    floor = [
        np.median(heights[stand] if stand.any() else heights)
        for heights, stand in zip(height.max(2).T, stands.T, strict=True)
    ]
    return np.array(floor)[:, None] - height


def _unfall(height: Floats) -> float:
    """How far a course of heights, y down, is from free fall; see `body_use`."""
    times = np.arange(len(height)) / RATE
    fall = GRAVITY * times**2 / 2

    def bent(values: Floats) -> float:
        line = np.polynomial.Polynomial.fit(times, values, 1)(times)
        return float(np.sqrt(((values - line) ** 2).mean()))

    return bent(height - fall) / bent(fall)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
