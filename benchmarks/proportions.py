"""Whether a drawn person's limbs are as long as they should be, as a pose estimator sees it.

    python benchmarks/proportions.py POSES BUNDLE... [--frames N]

The poses are drawn by each dancer; landmarks are found in what is drawn, and bones, in lengths of
the torso, compared with those of the landmarks that were to be drawn. Only frames in which the
person faces the camera count (POSES needs world landmarks), and of these only bones that are hardly
foreshortened, for the estimator guesses the others. Printed are the medians of found over wanted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dancing.body.facing import yaws
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import BONE_KINDS, HIPS, SHOULDERS
from dancing.data.landmarker import Landmarker
from dancing.image.dancer import Dancer

KINDS = ("upper_arm", "forearm", "thigh", "shin")
FACING = 15.0  # degrees
LONG = 0.85  # of the longest that a bone is seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("poses", type=Path)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()
    print(f"{'':24s}", *(f"{kind:>10s}" for kind in KINDS))
    for name in arguments.bundles:
        dancer = Dancer(name)
        poses = dancer.fit(PoseSequence.load(arguments.poses))
        facing = np.flatnonzero(np.abs(yaws(poses.world)[:, 0]) < FACING)
        chosen = facing[np.linspace(0, len(facing) - 1, arguments.frames).astype(int)]
        size = np.array(dancer.size)
        wanted = dancer.in_view(poses.landmarks[chosen]) * size
        still = PoseSequence(poses.landmarks[chosen], poses.fps, aspect=poses.aspect)
        found = np.full_like(wanted, np.nan)
        with Landmarker(1, video=False) as look:
            for number, frame in enumerate(dancer(still)):
                people = look(frame)
                if people:
                    found[number] = people[0].points[:, :2] * size
        print(f"{Path(name).name:24s}", *(f"{ratio:10.3f}" for ratio in ratios(found, wanted)))


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
