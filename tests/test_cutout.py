"""Cutting a person out of a picture, and the scene without the person."""

import functools

import cv2
import numpy as np
import pytest

from dancing.image.compositing import lay_over
from dancing.image.dancer import Dancer
from dancing.image.warp.cutout import cut_out
from dancing.image.warp.plate import extended, filled
from puppet import a_dance

HEIGHT, WIDTH = 720, 405


@functools.cache
def someone():
    """A drawn dancer (H, W, 4), soft hair as in a photo, and landmarks (33, 6) in pixels."""
    dancer = Dancer("ava")
    poses, _ = a_dance(2, 120, seed=3)
    poses = dancer.fit(poses)[:1]
    layers = next(dancer(poses, background="transparent"))
    alpha = cv2.resize(layers[..., 3], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    # What is transparent has no colour to enlarge.
    weights = layers[..., 3:].astype(np.float32)
    colours = cv2.resize(layers[..., :3] * weights, (WIDTH, HEIGHT))
    colours /= np.maximum(cv2.resize(weights, (WIDTH, HEIGHT)), 1)[..., None]
    points = np.ones((33, 6), np.float32)
    points[:, :2] = dancer.in_view(poses.landmarks[0]) * [WIDTH, HEIGHT]
    return np.dstack([colours.clip(0, 255).astype(np.uint8), alpha]), points


def scene(kind):
    """Something to stand before (H, W, 3): a wall, or a room with edges and patterns."""
    random = np.random.default_rng(1)
    rows = np.linspace(0, 1, HEIGHT)[:, None, None]
    picture = np.broadcast_to(150 + 60 * rows * [1.0, 0.9, 0.7], (HEIGHT, WIDTH, 3)).copy()
    if kind == "room":
        for _ in range(25):
            x, y = random.integers(0, WIDTH), random.integers(0, HEIGHT * 2 // 3)
            wide, high = random.integers(20, 120, 2)
            picture[y : y + high, x : x + wide] = random.uniform(20, 240, 3)
        picture[HEIGHT * 4 // 5 :] = [120, 90, 60]
        coarse = random.normal(0, 25, (HEIGHT // 6, WIDTH // 6)).astype(np.float32)
        picture += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]
    picture += random.normal(0, 3, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def coarse(alpha):
    """A matte as the pose network gives: of 256x256 pixels around the person, and none too sure."""
    rows, columns = np.nonzero(alpha)
    side = round(1.25 * np.ptp(rows))
    top, left = (round(part.mean() - side / 2) for part in (rows, columns))
    shift = np.float32([[256 / side, 0, -left * 256 / side], [0, 256 / side, -top * 256 / side]])
    small = cv2.warpAffine(cv2.blur(alpha, (3, 3)), shift, (256, 256))
    small = cv2.GaussianBlur(small, (0, 0), 2.0)
    return cv2.warpAffine(small, cv2.invertAffineTransform(shift), alpha.shape[::-1])


def photo(kind, layers):
    picture = scene(kind)
    lay_over(picture, layers, (0, 0))
    return picture


def error(alpha, truth):
    return np.abs(alpha.astype(int) - truth).mean()


@pytest.mark.parametrize("kind", ["wall", "room"])
def test_the_alpha_is_far_nearer_the_truth_than_the_coarse_matte(kind):
    layers, points = someone()
    truth = layers[..., 3]
    matte = coarse(truth)
    picture = photo(kind, layers)
    before = picture.copy()
    colour, alpha = cut_out(picture, matte, points)
    assert error(alpha, truth) < 0.5 * error(matte, truth)
    deep = cv2.erode(truth, np.ones((9, 9))) == 255
    assert (alpha[deep] == 255).mean() > 0.995 and (colour[deep] == picture[deep]).mean() > 0.995
    far = cv2.dilate(truth, np.ones((41, 41))) == 0
    assert not alpha[far].any()
    assert (picture == before).all()


@pytest.mark.parametrize("kind", ["wall", "room"])
def test_the_colours_at_the_rim_are_the_persons(kind):
    layers, points = someone()
    picture = photo(kind, layers)
    colour, _ = cut_out(picture, coarse(layers[..., 3]), points)
    soft = (layers[..., 3] > 30) & (layers[..., 3] < 220)
    truth = layers[..., :3]
    assert error(colour[soft], truth[soft]) < 0.75 * error(picture[soft], truth[soft])
    # Sampling between pixels takes some from just outside.
    whole = (layers[..., 3] > 128).astype(np.uint8)
    outside = (cv2.dilate(whole, np.ones((5, 5))) - whole) > 0
    y, x = np.nonzero(outside)
    share = layers[..., 3:].astype(np.float32)
    nearest = cv2.GaussianBlur(truth * share, (0, 0), 3)
    nearest /= cv2.GaussianBlur(share, (0, 0), 3)[..., None] + 1e-3
    assert error(colour[y, x], nearest[y, x]) < 0.75 * error(picture[y, x], nearest[y, x])


def test_a_hand_that_the_coarse_matte_misses_is_found():
    layers, points = someone()
    truth = layers[..., 3]
    matte = coarse(truth)
    x, y = points[20, :2].astype(int)
    hand = np.zeros_like(truth, bool)
    hand[y - 8 : y + 9, x - 8 : x + 9] = True
    matte[hand] //= 8
    _, alpha = cut_out(photo("wall", layers), matte, points)
    assert error(alpha[hand], truth[hand]) < 0.4 * error(matte[hand], truth[hand])


def test_somebody_else_is_left_out():
    layers, points = someone()
    matte = coarse(layers[..., 3])
    matte[60:120, 10:40] = 230
    picture = photo("wall", layers)
    picture[60:120, 10:40] = [40, 60, 160]
    _, alpha = cut_out(picture, matte, points)
    assert not alpha[62:118, 12:38].any()


def test_a_person_cut_off_by_the_border_is_whole_up_to_it():
    layers, points = someone()
    cut = int(points[[23, 24], 1].mean()) + 20
    layers = layers[:cut]
    picture = photo("wall", someone()[0])[:cut]
    _, alpha = cut_out(picture, coarse(someone()[0][..., 3])[:cut], points)
    inside = cv2.erode(layers[..., 3], np.ones((1, 9)))[-1] == 255
    assert inside.any() and (alpha[-1, inside] == 255).all()


def test_nobody_gives_nothing():
    picture = scene("wall")
    points = np.ones((33, 6), np.float32)
    colour, alpha = cut_out(picture, np.zeros((HEIGHT, WIDTH), np.uint8), points)
    assert not alpha.any() and (colour == picture).all()


@pytest.mark.parametrize("kind", ["wall", "room"])
def test_the_scene_is_filled_in_without_a_ghost(kind):
    layers, _ = someone()
    alpha, picture, empty = layers[..., 3], photo(kind, layers), scene(kind)
    plate = filled(picture, alpha)
    far = cv2.dilate(alpha, np.ones((121, 121))) == 0
    assert (plate[far] == picture[far]).all()
    inside = alpha > 128
    assert error(plate[inside], empty[inside]) < 0.5 * error(picture[inside], empty[inside])
    # As grainy as what is there, not blurred.
    grain = [cv2.Laplacian(p.mean(2), cv2.CV_64F)[inside].std() for p in (plate, empty)]
    assert grain[0] > 0.5 * grain[1]


def test_a_line_on_the_wall_goes_on_behind_the_person():
    layers, _ = someone()
    picture = scene("wall")
    row = HEIGHT // 2
    picture[row - 5 : row + 5] = [60, 30, 20]
    truth = picture.copy()
    lay_over(picture, layers, (0, 0))
    plate = filled(picture, layers[..., 3])
    assert error(plate[row - 3 : row + 3], truth[row - 3 : row + 3]) < 12


def test_a_shadow_on_one_side_of_the_person_leaves_no_seam():
    layers, _ = someone()
    alpha = layers[..., 3]
    middle = round(np.nonzero(alpha)[1].mean())
    # The edge of the shadow is all behind the person.
    rows = (alpha[:, middle - 25 : middle + 26] == 255).all(1)
    assert rows.sum() > 50
    shadow = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    shadow[rows, :middle] = 60
    shadow = cv2.GaussianBlur(shadow, (1, 49), 0.1, sigmaY=8)[..., None]
    picture = (scene("wall") - shadow).clip(0, 255).astype(np.uint8)
    lay_over(picture, layers, (0, 0))
    plate = cv2.GaussianBlur(filled(picture, alpha).astype(np.float32), (0, 0), 2)
    assert np.abs(np.diff(plate, axis=1))[rows].max() < 4


def test_the_shadow_between_the_feet_goes_with_the_person():
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[200:420, 130:270] = 255
    alpha[420:600, 130:160] = alpha[420:600, 240:270] = 255
    picture = scene("wall")
    picture[590:600, 190:210] = 30
    picture[alpha > 0] = [200, 40, 40]
    plate = filled(picture, alpha)
    assert plate[585:605, 180:220].min() > 90


@pytest.mark.parametrize("hidden", [0, 255])
def test_nobody_and_nothing_but_somebody(hidden):
    picture = scene("room")
    plate = filled(picture, np.full((HEIGHT, WIDTH), hidden, np.uint8))
    assert plate.shape == picture.shape
    if not hidden:
        assert (plate == picture).all()
    else:
        assert np.ptp(plate.reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (30, 7, 0, 1), (WIDTH, HEIGHT, WIDTH, HEIGHT)])
def test_more_scene_joins_on_and_is_softer(sides):
    left, top, right, bottom = sides
    plate = scene("room")
    whole = extended(plate, *sides)
    assert whole.shape == (top + HEIGHT + bottom, left + WIDTH + right, 3)
    assert (whole[top : top + HEIGHT, left : left + WIDTH] == plate).all()
    if left == WIDTH:
        edge = whole[top : top + HEIGHT, left - 1 : left + 1].astype(int)
        assert np.abs(edge[:, 0] - edge[:, 1]).mean() < 6
        assert whole[:, : left // 2].std(1).mean() < 0.6 * plate.std(1).mean()
