"""How vigorous dances are and how they use the body, against real dance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dancing.body.poses import PoseSequence, body_frame
from dancing.evaluation.clips import mean_estimate, ratio_estimate
from dancing.evaluation.dances import REAL
from dancing.evaluation.pieces import Piece
from dancing.evaluation.table import Column, Estimate, Row, Table
from dancing.metrics import BodyUse, body_use, in_the_room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RATIOS = ("hands", "feet", "hips", "turning", "hip_height", "lifted", "airborne")
"""What is compared as generated / real."""
COLUMNS = (
    *(Column(key, key.replace("_", " "), 2) for key in RATIOS),
    Column("sunk", "in the floor", 3),
    Column("flights", "flights / min", 1),
    Column("unfall", "unfall", 2),
)
UNITS = "real: m, s, degrees"
TORSOS = "real: torso lengths, s"


class Use(NamedTuple):
    """How a dance uses the body: in the room, where its poses allow that, and in the picture."""

    room: BodyUse | None
    picture: BodyUse
    minutes: float


def measure(poses: PoseSequence) -> Use:
    """What is found in one dance."""
    room = None
    if poses.world is not None:
        points = in_the_room(poses.landmarks, poses.world, poses.fps, aspect=poses.aspect)
        room = body_use(points, poses.fps)
    picture = body_use(body_frame(poses.landmarks, poses.aspect), poses.fps)
    return Use(room, picture, poses.duration / 60)


def table(
    pieces: Sequence[Piece],
    rows: dict[str, list[list[Use]]],
    by_genre: Sequence[str],
    seed: int,
) -> Table:
    """Ratios of every row to the real dances.

    Args:
        rows: what was measured, by name of the row, repeat and piece; one is `REAL`.
        by_genre: rows that are shown for each genre of the clips too, if there are several.
    """
    genres = sorted({piece.genre for piece in pieces} - {""})
    found = []
    for genre in ["", *(genres if len(genres) > 1 else [])]:
        members = [k for k, piece in enumerate(pieces) if genre in ("", piece.genre)]
        groups = [pieces[k].group for k in members]
        real = [rows[REAL][0][k] for k in members]
        for name, dances in rows.items():
            if name == REAL or not genre or name in by_genre:
                some = [[repeat[k] for k in members] for repeat in dances]
                row = row_of(name, some, real, groups, seed)
                found.append(Row(f"{row.name}, {genre}", row.figures, []) if genre else row)
    return Table("vigour", "vigour and body use, generated / real", COLUMNS, found)


def row_of(
    name: str,
    dances: Sequence[Sequence[Use]],
    real: Sequence[Use],
    groups: Sequence[str],
    seed: int,
) -> Row:
    """One row: ratios to the real dances, or what these have.

    Args:
        dances: what was measured, by repeat and piece.
        real: of the real dance to each piece; if they are to others, their mean counts.
        groups: of each piece.
    """
    every = [use for repeat in dances for use in repeat]
    in_room = all(use.room is not None for use in [*every, *real])
    figures: dict[str, Estimate | None] = {}
    for key in RATIOS:
        values = [_values(repeat, key, in_room) for repeat in dances]
        references = _values(real, key, in_room)
        if np.isnan(references).any():
            continue
        if name == REAL:
            figures[key] = mean_estimate(list(references), groups, seed)
            continue
        if len(references) != len(groups):
            references = np.full(len(groups), references.mean())
        figures[key] = ratio_estimate(list(np.mean(values, 0)), list(references), groups, seed)
    if all(use.room is not None for use in every):
        rooms = [use.room for use in every if use.room is not None]
        member = [group for _ in dances for group in groups]
        flights = [float(use.flights) for use in rooms]
        unfalls = [use.flights * (use.unfall or 0.0) for use in rooms]
        figures |= {
            "sunk": mean_estimate([use.sunk or 0.0 for use in rooms], member, seed),
            "flights": ratio_estimate(flights, [use.minutes for use in every], member, seed),
            "unfall": ratio_estimate(unfalls, flights, member, seed),
        }
    shown = (UNITS if in_room else TORSOS) if name == REAL else name
    return Row(shown, figures, [_detail(use) for use in every])


def _values(uses: Sequence[Use], key: str, in_room: bool) -> Floats:
    """(n,) of the room or of the picture; NaN for what the picture does not show."""
    chosen = [use.room if in_room else use.picture for use in uses]
    return np.array([getattr(use, key) for use in chosen], np.float64)  # None becomes NaN


def _detail(use: Use) -> dict[str, Any]:
    """The values of one dance, in metres if it is known in the room, else in torso lengths."""
    return {"in_room": use.room is not None, **vars(use.room or use.picture)}
