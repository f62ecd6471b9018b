"""Beats of sounds whose beats are known, and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from mir_eval.beat import f_measure  # untrimmed: the first five seconds count here
from scipy.signal import butter, sosfilt

from dancing.audio import SAMPLE_RATE, track_beats

RANDOM = np.random.default_rng(0)


def place(sound: np.ndarray, times: np.ndarray, seconds: float, gain: float = 1.0) -> np.ndarray:
    """(N,) float32 with the sound at each of the times."""
    result = np.zeros(int(seconds * SAMPLE_RATE) + len(sound), np.float32)
    for time in times:
        begin = round(time * SAMPLE_RATE)
        result[begin : begin + len(sound)] += gain * sound
    return result[: int(seconds * SAMPLE_RATE)]


def _drums() -> dict[str, np.ndarray]:
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = RANDOM.normal(size=len(time))
    high = sosfilt(butter(2, 6000, "high", fs=SAMPLE_RATE, output="sos"), noise)
    middle = sosfilt(butter(2, (800, 5000), "band", fs=SAMPLE_RATE, output="sos"), noise)
    return {
        "click": np.sin(2 * np.pi * 1500 * time) * np.exp(-time / 0.01),
        "kick": np.sin(2 * np.pi * (50 * time - 4 * np.exp(-time / 0.03))) * np.exp(-time / 0.08),
        "snare": 0.6 * middle * np.exp(-time / 0.05),
        "hat": 0.4 * high * np.exp(-time / 0.02),
    }


DRUMS = _drums()


def band(times: np.ndarray, seconds: float, **patterns: str) -> np.ndarray:
    """A drum pattern of sixteenths, x for a stroke, on beats of which the first is a downbeat."""
    steps = np.interp(np.arange(0, len(times) - 1, 0.25), np.arange(len(times)), times)
    return sum(
        place(DRUMS[drum], steps[[pattern[i % 16] == "x" for i in range(len(steps))]], seconds)
        for drum, pattern in patterns.items()
    )


ROCK = {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}
HOUSE = {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."}


@pytest.mark.parametrize("bpm", [60, 75, 80, 95, 110, 120, 128, 140, 160, 175, 200])
def test_clicks(bpm: int) -> None:
    true = np.arange(0.3, 20, 60 / bpm)
    beats = track_beats(place(DRUMS["click"], true, 20.0))
    readings = [true]
    if not 80 <= bpm <= 140:
        readings += [true[::2], true[1::2], np.arange(0.3, 20, 30 / bpm)]
    assert max(f_measure(beats.times, reading) for reading in readings) > 0.95
    assert 60 <= beats.tempo <= 200
    assert min(abs(beats.tempo / bpm - ratio) for ratio in (0.5, 1, 2)) < 0.02
    assert beats.confidence > 0.5


@pytest.mark.parametrize("pattern", [ROCK, HOUSE], ids=["rock", "house"])
@pytest.mark.parametrize("bpm", [84, 100, 117, 132])
def test_drums(pattern: dict[str, str], bpm: int) -> None:
    """The beat and not the off-beat, at its time."""
    true = np.arange(0.4, 24, 60 / bpm)
    beats = track_beats(band(true, 24.0, **pattern))
    assert f_measure(beats.times, true) > 0.95
    offsets = beats.times[:, None] - true
    nearest = offsets[np.arange(len(offsets)), np.abs(offsets).argmin(1)]
    assert abs(np.median(nearest)) < 0.015
    assert np.isin(beats.downbeats, beats.times).all()
    assert len(beats.times) / 4 - 1 <= len(beats.downbeats) <= len(beats.times) / 4 + 1


def test_a_bar_begins_at_the_chord() -> None:
    true = np.arange(0.4, 30, 0.5)
    sound = band(true, 30.0, **ROCK)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for number, begin in enumerate(true[::4]):
        root = (220, 174.6, 261.6, 196)[number % 4]
        chord = sum(np.sin(2 * np.pi * root * ratio * time) for ratio in (0.5, 1, 1.26, 1.5))
        chord = 0.1 * (chord * np.exp(-time)).astype(np.float32)
        sound += place(chord, np.array([begin]), 30.0)
    assert f_measure(track_beats(sound).downbeats, true[::4]) > 0.9


def test_a_drifting_tempo_is_followed() -> None:
    time = np.linspace(0, 40, 4001)
    bpm = 110 + 8 * np.sin(2 * np.pi * time / 25)
    count = np.concatenate([[0], np.cumsum((bpm[1:] + bpm[:-1]) / 2 / 60 * np.diff(time))])
    true = np.interp(np.arange(1, int(count[-1])), count, time)
    assert f_measure(track_beats(band(true, 40.0, **HOUSE)).times, true) > 0.95


def test_a_change_of_tempo_is_followed() -> None:
    true = np.concatenate([np.arange(0.3, 20, 60 / 96), np.arange(20.3, 40, 60 / 126)])
    assert f_measure(track_beats(place(DRUMS["click"], true, 40.0)).times, true) > 0.9


def test_other_sample_rates_and_loudness() -> None:
    true = np.arange(0.3, 15, 0.5)
    sound = band(true, 15.0, **HOUSE)
    for other, rate in ((sound[::2], SAMPLE_RATE // 2), (sound.repeat(2), SAMPLE_RATE * 2)):
        assert f_measure(track_beats(other, rate).times, true) > 0.95
    quiet = track_beats(sound * 1e-3)
    assert f_measure(quiet.times, track_beats(sound).times) == 1


def test_silence_around_a_song_has_no_beats() -> None:
    true = np.arange(5.2, 20, 0.5)
    times = track_beats(band(true, 26.0, **HOUSE)).times
    assert times[0] > 5.0 and times[-1] < 20.5
    assert f_measure(times, true) > 0.9


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.2, 1.0, 1.9, 2.0, 2.5, 3.0, 4.0])
def test_short_sounds_do_no_harm(seconds: float) -> None:
    count = int(seconds * SAMPLE_RATE)
    for sound in (
        np.zeros(count, np.float32),
        RANDOM.normal(size=count).astype(np.float32),
        place(DRUMS["click"], np.arange(0, seconds, 0.5), seconds),
    ):
        beats = track_beats(sound)
        assert beats.times.dtype == np.float64 and np.isfinite(beats.times).all()
        assert (np.diff(beats.times) > 0.2).all()
        assert bool(beats.tempo) == bool(len(beats.times))


@pytest.mark.parametrize("kind", ["silence", "constant", "tone", "noise", "impulse"])
def test_no_pulse_no_beats(kind: str) -> None:
    count = 20 * SAMPLE_RATE
    sound = {
        "silence": np.zeros(count),
        "constant": np.full(count, 0.5),
        "tone": 0.5 * np.sin(2 * np.pi * 220 * np.arange(count) / SAMPLE_RATE),
        "noise": RANDOM.normal(size=count) * 0.1,
        "impulse": np.eye(1, count, count // 2)[0],
    }[kind].astype(np.float32)
    beats = track_beats(sound)
    assert len(beats.times) == 0 and len(beats.downbeats) == 0
    assert beats.tempo == 0
