"""How well people are drawn who were never trained on, from photos, against the truth.

    python benchmarks/zero_shot.py PEOPLE [--photos NAME] [--frames N]

PEOPLE is a folder of rendered people: of each a video NAME.mp4, its matte NAME_alpha.mp4 and exact
landmarks NAME.npz (`landmarks` (T, 33, 2) in [0, 1], `world3d` (T, 33, 3) metres), and photos of
the same person in the same light, NAME_front.png and others NAME_*.png. Photos go the way of
`dancing learn`, so that landmarks and cut-outs are found; only the poses to draw are exact.

Rows: the photo itself, moved and scaled onto the person ('photo'); what is painted from the photos
('painted'); and what the network makes of it ('mended'). All is laid over plain grey, and compared
in the tight box of the true matte; PSNR is the mean of the frames' own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from dancing.data.landmarker import Landmarker
from dancing.image.warp import photo
from dancing.image.warp.choice import Chooser
from dancing.image.warp.figure import Figure
from dancing.image.warp.framing import upright_torsos
from dancing.image.warp.layers import cut
from dancing.image.warp.painter import paint
from dancing.image.warp.refining import NETWORK, Refiner
from dancing.image.warp.runtime import _RESOLUTION, _fitting, _lay_over
from dancing.media.video import read_frames
from dancing.metrics.image import person_box, psnr, sharpness, ssim

GREY = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("people", type=Path)
    parser.add_argument("--photos", nargs="+", default=["front"], help="which, as NAME_*.png")
    parser.add_argument("--frames", type=int, default=20, help="of each video")
    arguments = parser.parse_args()
    import onnxruntime

    session = onnxruntime.InferenceSession(NETWORK.read_bytes())
    refine = Refiner(lambda inputs: session.run(None, inputs))
    scores: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with Landmarker(photo._MOST_PEOPLE, video=False) as look:
        for video in sorted(arguments.people.glob("*.mp4")):
            photos = [video.with_name(f"{video.stem}_{name}.png") for name in arguments.photos]
            if (
                not all(file.is_file() for file in photos)
                or not video.with_suffix(".npz").is_file()
            ):
                continue
            sights = [photo._seen(file, look, []) for file in photos]
            references = [photo._cut(sight)[0] for sight in sights]
            for name, found in drawn(video, references, refine, arguments.frames).items():
                scores[name] += found
                print(
                    video.stem, name, *(f"{value:.3f}" for value in np.mean(found, 0)), flush=True
                )
    print(f"\n{'':10s} {'PSNR':>7s} {'SSIM':>7s} {'sharp':>7s}")
    for name, found in scores.items():
        print(f"{name:10s}", *(f"{value:7.3f}" for value in np.mean(found, 0)))


def drawn(video, references, refine, count):
    """Scores of each row, a tuple (PSNR, SSIM, sharpness) of each frame."""
    labels = np.load(video.with_suffix(".npz"), allow_pickle=False)
    frames = list(read_frames(video))
    mattes = [one[..., 0] for one in read_frames(video.with_name(f"{video.stem}_alpha.mp4"))]
    height, width = mattes[0].shape
    found = defaultdict(list)
    all_points = labels["landmarks"] * [width, height]
    torsos = upright_torsos(all_points, labels["world3d"])
    layers = None
    for t in np.linspace(0, len(frames) - 1, count).astype(int):
        torso = float(torsos[t])
        layers = layers or [cut(*_fitting(one, _RESOLUTION * torso)) for one in references]
        chooser = Chooser(layers, [one.points[:, 2] for one in references])
        pose = Figure(all_points[t], torso)
        chooser(pose)
        painted = paint(chooser.layers_of, pose, chooser.skirt, (width, height))
        rows = {
            "photo": [(moved(references[0], pose, (width, height)), (0, 0))],
            "painted": [(painted.canvas, (0, 0))],
            "mended": refine(painted, pose),
        }
        share = mattes[t][..., None] / 255.0
        true = (frames[t] * share + GREY * (1 - share) + 0.5).astype(np.uint8)
        box = person_box(mattes[t])
        for name, parts in rows.items():
            picture = np.full((height, width, 3), GREY, np.uint8)
            for person, corner in parts:
                _lay_over(picture, person, corner)
            found[name].append(
                (
                    psnr(picture, true, box),
                    ssim(picture, true, box),
                    sharpness(picture, box) / sharpness(true, box),
                )
            )
    return found


def moved(reference, pose, size):
    """A photo's person, moved and scaled so that hips and torso fit."""
    figure = Figure(reference.points[:, :2])
    scale = pose.torso / figure.torso
    middle = pose.hips - scale * figure.hips
    pixels = np.dstack([reference.colour, reference.alpha]).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    around = cv2.GaussianBlur(pixels, (0, 0), max(0.3, 0.5 / scale - 0.3))
    move = np.array([[scale, 0, middle[0]], [0, scale, middle[1]]])
    return cv2.warpAffine(around, move, size, flags=cv2.INTER_LINEAR).astype(np.uint8)


if __name__ == "__main__":
    main()
