"""Drawing a person from the person's own picture: what is moved where, and what stays whole."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dancing.body.poses import torso_length
from dancing.body.retarget import proportions
from dancing.body.skeleton import ANKLES, EYES, HEAD, HIPS, KNEES, MOUTH
from dancing.image.warp.choice import Chooser
from dancing.image.warp.drawing import Piece
from dancing.image.warp.drawing import drawn as pieces_drawn
from dancing.image.warp.figure import Figure
from dancing.image.warp.layers import cut
from dancing.image.warp.refining import Refiner
from dancing.image.warp.runtime import _mirrored, _Scale
from dancing.image.warp.skinning import Skin, skinned
from photos import ava_dances, painted

REST = 50


@pytest.fixture(scope="module")
def dance():
    return ava_dances()


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


def standing(layers):
    """A person in one colour, arms away from the trunk in wide sleeves; and landmarks."""
    points = layers.figure.points.copy().astype(np.float32)
    t, (x, y) = layers.figure.torso, layers.figure.shoulders
    for side, shoulder, elbow, wrist, hand in (
        (1, 11, 13, 15, (17, 19, 21)),
        (-1, 12, 14, 16, (18, 20, 22)),
    ):
        points[shoulder] = x + side * 0.35 * t, y
        points[elbow] = x + side * 0.75 * t, y + 0.45 * t
        points[wrist] = x + side * 1.0 * t, y + 0.9 * t
        points[list(hand)] = points[wrist] + [side * 0.04 * t, 0.1 * t]
    canvas = np.zeros((600, 500), np.uint8)
    move = np.array([250, 150]) - [x, y]
    points = (points + move).astype(np.float32)
    figure = Figure(points)
    hips, shoulders = points[HIPS], points[[11, 12]]
    trunk = np.array([shoulders[0], hips[0] + [0.1 * t, 0], hips[1] - [0.1 * t, 0], shoulders[1]])
    cv2.fillPoly(canvas, [np.rint(trunk).astype(np.int32)], 255)
    for chain in figure.chains:
        cv2.polylines(canvas, [np.rint(chain).astype(np.int32)], False, 255, round(0.2 * t))
    for chain in figure.chains[:2]:
        cv2.line(canvas, *np.rint(chain[:2]).astype(int).tolist(), 255, round(0.4 * t))
    cv2.circle(canvas, np.rint(figure.face.mean(0)).astype(int).tolist(), round(0.3 * t), 255, -1)
    return points, canvas


def test_a_wide_sleeve_is_of_the_arm(layers):
    points, alpha = standing(layers)
    colour = np.full((*alpha.shape, 3), 120, np.uint8)
    found = cut(colour, alpha, points)
    figure, torso = found.figure, found.figure.torso
    for limb in (0, 1):
        shoulder, elbow = figure.chains[limb, :2]
        bone = (elbow - shoulder) / np.hypot(*(elbow - shoulder))
        across = np.array([-bone[1], bone[0]])
        across *= -np.sign(across @ figure.up)
        # Below the bone, at the sleeve's inner edge
        place = shoulder + 0.35 * torso * bone + 0.17 * torso * across
        x, y = np.rint(place).astype(int)
        assert alpha[y, x]
        upper, trunk = (
            whole(found, part, alpha.shape) for part in (("upper", limb), ("trunk", None))
        )
        assert upper[y, x] > 200 and trunk[y, x] < 50
        assert trunk[alpha > 0].any()


def test_fingers_apart_from_the_hand_are_of_the_arm(layers):
    points, alpha = standing(layers)
    hand = Figure(points).chains[0, 3]
    thumb = np.rint(hand - [0.3 * Figure(points).torso, 0]).astype(int)
    cv2.line(alpha, np.rint(hand).astype(int).tolist(), thumb.tolist(), 255, 5)
    found = cut(np.full((*alpha.shape, 3), 120, np.uint8), alpha, points)
    x, y = thumb
    assert whole(found, ("lower", 0), alpha.shape)[y, x] > 100
    assert not whole(found, ("trunk", None), alpha.shape)[y, x]
    assert not any(whole(found, ("upper", leg), alpha.shape)[y, x] for leg in (2, 3))


def test_a_collar_is_of_the_trunk(layers):
    points, alpha = standing(layers)
    figure = Figure(points)
    t, (x, y) = figure.torso, figure.shoulders
    colour = np.full((*alpha.shape, 3), (180, 140, 120), np.uint8)
    colour[round(y - 0.12 * t) :] = 30, 40, 160
    collar = slice(round(y - 0.12 * t), round(y)), slice(round(x - 0.25 * t), round(x + 0.25 * t))
    alpha[collar] = 255
    found = cut(colour, alpha, points)
    row, column = round(y - 0.09 * t), round(x + 0.22 * t)
    assert whole(found, ("trunk", None), alpha.shape)[row, column] > 200
    assert whole(found, ("head", None), alpha.shape)[row, column] < 50


def test_an_arm_that_is_hidden_is_like_the_other_one(layers):
    points, alpha = standing(layers)
    colour = np.full((*alpha.shape, 3), 120, np.uint8)
    elbow, *_, tips = Figure(points).chains[0, 1:]
    alpha[round(elbow[1]) - 5 :, round(elbow[0]) - 25 :] = 0
    assert not alpha[tuple(np.rint(tips[::-1]).astype(int))]
    picture = colour, alpha, points
    references = [cut(*picture), cut(*_mirrored(*picture))]
    assert references[0].seen[0] < 0.3 and references[0].seen[1] > 0.9
    chosen = Chooser(references, [np.ones(33)] * 2, 1)(references[0].figure)
    assert chosen.tolist() == [0, 0, 1, 0, 0, 0]


def test_somebody_whose_arms_are_not_in_the_cut_out(layers):
    points, alpha = standing(layers)
    figure = Figure(points)
    for chain in figure.chains[:2]:
        cv2.polylines(alpha, [np.rint(chain).astype(np.int32)], False, 0, round(0.5 * figure.torso))
    found = cut(np.full((*alpha.shape, 3), 120, np.uint8), alpha, points)
    assert ("trunk", None) in found.layers and (found.seen == 0).all()


def whole(found, part, shape):
    """The alpha of a part where it was cut from."""
    layer = found.layers[part]
    corner = np.rint(layer.skin._places[0] - layer.places[0]).astype(int)
    made = np.zeros(shape, np.uint8)
    height, width = layer.pixels.shape[:2]
    made[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = layer.pixels[..., 3]
    return made


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


def test_the_parts_of_a_mended_person_are_the_person(dance, layers):
    points, frames = dance
    size = 4 * frames.shape[2], 4 * frames.shape[1]
    pose = Figure(4 * points[35], 4 * layers.figure.torso)
    rough = painted(layers, pose, size)

    def network(inputs):
        mending = np.zeros((*inputs["sketch"].shape[:3], 5), np.uint8)
        mending[..., 0], mending[..., 4] = 200, 255
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
    assert (canvas == rough.canvas).all()


def test_nobody_in_the_picture(dance, layers):
    points, frames = dance
    assert not drawn(layers, points[35] + 5000, frames.shape[2:0:-1]).any()


# ------------------------------------------------------------------------------------------- size

SIZE = (360, 640)


def test_a_chin_stays_with_the_head(layers):
    """Whose neck is short, too: when the head is stretched from the shoulders, the face is not."""
    rest = layers.figure
    neck = rest.face.mean(0) - rest.shoulders
    low = rest.points.copy()
    low[list(HEAD)] -= 0.3 * neck
    short = Figure(low, rest.torso)
    high = low.copy()
    high[list(HEAD)] += 0.3 * neck
    eyes, mouth = (short.face[list(pair)].mean(0) for pair in (EYES, MOUTH))
    chin = mouth + 0.6 * (mouth - eyes)
    (moved,) = skinned([Skin(short, chin[None], ("head", None), False)], Figure(high, rest.torso))
    assert np.abs(moved[0] - chin - 0.3 * neck).max() < 0.1 * np.hypot(*(0.3 * neck))


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
