"""Forms of dances that are made of known blocks."""

import numpy as np
import pytest

from dancing.body.skeleton import MIRROR
from dancing.metrics import (
    block_distances,
    block_edges,
    form,
    longest_run,
    patterns,
    sound_distances,
)
from dancing.music.counts import count

TEMPO = 120
BEAT = 60 / TEMPO
FRAMES = round(8 * BEAT * 30)


def a_block(seed):
    """(FRAMES, 33, 2): eight counts of smooth movement, from rest to rest, torso 0.2 long."""
    generator = np.random.default_rng(seed)
    part = np.arange(FRAMES) / FRAMES
    rates, phases = generator.integers(1, 5, (33, 2)), generator.uniform(0, 2 * np.pi, (33, 2))
    moves = (
        0.1
        * np.sin(np.pi * part)[:, None, None]
        * np.sin(2 * np.pi * rates * part[:, None, None] + phases)
    )
    rest = np.full((33, 2), 0.5)
    rest[11:23:2], rest[12:23:2] = [0.56, 0.35], [0.44, 0.35]
    rest[23:33:2], rest[24:33:2] = [0.54, 0.55], [0.46, 0.55]
    moves[:, [11, 12, 23, 24]] *= 0.1
    return rest + moves


def mirrored(block):
    return block[:, list(MIRROR)] * [-1, 1] + [1, 0]


def a_dance(seeds):
    return np.concatenate([a_block(seed) for seed in seeds])


def a_sound(seeds):
    """MFCC (T, 13) that sound alike where the seeds are equal."""
    return np.concatenate(
        [
            np.random.default_rng([7, seed]).normal(0, 10, 13) + np.zeros((FRAMES, 13))
            for seed in seeds
        ]
    )


def edges_of(number):
    beats = np.arange(number * 8 + 1) * BEAT
    return block_edges(count(beats, beats[::4], number * 8 * BEAT), number * 8 * BEAT)


def test_blocks_are_whole_and_begin_with_a_phrase():
    beats = 0.25 + np.arange(40) * BEAT
    edges = block_edges(count(beats, beats[2::4], 20.0), 20.0)
    # The first downbeat begins a phrase.
    assert edges[:, 0] == pytest.approx(0.25 + np.arange(2, 27, 8) * BEAT)
    assert edges[-1, -1] <= 20
    assert edges[:-1, -1] == pytest.approx(edges[1:, 0])
    unknown = block_edges(count(beats, None, 20.0), 20.0)
    assert unknown[0, 0] == pytest.approx(0.25)
    assert block_edges(count(beats, None, 3.0), 3.0).shape == (0, 9)


def test_the_same_moves_are_near_mirrored_elsewhere_and_at_another_tempo():
    dance = np.concatenate(
        [
            a_block(1),
            a_block(2),
            mirrored(a_block(1)),
            a_block(1) + np.array([0.2, 0.0]),
            a_block(3),
        ]
    )
    distances = block_distances(dance, 30, edges_of(5))
    assert distances == pytest.approx(distances.T, abs=1e-6)
    assert np.diag(distances) == pytest.approx(0)
    assert distances[0, 2] < 0.02 and distances[0, 3] < 0.02
    assert distances[0, [1, 4]].min() > 0.15
    assert list(patterns(distances)) == [0, 1, 0, 0, 2]
    slow = np.repeat(dance, 2, axis=0)
    assert block_distances(slow, 60, edges_of(5)) == pytest.approx(distances, abs=0.02)
    assert block_distances(slow, 30, edges_of(5) * 2) == pytest.approx(distances, abs=0.02)


def test_a_dance_that_follows_the_form_of_its_song_is_told_from_one_that_does_not():
    edges = edges_of(10)
    follows, shifted, varies, ignores = [], [], [], []
    for song in range(6):
        # A chorus of two blocks comes three times; what is between is new.
        blocks = np.array([1, 2, 0, 3, 4, 1, 2, 5, 1, 2]) + 10 * song
        sound = sound_distances(a_sound(blocks), edges)
        found = form(block_distances(a_dance(blocks), 30, edges), sound)
        follows.append(found.correlation)
        shifted.append(found.shifted)
        # The chorus mirrored is still the chorus.
        dance = [mirrored(a_block(b)) if k > 4 else a_block(b) for k, b in enumerate(blocks)]
        distances = block_distances(np.concatenate(dance), 30, edges)
        varies.append(form(distances, sound).correlation)
        new = a_dance(range(100 * song, 100 * song + 10))
        ignores.append(form(block_distances(new, 30, edges), sound).correlation)
    assert np.mean(follows) > 0.25
    assert np.mean(varies) == pytest.approx(np.mean(follows), abs=0.05)
    assert np.mean(shifted) < np.mean(follows) - 0.15
    assert abs(np.mean(ignores)) < 0.2


def test_a_dance_that_drifts_is_no_better_than_its_control():
    # Neighbours resemble each other in both, and nothing else.
    drift = np.abs(np.subtract.outer(np.arange(12.0), np.arange(12.0)))
    found = form(drift, drift)
    assert found.correlation == pytest.approx(1)
    assert found.shifted > 0.2
    assert form(drift[:4, :4], drift[:4, :4]) is None
    assert form(np.zeros((6, 6)), drift[:6, :6]) is None


def test_patterns_and_runs():
    far, near = 1.0, 0.1
    distances = np.full((5, 5), far)
    for a, b in ((0, 1), (1, 2), (0, 4)):
        distances[a, b] = distances[b, a] = near
    np.fill_diagonal(distances, 0)
    # The third is near the second, but not near the first of its pattern.
    assert list(patterns(distances)) == [0, 0, 1, 2, 0]
    assert list(patterns(np.zeros((0, 0)))) == []
    assert longest_run([0, 0, 1, 1, 1, 0]) == 3
    assert longest_run([4]) == 1
    assert longest_run([]) == 0
