"""The default image model: a U-Net that draws the dancer from maps of the limbs.

Only a crop that moves with the dancer is drawn. The landmarks become soft capsule maps, one pair
a bone, at a quarter of the crop's resolution, inside the network; a U-Net (Ronneberger et al.,
2015) works at that resolution and below, and sub-pixel convolution (Shi et al., Real-Time Single
Image and Video Super-Resolution, 2016) gives the full one. It draws five layers: the person's
colour, the person's matte, and how far the floor is shaded; they are laid over a plate, the empty
scene, which is estimated from the footage. Left and right limbs have channels of their own, so
facing is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dancing.dancer import PLATE
from dancing.dataset import Clip
from dancing.errors import DancingError
from dancing.image.data import Crops, empty_scene, picture_size
from dancing.poses import N_LANDMARKS
from dancing.training import TrainingModule
from dancing.video import encode_png

STRIDE = 4
# 33, 34 and 35 are the middles of shoulders, hips and ears.
# (start, end, first radius in pixels of the maps); the radii are learned.
_CAPSULES = (
    (11, 23, 3.0), (12, 24, 3.0), (11, 12, 2.0), (23, 24, 3.0), (33, 34, 4.0),
    (0, 33, 2.0), (7, 8, 2.5), (0, 35, 2.0), (2, 5, 1.0), (9, 10, 1.0),
    (11, 13, 1.6), (13, 15, 1.3), (15, 19, 1.2), (15, 17, 1.0), (15, 21, 0.8),
    (12, 14, 1.6), (14, 16, 1.3), (16, 20, 1.2), (16, 18, 1.0), (16, 22, 0.8),
    (23, 25, 2.4), (25, 27, 1.8), (27, 31, 1.3), (27, 29, 1.2),
    (24, 26, 2.4), (26, 28, 1.8), (28, 32, 1.3), (28, 30, 1.2),
)  # fmt: skip
_LAYERS = 5
_DECAY = 0.998


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        width, height: of the crop in pixels; multiples of 32.
        channels: of the finest level of the U-Net; the coarser ones have more in proportion.
        learning_rate: of Adam.
        matte_weight: factor of the cross-entropy between drawn and estimated matte.
        edge_weight: factor of the L1 loss between the gradients of the pictures.
    """

    width: int = 256
    height: int = 384
    channels: int = 40
    learning_rate: float = 5e-4
    matte_weight: float = 0.2
    edge_weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 32 or self.width % 32 or self.height % 32:
            raise ValueError("width and height must be multiples of 32")
        if self.channels < 5:
            raise ValueError("channels must be at least 5")


class LimbMaps(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the crop to maps (N, 56, height / 4, width / 4).

    A bone gives exp(-d^2 / 2 r^2), d the distance to it, and that times the place along it, from
    0 at its start to 1 at its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.starts = nn.Buffer(torch.tensor([a for a, _, _ in _CAPSULES]), persistent=False)
        self.ends = nn.Buffer(torch.tensor([b for _, b, _ in _CAPSULES]), persistent=False)
        self.log_radius = nn.Parameter(torch.tensor([r for _, _, r in _CAPSULES]).log())

    def forward(self, landmarks: torch.Tensor, width: int, height: int) -> torch.Tensor:
        points = landmarks / STRIDE
        middles = [points[:, pair].mean(1, keepdim=True) for pair in ([11, 12], [23, 24], [7, 8])]
        points = torch.cat([points, *middles], 1)
        start = points[:, self.starts]
        along = points[:, self.ends] - start
        length = along.square().sum(-1).clamp(min=1e-3)
        start_x, start_y = start[..., 0, None, None], start[..., 1, None, None]
        along_x, along_y = along[..., 0, None, None], along[..., 1, None, None]
        x = torch.arange(width // STRIDE, device=points.device) + 0.5 - start_x
        y = torch.arange(height // STRIDE, device=points.device)[:, None] + 0.5 - start_y
        place = ((x * along_x + y * along_y) / length[..., None, None]).clamp(0, 1)
        distance = (x - place * along_x).square() + (y - place * along_y).square()
        maps = torch.exp(-0.5 * distance / (2 * self.log_radius).exp().view(1, -1, 1, 1))
        return torch.cat([maps, maps * place], 1)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Generator(nn.Module):
    """Landmarks (N, 33, 2) in pixels of the crop to layers (N, 5, height, width) in [0, 1].

    The size, (width, height), is the config's unless another one is given; multiples of 32.

    The layers: red, green, blue, matte, shade.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        fine = config.channels
        widths = [fine, fine * 9 // 5, fine * 14 // 5, fine * 18 // 5]
        self.size = (config.width, config.height)
        self.maps = LimbMaps()
        self.stem = nn.Conv2d(2 * len(_CAPSULES), fine, 3, padding=1)
        self.encoders = nn.ModuleList([_Residual(width) for width in widths])
        pairs = list(pairwise(widths))
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.pose = nn.Sequential(
            nn.Flatten(),
            nn.Linear(N_LANDMARKS * 2, 128),
            nn.ReLU(),
            nn.Linear(128, 2 * widths[-1]),
        )
        self.bottom = _Residual(widths[-1])
        self.ups = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        self.decoders = nn.ModuleList([_Residual(width) for width in widths[:-1]])
        self.head = nn.Conv2d(fine, _LAYERS * STRIDE**2, 3, padding=1)

    def forward(self, landmarks: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        width, height = size or self.size
        x = torch.relu(self.stem(self.maps(landmarks, width, height)))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            x = encoder(x)
            skips.append(x)
            x = torch.relu(down(x))
        # What no small neighbourhood shows, such as which way the body faces.
        middle = (landmarks.amin(1, keepdim=True) + landmarks.amax(1, keepdim=True)) / 2
        scale, shift = self.pose((landmarks - middle) / 64)[..., None, None].chunk(2, 1)
        x = self.bottom(torch.relu(self.encoders[-1](x) * (1 + scale) + shift))
        for level in reversed(range(len(skips))):
            x = nn.functional.interpolate(self.ups[level](x), scale_factor=2.0) + skips[level]
            x = self.decoders[level](x)
        # In float32, for a matte close to 0 or 1 would have no gradient in bfloat16.
        return torch.sigmoid(nn.functional.pixel_shuffle(self.head(x), STRIDE).float())


def composite(layers: torch.Tensor, plate: torch.Tensor) -> torch.Tensor:
    """The person over the shaded plate: (N, 3, H, W) in [0, 1]."""
    colour, matte, shade = layers[:, :3], layers[:, 3:4], layers[:, 4:5]
    return colour * matte + plate * (1 - shade) * (1 - matte)


class Deployed(nn.Module):
    """What inference runs, with NumPy's layout of pictures.

    Inputs: landmarks (N, 33, 2) in pixels of the crop, plate (N, H, W, 3) uint8, the plate there;
    the crop may have any H and W that are multiples of 32.
    Output: pictures (N, H, W, 4) uint8, red, green, blue and matte.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, landmarks: torch.Tensor, plate: torch.Tensor) -> torch.Tensor:
        layers = self.generator(landmarks, (plate.shape[2], plate.shape[1]))
        picture = composite(layers, plate.permute(0, 3, 1, 2).float() / 255)
        drawn = torch.cat([picture, layers[:, 3:4]], 1)
        return (drawn * 255 + 0.5).permute(0, 2, 3, 1).clamp(0, 255).to(torch.uint8)


class Training(TrainingModule):
    """The U-Net in training. Batches: 'landmarks' (N, 33, 2) in pixels of the crop, 'picture'
    and 'plate' (N, 3, H, W) uint8, 'matte' (N, 1, H, W) uint8."""

    config: Config

    def __init__(self, config: Config, origin: dict[str, Any]) -> None:
        super().__init__(config, origin)
        self.generator = Generator(config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What is drawn with: an average over the last steps, steadier than any of them.
        self.averaged = AveragedModel(self.generator, avg_fn=_moving_average)
        self.averaged.requires_grad_(False)
        self._examples: dict[str, torch.Tensor] = {}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        layers = self.generator(batch["landmarks"])
        drawn, real = composite(layers, _unit(batch["plate"])), _unit(batch["picture"])
        matte = _unit(batch["matte"])
        weight = 0.2 + matte
        error = drawn - real
        # The colour is compared without its matte too, else neither can begin.
        l1 = (weight * error.abs()).mean() + (matte * (layers[:, :3] - real).abs()).mean()
        edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
        edges = edges + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
        with torch.autocast(matte.device.type, enabled=False):
            matte_loss = nn.functional.binary_cross_entropy(layers[:, 3:4], matte)
        loss = l1 + self.config.edge_weight * edges + self.config.matte_weight * matte_loss
        self.log_dict({"train_l1": l1, "train_edges": edges, "train_matte": matte_loss})
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=1.0)

    def on_train_batch_end(self, *_: Any) -> None:
        self.averaged.update_parameters(self.generator)

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        drawn = composite(self.averaged(batch["landmarks"]), _unit(batch["plate"]))
        person = (batch["matte"] >= 128).float()
        error = ((drawn - _unit(batch["picture"])).square() * person).sum((1, 2, 3))
        mse = (error / (3 * person.sum((1, 2, 3))).clamp(min=1)).mean()
        self.log("val_person_mse", mse, prog_bar=True)
        if index == 0:
            self._examples = batch

    def on_train_batch_start(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._examples = self._examples or batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.generator.parameters(), lr=self.config.learning_rate)

    def figure(self) -> NDArray[np.uint8]:
        """Six pictures: real above generated."""
        batch = {name: value[:6] for name, value in self._examples.items()}
        real = batch["picture"].permute(0, 2, 3, 1)
        plate = batch["plate"].permute(0, 2, 3, 1)
        drawn = Deployed(self.averaged.module)(batch["landmarks"], plate)[..., :3]
        rows = [torch.cat(list(row), 1).cpu().numpy() for row in (real, drawn)]
        return np.concatenate(rows)

    def deployed(self) -> tuple[nn.Module, dict[str, torch.Tensor], str]:
        height, width = self.config.height, self.config.width
        example = {
            "landmarks": torch.rand(2, N_LANDMARKS, 2) * width,
            "plate": torch.zeros(2, height, width, 3, dtype=torch.uint8),
        }
        return Deployed(self.averaged.module), example, "pictures"

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        axes = super().dynamic_axes()
        for name in ("plate", "pictures"):
            axes[name] |= {1: "height", 2: "width"}
        return axes

    def card(self) -> dict[str, Any]:
        return {
            "size": self.origin["size"],
            "crop": [self.config.width, self.config.height],
            "view": [0.0, 0.0, 1.0, 1.0],
            "placement": self.origin["placement"],
        }

    def files(self) -> dict[str, bytes]:
        return {PLATE: encode_png(self.origin["plate"].numpy())}


def _moving_average(
    averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
) -> torch.Tensor:
    """Exponential, over few steps at first so that the first weights are soon forgotten."""
    return torch.lerp(averaged, current, max(1 - _DECAY, 9 / (10 + int(steps))))


def data(
    config: Config, kept: Sequence[Clip], held_out: Sequence[Clip], cache: Path
) -> tuple[Crops, Crops | None, dict[str, Any]]:
    """Training and validation data, and what `Training` needs to know of them."""
    width, height = picture_size([*kept, *held_out])
    if width % 2 or height % 2:
        raise DancingError(f"pictures of {width}x{height} make no video, both must be even")
    for clip in (*kept, *held_out):
        if clip.matte is None:
            raise DancingError(f"clip '{clip.name}' has no matte; 'dancing prepare' makes them")
    crop = (config.width, config.height)
    _check_crop([*kept, *held_out], (width, height), crop)
    plate = empty_scene(kept)
    validation = Crops(held_out, plate, crop, cache) if held_out else None
    facts = {"size": [width, height], "plate": torch.from_numpy(plate)}
    return Crops(kept, plate, crop, cache), validation, facts


def _check_crop(clips: Sequence[Clip], picture: tuple[int, int], crop: tuple[int, int]) -> None:
    """Refuse a crop that would cut the dancer off, and say which one would do."""
    points = np.concatenate([clip.landmarks for clip in clips]) * picture
    extent = np.percentile(points.max(1) - points.min(1), 95, axis=0)
    if (extent > crop).any():
        wide, high = (np.ceil(np.maximum(extent * 1.25, crop) / 32) * 32).astype(int)
        raise DancingError(
            f"the dancer measures {extent[0]:.0f}x{extent[1]:.0f} pixels, more than the crop of "
            f"{crop[0]}x{crop[1]}: train with --set width={wide} --set height={high}, "
            "or prepare the videos with a smaller --size"
        )


def _unit(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to [0, 1], laid out as the convolutions are fastest."""
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
