"""How well are beats heard? Ours and librosa's, against songs whose beats are known exactly.

    python benchmarks/beats.py SONG_DIR [--json OUT.json]

SONG_DIR holds songs, each with a .json of the same name beside it: `beats` (seconds, every beat)
and `bpm`. Beats are tracked up to two seconds after the last known one. F is the F-measure with
a tolerance of 70 ms, matched one to one. A song below 80 or above 140 bpm may be heard in half or
double time: the best of those readings counts. Offset is the median of (heard - true) over the
matched beats; seconds are those of the tracker alone. librosa's columns are left out where it is
not installed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dancing.media import SAMPLE_RATE
from dancing.media.sound import load_audio
from dancing.music.beats import track_beats

TOLERANCE = 0.07


def matched(heard: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Offsets (heard - true) of a largest one-to-one matching within the tolerance."""
    offsets = []
    i = j = 0
    while i < len(heard) and j < len(true):
        offset = heard[i] - true[j]
        if abs(offset) <= TOLERANCE:
            offsets.append(offset)
        i += offset <= TOLERANCE
        j += offset >= -TOLERANCE
    return np.array(offsets)


def score(heard: np.ndarray, true: np.ndarray, bpm: float) -> tuple[float, float]:
    """(F-measure, median offset in ms) of the best allowed reading of the truth."""
    readings = [true]
    if not 80 <= bpm <= 140:
        between = (true[1:] + true[:-1]) / 2
        readings += [np.sort(np.concatenate([true, between])), true[::2], true[1::2]]
    best = (0.0, 0.0)
    for reading in readings:
        offsets = matched(heard, reading)
        if len(offsets):
            f = 2 * len(offsets) / (len(heard) + len(reading))
            best = max(best, (f, float(np.median(offsets)) * 1000))
    return best


def librosa_tracker() -> Callable[[np.ndarray], np.ndarray] | None:
    try:
        import librosa
    except ImportError:
        return None

    def track(audio: np.ndarray) -> np.ndarray:
        return librosa.beat.beat_track(y=audio, sr=SAMPLE_RATE, units="time")[1]

    track(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32))  # compile
    return track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("songs", type=Path, metavar="SONG_DIR")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write the table here too")
    arguments = parser.parse_args()
    songs = [
        (path, path.with_suffix(".json"))
        for path in sorted(arguments.songs.iterdir())
        if path.suffix != ".json" and path.with_suffix(".json").exists()
    ]
    if not songs:
        parser.error(f"{arguments.songs} holds no song with a .json of its beats beside it")

    trackers = {"ours": lambda audio: track_beats(audio).times, "librosa": librosa_tracker()}
    trackers = {name: tracker for name, tracker in trackers.items() if tracker}
    rows = []
    print(f"{'song':32} {'bpm':>6} " + "".join(f"{n + ' F':>10}    ms     s" for n in trackers))
    for path, truth_path in songs:
        truth = json.loads(truth_path.read_text())
        true = np.array(truth["beats"])
        audio = load_audio(path, duration=true[-1] + 2)
        row: dict = {"song": path.stem, "bpm": truth["bpm"]}
        line = f"{path.stem:32.32} {truth['bpm']:6.1f} "
        for name, tracker in trackers.items():
            began = time.perf_counter()
            heard = tracker(audio)
            seconds = time.perf_counter() - began
            f, offset = score(heard, true, truth["bpm"])
            row[name] = {"f": f, "offset_ms": offset, "seconds": seconds}
            line += f"{f:10.3f} {offset:5.0f} {seconds:5.2f}"
        rows.append(row)
        print(line, flush=True)
    summary = {}
    for name in trackers:
        figures = {key: np.array([row[name][key] for row in rows]) for key in rows[0][name]}
        summary[name] = {
            "mean_f": float(figures["f"].mean()),
            "above_0.9": int((figures["f"] > 0.9).sum()),
            "songs": len(rows),
            # A song heard at the wrong phase or tempo matches by chance: its offset says nothing.
            "median_offset_ms": float(np.median(figures["offset_ms"][figures["f"] > 0.5]))
            if (figures["f"] > 0.5).any()
            else None,
            "seconds": float(figures["seconds"].sum()),
        }
        print(f"{name}: {summary[name]}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"summary": summary, "songs": rows}, indent=1))


if __name__ == "__main__":
    main()
