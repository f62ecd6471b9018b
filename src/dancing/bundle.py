"""Dancer bundles: a folder or zip with ONNX models, their weights and a card."""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dancing.body.retarget import BONE_KINDS
from dancing.errors import DancingError
from dancing.music.mfcc import N_MFCC

if TYPE_CHECKING:
    import onnxruntime

CARD = "card.json"
PREVIEW = "preview.png"
DEFAULT = "ava"
FORMAT = 1
_EMBEDDED = Path(__file__).parent / "bundles"
_MAX_FILE = 512 * 2**20


def embedded() -> list[str]:
    """Names of the dancers that come with the package."""
    return sorted(path.parent.name for path in _EMBEDDED.glob(f"*/{CARD}"))


class Bundle:
    """A dancer bundle, opened by the name of an embedded dancer or by a path.

    Attributes:
        path: folder or zip.
        card: the content of card.json; its entries are listed in docs/data.md.

    Raises:
        DancingError: for an unknown name, a bundle without a card, a missing file, or one whose
            hash is not the card's.
    """

    def __init__(self, name: str | Path = "default") -> None:
        self.path = _locate(name)
        try:
            self._zip = zipfile.ZipFile(self.path) if self.path.is_file() else None
        except (zipfile.BadZipFile, OSError) as error:
            raise DancingError(f"{self.path}: a dancer bundle is a folder or a zip") from error
        try:
            card = json.loads(self._read(CARD))
        except (ValueError, RecursionError) as error:
            raise DancingError(f"{self.path}: its {CARD} is not JSON ({error})") from error
        self.card = _checked_card(self.path, card)

    @property
    def name(self) -> str:
        """The dancer's name."""
        return str(self.card["name"])

    def has(self, stage: str) -> bool:
        """Whether the bundle holds a model of this stage, 'motion' or 'image'."""
        return stage in self.card

    def settings(self, stage: str) -> dict[str, Any]:
        """The card's entry of a stage.

        Raises:
            DancingError: when the bundle has no such stage.
        """
        if stage not in self.card:
            raise DancingError(f"{self.path}: this bundle has no {stage} model")
        return self.card[stage]

    def file(self, name: str) -> bytes:
        """The content of one of the bundle's files, checked against the card's hash."""
        expected = self.card["files"].get(name)
        if expected is None:
            raise DancingError(f"{self.path}: its {CARD} lists no file {name}")
        content = self._read(name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise DancingError(
                f"{self.path}: {name} is damaged or was changed (its hash is not the card's)"
            )
        return content

    def preview(self) -> bytes | None:
        """A PNG picture of the dancer, drawn by the image model, where the bundle has one."""
        return self.file(PREVIEW) if PREVIEW in self.card["files"] else None

    @cached_property
    def motion(self) -> onnxruntime.InferenceSession:
        """ONNX Runtime session of the music-to-poses model."""
        return self._session("motion")

    @cached_property
    def image(self) -> onnxruntime.InferenceSession:
        """ONNX Runtime session of the poses-to-pictures model."""
        return self._session("image")

    def run(self, stage: str, inputs: dict[str, Any]) -> list[Any]:
        """The outputs of a stage's ONNX model, in its own order, for named inputs.

        Raises:
            DancingError: when there is no such model, or it fails.
        """
        session = getattr(self, stage)
        try:
            return session.run(None, inputs)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.path}: the {stage} model failed ({error})") from error

    def _session(self, stage: str) -> onnxruntime.InferenceSession:
        self.settings(stage)
        content = self.file(f"{stage}.onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        available = onnxruntime.get_available_providers()
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=[name for name in wanted if name in available]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.path}: {stage}.onnx cannot be loaded ({error})") from error
        found = {entry.name for entry in session.get_inputs()}
        expected = {"motion": {"mfcc", "noise"}, "image": {"landmarks"}}[stage]
        if "body" in self.card[stage]:
            expected = {"point", "time", "mask", "mfcc", "context"}
        if "margin" in self.card[stage]:
            expected = expected | {"corners", "crop"}
        if found != expected:
            raise DancingError(
                f"{self.path}: {stage}.onnx takes {', '.join(sorted(found))}, "
                f"not {', '.join(sorted(expected))}"
            )
        return session

    def _read(self, name: str) -> bytes:
        try:
            if self._zip is None:
                file = self.path / name
                if file.stat().st_size > _MAX_FILE:
                    raise DancingError(f"{self.path}: {name} is too large")
                return file.read_bytes()
            if self._zip.getinfo(name).file_size > _MAX_FILE:
                raise DancingError(f"{self.path}: {name} is too large")
            return self._zip.read(name)
        except (OSError, KeyError) as error:
            raise DancingError(f"{self.path}: the bundle has no {name}") from error
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise DancingError(f"{self.path}: {name} cannot be unpacked ({error})") from error


def _locate(name: str | Path) -> Path:
    text = str(name)
    if text == "default":
        text = DEFAULT
    if text in embedded():
        return _EMBEDDED / text
    path = Path(name)
    if path.exists():
        return path
    raise DancingError(
        f"no dancer named '{name}', and no such bundle; known dancers: {', '.join(embedded())}"
    )


def _checked_card(path: Path, card: Any) -> dict[str, Any]:
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DancingError(f"{path}: its {CARD} is not of format {FORMAT}; export it again")
    kinds = {"name": str, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(card.get(key), kind):
            raise DancingError(f"{path}: its {CARD} has no valid '{key}'")
    for stage, check in (("motion", _check_motion), ("image", _check_image)):
        if stage in card:
            try:
                check(card[stage])
            except (KeyError, TypeError, ValueError) as error:
                raise DancingError(
                    f"{path}: its {CARD} has no valid '{stage}' ({error})"
                ) from error
    for name in card["files"]:
        if Path(name).name != name:
            raise DancingError(f"{path}: its {CARD} names a file outside the bundle: {name}")
    return card


def _check_motion(settings: dict[str, Any]) -> None:
    _check_placement(settings["placement"])
    _check_proportions(settings)
    if not (type(settings["window"]) is int and 2 <= settings["window"] <= 10_000):
        raise ValueError("window")
    if "body" in settings:
        _numbers(settings["mean"], 101)
        _numbers(settings["std"], 101)
        music, body = settings["music"], settings["body"]
        _numbers(music["mfcc_std"], N_MFCC)
        names = ("within", "std", "at_tempo")
        _numbers([music["tempo_mean"], *(music[f"vigour_{name}"] for name in names)], 4)
        _numbers(body["bones"], 19)
        _numbers([body["focal"], *body["home"]], 4)


def _check_image(settings: dict[str, Any]) -> None:
    _check_placement(settings["placement"])
    _check_proportions(settings)
    left, top, right, bottom = _numbers(settings["view"], 4)
    if not (left < right and top < bottom):
        raise ValueError("view")
    _check_integers("size", settings["size"], 2, 16)
    if any(side % 2 for side in settings["size"]):
        raise ValueError("size")
    if "margin" in settings:
        _check_integers("margin", settings["margin"], 4, 0)


def _check_placement(placement: dict[str, Any]) -> None:
    _, _, torso, aspect = _numbers([placement[key] for key in ("x", "y", "torso", "aspect")], 4)
    if not (torso > 0 and 0.05 <= aspect <= 20):
        raise ValueError("placement")


def _check_proportions(settings: dict[str, Any]) -> None:
    if "proportions" in settings:
        lengths = [settings["proportions"][kind] for kind in BONE_KINDS]
        if not all(length > 0 for length in _numbers(lengths, len(BONE_KINDS))):
            raise ValueError("proportions")
        _numbers([settings["placement"]["floor"]], 1)


def _check_integers(name: str, values: Any, count: int, least: int) -> None:
    if len(values) != count or not all(type(n) is int and least <= n <= 4096 for n in values):
        raise ValueError(name)


def _numbers(values: Any, count: int) -> list[float]:
    if len(values) != count or not all(
        isinstance(value, int | float) and math.isfinite(value) for value in values
    ):
        raise ValueError(f"{values} are not {count} numbers")
    return list(values)
