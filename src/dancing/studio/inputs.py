"""What visitors give: their files, brought to the job's own folder, names, numbers and colours."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from dancing.errors import DancingError

LONGEST_NAME = 24
"""Characters of a dancer's name."""


def some(inputs: list[str] | None) -> list[str]:
    if not inputs:
        raise DancingError("choose a photo or a video, or several")
    return inputs


def permitted(agreed: bool) -> None:
    """Refuse to learn somebody who was not asked."""
    if not agreed:
        raise DancingError(
            "tick that the person shown agrees; nobody is made a dancer without that"
        )


def unused(name: str, taken: Any) -> str:
    """A name for a card that no other card has, fit for a style rule."""
    name = re.sub(r"[^\w -]", "", name).strip() or "dancer"
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name} {number}"
    return unused


def brought(path: str | None, folder: Path, names: dict[str, str]) -> Path:
    """A visitor's file in the job's own folder, where it stays as long as it is needed.

    It gets a name of ours; `names` learns which one it came with.

    Raises:
        DancingError: when there is none.
    """
    if path is None:
        raise DancingError("a file is needed: upload one")
    suffix = Path(path).suffix.lower()
    copy = (
        folder / f"upload-{len(names) + 1}{suffix if re.fullmatch('[.][a-z0-9]+', suffix) else ''}"
    )
    names[copy.name] = Path(path).name
    return Path(shutil.copyfile(path, copy))


def hex_colour(colour: str | None) -> str:
    """#rrggbb of what the colour picker gives: that, or 'rgba(r, g, b, a)'."""
    text = str(colour)
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return text
    number = r"\s*(\d{1,3}(?:\.\d{0,20})?)\s*"
    channels = re.fullmatch(rf"rgba?\({number},{number},{number}(?:,{number})?\)", text)
    if channels is None:
        raise DancingError(f"'{text[:40]}' is no colour")
    return "#" + "".join(f"{min(255, round(float(value))):02x}" for value in channels.groups()[:3])


def given(value: float | None, what: str) -> float:
    if value is None:
        raise DancingError(f"the {what} is missing")
    return value
