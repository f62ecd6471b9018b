"""Where the fingers of a hand are, which no landmark tells by itself.

A relaxed hand keeps its shape, more or less, so how its three landmarks lie from the wrist tells
how it is turned, and that tells where its fingers are. They lie nearly in a plane: which side of it
is seen, a small network learns from the arm.
"""

from __future__ import annotations

import torch
from torch import nn

from dancing.body.skeleton import ARMS
from dancing.image.limbs.config import Config

_SIDES = (1.0, -1.0)  # left and right, as factors of x
_FINGERS = 5
N_FINGERS = len(ARMS) * _FINGERS
"""Fingers of both hands."""
# A relaxed left hand of MakeHuman's people (CC0), from the wrist, x to the person's left, y up, z
# forward; the mean distance of the first two is 1. Landmarks of little finger, forefinger and
# thumb, as MediaPipe finds them; then knuckle and tip from little finger to thumb.
_HAND = (
    (0.34, -0.68, 0.61), (0.13, -0.55, 0.85), (-0.11, -0.37, 0.70),
    (0.67, -0.87, 0.49), (0.24, -1.40, 0.53), (0.65, -0.75, 0.75), (0.17, -1.60, 0.93),
    (0.55, -0.65, 0.98), (0.09, -1.60, 1.33), (0.33, -0.50, 1.22), (-0.06, -1.26, 1.66),
    (-0.33, -0.21, 0.78), (-0.71, -0.77, 1.30),
)  # fmt: skip
_FOREARM = (1.74, -1.84, 2.36)  # from the elbow to the wrist of that hand


class Fingers(nn.Module):
    """Landmarks (N, 33, 2) in pixels to fingers (N, N_FINGERS, 2, 2): x and y of knuckle and tip.

    From the left little finger to the left thumb, then the right ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4 * _FINGERS)
        )

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        hands = []
        for (shoulder, elbow, wrist, *others), side in zip(ARMS, _SIDES, strict=True):
            mirror = landmarks.new_tensor([10 * side, 10])
            ends = landmarks[:, [*others, wrist, elbow]]
            starts = landmarks[:, [wrist, wrist, wrist, elbow, shoulder]]
            # How a hand is turned shows in tenths of pixels.
            with torch.autocast(landmarks.device.type, enabled=False):
                found = self.layers(((ends - starts) / mirror).flatten(1))
            found = found.unflatten(1, (_FINGERS, 2, 2)) * mirror
            hands.append(found + landmarks[:, wrist, None, None])
        return torch.cat(hands, 1)

    def begin(self, config: Config) -> None:
        """Learn from a hand of usual shape, turned in every way, so that pictures have to correct
        no more than pixels.

        Args:
            config: how: `fingers_steps` and what else begins so.
        """
        optimiser = torch.optim.Adam(self.layers.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.fingers_learning_rate, total_steps=config.fingers_steps
        )
        for _ in range(config.fingers_steps):
            ways, fingers = _turned_hands(config)
            loss = (self.layers(ways.flatten(1)) - fingers.flatten(1)).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _turned_hands(config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Left hands seen from random sides: ways (N, 5, 2) of wrist to landmarks, elbow to wrist and
    shoulder to elbow, with noise, and fingers (N, 5, 2, 2) from the wrist, in tens of pixels."""
    samples = config.fingers_samples
    hand = torch.tensor(_HAND).expand(samples, -1, -1)
    bend = torch.linalg.matrix_exp(_skew(config.fingers_bend * torch.randn(samples, 3)))
    forearm = bend @ torch.tensor(_FOREARM)
    upper_arm = nn.functional.normalize(torch.randn(samples, 3), dim=1)
    upper_arm = upper_arm * forearm.norm(dim=1, keepdim=True)
    points = torch.cat([hand[:, :3], forearm[:, None], upper_arm[:, None], hand[:, 3:]], 1)
    turn, triangle = torch.linalg.qr(torch.randn(samples, 3, 3))
    # Evenly over all turns only with these signs (Mezzadri, 2007).
    turn = turn * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    low, high = torch.tensor([config.fingers_shortest, config.fingers_longest]).log()
    length = torch.exp(low + (high - low) * torch.rand(samples, 1, 1)) / 10
    flat = (points @ turn)[..., :2] * torch.tensor([1.0, -1.0])
    ways = flat[:, :5] + config.fingers_noise * torch.randn(samples, 5, 2)
    return length * ways, (length * flat[:, 5:]).unflatten(1, (_FINGERS, 2))


def _skew(vectors: torch.Tensor) -> torch.Tensor:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
