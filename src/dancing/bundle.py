"""Dancer bundles: a folder or zip with ONNX models, their weights and a card."""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dancing.card import StageCard, read_card
from dancing.errors import DancingError
from dancing.family import STAGES, family

if TYPE_CHECKING:
    import onnxruntime

CARD = "card.json"
PREVIEW = "preview.png"
DEFAULT = "ava"
_EMBEDDED = Path(__file__).parent / "bundles"
_MAX_FILE = 512 * 2**20


def embedded() -> list[str]:
    """Names of the dancers that come with the package."""
    return sorted(path.parent.name for path in _EMBEDDED.glob(f"*/{CARD}"))


class Bundle:
    """A dancer bundle, opened by the name of an embedded dancer or by a path.

    Attributes:
        path: folder or zip.
        card: what card.json says; see `dancing.card`.

    Raises:
        DancingError: for an unknown name, a bundle without a card, a missing file, or one whose
            hash is not the card's.
    """

    def __init__(self, name: str | Path = "default") -> None:
        self.path = _locate(name)
        if self.path.is_file() and not zipfile.is_zipfile(self.path):
            raise DancingError(f"{self.path}: a dancer bundle is a folder or a zip")
        try:
            values = json.loads(self._read(CARD))
        except (ValueError, RecursionError) as error:
            raise DancingError(f"{self.path}: its {CARD} is not JSON ({error})") from error
        try:
            self.card = read_card(values, _card_kinds(values))
        except ValueError as error:
            raise DancingError(f"{self.path}: its {CARD} {error}") from error
        except DancingError as error:
            raise DancingError(f"{self.path}: {error}") from error

    @property
    def name(self) -> str:
        """The dancer's name."""
        return self.card.name

    def has(self, stage: str) -> bool:
        """Whether the bundle holds a model of this stage, 'motion' or 'image'."""
        return self.card.stage(stage) is not None

    def stage(self, name: str) -> StageCard:
        """What the card says of the model of a stage; its class is that of the model's family.

        Raises:
            DancingError: when the bundle has no such stage.
        """
        card = self.card.stage(name)
        if card is None:
            raise DancingError(f"{self.path}: this bundle has no {name} model")
        return card

    def file(self, name: str) -> bytes:
        """The content of one of the bundle's files, checked against the card's hash."""
        expected = self.card.files.get(name)
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
        return self.file(PREVIEW) if PREVIEW in self.card.files else None

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
        inputs = family(stage, self.stage(stage).model).inputs
        content = self.file(f"{stage}.onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # A plan of the memory for every shape of input that comes costs more than it saves.
        options.enable_mem_pattern = False
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        available = onnxruntime.get_available_providers()
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=[name for name in wanted if name in available]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(f"{self.path}: {stage}.onnx cannot be loaded ({error})") from error
        found = {entry.name for entry in session.get_inputs()}
        if found != set(inputs):
            raise DancingError(
                f"{self.path}: {stage}.onnx takes {', '.join(sorted(found))}, "
                f"not {', '.join(sorted(inputs))}"
            )
        return session

    def _read(self, name: str) -> bytes:
        try:
            if self.path.is_dir():
                file = self.path / name
                if file.stat().st_size > _MAX_FILE:
                    raise DancingError(f"{self.path}: {name} is too large")
                return file.read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(name).file_size > _MAX_FILE:
                    raise DancingError(f"{self.path}: {name} is too large")
                return archive.read(name)
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


def _card_kinds(values: Any) -> dict[str, type[StageCard]]:
    """The dataclass of each stage that card.json has an entry of, by the model that it names.

    Raises:
        DancingError: for a model that is of no family.
        ValueError: when it names none.
    """
    kinds = {}
    for stage in STAGES:
        if isinstance(values, dict) and stage in values:
            entry = values[stage]
            if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
                raise ValueError(f"has no valid '{stage}' (no model is named)")
            kinds[stage] = family(stage, entry["model"]).card
    return kinds
