"""Long songs in bounded memory: rows in a file, and work stretch by stretch."""

from __future__ import annotations

import ctypes
import math
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from dancing.errors import DancingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IN_MEMORY = 16 * 2**20
"""Bytes beyond which rows lie in a temporary file: those of 15 minutes and more of song."""
_CHUNK = 4096


def stretches(frames: int) -> list[slice]:
    """The parts in which a long movement is worked on, so that only results are as long as it."""
    return [slice(first, min(first + _STRETCH, frames)) for first in range(0, frames, _STRETCH)]


_STRETCH = 1800  # where splines of a dance begin anew, so that another length gives other poses


def release() -> None:
    """Give memory that is free again back to the system, before a stage that needs other memory.

    The C library of Linux keeps it, 100 MB after three hours of song; others have no such call.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class Rows:
    """Rows of float32, appended one after the other and read by stretches.

    Few are kept in memory, many in a temporary file without a name, which goes with the process.

    Args:
        row: shape of one.
    """

    def __init__(self, *row: int) -> None:
        self._row = row
        self._width = math.prod(row)
        self._count = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows, as of one array."""
        return (self._count, *self._row)

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add some rows (n, *row).

        Raises:
            DancingError: when there is no room for the temporary file.
        """
        self._file.seek(0, 2)
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
            self._file.flush()
        except OSError as error:
            raise DancingError(
                f"no room for temporary files ({error.strerror or error}); "
                "name a folder that has it by TMPDIR"
            ) from error
        self._count += len(rows)

    def __getitem__(self, stretch: slice) -> NDArray[np.float32]:
        """A copy (n, *row) of the rows of a slice with step 1."""
        first, last, _ = stretch.indices(self._count)
        return self._read(first * self._width, last * self._width).reshape(-1, *self._row).copy()

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """All rows in order, some thousand at a time: which ones, and a copy of them."""
        for first in range(0, self._count, _CHUNK):
            last = min(first + _CHUNK, self._count)
            yield slice(first, last), self[first:last]

    def mean(self) -> np.float32:
        """Mean of all numbers, to the bit what NumPy makes of them in one array."""

        def total(first: int, last: int) -> np.float32:
            # As NumPy adds: halves by themselves, so that errors do not grow with the number.
            if last - first <= _CHUNK * self._width:
                sum_: np.float32 = self._read(first, last).sum()
                return sum_
            middle = first + (last - first) // 2 // 8 * 8
            return total(first, middle) + total(middle, last)

        numbers = self._count * self._width
        return np.float32(float(total(0, numbers)) / numbers)

    def _read(self, first: int, last: int) -> NDArray[np.float32]:
        self._file.seek(4 * first)
        return np.frombuffer(self._file.read(4 * max(last - first, 0)), np.float32)
