"""Whether a drawn person's limbs are as long as they should be, as a pose estimator sees it.

    python benchmarks/proportions.py POSES BUNDLE... [--frames N] [--real VIDEO]

The poses are drawn by each dancer; landmarks are found in what is drawn, and bones, in lengths of
the torso, compared with those of the landmarks that were to be drawn. Only frames in which the
person faces the camera count (POSES needs world landmarks), and of these only bones that are hardly
foreshortened, for the estimator guesses the others. Printed are the medians of found over wanted.

The estimator has errors of its own, which depend on the pose: so there is a row of what it finds in
true pictures, where the poses are the exact landmarks of a rendered video. Then the poses are drawn
as they are, and the dancers should be of the person in it. What it finds in a dancer's own first
picture, drawn as it is, over what it found in the photo, is printed behind.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dancing.body.facing import yaws
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import BONE_KINDS, HIPS, SHOULDERS
from dancing.data.landmarker import Landmarker
from dancing.image.dancer import Dancer
from dancing.media.video import read_frames

KINDS = ("upper_arm", "forearm", "thigh", "shin")
FACING = 15.0  # degrees
LONG = 0.85  # of the longest that a bone is seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("poses", type=Path)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--real", type=Path, metavar="VIDEO", help="that the poses are exactly of")
    arguments = parser.parse_args()
    poses = PoseSequence.load(arguments.poses)
    facing = np.flatnonzero(np.abs(yaws(poses.world)[:, 0]) < FACING)
    chosen = facing[np.linspace(0, len(facing) - 1, arguments.frames).astype(int)]
    print(f"{'':24s}", *(f"{kind:>10s}" for kind in KINDS))
    if arguments.real:
        frames = list(read_frames(arguments.real, poses.fps))
        points, size = poses.landmarks[chosen], frames[0].shape[1::-1]
        show("real", ratios(found((frames[k] for k in chosen), size), points * size))
    for name in arguments.bundles:
        dancer = Dancer(name)
        fitted = poses if arguments.real else dancer.fit(poses)
        still = replace(fitted, landmarks=fitted.landmarks[chosen], world=None, visibility=None)
        wanted = dancer.in_view(still.landmarks) * dancer.size
        show(Path(name).name, ratios(found(dancer(still), dancer.size), wanted))


def show(name: str, values: Iterable[float]) -> None:
    print(f"{name:24s}", *(f"{value:10.3f}" for value in values), flush=True)


def found(frames, size):
    """(N, 33, 2) in pixels; NaN where nobody is found."""
    points = []
    with Landmarker(1, video=False) as look:
        for frame in frames:
            people = look(np.ascontiguousarray(frame))
            nobody = np.full((33, 2), np.nan)
            points.append(people[0].points[:, :2] * size if people else nobody)
    return np.array(points)


def ratios(found, wanted):
    """Median of found over wanted bones, (len(KINDS),)."""
    torsos = [
        np.linalg.norm(points[:, SHOULDERS].mean(1) - points[:, HIPS].mean(1), axis=1)
        for points in (found, wanted)
    ]
    for kind in KINDS:
        each = []
        for start, end in BONE_KINDS[kind]:
            one, other = (
                np.linalg.norm(p[:, start] - p[:, end], axis=1) / torso
                for p, torso in zip((found, wanted), torsos, strict=True)
            )
            long = other > LONG * np.nanmax(other)
            each.append(one[long] / other[long])
        yield np.nanmedian(np.concatenate(each))


if __name__ == "__main__":
    main()
