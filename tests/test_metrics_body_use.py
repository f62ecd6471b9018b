"""Vigour, weight and flight of bodies whose movement is known."""

import numpy as np
import pytest

from dancing.body.kinematics import project
from dancing.metrics import body_use, in_the_room
from puppet import ASPECT, FOCAL, a_walk

SECONDS, G = 6.0, 9.81


def standing(fps=30.0):
    """Times (T,), and points (T, 33, 3) of somebody who stands, 3 m away, on a floor at 1 m."""
    times = np.arange(round(SECONDS * fps)) / fps
    body = a_walk(1)[0][0]
    body[29:33, 1] = 0.9
    body[[29, 30], 1] = 0.87  # heels are higher than toes
    return times, np.repeat((body + np.array([0.0, 0.1, 3.0]))[None], len(times), axis=0)


def test_speeds_are_those_of_hands_feet_and_hips():
    times, points = standing()
    points[:, [15, 16], 0] += 2.0 * times[:, None]
    points[:, [29, 30, 31, 32], 2] += 0.5 * times[:, None]
    points[:, [23, 24], 1] -= 0.25 * times[:, None]
    use = body_use(points, 30)
    # The ends of the clip are smoothed.
    assert use.hands == pytest.approx(2.0, rel=0.02)
    assert use.feet == pytest.approx(0.5, rel=0.02)
    assert use.hips == pytest.approx(0.25, rel=0.02)
    assert use.hip_height == pytest.approx(0.25 * SECONDS / np.sqrt(12), rel=0.02)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_turning_is_in_degrees_a_second_at_any_rate(fps):
    times, points = standing(fps)
    yaw = np.radians(90) * times
    middle = points[:, [23, 24]].mean(1)
    for hip, side in ((23, 0.1), (24, -0.1)):
        points[:, hip] = middle + side * np.stack([np.cos(yaw), 0 * yaw, np.sin(yaw)], -1)
    use = body_use(points, fps)
    assert use.turning == pytest.approx(90, rel=0.03)
    assert use.hips == pytest.approx(0, abs=1e-6)


def jump(points, times, start, height, gravity=G):
    """Everything flies from `start` on, as high as `height`, under this gravity."""
    lasts = np.sqrt(8 * height / G)
    part = times - start
    up = np.where((part > 0) & (part < lasts), gravity / 2 * part * (lasts - part), 0.0)
    points[..., 1] -= up[:, None]
    return lasts


def test_a_real_jump_falls_freely():
    times, points = standing()
    lasts = sum(jump(points, times, start, 0.25) for start in (1.0, 3.0))
    use = body_use(points, 30)
    assert use.flights == 2
    assert use.unfall < 0.1
    # The first and last 3 cm of a flight are not in the air.
    assert use.airborne == use.lifted == pytest.approx(0.94 * lasts / SECONDS, rel=0.08)
    assert use.sunk == 0


def test_whoever_hangs_or_falls_slowly_does_not_fall():
    for gravity, expected in ((0.5 * G, 0.5), (1.5 * G, 0.5)):
        times, points = standing()
        jump(points, times, 1.0, 0.4, gravity)
        assert body_use(points, 30).unfall == pytest.approx(expected, abs=0.15)
    times, points = standing()
    points[60:100, :, 1] -= 0.3
    use = body_use(points, 30)
    assert use.flights == 1 and use.unfall == pytest.approx(1, abs=0.35)


def test_one_foot_in_the_air_is_no_flight():
    times, points = standing()
    points[30:90, [27, 29, 31], 1] -= 0.2
    use = body_use(points, 30)
    assert use.airborne == 0 and use.flights == 0 and use.unfall is None
    assert use.lifted == pytest.approx(60 / len(times), abs=0.03)
    # On tiptoe nothing is in the air.
    _, points = standing()
    points[30:90, [29, 30], 1] -= 0.1
    assert body_use(points, 30).lifted == 0


def test_feet_in_the_floor_are_seen_and_one_held_up_does_not_hide_them():
    _, points = standing()
    points[100:118, 31, 1] += 0.06
    assert body_use(points, 30).sunk == pytest.approx(0.1, abs=0.02)
    # A foot that is held up for most of the time, and still, is not the floor.
    _, points = standing()
    points[20:, [30, 32], 1] -= 0.3
    use = body_use(points, 30)
    assert use.sunk == 0 and use.lifted > 0.8


def test_the_picture_alone_shows_speeds_in_its_own_unit():
    times, points = standing()
    points[:, [15, 16], 0] += 2.0 * times[:, None]
    use = body_use(points[..., :2], 30)
    assert use.hands == pytest.approx(2.0, rel=0.02)
    assert use.turning is use.lifted is use.airborne is use.sunk is use.unfall is None
    with pytest.raises(ValueError, match="points have shape"):
        body_use(points[:, :17], 30)
    assert body_use(points[:1], 30).hands == 0


def test_the_room_is_found_again_from_picture_and_world():
    world, place = a_walk(240)
    place = place + np.stack([0 * place[:, 0], 0 * place[:, 0], np.linspace(0, 0.5, 240)], -1)
    room = world + place[:, None]
    picture = project(room, FOCAL, ASPECT)
    found = in_the_room(picture, world, 30, aspect=ASPECT)
    true, use = body_use(room, 30), body_use(found, 30)
    for key in ("hands", "feet", "hips", "turning"):
        assert getattr(use, key) == pytest.approx(getattr(true, key), rel=0.1), key
    assert use.airborne == 0 and use.sunk == 0
