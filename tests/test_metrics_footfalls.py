"""When feet land, on puppets whose steps are known."""

import numpy as np
import pytest

from dancing.metrics import footfall_score, footfalls

TORSO = 0.2
SECONDS = 12.0
BEATS = np.arange(0.3, SECONDS, 0.5)
LEFT, RIGHT = [27, 29, 31], [28, 30, 32]


def standing(frames):
    """(frames, 33, 2): a person who stands; the torso is 0.2 of the picture."""
    points = np.zeros((33, 2))
    points[:11] = [0.5, 0.2]
    for side, x in ((0, 0.54), (1, 0.46)):
        points[11 + side : 23 : 2] = [x, 0.3]
        points[23 + side : 33 : 2] = [x, 0.5]
        points[25 + side], points[27 + side : 33 : 2] = [x, 0.7], [x, 0.9]
    return np.repeat(points[None], frames, axis=0)


def stepping(lands, *, fps=30.0, length=0.5, lasts=0.3):
    """A person whose left and right foot by turns step aside and back and land at these times."""
    times = np.arange(round(SECONDS * fps)) / fps
    landmarks = standing(len(times))
    for number, land in enumerate(lands):
        part = np.clip((times - land + lasts) / lasts, 0, 1)
        away = length * TORSO * (1 - np.cos(np.pi * part)) / 2
        foot = (LEFT, RIGHT)[number % 2]
        landmarks[:, foot, 0] += (-1) ** (number // 2) * away[:, None]
    return landmarks


@pytest.mark.parametrize("fps", [15, 25, 29.97, 30, 60])
def test_every_step_is_found_when_it_lands(fps):
    found = footfalls(stepping(BEATS[2:], fps=fps), fps)
    assert len(found) == len(BEATS) - 2
    # A step that slows down as a cosine is nearly at rest somewhat before its end.
    assert found == pytest.approx(BEATS[2:], abs=0.05)


def test_feet_on_beats_between_them_and_anywhere():
    on = footfall_score(stepping(BEATS[2:-1]), 30, BEATS)
    assert on.on > 0.85 and on.distance < 0.04 and on.footfalls == len(BEATS) - 3
    assert on.lag == pytest.approx(-on.distance)
    # Half beats count as beats do.
    halves = footfall_score(stepping(BEATS[2:-1] + 0.25), 30, BEATS)
    assert halves.on == pytest.approx(on.on, abs=0.02)
    # The middle between two half beats is the worst of places.
    off = footfall_score(stepping(BEATS[2:-1] + 0.125), 30, BEATS)
    assert off.on < -0.7 and off.distance > 0.08
    generator = np.random.default_rng(0)
    anywhere = [
        footfall_score(stepping(BEATS[2:-1]), 30, BEATS + generator.uniform(-0.25, 0.25)).on
        for _ in range(60)
    ]
    assert abs(np.mean(anywhere)) < 0.2


def test_a_late_foot_lags():
    early, late = (
        footfall_score(stepping(BEATS[2:-1] + shift), 30, BEATS).lag for shift in (0.0, 0.04)
    )
    assert late - early == pytest.approx(0.04, abs=0.005)


def test_who_does_not_step_has_no_footfalls():
    still = standing(360)
    trembling = still + np.random.default_rng(0).normal(0, 0.005 * TORSO, still.shape)
    # At an even speed, or too slowly.
    gliding = still + np.linspace(0, 0.4, 360)[:, None, None] * [1.0, 0.0]
    creeping = stepping(BEATS[2:], length=0.1)
    for landmarks in (still, trembling, gliding, creeping, still[:1], still[:2]):
        assert len(footfalls(landmarks, 30)) == 0
        score = footfall_score(landmarks, 30, BEATS)
        assert (score.on, score.distance, score.lag, score.footfalls) == (0, 0, 0, 0)


def test_trembling_neither_hides_nor_moves_steps():
    steps = stepping(BEATS[2:-1])
    trembling = steps + np.random.default_rng(1).normal(0, 0.004 * TORSO, steps.shape)
    assert footfalls(trembling, 30) == pytest.approx(footfalls(steps, 30), abs=0.03)


def test_unseen_feet_do_not_land():
    steps = stepping(BEATS[2:-1])
    visibility = np.ones(steps.shape[:2])
    visibility[:, LEFT] = 0
    assert len(footfalls(steps, 30, visibility=visibility)) == len(BEATS[3:-1:2])
    missing = np.where(visibility[..., None] < 0.5, np.nan, steps)
    assert footfalls(missing, 30) == pytest.approx(footfalls(steps, 30, visibility=visibility))


def test_one_foot_that_bounces_at_its_heel_does_not_stand():
    # The toe stands, the heel goes up and down: it has landed when both are at rest.
    steps = stepping([])
    times = np.arange(len(steps)) / 30
    steps[:, 29, 1] -= 0.2 * TORSO * np.abs(np.sin(2 * np.pi * times))
    assert len(footfalls(steps, 30)) > 10


def test_beats_may_be_unsorted_few_or_missing():
    steps = stepping(BEATS[2:-1])
    score = footfall_score(steps, 30, BEATS)
    mixed = np.concatenate([BEATS[::-1], [np.nan, BEATS[3]]])
    assert footfall_score(steps, 30, mixed) == score
    for few in ([], [1.0], [np.inf]):
        assert footfall_score(steps, 30, few).footfalls == 0
    # Only what lies between beats has a phase.
    assert footfall_score(steps, 30, BEATS[5:10]).footfalls in (4, 5)
