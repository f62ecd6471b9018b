"""Time and memory of every stage of `dancing generate`, on one song.

    python benchmarks/generate.py [SONG] [--dancer NAME] [--duration S] [--markdown]

Stages run one after the other here, so their sum is more than the whole, which overlaps them.
The whole is timed in a process of its own, start of Python included, twice: a first run after
installation also compiles Python's files.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dancing.image.dancer import Dancer
from dancing.media.sound import load_audio
from dancing.media.video import VideoWriter
from dancing.motion.choreographer import Choreographer
from dancing.music.beats import track_beats
from dancing.music.mfcc import mfcc
from dancing.pipeline import load_song

SONG = Path(__file__).parent.parent / "examples" / "song.ogg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", nargs="?", type=Path, default=SONG)
    parser.add_argument("--dancer", default="default")
    parser.add_argument("--duration", type=float)
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - begin

    with timed("decode"):
        audio = load_audio(arguments.song, duration=arguments.duration)
    with timed("MFCC"):
        mfcc(audio)
    with timed("beats"):
        track_beats(audio)
    song = load_song(arguments.song, duration=arguments.duration)
    with timed("load models"):
        dancer = Dancer(arguments.dancer)
        choreographer = Choreographer(dancer.bundle if dancer.bundle.has("motion") else "default")
        _ = dancer.bundle.image
    with timed("motion"):
        poses = choreographer(song, placement=dancer.placement)
    with timed("picture"):
        frames = list(dancer(poses[:300]))
    seconds["picture"] *= len(poses) / len(frames)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "dance.mp4"
        with timed("encode"), VideoWriter(output, *dancer.size, sound=arguments.song) as video:
            for frame in frames:
                video.write(frame)
        seconds["encode"] *= len(poses) / len(frames)
        command = [sys.executable, "-m", "dancing", "generate", arguments.song, "-o", output]
        command += ["--dancer", arguments.dancer]
        if arguments.duration:
            command += ["--duration", str(arguments.duration)]
        with timed("whole command"):
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    bar = "|" if arguments.markdown else " "
    print(f"{bar} stage {bar} seconds {bar} times faster than the song {bar}")
    if arguments.markdown:
        print("|---|---|---|")
    for stage, value in seconds.items():
        print(f"{bar} {stage} {bar} {value:.2f} {bar} {song.duration / value:.1f} {bar}")
    print(f"\nsong {song.duration:.1f} s, {len(poses)} frames; peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
