"""Model families: where they live, and what each has to offer.

A family is a package named in `FAMILIES` of its stage (`dancing.motion`, `dancing.image`), found by
the `model` that a card names. Its modules bear the same names in all families:

- `card`: `Card`, a `dancing.card.StageCard`, which also says what the ONNX model takes and returns;
- `runtime`: `Runtime`, a `MotionRuntime` or `ImageRuntime`, which runs the exported model;
- `training`: what `TrainingFamily` lists; the only one that imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from dancing.errors import DancingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dancing.body.poses import Placement, PoseSequence
    from dancing.card import StageCard
    from dancing.rows import Rows

STAGES = ("motion", "image")


class MotionRuntime(Protocol):
    """Makes poses with an exported motion model.

    Built from a function that runs the ONNX model (named inputs to its outputs) and the card.
    """

    def __call__(
        self,
        song: Any,
        seed: int,
        place: Placement,
        *,
        energy: float,
        genre: Mapping[str, float] | None,
        keep: PoseSequence | None,
        start_pose: PoseSequence | None,
        world: Rows | None,
        turns: float | None,
    ) -> PoseSequence:
        """A dance; see `dancing.motion.choreographer.Choreographer`."""


class ImageRuntime(Protocol):
    """Draws frames with an exported image model.

    Built from a function that runs the ONNX model, the card, and one that reads the bundle's files.

    Attributes:
        scene: the `Background` that the dancer was filmed in front of; None where the model draws
            it with the person, so that there can be no other.
        margin: left, top, right, bottom, pixels by which the person reaches beyond the landmarks.
        consecutive: whether a frame also depends on those before it.
    """

    scene: Any
    margin: tuple[int, int, int, int]
    consecutive: bool

    def __call__(
        self, batches: Iterator[NDArray[np.float32]], size: tuple[int, int], background: Any
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames (H, W, 3 or 4) of batches (N, 33, 2) of landmarks in [0, 1] of the frame."""


class TrainingFamily(Protocol):
    """What a family's module `training` has.

    Attributes:
        Config: frozen dataclass of dimensions and hyperparameters, each with a default.
        Training: the `dancing.training.module.TrainingModule`, of a Config and an origin.
        BATCH_SIZE, EPOCHS: defaults.
        usable: the clips that it can learn from, of those given; or all, or an error, where there
            are none.
        data: training data, validation data or None, and facts for the origin, of a Config, clips
            to train on and clips held out; and by name `cache`, a folder, `batch_size`, and
            `known`, facts of the model that is trained further.
    """

    Config: type[Any]
    Training: Callable[[Any, dict[str, Any]], Any]
    BATCH_SIZE: int
    EPOCHS: int
    usable: Callable[[Sequence[Any]], list[Any]]
    data: Callable[..., tuple[Any, Any, dict[str, Any]]]


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
    def card(self) -> type[StageCard]:
        """The dataclass of its entry in a card."""
        return cast("type[StageCard]", import_module(f"{self.package}.card").Card)

    @property
    def runtime(self) -> Callable[..., Any]:
        """What runs the exported model: a `MotionRuntime` or an `ImageRuntime`."""
        return cast("Callable[..., Any]", import_module(f"{self.package}.runtime").Runtime)

    @property
    def training(self) -> TrainingFamily:
        """What training needs; imports torch."""
        return cast("TrainingFamily", import_module(f"{self.package}.training"))


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
