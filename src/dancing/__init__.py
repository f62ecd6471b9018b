"""Dancing: a song goes in, a person dances out.

    import dancing
    dancing.generate("song.mp3", "dance.mp4", seed=1)

The rungs below it, each usable alone: `load_song`, `Choreographer`, `Dancer`. Names are imported
when first used, so that `import dancing` costs nothing.
"""

from __future__ import annotations

import os

from dancing.version import VERSION

# Not from typing: nothing is imported here that takes time, in which Ctrl-C would show a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dancing.body.poses import PoseSequence
    from dancing.bundle import Bundle
    from dancing.data.dataset import Dataset, DatasetWriter
    from dancing.errors import DancingError
    from dancing.image.dancer import Dancer
    from dancing.motion.choreographer import Choreographer
    from dancing.music.song import Song, load_song
    from dancing.pipeline import generate

__version__ = VERSION

# Wheels of ONNX Runtime report usage to their maker, unless this is set before their import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Song": "music.song",
    "load_song": "music.song",
    "Bundle": "bundle",
    "Choreographer": "motion.choreographer",
    "Dancer": "image.dancer",
    "Dataset": "data.dataset",
    "DatasetWriter": "data.dataset",
    "DancingError": "errors",
    "generate": "pipeline",
    "PoseSequence": "body.poses",
}

__all__ = [
    "Bundle",
    "Choreographer",
    "Dancer",
    "DancingError",
    "Dataset",
    "DatasetWriter",
    "PoseSequence",
    "Song",
    "generate",
    "load_song",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dancing' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"dancing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
