"""Stage 1 at work: a song goes in, poses come out. ONNX Runtime only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dancing import kinematics
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.phrases import Held, PhraseDancer
from dancing.poses import PoseSequence
from dancing.video import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.audio import Song

    Floats = NDArray[np.float64]


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
        self._phrases = PhraseDancer(self._run, settings) if "body" in settings else None

    def __call__(
        self,
        song: Song,
        seed: int = 0,
        placement: dict[str, float] | None = None,
        *,
        energy: float = 1.0,
        keep: PoseSequence | None = None,
        start_pose: PoseSequence | None = None,
    ) -> PoseSequence:
        """Dance to a song.

        Args:
            song: what `load_song` returns.
            seed: the same seed gives the same dance.
            placement: where the dancer stands in the picture: mid-hip `x` and `y` and `torso`
                length as fractions of width, height and height, and the picture's `aspect`.
                Default: as in the model's training data.
            energy: 0 (stands) to 2 (as vigorous as it gets); 1 is what the music asks for.
            keep: poses from the song's beginning, with world landmarks, that are kept; what has
                a visibility below 0.5, and what comes after their end, is filled in.
            start_pose: the dance begins with the first of these poses, with world landmarks.

        Returns:
            Poses of the song's length at 30 frames a second, with the song's beats, and world
            landmarks if the model makes them.

        Raises:
            DancingError: when the model cannot do what is asked for.
        """
        if not 0 <= energy <= 2:
            raise DancingError(f"energy is {energy:g}, but a number from 0 to 2 is needed")
        place = placement or self._placement
        if self._phrases is not None:
            return _in_room(self._phrases, song, seed, place, energy, keep, start_pose)
        if energy != 1 or keep is not None or start_pose is not None:
            raise DancingError(
                f"{self.bundle.path}: energy, kept poses and a start pose need a motion model of "
                "the family 'flow'"
            )
        frames = max(1, round(song.duration * FPS))
        body = self._dance(song.mfcc, frames, np.random.default_rng(seed))
        landmarks = _placed(body, place)
        return PoseSequence(
            landmarks.astype(np.float32), FPS, beats=song.beats, aspect=place["aspect"]
        )

    def _dance(self, mfcc: NDArray[np.float32], frames: int, random: np.random.Generator) -> Floats:
        """Windows half a window apart, cross-faded; the body frame, (frames, 33, 2)."""
        window, hop = self._window, self._window // 2
        rows = _fitted(mfcc, frames + 2 * window)
        total = np.zeros((frames + 2 * window, 33, 2))
        weights = np.zeros((frames + 2 * window, 1, 1))
        fade = (np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2)[:, None, None]
        noise_shape = [1, *self._session.get_inputs()[1].shape[1:]]
        for start in range(0, frames + hop, hop):
            noise = random.standard_normal(noise_shape).astype(np.float32)
            # The first window begins half a window before the song, so that every frame lies
            # in two windows; the music there is the song's first row.
            at = np.clip(np.arange(start - hop, start - hop + window), 0, len(rows) - 1)
            poses = self._run({"mfcc": rows[at][None], "noise": noise})[0]
            total[start : start + window] += poses * fade
            weights[start : start + window] += fade
        return (total / np.maximum(weights, 1e-9))[hop : hop + frames]

    def _run(self, inputs: dict[str, Any]) -> NDArray[Any]:
        try:
            return self._session.run(None, inputs)[0]
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.bundle.path}: the motion model failed ({error})") from error


def _in_room(
    dancer: PhraseDancer,
    song: Song,
    seed: int,
    place: dict[str, float],
    energy: float,
    keep: PoseSequence | None,
    start_pose: PoseSequence | None,
) -> PoseSequence:
    """A dance in the room, seen by the camera and put at its place in the picture."""
    stage = _Stage(dancer, place)
    held = given = None
    if start_pose is not None:
        held = stage.held(start_pose[:1], "the start pose")
    if keep is not None:
        given = keep.resampled(FPS)
        held = stage.held(given, "the poses to keep")
    points = dancer(song, seed, energy, held)
    landmarks = stage.landmarks(points).astype(np.float32)
    world = (points - points[:, [23, 24]].mean(1, keepdims=True)).astype(np.float32)
    made = PoseSequence(landmarks, FPS, world=world, beats=song.beats, aspect=place["aspect"])
    return made if given is None else kept_exactly(made, given)


def kept_exactly(poses: PoseSequence, given: PoseSequence) -> PoseSequence:
    """Poses with what is given, where its visibility is 0.5 or more, in place of their own.

    Args:
        poses: with world landmarks.
        given: from the same beginning, of any length, at the same rate, with world landmarks.
    """
    frames = min(len(given), len(poses))
    known = _visible(given)[:frames]
    assert given.world is not None and poses.world is not None
    landmarks, world = poses.landmarks.copy(), poses.world.copy()
    landmarks[:frames][known] = given.landmarks[:frames][known]
    world[:frames][known] = given.world[:frames][known]
    return replace(poses, landmarks=landmarks, world=world)


class _Stage:
    """Between the room and the dancer's place in the picture."""

    def __init__(self, dancer: PhraseDancer, place: dict[str, float]) -> None:
        self._dancer = dancer
        self._place = place
        home = dancer.home[None]
        self._middle = kinematics.project(home, dancer.focal, 1.0)[0]
        # The torso's length in the picture, seen at home.
        self._torso = dancer.focal * dancer.torso / dancer.home[2]

    def landmarks(self, points: Floats) -> Floats:
        """(T, 33, 2) in [0, 1] of the picture; the path is moved where it would leave it."""
        flat = kinematics.project(points, self._dancer.focal, 1.0)
        picture = _placed((flat - self._middle) / self._torso, self._place)
        left, right = picture[..., 0].min(1), picture[..., 0].max(1)
        over = np.maximum(_EDGE - left, 0) - np.maximum(right - (1 - _EDGE), 0)
        if over.any():
            for sign in (1, -1):
                reach = maximum_filter1d(np.maximum(sign * over, 0), 2 * FPS + 1, mode="nearest")
                shift = gaussian_filter1d(reach, FPS / 2, mode="nearest")
                picture[..., 0] += sign * shift[:, None]
        return picture

    def held(self, poses: PoseSequence, what: str) -> Held:
        """Given poses as the model wants them.

        Raises:
            DancingError: when they have no world landmarks.
        """
        if poses.world is None:
            raise DancingError(
                f"{what} have no world landmarks; poses of 'dancing generate --poses' do"
            )
        scale, shift = _scale(self._place), np.array([self._place["x"], self._place["y"]])
        flat = (poses.landmarks - shift) / scale * self._torso + self._middle
        focal = self._dancer.focal
        visible = _visible(poses)
        world = poses.world.astype(np.float64)
        place = kinematics.locate(flat, world, 1.0, focal, poses.fps, visible)
        contact = np.zeros((len(world), 2))
        channels = kinematics.pack(world, place - self._dancer.home, contact)
        # Whether feet stand follows from the poses; the model shall say so.
        known = np.concatenate([np.repeat(visible, 3, axis=1), contact > 0], axis=1)
        return Held(channels, known)


_EDGE = 0.02  # of the picture's width that stays free


def _visible(poses: PoseSequence) -> NDArray[np.bool_]:
    """(T, 33) which landmarks are given."""
    if poses.visibility is None:
        return np.ones(poses.landmarks.shape[:2], bool)
    return poses.visibility >= 0.5


def _scale(place: dict[str, float]) -> Floats:
    return np.array([place["torso"] / place["aspect"], place["torso"]])


def _placed(body: Floats, place: dict[str, float]) -> Floats:
    """The body frame in the picture."""
    return body * _scale(place) + [place["x"], place["y"]]


def _fitted(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Rows cut to a length, the last one repeated where there are too few."""
    return rows[np.minimum(np.arange(length), len(rows) - 1)]
