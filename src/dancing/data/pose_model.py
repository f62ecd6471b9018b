"""MediaPipe's pose landmarker: find or build its model file, and see people in a picture.

The model is not part of this package. It comes from the first of these that works:

1. the user's cache folder (`$DANCING_CACHE`, else the platform's usual place);
2. Google's official download, checked by its SHA-256;
3. the wheel `mediapipe==0.10.21`, which pip can fetch wherever a package index is reachable. It
   carries the same two networks, checked by SHA-256, but lacks the metadata that today's
   MediaPipe asks for, which is added here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dancing.errors import DancingError
from dancing.files import write_then_rename

MODEL = "pose_landmarker_full.task"
URL = (
    "https://storage.googleapis.com/mediapipe-models/pose_landmarker/"
    f"pose_landmarker_full/float16/1/{MODEL}"
)
SHA256 = "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1"
_LARGEST = 64 << 20
# Wheels of every platform carry the same networks, so one platform is named: then pip finds it
# whatever Python runs here.
_WHEEL = "mediapipe==0.10.21"
_WHEEL_TAGS = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux_2_28_x86_64"),
)


@dataclass(frozen=True)
class _Network:
    """One of the two networks of the model: where the wheel has it, how its pixels are scaled."""

    member: str
    in_wheel: str
    sha256: str
    mean: float
    std: float


_NETWORKS = (
    _Network(
        "pose_detector.tflite",
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        mean=127.5,
        std=127.5,
    ),
    _Network(
        "pose_landmarks_detector.tflite",
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        mean=0.0,
        std=255.0,
    ),
)


def model_path() -> Path:
    """The pose landmarker's model file, fetched or built on first use.

    Raises:
        DancingError: when MediaPipe is not installed, or no way to the model works.
    """
    import_mediapipe()
    path = cache_folder() / MODEL
    if is_model(path):
        return path
    with write_then_rename(path) as temporary:
        try:
            _download(temporary)
        except OSError as no_download:
            try:
                build_from_wheel(temporary)
            except (OSError, ImportError, subprocess.SubprocessError, KeyError) as no_wheel:
                raise DancingError(
                    f"the pose model can be neither downloaded ({no_download}) nor built from "
                    f"the wheel of {_WHEEL} ({no_wheel}); download {URL} elsewhere and put it "
                    f"at {path}"
                ) from no_wheel
    return path


def cache_folder() -> Path:
    """Where downloaded files are kept: `$DANCING_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("DANCING_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dancing"


def import_mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "mediapipe":
            raise DancingError(
                "finding people in videos needs MediaPipe: pip install 'dancing[extract]'"
            ) from error
        raise DancingError(f"MediaPipe is installed but cannot be loaded ({error})") from error
    return mediapipe


def is_model(path: Path) -> bool:
    """Whether the file is whole: both networks are there and their checksums hold.

    Any such model is taken, so that one who put another there on purpose gets it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = {network.member for network in _NETWORKS}
            return members <= set(file.namelist()) and file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _download(path: Path) -> None:
    with urllib.request.urlopen(URL, timeout=5) as answer:
        data = answer.read(_LARGEST)
    _check("the downloaded model", data, SHA256)
    path.write_bytes(data)


def build_from_wheel(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ("--no-deps", "--only-binary=:all:", "--retries", "1", "--timeout", "10", "-q")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", _WHEEL, "-d", folder),
                *(*options, *_WHEEL_TAGS, "--disable-pip-version-check"),
            ],
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip failed"]
            raise OSError(next((line for line in lines if line.startswith("ERROR")), lines[-1]))
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as file:
            networks = {network.member: _network(file, network) for network in _NETWORKS}
    from mediapipe.tasks.python.metadata.metadata_writers import model_asset_bundle_utils

    model_asset_bundle_utils.create_model_asset_bundle(networks, str(path))


def _network(wheel: zipfile.ZipFile, network: _Network) -> bytes:
    data = wheel.read(network.in_wheel)
    _check(network.in_wheel, data, network.sha256)
    return _with_metadata(data, network.mean, network.std)


def _with_metadata(data: bytes, mean: float, std: float) -> bytes:
    """A TFLite network told how its input is made: RGB, (pixel - mean) / std."""
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT.InitFromPackedBuf(bytearray(data))
    scaling = metadata.ProcessUnitT(
        optionsType=metadata.ProcessUnitOptions.NormalizationOptions,
        options=metadata.NormalizationOptionsT(mean=[mean], std=[std]),
    )
    content = metadata.ContentT(
        contentPropertiesType=metadata.ContentProperties.ImageProperties,
        contentProperties=metadata.ImagePropertiesT(colorSpace=metadata.ColorSpaceType.RGB),
    )
    graph = metadata.SubGraphMetadataT(
        inputTensorMetadata=[
            metadata.TensorMetadataT(name="image", content=content, processUnits=[scaling])
        ],
        outputTensorMetadata=[metadata.TensorMetadataT() for _ in model.subgraphs[0].outputs],
    )
    description = _flatbuffer(metadata.ModelMetadataT(subgraphMetadata=[graph]), b"M001")
    model.buffers.append(tflite.BufferT(data=np.frombuffer(description, np.uint8)))
    kept = [entry for entry in model.metadata or [] if entry.name != b"TFLITE_METADATA"]
    entry = tflite.MetadataT(name=b"TFLITE_METADATA", buffer=len(model.buffers) - 1)
    model.metadata = [*kept, entry]
    return _flatbuffer(model, b"TFL3")


def _flatbuffer(table: Any, identifier: bytes) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


def _check(what: str, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OSError(f"{what} has a wrong SHA-256")
