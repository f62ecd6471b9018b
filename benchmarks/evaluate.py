"""How long does an evaluation take?

    python benchmarks/evaluate.py [--bundle BUNDLE] [--clips N] [--frames N]

Makes N clips of 10 s with music features, beats and 360x640 pictures of noise, and prints the
seconds that `dancing evaluate motion` and `dancing evaluate image` take on them, pose
re-detection aside. A bundle without one of the stages is timed on the other.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.data import landmarker
from dancing.data.dataset import DatasetWriter
from dancing.errors import DancingError
from dancing.evaluation import image, motion
from dancing.media import FPS

SECONDS = 10


def make(path: Path, clips: int, pictured: int) -> None:
    """Figures that sway at random; the first clips have pictures too."""
    random = np.random.default_rng(0)
    rest = np.full((33, 2), 0.5)
    rest[:11], rest[11:23], rest[23:25], rest[25:] = [0.5, 0.3], [0.5, 0.4], [0.5, 0.6], [0.5, 0.8]
    pictures = random.integers(0, 256, (8, 640, 360, 3), np.uint8)

    def film() -> Iterator[np.ndarray]:
        for number in range(SECONDS * FPS):
            yield pictures[number % len(pictures)]

    with DatasetWriter(path) as writer:
        for number in range(clips):
            noise = random.standard_normal((SECONDS * FPS, 33, 2))
            landmarks = rest + 0.1 * gaussian_filter1d(noise, 6, axis=0)
            writer.clip(
                f"clip_{number}",
                PoseSequence(landmarks, beats=np.arange(0.3, SECONDS, 0.5)),
                mfcc=random.standard_normal((SECONDS * FPS, 13)).astype(np.float32),
                frames=film() if number < pictured else None,
                source=f"clip_{number}.mp4",
                sample_rate=22050,
                hop_length=735,
            )


def no_landmarker(**_: object) -> None:
    raise DancingError("left out of the benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=image.FRAMES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    landmarker.Landmarker = no_landmarker  # type: ignore[assignment, misc]
    bundle = Bundle(arguments.bundle)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.h5"
        make(data, arguments.clips, 4)
        if bundle.has("motion"):
            start = time.perf_counter()
            motion.evaluate(bundle, [data])
            seconds = time.perf_counter() - start
            print(f"motion: {arguments.clips} clips of {SECONDS} s in {seconds:.1f} s")
        if bundle.has("image"):
            start = time.perf_counter()
            frames = image.evaluate(bundle, [data], frames=arguments.frames).facts["frames"]
            seconds = time.perf_counter() - start
            print(f"image: {frames} frames in {seconds:.1f} s")


if __name__ == "__main__":
    main()
