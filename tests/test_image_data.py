"""Batches of crops: where they are cut, and how often each picture is drawn."""

import numpy as np
import pytest

from dancing.body.poses import PoseSequence
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.image.limbs.config import Config
from dancing.image.limbs.data import Crops
from dancing.image.limbs.sampler import CropSampler
from dancing.training.checkpoint import SafetensorsIO
from dancing.training.sampler import Shuffled

MARGIN = [4, 4, 4, 4]
PLATE = np.full((96, 80, 3), 200, np.uint8)


@pytest.fixture
def clips(tmp_path):
    """Two clips of a square that grows, 6 pictures each; its colour tells the picture."""
    with DatasetWriter(tmp_path / "data.h5") as writer:
        for clip in range(2):
            pictures, mattes, poses = [], [], []
            for t in range(6):
                left, side = 11 + clip, 20 + 5 * t
                picture, matte = PLATE.copy(), np.zeros(PLATE.shape[:2], np.uint8)
                picture[left : left + side, left : left + side] = 10 * (6 * clip + t)
                matte[left : left + side, left : left + side] = 255
                pictures.append(picture)
                mattes.append(matte)
                corners = np.linspace([left, left], [left + side, left + side], 33)
                poses.append(corners / [80, 96])
            writer.clip(
                f"c{clip}", PoseSequence(np.stack(poses), aspect=80 / 96), frames=iter(pictures),
                mattes=iter(mattes), source=f"{clip}.mp4",
            )  # fmt: skip
    with Dataset(tmp_path / "data.h5") as dataset:
        yield list(dataset)


@pytest.fixture
def crops(clips, tmp_path):
    return Crops(clips, PLATE, MARGIN, tmp_path / "cache")


def sampler(crops, **options):
    return CropSampler(crops.boxes, crops.follows, 4, Config(), **options)


def seen(requests, batches=200):
    return np.concatenate([requests.batch(i, 0).frames for i in range(batches)])


def test_a_batch_shows_whole_dancers_where_its_landmarks_say(crops):
    requests = sampler(crops)
    corners = set()
    for epoch in range(40):
        batch = crops[requests.batch(epoch, 0)]
        for i, t in enumerate(batch["chosen"].tolist()):
            left, top = (int(v) for v in batch["corners"][i])
            corners.add((t, left, top))
            assert left % 2 == top % 2 == 0, "films store one hue for two by two pixels"
            matte = batch["matte"][i, 0] > 127
            x, y = ((batch["landmarks"][i].mean(0) - batch["corners"][i]).int()).tolist()
            assert batch["picture"][i, 0, y, x] == 10 * t and matte[y, x]
            side = 20 + 5 * (t % 6)
            assert matte.sum() == side * side, "all of her is in the crop"
    assert len(corners) > 40, "at random places"


def test_what_is_drawn_worse_is_drawn_more_often(crops):
    requests = sampler(crops)
    assert np.bincount(seen(requests), minlength=12).min() > 30
    requests.difficulties[:] = 0.5
    requests.difficulties[[3, 8]] = 1.5
    counts = np.bincount(seen(requests), minlength=12)
    often, others = counts[[3, 8]].mean(), np.delete(counts, [3, 8])
    assert 2 < often / others.mean() < 4, counts
    requests.difficulties[:] = 0
    requests.difficulties[5] = 100
    counts = np.bincount(seen(requests), minlength=12)
    assert counts.min() > 5, "nothing is forgotten"


def test_pairs_follow_each_other_within_a_clip_and_are_cut_alike(crops):
    requests = sampler(crops, paired=True)
    for epoch in range(40):
        batch = crops[requests.batch(epoch, 0)]
        first, second = batch["chosen"].numpy().reshape(2, 2).T
        assert batch["paired"]
        assert (second == first + 1).all() and not np.isin(first, [5, 11]).any()
        assert (batch["corners"][::2] == batch["corners"][1::2]).all()


@pytest.mark.parametrize("paired", [False, True])
def test_processes_take_slices_of_one_batch(crops, paired):
    whole = CropSampler(crops.boxes, crops.follows, 8, Config(), paired=paired)
    parts = [sampler(crops, paired=paired, rank=rank, processes=2) for rank in (0, 1)]
    assert [len(part) for part in parts] == [len(whole)] * 2
    differ = 0
    for epoch in range(20):
        batches = [part.batch(epoch, 0) for part in parts]
        together = whole.batch(epoch, 0)
        for field in ("frames", "corners"):
            sliced = np.concatenate([getattr(batch, field) for batch in batches])
            np.testing.assert_array_equal(sliced, getattr(together, field))
        assert (batches[0].crop == batches[1].crop).all()
        differ += not np.array_equal(batches[0].frames, batches[1].frames)
    assert differ > 15


def test_other_seeds_epochs_and_steps_draw_other_batches(crops):
    drawn = [
        requests.batch(epoch, step).frames.tolist()
        for requests in (sampler(crops), sampler(crops, seed=1))
        for epoch in range(3)
        for step in range(3)
    ]
    assert len(set(map(tuple, drawn))) > 15
    assert sampler(crops).batch(1, 2).frames.tolist() == drawn[5]


def a_run(requests, steps, ahead=0):
    """Frames of some steps on made errors, where a loader draws `ahead` of them."""
    drawn, frames = [], []
    for step in range(steps):
        while len(drawn) < min(step + 1 + ahead, steps):
            drawn.append(requests.batch(len(drawn), 0, requests.updates + len(drawn) - step))
        frames.append(drawn[step].frames)
        requests.update(frames[-1], 0.1 + frames[-1] % 5, paired=step > 20)
    return frames


def test_batches_drawn_ahead_of_their_steps_are_the_same(crops):
    expected = a_run(sampler(crops), 60)
    np.testing.assert_array_equal(a_run(sampler(crops), 60, CropSampler.ahead), expected)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(a_run(sampler(crops), 60, CropSampler.ahead + 1), expected)


def test_a_sampler_goes_on_from_its_state(crops, tmp_path):
    one, other = sampler(crops), sampler(crops)
    a_run(one, 30)
    checkpoint = tmp_path / "state.safetensors"
    SafetensorsIO().save_checkpoint(one.state_dict(), checkpoint)
    other.load_state_dict(SafetensorsIO().load_checkpoint(checkpoint))
    np.testing.assert_array_equal(a_run(one, 30), a_run(other, 30))
    np.testing.assert_array_equal(one.difficulties, other.difficulties)
    few = CropSampler(crops.boxes[:6], crops.follows[:6], 4, Config())
    few.load_state_dict(one.state_dict())
    assert (few.difficulties == 1).all(), "other data begin anew"


def test_an_epoch_goes_on_within_it():
    requests = Shuffled(20, 2, seed=3)
    epochs = []
    for epoch in (0, 1):
        requests.set_epoch(epoch)
        epochs.append([[draw.sample for draw in batch] for batch in requests])
    assert len(epochs[0]) == 10 and epochs[0] != epochs[1]
    assert sorted(np.concatenate(epochs[1])) == list(range(20)), "each sample once"
    resumed = Shuffled(20, 2, seed=3)
    resumed.begin_at(1, 7)
    resumed.set_epoch(1)
    assert [[draw.sample for draw in batch] for batch in resumed] == epochs[1][7:]
    resumed.set_epoch(2)
    assert len(list(resumed)) == len(resumed) == 10
    halves = [Shuffled(20, 1, seed=3, rank=rank, processes=2).batch(1, 4) for rank in (0, 1)]
    assert [*halves[0], *halves[1]] == requests.batch(1, 4)
