"""The network of `warp`, which mends what is painted from references.

A U-Net (Ronneberger et al., 2015) at half the sketch's size and below. Its mask keeps what was
painted or not, and behind it lies a picture of the network's own: detail is copied, and drawn only
where it has to be. Trained against the true pictures and discriminators of patches (Isola et al.,
2016; hinge loss: Lim and Ye, Geometric GAN, 2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from dancing.image.limbs.network import Residual
from dancing.image.warp.config import Config
from dancing.image.warp.refining import CHANNELS

_OUTPUTS = 5  # of each pixel: red, green, blue and alpha of its own, and what is kept
_POOLED = 8  # pixels of the sketch over which colours are averaged
# What one of the last layer's units is of a colour: its eight bits have to cover logits too.
_COLOUR = 1 / 16
_SURE = 4.0  # logit of keeping all and drawing nothing, at first


class Generator(nn.Module):
    """Sketches (N, CHANNELS, H, W) in [0, 1], H and W multiples of 16.

    To own (N, 4, H, W), colours, not multiplied by alpha, and alpha; and keep (N, 1, H, W), all in
    [0, 1].
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        # Shapes below: C = config.channels, H and W the sketch's sides.
        widths = [config.channels * factor for factor in (1, 2, 3, 4)]
        pairs = list(pairwise(widths))
        self.stem = nn.Conv2d(CHANNELS, widths[0], 3, stride=2, padding=1)
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.encoders = nn.ModuleList(
            [Residual(widths[1]), nn.Sequential(Residual(widths[2]), Residual(widths[2]))]
        )
        self.bottom = nn.Sequential(Residual(widths[3]), Residual(widths[3]))
        self.ups = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        self.decoders = nn.ModuleList([Residual(widths[1]), Residual(widths[2])])
        self.last = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.head = nn.Conv2d(widths[0], 4 * _OUTPUTS, 3, padding=1)
        for block in self.modules():
            if isinstance(block, Residual):
                nn.init.zeros_(block.second.weight)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.bias[3 * 4 : 4 * 4] = -_SURE
            self.head.bias[4 * 4 :] = _SURE

    def forward(self, sketch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mending(sketch * 2 - 1, sketch[:, :4])

    def mending(
        self, sketch: torch.Tensor, painted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `forward`, of sketches in [-1, 1], and what is painted, their start, in [0, 1]."""
        first = torch.relu(self.stem(sketch))  # (N, C, H/2, W/2)
        second = self.encoders[0](torch.relu(self.downs[0](first)))  # (N, 2 C, H/4, W/4)
        third = self.encoders[1](torch.relu(self.downs[1](second)))  # (N, 3 C, H/8, W/8)
        x = self.bottom(torch.relu(self.downs[2](third)))  # (N, 4 C, H/16, W/16)
        x = self.decoders[1](_doubled(self.ups[2](x)) + third)
        x = self.decoders[0](_doubled(self.ups[1](x)) + second)
        x = torch.relu(_doubled(self.ups[0](x)) + first)
        x = self.head(x + torch.relu(self.last(x)))  # (N, 20, H/2, W/2)
        x = functional.pixel_shuffle(x, 2).float()  # (N, 5, H, W)
        colour = (_colours_around(painted.float()) + _COLOUR * x[:, :3]).clamp(0, 1)
        own = torch.cat([colour, torch.sigmoid(x[:, 3:4])], 1)
        return own, torch.sigmoid(x[:, 4:])


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0)


def _colours_around(painted: torch.Tensor) -> torch.Tensor:
    """The mean colour (N, 3, H, W) of the person near each pixel: a drawn one is like it.

    Args:
        painted: (N, 4, H, W), colours multiplied by alpha.
    """
    pooled = functional.avg_pool2d(painted, _POOLED)
    pooled = functional.avg_pool2d(pooled, 3, 1, 1)
    # Farther from the person, more of the person's mean.
    whole = pooled.mean((2, 3), keepdim=True)
    pooled = pooled + 0.02 * whole
    colours = pooled[:, :3] / pooled[:, 3:].clamp(min=1e-4)
    return functional.interpolate(
        colours, scale_factor=float(_POOLED), mode="bilinear", align_corners=False
    )


def mended(painted: torch.Tensor, own: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """What is seen in the end, (N, 4, H, W), colours multiplied by alpha; see `refining.Refiner`.

    Args:
        painted: (N, 4, H, W), colours multiplied by alpha.
        own, keep: see `Generator`.
    """
    kept = keep * painted
    behind = torch.cat([own[:, :3] * own[:, 3:], own[:, 3:]], 1)
    return kept + (1 - kept[:, 3:]) * behind


class Deployed(nn.Module):
    """What inference runs: see `refining.Refiner` for inputs and outputs."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, sketch: torch.Tensor) -> torch.Tensor:
        pixels = sketch.permute(0, 3, 1, 2)
        own, keep = self.generator.mending(pixels.float() * (2 / 255) - 1, pixels[:, :4] / 255)
        pixels = torch.cat([own, keep], 1) * 255 + 0.5
        return pixels.permute(0, 2, 3, 1).to(torch.uint8)
