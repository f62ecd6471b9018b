"""The motion model `lstm-vae` at work: windows half a window apart, cross-faded, for any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    from dancing.rows import Rows


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
        genre: Mapping[str, float] | None = None,
        keep: PoseSequence | None = None,
        start_pose: PoseSequence | None = None,
        world: Rows | None = None,
        turns: float | None = None,
    ) -> PoseSequence:
        """Poses without world landmarks, of which `turns` cannot be kept.

        Raises:
            DancingError: when energy, a genre, kept poses or a start pose are asked for.
        """
        if energy != 1 or genre is not None or keep is not None or start_pose is not None:
            raise DancingError(
                "energy, genres, kept poses and a start pose need a motion model of the family "
                "'flow'"
            )
        frames = max(1, round(song.duration * FPS))
        random = np.random.default_rng(seed)
        landmarks = np.empty((frames, N_LANDMARKS, 2), np.float32)
        done = 0
        for body in self._dance(song.mfcc, frames, random):
            landmarks[done : done + len(body)] = place.in_frame(body)
            done += len(body)
        return PoseSequence(landmarks, FPS, beats=song.beats, aspect=place.aspect)

    def _dance(
        self, mfcc: NDArray[np.float32], frames: int, random: np.random.Generator
    ) -> Iterator[NDArray[np.float64]]:
        """The dance in the body frame, (n, 33, 2) for each n frames, in order."""
        window, hop = self._window, self._window // 2
        total = np.zeros((window, N_LANDMARKS, 2))
        weights = np.zeros((window, 1, 1))
        fade = (np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2)[:, None, None]
        # The first window begins half a window before the song, so that every frame lies in two
        # windows; the music there is the song's first row.
        for start in range(-hop, frames, hop):
            noise = random.standard_normal((1, self._latent_dim)).astype(np.float32)
            at = np.clip(np.arange(start, start + window), 0, len(mfcc) - 1)
            poses = self._run({"mfcc": mfcc[at][None], "noise": noise})[0][0]
            total += poses * fade
            weights += fade
            if start >= 0:
                yield (total / np.maximum(weights, 1e-9))[: min(hop, frames - start)]
            for sums in (total, weights):
                sums[:-hop] = sums[hop:].copy()
                sums[-hop:] = 0
