"""Limb maps: landmarks rasterised into soft capsules, inside the network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dancing.body.skeleton import (
    EARS,
    EYES,
    HIPS,
    LEFT_ARM,
    LEFT_LEG,
    MID_EAR,
    MID_HIP,
    MID_SHOULDER,
    MOUTH,
    NOSE,
    RIGHT_ARM,
    RIGHT_LEG,
    SHOULDERS,
    Arm,
    Leg,
)
from dancing.image.limbs.fingers import N_FINGERS, Fingers

STRIDE = 4


def _arm(arm: Arm) -> tuple[tuple[int, int, float], ...]:
    hand = (
        (arm.wrist, arm.index_finger, 1.2),
        (arm.wrist, arm.pinky, 1.0),
        (arm.wrist, arm.thumb, 0.8),
    )
    return (arm.shoulder, arm.elbow, 1.6), (arm.elbow, arm.wrist, 1.3), *hand


def _leg(leg: Leg) -> tuple[tuple[int, int, float], ...]:
    foot = (leg.ankle, leg.toe, 1.3), (leg.ankle, leg.heel, 1.2)
    return (leg.hip, leg.knee, 2.4), (leg.knee, leg.ankle, 1.8), *foot


CAPSULES: tuple[tuple[int, int, float], ...] = (
    (LEFT_ARM.shoulder, LEFT_LEG.hip, 3.0),
    (RIGHT_ARM.shoulder, RIGHT_LEG.hip, 3.0),
    (LEFT_ARM.shoulder, RIGHT_ARM.shoulder, 2.0),
    (LEFT_LEG.hip, RIGHT_LEG.hip, 3.0),
    (MID_SHOULDER, MID_HIP, 4.0),
    (NOSE, MID_SHOULDER, 2.0),
    (EARS[0], EARS[1], 2.5),
    (NOSE, MID_EAR, 2.0),
    (EYES[0], EYES[1], 1.0),
    (MOUTH[0], MOUTH[1], 1.0),
    *_arm(LEFT_ARM),
    *_arm(RIGHT_ARM),
    *_leg(LEFT_LEG),
    *_leg(RIGHT_LEG),
)
"""Bones as (start, end, first radius in pixels of the maps); the radii are learned."""
_FINGER_RADIUS = 1.2  # pixels
_HAND_CELLS = 48  # side of the square in which a hand has fingers, two pixels each


def capsule_maps(
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
        self.starts = nn.Buffer(torch.tensor([a for a, _, _ in CAPSULES]), persistent=False)
        self.ends = nn.Buffer(torch.tensor([b for _, b, _ in CAPSULES]), persistent=False)
        radii = torch.tensor([r for _, _, r in CAPSULES]) * STRIDE / stride
        self.log_radius = nn.Parameter(radii.clamp(min=0.8).log())

    def forward(self, landmarks: torch.Tensor, width: Any, height: Any) -> torch.Tensor:
        size = width // self.stride, height // self.stride
        start, end = self.ends_of(landmarks / self.stride)
        return torch.cat(capsule_maps(start, end, self.log_radius, *size), 1)

    def ends_of(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What landmarks have, (N, 33, ...), at the bones' starts and ends, (N, 28, ...)."""
        middles = [points[:, pair].mean(1, keepdim=True) for pair in (SHOULDERS, HIPS, EARS)]
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
        maps = capsule_maps(knuckle, tip, self.log_radius, _HAND_CELLS, _HAND_CELLS)
        hands = torch.stack([part.unflatten(1, (2, -1)).sum(2) for part in maps], 2)
        cells = torch.arange(_HAND_CELLS, device=landmarks.device) + corners[..., None]
        x, y = cells[:, :, 0, None, :, None], cells[:, :, 1, None, None]
        across = (torch.arange(width // 2, device=landmarks.device) == x).to(hands.dtype)
        down = (torch.arange(height // 2, device=landmarks.device)[:, None] == y).to(hands.dtype)
        return (down @ (hands @ across)).sum(1)
