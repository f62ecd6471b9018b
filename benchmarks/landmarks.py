"""How well our pose landmarker agrees with MediaPipe, beside it, and how long each takes.

    pip install mediapipe          # by hand: no part of this project needs it
    python benchmarks/landmarks.py FILE... [--people 4] [--images] [--labels FOLDER]

Files are videos or pictures. Both see the same frames, 640 high. Differences are in pixels of
those. Two yardsticks: what MediaPipe says of the same pictures with one grey level of noise, and
how far its landmarks are from a parabola through 7 frames. With a folder of exact landmarks
(NAME.npz with `landmarks`), the error of each is printed.

With `--save FILE`, what MediaPipe sees in every tenth frame of the first file, in its own size, is
kept, as `tests/data/ava_mediapipe.npz` is.

MediaPipe writes to stderr and looks up a host of Google's, which is why it is no longer used.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from scipy.signal import savgol_filter

from dancing.data.landmarker import Landmarker, Person
from dancing.data.pose_model import model_path
from dancing.media import FPS
from dancing.media.video import read_frames

HEIGHT = 640
DAY_MS = 24 * 3600 * 1000

Picture = np.ndarray[Any, np.dtype[np.uint8]]


class MediaPipe:
    """MediaPipe's landmarker with the interface of ours.

    It smooths the landmarks of a single person in a video, by the time between frames; frames said
    to be a day apart come out as they were seen.
    """

    def __init__(self, people: int, video: bool) -> None:
        vision = tasks.vision
        self._video, self._count = video, 0
        self._landmarker = vision.PoseLandmarker.create_from_options(
            vision.PoseLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_path=str(model_path())),
                running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
                num_poses=people,
                output_segmentation_masks=True,
            )
        )

    def __call__(self, picture: Picture) -> list[Person]:
        self._count += 1
        # Rows may be padded, which MediaPipe takes for pixels, without a word.
        image = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(picture))
        if self._video:
            result = self._landmarker.detect_for_video(image, self._count * DAY_MS)
        else:
            result = self._landmarker.detect(image)
        return [
            Person(
                np.array(
                    [
                        (p.x, p.y, p.visibility, w.x, w.y, w.z)
                        for p, w in zip(landmarks, world, strict=True)
                    ],
                    np.float32,
                ),
                (mask.numpy_view().reshape(picture.shape[:2]) * 255 + 0.5).astype(np.uint8),
            )
            for landmarks, world, mask in zip(
                result.pose_landmarks,
                result.pose_world_landmarks,
                result.segmentation_masks or [],
                strict=True,
            )
        ]


def seen(look: Callable[[Picture], list[Person]], frames: Sequence[Picture]) -> Any:
    """The people of each frame, and CPU and wall milliseconds of each, the first left out."""
    people, cpu, wall = [], [], []
    for frame in frames:
        start, start_cpu = time.perf_counter(), time.process_time()
        people.append(look(frame))
        cpu.append(1000 * (time.process_time() - start_cpu))
        wall.append(1000 * (time.perf_counter() - start))
    return people, cpu[1:], wall[1:]


def pairs(ours: Sequence[list[Person]], theirs: Sequence[list[Person]]) -> list[Any]:
    """The same person as seen by both: the nearest of a frame, one to one."""
    found = []
    for mine, other in zip(ours, theirs, strict=True):
        distances = sorted(
            (float(np.hypot(*(a.points[:, :2] - b.points[:, :2]).mean(0))), i, k)
            for i, a in enumerate(mine)
            for k, b in enumerate(other)
        )
        used: set[Any] = set()
        for distance, i, k in distances:
            if distance < 0.1 and not {("a", i), ("b", k)} & used:
                used |= {("a", i), ("b", k)}
                found.append((mine[i], other[k]))
    return found


def off(a: Person, b: Person, size: Any) -> Any:
    """Distances (33,) in pixels."""
    return np.hypot(*((a.points[:, :2] - b.points[:, :2]) * size).T)


def iou(a: Person, b: Person) -> float:
    one, two = a.matte > 127, b.matte > 127
    return float((one & two).sum() / max(1, (one | two).sum()))


def spread(values: Any, unit: str = "") -> str:
    values = np.concatenate([np.ravel(v) for v in values]) if len(values) else np.array([np.nan])
    return f"{np.median(values):.3f}{unit} / {np.percentile(values, 99):.3f}{unit}"


def tremble(people: Sequence[list[Person]], size: Any) -> Any:
    """How far landmarks are from a parabola through 7 frames, in pixels; one person only."""
    points = [p[0].points[:, :2] if len(p) == 1 else np.full((33, 2), np.nan) for p in people]
    track = np.array(points) * size
    if len(track) < 7:
        return np.array([np.nan])
    rest = np.hypot(*np.moveaxis(track - savgol_filter(track, 7, 2, axis=0, mode="nearest"), -1, 0))
    rest = rest[3:-3]
    return rest[np.isfinite(rest)] if np.isfinite(rest).any() else np.array([np.nan])


def errors(people: Sequence[list[Person]], truth: Any, size: Any) -> Any:
    return [
        np.hypot(*((p[0].points[:, :2] - exact) * size).T)
        for p, exact in zip(people, truth, strict=False)
        if p
    ]


def started_anew(frames: Sequence[Picture], people: int) -> Any:
    """Distances in the first tracked frame, after each looked at one frame, at ten places.

    Differences of a thousandth of a pixel grow when people are followed, as MediaPipe's own do if
    one value of one pixel changes; so this tells more about the formulas than a whole video.
    """
    size = np.array(frames[0].shape[1::-1])
    found = []
    for start in range(0, len(frames) - 1, max(1, len(frames) // 10)):
        both = frames[start : start + 2]
        with Landmarker(people, video=True) as look:
            ours = [look(frame) for frame in both][1:]
        theirs = seen(MediaPipe(people, video=True), both)[0][1:]
        found += [off(a, b, size) for a, b in pairs(ours, theirs)]
    return found


def save(video: Path, output: Path) -> None:
    """What MediaPipe sees in a video with one person: points (N, 33, 6), mattes (N, H, W) bool."""
    made = {}
    for mode in ("video", "image"):
        look = MediaPipe(1, mode == "video")
        people = [look(picture)[0] for picture in read_frames(video)][::10]
        made[f"{mode}_points"] = np.array([person.points for person in people])
        made[f"{mode}_mattes"] = np.array([person.matte > 127 for person in people])
    np.savez_compressed(output, **made)


def main() -> None:
    """Print one block for each file, with medians and 99th percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--images", action="store_true", help="each frame for itself")
    parser.add_argument("--frames", type=int, default=300, help="of each file, at most")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.save:
        save(arguments.files[0], arguments.save)
    random = np.random.default_rng(0)
    for file in arguments.files:
        frames = list(islice(read_frames(file, FPS, HEIGHT), arguments.frames))
        size = np.array(frames[0].shape[1::-1])
        noisy = [
            (f.astype(int) + random.integers(-1, 2, f.shape)).clip(0, 255).astype(np.uint8)
            for f in frames
        ]
        video = not arguments.images
        with Landmarker(arguments.people, video) as look:
            ours, our_cpu, our_wall = seen(look, frames)
        theirs, their_cpu, their_wall = seen(MediaPipe(arguments.people, video), frames)
        shaken, _, _ = seen(MediaPipe(arguments.people, video), noisy)
        both = pairs(ours, theirs)
        again = pairs(shaken, theirs)
        counts = [sum(map(len, people)) for people in (ours, theirs)]
        print(f"\n{file.name}: {len(frames)} frames of {size[0]}x{size[1]}")
        print(f"people seen        {counts[0]}, MediaPipe {counts[1]}, by both {len(both)}")
        print(f"landmarks          {spread([off(a, b, size) for a, b in both], ' px')}")
        if video:
            print(f"  started anew     {spread(started_anew(frames, arguments.people), ' px')}")
        print(f"  MediaPipe, noise {spread([off(a, b, size) for a, b in again], ' px')}")
        print(f"  MediaPipe, time  {spread(tremble(theirs, size)[None], ' px')}")
        for name, part in (("visibility", [2]), ("world, metres", [3, 4, 5])):
            apart = [np.abs(a.points[:, part] - b.points[:, part]) for a, b in both]
            noise = [np.abs(a.points[:, part] - b.points[:, part]) for a, b in again]
            print(f"{name:18s} {spread(apart)}; noise {spread(noise)}")
        overlaps, noise = ([iou(a, b) for a, b in found] for found in (both, again))
        if both:
            print(
                f"matte IoU          {np.median(overlaps):.4f} / {np.percentile(overlaps, 1):.4f}; "
                f"noise {np.median(noise):.4f} / {np.percentile(noise, 1):.4f}"
            )
        if len(our_cpu):
            for name, cpu, wall in (("ours", our_cpu, our_wall), ("MP", their_cpu, their_wall)):
                low, middle = np.percentile(cpu, [5, 50])
                print(
                    f"time, {name:4s}         {middle:.1f} ms CPU (5 %: {low:.1f}), "
                    f"{np.median(wall):.1f} ms"
                )
        if arguments.labels and (labels := arguments.labels / f"{file.stem}.npz").exists():
            with np.load(labels) as exact:
                truth = exact["landmarks"]
            print(f"error, ours        {spread(errors(ours, truth, size), ' px')}")
            print(f"error, MediaPipe   {spread(errors(theirs, truth, size), ' px')}")


if __name__ == "__main__":
    main()
