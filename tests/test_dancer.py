"""Drawing: crops that move with the dancer, also beyond the picture's edge."""

import numpy as np

from dancing.dancer import crop_corners, fitting_crop
from dancing.video import cut, cut_crop


def test_crops_follow_the_dancer():
    points = np.random.default_rng(0).uniform(100, 200, (5, 33, 2))
    corners = crop_corners(points, (64, 96))
    moved = crop_corners(points + np.array([30, -20]), (64, 96))
    np.testing.assert_allclose(moved - corners, np.tile([30, -20], (5, 1)), atol=1)
    middle = (points.min(1) + points.max(1)) / 2
    np.testing.assert_allclose(corners + np.array([32, 48]), middle, atol=0.51)


def test_crops_repeat_the_edge():
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    crop = cut_crop(picture, (-2, 3), (4, 5))
    assert crop.shape == (5, 4, 3)
    np.testing.assert_array_equal(crop[:2, 2:], picture[3:, :2])
    np.testing.assert_array_equal(crop[4], crop[1])
    np.testing.assert_array_equal(crop[:, 0], crop[:, 2])
    np.testing.assert_array_equal(cut(picture, (0.5, 0.2, 1.0, 1.0)), picture[1:, 2:])


def test_the_crop_is_as_small_as_the_dance_allows():
    points = np.full((4, 33, 2), 100.0)
    points[:, 0], points[2, 1] = (160, 300), (40, 90)
    width, height = fitting_crop(points, (256, 384))
    assert width == 192 and height == 320
    assert fitting_crop(points * 5, (256, 384)) == (256, 384)
