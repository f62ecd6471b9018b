"""What the motion model `flow` is told of the music."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dancing.music.counts import PHRASE

if TYPE_CHECKING:
    pass


FRAMES = 9
"""Poses a count: at 150 counts a minute 22 a second, at 75 still 11. Splines between them lose
nothing that is on the beat, and a fifth of the jerk."""
CONTEXT = PHRASE + 3
"""What the model is told beside the music's features: the place in the phrase (8, all 0 where
unknown), whether the music is heard, vigour, tempo."""
TEMPO_STD = 0.2
"""Scale of the logarithm of the tempo."""
