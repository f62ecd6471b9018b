"""Stage 1 at work: a song goes in, poses come out. ONNX Runtime only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import Placement, PoseSequence
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.family import MotionRuntime, family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.song import Song
    from dancing.rows import Rows

    Floats = NDArray[np.float64]

AUTO = "auto"
"""The genre that the song asks for."""


class Choreographer:
    """Makes poses to a song with the motion model of a bundle.

    Args:
        bundle: name of an embedded dancer, path of a bundle, or an open `Bundle`.

    Raises:
        DancingError: when the bundle cannot be used or holds no motion model.
    """

    def __init__(self, bundle: str | Path | Bundle = "default") -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        card = self.bundle.stage("motion")
        self.bundle.onnx("motion")  # what is wrong with it is to be said at once
        self._placement = card.placement
        self._runtime: MotionRuntime = family("motion", card.model).runtime(self._run, card)

    def __call__(
        self,
        song: Song,
        seed: int = 0,
        placement: Placement | None = None,
        *,
        energy: float = 1.0,
        genre: str = AUTO,
        keep: PoseSequence | None = None,
        start_pose: PoseSequence | None = None,
        world: Rows | None = None,
        turns: float | None = None,
    ) -> PoseSequence:
        """Dance to a song.

        Args:
            song: what `load_song` returns.
            seed: the same seed gives the same dance.
            placement: where the dancer stands in the frame. Default: as in the model's training
                data.
            energy: 0 (stands) to 2 (as vigorous as it gets); 1 is what the music asks for.
            genre: 'auto', what the song asks for; or a genre that the model knows, such as 'house';
                or several with their parts, such as 'hiphop:0.7,latin:0.3'.
            keep: poses from the song's beginning, with world landmarks, that are kept; what has
                a visibility below 0.5, and what comes after their end, is filled in.
            start_pose: the dance begins with the first of these poses, with world landmarks.
            world: rows (33, 3) to which world landmarks are added, instead of being part of the
                poses: those of a dance of hours need not be in memory. Not with `keep`.
            turns: degrees by which the dancer may turn from the camera; see `Dancer.turns` and
                `dancing.body.facing`. What is kept is not turned; models without world landmarks
                cannot obey. Default: any.

        Returns:
            Poses of the song's length at 30 frames a second, with the song's beats, and world
            landmarks if the model makes them.

        Raises:
            DancingError: when the model cannot do what is asked for.
        """
        if not 0 <= energy <= 2:
            raise DancingError(f"energy is {energy:g}, but a number from 0 to 2 is needed")
        place = placement or self._placement
        return self._runtime(
            song,
            seed,
            place,
            energy=energy,
            genre=parts_of(genre),
            keep=keep,
            start_pose=start_pose,
            world=world,
            turns=turns,
        )

    @property
    def genres(self) -> tuple[str, ...]:
        """Those that the model tells apart."""
        return genres_of(self.bundle)

    def _run(self, inputs: dict[str, Any], **sides: int) -> list[NDArray[Any]]:
        return self.bundle.run("motion", inputs, **sides)


def genres_of(bundle: Bundle) -> tuple[str, ...]:
    """The genres that a bundle's motion model tells apart; few families have any."""
    return tuple(getattr(bundle.stage("motion"), "genres", ()))


def parts_of(genre: str) -> dict[str, float] | None:
    """Genres and their parts, of a text as `Choreographer` takes it; None for 'auto'.

    Raises:
        DancingError: when it is no such text.
    """
    if genre.strip().lower() == AUTO:
        return None
    parts: dict[str, float] = {}
    for item in genre.split(","):
        name, colon, text = item.strip().lower().partition(":")
        try:
            part = float(text) if colon else 1.0
        except ValueError:
            part = math.nan
        if not name or not 0 < part < math.inf:
            raise DancingError(
                f"genre '{genre}': name one, such as 'house', or several with their parts, such as "
                "'hiphop:0.7,latin:0.3'"
            )
        parts[name] = parts.get(name, 0.0) + part
    return parts
