"""Drawing: crops that move with the dancer, also beyond the picture's edge, over any scene."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancers import MARGIN, PLATE, RED, SIZE, BoxDancer
from dancing.body.poses import PoseSequence
from dancing.body.skeleton import BONE_KINDS
from dancing.errors import DancingError
from dancing.image.background import Background
from dancing.image.compositing import crops, darken, lay_over, person_boxes, scaled, within
from dancing.image.dancer import Dancer
from dancing.media.video import cut, cut_crop

FLOOR = 150
"""A row of the pictures in the middle of the shadow; 30 is a column there."""


def box(low=(30, 20), high=(60, 100), frames=1):
    """Landmarks (T, 33, 2) in fractions, in a box of pixels of the picture."""
    points = np.random.default_rng(0).uniform(low, high, (frames, 33, 2))
    points[:, 0], points[:, 1] = low, high
    return PoseSequence(points / SIZE, aspect=SIZE[0] / SIZE[1])


def draw(poses, height=None, **options):
    return list(Dancer(BoxDancer(), height)(poses, **options))


# ---------------------------------------------------------------------------------------- crops


def test_boxes_hold_the_dancer_and_her_margin():
    points = np.random.default_rng(0).uniform(100, 200, (5, 33, 2))
    boxes = person_boxes(points, (5, 20, 6, 7))
    low, high = boxes[:, 0], boxes[:, 1]
    assert (points.min(1) - low >= (5, 20)).all() and (points.min(1) - low < (7, 22)).all()
    assert (high - points.max(1) >= (6, 7)).all() and (high - points.max(1) < (8, 9)).all()
    assert (boxes % 2 == 0).all(), "films store one hue for two by two pixels"


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-400, 400),
    y=st.floats(-400, 400),
    spread=st.floats(0, 300),
    frames=st.integers(1, 4),
)
def test_the_crop_holds_all_that_is_in_the_picture(x, y, spread, frames):
    random = np.random.default_rng(1)
    points = random.uniform(0, 1, (frames, 33, 2)) * spread + [x, y]
    points += random.uniform(-30, 30, (frames, 1, 2))
    crop, corners = crops(points, MARGIN, SIZE)
    assert crop[0] % 32 == crop[1] % 32 == 0 and (corners % 2 == 0).all()
    assert crop[0] <= SIZE[0] + 32 * 2 and crop[1] <= SIZE[1] + 32 * 2
    low = np.clip(points.min(1) - MARGIN[:2], 0, SIZE)
    high = np.clip(points.max(1) + MARGIN[2:], 0, SIZE)
    there = (low < high).all(1)
    assert (corners[there] <= low[there]).all()
    assert (corners[there] + crop >= high[there]).all()


def test_the_crop_is_as_small_as_the_frames_allow():
    points = np.full((4, 33, 2), 100.0)
    points[:, 0], points[2, 1] = (130, 140), (90, 60)
    crop, corners = crops(points, MARGIN, (400, 400))
    assert crop == (64, 96)
    # The middle of landmarks and margins, (90 - 4 + 130 + 8) / 2 and (60 - 6 + 140 + 10) / 2.
    assert corners[2].tolist() == [112 - 32, 102 - 48]


def test_crops_repeat_the_edge():
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    crop = cut_crop(picture, (-2, 3), (4, 5))
    assert crop.shape == (5, 4, 3)
    np.testing.assert_array_equal(crop[:2, 2:], picture[3:, :2])
    np.testing.assert_array_equal(crop[4], crop[1])
    np.testing.assert_array_equal(crop[:, 0], crop[:, 2])
    np.testing.assert_array_equal(cut(picture, (0.5, 0.2, 1.0, 1.0)), picture[1:, 2:])


# --------------------------------------------------------------------------------- compositing


@pytest.mark.parametrize("corner", [(-20, -30), (70, 100), (10, 20)])
def test_the_person_is_laid_over_the_frame(corner):
    random = np.random.default_rng(2)
    frame = random.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    layers = random.integers(0, 256, (96, 64, 4), dtype=np.uint8)
    layers[:9, :, 3] = 0
    wide = np.zeros((400, 400, 4))
    wide[100 + corner[1] :, 100 + corner[0] :][:96, :64] = layers
    wide = wide[100 : 100 + SIZE[1], 100 : 100 + SIZE[0]]
    matte = wide[..., 3:] / 255
    expected = wide[..., :3] * matte + frame * (1 - matte)
    lay_over(frame, *within(layers, np.array(corner), SIZE))
    assert np.abs(frame - expected).max() <= 0.51


def test_nobody_in_the_picture_leaves_the_frame_alone():
    frame = PLATE.copy()
    layers = np.full((32, 32, 4), 255, np.uint8)
    for corner in ((-32, 0), (500, 0), (0, -400), (0, 160)):
        seen = within(layers, np.array(corner), SIZE)
        lay_over(frame, *seen)
        lay_over(frame, *scaled(*seen, SIZE, SIZE))
    layers[..., 3] = 0
    lay_over(frame, *within(layers, np.array([0, 0]), SIZE))
    np.testing.assert_array_equal(frame, PLATE)


@pytest.mark.parametrize("times", [1, 2, 1.5])
def test_the_shadow_is_bilinear_between_the_middles_of_cells(times):
    random = np.random.default_rng(3)
    size = (100, 60)  # the last cells reach beyond the picture
    shade = np.zeros((8, 16), np.float32)
    shade[2:7, 3:13] = random.random((5, 10))
    height, width = round(60 * times), round(100 * times)
    frame = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y = np.clip(((np.arange(height) + 0.5) / times / 8 - 0.5), 0, 7)
    x = np.clip(((np.arange(width) + 0.5) / times / 8 - 0.5), 0, 15)
    rows = np.stack([np.interp(x, range(16), row) for row in shade])
    smooth = np.stack([np.interp(y, range(8), column) for column in rows.T], 1)
    expected = frame * (1 - smooth[..., None])
    darken(frame, shade, size)
    # Shades under 2/255 may be left out.
    assert np.abs(frame - expected).max() <= 2.5


# --------------------------------------------------------------------------------------- dancer


def test_the_person_stands_on_the_plate_with_a_shadow():
    (frame,) = draw(box())
    assert frame.shape == PLATE.shape and frame.dtype == np.uint8
    assert (frame[20:100, 30:60] == RED).all()
    assert (frame[20 - 6 : 100 + 10, 30 - 4 : 60 + 8] == RED).all()
    assert (frame[:12] == PLATE[:12]).all()
    assert np.abs(frame[FLOOR - 20, 30] - PLATE[0, 0] / 2).max() <= 1


@pytest.mark.parametrize("low", [(-20, 20), (70, 120), (30, -60), (-300, 20), (500, 500)])
def test_whoever_leaves_the_picture_is_cut_at_its_edge(low):
    high = (low[0] + 40, low[1] + 80)
    (frame,) = draw(box(low, high), background="black")
    x0, y0 = np.clip(np.array(low) - MARGIN[:2], 0, SIZE)
    x1, y1 = np.clip(np.array(high) + MARGIN[2:], 0, SIZE)
    expected = np.zeros_like(PLATE)
    expected[y0:y1, x0:x1] = RED
    np.testing.assert_array_equal(frame, expected)


def test_backgrounds():
    moving = box(frames=20)
    beach = np.full((50, 200, 3), (250, 240, 100), np.uint8)
    for frame in draw(moving, background=Background(beach)):
        assert (frame[50, 45] == RED).all() and (frame[5, 5] == beach[0, 0]).all()
        assert np.abs(frame[FLOOR - 20, 30] - beach[0, 0] / 2).max() <= 1
    green = draw(moving, background="lime")
    assert (green[7][FLOOR - 20, 30] == (0, 255, 0)).all(), "a colour has no shadow"
    clear = draw(moving, background="transparent")
    assert clear[0].shape == (SIZE[1], SIZE[0], 4)
    assert (clear[19][50, 45] == (*RED, 255)).all() and not clear[19][FLOOR - 20, 30].any()
    both = draw(moving, style="side-by-side", background="lime")
    np.testing.assert_array_equal(both[3][:, SIZE[0] :], green[3])


def test_what_has_no_background_says_so():
    dancer = Dancer(BoxDancer())
    for style, background, says in (
        ("skeleton", "red", "has none"),
        ("side-by-side", "transparent", "no transparent"),
        ("person", "no such thing", "no colour"),
        ("cubism", None, "no style"),
    ):
        with pytest.raises(DancingError, match=says):
            dancer(box(), style, background)
    whole = BoxDancer(model="dcgan")
    with pytest.raises(DancingError, match="together with the scene"):
        Dancer(whole)(box(), background="red")


@pytest.mark.parametrize("height", [320, 80, 162])
def test_other_sizes(height):
    """The scene in full, the person scaled to the same place."""
    scene = np.random.default_rng(4).integers(0, 256, (400, 240, 3), dtype=np.uint8)
    times = height / SIZE[1]
    (frame,) = draw(box(), height, background=Background(scene))
    width = 2 * round(SIZE[0] * times / 2)
    assert frame.shape == (height, width, 3)
    sharp = next(Background(scene).frames(width, height))
    np.testing.assert_array_equal(frame[: int(10 * times)], sharp[: int(10 * times)])
    y0, y1, x0, x1 = (round(times * k) for k in (14, 110, 26, 68))
    red = np.abs(frame.astype(int) - RED).max(-1) < 12
    assert red[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].all()
    red[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = False
    assert red.mean() < 0.01
    (skeleton,) = draw(box(), height, style="skeleton")
    assert skeleton.shape == frame.shape


def test_poses_are_fitted_to_the_dancer():
    """The whole body, with what reaches beyond the landmarks, stands in the picture."""
    small = box((-200, 20), (-190, 40), frames=5)
    assert Dancer(BoxDancer()).fit(small) is small, "nothing is known of the dancer's body"
    fitted = Dancer(BoxDancer(proportions=dict.fromkeys(BONE_KINDS, 0.8))).fit(small)
    points = fitted.landmarks * SIZE
    assert (points.min(1) >= np.array(MARGIN[:2]) - 1e-3).all()
    assert (points.max(1) <= np.array(SIZE) - MARGIN[2:] + 1e-3).all()
    assert np.median(fitted.landmarks[..., 1].max(1)) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("height", [321, 8, 100_000])
def test_absurd_heights_are_refused(height):
    with pytest.raises(DancingError, match="height"):
        Dancer(BoxDancer(), height)
