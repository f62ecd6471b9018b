"""The two networks of MediaPipe's pose landmarker: find or build their file, and run them.

They are not part of this package. They come from the first of these that works:

1. the user's cache folder (`$DANCING_CACHE`, else the platform's usual place);
2. Google's official download, checked by its SHA-256;
3. the wheel `mediapipe==0.10.21`, which pip can fetch wherever a package index is reachable; it
   carries the same two networks, checked by SHA-256, and is not installed.

ONNX Runtime runs them. They are turned into its format whenever they are opened, which takes less
than half a second: so nothing is kept that could be stale or damaged.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.data import tflite
from dancing.errors import DancingError
from dancing.files import cache_folder, write_then_rename
from dancing.listener import Listener

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

MODEL = "pose_landmarker_full.task"
URL = (
    "https://storage.googleapis.com/mediapipe-models/pose_landmarker/"
    f"pose_landmarker_full/float16/1/{MODEL}"
)
SHA256 = "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1"
DETECTOR_SIZE, LANDMARKS_SIZE = 224, 256  # of the networks' pictures in pixels
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
    """One of the two networks of the model.

    Attributes:
        member: its name in the model file.
        in_wheel: its name in the wheel.
        sha256: of the one in the wheel.
        size: of its picture, in pixels.
        outputs: their shapes, in order.
    """

    member: str
    in_wheel: str
    sha256: str
    size: int
    outputs: tuple[tuple[int, ...], ...]


_DETECTOR = _Network(
    "pose_detector.tflite",
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    DETECTOR_SIZE,
    ((1, 2254, 12), (1, 2254, 1)),
)
_LANDMARKS = _Network(
    "pose_landmarks_detector.tflite",
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    LANDMARKS_SIZE,
    ((1, 195), (1, 1), (1, 1, 256, 256), (1, 39, 64, 64), (1, 117)),
)


class Networks:
    """Both networks, ready to run.

    Args:
        path: a model file.

    Raises:
        DancingError: when they cannot be run.
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as file:
            self._detector, self._landmarks = (
                _opened(path, network, file.read(network.member))
                for network in (_DETECTOR, _LANDMARKS)
            )

    def detector(
        self, picture: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where in a whole picture people might be.

        Args:
            picture: (1, 3, 224, 224) in -1 to 1.

        Returns:
            Boxes (2254, 12), in pixels from their anchors: x and y of the middle, width, height,
            x and y of four points; and their scores (2254,), as logits.
        """
        boxes, scores = self._detector.run(None, {self._detector.get_inputs()[0].name: picture})
        return boxes[0], scores[0, :, 0]

    def landmarks(
        self, picture: NDArray[np.float32]
    ) -> tuple[
        NDArray[np.float32],
        float,
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.float32],
    ]:
        """What is seen of the one person in a picture.

        Args:
            picture: (1, 3, 256, 256) in 0 to 1.

        Returns:
            Landmarks (39, 5): x, y, z in pixels, logits of visibility and presence; how likely a
            person is there; the matte (256, 256) and heat maps of the landmarks (39, 64, 64), as
            logits; landmarks (39, 3) in metres, hip-centred.
        """
        landmarks, score, matte, heatmaps, world = self._landmarks.run(
            None, {self._landmarks.get_inputs()[0].name: picture}
        )
        return (
            landmarks.reshape(39, 5),
            float(score[0, 0]),
            matte[0, 0],
            heatmaps[0],
            world.reshape(39, 3),
        )


def networks() -> Networks:
    """The networks, fetched on first use and shared by all that look at pictures.

    Raises:
        DancingError: when no way to them works, or those in the cache folder cannot be run.
    """
    path = model_path()
    status = path.stat()
    return _networks(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=1)
def _networks(path: Path, version: tuple[int, int]) -> Networks:
    return Networks(path)


def _opened(path: Path, network: _Network, content: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait by looking again and again would slow down those that decode the video.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            tflite.to_onnx(content), options, providers=["CPUExecutionProvider"]
        )
        found = [tuple(entry.shape) for entry in (*session.get_inputs(), *session.get_outputs())]
        if found != [(1, 3, network.size, network.size), *network.outputs]:
            raise ValueError("it is not a network for 33 landmarks and a matte")
    except Exception as error:  # ONNX Runtime's exceptions share no public base class.
        raise DancingError(
            f"{path}: its {network.member} cannot be used ({error}); remove the file, and the "
            "usual one is fetched"
        ) from error
    return session


def model_path(listener: Listener | None = None) -> Path:
    """The pose landmarker's model file, fetched or built on first use.

    Args:
        listener: told before anything is fetched.

    Raises:
        DancingError: when the library that reads it is not installed, or no way to it works.
    """
    if find_spec("onnx") is None:
        raise DancingError("finding people in videos needs onnx: pip install 'dancing[extract]'")
    path = cache_folder() / MODEL
    if is_model(path):
        return path
    (listener or Listener()).note(
        "the pose networks (9 MB) are fetched once, from Google or else from the package index, "
        f"into {path.parent}"
    )
    with write_then_rename(path) as temporary:
        try:
            _download(temporary)
        except OSError as no_download:
            try:
                build_from_wheel(temporary)
            except (OSError, subprocess.SubprocessError, KeyError) as no_wheel:
                raise DancingError(
                    f"the pose model can be neither downloaded ({no_download}) nor built from "
                    f"the wheel of {_WHEEL} ({no_wheel}); download {URL} elsewhere and put it "
                    f"at {path}"
                ) from no_wheel
    return path


def is_model(path: Path) -> bool:
    """Whether the file is whole: both networks are there and their checksums hold.

    Any such model is taken, so that one who put another there on purpose gets it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = {network.member for network in (_DETECTOR, _LANDMARKS)}
            small = sum(entry.file_size for entry in file.infolist()) <= _LARGEST
            return small and members <= set(file.namelist()) and file.testzip() is None
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
            members = {
                network.member: _network(file, network) for network in (_DETECTOR, _LANDMARKS)
            }
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)


def _network(wheel: zipfile.ZipFile, network: _Network) -> bytes:
    data = wheel.read(network.in_wheel)
    _check(network.in_wheel, data, network.sha256)
    return data


def _check(what: str, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OSError(f"{what} has a wrong SHA-256")
