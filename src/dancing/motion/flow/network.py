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
from dancing.training.ranges import check_ranges


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

        learning_rate: of Muon, at its highest, for the matrices of the blocks.
        muon_momentum: Muon's.
        others_learning_rate_factor: of this rate, AdamW's for all other weights.
        beta1: decay of AdamW's first moment, a step.
        beta2: of its second moment.
        weight_decay: AdamW's.
        warm_up_steps: over which the learning rate rises from 0.
        final_rate_factor: of the highest rate, what is left at the end, along a cosine.
        gradient_clip: largest norm of the gradient.
        ema_decay: of the average over the weights, which is what dances; a step.

        change_weight: of the squared error of the change from pose to pose, against that of poses.
        stand_weight: of the squared error of the change of feet that stand, in centimetres.
        time_mean: of the time on the line, a normal variable of standard deviation 1 before a
            sigmoid; below 0, noisy points are learned from more often.
        least_time_left: to the end of the line in the loss's weight, where the velocity's would be
            infinite.

        mirror_probability: that a window is mirrored, left for right.
        tempo_change: most of the change of the logarithm of the tempo, and of vigour with it.
        mfcc_offset_noise: of the MFCC of a window, all frames alike, standard deviations.
        mfcc_noise: of each frame.
        unheard_probability: that the music is not told; likewise, that the place in the phrase is
            not.
        borrowed_probability: that a dance without music of its own goes with that of another.
        no_genre_probability: that the genre is not told.
        known_noise: of what is known of the dance, standard deviations: in use it comes from the
            model itself.
        known_half: probability that the first half is known, as when a dance goes on.
        known_start: that a few poses are, to begin with.
        known_ends: that all but a gap is.
        known_parts: that parts of the body are.
        known_parts_too: that parts of the body are known beside what else is.
        least_epoch: windows an epoch; a small set is repeated.
    """

    # Network
    counts: int = 16
    components: int = 176
    width: int = 192
    depth: int = 5
    heads: int = 6
    n_mfcc: int = 13
    # Optimiser
    learning_rate: float = 0.01
    muon_momentum: float = 0.95
    others_learning_rate_factor: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    weight_decay: float = 0.01
    warm_up_steps: int = 200
    final_rate_factor: float = 0.1
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    # Loss
    change_weight: float = 0.25
    stand_weight: float = 0.05
    time_mean: float = -0.4
    least_time_left: float = 0.1
    # Augmentation
    mirror_probability: float = 0.5
    tempo_change: float = 0.12
    mfcc_offset_noise: float = 0.3
    mfcc_noise: float = 0.1
    unheard_probability: float = 0.3
    borrowed_probability: float = 0.7
    no_genre_probability: float = 0.15
    known_noise: float = 0.03
    known_half: float = 0.55
    known_start: float = 0.1
    known_ends: float = 0.15
    known_parts: float = 0.1
    known_parts_too: float = 0.05
    least_epoch: int = 4096

    def __post_init__(self) -> None:
        check_ranges(
            self,
            positive=[
                "learning_rate",
                "others_learning_rate_factor",
                "least_time_left",
                "gradient_clip",
            ],
            not_negative=[
                "weight_decay",
                "change_weight",
                "stand_weight",
                "tempo_change",
                "mfcc_offset_noise",
                "mfcc_noise",
                "known_noise",
            ],
            fractions=[
                "final_rate_factor",
                "ema_decay",
                "mirror_probability",
                "unheard_probability",
                "borrowed_probability",
                "no_genre_probability",
                "known_half",
                "known_start",
                "known_ends",
                "known_parts",
                "known_parts_too",
            ],
            at_least_1=["warm_up_steps", "least_epoch"],
        )
        sizes = self.counts, self.components, self.width, self.depth, self.heads
        if min(sizes) < 1 or self.components > FRAMES * CHANNELS:
            raise ValueError("all of them must be at least 1, components at most 909")
        if self.counts % 2 or self.width % (2 * self.heads):
            raise ValueError("counts must be even, width a multiple of 2 * heads")
        if not all(0 <= decay < 1 for decay in (self.beta1, self.beta2, self.muon_momentum)):
            raise ValueError("beta1, beta2 and muon_momentum must be at least 0 and below 1")
        if self.known_half + self.known_start + self.known_ends + self.known_parts > 1:
            raise ValueError("known_half, _start, _ends and _parts must not be above 1 together")

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
    context (N, T, CONTEXT + genres). Output: the dance (N, T, CHANNELS), standardised.
    """

    def __init__(self, config: Config, genres: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.basis = nn.Buffer(torch.zeros(config.components, FRAMES * CHANNELS))
        self.variance = nn.Buffer(torch.ones(config.components))
        inputs = 3 * config.components + FRAMES * (config.n_mfcc + CONTEXT + genres)
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
        # Shapes below: K = config.counts, D = config.components, F = FRAMES * CHANNELS.
        # (N, K, F), (N, K, F), (N, K, FRAMES * (n_mfcc + CONTEXT + genres)): a count is a token.
        point, mask, music = (
            rows.unflatten(1, (-1, FRAMES)).flatten(2)
            for rows in (point, mask, torch.cat([mfcc, context], -1))
        )
        # Not in half precision: what is nearly done must not be spoilt.
        with torch.autocast(point.device.type, enabled=False):
            along = time[:, None, None]  # (N, 1, 1)
            components = point @ self.basis.T  # (N, K, D)
            noisy = along.square() * self.variance + (1 - along).square()  # (N, 1, D) variance
            scaled = components / noisy.sqrt()  # (N, K, D)
            known = (mask * point) @ self.basis.T  # (N, K, D)
            # How much of each component is known.
            share = mask @ self.basis.square().T  # (N, K, D) in [0, 1]
        # (N, K, width)
        tokens = self.enter(torch.cat([scaled, known, share, music], -1)) + self.position
        angles = time.unsqueeze(1) * self.frequencies  # (N, width / 2)
        modulation = self.modulation(self.time(torch.cat([angles.sin(), angles.cos()], -1)))
        modulation = modulation.unflatten(-1, (6, -1))  # (N, 6, width)
        for block in self.blocks:
            tokens = block(tokens, modulation)
        found = self.leave(self.norm(tokens))  # (N, K, D)
        with torch.autocast(point.device.type, enabled=False):
            guess = along * self.variance / noisy * components
            error = (1 - along) * (self.variance / noisy).sqrt()
            dance = (guess + error * found.float()) @ self.basis  # (N, K, F)
        return dance.unflatten(-1, (FRAMES, -1)).flatten(1, 2)
