"""Drawing a person from the person's own picture: what is moved where, and what stays whole."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dancing.body.poses import torso_length
from dancing.body.retarget import proportions
from dancing.body.skeleton import ANKLES, HIPS, KNEES
from dancing.image.warp.drawing import Piece
from dancing.image.warp.drawing import drawn as pieces_drawn
from dancing.image.warp.figure import Figure
from dancing.image.warp.layers import cut
from dancing.image.warp.refining import Refiner
from dancing.image.warp.runtime import _Scale
from dancing.image.warp.skinning import skinned
from photos import ava_dances, painted

REST = 50


@pytest.fixture(scope="module")
def dance(tmp_path_factory):
    return ava_dances(tmp_path_factory.mktemp("warp"))


@pytest.fixture(scope="module")
def layers(dance):
    points, frames = dance
    return cut(frames[REST][..., :3], frames[REST][..., 3], points[REST])


def drawn(layers, points, size, torso=None):
    """The person in a pose (H, W, 4), straight colours on black."""
    pose = Figure(points, torso or layers.figure.torso)
    return painted(layers, pose, size).canvas


def seen(frame):
    """A frame (H, W, 4) of straight colours as it looks on black, float."""
    return frame[..., :3] * (frame[..., 3:] / 255.0)


def test_a_pose_of_its_own_is_the_picture_itself(dance, layers):
    points, frames = dance
    truth = seen(frames[REST])
    made = drawn(layers, points[REST], truth.shape[1::-1])
    inside = frames[REST][..., 3] > 0
    assert np.abs(made[..., :3] - truth)[inside].mean() < 4
    assert np.abs(made[..., 3] / 255.0 - frames[REST][..., 3] / 255.0)[inside].mean() < 0.04


def test_other_poses_are_nearer_to_the_truth_than_the_picture(dance, layers):
    points, frames = dance
    errors, overlaps = [], []
    for t in (0, 10, 35, 65, 80):
        truth = seen(frames[t])
        made = drawn(layers, points[t], truth.shape[1::-1])
        either = (frames[t][..., 3] > 127) | (frames[REST][..., 3] > 127)
        still = np.abs(seen(frames[REST]) - truth)[either].mean()
        errors.append(np.abs(made[..., :3] - truth)[either].mean() / still)
        solid, real = made[..., 3] > 127, frames[t][..., 3] > 127
        overlaps.append((solid & real).sum() / (solid | real).sum())
    assert np.mean(errors) < 0.6
    assert np.mean(overlaps) > 0.85


def test_any_size_is_the_same_person(dance, layers):
    points, frames = dance
    height, width = frames.shape[1:3]
    small = drawn(layers, points[35], (width, height))
    large = drawn(layers, 2 * points[35], (2 * width, 2 * height), 2 * layers.figure.torso)
    halved = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(float) - small)[small[..., 3] > 0].mean() < 8


def test_a_skirt_is_one_cloth_and_trousers_are_two_legs(layers):
    assert not layers.skirt
    points = layers.figure.points.copy()
    shape = (700, 400)
    points = (points - points[HIPS].mean(0)) / layers.figure.torso * 150 + [200, 300]
    points[KNEES] = [[245, 400], [155, 400]]
    points[ANKLES] = [[250, 520], [150, 520]]
    person = np.zeros(shape, np.uint8)
    cv2.rectangle(person, (160, 60), (240, 310), 255, -1)
    for knee, ankle, hip in zip(points[KNEES], points[ANKLES], points[HIPS], strict=True):
        line = np.rint([hip, knee, ankle]).astype(np.int32)
        cv2.polylines(person, [line], False, 255, 40)
    colour = np.full((*shape, 3), 128, np.uint8)
    assert not cut(colour, person, points).skirt
    cloth = np.array([[160, 300], [240, 300], [290, 420], [110, 420]])
    cv2.fillConvexPoly(person, cloth, 255)
    skirted = cut(colour, person, points)
    assert skirted.skirt
    points[ANKLES] += [[60, 0], [-60, 0]]
    points[KNEES] += [[30, 0], [-30, 0]]
    made = drawn(skirted, points, shape[::-1])
    assert made[400, 200, 3] == 255, "cloth between legs that spread"
    assert made[480, 200, 3] == 0, "and nothing below its hem"


def test_each_part_is_drawn_as_if_alone(dance, layers):
    points, frames = dance
    size = frames.shape[2] // 2, frames.shape[1] // 2  # parts reach out of the picture
    pose = Figure(points[10], layers.figure.torso)
    parts = list(layers.layers.values())
    places = skinned([layer.skin for layer in parts], pose)
    pieces = [
        Piece(layer.pixels, layer.places, moved, layer.triangles, layer.shown)
        for layer, moved in zip(parts, places, strict=True)
    ]
    together = pieces_drawn(pieces, size, 2)
    assert any(found is None for found in together)
    for layer, piece, found in zip(parts, pieces, together, strict=True):
        assert np.allclose(skinned([layer.skin], pose)[0], piece.moved)
        (alone,) = pieces_drawn([piece], size, 2)
        assert (alone is None) == (found is None)
        if found is not None:
            assert alone[1] == found[1] and (alone[0] == found[0]).all()


def test_only_what_shows_is_drawn(dance, layers):
    points, frames = dance
    size = frames.shape[2:0:-1]
    pose = Figure(points[35], layers.figure.torso)
    parts = list(layers.layers.values())
    places = skinned([layer.skin for layer in parts], pose)
    areas = []
    for layer, moved in zip(parts, places, strict=True):
        piece = Piece(layer.pixels, layer.places, moved, layer.triangles, layer.shown)
        canvases = []
        for one in (piece, replace(piece, shown=np.full((1, 1), 255, np.uint8))):
            ((pixels, (left, top)),) = pieces_drawn([one], size, 2)
            canvases.append(np.zeros((size[1], size[0], 4), np.uint8))
            canvases[-1][top : top + len(pixels), left : left + pixels.shape[1]] = pixels
            areas.append(pixels[..., 0].size)
        np.testing.assert_allclose(*(each.astype(int) for each in canvases), atol=2)
        nothing = replace(piece, shown=np.zeros((1, 1), np.uint8))
        assert pieces_drawn([nothing], size, 2) == [None]
    assert sum(areas[::2]) < 0.85 * sum(areas[1::2])


@pytest.mark.parametrize("kept", [255, 0])
def test_the_parts_of_a_mended_person_are_the_person(dance, layers, kept):
    points, frames = dance
    size = 4 * frames.shape[2], 4 * frames.shape[1]
    pose = Figure(4 * points[35], 4 * layers.figure.torso)
    rough = painted(layers, pose, size)

    def network(inputs):
        mending = np.zeros((*inputs["sketch"].shape[:3], 5), np.uint8)
        mending[..., 0], mending[..., 3], mending[..., 4] = 200, 255 - kept, kept
        return [mending]

    canvas, times = np.zeros_like(rough.canvas), np.zeros(size[::-1], int)
    for part, (left, top) in Refiner(network)(rough, pose):
        high, wide = part.shape[:2]
        x, y = max(left, 0), max(top, 0)
        box = np.s_[y : top + high, x : left + wide]
        inside = part[y - top :, x - left :][: size[1] - y, : size[0] - x]
        canvas[box] = inside
        times[box] += 1
    assert times.max() == 1
    if kept:
        assert (canvas == rough.canvas).all()
    else:
        drawn_anew = (canvas[..., 0] == 200) & (canvas[..., 1] == 0)
        assert drawn_anew[rough.canvas[..., 3] == 255].mean() > 0.2


def test_nobody_in_the_picture(dance, layers):
    points, frames = dance
    assert not drawn(layers, points[35] + 5000, frames.shape[2:0:-1]).any()


# ------------------------------------------------------------------------------------------- size

SIZE = (360, 640)


def sizes(points, body):
    """Torso lengths (T / 8,) over that of somebody upright, of a dance (T, 33, 2) in pixels."""
    inside = (points / SIZE).astype(np.float32)
    standing = torso_length(inside[:90], SIZE[0] / SIZE[1]) * SIZE[1]
    scale = _Scale(SimpleNamespace(proportions=body), standing, SIZE)
    batches = np.split(inside, range(8, len(inside), 8))
    return np.array([scale(batch) for batch in batches]) / (standing * body["torso"])


@pytest.fixture(scope="module")
def steps(dance):
    """A dance to and fro, (270, 33, 2), and the dancer's proportions."""
    points = np.concatenate([dance[0], dance[0][::-1], dance[0]])
    return points, proportions(dance[0] / SIZE, SIZE[0] / SIZE[1])


def test_errors_of_a_cards_proportions_make_nobody_larger(steps):
    points, body = steps
    assert sizes(points, body) == pytest.approx(1, abs=0.06)
    for error in (0.9, 1.1):
        wrong = body | {"thigh": body["thigh"] * error, "upper_arm": body["upper_arm"] * error}
        wrong["shin"] = body["shin"] * 0.88
        assert sizes(points, wrong) == pytest.approx(1, abs=0.06)


def test_who_comes_nearer_is_drawn_larger(steps):
    points, body = steps
    nearer = np.interp(np.arange(len(points)), [100, 150], [1, 1.5])[:, None, None]
    found = sizes((points - [180, 500]) * nearer + [180, 500], body)
    assert found[:12] == pytest.approx(1, abs=0.06)
    assert found[-4:] == pytest.approx(1.5, abs=0.09)


def test_who_bends_over_is_drawn_no_smaller(steps):
    points, body = steps
    bent = points.copy()
    bent[100:, :23] -= (bent[100:, 11:13].mean(1) - bent[100:, 23:25].mean(1))[:, None] / 2
    assert sizes(bent, body)[-8:].min() > 0.83
