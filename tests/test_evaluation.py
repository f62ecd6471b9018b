"""The tables of `dancing evaluate`: known dancers get known figures, and nothing is hidden."""

import hashlib
import json
import math
import shlex

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import media
import puppet
from dancing.body.kinematics import project
from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.cli import app
from dancing.data.dataset import Dataset, DatasetWriter, source_hash
from dancing.data.landmarker import Person
from dancing.errors import DancingError, DancingWarning
from dancing.evaluation import image, motion
from dancing.evaluation.clips import mean_estimate, ratio_estimate
from dancing.evaluation.frames import spread
from dancing.evaluation.table import Estimate, Report, Row
from dancing.media.video import encode_png
from dancing.training.train import origins_of, split
from media import Recorder

SIDE = 64
REST = np.full((33, 2), 0.5)
REST[:11] = [0.5, 0.25]
REST[11:23:2], REST[12:23:2] = [0.58, 0.4], [0.42, 0.4]
REST[23:33:2], REST[24:33:2] = [0.55, 0.6], [0.45, 0.6]
REST[25:33, 1] = 0.8
SWING = np.zeros((33, 2))
SWING[:] = [0.02, 0.01]
SWING[11:23:2], SWING[12:23:2] = [0.1, 0.02], [0.06, -0.03]


def a_clip(writer, name, tempo, seed, seconds=20.0, beats=True, **attributes):
    """A puppet that swings to and fro and turns on every beat; the MFCC say where it is.

    Now and then it swings less, so that dances differ.
    """
    period = 60 / tempo
    offset = np.random.default_rng(seed).uniform(0.1, 0.9) * period
    time = np.arange(round(seconds * 30)) / 30
    phase = np.cos(np.pi * (time - offset) / period)
    size = 1 + 0.4 * np.sin(2 * np.pi * time / (5 + seed % 3))
    mfcc = np.zeros((len(time), 13), np.float32)
    mfcc[:, 0] = phase * size
    poses = PoseSequence(
        REST + mfcc[:, :1, None] * SWING,
        aspect=1.0,
        beats=np.arange(offset, seconds, period) if beats else None,
    )
    writer.clip(name, poses, mfcc=mfcc, sample_rate=22050, hop_length=735, **attributes)


def a_bundle(folder, sources=("other",), swing=1.0, brightness=2):
    """A dancer that follows the MFCC as far as `swing`, and is drawn as a disc, too bright.

    Both models were "trained" on `sources`.
    """
    folder.mkdir()
    weights = np.zeros((13, 66), np.float32)
    weights[0] = swing * SWING.ravel() / 0.2  # the torso is 0.2 of the picture's height
    body = ((REST - REST[[23, 24]].mean(0)) / 0.2).astype(np.float32)
    models = {
        "motion": _model(
            [("mfcc", TensorProto.FLOAT, ["n", "t", 13]), ("noise", TensorProto.FLOAT, ["n", 4])],
            ("poses", TensorProto.FLOAT, ["n", "t", 33, 2]),
            {"w": weights, "shape": np.array([0, 0, 33, 2]), "body": body},
            [
                ("MatMul", ["mfcc", "w"], "flat", {}),
                ("Reshape", ["flat", "shape"], "moves", {}),
                ("Add", ["moves", "body"], "poses", {}),
            ],
        ),
        "image": _model(
            [("landmarks", TensorProto.FLOAT, ["n", 33, 2])],
            ("pictures", TensorProto.UINT8, ["n", SIDE, SIDE, 3]),
            {
                "nose": np.array([0]),
                "grid": _GRID.reshape(1, SIDE * SIDE, 2).astype(np.float32),
                "radius": np.float32(0.15**2),
                "sharp": np.float32(1e9),
                "none": np.float32(0),
                "one": np.float32(1),
                "contrast": np.float32(150),
                "dark": np.float32(50 + brightness),
                "axes": np.array([2]),
                "shape": np.array([0, SIDE, SIDE, 1]),
            },
            [
                ("Gather", ["landmarks", "nose"], "centre", {"axis": 1}),
                ("Sub", ["grid", "centre"], "away", {}),
                ("Mul", ["away", "away"], "squares", {}),
                ("ReduceSum", ["squares", "axes"], "distance", {"keepdims": 1}),
                ("Sub", ["radius", "distance"], "within", {}),
                ("Mul", ["within", "sharp"], "steep", {}),
                ("Clip", ["steep", "none", "one"], "inside", {}),
                ("Mul", ["inside", "contrast"], "lighter", {}),
                ("Add", ["lighter", "dark"], "grey", {}),
                ("Reshape", ["grey", "shape"], "plane", {}),
                ("Concat", ["plane"] * 3, "colour", {"axis": 3}),
                ("Cast", ["colour"], "pictures", {"to": TensorProto.UINT8}),
            ],
        ),
    }
    place = {"x": 0.5, "y": 0.6, "torso": 0.2, "aspect": 1.0}
    training = [{"sources": [source_hash(name) for name in sources]}]
    card = {
        "format": 2,
        "name": "puppet",
        "motion": {
            "model": "lstm-vae",
            "config": {"latent_dim": 4},
            "window": 60,
            "placement": place,
            "training": training,
        },
        "image": {
            "model": "dcgan",
            "size": [SIDE, SIDE],
            "view": [0, 0, 1, 1],
            "placement": place,
            "training": training,
        },
        "files": {},
    }
    for stage, model in models.items():
        (folder / f"{stage}.onnx").write_bytes(model)
        card["files"][f"{stage}.onnx"] = hashlib.sha256(model).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def _model(inputs, output, constants, nodes):
    graph = helper.make_graph(
        [helper.make_node(op, names, [out], **more) for op, names, out, more in nodes],
        "puppet",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


_GRID = np.stack(np.meshgrid(*[(np.arange(SIDE) + 0.5) / SIDE] * 2), -1)


def a_picture(landmarks):
    """A disc at the nose, as the bundle draws it but darker."""
    inside = ((_GRID - landmarks[0].astype(np.float32)) ** 2).sum(-1) < 0.15**2
    return np.repeat(np.where(inside, 200, 50).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture(scope="module")
def dances(tmp_path_factory):
    path = tmp_path_factory.mktemp("dances") / "dances.h5"
    with DatasetWriter(path) as writer:
        for number, tempo in enumerate((88, 97, 109, 121, 132, 143)):
            a_clip(writer, f"dance {number}", tempo, number, song=f"song {number}.mp3")
        writer.clip("silent", PoseSequence(np.repeat(REST[None], 60, 0)), source="silent.mp4")
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "films.h5"
    with DatasetWriter(path) as writer:
        for number in range(3):
            moves = np.random.default_rng(number).normal(0, 0.02, (12, 1, 2)).cumsum(0)
            landmarks = (REST + np.clip(moves, -0.15, 0.15)).astype(np.float32)
            pictures = [a_picture(pose) for pose in landmarks]
            mattes = iter([picture[..., 0] for picture in pictures]) if number else None
            writer.clip(
                f"film {number}",
                PoseSequence(landmarks, aspect=1.0),
                frames=iter(pictures),
                mattes=mattes,
                source=f"film {number}.mp4",
            )
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return a_bundle(tmp_path_factory.mktemp("bundle") / "puppet")


@pytest.fixture(scope="module")
def report(bundle, dances):
    return motion.evaluate(bundle, [dances], seeds=2)


def value(report, row, key):
    return report.row(row).figures[key].value


# ------------------------------------------------------------------------------------- motion


def test_every_row_has_the_figures_that_it_must_have(report):
    assert [row.name for row in report.rows] == [
        "real",
        "floor: real to real",
        "real, other song",
        "statue",
        "mean pose",
        "random training clip",
        "smoothed noise",
        "lstm-vae",
        *[row.name for row in report.rows[8:] if row.name.endswith("(default)")],
    ]
    # It turns on the beat and nowhere else.
    assert value(report, "real", "excess") > 0.9
    assert value(report, "lstm-vae", "excess") > 0.9
    for row in ("real, other song", "statue", "random training clip", "smoothed noise"):
        assert abs(value(report, row, "excess")) < 0.12, row
    assert value(report, "mean pose", "excess") == 0
    for row in ("statue", "mean pose"):
        assert value(report, row, "magnitude_ratio") < 0.1
        assert value(report, row, "jerk_ratio") < 0.2
    for row in ("lstm-vae", "random training clip", "smoothed noise"):
        assert value(report, row, "magnitude_ratio") == pytest.approx(1, abs=0.1)
    # The model dances exactly as the data: no further away than real dance is from itself.
    floor = value(report, "floor: real to real", "energy_kinetic")
    assert value(report, "lstm-vae", "energy_kinetic") == pytest.approx(floor, rel=0.1)
    # The feet swing as the rest does.
    for key in ("footfalls_on", "footfall_distance_ms"):
        real = value(report, "real", key)
        assert value(report, "lstm-vae", key) == pytest.approx(real, rel=0.1)
        assert value(report, "real, other song", key) != pytest.approx(real, rel=0.1)
    assert value(report, "statue", "footfalls_on") == 0
    assert report.row("statue").figures["footfall_distance_ms"] is None
    for row in ("statue", "mean pose"):
        assert value(report, row, "energy_kinetic") > 1.5 * floor
        assert value(report, row, "diversity") < 0.1 * value(report, "real", "diversity")


def test_vigour_and_form_have_a_table_each(report, tmp_path):
    vigour, form = report.table("vigour"), report.table("form")
    rows = {row.name: row.figures for row in vigour.rows}
    assert next(iter(rows)) == "real: torso lengths, s" and "real, other song" not in rows
    # A hand swings to and fro by 0.2 of the picture: a torso's length, on every beat.
    assert rows["real: torso lengths, s"]["hands"].value == pytest.approx(1.8, abs=0.5)
    for key in ("hands", "feet", "hips", "hip_height"):
        assert rows["lstm-vae"][key].value == pytest.approx(1, abs=0.1)
        assert rows["statue"][key].value < 0.3
    # What the picture does not show.
    assert not {"turning", "lifted", "airborne", "sunk", "unfall"} & set(rows["lstm-vae"])
    rows = {row.name: row.figures for row in form.rows}
    # Five seconds of eight counts, and all of them are much alike.
    assert rows["real"]["blocks"].value == pytest.approx(20 / 8 * 115 / 60, abs=1)
    assert rows["lstm-vae"]["patterns"].value == rows["real"]["patterns"].value
    assert rows["statue"]["patterns"].value == 1
    assert rows["statue"]["longest_run"].value >= 3
    content = assert_clean(report, tmp_path)
    assert set(content["tables"]) == {"vigour", "form"}
    assert content["tables"]["form"]["rows"][-1]["figures"]["patterns"]["value"] >= 1
    for text in ("\n".join(report.text()), (tmp_path / "report.md").read_text()):
        assert "vigour and body use" in text and "longest run" in text


def a_room_clip(writer, name, genre, seed, seconds=14):
    """A walk in the room: 'high' with its hands up."""
    world, place = puppet.a_walk(seconds * 30, tempo=110, seed=seed)
    if genre == "high":
        world[:, 15:23, 1] -= 0.7
    picture = project(world + place[:, None], puppet.FOCAL, puppet.ASPECT)
    poses = PoseSequence(
        picture, world=world, beats=0.3 + np.arange(seconds * 110 // 60) * 60 / 110
    )
    mfcc = np.random.default_rng(seed).normal(size=(len(world), 13)).astype(np.float32)
    attributes = {"genre": genre} if genre else {}
    writer.clip(name, poses, mfcc=mfcc, song=f"{name}.mp3", **attributes)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Training and test data of dances in the room, most with a genre."""
    folder = tmp_path_factory.mktemp("rooms")
    for number, (name, count) in enumerate((("train", 4), ("test", 2))):
        with DatasetWriter(folder / f"{name}.h5") as writer:
            for seed in range(count):
                for genre in ("high", "plain"):
                    a_room_clip(writer, f"{name} {genre} {seed}", genre, 10 * number + seed)
            a_room_clip(writer, f"{name} nameless", "", 99)
    return folder


class Knows:
    """A choreographer that knows genres, as a model does that was trained with them."""

    genres = ("high", "plain", "unheard of")

    def __init__(self, bundle):
        self.bundle = bundle

    def __call__(self, song, seed=0, genre="plain"):
        world, place = puppet.a_walk(song.n_frames, tempo=110, seed=40 + seed)
        # Asked for anything it puts its hands up.
        world[:, 15:23, 1] -= 0.7
        picture = project(world + place[:, None], puppet.FOCAL, puppet.ASPECT)
        return PoseSequence(picture, world=world)


def test_genres_are_named_and_vigour_is_shown_by_genre(bundle, rooms, tmp_path, monkeypatch):
    monkeypatch.setattr(motion, "Choreographer", Knows)
    train, test = rooms / "train.h5", rooms / "test.h5"
    report = motion.evaluate(bundle, [test], train_data=[train], seeds=1, by_genre=True)
    assert "--genres" in report.facts["command"]
    genres = {row.name: row.figures for row in report.table("genres").rows}
    assert genres["real, all"]["right"].value == 1
    assert genres["real: high"]["high"].value == genres["real: plain"]["plain"].value == 1
    assert genres["real, all"]["dances"].value == 4
    # Its dances look alike, whatever it is asked for.
    assert genres["lstm-vae: plain"]["high"].value == genres["lstm-vae: high"]["high"].value == 1
    assert genres["lstm-vae, all"]["right"].value == 0.5
    assert "lstm-vae: unheard of" not in genres
    vigour = {row.name: row.figures for row in report.table("vigour").rows}
    assert {"real: m, s, degrees, high", "lstm-vae, high", "lstm-vae, plain"} <= set(vigour)
    assert "statue, high" not in vigour
    assert 0.2 < vigour["real: m, s, degrees"]["hands"].value < 1.5
    for key in ("hands", "feet", "hips"):
        assert vigour["lstm-vae"][key].value == pytest.approx(1, abs=0.5)
    assert vigour["lstm-vae"]["sunk"].value == 0
    assert_clean(report, tmp_path)


def test_genres_need_clips_that_name_theirs_on_either_side(bundle, rooms, dances):
    with pytest.raises(DancingError, match="give --train-data with at least two"):
        motion.evaluate(bundle, [rooms / "test.h5"], seeds=1, by_genre=True)
    with pytest.raises(DancingError, match="no clip of the data names one of high, plain"):
        motion.evaluate(bundle, [dances], train_data=[rooms / "train.h5"], seeds=1, by_genre=True)
    # Of dances to songs that the classifier knows none is left.
    train = rooms / "train.h5"
    with pytest.raises(DancingError, match="of a song that the training data have not"):
        motion.evaluate(bundle, [train], train_data=[train], seeds=1, by_genre=True)


def test_a_frozen_bundle_is_seen_as_frozen(tmp_path, dances):
    report = motion.evaluate(a_bundle(tmp_path / "frozen", swing=0), [dances], seeds=1)
    assert value(report, "lstm-vae", "magnitude_ratio") == pytest.approx(0, abs=1e-3)
    assert value(report, "lstm-vae", "excess") == 0


MEANS = (
    "recall",
    "precision",
    "excess",
    "footfalls_on",
    "magnitude_ratio",
    "jerk_ratio",
    "foot_sliding",
)


def test_intervals_are_by_song_and_hold_the_mean(report):
    for row in report.rows:
        for key in MEANS:
            estimate = row.figures.get(key)
            if estimate is not None:
                assert estimate.low <= estimate.value <= estimate.high
    assert set(MEANS) <= set(report.row("lstm-vae").figures)
    noise = report.row("smoothed noise").figures
    assert noise["magnitude_ratio"].low < noise["magnitude_ratio"].high
    real = report.row("real").figures["jerk_ratio"]
    assert real.low == real.high == 1
    assert report.facts["songs_or_sources"] == 6 and report.facts["clips"] == 6
    assert report.facts["windows"] == 12
    assert any("FID_k is refused" in note for note in report.notes)
    assert any("1 clips without music" in note for note in report.notes)


def test_a_ratio_is_resampled_by_groups_with_its_reference():
    values, groups = [1.0, 2, 3, 4, 50], ["a", "a", "b", "b", "c"]
    doubled = ratio_estimate(values, [v / 2 for v in values], groups)
    assert doubled == Estimate(2.0, 2.0, 2.0)
    # Every mean of three of the groups lies between the smallest and the largest group's.
    mean = ratio_estimate(values, [1.0] * 5, groups)
    assert mean.value == 12 and 1.5 <= mean.low < 12 < mean.high <= 50
    assert ratio_estimate(values, [1.0] * 5, ["a"] * 5) == Estimate(12.0)
    assert ratio_estimate([0.0, 0.0], [0.0, 0.0], ["a", "b"]) is None
    assert ratio_estimate([1.0, 1.0], [0.0, 1.0], ["a", "b"]) == Estimate(2.0)


def test_same_seed_same_table_and_another_seed_another(bundle, dances, report):
    again = motion.evaluate(bundle, [dances], seeds=2)
    assert [row.figures for row in again.rows] == [row.figures for row in report.rows]
    assert again.rows[-1].details == report.rows[-1].details
    other = motion.evaluate(bundle, [dances], seeds=2, seed=7)
    assert other.row("smoothed noise").figures != report.row("smoothed noise").figures


def test_training_clips_are_refused_unless_asked_for(tmp_path, dances):
    knows_two = a_bundle(tmp_path / "two", sources=["Song 1.ogg", "music/song 2.mp3"])
    report = motion.evaluate(knows_two, [dances], seeds=1)
    assert report.facts["left_out"] == ["dance 1", "dance 2"]
    assert report.facts["clips"] == 4
    assert any("left out: 2 of 6" in note for note in report.notes)
    report = motion.evaluate(knows_two, [dances], seeds=1, include_training=True)
    assert report.facts["clips"] == 6 and report.facts["includes_training"]
    assert any("INCLUDES TRAINING DATA" in note for note in report.notes)
    knows_all = a_bundle(tmp_path / "all", sources=[f"song {n}" for n in range(6)])
    with pytest.raises(DancingError, match="trained on all 6 clips"):
        motion.evaluate(knows_all, [dances])


def test_one_song_without_beats_leaves_out_what_cannot_be_had(tmp_path, bundle):
    path = tmp_path / "one.h5"
    with DatasetWriter(path) as writer:
        a_clip(writer, "a", 100, 0, seconds=4, beats=False, song="a.mp3")
        a_clip(writer, "b", 100, 1, seconds=4, beats=False, song="a.mp3")
    report = motion.evaluate(bundle, [path], seeds=1)
    names = [row.name for row in report.rows]
    assert "real, other song" not in names and "random training clip" not in names
    assert report.row("lstm-vae").figures["excess"] is None
    assert any("2 clips have no beats" in note for note in report.notes)
    assert_clean(report, tmp_path)


def test_data_that_do_not_move_give_no_nan(tmp_path, bundle):
    path = tmp_path / "still.h5"
    with DatasetWriter(path) as writer:
        for n in range(2):
            still = PoseSequence(np.repeat(REST[None], 60, 0), beats=np.array([0.5, 1.0]))
            writer.clip(f"{n}", still, mfcc=np.zeros((60, 13), np.float32), source=f"{n}.mp4")
    report = motion.evaluate(bundle, [path], seeds=1)
    assert report.row("lstm-vae").figures["magnitude_ratio"] is None
    assert_clean(report, tmp_path)


def test_poses_that_cannot_be_scored_are_named(tmp_path, bundle):
    path = tmp_path / "flat.h5"
    with DatasetWriter(path) as writer:
        flat = PoseSequence(np.zeros((60, 33, 2)))
        writer.clip("flat", flat, mfcc=np.zeros((60, 13), np.float32))
    with pytest.raises(DancingError, match="'flat' cannot be scored: the torso"):
        motion.evaluate(bundle, [path])
    with pytest.raises(DancingError, match="no clip has pictures"):
        image.evaluate(bundle, [path])


def test_training_data_are_the_scale_and_the_random_clips(tmp_path, bundle, dances):
    path = tmp_path / "train.h5"
    with DatasetWriter(path) as writer:
        # Short ones are danced there and back; of a song that is scored none is taken.
        a_clip(writer, "short", 100, 9, seconds=6, song="known.mp3")
        a_clip(writer, "same", 100, 9, seconds=30, song="song 0.mp3")
    report = motion.evaluate(bundle, [dances], train_data=[path], seeds=1)
    assert any("of the training data" in note for note in report.notes)
    assert any("scale of the training clips" in note for note in report.notes)
    assert value(report, "random training clip", "magnitude_ratio") > 0.5


def test_songs_are_heard_and_scored_against_their_exact_beats(tmp_path, bundle, dances):
    folder = tmp_path / "songs"
    folder.mkdir()
    media.write_wav(folder / "new.wav", media.clicks(8, 120))
    media.write_wav(folder / "song 0.wav", media.clicks(8, 120))
    (folder / "song 0.json").write_text('{"beats": [0.25, 19.75]}')
    report = motion.evaluate(bundle, [dances], songs=folder, seeds=1)
    row = report.row("lstm-vae, songs of songs")
    assert [detail["clip"] for detail in row.details] == ["new.wav", "song 0.wav"]
    assert row.details[0]["music_beats"] >= 12
    assert row.details[1]["music_beats"] == 1  # the song is over before the other
    assert report.row("real").details[0]["music_beats"] == 2
    (folder / "new.json").write_text('{"beats": "many"}')
    with pytest.raises(DancingError, match=r"new.json: holds no usable 'beats'"):
        motion.evaluate(bundle, [dances], songs=folder)


# ------------------------------------------------------------------------------------- image


PICTURE_KEYS = tuple(column.key for column in image.COLUMNS)
FACE_KEYS = ("face_sharpness_ratio", "face_fit")
POSE_KEYS = tuple(column.key for column in image.POSE_COLUMNS)


@pytest.fixture
def no_estimator(monkeypatch):
    def absent(**_):
        raise DancingError("finding people needs onnx: pip install 'dancing[extract]'")

    monkeypatch.setattr("dancing.data.landmarker.Landmarker", absent)


def test_pictures_two_levels_too_bright_have_42_decibels(bundle, films, tmp_path, no_estimator):
    with pytest.warns(DancingWarning, match=r"pose fidelity is left out: .* pip install"):
        report = image.evaluate(bundle, [films])
    assert report.facts["frames"] == 36
    for part in ("person", "frame"):
        assert value(report, "dcgan", f"psnr_{part}") == pytest.approx(42.11, abs=0.005)
        assert value(report, "dcgan", f"ssim_{part}") > 0.99
    assert value(report, "dcgan", "sharpness_ratio") == pytest.approx(1)
    assert value(report, "dcgan", "steadiness_ratio") == pytest.approx(1)
    assert value(report, "nearest training frame", "psnr_person") < 30
    alone = next(note for note in report.notes if "each frame's own" in note)
    assert float(alone.split("dcgan ")[1].split(",")[0]) == pytest.approx(42.11, abs=0.011)
    assert "pck" not in {column.key for column in report.columns}
    assert_clean(report, tmp_path)


def test_exact_pictures_are_no_nan_and_one_does_not_hide_the_rest(tmp_path, films, no_estimator):
    exact = a_bundle(tmp_path / "exact", brightness=0)
    with pytest.warns(DancingWarning):
        report = image.evaluate(exact, [films])
    assert_clean(report, tmp_path)
    # Squared errors are averaged, not decibels: half of the frames exact is 3 dB, not infinity.
    estimate = image._decibels(mean_estimate([0.0, 4.0], ["a", "a"]))
    assert estimate.value == pytest.approx(42.11 + 10 * math.log10(2), abs=0.005)


def test_a_bundle_with_a_plate_is_compared_pixel_by_pixel(tmp_path, no_estimator):
    # The model draws nobody: the plate stays as it is.
    folder = a_bundle(tmp_path / "plate")
    noise = np.random.default_rng(0).integers(0, 256, (640, 360, 3), np.uint8)
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["landmarks"], ["count"], start=0, end=1),
            helper.make_node("Split", ["crop", "halves"], ["width", "height"], axis=0),
            helper.make_node("Concat", ["count", "height", "width", "four"], ["sides"], axis=0),
            helper.make_node(
                "ConstantOfShape",
                ["sides"],
                ["layers"],
                value=helper.make_tensor("nothing", TensorProto.UINT8, [1], [0]),
            ),
            helper.make_node("Concat", ["count", "cells"], ["all cells"], axis=0),
            helper.make_node("ConstantOfShape", ["all cells"], ["shade"]),
            helper.make_node("Identity", ["corners"], ["unused"]),
        ],
        "nobody",
        [
            helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["n", 33, 2]),
            helper.make_tensor_value_info("corners", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("crop", TensorProto.INT64, [2]),
        ],
        [
            helper.make_tensor_value_info("layers", TensorProto.UINT8, ["n", "h", "w", 4]),
            helper.make_tensor_value_info("shade", TensorProto.FLOAT, ["n", 80, 48]),
        ],
        [
            numpy_helper.from_array(np.array(value), name)
            for name, value in {"halves": [1, 1], "four": [4], "cells": [80, 48]}.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = model.SerializeToString()
    card = json.loads((folder / "card.json").read_text())
    card["image"] |= {"model": "limbs", "size": [360, 640], "margin": [9, 9, 9, 9]}
    for name, content in (("image.onnx", model), ("plate.png", encode_png(noise))):
        (folder / name).write_bytes(content)
        card["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    matte = np.zeros((640, 360), np.uint8)
    matte[201:420, 99:250] = 128
    with DatasetWriter(tmp_path / "plate.h5") as writer:
        for n, brighter in enumerate((0, 2)):
            frames = [np.where(matte[..., None] > 0, noise ^ brighter, noise)] * 2
            poses = PoseSequence(np.repeat(REST[None], 2, 0), aspect=0.5625)
            writer.clip(f"{n}", poses, frames=iter(frames), mattes=iter([matte] * 2))
    with pytest.warns(DancingWarning):
        report = image.evaluate(folder, [tmp_path / "plate.h5"])
    exact, other = report.rows[-1].details
    assert exact["mse_person"] == exact["mse_frame"] == 0 and exact["ssim_frame"] == 1
    # Every pixel of the box, and none outside, is off by 2.
    assert other["mse_person"] == 4
    assert other["mse_frame"] == pytest.approx(4 * 219 * 151 / (640 * 360))
    assert report.rows[-1].figures["ssim_person"].low < 1


def test_pose_fidelity_is_that_of_the_estimator_beside_the_real_frames(bundle, films, monkeypatch):
    class Estimator:
        """Finds the disc, and so the puppet below it."""

        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __call__(self, picture):
            inside = picture[..., 0] > 128
            points = np.zeros((33, 6), np.float32)
            points[:, :2] = REST + _GRID[inside].mean(0) - REST[0]
            return [Person(points, np.zeros(inside.shape, np.uint8))]

    monkeypatch.setattr("dancing.data.landmarker.Landmarker", Estimator)
    report = image.evaluate(bundle, [films])
    for row in ("real", "dcgan"):
        assert value(report, row, "pck") == 1
        assert value(report, row, "pck_ratio") == 1
        assert value(report, row, "pose_error") < 0.1
    assert value(report, "nearest training frame", "pose_error") > 0.1
    # Nothing changes inside the mattes of two films of three, so steadiness has no interval; heads
    # are too small to have a face.
    for key in {*POSE_KEYS, *PICTURE_KEYS} - {"steadiness_ratio", *FACE_KEYS}:
        estimate = report.row("nearest training frame").figures[key]
        assert estimate.low <= estimate.value <= estimate.high
    monkeypatch.setattr(Estimator, "__call__", lambda self, picture: [])
    report = image.evaluate(bundle, [films])
    assert value(report, "dcgan", "pck") == 0
    assert next(line for line in report.text() if line.startswith("dcgan")).endswith(" -")


def test_frames_are_pairs_spread_over_the_clips(bundle, films, no_estimator):
    chosen = spread([100, 1, 50], 20)
    times = [t for clip in chosen for t in clip]
    assert len(times) <= 20 and len(chosen[0]) > len(chosen[2]) > 2
    assert all({t - 1, t + 1} & set(chosen[0]) for t in chosen[0])
    assert spread([3, 1], 10) == [[0, 1, 2], [0]]
    with pytest.warns(DancingWarning):
        report = image.evaluate(bundle, [films], frames=6)
    assert report.facts["frames"] <= 6
    assert report.row("dcgan").figures["steadiness_ratio"] is not None


def test_training_films_are_refused(tmp_path, films, no_estimator):
    knows = a_bundle(tmp_path / "knows", sources=["film 0.mp4", "film 1"])
    with pytest.warns(DancingWarning):
        report = image.evaluate(knows, [films])
    assert [detail["clip"] for detail in report.row("dcgan").details] == ["film 2"]
    assert "nearest training frame" not in [row.name for row in report.rows]
    with pytest.raises(DancingError, match="--include-training"):
        image.evaluate(a_bundle(tmp_path / "all", [f"film {n}" for n in range(3)]), [films])


# ---------------------------------------------------------------------------- what is written


def assert_clean(report, folder):
    """Text, Markdown and JSON without NaN or infinity, and the JSON's layout."""
    report.save_json(folder / "report.json")
    report.save_markdown(folder / "report.md")
    words = "\n".join([*report.text(), (folder / "report.md").read_text()]).lower().split()
    assert not {"nan", "inf", "-inf"} & set(words)

    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads((folder / "report.json").read_text(), parse_constant=refuse)
    assert {"dancing", "title", "bundle", "command", "clips", "columns", "rows", "notes"} <= set(
        content
    )
    for row in content["rows"]:
        assert set(row) == {"name", "figures", "clips"}
        assert set(row["figures"]) == set(content["columns"])
        for estimate in row["figures"].values():
            assert set(estimate) == {"value", "low", "high"}
    return content


def test_json_markdown_and_text_hold_the_same(report, tmp_path):
    content = assert_clean(report, tmp_path)
    excess = content["rows"][0]["figures"]["excess"]["value"]
    assert excess == value(report, "real", "excess")
    assert len(content["rows"][-1]["clips"]) == 2 * 6
    for text in ("\n".join(report.text()), (tmp_path / "report.md").read_text()):
        assert f"{excess:.3f}" in text and "smoothed noise" in text
        assert "excess [95 %]" in text
    # Markdown has every interval, text that of the excess only.
    assert "jerk [95 %]" in text and "jerk [95 %]" not in "\n".join(report.text())
    assert "E_k [95 %]" not in text


def test_a_narrow_terminal_shows_every_number(report, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    report.show()
    shown = capsys.readouterr().out
    assert "…" not in shown and "sliding" in shown
    assert f"{value(report, 'real', 'excess'):.3f} [" in shown


def test_command_line_writes_all_that_it_was_asked_for(
    bundle, dances, films, tmp_path, no_estimator
):
    for stage, data, more in (
        ("motion", dances, ["--seeds", "1"]),
        ("image", films, ["--frames", "6"]),
    ):
        files = [tmp_path / f"{stage}.{suffix}" for suffix in ("json", "md", "png")]
        options = zip(("--json", "--markdown", "--plot"), files, strict=True)
        words = ["evaluate", stage, "--bundle", bundle, "--data", data, *more]
        words += [word for option in options for word in option]
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == 0, done.output
        assert all(file.stat().st_size for file in files)
        assert f"{stage}.json" in done.output and "\x1b" not in done.output


def test_reports_name_no_folders_and_their_command_makes_them_again(
    tmp_path, films, no_estimator, monkeypatch
):
    private = tmp_path / "private folder"
    (private / "new songs").mkdir(parents=True)
    me = a_bundle(private / "me", ["song a.mp3"])
    with DatasetWriter(private / "moves.h5") as writer:
        a_clip(writer, "a", 100, 0, seconds=2, song="song a.mp3")
    (private / "films.h5").write_bytes(films.read_bytes())
    media.write_wav(private / "new songs" / "new.wav", media.clicks(4, 120))
    # A server makes reports too: its command line is not what made them.
    monkeypatch.setattr("sys.argv", [str(private / "server.py"), "--share"])
    moves, pictures = private / "moves.h5", private / "films.h5"
    report = motion.evaluate(
        me, [moves], songs=private / "new songs", seeds=1, seed=2, include_training=True
    )
    words = ["motion", "--data", moves, "--songs", private / "new songs", "--seeds", 1]
    words += ["--seed", 2, "--include-training"]
    assert command_of(report, words, me, monkeypatch) == (
        "dancing evaluate motion --bundle me --data moves.h5 --songs 'new songs' --seeds 1 "
        "--seed 2 --include-training"
    )
    with pytest.warns(DancingWarning):
        report = image.evaluate(me, [str(pictures)], train_data=[pictures], frames=6)
    words = ["image", "--data", pictures, "--train-data", pictures, "--frames", 6]
    assert command_of(report, words, me, monkeypatch) == (
        "dancing evaluate image --bundle me --data films.h5 --train-data films.h5 --frames 6"
    )
    with pytest.warns(DancingWarning):
        report = image.evaluate(me, [pictures])
    assert report.facts["command"] == "dancing evaluate image --bundle me --data films.h5"


def command_of(report, words, bundle, monkeypatch):
    """The command of a report, checked: nothing that is written holds a folder's name.

    The report is made once more by the command line with full paths, and by its own command
    where the files are.
    """
    folder = bundle.parent
    report.save_json(folder / "python.json")
    report.save_markdown(folder / "python.md")
    monkeypatch.chdir(folder)
    words = ["evaluate", *words, "--bundle", bundle, "--card", "--json", folder / "full.json"]
    again = [*shlex.split(report.facts["command"])[1:], "--json", "again.json"]
    for line in (words, again):
        done = CliRunner().invoke(app, list(map(str, line)))
        assert done.exit_code == 0, done.output
    written = [folder / name for name in ("python.json", "python.md", "full.json", "again.json")]
    texts = [file.read_text() for file in (*written, bundle / "card.json")]
    assert texts[0] == texts[2] == texts[3]
    assert json.dumps(report.facts["command"])[1:-1] in texts[-1], "in the card"
    assert not any(folder.name in text or "server" in text for text in texts)
    return report.facts["command"]


def test_command_line_refuses_in_one_line(bundle, dances):
    done = media.dancing(
        "evaluate", "motion", "--bundle", bundle, "--data", dances, "--plot", "x.jpg", ok=False
    )
    assert done.stderr == "error: x.jpg: a plot is written as .png\n"


# --------------------------------------------------------------------------------- the split

names = st.sampled_from(
    [f"{stem}{n}" for stem in ("song_", "ava choreo_", "É.v2 ") for n in range(9)]
)
spellings = st.sampled_from(
    ["{}", "{}.mp3", "{}.WAV", "folder/{}.mp4", "C:\\x\\{}.npz", "./{}.ogg"]
)


class FakeClip:
    """What a split looks at, with the properties of a real clip."""

    def __init__(self, name, song, source):
        from dancing.data.dataset import Clip

        clip = object.__new__(Clip)
        clip.name = name
        clip.attributes = {} if song is None else {"song": song}
        clip.attributes |= {} if source is None else {"source": source}
        self.origins, self.held_out = clip.origins, clip.held_out


written = st.builds(lambda spelling, name: spelling.format(name), spellings, names)
clips = st.lists(st.builds(FakeClip, written, st.none() | written, st.none() | written))


@given(clips, clips)
def test_no_song_or_source_is_on_both_sides_and_nothing_ever_moves_across(first, more):
    kept, out = split(first, Recorder())
    if not out:
        return
    on = [set().union(*(clip.origins for clip in side)) for side in (kept, out)]
    assert not on[0] & on[1]
    more_kept, more_out = split(first + more, Recorder())
    if more_kept:
        assert not set(more_kept) & set(out) and not set(more_out) & set(kept)


@given(names, spellings, spellings)
def test_the_same_file_is_known_under_every_spelling(name, one, other):
    assert source_hash(one.format(name)) == source_hash(other.format(name.upper()))
    assert source_hash(name) != source_hash(name + "_2")


def test_pieces_of_a_video_and_seeds_of_a_song_stay_together(tmp_path):
    with DatasetWriter(tmp_path / "pieces.h5") as writer:
        pose = PoseSequence(REST)
        for name in ("choreo_synth_00_0", "choreo_synth_00_0_2"):
            writer.clip(name, pose, source="choreo_synth_00_0.mp4")
        for seed in range(2):
            writer.clip(f"s{seed}", pose, source=f"s{seed}.npz", song="synth_00.ogg")
        writer.clip("s1 without its song", pose, source="s1.npz")
        writer.clip("its video", pose, source="SYNTH_00.mp4")
    with Dataset(tmp_path / "pieces.h5") as data:
        by_name = {clip.name: clip.origins for clip in data}
        sources = origins_of(data.clips)
    assert by_name["choreo_synth_00_0"] == by_name["choreo_synth_00_0_2"]
    for name in ("s1", "its video"):
        assert by_name["s0"] & by_name[name]
    assert by_name["s1"] & by_name["s1 without its song"]
    assert set(sources) == set().union(*by_name.values())


def test_figures_go_into_the_card_and_the_bundle_stays_whole(tmp_path):
    folder = a_bundle(tmp_path / "me")
    name = str(Bundle(folder).stage("image").model)
    report = Report(
        "a table",
        {"command": "dancing evaluate"},
        (),
        [Row(name, {"psnr": Estimate(27.12346), "pck": None}, [])],
        [],
    )
    report.save_to_card(Bundle(folder), "image", name)
    again = Bundle(folder)
    assert again.card.figures["image"] == {
        "of": "a table", "command": "dancing evaluate", "psnr": 27.1235,
    }  # fmt: skip
    assert again.image is not None, "the hashes still hold"
