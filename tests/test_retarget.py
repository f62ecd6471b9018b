"""Poses of other bodies, in other places, as the dancer's own body would do them."""

from dataclasses import replace

import numpy as np
import pytest

from dancing.body.poses import PoseSequence, torso_length
from dancing.body.retarget import BONE_KINDS, floor_level, proportions, retarget

ASPECT = 9 / 16
PICTURE = (0.05, 0.05, 0.95, 0.98)


def standing():
    """(33, 2) a person who faces the camera, in picture heights, the mid-hip at 0."""
    points = np.zeros((33, 2))
    points[1:11, 0] = np.linspace(-0.02, 0.02, 10)
    points[:11, 1] = -0.2
    points[[1, 2, 3, 4, 5, 6], 1] = -0.215
    points[[9, 10], 1] = -0.185
    for side, sign in ((0, 1), (1, -1)):
        arm = [(0.045, -0.13), (0.055, -0.06), (0.06, 0.0)]
        points[[11 + side, 13 + side, 15 + side]] = np.array(arm) * [sign, 1]
        points[[17 + side, 19 + side, 21 + side]] = np.array([0.06 * sign, 0.02])
        points[[23 + side, 25 + side, 27 + side]] = [(sign * 0.025, y) for y in (0, 0.1, 0.21)]
        points[[29 + side, 31 + side]] = np.array([[0.025, 0.225], [0.05, 0.23]]) * [sign, 1]
    return points


def dance(seconds=12):
    """The dancer's own poses: arms and legs swing, she walks to both sides, and jumps."""
    t = np.arange(round(30 * seconds)) / 30
    points = np.repeat(standing()[None], len(t), 0)
    for joints, pivot, swing in (
        ([13, 15, 17, 19, 21], 11, 1.2 * np.sin(3 * t)),
        ([14, 16, 18, 20, 22], 12, -1.2 * np.sin(3 * t)),
        ([25, 27, 29, 31], 23, 0.3 * np.sin(4 * t)),
        ([26, 28, 30, 32], 24, -0.3 * np.sin(4 * t)),
    ):
        turned = points[:, joints] - points[:, [pivot]]
        cos, sin = np.cos(swing)[:, None], np.sin(swing)[:, None]
        x, y = turned[..., 0], turned[..., 1]
        points[:, joints] = np.stack([x * cos - y * sin, x * sin + y * cos], -1)
        points[:, joints] += points[:, [pivot]]
    points[..., 1] += (0.88 - points[..., 1].max(1) - 0.03 * np.maximum(np.sin(7 * t), 0))[:, None]
    points[..., 0] += (0.5 * ASPECT + 0.05 * np.sin(t))[:, None]
    return PoseSequence((points / [ASPECT, 1]).astype(np.float32), aspect=ASPECT)


OWN = dance()
BODY = proportions(OWN.landmarks, ASPECT)
PLACE = {
    "x": 0.5,
    "y": 0.6,
    "torso": torso_length(OWN.landmarks, ASPECT),
    "floor": floor_level(OWN.landmarks),
    "aspect": ASPECT,
}


def changed(poses, scale=1.0, shift=(0.0, 0.0), aspect=ASPECT, legs=1.0, arms=1.0):
    """The dance of a body of another size and with other limbs, elsewhere in another picture."""
    points = poses.landmarks * np.array([poses.aspect, 1])
    ground = points[..., 1].max(1)
    for start, end, rest, factor in (
        (23, 25, [25, 27, 29, 31], legs), (25, 27, [27, 29, 31], legs),
        (24, 26, [26, 28, 30, 32], legs), (26, 28, [28, 30, 32], legs),
        (11, 13, [13, 15, 17, 19, 21], arms), (13, 15, [15, 17, 19, 21], arms),
        (12, 14, [14, 16, 18, 20, 22], arms), (14, 16, [16, 18, 20, 22], arms),
    ):  # fmt: skip
        points[:, rest] += ((factor - 1) * (points[:, end] - points[:, start]))[:, None]
    points[..., 1] += (ground - points[..., 1].max(1))[:, None]
    points = scale * (points - [0.28, 0.5]) + [0.5 * aspect, 0.5] + np.array(shift)
    return PoseSequence((points / [aspect, 1]).astype(np.float32), aspect=aspect)


def fitted(poses, **options):
    return retarget(poses, PLACE, BODY, picture=PICTURE, **options)


def test_proportions_do_not_depend_on_size_place_or_picture():
    assert set(BODY) == set(BONE_KINDS)
    other = changed(OWN, 0.4, (0.3, -0.2), 16 / 9)
    found = proportions(other.landmarks, other.aspect)
    assert found == pytest.approx(BODY, rel=0.01)
    long = changed(OWN, legs=1.3)
    found = proportions(long.landmarks, ASPECT)
    assert found["shin"] == pytest.approx(1.3 * BODY["shin"], rel=0.01)
    assert found["forearm"] == pytest.approx(BODY["forearm"], rel=0.01)


def test_the_dancers_own_poses_are_left_alone():
    assert fitted(OWN) is OWN
    assert fitted(OWN, source=BODY) is OWN
    other = fitted(changed(OWN, 0.7, legs=1.3, arms=0.75))
    np.testing.assert_allclose(fitted(other).landmarks, other.landmarks, atol=1e-6)
    for start in (0, 100, 250):
        part = OWN[start : start + 60]
        np.testing.assert_allclose(fitted(part).landmarks, part.landmarks, atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"legs": 1.3},
        {"legs": 0.75, "arms": 1.3},
        {"scale": 0.5},
        {"scale": 1.7, "arms": 0.7},
        {"shift": (0.25, -0.2)},
        {"scale": 0.6, "shift": (-0.5, 0.1), "aspect": 16 / 9, "legs": 1.25},
        {"aspect": 1.0},
    ],
    ids=str,
)
def test_another_body_elsewhere(change):
    """The dancer's limbs, at their angles, in the dancer's place."""
    found = fitted(changed(OWN, **change))
    assert found.aspect == pytest.approx(ASPECT)
    measured = proportions(found.landmarks, found.aspect)
    assert measured == pytest.approx(BODY, rel=0.02)
    assert torso_length(found.landmarks, ASPECT) == pytest.approx(PLACE["torso"], rel=0.02)
    assert floor_level(found.landmarks) == pytest.approx(PLACE["floor"], abs=0.021)
    hips = found.landmarks[:, [23, 24]].mean(1)
    own = OWN.landmarks[:, [23, 24]].mean(1)
    assert np.abs(hips[:, 0] - own[:, 0]).max() < 0.16
    # The movement is the dancer's own again, but for where it is.
    moved = found.landmarks - hips[:, None] - (OWN.landmarks - own[:, None])
    assert np.abs(moved).max() < 0.015


@pytest.mark.parametrize("legs", [0.75, 1.0, 1.3])
def test_feet_stay_on_the_floor(legs):
    """Who stands, stands on it; jumps stay jumps."""
    found = fitted(changed(OWN, 0.7, legs=legs)).landmarks[..., 1].max(1)
    own = OWN.landmarks[..., 1].max(1)
    stands = own > 0.8795
    assert stands.mean() > 0.3
    assert np.ptp(found[stands]) < 0.002
    assert (found <= found[stands].max() + 1e-6).all()
    assert np.abs((found - np.median(found)) - (own - np.median(own))).max() < 0.01


@pytest.mark.parametrize("walk", [0.3, 0.8, 2.0])
def test_nobody_leaves_the_picture(walk):
    """A path too wide is narrowed as a whole, and only as far as it must be."""
    wide = OWN.landmarks + np.linspace(-walk, walk, len(OWN))[:, None, None] * [1, 0]
    found = fitted(replace(OWN, landmarks=wide)).landmarks
    assert found[..., 0].min() >= PICTURE[0] - 1e-5 and found[..., 0].max() <= PICTURE[2] + 1e-5
    assert found[..., 0].min() < PICTURE[0] + 0.03 or found[..., 0].max() > PICTURE[2] - 0.03
    hips = found[:, [23, 24], 0].mean(1)
    assert hips[-30:].mean() > hips[:30].mean() + 0.1


def test_bodies_too_wide_for_the_picture_are_drawn_smaller():
    lying = OWN.landmarks[..., ::-1] * [1.4, 0.3] + [0, 0.5]
    found = fitted(replace(OWN, landmarks=lying)).landmarks
    for axis in (0, 1):
        low, high = PICTURE[axis], PICTURE[axis + 2]
        assert found[..., axis].min() >= low - 1e-5 and found[..., axis].max() <= high + 1e-5


def test_a_known_body_needs_no_measuring():
    """Two seconds in which an arm hangs towards the camera say nothing about its length."""
    short = OWN.landmarks[:60].copy()
    short[:, [15, 16, 17, 18, 19, 20, 21, 22], 1] = short[:, [13] + [14] + [13] * 6, 1]
    poses = replace(OWN, landmarks=short)
    assert fitted(poses, source=BODY) is poses
    longer = dict(BODY, thigh=BODY["thigh"] * 1.25, shin=BODY["shin"] * 1.25)
    found = fitted(changed(OWN, legs=1.25), source=longer)
    assert proportions(found.landmarks, ASPECT) == pytest.approx(BODY, rel=0.01)


def test_one_pose_and_a_body_without_extent():
    one = fitted(OWN[:1])
    assert one.landmarks.shape == (1, 33, 2)
    nothing = fitted(PoseSequence(np.full((3, 33, 2), 0.5)))
    assert np.isfinite(nothing.landmarks).all()
