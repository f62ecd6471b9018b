"""Losses of the network of `warp`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dancing.image.limbs.discriminators import Discriminator, feature_distance, hinge_loss
from dancing.image.limbs.losses import texture
from dancing.image.warp.choice import FIRST_LIMB, N_GROUPS
from dancing.image.warp.config import Config
from dancing.image.warp.network import Generator, mended
from dancing.image.warp.refining import N_LINES, TORSO

_COLOURS = 0.25  # standard deviation of what is mixed of one colour into another
# Channels of a sketch with left and right exchanged.
_SWAPPED = [1, 0, 3, 2]
_MIRRORED = [
    *range(4),
    4,
    5,
    *(4 + FIRST_LIMB + limb for limb in _SWAPPED),
    *(4 + N_GROUPS + limb for limb in _SWAPPED),
    4 + N_GROUPS + 4,
    4 + N_GROUPS + 5,
]


class Discriminators(nn.Module):
    """Of people (N, 4, H, W), colours multiplied by alpha, at full and half resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = Discriminator(4), Discriminator(4)

    def forward(self, people: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        return [self.fine(people), self.coarse(functional.avg_pool2d(people, 2))]


def varied(
    sketches: torch.Tensor, true: torch.Tensor, config: Config, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Other colours, the same in both; lines that are off, or not there; half of all mirrored.

    Args:
        sketches: (N, CHANNELS, H, W) in [0, 1].
        true: (N, 4, H, W) in [0, 1].
    """
    device, count = sketches.device, len(sketches)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=random, device=device)

    mix = torch.eye(3, device=device) + _COLOURS * noise(3, 3)
    mix = mix / mix.sum(2, keepdim=True).clamp(min=0.5)
    gain = (0.2 * noise(1, 1)).exp()[..., None]
    mirror, lineless = torch.rand(2, count, generator=random, device=device)

    def other(people: torch.Tensor) -> torch.Tensor:
        colour = torch.einsum("nij,njhw->nihw", mix, people[:, :3]) * gain
        return torch.cat([colour.clamp(min=0).minimum(people[:, 3:4]), people[:, 3:]], 1)

    off = config.line_noise * TORSO * (noise(1, 2) + noise(N_LINES, 2))
    lines = _moved(sketches[:, -N_LINES:], off.round().long())
    lines = lines * (lineless >= config.lineless)[:, None, None, None]
    sketches, true = torch.cat([other(sketches[:, :-N_LINES]), lines], 1), other(true)
    mirrored = sketches[:, _MIRRORED].flip(3)
    choose = (mirror < 0.5)[:, None, None, None]
    return torch.where(choose, mirrored, sketches), torch.where(choose, true.flip(3), true)


def _moved(pictures: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Pictures (N, C, H, W), each channel moved by whole pixels (N, C, 2), x and y."""
    height, width = pictures.shape[2:]
    x, y = (
        (torch.arange(side, device=by.device) - by[..., axis, None]).clamp(0, side - 1)
        for axis, side in enumerate((width, height))
    )
    rows = y[..., None].expand(-1, -1, -1, width)
    columns = x[:, :, None].expand(-1, -1, height, -1)
    return pictures.gather(2, rows).gather(3, columns)


def losses(
    generator: Generator,
    discriminators: Discriminators | None,
    sketches: torch.Tensor,
    true: torch.Tensor,
    config: Config,
) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
    """The generator's loss, the discriminators', and parts by name.

    Args:
        discriminators: None until they join.
        sketches: (N, CHANNELS, H, W) in [0, 1].
        true: (N, 4, H, W) in [0, 1], colours multiplied by alpha.
    """
    painted = sketches[:, :4]
    own, keep = generator(sketches)
    found = mended(painted, own, keep)
    error = found - true
    person = true[:, 3:]
    parts = {
        "l1": error[:, :3].abs().mean(),
        "alpha": error[:, 3:].abs().mean(),
        "edges": error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean(),
        "own": (own[:, :3] * person - true[:, :3]).abs().mean(),
        "lost": ((1 - keep) * painted[:, 3:] * person).mean(),
    }
    patch = config.texture_patch
    detail = (texture(found[:, :3], patch) - texture(true[:, :3], patch)).abs()
    parts["texture"] = (functional.avg_pool2d(person, patch) * detail).mean()
    loss = (
        parts["l1"]
        + config.alpha_weight * parts["alpha"]
        + config.edge_weight * parts["edges"]
        + config.own_weight * parts["own"]
        + config.price * parts["lost"]
        + config.texture_weight * parts["texture"]
    )
    if discriminators is None:
        return loss, None, parts
    real = discriminators(true)
    fake = discriminators(found.detach())
    loss_d = hinge_loss(real, fake)
    discriminators.requires_grad_(False)
    outputs = discriminators(found)
    discriminators.requires_grad_(True)
    parts["adversarial"] = -torch.stack([output.float().mean() for output, _ in outputs]).mean()
    parts["features"] = feature_distance(outputs, real)
    loss = loss + config.adversarial_weight * parts["adversarial"]
    loss = loss + config.feature_weight * parts["features"]
    return loss, loss_d, parts
