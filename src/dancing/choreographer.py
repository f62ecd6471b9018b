"""Stage 1 at work: a song goes in, poses come out. ONNX Runtime only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.poses import PoseSequence
from dancing.video import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.audio import Song


class Choreographer:
    """Makes poses to a song with the motion model of a bundle.

    Args:
        bundle: name of an embedded dancer, path of a bundle, or an open `Bundle`.

    Raises:
        DancingError: when the bundle cannot be used or holds no motion model.
    """

    def __init__(self, bundle: str | Path | Bundle = "default") -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        settings = self.bundle.settings("motion")
        self._window = int(settings["window"])
        self._placement = settings["placement"]
        self._session = self.bundle.motion
        self._noise_shape = [1, *self._session.get_inputs()[1].shape[1:]]

    def __call__(
        self, song: Song, seed: int = 0, placement: dict[str, float] | None = None
    ) -> PoseSequence:
        """Dance to a song.

        Args:
            song: what `load_song` returns.
            seed: the same seed gives the same dance.
            placement: where the dancer stands in the picture: mid-hip `x` and `y` and `torso`
                length as fractions of width, height and height, and the picture's `aspect`.
                Default: as in the model's training data.

        Returns:
            Poses of the song's length at 30 frames a second, with the song's beats.
        """
        frames = max(1, round(song.duration * FPS))
        body = self._dance(song.mfcc, frames, np.random.default_rng(seed))
        place = placement or self._placement
        scale = np.array([place["torso"] / place["aspect"], place["torso"]])
        landmarks = body * scale + [place["x"], place["y"]]
        return PoseSequence(
            landmarks.astype(np.float32), FPS, beats=song.beats, aspect=place["aspect"]
        )

    def _dance(
        self, mfcc: NDArray[np.float32], frames: int, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Windows half a window apart, cross-faded; the body frame, (frames, 33, 2)."""
        window, hop = self._window, self._window // 2
        rows = _fitted(mfcc, frames + 2 * window)
        total = np.zeros((frames + 2 * window, 33, 2))
        weights = np.zeros((frames + 2 * window, 1, 1))
        fade = (np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2)[:, None, None]
        for start in range(0, frames + hop, hop):
            noise = random.standard_normal(self._noise_shape).astype(np.float32)
            # The first window begins half a window before the song, so that every frame lies
            # in two windows; the music there is the song's first row.
            at = np.clip(np.arange(start - hop, start - hop + window), 0, len(rows) - 1)
            poses = self._run(rows[at], noise)
            total[start : start + window] += poses * fade
            weights[start : start + window] += fade
        return (total / np.maximum(weights, 1e-9))[hop : hop + frames]

    def _run(self, mfcc: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[Any]:
        try:
            return self._session.run(None, {"mfcc": mfcc[None], "noise": noise})[0][0]
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.bundle.path}: the motion model failed ({error})") from error


def _fitted(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Rows cut to a length, the last one repeated where there are too few."""
    return rows[np.minimum(np.arange(length), len(rows) - 1)]
