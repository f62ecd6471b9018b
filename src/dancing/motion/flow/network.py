"""Flow matching in beat time: a transformer that turns noise into a phrase of dance.

A window is `counts` counts of a dance, each of FRAMES poses at equal parts of the count, and one
token of the transformer. The
network is told what of it is known (the end of the phrase before, or what the user holds), the
music, the place in the phrase, the tempo and how vigorous the dance shall be, and fills in the
rest. Between noise (t = 0) and dance (t = 1) lies a straight line, along which it is moved by the
velocity that the network predicts (Lipman et al., Flow Matching for Generative Modeling, ICLR
2023). Counts of a dance lie close to a plane of few dimensions, and noise does not: what lies
outside of the principal components is dropped. In each component the best linear guess of the
dance is known, and the network predicts what is missing to it, in units of its error (after Karras
et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, section 5,
for each component).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from dancing.body.kinematics import CHANNELS
from dancing.motion.flow.features import CONTEXT, FRAMES


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        counts: length of a window; half of it is known from the window before.
        components: principal components of a count's poses; what else there is of it, is dropped.
        width: of a token.
        depth: transformer blocks.
        heads: of attention.
        n_mfcc: music features a frame.
        learning_rate: of AdamW, at its highest.
        steps: training steps over which the learning rate falls to a tenth.
    """

    counts: int = 16
    components: int = 176
    width: int = 192
    depth: int = 5
    heads: int = 6
    n_mfcc: int = 13
    learning_rate: float = 8e-4
    steps: int = 8000

    def __post_init__(self) -> None:
        sizes = self.counts, self.components, self.width, self.depth, self.heads, self.steps
        if min(sizes) < 1 or self.components > FRAMES * CHANNELS:
            raise ValueError("all of them must be at least 1, components at most 909")
        if self.counts % 2 or self.width % (2 * self.heads):
            raise ValueError("counts must be even, width a multiple of 2 * heads")

    @property
    def window(self) -> int:
        """Poses of a window."""
        return self.counts * FRAMES


class _Block(nn.Module):
    """Attention and a dense layer, scaled and shifted by the time on the line.

    The modulation is shared by all blocks but for an offset (Chen et al., PixArt-alpha, 2023).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.offset = nn.Parameter(torch.zeros(6, width))
        self.norm_1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_2 = nn.LayerNorm(width, elementwise_affine=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        parts = (modulation + self.offset).unsqueeze(2).unbind(1)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = parts
        normal = self.norm_1(tokens) * (1 + scale_1) + shift_1
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(normal).chunk(3, -1)
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + gate_1 * self.mixed(seen.transpose(1, 2).flatten(2))
        normal = self.norm_2(tokens) * (1 + scale_2) + shift_2
        return tokens + gate_2 * self.dense(normal)


class Denoiser(nn.Module):
    """The network alone: what the dance will be, given a point on the line to it.

    Input: point (N, T, CHANNELS), standardised, known channels in place; time (N,) in [0, 1];
    mask (N, T, CHANNELS), 1 where known; mfcc (N, T, n_mfcc), standardised, 0 where not heard;
    context (N, T, CONTEXT). Output: the dance (N, T, CHANNELS), standardised.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.basis = nn.Buffer(torch.zeros(config.components, FRAMES * CHANNELS))
        self.variance = nn.Buffer(torch.ones(config.components))
        inputs = 3 * config.components + FRAMES * (config.n_mfcc + CONTEXT)
        self.enter = nn.Linear(inputs, width)
        self.position = nn.Parameter(0.02 * torch.randn(config.counts, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        shared = nn.Linear(width, 6 * width)
        self.modulation = nn.Sequential(nn.SiLU(), shared)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, config.components)
        frequencies = torch.exp(-math.log(1000.0) * torch.arange(width // 2) / (width // 2))
        self.frequencies = nn.Buffer(1000.0 * frequencies, persistent=False)
        for layer in (shared, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        point: torch.Tensor,
        time: torch.Tensor,
        mask: torch.Tensor,
        mfcc: torch.Tensor,
        context: torch.Tensor,
    ) -> torch.Tensor:
        point, mask, music = (
            rows.unflatten(1, (-1, FRAMES)).flatten(2)
            for rows in (point, mask, torch.cat([mfcc, context], -1))
        )
        # Not in half precision: what is nearly done must not be spoilt.
        with torch.autocast(point.device.type, enabled=False):
            along = time[:, None, None]
            components = point @ self.basis.T
            noisy = along.square() * self.variance + (1 - along).square()
            scaled = components / noisy.sqrt()
            known = (mask * point) @ self.basis.T
            # How much of each component is known.
            share = mask @ self.basis.square().T
        tokens = self.enter(torch.cat([scaled, known, share, music], -1)) + self.position
        angles = time.unsqueeze(1) * self.frequencies
        modulation = self.modulation(self.time(torch.cat([angles.sin(), angles.cos()], -1)))
        modulation = modulation.unflatten(-1, (6, -1))
        for block in self.blocks:
            tokens = block(tokens, modulation)
        found = self.leave(self.norm(tokens))
        with torch.autocast(point.device.type, enabled=False):
            guess = along * self.variance / noisy * components
            error = (1 - along) * (self.variance / noisy).sqrt()
            dance = (guess + error * found.float()) @ self.basis
        return dance.unflatten(-1, (FRAMES, -1)).flatten(1, 2)
