"""Peak memory and time of `dancing generate` over the length of the song.

    python benchmarks/long_song.py [--minutes 5 20 60 180] [--video] [--height 64] [--dancer NAME]

Songs are made here: one minute of drums that speed up and stop, again and again. Poses alone are
made unless --video is given, which takes hours for hours. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

RATE = 22050


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=[5, 20, 60, 180])
    parser.add_argument("--video", action="store_true")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--dancer", default="default")
    arguments = parser.parse_args()
    print("| minutes | MB | seconds | seconds a minute |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        output = Path(folder) / ("dance.mp4" if arguments.video else "dance.npz")
        command = [sys.executable, "-m", "dancing", "generate", str(song), "-o", str(output)]
        command += ["--dancer", arguments.dancer, "--height", str(arguments.height)]
        for minutes in arguments.minutes:
            write_song(song, minutes)
            begin = time.perf_counter()
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - begin
            if status:
                raise SystemExit(f"dancing generate failed on {minutes} minutes")
            # Linux counts in KiB, macOS in bytes.
            peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
            print(
                f"| {minutes} | {peak:.0f} | {seconds:.0f} | {seconds / minutes:.1f} |", flush=True
            )


def write_song(path: Path, minutes: int) -> None:
    """Strokes that come closer, over a chord, for 54 s; then silence to the end of the minute."""
    random = np.random.default_rng(0)
    fading = np.exp(-np.arange(RATE // 5) / RATE / 0.03)
    stroke = random.normal(0, 1, len(fading)) * fading
    sound = sum(
        0.1 * np.sin(2 * np.pi * hertz * np.arange(60 * RATE) / RATE) for hertz in (220, 277)
    )
    begins = np.cumsum(60 / np.linspace(100, 125, 100))
    for number, begin in enumerate(begins[begins < 54]):
        first = round(begin * RATE)
        sound[first : first + len(stroke)] += (0.2, 0.1)[number % 2] * stroke
    sound[54 * RATE :] = 0
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        minute = (sound.clip(-1, 1) * 32767).astype("<i2").tobytes()
        for _ in range(minutes):
            file.writeframes(minute)


if __name__ == "__main__":
    main()
