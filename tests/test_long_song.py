"""Songs of hours: memory and time grow with the poses alone, and nothing sounds different."""

import csv
import json
import os
import subprocess
import sys
import tracemalloc
import wave
from dataclasses import replace

import numpy as np
import pytest

from dancing import rows
from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.image.dancer import Dancer
from dancing.motion.flow.runtime import Runtime
from dancing.music.counts import count
from dancing.music.mfcc import cepstrum, decibel_spectrum, mfcc
from dancing.music.song import load_song
from dancing.rows import Rows
from songs import in_style

MB = 2**20


def song_of(path, minutes):
    """A song that stops for a moment in every minute."""
    sound, _ = in_style("house", 120, 56.0)
    minute = np.pad(sound, (0, 4 * 22050)) / np.abs(sound).max()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22050, 0, "NONE", ""))
        for _ in range(minutes):
            file.writeframes((minute * 32767).astype("<i2").tobytes())
    return path


def test_memory_hardly_grows_with_the_song(tmp_path, monkeypatch):
    """Features, dance and fit; the network is replaced, for it takes more time than memory."""
    monkeypatch.setattr(rows, "_IN_MEMORY", MB // 4)
    ava, kai = Bundle("ava"), Dancer("kai")
    runtime = Runtime(lambda inputs, **_: [inputs["point"]], ava.stage("motion"))
    peaks = []
    for minutes in (1, 3):
        path = song_of(tmp_path / "song.wav", minutes)
        world = Rows(33, 3)
        tracemalloc.start()
        song = load_song(path)
        poses = runtime(song, 0, kai.placement, world=world)
        fitted = kai.fit(poses, ava.stage("motion").proportions, in_place=True)
        fitted.save(tmp_path / "dance.npz", world)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(song.beats) > 80 * minutes and len(fitted) == len(world) == 1800 * minutes
    # Landmarks are 0.5 MB a minute; the sound, which is not kept, is 5.
    assert (peaks[1] - peaks[0]) / 2 < 2 * MB


def test_three_hours_of_beats_are_counted_in_little_memory():
    beats = np.arange(0.3, 3 * 3600, 0.5)
    tracemalloc.start()
    counts = count(beats, beats[2::4], 3 * 3600.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * MB
    assert counts.phase[np.searchsorted(counts.times, beats[2] - 0.1)] % 4 == 0


@pytest.mark.parametrize("limit", [MB, 100])
def test_rows_are_the_same_in_memory_and_in_a_file(limit, monkeypatch):
    monkeypatch.setattr(rows, "_IN_MEMORY", limit)
    whole = np.random.default_rng(0).random((30011, 5), np.float32)
    kept = Rows(5)
    for first in range(0, len(whole), 777):
        kept.append(whole[first : first + 777])
    assert len(kept) == len(whole) and kept.mean() == whole.mean()
    np.testing.assert_array_equal(kept[4000:5000], whole[4000:5000])
    np.testing.assert_array_equal(kept[30000:40000], whole[30000:])
    assert len(kept[40000:50000]) == 0
    for part, chunk in kept.chunks():
        np.testing.assert_array_equal(chunk, whole[part])


def test_no_room_for_a_temporary_file_is_one_line(monkeypatch):
    monkeypatch.setattr(rows, "_IN_MEMORY", 0)
    kept = Rows(1000)
    kept.append(np.zeros((1, 1000), np.float32))
    os.dup2(os.open("/dev/full", os.O_RDWR), kept._file.fileno())
    with pytest.raises(DancingError, match="TMPDIR"):
        kept.append(np.zeros((100, 1000), np.float32))


@pytest.mark.parametrize("samples", [1, 734, 735, 44_101, 600_000, 800_001])
def test_features_do_not_depend_on_the_blocks_that_are_heard(samples):
    random = np.random.default_rng(samples)
    sound = random.normal(0, 0.1, samples).astype(np.float32)
    spectrum = decibel_spectrum()
    for block in np.split(sound, np.sort(random.integers(0, samples, 30))):
        spectrum.add(block)
    np.testing.assert_array_equal(cepstrum(spectrum.finish()), mfcc(sound))


def test_long_poses_are_written_as_short_ones(tmp_path):
    frames = 2000
    random = np.random.default_rng(0)
    beats = np.arange(0.21, frames / 30, 0.5)
    poses = PoseSequence(random.random((frames, 33, 2), np.float32), beats=beats)
    metres = random.random((frames, 33, 3), np.float32)
    world = Rows(33, 3)
    world.append(metres)
    poses.save(tmp_path / "apart.npz", world)
    replace(poses, world=metres).save(tmp_path / "within.npz")
    assert (tmp_path / "apart.npz").read_bytes() == (tmp_path / "within.npz").read_bytes()
    poses.save(tmp_path / "poses.json")
    values = json.loads((tmp_path / "poses.json").read_text())
    assert list(values) == ["fps", "aspect", "landmark_names", "landmarks", "beats"]
    assert values["landmarks"] == poses.landmarks.tolist() and values["beats"] == beats.tolist()
    poses.save(tmp_path / "poses.csv")
    with (tmp_path / "poses.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["beat"]) for row in table if row["beat"]] == beats.tolist()
    assert np.float32(table[-1]["left_foot_index_y"]) == poses.landmarks[-1, 31, 1]


def test_poses_are_fitted_in_place_as_in_a_copy():
    """Over several stretches, by a dancer of other proportions."""
    random = np.random.default_rng(0)
    landmarks = (random.random((1, 33, 2)) + 0.02 * random.random((4000, 33, 2))).astype("f4")
    kai = Dancer("kai")
    copy = kai.fit(PoseSequence(landmarks.copy()))
    poses = PoseSequence(landmarks.copy())
    fitted = kai.fit(poses, in_place=True)
    np.testing.assert_array_equal(fitted.landmarks, copy.landmarks)
    assert fitted.landmarks is poses.landmarks and np.abs(landmarks - copy.landmarks).max() > 0.01


@pytest.mark.slow
def test_three_hours_of_dance_take_at_most_400_mb(tmp_path):
    song = song_of(tmp_path / "song.wav", 180)
    command = [sys.executable, "-m", "dancing", "generate", song, "-o", tmp_path / "dance.npz"]
    child = subprocess.Popen([*map(str, command), "--dancer", "kai"])
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    assert usage.ru_maxrss / 1024 <= 400  # kB on Linux
    assert len(PoseSequence.load(tmp_path / "dance.npz")) == 180 * 1800
