"""Whether a drawn person's limbs are as long as they should be, as a pose estimator sees it.

    python benchmarks/proportions.py SOURCE BUNDLE... [--frames N]

Landmarks are found in what each dancer draws, and bones, in lengths of the torso, compared with
those of the landmarks that were to be drawn. SOURCE is one of

- a video of the person that the dancers are of, by the same camera: what the estimator finds in its
  frames is drawn, where it is, and found again. Its errors are in both, so this is the fair one.
- poses with world landmarks: they are drawn as `dancing generate` would. A torso that leans is
  shorter in them, but drawn upright, so lengths are over that of the upright one. The estimator
  errs, too: of rendered people, whose landmarks are known, limbs seem 6 % short to 15 % long.

Only frames in which the person faces the camera count, and of these only bones that are hardly
foreshortened, for the estimator guesses the others. Printed are the medians of found over wanted;
for the torso, by which the others are divided, of its length in pixels.
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
from dancing.media import FPS
from dancing.media.video import read_frames

KINDS = ("upper_arm", "forearm", "thigh", "shin")
FACING = 15.0  # degrees
LONG = 0.85  # of the longest that a bone is seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()
    filmed = arguments.source.suffix != ".npz"
    poses = film(arguments.source) if filmed else PoseSequence.load(arguments.source)
    facing = np.flatnonzero(np.abs(yaws(poses.world)[:, 0]) < FACING)
    chosen = facing[np.linspace(0, len(facing) - 1, arguments.frames).round().astype(int)]
    print(f"{'':24s}", *(f"{kind:>10s}" for kind in ("torso", *KINDS)))
    for name in arguments.bundles:
        dancer = Dancer(name)
        fitted = poses if filmed else dancer.fit(poses)
        still = fitted.landmarks[chosen]
        if filmed:
            corner = np.array(dancer.shot[:2])
            still = ((still - corner) / (dancer.shot[2:] - corner)).astype(np.float32)
        wanted = dancer.in_view(still) * dancer.size
        drawn = dancer(PoseSequence(still, poses.fps, aspect=dancer.size[0] / dancer.size[1]))
        found = np.stack([points[:, :2] for points in look(drawn)]) * dancer.size
        torso = torsos(wanted)
        if not filmed:
            torso[:] = np.percentile(torsos(dancer.in_view(fitted.landmarks) * dancer.size), 90)
        row = ratios(found, torsos(found), wanted, torso)
        print(f"{Path(name).name:24s}", *(f"{each:10.3f}" for each in row))


def film(path):
    """The poses of a video."""
    frames = read_frames(path, FPS)
    first = next(frames)
    points = np.stack(list(look([first, *frames])))
    points = points[np.isfinite(points).all((1, 2))].astype(np.float32)
    height, width = first.shape[:2]
    return PoseSequence(points[..., :2], FPS, world=points[..., 3:], aspect=width / height)


def look(frames):
    """(33, 6) of the person in each of some frames; NaN where nobody is found."""
    with Landmarker(1, video=False) as landmarker:
        for frame in frames:
            people = landmarker(np.ascontiguousarray(frame))
            yield people[0].points if people else np.full((33, 6), np.nan)


def torsos(points):
    """(N,) lengths."""
    return np.linalg.norm(points[:, SHOULDERS].mean(1) - points[:, HIPS].mean(1), axis=1)


def ratios(found, found_torso, wanted, wanted_torso):
    """Median of found over wanted bones, (1 + len(KINDS),)."""
    yield np.nanmedian(found_torso / wanted_torso)
    for kind in KINDS:
        each = []
        for start, end in BONE_KINDS[kind]:
            one, other = (
                np.linalg.norm(points[:, start] - points[:, end], axis=1) / torso
                for points, torso in ((found, found_torso), (wanted, wanted_torso))
            )
            long = other > LONG * np.nanmax(other)
            each.append(one[long] / other[long])
        yield np.nanmedian(np.concatenate(each))


if __name__ == "__main__":
    main()
