"""The motion model `lstm-vae` at work: windows half a window apart, cross-faded, for any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import Placement, PoseSequence
from dancing.body.skeleton import N_LANDMARKS
from dancing.errors import DancingError
from dancing.media import FPS
from dancing.motion.lstm_vae.card import Card

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.song import Song


class Runtime:
    """Dances to songs with an `lstm-vae` model.

    Args:
        run: the network: named inputs to its outputs, here one, the poses (1, T, 33, 2).
        card: what the bundle says of the model.
    """

    def __init__(self, run: Callable[..., list[NDArray[Any]]], card: Card) -> None:
        self._run = run
        self._window = card.window
        self._latent_dim = card.latent_dim

    def __call__(
        self,
        song: Song,
        seed: int,
        place: Placement,
        *,
        energy: float = 1.0,
        keep: PoseSequence | None = None,
        start_pose: PoseSequence | None = None,
    ) -> PoseSequence:
        """Poses without world landmarks.

        Raises:
            DancingError: when energy, kept poses or a start pose are asked for.
        """
        if energy != 1 or keep is not None or start_pose is not None:
            raise DancingError(
                "energy, kept poses and a start pose need a motion model of the family 'flow'"
            )
        frames = max(1, round(song.duration * FPS))
        body = self._dance(song.mfcc, frames, np.random.default_rng(seed))
        landmarks = place.in_frame(body).astype(np.float32)
        return PoseSequence(landmarks, FPS, beats=song.beats, aspect=place.aspect)

    def _dance(
        self, mfcc: NDArray[np.float32], frames: int, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """(frames, 33, 2) in the body frame."""
        window, hop = self._window, self._window // 2
        rows = mfcc[np.minimum(np.arange(frames + 2 * window), len(mfcc) - 1)]
        total = np.zeros((frames + 2 * window, N_LANDMARKS, 2))
        weights = np.zeros((frames + 2 * window, 1, 1))
        fade = (np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2)[:, None, None]
        for start in range(0, frames + hop, hop):
            noise = random.standard_normal((1, self._latent_dim)).astype(np.float32)
            # The first window begins half a window before the song, so that every frame lies
            # in two windows; the music there is the song's first row.
            at = np.clip(np.arange(start - hop, start - hop + window), 0, len(rows) - 1)
            poses = self._run({"mfcc": rows[at][None], "noise": noise})[0][0]
            total[start : start + window] += poses * fade
            weights[start : start + window] += fade
        return (total / np.maximum(weights, 1e-9))[hop : hop + frames]
