"""Several processes do the work of several; stops and loader workers change nothing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ranks
from dancing.body.drawing import draw_skeleton
from dancing.data.dataset import DatasetWriter
from test_training import a_dance

pytestmark = pytest.mark.slow
SMALL = (
    "channels=10", "fingers_steps=5", "depth_views=16", "learning_rate=0.001", "warm_up_steps=20",
)  # fmt: skip
PLAIN = (*SMALL, "adversarial_from=2")
ADVERSARIAL = (*SMALL, "adversarial_from=0.3")
STEPS = 10  # of an epoch, and pictures a clip: there are four clips, and four pictures a step


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four clips of a figure, one with world landmarks."""
    path = tmp_path_factory.mktemp("data") / "data.h5"
    floor = np.full((64, 64, 3), 60, np.uint8)
    with DatasetWriter(path) as writer:
        for i in range(4):
            poses, beat = a_dance(STEPS, 90 + 5 * i, i)
            pictures = [floor.copy() for _ in poses.landmarks]
            for picture, landmarks in zip(pictures, poses.landmarks, strict=True):
                draw_skeleton(picture, landmarks)
            mattes = [np.uint8(255) * (picture != floor).any(-1) for picture in pictures]
            if not i:
                depth = 0.1 * np.sin(np.arange(33) + beat[:, None])[..., None]
                world = np.concatenate([poses.landmarks * 2, depth], -1)
                hips = world[:, [23, 24]].mean(1, keepdims=True)
                poses = replace(poses, world=(world - hips).astype(np.float32))
            writer.clip(f"c{i}", poses, frames=iter(pictures), mattes=iter(mattes), source=f"{i}")
    return path


@pytest.fixture(scope="module")
def dances(tmp_path_factory):
    """Three clips of three seconds, without pictures."""
    path = tmp_path_factory.mktemp("dances") / "dances.h5"
    with DatasetWriter(path) as writer:
        for i in range(3):
            poses, beat = a_dance(90, 90 + 5 * i, i)
            world = np.concatenate([poses.landmarks * 2, np.zeros((90, 33, 1))], -1)
            world[..., 2] += 0.1 * np.sin(np.arange(33) + beat[:, None])
            world -= world[:, [23, 24]].mean(1, keepdims=True)
            beats = np.arange(0, 3, 60 / (90 + 5 * i))
            poses = replace(poses, world=world.astype(np.float32), beats=beats)
            mfcc = np.stack([50 * np.sin(k + beat) for k in range(13)], 1).astype(np.float32)
            writer.clip(f"c{i}", poses, mfcc=mfcc, source=f"{i}")
    return path


def trained(folder, data, settings, *, stage="image", model="limbs", processes=1, **options):
    """What each process wrote down."""
    options |= {
        "stage": stage, "model": model, "datasets": [str(data)], "settings": list(settings),
        "devices": processes, "folder": str(folder),
    }  # fmt: skip
    if processes == 1:
        with pytest.MonkeyPatch.context() as patch:
            ranks.main(options, patch.setattr)
        return [dict(np.load(folder / "rank0.npz"))]
    script = Path(__file__).with_name("ranks.py")
    done = subprocess.run(
        [sys.executable, script, json.dumps(options)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(processes)]


def weights(rank):
    return {name: rank[name] for name in rank if name.startswith("weight ")}


def assert_equal(one, other, tolerance=0.0):
    assert weights(one).keys() == weights(other).keys()
    for name, value in weights(one).items():
        np.testing.assert_allclose(weights(other)[name], value, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """One process, batches of 4."""
    (rank,) = trained(tmp_path_factory.mktemp("alone"), data, PLAIN, batch_size=4, epochs=1)
    return rank


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    """Two processes, batches of 2."""
    folder = tmp_path_factory.mktemp("both")
    return trained(folder, data, PLAIN, processes=2, batch_size=2, epochs=1)


def test_two_processes_see_together_what_one_does(alone, both):
    assert len(alone["widths"]) == len(both[0]["widths"]) == STEPS
    steps = [rank["chosen"].reshape(-1, 2) for rank in both]
    assert not (steps[0] == steps[1]).all(1).any(), "other pictures in every step"
    np.testing.assert_array_equal(np.concatenate(steps, 1), alone["chosen"].reshape(-1, 4))


def test_two_processes_learn_what_one_does(alone, both):
    assert_equal(*both)
    together = np.mean([rank["losses"] for rank in both], 0)
    np.testing.assert_allclose(together, alone["losses"], rtol=1e-4)
    assert_equal(alone, both[0], tolerance=1e-4)


@pytest.fixture(scope="module")
def unstopped(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unstopped")
    return trained(folder, data, ADVERSARIAL, batch_size=4, epochs=2)


def test_a_stop_changes_nothing(data, unstopped, tmp_path):
    """In the midst of an epoch, with discriminators."""
    options = {"batch_size": 4, "epochs": 2}
    (before,) = trained(tmp_path, data, ADVERSARIAL, stop=STEPS + 3, **options)
    assert len(before["widths"]) == STEPS + 3
    (after,) = trained(tmp_path, data, ADVERSARIAL, resume=True, **options)
    assert len(after["widths"]) == STEPS - 3
    assert_equal(unstopped[0], after)


def test_loader_workers_change_nothing(data, unstopped, tmp_path):
    (rank,) = trained(tmp_path, data, ADVERSARIAL, batch_size=4, epochs=2, workers=2)
    np.testing.assert_array_equal(rank["chosen"], unstopped[0]["chosen"])
    assert_equal(unstopped[0], rank)


FLOW = ("counts=4", "width=16", "depth=1", "heads=1", "components=20", "least_epoch=64")
MOTION = [
    ("flow", (*FLOW, "warm_up_steps=2")),
    ("lstm-vae", ("window=30", "units=8", "latent_dim=4", "least_epoch=64")),
]


@pytest.mark.parametrize(("model", "settings"), MOTION)
def test_motion_models_go_on_after_a_stop_with_workers(dances, tmp_path, model, settings):
    options = {"stage": "motion", "model": model, "batch_size": 8, "epochs": 2}
    (whole,) = trained(tmp_path / "whole", dances, settings, **options)
    steps = len(whole["widths"])
    (before,) = trained(tmp_path / "parts", dances, settings, stop=steps // 2 + 3, **options)
    (after,) = trained(
        tmp_path / "parts", dances, settings, resume=True, workers=2, seed=5, **options
    )
    assert len(before["widths"]) + len(after["widths"]) == steps
    seen = np.concatenate([before["chosen"], after["chosen"]])
    np.testing.assert_array_equal(seen, whole["chosen"])
    assert_equal(whole, after)


def test_motion_models_see_other_windows_in_other_processes(dances, tmp_path):
    model, settings = MOTION[0]
    options = {"stage": "motion", "model": model, "epochs": 1}
    (alone,) = trained(tmp_path / "alone", dances, settings, batch_size=8, **options)
    both = trained(tmp_path / "both", dances, settings, batch_size=4, processes=2, **options)
    assert_equal(*both)
    steps = [rank["chosen"].reshape(-1, 4, *alone["chosen"].shape[1:]) for rank in both]
    together = np.concatenate(steps, 1).reshape(alone["chosen"].shape)
    np.testing.assert_allclose(together, alone["chosen"], atol=1e-6)


def test_a_stop_of_two_processes_changes_nothing(data, tmp_path):
    options = {"batch_size": 2, "epochs": 2, "processes": 2}
    unstopped = trained(tmp_path / "unstopped", data, ADVERSARIAL, **options)
    trained(tmp_path / "stopped", data, ADVERSARIAL, stop=STEPS + 3, **options)
    resumed = trained(tmp_path / "stopped", data, ADVERSARIAL, resume=True, **options)
    assert_equal(*resumed)
    assert_equal(unstopped[0], resumed[0], tolerance=1e-5)
