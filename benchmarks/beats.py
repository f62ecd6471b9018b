"""How well are beats tracked? Ours beside librosa and beat_this, scored by mir_eval.

    python benchmarks/beats.py SONG_DIR... [--beat-this [CHECKPOINT]] [--json OUT.json]

Each SONG_DIR is a set of songs, each with a .json of the same name beside it: `beats` (seconds,
every beat), and for downbeats either `downbeats` (seconds) or `downbeat_phase` (index of the first
beat that begins a bar, in bars of four). Prints one table, a row for each set and tracker:

- F (70 ms), Cemgil (Gaussian of 40 ms), CMLt and AMLt, as `mir_eval.beat` has them: means over
  the songs, after its standard trimming of the first five seconds. CMLt asks for the annotated
  metrical level, AMLt allows double, half and the off-beat too.
- downbeat F: the F-measure of the downbeats alone, over the songs that have them annotated.
- offset: median of (tracked - annotated) over the matched beats, of songs with F above 0.5.
- tempo: songs at the annotated tempo / half / double / something else or none, within 8 %.
- s/min: processor seconds that the tracker takes for a minute of song, decoding and a first call
  (imports, compilation) left out. Processor time adds up threads, and hardly depends on what else
  the machine does.

librosa's rows are left out where it is not installed. beat_this takes part on demand
(`pip install beat-this`, which needs PyTorch): CHECKPOINT is a .ckpt file or the name of a
published model, which is downloaded once; the default is final0, small0 is ten times smaller.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mir_eval
import numpy as np

from dancing.media import SAMPLE_RATE
from dancing.media.sound import load_audio
from dancing.music.beats import track_beats

Tracker = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""Mono sound at SAMPLE_RATE to the times of beats and, where the tracker knows them, downbeats."""

LEVELS = {"same": 1.0, "half": 0.5, "double": 2.0}
TEMPO_TOLERANCE = 0.08  # of mir_eval.tempo and MIREX


def ours() -> Tracker:
    def track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        beats = track_beats(audio)
        return beats.times, beats.downbeats

    return track


def librosa_tracker() -> Tracker | None:
    try:
        import librosa
    except ImportError:
        return None

    def track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return librosa.beat.beat_track(y=audio, sr=SAMPLE_RATE, units="time")[1], None

    return track


def beat_this_tracker(checkpoint: str) -> Tracker:
    """Foscarin, Schlüter & Widmer (ISMIR 2024), on the CPU, without the DBN.

    Raises:
        ValueError: says what is missing.
    """
    try:
        from beat_this.inference import Audio2Beats
    # OSError: a torchaudio that was built for another torch.
    except (ImportError, OSError) as error:
        raise ValueError(f"cannot import it ({error}), try pip install beat-this") from error
    try:
        model = Audio2Beats(checkpoint_path=checkpoint, device="cpu")
    # A missing, unreachable, damaged or foreign checkpoint each raises something else.
    except Exception as error:
        raise ValueError(
            f"no checkpoint {checkpoint!r}: no file that beat_this can read, and no published "
            "model that can be downloaded from here (cloud.cp.jku.at must be reachable, or the "
            ".ckpt be fetched by hand, see https://github.com/CPJKU/beat_this#available-models)"
        ) from error

    def track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return model(audio, SAMPLE_RATE)

    return track


def annotation(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Beats and, if known, downbeats."""
    truth = json.loads(path.read_text())
    beats = np.array(truth["beats"], float)
    if "downbeats" in truth:
        return beats, np.array(truth["downbeats"], float)
    if "downbeat_phase" in truth:
        return beats, beats[truth["downbeat_phase"] :: 4]
    return beats, None


def tempo_level(tracked: np.ndarray, true: np.ndarray) -> str:
    if len(tracked) < 2:
        return "other"
    ratio = float(np.median(np.diff(true)) / np.median(np.diff(tracked)))
    near = [name for name, level in LEVELS.items() if abs(ratio / level - 1) <= TEMPO_TOLERANCE]
    return near[0] if near else "other"


def score(tracked: np.ndarray, true: np.ndarray) -> dict[str, float | str | None]:
    true, tracked = mir_eval.beat.trim_beats(true), mir_eval.beat.trim_beats(tracked)
    _, cmlt, _, amlt = mir_eval.beat.continuity(true, tracked)
    pairs = np.array(mir_eval.util.match_events(true, tracked, 0.07), int).reshape(-1, 2)
    offsets = tracked[pairs[:, 1]] - true[pairs[:, 0]]
    f = mir_eval.beat.f_measure(true, tracked)
    return {
        "f": f,
        "cemgil": mir_eval.beat.cemgil(true, tracked)[0],
        "cmlt": cmlt,
        "amlt": amlt,
        # A song tracked at the wrong phase or tempo matches by chance: its offset says nothing.
        "offset_ms": float(np.median(offsets)) * 1000 if f > 0.5 else None,
        "level": tempo_level(tracked, true),
    }


def songs_of(folder: Path) -> list[Path]:
    """The folder's songs that have an annotation beside them which outlasts the trimming."""
    songs = []
    for path in sorted(folder.iterdir()):
        beside = path.with_suffix(".json")
        if path.suffix == ".json" or not beside.exists():
            continue
        if len(mir_eval.beat.trim_beats(annotation(beside)[0])) < 2:
            print(f"{path}: less than two annotated beats after the first 5 s, left out")
            continue
        songs.append(path)
    return songs


def run(path: Path, trackers: dict[str, Tracker]) -> dict:
    beats, downbeats = annotation(path.with_suffix(".json"))
    audio = load_audio(path, duration=beats[-1] + 2)
    # An annotation may cover a part of the song only: what is tracked after it can be neither
    # right nor wrong.
    end = beats[-1] + np.diff(beats)[-1] / 2
    row: dict = {"song": path.stem, "bpm": 60 / float(np.median(np.diff(beats)))}
    for name, tracker in trackers.items():
        began = time.process_time()
        tracked, bars = tracker(audio)
        seconds = time.process_time() - began
        row[name] = score(tracked[tracked < end], beats)
        row[name]["downbeat_f"] = None
        if downbeats is not None and bars is not None:
            row[name]["downbeat_f"] = mir_eval.beat.f_measure(
                *map(mir_eval.beat.trim_beats, (downbeats, bars[bars < end]))
            )
        row[name]["seconds_per_minute"] = seconds / (len(audio) / SAMPLE_RATE / 60)
    return row


def summarise(rows: list[dict]) -> dict:
    """Of one tracker's rows: means, median offset, and how many songs at which tempo."""
    summary: dict = {"songs": len(rows)}
    for key in ("f", "cemgil", "cmlt", "amlt", "downbeat_f", "seconds_per_minute"):
        known = [row[key] for row in rows if row[key] is not None]
        summary[key] = float(np.mean(known)) if known else None
    offsets = [row["offset_ms"] for row in rows if row["offset_ms"] is not None]
    summary["offset_ms"] = float(np.median(offsets)) if offsets else None
    summary["levels"] = {
        level: sum(row["level"] == level for row in rows) for level in (*LEVELS, "other")
    }
    return summary


def table(summaries: dict[str, dict[str, dict]]) -> str:
    """Markdown, a row for each set and tracker."""
    titles = "songs|n|tracker|F|Cemgil|CMLt|AMLt|downbeat F|offset|tempo|s/min".split("|")
    lines = [titles, ["---", "---:", "---"] + ["---:"] * (len(titles) - 3)]
    for songs, trackers in summaries.items():
        for name, summary in trackers.items():
            cells = [songs, str(summary["songs"]), name]
            for key in ("f", "cemgil", "cmlt", "amlt", "downbeat_f"):
                cells.append("-" if summary[key] is None else f"{summary[key]:.3f}")
            offset = summary["offset_ms"]
            cells.append("-" if offset is None else f"{round(offset)} ms")
            cells.append(" / ".join(str(count) for count in summary["levels"].values()))
            cells.append(f"{summary['seconds_per_minute']:.2f}")
            lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def versions() -> dict[str, str]:
    found = {}
    for package in ("dancing", "mir_eval", "librosa", "beat-this", "torch", "numpy", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG_DIR")
    parser.add_argument(
        "--beat-this",
        nargs="?",
        const="final0",
        metavar="CHECKPOINT",
        help="beat_this too: a .ckpt file or a published model (default: final0); after SONG_DIR",
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all figures here too")
    arguments = parser.parse_args()

    trackers: dict[str, Tracker] = {"ours": ours()}
    if other := librosa_tracker():
        trackers["librosa"] = other
    if arguments.beat_this is not None:
        try:
            trackers["beat_this"] = beat_this_tracker(arguments.beat_this)
        except ValueError as error:
            parser.error(f"--beat-this: {error}")
    sets = {folder.resolve().name: songs_of(folder) for folder in arguments.songs}
    if len(sets) < len(arguments.songs):
        parser.error("two of the folders have the same name")
    for name, songs in sets.items():
        if not songs:
            parser.error(f"{name} holds no song with a .json of its beats beside it")

    noise = np.random.default_rng(0).normal(size=5 * SAMPLE_RATE).astype(np.float32)
    for tracker in trackers.values():
        tracker(noise)  # imports and compiles what it needs
    rows: dict[str, list[dict]] = {}
    for name, songs in sets.items():
        rows[name] = [run(path, trackers) for path in songs]
    summaries = {
        name: {tracker: summarise([row[tracker] for row in of]) for tracker in trackers}
        for name, of in rows.items()
    }
    print(table(summaries))
    if arguments.json:
        result = {"versions": versions(), "summary": summaries, "songs": rows}
        if arguments.beat_this is not None:
            result["beat_this"] = arguments.beat_this
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
