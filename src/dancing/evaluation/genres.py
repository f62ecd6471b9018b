"""Whether dances look like the genre asked for, to a classifier trained on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dancing.body.poses import PoseSequence
from dancing.errors import DancingError
from dancing.evaluation.clips import group, mean_estimate, opened
from dancing.evaluation.dances import by
from dancing.evaluation.distances import WINDOW
from dancing.evaluation.pieces import Piece, genre_of, poses_of
from dancing.evaluation.table import Column, Estimate, Row, Table
from dancing.listener import Listener
from dancing.metrics import GenreClassifier, style_features
from dancing.motion.choreographer import Choreographer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.data.dataset import Clip

    Floats = NDArray[np.float64]

DANCED = 12
"""Songs danced to in each genre at most, spread over the data."""
_FEWEST = 3  # windows of a genre below which it cannot be learned


class _Known(NamedTuple):
    """Features of the windows (n, d) of a dance, what it is, and what it is not independent of."""

    features: Floats
    genre: str
    origins: frozenset[str]
    group: str


def table(
    choreographer: Choreographer,
    pieces: Sequence[Piece],
    data: Sequence[str | Path],
    train_data: Sequence[str | Path],
    seed: int,
    listener: Listener,
) -> tuple[Table, list[str]]:
    """What a classifier takes real dances and generated ones for.

    It is trained on the clips of the training data that name a genre, with or without music, and
    tested on those of the data that share no song or source with them. The model dances to the
    pieces in each genre that it and the classifier know.

    Returns:
        Rows by true or asked genre, with the share of dances that were taken for each; notes.

    Raises:
        DancingError: when the training data do not name two genres, or the data none of them.
    """
    with opened(train_data) as training:
        known = [_known(clip) for clip in training if genre_of(clip)]
    windows: dict[str, int] = {}
    for each in known:
        windows[each.genre] = windows.get(each.genre, 0) + len(each.features)
    learned = {genre for genre, count in windows.items() if count >= _FEWEST}
    known = [each for each in known if each.genre in learned]
    if len(learned) < 2:
        raise DancingError(
            "genres are told apart by clips that name theirs: give --train-data with at least two"
        )
    seen: frozenset[str] = frozenset().union(*(each.origins for each in known))
    with opened(data) as clips:
        tested = [
            _known(clip) for clip in clips if genre_of(clip) in learned and not clip.origins & seen
        ]
    if not tested:
        raise DancingError(
            "genres: no clip of the data names one of "
            f"{', '.join(sorted(learned))} and is of a song that the training data have not"
        )
    classifier = GenreClassifier(
        np.concatenate([each.features for each in known]),
        [each.genre for each in known for _ in each.features],
    )
    rows = _rows(
        "real", [(each.genre, classifier(each.features), each.group) for each in tested],
        classifier.genres, seed,
    )  # fmt: skip
    asked = [name for name in choreographer.genres if name in learned]
    notes = [
        f"genres: a classifier trained on {len(known)} real dances names those of "
        f"{len(tested)} others, and of generated ones; shares of dances"
    ]
    if asked:
        chosen = np.unique(np.linspace(0, len(pieces) - 1, DANCED).round().astype(int))
        found = []
        for number, genre in enumerate(asked):
            for done, k in enumerate(chosen):
                poses, _ = by(choreographer, genre)(pieces[k], np.random.default_rng(seed), seed)
                found.append((genre, classifier(_windows(poses)), pieces[k].group))
                total = len(asked) * len(chosen)
                listener.progress("genres", number * len(chosen) + done + 1, total)
        model = choreographer.bundle.stage("motion").model
        rows += _rows(model, found, classifier.genres, seed)
    else:
        notes.append("the model knows none of these genres: no rows of its dances by genre")
    columns = (
        Column("right", "right", 2, interval=True),
        Column("dances", "dances", 0),
        *(Column(genre, genre, 2) for genre in classifier.genres),
    )
    return Table("genres", "what dances are taken for", columns, rows), notes


def _known(clip: Clip) -> _Known:
    return _Known(_windows(poses_of(clip)), genre_of(clip), clip.origins, group(clip))


def _windows(poses: PoseSequence) -> Floats:
    """Features (n, d) of windows of 10 s, one every 5 s; of all of it, if that is shorter."""
    length, step = round(WINDOW * poses.fps), round(WINDOW / 2 * poses.fps)
    starts = range(0, max(1, len(poses) - length + 1), step)
    parts = [poses[start : start + length] for start in starts]
    return np.array(
        [
            style_features(part.landmarks, part.fps, aspect=part.aspect, visibility=part.visibility)
            for part in parts
        ]
    )


def _rows(
    name: str, found: Sequence[tuple[str, str, str]], genres: Sequence[str], seed: int
) -> list[Row]:
    """Rows of true or asked genre, of (that, what it was taken for, group); all of them first."""
    rows = []
    for genre in ["", *genres]:
        some = [each for each in found if genre in ("", each[0])]
        if not some:
            continue
        groups = [each[2] for each in some]
        taken = {
            other: Estimate(float(np.mean([each[1] == other for each in some]))) for other in genres
        }
        right = mean_estimate([float(each[0] == each[1]) for each in some], groups, seed)
        figures = {"right": right, "dances": Estimate(float(len(some))), **taken}
        rows.append(Row(f"{name}: {genre}" if genre else f"{name}, all", figures, []))
    return rows
