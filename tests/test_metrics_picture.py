"""Picture measures against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancing.metrics import (
    BODY_JOINTS,
    change,
    decibels,
    pck,
    person_box,
    pose_error,
    psnr,
    sharpness,
    ssim,
    steadiness,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def pose(torso=0.2):
    """A pose (33, 2) with a torso of the given length."""
    points = np.random.default_rng(0).uniform(0.3, 0.7, (33, 2))
    points[[11, 12]] = [0.5, 0.3]
    points[[23, 24]] = [0.5, 0.3 + torso]
    return points


def ssim_by_windows(x, y, scale=255.0):
    """Wang et al. 2004, window after window."""
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * scale) ** 2, (0.03 * scale) ** 2
    values = np.zeros((x.shape[0] - 10, x.shape[1] - 10))
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            u, v = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mu, mv = (weights * u).sum(), (weights * v).sum()
            vu, vv = (weights * (u - mu) ** 2).sum(), (weights * (v - mv) ** 2).sum()
            cov = (weights * (u - mu) * (v - mv)).sum()
            values[i, j] = (2 * mu * mv + c1) * (2 * cov + c2)
            values[i, j] /= (mu**2 + mv**2 + c1) * (vu + vv + c2)
    return values


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (2, 4, 5, 3)])
def test_psnr_of_8_against_10_does_not_wrap_around(shape):
    a, b = np.full(shape, 8, np.uint8), np.full(shape, 10, np.uint8)
    expected = 10 * np.log10(255**2 / 4)
    assert expected == pytest.approx(42.11, abs=0.005)
    assert psnr(a, b) == pytest.approx(expected, abs=1e-12)
    assert psnr(b, a) == psnr(a, b)


def test_psnr_of_extremes():
    black, white = np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8)
    assert psnr(black, white) == 0
    assert psnr(white, white) == np.inf
    assert psnr(black, black) == np.inf
    assert psnr(black / 255, white / 255, data_range=1) == 0


def test_psnr_counts_only_the_mask():
    a = noise(6, 8, 3)
    b = a.copy()
    b[:3] = noise(3, 8, 3, seed=1)
    b[3:] ^= 1
    lower = np.zeros((6, 8), bool)
    lower[3:] = True
    assert psnr(a, b, lower) == pytest.approx(10 * np.log10(255**2))
    for mask in (lower * np.uint8(255), lower * 1.0, np.where(lower, 128, 127)):
        assert psnr(a, b, mask) == psnr(a, b, lower)
    stack = psnr(np.stack([a, a]), np.stack([b, a]), lower)
    assert stack == pytest.approx(10 * np.log10(255**2 / 0.5))
    assert psnr(a, b) == pytest.approx(
        10 * np.log10(255**2 / ((a.astype(float) - b.astype(float)) ** 2).mean())
    )


def test_a_scale_that_is_not_told_is_not_guessed():
    a = np.random.default_rng(0).uniform(0, 1, (16, 16))
    with pytest.raises(ValueError, match="data_range"):
        psnr(a, a * 0.5)
    with pytest.raises(ValueError, match="data_range"):
        ssim(a * 1000, a * 900)
    assert psnr(a, a * 0.5, data_range=1.0) == pytest.approx(psnr(a * 255, a * 127.5), abs=1e-9)
    assert ssim(a, a * 0.5, data_range=1.0) == pytest.approx(ssim(a * 255, a * 127.5), abs=1e-9)


def test_ssim_agrees_with_window_after_window():
    a, b = noise(17, 14).astype(float), noise(17, 14, seed=1).astype(float)
    b = 0.5 * a + 0.5 * b
    values = ssim_by_windows(a, b)
    assert ssim(a, b) == pytest.approx(values.mean(), abs=1e-12)
    mask = np.zeros((17, 14), bool)
    mask[6:9, 5:7] = True
    assert ssim(a, b, mask) == pytest.approx(values[1:4, 0:2].mean(), abs=1e-12)


def test_ssim_of_colour_is_that_of_luma():
    a, b = noise(12, 13, 3), noise(12, 13, 3, seed=1)
    luma = [p.astype(float) @ [0.299, 0.587, 0.114] for p in (a, b)]
    assert ssim(a, b) == pytest.approx(ssim_by_windows(*luma).mean(), abs=1e-12)


def test_ssim_of_known_pictures():
    a = noise(20, 20, 3)
    assert ssim(a, a) == 1
    # Two flat pictures leave only the luminance term.
    flat = ssim(np.full((11, 11), 100, np.uint8), np.full((11, 11), 150, np.uint8))
    c1 = (0.01 * 255) ** 2
    assert flat == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-12)
    assert ssim(a, 255 - a) < 0
    white = np.full((11, 11), 255, np.uint8)
    assert ssim(white, white) == 1


@given(seed=st.integers(0, 10**6), shift=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_ssim_is_symmetric_and_bounded(seed, shift):
    a = noise(13, 12, seed=seed)
    b = np.roll(a, shift, axis=1) // 2
    value = ssim(a, b)
    assert -1 <= value < 1
    assert value == pytest.approx(ssim(b, a), abs=1e-12)


def test_sharpness_of_a_single_bright_pixel():
    a = np.zeros((7, 9), np.uint8)
    a[3, 4] = 10
    # The Laplacian is -40 there and 10 at its four neighbours.
    assert sharpness(a) == pytest.approx((40**2 + 4 * 10**2) / 63)
    mask = np.zeros((7, 9), bool)
    mask[3, 4] = True
    assert sharpness(a, mask) == 1600
    assert sharpness(np.repeat(a[..., None], 3, axis=2)) == pytest.approx(sharpness(a))


def test_sharpness_tells_blur_from_noise():
    a = noise(32, 32).astype(float)
    blurred = (a + np.roll(a, 1, 0) + np.roll(a, 1, 1)) / 3
    assert sharpness(blurred) < 0.5 * sharpness(a)
    assert sharpness(np.full((5, 5, 3), 200, np.uint8)) == pytest.approx(0, abs=1e-20)
    assert sharpness(2 * a) == pytest.approx(4 * sharpness(a))


def test_person_box_is_the_smallest_around_the_matte():
    matte = np.zeros((10, 12), np.uint8)
    matte[3, 4] = matte[6, 8] = 255
    matte[0, 0] = 127
    box = np.zeros((10, 12), bool)
    box[3:7, 4:9] = True
    assert (person_box(matte) == box).all()
    assert person_box(matte, margin=1).sum() == 6 * 7
    assert person_box(matte, margin=100).all()


def test_steadiness_by_hand():
    # Frame by frame the real person's one pixel rises by 10, the generated one's by 30, -30.
    real = np.zeros((3, 4, 4, 3), np.uint8)
    real[:, 1, 1] = np.array([100, 110, 120])[:, None]
    fake = np.zeros_like(real)
    fake[:, 1, 1] = np.array([50, 80, 50])[:, None]
    fake[:, 3, 3] = np.array([0, 255, 0])[:, None]  # flicker of the background does not count
    matte = np.zeros((3, 4, 4), np.uint8)
    matte[:, 1, 1:3] = 255
    assert steadiness(fake, real, matte) == pytest.approx(3.0)
    assert steadiness(iter(real), iter(real), iter(matte)) == 1
    # What is inside in one of two frames only is left out.
    matte[1:, 3, 3] = 255
    assert steadiness(fake, real, matte) == pytest.approx((30 + 30 + 255) / 20)


def test_change_is_the_term_of_steadiness():
    before, after = noise(4, 4, 3), noise(4, 4, 3)[::-1]
    half = np.zeros((4, 4), bool)
    half[:2] = True
    expected = np.abs(after.astype(float) - before)
    assert change(before, after) == expected.sum()
    assert change(before, after, half) == expected[:2].sum()
    assert change(before, after, ~half & half) == 0
    with pytest.raises(ValueError, match="change shape"):
        change(before, after[:3])


def test_decibels_of_an_averaged_error():
    a, b = np.full((2, 4, 4), 8, np.uint8), np.full((2, 4, 4), 10, np.uint8)
    assert decibels(4.0) == psnr(a, b) == pytest.approx(42.11, abs=0.005)
    assert decibels(0.01, 1.0) == pytest.approx(20)
    assert decibels(0.0) == np.inf


def test_steadiness_of_still_frames():
    still, moving = np.full((3, 4, 4), 7, np.uint8), noise(3, 4, 4)
    matte = np.ones((3, 4, 4), bool)
    assert steadiness(still, still, matte) == 1
    assert steadiness(moving, still, matte) == np.inf
    assert steadiness(still, moving, matte) == 0


def test_pck_counts_what_is_near():
    b = np.stack([pose(0.2)] * 2)
    a = b.copy()
    a[0, 13] += [0.0, 0.0199]  # just within a tenth of the torso
    a[1, 14] += [0.0, 0.0201]
    a[1, 16] = np.nan  # not found
    assert pck(a, b, 0.1) == pytest.approx(64 / 66)
    assert pck(a, b, 0.1, joints=BODY_JOINTS) == pytest.approx(32 / 34)
    assert pck(b, b, 0.0) == 1
    assert pose_error(a, b) == pytest.approx((0.0199 + 0.0201) / 0.2 / 65)
    assert pck(a[0], b[0], 0.1) == 1


def test_pck_skips_what_was_not_asked_for():
    b = pose()
    a = b + 1.0
    a[3] = b[3]
    b[5] = np.nan
    visibility = np.zeros(33)
    visibility[[3, 4, 5, 6]] = [1.0, 0.5, 1.0, 0.49]
    assert pck(a, b, 0.1, visibility=visibility) == 0.5
    assert pose_error(a, b, visibility=visibility) == pytest.approx(np.hypot(1, 1) / 0.2 / 2)


def test_pck_measures_in_a_picture_of_any_aspect():
    b = pose(0.2)
    a = b + np.array([0.1, 0])
    # In a picture half as wide as high, 0.1 of the width is a quarter of the torso.
    assert pose_error(a, b, aspect=0.5) == pytest.approx(0.25)
    assert pck(a, b, 0.24, aspect=0.5) == 0
    assert pck(a, b, 0.26, aspect=0.5) == 1


def test_pck_of_a_foreshortened_torso_is_not_at_its_mercy():
    b = np.stack([pose(0.2)] * 3)
    b[1, [11, 12]] = b[1, [23, 24]]
    a = b + np.array([0.0, 0.009])
    # In the bent frame half of the usual torso counts: 0.009 of 0.1.
    assert pck(a, b, 0.1) == 1
    assert pose_error(a, b) == pytest.approx((0.045 + 0.09 + 0.045) / 3)


def test_nothing_found_is_a_defined_value():
    b = pose()
    assert pck(np.full((33, 2), np.nan), b, 0.1) == 0
    assert pose_error(np.full((33, 2), np.nan), b) == np.inf


@given(scale=st.floats(0.01, 100), x=st.floats(-5, 5), y=st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_pose_error_knows_no_size_and_place(scale, x, y):
    b = pose()
    a = b + np.random.default_rng(1).normal(0, 0.02, (33, 2))
    moved = [points * scale + [x, y] for points in (a, b)]
    assert pose_error(*moved) == pytest.approx(pose_error(a, b), rel=1e-9)


def test_unusable_pictures_and_poses_are_refused():
    a = noise(12, 12)
    for call, words in (
        (lambda: psnr(a, a[:6]), "different shapes"),
        (lambda: psnr(a, a, np.zeros((12, 12), bool)), "mask is empty"),
        (lambda: psnr(a, a, np.ones((12, 12), np.uint8)), "mask is empty"),
        (lambda: psnr(a, a, np.ones((5, 5), bool)), "does not fit"),
        (lambda: psnr(np.full((3, 3), np.nan), np.zeros((3, 3))), "not finite"),
        (lambda: psnr(a, a, data_range=0), "data_range"),
        (lambda: ssim(a[:8], a[:8]), "smaller than the window"),
        (lambda: ssim(a, a, np.eye(12)[:1].repeat(12, 0) > 2), "mask is empty"),
        (lambda: sharpness(noise(2, 12, 12, 3)), "is needed"),
        (lambda: person_box(np.zeros((4, 4))), "mask is empty"),
        (lambda: steadiness(a[None], a[None], np.ones((1, 12, 12))), "two consecutive"),
        (lambda: pck(pose(), pose()[None], 0.1), "shapes"),
        (lambda: pck(pose(), pose(0.0), 0.1), "no length"),
        (lambda: pck(pose(), pose(), 0.1, visibility=np.zeros(33)), "visible"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ValueError):
        steadiness(noise(3, 4, 4), noise(2, 4, 4), np.ones((3, 4, 4), bool))
