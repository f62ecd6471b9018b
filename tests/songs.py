"""Songs made for tests, whose beats are known to the sample, and how well beats were heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from dancing.media import SAMPLE_RATE


def place(sound: np.ndarray, times: np.ndarray, seconds: float, gain: float = 1.0) -> np.ndarray:
    """(N,) float32 with the sound at each of the times."""
    result = np.zeros(int(seconds * SAMPLE_RATE) + len(sound), np.float32)
    for time in times:
        begin = round(time * SAMPLE_RATE)
        result[begin : begin + len(sound)] += gain * sound
    return result[: int(seconds * SAMPLE_RATE)]


def _drums() -> dict[str, np.ndarray]:
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(size=len(time))
    high = sosfilt(butter(2, 6000, "high", fs=SAMPLE_RATE, output="sos"), noise)
    middle = sosfilt(butter(2, (800, 5000), "band", fs=SAMPLE_RATE, output="sos"), noise)
    return {
        "click": np.sin(2 * np.pi * 1500 * time) * np.exp(-time / 0.01),
        "kick": np.sin(2 * np.pi * (50 * time - 4 * np.exp(-time / 0.03))) * np.exp(-time / 0.08),
        "snare": 0.6 * middle * np.exp(-time / 0.05),
        "hat": 0.4 * high * np.exp(-time / 0.02),
        "wood": 0.5 * np.sin(2 * np.pi * 900 * time) * np.exp(-time / 0.015),
    }


DRUMS = _drums()


def band(times: np.ndarray, seconds: float, **patterns: str) -> np.ndarray:
    """A drum pattern of sixteenths, x for a stroke, on beats of which the first is a downbeat."""
    steps = np.interp(np.arange(0, len(times) - 1, 0.25), np.arange(len(times)), times)
    return sum(
        place(
            DRUMS[drum],
            steps[[pattern[i % len(pattern)] == "x" for i in range(len(steps))]],
            seconds,
        )
        for drum, pattern in patterns.items()
    )


def chords(times: np.ndarray, seconds: float, roots: tuple[float, ...], pluck: float) -> np.ndarray:
    """A chord on every downbeat, the first of four beats, that dies away within `pluck` seconds."""
    time = np.arange(int(2.5 * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    for number, begin in enumerate(times[::4]):
        root = roots[number % len(roots)]
        chord = sum(np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 1.26, 1.5, 2))
        shape = np.minimum(time / 0.01, 1) * np.exp(-time / pluck)
        sound += place(0.08 * (chord * shape).astype(np.float32), np.array([begin]), seconds)
    return sound


def bass(times: np.ndarray, seconds: float, pattern: str, roots: tuple[float, ...]) -> np.ndarray:
    """Short low notes at the strokes of a pattern of sixteenths, a root for each bar."""
    time = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    steps = np.interp(np.arange(0, len(times) - 1, 0.25), np.arange(len(times)), times)
    sound = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    for number, root in enumerate(roots):
        note = np.sin(2 * np.pi * root / 2 * time) + 0.4 * np.sin(2 * np.pi * root * time)
        note = 0.3 * note * np.minimum(time / 0.005, 1) * np.exp(-time / 0.12)
        chosen = [
            pattern[i % 16] == "x" and i // 16 % len(roots) == number for i in range(len(steps))
        ]
        sound += place(note.astype(np.float32), steps[chosen], seconds)
    return sound


@dataclass(frozen=True)
class Style:
    """Drum patterns of a bar of sixteenths, harmony, bass, and the tempi that are usual."""

    drums: dict[str, str]
    tempi: tuple[float, ...]
    roots: tuple[float, ...] = (220.0, 174.6, 261.6, 196.0)
    bass: str = ""
    pluck: float = 1.0


STYLES = {
    "house": Style(
        {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."},
        (120, 126),
        bass="..x...x...x...x.",
        pluck=0.3,
    ),
    "rock": Style(
        {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        (96, 116, 138),
        bass="x.x.x.x.x.x.x.x.",
    ),
    "hip-hop": Style(
        {"kick": "x..x......x..x..", "snare": "....x.......x..x", "hat": "x.xxx.x.x.xxx.x."},
        (84, 93),
        bass="x..x......x.....",
    ),
    "disco": Style(
        {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        (108, 118),
        bass="x.x.x.x.x.x.x.x.",
        pluck=0.2,
    ),
    "reggaeton": Style(
        {"kick": "x...x...x...x...", "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."},
        (90, 98),
        bass="x..x..x.x..x..x.",
        pluck=0.4,
    ),
    "bossa": Style(
        {"kick": "x..xx..xx..xx..x", "wood": "x..x..x...x..x..", "hat": "xxxxxxxxxxxxxxxx"},
        (100, 120),
        bass="x..xx..xx..xx..x",
        pluck=0.5,
    ),
    "ballad": Style(
        {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x...x...x...x..."},
        (72, 80),
        bass="x.......x.......",
        pluck=2.0,
    ),
    "drum and bass": Style(
        {"kick": "x.........x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        (86,),  # heard so; at 172 the beats lie outside of what is told apart
        bass="x.....x...x.....",
    ),
}


def in_style(style: str, tempo: float, seconds: float = 22.0) -> tuple[np.ndarray, np.ndarray]:
    """A song (N,) float32, and its beats, of which the first is a downbeat."""
    chosen = STYLES[style]
    true = np.arange(0.4, seconds, 60 / tempo)
    sound = band(true, seconds, **chosen.drums) + chords(true, seconds, chosen.roots, chosen.pluck)
    if chosen.bass:
        sound = sound + bass(true, seconds, chosen.bass, chosen.roots)
    noise = np.random.default_rng(1).normal(0, 0.002, len(sound))
    return (sound + noise).astype(np.float32), true
