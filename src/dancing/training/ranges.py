"""Ranges of the fields of a `Config`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def check_ranges(
    config: Any,
    *,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    fractions: Sequence[str] = (),
    at_least_1: Sequence[str] = (),
) -> None:
    """Refuse values out of range.

    Args:
        config: a dataclass; all of its floats must be finite.
        positive: names of fields above 0.
        not_negative: of 0 or more.
        fractions: of 0 to 1.
        at_least_1: of 1 or more.

    Raises:
        ValueError: when a field is out of its range; its name is in the message.
    """
    for name in type(config).__dataclass_fields__:
        if not math.isfinite(getattr(config, name)):
            raise ValueError(f"{name} must be a finite number")
    for names, holds, range_ in (
        (positive, lambda value: value > 0, "above 0"),
        (not_negative, lambda value: value >= 0, "0 or more"),
        (fractions, lambda value: 0 <= value <= 1, "between 0 and 1"),
        (at_least_1, lambda value: value >= 1, "1 or more"),
    ):
        for name in names:
            if not holds(getattr(config, name)):
                raise ValueError(f"{name} must be {range_}, not {getattr(config, name):g}")
