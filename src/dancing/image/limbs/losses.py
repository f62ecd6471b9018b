"""Losses of `limbs` against the footage."""

from __future__ import annotations

import torch
from torch import nn

from dancing.image.compositing import SHADE_STRIDE
from dancing.image.limbs.config import Config
from dancing.image.limbs.discriminators import HANDS, torso_pixels


def shade_at(shade: torch.Tensor, corners: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
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


def shade_loss(shade: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean squared error outside the matte at an eighth of the size.

    Not L1: most cells are unshaded most of the time, and an L1 loss stays at that median.
    """
    small, plate = unit_range(batch["small"]), unit_range(batch["small_plate"])
    rows, columns = small.shape[2:]
    error = plate * (1 - shade[..., :rows, :columns]) - small[:, :3]
    return ((small[:, 3:] < 0.02) * error.square()).mean()


def fidelity(
    layers: torch.Tensor,
    generated: torch.Tensor,
    real: torch.Tensor,
    matte: torch.Tensor,
    importance: torch.Tensor,
    config: Config,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The losses by name, and of each picture (N,) the L1 of its composite."""
    # What lies just outside counts as much as what lies just inside: else outlines, whose place
    # is uncertain, would be drawn too far outside.
    weight = (config.outside_weight + _dilated(matte, config.outline_pixels)) * importance
    error = generated - real
    errors = (weight * error.abs()).mean((1, 2, 3))
    # The colour is compared without its matte too, else neither can begin. Not at the edge,
    # where the real picture has some of the scene's.
    colour = importance * (1 - _dilated(1 - matte, 1)) * (layers[:, :3] - real).abs()
    l1 = errors.mean() + colour.mean()
    edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    edges = edges + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    with torch.autocast(matte.device.type, enabled=False):
        matte_loss = nn.functional.binary_cross_entropy(layers[:, 3:4], matte, importance)
    return {"train_l1": l1, "train_edges": edges, "train_matte": matte_loss}, errors


def _dilated(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """The largest value of (N, 1, H, W) so many pixels around."""
    return nn.functional.max_pool2d(mask, 2 * pixels + 1, 1, pixels)


def temporal_change(generated: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """L1 between the changes from pictures of even index to the next ones."""
    return (generated[1::2] - generated[::2] - (real[1::2] - real[::2])).abs().mean()


def texture(pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """How much detail patches have: their luma's Laplacian, root mean square.

    (N, 3, H, W) to (N, 1, H / patch, W / patch), patch in pixels.

    Wherever in the patch it is: where edges are uncertain, other losses are least for blurred ones
    (after Abrahamyan et al., Gradient Variance Loss, ICASSP 2022).
    """
    luma = (pictures.float() * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    padded = nn.functional.pad(luma[:, None], (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    down = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    laplacian = across + down - 4 * padded[..., 1:-1, 1:-1]
    return (nn.functional.avg_pool2d(laplacian.square(), patch) + 1e-5).sqrt()


def near_hands(landmarks: torch.Tensor, width: int, height: int, side: float) -> torch.Tensor:
    """Where hands are, (N, 1, height, width), 1 in squares of so many torso lengths, else 0."""
    x = torch.arange(width, device=landmarks.device) + 0.5
    y = torch.arange(height, device=landmarks.device)[:, None] + 0.5
    half = torso_pixels(landmarks, height)[:, None, None, None] * side / 2
    near = x.new_zeros(len(landmarks), 1, height, width)
    for middle in HANDS:
        centre = landmarks[:, list(middle)].mean(1)[..., None, None, None]
        near = torch.maximum(
            near, (((x - centre[:, 0]).abs() < half) & ((y - centre[:, 1]).abs() < half)).float()
        )
    return near


def unit_range(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to [0, 1], laid out as the convolutions are fastest."""
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
