"""Dancers made from a person's pictures are scored on footage of that person."""

import json
import shutil

import numpy as np
import pytest

from dancing.body.poses import PoseSequence
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.errors import DancingError, DancingWarning
from dancing.evaluation import image
from dancing.evaluation.frames import Window, drawn_frames
from dancing.image.dancer import Dancer
from dancing.learn import learn
from dancing.media.video import resize
from dancing.metrics import face_fit, psnr
from media import Recorder
from photos import ava_dances, room, save

SIZE = (360, 640)
LEARNED, HELD_OUT = 30, slice(31, 61)
TWICE = 2  # times as large as the footage is the photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ava learned from one frame, and footage of the dance after it."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("held out")
    points, people = ava_dances()
    wall = room(*SIZE)
    share = people[..., 3:] / 255.0
    frames = np.rint(people[..., :3] * share + wall * (1 - share)).astype(np.uint8)
    photo = save(folder / "me.png", resize(frames[LEARNED], *(TWICE * side for side in SIZE)))
    learn([photo], folder / "me", listener=Recorder())
    for name, part in (("last", HELD_OUT), ("me", slice(LEARNED, LEARNED + 1))):
        with DatasetWriter(folder / f"{name}.h5") as writer:
            writer.clip(
                name,
                PoseSequence(points[part] / SIZE, aspect=SIZE[0] / SIZE[1]),
                frames=iter(frames[part]),
                mattes=iter(people[part][..., 3]),
                source=f"{name}.png",
            )
    return folder


@pytest.fixture
def no_estimator(monkeypatch):
    def absent(**_):
        raise DancingError("finding people needs onnx")

    monkeypatch.setattr("dancing.data.landmarker.Landmarker", absent)


@pytest.mark.filterwarnings("ignore:pose fidelity")
def test_a_photo_is_drawn_where_the_footage_shows_the_person(folder, no_estimator, tmp_path):
    """In the footage's pixels, though the dancer's frame shows another part, at another size."""
    plot = tmp_path / "plot.png"
    report = image.evaluate(folder / "me", [folder / "last.h5"], beside=["kai"], plot=plot)
    assert [row.name for row in report.rows] == ["real", "me", "kai"]
    assert report.facts["compared"] != [report.facts["drawn"]["me"]]
    assert report.facts["command"].count("--bundle") == 2 and plot.is_file()
    mine, other = (report.row(name).figures for name in ("me", "kai"))
    # Before another scene, in other clothes.
    assert mine["psnr_person"].value > other["psnr_person"].value + 5
    assert mine["psnr_frame"].value > 22
    assert mine["face_fit"].value > other["face_fit"].value
    for key in ("sharpness_ratio", "face_sharpness_ratio", "steadiness_ratio"):
        assert 0.3 < mine[key].value < 1.6, key


@pytest.mark.filterwarnings("ignore:pose fidelity")
def test_repeated_frames_are_no_flicker(folder, no_estimator, tmp_path):
    """Of footage with 24 frames a second, every fifth frame of 30 shows the one before again."""
    steady = []
    for name, shown in (("all", range(20)), ("film", [t - (t % 5 == 4) for t in range(20)])):
        path = tmp_path / f"{name}.h5"
        with Dataset(folder / "last.h5") as data, DatasetWriter(path) as writer:
            (clip,) = data
            writer.clip(
                name,
                PoseSequence(clip.landmarks[:20], aspect=clip.aspect),
                frames=(clip.frames[t] for t in shown),
                mattes=(clip.matte[t] for t in shown),
                source="last.png",
            )
        figures = image.evaluate(folder / "me", [path]).row("warp").figures
        steady.append(figures["steadiness_ratio"].value)
    assert steady[1] == pytest.approx(steady[0], rel=0.1)


def test_the_learned_frame_itself_lies_pixel_on_pixel(folder):
    dancer = Dancer(folder / "me")
    with Dataset(folder / "me.h5") as (clip,):
        window = Window.of(clip, [dancer])
        (drawn,) = drawn_frames(clip, [0], dancer, window)
        real = window.of_footage(clip.frames[0])
    right = psnr(drawn, real)
    assert right > 24
    assert all(
        psnr(np.roll(drawn, (y, x), (0, 1)), real) < right
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )


def test_frames_between_are_drawn_where_a_frame_depends_on_them(folder):
    dancer = Dancer(folder / "me")
    with Dataset(folder / "last.h5") as (clip,):
        window = Window.of(clip, [dancer])
        few = list(drawn_frames(clip, [20, 29], dancer, window))
        every = list(drawn_frames(clip, range(30), dancer, window))
    assert len(few) == 2 and len(every) == 30
    assert np.array_equal(few[0], every[20]) and np.array_equal(few[1], every[29])


def test_what_was_learned_from_is_not_scored(folder):
    with pytest.raises(DancingError, match="--include-training"):
        image.evaluate(folder / "me", [folder / "me.h5"])


def test_a_card_that_does_not_say_what_it_shows_is_refused(folder, no_estimator, tmp_path):
    old = shutil.copytree(folder / "me", tmp_path / "old")
    card = json.loads((old / "card.json").read_text())
    del card["image"]["seen"]
    (old / "card.json").write_text(json.dumps(card))
    with (
        pytest.warns(DancingWarning, match="pose fidelity"),
        pytest.raises(DancingError, match=r"old: .* learn it again"),
    ):
        image.evaluate(old, [folder / "last.h5"])


def test_bundles_of_one_name_are_refused(folder):
    with pytest.raises(DancingError, match="same name"):
        image.evaluate("kai", [folder / "last.h5"], beside=["kai"])


def test_a_face_is_found_a_little_beside_its_place():
    random = np.random.default_rng(0)
    picture, other = (
        resize(random.integers(0, 256, (50, 50, 3), np.uint8), 200, 200) for _ in range(2)
    )
    box = (slice(60, 140), slice(70, 150))
    assert face_fit(picture, picture, box) == 1
    assert face_fit(np.roll(picture, (4, -6), (0, 1)), picture, box) == 1
    assert face_fit(np.roll(picture, (40, 0), (0, 1)), picture, box) < 0.7
    assert face_fit(other, picture, box) < 0.7
