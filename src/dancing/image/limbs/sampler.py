"""Which crops are trained on: what is generated worse is drawn more often."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from dancing.image.compositing import crop_sizes
from dancing.image.limbs.config import Config
from dancing.training.sampler import BatchSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Request(NamedTuple):
    """A batch of crops to be cut.

    Attributes:
        frames: (N,) which pictures.
        corners: (N, 2) left and top of their crops in pixels of the picture.
        crop: (2,) width and height of all of them.
        paired: whether pictures of odd index follow on the ones before, and are cut alike.
    """

    frames: NDArray[np.int64]
    corners: NDArray[np.int64]
    crop: NDArray[np.int64]
    paired: bool


class _Measured(NamedTuple):
    """What a step has found: how difficult its pictures are, and whether batches be paired."""

    frames: NDArray[np.int64]
    difficulties: NDArray[np.floating[Any]]
    paired: bool


class CropSampler(BatchSampler):
    """Batches of pictures at random, each cut to a crop at a random even place around the dancer.

    The crops of a batch, over all processes, are of one size: that of a picture at random. A
    picture's difficulty is its error against the running mean of all errors. It counts from `ahead`
    steps after it was measured on, however many batches a loader's workers draw before their turn,
    so that they change nothing.

    Attributes:
        difficulties: (n_pictures,) those that count for the next batch, 1 at first.
        updates: steps that have been measured.

    Args:
        boxes: (n_pictures, 2, 2) of the dancer; see `person_boxes`.
        follows: (n_pictures,) whether the next picture follows on this one.
        batch_size: pictures a batch of each process; a number of whole pairs of them where paired.
        config: bounds of difficulty.
        paired: whether the first batches consist of pairs of consecutive pictures.
    """

    ahead = 8

    def __init__(
        self,
        boxes: NDArray[np.int64],
        follows: NDArray[np.bool_],
        batch_size: int,
        config: Config,
        *,
        paired: bool = False,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        steps = max(1, len(boxes) // (batch_size * processes))
        super().__init__(steps, seed=seed, rank=rank, processes=processes)
        self._boxes, self._follows = boxes, follows
        self._crops = crop_sizes(boxes)
        self._kinds = np.unique(self._crops, axis=0, return_inverse=True)[1].ravel()
        self._batch_size = batch_size
        self._bounds = config.least_difficulty, config.most_difficulty
        self._rate = config.difficulty_rate
        self.difficulties = np.ones(len(boxes))
        self._paired = paired
        self._error = 0.0
        self.updates = 0
        self._pending: deque[_Measured] = deque()

    def __iter__(self) -> Iterator[Request]:
        first = self.updates
        for place, step in enumerate(range(self._start, len(self))):
            yield self.batch(self._epoch, step, first + place)

    def batch(self, epoch: int, step: int, number: int | None = None) -> Request:
        """A process's slice of the batch of all.

        Args:
            number: how many steps the run had before this one; default: those measured so far.
        """
        random = np.random.default_rng((self.seed, epoch, step))
        difficulties, paired = self._known(self.updates if number is None else number)
        weights = difficulties.clip(*self._bounds)
        if paired:
            weights *= self._follows
        share = max(1, self._batch_size // 2) if paired else self._batch_size
        kind = self._kinds[_drawn(weights, random, 1)[0]]
        frames = _drawn(weights * (self._kinds == kind), random, share * self.processes)
        places = random.random((len(frames), 2))
        mine = slice(self.rank * share, (self.rank + 1) * share)
        frames, places = frames[mine], places[mine]
        crop = self._crops[frames[0]]
        low, high = self._boxes[frames, 0], self._boxes[frames, 1]
        corners = high - crop + (places * ((low + crop - high) // 2 + 1)).astype(np.int64) * 2
        if paired:
            frames = np.stack([frames, frames + 1], 1).ravel()
            corners = corners.repeat(2, axis=0)
        return Request(frames, corners, crop, paired)

    def update(
        self, frames: NDArray[np.int64], errors: NDArray[np.floating[Any]], paired: bool
    ) -> None:
        """Keep what a step has measured, in the order of steps.

        Args:
            frames: (N,) the pictures of all processes.
            errors: (N,) their errors.
            paired: whether batches are to be paired from now on.
        """
        mean = float(errors.mean())
        self._error += self._rate * (mean - self._error) if self._error else mean
        self._pending.append(_Measured(frames, errors / max(self._error, 1e-12), paired))
        self.updates += 1
        while len(self._pending) > self.ahead:
            done = self._pending.popleft()
            self.difficulties[done.frames] = done.difficulties
            self._paired = done.paired

    def _known(self, number: int) -> tuple[NDArray[np.float64], bool]:
        """Difficulties that count for a batch, and whether it is paired."""
        counting = number - self.ahead - (self.updates - len(self._pending))
        if counting <= 0:
            return self.difficulties, self._paired
        difficulties, paired = self.difficulties.copy(), self._paired
        for done in list(self._pending)[:counting]:
            difficulties[done.frames] = done.difficulties
            paired = done.paired
        return difficulties, paired

    def state_dict(self) -> dict[str, Any]:
        return {
            "difficulties": torch.tensor(self.difficulties),
            "paired": self._paired,
            "error": self._error,
            "updates": self.updates,
            "pending": [
                [torch.tensor(done.frames), torch.tensor(done.difficulties), done.paired]
                for done in self._pending
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` kept; a run that goes on with other data begins anew."""
        difficulties = state["difficulties"].numpy().copy()
        if difficulties.shape != self.difficulties.shape:
            return
        self.difficulties = difficulties
        self._paired, self._error = state["paired"], state["error"]
        self.updates = state["updates"]
        self._pending = deque(
            _Measured(frames.numpy(), difficulties.numpy(), paired)
            for frames, difficulties, paired in state["pending"]
        )


def _drawn(
    weights: NDArray[np.float64], random: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """Indices drawn at random, as often as the weights say."""
    sums = weights.cumsum()
    return np.searchsorted(sums, random.random(count) * sums[-1], "right")
