"""Which samples each process trains on.

A step's batch is drawn for all processes together, from the seed, the epoch and the step's place in
it; each process takes its slice. So N processes with a batch size of B learn from what one with N B
would, and a run that is resumed draws what it would have drawn without the stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """A sample to be made.

    Attributes:
        sample: which, in the dataset.
        seed: of its random numbers, such as those of augmentation.
    """

    sample: int
    seed: tuple[int, ...]


def with_random(draw: Draw | int) -> tuple[int, np.random.Generator]:
    """A sample's index and its random numbers; a plain index, as in validation, seeds them."""
    index, seed = draw if isinstance(draw, Draw) else (draw, draw)
    return index, np.random.default_rng(seed)


class BatchSampler(Sampler[Any]):
    """Batches of one process of several, epoch after epoch.

    Attributes:
        ahead: batches that may be drawn before the steps on those before are over, as a loader's
            workers do; None for any number.

    Args:
        steps: batches an epoch.
        seed: the run's.
        rank: of this process.
        processes: how many there are.
    """

    ahead: int | None = None

    def __init__(self, steps: int, *, seed: int = 0, rank: int = 0, processes: int = 1) -> None:
        self.seed, self.rank, self.processes = seed, rank, processes
        self._steps = steps
        self._epoch = self._start = 0

    def __len__(self) -> int:
        """Batches of a whole epoch, also where a resumed one has fewer left."""
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        for step in range(self._start, self._steps):
            yield self.batch(self._epoch, step)

    def batch(self, epoch: int, step: int) -> Any:
        """What the loader has to load."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Go on with an epoch; from its beginning, unless a resumed run is in the midst of it."""
        if epoch != self._epoch:
            self.begin_at(epoch, 0)

    def begin_at(self, epoch: int, step: int) -> None:
        """Go on in the midst of an epoch."""
        self._epoch, self._start = epoch, step

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, beside how many steps there were."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` kept."""


class Shuffled(BatchSampler):
    """Every sample once an epoch, in random order; what does not fill a batch is left out.

    Args:
        samples: size of the dataset.
        batch_size: of each process.
    """

    def __init__(
        self, samples: int, batch_size: int, *, seed: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        steps = samples // (batch_size * processes)
        super().__init__(steps, seed=seed, rank=rank, processes=processes)
        self._samples, self._batch_size = samples, batch_size
        self._order: tuple[int, Any] = (-1, None)

    def batch(self, epoch: int, step: int) -> list[Draw]:
        if self._order[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            self._order = epoch, random.permutation(self._samples)
        first = (step * self.processes + self.rank) * self._batch_size
        places = range(first, first + self._batch_size)
        return [Draw(int(self._order[1][i]), (self.seed, epoch, i)) for i in places]
