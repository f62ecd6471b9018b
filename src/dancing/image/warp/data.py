"""Training data of the network of `warp`: people painted from other pictures of them.

A picture of a clip is the target. References are other pictures of the clip, and what is painted
from them in the target's pose is what the network is to mend. So each clip shows one person in one
set of clothes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from dancing.body.facing import yaws
from dancing.body.skeleton import N_LANDMARKS
from dancing.data.dataset import Clip, Packed
from dancing.errors import DancingError
from dancing.image.warp.choice import Chooser, prices
from dancing.image.warp.config import Config
from dancing.image.warp.figure import Figure
from dancing.image.warp.framing import upright_torsos
from dancing.image.warp.layers import Layers, cut
from dancing.image.warp.painter import paint
from dancing.image.warp.refining import CHANNELS, MULTIPLE, Sketch, sketch, window
from dancing.training.sampler import Draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

_WINDOW = 192, 320  # width and height in pixels
_ROOM = 16  # pixels around a person who is cut into layers
_SOLID = 0.9  # of alpha, where a colour has nothing of the background's


class Person:
    """The pictures of one clip.

    Args:
        clip: with pictures, mattes, visibility and world landmarks.
    """

    def __init__(self, clip: Clip) -> None:
        assert clip.frames is not None and clip.matte is not None
        assert clip.world is not None
        self._clip = clip
        height, width = clip.matte.shape[1:3]
        self.size = width, height
        count = clip.n_pictures
        self.points = clip.landmarks[:count] * np.array(self.size, np.float32)
        world = clip.world[:count]
        self.yaws = yaws(world)[:, 0]
        self.torsos = upright_torsos(self.points, world)
        self.visibility = (
            np.ones(self.points.shape[:2], np.float32)
            if clip.visibility is None
            else clip.visibility[:count]
        )

    def best(self) -> int:
        """The frame that shows most of the person, from the front."""
        shown = [
            prices(Figure(points), visibility).sum()
            for points, visibility in zip(self.points, self.visibility, strict=True)
        ]
        return int((shown + np.abs(self.yaws) / 90).argmin())

    def picture(self, frame: int) -> tuple[Picture, Picture]:
        """Colour (H, W, 3), without the background's, and alpha (H, W)."""
        seen, matte = self._read(frame)
        return _foreground(seen, matte), matte

    def _read(self, frame: int) -> tuple[Picture, Picture]:
        """A frame (H, W, 3) and its matte (H, W)."""
        assert self._clip.frames is not None and self._clip.matte is not None
        return self._clip.frames[frame], self._clip.matte[frame]

    def sketched(
        self,
        references: Sequence[int],
        target: int,
        config: Config,
        random: np.random.Generator,
    ) -> tuple[Picture, Picture]:
        """What is painted in the pose of a frame from other frames.

        Returns:
            The pixels of the sketch, and the true picture of its place and size, (h, w, 4) uint8,
            colours multiplied by alpha. All empty where the person is too small.
        """
        made = [self._layers(frame, config, random) for frame in references]
        chooser = Chooser(made, [self.visibility[frame] for frame in references])
        noise = random.normal(0, config.pose_noise * self.torsos[target], (N_LANDMARKS, 2))
        pose = Figure(self.points[target] + noise, float(self.torsos[target]))
        chooser(pose)
        painted = paint(chooser.layers_of, pose, chooser.skirt, self.size)
        seen = sketch(painted, pose)
        if seen is None:
            empty = np.zeros((MULTIPLE, MULTIPLE, CHANNELS), np.uint8)
            return empty, empty[..., :4]
        return seen.pixels, self._true(target, seen)

    def _layers(self, frame: int, config: Config, random: np.random.Generator) -> Layers:
        import cv2

        seen, alpha = self._read(frame)
        torso = self.torsos[frame]
        # A cut-out is never exact: somewhere too wide, with the background's colours, elsewhere
        # too narrow.
        rough = cv2.resize(random.normal(size=(12, 7)), self.size, interpolation=cv2.INTER_CUBIC)
        moved = cv2.GaussianBlur(alpha, (0, 0), 0.5 + config.cutout_noise * torso) / np.float32(255)
        wrong = np.clip((moved + rough * 0.2 - 0.3) * 2.5, 0, 1) * (moved > 0.05)
        share = np.clip(np.abs(rough) - 0.7, 0, 1)
        mixed = (share * wrong + (1 - share) * alpha / 255.0).astype(np.float32)
        bleeds = (alpha < 128) & (mixed > 0)
        colour = np.where(bleeds[..., None], seen, _foreground(seen, alpha))
        noise = random.normal(0, config.pose_noise * torso, (N_LANDMARKS, 2))
        points = (self.points[frame] + noise).astype(np.float32)
        cutout = (mixed * 255).astype(np.uint8)
        # Of a smaller picture the layers are made sooner.
        left, top, width, height = cv2.boundingRect(cutout)
        left, top = max(0, left - _ROOM), max(0, top - _ROOM)
        box = np.s_[top : top + height + 2 * _ROOM, left : left + width + 2 * _ROOM]
        return cut(colour[box], cutout[box], points - np.array([left, top], np.float32))

    def _true(self, frame: int, seen: Sketch) -> Picture:
        import cv2

        colour, alpha = self.picture(frame)
        share = alpha[..., None] / np.float32(255)
        true = np.dstack([colour * share, alpha.astype(np.float32)])
        height, width = seen.pixels.shape[:2]
        box = (width * seen.cell, height * seen.cell)
        move = np.array([[1, 0, -seen.corner[0]], [0, 1, -seen.corner[1]]], np.float32)
        true = cv2.warpAffine(true, move, box, flags=cv2.INTER_NEAREST)
        small = cv2.resize(true, (width, height), interpolation=cv2.INTER_AREA)
        return np.rint(small).astype(np.uint8)


def _foreground(frame: Picture, matte: Picture) -> Picture:
    """Colours without the background's at the edge of a true matte: those of the inside near it."""
    import cv2

    solid = (matte >= _SOLID * 255).astype(np.float32)
    near = cv2.GaussianBlur(solid, (0, 0), 1.5)
    inner = cv2.GaussianBlur(frame * solid[..., None], (0, 0), 1.5)
    edge = (solid == 0) & (near > 1e-3)
    colour = frame.copy()
    colour[edge] = (inner[edge] / near[edge, None]).clip(0, 255).astype(np.uint8)
    return colour


class Sketches(TorchDataset[dict[str, torch.Tensor]]):
    """People painted, and as they are: 'sketch' (CHANNELS, H, W) and 'true' (4, H, W) uint8.

    All are cut or filled up to `_WINDOW`. Painting takes longer than a step of training, so that a
    sample is painted once and kept in memory, packed.

    Args:
        clips: of open datasets, with pictures, mattes and world landmarks.
    """

    def __init__(self, clips: Sequence[Clip], config: Config) -> None:
        self._config = config
        self.people = [Person(clip) for clip in clips]
        self._samples = [
            (person, int(target))
            for person in self.people
            for target in range(0, len(person.points), config.frame_step)
            if len(self._choice(person, target))
            for _ in range(config.pairs)
        ]
        if not self._samples:
            raise DancingError("nobody faces the camera in these clips, in at least two pictures")
        self._painted: dict[int, Packed] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def _choice(self, person: Person, target: int) -> NDArray[np.intp]:
        """The frames that may be references for another one."""
        frames = np.arange(0, len(person.points), self._config.frame_step)
        apart = np.abs((person.yaws[frames] - person.yaws[target] + 180) % 360 - 180)
        fits = np.abs(person.yaws[frames]) <= self._config.reference_yaw
        fits &= (apart <= self._config.target_yaw) & (frames != target)
        return frames[fits]

    def __getitem__(self, draw: Draw | int) -> dict[str, torch.Tensor]:
        index = draw.sample if isinstance(draw, Draw) else draw
        if index not in self._painted:
            self._painted[index] = Packed.of(self._pair(index))
        shape, packed = self._painted[index]
        pair = np.frombuffer(bytearray(zlib.decompress(packed)), np.uint8).reshape(shape)
        sketch, true = np.split(pair, [CHANNELS])
        return {"sketch": torch.from_numpy(sketch), "true": torch.from_numpy(true)}

    def _pair(self, index: int) -> Picture:
        """Sketch and true picture (CHANNELS + 4, H, W): of one reference in half of the samples."""
        random = np.random.default_rng(index)
        person, target = self._samples[index]
        choice = self._choice(person, target)
        count = 1 if random.random() < 0.5 else random.integers(1, self._config.references + 1)
        references = random.choice(choice, min(int(count), len(choice)), replace=False)
        pair = person.sketched(references.tolist(), target, self._config, random)
        return np.moveaxis(np.dstack([_windowed(each) for each in pair]), -1, 0)


def _windowed(pixels: Picture) -> Picture:
    """(H, W, C) of `_WINDOW`, what is larger cut on all sides, what is smaller filled with 0."""
    width, height = _WINDOW
    left, top = (
        (have - want) // 2 for have, want in zip(pixels.shape[1::-1], _WINDOW, strict=True)
    )
    return window(pixels, left, top, width, height)
