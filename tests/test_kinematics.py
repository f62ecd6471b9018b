"""Camera, skeleton and feet: what is put into the room comes back out of the picture."""

import numpy as np
import pytest

from dancing.body import kinematics
from puppet import a_walk

ASPECT = 9 / 16


@pytest.fixture(scope="module")
def dance():
    """World landmarks (T, 33, 3) and the mid-hip's path in the room (T, 3)."""
    return a_walk(120)


def test_a_dancer_is_found_where_they_are(dance):
    world, place = dance
    picture = kinematics.project(world + place[:, None], 1.5, ASPECT)
    assert kinematics.fit_focal([(picture, world, ASPECT)]) == pytest.approx(1.5, rel=0.05)
    found = kinematics.locate(picture, world, ASPECT, 1.5, 30)
    assert np.abs(found - place).max() < 0.02
    again = kinematics.project(world + found[:, None], 1.5, ASPECT)
    assert np.abs(again - picture).max() < 0.002


def test_packed_poses_come_back_and_mirror_twice_is_none(dance):
    world, place = dance
    down = np.tile([1.0, -1.0], (len(world), 1))
    packed = kinematics.pack(world, place, down)
    assert packed.shape == (len(world), kinematics.CHANNELS)
    points, contact = kinematics.unpack(packed)
    np.testing.assert_allclose(points, world + place[:, None], atol=1e-9)
    np.testing.assert_array_equal(contact, down)
    order, signs = kinematics.mirror_map()
    flipped = packed[:, order] * signs
    np.testing.assert_array_equal(flipped[:, order] * signs, packed)
    mirrored, contact = kinematics.unpack(flipped)
    np.testing.assert_allclose(mirrored[:, 15, 0], -points[:, 16, 0])
    np.testing.assert_allclose(mirrored[:, 15, 1:], points[:, 16, 1:])
    np.testing.assert_array_equal(contact, down[:, ::-1])


def test_bones_get_their_lengths_and_keep_their_directions(dance):
    world, place = dance
    lengths = kinematics.bone_lengths(world)
    torn = world + np.random.default_rng(0).normal(0, 0.01, world.shape) + place[:, None]
    points = kinematics.with_bones(torn, lengths)
    for (a, b), length in zip(kinematics.BONES, lengths, strict=True):
        np.testing.assert_allclose(np.linalg.norm(points[:, b] - points[:, a], axis=-1), length)
    whole = kinematics.with_bones(world, lengths)
    np.testing.assert_allclose(whole, world, atol=1e-9)


def test_standing_feet_no_longer_slide_and_bones_stay(dance):
    world, place = dance
    points = world + place[:, None]
    down = kinematics.contacts(points, 30)
    assert 0.2 < down.mean() < 0.95, "the puppet stands and steps"
    sliding = points + np.cumsum(np.full((len(points), 1, 1), 0.004), 0) * [1, 0, 0]
    planted = kinematics.plant_feet(sliding, down)

    def creep(poses):
        speeds = [
            np.abs(np.diff(poses[:, [heel, toe], 0], axis=0)).min(1)[down[1:, k] & down[:-1, k]]
            for k, (heel, toe) in enumerate(((29, 31), (30, 32)))
        ]
        return np.concatenate(speeds).mean()

    assert creep(planted) < 0.3 * creep(sliding)
    before, after = (
        np.linalg.norm(poses[:, [27, 25]] - poses[:, [25, 23]], axis=-1)
        for poses in (sliding, planted)
    )
    np.testing.assert_allclose(after, before, atol=2e-3)
    np.testing.assert_array_equal(planted[:, :25], sliding[:, :25])


def test_the_pose_at_rest_stands_with_hanging_arms(dance):
    world, _ = dance
    lengths = kinematics.bone_lengths(world)
    rest = kinematics.standing(world[0], lengths)
    assert (rest[[15, 16], 1] > rest[[23, 24], 1] - 0.15).all(), "hands beside the hips"
    np.testing.assert_allclose(kinematics.bone_lengths(rest[None]), lengths)
