"""A classifier of dances on styles that differ in known ways."""

import numpy as np
import pytest

from dancing.metrics import GenreClassifier, style_features
from puppet import a_walk


def a_dance(style, seed, seconds=10):
    """Landmarks (T, 33, 2): 'high' keeps its hands up, 'fast' steps twice as fast, or a walk."""
    world, place = a_walk(seconds * 30, tempo=200 if style == "fast" else 100, seed=seed)
    landmarks = (world + place[:, None])[..., :2] * 0.25 + [0.5, 0.4]
    if style == "high":
        landmarks[:, 15:23, 1] -= 0.3
    return landmarks


def features(style, seeds):
    return np.array([style_features(a_dance(style, seed), 30) for seed in seeds])


STYLES = ("high", "fast", "plain")


def test_styles_are_told_apart_on_dances_that_were_not_seen():
    train = np.concatenate([features(style, range(6)) for style in STYLES])
    classifier = GenreClassifier(train, np.repeat(STYLES, 6))
    assert classifier.genres == ("fast", "high", "plain")
    for style in STYLES:
        assert classifier(features(style, range(20, 23))) == style
        scores = classifier.scores(features(style, range(20, 23)))
        assert scores.shape == (3, 3)


def test_how_many_examples_there_are_of_a_genre_does_not_matter():
    generator = np.random.default_rng(0)
    many, few = generator.normal(0, 1, (300, 4)), generator.normal(1, 1, (20, 4))
    classifier = GenreClassifier(np.concatenate([many, few]), ["many"] * 300 + ["few"] * 20)
    asked = generator.normal(0.5, 1, (4000, 4))
    share = np.mean(classifier.scores(asked).argmax(1) == 0)
    assert 0.35 < share < 0.65
    assert classifier(generator.normal(1, 1, (50, 4))) == "few"


def test_features_depend_neither_on_size_nor_on_place_nor_much_on_the_rate():
    landmarks = a_dance("plain", 3)
    found = style_features(landmarks, 30)
    assert np.isfinite(found).all()
    assert style_features(landmarks * 2 - 0.3, 30) == pytest.approx(found, abs=1e-6)
    assert np.isfinite(style_features(np.full((30, 33, 2), np.nan), 30)).all()
    assert np.isfinite(style_features(landmarks[:1], 30)).all()


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(ValueError, match="less than two genres"):
        GenreClassifier(np.zeros((4, 2)), ["a"] * 4)
    with pytest.raises(ValueError, match="features of shape"):
        GenreClassifier(np.zeros((4, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="features of shape"):
        GenreClassifier(np.full((2, 2), np.nan), ["a", "b"])
    # What never varies is no reason.
    constant = np.column_stack([np.ones(8), [0, 0, 0, 0, 1, 1, 1, 1], np.arange(8) % 2])
    assert GenreClassifier(constant, list("aaaabbbb"))([[1, 1, 0]]) == "b"
