"""Drawing: crops around the dancer, also beyond the picture's edge."""

import numpy as np

from dancing.dancer import person_boxes
from dancing.video import cut, cut_crop


def test_boxes_hold_the_dancer_and_her_margin():
    points = np.random.default_rng(0).uniform(100, 200, (5, 33, 2))
    boxes = person_boxes(points, (5, 20, 6, 7))
    low, high = boxes[:, 0], boxes[:, 1]
    assert (points.min(1) - low >= (5, 20)).all() and (points.min(1) - low < (6, 21)).all()
    assert (high - points.max(1) >= (6, 7)).all() and (high - points.max(1) < (7, 8)).all()


def test_crops_repeat_the_edge():
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    crop = cut_crop(picture, (-2, 3), (4, 5))
    assert crop.shape == (5, 4, 3)
    np.testing.assert_array_equal(crop[:2, 2:], picture[3:, :2])
    np.testing.assert_array_equal(crop[4], crop[1])
    np.testing.assert_array_equal(crop[:, 0], crop[:, 2])
    np.testing.assert_array_equal(cut(picture, (0.5, 0.2, 1.0, 1.0)), picture[1:, 2:])
