"""The motion model `flow`: trained for seconds on a puppet through the real command line."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load

from dancing.body import kinematics
from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.card import Parent, plain, read
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.errors import DancingError, DancingWarning
from dancing.metrics import motion_magnitude
from dancing.motion.choreographer import Choreographer
from dancing.motion.flow import network as flow_network
from dancing.motion.flow import training as flow
from dancing.motion.flow.card import MusicScale
from dancing.motion.flow.data import Phrases
from dancing.motion.flow.features import CONTEXT, FRAMES
from dancing.motion.flow.runtime import Runtime
from dancing.music.counts import count
from dancing.music.song import Song
from dancing.music.structure import form_of
from dancing.pipeline import generate
from media import clicks, command, write_wav
from puppet import a_dance

TINY = (
    "--device", "cpu", "--batch-size", 128, "--set", "counts=8", "--set", "components=60",
    "--set", "width=48", "--set", "depth=2", "--set", "heads=4", "--set", "learning_rate=0.03",
)  # fmt: skip


def run(*arguments, ok=True):
    done = command(*arguments, ok=ok)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    with DatasetWriter(path) as writer:
        for i in range(12):
            poses, mfcc = a_dance(16, 84 + 5 * i, i)
            # The hash of their names holds out air_4 and air_11.
            writer.clip(
                f"clip{i}", poses, mfcc=mfcc, downbeats=poses.beats[::4], song=f"air_{i}.mp3"
            )
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run("train", "motion", data, "-o", folder / "run", *TINY, "--epochs", 1)
    run("export", folder / "run", "-o", folder / "puppet", "--licence", "CC0-1.0")
    return folder


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Four bars of clicks, three seconds of silence, four bars."""
    sound = clicks(8, 120)
    sound = np.concatenate([sound, np.zeros(3 * 22050), sound])
    return write_wav(tmp_path_factory.mktemp("song") / "song.wav", sound)


@pytest.fixture(scope="module")
def dance(trained, song, tmp_path_factory):
    path = tmp_path_factory.mktemp("dance") / "dance.npz"
    options = ("--motion", trained / "puppet", "--as-is", "--seed", 3)
    run("generate", song, "-o", path, *options)
    return path


def again(trained, song, path, *options, ok=True):
    # As it is: the puppet has no human proportions.
    options = ("--motion", trained / "puppet", "--as-is", *options)
    done = run("generate", song, "-o", path, *options, ok=ok)
    return PoseSequence.load(path) if ok else done


def test_windows_are_in_counts(data):
    with Dataset(data) as dataset:
        phrases = Phrases(list(dataset), flow_network.Config(counts=8), augment=False)
        window = phrases[0]
    assert window["dance"].shape == (72, kinematics.CHANNELS)
    assert window["context"].shape == (72, CONTEXT)
    assert window["context"][:, :8].sum(1).eq(1).all(), "the place in the phrase is known"
    mean, std = (np.array(phrases.facts[key]) for key in ("mean", "std"))
    points, _ = kinematics.unpack(window["dance"].numpy() * std + mean)
    # The puppet's arms swing through twice in four counts, in every song alike.
    hand = points[:, 15, 2] - points[:, 15, 2].mean()
    spectrum = np.abs(np.fft.rfft(hand))
    assert spectrum.argmax() == 4


def test_what_is_known_is_told_and_not_scored():
    torch.manual_seed(0)
    config = flow_network.Config(counts=2, width=16, depth=1, heads=2)
    network = flow_network.Denoiser(config, 0)
    shape = (3, config.window, kinematics.CHANNELS)
    batch = {
        "dance": torch.randn(shape), "mask": torch.zeros(shape),
        "mfcc": torch.zeros(3, config.window, 13),
        "context": torch.zeros(3, config.window, CONTEXT),
        "valid": torch.ones(3, config.window),
    }  # fmt: skip
    batch["known"] = batch["dance"] + 9
    ones = [1.0] * kinematics.CHANNELS
    origin = {"change_std": ones, "std": ones, "mean": [0.0] * kinematics.CHANNELS, "genres": []}
    module = flow.Training(config, origin)
    # An untrained network without components says 0: the error is that of what is not known.
    half = torch.full((3,), 0.5)
    error, *_ = module.losses(network, batch, half)
    torch.testing.assert_close(error, batch["dance"].square().mean((1, 2)))
    batch["mask"][:, :10] = 1
    error, *_ = module.losses(network, batch, half)
    torch.testing.assert_close(error, batch["dance"][:, 10:].square().mean((1, 2)))
    batch["mask"][:] = 1
    assert module.losses(network, batch, half)[0].max() == 0


def test_an_untrained_network_makes_the_best_linear_guess():
    torch.manual_seed(0)
    config = flow_network.Config(counts=2, width=16, depth=1, heads=2, components=20)
    network = flow_network.Denoiser(config, 0)
    axes = torch.linalg.qr(torch.randn(FRAMES * kinematics.CHANNELS, 20)).Q.T
    spread = torch.linspace(3, 0.3, 20)
    network.basis.copy_(axes)
    network.variance.copy_(spread.square())
    components = torch.randn(600, 2, 20) * spread
    dance = (components @ axes).unflatten(-1, (FRAMES, -1)).flatten(1, 2)
    blank = torch.zeros_like(dance)
    rest = torch.zeros(600, config.window, 13), torch.zeros(600, config.window, CONTEXT)
    with torch.no_grad():
        for time in (0.0, 0.4, 0.9):
            point = time * dance + (1 - time) * torch.randn_like(dance)
            found = network(point, torch.full((600,), time), blank, *rest)
            counts = (found - dance).unflatten(1, (2, FRAMES)).flatten(2)
            left = (counts @ axes.T).square().mean((0, 1))
            wiener = spread.square() * (1 - time) ** 2
            wiener /= time**2 * spread.square() + (1 - time) ** 2
            torch.testing.assert_close(left, wiener, rtol=0.2, atol=1e-3)


def test_onnx_says_what_torch_says(trained, data):
    bundle = Bundle(trained / "puppet")
    card = bundle.stage("motion")
    config = flow_network.Config(**card.config)
    module = flow.Training(config, plain(card))
    module.begin_with(load(bundle.file("motion.safetensors")))
    with Dataset(data) as dataset:
        window = Phrases(list(dataset), flow_network.Config(counts=8), augment=False)[3]
    inputs = {name: window[name][None] for name in ("mask", "mfcc", "context")}
    inputs["point"], inputs["time"] = torch.randn(1, 72, kinematics.CHANNELS), torch.tensor([0.3])
    (found,) = bundle.motion.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected = module.averaged.eval()(**inputs)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-2)
    assert found.std() > 0.1
    assert "averaged.module.leave.bias" not in load(bundle.file("motion.safetensors"))


def test_the_dance_has_the_song_s_length_and_a_body(dance, trained):
    poses = PoseSequence.load(dance)
    assert len(poses) == 19 * 30
    points = poses.world
    expected = Bundle(trained / "puppet").stage("motion").body.bones
    for (a, b), length in zip(kinematics.BONES, expected, strict=True):
        found = np.linalg.norm(points[:, b] - points[:, a], axis=-1)
        assert np.abs(found / length - 1).max() < 0.01
    assert np.abs(points[:, [23, 24]].mean(1)).max() < 1e-5
    assert (poses.landmarks[..., 0] > 0).all() and (poses.landmarks[..., 0] < 1).all()


def test_a_seed_is_a_dance(dance, trained, song, tmp_path):
    poses = PoseSequence.load(dance)
    same = again(trained, song, tmp_path / "same.npz", "--seed", 3)
    np.testing.assert_array_equal(same.landmarks, poses.landmarks)
    other = again(trained, song, tmp_path / "other.npz", "--seed", 4)
    assert np.abs(other.world - poses.world).mean() > 0.003


def test_a_stop_in_the_music_stops_the_dance(dance):
    poses = PoseSequence.load(dance)
    speed = np.linalg.norm(np.diff(poses.world, axis=0), axis=-1).mean(1)
    assert speed[9 * 30 : 10 * 30].mean() < 0.1 * speed[2 * 30 : 7 * 30].mean()
    assert speed[13 * 30 : 18 * 30].mean() > 0.5 * speed[2 * 30 : 7 * 30].mean(), "it goes on"


def test_energy_goes_from_standing_to_more(trained, song, tmp_path):
    sizes = []
    for energy in (0, 0.4, 1):
        poses = again(trained, song, tmp_path / f"{energy}.npz", "--energy", energy)
        sizes.append(motion_magnitude(poses.landmarks, 30, aspect=poses.aspect))
    assert sizes[0] < 0.05 * sizes[2]
    assert sizes[0] < sizes[1] < sizes[2]


def test_kept_frames_and_joints_are_kept_and_the_rest_is_filled_in(dance, trained, song, tmp_path):
    given = PoseSequence.load(dance)
    visibility = np.ones((90, 33), np.float32)
    visibility[30:60] = 0  # a gap
    visibility[60:, 11:23] = 0  # arms
    landmarks = given.landmarks[:90].copy()
    landmarks[visibility < 0.5] = 0.123
    world = given.world[:90].copy()
    world[visibility < 0.5] = 7.0
    part = PoseSequence(landmarks, 30, visibility, world, aspect=given.aspect)
    part.save(tmp_path / "part.npz")
    made = again(trained, song, tmp_path / "made.npz", "--seed", 9, "--keep", tmp_path / "part.npz")
    kept = visibility >= 0.5
    np.testing.assert_allclose(made.landmarks[:90][kept], landmarks[kept], atol=1e-6)
    assert np.abs(made.world[:90]).max() < 2, "nothing of what was hidden is left"
    assert len(made) == 19 * 30
    speed = np.linalg.norm(np.diff(made.world[:120, 28], axis=0), axis=-1)
    assert speed.max() < 0.1, "no leap of a foot where the gap begins and ends"


def test_a_dance_begins_with_the_start_pose(dance, trained, song, tmp_path):
    given = PoseSequence.load(dance)[100:]
    given.save(tmp_path / "pose.npz")

    def far(*options):
        made = again(trained, song, tmp_path / "made.npz", "--seed", 5, *options)
        return np.abs(made.world[0] - given.world[0]).mean()

    assert far("--start-pose", tmp_path / "pose.npz") < min(0.03, 0.6 * far())


def test_wishes_that_cannot_be_met_get_one_line(dance, trained, song, tmp_path):
    flat = PoseSequence.load(dance)
    PoseSequence(flat.landmarks, aspect=flat.aspect).save(tmp_path / "flat.npz")
    out = tmp_path / "out.npz"
    assert "no world landmarks" in again(
        trained, song, out, "--keep", tmp_path / "flat.npz", ok=False
    )
    assert "first pose" in again(
        trained, song, out, "--keep", dance, "--start-pose", dance, ok=False
    )
    again(trained, song, out, "--energy", 2.5, ok=False)
    assert not out.exists()
    with pytest.raises(DancingError, match="energy"):
        Choreographer(trained / "puppet")(None, energy=float("nan"))


def test_training_and_inference_tell_the_model_the_same_of_the_music(trained, data):
    """MFCC, place in the phrase, whether it is heard, tempo. How vigorous the dance is, training
    measures and inference wishes."""
    with Dataset(data) as dataset:
        clip = dataset.clips[0]
        phrases = Phrases([clip], flow_network.Config(counts=8), augment=False)
        learned = phrases[0]
        song = Song(clip.name, clip.mfcc, clip.beats, clip.downbeats, 100.0, clip.duration)
    scale = read(MusicScale, phrases.facts["music"])
    runtime = Runtime(None, replace(Bundle(trained / "puppet").stage("motion"), music=scale))
    counts = count(song.beats, song.downbeats, song.duration)
    mfcc, context = runtime._heard(
        song, counts, form_of(song.mfcc, counts), 1.0, np.zeros(0), np.random.default_rng(0)
    )
    first = FRAMES * int(np.ceil(counts.positions(np.array([0.0]))[0]))
    stretch = slice(first, first + len(learned["mfcc"]))
    assert mfcc[:, 0].std() > 0.5 and set(np.unique(context[:, :8])) == {0, 1}
    np.testing.assert_allclose(mfcc[stretch], learned["mfcc"], atol=1e-4)
    vigour = CONTEXT - 2
    for columns in (slice(vigour), slice(vigour + 1, None)):
        np.testing.assert_allclose(
            context[stretch, columns], learned["context"][:, columns], atol=1e-5
        )


def test_poses_to_keep_may_be_of_a_frame_of_another_shape(trained, tmp_path):
    """Of a wide video, say: the body keeps its breadth."""
    song = write_wav(tmp_path / "song.wav", clicks(4, 120))
    dance = again(trained, song, tmp_path / "dance.npz")
    wide = dance.in_aspect(16 / 9)
    assert np.ptp(wide.landmarks[..., 0]) == pytest.approx(
        np.ptp(dance.landmarks[..., 0]) * dance.aspect * 9 / 16
    )
    wide.save(tmp_path / "wide.npz")
    kept = again(trained, song, tmp_path / "kept.npz", "--keep", tmp_path / "wide.npz")
    np.testing.assert_allclose(kept.landmarks, dance.landmarks, atol=1e-5)
    begun = [
        again(trained, song, tmp_path / "begun.npz", "--start-pose", tmp_path / f"{name}.npz")
        for name in ("dance", "wide")
    ]
    np.testing.assert_allclose(begun[0].landmarks, begun[1].landmarks, atol=1e-4)


def test_noise_without_a_beat_is_danced_to_calmly(trained, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 22050 * 6)
    song = write_wav(tmp_path / "noise.wav", noise)
    with pytest.warns(DancingWarning, match="found no beat"):
        generate(song, tmp_path / "noise.npz", motion=trained / "puppet", as_is=True)
    poses = PoseSequence.load(tmp_path / "noise.npz")
    assert np.linalg.norm(np.diff(poses.world, axis=0), axis=-1).mean() * 30 > 0.02


def test_training_goes_on_from_a_bundle_with_other_moves(trained, data, tmp_path):
    with DatasetWriter(tmp_path / "own.h5") as writer:
        poses, mfcc = a_dance(20, 100, 77)
        writer.clip("own", poses, mfcc=mfcc, source="own.mp4")
    said = run(
        "train", "motion", tmp_path / "own.h5", "-o", tmp_path / "run", "--device", "cpu",
        "--batch-size", 512, "--epochs", 1, "--from", trained / "puppet",
        "--set", "learning_rate=1e-9",
    )  # fmt: skip
    assert "note: too few songs" in said
    run("export", tmp_path / "run", "-o", tmp_path / "bundle")
    bundles = [Bundle(path) for path in (trained / "puppet", tmp_path / "bundle")]
    old, new = (load(bundle.file("motion.safetensors")) for bundle in bundles)
    for name, weights in old.items():
        torch.testing.assert_close(new[name].float(), weights.float(), rtol=0.002, atol=1e-4)
    old, new = (bundle.stage("motion") for bundle in bundles)
    assert new.config["counts"] == 8 and new.mean == old.mean
    assert new.body.home != old.body.home
    assert old.sources < new.sources
    first, second = new.training
    assert (first, second.config["learning_rate"]) == (old.training[0], 1e-9)
    parent = hashlib.sha256(bundles[0].file("motion.safetensors")).hexdigest()
    assert second.parents == (Parent(parent[:16], name="puppet"),) and first.weights == parent[:16]
    assert second.data[0].name == "own.h5" and second.data[0].clips == 1
    refused = run(
        "train", "motion", data, "-o", tmp_path / "no", "--model", "lstm-vae",
        "--from", trained / "puppet", ok=False,
    )  # fmt: skip
    assert "is 'flow', not 'lstm-vae'" in refused


def test_clips_without_world_landmarks_are_named(tmp_path):
    with DatasetWriter(tmp_path / "flat.h5") as writer:
        poses, mfcc = a_dance(8, 100, 0)
        writer.clip("flat", PoseSequence(poses.landmarks, beats=poses.beats), mfcc=mfcc)
    refused = run("train", "motion", tmp_path / "flat.h5", "-o", tmp_path / "run", *TINY, ok=False)
    assert "world landmarks" in refused
