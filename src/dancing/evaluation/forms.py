"""Whether the form of dances follows that of the music, and how much they repeat themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dancing.body.poses import PoseSequence
from dancing.evaluation.clips import mean_estimate
from dancing.evaluation.pieces import Piece
from dancing.evaluation.table import Column, Estimate, Row, Table
from dancing.metrics import (
    Form,
    block_distances,
    block_edges,
    form,
    longest_run,
    patterns,
    sound_distances,
)
from dancing.music.counts import count

COLUMNS = (
    Column("form", "form", 3, interval=True),
    Column("form_shifted", "form, shifted", 3),
    Column("blocks", "eights", 1),
    Column("patterns", "patterns", 2),
    Column("longest_run", "longest run", 0),
)


class Shape(NamedTuple):
    """Of one dance: the form against the music's, whole blocks of eight counts, how many of them
    differ, and how often one follows itself at most."""

    form: Form | None
    blocks: int
    patterns: int
    longest_run: int


def measure(poses: PoseSequence, piece: Piece) -> Shape | None:
    """What is found in one dance; None where there are no counts."""
    counts = count(piece.beats, piece.song.downbeats, piece.song.duration)
    if not counts.heard:
        return None
    edges = block_edges(counts, min(piece.song.duration, poses.duration))
    seen: dict[str, Any] = {"aspect": poses.aspect, "visibility": poses.visibility}
    distances = block_distances(poses.landmarks, poses.fps, edges, **seen)
    labels = patterns(distances)
    return Shape(
        form(distances, sound_distances(piece.song.mfcc, edges)),
        len(edges),
        len(set(labels)),
        longest_run(labels),
    )


def table(pieces: Sequence[Piece], rows: dict[str, list[list[Shape | None]]], seed: int) -> Table:
    """A row for each.

    Args:
        rows: what was measured, by name of the row, repeat and piece.
    """
    found = [
        row_of(name, shapes, [piece.group for piece in pieces], seed)
        for name, shapes in rows.items()
    ]
    return Table("form", "form: blocks of eight counts", COLUMNS, found)


def row_of(
    name: str, dances: Sequence[Sequence[Shape | None]], groups: Sequence[str], seed: int
) -> Row:
    """One row: means over the dances, but of the longest run the longest."""
    shapes = [
        (shape, group)
        for repeat in dances
        for shape, group in zip(repeat, groups, strict=True)
        if shape is not None and shape.blocks
    ]
    formed = [(shape.form, group) for shape, group in shapes if shape.form is not None]
    own = [group for _, group in formed]
    every = [group for _, group in shapes]
    figures: dict[str, Estimate | None] = {
        "form": mean_estimate([each.correlation for each, _ in formed], own, seed),
        "form_shifted": mean_estimate([each.shifted for each, _ in formed], own, seed),
        "blocks": mean_estimate([float(shape.blocks) for shape, _ in shapes], every, seed),
        "patterns": mean_estimate([float(shape.patterns) for shape, _ in shapes], every, seed),
        "longest_run": Estimate(float(max(shape.longest_run for shape, _ in shapes)))
        if shapes
        else None,
    }
    details = [
        {
            "form": None if shape.form is None else shape.form.correlation,
            "blocks": shape.blocks,
            "patterns": shape.patterns,
            "longest_run": shape.longest_run,
        }
        for shape, _ in shapes
    ]
    return Row(name, figures, details)
