"""How much one visitor of the studio may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.errors import DancingError


@dataclass(frozen=True)
class Limits:
    """How much one visitor may ask for.

    Attributes:
        jobs: dances made at a time; others wait in line.
        upload: megabytes of one file.
        seconds: length of a dance.
        minutes: how long learning a dancer may take.
        keep: minutes that files are kept on the server.
    """

    jobs: int = 1
    upload: int = 200
    seconds: int = 600
    minutes: int = 60
    keep: float = 60.0

    def __post_init__(self) -> None:
        for name in ("jobs", "upload", "seconds", "minutes", "keep"):
            if not getattr(self, name) > 0:
                raise DancingError(f"the limit '{name}' is {getattr(self, name)}, but is above 0")
