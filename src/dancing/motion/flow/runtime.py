"""The motion model `flow` at work: phrase after phrase of dance, in beat time, for any length.

Each window is half known (the end of the one before), so that phrases join without a seam. The
finished dance is warped to the song's beats; then bones get their lengths, standing feet stand,
and where the music stops the dancer comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d

from dancing.body import facing, kinematics
from dancing.body.poses import Placement, PoseSequence, interpolate
from dancing.body.skeleton import FEET, HIPS, N_LANDMARKS, SHOULDERS
from dancing.errors import DancingError
from dancing.media import FPS
from dancing.motion.flow.card import Card
from dancing.motion.flow.features import CONTEXT, FRAMES, context, music_at
from dancing.motion.flow.stage import Held, Room, Stage, kept_exactly
from dancing.music.counts import PHRASE, Counts, count, sounding, surge
from dancing.music.counts import energy as count_energy
from dancing.music.genre import genre_of
from dancing.music.structure import Form, form_of
from dancing.rows import Rows, stretches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.song import Song

    Floats = NDArray[np.float64]
    _Given = Callable[[NDArray[np.intp]], tuple[Floats, NDArray[np.bool_]]]


STEPS = 8
"""Steps from noise to dance."""
GUIDANCE = 2.5
"""How far a dance is from one of no genre towards one of the genre that is asked for."""
_FAITHFUL = 0.9  # correlation of vigour with loudness; the rest is the dancer's mood
_EAGER = 0.35  # logarithm by which dances fall short of the vigour that the model is told
_VARIED = 2.0  # how much more the vigour is varied than in the data, as dances vary less than told
_UNSURE = 1.0  # how much calmer the dance is where no beat is heard, in standard deviations
_CALMEST, _WILDEST = -2.5, 2.2  # vigour in standard deviations, within what training has shown
_LIKENESS = 0.6  # of a phrase that returns to what it was: 1 repeats it, whatever came before
_SAME = 0.8  # standard deviations of channels within which phrases are the same
_TRIES = 4  # to dance something else
_ACCENT = 0.8  # standard deviations by which the dance is more vigorous where sections meet
_AROUND = 1.5  # counts: standard deviation of that accent
_REST = 0.2  # seconds: standard deviation of the Gaussian by which dance and rest are blended
_SHORTEST_REST = 0.5  # seconds of silence that are no more than an accent


class Runtime:
    """Dances to songs with a `flow` model.

    Args:
        run: the network: named inputs to its outputs, here one, the dance (1, T, CHANNELS).
        card: what the bundle says of the model.
    """

    def __init__(self, run: Callable[..., list[NDArray[Any]]], card: Card) -> None:
        self._run = run
        self._counts = card.window // FRAMES
        self._mean, self._std = np.array(card.mean), np.array(card.std)
        self._music = card.music
        self._genres = dict(zip(card.genres, np.eye(len(card.genres)), strict=True))
        self._genre_vigour = np.array(card.genre_vigour)
        self._genre = card.genre
        self._mirror = kinematics.mirror_map()
        self._mfcc_std = np.array(self._music.mfcc_std)
        self.focal = card.body.focal
        self.home = np.array(card.body.home)
        self.bones = card.body.bones
        self._floor = card.body.floor
        points, _ = kinematics.unpack(self._mean[None])
        points = kinematics.with_bones(points, self.bones)[0]
        shoulders = points[SHOULDERS].mean(0) - points[HIPS].mean(0)
        self.torso = float(np.linalg.norm(shoulders))
        """Length in metres."""
        self._rest = kinematics.standing(points - points[HIPS].mean(0), self.bones)

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
        """A dance in the room, seen by the camera and put at its place in the frame.

        See `dancing.motion.choreographer.Choreographer` for the arguments.
        """
        stage = Stage(self.focal, self.home, self.torso, place)
        held = given = None
        if start_pose is not None:
            held = stage.held(start_pose[:1].in_aspect(place.aspect), "the start pose")
        if keep is not None:
            given = keep.resampled(FPS).in_aspect(place.aspect)
            held = stage.held(given, "the poses to keep")
        room = self._room(song, seed, energy, self._genre_of(song, genre), held, turns)
        metres = Rows(N_LANDMARKS, 3) if world is None else world
        made = PoseSequence(
            stage.seen(room, metres),
            FPS,
            world=metres[:] if world is None else None,
            beats=song.beats,
            aspect=place.aspect,
        )
        return made if given is None else kept_exactly(made, given)

    def _genre_of(self, song: Song, asked: Mapping[str, float] | None) -> Floats:
        """(G,) how much of each genre to dance: as asked, or as the song asks for."""
        if asked is None:
            asked = {genre_of(song): 1.0} if self._genre == "auto" else {}
        elif unknown := sorted(set(asked) - set(self._genres)):
            known = f"knows {', '.join(self._genres)}" if self._genres else "tells no genres apart"
            raise DancingError(f"no genre '{unknown[0]}': this dancer's motion model {known}")
        total = sum(asked.values())
        parts = [weight / total * self._genres[name] for name, weight in asked.items()
                 if name in self._genres]  # fmt: skip
        return np.sum([np.zeros(len(self._genres)), *parts], axis=0)

    def _room(
        self,
        song: Song,
        seed: int,
        energy: float,
        genre: Floats,
        held: Held | None,
        turns: float | None,
    ) -> Room:
        """The dance in the room at 30 frames a second, T frames of the song.

        Args:
            energy: 0 (stands) to 2 (as vigorous as it gets), 1 is what the music asks for.
            genre: (G,) how much of each.
            held: given poses.
            turns: see `Choreographer`.
        """
        random = np.random.default_rng(seed)
        frames = max(1, round(song.duration * FPS))
        counts = count(song.beats, song.downbeats, song.duration)
        moving = self._moving(song, frames) * min(1.0, 2 * energy)
        form = form_of(song.mfcc, counts)
        heard = self._heard(song, counts, form, energy, genre, random)
        dance = self._phrases(*heard, form, self._given(held, counts), random)
        positions = counts.positions(np.arange(frames) / FPS) * FRAMES
        return self._danced(dance, positions, moving, turns)

    def _danced(
        self, dance: Rows, positions: Floats, moving: Floats, turns: float | None = None
    ) -> Room:
        """A standardised dance on the song's time: with its bones, its feet and its rests.

        What depends on more than a stretch (how long a foot stands, where the floor is) is found
        by going through the dance before; all else is made again for each stretch.

        Args:
            dance: at home 0.
            positions: (T,) its row at each frame, rising.
            moving: (T,) 1 where there is dance, 0 where there is rest.
            turns: see `Choreographer`.
        """
        frames = len(positions)
        corrections: Floats | None = None

        def warped(stretch: slice) -> tuple[Floats, Floats]:
            channels = _between(dance, positions[stretch]) * self._std + self._mean
            points, down = kinematics.unpack(channels)
            points = kinematics.with_bones(points, self.bones)
            if turns is not None:
                points = facing.filled_out(points, self._rest)
            if corrections is not None:
                points = facing.turned(points, corrections[stretch])
            return points, down

        feet, down = np.empty((frames, 2, 2, 3)), np.empty((frames, 2), bool)
        middle, yaw = np.empty((frames, 3)), np.empty((frames, 2))

        def look() -> None:
            for stretch in stretches(frames):
                points, contacts = warped(stretch)
                feet[stretch], down[stretch] = kinematics.soles(points), contacts > 0
                middle[stretch], yaw[stretch] = points[:, HIPS].mean(1), facing.yaws(points)

        look()
        still = down if self._floor is None else down | kinematics.resting(feet, self._floor)
        if turns is not None:
            corrections = facing.corrections(yaw, turns)
            look()
        shifts = kinematics.planting(feet, still, self._floor)

        def planted(stretch: slice) -> Floats:
            return kinematics.moved_feet(
                warped(stretch)[0], [None if path is None else path[stretch] for path in shifts]
            )

        if moving.min() >= 1 - 1e-6:
            return Room(frames, lambda stretch: planted(stretch) + self.home)

        # Where the dancer was when the music stopped; when it goes on, the dance is elsewhere.
        last = np.maximum.accumulate(np.where(moving > 0.5, np.arange(frames), 0))
        spot = middle[last] * [1.0, 0.0, 1.0]
        spot = gaussian_filter1d(spot, 2 * _REST * FPS, axis=0, mode="nearest")
        lowest = np.empty(frames)
        for stretch in stretches(frames):
            lowest[stretch] = planted(stretch)[:, FEET, 1].max(1)
        # How far the pose at rest is moved down or up to stand on the dance's floor.
        floor = np.array([0.0, np.percentile(lowest, 80) - self._rest[FEET, 1].max(), 0.0])

        def rested(stretch: slice) -> Floats:
            share = moving[stretch, None, None]
            rest = self._rest + spot[stretch, None] + floor
            blend = share * planted(stretch) + (1 - share) * rest
            return kinematics.with_bones(blend, self.bones) + self.home

        return Room(frames, rested)

    def _heard(
        self,
        song: Song,
        counts: Counts,
        form: Form,
        energy: float,
        genre: Floats,
        random: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the model is told of the music: MFCC and context of every pose in beat time."""
        music = self._music
        tempo = np.log(counts.tempo / 100)
        moods = np.repeat(random.standard_normal(len(counts) // PHRASE + 2), PHRASE)
        mood = gaussian_filter1d(moods, 2.0)[: len(counts)]
        # Dancers mark what ends and what begins.
        near = np.arange(len(counts))[:, None] - form.turns
        accent = _ACCENT * np.exp(-((near / _AROUND) ** 2) / 2).sum(1)
        loud = surge(count_energy(song.mfcc, counts))
        wish = _FAITHFUL * loud + np.sqrt(1 - _FAITHFUL**2) * mood
        if not counts.heard:
            wish = wish - _UNSURE
        vigour = (
            accent
            + (
                _VARIED * music.vigour_within * wish
                + music.vigour_at_tempo * (tempo - music.tempo_mean)
                + float(genre @ self._genre_vigour)
                + np.log(max(energy, 0.1))
                + _EAGER
            )
            / music.vigour_std
        )
        positions = np.arange(len(counts) * FRAMES) / FRAMES
        mfcc, phase, tempi = music_at(counts, positions, song.mfcc, FPS)
        # Wishes stay within what training has shown.
        each = np.clip(vigour, _CALMEST, _WILDEST).repeat(FRAMES)
        mfcc /= self._mfcc_std
        told = context(phase, 1.0, each, tempi, genre)
        return mfcc.astype(np.float32), told.astype(np.float32)

    def _given(self, held: Held | None, counts: Counts) -> _Given | None:
        """Held poses in beat time: of some rows, standardised, and which of it is known."""
        if held is None:
            return None
        positions = np.arange(len(counts) * FRAMES) / FRAMES
        places = counts.at(positions) * FPS
        # The song may begin, and what is given end, between two poses.
        halves = np.gradient(places) / 2

        def given(rows: NDArray[np.intp]) -> tuple[Floats, NDArray[np.bool_]]:
            at, half = places[rows], halves[rows, None]
            below, above = (
                held.known[np.clip(rounded, 0, len(held.known) - 1).astype(int)]
                for rounded in (np.floor(at), np.ceil(at))
            )
            inside = (at[:, None] >= -half) & (at[:, None] <= len(held.known) - 1 + half)
            values = (interpolate(held.channels, at) - self._mean) / self._std
            return values, below & above & inside

        return given

    def _phrases(
        self,
        mfcc: NDArray[np.float32],
        context: NDArray[np.float32],
        form: Form,
        given: _Given | None,
        random: np.random.Generator,
    ) -> Rows:
        """The whole dance in beat time, standardised: (T, CHANNELS)."""
        window, hop = self._counts * FRAMES, self._counts // 2 * FRAMES
        first = form.first % (self._counts // 2)
        # What comes back are phrases of eight counts.
        returning = form.returning if hop == PHRASE * FRAMES else form.returning[:0]
        length = len(mfcc)
        dance = Rows(kinematics.CHANNELS)
        phrases: list[NDArray[np.float32]] = []
        times = np.zeros(len(returning), int)
        found = None
        # The first window ends with the first phrase, so that every window adds one.
        for number, start in enumerate(range(first * FRAMES - hop, max(length - hop, 1), hop)):
            # The first and the last row are repeated.
            rows = np.clip(np.arange(start, start + window), 0, length - 1)
            known = np.zeros((window, kinematics.CHANNELS), np.float32)
            mask = np.zeros_like(known)
            if given is not None:
                values, flags = given(rows)
                mask[flags], known[flags] = 1, values[flags]
            if found is not None:
                mask[:hop], known[:hop] = 1, found[hop:]
            conditions = {"mask": mask[None], "mfcc": mfcc[rows][None]}
            conditions["context"] = context[rows][None]
            draft = None
            if number < len(returning) and (earlier := int(returning[number])) >= 0:
                draft = phrases[earlier]
                times[earlier] += 1
                if times[earlier] % 2 == 0:
                    draft = self._mirrored(draft)
            found = self._sample(known, conditions, random, draft)
            for _ in range(_TRIES):
                # What was danced twice is not danced a third time.
                last = [*phrases[-2:], found[hop:]]
                if len(last) < 3 or not all(map(self._alike, last[:-1], last[1:])):
                    break
                found = self._sample(known, conditions, random, None)
            phrases.append(found[hop:])
            if number == 0:
                dance.append(found[-start if start < 0 else 0 : hop])
            dance.append(found[hop:][: length - start - hop])
        return dance

    def _alike(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
        """Whether the upper body does the same in two phrases, mirrored or not."""
        return any(
            np.square((each - other)[:, kinematics.UPPER_CHANNELS]).mean() < _SAME**2
            for each in (one, self._mirrored(one))
        )

    def _mirrored(self, dance: NDArray[np.float32]) -> NDArray[np.float32]:
        """A standardised dance, left for right."""
        order, signs = self._mirror
        turned = (dance * self._std + self._mean)[:, order] * signs
        mirrored: NDArray[np.float32] = ((turned - self._mean) / self._std).astype(np.float32)
        return mirrored

    def _sample(
        self,
        known: NDArray[np.float32],
        conditions: dict[str, Any],
        random: np.random.Generator,
        draft: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """One window: Euler's steps along the velocity from noise to the dance.

        Args:
            draft: what the window's last rows are to be like. It is followed from some way along
                the line from noise to it (Meng et al., SDEdit, ICLR 2022).
        """
        mask = conditions["mask"][0] > 0
        point = random.standard_normal(known.shape).astype(np.float32)
        first = 0
        if draft is not None:
            first = round(_LIKENESS * STEPS)
            along = first / STEPS
            point[-len(draft) :] = along * draft + (1 - along) * point[-len(draft) :]
        for step in range(first, STEPS):
            point = np.where(mask, known, point)
            found = self._guess(point, step / STEPS, conditions)
            point += (found - point) / (STEPS - step)
        return np.where(mask, known, point)

    def _guess(
        self, point: NDArray[np.float32], time: float, conditions: dict[str, Any]
    ) -> NDArray[Any]:
        """What the dance will be, given a point (T, CHANNELS) on the line from noise to it.

        Of a genre it is taken further away from what it would be of none (Ho and Salimans,
        Classifier-Free Diffusion Guidance, 2021).
        """
        wanted = conditions["context"]
        rows = [wanted]
        if wanted[..., CONTEXT:].any():
            rows.append(np.concatenate([wanted[..., :CONTEXT], 0 * wanted[..., CONTEXT:]], -1))
        inputs = {name: np.repeat(value, len(rows), 0) for name, value in conditions.items()}
        inputs["context"] = np.concatenate(rows)
        inputs["point"] = np.repeat(point[None], len(rows), 0)
        inputs["time"] = np.full(len(rows), time, np.float32)
        found = self._run(inputs)[0]
        if len(rows) == 1:
            return found[0]
        return found[1] + np.float32(GUIDANCE) * (found[0] - found[1])

    def _moving(self, song: Song, frames: int) -> Floats:
        """(frames,) 1 where there is music to dance to, 0 in silence, smooth in between."""
        sounds = sounding(song.mfcc, frames)
        width = np.ones(round(_SHORTEST_REST * FPS))
        # Padded, so that the song's ends are not taken for silence.
        sounds = np.pad(sounds, len(width), "edge")
        sounds = binary_opening(binary_closing(sounds, width), width[: len(width) // 2])
        smooth = gaussian_filter1d(sounds.astype(np.float64), _REST * FPS, mode="nearest")
        return smooth[len(width) : len(width) + frames]


def _joined(dance: Rows, low: int, high: int) -> NDArray[np.float32]:
    """Rows low to high of a dance, without the small steps that it takes between two counts.

    The model makes each count as a whole, so that its error jumps where the next begins. What the
    jump is more than the speed around it is shared out to the poses on both sides.
    """
    # Whole counts, with the neighbours that have a share.
    begin, end = max(low // FRAMES - 1, 0) * FRAMES, (high // FRAMES + 2) * FRAMES
    rows = dance[begin:end]
    first = np.arange(FRAMES, len(rows) - 2, FRAMES)
    speed = (rows[first - 1] - rows[first - 2] + rows[first + 1] - rows[first]) / 2
    jump = rows[first] - rows[first - 1] - speed
    for away in range(_SHARED):
        part = 0.5 * np.cos(np.pi / 2 * (away + 0.5) / _SHARED) ** 2 * jump
        rows[first - 1 - away] += part
        rows[first + away] -= part
    return rows[low - begin : high - begin]


_SHARED = 4  # poses on either side


def _between(dance: Rows, at: Floats) -> Floats:
    """What a dance is, joined, at a stretch of rising fractional rows, by cubic splines."""
    low = max(int(at[0]) - _MARGIN, 0)
    near = gaussian_filter1d(
        _joined(dance, low, int(at[-1]) + _MARGIN), _SMOOTHING, axis=0, mode="nearest"
    )
    between: Floats = CubicSpline(np.arange(len(near)), near)(at - low)
    return between


_SMOOTHING = 0.6  # rows: standard deviation of a Gaussian that takes the trembling away
_MARGIN = 12  # rows of the dance; a spline forgets within some
