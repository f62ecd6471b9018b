"""Model families: where they live, and what each has to offer.

A family is a package named in `FAMILIES` of its stage (`dancing.motion`, `dancing.image`), found by
the `model` that a card names. Its modules bear the same names in all families: `card` and `runtime`
for inference, `training` for the rest; the last one imports torch, the first two never.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dancing.errors import DancingError

STAGES = ("motion", "image")


@dataclass(frozen=True)
class Family:
    """A model family, by its stage and name.

    Attributes:
        package: where it lives.
    """

    stage: str
    name: str
    package: str

    @property
    def runtime(self) -> Any:
        """The class that runs an exported model."""
        return import_module(f"{self.package}.runtime").Runtime

    @property
    def training(self) -> Any:
        """The module with what training needs; imports torch."""
        return import_module(f"{self.package}.training")


def family(stage: str, name: str | None = None) -> Family:
    """The family of a stage by its name; default: the best one.

    Raises:
        DancingError: when there is no such family.
    """
    known = import_module(f"dancing.{stage}")
    name = name or known.DEFAULT_FAMILY
    if name not in known.FAMILIES:
        raise DancingError(
            f"no {stage} model '{name}'; there are {', '.join(sorted(known.FAMILIES))}"
        )
    return Family(stage, name, known.FAMILIES[name])
