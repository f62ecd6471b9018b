"""How far joints lie behind the hips, which flat landmarks do not tell by themselves.

Bones have lengths, joints have limits, and a dancer has habits: from these a small network guesses
depth, as in Martinez et al., A simple yet effective baseline for 3d human pose estimation, 2017. It
learns from world landmarks, the limbs of one pose on the trunk of another, turned every way: far
more views than there are pictures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dancing.body.skeleton import ARMS, HEAD, HIPS, LEGS, MIRROR, N_LANDMARKS, SHOULDERS
from dancing.image.limbs.config import Config

_WIDTH = 96
_SCALE = 64  # pixels
# What may be of another pose: the landmarks, what they hang on, and the line it turns with.
_PARTS = (
    ([*HEAD], SHOULDERS, SHOULDERS),
    *(([*arm[1:]], [arm.shoulder], SHOULDERS) for arm in ARMS),
    (sorted(point for leg in LEGS for point in leg[1:]), HIPS, HIPS),
)


class Depth(nn.Module):
    """Landmarks (N, 33, 2) in pixels to metres behind the mid-hip (N, 33)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(N_LANDMARKS * 2, _WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH))
            for _ in range(2)
        )
        self.last = nn.Linear(_WIDTH, N_LANDMARKS)

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        # What is nearer looks larger by tenths of pixels.
        with torch.autocast(landmarks.device.type, enabled=False):
            x = torch.relu(self.first(normalised(landmarks)))
            for block in self.blocks:
                x = torch.relu(x + block(x))
            return self.last(x)


def normalised(landmarks: torch.Tensor) -> torch.Tensor:
    """Landmarks (N, 33, 2) in pixels as (N, 66) numbers around 0, wherever in the picture."""
    middle = (landmarks.amin(1, keepdim=True) + landmarks.amax(1, keepdim=True)) / 2
    return ((landmarks - middle) / _SCALE).flatten(1)


def turned(
    room: torch.Tensor,
    focal: float,
    count: int,
    config: Config,
    random: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses seen from random sides, mirrored and at one another's places.

    Args:
        room: (T, 33, 3) metres, landmarks in the room of `dancing.body.kinematics`.
        focal: focal length in pixels.
        config: how they are turned: `depth_turn` and what else begins so.
        random: on the room's device. Default: PyTorch's own.

    Returns:
        Landmarks (count, 33, 2) in pixels from the picture's middle, with noise, and their metres
        (count, 33) behind the mid-hip.
    """
    device = room.device
    where: dict[str, Any] = {"generator": random, "device": device}
    body = mixed(room, count, random)
    place = _middle(room[torch.randint(len(room), (count,), **where)], HIPS)
    mirrored = body[:, torch.as_tensor(MIRROR, device=device)] * body.new_tensor([-1, 1, 1])
    coin = torch.rand(2, count, 1, 1, **where) < 0.5
    body = torch.where(coin[0], body, mirrored)
    turn, tilt = torch.randn(2, count, 1, **where)
    anyhow = torch.rand(turn.shape, **where) * 2 * torch.pi
    yaw = torch.where(coin[1, :, 0], turn * config.depth_turn, anyhow)
    x, y, z = body.unbind(-1)
    x, z = yaw.cos() * x + yaw.sin() * z, yaw.cos() * z - yaw.sin() * x
    tilt = tilt * config.depth_tilt
    y, z = tilt.cos() * y - tilt.sin() * z, tilt.sin() * y + tilt.cos() * z
    body = torch.stack([x, y, z], -1)
    shift = place.new_tensor([config.depth_shift, config.depth_shift_up, config.depth_shift])
    seen = body + place + torch.randn(place.shape, **where) * shift
    flat = focal * seen[..., :2] / seen[..., 2:].clamp(min=config.depth_nearest)
    least, most = torch.tensor([config.depth_least_noise, config.depth_most_noise]).log()
    noise = (least + (most - least) * torch.rand(count, 1, 1, **where)).exp()
    return flat + noise * torch.randn(flat.shape, **where), z


def mixed(room: torch.Tensor, count: int, random: torch.Generator | None = None) -> torch.Tensor:
    """Bodies put together from several poses each: who knows a step and a wave knows both at once.

    Args:
        room: (T, 33, 3) metres.
        random: on the room's device. Default: PyTorch's own.

    Returns:
        (count, 33, 3) metres from the mid-hip: trunks, with heads, arms and legs of which about
        half are other poses', turned as these trunks are.
    """
    where: dict[str, Any] = {"generator": random, "device": room.device}
    body, *others = room[torch.randint(len(room), (1 + len(_PARTS), count), **where)]
    body = body - _middle(body, HIPS)
    for other, (part, root, line) in zip(others, _PARTS, strict=True):
        turn = _axes(body, line) @ _axes(other, line).mT
        moved = (other[:, part] - _middle(other, root)) @ turn.mT + _middle(body, root)
        coin = torch.rand(count, 1, 1, **where) < 0.5
        body[:, part] = torch.where(coin, moved, body[:, part])
    return body


def _axes(body: torch.Tensor, line: list[int]) -> torch.Tensor:
    """Axes (N, 3, 3), in columns: across, as two landmarks lie; up the trunk; ahead."""
    up = nn.functional.normalize(_middle(body, SHOULDERS) - _middle(body, HIPS), dim=-1)[:, 0]
    across = body[:, line[0]] - body[:, line[1]]
    across = across - (across * up).sum(-1, keepdim=True) * up
    across = nn.functional.normalize(across, dim=-1)
    return torch.stack([across, up, torch.linalg.cross(across, up)], -1)


def _middle(body: torch.Tensor, landmarks: list[int]) -> torch.Tensor:
    return body[:, landmarks].mean(1, keepdim=True)
