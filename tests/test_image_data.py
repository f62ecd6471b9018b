"""Batches of crops: where they are cut, and how often each picture is drawn."""

import numpy as np
import pytest
import torch

from dancing.body.poses import PoseSequence
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.image.limbs.config import Config
from dancing.image.limbs.data import Crops

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
    return Crops(clips, PLATE, MARGIN, tmp_path / "cache", Config(), batch_size=4)


def seen(crops, batches=200):
    torch.manual_seed(0)
    return np.concatenate([crops[i]["chosen"].numpy() for i in range(batches)])


def test_a_batch_shows_whole_dancers_where_its_landmarks_say(crops):
    torch.manual_seed(0)
    corners = set()
    for _ in range(40):
        batch = crops[0]
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
    assert np.bincount(seen(crops), minlength=12).min() > 30
    crops.weights[:] = 0.5
    crops.weights[[3, 8]] = 1.5
    counts = np.bincount(seen(crops), minlength=12)
    often, others = counts[[3, 8]].mean(), np.delete(counts, [3, 8])
    assert 2 < often / others.mean() < 4, counts
    crops.weights[:] = 0
    crops.weights[5] = 100
    counts = np.bincount(seen(crops), minlength=12)
    assert counts.min() > 5, "nothing is forgotten"


def test_pairs_follow_each_other_within_a_clip_and_are_cut_alike(crops):
    crops.paired = True
    for i in range(40):
        batch = crops[i]
        first, second = batch["chosen"].numpy().reshape(2, 2).T
        assert (second == first + 1).all() and not np.isin(first, [5, 11]).any()
        assert (batch["corners"][::2] == batch["corners"][1::2]).all()
