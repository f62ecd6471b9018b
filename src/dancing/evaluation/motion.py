"""How well a bundle dances: its motion model beside real dance and beside what is no dance."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancing.body.poses import PoseSequence, body_frame, interpolate
from dancing.bundle import DEFAULT, Bundle, embedded
from dancing.data.dataset import Clip, source_hash
from dancing.errors import DancingError
from dancing.evaluation import plots
from dancing.evaluation.clips import (
    command,
    file_names,
    group,
    mean_estimate,
    opened,
    ratio_estimate,
    trained_on,
    unseen,
)
from dancing.evaluation.table import Column, Estimate, Report, Row
from dancing.files import MEDIA_SUFFIXES, expand
from dancing.listener import Listener
from dancing.media import FPS, SAMPLE_RATE
from dancing.metrics import (
    BeatScore,
    beat_score,
    diversity,
    energy_distance,
    foot_sliding,
    frechet_distance,
    geometric_features,
    jerk,
    kinetic_features,
    motion_magnitude,
    standardize,
)
from dancing.motion.choreographer import Choreographer
from dancing.music.song import Song, load_song

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEEDS = 3
"""Dances a clip and row by default."""
WINDOW = 10.0
"""Seconds of a window; sets of windows are compared as distributions."""
SHORTEST = 1.0
"""Seconds below which a clip is left out."""
HALVINGS = 12
"""Random halvings of the clips over which distances are averaged."""
TREMBLE = 0.002
"""Standard deviation of a statue's sway in torso lengths: about a millimetre."""
SWAY = 0.083
"""Standard deviation in seconds of the Gaussian that smooths it."""

COLUMNS = (
    Column("recall", "recall", 3),
    Column("precision", "precision", 3),
    Column("excess", "excess", 3, interval=True),
    Column("energy_kinetic", "E_k", 2),
    Column("energy_geometric", "E_g", 2),
    Column("fid_kinetic", "FID_k", 1),
    Column("fid_geometric", "FID_g", 1),
    Column("diversity", "diversity", 2),
    Column("magnitude_ratio", "motion", 2),
    Column("jerk_ratio", "jerk", 2),
    Column("foot_sliding", "sliding", 3),
)
_PLOTTED = 3


@dataclass(frozen=True)
class _Piece:
    """A clip or a song to dance to, with what its dances are scored against.

    `poses` are real; for a song without a real dance a held dummy that is never measured.
    """

    name: str
    group: str
    origins: frozenset[str]
    poses: PoseSequence
    song: Song
    beats: Floats
    windows: int

    @property
    def frames(self) -> int:
        return max(1, round(self.song.duration * FPS))


@dataclass(frozen=True)
class _Measured:
    beats: BeatScore
    magnitude: float
    jerk: float
    sliding: float
    kinetic: Floats
    geometric: Floats


_Dance = Callable[[_Piece, np.random.Generator, int], tuple[PoseSequence, "Floats"]]
"""Poses to a piece, and the beats to score them against; told a generator and a seed."""


def evaluate(
    bundle: str | Path | Bundle,
    data: Sequence[str | Path],
    *,
    train_data: Sequence[str | Path] = (),
    songs: str | Path | None = None,
    seeds: int = SEEDS,
    seed: int = 0,
    include_training: bool = False,
    plot: str | Path | None = None,
    listener: Listener | None = None,
) -> Report:
    """Score a bundle's motion model on the clips with music of datasets.

    The choreographer hears the music features and the beats of the clip. It is scored against the
    clip's beats too, or against the exact ones of `songs`. Distances compare windows of 10 s (or
    whole clips, if shorter) of one half of the songs with the row's dances to the other half,
    averaged over random halvings, so that they have the same n as the floor, which is that of
    real dance.

    Args:
        bundle: its motion model is scored, and the default dancer's beside it if that differs.
        data: dataset files; clips without music features or below 1 s are left out.
        train_data: dataset files of real training clips, for the scale of the features and the
            row 'random training clip'. Default: the clips of `data` themselves.
        songs: a folder of songs. They are danced to as `dancing generate` does, for a row of
            their own without distances; a song's exact `beats` (seconds), in a .json of the same
            name beside it, replace the tracked ones when scoring, also for the clips of that song.
        seeds: dances a clip and row.
        seed: of everything random; the same seed gives the same table.
        include_training: score clips that the bundle was trained on too; the table says so.
        plot: a picture to write: speed and beats of some clips.
        listener: told of progress.

    Raises:
        DancingError: when bundle or data cannot be used, or no clip is left to score.
    """
    listener = listener or Listener()
    plots.check(plot)
    bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
    choreographer = Choreographer(bundle)
    files = [] if songs is None else expand([songs], MEDIA_SUFFIXES, "songs")
    exact = _exact_beats(files)
    with opened(data) as clips, opened(train_data) as training:
        usable = [clip for clip in clips if clip.mfcc is not None and clip.duration >= SHORTEST]
        if not usable:
            raise DancingError(
                f"{', '.join(map(str, data))}: no clip has music features (MFCC) and lasts 1 s"
            )
        kept, facts, notes = unseen(usable, bundle, "motion", include_training)
        if len(usable) < len(clips):
            notes.append(f"left out: {len(clips) - len(usable)} clips without music, or below 1 s")
        pieces = [_piece(clip, exact) for clip in kept]
        # As in training: clips without music count only where there are no others.
        training = [clip for clip in training if clip.mfcc is not None] or training
        known = [(_poses(clip), clip.origins) for clip in training if clip.duration >= SHORTEST]
    pool = known or [(piece.poses, piece.origins) for piece in pieces]
    notes.append(
        "features on the scale of "
        + ("the training clips" if known else "these clips, as no training data was given")
    )
    stage = _Stage(pieces, pool, seed)

    rows: dict[str, list[list[_Measured]]] = {}
    dances: dict[str, tuple[_Dance, int]] = {
        "real": (stage.real, 1),
        "real, other song": (stage.shuffled, seeds),
        "statue": (stage.statue, seeds),
        "mean pose": (stage.mean_pose, 1),
        "random training clip": (stage.random_clip, seeds),
        "smoothed noise": (stage.noise, seeds),
    }
    if not stage.others:
        del dances["real, other song"]
        notes.append("no row 'real, other song': there is only one song")
    if any(not stage.foreign(piece) for piece in pieces):
        del dances["random training clip"]
        notes.append("no row 'random training clip': there are no clips of another song")
    else:
        notes.append(
            "random training clip: a stretch of a dance to another song, of "
            + ("the training data" if known else "these clips, as no training data was given")
        )
    model = str(facts["model"])
    dances[model] = (_dancing(choreographer), seeds)
    default, note = _default(bundle, pieces, include_training)
    notes += note
    if default is not None:
        name = f"{default.bundle.stage('motion').model} (default)"
        dances[name] = (_dancing(default), seeds)
    total = sum(repeats for _, repeats in dances.values()) * len(pieces)
    done = 0
    for number, (name, (dance, repeats)) in enumerate(dances.items()):
        rows[name] = []
        for repeat in range(repeats):
            measured = []
            for index, piece in enumerate(pieces):
                generator = np.random.default_rng([seed, number, repeat, index])
                poses, beats = dance(piece, generator, seed + repeat)
                measured.append(_measure(poses, beats, piece.windows, seed))
                done += 1
                listener.progress("dancing", done, total)
            rows[name].append(measured)

    distances = _Distances(pieces, rows["real"][0], known or None, seed)
    notes += distances.notes
    real = rows["real"][0]
    table = [
        _row(name, pieces, found, real, distances, seed, of_poses=name != "real, other song")
        for name, found in rows.items()
    ]
    table.insert(1, Row("floor: real to real", distances.floor(), []))
    if files:
        heard = [_song_piece(file, exact) for file in files]
        new = [p for p in heard if include_training or not p.origins & trained_on(bundle, "motion")]
        if len(new) < len(heard):
            notes.append(f"left out: {len(heard) - len(new)} songs, the bundle was trained on them")
        if new:
            found = []
            for repeat in range(seeds):
                measured = []
                for index, piece in enumerate(new):
                    poses = choreographer(piece.song, seed + repeat)
                    measured.append(_measure(poses, piece.beats, 0, seed))
                    listener.progress("songs", repeat * len(new) + index + 1, seeds * len(new))
                found.append(measured)
            name = f"{model}, songs of {Path(songs or '').name}"
            table.append(_row(name, new, found, real, None, seed, of_poses=True))
            exactly = sum(p.group in exact for p in new)
            notes.append(
                f"row '{name}': {len(new)} songs, heard as 'dancing generate' does, "
                f"{exactly} of them scored against exact beats, the others against tracked ones"
            )
    without = sum(not len(piece.beats) for piece in pieces)
    if without:
        notes.append(f"{without} clips have no beats and do not count in recall to excess")
    if plot is not None:
        _plot(plot, pieces, rows, model, choreographer, seed)
    facts |= {
        "command": command(
            "motion",
            bundle,
            data,
            train_data,
            songs=None if songs is None else Path(songs),
            seeds=None if seeds == SEEDS else seeds,
            seed=seed or None,
            include_training=include_training,
        ),
        "data": file_names(data),
        "train_data": file_names(train_data),
        "seed": seed,
        "seeds": seeds,
        "seconds": round(sum(piece.poses.duration for piece in pieces), 1),
        "windows": sum(piece.windows for piece in pieces),
        "window_seconds": WINDOW,
    }
    title = (
        f"motion of {facts['bundle']}: {facts['clips']} clips of {facts['songs_or_sources']} songs "
        f"or sources, {facts['windows']} windows of {WINDOW:g} s, {seeds} dances a clip"
    )
    notes.append(
        "intervals by resampling songs; E and FID between one half of the songs and the other, "
        "to be compared with the floor; they and diversity have no interval; "
        "motion and jerk: generated / real"
    )
    return Report(title, facts, COLUMNS, table, notes)


class _Stage:
    """What is no model's dance: each method is a `_Dance`."""

    def __init__(
        self,
        pieces: Sequence[_Piece],
        pool: Sequence[tuple[PoseSequence, frozenset[str]]],
        seed: int,
    ) -> None:
        self._pieces = pieces
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

    def foreign(self, piece: _Piece) -> list[PoseSequence]:
        """Real clips of other songs and sources, those that last as long if there are any."""
        found = [poses for poses, origins in self._pool if not origins & piece.origins]
        return [poses for poses in found if poses.duration >= piece.song.duration] or found

    def real(self, piece: _Piece, _: np.random.Generator, __: int) -> tuple[PoseSequence, Floats]:
        return piece.poses, piece.beats

    def shuffled(
        self, piece: _Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        others = self._others[piece.name]
        return piece.poses, others[generator.integers(len(others))].beats

    def statue(
        self, piece: _Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        """The clip's first pose, held, with a sway of about a millimetre."""
        pose = _body(piece.poses)[0]
        sway = _smooth_noise(generator, piece.frames, np.full(len(pose), SWAY))
        return _in_body_frame(pose + TREMBLE * sway), piece.beats

    def mean_pose(
        self, piece: _Piece, _: np.random.Generator, __: int
    ) -> tuple[PoseSequence, Floats]:
        return _in_body_frame(np.repeat(self._mean[None], piece.frames, 0)), piece.beats

    def random_clip(
        self, piece: _Piece, generator: np.random.Generator, _: int
    ) -> tuple[PoseSequence, Floats]:
        """A stretch of a real dance to something else, there and back where it is too short."""
        candidates = self.foreign(piece)
        poses = candidates[generator.integers(len(candidates))]
        wanted = max(1, round(piece.song.duration * poses.fps))
        start = int(generator.integers(max(1, len(poses) - wanted + 1)))
        poses = poses[start : start + wanted]
        order = np.pad(np.arange(len(poses)), (0, wanted - len(poses)), mode="reflect")
        visibility = None if poses.visibility is None else poses.visibility[order]
        stretch = PoseSequence(poses.landmarks[order], poses.fps, visibility, aspect=poses.aspect)
        return stretch, piece.beats

    def noise(
        self, piece: _Piece, generator: np.random.Generator, _: int
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


class _Distances:
    """Distances between the windows of one half of the songs and a row's of the other half."""

    def __init__(
        self,
        pieces: Sequence[_Piece],
        real: Sequence[_Measured],
        training: Sequence[tuple[PoseSequence, frozenset[str]]] | None,
        seed: int,
    ) -> None:
        scale = [_features_only(poses) for poses, _ in training or ()] or list(real)
        self._scale = {
            key: standardize(np.concatenate([getattr(m, key) for m in scale]))
            for key in ("kinetic", "geometric")
        }
        self._real = real
        self.notes: list[str] = []
        window_group = np.repeat([p.group for p in pieces], [p.windows for p in pieces])
        names = np.unique(window_group)
        generator = np.random.default_rng([seed, 1])
        half = len(window_group) // 2
        self._halves = []
        for _ in range(HALVINGS if half else 0):
            # By songs, so that at most one song has windows in both halves.
            rank = {name: k for k, name in enumerate(generator.permutation(names))}
            order = np.argsort([rank[name] for name in window_group], kind="stable")
            self._halves.append((order[:half], order[-half:]))
        for key, title in (("kinetic", "FID_k"), ("geometric", "FID_g")):
            dimensions = self.features(real, key).shape[1]
            if half < 10 * dimensions:
                self.notes.append(
                    f"{title} is refused: {dimensions} dimensions need {10 * dimensions} windows "
                    f"in each half, there are {half}"
                )

    def features(self, measured: Sequence[_Measured], key: str) -> Floats:
        """(windows, d), z-scored."""
        return self._scale[key](np.concatenate([getattr(m, key) for m in measured]))

    def floor(self) -> dict[str, Estimate | None]:
        """What real dance itself has."""
        return self.figures([self._real])

    def figures(self, found: Sequence[Sequence[_Measured]]) -> dict[str, Estimate | None]:
        """Figures of a row, given its measures by seed and piece."""
        figures: dict[str, Estimate | None] = {}
        for key in ("kinetic", "geometric"):
            real = self.features(self._real, key)
            rows = [self.features(measured, key) for measured in found]
            energy, frechet = [], []
            for number, (one, other) in enumerate(self._halves):
                there = rows[number % len(rows)][other]
                energy.append(energy_distance(real[one], there))
                if len(one) >= 10 * real.shape[1]:
                    frechet.append(frechet_distance(real[one], there))
            figures[f"energy_{key}"] = Estimate(float(np.mean(energy))) if energy else None
            figures[f"fid_{key}"] = Estimate(float(np.mean(frechet))) if frechet else None
            if key == "kinetic" and self._halves:
                figures["diversity"] = Estimate(float(np.mean([diversity(row) for row in rows])))
        return figures


def _row(
    name: str,
    pieces: Sequence[_Piece],
    found: Sequence[Sequence[_Measured]],
    real: Sequence[_Measured],
    distances: _Distances | None,
    seed: int,
    *,
    of_poses: bool,
) -> Row:
    """A row of the table; `of_poses` is False where the poses are those of the real row."""
    figures: dict[str, Estimate | None] = {}
    scored = [k for k, piece in enumerate(pieces) if len(piece.beats)]
    for key in ("recall", "precision", "excess"):
        values = [float(np.mean([getattr(m[k].beats, key) for m in found])) for k in scored]
        figures[key] = mean_estimate(values, [pieces[k].group for k in scored], seed)
    if of_poses:
        groups = [piece.group for piece in pieces]

        def per_piece(key: str) -> list[float]:
            measured = [[float(getattr(m, key)) for m in row] for row in found]
            return list(np.mean(measured, axis=0))

        for key in ("magnitude", "jerk"):
            references = [float(getattr(m, key)) for m in real]
            if distances is None:
                # Songs without a real dance of their own.
                references = [float(np.mean(references))] * len(pieces)
            figures[f"{key}_ratio"] = ratio_estimate(per_piece(key), references, groups, seed)
        figures["foot_sliding"] = mean_estimate(per_piece("sliding"), groups, seed)
        if distances is not None:
            figures |= distances.figures(found)
    if name == "real":
        # It is the set that is compared with: its distance is the floor, a row of its own.
        for key in ("energy_kinetic", "energy_geometric", "fid_kinetic", "fid_geometric"):
            figures[key] = None
    details = [
        {
            "clip": piece.name,
            "dance": number,
            "recall": m.beats.recall,
            "precision": m.beats.precision,
            "chance": m.beats.chance,
            "excess": m.beats.excess,
            "music_beats": m.beats.music_beats,
            "motion_beats": m.beats.motion_beats,
            "magnitude": m.magnitude,
            "jerk": m.jerk,
            "foot_sliding": m.sliding,
        }
        for number, row in enumerate(found)
        for piece, m in zip(pieces, row, strict=True)
    ]
    return Row(name, figures, details)


def _measure(poses: PoseSequence, beats: Floats, windows: int, seed: int) -> _Measured:
    seen: dict[str, Any] = {"aspect": poses.aspect, "visibility": poses.visibility}
    kinetic, geometric = _window_features(poses, windows)
    return _Measured(
        beat_score(poses.landmarks, poses.fps, beats, seed=seed, **seen),
        motion_magnitude(poses.landmarks, poses.fps, **seen),
        jerk(poses.landmarks, poses.fps, **seen),
        foot_sliding(poses.landmarks, poses.fps, **seen),
        kinetic,
        geometric,
    )


def _window_features(poses: PoseSequence, windows: int) -> tuple[Floats, Floats]:
    """Kinetic (windows, 51) and geometric (windows, 15) features."""
    kinetic, geometric = [], []
    for number in range(windows):
        start, stop = (round(k * WINDOW * poses.fps) for k in (number, number + 1))
        part = poses[start:stop]
        seen: dict[str, Any] = {"aspect": part.aspect, "visibility": part.visibility}
        kinetic.append(kinetic_features(part.landmarks, part.fps, **seen))
        geometric.append(geometric_features(part.landmarks, part.fps, **seen))
    return np.array(kinetic), np.array(geometric)


def _features_only(poses: PoseSequence) -> _Measured:
    nothing = BeatScore(0.0, 0.0, 0.0, 0.0, 0, 0)
    return _Measured(nothing, 0.0, 0.0, 0.0, *_window_features(poses, _windows(poses.duration)))


def _windows(duration: float) -> int:
    return max(1, int(duration / WINDOW + 1e-6))


def _piece(clip: Clip, exact: dict[str, Floats]) -> _Piece:
    song = song_of(clip)
    start = float(clip.attributes.get("start", 0.0))
    known = [exact[key] - start for key in sorted(clip.origins) if key in exact]
    beats = known[0] if known else np.asarray(song.beats, np.float64)
    inside = (beats >= 0) & (beats < clip.duration)
    return _Piece(
        clip.name,
        group(clip),
        clip.origins,
        _poses(clip),
        song,
        beats[inside],
        _windows(clip.duration),
    )


def song_of(clip: Clip) -> Song:
    """A clip's music as the choreographer wants it: a Song without its sound.

    Features at 30 rows a second, and the beats and downbeats that the clip has.
    """
    rows = clip.features_at_poses()
    if rows is None:
        raise DancingError(f"clip '{clip.name}' has no music features")
    frames = max(1, round(clip.duration * FPS))
    beats = np.zeros(0) if clip.beats is None else clip.beats
    between = np.diff(beats)
    return Song(
        path=Path(clip.source),
        audio=np.zeros(0, np.float32),
        sample_rate=SAMPLE_RATE,
        mfcc=interpolate(rows, np.arange(frames) / FPS * clip.fps),
        beats=beats,
        downbeats=np.zeros(0) if clip.downbeats is None else clip.downbeats,
        tempo=60 / float(np.median(between)) if len(between) and np.median(between) > 0 else 0.0,
        duration=clip.duration,
    )


def _song_piece(file: Path, exact: dict[str, Floats]) -> _Piece:
    song = load_song(file)
    key = source_hash(file.name)
    nobody = PoseSequence(np.zeros((1, 33, 2), np.float32))
    beats = exact.get(key, song.beats)
    return _Piece(file.name, key, frozenset({key}), nobody, song, beats, 0)


def _exact_beats(songs: Sequence[Path]) -> dict[str, Floats]:
    """Beats in seconds by the hash of the song's name, of the songs with a .json beside."""
    found = {}
    for song in songs:
        path = song.with_suffix(".json")
        if not path.is_file():
            continue
        try:
            beats = np.array(json.loads(path.read_text(encoding="utf-8"))["beats"], np.float64)
            if beats.ndim != 1 or not np.isfinite(beats).all():
                raise ValueError("they are not a list of seconds")
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DancingError(f"{path}: holds no usable 'beats' ({error})") from error
        found[source_hash(song.name)] = beats
    return found


def _default(
    bundle: Bundle, pieces: Sequence[_Piece], include_training: bool
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


def _dancing(choreographer: Choreographer) -> _Dance:
    def dance(piece: _Piece, _: np.random.Generator, seed: int) -> tuple[PoseSequence, Floats]:
        return choreographer(piece.song, seed), piece.beats

    return dance


def _poses(clip: Clip) -> PoseSequence:
    poses = clip.poses
    try:
        body_frame(poses.landmarks, poses.aspect)
    except ValueError as error:
        raise DancingError(f"clip '{clip.name}' cannot be scored: {error}") from error
    return poses


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


def _plot(
    path: str | Path,
    pieces: Sequence[_Piece],
    rows: dict[str, list[list[_Measured]]],
    model: str,
    choreographer: Choreographer,
    seed: int,
) -> None:
    """Speed and beats of clips spread over the data, real and generated."""
    panels = []
    for k in np.unique(np.linspace(0, len(pieces) - 1, _PLOTTED).round().astype(int)):
        piece = pieces[k]
        panels.append(
            plots.SpeedPanel(
                piece.name,
                piece.beats,
                {
                    f"real, excess {rows['real'][0][k].beats.excess:.2f}": piece.poses,
                    f"{model}, excess {rows[model][0][k].beats.excess:.2f}": choreographer(
                        piece.song, seed
                    ),
                },
            )
        )
    plots.speeds(path, panels)
