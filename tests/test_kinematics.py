"""Camera, skeleton and feet: what is put into the room comes back out of the picture."""

import numpy as np
import pytest

from dancing.body import kinematics
from dancing.body.skeleton import MIRROR
from puppet import a_walk

ASPECT = 9 / 16


def plant_feet(points, down):
    return kinematics.moved_feet(points, kinematics.planting(kinematics.soles(points), down))


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
    planted = plant_feet(sliding, down)

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


# ------------------------------------------------------------------------------------- camera


def seen_by(focal, aspect, room):
    """A pinhole at the origin, a landmark at a time."""
    return np.array(
        [
            [[(focal * x / z + aspect / 2) / aspect, focal * y / z + 0.5] for x, y, z in frame]
            for frame in room
        ]
    )


def body(frames, seed=0):
    """A rigid cloud of landmarks with relief, hip-centred: (T, 33, 3)."""
    points = np.random.default_rng(seed).normal(0, [0.2, 0.5, 0.2], (33, 3))
    points[24] = -points[23]
    return np.repeat(points[None], frames, 0)


def walk(frames, depth=3.5):
    """A path at one depth: smoothing over time leaves it as it is."""
    t = np.arange(frames) / 30
    return np.column_stack([0.4 * np.sin(2 * t), 0.05 * np.cos(7 * t), np.full(frames, depth)])


def test_a_picture_is_that_of_a_pinhole():
    room = body(5) + walk(5)[:, None]
    for focal, aspect in ((0.9, 9 / 16), (2.0, 16 / 9)):
        picture = kinematics.project(room, focal, aspect)
        np.testing.assert_allclose(picture, seen_by(focal, aspect, room), atol=1e-12)
    behind = kinematics.project(np.array([[0.1, 0.2, -1.0]]), 1.0, 1.0)
    np.testing.assert_allclose(behind, [[1.5, 2.5]], err_msg="as if at a tenth of a metre")


@pytest.mark.parametrize("focal", [0.8, 1.5, 3.2])
@pytest.mark.parametrize("aspect", [9 / 16, 16 / 9])
def test_a_place_comes_back_out_of_the_picture(focal, aspect):
    world, place = body(60), walk(60)
    picture = kinematics.project(world + place[:, None], focal, aspect)
    found = kinematics.locate(picture, world, aspect, focal, 30)
    np.testing.assert_allclose(found, place, atol=1e-6)


@pytest.mark.parametrize("focal", [0.72, 1.0, 1.5, 2.2, 3.6])
def test_the_focal_length_is_found_to_half_a_step_of_the_search(focal):
    """Thirty steps from 0.7 to 4: neighbours are 6 % apart."""
    clips = []
    for seed, aspect in ((0, 9 / 16), (1, 4 / 3)):
        world = body(90, seed)
        picture = kinematics.project(world + walk(90)[:, None], focal, aspect)
        clips.append((picture, world, aspect))
    assert kinematics.fit_focal(clips) == pytest.approx(focal, rel=0.031)


@pytest.mark.parametrize("fps", [30, 60])
def test_depth_is_smoothed_over_a_quarter_of_a_second(fps):
    """A Gaussian of width s keeps exp(-(s w)^2 / 2) of a swing of frequency w."""
    t = np.arange(10 * fps) / fps
    swing, width = 2 * np.pi * 0.5, 0.25
    place = np.column_stack([0.3 * np.sin(t), 0 * t + 0.1, 3.5 + 0.2 * np.sin(swing * t)])
    world = body(len(t))
    picture = kinematics.project(world + place[:, None], 1.5, ASPECT)
    found = kinematics.locate(picture, world, ASPECT, 1.5, fps)
    inside = (t > 1.5) & (t < 8.5)
    smooth = 3.5 + 0.2 * np.exp(-((swing * width) ** 2) / 2) * np.sin(swing * t)
    np.testing.assert_allclose(found[inside, 2], smooth[inside], atol=5e-4)


def test_the_sideways_place_is_that_of_the_smoothed_depth():
    """Where it lies in the picture is sure; only its depth trembles."""
    t = np.arange(300) / 30
    place = np.column_stack([0.3 * np.sin(t), 0 * t + 0.1, 3.5 + 0.3 * np.sin(9 * t)])
    world = body(300)
    picture = kinematics.project(world + place[:, None], 1.5, ASPECT)
    found = kinematics.locate(picture, world, ASPECT, 1.5, 30)
    assert np.abs(found[30:-30, 2] - 3.5).max() < 0.05
    # Every landmark goes along its line of sight to the new depth; the place is their mean.
    room = world + place[:, None]
    relief = world[..., 2:]
    along = room[..., :2] * (found[:, None, 2:] + relief) / room[..., 2:]
    np.testing.assert_allclose(found[:, :2], (along - world[..., :2]).mean(1), atol=1e-9)


def test_landmarks_that_do_not_count_do_not_matter():
    world, place = body(60), walk(60)
    picture = kinematics.project(world + place[:, None], 1.5, ASPECT)
    random = np.random.default_rng(3)
    seen = random.random((60, 33)) < 0.5
    seen[:, :4] = True
    picture[~seen] += random.normal(0, 0.3, ((~seen).sum(), 2))
    found = kinematics.locate(picture, world, ASPECT, 1.5, 30, seen)
    np.testing.assert_allclose(found, place, atol=1e-6)


@pytest.mark.parametrize(("count", "bridged"), [(0, True), (1, True), (3, True), (4, False)])
def test_frames_with_fewer_than_four_landmarks_are_bridged(count, bridged):
    world, place = body(60), walk(60)
    place[:, 0] = np.linspace(-0.3, 0.3, 60)
    gap = slice(20, 30)
    jump = place.copy()
    jump[gap, 0] += 0.2
    picture = kinematics.project(world + jump[:, None], 1.5, ASPECT)
    seen = np.ones((60, 33), bool)
    seen[gap, count:] = False
    picture[~seen] = 0.5
    found = kinematics.locate(picture, world, ASPECT, 1.5, 30, seen)
    expected = (place if bridged else jump).copy()
    if bridged:  # straight from the frame before to the one behind
        expected[gap, 1] = np.interp(range(20, 30), [19, 30], place[[19, 30], 1])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_depth_is_bridged_from_what_is_seen():
    """Three landmarks that lie say nothing, nor do they through the smoothing."""
    world, place = body(60), walk(60)
    picture = kinematics.project(world + place[:, None], 1.5, ASPECT)
    seen = np.ones((60, 33), bool)
    seen[20:30, 3:] = False
    picture[20:30] = 0.5 + 3 * (picture[20:30] - 0.5)
    found = kinematics.locate(picture, world, ASPECT, 1.5, 30, seen)
    np.testing.assert_allclose(found[:, 2], place[:, 2], atol=1e-6)


def test_a_dancer_never_seen_stands_three_metres_away():
    found = kinematics.locate(
        np.full((5, 33, 2), 0.5), body(5), ASPECT, 1.5, 30, np.zeros((5, 33), bool)
    )
    np.testing.assert_array_equal(found, np.tile([0, 0, 3], (5, 1)))


# --------------------------------------------------------------------------------------- feet

HEEL, TOE = {0: 29, 1: 30}, {0: 31, 1: 32}


def feet(frames=40, floor=0.9):
    """A room in which both feet stand still; (T, 33, 3)."""
    room = np.zeros((frames, 33, 3))
    room[:, 29:33, 1] = floor
    return room


def slide(room, landmarks, speed, fps=30):
    room[:, landmarks, 0] += (np.arange(len(room)) * speed / fps)[:, None]


@pytest.mark.parametrize("side", [0, 1])
def test_a_foot_stands_if_it_is_low_and_slow(side):
    """Low but fast slides, high but slow is lifted; neither stands. The other foot does."""
    expected = np.ones((40, 2), bool)
    np.testing.assert_array_equal(kinematics.contacts(feet(), 30), expected)
    expected[:, side] = False
    ends = [HEEL[side], TOE[side]]
    low_but_fast = feet()
    slide(low_but_fast, ends, 0.5)
    np.testing.assert_array_equal(kinematics.contacts(low_but_fast, 30), expected)
    high_but_slow = feet()
    high_but_slow[:, ends, 1] -= 0.2
    np.testing.assert_array_equal(kinematics.contacts(high_but_slow, 30), expected)
    # The heel low but fast, the toe slow but high: no end stands.
    mixed = feet()
    slide(mixed, [HEEL[side]], 0.5)
    mixed[:, TOE[side], 1] -= 0.2
    np.testing.assert_array_equal(kinematics.contacts(mixed, 30), expected)


@pytest.mark.parametrize("ends", [HEEL, TOE])
def test_one_end_is_enough_to_stand_on(ends):
    room = feet()
    room[:, ends[0], 1] -= 0.2
    slide(room, [ends[1]], 0.5)
    assert kinematics.contacts(room, 30).all(), "on tiptoe or on the heel, and while it turns"


@pytest.mark.parametrize("fps", [24, 30, 60])
@pytest.mark.parametrize(
    ("height", "speed", "stands"),
    [(0.049, 0.0, True), (0.051, 0.0, False), (0.0, 0.249, True), (0.0, 0.251, False)],
)
def test_low_is_five_centimetres_and_slow_a_quarter_metre_a_second(fps, height, speed, stands):
    room = feet()
    room[:, [29, 31], 1] -= height
    slide(room, [29, 31], speed, fps)
    # At the ends of a clip the smoothing makes everything slower.
    assert (kinematics.contacts(room, fps)[8:-8, 0] == stands).all()


def test_the_floor_is_not_the_lowest_a_foot_ever_seems():
    """One frame in twenty may lie deeper."""
    room = feet(100)
    room[:4, 29:33, 1] += 0.3
    assert kinematics.contacts(room, 30)[8:].all()
    room[:6, 29:33, 1] = 1.2
    assert not kinematics.contacts(room, 30)[8:].any()


def test_a_single_pose_stands():
    assert kinematics.contacts(feet(1), 30).tolist() == [[True, True]]


def legs(frames=60):
    """A person with bent knees and legs of unequal parts, who stands: (T, 33, 3)."""
    points = np.random.default_rng(0).normal(0, 0.2, (33, 3)) - [0, 0.4, 0]
    for side, sign in ((0, 1.0), (1, -1.0)):
        points[23 + side] = [0.1 * sign, 0.0, 0.0]
        points[25 + side] = [0.15 * sign, 0.36, -0.2]
        points[27 + side] = [0.12 * sign, 0.68, 0.0]
        points[29 + side] = [0.12 * sign, 0.75, 0.06]
        points[31 + side] = [0.14 * sign, 0.75, -0.15]
    return np.repeat(points[None], frames, 0)


FEET = [27, 29, 31, 28, 30, 32]


def drift(points, speed, frames=slice(None), landmarks=slice(None)):
    """The same with landmarks that move at a speed (x, z) in metres a second from a frame on."""
    moved = points.copy()
    steps = np.arange(len(moved[frames]))[:, None] / 30 * np.array([speed[0], 0, speed[1]])
    view = moved[frames]
    view[:, landmarks] += steps[:, None]
    return moved


def both(flags):
    return np.repeat(np.asarray(flags, bool)[:, None], 2, 1)


def test_a_standing_foot_does_not_slide_at_all():
    """It stays where it was on average, at its height, whichever way it drifted."""
    room = drift(legs(), (0.06, -0.04))
    planted = plant_feet(room, both(np.ones(60)))
    # The smoothing rounds the first and the last frames.
    inside = slice(6, -6)
    place = planted[inside][:, FEET]
    np.testing.assert_allclose(place, np.broadcast_to(place[:1], place.shape), atol=1e-9)
    middle = room[1:-1][:, FEET].mean(0)
    np.testing.assert_allclose(place[0], middle, atol=1e-9)


def test_hips_and_bones_stay_when_feet_are_planted():
    room = drift(legs(), (0.06, -0.04))
    planted = plant_feet(room, both(np.ones(60)))
    np.testing.assert_array_equal(planted[:, :25], room[:, :25])
    for a, b in ((23, 25), (25, 27), (24, 26), (26, 28)):
        before, after = (np.linalg.norm(p[:, a] - p[:, b], axis=-1) for p in (room, planted))
        np.testing.assert_allclose(after, before, atol=1e-12)
    for ankle, ends in ((27, [29, 31]), (28, [30, 32])):
        before, after = (p[:, ends] - p[:, [ankle]] for p in (room, planted))
        np.testing.assert_allclose(after, before, atol=1e-12)
    # Knees bend on in the plane in which they did: towards the camera.
    assert (planted[:, [25, 26], 2] < planted[:, [23, 24], 2] - 0.05).all()


@pytest.mark.parametrize("speed", [0.25, -0.8])
def test_a_foot_is_put_back_by_fifteen_centimetres_at_most(speed):
    room = drift(legs(90), (speed, 0.0))
    # Hips that stay, so that it is the limit and not the leg's reach that ends the correction.
    planted = plant_feet(room, both(np.ones(90)))
    wanted = -speed / 30 * (np.arange(90) - 44.5)
    expected = np.clip(wanted, -0.15, 0.15)
    # Away from the corners that the limit makes, which are smoothed.
    corner = np.abs(np.abs(wanted) - 0.15) < 5 * abs(speed) / 30
    certain = (np.arange(90) >= 6) & (np.arange(90) < 84) & ~corner
    moved = (planted - room)[:, [29, 32], 0]
    assert (np.abs(expected[certain]) == 0.15).any()
    np.testing.assert_allclose(moved[certain], np.tile(expected[certain], (2, 1)).T, atol=1e-6)


def test_a_foot_may_turn_on_either_end():
    """What counts is the slower of heel and toe: a foot that turns on its toe is left alone."""
    for still, turning in ((31, [29]), (29, [31])):
        room = drift(legs(), (0.1, 0.05), landmarks=turning)
        planted = plant_feet(room, both(np.ones(60)))
        np.testing.assert_allclose(planted, room, atol=1e-9, err_msg=f"on {still}")


def test_between_two_stands_the_correction_moves_over_evenly():
    down = np.ones(90, bool)
    down[30:60] = False
    room = drift(legs(90), (0.09, 0.0), slice(0, 30))
    room[30:] = room[0]
    planted = plant_feet(room, both(down))
    moved = (planted - room)[:, 29, 0]
    np.testing.assert_allclose(moved[65:85], 0, atol=1e-9)
    between = moved[36:54]
    assert moved[24] < -0.02
    np.testing.assert_allclose(np.diff(between, 2), 0, atol=1e-9)
    assert (np.diff(between) > 5e-4).all()


def test_a_contact_lost_for_a_frame_is_none_and_two_frames_are_no_stand():
    room = drift(legs(), (0.06, 0.0))
    whole = plant_feet(room, both(np.ones(60)))
    torn = np.ones(60)
    torn[30] = 0
    np.testing.assert_array_equal(plant_feet(room, both(torn)), whole)
    short = np.zeros(60)
    short[[20, 21, 40]] = 1
    np.testing.assert_array_equal(plant_feet(room, both(short)), room)


def test_a_leg_reaches_no_further_than_it_is_long():
    """A nearly straight leg stretches towards where its foot is to be, and keeps its bones."""
    room = legs(90)
    room[:, [25, 26], 2] = -0.03
    room = drift(room, (0.3, 0.0))
    planted = plant_feet(room, both(np.ones(90)))
    thigh, shank, reach = (
        np.linalg.norm(planted[:, a] - planted[:, b], axis=-1)
        for a, b in ((23, 25), (25, 27), (23, 27))
    )
    np.testing.assert_allclose(thigh, np.linalg.norm(room[0, 25] - room[0, 23]), atol=1e-12)
    np.testing.assert_allclose(shank, np.linalg.norm(room[0, 27] - room[0, 25]), atol=1e-12)
    far = slice(75, 84)  # there the foot would be put back by 15 cm
    np.testing.assert_allclose(reach[far], (thigh + shank)[far] - 1e-4, atol=1e-12)
    towards = room[far, 27] - [0.15, 0, 0] - room[far, 23]
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    np.testing.assert_allclose(
        planted[far, 27] - planted[far, 23], reach[far, None] * towards, atol=1e-9
    )


# ------------------------------------------------------------------- bones and packed poses


def test_bones_are_put_right_from_the_hips_on():
    """The mid-hip stays, and so do the shoulders; limbs follow at their old directions."""
    room = body(4) + walk(4)[:, None]
    lengths = np.linspace(0.1, 0.5, len(kinematics.BONES))
    found = kinematics.with_bones(room, lengths)
    kept = [i for i in range(33) if i not in {b for pair in kinematics.BONES for b in pair}]
    np.testing.assert_array_equal(found[:, [*kept, 11, 12]], room[:, [*kept, 11, 12]])
    np.testing.assert_allclose(found[:, [23, 24]].mean(1), room[:, [23, 24]].mean(1), atol=1e-12)
    for (a, b), length in zip(kinematics.BONES, lengths, strict=True):
        old, new = room[:, b] - room[:, a], found[:, b] - found[:, a]
        wanted = old * (length / np.linalg.norm(old, axis=-1, keepdims=True))
        np.testing.assert_allclose(new, wanted, atol=1e-12)
    assert kinematics.bone_lengths(found) == pytest.approx(lengths, abs=1e-12)


def test_bone_lengths_are_medians():
    world = body(10)
    lengths = kinematics.bone_lengths(world)
    world[:4] *= 3
    np.testing.assert_allclose(kinematics.bone_lengths(world), lengths)


def test_packed_numbers_are_upper_body_legs_and_contacts():
    """From nose to thumbs relative to the mid-hip, the rest in the room, then the contacts."""
    world, place = body(6), walk(6)
    world[:, :11] += 0.1
    down = np.array([[1, 0]] * 3 + [[0, 1]] * 3)
    packed = kinematics.pack(world, place, down)
    assert packed.shape == (6, kinematics.CHANNELS) == (6, 101)
    room = world + place[:, None]
    np.testing.assert_allclose(packed[:, :69].reshape(6, 23, 3), world[:, :23], atol=1e-12)
    np.testing.assert_allclose(packed[:, 69:99].reshape(6, 10, 3), room[:, 23:], atol=1e-12)
    np.testing.assert_array_equal(packed[:, 99:], down)
    points, contact = kinematics.unpack(packed)
    np.testing.assert_allclose(points, room, atol=1e-12)
    np.testing.assert_array_equal(contact, down)


def test_the_mirror_of_packed_numbers_is_the_mirror_image():
    order, signs = kinematics.mirror_map()
    np.testing.assert_array_equal(order[order], np.arange(kinematics.CHANNELS))
    np.testing.assert_array_equal(signs[order] * signs, 1)
    world, place = body(6), walk(6)
    down = np.array([[1, 0]] * 3 + [[0, 1]] * 3)
    # In a mirror in the plane x = 0, left landmarks are right ones.
    flip = np.array([-1.0, 1.0, 1.0])
    seen = kinematics.pack(world[:, list(MIRROR)] * flip, place * flip, down[:, ::-1])
    mirrored = kinematics.pack(world, place, down)[:, order] * signs
    np.testing.assert_array_equal(mirrored, seen)


def test_standing_feet_are_on_the_floor_and_none_is_below(dance):
    world, place = dance
    points = world + place[:, None]
    floor = float(kinematics.soles(points)[..., 1].max()) - 0.08  # within the legs' reach
    # One foot sinks and rises slowly, and the other floats.
    points = points.copy()
    points[:, [27, 29, 31], 1] += 0.03 * np.sin(np.linspace(0, 20, len(points)))[:, None]
    points[:, [28, 30, 32], 1] -= 0.02
    down = np.ones((len(points), 2), bool)
    shifts = kinematics.planting(kinematics.soles(points), down, floor)
    lowest = kinematics.soles(kinematics.moved_feet(points, shifts))[..., 1].max(-1)
    # But for the moments in which the puppet steps all the same.
    assert np.percentile(np.abs(lowest - floor), 80) < 0.006
    down[:] = False
    down[:5] = True
    shifts = kinematics.planting(kinematics.soles(points), down, floor)
    lowest = kinematics.soles(kinematics.moved_feet(points, shifts))[..., 1].max(-1)
    assert lowest.max() < floor + 1e-6
