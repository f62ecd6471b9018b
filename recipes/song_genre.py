"""Learn which genre of dance a song asks for: writes src/dancing/music/genres.npz.

    python recipes/song_genre.py SONGS...

SONGS: folders of songs, each with a .json of the same name beside it that has its `style`. Songs
whose name's hash is below a fifth are held out; their accuracy and confusions are printed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dancing import load_song
from dancing.music.genre import song_features

GENRES = {
    "house": "house",
    "disco": "retro",
    "funk": "funk",
    "hiphop": "hiphop",
    "trap": "hiphop",
    "latin": "latin",
    "reggaeton": "latin",
    "electro": "robot",
    "synthpop": "pop",
}
"""The genre danced to each style of song."""
PART = 20.0  # seconds: a song is learned from whole and in parts of these
DECAY = 0.03
TARGET = Path(__file__).parents[1] / "src/dancing/music/genres.npz"

Floats = NDArray[np.float64]


def features_of(path: Path) -> list[Floats]:
    """Of a whole song, and of its parts."""
    song = load_song(path)
    found = []
    spans = [(0.0, song.duration)]
    spans += [(at, at + PART) for at in np.arange(0, song.duration - PART, PART)]
    for begin, end in spans:
        beats, downbeats = (
            times[(times >= begin) & (times < end)] for times in (song.beats, song.downbeats)
        )
        if len(beats) >= 8:
            rows = song.mfcc[int(begin * 30) : int(end * 30)]
            found.append(song_features(rows, beats - begin, downbeats - begin))
    return found


def main(folders: list[str]) -> None:
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.json"))]
    rows, labels, held = [], [], []
    for file in files:
        style = json.loads(file.read_text()).get("style")
        song = next((p for p in file.parent.glob(f"{file.stem}.*") if p != file), None)
        if style not in GENRES or song is None:
            continue
        own = features_of(song)
        rows += own
        labels += [GENRES[style]] * len(own)
        held += [hashlib.sha256(file.stem.encode()).digest()[0] < 51] * len(own)
    names = sorted(set(labels))
    x, y, out = np.array(rows), np.array([names.index(label) for label in labels]), np.array(held)
    mean, std = x[~out].mean(0), x[~out].std(0) + 1e-3
    x = np.column_stack([np.clip((x - mean) / std, -4, 4), np.ones(len(x))])

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(len(names), -1)
        scores = x[~out] @ weights.T
        scores -= scores.max(1, keepdims=True)
        odds = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        right = np.eye(len(names))[y[~out]]
        value = -np.log((odds * right).sum(1) + 1e-12).mean() + DECAY * (weights[:, :-1] ** 2).sum()
        slope = (odds - right).T @ x[~out] / len(right)
        slope[:, :-1] += 2 * DECAY * weights[:, :-1]
        return float(value), slope.ravel()

    start = np.zeros(len(names) * x.shape[1])
    weights = minimize(loss, start, jac=True, method="L-BFGS-B").x.reshape(len(names), -1)
    for what, part in (("learned", ~out), ("held out", out)):
        found = (x[part] @ weights.T).argmax(1)
        print(f"{what}: {np.mean(found == y[part]):.3f} of {part.sum()} songs and parts")
        table = np.zeros((len(names), len(names)), int)
        np.add.at(table, (y[part], found), 1)
        print(names, table.tolist(), sep="\n")
    np.savez_compressed(
        TARGET,
        names=np.array(names),
        mean=mean.astype(np.float32),
        std=std.astype(np.float32),
        weights=weights.astype(np.float32),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
