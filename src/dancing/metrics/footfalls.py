"""Footfalls: when feet land, and how well that meets the music's counts.

Conventions are those of `dancing.metrics.motion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.body.skeleton import LEGS
from dancing.metrics.motion import RATE, at_common_rate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


STEPPING = 0.6
"""Torso lengths a second that a foot has to exceed before it can land."""
LANDED = 0.2
"""Fraction of the step's peak speed below which a foot has landed."""
RESTING = 0.25
"""Torso lengths a second below which every foot has landed, so that trembling does not delay it."""


@dataclass(frozen=True)
class FootfallScore:
    """How well feet land on the music's half beats; see `footfall_score`.

    Attributes:
        on: mean cosine of the phase between half beats, -1 to 1; 1 is on them, 0 is chance.
        distance: median distance to the nearest half beat in seconds.
        lag: median of the signed distance in seconds; above 0 feet land late.
        footfalls: how many there are between the first and the last beat.
    """

    on: float
    distance: float
    lag: float
    footfalls: int


def footfalls(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """The moments at which a foot lands.

    The speed of a foot is that of the faster of its heel and toe, smoothed by a Gaussian of one
    frame (1/30 s). A step begins when it rises beyond 0.6 torso lengths a second, and the foot
    lands when it falls through a fifth of the step's peak, or through 0.25 torso lengths a second
    if that is more. Feet that slide to a stop land too.

    On choreography with known contacts, three quarters of what is found is within 70 ms of a foot's
    coming to stand, and 85 to 90 % of those are found; the median is the same within 5 ms.

    Returns:
        (F,) float64 seconds from the first frame, rising, both feet together. Trembling of 0.005
        torso lengths in single frames hardly changes them.
    """
    points, seen = at_common_rate(landmarks, fps, aspect, visibility)
    feet = [[leg.heel, leg.toe] for leg in LEGS]
    found = [_landings(points[:, foot], np.all(seen[:, foot], axis=1)) for foot in feet]
    return np.sort(np.concatenate(found))


def footfall_score(
    landmarks: ArrayLike,
    fps: float,
    music_beats: ArrayLike,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> FootfallScore:
    """How well feet land on the counts: beats and the middles between two beats.

    For footfalls f (`footfalls`) between the first and the last beat, with p(f) in [0, 1) the
    place of f between the two half beats around it:

        on = mean over f of cos(2 pi p(f))

    Beside `beat_score` because the speed of the whole body can be made to meet beats without a
    step in time: a walk whose minima of speed are moved onto beats has an excess of 0.3 to 0.46,
    while its feet land anywhere. Choreography has 0.5 to 0.8; the same at other times 0.

    Caveats: a dance whose steps are even but beside the beat has any value from -1 to 1, so average
    over clips. Who never steps has 0. In swung music the middle is not where the off-beat is.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture.
        fps: frames a second.
        music_beats: seconds from the clip's first frame, in any order; those not finite are left
            out, equal ones count once. Beats outside the clip count too, so that its ends are
            between beats.
        aspect: the picture's width over height.
        visibility: (T, 33) in [0, 1], or None where all is seen.

    Returns:
        The score; all 0 without a footfall or with less than two beats.
    """
    beats = np.asarray(music_beats, np.float64).ravel()
    beats = np.unique(beats[np.isfinite(beats)])
    times = footfalls(landmarks, fps, aspect=aspect, visibility=visibility)
    if len(beats) < 2:
        return FootfallScore(0.0, 0.0, 0.0, 0)
    times = times[(times >= beats[0]) & (times <= beats[-1])]
    if not len(times):
        return FootfallScore(0.0, 0.0, 0.0, 0)
    halves = np.interp(np.arange(2 * len(beats) - 1) / 2, np.arange(len(beats)), beats)
    place = np.interp(times, halves, np.arange(len(halves)))
    offset = times - halves[np.rint(place).astype(np.intp)]
    return FootfallScore(
        float(np.cos(2 * np.pi * place).mean()),
        float(np.median(np.abs(offset))),
        float(np.median(offset)),
        len(times),
    )


def _landings(foot: Floats, seen: NDArray[np.bool_]) -> Floats:
    """When one foot, heel and toe (T, 2, 2), lands."""
    foot = gaussian_filter1d(foot, 1.0, axis=0, mode="nearest")
    ends = np.diff(foot, axis=0) * RATE
    speed = np.hypot(ends[..., 0], ends[..., 1]).max(1)
    found, stepping, peak, before = [], False, 0.0, np.inf
    for sample, (now, visible) in enumerate(zip(speed, seen[1:] & seen[:-1], strict=True)):
        if not visible:
            stepping, now = False, np.inf
        elif stepping:
            peak = max(peak, now)
            limit = max(LANDED * peak, RESTING)
            if now < limit:
                # A speed sits half a frame later than its first frame.
                found.append((sample - 0.5 + (before - limit) / (before - now)) / RATE)
                stepping = False
        elif now > max(STEPPING, before):
            stepping, peak = True, now
        before = now
    return np.array(found, np.float64)
