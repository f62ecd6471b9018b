"""What several tests share: running the command line, making songs, reading videos."""

from __future__ import annotations

import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
from typer.testing import CliRunner

from dancing.cli import app
from dancing.errors import DancingError
from dancing.listener import Listener

EXAMPLE = Path(__file__).parent.parent / "examples" / "song.ogg"


def dancing(*arguments: object, ok: bool = True, **options) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own, as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "dancing", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def command(*arguments: object, ok: bool = True) -> SimpleNamespace:
    """The command line in this process, for tests that train: PyTorch takes seconds to import.

    Returns `stdout` and `stderr`; the latter ends with the error, if there was one.
    """
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok and done.exception is not None:
        raise done.exception
    assert ok or isinstance(done.exception, DancingError | SystemExit), done.exception
    error = "" if done.exception is None else str(done.exception)
    return SimpleNamespace(stdout=done.stdout, stderr=done.stderr + error)


def write_wav(path: Path, samples: np.ndarray, rate: int = 22050) -> Path:
    """A 16-bit wav file of (N,) or (N, channels) values in [-1, 1]."""
    samples = np.atleast_2d(samples.T).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def clicks(seconds: float, bpm: float = 120, rate: int = 22050) -> np.ndarray:
    """(N,) a click on every beat, with a little noise between."""
    time = np.arange(round(seconds * rate)) / rate
    since = time % (60 / bpm)
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    return 0.7 * np.sin(2 * np.pi * 160 * time) * np.exp(-since / 0.04) + noise


@dataclass
class Video:
    """A decoded video: pictures (T, H, W, 3) uint8, sound (channels, N) float32 or None."""

    frames: np.ndarray
    sound: np.ndarray | None
    fps: float
    codec: str
    pixels: str
    sound_codec: str | None
    duration: float


def read_video(path: Path) -> Video:
    """Decode all of a short video."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        about = (float(video.average_rate), video.codec_context.name, video.codec_context.pix_fmt)
        duration = container.duration / av.time_base
    sound, sound_codec = None, None
    with av.open(str(path)) as container:
        if container.streams.audio:
            sound_codec = container.streams.audio[0].codec_context.name
            sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    return Video(frames, sound, *about, sound_codec, duration)


class Recorder(Listener):
    """Keeps what it is told: `steps` of progress, and `notes`.

    Args:
        steps: list to keep the steps in.
        call: called with every step too.
        stop: called to tell whether the work is stopped.
    """

    def __init__(self, steps=None, call=None, stop=None):
        self.steps = [] if steps is None else steps
        self.notes = []
        self._call, self._stop = call, stop

    def progress(self, stage, done, total):
        self.steps.append((stage, done, total))
        if self._call:
            self._call(stage, done, total)

    def note(self, text):
        self.notes.append(text)

    def stopped(self):
        return bool(self._stop and self._stop())
