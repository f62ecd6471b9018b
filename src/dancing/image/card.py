"""What cards say of image models of all families."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.card import StageCard

_SIDES = (16, 4096)
_LONGEST = 4  # how often the shorter side goes into the longer one
_FARTHEST, _SMALLEST = 10.0, 0.01  # frames
ANY_TURN = 180
"""Degrees of yaw that are no limit."""
_LEAST_TURN = 15


@dataclass(frozen=True, kw_only=True)
class ImageCard(StageCard):
    """The card of an image model.

    Attributes:
        size: width and height of a drawn frame in pixels, even.
        view: left, top, right and bottom of the part of the pose frame that is drawn, as fractions
            of that frame; it may reach outside.
        turns: degrees of yaw by which the dancer may turn from the camera and can still be drawn,
            15 to 180; None or 180 where any, as of a dancer seen from all sides.
    """

    size: tuple[int, int]
    view: tuple[float, float, float, float]
    turns: float | None = None

    @property
    def shot(self) -> tuple[float, float, float, float] | None:
        """As `view`, but of pictures by the camera that the person was seen with; None where it is
        not known."""
        return self.view

    def __post_init__(self) -> None:
        super().__post_init__()
        left, top, right, bottom = self.view
        if not (left < right and top < bottom):
            raise ValueError("view")
        if max(map(abs, self.view)) > _FARTHEST or min(right - left, bottom - top) < _SMALLEST:
            raise ValueError("view is far outside the frame, or tiny")
        if any(side % 2 or not _SIDES[0] <= side <= _SIDES[1] for side in self.size):
            raise ValueError("size")
        if max(self.size) > _LONGEST * min(self.size):
            raise ValueError(f"size is longer than {_LONGEST} to 1")
        if self.turns is not None and not _LEAST_TURN <= self.turns <= ANY_TURN:
            raise ValueError(f"turns is {self.turns:g}, not from {_LEAST_TURN} to {ANY_TURN}")
