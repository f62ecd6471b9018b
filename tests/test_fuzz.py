"""Broken files of every kind: success or one line, within time and memory, and nothing left."""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import fuzz
from dancing.body.poses import PoseSequence
from dancing.bundle import _EMBEDDED, DEFAULT
from dancing.data.dataset import DatasetWriter
from media import EXAMPLE, clicks, write_wav
from videos import plain, sine, write_video

# Cases of each kind. DANCING_FUZZ sets those of the long run.
SHORT = {"sound": 60, "video": 60, "picture": 80, "poses": 80, "dataset": 40, "bundle": 24}
LONG = int(os.environ.get("DANCING_FUZZ", "600"))
_FIRST_LONG = 10_000  # other cases than those of the short run


def sounds(folder):
    write_wav(folder / "a.wav", clicks(4))
    (folder / "a.ogg").write_bytes(EXAMPLE.read_bytes()[:60_000])
    sound = clicks(4, rate=48_000).astype(np.float32)
    for name, codec in (
        ("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.flac", "flac"), 
        ("a.opus", "libopus"), ("a.mka", "ac3"), ("a.ts", "mp2"), ("a.aiff", "pcm_s16be"),
        ("a.caf", "pcm_s16be"), ("a.wma", "wmav2"), ("a.aac", "aac"), ("a.avi", "pcm_s16le"),
    ):  # fmt: skip
        with av.open(str(folder / name), "w") as out:
            stream = out.add_stream(codec, rate=48_000, layout="mono")
            stream.codec_context.bit_rate = 64_000
            frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            frame.sample_rate = 48_000
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


def shades(count):
    ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3)
    return [np.roll(ramp, 3 * t, 1).astype(np.uint8) for t in range(count)]


def videos(folder):
    for suffix in (".mp4", ".mov", ".mkv", ".avi", ".ts", ".3gp"):
        write_video(folder / f"a{suffix}", shades(20), sound=sine(0.6))


def pictures(folder):
    image = Image.fromarray(shades(1)[0])
    for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp", ".gif"):
        image.save(folder / f"a{suffix}")


def dance(frames):
    """Poses that stand upright and sway, with all that a file may hold."""
    rest = np.full((33, 2), 0.5)
    rest[:11], rest[11:23:2], rest[12:23:2] = [0.5, 0.2], [0.6, 0.4], [0.4, 0.4]
    rest[23:33:2], rest[24:33:2] = [0.56, 0.62], [0.44, 0.62]
    rest[25:33, 1] = 0.85
    sway = 0.02 * np.sin(np.arange(frames) / 5)[:, None, None]
    poses = PoseSequence((rest + sway).astype(np.float32), aspect=0.5625)
    world = np.concatenate([poses.landmarks - 0.5, np.zeros((frames, 33, 1))], -1)
    return replace(
        poses, world=world.astype(np.float32), visibility=np.ones((frames, 33), np.float32)
    )


def pose_files(folder):
    for suffix in (".npz", ".json", ".csv"):
        dance(40).save(folder / f"a{suffix}")


def datasets(folder):
    with DatasetWriter(folder / "a.h5") as writer:
        for i in range(2):
            frames = [*plain(40 + i, 12), *shades(8)]
            writer.clip(f"c{i}", dance(20), mfcc=np.ones((20, 13), np.float32), frames=iter(frames))


def bundles(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in (_EMBEDDED / DEFAULT).iterdir():
            archive.write(path, path.name)


MAKERS = {
    "sound": sounds, "video": videos, "picture": pictures, "poses": pose_files,
    "dataset": datasets, "bundle": bundles,
}  # fmt: skip


def outcomes(kind, folder, first, count):
    """What came of each case. A process that dies is one outcome, and the next goes on after it."""
    for name in ("whole", "home"):
        (folder / name).mkdir()
    MAKERS[kind](folder / "whole")
    found, end = [], first + count
    while first < end:
        worker = [sys.executable, fuzz.__file__, kind, folder, first, end - first]
        done = subprocess.run([*map(str, worker)], capture_output=True, text=True, cwd=folder)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found += [line for line in lines if "outcome" in line]
        first = lines[-1]["case"] + 1 if lines else end
        if done.returncode:
            last = {"case": first - 1, "outcome": f"died ({done.returncode}): {done.stderr[-500:]}"}
            found.append(last)
    assert [*(folder / "home").iterdir()] == [], "written to the home folder"
    assert {path.name for path in folder.iterdir()} == {"whole", "home", "case"}
    return found


def assert_all_well(kind, folder, first, count):
    found = outcomes(kind, folder, first, count)
    counts = Counter(line["outcome"] for line in found)
    wrong = [line for line in found if line["outcome"] not in ("ok", "refused")]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(counts.values()) == count and counts["refused"] > 0.05 * count
    print(kind, dict(counts))


@pytest.mark.parametrize("kind", SHORT)
def test_broken_files(kind, tmp_path):
    assert_all_well(kind, tmp_path, 0, SHORT[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHORT)
def test_many_broken_files(kind, tmp_path):
    assert_all_well(kind, tmp_path, _FIRST_LONG, LONG)


def test_whole_files_are_read(tmp_path):
    for kind, make in MAKERS.items():
        (tmp_path / kind).mkdir()
        make(tmp_path / kind)
        for path in (tmp_path / kind).iterdir():
            (out := Path(f"{path}.out")).mkdir()
            fuzz.READERS[kind](path, out)
