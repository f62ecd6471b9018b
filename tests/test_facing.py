"""Dances for a dancer who cannot be drawn from all sides."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from dancers import BoxDancer
from dancing.body import facing, kinematics
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import HIPS
from dancing.bundle import _EMBEDDED
from dancing.image.dancer import Dancer
from dancing.metrics import beat_score, foot_sliding
from dancing.motion.choreographer import Choreographer
from dancing.music.song import load_song
from dancing.pipeline import generate
from dancing.rows import Rows
from media import EXAMPLE, Recorder
from puppet import ASPECT, FOCAL, a_walk

FRAMES = 240


def ramp(first, last, turn, frames=FRAMES):
    """Yaw (T,) that goes evenly to `turn` between two frames, and stays there."""
    return turn * np.clip((np.arange(frames) - first) / (last - first), 0, 1)


def spun(yaw):
    """The puppet, who faces the camera, turned by degrees (T,): (T, 33, 3), and its path."""
    world, place = a_walk(len(yaw))
    return facing.turned(world, np.stack([yaw, 0 * yaw], 1)), place


def wrapped(degrees):
    return (degrees + 180) % 360 - 180


def limited(points, turns):
    return facing.turned(points, facing.corrections(facing.yaws(points), turns))


@pytest.mark.parametrize("yaw", [0, 30, -89, 150])
def test_yaw_is_that_of_trunk_and_head(yaw):
    points, _ = spun(np.full(5, float(yaw)))
    np.testing.assert_allclose(facing.yaws(points), yaw, atol=1e-9)
    up, _ = a_walk(5)
    toes_ahead = up[:, [31, 32], 2] < up[:, [27, 28], 2]
    assert toes_ahead.all(), "0 faces the camera"


@pytest.mark.parametrize("turns", [15, 30, 60, 90, 150])
@pytest.mark.parametrize("spin", [360, -360, 720, 100, 180])
def test_nobody_turns_further_or_faster(turns, spin):
    yaw = ramp(60, 60 + abs(spin) / 10, spin)
    points, _ = spun(yaw)
    found = facing.yaws(limited(points, turns))
    assert np.abs(found[:, 0]).max() <= min(turns, 90) + 1e-9
    assert np.abs(found[:, 1]).max() <= min(turns + 15, 90) + 1e-9
    assert np.abs(np.diff(found, axis=0)).max() <= 10 * 1.01
    assert np.abs(found[:, 0]).max() > 0.25 * min(turns, 90), "but it is a turn"


def test_a_spin_is_a_twist_to_one_side_and_to_the_other_at_its_time():
    found = facing.yaws(limited(spun(ramp(60, 120, 360.0))[0], 60))[:, 0]
    assert np.abs(found[[*range(50), *range(130, FRAMES)]]).max() < 1e-3, "before and after"
    assert found[75] > 40 and abs(found[90]) < 1e-6 and found[105] < -40


def test_a_back_becomes_a_front_and_a_side_stays_a_side():
    for yaw, front in ((180, 0), (90, 60), (-90, -60), (130, 50)):
        found = facing.yaws(limited(spun(np.full(30, float(yaw)))[0], 60))
        np.testing.assert_allclose(found, front, atol=2)


def test_small_turns_are_kept():
    points, _ = spun(38 * np.sin(np.arange(FRAMES) / 8))
    np.testing.assert_allclose(limited(points, 60), points, atol=2e-3)


def test_the_body_is_turned_as_a_whole_about_the_mid_hip():
    points, place = spun(ramp(60, 90, 360.0))
    points = points + place[:, None]
    made = limited(points, 60)
    np.testing.assert_allclose(made[:, HIPS].mean(1), points[:, HIPS].mean(1), atol=1e-9)
    np.testing.assert_allclose(made[..., 1], points[..., 1], atol=1e-9)
    body = [*range(11, 33)]  # the head is turned on, beyond that
    before, after = (
        np.linalg.norm(each[:, body, None] - each[:, None, body], axis=-1)
        for each in (points, made)
    )
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_the_head_looks_away_no_further_than_fifteen_degrees_more():
    points, _ = a_walk(FRAMES)
    aside = np.stack([np.zeros(FRAMES), ramp(60, 80, 120.0) - ramp(150, 170, 120.0)], 1)
    points = facing.turned(points, aside)
    made = limited(points, 30)
    found = facing.yaws(made)[:, 1]
    assert 40 < found.max() <= 45
    np.testing.assert_array_equal(made[:, 11:], points[:, 11:])
    neck, nose = made[:, 11:13].mean(1), made[:, 0]
    before = np.linalg.norm(points[:, 0] - neck, axis=1)
    np.testing.assert_allclose(np.linalg.norm(nose - neck, axis=1), before)


def test_shoulders_drawn_together_get_their_width_back():
    whole, _ = spun(np.full(20, 40.0))
    narrow = whole.copy()
    upper = [*range(23)]
    # As a mean over all orientations is: only what is on the body's axis is left.
    narrow[8:12, upper] *= [0.2, 1.0, 0.2]
    shape = a_walk(1)[0][0]
    made = facing.filled_out(narrow, shape)
    np.testing.assert_allclose(facing.yaws(made), 40, atol=1e-6)
    np.testing.assert_allclose(made[8:12, 11:13], whole[8:12, 11:13], atol=1e-6)
    eyes = made[:, 2] - made[:, 5]
    np.testing.assert_allclose(eyes, whole[:, 2] - whole[:, 5], atol=1e-6)
    others = [*range(8), *range(12, 20)]
    np.testing.assert_array_equal(made[others], narrow[others])


# ---------------------------------------------------------------------------------- pose files


def seen(yaw):
    """Poses with world landmarks of the puppet who turns by degrees (T,)."""
    world, place = spun(yaw)
    landmarks = kinematics.project(world + place[:, None], FOCAL, ASPECT)
    return PoseSequence(landmarks, world=world, aspect=ASPECT)


def test_poses_within_are_left_alone():
    poses = seen(50 * np.sin(np.arange(FRAMES) / 9))
    assert facing.within(poses, 60) is poses
    made = facing.within(seen(ramp(60, 100, 360.0)), 60)
    assert facing.within(made, 60) is made, "drawn again it is the same"


def test_a_picture_shows_the_turned_body():
    poses = seen(ramp(60, 120, 180.0))
    made = facing.within(poses, 60)
    assert np.abs(facing.yaws(made.world)).max() < 60.5
    # Before the turn as it was, in the middle as far as may be, behind it from the front.
    np.testing.assert_allclose(made.landmarks[:45], poses.landmarks[:45], atol=2e-3)
    across = made.landmarks[:, 11, 0] - made.landmarks[:, 12, 0]
    front, side = across[:45].mean(), across[90]
    assert 0.35 * front < side < 0.8 * front
    np.testing.assert_allclose(across[140:], front, rtol=0.08)
    middle = [each.landmarks[:, HIPS].mean(1) for each in (poses, made)]
    np.testing.assert_allclose(middle[1], middle[0], atol=3e-3)


def test_standing_feet_stand_while_a_body_is_turned():
    """The trunk turns to and fro above them, where the turn is taken back."""
    stance = np.repeat(a_walk(1)[0], FRAMES, 0)
    yaw = np.stack([75 + 15 * np.sin(np.arange(FRAMES) / 10), np.zeros(FRAMES)], 1)
    world = facing.turned(stance, yaw)
    world[:, 23:] = facing.turned(stance, 0 * yaw + [75, 0])[:, 23:]
    landmarks = kinematics.project(world + np.array([0, 0.1, 3.5]), FOCAL, ASPECT)
    made = facing.within(PoseSequence(landmarks, world=world, aspect=ASPECT), 60)
    moved = facing.turned(world, facing.corrections(facing.yaws(world), 60))
    loose, planted = (
        np.linalg.norm(np.diff(kinematics.soles(points), axis=0), axis=-1).min(-1)
        for points in (moved, made.world.astype(np.float64))
    )
    assert loose.mean() > 1e-3, "metres a frame that the slower end of a foot would slide"
    assert planted.mean() < 0.1 * loose.mean()


# ---------------------------------------------------------------------------------- generating


@pytest.fixture(scope="module")
def song():
    return load_song(EXAMPLE)


@pytest.fixture(scope="module")
def free(song):
    return Choreographer("default")(song, 0)


def test_a_dance_stays_within_and_on_the_beat(song, free):
    world = Rows(33, 3)
    made = Choreographer("default")(song, 0, turns=30, world=world)
    before, after = facing.yaws(free.world), facing.yaws(world[:])
    assert (np.abs(before[:, 0]) > 30).mean() > 0.05
    assert np.abs(after).max(0)[0] <= 30.01 and np.abs(after).max(0)[1] <= 45.01
    speed = [np.abs(wrapped(np.diff(each[:, 0]))).max() for each in (before, after)]
    assert speed[1] <= speed[0]
    path = [each.landmarks[:, HIPS].mean(1) for each in (free, made)]
    np.testing.assert_allclose(path[1], path[0], atol=0.004)
    score, slide = (
        [measure(each.landmarks, 30, *rest, aspect=each.aspect) for each in (free, made)]
        for measure, rest in ((beat_score, (song.beats,)), (foot_sliding, ()))
    )
    assert score[1].excess > score[0].excess - 0.05
    assert slide[1] < slide[0] + 0.04
    lengths = [
        np.linalg.norm(points[:, a] - points[:, b], axis=-1)
        for points in (free.world, world[:])
        for a, b in kinematics.BONES
    ]
    half = len(lengths) // 2
    np.testing.assert_allclose(lengths[half:], lengths[:half], atol=1e-5)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A dancer who can be drawn from the front only."""
    folder = shutil.copytree(_EMBEDDED / "ava", tmp_path_factory.mktemp("flat") / "flat")
    card = json.loads((folder / "card.json").read_text())
    card["image"]["turns"] = 40
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_the_card_says_how_far_a_dancer_turns(flat):
    assert Dancer(flat).turns == 40 and Dancer("ava").turns is None
    assert Dancer(BoxDancer(turns=180)).turns is None, "from all sides"
    for turns in (14.9, 181):
        with pytest.raises(ValueError, match="turns"):
            BoxDancer(turns=turns)


def test_the_dance_is_one_that_the_dancer_can_be_drawn_in(flat, tmp_path):
    listener = Recorder()
    generate(EXAMPLE, tmp_path / "dance.npz", dancer=flat, listener=listener)
    dance = PoseSequence.load(tmp_path / "dance.npz")
    assert 30 < np.abs(facing.yaws(dance.world)[:, 0]).max() <= 40.01
    generate(None, tmp_path / "again.npz", dancer=flat, poses_from=tmp_path / "dance.npz")
    again = PoseSequence.load(tmp_path / "again.npz")
    np.testing.assert_array_equal(again.world, dance.world)
    assert listener.notes == []


def test_pose_files_are_turned_or_what_shows_the_back_is_noted(flat, tmp_path):
    poses = seen(ramp(60, 120, 180.0))
    poses.save(tmp_path / "world.npz")
    replace(poses, world=None).save(tmp_path / "none.npz")

    def drawn(name, dancer=flat, **options):
        listener = Recorder()
        generate(
            None, tmp_path / "out.npz", dancer=dancer, poses_from=tmp_path / name,
            listener=listener, **options,
        )  # fmt: skip
        return PoseSequence.load(tmp_path / "out.npz"), listener.notes

    made, notes = drawn("world.npz")
    assert facing.seconds_away(made) == 0 and notes == []
    away = [f"{tmp_path / name}: the dancer faces away for 5.0 s, drawn as if seen from the front"
            for name in ("none.npz", "world.npz")]  # fmt: skip
    assert drawn("none.npz")[1] == away[:1]
    made, notes = drawn("world.npz", as_is=True)
    np.testing.assert_array_equal(made.landmarks, poses.landmarks)
    assert notes == away[1:]
    assert drawn("none.npz", dancer="ava")[1] == []
    assert facing.seconds_away(drawn("world.npz", dancer="ava")[0]) > 4
