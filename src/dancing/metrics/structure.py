"""The form of a dance: does it follow that of the music, and how often does it repeat itself?

A dance is cut into blocks of eight counts (`dancing.music.counts`), as dancers count, and blocks
are compared with each other. Conventions are those of `dancing.metrics.motion`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import rankdata

from dancing.body.skeleton import BODY_JOINTS, HIPS, MIRROR
from dancing.metrics.motion import RATE, at_common_rate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dancing.music.counts import Counts

    Floats = NDArray[np.float64]

BLOCK = 8
"""Counts of a block."""
SAME = 0.15
"""Torso lengths below which two blocks are the same pattern; see `patterns`."""
FEWEST = 5
"""Blocks below which there is no form to speak of."""
_PER_COUNT = 4  # poses compared


class Form(NamedTuple):
    """How far the form of a dance is that of its music; see `form`.

    Attributes:
        correlation: rank correlation of the two self-similarities, -1 to 1.
        shifted: the same of the dance moved by whole blocks, on average: what chance gives.
    """

    correlation: float
    shifted: float


def block_edges(counts: Counts, duration: float) -> Floats:
    """When the counts of each whole block of eight begin: (N, 9) seconds, the last its end.

    Blocks begin with a phrase; where phrases are unknown, with the first count in the music.

    Args:
        counts: see `dancing.music.counts.count`.
        duration: of the dance, seconds.
    """
    inside = np.flatnonzero((counts.times >= 0) & (counts.times <= duration + 1e-6))
    begins = inside[counts.phase[inside] == 0] if (counts.phase >= 0).any() else inside[:1]
    if not len(begins):
        return np.zeros((0, BLOCK + 1))
    firsts = np.arange(begins[0], inside[-1] - BLOCK + 1, BLOCK)
    edges: Floats = counts.times[firsts[:, None] + np.arange(BLOCK + 1)]
    return edges


def block_distances(
    landmarks: ArrayLike,
    fps: float,
    edges: ArrayLike,
    *,
    aspect: float = 1.0,
    visibility: ArrayLike | None = None,
) -> Floats:
    """How far the blocks of a dance are from each other.

    The mean distance of the body joints J over 32 moments of the block, four a count, in the body
    frame and from the block's mean mid-hip: where in the room a block is danced does not matter,
    its path does, nor does the tempo. Blocks are compared with each other as they are and
    mirrored, and the nearer counts.

    Args:
        landmarks: (T, 33, 2) in [0, 1] of the picture.
        fps: frames a second.
        edges: (N, 9) seconds; see `block_edges`.
        aspect: the picture's width over height.
        visibility: (T, 33) in [0, 1], or None where all is seen.

    Returns:
        (N, N) torso lengths, symmetric, 0 on the diagonal.
    """
    points, _ = at_common_rate(landmarks, fps, aspect, visibility)
    edges = np.asarray(edges, np.float64).reshape(-1, BLOCK + 1)
    blocks = _sampled(points.reshape(len(points), -1), edges)
    blocks = blocks.reshape(*blocks.shape[:2], 33, 2)
    blocks = blocks - blocks[:, :, HIPS].mean((1, 2), keepdims=True)
    mirrored = blocks[:, :, list(MIRROR)] * [-1.0, 1.0]
    joints = list(BODY_JOINTS)

    def apart(one: Floats, others: Floats) -> Floats:
        difference = others[:, :, joints] - one[:, joints]
        distance: Floats = np.hypot(difference[..., 0], difference[..., 1]).mean((1, 2))
        return distance

    found = np.zeros((len(blocks), len(blocks)))
    for k, block in enumerate(blocks):
        found[k] = np.minimum(apart(block, blocks), apart(block, mirrored))
    return found


def sound_distances(mfcc: ArrayLike, edges: ArrayLike) -> Floats:
    """How different blocks of the music sound: (N, N), 0 on the diagonal.

    Euclidean distance of the mean and the standard deviation of each MFCC over the block, z-scored
    over the blocks.

    Args:
        mfcc: (T, n) at 30 rows a second.
        edges: (N, 9) seconds; see `block_edges`.
    """
    edges = np.asarray(edges, np.float64).reshape(-1, BLOCK + 1)
    sound = _sampled(np.asarray(mfcc, np.float64), edges)
    features = np.concatenate([sound.mean(1), sound.std(1)], 1)
    if len(features):
        features = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    distances: Floats = np.linalg.norm(features[:, None] - features, axis=-1)
    return distances


def form(motion: ArrayLike, sound: ArrayLike) -> Form | None:
    """Whether passages that sound alike are danced alike.

    Spearman's rank correlation of the distances of all pairs of blocks in the dance
    (`block_distances`) with those in the music (`sound_distances`).

    The control is the mean of the same over all shifts of the dance by whole blocks, around its
    end: it keeps that neighbours resemble each other, which gives some correlation to every dance
    that changes slowly. Random orders would have 0.

    Returns:
        None for fewer than five blocks, or where either does not vary.
    """
    motion, sound = np.asarray(motion, np.float64), np.asarray(sound, np.float64)
    number = len(motion)
    if number < FEWEST:
        return None
    pairs = np.triu_indices(number, 1)
    heard = _ranks(sound[pairs])

    def against(shift: int) -> float:
        moved = np.roll(motion, (shift, shift), (0, 1))
        return float((_ranks(moved[pairs]) * heard).mean())

    if not heard.any() or not _ranks(motion[pairs]).any():
        return None
    return Form(against(0), float(np.mean([against(shift) for shift in range(1, number)])))


def patterns(distances: ArrayLike, limit: float = SAME) -> NDArray[np.intp]:
    """Which pattern each block is: (N,) numbers from 0, in the order of their first appearance.

    A block is the pattern whose first block is nearest, if that is nearer than `limit`; else it
    begins a new one. The number of different patterns is the largest number plus 1.

    The limit was set on choreography whose moves are known, 1,585 pairs of blocks: as many pairs of
    the same moves are further apart (12 of 47) as pairs of different moves are nearer (14).

    Args:
        distances: (N, N) torso lengths; see `block_distances`.
        limit: torso lengths.
    """
    distances = np.asarray(distances, np.float64)
    firsts: list[int] = []
    found = np.zeros(len(distances), np.intp)
    for k, row in enumerate(distances):
        near = row[firsts]
        if len(near) and near.min() < limit:
            found[k] = int(near.argmin())
        else:
            found[k] = len(firsts)
            firsts.append(k)
    return found


def longest_run(labels: ArrayLike) -> int:
    """How many times in a row a pattern is danced at most; 0 without blocks."""
    labels = np.asarray(labels)
    if not len(labels):
        return 0
    edges = np.flatnonzero(np.diff(labels) != 0)
    return int(np.diff(np.concatenate([[-1], edges, [len(labels) - 1]])).max())


def _sampled(rows: Floats, edges: Floats) -> Floats:
    """(N, 32, d) of rows (T, d) at RATE, at equal fractions of the counts of each block."""
    at = np.arange(BLOCK * _PER_COUNT) / _PER_COUNT
    low = at.astype(np.intp)
    seconds = edges[:, low] + (at - low) * (edges[:, low + 1] - edges[:, low])
    places = np.clip(seconds * RATE, 0, len(rows) - 1)
    before = np.floor(places).astype(np.intp)
    part = (places - before)[..., None]
    after = np.minimum(before + 1, len(rows) - 1)
    return rows[before] * (1 - part) + rows[after] * part


def _ranks(values: Floats) -> Floats:
    """Ranks with mean 0 and standard deviation 1; all 0 where the values are equal."""
    ranks = rankdata(values)
    ranks = ranks - ranks.mean()
    spread = ranks.std()
    scaled: Floats = ranks / spread if spread > 0 else ranks
    return scaled
