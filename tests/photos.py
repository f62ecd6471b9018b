"""Pictures of rendered people: dancing, and in photos before a wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from dancing.body.poses import PoseSequence
from dancing.image.dancer import Dancer
from dancing.image.warp.painter import paint
from dancing.media.video import resize
from dancing.motion.choreographer import Choreographer
from dancing.music.song import load_song
from media import EXAMPLE

DANCE = Path(__file__).parent / "data" / "dance.npz"
"""Three seconds of a dance, so that tests do not hang on how the shipped model dances."""


def somebody():
    """Kai, who stands, cut out: (H, W, 4), about 630 pixels high."""
    dancer = Dancer("kai", height=1280)
    poses = Choreographer("default")(load_song(EXAMPLE, duration=1.0), 1, energy=0)
    (picture,) = dancer(dancer.fit(poses)[:1], background="transparent")
    rows, columns = (np.flatnonzero((picture[..., 3] > 127).any(axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def ava_dances():
    """Landmarks (T, 33, 2) in pixels of ava's dance, and ava in them, (T, H, W, 4)."""
    dancer = Dancer("ava")
    sequence = PoseSequence.load(DANCE)
    frames = np.stack(list(dancer(sequence, background="transparent")))
    return dancer.in_view(sequence.landmarks) * dancer.size, frames


def room(width, height, seed=0):
    """A textured wall, (H, W, 3)."""
    noise = np.random.default_rng(seed).normal(0, 1, (height // 4, width // 4, 3))
    noise = gaussian_filter(noise, (3, 3, 0))
    wall = (150 + 25 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    return resize(wall, width, height).copy()


def stand(scene, figure, x, floor, tall=None):
    """Lay somebody over a scene, the feet's middle at (x, floor), as far as there is room."""
    if tall is not None:
        figure = resize(figure, round(figure.shape[1] * tall / figure.shape[0]), tall)
    height, width = figure.shape[:2]
    left, top = x - width // 2, floor - height
    seen = figure[max(0, -top) : scene.shape[0] - top, max(0, -left) : scene.shape[1] - left]
    rows, columns = seen.shape[:2]
    box = scene[max(0, top) : max(0, top) + rows, max(0, left) : max(0, left) + columns]
    share = seen[..., 3:] / 255
    box[:] = np.rint(seen[..., :3] * share + box * (1 - share))
    return scene


def save(path, picture, **options):
    Image.fromarray(picture).save(path, **options)
    return path


def turned(path, picture):
    """Store a picture as a phone does: lying on its side, with a note that it does."""
    exif = Image.Exif()
    exif[0x112] = 6
    return save(path, np.rot90(picture), exif=exif, quality=95)


def portrait(path, figure):
    """A portrait of somebody, as a phone stores it."""
    return turned(path, stand(room(720, 960), figure, 380, 900))


def painted(layers, pose, size):
    """What is painted of the layers of one reference in a pose."""
    parts = layers.layers

    def layers_of(part):
        return [(parts[part], 1.0)] if part in parts else []

    return paint(layers_of, pose, layers.skirt, size)
