"""What a bundle's card.json says, as frozen dataclasses that are checked once, when it is read.

A family has a card of its own, a `StageCard` with further fields, in its `card.py`. Entries that
are not known are kept as `extra` and written back, so that a card of a later version loses nothing
when figures are written into it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dancing.body.poses import Placement
from dancing.body.skeleton import BONE_KINDS
from dancing.onnx_check import Tensor

FORMAT = 2
"""Of the cards written; 1 has one training where 2 has a history."""
_FORMATS = (1, 2)
_Value = TypeVar("_Value")
Setting = int | float | str | bool
MAX_FILES = 100
"""That a bundle may hold beside the card."""
_FILE_NAME = re.compile(r"\w[\w .-]{0,99}", re.ASCII)
_LARGEST = 1e9


@dataclass(frozen=True)
class Parent:
    """Weights that a step of training went on from.

    Attributes:
        weights: the first 16 hex digits of the SHA-256 of their safetensors.
        share: what part of a mean they are; 1 where they are all that it began with.
        name: of the bundle, or the run folder, that held them; without folders.
    """

    weights: str
    share: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class TrainingData:
    """A dataset that was trained on.

    Attributes:
        name: its file's name, without folders.
        sha256: of its content; see `dancing.data.dataset.content_hash`.
        clips, seconds: of it that were trained on.
    """

    name: str
    sha256: str
    clips: int
    seconds: float


@dataclass(frozen=True)
class TrainingStep:
    """How weights came about: by training, or as a mean of others.

    Attributes:
        kind: 'train' or 'mean'.
        weights: what came of it, as `Parent.weights`; '' where it was not recorded.
        parents: what it began with.
        data: what it was trained on.
        sources: hashes of the songs and sources of its clips; see `dancing.data.dataset`.
        asked: what was asked for: settings given, minutes, epochs, batch size, seed, device, and
            whether clips were held out.
        config: all settings of the model.
        steps: of its optimisers; None where not known.
        minutes: that it took; None where not known.
        device: that it ran on, 'cpu' or the name of a GPU.
        versions: of the libraries, by name.
        note: what else is worth knowing.
        extra: further entries.
    """

    kind: str = "train"
    weights: str = ""
    parents: tuple[Parent, ...] = ()
    data: tuple[TrainingData, ...] = ()
    sources: tuple[str, ...] = ()
    asked: dict[str, Setting] = field(default_factory=dict)
    config: dict[str, Setting] = field(default_factory=dict)
    steps: int | None = None
    minutes: float | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("train", "mean"):
            raise ValueError(f"kind '{self.kind}' is neither 'train' nor 'mean'")


@dataclass(frozen=True)
class StageCard:
    """What a card says of the model of one stage: all that inference has to know of it.

    Attributes:
        model: the family's name.
        placement: where the dancer of the training data stands.
        config: dimensions and hyperparameters; needed to train further.
        proportions: of the dancer's body; see `dancing.body.retarget`. None where not known.
        training: how the weights came about, the oldest step first.
        extra: further entries.
    """

    model: str
    placement: Placement
    config: dict[str, Setting] = field(default_factory=dict)
    proportions: dict[str, float] | None = None
    training: tuple[TrainingStep, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.proportions is not None:
            lengths = [self.proportions[kind] for kind in BONE_KINDS]
            if not all(length > 0 for length in lengths):
                raise ValueError("proportions are not above 0")
            if self.placement.floor is None:
                raise ValueError("placement has no 'floor'")

    @property
    def holds(self) -> list[str]:
        """What of a person the bundle's files show, in words; nothing where they hold weights."""
        return []

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the family's ONNX model takes, by name."""
        raise NotImplementedError

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it returns, in this order."""
        raise NotImplementedError

    @property
    def sources(self) -> frozenset[str]:
        """Hashes of the songs and sources of all clips that were ever trained on."""
        return frozenset(source for step in self.training for source in step.sources)


@dataclass(frozen=True, kw_only=True)
class Card:
    """A bundle's card.

    Attributes:
        format: of the card itself.
        name: the dancer's.
        licence: of the weights.
        data: what they were trained on, in words.
        consent: of the person whose pictures the bundle holds, in words; '' where it holds none.
        reproducible: whether a recipe makes these weights again; None where nobody has said.
        remark: why, or why not.
        fps: frames a second.
        features: constants of the music's features.
        motion, image: of the two models; None where the bundle has none.
        figures: what an evaluation found, by stage.
        files: SHA-256 of each of the bundle's other files.
        extra: further entries.
    """

    format: int = FORMAT
    name: str
    licence: str = "unspecified"
    data: str = "unspecified"
    consent: str = ""
    reproducible: bool | None = None
    remark: str = ""
    fps: int = 30
    features: dict[str, int] = field(default_factory=dict)
    motion: StageCard | None = None
    image: StageCard | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str]
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.files) > MAX_FILES:
            raise ValueError(f"names more than {MAX_FILES} files")
        for name in self.files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"names a file outside the bundle, or an odd one: {name!r}")

    def stage(self, name: str) -> StageCard | None:
        """The entry of a stage, 'motion' or 'image'."""
        entry: StageCard | None = getattr(self, name)
        return entry

    def to_json(self) -> dict[str, Any]:
        """As it is written into card.json; what is None or empty is left out."""
        found: dict[str, Any] = plain(self)
        return found


def read_card(values: Any, kinds: Mapping[str, type[StageCard]]) -> Card:
    """A card from the content of card.json.

    Args:
        kinds: the dataclass of each stage's entry, by stage.

    Raises:
        ValueError: with what is wrong.
    """
    if not isinstance(values, dict) or values.get("format") not in _FORMATS:
        raise ValueError(f"is not of format {FORMAT}; export it again")
    values = dict(values)
    stages = {}
    for stage, kind in kinds.items():
        try:
            stages[stage] = read(kind, _with_history(values.pop(stage)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"has no valid '{stage}' ({error})") from error
    card = read(Card, {key: value for key, value in values.items() if key not in stages})
    return dataclasses.replace(
        card, motion=stages.get("motion"), image=stages.get("image"), format=FORMAT
    )


def _with_history(entry: Any) -> Any:
    """An entry of format 1 has one training in place of the steps.

    Its command may name local folders, and is dropped.
    """
    if isinstance(entry, dict) and isinstance(entry.get("training"), dict):
        old = entry["training"]
        step = {key: old[key] for key in ("sources", "steps") if old.get(key) is not None}
        size = [f"{old[key]} {key}" for key in ("clips", "seconds") if key in old]
        step |= {"note": ", ".join(size), "config": entry.get("config", {})}
        return entry | {"training": [step]}
    return entry


def read(kind: type[_Value], values: Any) -> _Value:
    """A dataclass from the JSON object of its fields.

    Raises:
        ValueError: when a field is missing, of another type, or a number is not finite or huge.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{values!r} is no object")
    hints = get_type_hints(kind)
    known = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    if known.pop("extra", None):
        found["extra"] = {key: value for key, value in values.items() if key not in known}
    for each in known.values():
        if each.name in values:
            try:
                found[each.name] = _value(hints[each.name], values[each.name])
            except ValueError as error:
                raise ValueError(f"{each.name}: {error}") from error
        elif each.default is each.default_factory is dataclasses.MISSING:
            raise ValueError(f"there is no '{each.name}'")
    return kind(**found)


def _value(kind: Any, value: Any) -> Any:
    """A JSON value as the type says: numbers, text, objects, lists, and unions of these."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in inner:
            try:
                return _value(option, value)
            except ValueError:
                continue
        raise ValueError(f"{value!r} is of another type")
    if kind is type(None):
        if value is not None:
            raise ValueError(f"{value!r} is not null")
        return None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return read(kind, value)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is no list")
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(kinds) != len(value):
            raise ValueError(f"{len(value)} values instead of {len(kinds)}")
        return tuple(_value(each, item) for each, item in zip(kinds, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no object")
        return {key: _value(inner[1], item) for key, item in value.items()}
    if kind is float and type(value) in (int, float):
        if not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{value} is not finite, or far too large")
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def plain(value: Any) -> Any:
    """A card, or a part of one, as JSON has it; what is None or empty is left out."""
    if dataclasses.is_dataclass(value):
        items = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        items |= items.pop("extra", {})
        kept = {key: item for key, item in items.items() if item not in (None, "", (), {})}
        return {key: plain(item) for key, item in kept.items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def weights_id(content: bytes) -> str:
    """What names weights in a history: the first 16 hex digits of their safetensors' SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def numbers(
    name: str, values: Sequence[float], count: int, least: float = -1e3, most: float = 1e3
) -> None:
    """Refuse a list of another length, or of numbers out of range.

    Raises:
        ValueError: with its name.
    """
    if len(values) != count:
        raise ValueError(f"{name}: {len(values)} numbers instead of {count}")
    if not all(least <= value <= most for value in values):
        raise ValueError(f"{name}: not all from {least:g} to {most:g}")
