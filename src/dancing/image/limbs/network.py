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
from itertools import pairwise

import torch
from torch import nn

from dancing.body.skeleton import N_LANDMARKS
from dancing.image.compositing import SHADE_STRIDE
from dancing.image.limbs.config import Config
from dancing.image.limbs.depth import Depth, normalised
from dancing.image.limbs.maps import CAPSULES, FingerMaps, LimbMaps

LAYERS = 4
_FINE = 24  # channels at half the resolution


def _modulated(x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Scale and shift the channels of x (N, C, H, W) by factors (N, 2 C, 1, 1); 0 is neither."""
    scale, shift = factors.chunk(2, 1)
    return x * (1 + scale) + shift


class Residual(nn.Module):
    """Two convolutions beside what goes in, (N, channels, H, W)."""

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
        self.leave = nn.Conv2d(_FINE, 4 * LAYERS, 3, padding=1)

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
    def bound(self, landmarks: torch.Tensor, depth: torch.Tensor, left_out: float) -> None:
        """Keep the output within that for these poses (N, 33, 2), their outermost part left out.

        A pose unlike all that was trained on would else scale channels as nothing was.

        Args:
            left_out: that part, 0 to 0.5, on either side.
        """
        for bound, sign in ((self.lowest, -torch.inf), (self.highest, torch.inf)):
            bound.fill_(sign)
        found = torch.cat(list(self(landmarks, depth)), 1)[..., 0, 0].sort(0).values
        outer = int(left_out * len(found))
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
        self.stem = nn.Conv2d(5 * len(CAPSULES), fine, 3, padding=1)
        self.encoders = nn.ModuleList([Residual(width) for width in widths])
        pairs = list(pairwise(widths))
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.pose = Pose([len(CAPSULES), *(2 * width for width in (*widths, *widths[:-1]))])
        self.bottom = nn.Sequential(Residual(widths[-1]), Residual(widths[-1]))
        self.ups = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        # The coarse levels are cheap, and it is there that a limb is told from another.
        self.decoders = nn.ModuleList(
            [
                nn.Sequential(*(Residual(width) for _ in range(count)))
                for width, count in zip(widths[:-1], (1, 2, 2), strict=True)
            ]
        )
        self.finger_maps = FingerMaps()
        self.head = _Head(fine)

    def forward(self, landmarks: torch.Tensor, size: Sequence[int] | torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(self.cells(landmarks, size), 2)

    def cells(self, landmarks: torch.Tensor, size: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """The layers of two by two pixels in a cell: (N, 16, height / 2, width / 2)."""
        # Shapes below: C = config.channels, B = 28 bones, H and W the crop's sides in pixels.
        # What depth is for, it learns from world landmarks; pictures would bend it.
        depth = self.depth(landmarks).detach()  # (N, 33) metres
        # (N, B, 1, 1), then scale and shift of each level: (N, 2 channels, 1, 1)
        number, *factors = self.pose(landmarks, depth)
        maps = self.maps(landmarks, size[0], size[1])  # (N, 3 B, H/4, W/4)
        near, along, _ = maps.split(len(CAPSULES), 1)  # each (N, B, H/4, W/4)
        start, end = (ends[..., None, None] for ends in self.maps.ends_of(depth))  # (N, B, 1, 1)
        maps = torch.cat([maps, near * number, near * start + along * (end - start)], 1)
        x = torch.relu(_modulated(self.stem(maps), factors[0]))  # (N, 5 B, ...) to (N, C, H/4, W/4)
        skips = []
        for level, down in enumerate(self.downs):
            x = self.encoders[level](x)
            skips.append(x)  # (N, C, H/4, W/4), (N, 2 C, H/8, W/8), (N, 3 C, H/16, W/16)
            x = down(x)
            if level < 2:
                x = _modulated(x, factors[level + 1])
            x = torch.relu(x)  # at last (N, 4 C, H/32, W/32)
        x = self.bottom(torch.relu(_modulated(self.encoders[-1](x), factors[3])))
        for level in reversed(range(len(skips))):  # back up to (N, C, H/4, W/4)
            x = nn.functional.interpolate(self.ups[level](x), scale_factor=2.0) + skips[level]
            x = self.decoders[level](_modulated(x, factors[4 + level]))
        fingers = self.finger_maps(landmarks, size[0], size[1])  # (N, 3, H/2, W/2)
        # (N, 4 * LAYERS, H/2, W/2), which a pixel shuffle makes (N, LAYERS, H, W).
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
        self.fine = nn.Conv2d(3 * len(CAPSULES), 24, 3, padding=1)
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


class Networks(nn.Module):
    """What is averaged over the steps and drawn with: the person's generator and the shade's."""

    def __init__(self, config: Config, size: Sequence[int]) -> None:
        super().__init__()
        self.person = Generator(config)
        self.shade = Shade(size)


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

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = networks

    def forward(
        self, landmarks: torch.Tensor, corners: torch.Tensor, crop: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cells = self.networks.person.cells(landmarks - corners[:, None], crop) * 255 + 0.5
        count, _, height, width = cells.shape
        # Row by row, pixel by pixel, layer by layer: so the shuffle moves bytes, eight at a time.
        order = [4 * layer + place for place in range(4) for layer in range(LAYERS)]
        rows = cells[:, order].flatten(2).transpose(1, 2).to(torch.uint8)
        rows = rows.reshape(count, height, width, 2, 2 * LAYERS).transpose(2, 3)
        pictures = rows.reshape(count, 2 * height, 2 * width, LAYERS)
        return pictures, self.networks.shade(landmarks)[:, 0].clamp(0, 1)
