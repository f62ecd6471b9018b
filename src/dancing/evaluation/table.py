"""What an evaluation found: as text, Markdown, JSON, or a table on a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dancing.bundle import CARD, Bundle
from dancing.errors import DancingError
from dancing.files import write_then_rename
from dancing.version import VERSION

ABSENT = "-"


@dataclass(frozen=True)
class Column:
    """A measure: its key in JSON, its title in tables, the digits, and whether its interval is
    printed in text too; JSON and Markdown have all intervals."""

    key: str
    title: str
    digits: int
    interval: bool = False


@dataclass(frozen=True)
class Estimate:
    """A value, with the ends of its 95 % interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """What was found of one thing.

    Attributes:
        name: what it is.
        figures: by column key; None, or no entry, where there is no value.
        details: the values of every clip.
    """

    name: str
    figures: dict[str, Estimate | None]
    details: list[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A further table of a report.

    Attributes:
        key: its name in JSON.
        title: one line.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: list[Row]


@dataclass(frozen=True)
class Report:
    """A table with its origin, and further ones.

    Attributes:
        title: one line.
        facts: bundle, data, command and counts.
        columns, rows: the table.
        notes: what the reader has to know, one line each.
        more: tables on what else was measured.
    """

    title: str
    facts: dict[str, Any]
    columns: tuple[Column, ...]
    rows: list[Row]
    notes: list[str]
    more: tuple[Table, ...] = ()

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    def table(self, key: str) -> Table:
        """The further table of this key."""
        return next(table for table in self.more if table.key == key)

    def save_json(self, path: str | Path) -> None:
        """Write all numbers, those of every clip too; what is not defined is null."""
        content = {
            "dancing": VERSION,
            "title": self.title,
            **self.facts,
            **_plain_table(self.columns, self.rows),
            "tables": {
                table.key: {"title": table.title, **_plain_table(table.columns, table.rows)}
                for table in self.more
            },
            "notes": self.notes,
        }
        text = json.dumps(_finite(content), indent=1, allow_nan=False, ensure_ascii=False)
        with write_then_rename(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def save_markdown(self, path: str | Path) -> None:
        """Write the tables and their notes as Markdown."""
        lines = [f"### {self.title}", "", f"`{self.facts['command']}`", ""]
        for title, columns, rows in self._tables():
            cells = [
                [cell.replace("|", "\\|") for cell in line]
                for line in _cells(columns, rows, all_intervals=True)
            ]
            rule = ["---", *["---:"] * len(columns)]
            lines += [f"**{title}**", ""] if title else []
            lines += ["| " + " | ".join(line) + " |" for line in (cells[0], rule, *cells[1:])]
            lines.append("")
        lines += [f"- {note}" for note in self.notes]
        with write_then_rename(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def save_to_card(self, bundle: Bundle, stage: str, name: str) -> None:
        """Write what was found of a bundle's own model, the row of this name, into its card.

        Raises:
            DancingError: when the bundle is a zip.
        """
        path = bundle.path / CARD
        if not path.is_file():
            raise DancingError(f"{bundle.path}: figures are written into the card of a folder only")
        figures = {
            key: round(estimate.value, 4)
            for key, estimate in self.row(name).figures.items()
            if estimate is not None and math.isfinite(estimate.value)
        }
        found = {"of": self.title, "command": self.facts["command"], **figures}
        card = replace(bundle.card, figures=bundle.card.figures | {stage: found}).to_json()
        with write_then_rename(path) as temporary:
            temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def text(self) -> list[str]:
        """The lines of the tables in plain aligned text."""
        lines = [self.title, ""]
        for title, columns, rows in self._tables():
            cells = _cells(columns, rows)
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += [title, ""] if title else []
            lines += [
                "  ".join(
                    cell.rjust(width) if index else cell.ljust(width)
                    for index, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
                for line in cells
            ]
            lines.append("")
        return [*lines, *(f"- {note}" for note in self.notes)]

    def show(self) -> None:
        """Print it: on a terminal rich tables, as many as its width needs, else plain text."""
        from rich import table as rich_tables
        from rich.console import Console

        console = Console(highlight=False)
        if not console.is_terminal:
            print("\n".join(self.text()))
            return
        console.print(self.title, style="bold", markup=False)
        for title, columns, rows in self._tables():
            if title:
                console.print(title, style="bold", markup=False)
            names, *left_over = zip(*_cells(columns, rows), strict=True)
            while left_over:
                table = rich_tables.Table(box=None, header_style="bold", pad_edge=False)
                table.add_column("", no_wrap=True)
                left = console.width - max(map(len, names))
                taken: list[tuple[str, ...]] = []
                while left_over and (not taken or left >= 2 + max(map(len, left_over[0]))):
                    taken.append(left_over.pop(0))
                    left -= 2 + max(map(len, taken[-1]))
                    table.add_column(taken[-1][0], justify="right", no_wrap=True)
                for name, *cells in list(zip(names, *taken, strict=True))[1:]:
                    table.add_row(name, *cells)
                console.print(table)
                console.print()
        for note in self.notes:
            console.print(f"- {note}", markup=False)

    def _tables(self) -> list[tuple[str, tuple[Column, ...], list[Row]]]:
        """Title, columns and rows of all tables; the first has the report's title."""
        return [
            ("", self.columns, self.rows),
            *((table.title, table.columns, table.rows) for table in self.more),
        ]


def _cells(
    columns: Sequence[Column], rows: Sequence[Row], *, all_intervals: bool = False
) -> list[list[str]]:
    found = [_column(column, rows, all_intervals) for column in columns]
    lines = zip(["", *(row.name for row in rows)], *found, strict=True)
    return [list(line) for line in lines]


def _column(column: Column, rows: Sequence[Row], interval: bool) -> list[str]:
    """Its title and a cell for every row."""
    cells = [
        _cell(row.figures.get(column.key), column.digits, interval or column.interval)
        for row in rows
    ]
    # Every interval, and nothing else in a cell, has a bracket.
    title = column.title + (" [95 %]" if any("[" in cell for cell in cells) else "")
    return [title, *cells]


def _cell(estimate: Estimate | None, digits: int, interval: bool) -> str:
    if estimate is None or not math.isfinite(estimate.value):
        return ABSENT
    text = _number(estimate.value, digits)
    ends = [end for end in (estimate.low, estimate.high) if end is not None and math.isfinite(end)]
    if not interval or len(ends) < 2:
        return text
    return f"{text} [{_number(ends[0], digits)}, {_number(ends[1], digits)}]"


def _number(value: float, digits: int) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "columns": {column.key: column.title for column in columns},
        "rows": [
            {
                "name": row.name,
                "figures": {
                    column.key: _plain_estimate(row.figures.get(column.key)) for column in columns
                },
                "clips": row.details,
            }
            for row in rows
        ],
    }


def _plain_estimate(estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {"value": None, "low": None, "high": None}
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
