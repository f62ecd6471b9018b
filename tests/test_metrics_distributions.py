"""Distances, diversity and intervals against closed forms, SciPy and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from dancing.metrics import (
    bootstrap_interval,
    distributions,
    diversity,
    energy_distance,
    frechet_distance,
    standardize,
)


def gaussian(n, mean, factor, seed):
    """n points whose sample mean and covariance are exactly mean and factor @ factor.T."""
    white = np.random.default_rng(seed).normal(size=(n, len(mean)))
    white -= white.mean(0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    return mean + white @ np.asarray(factor).T


def mean_distance(x, y):
    return np.mean([[np.sqrt(((a - b) ** 2).sum()) for b in y] for a in x])


def test_frechet_of_a_set_to_itself_is_zero():
    x = np.random.default_rng(0).normal(size=(200, 5)) * [1, 10, 100, 0.1, 0]
    assert frechet_distance(x, x) < 1e-8
    assert frechet_distance(x, x[::-1]) < 1e-8


def test_frechet_to_a_shifted_gaussian_is_the_squared_shift():
    x = np.random.default_rng(1).normal(size=(300, 4))
    shift = np.array([1.0, -2.0, 0.5, 0.0])
    assert frechet_distance(x, x + shift) == pytest.approx((shift**2).sum(), abs=1e-9)


def test_frechet_of_gaussians_of_other_widths():
    # (3 - 1)^2 + (0.5 - 2)^2 for the standard deviations, 1 + 4 for the means.
    x = gaussian(100, [0.0, 0.0], np.diag([3.0, 0.5]), 2)
    y = gaussian(150, [1.0, 2.0], np.diag([1.0, 2.0]), 3)
    assert frechet_distance(x, y) == pytest.approx(4 + 2.25 + 5, abs=1e-9)


def test_frechet_agrees_with_the_matrix_square_root():
    generator = np.random.default_rng(4)
    mix_x, mix_y = generator.normal(size=(2, 5, 5))
    x, y = gaussian(80, np.zeros(5), mix_x, 5), gaussian(90, np.ones(5), mix_y, 6)
    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(linalg.sqrtm(cx @ cy))
    expected = 5 + np.trace(cx + cy - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_singular_covariances_is_real():
    line = np.linspace(-1, 1, 60)
    x = np.column_stack([line, line, np.zeros(60)])
    y = np.column_stack([line, -line, np.zeros(60)])
    # The directions are at right angles, so nothing overlaps: both traces remain.
    assert frechet_distance(x, y) == pytest.approx(4 * np.var(line, ddof=1), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(39, 100), (100, 39)])
def test_frechet_refuses_less_than_ten_windows_a_dimension(n, m):
    generator = np.random.default_rng(7)
    x, y = generator.normal(size=(n, 4)), generator.normal(size=(m, 4))
    with pytest.raises(ValueError, match="at least 40 windows"):
        frechet_distance(x, y)
    assert frechet_distance(generator.normal(size=(40, 4)), y if m > n else x) > 0


def test_energy_distance_in_one_dimension_is_scipys():
    generator = np.random.default_rng(8)
    x, y = generator.normal(size=40), generator.normal(1, 2, size=25)
    assert energy_distance(x, y) == pytest.approx(stats.energy_distance(x, y), rel=1e-9)


def test_energy_distance_is_its_definition_over_all_pairs(monkeypatch):
    generator = np.random.default_rng(9)
    x, y = generator.normal(size=(13, 3)), generator.normal(0.5, size=(9, 3))
    squared = 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
    assert energy_distance(x, y) == pytest.approx(np.sqrt(squared), rel=1e-9)
    monkeypatch.setattr(distributions, "_BLOCK", 20)
    assert energy_distance(x, y) == pytest.approx(np.sqrt(squared), rel=1e-9)
    assert diversity(x) == pytest.approx(mean_distance(x, x) * 13 / 12, rel=1e-12)


def test_energy_distance_of_two_points_is_the_root_of_twice_their_distance():
    assert energy_distance([[0.0, 0.0]], [[3.0, 4.0]]) == pytest.approx(np.sqrt(10))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), scale=st.floats(1e-6, 1e6))
@settings(max_examples=40, deadline=None)
def test_energy_distance_is_a_distance(seed, n, scale):
    generator = np.random.default_rng(seed)
    x, y = scale * generator.normal(size=(2, n, 3))
    assert energy_distance(x, x) == 0
    assert energy_distance(x, generator.permutation(x)) == 0
    assert energy_distance(x, y) == pytest.approx(energy_distance(y, x))
    assert energy_distance(x, y) > 0
    # Homogeneous of degree 1/2, blind to a common shift.
    assert energy_distance(4 * x, 4 * y) == pytest.approx(2 * energy_distance(x, y))
    shifted = energy_distance(x + scale, y + scale)
    assert shifted == pytest.approx(energy_distance(x, y), rel=1e-5)


def test_energy_distance_sees_what_moments_do_not():
    generator = np.random.default_rng(10)
    x = generator.normal(size=(400, 1))
    y = np.sign(generator.normal(size=(400, 1)))
    y = (y - y.mean()) / y.std() * x.std() + x.mean()
    assert frechet_distance(x, y) < 1e-9
    floor = energy_distance(x[:200], x[200:])
    assert energy_distance(x, y) > 3 * floor


def test_energy_distance_between_samples_of_one_distribution_is_the_floor():
    generator = np.random.default_rng(11)
    squares = [energy_distance(*generator.normal(size=(2, 50, 2))) ** 2 for _ in range(100)]
    # E|X - X'| of two standard normals in the plane is sqrt(pi).
    assert np.mean(squares) == pytest.approx(np.sqrt(np.pi) * 2 / 50, rel=0.15)


def test_diversity_of_a_right_triangle():
    assert diversity([[0, 0], [3, 0], [0, 4]]) == pytest.approx(4.0)
    assert diversity([[1, 2]]) == 0


def test_standardize_gives_zero_mean_and_unit_width():
    generator = np.random.default_rng(12)
    train = generator.normal([5, -3], [2, 0.01], (100, 2))
    scale = standardize(train)
    assert scale(train).mean(0) == pytest.approx([0, 0], abs=1e-10)
    assert scale(train).std(0) == pytest.approx([1, 1])
    mean, std = scale
    assert scale(train[:3]) == pytest.approx((train[:3] - mean) / std)


def test_standardize_keeps_what_never_varies_in_its_unit():
    train = np.column_stack([np.full(30, 0.1), np.zeros(30), np.arange(30.0)])
    assert np.std(train[:, 0]) != 0, "0.1 thirty times has a rounding error for a width"
    scores = standardize(train)([[0.6, 2.0, 14.5]])
    assert scores == pytest.approx(np.array([[0.5, 2.0, 0.0]]))


def test_bootstrap_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(13).normal(3, 2, 200)
    low, high = bootstrap_interval(values, seed=1, resamples=5000)
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(14)
    hits = 0
    for seed in range(200):
        low, high = bootstrap_interval(generator.normal(size=30), seed, resamples=300)
        hits += low <= 0 <= high
    assert 178 <= hits <= 199


def test_bootstrap_interval_depends_on_the_seed_alone(monkeypatch):
    values = np.random.default_rng(15).normal(size=20)
    assert bootstrap_interval(values, 5) == bootstrap_interval(values, 5)
    assert bootstrap_interval(values, 5) != bootstrap_interval(values, 6)
    assert bootstrap_interval([2.5], 0) == (2.5, 2.5)
    low, high = bootstrap_interval(values, 0, statistic=np.median)
    assert low <= np.median(values) <= high
    wide, narrow = bootstrap_interval(values, 0), bootstrap_interval(values, 0, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_unusable_sets_are_refused():
    good = np.zeros((20, 2))
    with pytest.raises(ValueError, match="not finite"):
        energy_distance([[np.nan, 0.0]], good)
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.full((20, 2), np.inf), good)
    with pytest.raises(ValueError, match="2 features and y has 3"):
        energy_distance(good, np.zeros((20, 3)))
    with pytest.raises(ValueError, match="shape"):
        diversity(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="shape"):
        standardize(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0, 2.0], level=95)
