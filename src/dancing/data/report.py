"""What became of each input of `prepare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class FileReport:
    """What became of one input file.

    Attributes:
        path: the file.
        clips: clips made of it.
        frames: frames in these clips.
        interpolated: frames among them in which the person was not seen.
        seconds_cut: length left out, for nobody (or somebody else) was seen.
        silent: the clips have no music features.
        notes: what is worth knowing, one line each.
        error: why no clip was made, or None.
    """

    path: Path
    clips: int = 0
    frames: int = 0
    interpolated: int = 0
    seconds_cut: float = 0.0
    silent: bool = False
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def lines(self) -> list[str]:
        """The report for a person."""
        if self.error is not None:
            return [f"failed: {self.error}"]
        parts = [f"{self.clips} clip{'s' * (self.clips != 1)}", f"{self.frames} frames"]
        if self.interpolated:
            parts.append(f"{self.interpolated} interpolated")
        if self.seconds_cut:
            parts.append(f"{self.seconds_cut:.1f} s cut")
        return [f"{self.path}: {', '.join(parts)}", *(f"note: {line}" for line in self.notes)]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did, file by file in the order of the inputs."""

    files: list[FileReport]

    @property
    def clips(self) -> int:
        """Number of clips in the dataset."""
        return sum(file.clips for file in self.files)

    @property
    def silent(self) -> int:
        """Number of files whose clips have no music features."""
        return sum(file.silent for file in self.files)

    def lines(self) -> list[str]:
        """The report for a person, a line or more a file."""
        return [line for file in self.files for line in file.lines()]

    @property
    def failed(self) -> list[FileReport]:
        """The files that gave no clip."""
        return [file for file in self.files if file.error is not None]
