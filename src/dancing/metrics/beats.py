"""Beats of the movement, and how well they meet those of the music.

Conventions are those of `dancing.metrics.motion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import find_peaks

from dancing.metrics.motion import joint_speed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


BEAT_TOLERANCE = 0.05
"""Standard deviation in seconds of the reward for a beat that is nearly met."""
REST = 1e-4
"""Differences of speed below this, in torso lengths a second, are rounding, not movement."""
_SHIFTS = 200


@dataclass(frozen=True)
class BeatScore:
    """How well movement keeps to the beat; see `beat_score`.

    Attributes:
        recall: how well the music's beats are met by motion beats, in [0, 1].
        precision: how well the motion beats meet music beats, in [0, 1].
        chance: the mean of recall and precision expected of the same movement at random times.
        excess: (mean of recall and precision - chance) / (1 - chance); 0 is chance, 1 perfect.
        music_beats: how many beats of the music lie within the clip.
        motion_beats: how many beats the movement has.
    """

    recall: float
    precision: float
    chance: float
    excess: float
    music_beats: int
    motion_beats: int

    @property
    def score(self) -> float:
        """The mean of recall and precision, not corrected for chance."""
        return (self.recall + self.precision) / 2


def motion_beats(
    landmarks: ArrayLike,
    fps: float,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """The moments at which the body comes to rest or changes direction.

    The local minima of the smoothed speed curve (`joint_speed`), with sub-frame positions. Ripple
    of rounding is no minimum: the curve has to rise by more than 0.0001 torso lengths a second on
    both sides. A minimum sits in the middle of the stretch that lies within half of that of its
    bottom, so a rest is one beat, at its centre. A clip that does not move, or moves at constant
    speed, has none, nor has a rest at either end of a clip.

    After Li et al., "AI Choreographer", ICCV 2021. Public code smooths by a number of frames (83 ms
    are the usual 5 at 60 fps), so its figures change with the frame rate.

    Returns:
        (B,) float64 seconds from the first frame, rising. From 15 to 60 fps the same smooth
        movement has the same beats within 3 ms, except in the last tenth of a second.
    """
    return _minima(*joint_speed(landmarks, fps, aspect=aspect, visibility=visibility))


def beat_score(
    landmarks: ArrayLike,
    fps: float,
    music_beats: ArrayLike,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
    seed: int = 0,
) -> BeatScore:
    """How well the movement keeps to the beat, above chance.

    For music beats m and motion beats d (`motion_beats`):

        recall    = mean over m of exp(-min_d |m - d|^2 / (2 * 0.05^2))
        precision = mean over d of exp(-min_m |m - d|^2 / (2 * 0.05^2))
        excess    = (s - c) / (1 - c),   s = (recall + precision) / 2

    where c is the mean of s over 200 random circular shifts of the music beats within the clip's
    duration T / fps, drawn by a generator seeded with `seed`. So 0 is chance and 1 is perfect.
    Good choreography reaches about 0.35 to 0.4: a dancer also moves between the beats.

    Why not the published Beat Align Score (precision alone, AI Choreographer, ICCV 2021): real
    dance scores barely above chance in it, and movement that trembles has many motion beats, of
    which one is always near. Here trembling raises chance by as much.

    Caveats: in one clip of 10 s excess scatters by about 0.1 around 0 by chance, so average over
    clips. Beats at the very first or last frame cannot be met, since no minimum lies there. A
    motion beat is the middle of a rest: who stops on the beat and holds for 0.1 s is 50 ms late.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture.
        fps: frames a second.
        music_beats: seconds from the clip's first frame, in any order; those outside the clip
            and those not finite are left out, equal ones count once.
        aspect: the picture's width over height.
        visibility: (T, 33) in [0, 1], or None where all is seen.
        seed: of the random shifts.

    Returns:
        The score. Without music beats all of it is 0; without motion beats too (doing nothing is
        chance), never NaN.
    """
    motion = motion_beats(landmarks, fps, aspect=aspect, visibility=visibility)
    duration = len(np.asarray(landmarks)) / fps
    music = np.asarray(music_beats, np.float64).ravel()
    music = np.unique(music[(music >= 0) & (music < duration)])
    if not music.size or not motion.size:
        return BeatScore(0.0, 0.0, 0.0, 0.0, music.size, motion.size)
    recall, precision = (float(value[0]) for value in _hits(music[None], motion))
    shifts = np.random.default_rng(seed).uniform(0, duration, _SHIFTS)
    shifted = np.sort((music + shifts[:, None]) % duration, axis=1)
    chance = float(np.mean(_hits(shifted, motion)))
    above = (recall + precision) / 2 - chance
    excess = above / (1 - chance) if chance < 1 - 1e-9 else 0.0
    return BeatScore(recall, precision, chance, excess, music.size, motion.size)


def _minima(times: Floats, speed: Floats) -> Floats:
    if len(speed) < 3:
        return np.zeros(0)
    bottoms, _ = find_peaks(-speed, prominence=REST)
    found = []
    for bottom in bottoms:
        level = speed[bottom] + REST / 2
        above = np.flatnonzero(speed > level)
        place = np.searchsorted(above, bottom)
        # The prominence says that both exist.
        left, right = above[place - 1], above[place]
        down = np.interp(level, speed[[left + 1, left]], times[[left + 1, left]])
        up = np.interp(level, speed[[right - 1, right]], times[[right - 1, right]])
        found.append((down + up) / 2)
    # Bottoms of exactly the same depth in one rest give the same time.
    return np.unique(np.array(found, np.float64))


def _hits(music: Floats, motion: Floats) -> tuple[Floats, Floats]:
    """Recall and precision (S,) of motion beats (D,) against rows of rising music beats (S, M)."""
    recall = _reward(_nearest(motion, music))
    # All rows in one rising list: apart by more than any distance within a row.
    gap = 4 * (1 + max(np.abs(music).max(), np.abs(motion).max()))
    offsets = gap * np.arange(len(music))[:, None]
    precision = _reward(_nearest((music + offsets).ravel(), motion + offsets))
    return recall.mean(1), precision.mean(1)


def _nearest(references: Floats, values: Floats) -> Floats:
    """Distance of each value to the nearest of the rising references."""
    right = np.minimum(np.searchsorted(references, values), len(references) - 1)
    left = np.maximum(right - 1, 0)
    distance: Floats = np.minimum(
        np.abs(values - references[left]), np.abs(values - references[right])
    )
    return distance


def _reward(distance: Floats) -> Floats:
    reward: Floats = np.exp(-(distance**2) / (2 * BEAT_TOLERANCE**2))
    return reward
