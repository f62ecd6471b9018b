"""How well a bundle dances: its motion model beside real dance and beside what is no dance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.evaluation import forms, genres, plots, vigour
from dancing.evaluation.clips import (
    command,
    file_names,
    mean_estimate,
    opened,
    ratio_estimate,
    trained_on,
    unseen,
)
from dancing.evaluation.dances import OTHER_SONG, REAL, Planned, RealDance, by, planned
from dancing.evaluation.distances import (
    WINDOW,
    Distances,
    Features,
    window_features,
    windows_in,
)
from dancing.evaluation.pieces import Piece, clip_piece, exact_beats, poses_of, song_piece
from dancing.evaluation.table import Column, Estimate, Report, Row
from dancing.files import MEDIA_SUFFIXES, expand
from dancing.listener import Listener
from dancing.metrics import (
    BeatScore,
    FootfallScore,
    beat_score,
    foot_sliding,
    footfall_score,
    jerk,
    motion_magnitude,
)
from dancing.motion.choreographer import Choreographer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEEDS = 3
"""Dances a clip and row by default."""
SHORTEST = 1.0
"""Seconds below which a clip is left out."""

COLUMNS = (
    Column("recall", "recall", 3),
    Column("precision", "precision", 3),
    Column("excess", "excess", 3, interval=True),
    Column("footfalls_on", "feet on", 3, interval=True),
    Column("footfall_distance_ms", "feet off ms", 0),
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
class _Measured:
    """What was found in one dance."""

    beats: BeatScore
    feet: FootfallScore
    magnitude: float
    jerk: float
    sliding: float
    features: Features
    use: vigour.Use
    shape: forms.Shape | None


def evaluate(
    bundle: str | Path | Bundle,
    data: Sequence[str | Path],
    *,
    train_data: Sequence[str | Path] = (),
    songs: str | Path | None = None,
    seeds: int = SEEDS,
    seed: int = 0,
    include_training: bool = False,
    by_genre: bool = False,
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
        by_genre: add a table of what genre dances look like; see `dancing.evaluation.genres`.
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
    exact = exact_beats(files)
    pieces, known, facts, notes = _select(bundle, data, train_data, exact, include_training)
    rows, found = planned(choreographer, pieces, known, seeds, include_training)
    notes += found
    measured = _dance(rows, pieces, seed, "dancing", listener)
    table, found = _table(pieces, measured, known, seed)
    notes += found
    dances = {name: rows for name, rows in measured.items() if name != OTHER_SONG}
    uses = {name: [[m.use for m in row] for row in rows] for name, rows in dances.items()}
    shapes = {name: [[m.shape for m in row] for row in rows] for name, rows in dances.items()}
    more = [
        vigour.table(pieces, uses, [str(facts["model"])], seed),
        forms.table(pieces, shapes, seed),
    ]
    if songs is not None:
        name = f"{facts['model']}, songs of {file_names([songs])[0]}"
        new, found = _new_songs(files, exact, bundle, include_training, name)
        notes += found
        danced = _dance({name: Planned(by(choreographer), seeds)}, new, seed, "songs", listener)
        if new:
            real = measured[REAL][0]
            table.append(_row(name, new, danced[name], real, None, seed, of_poses=True))
            groups = [piece.group for piece in new]
            new_uses = [[m.use for m in row] for row in danced[name]]
            new_shapes = [[m.shape for m in row] for row in danced[name]]
            more[0].rows.append(vigour.row_of(name, new_uses, uses[REAL][0], groups, seed))
            more[1].rows.append(forms.row_of(name, new_shapes, groups, seed))
    if by_genre:
        confusions, found = genres.table(choreographer, pieces, data, train_data, seed, listener)
        more.append(confusions)
        notes += found
    notes += _reading(pieces)
    if plot is not None:
        _plot(plot, pieces, measured, str(facts["model"]), choreographer, seed)
    facts["command"] = command(
        "motion",
        [bundle],
        data,
        train_data,
        songs=None if songs is None else Path(songs),
        seeds=None if seeds == SEEDS else seeds,
        seed=seed or None,
        include_training=include_training,
        genres=by_genre,
    )
    facts |= {
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
    return Report(title, facts, COLUMNS, table, notes, tuple(more))


def _select(
    bundle: Bundle,
    data: Sequence[str | Path],
    train_data: Sequence[str | Path],
    exact: dict[str, Floats],
    include_training: bool,
) -> tuple[list[Piece], list[RealDance], dict[str, Any], list[str]]:
    """The clips to dance to, the dances of the training data; facts and notes on them."""
    with opened(data) as clips, opened(train_data) as training:
        usable = [clip for clip in clips if clip.mfcc is not None and clip.duration >= SHORTEST]
        if not usable:
            raise DancingError(
                f"{', '.join(map(str, data))}: no clip has music features (MFCC) and lasts 1 s"
            )
        kept, facts, notes = unseen(usable, bundle, "motion", include_training)
        if len(usable) < len(clips):
            notes.append(f"left out: {len(clips) - len(usable)} clips without music, or below 1 s")
        pieces = [clip_piece(clip, exact) for clip in kept]
        # As in training: clips without music count only where there are no others.
        training = [clip for clip in training if clip.mfcc is not None] or training
        known = [
            RealDance(poses_of(clip), clip.origins)
            for clip in training
            if clip.duration >= SHORTEST
        ]
    notes.append(
        "features on the scale of "
        + ("the training clips" if known else "these clips, as no training data was given")
    )
    return pieces, known, facts, notes


def _new_songs(
    files: Sequence[Path],
    exact: dict[str, Floats],
    bundle: Bundle,
    include_training: bool,
    row: str,
) -> tuple[list[Piece], list[str]]:
    """The songs that the bundle was not trained on, for the row of this name, and notes."""
    heard = [song_piece(file, exact) for file in files]
    sources = trained_on(bundle, "motion")
    new = [piece for piece in heard if include_training or not piece.origins & sources]
    notes = []
    if len(new) < len(heard):
        notes.append(f"left out: {len(heard) - len(new)} songs, the bundle was trained on them")
    if new:
        exactly = sum(piece.group in exact for piece in new)
        notes.append(
            f"row '{row}': {len(new)} songs, heard as 'dancing generate' does, "
            f"{exactly} of them scored against exact beats, the others against tracked ones"
        )
    return new, notes


def _reading(pieces: Sequence[Piece]) -> list[str]:
    """Notes on how the table is to be read."""
    notes = []
    without = sum(not len(piece.beats) for piece in pieces)
    if without:
        notes.append(f"{without} clips have no beats and do not count in recall to feet off")
    notes.append(
        "intervals by resampling songs; E and FID between one half of the songs and the other, "
        "to be compared with the floor; they and diversity have no interval; "
        "motion and jerk: generated / real"
    )
    notes.append(
        "vigour in metres and degrees where both dances have world landmarks, else in torso "
        "lengths of the picture; in the floor, flights and unfall are no ratios"
    )
    return notes


def _dance(
    rows: dict[str, Planned],
    pieces: Sequence[Piece],
    seed: int,
    progress: str,
    listener: Listener,
) -> dict[str, list[list[_Measured]]]:
    """What is measured in the dances of every row, by repeat and piece."""
    total = sum(row.repeats for row in rows.values()) * len(pieces)
    done = 0
    measured: dict[str, list[list[_Measured]]] = {name: [] for name in rows}
    for number, (name, row) in enumerate(rows.items()):
        for repeat in range(row.repeats):
            measured[name].append([])
            for index, piece in enumerate(pieces):
                # A dance's own generator, so that it does not depend on those before it.
                generator = np.random.default_rng([seed, number, repeat, index])
                poses, beats = row.dance(piece, generator, seed + repeat)
                measured[name][-1].append(_measure(poses, beats, piece, seed))
                done += 1
                listener.progress(progress, done, total)
    return measured


def _measure(poses: PoseSequence, beats: Floats, piece: Piece, seed: int) -> _Measured:
    seen: dict[str, Any] = {"aspect": poses.aspect, "visibility": poses.visibility}
    return _Measured(
        beat_score(poses.landmarks, poses.fps, beats, seed=seed, **seen),
        footfall_score(poses.landmarks, poses.fps, beats, **seen),
        motion_magnitude(poses.landmarks, poses.fps, **seen),
        jerk(poses.landmarks, poses.fps, **seen),
        foot_sliding(poses.landmarks, poses.fps, **seen),
        window_features(poses, piece.windows),
        vigour.measure(poses),
        forms.measure(poses, piece),
    )


def _table(
    pieces: Sequence[Piece],
    measured: dict[str, list[list[_Measured]]],
    known: Sequence[RealDance],
    seed: int,
) -> tuple[list[Row], list[str]]:
    """The rows of dances to the clips, with the floor, and notes on distances that are not there.

    Args:
        known: dances of the training data, whose features are the scale, or nothing.
    """
    real = measured[REAL][0]
    features = [m.features for m in real]
    scale = [window_features(dance.poses, windows_in(dance.poses.duration)) for dance in known]
    groups = [piece.group for piece in pieces]
    distances = Distances(features, groups, scale or features, seed)
    table = [
        _row(name, pieces, found, real, distances, seed, of_poses=name != OTHER_SONG)
        for name, found in measured.items()
    ]
    table.insert(1, Row("floor: real to real", distances.floor(), []))
    return table, distances.notes


def _row(
    name: str,
    pieces: Sequence[Piece],
    found: Sequence[Sequence[_Measured]],
    real: Sequence[_Measured],
    distances: Distances | None,
    seed: int,
    *,
    of_poses: bool,
) -> Row:
    """A row of the table.

    Args:
        found: what was measured, by repeat and piece.
        real: the same of the real dances; to these pieces, if there are `distances`.
        of_poses: False where the poses are those of the real row.
    """
    figures: dict[str, Estimate | None] = {}
    scored = [k for k, piece in enumerate(pieces) if len(piece.beats)]
    for key in ("recall", "precision", "excess"):
        values = [float(np.mean([getattr(m[k].beats, key) for m in found])) for k in scored]
        figures[key] = mean_estimate(values, [pieces[k].group for k in scored], seed)
    figures |= _footfalls(pieces, found, scored, seed)
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
            figures |= distances.figures([[m.features for m in row] for row in found])
    if name == REAL:
        # It is the set that is compared with: its distance is the floor, a row of its own.
        for key in ("energy_kinetic", "energy_geometric", "fid_kinetic", "fid_geometric"):
            figures[key] = None
    return Row(name, figures, _details(pieces, found))


def _footfalls(
    pieces: Sequence[Piece],
    found: Sequence[Sequence[_Measured]],
    scored: Sequence[int],
    seed: int,
) -> dict[str, Estimate | None]:
    """Figures of the feet, of the pieces with beats; who never steps has no distance."""
    on = [float(np.mean([row[k].feet.on for row in found])) for k in scored]
    steps = [(k, row[k].feet) for k in scored for row in found if row[k].feet.footfalls]
    distances = [1000 * feet.distance for _, feet in steps]
    return {
        "footfalls_on": mean_estimate(on, [pieces[k].group for k in scored], seed),
        "footfall_distance_ms": mean_estimate(distances, [pieces[k].group for k, _ in steps], seed),
    }


def _details(pieces: Sequence[Piece], found: Sequence[Sequence[_Measured]]) -> list[dict[str, Any]]:
    """The values of every dance."""
    return [
        {
            "clip": piece.name,
            "dance": number,
            "recall": m.beats.recall,
            "precision": m.beats.precision,
            "chance": m.beats.chance,
            "excess": m.beats.excess,
            "music_beats": m.beats.music_beats,
            "motion_beats": m.beats.motion_beats,
            "footfalls_on": m.feet.on,
            "footfall_distance_ms": 1000 * m.feet.distance,
            "footfall_lag_ms": 1000 * m.feet.lag,
            "footfalls": m.feet.footfalls,
            "magnitude": m.magnitude,
            "jerk": m.jerk,
            "foot_sliding": m.sliding,
        }
        for number, row in enumerate(found)
        for piece, m in zip(pieces, row, strict=True)
    ]


def _plot(
    path: str | Path,
    pieces: Sequence[Piece],
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
                    f"{REAL}, excess {rows[REAL][0][k].beats.excess:.2f}": piece.poses,
                    f"{model}, excess {rows[model][0][k].beats.excess:.2f}": choreographer(
                        piece.song, seed
                    ),
                },
            )
        )
    plots.speeds(path, panels)
