"""Training through the real command line on small data: losses fall, runs resume, bundles work."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load

from dancing.body.drawing import draw_skeleton
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import BONE_KINDS
from dancing.bundle import Bundle
from dancing.card import Parent
from dancing.data.dataset import DatasetWriter
from dancing.media.picture import read_picture
from dancing.training.checkpoint import SafetensorsIO
from media import command as run
from media import read_video

FRAMES = 60
FAST = ("--device", "cpu", "--batch-size", "64")
VAE = (*FAST, "--model", "lstm-vae")
SHORT = (*VAE, "--set", "window=30", "--set", "least_epoch=640")


def a_dance(frames, tempo, seed):
    """A figure that waves and bounces to a tempo, as poses in a square picture."""
    random = np.random.default_rng(seed)
    rest = np.full((33, 2), 0.5)
    rest[:11] = [0.5, 0.2]
    rest[11:23:2], rest[12:23:2] = [0.6, 0.4], [0.4, 0.4]
    rest[23:33:2], rest[24:33:2] = [0.56, 0.62], [0.44, 0.62]
    rest[25:33, 1] = 0.85
    beat = 2 * np.pi * np.arange(frames) / 30 * tempo / 60 + random.uniform(0, 6)
    landmarks = np.repeat(rest[None], frames, 0)
    landmarks[:, :, 1] += 0.03 * np.sin(beat)[:, None]
    landmarks[:, 15:23:2, 1] -= 0.2 + 0.15 * np.cos(beat)[:, None]
    return PoseSequence(landmarks, aspect=1.0), beat


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    with DatasetWriter(path) as writer:
        for i in range(12):
            poses, beat = a_dance(FRAMES, 90 + 5 * i, i)
            mfcc = np.zeros((FRAMES, 13), np.float32)
            mfcc[:, 0], mfcc[:, 1] = 50 * np.sin(beat), 50 * np.cos(beat)
            pictures = []
            for landmarks in poses.landmarks:
                picture = np.full((64, 64, 3), 40, np.uint8)
                draw_skeleton(picture, landmarks)
                pictures.append(picture)
            # The hash of their names holds out air_4 and air_11.
            frames = iter(pictures) if i < 6 else None
            writer.clip(f"clip{i}", poses, mfcc=mfcc, frames=frames, song=f"air_{i}.mp3")
    return path


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    motion = run(
        "train", "motion", data, "-o", folder / "motion", *VAE,
        "--epochs", 1, "--set", "window=30", "--set", "kl_weight=0.001",
    )  # fmt: skip
    image = run(
        "train", "image", data, "-o", folder / "image", "--device", "cpu", "--batch-size", 4,
        "--model", "dcgan", "--epochs", 1, "--set", "l1_weight=50",
    )  # fmt: skip
    return folder, motion, image


def logged(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def test_both_losses_fall(runs):
    folder, _, _ = runs
    for stage, name in (("motion", "train_mse"), ("image", "train_l1")):
        values = logged(folder / stage, name)
        assert np.mean(values[-3:]) < 0.7 * values[0], (stage, values)
    discriminator = logged(folder / "image", "loss_d")
    assert min(discriminator) < 0.6 < np.log(2), "it tells real from drawn better than chance"


def test_a_run_folder_holds_figures_and_a_checkpoint_with_its_dimensions(runs):
    folder, motion, _ = runs
    assert "val_mse" in motion.stdout
    for stage in ("motion", "image"):
        assert list((folder / stage / "samples").glob("step_*.png"))
        with safe_open(folder / stage / "last.safetensors", "pt") as file:
            assert file.metadata()
        hyper = SafetensorsIO().load_checkpoint(folder / stage / "last.safetensors")[
            "hyper_parameters"
        ]
        assert hyper["origin"]["stage"] == stage
        sources = {"motion": 10, "image": 5}
        assert len(hyper["origin"]["history"][-1]["sources"]) == sources[stage]
    assert hyper["config"] == {
        "learning_rate": 0.0002, "beta1": 0.5, "beta2": 0.999, "l1_weight": 50.0,
    }  # fmt: skip


def test_resume_goes_on_with_the_steps_and_refuses_what_does_not_fit(data, runs):
    folder, _, _ = runs
    path = folder / "motion" / "last.safetensors"
    before = SafetensorsIO().load_checkpoint(path)
    arguments = ("train", "motion", data, "-o", folder / "motion", *VAE, "--set", "window=30")
    refused = run(*arguments, ok=False)
    assert "already holds a run" in refused.stderr
    refused = run(*arguments, "--set", "kl_weight=0.5", "--resume", ok=False)
    assert "other settings" in refused.stderr
    run(*arguments, "--set", "kl_weight=0.001", "--resume", "--epochs", 2)
    after = SafetensorsIO().load_checkpoint(path)
    assert after["global_step"] > 1.9 * before["global_step"]
    assert after["epoch"] == before["epoch"] + 1
    (old,), (new,) = (each["hyper_parameters"]["origin"]["history"] for each in (before, after))
    assert new["steps"] == after["global_step"] and new["minutes"] >= old["minutes"]
    assert new["data"] == old["data"] and new["asked"]["epochs"] == 2
    assert new["asked"]["settings"] == old["asked"]["settings"]
    moments = after["optimizer_states"][0]["state"][0]
    assert moments["step"].item() == after["global_step"]


def test_a_killed_run_resumes(data, tmp_path):
    arguments = [
        "train", "motion", data, "-o", tmp_path / "run", *SHORT,
        "--epochs", 500,
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "dancing", *map(str, arguments)])
    checkpoint = tmp_path / "run" / "last.safetensors"
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists(), "no checkpoint within four minutes"
    done = SafetensorsIO().load_checkpoint(checkpoint)["epoch"]
    run(*arguments[:-1], done + 2, "--resume")
    assert SafetensorsIO().load_checkpoint(checkpoint)["epoch"] >= done + 1


def test_export_makes_a_bundle_that_draws_what_training_drew(runs, tmp_path):
    folder, _, _ = runs
    bundle_path = tmp_path / "me"
    run(
        "export", folder / "motion", folder / "image", "-o", bundle_path,
        "--licence", "CC0-1.0", "--data", "a test",
    )  # fmt: skip
    bundle = Bundle(bundle_path)
    assert bundle.preview() is None, "dcgan draws no person apart from the scene"
    assert sorted(file.name for file in bundle_path.iterdir()) == [
        "card.json", "image.onnx", "image.safetensors", "motion.onnx", "motion.safetensors",
    ]  # fmt: skip
    card = json.loads((bundle_path / "card.json").read_text())
    assert card["name"] == "me" and card["licence"] == "CC0-1.0"
    assert card["motion"]["window"] == 30
    for stage in ("motion", "image"):
        assert set(card[stage]["proportions"]) == set(BONE_KINDS)
        assert 0 < card[stage]["placement"]["floor"] < 1.2
        (step,) = card[stage]["training"]
        content = (bundle_path / f"{stage}.safetensors").read_bytes()
        assert step["weights"] == hashlib.sha256(content).hexdigest()[:16]
        assert step["steps"] > 0 and step["minutes"] > 0 and step["config"] == card[stage]["config"]
        assert step["data"][0]["name"].endswith(".h5") and step["asked"]["seed"] == 0
    assert str(folder) not in json.dumps(card) and str(tmp_path) not in json.dumps(card)

    import torch

    from dancing.export import load_run

    for stage in ("motion", "image"):
        network, example, _ = load_run(folder / stage).deployed()
        random = np.random.default_rng(0)
        inputs = {
            name: random.random((2, *value.shape[1:]), np.float32)
            for name, value in example.items()
        }
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, inputs.values())).numpy()
        found = getattr(bundle, stage).run(None, inputs)[0]
        # Large weights are stored as float16.
        assert np.abs(expected.astype(float) - found).max() < (0.01 if stage == "motion" else 3)


def test_export_of_several_runs_is_the_mean_of_their_weights(runs, data, tmp_path):
    folder, _, _ = runs
    other = tmp_path / "other"
    run("train", "motion", data, "-o", other, *SHORT, "--epochs", 1, "--seed", 5)
    run("export", f"{folder / 'motion'}:3", f"{other}:1", "-o", tmp_path / "mean")
    for name, path in (("one", folder / "motion"), ("two", other)):
        run("export", path, "-o", tmp_path / name)
    paths = (tmp_path / name / "motion.safetensors" for name in ("one", "two", "mean"))
    one, two, mean = (load(path.read_bytes()) for path in paths)
    assert (one["network.decoder_poses.bias"] != two["network.decoder_poses.bias"]).any()
    for name, value in mean.items():
        expected = 0.75 * one[name].double() + 0.25 * two[name].double()
        digits = 2e-3 if value.dtype.itemsize == 2 else 1e-6
        np.testing.assert_allclose(value.double(), expected, atol=digits)
    *steps, last = Bundle(tmp_path / "mean").stage("motion").training
    assert [step.kind for step in steps] == ["train", "train"] and last.kind == "mean"
    parents = zip(steps, (0.75, 0.25), ("motion", "other"), strict=True)
    assert last.parents == tuple(Parent(step.weights, *part) for step, *part in parents)
    assert steps[0].device == "cpu" and steps[0].asked["hold_out"] is True
    assert steps[1].asked["seed"] == 5


def test_export_refuses_runs_that_do_not_fit_and_foreign_folders(runs, data, tmp_path):
    folder, _, _ = runs
    small = tmp_path / "small"
    run("train", "motion", data, "-o", small, *SHORT, "--epochs", 1, "--set", "latent_dim=3")
    refused = run("export", folder / "motion", small, "-o", tmp_path / "b", ok=False)
    assert "differ in dimensions" in refused.stderr
    refused = run("export", f"{folder / 'motion'}:0", "-o", tmp_path / "b", ok=False)
    assert "above 0" in refused.stderr
    (tmp_path / "notes").write_text("mine")
    refused = run("export", folder / "motion", "-o", tmp_path / "notes", ok=False)
    assert "not a bundle" in refused.stderr and (tmp_path / "notes").read_text() == "mine"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    refused = run("export", folder / "motion", "-o", tmp_path / "photos", ok=False)
    assert "not a bundle" in refused.stderr and (tmp_path / "photos" / "me.jpg").exists()
    refused = run("export", tmp_path, "-o", tmp_path / "b", ok=False)
    assert "not a training run" in refused.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("unknown=1", "no setting 'unknown'"),
        ("window=x", "not a whole number"),
        ("kl_weight=nan", "not a finite number"),
        ("window=0", "at least 2"),
    ],
)
def test_wrong_settings_are_named(data, tmp_path, setting, message):
    refused = run("train", "motion", data, "-o", tmp_path / "r", *VAE, "--set", setting, ok=False)
    assert message in refused.stderr
    assert not (tmp_path / "r").exists()


def test_too_few_samples_for_a_batch(data, tmp_path):
    refused = run(
        "train", "image", data, "-o", tmp_path / "r", "--model", "dcgan", "--device", "cpu",
        "--batch-size", 5000, ok=False,
    )  # fmt: skip
    assert "fewer than the batch size" in refused.stderr


def test_the_seed_decides_the_first_weights(data, tmp_path):
    states = []
    for name in ("a", "b"):
        run(
            "train", "motion", data, "-o", tmp_path / name, *SHORT,
            "--set", "learning_rate=1e-9", "--epochs", 1, "--seed", 3,
        )  # fmt: skip
        checkpoint = SafetensorsIO().load_checkpoint(tmp_path / name / "last.safetensors")
        states.append(checkpoint["state_dict"]["network.z_mean.weight"].numpy())
    np.testing.assert_allclose(states[0], states[1], atol=1e-5)


@pytest.mark.slow
def test_limbs_learns_and_its_bundle_draws_on_the_empty_scene(tmp_path):
    """A small figure on a striped floor: the plate is the floor, and the loss falls."""
    floor = np.full((96, 96, 3), 60, np.uint8)
    floor[::8] = 90
    path = tmp_path / "data.h5"
    with DatasetWriter(path) as writer:
        for i in range(12):
            poses, _ = a_dance(28, 90 + 5 * i, i)
            pictures, mattes = [], []
            for landmarks in poses.landmarks:
                picture = floor.copy()
                draw_skeleton(picture, landmarks)
                pictures.append(picture)
                mattes.append((np.abs(picture.astype(int) - floor).max(-1) > 8) * np.uint8(255))
            if i % 2:
                world = np.pad(poses.landmarks * 2, ((0, 0), (0, 0), (0, 1)))
                hips = world[:, [23, 24]].mean(1, keepdims=True)
                poses = replace(poses, world=(world - hips).astype(np.float32))
            writer.clip(
                f"c{i}", poses, frames=iter(pictures), mattes=iter(mattes), source=f"air_{i}.mp4"
            )
    run(
        "train", "image", path, "-o", tmp_path / "run", "--device", "cpu", "--epochs", 2,
        "--set", "channels=10", "--set", "fingers_steps=50", "--set", "adversarial_from=0.5",
    )  # fmt: skip
    values = logged(tmp_path / "run", "train_l1")
    assert np.mean(values[-3:]) < 0.7 * values[0], values
    assert len(logged(tmp_path / "run", "loss_d")) < len(values), "judged in the second half only"
    depth = logged(tmp_path / "run", "train_depth")
    assert np.mean(depth[-3:]) < 0.8 * depth[0], "learned from the world landmarks"
    run("export", tmp_path / "run", "-o", tmp_path / "me")
    preview = read_picture(Bundle(tmp_path / "me").preview())
    assert preview.shape == (96, 96, 3)
    assert np.abs(preview[:20, :20].astype(int) - floor[:20, :20]).mean() < 8
    assert np.abs(preview.astype(int) - floor).max() > 40, "with somebody in it"
    poses.save(tmp_path / "poses.npz")
    run(
        "generate", "--poses-from", tmp_path / "poses.npz", "-o", tmp_path / "out.mp4",
        "--dancer", tmp_path / "me",
    )  # fmt: skip
    frame = read_video(tmp_path / "out.mp4").frames[0]
    assert frame.shape == (96, 96, 3)
    assert np.abs(frame[:20, :20].astype(int) - floor[:20, :20]).mean() < 8, "the empty scene"
    run(
        "train", "image", path, "-o", tmp_path / "more", "--device", "cpu", "--epochs", 1,
        "--set", "channels=10", "--from", tmp_path / "me",
    )  # fmt: skip
    went_on = logged(tmp_path / "more", "train_l1")
    assert went_on[0] < 0.8 * values[0], "from where the bundle's weights are"
    refused = run(
        "train", "image", path, "-o", tmp_path / "r", "--set", "channels=12",
        "--from", tmp_path / "me", ok=False,
    )  # fmt: skip
    assert "does not fit the settings" in refused.stderr
