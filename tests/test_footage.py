"""What footage is fit to learn from: steady scenes, clothes, parts of the body."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dancing.body.poses import PoseSequence
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.data.footage import clothes, length, missing_parts, steady_scenes
from dancing.listener import Listener
from media import Recorder

WIDTH, HEIGHT = 96, 160


def a_room(seed):
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, 4 * WIDTH, 3))
    room = gaussian_filter(noise, (6, 6, 0))
    return (128 + 45 * room / room.std()).clip(0, 255)


def a_film(path, *clips, shirt=(200, 40, 40)):
    """A block of a person who sways before the rooms of each clip, one a frame."""
    with DatasetWriter(path) as writer:
        for rooms in clips:
            frames, mattes, landmarks = [], [], []
            for t, room in enumerate(rooms):
                matte = np.zeros((HEIGHT, WIDTH), np.uint8)
                left = 30 + round(12 * np.sin(t / 5))
                matte[30:150, left : left + 30] = 255
                light = 1 + 0.1 * np.sin(t / 7)
                frame = np.where(matte[..., None] > 0, shirt, room[:, :WIDTH] * light)
                frames.append(frame.clip(0, 255).astype(np.uint8))
                mattes.append(matte)
                points = np.full((33, 2), [(left + 15) / WIDTH, 0.9])
                points[[11, 24]] = [left / WIDTH, 0.3], [(left + 30) / WIDTH, 0.6]
                points[[12, 23]] = [(left + 30) / WIDTH, 0.3], [left / WIDTH, 0.6]
                landmarks.append(points)
            poses = PoseSequence(np.array(landmarks, np.float32), aspect=WIDTH / HEIGHT)
            writer.clip("film", poses, frames=iter(frames), mattes=iter(mattes))
    return Dataset(path)


def scenes_of(film):
    """The frames of each scene's shots, with the number of the clip."""
    seen = []
    found = steady_scenes(film.clips, Recorder(seen))
    total = sum(map(len, film))
    assert seen[-1] == ("finding steady shots", total, total)
    return [[(film.clips.index(clip), shot) for clip, shot in shots] for shots in found]


def test_a_steady_camera_is_one_scene_though_the_light_changes(tmp_path):
    with a_film(tmp_path / "a.h5", [a_room(0)] * 60) as film:
        assert scenes_of(film) == [[(0, range(60))]]


def test_a_caption_is_no_movement(tmp_path):
    room = a_room(0)
    written = room.copy()
    written[140:, 4:92] = 255 - written[140:, 4:92]
    with a_film(tmp_path / "a.h5", [room] * 20 + [written] * 20) as film:
        assert scenes_of(film) == [[(0, range(40))]]


def test_a_cut_divides_and_a_scene_that_comes_back_is_known(tmp_path):
    first, second = a_room(0), a_room(1)
    with a_film(tmp_path / "a.h5", [first] * 40 + [second] * 50 + [first] * 30) as film:
        assert scenes_of(film) == [[(0, range(40)), (0, range(90, 120))], [(0, range(40, 90))]]
        assert length(steady_scenes(film.clips, Listener())[0]) == pytest.approx(70 / 30)


def test_clips_of_one_camera_are_one_scene(tmp_path):
    with a_film(tmp_path / "a.h5", [a_room(0)] * 40, [a_room(1)] * 35, [a_room(0)] * 20) as film:
        assert scenes_of(film) == [[(0, range(40)), (2, range(20))], [(1, range(35))]]


def test_a_pan_leaves_no_long_scene(tmp_path):
    room = a_room(2)
    pan = [room[:, 2 * t : 2 * t + WIDTH] for t in range(60)]
    with a_film(tmp_path / "a.h5", pan) as film:
        assert all(len(shot) < 20 for scene in scenes_of(film) for _, shot in scene)


def test_clothes_are_told_apart(tmp_path):
    colours = []
    for n, shirt in enumerate([(200, 40, 40), (205, 45, 42), (30, 60, 180)]):
        with a_film(tmp_path / f"{n}.h5", [a_room(n)] * 30, shirt=shirt) as film:
            colours.append(clothes([(film.clips[0], range(30))]))
    np.testing.assert_allclose(colours[0], (200, 40, 40), atol=1)
    assert np.abs(colours[1] - colours[0]).max() < 10 < 100 < np.abs(colours[2] - colours[0]).max()


@pytest.mark.parametrize(
    ("below", "missing"), [([], []), ([27, 28, 31, 32], ["the feet"]), ([0, 7, 8], ["the head"])]
)
def test_missing_parts_are_named(tmp_path, below, missing):
    with a_film(tmp_path / "a.h5", [a_room(0)] * 5) as film:
        clip = film.clips[0]
        clip.landmarks[:, below] += 1.0
        assert missing_parts([(clip, range(5))]) == missing
