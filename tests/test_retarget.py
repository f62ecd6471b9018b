"""Poses of other bodies, in other places, as the dancer's own body would do them.

First by what is seen, with tolerances; below by closed forms, to a hundred-thousandth of a length.
"""

from dataclasses import replace

import numpy as np
import pytest

from dancing.body.poses import Placement, PoseSequence, torso_length
from dancing.body.retarget import _factors, floor_level, proportions, retarget
from dancing.body.skeleton import BONE_KINDS

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
PLACE = Placement(0.5, 0.6, torso_length(OWN.landmarks, ASPECT), ASPECT, floor_level(OWN.landmarks))


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
    assert torso_length(found.landmarks, ASPECT) == pytest.approx(PLACE.torso, rel=0.02)
    assert floor_level(found.landmarks) == pytest.approx(PLACE.floor, abs=0.021)
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


# -------------------------------------------------------------------------------- closed forms

# The tree of bones, written down again: parent, child, and the kind of bone between them. 33 and 34
# are the middles of hips and shoulders.
TREE = (
    (33, 34, "torso"), (33, 23, "hip"), (33, 24, "hip"), (34, 11, "shoulder"), (34, 12, "shoulder"),
    (34, 0, "neck"), *((0, i, "face") for i in range(1, 11)),
    (11, 13, "upper_arm"), (12, 14, "upper_arm"), (13, 15, "forearm"), (14, 16, "forearm"),
    *((15, i, "hand") for i in (17, 19, 21)), *((16, i, "hand") for i in (18, 20, 22)),
    (23, 25, "thigh"), (24, 26, "thigh"), (25, 27, "shin"), (26, 28, "shin"),
    (27, 29, "foot"), (27, 31, "foot"), (28, 30, "foot"), (28, 32, "foot"),
)  # fmt: skip
LEGS = {"thigh": 1.1, "shin": 1.5}  # legs of another length whose two parts differ, by 1.3 in all
ONES = dict.fromkeys(BONE_KINDS, 1.0)


def bones(poses):
    """Bones as vectors by kind, (T, bones, 2) in picture heights."""
    points = poses.landmarks.astype(np.float64) * [poses.aspect, 1]
    middles = [points[:, pair].mean(1, keepdims=True) for pair in ([23, 24], [11, 12])]
    points = np.concatenate([points, *middles], 1)
    found = {kind: [] for kind in BONE_KINDS}
    for parent, child, kind in TREE:
        found[kind].append(points[:, child] - points[:, parent])
    return {kind: np.stack(vectors, 1) for kind, vectors in found.items()}


def with_bones(poses, factors):
    """The dance of a body whose bones are longer by these factors, its mid-hip where it was."""
    vectors = bones(poses)
    points = np.zeros((len(poses), 35, 2))
    points[:, 33] = (poses.landmarks[:, [23, 24]].mean(1)) * [poses.aspect, 1]
    done = dict.fromkeys(BONE_KINDS, 0)
    for parent, child, kind in TREE:
        bone = vectors[kind][:, done[kind]]
        points[:, child] = points[:, parent] + factors.get(kind, 1.0) * bone
        done[kind] += 1
    return replace(poses, landmarks=points[:, :33] / [poses.aspect, 1])


def stiff(poses):
    """The same without swinging limbs, so that a body has one width."""
    points = poses.landmarks * np.array([poses.aspect, 1])
    hips = points[:, [23, 24]].mean(1, keepdims=True)
    return replace(poses, landmarks=(hips + standing()) / [poses.aspect, 1])


# Every bone of OWN has one length throughout, so lengths are known to float32's last digits; those
# of `BODY` are rounded.
TORSO = PLACE.torso
EXACT = {
    kind: float(np.percentile(np.linalg.norm(v, axis=-1), 90)) / TORSO
    for kind, v in bones(OWN).items()
}


def exact(poses, place=PLACE, picture=(0.0, 0.0, 1.0, 1.0), wanted=EXACT, **options):
    return retarget(poses, place, wanted, picture=picture, **options)


def factors_of(found, poses):
    """How much longer each kind of bone has become; all of a kind alike, at their own angles."""
    before, after = bones(poses), bones(found)
    factors = {}
    for kind in BONE_KINDS:
        factors[kind] = float((before[kind] * after[kind]).sum() / (before[kind] ** 2).sum())
        np.testing.assert_allclose(after[kind], factors[kind] * before[kind], atol=5e-7)
    return factors


def lowest(poses):
    return poses.landmarks[..., 1].max(1).astype(np.float64)


def hips_x(poses):
    return poses.landmarks[:, [23, 24], 0].mean(1).astype(np.float64)


def known(**factors):
    """`source` of a body whose bones have to become longer by these factors."""
    return {kind: length / factors.get(kind, 1.0) for kind, length in EXACT.items()}


@pytest.mark.parametrize("kind", BONE_KINDS)
def test_each_kind_of_bone_gets_its_own_length(kind):
    found = exact(OWN, source=known(**{kind: 1.2}))
    assert factors_of(found, OWN) == pytest.approx({**ONES, kind: 1.2}, abs=1e-5)


def test_bones_get_the_dancers_lengths_and_keep_their_angles():
    """Seen in a picture of its own, half as large, with every limb of another length."""
    change = dict(torso=0.78, upper_arm=1.3, forearm=0.7, thigh=1.0, shin=1.25, hand=1.5, hip=1.4,
                  shoulder=0.7, foot=1.9, neck=2.0, face=0.7)  # fmt: skip
    other = changed(with_bones(OWN, change), 0.5, (0.2, -0.1), 16 / 9)
    found = exact(other)
    for kind, vectors in bones(found).items():
        own = np.percentile(np.linalg.norm(bones(OWN)[kind], axis=-1), 90)
        length = np.percentile(np.linalg.norm(vectors, axis=-1), 90)
        assert length == pytest.approx(own, rel=1e-5), kind
    assert factors_of(found, other) == pytest.approx(
        {kind: 2 / change[kind] for kind in BONE_KINDS}, rel=1e-5
    )


# Ratios of wanted to measured length, and whether the bone is left alone.
@pytest.mark.parametrize(
    ("kind", "ratio", "same"),
    [
        ("shin", 0.93, True), ("shin", 0.81, False), ("shin", 1.14, True), ("shin", 1.26, False),
        ("hip", 0.93, True), ("hip", 0.81, False), ("hand", 1.14, True), ("hand", 1.26, False),
        ("foot", 0.66, True), ("foot", 0.54, False), ("neck", 1.24, True), ("neck", 1.36, False),
        ("face", 0.66, True), ("face", 1.36, False),
    ],
)  # fmt: skip
def test_what_clips_of_one_body_differ_by_is_left_alone(kind, ratio, same):
    other = with_bones(OWN, {kind: 1 / ratio})
    factors = factors_of(exact(other), other)
    assert factors == pytest.approx({**ONES, kind: 1.0 if same else ratio}, abs=1e-5)


@pytest.mark.parametrize("kind", ["forearm", "thigh", "hand"])
def test_a_short_bone_that_keeps_its_length_as_it_turns_is_lengthened(kind):
    """However short: no step anywhere between what is left alone and the limit."""
    ratios = np.array([1.26, 1.4, 1.59, 1.61, 1.8, 2.0, 2.39, 2.41, 3.0, 3.9])
    for ratio in ratios:
        other = with_bones(OWN, {kind: 1 / ratio})
        assert factors_of(exact(other), other)[kind] == pytest.approx(ratio, rel=1e-5)


def test_a_bone_that_never_lay_across_is_left_alone():
    """Pointing at the camera, it changes its length, or does not turn."""
    nods = 0.15 + 0.1 * np.sin(np.arange(len(OWN)) / 9)[:, None]
    elbow, wrist = OWN.landmarks[:, [13, 14]], OWN.landmarks[:, [15, 16]]
    for shift in (
        nods[..., None] * (wrist - elbow) + elbow - wrist,
        np.array([0.0, 0.01]) + elbow - wrist,
    ):
        landmarks = OWN.landmarks.copy()
        for side in (0, 1):
            landmarks[:, [15 + side, 17 + side, 19 + side, 21 + side]] += shift[:, [side]]
        other = replace(OWN, landmarks=landmarks.astype(np.float32))
        assert factors_of(exact(other), other)["forearm"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("size", "same"), [(0.95, True), (0.87, False), (1.05, True), (1.13, False), (2.5, False)]
)
def test_a_body_of_nearly_the_dancers_size_keeps_its_own(size, same):
    other = with_bones(OWN, dict.fromkeys(BONE_KINDS, 1 / size))
    factors = factors_of(exact(other), other)
    assert factors == pytest.approx(dict.fromkeys(BONE_KINDS, 1.0 if same else size), abs=1e-5)


@pytest.mark.parametrize(("seconds", "limit"), [(12, 1.15), (10, 1.15), (5, 1.40), (2.5, 1.525)])
def test_a_short_clip_may_not_have_shown_a_bone_in_full(seconds, limit):
    """Doubt grows from nothing at ten seconds to a half at none, and only of what seems short."""
    part = OWN[: round(seconds * 30)]
    for ratio, expected in (
        (limit - 0.01, 1.0), (limit + 0.11, limit + 0.11), (0.93, 1.0), (0.81, 0.81),
    ):  # fmt: skip
        other = with_bones(part, {"upper_arm": 1 / ratio})
        factors = factors_of(exact(other), other)
        assert factors == pytest.approx({**ONES, "upper_arm": expected}, abs=1e-5), ratio


def test_a_known_body_is_taken_at_its_word():
    """Within three hundredths it is the dancer's; from six on it is corrected, to a limit."""
    assert exact(OWN, source=known(thigh=1.029, foot=0.971)) is OWN
    for thigh in (1.061, 0.939):
        found = exact(OWN, source=known(thigh=thigh, forearm=1.02))
        assert factors_of(found, OWN) == pytest.approx(
            {**ONES, "thigh": thigh, "forearm": 1.02}, abs=1e-5
        )
    found = exact(OWN, source=known(forearm=5.0, hand=0.2), picture=(-3.0, -3.0, 4.0, 1.0))
    assert factors_of(found, OWN) == pytest.approx({**ONES, "forearm": 4.0, "hand": 0.25}, abs=1e-5)


@pytest.mark.parametrize("where", ["measured", "known", "size"])
def test_no_bound_has_a_step(where):
    """Bodies that differ by little are fitted by factors that differ by little."""
    wanted = np.arange(0.3, 3.3, 0.03)
    found = []
    for ratio in wanted:
        ratio = float(ratio)
        kinds = BONE_KINDS if where == "size" else ["thigh", "shin"]
        source = known(**dict.fromkeys(kinds, ratio)) if where == "known" else None
        asked = {kind: EXACT[kind] * (ratio if kind in kinds else 1) for kind in BONE_KINDS}
        given = _factors(OWN, TORSO, EXACT if source else asked, source)
        found.append(given["thigh"])
    assert np.abs(np.diff(found)).max() < 0.1
    far = np.abs(wanted - 1) > 0.27
    np.testing.assert_allclose(np.array(found)[far], wanted[far], rtol=1e-3)


@pytest.mark.parametrize(("thigh", "shin"), [(1.4, 1.0), (1.0, 1.4), (1.1, 1.5), (0.7, 0.9)])
def test_path_and_jumps_are_scaled_with_the_legs(thigh, shin):
    legs = (thigh + shin) / 2
    found = exact(OWN, source=known(thigh=thigh, shin=shin))
    path, own = hips_x(found), hips_x(OWN)
    assert np.ptp(own) > 0.1
    np.testing.assert_allclose(path - PLACE.x, legs * (own - np.median(own)), atol=1e-6)
    rise, jump = lowest(found) - PLACE.floor, lowest(OWN) - np.median(lowest(OWN))
    assert np.ptp(jump) > 0.02
    np.testing.assert_allclose(rise, legs * jump, atol=1e-6)


@pytest.mark.parametrize(("shift", "same"), [(0.019, True), (0.021, False), (-0.019, True)])
def test_the_dancers_own_floor_is_kept_to_two_hundredths(shift, same):
    moved = replace(OWN, landmarks=OWN.landmarks + np.float32([0, shift]))
    found = exact(moved)
    assert (found is moved) == same
    if not same:
        np.testing.assert_allclose(found.landmarks, OWN.landmarks, atol=1e-6)
    # Another body is put on the dancer's floor whatever its own was.
    other = exact(moved, source=known(**LEGS))
    assert floor_level(other.landmarks) == pytest.approx(PLACE.floor, abs=1e-6)


@pytest.mark.parametrize(("shift", "same"), [(0.14, True), (0.16, False), (-0.14, True)])
def test_the_dancers_own_place_is_kept_to_a_seventh_of_the_width(shift, same):
    centred = OWN.landmarks - np.float32([np.median(hips_x(OWN)) - PLACE.x, 0])
    moved = replace(OWN, landmarks=centred + np.float32([shift, 0]))
    room = (-1.0, 0.0, 2.0, 1.0)
    found = exact(moved, picture=room)
    assert (found is moved) == same
    if not same:
        np.testing.assert_allclose(found.landmarks, centred, atol=1e-6)
    other = exact(moved, picture=room, source=known(**LEGS))
    assert np.median(hips_x(other)) == pytest.approx(PLACE.x, abs=1e-6)


def test_another_picture_is_another_place():
    wide = changed(OWN, 1.0, (0.1, 0.0), 16 / 9)
    found = exact(wide)
    assert found.aspect == ASPECT
    assert np.median(hips_x(found)) == pytest.approx(PLACE.x, abs=1e-6)
    assert factors_of(found, wide) == pytest.approx(ONES, abs=1e-5)


@pytest.mark.parametrize(
    "picture", [(0.35, 0.0, 0.65, 1.0), (0.0, 0.6, 1.0, 1.0)], ids=["too wide", "too high"]
)
def test_a_body_too_large_for_the_picture_is_drawn_smaller_all_over(picture):
    """Body, path and jumps by one factor, the largest with which it has room."""
    full = exact(OWN, source=known(**LEGS))
    found = exact(OWN, source=known(**LEGS), picture=picture)
    points = full.landmarks.astype(np.float64)
    width = np.ptp(points[..., 0], axis=1).max()
    height = (PLACE.floor - points[..., 1].min(1)).max()
    factor = min(
        (picture[2] - picture[0]) / width,
        (PLACE.floor - picture[1]) / height,
    )
    assert factor < 0.9
    assert factors_of(found, full) == pytest.approx(dict.fromkeys(BONE_KINDS, factor), abs=1e-5)
    rise = lowest(full) - PLACE.floor
    np.testing.assert_allclose(lowest(found) - PLACE.floor, factor * rise, atol=1e-6)
    assert found.landmarks[..., 1].min() >= picture[1] - 1e-6
    if picture[1] == 0.6:  # there the path has room, else it is narrowed further
        path, own = hips_x(found), hips_x(OWN)
        np.testing.assert_allclose(
            path - np.median(path), 1.3 * factor * (own - np.median(own)), atol=1e-6
        )


def test_steps_towards_the_camera_end_at_the_bottom_of_the_picture():
    """What is below the floor is drawn together; what is above stays."""
    deep = OWN.landmarks.copy()
    nearer = 0.2 * np.clip(np.sin(np.arange(len(deep)) / 60), 0, None) ** 8
    deep[..., 1] += nearer[:, None]
    poses = replace(OWN, landmarks=deep)
    bottom = 0.93
    found = exact(poses, source=known(**LEGS), picture=(0.0, 0.0, 1.0, bottom))
    rise = 1.3 * (lowest(poses) - np.median(lowest(poses)))
    below = rise > 0
    assert lowest(found).max() == pytest.approx(bottom, abs=1e-6)
    expected = np.where(below, rise * (bottom - PLACE.floor) / rise.max(), rise)
    np.testing.assert_allclose(lowest(found) - PLACE.floor, expected, atol=1e-6)


@pytest.mark.parametrize("amplitude", [0.37, 0.4, 0.6, 1.5])
def test_a_path_too_wide_is_narrowed_by_twentieths_as_little_as_will_do(amplitude):
    still = stiff(OWN)
    path = amplitude * np.sin(np.arange(len(still)) / 40)
    middle = still.landmarks[:, [23, 24], 0].mean(1)
    landmarks = still.landmarks + (path - middle + 0.5)[:, None, None] * np.float32([1, 0])
    poses = replace(still, landmarks=landmarks)
    found = exact(poses, picture=PICTURE)
    room = PICTURE[2] - PICTURE[0] - np.ptp(poses.landmarks[0, :, 0])
    wanted = np.floor(room / np.ptp(path) * 20) / 20
    assert 0 < wanted < 1
    before, after = hips_x(poses), hips_x(found)
    narrowed = wanted * (before - np.median(before))
    np.testing.assert_allclose(after - after[0], narrowed - narrowed[0], atol=2e-6)
    assert found.landmarks[..., 0].min() >= PICTURE[0] - 1e-6
    assert found.landmarks[..., 0].max() <= PICTURE[2] + 1e-6


def test_a_path_beside_the_picture_is_moved_in_no_further_than_needed():
    still = stiff(OWN)
    far = replace(still, landmarks=still.landmarks + np.float32([0.3, 0]))
    place = replace(PLACE, x=0.88)
    found = exact(far, place, PICTURE)
    assert found.landmarks[..., 0].max() == pytest.approx(PICTURE[2], abs=1e-6)
    shift = found.landmarks - far.landmarks
    assert np.ptp(shift[..., 0]) < 1e-6, "the whole path alike"


def test_limbs_that_reach_too_far_to_both_sides_move_the_body():
    """No place has room for both frames, but each frame has one: there she sways."""
    points = np.repeat(OWN.landmarks[:1], 40, 0)
    points[:20, [15, 17, 19, 21], 0] += 0.55
    points[20:, [16, 18, 20, 22], 0] -= 0.55
    found = exact(replace(OWN, landmarks=points), source=known(), picture=PICTURE).landmarks
    assert found[..., 0].min() == pytest.approx(PICTURE[0], abs=1e-6)
    assert found[..., 0].max() == pytest.approx(PICTURE[2], abs=1e-6)


def test_lengths_are_those_of_limbs_that_lie_across():
    """A tenth of the frames is enough to see a bone in full; the floor is where most frames are."""
    for across, seen in ((0.15, 1.0), (0.05, 0.5)):
        points = OWN.landmarks.copy()
        away = slice(round(across * len(points)), None)
        for elbow, rest in ((13, [15, 17, 19, 21]), (14, [16, 18, 20, 22])):
            points[away, rest] -= (points[away, rest[0]] - points[away, elbow])[:, None] / 2
        found = proportions(points, ASPECT)
        assert found["forearm"] == pytest.approx(seen * EXACT["forearm"], abs=1e-4)
        assert found["upper_arm"] == pytest.approx(EXACT["upper_arm"], abs=1e-4)
    jumps = np.repeat(OWN.landmarks[:1], 100, 0)
    jumps[:40, :, 1] -= 0.1
    jumps[95:, :, 1] += 0.2
    assert floor_level(jumps) == OWN.landmarks[0, :, 1].max()
