"""Several pictures of a person: which one each part is drawn from, and which ones a video gives."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dancing.body.skeleton import ELBOWS, HEAD, HIPS, NOSE, WRISTS
from dancing.image.warp import choice, footage, photo
from dancing.image.warp.choice import FIRST_LIMB, TRUNK_GROUP, Chooser, group_of
from dancing.image.warp.figure import Figure
from dancing.image.warp.layers import cut
from dancing.image.warp.painter import paint
from dancing.image.warp.reference import files_of, read_references
from dancing.image.warp.sight import Sight
from media import Recorder
from photos import ava_dances
from videos import write_video

SEEN = np.ones(33)


@pytest.fixture(scope="module")
def dance():
    return ava_dances()


def of(dance, *numbers):
    points, frames = dance
    return [cut(frames[t][..., :3], frames[t][..., 3], points[t]) for t in numbers]


def turned(points, to):
    """Landmarks whose nose and eyes are so many pixels beside where they were."""
    points = points.copy()
    points[list(HEAD[:7]), 0] += to
    points[9:11, 0] += to
    return points


def heads(dance):
    """One reference, and the same with the head turned to either side."""
    points, frames = dance
    still = frames[50]
    return [cut(still[..., :3], still[..., 3], turned(points[50], to)) for to in (0, -6, 6)]


def test_a_turned_head_is_drawn_from_a_head_turned_so(dance):
    points = dance[0][50]
    for to, wanted in ((-5, 1), (0, 0), (5, 2)):
        chooser = Chooser(heads(dance), [SEEN] * 3)
        assert chooser(Figure(turned(points, to)))[choice.HEAD] == wanted


def test_every_pose_is_drawn_best_from_itself(dance):
    numbers = (0, 20, 50, 80)
    references = of(dance, *numbers)
    for own, t in enumerate(numbers):
        looks = choice.Looks.of([Figure(dance[0][t])])
        costs = choice.costs(looks, choice.Looks.of([one.figure for one in references]), False)
        assert np.abs(costs[0, own]).max() < 1e-6
        assert (costs[0].argmin(0) == own).all()


def test_what_is_not_seen_is_taken_from_elsewhere(dance):
    references = of(dance, 50, 55)
    visibility = [SEEN.copy(), SEEN]
    visibility[0][[*ELBOWS, *WRISTS]] = 0
    chosen = Chooser(references, visibility)(references[0].figure)
    assert (chosen[FIRST_LIMB : FIRST_LIMB + 2] == 1).all()
    assert chosen[choice.HEAD] == chosen[TRUNK_GROUP] == 0


def test_of_a_head_alone_nothing_else_is_drawn(dance):
    """Its landmarks are as usual, so that for arms and legs it would be as good as the other."""
    points, frames = dance
    still = frames[50]
    alone = cut(still[..., :3], still[..., 3], turned(points[50], 6), head=True)
    assert set(alone.layers) == {("head", None)}
    chooser = Chooser([*of(dance, 20), alone], [SEEN] * 2)
    chosen = chooser(Figure(turned(points[50], 5)))
    assert chosen[choice.HEAD] == 1 and (np.delete(chosen, choice.HEAD) == 0).all()
    assert chooser.layers_of(("head", None)) == [(alone.layers["head", None], 1.0)]


def test_heads_are_picked_for_how_they_are_turned(dance, monkeypatch):
    """Of one pose with the head turned by and by: no other picture, no head twice."""
    points = dance[0][50]
    judged = []
    for to in (*range(-6, 7), 0):
        one = SimpleNamespace(figure=Figure(turned(points, to)), to=to)
        judged.append(footage._Judged(one, np.zeros(choice.N_GROUPS), abs(to)))
    monkeypatch.setattr(footage, "MOST", 1)
    whole, heads = footage._chosen(judged)
    assert [one.to for one in whole] == [0]
    assert 2 <= len(heads) <= footage.MOST_HEADS
    assert min(one.to for one in heads) < -2 and max(one.to for one in heads) > 2
    assert len({one.to for one in (*whole, *heads)}) == 1 + len(heads)


def test_heads_between_raised_shoulders_are_left_out(dance):
    points = dance[0][50]
    assert not footage._shrugs(Figure(points))
    tilted, waving = points.copy(), points.copy()
    tilted[11, 1] -= 0.2 * np.hypot(*(points[11] - points[12]))
    waving[ELBOWS[0], 1] = points[11, 1] - 20
    assert footage._shrugs(Figure(tilted)) and footage._shrugs(Figure(waving))


def test_a_head_is_cut_out_without_the_body(dance):
    points, frames = dance
    landmarks = np.column_stack([points[50], np.ones(33), np.zeros((33, 3))]).astype(np.float32)
    frame, alpha = frames[50][..., :3], np.ascontiguousarray(frames[50][..., 3])
    sight = Sight(Path("film.mp4"), frame, alpha, alpha, landmarks, 1.0, head=True)
    head, corner = photo._cut(sight)
    whole, _ = photo._cut(replace(sight, head=False))
    assert head.head and not whole.head and head.card.head
    height, width = head.alpha.shape
    assert height < 0.4 * len(whole.alpha)
    # In the picture from whose corner it is: all of the head, not the hips.
    assert np.allclose(head.points[:, :2] + corner, points[50], atol=1e-3)
    assert (head.points[list(HEAD), :2] > 0).all()
    assert (head.points[list(HEAD), :2] < [width, height]).all()
    assert (head.points[HIPS, 1] > height).all()
    part = frame[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    assert (head.colour == part).all()
    files = files_of([head], frame)
    card = SimpleNamespace(references=[head.card], plate=frame.shape[1::-1])
    (again,) = read_references(card, files.__getitem__)
    assert again.head and (again.alpha == head.alpha).all()


def test_small_movements_change_nothing(dance):
    points = dance[0][50]
    chooser = Chooser(heads(dance), [SEEN] * 3)
    first = chooser(Figure(points))
    rng = np.random.default_rng(0)
    for _ in range(60):
        now = chooser(Figure(points + rng.normal(0, 0.5, points.shape)))
        assert (now == first).all()


def test_a_change_waits_for_the_one_before(dance):
    points = dance[0][50]
    chooser = Chooser(heads(dance), [SEEN] * 3)
    sides = [turned(points, to) for to in (-5, 5)]
    shown = [chooser(Figure(sides[t % 2]))[choice.HEAD] for t in range(60)]
    changes = np.flatnonzero(np.diff(shown))
    assert len(changes) > 1 and np.diff(changes).min() >= 10


def test_a_change_fades_within_the_new_outline(dance):
    points, frames = dance
    size = frames.shape[2], frames.shape[1]
    references = of(dance, 50, 20)
    chooser = Chooser(references, [SEEN] * 2)
    pose = Figure(points[50])
    chooser(pose)
    chooser._before[:], chooser._now[:], chooser._since[:] = 0, 1, 0
    shown, fading = [], chooser.layers_of(("trunk", None))
    assert [layer for layer, _ in fading] == [one.layers["trunk", None] for one in references[::-1]]
    assert fading[0][1] == 1 and 0 < fading[1][1] < 1
    for layers_of in (chooser.layers_of, lambda part: chooser.layers_of(part)[:1]):
        shown.append(paint(layers_of, pose, False, size).canvas)
    assert not shown[0][shown[1][..., 3] == 0].any(), "one outline"
    assert (shown[0] != shown[1]).any(), "and colours of both"
    inside = shown[1][..., 3] == 255
    assert shown[0][inside][:, 3].min() >= 253, "nothing shines through"


def test_a_head_changes_at_once(dance):
    points = dance[0][50]
    chooser = Chooser(heads(dance), [SEEN] * 3)
    shown = [chooser(Figure(turned(points, to)))[choice.HEAD] for to in [0] * 3 + [5] * 20]
    assert len(set(shown)) == 2
    chooser._since[:] = 0
    assert len(chooser.layers_of(("head", None))) == 1


def test_of_one_reference_everything_is_drawn_whole(dance):
    (only,) = of(dance, 50)
    chooser = Chooser([only], [SEEN])
    for points in dance[0][::10]:
        assert (chooser(Figure(points)) == 0).all()
        for part, layer in only.layers.items():
            assert chooser.layers_of(part) == [(layer, 1.0)]
            assert 0 <= group_of(part) < choice.N_GROUPS


# ------------------------------------------------------------------------------- from a video


@pytest.fixture(scope="module")
def film(dance, tmp_path_factory):
    """Ava before a room with a caption that comes and goes, half of the frames blurred."""
    from scipy.ndimage import gaussian_filter

    frames = dance[1]
    height, width = frames.shape[1:3]
    room = np.random.default_rng(0).normal(0, 1, (height, width, 3))
    room = 128 + 30 * (soft := gaussian_filter(room, (12, 12, 0))) / soft.std()
    pictures = []
    for t, frame in enumerate(frames):
        alpha = frame[..., 3:] / 255
        picture = room * (1 - alpha) + frame[..., :3] * alpha
        if t // 15 % 2:
            picture = gaussian_filter(picture, (2.5, 2.5, 0))
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    path = write_video(tmp_path_factory.mktemp("film") / "ava.mp4", pictures)
    return path, room


def test_a_video_gives_sharp_pictures_and_the_scene(film):
    pytest.importorskip("onnxruntime")
    path, room = film
    told = []
    sights, _, notes = footage.sights([path], Recorder(told))
    assert not notes and told
    heads = [sight.head for sight in sights]
    assert heads == sorted(heads)
    assert 1 <= heads.count(False) <= footage.MOST
    assert heads.count(True) <= footage.MOST_HEADS
    for sight in sights:
        rows, columns = np.nonzero(sight.matte >= 128)
        assert np.ptp(rows) > 2 * np.ptp(columns) / 1.5
        assert np.abs(np.diff(sight.picture.astype(float), axis=0)).mean() > 2
        assert 0 < sight.points[NOSE, 0] < sight.size[0]
    scene = sights[0].scene
    assert scene is not None and all(sight.scene is None for sight in sights[1:])
    assert np.median(np.abs(scene - room)) < 12
