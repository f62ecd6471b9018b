"""The network of `warp`: what it is shown of a painted person, and what of its picture is used."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dancing.body.poses import PoseSequence
from dancing.body.skeleton import EYES, MOUTH, NOSE
from dancing.bundle import Bundle
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.errors import DancingError
from dancing.export import export, load_run
from dancing.image.dancer import Dancer
from dancing.image.warp.choice import FIRST_LIMB, HEAD, N_GROUPS, TRUNK_GROUP
from dancing.image.warp.config import Config
from dancing.image.warp.data import Sketches
from dancing.image.warp.figure import Figure
from dancing.image.warp.layers import cut
from dancing.image.warp.losses import losses, varied
from dancing.image.warp.network import Generator, mended
from dancing.image.warp.painter import Painted
from dancing.image.warp.refining import (
    CHANNELS,
    MULTIPLE,
    N_LINES,
    NETWORK,
    TORSO,
    Refiner,
    _chosen,
    sketch,
    window,
)
from dancing.image.warp.training import usable
from dancing.pipeline import generate
from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO
from dancing.training.train import train
from media import EXAMPLE
from photos import ava_dances, painted

REST, POSE = 50, 35
COVERED = slice(4, 4 + N_GROUPS)
LINES = slice(4 + N_GROUPS, CHANNELS)


@pytest.fixture(scope="module")
def dance():
    return ava_dances()


@pytest.fixture(scope="module")
def layers(dance):
    points, frames = dance
    return cut(frames[REST][..., :3], frames[REST][..., 3], points[REST])


def posed(layers, points, size, torso=None):
    """What is painted of the person in a pose, and the pose."""
    pose = Figure(points, torso or layers.figure.torso)
    return painted(layers, pose, size), pose


@pytest.fixture(scope="module")
def person(dance, layers):
    """In a picture of twice the size."""
    points, frames = dance
    height, width = frames.shape[1:3]
    torso = 2 * layers.figure.torso
    return posed(layers, 2 * points[POSE], (2 * width, 2 * height), torso)


def below(seen, canvas):
    """The part of a picture that a sketch shows, at full size."""
    height, width = (side * seen.cell for side in seen.pixels.shape[:2])
    return window(canvas, *seen.corner, width, height)


def means(pixels, cell):
    """The means of squares of pixels."""
    height, width = (side // cell for side in pixels.shape[:2])
    return pixels.reshape(height, cell, width, cell, -1).mean((1, 3))


# ---------------------------------------------------------------------------------- the sketch


def test_a_sketch_is_the_painted_person_in_squares(person):
    made, pose = person
    seen = sketch(made, pose)
    height, width = seen.pixels.shape[:2]
    assert seen.cell == round(pose.torso / TORSO) == 2
    assert seen.pixels.shape[2] == CHANNELS
    assert not height % MULTIPLE and not width % MULTIPLE
    assert not any(side % seen.cell for side in seen.corner)
    whole = below(seen, made.canvas)
    np.testing.assert_allclose(seen.pixels[..., :4], means(whole, seen.cell), atol=1)
    everyone = made.canvas[..., 3].sum(dtype=np.int64)
    assert whole[..., 3].sum(dtype=np.int64) == everyone, "nothing of the person is left out"


def test_a_sketch_says_what_each_part_covers(person):
    made, pose = person
    seen = sketch(made, pose)
    covered = seen.pixels[..., COVERED]
    solid = seen.pixels[..., 3] == 255
    assert (covered.max(-1)[solid] > 250).mean() > 0.98, "what is painted belongs to a part"
    assert (covered.max(-1)[solid] > 100).all(), "or to two that meet there"
    assert not covered[seen.pixels[..., 3] == 0].any()

    def middle(group):
        weights = covered[..., group].astype(float)
        y, x = np.indices(weights.shape)
        return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()

    def place(point):
        return (point - seen.corner) / seen.cell

    near = TORSO * 0.3
    assert np.hypot(*(middle(HEAD) - place(pose.face.mean(0)))) < near
    trunk = place((pose.hips + pose.shoulders) / 2)
    assert np.hypot(*(middle(TRUNK_GROUP) - trunk)) < near
    for limb, chain in enumerate(pose.chains):
        assert np.hypot(*(middle(FIRST_LIMB + limb) - place(chain[1]))) < near


def test_a_sketch_has_lines_along_limbs_hands_and_face(person):
    made, pose = person
    seen = sketch(made, pose)
    lines = seen.pixels[..., LINES]

    def spot(point):
        x, y = ((point - seen.corner) / seen.cell).astype(int)
        return y, x

    for limb, chain in enumerate(pose.chains):
        for bone in (0, 1):
            on = spot(chain[bone : bone + 2].mean(0))
            assert lines[on][limb] > 200
        hand = spot(chain[2:].mean(0))
        assert lines[hand][len(pose.chains)] > 200
    for pair in (EYES, MOUTH):
        assert lines[spot(pose.points[list(pair)].mean(0))][N_LINES - 1] > 200
    assert lines[spot(pose.points[NOSE])][N_LINES - 1] > 100
    assert (lines > 0).mean() < 0.02, "and nowhere else"


def test_somebody_who_leaves_the_picture_is_sketched_as_far_as_seen(dance, layers):
    points, frames = dance
    size = frames.shape[2:0:-1]
    moved = points[POSE] - [points[POSE][NOSE, 0] - 5, 31]
    made, pose = posed(layers, moved, size)
    seen = sketch(made, pose)
    assert seen.corner[0] < 0, "with room around the person, also beyond the picture"
    whole = below(seen, made.canvas)
    np.testing.assert_allclose(seen.pixels[..., :4], means(whole, seen.cell), atol=1)
    assert whole[..., 3].sum(dtype=np.int64) == made.canvas[..., 3].sum(dtype=np.int64)


def test_the_tiny_and_the_absent_are_left_alone(dance, layers):
    points, frames = dance
    scale = 0.6 * TORSO / layers.figure.torso
    tiny = posed(layers, points[POSE] * scale, frames.shape[2:0:-1], 0.6 * TORSO)
    gone = posed(layers, points[POSE] + 5000, frames.shape[2:0:-1])
    for made, pose in (tiny, gone):
        assert sketch(made, pose) is None
        ((found, corner),) = Refiner(lambda _: pytest.fail("no network is needed"))(made, pose)
        assert found is made.canvas and corner == (0, 0)


# ------------------------------------------------------------------------------- what is chosen


def a_mending():
    """A painted rectangle, as sketched, and a network's answer that keeps it as it is."""
    sketched = np.zeros((64, 64, CHANNELS), np.uint8)
    for channel in (3, 4 + TRUNK_GROUP):
        sketched[12:52, 12:52, channel] = 255
    mending = np.full((64, 64, 5), 255, np.uint8)
    mending[..., 3] = sketched[..., 3]
    return sketched, mending


def test_outlines_that_would_move_a_little_stay():
    sketched, mending = a_mending()
    mending[11:53, 11:53, 3] = 255
    _, fill, keep = _chosen(mending, sketched)
    assert not fill.any() and (keep == 255).all(), "wider by a pixel"
    mending[..., 3] = 0
    mending[13:51, 13:51, 3] = 255
    mending[..., 4] = mending[..., 3]
    _, fill, keep = _chosen(mending, sketched)
    assert not fill.any() and (keep[12:52, 12:52] == 255).all(), "narrower by a pixel"


@pytest.mark.parametrize("width", [2, 6])
def test_cracks_between_parts_are_filled(width):
    sketched, mending = a_mending()
    hole = slice(20, 45), slice(30, 30 + width)
    sketched[hole] = 0
    own, fill, keep = _chosen(mending, sketched)
    assert (fill[hole] == 255).all() and (own[..., 3] == 255).all()
    assert not fill[:, :8].any() and (keep == 255).all()


def test_nothing_is_drawn_outside():
    sketched, mending = a_mending()
    mending[20:40, 52:62, 3] = 255
    _, fill, keep = _chosen(mending, sketched)
    assert not fill.any() and (keep == 255).all()


def test_nothing_is_lost():
    sketched, mending = a_mending()
    mending[20:40, 20:40, 3:] = 0
    _, fill, keep = _chosen(mending, sketched)
    assert not fill.any() and (keep == 255).all()


def test_beside_a_neck_nothing_is_filled():
    sketched, mending = a_mending()
    crack = slice(20, 26), slice(20, 44)
    sketched[crack] = 0
    assert _chosen(mending, sketched)[1][crack].all(), "between trunk and limbs"
    sketched[:20, :, 4 + TRUNK_GROUP] = 0
    sketched[:20, :, 4 + HEAD] = sketched[:20, :, 3]
    filled = _chosen(mending, sketched)[1][crack]
    assert not filled[:, 6:18].any(), "between head and trunk"


# ---------------------------------------------------------------------------------- at full size


def put_together(parts, made):
    """The canvas of all parts of a mended person."""
    height, width = made.canvas.shape[:2]
    canvas = np.zeros_like(made.canvas)
    for pixels, (left, top) in parts:
        canvas += window(pixels, -left, -top, width, height)
    return canvas


def test_a_network_that_keeps_all_changes_nothing(person):
    made, pose = person
    seen = sketch(made, pose)

    def run(inputs):
        assert inputs["sketch"].shape == (1, *seen.pixels.shape)
        mending = np.zeros((1, *seen.pixels.shape[:2], 5), np.uint8)
        mending[..., 4] = 255
        return [mending]

    np.testing.assert_array_equal(put_together(Refiner(run)(made, pose), made), made.canvas)


@pytest.fixture(scope="module")
def shipped():
    """Mends with the network that comes with the package."""
    session = onnxruntime.InferenceSession(NETWORK.read_bytes())
    return Refiner(lambda inputs: session.run(["mending"], inputs))


def test_the_shipped_network_leaves_a_face_as_it_is(person, shipped):
    made, pose = person
    found = put_together(shipped(made, pose), made)
    (left, top), (right, bottom) = pose.face.min(0).astype(int), pose.face.max(0).astype(int)
    face = slice(top, bottom), slice(left, right)
    assert found[face].size > 3000
    # At the edge of the face's square there may be outline.
    changed = np.abs(found[face].astype(int) - made.canvas[face]).max(-1) > 2
    assert (
        changed.mean() < 0.01 and not changed[:, len(changed[0]) // 4 : -len(changed[0]) // 4].any()
    )


def test_the_shipped_network_fills_a_hole(person, shipped):
    made, pose = person
    middle = (pose.hips + pose.shoulders) / 2
    y, x = np.indices(made.canvas.shape[:2])
    hole = np.hypot(x - middle[0], y - middle[1]) < 0.045 * pose.torso
    canvas = np.where(hole[..., None], 0, made.canvas)
    pieces = []
    for part, pixels, (left, top) in made.layers:
        rows, columns = pixels.shape[:2]
        there = hole[top : top + rows, left : left + columns, None]
        pieces.append((part, np.where(there, 0, pixels), (left, top)))
    found = put_together(shipped(Painted(canvas, pieces), pose), made)
    inner, truth = hole, made.canvas
    assert (truth[inner][:, 3] == 255).all()
    assert (found[inner][:, 3] > 200).mean() > 0.95
    assert np.abs(found[inner].astype(int) - truth[inner]).mean() < 35, "in the colours around it"


# -------------------------------------------------------------------------------------- training

SMALL = ("channels=6", "frame_step=1", "pairs=1", "warm_up_steps=1", "learning_rate=5e-3")


def learn(people, run, *settings, epochs, **options):
    """Train on the CPU; the last value of every figure."""
    options |= {"model": "warp", "settings": [*SMALL, *settings], "epochs": epochs}
    return train("image", [people], run, batch_size=4, device="cpu", **options)


def steps(run):
    return SafetensorsIO().load_checkpoint(run / CHECKPOINT)["global_step"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A dataset of ava in three clips, one of which is held out."""
    folder = tmp_path_factory.mktemp("people")
    generate(EXAMPLE, folder / "poses.npz", duration=3)
    dancer = Dancer("ava", height=400)
    poses = PoseSequence.load(folder / "poses.npz")
    frames = np.stack(list(dancer(poses))[::4])
    mattes = np.stack(list(dancer(poses, background="transparent"))[::4])[..., 3]
    with DatasetWriter(folder / "people.h5") as writer:
        # The hash of their names holds out air_4.
        for number, first, count in ((0, 0, 8), (1, 8, 8), (4, 16, 4)):
            shown = slice(first, first + count)
            moves = PoseSequence(
                dancer.in_view(poses.landmarks[::4][shown]).astype(np.float32),
                world=poses.world[::4][shown],
                aspect=dancer.size[0] / dancer.size[1],
            )
            writer.clip(
                f"c{number}", moves, frames=iter(frames[shown]), mattes=iter(mattes[shown]),
                source=f"air_{number}.mp4",
            )  # fmt: skip
    return folder / "people.h5"


@pytest.fixture(scope="module")
def trained(people):
    """A run, its figures, and the bundle that it is exported to."""
    run, bundle = people.with_name("run"), people.with_name("me")
    figures = learn(people, run, epochs=2)
    export([run], bundle)
    return run, figures, bundle


def test_the_network_learns_to_fill_holes():
    torch.manual_seed(0)
    true = torch.zeros(2, 4, 32, 32)
    true[:, :, 4:28, 4:28] = torch.tensor([0.7, 0.4, 0.2, 1.0])[:, None, None]
    sketches = torch.cat([true, torch.zeros(2, CHANNELS - 4, 32, 32)], 1)
    sketches[0, :4, 8:20, 7:16] = 0
    sketches[1, :4, 8:20, 14:25] = 0
    config = Config(channels=8)
    generator = Generator(config)
    optimiser = torch.optim.Adam(generator.parameters(), 3e-3)
    # It begins by keeping all and drawing nothing, and stays with that for a while.
    for _ in range(300):
        loss, _, _ = losses(generator, None, sketches, true, config)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = mended(sketches[:, :4], *generator(sketches))
    before, after = ((each - true).abs().mean() for each in (sketches[:, :4], found))
    assert after < 0.2 * before


def test_a_training_leaves_figures_and_pictures(trained):
    run, figures, _ = trained
    assert 0 < figures["val_l1"] < 0.05
    assert "train_discriminators" in figures
    assert list((run / "samples").glob("step_*.png"))


def test_its_bundle_draws_the_first_person(trained, people, tmp_path):
    *_, bundle = trained
    card = Bundle(bundle).stage("image")
    assert card.model == "warp" and len(card.references) == 1 and card.turns == 60
    poses = tmp_path / "poses.npz"
    generate(EXAMPLE, poses, duration=0.4)
    (frame, *_) = Dancer(bundle)(PoseSequence.load(poses), background="transparent")
    with Dataset(people) as clips:
        shown = clips.clips[0].matte[0] > 127
    assert frame.shape[:2] == shown.shape
    assert 0.5 < (frame[..., 3] > 127).sum() / shown.sum() < 2, "of about the size of the person"


@pytest.mark.slow
def test_a_run_goes_on_and_begins_from_a_bundle(trained, people, tmp_path):
    run, figures, bundle = trained
    copy = shutil.copytree(run, tmp_path / "run")
    learn(people, copy, epochs=7, resume=True)
    assert steps(copy) > steps(run)
    more = learn(people, tmp_path / "more", "learning_rate=1e-9", epochs=1, start=bundle)
    assert more["val_l1"] == pytest.approx(figures["val_l1"], rel=0.02)
    with pytest.raises(DancingError, match="does not fit the settings"):
        learn(people, tmp_path / "r", "channels=8", epochs=1, start=bundle)


def test_eight_bits_are_close_to_the_trained_network(trained, people):
    run, _, bundle = trained
    network, _, _ = load_run(run).deployed()
    with Dataset(people) as clips:
        sketches = Sketches(usable(clips.clips), Config(frame_step=1))
        shown = sketches[5]["sketch"].permute(1, 2, 0)[None].contiguous()
    with torch.no_grad():
        expected = network(shown).numpy()
    (found,) = Bundle(bundle).run("image", {"sketch": shown.numpy()})
    person = shown[0, ..., 3].numpy() > 0
    assert np.abs(expected.astype(int) - found)[0][person].mean() < 3


def test_the_bytes_of_a_sketch_go_into_the_first_layer_as_they_are(trained):
    *_, bundle = trained
    for content in (NETWORK.read_bytes(), (bundle / "image.onnx").read_bytes()):
        nodes = onnx.load_from_string(content).graph.node
        (turned,) = (node.output[0] for node in nodes if "sketch" in node.input)
        taken = {node.op_type for node in nodes if turned in node.input}
        assert taken == {"DequantizeLinear", "Slice"}, "the latter of what is painted"


def test_clips_without_mattes_are_refused(people, tmp_path):
    with Dataset(people) as clips, DatasetWriter(tmp_path / "bare.h5") as writer:
        clip = clips.clips[0]
        writer.clip("bare", clip.poses, frames=iter(clip.frames[:]))
    with pytest.raises(DancingError, match="no clip has mattes and world landmarks"):
        learn(tmp_path / "bare.h5", tmp_path / "r", epochs=1)


def test_lines_are_moved_or_left_out_and_nothing_else():
    random = torch.Generator().manual_seed(0)
    sketches, true = torch.zeros(64, CHANNELS, 32, 48), torch.zeros(64, 4, 32, 48)
    sketches[:, 3] = true[:, 3] = 1
    sketches[:, LINES, 14:17, 22:25] = 1
    config = Config(lineless=0.25)
    found, still = varied(sketches, true, config, random)
    assert torch.equal(found[:, 3], sketches[:, 3]) and torch.equal(still[:, 3], true[:, 3])
    seen = found[:, LINES].flatten(2).sum(2)
    assert ((seen == 0) | (seen == 9)).all(), "whole, or none"
    assert ((seen > 0).all(1) | (seen == 0).all(1)).all(), "all of a sketch, or none"
    assert 0.1 < (seen[:, 0] == 0).float().mean() < 0.4
    column = (found[:, LINES].sum(2) * torch.arange(48)).sum(2) / 9
    off = column[seen[:, 0] > 0] - 23
    assert 1.5 < off.std() < 4.5, "about 0.03 * 64 * sqrt(2)"
    assert 0.5 < off.std(1).mean() < off.std(), "in part all together"
