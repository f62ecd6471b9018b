"""What each row of the table of motion dances: real dance, what is no dance, and the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.body.poses import PoseSequence, body_frame
from dancing.bundle import DEFAULT, Bundle, embedded
from dancing.evaluation.clips import trained_on
from dancing.evaluation.pieces import Piece
from dancing.media import FPS
from dancing.motion.choreographer import AUTO, Choreographer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REAL = "real"
OTHER_SONG = "real, other song"
RANDOM_CLIP = "random training clip"

TREMBLE = 0.002
"""Standard deviation of a statue's sway in torso lengths: about a millimetre."""
SWAY = 0.083
"""Standard deviation in seconds of the Gaussian that smooths it."""

Dance = Callable[[Piece, np.random.Generator, int], tuple[PoseSequence, "Floats"]]
"""Poses to a piece, and the beats to score them against; told a generator and a seed."""


class RealDance(NamedTuple):
    """Poses of a real clip, and the hashes of the songs and sources that they are of."""

    poses: PoseSequence
    origins: frozenset[str]


class Planned(NamedTuple):
    """What a row dances, and how often to each piece."""

    dance: Dance
    repeats: int


def planned(
    choreographer: Choreographer,
    pieces: Sequence[Piece],
    known: Sequence[RealDance],
    seeds: int,
    include_training: bool,
) -> tuple[dict[str, Planned], list[str]]:
    """What is danced, by the name of the row and in the table's order.

    Args:
        choreographer: the model that is scored; its row has the name of its family.
        known: dances of the training data, or nothing.
        seeds: dances to a piece, where chance has a part in them.
        include_training: whether the default dancer may dance to what it was trained on.

    Returns:
        The rows, and notes on those that are not there or whose material is not as usual.
    """
    notes = []
    baselines = Baselines(pieces, known or [RealDance(p.poses, p.origins) for p in pieces])
    rows = {REAL: Planned(baselines.real, 1)}
    if baselines.others:
        rows[OTHER_SONG] = Planned(baselines.shuffled, seeds)
    else:
        notes.append(f"no row '{OTHER_SONG}': there is only one song")
    rows["statue"] = Planned(baselines.statue, seeds)
    rows["mean pose"] = Planned(baselines.mean_pose, 1)
    if all(baselines.foreign(piece) for piece in pieces):
        rows[RANDOM_CLIP] = Planned(baselines.random_clip, seeds)
        notes.append(
            f"{RANDOM_CLIP}: a stretch of a dance to another song, of "
            + ("the training data" if known else "these clips, as no training data was given")
        )
    else:
        notes.append(f"no row '{RANDOM_CLIP}': there are no clips of another song")
    rows["smoothed noise"] = Planned(baselines.noise, seeds)
    rows[choreographer.bundle.stage("motion").model] = Planned(by(choreographer), seeds)
    default, more = _default(choreographer.bundle, pieces, include_training)
    if default is not None:
        name = f"{default.bundle.stage('motion').model} (default)"
        rows[name] = Planned(by(default), seeds)
    return rows, notes + more


def by(choreographer: Choreographer, genre: str | None = None) -> Dance:
    """The dances of a model: of this genre, else of that of the real dance if the model knows it,
    else of what it chooses itself."""

    def dance(piece: Piece, _: np.random.Generator, seed: int) -> tuple[PoseSequence, Floats]:
        own = piece.genre if piece.genre in choreographer.genres else AUTO
        return choreographer(piece.song, seed, genre=genre or own), piece.beats

    return dance


def _default(
    bundle: Bundle, pieces: Sequence[Piece], include_training: bool
) -> tuple[Choreographer | None, list[str]]:
    """The default dancer's choreographer, if it differs and has not seen these clips."""
    if DEFAULT not in embedded():
        return None, []
    default = Bundle("default")
    same = default.card.files.get("motion.onnx") == bundle.card.files.get("motion.onnx")
    if same or not default.has("motion"):
        return None, []
    sources = trained_on(default, "motion")
    if any(piece.origins & sources for piece in pieces):
        if not include_training:
            return None, ["no row of the default dancer: it was trained on some of these clips"]
        return Choreographer(default), ["the default dancer was trained on some of these clips"]
    return Choreographer(default), []


class Baselines:
    """What is no model's dance: the methods but `others` and `foreign` are each a `Dance`.

    Args:
        pieces: what is danced to.
        pool: real dances, for the mean pose, the spread and speed of noise, and to draw from.
    """

    def __init__(self, pieces: Sequence[Piece], pool: Sequence[RealDance]) -> None:
        self._pool = pool
        bodies = [_body(poses) for poses, _ in pool]
        every = np.concatenate(bodies)
        self._mean = every.mean(0)
        self._spread = np.sqrt(every.var(0).mean(-1))
        speeds = [
            np.hypot(*np.moveaxis(np.diff(body, axis=0), -1, 0)) * poses.fps
            for body, (poses, _) in zip(bodies, pool, strict=True)
        ]
        self._speed = np.concatenate(speeds).mean(0)
        with_beats = [piece for piece in pieces if len(piece.beats)]
        self._others = {
            piece.name: [other for other in with_beats if not other.origins & piece.origins]
            for piece in pieces
        }

    @property
    def others(self) -> bool:
        """Whether every piece has another song's beats."""
        return all(self._others.values())

    def foreign(self, piece: Piece) -> list[PoseSequence]:
        """Real clips of other songs and sources, those that last as long if there are any."""
        found = [poses for poses, origins in self._pool if not origins & piece.origins]
        return [poses for poses in found if poses.duration >= piece.song.duration] or found

    def real(self, piece: Piece, _: np.random.Generator, __: int) -> tuple[PoseSequence, Floats]:
        return piece.poses, piece.beats

    def shuffled(
        self, piece: Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        others = self._others[piece.name]
        return piece.poses, others[generator.integers(len(others))].beats

    def statue(
        self, piece: Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        """The clip's first pose, held, with a sway of about a millimetre."""
        pose = _body(piece.poses)[0]
        sway = _smooth_noise(generator, piece.frames, np.full(len(pose), SWAY))
        return _in_body_frame(pose + TREMBLE * sway), piece.beats

    def mean_pose(
        self, piece: Piece, _: np.random.Generator, __: int
    ) -> tuple[PoseSequence, Floats]:
        return _in_body_frame(np.repeat(self._mean[None], piece.frames, 0)), piece.beats

    def random_clip(
        self, piece: Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        """A stretch of a real dance to something else, there and back where it is too short."""
        candidates = self.foreign(piece)
        poses = candidates[generator.integers(len(candidates))]
        wanted = max(1, round(piece.song.duration * poses.fps))
        start = int(generator.integers(max(1, len(poses) - wanted + 1)))
        poses = poses[start : start + wanted]
        order = np.pad(np.arange(len(poses)), (0, wanted - len(poses)), mode="reflect")
        visibility = None if poses.visibility is None else poses.visibility[order]
        world = None if poses.world is None else poses.world[order]
        stretch = PoseSequence(
            poses.landmarks[order], poses.fps, visibility, world, aspect=poses.aspect
        )
        return stretch, piece.beats

    def noise(
        self, piece: Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        """Noise around the mean pose in which every landmark has its real spread and speed.

        Gaussian noise of standard deviation s smoothed to a width w has a mean speed of
        s sqrt(pi) / (2 w) in the plane.
        """
        moves = self._speed > 1e-6
        speed = np.where(moves, self._speed, 1.0)
        width = np.where(moves, self._spread * np.sqrt(np.pi) / (2 * speed), 0.0)
        noise = _smooth_noise(generator, piece.frames, np.maximum(width, 1 / FPS))
        return _in_body_frame(self._mean + noise * (self._spread * moves)[:, None]), piece.beats


def _body(poses: PoseSequence) -> Floats:
    return body_frame(poses.landmarks, poses.aspect)


def _in_body_frame(body: Floats) -> PoseSequence:
    """Poses (T, 33, 2) that are in torso lengths already."""
    return PoseSequence(body.astype(np.float32), FPS, aspect=1.0)


def _smooth_noise(generator: np.random.Generator, frames: int, widths: Floats) -> Floats:
    """Gaussian noise (frames, J, 2) of standard deviation 1, smoothed over widths (J,) seconds."""
    noise = generator.standard_normal((frames, len(widths), 2))
    for joint, width in enumerate(widths * FPS):
        smooth = gaussian_filter1d(noise[:, joint], width, axis=0, mode="wrap")
        noise[:, joint] = smooth * np.sqrt(2 * np.sqrt(np.pi) * width)
    return noise
