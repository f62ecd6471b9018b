"""Measures of movement: beats, features, ratios and foot sliding.

Every function takes landmarks (T, 33, 2), in [0, 1] of a picture's width and height, and their
frame rate, and first brings them to one common form, so that no figure depends on the picture's
size, on where the dancer stands, or on the frame rate:

1. float64, aspect-corrected, in torso lengths (`dancing.body.poses.body_frame`); pass
   `aspect = width / height`, or every horizontal speed is off by that factor;
2. resampled to 30 frames a second by time, with cubic splines (nothing is done at 30 fps). So the
   same dance filmed at 15, 25, 30 or 60 fps agrees to the tolerances that the docstrings state.
   Third derivatives cannot be had from too few frames: compare `jerk` at equal rates.

Landmarks that are NaN or infinite, or whose visibility is below 0.5, are *unseen*: bridged by
linear interpolation over time, and left out of every mean. What was never seen counts as at rest,
so nothing here returns NaN. Scores over joints use the body joints J (`BODY_JOINTS`): nose,
shoulders, elbows, wrists, hips, knees, ankles, heels and toes.

Without a torso there is no scale. Where a shoulder or hip is NaN in every frame, nothing counts as
seen, and the figures are those of rest: 0, and no motion beats. Where the four are known but the
torso has no length, what is seen must not move, or ValueError is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from dancing.body.poses import body_frame
from dancing.body.skeleton import (
    ANKLES,
    ARMS,
    BODY_JOINTS,
    HIPS,
    LANDMARKS,
    LEGS,
    NOSE,
    SHOULDERS,
    TRUNK,
    WRISTS,
)
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


RATE = FPS
"""Frames a second at which everything is measured."""
SMOOTHING = 0.083
"""Standard deviation in seconds of the Gaussian that smooths the speed curve."""
_FINE = 8  # the smoothed speed curve is evaluated at RATE * _FINE points a second
_BENT = 110.0
_FAST = 2.0
_FAST_FLOOR = 0.1
_SLIDE = 0.3
_LOW = 0.1
_LOW_FLOOR = 0.05


def joint_speed(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
    sigma: float = SMOOTHING,
) -> tuple[Floats, Floats]:
    """The speed curve whose minima are the motion beats.

    s(t) = mean over the seen joints of J of |x(t + 1/30 s) - x(t)| * 30, a sample that sits half
    a frame later than its first frame, then a Gaussian over time with a standard deviation of
    `sigma` seconds. A joint counts in a sample when it is seen at both ends.

    Because the Gaussian is wider than the sampling interval, the smoothed curve is known between
    the samples too; it is returned eight times finer, so that its minima have sub-frame positions.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture.
        fps: frames a second.
        aspect: the picture's width over height.
        visibility: (T, 33) in [0, 1], or None where all is seen.
        sigma: seconds; 0 gives the plain samples.

    Returns:
        Times in seconds from the first frame and speeds in torso lengths a second, both (N,)
        float64; empty for a single frame.
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    joints = list(BODY_JOINTS)
    speeds, valid = _speeds(points[:, joints], seen[:, joints])
    return _smooth(_mean_over_joints(speeds, valid), sigma)


def motion_magnitude(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> float:
    """Mean speed |v| over time and the seen joints of J, in torso lengths a second.

    Use: generated / real should be near 1. A model that freezes wins in many other scores.
    From 15 to 60 fps the same smooth movement (below 2 Hz) agrees within 1 %.

    Returns:
        0 for a still clip or a single frame.
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    return _mean_derivative(points, seen, 1)


def jerk(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> float:
    """Mean |third derivative| over time and the seen joints of J, in torso lengths / s^3.

    The third difference at 30 fps times 30^3: trembling of 0.001 torso lengths in single frames
    already weighs about 150 torso/s^3, so it tells a shaking model from a smooth one.

    Use: generated / real should be near 1. Compare clips of the same frame rate: at 15 fps what
    shakes faster is not seen. Smooth movement (below 2 Hz) agrees within 2 % from 15 to 60 fps;
    dance with its accents, seen at 15 fps, loses about 20 %.

    Returns:
        0 for a still clip or one of less than four frames (at 30 fps).
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    return _mean_derivative(points, seen, 3)


def kinetic_features(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """How much each joint moves: three numbers for each of the 17 body joints.

    For joint after joint of `BODY_JOINTS`: mean vx^2, mean vy^2 (both in (torso/s)^2), mean |a|
    (in torso/s^2), with v(t) = (x(t+1) - x(t)) * 30 and a(t) = (v(t+1) - v(t)) * 30. Names:
    `kinetic_feature_names()`.

    After Onuma et al., "FMDistance", Eurographics 2008, in two dimensions. The widely copied code
    of AIST++ (google/aistplusplus_api, from fairmotion) computes the earlier velocity as
    `positions[i] - positions[i - 1] / frame_time`: only one term is divided by the frame time, so
    what it calls acceleration is mostly position. Here the acceleration of a statue is 0.

    Use: z-scored by the real training clips (`standardize`), for `energy_distance`, `diversity`
    and, given 510 windows or more, `frechet_distance`.

    Returns:
        (51,) float64; 0 where a joint was never seen. From 15 to 60 fps smooth movement (below
        2 Hz) agrees within 2 %.
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    joints = list(BODY_JOINTS)
    points, seen = points[:, joints], seen[:, joints]
    velocity, valid = _derivative(points, seen, 1)
    energy = _mean(velocity**2, valid[..., None])
    acceleration, valid = _derivative(points, seen, 2)
    force = _mean(np.hypot(acceleration[..., 0], acceleration[..., 1]), valid)
    return np.column_stack([energy, force]).ravel()


def kinetic_feature_names() -> tuple[str, ...]:
    """What each number of `kinetic_features` is, in order."""
    kinds = ("mean_vx2", "mean_vy2", "mean_acceleration")
    return tuple(f"{LANDMARKS[joint]}_{kind}" for joint in BODY_JOINTS for kind in kinds)


def geometric_features(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """How often the body takes certain shapes: 15 fractions of time in [0, 1].

    In the order of `geometric_feature_names()`, left before right:

    - elbow bent, elbow bent, knee bent, knee bent: inner angle below 110 degrees;
    - wrist above the shoulder of its side (two), wrist above the nose (two);
    - wrists further apart than 2.5 times the median shoulder width; ankles further apart than
      2.1 times the median hip width;
    - wrist fast (two), ankle fast (two), mid-hip fast: faster than twice the clip's median speed
      of that part (both sides together), and than 0.1 torso lengths a second.

    All thresholds are the dancer's own, so the features are about style, not about build or
    energy (`kinetic_features` has the energy). After Mueller, Roeder and Clausen, "Efficient
    content-based retrieval of motion capture data", SIGGRAPH 2005, as used by AIST++, reduced to
    what can be told in two dimensions.

    Caveats: angles and widths are those of the picture; a dancer in profile has narrow shoulders.
    Fractions are over the frames in which the joints needed are seen.

    Returns:
        (15,) float64; 0 where a part was never seen. From 15 to 60 fps
        within 0.03 (typically 0.01).
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)

    def share(holds: Flags, *needed: int) -> float:
        visible = seen[:, list(needed)].all(axis=1)
        return float(holds[visible].mean()) if np.any(visible) else 0.0

    def bent(a: int, b: int, c: int) -> float:
        u, v = points[:, a] - points[:, b], points[:, c] - points[:, b]
        lengths = np.hypot(*u.T) * np.hypot(*v.T)
        return share((u * v).sum(1) > np.cos(np.radians(_BENT)) * lengths, a, b, c)

    def above(a: int, b: int) -> float:
        return share(points[:, a, 1] < points[:, b, 1], a, b)

    def apart(pair: list[int], widths: float, reference: list[int]) -> float:
        (a, b), (c, d) = pair, reference
        both = seen[:, c] & seen[:, d]
        own = np.hypot(*(points[:, c] - points[:, d])[both].T)
        limit = widths * float(np.median(own)) if own.size else np.inf
        return share(np.hypot(*(points[:, a] - points[:, b]).T) > limit, a, b)

    def fast(parts: Floats, visible: Flags) -> list[float]:
        speeds, valid = _speeds(parts, visible)
        usual = float(np.median(speeds[valid])) if valid.any() else 0.0
        return list(_mean((speeds > max(_FAST * usual, _FAST_FLOOR)).astype(np.float64), valid))

    wrists, ankles, hips = WRISTS, ANKLES, HIPS
    root = points[:, hips].mean(1, keepdims=True)
    root_seen = np.all(seen[:, hips], axis=1, keepdims=True)
    return np.array(
        [
            *(bent(*limb[:3]) for limb in (*ARMS, *LEGS)),
            *(above(arm.wrist, arm.shoulder) for arm in ARMS),
            *(above(wrist, NOSE) for wrist in wrists),
            apart(wrists, 2.5, SHOULDERS), apart(ankles, 2.1, hips),
            *fast(points[:, wrists], seen[:, wrists]),
            *fast(points[:, ankles], seen[:, ankles]),
            *fast(root, root_seen),
        ]
    )  # fmt: skip


def geometric_feature_names() -> tuple[str, ...]:
    """What each number of `geometric_features` is, in order."""
    return (
        "left_elbow_bent", "right_elbow_bent", "left_knee_bent", "right_knee_bent",
        "left_wrist_above_shoulder", "right_wrist_above_shoulder",
        "left_wrist_above_head", "right_wrist_above_head",
        "wrists_apart", "ankles_apart",
        "left_wrist_fast", "right_wrist_fast", "left_ankle_fast", "right_ankle_fast", "root_fast",
    )  # fmt: skip


def foot_sliding(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> float:
    """Fraction of frames in which a foot that stands slides sideways.

    A foot is its heel and its toe (landmarks 29 and 31, 30 and 32), smoothed by a Gaussian of one
    frame (1/30 s) because detectors tremble. It stands when

    - the lower of the two is within the lowest tenth of the range of heights that it has in the
      clip (2nd to 98th percentile), or within 0.05 torso lengths of the bottom of that range, and
    - neither moves up or down faster than 0.3 torso lengths a second.

    It slides when heel and toe both move sideways in the picture faster than 0.3 torso lengths a
    second: a foot that turns on its heel or toe does not slide. A frame counts once, whichever
    foot slides; frames in which neither foot is seen do not count.

    Caveats: the floor is taken to be level in the picture, so a dancer who walks towards the
    camera hides contacts; with a camera that follows the dancer standing feet do slide in the
    picture; and a moonwalk slides on purpose: compare with the value of real dance, not with 0.
    Trembling above about 0.03 torso lengths a frame looks like sliding.

    Returns:
        0 to 1; 0 for a still clip, a single frame, or feet never seen.
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    if len(points) < 2:
        return 0.0
    slides = np.zeros(len(points) - 1, bool)
    counts = np.zeros(len(points) - 1, bool)
    for leg in LEGS:
        foot = [leg.heel, leg.toe]
        ends, visible = points[:, foot], seen[:, foot]
        if not visible.any():
            continue
        ends = gaussian_filter1d(ends, 1.0, axis=0, mode="nearest")
        valid = visible[1:] & visible[:-1]
        sideways = np.abs(np.diff(ends[..., 0], axis=0)) * RATE
        # Unseen ends must neither hold the foot up nor hold it still.
        least = np.where(valid, sideways, np.inf).min(1)
        height = np.where(visible.any(1), np.where(visible, ends[..., 1], -np.inf).max(1), np.nan)
        top, bottom = np.nanpercentile(height, [2, 98])
        low = height >= bottom - max(_LOW * (bottom - top), _LOW_FLOOR)
        still = (np.abs(np.diff(ends[..., 1], axis=0)) * RATE < _SLIDE) | ~valid
        any_valid = valid.any(1)
        slides |= any_valid & low[1:] & low[:-1] & still.all(1) & (least > _SLIDE)
        counts |= any_valid
    return float(slides[counts].mean()) if counts.any() else 0.0


def at_common_rate(
    landmarks: ArrayLike, fps: float, aspect: float, visibility: ArrayLike | None
) -> tuple[Floats, Flags]:
    """Landmarks (N, 33, 2) in torso lengths at RATE, and (N, 33) which of them were seen."""
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1:] != (len(LANDMARKS), 2) or not len(points):
        raise ValueError(f"landmarks have shape {points.shape}, but (T, 33, 2) is needed, T >= 1")
    for name, value in (("fps", fps), ("aspect", aspect)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}, but a positive number is needed")
    finite = np.isfinite(points[..., 0]) & np.isfinite(points[..., 1])
    if not finite[:, TRUNK].any(0).all():
        # No scale, so nothing is measured.
        points, finite = np.zeros_like(points), np.zeros_like(finite)
    seen = finite.copy()
    if visibility is not None:
        visible = np.asarray(visibility, np.float64)
        if visible.shape != seen.shape:
            raise ValueError(f"visibility has shape {visible.shape}, not {seen.shape}")
        seen &= visible >= 0.5
    points = _bridge(points, np.where(seen.any(0), seen, finite))
    still = not np.ptp(points[:, seen.any(0)], axis=0).any()
    try:
        points = body_frame(points, aspect)
    except ValueError:
        # Without a torso there is no scale, but rest is rest at any scale.
        if not still:
            raise
    return resample(points, seen, fps)


def _bridge(points: Floats, known: Flags) -> Floats:
    """Fill each landmark's unknown frames by linear interpolation; ends are held."""
    points = points.copy()
    frames = np.arange(len(points))
    for joint in np.flatnonzero(~known.all(0)):
        at = known[:, joint]
        for axis in range(points.shape[2]):
            column = points[:, joint, axis]
            column[~at] = np.interp(frames[~at], frames[at], column[at]) if at.any() else 0.0
    return points


def resample(points: Floats, seen: Flags, fps: float) -> tuple[Floats, Flags]:
    if fps == RATE or len(points) < 2:
        return points, seen
    last = len(points) - 1
    count = int(last / fps * RATE + 1e-6) + 1
    at = np.minimum(np.arange(count) * (fps / RATE), last)
    # Relative to the first frame, so that what does not move stays exactly where it is.
    path = CubicSpline(np.arange(len(points)), points - points[0])(at) + points[0]
    low = np.floor(at + 1e-6).astype(np.intp)
    high = np.minimum(np.ceil(at - 1e-6).astype(np.intp), last)
    return path, seen[low] & seen[high]


def _derivative(points: Floats, seen: Flags, order: int) -> tuple[Floats, Flags]:
    """The nth difference a second^n, and where all the frames that it needs were seen."""
    count = max(len(points) - order, 0)
    valid = np.ones((count, points.shape[1]), bool)
    for k in range(order + 1):
        valid &= seen[k : k + count]
    return np.diff(points, order, axis=0) * float(RATE) ** order, valid


def _speeds(points: Floats, seen: Flags) -> tuple[Floats, Flags]:
    velocity, valid = _derivative(points, seen, 1)
    return np.hypot(velocity[..., 0], velocity[..., 1]), valid


def _mean_derivative(points: Floats, seen: Flags, order: int) -> float:
    joints = list(BODY_JOINTS)
    change, valid = _derivative(points[:, joints], seen[:, joints], order)
    return float(np.hypot(change[..., 0], change[..., 1])[valid].mean()) if valid.any() else 0.0


def _mean(values: Floats, valid: NDArray[Any]) -> Floats:
    """Mean over time of what is valid; 0 where nothing is."""
    mean: Floats = (values * valid).sum(0) / np.maximum(valid.sum(0), 1)
    return mean


def _mean_over_joints(speeds: Floats, valid: Flags) -> Floats:
    """Mean over the valid joints; samples without any are bridged, a clip without any is still."""
    some = valid.any(1)
    if not some.any():
        return np.zeros(len(speeds))
    mean = (speeds * valid).sum(1) / np.maximum(valid.sum(1), 1)
    samples = np.arange(len(mean))
    return np.interp(samples, samples[some], mean[some])


def _smooth(speed: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Times and values of a curve sampled at RATE from half a frame on, smoothed and finer."""
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma} s, but a number of at least 0 is needed")
    if sigma == 0 or not speed.size:
        return (np.arange(len(speed)) + 0.5) / RATE, speed
    # A weighted mean of the samples near each fine point: at the ends of the clip it has fewer
    # samples, and nothing has to be invented beyond them.
    fine = np.zeros(((len(speed) - 1) * _FINE + 1, 2))
    fine[::_FINE] = np.column_stack([speed, np.ones(len(speed))])
    width = max(sigma * RATE * _FINE, _FINE / 2)
    fine = gaussian_filter1d(fine, width, axis=0, mode="constant", truncate=6)
    return (np.arange(len(fine)) / _FINE + 0.5) / RATE, fine[:, 0] / fine[:, 1]
