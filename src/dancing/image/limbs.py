"""The default image model: a U-Net that draws the dancer from maps of the limbs.

Only a crop around the dancer is drawn. The landmarks become soft capsule maps, five a bone, at a
quarter of the resolution, inside the network; a U-Net (Ronneberger et al., 2015) works at that
resolution and below, and sub-pixel convolution (Shi et al., Real-Time Single Image and Video
Super-Resolution, 2016) gives the half and the full one; at the half, maps of the fingers join. It
draws the person's colour and matte, to be laid over any scene. A second, tiny network draws how far
the floor is shaded, for the whole picture at an eighth of its size, since a shadow may fall far
from the feet. Left and right limbs have channels of their own, so facing is told apart.

Trained first against the true pictures alone, then, for sharpness, also against discriminators:
hinge loss (Lim and Ye, Geometric GAN, 2017), patches at two scales of two consecutive pictures
(Wang et al., pix2pixHD, 2018, and vid2vid, 2018), closer ones of face and hands (Chan et al.,
Everybody Dance Now, 2019), spectral normalisation (Miyato et al., 2018), feature matching.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dancing.bundle import PREVIEW
from dancing.compositing import SHADE_STRIDE, crops, darken, lay_over, within
from dancing.dancer import PLATE
from dancing.dataset import Clip
from dancing.errors import DancingError
from dancing.image.data import Crops, empty_scene, person_margin, picture_size
from dancing.image.depth import Depth, normalised, turned
from dancing.image.hands import N_FINGERS, Fingers
from dancing.kinematics import fit_focal, locate
from dancing.muon import Muon
from dancing.poses import N_LANDMARKS
from dancing.training import TrainingModule, moving_average
from dancing.video import encode_png

STRIDE = 4
# 33, 34 and 35 are the middles of shoulders, hips and ears.
# (start, end, first radius in pixels of the maps); the radii are learned.
_CAPSULES = (
    (11, 23, 3.0), (12, 24, 3.0), (11, 12, 2.0), (23, 24, 3.0), (33, 34, 4.0),
    (0, 33, 2.0), (7, 8, 2.5), (0, 35, 2.0), (2, 5, 1.0), (9, 10, 1.0),
    (11, 13, 1.6), (13, 15, 1.3), (15, 19, 1.2), (15, 17, 1.0), (15, 21, 0.8),
    (12, 14, 1.6), (14, 16, 1.3), (16, 20, 1.2), (16, 18, 1.0), (16, 22, 0.8),
    (23, 25, 2.4), (25, 27, 1.8), (27, 31, 1.3), (27, 29, 1.2),
    (24, 26, 2.4), (26, 28, 1.8), (28, 32, 1.3), (28, 30, 1.2),
)  # fmt: skip
_FINGER_RADIUS = 1.2  # pixels
_HAND_CELLS = 48  # side of the square in which a hand has fingers, two pixels each
# Of the others' learning rate: pictures say little of where a finger is, and what `Fingers.begin`
# knows would be lost.
_FINGERS_SHARE = 0.02
# What the whole pose says moves every channel of every level.
_POSE_SHARE = 0.3
_LAYERS = 4
_FINE = 24  # channels at half the resolution
_WARM_UP = 100
BATCH_SIZE = 4
_EXAMPLES = 8
_POSES, _CALIBRATED = 4096, 24  # kept of the training; of those, drawn to find the eight bits
_VIEWS = 256  # of turned poses, that depth learns from in a step
_OUTER = 0.01  # of the kept poses on either side, left out of what bounds a strange one
# Side in torso lengths and in pixels of what the discriminators of details see, and its middles.
_FACE = (0.55, 64, ((7, 8),))
_HAND = (0.4, 48, ((15, 19), (16, 20)))
# A detail has a thirtieth of the picture's pixels: with a full say its few would be pushed thirty
# times as hard, until dark spots make up for a mouth.
_SAY = (1.0, 1.0, 0.05, 0.05, 0.05)
_MAGNIFIED = 2.0
# Factors once there are discriminators. The loss of edges is least for blurred ones where their
# place is uncertain; a free matte would paint the shadow on the floor, badly.
_MATTE_JUDGED, _EDGES_JUDGED = 2.0, 0.4
_JUDGES_RATE = 4e-4
_OUTSIDE = 3  # pixels around the person that count as hers
_PATCH = 8  # pixels, side of what is to be as rich in detail as the footage


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        channels: of the finest level of the U-Net; the coarser ones have 2, 3 and 4 times as
            many. Multiples of 16 are drawn fastest by ONNX Runtime.
        learning_rate: of Muon, at its highest; Adam's for the rest is a quarter.
        matte_weight: factor of the cross-entropy between drawn and true matte; doubled once the
            discriminators have joined.
        edge_weight: factor of the L1 loss between the gradients of the pictures; four tenths of
            it once the discriminators have joined.
        hand_weight: how many times as much as others the pixels around hands count. Fingers are
            soon found with 6 and hardly with 1; then less will do.
        adversarial_from: part of the training after which the discriminators join, 0 to 1.
        adversarial_weight: factor of their verdict.
        feature_weight: factor of the L1 loss between their features.
        temporal_weight: factor of the L1 loss between changes from one picture to the next.
        texture_weight: factor of the L1 loss between how much detail patches of 8x8 pixels have;
            it too joins with the discriminators.
    """

    channels: int = 32
    learning_rate: float = 6e-3
    matte_weight: float = 0.2
    edge_weight: float = 1.0
    hand_weight: float = 2.0
    adversarial_from: float = 0.65
    adversarial_weight: float = 0.03
    feature_weight: float = 0.1
    temporal_weight: float = 1.0
    texture_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.channels < 5:
            raise ValueError("channels must be at least 5")
        if self.adversarial_from < 0:
            raise ValueError("adversarial_from must not be negative")


def _capsule_maps(
    start: torch.Tensor, end: torch.Tensor, log_radius: torch.Tensor, width: Any, height: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three maps of each bone, (N, bones, height, width); all lengths are in cells.

    m = exp(-d^2 / 2 r^2), d the distance to the bone and r its radius; m times the place along it,
    from 0 at its start to 1 at its end; and m times the signed place across it, in radii: so
    texture has coordinates to hang on.

    Args:
        start: (N, bones, 2).
        end: (N, bones, 2).
        log_radius: (bones,).
    """
    # In radii, and with as few operations on whole maps as will do: they cost as much as layers.
    along = end - start + 1e-3  # that a point has a direction too
    length = along.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    radius = log_radius.exp()[:, None]
    unit = along / (length * radius)
    unit_x, unit_y = unit[..., 0, None, None], unit[..., 1, None, None]
    x = torch.arange(width, device=start.device) + 0.5 - start[..., 0, None, None]
    y = torch.arange(height, device=start.device)[:, None] + 0.5 - start[..., 1, None, None]
    length, radius = length[..., None], radius[..., None]
    ahead = x * unit_x + y * unit_y
    place = ahead.clamp(min=0).minimum(length / radius)
    across = x * unit_y - y * unit_x
    # Not below 1e-13: numbers below float32's normal range take processors ten times as long.
    maps = torch.exp((-0.5 * ((ahead - place).square() + across.square())).clamp(min=-30.0))
    # A bone that points at the camera has no side; half a cell keeps its sign from flickering.
    return maps, maps * (place * (radius / length)), maps * (across * (length / (length + 0.5)))


class LimbMaps(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the crop to maps (N, 84, height / 4, width / 4)."""

    def __init__(self, stride: int = STRIDE) -> None:
        super().__init__()
        self.stride = stride
        self.starts = nn.Buffer(torch.tensor([a for a, _, _ in _CAPSULES]), persistent=False)
        self.ends = nn.Buffer(torch.tensor([b for _, b, _ in _CAPSULES]), persistent=False)
        radii = torch.tensor([r for _, _, r in _CAPSULES]) * STRIDE / stride
        self.log_radius = nn.Parameter(radii.clamp(min=0.8).log())

    def forward(self, landmarks: torch.Tensor, width: Any, height: Any) -> torch.Tensor:
        size = width // self.stride, height // self.stride
        start, end = self.ends_of(landmarks / self.stride)
        return torch.cat(_capsule_maps(start, end, self.log_radius, *size), 1)

    def ends_of(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What landmarks have, (N, 33, ...), at the bones' starts and ends, (N, 28, ...)."""
        middles = [points[:, pair].mean(1, keepdim=True) for pair in ([11, 12], [23, 24], [7, 8])]
        points = torch.cat([points, *middles], 1)
        return points[:, self.starts], points[:, self.ends]


class FingerMaps(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the crop to maps (N, 3, height / 2, width / 2).

    Fingers are too thin for the cells of the other bones. One is drawn like another, so there are
    the sums of their maps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fingers = Fingers()
        self.log_radius = nn.Parameter(torch.full([N_FINGERS], _FINGER_RADIUS / 2).log())

    def forward(self, landmarks: torch.Tensor, width: Any, height: Any) -> torch.Tensor:
        # Drawn in a square around each hand, then moved to its place by factors of 0 and 1: that
        # takes a quarter of the time that maps of the whole crop would.
        fingers = (self.fingers(landmarks) / 2).unflatten(1, (2, -1))
        corners = (fingers.mean((2, 3)) - _HAND_CELLS // 2).detach().floor()
        knuckle, tip = (fingers - corners[:, :, None, None]).flatten(1, 2).unbind(2)
        maps = _capsule_maps(knuckle, tip, self.log_radius, _HAND_CELLS, _HAND_CELLS)
        hands = torch.stack([part.unflatten(1, (2, -1)).sum(2) for part in maps], 2)
        cells = torch.arange(_HAND_CELLS, device=landmarks.device) + corners[..., None]
        x, y = cells[:, :, 0, None, :, None], cells[:, :, 1, None, None]
        across = (torch.arange(width // 2, device=landmarks.device) == x).to(hands.dtype)
        down = (torch.arange(height // 2, device=landmarks.device)[:, None] == y).to(hands.dtype)
        return (down @ (hands @ across)).sum(1)


def _modulated(x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Scale and shift the channels of x (N, C, H, W) by factors (N, 2 C, 1, 1); 0 is neither."""
    scale, shift = factors.chunk(2, 1)
    return x * (1 + scale) + shift


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class _Head(nn.Module):
    """Features at a quarter of the resolution to cells at the half, of two by two pixels each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, 4 * _FINE, 3, padding=1)
        self.refine = nn.Conv2d(_FINE + 3, _FINE, 3, padding=1)
        self.leave = nn.Conv2d(_FINE, 4 * _LAYERS, 3, padding=1)

    def forward(self, x: torch.Tensor, fingers: torch.Tensor) -> torch.Tensor:
        x = torch.relu(_shuffled(self.enter(x)))
        x = x + torch.relu(self.refine(torch.cat([x, fingers], 1)))
        return self.leave(x)


def _shuffled(x: torch.Tensor) -> torch.Tensor:
    """Sub-pixel convolution's second half: four channels become one of twice the size."""
    if not torch.onnx.is_in_onnx_export():
        return nn.functional.pixel_shuffle(x, 2)
    # ONNX Runtime's own takes twice as long as these two moves.
    count, channels, height, width = x.shape
    x = x.reshape(count * channels // 2, 2, height * width).transpose(1, 2)
    x = x.reshape(count * channels // 4, 2, height, 2 * width).transpose(1, 2)
    return x.reshape(count, channels // 4, 2 * height, 2 * width)


class Pose(nn.Module):
    """What no small neighbourhood shows, such as which way the body faces, from the whole pose.

    Landmarks (N, 33, 2) in pixels and their depth (N, 33) to several (N, count, 1, 1), one for each
    of the counts.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__()
        self.counts = list(counts)
        self.lowest = nn.Buffer(torch.full([sum(counts)], -torch.inf), persistent=False)
        self.highest = nn.Buffer(torch.full([sum(counts)], torch.inf), persistent=False)
        # Without a norm, poses that are rare have units of their own, which grow until the picture
        # bursts, and the others share what few are left.
        self.first = nn.Sequential(nn.Linear(N_LANDMARKS * 3, 128), nn.LayerNorm(128), nn.SiLU())
        self.second = nn.Sequential(nn.Linear(128, 128), nn.LayerNorm(128), nn.SiLU())
        self.last = nn.Linear(128, sum(counts))

    def forward(self, landmarks: torch.Tensor, depth: torch.Tensor) -> Sequence[torch.Tensor]:
        with torch.autocast(landmarks.device.type, enabled=False):
            x = self.first(torch.cat([normalised(landmarks), depth], 1))
            x = self.last(x + self.second(x)).clamp(self.lowest, self.highest)
        return x[..., None, None].split(self.counts, 1)

    @torch.no_grad()
    def bound(self, landmarks: torch.Tensor, depth: torch.Tensor) -> None:
        """Keep what is given within what these poses (N, 33, 2) give, the last percent aside.

        A pose unlike all that was trained on would else scale channels as nothing was.
        """
        for bound, sign in ((self.lowest, -torch.inf), (self.highest, torch.inf)):
            bound.fill_(sign)
        found = torch.cat(list(self(landmarks, depth)), 1)[..., 0, 0].sort(0).values
        outer = int(_OUTER * len(found))
        self.lowest.copy_(found[outer])
        self.highest.copy_(found[-1 - outer])


class Generator(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the crop, and its size (width, height), multiples of 32,
    to layers (N, 4, height, width) in [0, 1]: red, green, blue, matte."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        fine = config.channels
        widths = [fine, 2 * fine, 3 * fine, 4 * fine]
        self.depth = Depth()
        self.maps = LimbMaps()
        self.stem = nn.Conv2d(5 * len(_CAPSULES), fine, 3, padding=1)
        self.encoders = nn.ModuleList([_Residual(width) for width in widths])
        pairs = list(pairwise(widths))
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.pose = Pose([len(_CAPSULES), *(2 * width for width in (*widths, *widths[:-1]))])
        self.bottom = nn.Sequential(_Residual(widths[-1]), _Residual(widths[-1]))
        self.ups = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        # The coarse levels are cheap, and it is there that a limb is told from another.
        self.decoders = nn.ModuleList(
            [
                nn.Sequential(*(_Residual(width) for _ in range(count)))
                for width, count in zip(widths[:-1], (1, 2, 2), strict=True)
            ]
        )
        self.finger_maps = FingerMaps()
        self.head = _Head(fine)

    def forward(self, landmarks: torch.Tensor, size: Sequence[int] | torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(self.cells(landmarks, size), 2)

    def cells(self, landmarks: torch.Tensor, size: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """The layers of two by two pixels in a cell: (N, 16, height / 2, width / 2)."""
        # What depth is for, it learns from world landmarks; pictures would bend it.
        depth = self.depth(landmarks).detach()
        number, *factors = self.pose(landmarks, depth)
        maps = self.maps(landmarks, size[0], size[1])
        near, along, _ = maps.split(len(_CAPSULES), 1)
        start, end = (ends[..., None, None] for ends in self.maps.ends_of(depth))
        maps = torch.cat([maps, near * number, near * start + along * (end - start)], 1)
        x = torch.relu(_modulated(self.stem(maps), factors[0]))
        skips = []
        for level, down in enumerate(self.downs):
            x = self.encoders[level](x)
            skips.append(x)
            x = down(x)
            if level < 2:
                x = _modulated(x, factors[level + 1])
            x = torch.relu(x)
        x = self.bottom(torch.relu(_modulated(self.encoders[-1](x), factors[3])))
        for level in reversed(range(len(skips))):
            x = nn.functional.interpolate(self.ups[level](x), scale_factor=2.0) + skips[level]
            x = self.decoders[level](_modulated(x, factors[4 + level]))
        fingers = self.finger_maps(landmarks, size[0], size[1])
        # In float32, for a matte close to 0 or 1 would have no gradient in bfloat16.
        return torch.sigmoid(self.head(x, fingers).float())


class Shade(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the picture to how far its floor is shaded there.

    The output (N, 1, 4 ceil(height / 32), 4 ceil(width / 32)) has a cell for every 8x8 pixels of a
    picture of (width, height). It is to be clamped to [0, 1].
    """

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = [math.ceil(side / 32) * 32 for side in size]
        self.maps = LimbMaps(2 * SHADE_STRIDE)
        self.fine = nn.Conv2d(3 * len(_CAPSULES), 24, 3, padding=1)
        self.down = nn.Conv2d(24, 32, 3, stride=2, padding=1)
        self.wide = nn.ModuleList(
            [nn.Conv2d(32, 32, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4, 1)]
        )
        self.up = nn.Conv2d(32, 24, 1)
        self.finer = nn.Conv2d(24, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.fine(self.maps(landmarks, *self.size)))
        x = torch.relu(self.down(skip))
        for wide in self.wide:
            x = x + torch.relu(wide(x))
        x = torch.relu(nn.functional.interpolate(self.up(x), scale_factor=2.0) + skip)
        # No sigmoid: no shade is the rule, and a net that has learned it would never leave it.
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.finer(x))), 2).float()


class Drawer(nn.Module):
    """What is averaged over the steps and drawn with: the person's generator and the shade's."""

    def __init__(self, config: Config, size: Sequence[int]) -> None:
        super().__init__()
        self.person = Generator(config)
        self.shade = Shade(size)


class Discriminator(nn.Module):
    """Judges patches: (N, channels, H, W) to verdicts (N, 1, about H / 8, W / 8) and features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sides = [channels, 24, 48, 80]
        self.layers = nn.ModuleList(
            [spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(sides)]
        )
        self.verdict = spectral_norm(nn.Conv2d(sides[-1], 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.verdict(x), features


class Judges(nn.Module):
    """All discriminators: pairs of consecutive pictures at two scales, the face, the hands."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = Discriminator(6), Discriminator(6)
        self.face, self.hand = Discriminator(3), Discriminator(3)

    def forward(
        self, pictures: torch.Tensor, landmarks: torch.Tensor
    ) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Judge.

        Args:
            pictures: (2 N, 3, H, W) in [0, 1]; those of odd index follow on the ones before.
            landmarks: (2 N, 33, 2) in pixels.
        """
        count, _, height, width = pictures.shape
        pairs = pictures.reshape(count // 2, 6, height, width) * 2 - 1
        smaller = nn.functional.avg_pool2d(pairs, 2)
        # Cloth and skin have fine patterns too faint for a judge that spectral normalisation
        # keeps from being picky, so they are shown to it magnified.
        details = pairs - nn.functional.avg_pool2d(pairs, 5, 1, 2, count_include_pad=False)
        verdicts = [self.fine(pairs + _MAGNIFIED * details), self.coarse(smaller)]
        for judge, (side, pixels, middles) in ((self.face, _FACE), (self.hand, _HAND)):
            for middle in middles:
                verdicts.append(judge(_detail(pictures, landmarks, middle, side, pixels) * 2 - 1))
        return verdicts


def composite(layers: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
    """The person (N, 4, H, W) over a scene (N, 3, H, W), all in [0, 1]."""
    matte = layers[:, 3:4]
    return layers[:, :3] * matte + scene * (1 - matte)


class Deployed(nn.Module):
    """What inference runs.

    Inputs: landmarks (N, 33, 2) in pixels of the picture; corners (N, 2), left and top of the
    crops in pixels of the picture; crop (2,) int64, their width and height, multiples of 32.
    Outputs: layers (N, height, width, 4) uint8, red, green, blue and matte; shade (N, h, w) in
    [0, 1], a cell for every 8x8 pixels of the whole picture and the rest up to a multiple of 32.
    """

    def __init__(self, drawer: Drawer) -> None:
        super().__init__()
        self.drawer = drawer

    def forward(
        self, landmarks: torch.Tensor, corners: torch.Tensor, crop: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cells = self.drawer.person.cells(landmarks - corners[:, None], crop) * 255 + 0.5
        count, _, height, width = cells.shape
        # Row by row, pixel by pixel, layer by layer: so the shuffle moves bytes, eight at a time.
        order = [4 * layer + place for place in range(4) for layer in range(_LAYERS)]
        rows = cells[:, order].flatten(2).transpose(1, 2).to(torch.uint8)
        rows = rows.reshape(count, height, width, 2, 2 * _LAYERS).transpose(2, 3)
        pictures = rows.reshape(count, 2 * height, 2 * width, _LAYERS)
        return pictures, self.drawer.shade(landmarks)[:, 0].clamp(0, 1)


class Training(TrainingModule):
    """The GAN in training.

    Batches: 'chosen' (N,), which pictures they are, 'landmarks' (N, 33, 2) in pixels of the
    picture, 'corners' (N, 2) of the crops, 'picture' and 'plate' (N, 3, H, W) and 'matte' (N, 1, H,
    W) uint8 of the crops, and of the whole picture and the whole plate at an eighth 'small' (N, 4,
    h, w) uint8, colour and matte, and 'small_plate' (1, 3, h, w) uint8. Where 'paired', a bool,
    says so, pictures of odd index follow on the ones before; then the discriminators judge.
    """

    config: Config
    # A shadow's slow gradients, and the last layer, show every step of eight bits, and what comes
    # before it most of the rest.
    exact = ("shade", "head/", "encoders.0/")

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        # One optimiser after the other, by hand: that is what a GAN needs.
        self.automatic_optimization = False
        self.drawer = Drawer(config, origin["size"])
        self.judges = Judges()
        self.room = nn.Buffer(origin["room"], persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What is drawn with: an average over the last steps, steadier than any of them.
        self.averaged = moving_average(self.drawer)
        self._examples: list[dict[str, torch.Tensor]] = []
        self._error = 0.0

    def begin(self) -> None:
        self.drawer.person.finger_maps.fingers.begin()

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        inner, others, optimise_d = self.optimizers()  # type: ignore[attr-defined]
        factor = min(1.0, (self.averaged.n_averaged.item() + 1) / _WARM_UP)
        factor *= min(1.0, 0.03 + 1.94 * (1 - self.progress()))
        _set_rate(inner, self.config.learning_rate * factor)
        _set_rate(others, self.config.learning_rate * factor / 4)

        landmarks = batch["landmarks"] - batch["corners"][:, None]
        height, width = batch["picture"].shape[2:]
        layers = self.drawer.person(landmarks, (width, height))
        shade = self.drawer.shade(batch["landmarks"])
        real, matte = _unit(batch["picture"]), _unit(batch["matte"])
        light = 1 - _shade_at(shade, batch["corners"], (width, height))
        drawn = composite(layers, _unit(batch["plate"]) * light)
        hands = _near_hands(landmarks, width, height)
        importance = 1 + (self.config.hand_weight - 1) * hands
        parts, errors = _fidelity(layers, drawn, real, matte, importance)
        judged = batch["paired"]
        matte_weight = self.config.matte_weight * (_MATTE_JUDGED if judged else 1)
        edge_weight = self.config.edge_weight * (_EDGES_JUDGED if judged else 1)
        loss = (
            parts["train_l1"]
            + matte_weight * parts["train_matte"]
            + edge_weight * parts["train_edges"]
        )
        loss = loss + _shade_loss(shade, batch)
        if len(self.room):
            views, behind = turned(self.room, self.origin["focal"], _VIEWS)
            parts["train_depth"] = (self.drawer.person.depth(views) - behind).abs().mean()
            loss = loss + parts["train_depth"]
        if judged:
            loss = loss + self.config.temporal_weight * _change(drawn, real)
            texture = (_texture(drawn) - _texture(real)).abs()
            parts["train_texture"] = (nn.functional.avg_pool2d(matte, _PATCH) * texture).mean()
            loss = loss + self.config.texture_weight * parts["train_texture"]
            adversarial, features, loss_d = self._judge(drawn, real, landmarks, optimise_d)
            loss = loss + self.config.adversarial_weight * adversarial
            loss = loss + self.config.feature_weight * features
            parts |= {"loss_d": loss_d, "loss_g": adversarial, "train_features": features}
        self.drawer.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.drawer.parameters(), 1.0)
        inner.step()
        others.step()
        self.log_dict(parts)
        self.averaged.update_parameters(self.drawer)
        data = self.trainer.train_dataloader.dataset  # type: ignore[union-attr]
        data.weights[batch["chosen"].cpu().numpy()] = self._difficulty(errors)
        data.paired = self.progress() >= self.config.adversarial_from

    def _difficulty(self, errors: torch.Tensor) -> NDArray[np.floating[Any]]:
        """How much worse than others the pictures are drawn, (N,), 1 for the mean of late ones."""
        error = errors.detach().float().cpu().numpy()
        self._error += 0.01 * (error.mean() - self._error) if self._error else error.mean()
        difficulty: NDArray[np.floating[Any]] = error / self._error
        return difficulty

    def _judge(
        self,
        drawn: torch.Tensor,
        real: torch.Tensor,
        landmarks: torch.Tensor,
        optimise_d: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Train the judges, then hear them on what was drawn, and how far their features lie."""
        judged_real = self.judges(real, landmarks)
        judged_fake = self.judges(drawn.detach(), landmarks)
        losses = [
            torch.relu(1 - a.float()).mean() + torch.relu(1 + b.float()).mean()
            for (a, _), (b, _) in zip(judged_real, judged_fake, strict=True)
        ]
        loss_d = torch.stack(losses).mean()
        optimise_d.zero_grad()
        self.manual_backward(loss_d)
        optimise_d.step()

        self.judges.requires_grad_(False)
        heard = self.judges(drawn, landmarks)
        self.judges.requires_grad_(True)
        verdicts = torch.stack([verdict.float().mean() for verdict, _ in heard])
        verdict = -(verdicts * verdicts.new_tensor(_SAY)).mean()
        distances = [
            (a.float() - b.detach().float()).abs().mean()
            for (_, fake), (_, true) in zip(heard, judged_real, strict=True)
            for a, b in zip(fake, true, strict=True)
        ]
        return verdict, torch.stack(distances).mean(), loss_d

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        drawn = self._drawn(batch)
        person = (batch["matte"] >= 128).float()
        error = ((drawn - _unit(batch["picture"])).square() * person).sum((1, 2, 3))
        mse = (error / (3 * person.sum((1, 2, 3))).clamp(min=1)).mean()
        self.log("val_person_mse", mse, prog_bar=True, batch_size=len(drawn))
        if index == 0:
            self._examples = []
        if index % max(1, int(self.trainer.num_val_batches[0]) // _EXAMPLES) == 0:
            self._example(batch)

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        # Until there are some of the validation.
        self._example(batch)

    def _example(self, batch: dict[str, torch.Tensor]) -> None:
        if len(self._examples) < _EXAMPLES:
            self._examples.append(
                {name: value[:1] for name, value in batch.items() if name != "paired"}
            )

    def _drawn(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        drawer: Drawer = self.averaged.module  # type: ignore[assignment]
        height, width = batch["picture"].shape[2:]
        landmarks = batch["landmarks"] - batch["corners"][:, None]
        layers = drawer.person(landmarks, (width, height))
        shade = drawer.shade(batch["landmarks"])
        light = 1 - _shade_at(shade, batch["corners"], (width, height))
        return composite(layers, _unit(batch["plate"]) * light)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        # Muon is for what maps features to features; first and last layers are Adam's.
        inner = [
            weight
            for name, weight in self.drawer.named_parameters()
            if weight.ndim == 4 and not name.startswith(("person.head", "shade.last"))
        ]
        fingers = list(self.drawer.person.finger_maps.fingers.parameters())
        pose = list(self.drawer.person.pose.parameters())
        chosen = {id(weight) for weight in (*inner, *fingers, *pose)}
        others = [weight for weight in self.drawer.parameters() if id(weight) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": fingers, "share": _FINGERS_SHARE},
            {"params": pose, "share": _POSE_SHARE},
        ]
        return [
            Muon(inner, self.config.learning_rate),
            torch.optim.Adam(groups, self.config.learning_rate / 4),
            torch.optim.Adam(self.judges.parameters(), lr=_JUDGES_RATE, betas=(0.5, 0.999)),
        ]

    def figure(self) -> NDArray[np.uint8]:
        """Up to eight pictures: real above generated."""
        columns = []
        for batch in self._examples:
            drawn = (self._drawn(batch)[0] * 255 + 0.5).byte()
            column = torch.cat([batch["picture"][0], drawn], 1).permute(1, 2, 0).cpu().numpy()
            columns.append(column)
        height = max(column.shape[0] for column in columns) // 2
        rows = []
        for half in (0, 1):
            row = []
            for column in columns:
                part = np.array_split(column, 2)[half]
                row.append(np.pad(part, ((0, height - len(part)), (0, 0), (0, 0))))
            rows.append(np.concatenate(row, 1))
        return np.concatenate(rows)

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], list[str]]:
        example = {
            "landmarks": torch.rand(2, N_LANDMARKS, 2) * 64,
            "corners": torch.zeros(2, 2),
            "crop": torch.tensor([64, 96]),
        }
        return self._deployed(), example, ["layers", "shade"]

    def _deployed(self) -> Deployed:
        drawer: Drawer = self.averaged.module  # type: ignore[assignment]
        poses = self.origin["poses"]
        drawer.person.pose.bound(poses, drawer.person.depth(poses))
        return Deployed(drawer).eval()

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        return {
            "landmarks": {0: "batch"},
            "corners": {0: "batch"},
            "layers": {0: "batch", 1: "height", 2: "width"},
            "shade": {0: "batch"},
        }

    def calibration(self) -> list[dict[str, NDArray[Any]]]:
        poses = self.origin["poses"].numpy()
        inputs = []
        for pose in poses[:: max(1, len(poses) // _CALIBRATED)]:
            crop, corners = crops(pose[None], self.origin["margin"], self.origin["size"])
            inputs.append(
                {
                    "landmarks": pose[None],
                    "corners": corners.astype(np.float32),
                    "crop": np.array(crop, np.int64),
                }
            )
        return inputs

    def weights(self) -> dict[str, torch.Tensor]:
        return {
            **{
                f"drawer.{name}": value for name, value in self.averaged.module.state_dict().items()
            },
            **{f"judges.{name}": value for name, value in self.judges.state_dict().items()},
        }

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        for name in ("drawer", "judges"):
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
            getattr(self, name).load_state_dict(own)
        self.averaged.module.load_state_dict(self.drawer.state_dict())

    def card(self) -> dict[str, Any]:
        return {
            "size": self.origin["size"],
            "margin": self.origin["margin"],
            "view": [0.0, 0.0, 1.0, 1.0],
            "placement": self.origin["placement"],
        }

    def files(self) -> dict[str, bytes]:
        plate = self.origin["plate"].numpy()
        return {PLATE: encode_png(plate), PREVIEW: encode_png(self._portrait(plate.copy()))}

    @torch.no_grad()
    def _portrait(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw the most upright pose that faces the camera over the plate, in place."""
        inputs = self.calibration()
        poses = np.concatenate([one["landmarks"] for one in inputs])
        facing = poses[:, 11, 0] - poses[:, 12, 0]
        upright = poses[:, 27:29, 1].mean(1) - poses[:, 0, 1]
        chosen = inputs[np.where(facing >= 0.8 * facing.max(), upright, -np.inf).argmax()]
        layers, shade = self._deployed()(*map(torch.from_numpy, chosen.values()))
        size = self.origin["size"]
        darken(frame, shade[0].numpy(), size)
        corner = chosen["corners"][0].astype(np.int64)
        lay_over(frame, *within(layers[0].numpy(), corner, size))
        return frame


def data(
    config: Config, kept: Sequence[Clip], held_out: Sequence[Clip], cache: Path, batch_size: int
) -> tuple[Crops, Crops | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    width, height = picture_size([*kept, *held_out])
    if width % 2 or height % 2:
        raise DancingError(f"pictures of {width}x{height} make no video, both must be even")
    for clip in (*kept, *held_out):
        if clip.matte is None:
            raise DancingError(f"clip '{clip.name}' has no matte; 'dancing prepare' makes them")
    plate, margin = empty_scene(kept), person_margin(kept)
    train = Crops(kept, plate, margin, cache, batch_size=batch_size)
    facts = {
        "size": [width, height],
        "plate": torch.from_numpy(plate),
        "margin": margin,
        "poses": torch.from_numpy(train.landmarks[:: max(1, train.n_pictures // _POSES)]),
        **_rooms(kept, height),
    }
    if not held_out:
        return train, None, facts
    return train, Crops(held_out, plate, margin, cache, batch_size=0), facts


def _rooms(clips: Sequence[Clip], height: int) -> dict[str, Any]:
    """'room', landmarks (T, 33, 3) of those clips that have world landmarks, metres in the room of
    `dancing.kinematics`, and 'focal', the camera's focal length in pixels."""
    known = [(clip, clip.world) for clip in clips if clip.world is not None]
    if not known:
        return {"room": torch.zeros(0, N_LANDMARKS, 3), "focal": 0.0}
    focal = fit_focal([(clip.landmarks, world, clip.aspect) for clip, world in known])
    rooms = []
    for clip, world in known:
        place = locate(clip.landmarks, world, clip.aspect, focal, clip.fps)
        rooms.append((world + place[:, None]).astype(np.float32))
    room = np.concatenate(rooms)
    return {
        "room": torch.from_numpy(room[:: max(1, len(room) // _POSES)]),
        "focal": focal * height,
    }


def _shade_at(shade: torch.Tensor, corners: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The shade (N, 1, h, w) of the whole picture in crops: (N, 1, height, width), bilinear.

    It has no gradient: the shade has a loss of its own, on the whole picture.
    """
    width, height = size
    rows, columns = shade.shape[2:]
    x = torch.arange(width, device=shade.device) + 0.5 + corners[:, :1]
    y = torch.arange(height, device=shade.device) + 0.5 + corners[:, 1:]
    x = x / (SHADE_STRIDE * columns) * 2 - 1
    y = y / (SHADE_STRIDE * rows) * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, height, -1), y[..., None].expand(-1, -1, width)], -1)
    return nn.functional.grid_sample(
        shade.detach().clamp(0, 1),
        grid,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )


def _shade_loss(shade: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Squared error outside the matte at an eighth of the size.

    Not L1: most cells are unshaded most of the time, and an L1 loss stays at that median.
    """
    small, plate = _unit(batch["small"]), _unit(batch["small_plate"])
    rows, columns = small.shape[2:]
    error = plate * (1 - shade[..., :rows, :columns]) - small[:, :3]
    return 10 * ((small[:, 3:] < 0.02) * error.square()).mean()


def _fidelity(
    layers: torch.Tensor,
    drawn: torch.Tensor,
    real: torch.Tensor,
    matte: torch.Tensor,
    importance: torch.Tensor,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The losses by name, and of each picture (N,) the L1 of its composite."""
    # What lies just outside counts as much as what lies just inside: else outlines, whose place
    # is uncertain, would be drawn too far outside.
    weight = (0.2 + _spread(matte, _OUTSIDE)) * importance
    error = drawn - real
    errors = (weight * error.abs()).mean((1, 2, 3))
    # The colour is compared without its matte too, else neither can begin. Not at the edge,
    # where the real picture has some of the scene's.
    colour = importance * (1 - _spread(1 - matte, 1)) * (layers[:, :3] - real).abs()
    l1 = errors.mean() + colour.mean()
    edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    edges = edges + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    with torch.autocast(matte.device.type, enabled=False):
        matte_loss = nn.functional.binary_cross_entropy(layers[:, 3:4], matte, importance)
    return {"train_l1": l1, "train_edges": edges, "train_matte": matte_loss}, errors


def _spread(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """The largest value of (N, 1, H, W) so many pixels around."""
    return nn.functional.max_pool2d(mask, 2 * pixels + 1, 1, pixels)


def _change(drawn: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """L1 between the changes from pictures of even index to the next ones."""
    return (drawn[1::2] - drawn[::2] - (real[1::2] - real[::2])).abs().mean()


def _texture(pictures: torch.Tensor) -> torch.Tensor:
    """How much detail patches have, (N, 1, H / 8, W / 8): their luma's Laplacian, root mean square.

    Wherever in the patch it is: where edges are uncertain, other losses are least for blurred ones
    (after Abrahamyan et al., Gradient Variance Loss, ICASSP 2022).
    """
    luma = (pictures.float() * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    padded = nn.functional.pad(luma[:, None], (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    down = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    laplacian = across + down - 4 * padded[..., 1:-1, 1:-1]
    return (nn.functional.avg_pool2d(laplacian.square(), _PATCH) + 1e-5).sqrt()


def _near_hands(landmarks: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Where hands are, (N, 1, height, width), 1 in the squares of `_HAND`, else 0."""
    x = torch.arange(width, device=landmarks.device) + 0.5
    y = torch.arange(height, device=landmarks.device)[:, None] + 0.5
    side, _, middles = _HAND
    half = _torso(landmarks, height)[:, None, None, None] * side / 2
    near = x.new_zeros(len(landmarks), 1, height, width)
    for middle in middles:
        centre = landmarks[:, list(middle)].mean(1)[..., None, None, None]
        near = torch.maximum(
            near, (((x - centre[:, 0]).abs() < half) & ((y - centre[:, 1]).abs() < half)).float()
        )
    return near


def _torso(landmarks: torch.Tensor, height: int) -> torch.Tensor:
    """Length of the torso (N,) in pixels; seen from above it is short, head and hands are not."""
    torso = (landmarks[:, [11, 12]].mean(1) - landmarks[:, [23, 24]].mean(1)).norm(dim=-1)
    return torso.clamp(min=0.2 * height)


def _detail(
    pictures: torch.Tensor,
    landmarks: torch.Tensor,
    middle: tuple[int, int],
    side: float,
    pixels: int,
) -> torch.Tensor:
    """A square around the middle of two landmarks, (N, C, pixels, pixels)."""
    height, width = pictures.shape[2:]
    half = _torso(landmarks, height) * side / 2
    centre = landmarks[:, list(middle)].mean(1)
    steps = torch.linspace(-1, 1, pixels, device=pictures.device)
    x = (centre[:, :1] + half[:, None] * steps) / width * 2 - 1
    y = (centre[:, 1:] + half[:, None] * steps) / height * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, pixels, -1), y[..., None].expand(-1, -1, pixels)], -1)
    return nn.functional.grid_sample(
        pictures.float(), grid, padding_mode="border", align_corners=False
    )


def _set_rate(optimiser: Any, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def _unit(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to [0, 1], laid out as the convolutions are fastest."""
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
