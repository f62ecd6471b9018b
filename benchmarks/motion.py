"""What `dancing evaluate motion` does not show: speed, very long songs, obedience to the music.

    python benchmarks/motion.py [SONG...] [--motion NAME] [--minutes M] [--poses FILE...]
                                [--markdown]

Each song is repeated to three minutes for the speed and for the different patterns of eight counts
that are danced (docs/metrics.md), beside those of pose files with beats, such as choreographies of
three minutes; and to M minutes (10) for what a long dance does: its last minute against its first,
and speed and jerk where windows join against elsewhere.
The music's hold on the dance is the rank correlation of loudness and movement over bars, and how
much more the movement changes where a phrase of eight counts begins than in its middle.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from dancing import metrics
from dancing.body.poses import PoseSequence, body_frame
from dancing.media import SAMPLE_RATE
from dancing.media.sound import load_audio
from dancing.metrics import beat_score, foot_sliding, jerk, motion_magnitude
from dancing.motion.choreographer import Choreographer
from dancing.music import counts as rhythm
from dancing.music.song import Song, load_song

SONG = Path(__file__).parent.parent / "examples" / "song.ogg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="*", type=Path, default=[SONG])
    parser.add_argument("--motion", default="default")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--poses", nargs="*", type=Path, default=[])
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    choreographer = Choreographer(arguments.motion)
    rows: list[tuple[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.songs:
            figures: dict[str, float] = {}
            three = load(repeated(path, 3, Path(folder)), figures)
            begin = time.perf_counter()
            short = choreographer(three)
            figures["motion s"] = time.perf_counter() - begin
            spent = figures["features s"] + figures["motion s"]
            figures["times real time"] = three.duration / spent
            figures |= form(short, three)
            long = load(repeated(path, arguments.minutes, Path(folder)), {})
            dance = choreographer(long)
            figures |= ends(dance, long) | seams(dance, long) | hold(dance, long)
            rows.append((path.stem, figures))
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    names = list(rows[0][1])
    bar = "|" if arguments.markdown else " "
    print(f"{bar} {f' {bar} '.join(['song', *names])} {bar}")
    if arguments.markdown:
        print("|---" * (len(names) + 1) + "|")
    for name, figures in rows:
        values = [f"{figures[key]:.2f}" for key in names]
        print(f"{bar} {f' {bar} '.join([name, *values])} {bar}")
    for path in arguments.poses:
        poses = PoseSequence.load(path)
        found = ", ".join(f"{key} {value:g}" for key, value in repeats(poses[: 180 * 30]).items())
        print(f"{path.stem}: {found}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(f"\n{arguments.minutes:g} minutes; peak memory {peak:.0f} MB")


def repeated(path: Path, minutes: float, folder: Path) -> Path:
    """The song again and again until it lasts so long, as a file."""
    audio = load_audio(path)
    wanted = round(minutes * 60 * SAMPLE_RATE)
    sound = np.tile(audio, -(-wanted // len(audio)))[:wanted]
    target = folder / f"{path.stem}_{minutes:g}.wav"
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return target


def load(path: Path, figures: dict[str, float]) -> Song:
    begin = time.perf_counter()
    song = load_song(path)
    figures["features s"] = time.perf_counter() - begin
    return song


def ends(dance: PoseSequence, song: Song) -> dict[str, float]:
    """Measures of the last minute over those of the first."""
    found = []
    for part in (dance[: 60 * 30], dance[-60 * 30 :]):
        seen = {"aspect": part.aspect}
        found.append(
            {
                "motion": motion_magnitude(part.landmarks, 30, **seen),
                "jerk": jerk(part.landmarks, 30, **seen),
                "excess": beat_score(part.landmarks, 30, part.beats, **seen).excess,
                "sliding": foot_sliding(part.landmarks, 30, **seen),
            }
        )
    first, last = found
    figures = {f"last/first {key}": last[key] / first[key] for key in ("motion", "jerk", "excess")}
    return figures | {"sliding first": first["sliding"], "sliding last": last["sliding"]}


def form(dance: PoseSequence, song: Song) -> dict[str, float]:
    """How far the form of the dance is that of the song, and how much it repeats itself."""
    edges = metrics.block_edges(
        rhythm.count(song.beats, song.downbeats, song.duration), dance.duration
    )
    distances = metrics.block_distances(dance.landmarks, dance.fps, edges, aspect=dance.aspect)
    found = metrics.form(distances, metrics.sound_distances(song.mfcc, edges))
    figures = {"form": np.nan, "form shifted": np.nan}
    if found is not None:
        figures = {"form": found.correlation, "form shifted": found.shifted}
    return figures | _patterns(distances)


def repeats(poses: PoseSequence) -> dict[str, float]:
    """How much a dance repeats itself; its first beat begins a block."""
    beats = np.zeros(0) if poses.beats is None else poses.beats
    edges = metrics.block_edges(rhythm.count(beats, beats[:1], poses.duration), poses.duration)
    distances = metrics.block_distances(poses.landmarks, poses.fps, edges, aspect=poses.aspect)
    return _patterns(distances)


def _patterns(distances: np.ndarray) -> dict[str, float]:
    labels = metrics.patterns(distances)
    return {
        "eights": float(len(labels)),
        "patterns": float(len(set(labels))),
        "longest run": float(metrics.longest_run(labels)),
    }


def seams(dance: PoseSequence, song: Song) -> dict[str, float]:
    """Speed and jerk where windows join over what they are elsewhere on the beat."""
    counts = rhythm.count(song.beats, song.downbeats, song.duration)
    body = body_frame(dance.landmarks, dance.aspect)
    figures = {}
    for name, order in (("speed", 1), ("jerk", 3)):
        change = np.linalg.norm(np.diff(body, order, axis=0), axis=-1).mean(1)
        at = np.rint(counts.times * 30 - order / 2).astype(int)
        inside = (at >= 3) & (at < len(change) - 3)
        near = np.array([change[k - 2 : k + 3].mean() for k in at[inside]])
        joins = (np.arange(len(counts)) % 8 == 0)[inside]
        others = (np.arange(len(counts)) % 4 == 0)[inside] & ~joins
        figures[f"{name} at joins"] = float(near[joins].mean() / near[others].mean())
    return figures


def hold(dance: PoseSequence, song: Song) -> dict[str, float]:
    """How the music moves the dance: see the module."""
    counts = rhythm.count(song.beats, song.downbeats, song.duration)
    body = body_frame(dance.landmarks, dance.aspect)
    joints = body[:, list(range(11, 17)) + list(range(23, 33))]
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(1) * 30
    bars = counts.times[counts.phase % 4 == 0] if (counts.phase >= 0).any() else counts.times[::4]
    bars = bars[(bars >= 0) & (bars < song.duration)]
    edges = np.rint(bars * 30).astype(int)
    moves = [speed[a:b].mean() for a, b in pairwise(edges) if b > a]
    level = rhythm.loudness(song.mfcc)
    loud = [level[a:b].mean() for a, b in pairwise(edges) if b > a]
    figures = {"loudness-motion": float(spearmanr(loud, moves).statistic)}
    # How unlike the bar after is to the bar before, at every count.
    steps = np.arange(0, len(counts) - 1, 0.25)
    at = np.clip(np.rint(counts.at(steps) * 30).astype(int), 0, len(joints) - 1)
    poses = (joints - joints.mean(1, keepdims=True))[at].reshape(len(at), -1)
    novelty = np.array(
        [
            np.linalg.norm(poses[k : k + 16] - poses[k - 16 : k], axis=1).mean()
            for k in range(16, len(poses) - 16)
        ]
    )
    phase = counts.phase[steps[16 : len(poses) - 16].astype(int)]
    whole = steps[16 : len(poses) - 16] % 1 == 0
    if (phase >= 0).any():
        begins, middles = (novelty[whole & (phase == k)].mean() for k in (0, 4))
        figures["change at phrases"] = float(begins / middles)
    return figures


if __name__ == "__main__":
    main()
