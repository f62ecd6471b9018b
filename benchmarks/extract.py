"""How fast `prepare` is, beside the pose landmarker alone over the same video, and its memory.

    python benchmarks/extract.py VIDEO [--size 640]

The bare loop decodes a picture, looks for one person, next; it keeps nothing. `prepare` also
resamples, watches for other people, makes mattes, hears the music and writes the dataset. Without
a video, the three seconds of the tests are taken, repeated.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from dancing.data.landmarker import Landmarker
from dancing.data.prepare import prepare
from dancing.media.video import VideoWriter, read_frames

T = TypeVar("T")

AVA = Path(__file__).parent.parent / "tests" / "data" / "ava.mp4"


def bare_loop(video: Path) -> int:
    """Landmarks and matte of every picture, thrown away; returns the number of pictures."""
    count = seen = 0
    with Landmarker(1, video=True) as look:
        for picture in read_frames(video, height=640):
            seen += bool(look(picture))
            count += 1
    if seen < count / 2:
        raise SystemExit(f"{video}: nobody is seen in most pictures, which is no measure")
    return count


def repeated(video: Path, times: int, output: Path) -> Path:
    """The same pictures several times over, 640 high."""
    with VideoWriter(output, 360, 640) as writer:
        for _ in range(times):
            for frame in read_frames(video, height=640):
                writer.write(frame)
    return output


def timed(work: Callable[[], T]) -> tuple[float, float, T]:
    """Seconds by the clock, seconds of CPU over all threads, and the result."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - cpu, result


def main() -> None:
    """Print frames a second of both, their ratio, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=640)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or repeated(AVA, 10, Path(folder) / "ava.mp4")
        output = Path(folder) / "data.h5"
        bare_seconds, bare_cpu, count = timed(lambda: bare_loop(video))
        seconds, cpu, report = timed(lambda: prepare([video], output, size=arguments.size))
        megabytes = output.stat().st_size / 1e6
    (file,) = report.files
    frames = file.frames + file.seconds_cut * 30
    bare, ours = count / bare_seconds, frames / seconds
    print(f"bare loop            {bare:6.1f} frames/s, {1000 * bare_cpu / count:.1f} ms CPU each")
    print(f"prepare              {ours:6.1f} frames/s, {1000 * cpu / frames:.1f} ms CPU each")
    print(f"ratio                {ours / bare:6.2f} (tells only with two free cores)")
    print(f"dataset              {megabytes:6.1f} MB for {file.frames / 30:.1f} s")
    print(f"peak memory          {_peak() / 1e6:6.0f} MB")


def _peak() -> int:
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", None) or _linux_peak() or memory.rss


def _linux_peak() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    main()
