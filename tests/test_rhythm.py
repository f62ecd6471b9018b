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


def test_most_downbeats_decide_where_bars_begin():
    beats = beats_at(120)
    heard = np.sort(np.append(beats[3::4], beats[[1, 14]]))
    counts = rhythm.count(beats, heard, 30.0)
    first = counts.times[counts.phase % 4 == 0]
    assert np.abs(first[:, None] - beats[3::4]).min(1)[1:-1].max() < 1e-9
    # The phrase begins with the bar in which the first one lies.
    np.testing.assert_allclose(
        counts.times[(counts.phase == 0) & (counts.times > 0.3)], beats[3::8], atol=1e-9
    )


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_bars_of_counts_begin_on_downbeats_at_any_tempo(first):
    """Bars of four counts: two of the music's at 180 beats a minute, half of one at 70."""
    for tempo, bar in ((180, 8), (120, 4), (70, 2)):
        beats = beats_at(tempo)
        counts = rhythm.count(beats, beats[first::4], 30.0)
        begins = counts.times[(counts.phase % 4 == 0) & (counts.times > 0.2)]
        exact = (begins[begins < 29] - 0.3) * tempo / 60
        places = np.rint(exact).astype(int)
        np.testing.assert_allclose(exact, places, atol=1e-6)
        assert (np.diff(places) == bar).all()
        assert (places[0] - first) % min(bar, 4) == 0


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


def test_energy_is_the_mean_of_the_counts_before_and_after():
    counts = rhythm.count(beats_at(120, start=0.0), None, 30.0)
    levels = rhythm.energy(music([-30.0] * 450 + [-20.0] * 450), counts)
    at = {round(time, 3): level for time, level in zip(counts.times, levels, strict=True)}
    # Below the loud passages, -20; at 15 s it is half of both.
    assert [at[time] for time in (14.0, 14.5, 15.0, 15.5, 16.0)] == pytest.approx(
        [-10, -10, -5, 0, 0], abs=1e-5
    )
    silent = rhythm.energy(music([-100.0] * 450 + [-20.0] * 450), counts)
    assert silent.min() == -40, "no deeper than that"


def test_surge_is_smoothed_over_a_bar_and_in_deviations_of_the_song():
    levels = np.zeros(101)
    levels[50] = 10.0
    weights = np.exp(-((np.arange(101) - 50) ** 2) / 8)
    # It hardly varies, so the unit is 2 dB.
    expected = 10 * weights / weights.sum() / 2
    np.testing.assert_allclose(rhythm.surge(levels), expected, atol=1e-3)
    wave = np.sin(2 * np.pi * np.arange(640) / 64)
    # Whatever the size of a large swing, its deviation is one.
    inside = slice(64, -64)
    for size in (10.0, 20.0):
        found = rhythm.surge(size * wave)
        np.testing.assert_allclose(found[inside], np.sqrt(2) * wave[inside], atol=0.02)
    assert rhythm.surge(np.append(np.zeros(100), 60 * np.ones(9))).max() == 1.5
    assert rhythm.surge(np.append(np.zeros(100), -60 * np.ones(9))).min() == -2.5


def test_calm_music_has_a_shape_and_is_no_silence():
    rows = music([-20.0] * 100 + [-60.0] * 100)
    assert not rhythm.sounding(rows, 200)[100:].any()
    # The spectrum's deviation from a constant, root mean square over 128 bands.
    for shape, sounds in ((1.9, False), (2.1, True)):
        rows[100:, 3] = shape * np.sqrt(128)
        assert (rhythm.sounding(rows, 200)[100:] == sounds).all()
    for level, sounds in ((-34.9, True), (-35.1, False)):
        assert rhythm.sounding(music([-20.0] * 100 + [level]), 101)[100] == sounds


def test_silence_is_told_from_music_and_from_nothing():
    song = music([-20.0] * 100 + [-80.0] * 50 + [-25.0] * 100)
    sounds = rhythm.sounding(song, 250)
    assert sounds[:100].all() and sounds[150:].all() and not sounds[100:150].any()
    assert not rhythm.sounding(music([-100.0] * 60), 60).any(), "a song of nothing"
    assert rhythm.sounding(music([-30.0] * 60), 60).all(), "a steady tone"
