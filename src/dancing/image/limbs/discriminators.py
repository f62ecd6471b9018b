"""Discriminators of whole frames, faces and hands.

Hinge loss (Lim and Ye, Geometric GAN, 2017), patches at two scales of two consecutive frames
(Wang et al., pix2pixHD, 2018, and vid2vid, 2018), closer ones of face and hands (Chan et al.,
Everybody Dance Now, 2019), spectral normalisation (Miyato et al., 2018), feature matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dancing.body.skeleton import ARMS, EARS, HIPS, SHOULDERS
from dancing.image.limbs.config import Config

# Landmarks in whose middle the crops of face and hands lie.
FACE = (tuple(EARS),)
HANDS = tuple((arm.wrist, arm.index_finger) for arm in ARMS)


class Discriminator(nn.Module):
    """A patch discriminator: (N, channels, H, W) to outputs (N, 1, about H / 8, W / 8), high for
    real patches, and the features of its layers."""

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


class Discriminators(nn.Module):
    """All discriminators: pairs of consecutive pictures at two scales, the face, the hands."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.detail_gain = config.detail_gain
        self.face_crop = config.face_crop_torsos, config.face_crop_pixels
        self.hand_crop = config.hand_crop_torsos, config.hand_crop_pixels
        details = len(FACE) + len(HANDS)
        self.loss_weights = [1.0, 1.0] + details * [config.part_discriminator_weight]
        self.fine, self.coarse = Discriminator(6), Discriminator(6)
        self.face, self.hand = Discriminator(3), Discriminator(3)

    def forward(
        self, pictures: torch.Tensor, landmarks: torch.Tensor
    ) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Outputs and features: of pairs in full and half resolution, the face, each hand.

        Args:
            pictures: (2 N, 3, H, W) in [0, 1]; those of odd index follow on the ones before.
            landmarks: (2 N, 33, 2) in pixels.
        """
        count, _, height, width = pictures.shape
        pairs = pictures.reshape(count // 2, 6, height, width) * 2 - 1
        smaller = nn.functional.avg_pool2d(pairs, 2)
        # Cloth and skin have fine patterns too faint for a discriminator that spectral
        # normalisation keeps smooth, so they are amplified.
        details = pairs - nn.functional.avg_pool2d(pairs, 5, 1, 2, count_include_pad=False)
        outputs = [self.fine(pairs + self.detail_gain * details), self.coarse(smaller)]
        for discriminator, (side, pixels), middles in (
            (self.face, self.face_crop, FACE),
            (self.hand, self.hand_crop, HANDS),
        ):
            for middle in middles:
                crop = square_around(pictures, landmarks, middle, side, pixels)
                outputs.append(discriminator(crop * 2 - 1))
        return outputs


Judged = Sequence[tuple[torch.Tensor, list[torch.Tensor]]]
"""Of several discriminators the outputs, and the features of their layers."""


def hinge_loss(real: Judged, generated: Judged) -> torch.Tensor:
    """The discriminators' loss."""
    losses = [
        torch.relu(1 - a.float()).mean() + torch.relu(1 + b.float()).mean()
        for (a, _), (b, _) in zip(real, generated, strict=True)
    ]
    return torch.stack(losses).mean()


def feature_distance(generated: Judged, real: Judged) -> torch.Tensor:
    """The L1 between the features of generated pictures and of real ones, which are constants."""
    distances = [
        (a.float() - b.detach().float()).abs().mean()
        for (_, one), (_, other) in zip(generated, real, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return torch.stack(distances).mean()


def torso_pixels(landmarks: torch.Tensor, height: int) -> torch.Tensor:
    """Length of the torso (N,) in pixels; seen from above it is short, head and hands are not."""
    torso = (landmarks[:, SHOULDERS].mean(1) - landmarks[:, HIPS].mean(1)).norm(dim=-1)
    return torso.clamp(min=0.2 * height)


def square_around(
    pictures: torch.Tensor,
    landmarks: torch.Tensor,
    middle: Sequence[int],
    side: float,
    pixels: int,
) -> torch.Tensor:
    """A square around the middle of two landmarks, (N, C, pixels, pixels)."""
    height, width = pictures.shape[2:]
    half = torso_pixels(landmarks, height) * side / 2
    centre = landmarks[:, list(middle)].mean(1)
    steps = torch.linspace(-1, 1, pixels, device=pictures.device)
    x = (centre[:, :1] + half[:, None] * steps) / width * 2 - 1
    y = (centre[:, 1:] + half[:, None] * steps) / height * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, pixels, -1), y[..., None].expand(-1, -1, pixels)], -1)
    return nn.functional.grid_sample(
        pictures.float(), grid, padding_mode="border", align_corners=False
    )
