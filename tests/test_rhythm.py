"""Counts: beats that are too fast, too slow or missing still give a pulse to dance to."""

import numpy as np
import pytest

from dancing.music import counts as rhythm


def beats_at(tempo, seconds=30.0, start=0.3):
    return np.arange(start, seconds, 60 / tempo)


@pytest.mark.parametrize(
    ("tempo", "counted"), [(60, 120), (74, 148), (100, 100), (149, 149), (160, 80), (200, 100)]
)
def test_every_tempo_is_counted_within_one_octave(tempo, counted):
    beats = beats_at(tempo)
    counts = rhythm.count(beats, None, 30.0)
    assert np.allclose(counts.tempo, counted)
    on_beats = np.abs(counts.times[:, None] - beats).min(0)
    assert (on_beats < 1e-9).mean() >= min(1, counted / tempo) - 0.02, "counts lie on beats"
    assert counts.times[0] < 0 and counts.times[-1] > 30
    assert (counts.phase == -1).all(), "without downbeats the place in the phrase is unknown"


@pytest.mark.parametrize("tempo", [70, 120, 180])
def test_phrases_begin_on_downbeats(tempo):
    beats = beats_at(tempo)
    counts = rhythm.count(beats, beats[3::4], 30.0)
    first = counts.times[counts.phase == 0]
    assert np.abs(first[:, None] - beats[3::4]).min(1)[1:-1].max() < 1e-9
    assert np.array_equal(np.diff(counts.phase) % 8, np.ones(len(counts) - 1))


def test_missing_beats_are_filled_and_doubled_ones_dropped():
    beats = beats_at(100)
    broken = np.sort(np.append(np.delete(beats, [7, 20, 21]), beats[10] + 0.01))
    assert np.allclose(
        rhythm.count(broken, None, 30.0).times, rhythm.count(beats, None, 30.0).times
    )


def test_a_tempo_that_changes_is_followed():
    beats = np.concatenate([beats_at(100, 15), 15 + beats_at(125, 15)])
    counts = rhythm.count(beats, None, 30.0)
    assert np.median(counts.tempo[counts.times < 14]) == pytest.approx(100)
    assert np.median(counts.tempo[counts.times > 16]) == pytest.approx(125)


@pytest.mark.parametrize("beats", [[], [1.0], [1.0, 1.5, 2.0]])
def test_without_beats_a_slow_pulse_is_made_up(beats):
    counts = rhythm.count(np.array(beats), np.zeros(0), 10.0)
    assert not counts.heard
    assert np.allclose(counts.tempo, rhythm.MADE_UP)
    assert counts.times[0] <= 0 and counts.times[-1] >= 10


def music(levels):
    """MFCC of sound at these decibels."""
    rows = np.zeros((len(levels), 13), np.float32)
    rows[:, 0] = np.array(levels) * np.sqrt(128)
    return rows


def test_calm_passages_have_less_energy_and_steady_songs_no_surge():
    counts = rhythm.count(beats_at(120), None, 30.0)
    calm = counts.times < 15
    inside = (counts.times > 1) & (counts.times < 29) & (np.abs(counts.times - 15) > 2)
    surge = rhythm.surge(rhythm.energy(music([-30.0] * 450 + [-20.0] * 450), counts))
    assert surge[inside & calm].max() < surge[inside & ~calm].min() - 0.5
    steady = rhythm.surge(rhythm.energy(music([-20.0, -20.5] * 450), counts))
    assert np.abs(steady[inside]).max() < 0.2


def test_silence_is_told_from_music_and_from_nothing():
    song = music([-20.0] * 100 + [-80.0] * 50 + [-25.0] * 100)
    sounds = rhythm.sounding(song, 250)
    assert sounds[:100].all() and sounds[150:].all() and not sounds[100:150].any()
    assert not rhythm.sounding(music([-100.0] * 60), 60).any(), "a song of nothing"
    assert rhythm.sounding(music([-30.0] * 60), 60).all(), "a steady tone"
