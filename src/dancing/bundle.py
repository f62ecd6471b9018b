"""Dancer bundles: a folder or zip with ONNX models, their weights and a card."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import threading
import zipfile
import zlib
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.card import StageCard, read_card
from dancing.errors import DancingError
from dancing.family import STAGES, family
from dancing.files import put_back, replace_folder, temporary_folder
from dancing.onnx_check import check

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

CARD = "card.json"
PREVIEW = "preview.png"
DEFAULT = "ava"
_EMBEDDED = Path(__file__).parent / "bundles"
MAX_CARD = 4 * 2**20
MAX_FILE = 512 * 2**20
MAX_UNPACKED = 2**30
"""Bytes of a card, of another file, and of all files in a zip, when unpacked."""
MAX_MEMORY = 6 * 2**30
"""Bytes that models may compute with, all that are open in the process together."""
MAX_SECONDS = 300.0
"""How long one call of a model may take; usual ones take a few seconds at most."""
MAX_SIDE = 4096
"""Pixels of a picture that a model returns, each way."""
_PIECE = 2**20  # bytes that are read of a zip at a time
_DEEPEST = 50  # of the objects and lists of a card
_LARGEST = 1e6  # of the numbers that a model returns: standardised poses, shares
_LINE = 200  # characters
_SILENT = 4  # severity of ONNX Runtime's log, whose errors come as exceptions
_SMALL = 2**20  # bytes of a network beside which another thread paints, and one encodes


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
        if not self.path.is_dir() and not (self.path.is_file() and zipfile.is_zipfile(self.path)):
            raise DancingError(f"{self.path}: a dancer bundle is a folder or a zip")
        try:
            values = json.loads(self._read(CARD, MAX_CARD))
            _check_plain(values)
        except (ValueError, RecursionError) as error:
            raise DancingError(f"{self.path}: its {CARD} is not JSON ({_line(error)})") from error
        try:
            self.card = read_card(values, _card_kinds(values))
        except ValueError as error:
            raise DancingError(f"{self.path}: its {CARD} {_line(error)}") from error
        except DancingError as error:
            raise DancingError(f"{self.path}: {_line(error)}") from error

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
        content = self._read(name, MAX_FILE)
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

    def run(self, stage: str, inputs: dict[str, NDArray[Any]], **sides: int) -> list[NDArray[Any]]:
        """What a stage's ONNX model returns: its card's `outputs`, of the shapes given there.

        Args:
            inputs: by name, as the card's `inputs`.
            sides: lengths of sides of the outputs that are sides of no input.

        Raises:
            DancingError: when there is no such model, it fails, takes too long, or returns other
                shapes, or numbers that are not finite.
        """
        session, card = getattr(self, stage), self.stage(stage)
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = _SILENT
        timer = threading.Timer(MAX_SECONDS, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            found = session.run(list(card.outputs), inputs, options)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            why = f"took longer than {MAX_SECONDS:g} s" if options.terminate else "failed"
            raise DancingError(f"{self.path}: the {stage} model {why} ({_line(error)})") from error
        finally:
            timer.cancel()
        for name, tensor in card.inputs.items():
            sides |= tensor.sides(inputs[name].shape)
        for (name, tensor), array in zip(card.outputs.items(), found, strict=True):
            fits = array.ndim == len(tensor.shape)
            # A side that is neither given nor an input's is as it comes, within limits.
            free = {} if not fits else tensor.sides(array.shape)
            fits &= all(side in sides or 4 <= free[side] <= MAX_SIDE for side in free)
            if not fits or array.shape != tensor.sized(free | sides):
                raise DancingError(
                    f"{self.path}: the {stage} model returns {name} of shape {array.shape}, not "
                    f"{tensor}"
                )
            if array.dtype.kind == "f" and not (np.abs(array) <= _LARGEST).all():
                raise DancingError(
                    f"{self.path}: the {stage} model returns {name} with numbers that are not "
                    "finite, or far too large"
                )
        return found

    def onnx(self, stage: str) -> bytes:
        """A stage's ONNX file, once it is known to be one that the family can have exported.

        Raises:
            DancingError: when there is none, or it is another one.
        """
        card = self.stage(stage)
        content = self.file(f"{stage}.onnx")
        try:
            check(content, card.inputs, card.outputs)
        except ValueError as error:
            raise DancingError(f"{self.path}: {stage}.onnx {_line(error)}") from error
        return content

    def _session(self, stage: str) -> onnxruntime.InferenceSession:
        content = self.onnx(stage)
        import onnxruntime

        _limit_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        options.add_session_config_entry("session.use_env_allocators", "1")
        if stage == "motion" or len(content) < _SMALL:
            # So small that more threads gain nothing; and of one, the sums have one order.
            options.intra_op_num_threads = 1
        # Threads that wait by looking again and again would slow down those that paint and encode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of the memory for every shape of input that comes costs more than it saves.
        options.enable_mem_pattern = False
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        available = onnxruntime.get_available_providers()
        try:
            return onnxruntime.InferenceSession(
                content, options, providers=[name for name in wanted if name in available]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class.
            raise DancingError(
                f"{self.path}: {stage}.onnx cannot be loaded ({_line(error)})"
            ) from error

    def _read(self, name: str, limit: int) -> bytes:
        """The content of a file of at most so many bytes."""
        try:
            take = self._unpacked if self.path.is_file() else self._file
            content = take(name, limit)
        except (OSError, KeyError) as error:
            raise DancingError(f"{self.path}: the bundle has no {name}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            raise DancingError(
                f"{self.path}: {name} cannot be unpacked ({_line(error)})"
            ) from error
        if len(content) > limit:
            raise DancingError(f"{self.path}: {name} is larger than {limit >> 20} MiB")
        return content

    def _file(self, name: str, limit: int) -> bytes:
        """The start of a file of a folder, one byte more than the limit at most."""
        path = (self.path / name).resolve(strict=True)
        if path.parent != self.path.resolve():
            raise DancingError(f"{self.path}: {name} is a link to another place")
        with open(path, "rb", opener=_at_once) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise DancingError(f"{self.path}: {name} is a device or a pipe, not a file")
            return file.read(min(state.st_size, limit) + 1)

    def _unpacked(self, name: str, limit: int) -> bytes:
        """The start of a file of a zip; what its header says of the size may be untrue."""
        with _Pieces(self.path) as file, zipfile.ZipFile(file) as archive:
            entry = archive.getinfo(name)
            if archive.namelist().count(name) > 1:
                raise zipfile.BadZipFile("it is there twice")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("it is packed by another method than 'deflate'")
            if sum(each.file_size for each in archive.infolist()) > MAX_UNPACKED:
                raise zipfile.BadZipFile(f"all files have more than {MAX_UNPACKED >> 20} MiB")
            with archive.open(entry) as packed:
                content = bytearray()
                while len(content) <= limit and (piece := packed.read(_PIECE)):
                    content += piece
            return bytes(content)


def check_output(output: Path) -> None:
    """Refuse a place for a bundle, before any work is done.

    Raises:
        DancingError: when something else lies there.
    """
    if output.is_dir() and any(output.iterdir()) and not (output / CARD).is_file():
        raise DancingError(f"{output}: is a folder with other things in it, not a bundle")
    if output.suffix != ".zip" and output.is_file():
        raise DancingError(f"{output}: is a file, not a bundle; name a folder or a .zip")


def write_bundle(files: dict[str, bytes], output: Path) -> None:
    """Write a bundle's files, by name, as a folder or .zip; an older one is replaced.

    Raises:
        DancingError: when the place cannot be written.
    """
    place = output.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(place.parent) as scratch:
            made = scratch / place.name
            if output.suffix == ".zip":
                with zipfile.ZipFile(made, "w") as archive:
                    for name, content in files.items():
                        archive.writestr(name, content)
                made.replace(place)
            else:
                made.mkdir()
                for name, content in files.items():
                    (made / name).write_bytes(content)
                replace_folder(made, place)
    except OSError as error:
        raise DancingError(f"{output}: cannot be written ({error.strerror or error})") from error


class _Pieces(io.FileIO):
    """A zip that is read in pieces: one whose directory is huge would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        if size is None or size < 0:
            size = left
        if min(size, left) > _PIECE:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


@cache
def _limit_memory() -> None:
    """Set the limit of the memory that sessions share, once in this process."""
    import onnxruntime as ort

    where = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(where, ort.OrtArenaCfg({"max_mem": MAX_MEMORY}))


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for who writes into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_plain(values: Any) -> None:
    """Refuse JSON that is nested deeply, or has text that cannot be written.

    Raises:
        ValueError: with what is wrong.
    """
    left = [(values, 0)]
    while left:
        value, depth = left.pop()
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} levels of lists and objects")
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, dict):
            left += [(each, depth + 1) for each in (*value, *value.values())]
        elif isinstance(value, list):
            left += [(each, depth + 1) for each in value]


def _line(error: Exception) -> str:
    """What an error says of a stranger's file, as one short line without control characters."""
    text = " ".join(str(error).split())[:_LINE]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _locate(name: str | Path) -> Path:
    text = str(name)
    if text == "default":
        text = DEFAULT
    if text in embedded():
        return _EMBEDDED / text
    path = Path(name)
    try:
        put_back(path)
        if path.exists():
            return path
    except (OSError, ValueError):  # a name that no file can have
        pass
    raise DancingError(
        f"no dancer named {str(name)!r}, and no such bundle; known dancers: {', '.join(embedded())}"
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
