"""The form of a song: which of its phrases bring back earlier ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dancing.media import FPS
from dancing.music.counts import PHRASE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.music.counts import Counts

    Floats = NDArray[np.float64]

_PER_COUNT = 4
_SHORTEST = 2  # phrases of a section
_NEW = 0.6  # standard deviations of a song by which sections differ
_SAME = 0.5  # of the usual distance of its phrases, that of sections which are the same


@dataclass(frozen=True)
class Form:
    """The form of a song, in phrases of eight counts.

    Attributes:
        first: the count, 0 to 7, that begins phrase 0.
        sections: (S,) the phrases that begin a section, 0 first.
        returning: (P,) which earlier phrase each phrase brings back, -1 for new ones.
    """

    first: int
    sections: NDArray[np.intp]
    returning: NDArray[np.intp]

    @property
    def turns(self) -> NDArray[np.intp]:
        """The counts on which the music turns: all sections begin there but the first."""
        return self.first + PHRASE * self.sections[1:]


def form_of(mfcc: NDArray[np.floating], counts: Counts) -> Form:
    """The form of the song with these features and counts.

    Where the sound of phrases changes, a section begins (novelty of the phrases' mean features,
    after Foote, Automatic audio segmentation using a measure of audio novelty, ICME 2000). A
    section that sounds like an earlier one, other than that before it, brings its phrases back in
    their order, from the first to the last of those that both have.

    Args:
        mfcc: (T, n) at 30 rows a second.
    """
    begin = np.flatnonzero(counts.phase[:PHRASE] == 0)
    first = int(begin[0]) if len(begin) else 0
    number = max((len(counts) - first) // PHRASE, 0)
    found = np.full(number, -1, np.intp)
    if number < 2 * _SHORTEST:
        return Form(first, np.zeros(1, np.intp), found)
    at = first + np.arange(number * PHRASE * _PER_COUNT) / _PER_COUNT
    rows = np.clip(np.rint(counts.at(at) * FPS), 0, len(mfcc) - 1).astype(int)
    sound = np.asarray(mfcc, np.float64)[rows]
    sound = (sound - sound.mean(0)) / np.maximum(sound.std(0), 1.0)
    sound = sound.reshape(number, PHRASE * _PER_COUNT, -1)
    means = np.concatenate([sound.mean(1), sound.std(1)], 1)  # (P, 2 n)
    edges = _sections(means)
    sections = list(itertools.pairwise(edges))
    apart = np.linalg.norm(means[:, None] - means, axis=-1)
    usual = float(np.median(apart[np.triu_indices(number, 1)]))
    for k, (begins, ends) in enumerate(sections):
        distances = [
            float(np.linalg.norm(means[begins:ends].mean(0) - means[b:e].mean(0)))
            for b, e in sections[: max(k - 1, 0)]
        ]
        if distances and min(distances) < _SAME * usual:
            b, e = sections[int(np.argmin(distances))]
            length = min(ends - begins, e - b)
            found[begins : begins + length] = np.arange(b, b + length)
    return Form(first, np.array(edges[:-1]), found)


def _sections(means: Floats) -> list[int]:
    """Numbers of the phrases that begin a section, and that of all phrases."""
    number = len(means)
    novelty = np.zeros(number)
    for at in range(_SHORTEST, number - _SHORTEST + 1):
        before, after = means[at - _SHORTEST : at], means[at : at + _SHORTEST]
        novelty[at] = np.linalg.norm(after.mean(0) - before.mean(0))
    spread = np.sqrt(means.var(0).sum())
    edges = [0]
    for at in np.flatnonzero(novelty > _NEW * spread).tolist():
        near = novelty[max(at - _SHORTEST + 1, 0) : at + _SHORTEST]
        if novelty[at] == near.max() and at - edges[-1] >= _SHORTEST:
            edges.append(at)
    return [*edges, number]
