"""Training data of `lstm-vae`: windows of music features and poses, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from dancing.body.poses import body_frame
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.motion.lstm_vae.network import Config
from dancing.training.sampler import Draw, with_random


class Windows(TorchDataset[dict[str, torch.Tensor]]):
    """Windows of clips that have sound: 'mfcc' (T, n_mfcc), 'poses' (T, 33, 2) body frame.

    Args:
        clips: clips of open datasets; those without sound, or too short, are left out.
        config: the model's, with the windows' dimensions.
        augment: shift windows at random and repeat a small set, so that an epoch is not too short.

    Raises:
        DancingError: when no clip fits.
    """

    def __init__(self, clips: Sequence[Clip], config: Config, *, augment: bool) -> None:
        window, n_mfcc = config.window, config.n_mfcc
        self._window = window
        self._hop = max(1, window // config.hops)
        self._augment = augment
        self._clips: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._starts: list[tuple[int, int]] = []
        for clip in clips:
            if clip.mfcc is None or len(clip) < window:
                continue
            features = clip.features_at_poses()
            assert features is not None
            if features.shape[1] != n_mfcc:
                raise DancingError(
                    f"clip '{clip.name}' has {features.shape[1]} MFCC, the model wants {n_mfcc}"
                )
            poses = body_frame(clip.landmarks, clip.aspect).astype(np.float32)
            stops = range(0, len(clip) - window + 1, self._hop)
            self._starts += [(len(self._clips), start) for start in stops]
            self._clips.append((torch.from_numpy(features), torch.from_numpy(poses)))
        if not self._clips:
            raise DancingError(
                f"no clip has sound and at least {window} frames; training motion needs both"
            )
        self._repeats = -(-config.least_epoch // len(self._starts)) if augment else 1

    def __len__(self) -> int:
        return len(self._starts) * self._repeats

    def __getitem__(self, draw: Draw | int) -> dict[str, torch.Tensor]:
        index, random = with_random(draw)
        which, start = self._starts[index % len(self._starts)]
        mfcc, poses = self._clips[which]
        if self._augment:
            shift = int(random.integers(self._hop))
            start = min(start + shift, len(poses) - self._window)
        stop = start + self._window
        return {"mfcc": mfcc[start:stop], "poses": poses[start:stop]}

    def feature_statistics(self) -> dict[str, Any]:
        """Mean and standard deviation of every MFCC, as lists."""
        rows = torch.cat([mfcc for mfcc, _ in self._clips])
        return {
            "mfcc_mean": rows.mean(0).tolist(),
            "mfcc_std": rows.std(0).clamp(min=1e-3).tolist(),
        }
