"""A dancer without a trained model: a red box around the landmarks, and a shadow below it."""

from pathlib import Path

import numpy as np

from dancing.bundle import Bundle
from dancing.card import read_card
from dancing.family import family
from dancing.media.video import encode_png

SIZE = (96, 160)
MARGIN = (4, 6, 8, 10)
RED = (200, 30, 20)
PLATE = np.full((SIZE[1], SIZE[0], 3), (100, 150, 200), np.uint8)


class BoxModel:
    """Obeys the contract of an image model that draws layers; see docs/data.md."""

    def run(self, outputs, inputs, options):
        assert outputs == ["layers", "shade"] and set(inputs) == {"landmarks", "corners", "crop"}
        landmarks, corners, (width, height) = (inputs[k] for k in ("landmarks", "corners", "crop"))
        assert landmarks.dtype == corners.dtype == np.float32 and width % 32 == height % 32 == 0
        layers = np.zeros((len(landmarks), height, width, 4), np.uint8)
        rows, columns = (4 * -(-side // 32) for side in SIZE[::-1])
        shade = np.zeros((len(landmarks), rows, columns), np.float32)
        for drawn, dark, points, corner in zip(layers, shade, landmarks, corners, strict=True):
            drawn[..., :3] = RED
            low = np.rint(points.min(0) - MARGIN[:2] - corner).astype(int)
            high = np.rint(points.max(0) + MARGIN[2:] - corner).astype(int)
            # The contract: whoever is in the picture is in the crop.
            seen = np.minimum(np.array(SIZE) - corner, high)
            assert (np.maximum(low, -corner) >= 0).all() and (seen <= [width, height]).all()
            low, high = np.maximum(low, 0), np.maximum(high, 0)
            drawn[low[1] : high[1], low[0] : high[0], 3] = 255
            dark[-6:-2, 2:5] = 0.5
        return [layers, shade]


class BoxDancer(Bundle):
    """A bundle of that model."""

    def __init__(self, margin=MARGIN, **changes):
        self.path = Path("box")
        place = {"x": 0.5, "y": 0.5, "torso": 0.2, "floor": 0.9, "aspect": SIZE[0] / SIZE[1]}
        entry = {
            "model": "limbs", "size": list(SIZE), "view": [0, 0, 1, 1], "margin": list(margin),
            "placement": place,
        } | changes  # fmt: skip
        kinds = {"image": family("image", entry["model"]).card}
        self.card = read_card({"format": 2, "name": "box", "files": {}, "image": entry}, kinds)

    image = BoxModel()

    def onnx(self, stage):
        assert stage == "image"

    def file(self, name):
        assert name == "plate.png"
        return encode_png(PLATE)
