"""Ended at any moment: what was there stays whole, and the next run leaves nothing behind.

A killed process cannot remove what it had begun; the next one that writes to the folder does. Here
a few blows, at the moments that matter; with `-m slow`, DANCING_KILLS of them for each command, at
random moments, and counts of what they hit (`-s` shows them).
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from dancing.body.drawing import draw_skeleton
from dancing.bundle import CARD, Bundle
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.files import write_then_rename
from dancing.signals import end_in_order, leave_at_once
from media import EXAMPLE, dancing, read_video
from puppet import a_dance
from videos import AVA, plain, write_video

if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

KILLS = int(os.environ.get("DANCING_KILLS", "12"))
POLITE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAR = 300  # seconds in which anything here has begun, on a busy machine too


def begin(*arguments):
    """The command line, from its first line on: before, signals meet Python alone.

    It is in a session of its own, to tell its processes from others.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dancing", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_obey,
    )
    state = Path(f"/proc/{process.pid}/status")
    if not state.exists():  # no Linux
        time.sleep(0.5)
        return process
    caught = re.compile(r"^SigCgt:\s*(\w+)$", re.MULTILINE)
    until(lambda: int(caught.search(state.read_text())[1], 16) >> (signal.SIGHUP - 1) & 1)
    return process


def _obey():
    """Ignore no signal, though this process may."""
    for number in POLITE:
        signal.signal(number, signal.SIG_DFL)


def end(process, number, within=60):
    """Send a signal to one process; returns its exit code.

    It and all that it began must end within some seconds, many only as the machine may be busy.
    """
    if process.poll() is None:
        process.send_signal(number)
    began = time.monotonic()
    _, said = process.communicate(timeout=FAR)
    assert "Traceback" not in said, said
    while left := _of_session(process.pid):
        assert time.monotonic() < began + within, left
        time.sleep(0.05)
    assert time.monotonic() < began + within
    return process.returncode


def _of_session(session):
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def until(condition):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + FAR
        time.sleep(0.01)


def unfinished(folder):
    """What is being written, or was left, in a folder."""
    return sorted(path.name for path in folder.glob(".dancing-*"))


# ------------------------------------------------------------------------------ in a few seconds


def test_a_dance_that_is_ended_leaves_nothing_and_one_that_is_killed_no_longer(tmp_path):
    old = tmp_path / "o.mp4"
    old.write_bytes(b"what was there")
    arguments = ("generate", EXAMPLE, "-o", old, "--duration", 8)
    process = begin(*arguments)
    until(lambda: unfinished(tmp_path))
    assert end(process, signal.SIGHUP) == 128 + signal.SIGHUP
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    process, living = begin(*arguments), begin(*arguments)
    until(lambda: len(unfinished(tmp_path)) == 2)
    living.send_signal(signal.SIGSTOP)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    left = unfinished(tmp_path)
    assert len(left) == 2, "a killed process cannot remove it"
    assert old.read_bytes() == b"what was there"
    with write_then_rename(tmp_path / "next.txt"):
        pass
    assert len(unfinished(tmp_path)) == 1, "the living process still writes"
    living.send_signal(signal.SIGCONT)
    assert end(living, signal.SIGTERM) == 128 + signal.SIGTERM
    assert sorted(path.name for path in tmp_path.iterdir()) == ["next.txt", "o.mp4"]


def test_processes_that_prepare_end_with_their_parent(tmp_path):
    """Killed or not; and pictures of the person do not stay."""
    source = tmp_path / "in"
    source.mkdir()
    video = write_video(tmp_path / "video.mp4", plain(40, 600))
    for name in "ab":
        np.savez(source / f"{name}.npz", landmarks=np.full((600, 33, 2), 0.5), fps=30)
        shutil.copy(video, source / f"{name}.mp4")
        shutil.copy(video, source / f"{name}_alpha.mp4")
    video.unlink()
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = begin("prepare", source, "--labels", source, "-o", tmp_path / "d.h5",
                        "--size", 1080, "--jobs", 2)  # fmt: skip
        until(lambda: list(tmp_path.glob(".dancing-*/*/frames")))
        killed = number == signal.SIGKILL
        assert end(process, number, within=15) == (-number if killed else 128 + number)
        assert bool(unfinished(tmp_path)) == killed
    with DatasetWriter(tmp_path / "other.h5"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "other.h5"]


def test_ended_as_it_is_loaded():
    """From the first line of the program on, imports included, there is no traceback."""
    for number, after in zip(POLITE * 2, (0, 0.02, 0.05, 0.1, 0.2, 0.3), strict=True):
        process = begin("generate", "--help")
        time.sleep(after)
        assert end(process, number) in (0, 128 + number, -number)


def test_what_is_ignored_from_the_start_stays_ignored():
    """As under nohup."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in POLITE}
    try:
        leave_at_once()
        end_in_order()
        assert {signal.getsignal(number) for number in POLITE} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_second_signal_of_the_same_moment_is_no_other():
    before = {number: signal.getsignal(number) for number in POLITE}
    try:
        end_in_order()
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ----------------------------------------------------------------------------- at random moments


class Target:
    """A command to strike.

    Args:
        name: of the command, for the counts.
        result: what it makes.
        whole: raises where that is not whole.
        beside: names of inputs, and of work that is gone on with, beside the result.
    """

    def __init__(self, result, whole, beside=()):
        self.result, self.whole = result, whole
        self.allowed = {result.name, *beside}
        self.counts = Counter()

    def content(self):
        files = [self.result, *self.result.rglob("*")]
        return {path: path.read_bytes() for path in files if path.is_file()}

    def strike(self, dice, arguments, longest):
        """End the command by some signal at some moment, and look at what is there."""
        number = dice.choice([signal.SIGKILL] * 3 + [*POLITE])
        before, left = self.content(), set(unfinished(self.result.parent))
        process = begin(*arguments)
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0, longest))
        else:  # while something is written
            until(lambda: unfinished(self.result.parent) or process.poll() is not None)
            time.sleep(dice.expovariate(2 / longest))
        code = end(process, number)
        polite = number != signal.SIGKILL
        # In its last moments Python takes the handlers away; to a shell both codes are one.
        assert code in (0, -number, 128 + number if polite else -number), (number, code)
        self.counts[signal.Signals(number).name if code else "ended before"] += 1
        if self.content() != before:
            self.whole(self.result)
            self.counts["new result"] += bool(before)
        if polite and code:
            self.look(left)  # of earlier kills, if it had not yet begun to write
        elif unfinished(self.result.parent):
            self.counts["left by a kill"] += 1

    def look(self, left=frozenset()):
        found = {path.name for path in self.result.parent.iterdir()} - left
        assert found <= self.allowed, found - self.allowed

    def finish(self, arguments):
        """Run the command to its end; returns the seconds that it took."""
        began = time.monotonic()
        dancing(*arguments)
        self.whole(self.result)
        self.look()
        return time.monotonic() - began

    def report(self):
        shown = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        print(f"\n{self.result.name}: {shown}; all whole, nothing left")


def struck(target, arguments, seed=0):
    """Strike a command that makes its result anew each time."""
    dice = random.Random(seed)
    longest = target.finish(arguments)
    for _ in range(KILLS):
        target.strike(dice, arguments, longest)
        target.finish(arguments)
    target.report()


def whole_dataset(path):
    with Dataset(path) as data:
        assert [clip.name for clip in data] and all(len(clip.poses) for clip in data)
        for clip in data:
            assert clip.frames[-1].any() or clip.frames[-1].shape


def whole_bundle(path):
    bundle = Bundle(path)
    for name in bundle.card.files:
        bundle.file(name)
    if path.is_dir():
        assert {file.name for file in path.iterdir()} == {CARD, *bundle.card.files}


@pytest.mark.slow
def test_generate_at_random_moments(tmp_path):
    target = Target(
        tmp_path / "o.mp4", lambda path: [read_video(path).frames[59]], beside=["o.npz"]
    )
    struck(target, ("generate", EXAMPLE, "-o", target.result, "--poses", tmp_path / "o.npz",
                    "--duration", 3))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_prepare_at_random_moments(tmp_path, jobs):
    pytest.importorskip("onnx")
    shutil.copy(AVA, tmp_path / "again.mp4")
    target = Target(tmp_path / "d.h5", whole_dataset, beside=["again.mp4"])
    struck(target, ("prepare", AVA, tmp_path / "again.mp4", "-o", target.result, "--jobs", jobs))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    with DatasetWriter(path) as writer:
        for number in range(6):
            poses, mfcc = a_dance(2.0, 100 + 10 * number, number)
            pictures = [np.full((64, 64, 3), 40, np.uint8) for _ in range(len(poses))]
            for picture, landmarks in zip(pictures, poses.landmarks, strict=True):
                draw_skeleton(picture, landmarks)
            song = f"air_{number}.mp3"
            writer.clip(song, poses, mfcc=mfcc, frames=iter(pictures), song=song)
    return path


TRAINING = {
    "motion": ("--model", "lstm-vae", "--set", "window=30", "--set", "least_epoch=640"),
    "image": ("--model", "dcgan", "--batch-size", "16"),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", TRAINING)
def test_train_and_export_at_random_moments(data, tmp_path, stage):
    from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO

    run = tmp_path / "run"
    target = Target(run / CHECKPOINT, SafetensorsIO().load_checkpoint,
                    ["logs", "samples", "cache"])  # fmt: skip
    dice = random.Random(1)
    epochs = 2

    def arguments():
        resume = ["--resume"] if target.result.is_file() else []
        return ("train", stage, data, "-o", run, "--device", "cpu", "--epochs", epochs,
                *TRAINING[stage], *resume)  # fmt: skip

    run.mkdir()
    longest = target.finish(arguments())
    for _ in range(KILLS):
        if dice.random() < 0.3:  # anew, to be struck before the first checkpoint
            shutil.rmtree(run)
            run.mkdir()
            epochs = 0
        epochs += 2
        target.strike(dice, arguments(), longest)
    epochs += 1
    target.finish(arguments())
    assert not [path for path in run.rglob(".dancing-*")]
    target.report()
    bundle = Target(tmp_path / "me", whole_bundle, beside=["run"])
    struck(bundle, ("export", run, "-o", bundle.result))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["warp", "limbs"])
def test_learn_at_random_moments(tmp_path, model):
    pytest.importorskip("onnx")
    film = tmp_path / "kai.mp4"
    dancing("generate", EXAMPLE, "-o", film, "--dancer", "kai", "--duration", 10)
    target = Target(tmp_path / "me", whole_bundle, beside=["kai.mp4", "me.learning"])
    arguments = ["learn", film, "-o", target.result, "--model", model]
    if model == "limbs":
        arguments += ["--from", "ava", "--minutes", 2]
    dice = random.Random(2)
    for _ in range(KILLS):
        target.strike(dice, arguments, 60 if model == "limbs" else 20)
    target.allowed.remove("me.learning")
    target.finish(arguments)
    target.report()
