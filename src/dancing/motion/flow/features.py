"""What the motion model `flow` is told of the music, in training and at inference alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import interpolate
from dancing.music.counts import PHRASE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.counts import Counts

    Floats = NDArray[np.float64]

FRAMES = 9
"""Poses a count: at 150 counts a minute 22 a second, at 75 still 11. Splines between them lose
nothing that is on the beat, and a fifth of the jerk."""
CONTEXT = PHRASE + 3
"""Length of a row of `context`, without the genres."""
_TEMPO_STD = 0.2


def music_at(
    counts: Counts, positions: Floats, mfcc: NDArray[np.floating[Any]], rate: float
) -> tuple[Floats, Floats, Floats]:
    """What is heard at places in a dance.

    Args:
        counts: of the music.
        positions: (T,) places on the counts, rising, within them; see `Counts.at`.
        mfcc: (rows, n_mfcc) of the whole song or clip.
        rate: rows a second.

    Returns:
        (T, n_mfcc) MFCC minus their mean over the song; (T, 8) the place in the phrase, one-hot,
        all 0 where unknown; (T,) logarithm of the tempo over 100 counts a minute.
    """
    rows = mfcc - mfcc.mean(0)
    heard = interpolate(rows.astype(np.float64), counts.at(positions) * rate)
    whole = positions.astype(int)
    places = counts.phase[whole]
    phase = np.zeros((len(positions), PHRASE))
    known = places >= 0
    phase[known, places[known]] = 1
    return heard, phase, np.log(counts.tempo[whole] / 100)


def context(phase: Floats, heard: float, vigour: Floats, tempo: Floats, genre: Floats) -> Floats:
    """What the model is told beside the MFCC: (T, CONTEXT + G).

    Args:
        phase, tempo: as `music_at` returns them.
        heard: 1 where the music is heard, 0 where the model is to dance without.
        vigour: (T,) how vigorous the dance is, in standard deviations of the training data.
        genre: (G,) how much of each genre that the model knows the dance is of, with the sum 1; all
            0 where it is not said.
    """
    told = np.broadcast_to(genre, (len(phase), len(genre)))
    return np.column_stack([phase, np.full(len(phase), heard), vigour, tempo / _TEMPO_STD, told])
