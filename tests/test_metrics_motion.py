"""Measures of movement on puppets whose scores are known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancing.metrics import (
    BODY_JOINTS,
    beat_score,
    foot_sliding,
    geometric_feature_names,
    geometric_features,
    jerk,
    joint_speed,
    kinetic_feature_names,
    kinetic_features,
    motion_beats,
    motion_magnitude,
)

MEASURES = (
    motion_magnitude,
    jerk,
    foot_sliding,
    kinetic_features,
    geometric_features,
    lambda landmarks, fps, **options: np.nan_to_num(
        list(vars(beat_score(landmarks, fps, np.arange(0.2, 5, 0.5), **options)).values()), nan=-99
    ),
)
TORSO = 0.2


def standing():
    """A person (33, 2) who stands with hanging arms; the torso is 0.2 of the picture."""
    x = dict.fromkeys(range(11), 0.0) | {11: 0.05, 13: 0.06, 15: 0.07, 23: 0.03, 25: 0.03, 27: 0.03}
    x |= {17: 0.07, 19: 0.07, 21: 0.07, 29: 0.03, 31: 0.05}
    y = dict.fromkeys(range(11), 0.2) | {11: 0.3, 13: 0.4, 15: 0.5, 23: 0.5, 25: 0.7, 27: 0.88}
    y |= {17: 0.52, 19: 0.52, 21: 0.52, 29: 0.9, 31: 0.91}
    points = np.zeros((33, 2))
    for joint in range(33):
        left = joint if joint in x else joint - 1
        points[joint] = [0.5 + x[left] * (1 if joint == left else -1), y[left]]
    return points


def clip(*, seconds=10.0, fps=30.0, moves=None):
    """Times (T,) and the standing person T times, with moves(times) (T, 33, 2) added."""
    times = np.arange(round(seconds * fps)) / fps
    landmarks = np.repeat(standing()[None], len(times), axis=0)
    return times, landmarks if moves is None else landmarks + moves(times)


def whole_body(x, y):
    """Moves of all landmarks alike, x(times) and y(times) in torso lengths."""
    return lambda times: np.repeat(
        np.stack(np.broadcast_arrays(x(times), y(times)), -1)[:, None] * TORSO, 33, axis=1
    )


def nothing(times):
    return 0 * times


def puppet(clicks, *, seconds=10.0, fps=30.0, seed=0, rest=0.0, size=0.05):
    """A puppet that goes from pose to pose and stops on every click, for `rest` seconds around."""
    knots = np.concatenate([[clicks[0] - 0.5], clicks, [clicks[-1] + 0.5]])
    poses = np.random.default_rng(seed).normal(0, size, (len(knots), 33, 2))

    def moves(times):
        after = np.clip(np.searchsorted(knots, times, side="right"), 1, len(knots) - 1)
        start, end = knots[after - 1] + rest / 2, knots[after] - rest / 2
        part = np.clip((times - start) / (end - start), 0, 1)
        part = ((1 - np.cos(np.pi * part)) / 2)[:, None, None]
        return poses[after - 1] * (1 - part) + poses[after] * part

    return clip(seconds=seconds, fps=fps, moves=moves)[1]


def swaying(fps, *, seconds=8.0):
    """Smooth movement below 2 Hz, another one for each joint; the feet step."""
    generator = np.random.default_rng(5)
    rates = generator.uniform(0.3, 1.8, (3, 33, 2))
    phases = generator.uniform(0, 2 * np.pi, (3, 33, 2))
    sizes = generator.normal(0, 0.03, (3, 33, 2))

    def moves(times):
        angles = 2 * np.pi * rates * times[:, None, None, None] + phases
        return (sizes * np.sin(angles)).sum(1)

    return clip(seconds=seconds, fps=fps, moves=moves)[1]


CLICKS = np.arange(0.37, 9.7, 0.5)


# --- beats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [15, 24, 25, 29.97, 30, 50, 60, 120])
@pytest.mark.parametrize("rest", [0.0, 0.2])
def test_a_puppet_that_stops_on_every_click_is_on_the_beat(fps, rest):
    for seed in range(3):
        score = beat_score(puppet(CLICKS, fps=fps, rest=rest, seed=seed), fps, CLICKS)
        assert score.excess >= 0.9
        assert score.recall >= 0.95
        assert score.precision >= 0.95
        assert score.music_beats == len(CLICKS)
        assert abs(score.motion_beats - len(CLICKS)) <= 1


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_what_does_not_hear_the_music_scores_nothing(fps):
    wrong_tempo, statue, walk = [], [], []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        music = np.arange(generator.uniform(0, 0.6), 10, 60 / 97)
        wrong_tempo.append(beat_score(puppet(CLICKS, fps=fps, seed=seed), fps, music).excess)
        still = clip(fps=fps)[1]
        trembling = still + generator.normal(0, 0.002, still.shape)
        statue.append(beat_score(trembling, fps, music).excess)
        steps = generator.normal(0, 0.004, still.shape)
        walk.append(beat_score(still + np.cumsum(steps, axis=0), fps, music).excess)
    for excesses in (wrong_tempo, statue, walk):
        assert abs(np.mean(excesses)) < 0.1
        assert 0 < np.std(excesses) < 0.2


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_motion_beats_are_the_same_at_any_rate(fps):
    beats = motion_beats(puppet(CLICKS, fps=fps), fps)
    assert beats == pytest.approx(motion_beats(puppet(CLICKS, fps=120), 120), abs=0.003)
    # Smoothing draws a minimum towards the slower of the movements beside it.
    assert beats == pytest.approx(CLICKS, abs=0.03)


def test_a_motion_beat_of_a_single_swing_is_where_it_turns():
    # x ~ cos(2 pi t / 1.2): it turns at every multiple of 0.6 s, whatever the rate.
    for fps in (15, 25, 30, 60):
        _, landmarks = clip(
            seconds=4.6,
            fps=fps,
            moves=lambda t: 0.1 * np.cos(2 * np.pi * t / 1.2)[:, None, None] * np.ones((33, 2)),
        )
        expected = 0.6 * np.arange(1, 8)
        assert motion_beats(landmarks, fps) == pytest.approx(expected, abs=0.001)


def test_a_rest_is_one_beat_at_its_centre():
    _, landmarks = clip(
        seconds=6, moves=lambda t: np.ones((33, 2)) * np.where(
            t < 2, 0.1 * np.sin(np.pi * t / 4), np.where(t < 4, 0.1, 0.1 + 0.1 * (t - 4) ** 2)
        )[:, None, None]
    )  # fmt: skip
    assert motion_beats(landmarks, 30) == pytest.approx([3.0], abs=0.1)
    # Rounding to float32 makes ripple, and no further beats.
    assert len(motion_beats(landmarks.astype(np.float32), 30)) == 1


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neither_a_statue_nor_a_constant_speed_has_motion_beats(fps, dtype):
    for speed in (0.0, 0.3):
        _, landmarks = clip(
            fps=fps, moves=lambda t, v=speed: np.ones((33, 2)) * v * t[:, None, None]
        )
        landmarks = (landmarks / 3).astype(dtype)
        assert motion_beats(landmarks, fps).size == 0
        score = beat_score(landmarks, fps, CLICKS)
        assert (score.recall, score.precision, score.excess) == (0, 0, 0)
        assert score.music_beats == len(CLICKS)


def test_joint_speed_is_its_definition():
    landmarks = puppet(CLICKS, seconds=3, seed=2)
    times, speeds = joint_speed(landmarks, 30, sigma=0)
    expected = [
        np.mean([np.hypot(*(landmarks[t + 1, j] - landmarks[t, j])) for j in BODY_JOINTS])
        for t in range(len(landmarks) - 1)
    ]
    torso = np.median([np.hypot(*(p[11] + p[12] - p[23] - p[24])) / 2 for p in landmarks])
    assert speeds == pytest.approx(np.array(expected) * 30 / torso)
    assert times == pytest.approx((np.arange(89) + 0.5) / 30)
    fine, smooth = joint_speed(landmarks, 30)
    assert (fine[0], fine[-1]) == pytest.approx((times[0], times[-1]))
    for at in (0, 101, 333, len(fine) - 1):
        weights = np.exp(-((times - fine[at]) ** 2) / (2 * 0.083**2))
        assert smooth[at] == pytest.approx((weights * speeds).sum() / weights.sum(), rel=1e-6)


def test_beat_score_is_its_definition():
    landmarks = puppet(CLICKS, seed=4)
    music = np.arange(0.2, 10, 0.61)
    motion = motion_beats(landmarks, 30)

    def hits(these, those):
        return np.mean([np.exp(-(min(abs(those - a)) ** 2) / (2 * 0.05**2)) for a in these])

    def score(beats):
        return (hits(beats, motion) + hits(motion, beats)) / 2

    found = beat_score(landmarks, 30, music, seed=3)
    assert found.recall == pytest.approx(hits(music, motion))
    assert found.precision == pytest.approx(hits(motion, music))
    assert found.score == pytest.approx(score(music))
    # Other shifts, so equal to the accuracy of a mean over 200 of them.
    shifts = np.random.default_rng(99).uniform(0, 10, 1000)
    chance = np.mean([score((music + shift) % 10) for shift in shifts])
    assert found.chance == pytest.approx(chance, abs=0.03)
    assert found.excess == pytest.approx((found.score - found.chance) / (1 - found.chance))


def test_beat_score_depends_on_the_seed_alone():
    landmarks = puppet(CLICKS)
    assert beat_score(landmarks, 30, CLICKS) == beat_score(landmarks, 30, CLICKS)
    assert beat_score(landmarks, 30, CLICKS, seed=1) != beat_score(landmarks, 30, CLICKS, seed=2)


def test_music_beats_outside_the_clip_do_not_count():
    landmarks = puppet(CLICKS)
    within = beat_score(landmarks, 30, CLICKS)
    outside = np.concatenate([[np.nan, -3.0, 10.0, 77.0], CLICKS[::-1]])
    assert beat_score(landmarks, 30, outside) == within
    for nothing in ([], [20.0, np.inf]):
        score = beat_score(landmarks, 30, nothing)
        assert (score.recall, score.precision, score.chance, score.excess) == (0, 0, 0, 0)
        assert score.music_beats == 0
        assert score.motion_beats > 0


# --- invariances ---------------------------------------------------------------------------------


@given(
    scale=st.floats(0.05, 20), x=st.floats(-3, 3), y=st.floats(-3, 3), aspect=st.floats(0.4, 2.5)
)
@settings(max_examples=15, deadline=None)
def test_size_place_and_picture_do_not_matter(scale, x, y, aspect):
    landmarks = swaying(30, seconds=5)
    moved = (landmarks * scale + [x, y]) / [aspect, 1]
    for measure in MEASURES:
        assert measure(moved, 30, aspect=aspect) == pytest.approx(
            measure(landmarks, 30), rel=1e-6, abs=1e-6
        )


def test_a_forgotten_aspect_is_seen():
    landmarks = swaying(30)
    assert motion_magnitude(landmarks / [0.5625, 1], 30) > 1.2 * motion_magnitude(landmarks, 30)


@pytest.mark.parametrize("fps", [15, 24, 25, 29.97, 50, 60, 120])
def test_the_frame_rate_does_not_matter(fps):
    landmarks, same = swaying(30), swaying(fps)
    assert motion_magnitude(same, fps) == pytest.approx(motion_magnitude(landmarks, 30), rel=0.01)
    assert jerk(same, fps) == pytest.approx(jerk(landmarks, 30), rel=0.02)
    assert geometric_features(same, fps) == pytest.approx(
        geometric_features(landmarks, 30), abs=0.03
    )
    found = kinetic_features(same, fps).reshape(-1, 3)
    expected = kinetic_features(landmarks, 30).reshape(-1, 3)
    assert found[:, :2] == pytest.approx(expected[:, :2], rel=0.02)
    assert found[:, 2] == pytest.approx(expected[:, 2], rel=0.02)
    # The last frame of 8 s is earlier at lower rates, and with it the last place for a beat.
    beats, expected = motion_beats(same, fps), motion_beats(landmarks, 30)
    assert beats[beats < 7.8] == pytest.approx(expected[expected < 7.8], abs=0.003)


# --- NaN, invisible and degenerate clips ---------------------------------------------------------


def broken_clips():
    generator = np.random.default_rng(0)
    holes = swaying(30, seconds=5)
    holes[generator.random(holes.shape) < 0.2] = np.nan
    lost = swaying(30, seconds=5)
    lost[:, [15, 27, 29, 31]] = np.nan
    gap = swaying(30, seconds=5)
    gap[40:80] = np.inf
    yield "holes", holes
    yield "lost joints", lost
    yield "gap", gap
    for name, joints in (("no torso", [11, 12, 23, 24]), ("no left hip", [23])):
        torsoless = swaying(30, seconds=5)
        torsoless[:, joints] = np.nan
        yield name, torsoless
    yield "statue", clip(seconds=5)[1]
    yield "all NaN", np.full((150, 33, 2), np.nan)
    yield "all zero", np.zeros((150, 33, 2))
    for frames in (1, 2, 3, 4):
        yield f"{frames} frames", swaying(30)[:frames]


@pytest.mark.parametrize(("name", "landmarks"), list(broken_clips()))
@pytest.mark.parametrize("fps", [30, 25])
@pytest.mark.filterwarnings("error")
def test_every_clip_has_defined_values(name, landmarks, fps):
    for measure in MEASURES:
        values = np.atleast_1d(measure(landmarks, fps))
        assert np.isfinite(values).all(), name
        assert (values[:-2] >= (-1 if values.size == 6 else 0)).all()
    if name in ("statue", "all NaN", "all zero", "no torso", "no left hip"):
        assert not kinetic_features(landmarks, fps).any()
        assert motion_magnitude(landmarks, fps) == jerk(landmarks, fps) == 0
        assert foot_sliding(landmarks, fps) == 0
        assert motion_beats(landmarks, fps).size == 0


@given(seed=st.integers(0, 10**6), share=st.floats(0, 1), fps=st.sampled_from([15, 30, 59.94]))
@settings(max_examples=25, deadline=None)
def test_no_pattern_of_nan_makes_nan(seed, share, fps):
    generator = np.random.default_rng(seed)
    landmarks = swaying(30, seconds=3)
    holes = generator.random(landmarks.shape[:2]) < share
    landmarks[holes] = np.nan
    visibility = generator.random(holes.shape)
    visibility[generator.random(holes.shape) < 0.1] = np.nan
    for measure in MEASURES:
        assert np.isfinite(measure(landmarks, fps, visibility=visibility)).all()


def test_nan_is_the_same_as_invisible():
    landmarks = swaying(30)
    visibility = np.ones(landmarks.shape[:2])
    visibility[50:60, 13:17] = 0.49
    visibility[::7, 25] = 0.0
    missing = np.where((visibility < 0.5)[..., None], np.nan, landmarks)
    wild = np.where((visibility < 0.5)[..., None], 1e3, landmarks)
    for measure in MEASURES:
        expected = measure(missing, 30)
        assert measure(wild, 30, visibility=visibility) == pytest.approx(expected)
        assert measure(landmarks, 30, visibility=visibility) == pytest.approx(expected)
    # At another rate too, where frames are interpolated.
    for measure in MEASURES:
        assert measure(wild, 25, visibility=visibility) == pytest.approx(measure(missing, 25))


def test_what_is_unseen_is_left_out_of_means():
    # Only the right wrist moves, at 1 torso a second, and is unseen half of the time.
    def moves(times):
        added = np.zeros((len(times), 33, 2))
        added[:, 16, 0] = times * TORSO
        return added

    _, landmarks = clip(moves=moves)
    visibility = np.ones(landmarks.shape[:2])
    assert motion_magnitude(landmarks, 30) == pytest.approx(1 / 17)
    visibility[150:, 16] = 0
    seen = 149 / (16 * 299 + 149)
    assert motion_magnitude(landmarks, 30, visibility=visibility) == pytest.approx(seen)
    assert kinetic_features(landmarks, 30, visibility=visibility)[6 * 3] == pytest.approx(1)
    _, speeds = joint_speed(landmarks, 30, visibility=visibility, sigma=0)
    assert speeds == pytest.approx(np.where(np.arange(299) < 149, 1 / 17, 0))


def test_a_frame_between_seen_and_unseen_is_unseen():
    landmarks = swaying(15)
    visibility = np.ones(landmarks.shape[:2])
    visibility[1::2] = 0
    # At 30 fps every fourth frame is seen, and no two in a row.
    assert motion_magnitude(landmarks, 15, visibility=visibility) == 0
    visibility[20:22] = 1
    assert motion_magnitude(landmarks, 15, visibility=visibility) > 0


def test_unusable_input_is_refused():
    good = clip(seconds=1)[1]
    for call, words in (
        (lambda: motion_beats(good[:, :17], 30), "landmarks have shape"),
        (lambda: jerk(good[:0], 30), "landmarks have shape"),
        (lambda: kinetic_features(good, 0), "fps is 0"),
        (lambda: beat_score(good, np.nan, [1.0]), "fps is nan"),
        (lambda: motion_magnitude(good, 30, aspect=-1), "aspect is -1"),
        (lambda: foot_sliding(good, 30, visibility=np.ones(30)), "visibility has shape"),
        (lambda: joint_speed(good, 30, sigma=-1), "sigma is -1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    moving_without_torso = np.zeros((30, 33, 2))
    moving_without_torso[:, 15, 0] = np.linspace(0, 1, 30)
    with pytest.raises(ValueError, match="torso"):
        motion_magnitude(moving_without_torso, 30)
    # What moves unseen is no movement.
    unseen = np.ones((30, 33))
    unseen[:, 15] = 0
    assert motion_magnitude(moving_without_torso, 30, visibility=unseen) == 0


# --- speed, jerk, features -----------------------------------------------------------------------


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_derivatives_of_polynomials_are_exact(fps):
    # x = t^3 / 6 torsos: the third derivative is 1; y = 2 t: the speed is 2.
    _, cubed = clip(seconds=2, fps=fps, moves=whole_body(lambda t: t**3 / 6, nothing))
    assert jerk(cubed, fps) == pytest.approx(1, rel=1e-5)
    _, straight = clip(seconds=2, fps=fps, moves=whole_body(nothing, lambda t: 2 * t))
    assert motion_magnitude(straight, fps) == pytest.approx(2, rel=1e-9)
    assert jerk(straight, fps) == pytest.approx(0, abs=1e-6)
    features = kinetic_features(straight, fps).reshape(-1, 3)
    assert features == pytest.approx(np.tile([0, 4, 0], (17, 1)), abs=1e-6)


def test_acceleration_is_that_of_free_fall_wherever_it_happens():
    for offset in (0.0, 100.0):
        _, landmarks = clip(seconds=2, moves=whole_body(nothing, lambda t: 5 * t**2))
        landmarks += offset
        features = kinetic_features(landmarks, 30).reshape(-1, 3)
        assert features[:, 2] == pytest.approx(np.full(17, 10.0), rel=1e-6)
        assert features[:, 0] == pytest.approx(np.zeros(17), abs=1e-12)


def test_kinetic_features_against_brute_force():
    landmarks = swaying(30, seconds=2)
    names, features = kinetic_feature_names(), kinetic_features(landmarks, 30)
    torso = np.median([np.hypot(*(p[11] + p[12] - p[23] - p[24])) / 2 for p in landmarks])
    wrist = landmarks[:, 16] / torso
    velocity = [(b - a) * 30 for a, b in pairwise(wrist)]
    force = [np.hypot(*(b - a)) * 30 for a, b in pairwise(velocity)]
    assert len(names) == len(set(names)) == features.size == 51
    assert features[names.index("right_wrist_mean_vx2")] == pytest.approx(
        np.mean([v[0] ** 2 for v in velocity])
    )
    assert features[names.index("right_wrist_mean_vy2")] == pytest.approx(
        np.mean([v[1] ** 2 for v in velocity])
    )
    assert features[names.index("right_wrist_mean_acceleration")] == pytest.approx(np.mean(force))


def test_geometric_features_of_a_known_sequence():
    names = geometric_feature_names()
    base = geometric_features(clip(seconds=2)[1], 30)
    assert base.size == len(names) == len(set(names)) == 15
    assert not base.any(), "who stands with hanging arms has none of these shapes"

    _, landmarks = clip(seconds=4)
    quarter, half = landmarks[:30], landmarks[:60]
    quarter[:, 15] = quarter[:, 13] + [0.1, 0.03]  # left elbow at about 101 degrees
    half[:, 16] = [0.45, 0.15]  # right wrist above the head, elbow folded
    landmarks[90:, 15] = [0.8, 0.29]  # far from the other, above its shoulder
    landmarks[90:, 28, 0] -= 0.2
    values = dict(zip(names, geometric_features(landmarks, 30), strict=True))
    assert values["left_elbow_bent"] == pytest.approx(0.25)
    assert values["right_elbow_bent"] == pytest.approx(0.5)
    assert values["right_wrist_above_shoulder"] == values["right_wrist_above_head"] == 0.5
    assert values["left_wrist_above_shoulder"] == 0.25
    assert values["left_wrist_above_head"] == 0
    assert values["wrists_apart"] == 0.75
    assert values["ankles_apart"] == 0.25
    assert values["left_knee_bent"] == 0
    assert values["root_fast"] == 0


def bent_to(joint, to, origin, angle):
    """Move a landmark so that the angle at a joint, from another one, is this many degrees."""

    def move(points):
        arm = points[:, origin] - points[:, joint]
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        points[:, to] = points[:, joint] + arm @ np.array([[c, s], [-s, c]])

    return move


def apart(left, right, distance):
    def move(points):
        points[:, left, 0], points[:, right, 0] = 0.5 + distance / 2, 0.5 - distance / 2
        points[:, right, 1] = points[:, left, 1]

    return move


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("left_elbow_bent", bent_to(13, 15, 11, 109), bent_to(13, 15, 11, 111)),
        ("right_elbow_bent", bent_to(14, 16, 12, 109), bent_to(14, 16, 12, 111)),
        ("left_knee_bent", bent_to(25, 27, 23, 109), bent_to(25, 27, 23, 111)),
        ("right_knee_bent", bent_to(26, 28, 24, 109), bent_to(26, 28, 24, 111)),
        # Shoulders are 0.1 wide and hips 0.06.
        ("wrists_apart", apart(15, 16, 0.251), apart(15, 16, 0.249)),
        ("ankles_apart", apart(27, 28, 0.127), apart(27, 28, 0.125)),
    ],
)
def test_shapes_begin_at_their_thresholds(name, inside, outside):
    at = geometric_feature_names().index(name)
    for move, expected in ((inside, 1.0), (outside, 0.0)):
        _, landmarks = clip(seconds=1)
        move(landmarks)
        assert geometric_features(landmarks, 30)[at] == expected


@pytest.mark.parametrize(
    ("usual", "burst", "fast"),
    [(1.0, 2.1, True), (1.0, 1.9, False), (0.0, 0.11, True), (0.0, 0.09, False)],
)
def test_fast_is_twice_the_usual_speed_and_a_tenth_of_a_torso_a_second(usual, burst, fast):
    def moves(times):
        speed = np.where((times >= 5) & (times < 6), burst, usual) * TORSO
        added = np.zeros((len(times), 33, 2))
        added[:, [15, 16, 27, 28, 23, 24], 0] = np.cumsum(speed)[:, None] / 30
        return added

    names, values = geometric_feature_names(), geometric_features(clip(moves=moves)[1], 30)
    speeds = [value for name, value in zip(names, values, strict=True) if name.endswith("_fast")]
    assert speeds == pytest.approx([0.1 if fast else 0.0] * 5, abs=0.005)


def test_fast_is_fast_for_this_dancer():
    # The left wrist goes at 1 torso/s, and at 3 torso/s for a tenth of the time.
    def moves(times):
        speed = np.where((times >= 5) & (times < 6), 3.0, 1.0) * TORSO
        added = np.zeros((len(times), 33, 2))
        added[:, 15, 0] = added[:, 16, 0] = np.cumsum(speed) / 30
        return added

    values = dict(
        zip(geometric_feature_names(), geometric_features(clip(moves=moves)[1], 30), strict=True)
    )
    assert values["left_wrist_fast"] == values["right_wrist_fast"] == pytest.approx(0.1, abs=0.005)
    assert values["left_ankle_fast"] == 0


def test_nobody_is_fast_by_trembling():
    _, still = clip()
    trembling = still + np.random.default_rng(0).normal(0, 0.0005 * TORSO, still.shape)
    values = dict(zip(geometric_feature_names(), geometric_features(trembling, 30), strict=True))
    assert not any(value for name, value in values.items() if name.endswith("fast"))


def test_trembling_raises_jerk_far_more_than_magnitude():
    landmarks = swaying(30)
    trembling = landmarks + np.random.default_rng(0).normal(0, 0.0005, landmarks.shape)
    assert jerk(trembling, 30) > 3 * jerk(landmarks, 30)
    assert motion_magnitude(trembling, 30) < 1.1 * motion_magnitude(landmarks, 30)


# --- feet ----------------------------------------------------------------------------------------


def steps(times, slide=0.0):
    """Feet that lift in turn and go forward in the air (and slide on the floor), 1 s a step."""
    added = np.zeros((len(times), 33, 2))
    for side, phase in ((0, 0.0), (1, 1.0)):
        cycle, part = np.divmod(times + phase, 2.0)
        air = np.clip(part, 0, 1)
        lift = -0.3 * TORSO * np.sin(np.pi * air) ** 2
        forward = cycle + (1 - np.cos(np.pi * air)) / 2
        for joint in (27, 29, 31):
            added[:, joint + side, 0] = TORSO * forward + slide * TORSO * times
            added[:, joint + side, 1] = lift
    added[:, :27, 0] = 0.5 * TORSO * times[:, None]
    return added


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_steps_on_the_floor_do_not_slide_and_a_moonwalk_does(fps):
    assert foot_sliding(clip(fps=fps, moves=steps)[1], fps) < 0.03
    assert foot_sliding(clip(fps=fps, moves=lambda t: steps(t, slide=-1.0))[1], fps) > 0.6
    # A statue on a moving floor slides in every frame, just below the limit in none.
    for speed, expected in ((0.5, 1.0), (0.28, 0.0)):
        _, gliding = clip(fps=fps, moves=whole_body(lambda t, v=speed: v * t, nothing))
        assert foot_sliding(gliding, fps) == pytest.approx(expected, abs=0.02)


def test_a_foot_that_jumps_or_turns_does_not_slide():
    jump = whole_body(lambda t: 2 * t, lambda t: -3 * np.abs(np.sin(np.pi * t)))

    def turn(times):
        added = np.zeros((len(times), 33, 2))
        added[:, [29, 30], 0] = 0.3 * TORSO * np.sin(2 * np.pi * times)[:, None]
        return added

    assert foot_sliding(clip(moves=jump)[1], 30) < 0.05
    assert foot_sliding(clip(moves=turn)[1], 30) == 0


def test_trembling_is_not_sliding_and_unseen_feet_do_not_count():
    _, still = clip()
    trembling = still + np.random.default_rng(0).normal(0, 0.01 * TORSO, still.shape)
    assert foot_sliding(trembling, 30) < 0.01
    _, gliding = clip(moves=whole_body(lambda t: t, nothing))
    visibility = np.ones(gliding.shape[:2])
    visibility[:, [29, 31]] = 0
    visibility[100:200, [30, 32]] = 0
    assert foot_sliding(gliding, 30, visibility=visibility) == pytest.approx(1, abs=0.02)
    visibility[:, 27:] = 0
    assert foot_sliding(gliding, 30, visibility=visibility) == 0
