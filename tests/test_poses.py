"""Poses: names, mirror map, body frame, resampling, files, drawing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancing.body.drawing import draw_skeleton
from dancing.body.poses import PoseSequence, body_frame, torso_length
from dancing.body.skeleton import CONNECTIONS, LANDMARKS, MIRROR
from dancing.errors import DancingError


def a_dance(frames=20, seed=0, **extra):
    random = np.random.default_rng(seed)
    return PoseSequence(random.random((frames, 33, 2), np.float32), **extra)


def test_landmarks_are_those_of_mediapipe():
    assert len(LANDMARKS) == 33
    assert [LANDMARKS[i] for i in (0, 11, 16, 23, 32)] == [
        "nose",
        "left_shoulder",
        "right_wrist",
        "left_hip",
        "right_foot_index",
    ]
    assert len(CONNECTIONS) == 35
    assert all(0 <= a < 33 and 0 <= b < 33 and a != b for a, b in CONNECTIONS)


def test_mirror_swaps_sides_and_is_its_own_inverse():
    assert MIRROR[0] == 0
    assert LANDMARKS[MIRROR[13]] == "right_elbow"
    assert [MIRROR[i] for i in MIRROR] == list(range(33))


@settings(max_examples=30, deadline=None)
@given(
    scale=st.floats(0.05, 5),
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    aspect=st.floats(0.3, 3),
)
def test_body_frame_ignores_scale_place_and_picture_shape(scale, shift, aspect):
    points = np.random.default_rng(0).random((10, 33, 2))
    moved = (points * scale + shift) / [aspect, 1]
    np.testing.assert_allclose(body_frame(moved, aspect), body_frame(points), atol=1e-6)


def test_a_torso_reaches_from_mid_hip_to_mid_shoulder():
    points = np.zeros((5, 33, 2))
    points[:, [11, 12]] = [[0.0, 0.0], [0.4, 0.2]]
    points[:, [23, 24]] = [[0.0, 0.5], [0.0, 0.9]]
    assert torso_length(points) == pytest.approx(np.hypot(0.2, 0.6))
    assert torso_length(points, 0.5) == pytest.approx(np.hypot(0.1, 0.6)), "in picture heights"
    points[:2] *= 3
    assert torso_length(points) == pytest.approx(np.hypot(0.2, 0.6)), "the median"


def test_body_frame_centres_the_first_frame_only():
    points = np.random.default_rng(0).random((10, 33, 2))
    points[5:] += [0.5, 0]
    body = body_frame(points)
    np.testing.assert_allclose(body[0, [23, 24]].mean(0), 0, atol=1e-12)
    walked = body[5, [23, 24]].mean(0) - body_frame(points - points[5:6])[5, [23, 24]].mean(0)
    assert np.abs(walked).max() > 0.1
    assert torso_length(body) == pytest.approx(1)


def test_body_frame_refuses_a_body_without_a_torso():
    with pytest.raises(ValueError, match="torso"):
        body_frame(np.zeros((3, 33, 2)))


def test_resampling_keeps_time():
    time = np.arange(60) / 60
    landmarks = np.zeros((60, 33, 2), np.float32)
    landmarks[..., 0] = time[:, None]
    slower = PoseSequence(landmarks, fps=60).resampled(24)
    assert len(slower) == 24
    np.testing.assert_allclose(slower.landmarks[:, 0, 0], np.arange(24) / 24, atol=1e-6)
    assert len(slower.resampled(30, frames=50)) == 50


def test_a_slice_takes_its_beats_along():
    dance = a_dance(90, beats=[0.5, 1.0, 1.5, 2.0])
    part = dance[30:60]
    assert len(part) == 30
    np.testing.assert_allclose(part.beats, [0.0, 0.5])
    np.testing.assert_array_equal(part.landmarks, dance.landmarks[30:60])


@pytest.mark.parametrize("suffix", [".npz", ".json", ".csv"])
@pytest.mark.parametrize("full", [True, False])
def test_files_give_back_what_was_saved(tmp_path, suffix, full):
    random = np.random.default_rng(3)
    extra = (
        {
            "visibility": random.random((20, 33)),
            "world": random.normal(size=(20, 33, 3)),
            "beats": [0.101, 0.347],
        }
        if full
        else {}
    )
    dance = a_dance(fps=29.97, aspect=1.5, **extra)
    path = tmp_path / f"dance{suffix}"
    dance.save(path)
    back = PoseSequence.load(path)
    np.testing.assert_array_equal(back.landmarks, dance.landmarks)
    assert back.fps == pytest.approx(29.97, abs=1e-5)
    assert back.aspect == pytest.approx(1.5)
    for name in ("visibility", "world"):
        expected = getattr(dance, name)
        if expected is None:
            assert getattr(back, name) is None
        else:
            np.testing.assert_array_equal(getattr(back, name), expected)
    if full:
        np.testing.assert_allclose(back.beats, dance.beats)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_pickled_arrays_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, landmarks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DancingError, match=r"evil\.npz"):
        PoseSequence.load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"", "cannot be read"),
        ("a.npz", b"PK\x03\x04 cut short", "cannot be read"),
        ("a.json", b"[1, 2]", "landmarks"),
        ("a.json", b"{", "cannot be read"),
        ("a.json", b'{"landmarks": [[[1, 2]]]}', "points a person: 1"),
        ("a.csv", b"", "no rows"),
        ("a.csv", b"frame,time\n0,0.0\n", "no column 'nose_x'"),
        ("a.txt", b"x", "not a pose file"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DancingError, match=message) as caught:
        PoseSequence.load(path)
    assert name in str(caught.value)


def test_values_that_are_not_finite_are_refused():
    landmarks = np.zeros((4, 33, 2))
    landmarks[2, 5, 1] = np.nan
    with pytest.raises(DancingError, match="finite"):
        PoseSequence(landmarks)


def test_skeleton_is_drawn_where_the_landmarks_are():
    canvas = np.zeros((100, 60, 3), np.uint8)
    landmarks = np.full((33, 2), 5.0)
    landmarks[11], landmarks[13] = (0.25, 0.2), (0.25, 0.8)
    draw_skeleton(canvas, landmarks)
    assert (canvas[50, 15] > 60).any()
    assert not canvas[50, 40].any()
    assert canvas[50, 15, 0] > canvas[50, 15, 2], "the left side is orange"
