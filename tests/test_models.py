"""The reference models, layer by layer, and that their losses fall on data with structure."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dancing.body.skeleton import MIRROR
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.image.dcgan import network as dcgan_network
from dancing.image.dcgan import training as dcgan
from dancing.image.limbs import data as limbs_data
from dancing.image.limbs import depth, discriminators, network
from dancing.image.limbs import fingers as hands
from dancing.image.limbs import losses as limb_losses
from dancing.image.limbs import maps as limb_maps
from dancing.image.limbs.config import Config as LimbsConfig
from dancing.motion.lstm_vae import network as lstm_vae_network
from dancing.motion.lstm_vae import training as lstm_vae
from dancing.training.muon import Muon
from puppet import FOCAL, a_dance, a_walk

ORIGIN = {
    "stage": "motion",
    "mfcc_mean": [0.0] * 13,
    "mfcc_std": [1.0] * 13,
    "view": [0.0, 0.0, 1.0, 1.0],
    "placement": {"x": 0.5, "y": 0.5, "torso": 0.1, "aspect": 1.0},
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_lstm_vae_layers_and_units():
    network = lstm_vae_network.LstmVae(lstm_vae_network.Config())
    layers = list(network.children())
    assert [type(layer) for layer in layers] == [
        nn.LSTM, nn.LSTM, nn.Linear, nn.Linear, nn.Linear, nn.LSTM, nn.Linear,
    ]  # fmt: skip
    lstms = [layer for layer in layers if type(layer) is nn.LSTM]
    assert [(layer.input_size, layer.hidden_size) for layer in lstms] == [
        (13, 128), (128, 128), (128, 128),
    ]  # fmt: skip
    shapes = [
        (layer.in_features, layer.out_features) for layer in layers if type(layer) is nn.Linear
    ]
    assert shapes == [(128, 32), (128, 32), (32, 128), (128, 66)]
    # An LSTM of PyTorch has 4 gates with two biases each: 4 h (i + h + 2).
    lstm = 4 * 128 * (13 + 128 + 2) + 2 * 4 * 128 * (128 + 128 + 2)
    dense = 2 * (128 * 32 + 32) + (32 * 128 + 128) + (128 * 66 + 66)
    assert count(network) == lstm + dense


def test_lstm_vae_shapes_and_reparameterisation():
    network = lstm_vae_network.LstmVae(lstm_vae_network.Config()).eval()
    mfcc = torch.randn(3, 50, 13)
    noise = torch.randn(3, 32)
    poses, mean, log_var = network(mfcc, noise)
    assert poses.shape == (3, 50, 33, 2)
    assert mean.shape == log_var.shape == (3, 32)
    steps, _ = network.decoder_lstm(
        network.decoder_dense(mean + (0.5 * log_var).exp() * noise)[:, None].repeat(1, 50, 1)
    )
    torch.testing.assert_close(poses, network.decoder_poses(steps).reshape(3, 50, 33, 2))
    assert not torch.equal(poses, network(mfcc, -noise)[0])


def test_lstm_vae_loss_is_mse_plus_kl():
    module = lstm_vae.Training(lstm_vae_network.Config(), ORIGIN)
    for layer in (module.network.z_mean, module.network.z_log_var):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(module.network.z_mean.bias, 2.0)
    nn.init.constant_(module.network.z_log_var.bias, float(np.log(0.5)))
    batch = {"mfcc": torch.zeros(4, 20, 13), "poses": torch.zeros(4, 20, 33, 2)}
    nn.init.zeros_(module.network.decoder_poses.weight)
    nn.init.constant_(module.network.decoder_poses.bias, 3.0)
    reconstruction, divergence = module.losses(batch)
    assert reconstruction.item() == pytest.approx(9.0)
    # KL of N(2, 0.5) from N(0, 1), in each of 32 dimensions.
    assert divergence.item() == pytest.approx(32 * 0.5 * (0.5 + 4 - 1 - np.log(0.5)), rel=1e-5)


def test_dcgan_generator_layers():
    layers = list(dcgan_network.Generator().layers)
    assert [type(layer) for layer in layers] == [
        nn.Flatten, nn.Linear, nn.ReLU, nn.Unflatten,
        nn.ConvTranspose2d, nn.ReLU, nn.ConvTranspose2d, nn.ReLU, nn.ConvTranspose2d, nn.Tanh,
    ]  # fmt: skip
    assert (layers[1].in_features, layers[1].out_features) == (66, 16 * 16 * 256)
    ups = [layer for layer in layers if type(layer) is nn.ConvTranspose2d]
    assert [(up.in_channels, up.out_channels) for up in ups] == [(256, 128), (128, 64), (64, 3)]
    assert all(up.kernel_size == (3, 3) and up.stride == (2, 2) for up in ups)
    dense = 66 * 65536 + 65536
    convolutions = 9 * (256 * 128 + 128 * 64 + 64 * 3) + 128 + 64 + 3
    assert count(dcgan_network.Generator()) == dense + convolutions
    poses, x = torch.randn(2, 33, 2), []
    value = poses
    for layer in layers:
        value = layer(value)
        x.append(tuple(value.shape[1:]))
    assert [x[i] for i in (3, 4, 6, 8)] == [
        (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 128, 128),
    ]  # fmt: skip
    assert value.abs().max() <= 1


def test_dcgan_discriminator_layers():
    layers = list(dcgan_network.Discriminator().layers)
    assert [type(layer) for layer in layers] == [
        nn.Conv2d, nn.LeakyReLU, nn.Conv2d, nn.LeakyReLU, nn.Flatten, nn.Linear, nn.Sigmoid,
    ]  # fmt: skip
    convolutions = [layers[0], layers[2]]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(3, 64), (64, 128)]
    assert all(c.kernel_size == (3, 3) and c.stride == (2, 2) for c in convolutions)
    expected = 9 * (3 * 64 + 64 * 128) + 64 + 128 + 32 * 32 * 128 + 1
    assert count(dcgan_network.Discriminator()) == expected
    judged = dcgan_network.Discriminator()(torch.randn(2, 3, 128, 128))
    assert judged.shape == (2, 1) and judged.min() > 0 and judged.max() < 1


def test_dcgan_optimisers_are_the_reference_s():
    generator, discriminator = dcgan.Training(dcgan_network.Config(), ORIGIN).configure_optimizers()
    for optimiser in (generator, discriminator):
        assert isinstance(optimiser, torch.optim.Adam)
        assert optimiser.defaults["lr"] == 2e-4 and optimiser.defaults["betas"][0] == 0.5


def test_deployed_dcgan_draws_the_view():
    network = dcgan_network.Deployed(dcgan_network.Generator(), [0.25, 0.5, 0.75, 1.0])
    poses = torch.tensor([[0.25, 0.5], [0.75, 1.0], [0.5, 0.75]])
    torch.testing.assert_close(
        network.in_view(poses), torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    )
    pictures = network(torch.rand(2, 33, 2))
    assert pictures.shape == (2, 128, 128, 3) and pictures.dtype == torch.uint8


def test_limb_maps_lie_on_the_limbs():
    maps = limb_maps.LimbMaps()
    poses = torch.full((1, 33, 2), -500.0)
    poses[0, 13], poses[0, 15] = torch.tensor([10.0, 20.0]), torch.tensor([50.0, 60.0])
    drawn = maps(poses, 64, 96)
    bones = [capsule[:2] for capsule in limb_maps.CAPSULES]
    assert drawn.shape == (1, 3 * len(bones), 24, 16)
    forearm, place, side = drawn[0, bones.index((13, 15)) :: len(bones)]
    assert forearm[10, 7] > 0.9, "on the middle of the bone"
    assert forearm[20, 2] < 0.01 and forearm[2, 12] < 0.01, "away from it"
    assert place[14, 11] > 0.8 > 0.2 > place[5, 2], "from the elbow's 0 to the wrist's 1"
    assert side[9, 8] > 0.1 and side[11, 6] < -0.1, "either side of it"
    assert drawn[0, bones.index((14, 16))].max() < 0.01, "the other arm has its own map"


def turned_arms(yaw):
    """Arms of a person turned by an angle: landmarks (1, 33, 2), fingers (1, 10, 2, 2), pixels."""
    hand = torch.tensor(hands._HAND)
    elbow = -torch.tensor(hands._FOREARM)
    shoulder = elbow + torch.tensor([0.0, 3.0, 1.0])
    left = torch.cat([torch.stack([shoulder, elbow, torch.zeros(3)]), hand]) + torch.tensor(
        [3.0, 0.0, 0.0]
    )
    both = torch.stack([left, left * torch.tensor([-1.0, 1.0, 1.0])])
    c, s = math.cos(yaw), math.sin(yaw)
    turned = both @ torch.tensor([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    flat = turned[..., :2] * torch.tensor([14.0, -14.0]) + 100
    poses = torch.zeros(1, 33, 2)
    poses[0, 11:23:2], poses[0, 12:23:2] = flat[0, :6], flat[1, :6]
    return poses, flat[:, 6:].reshape(1, 10, 2, 2)


def test_fingers_lie_where_the_hand_s_landmarks_tell():
    torch.manual_seed(0)
    fingers = hands.Fingers()
    before = [
        (fingers(poses) - found).norm(dim=-1).mean() for poses, found in map(turned_arms, (0, 2))
    ]
    fingers.begin(network.Config())
    for yaw, first in zip((0, 2), before, strict=True):
        poses, found = turned_arms(yaw)
        error = (fingers(poses) - found).norm(dim=-1)
        # Of hands 14 pixels long, whose fingers reach twice as far.
        assert error.mean() < 4 < first / 2, "hands seen from any side"
    moved = fingers(poses + torch.tensor([30.0, -20.0])) - torch.tensor([30.0, -20.0])
    torch.testing.assert_close(moved, fingers(poses), atol=1e-3, rtol=0)
    mirrored = (poses * torch.tensor([-1.0, 1.0]))[:, list(MIRROR)]
    other = fingers(mirrored) * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(other[0, 5:], fingers(poses)[0, :5], atol=1e-3, rtol=0)


def test_fingers_have_maps_of_their_own_and_count_more():
    maps = limb_maps.FingerMaps()
    poses, found = turned_arms(0)
    one = torch.full_like(found, 300)
    one[0, :5] = torch.tensor([[41.0, 61.0], [41.0, 81.0]])
    one[0, 5:] = torch.tensor([[221.0, 61.0], [240.0, 61.0]])  # reaches over the crop's edge
    maps.fingers.forward = lambda landmarks: one
    near, place, side = maps(poses, 224, 192)[0]
    assert near.shape == (96, 112)
    assert near[30:41, 20].min() > 4.5 and near[35, 24:].max() < 0.01, "the sum of five fingers"
    assert near[30, 111] > 4.5 and near[30, 90:105].max() < 0.01
    assert place[39, 20] > 4 > 1 > place[31, 20], "from the knuckle's 0 to the tip's 1"
    assert side[35, 21] * side[35, 19] < 0, "either side of it"

    counts = limb_losses.near_hands(poses, 224, 192, 0.4)[0, 0]
    hand = poses[0, [15, 19]].mean(0).long()
    assert counts[hand[1], hand[0]] == 1 and counts[10, 10] == 0
    assert 0 < counts.mean() < 0.1


def test_an_outline_too_far_outside_costs_what_one_too_far_inside_does():
    def square(grown):
        mask = torch.zeros(1, 1, 64, 64)
        mask[..., 24 - grown : 40 + grown, 24 - grown : 40 + grown] = 1
        return mask

    def cost(grown):
        layers = square(grown).expand(-1, 4, -1, -1)
        drawn = network.composite(layers, torch.zeros(1, 3, 64, 64))
        losses, _ = limb_losses.fidelity(
            layers, drawn, real, square(0), torch.ones_like(drawn[:, :1]), network.Config()
        )
        return losses["train_l1"].item()

    real = square(0).expand(-1, 3, -1, -1)
    areas = {grown: (square(grown) - square(0)).abs().sum().item() for grown in (-2, -1, 1, 2)}
    per_pixel = {grown: cost(grown) / area for grown, area in areas.items()}
    assert per_pixel[1] == pytest.approx(per_pixel[-1])
    assert per_pixel[2] == pytest.approx(per_pixel[1])
    # Inside, the colour counts as well.
    assert per_pixel[2] < per_pixel[-2] < 2 * per_pixel[2]


def test_texture_counts_detail_wherever_it_is():
    torch.manual_seed(0)
    lines = torch.zeros(1, 3, 32, 32)
    lines[..., 3::8] = 1
    texture = limb_losses.texture(lines, 8)
    assert texture.shape == (1, 1, 4, 4)
    torch.testing.assert_close(limb_losses.texture(lines.roll(1, -1), 8), texture)
    blurred = torch.nn.functional.avg_pool2d(lines, 3, 1, 1)
    assert limb_losses.texture(blurred, 8).mean() < 0.5 * texture.mean()
    assert limb_losses.texture(torch.full((1, 3, 32, 32), 0.7), 8).max() < 0.01


def test_the_whole_pose_reaches_every_level():
    """What is drawn around a hand also depends on where a far foot is."""
    torch.manual_seed(0)
    generator = network.Generator(network.Config(channels=10))
    poses = torch.rand(1, 33, 2) * 40 + 10
    other = poses.clone()
    # Not the outermost landmark, which would move the middle of the pose.
    other[0, 27] = poses[0].mean(0)
    flat = torch.zeros(1, 33)
    seen = generator.pose(poses, flat)
    for changed in ((other, flat), (poses, flat + 0.1)):
        for before, after in zip(seen, generator.pose(*changed), strict=True):
            assert (before != after).all()
    x = torch.rand(2, 3, 4, 4)
    factors = torch.zeros(2, 6, 1, 1)
    torch.testing.assert_close(network._modulated(x, factors), x)
    factors[0, 1], factors[0, 5] = 1.0, 0.5
    changed = network._modulated(x, factors)
    torch.testing.assert_close(changed[1], x[1])
    torch.testing.assert_close(changed[0, 1:], torch.stack([2 * x[0, 1], x[0, 2] + 0.5]))


def test_a_pose_unlike_all_others_moves_no_channel_further_than_they():
    torch.manual_seed(0)
    pose = network.Pose([3, 5])
    poses = torch.rand(200, 33, 2) * 60, torch.rand(200, 33)
    strange = torch.rand(50, 33, 2) * 6000, torch.rand(50, 33) * 100
    seen, before = torch.cat(pose(*poses), 1), torch.cat(pose(*strange), 1)
    assert (before.abs().amax(0) > seen.abs().amax(0)).any()
    assert before.abs().max() < 5 * seen.abs().max(), "a hundred times as large, and yet"
    pose.bound(*poses, 0.01)
    after = torch.cat(pose(*strange), 1)
    assert (after <= seen.amax(0)).all() and (after >= seen.amin(0)).all()
    assert (torch.cat(pose(*poses), 1) == seen).float().mean() > 0.95
    pose.bound(*strange, 0.01)
    torch.testing.assert_close(torch.cat(pose(*strange), 1), before, msg="no bounds but the last")


def test_no_unit_of_the_whole_pose_is_for_a_few_poses_only():
    """Plain rectifiers had left three of 128 for most poses, after long training."""
    torch.manual_seed(0)
    pose = network.Pose([3])
    with torch.no_grad():
        for part in (pose.first[0], pose.second[0]):
            part.bias -= 5.0  # what had let them die
    poses = torch.rand(40, 33, 2) * 60, torch.rand(40, 33)
    units = pose.first(torch.cat([depth.normalised(poses[0]), poses[1]], 1))
    units = units + pose.second(units)
    assert (units.std(0) > 0.05).float().mean() > 0.9


def test_poses_are_turned_as_one_body():
    """From so far that the picture keeps lengths, bones are as long as before, with their depth."""
    world, place = a_walk(40, 100, 0)
    room = torch.tensor(world + place[:, None] + [0, 0, 1e4], dtype=torch.float32)
    # 10,000 pixels a metre, so the noise is next to nothing.
    flat, behind = depth.turned(room, 1e8, 500, network.Config())
    points = torch.cat([flat / 1e4, behind[..., None]], -1)
    for first, second in ((11, 23), (23, 25), (25, 27), (12, 14), (13, 15)):
        length = (room[:, first] - room[:, second]).norm(dim=-1)
        found = (points[:, first] - points[:, second]).norm(dim=-1)
        assert length.min() - 0.02 < found.min() and found.max() < length.max() + 0.02
    torch.testing.assert_close(behind[:, [23, 24]].mean(1), torch.zeros(500), atol=1e-5, rtol=0)
    across = points[:, 11] - points[:, 12]
    assert across[:, 0].min() < -0.2 and across[:, 0].max() > 0.2, "seen from before and behind"


def test_limbs_of_one_pose_hang_on_the_trunk_of_another():
    """In front of a trunk or behind it, an arm is so on every trunk, whichever way that faces."""
    torch.manual_seed(0)
    world, _ = a_walk(90, 100, 0)
    poses = torch.tensor(world[[0, 20, 40]], dtype=torch.float32)
    back = poses * torch.tensor([-1.0, 1.0, -1.0])
    found = depth.mixed(torch.cat([poses, back]) + 5, 2000)
    torch.testing.assert_close(found[:, [23, 24]].mean(1), torch.zeros(2000, 3), atol=1e-5, rtol=0)

    def ahead(body, part, root):
        """How far a part is ahead of its root, in the trunk's axes."""
        across = body[:, 11] - body[:, 12]
        up = body[:, [11, 12]].mean(1) - body[:, [23, 24]].mean(1)
        front = nn.functional.normalize(torch.linalg.cross(across, up), dim=-1)
        return ((body[:, part] - body[:, root]) * front).sum(-1)

    arms = torch.stack([ahead(found, 15, 11), ahead(found, 16, 12)], 1)
    known = torch.stack([ahead(poses, 15, 11), ahead(poses, 16, 12)], 1)
    distance = (arms[:, None] - known).abs()
    assert (distance.amin(1) < 0.02).all(), "arms as some pose holds them"
    together = distance.amax(-1).amin(1) < 0.02
    assert 0.3 < together.float().mean() < 0.8, "often those of two poses"


def test_depth_is_guessed_from_flat_landmarks():
    torch.manual_seed(0)
    world, place = a_walk(200, 100, 0)
    room = torch.tensor(world + place[:, None], dtype=torch.float32)
    network, limbs_config = depth.Depth(), LimbsConfig()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(300):
        views, behind = depth.turned(room, 600.0, 256, limbs_config)
        loss = (network(views) - behind).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    views, behind = depth.turned(room, 600.0, 256, limbs_config)
    assert (network(views) - behind).abs().mean() < 0.3 * behind.abs().mean()
    torch.testing.assert_close(network(views + 50), network(views), atol=1e-4, rtol=0)


def test_bodies_are_put_back_in_their_room(tmp_path):
    """A second clip has no world landmarks and is left out."""
    dance, _ = a_dance(3, 100, 0)
    with DatasetWriter(tmp_path / "data.h5") as writer:
        writer.clip("a", dance)
        writer.clip("b", replace(dance, world=None))
    with Dataset(tmp_path / "data.h5") as clips:
        found = limbs_data._rooms(list(clips), 640, network.Config())
        none = limbs_data._rooms(
            [clip for clip in clips if clip.world is None], 640, network.Config()
        )
    world, place = a_walk(90, 100, 0)
    assert found["focal"] == pytest.approx(FOCAL * 640, rel=0.06)
    room = found["room"].numpy()
    assert room.shape == (90, 33, 3) and room.dtype == np.float32
    hips = room[:, [23, 24]].mean(1)
    np.testing.assert_allclose(room - hips[:, None], world, atol=1e-4)
    nearness = place[:, 2] / hips[:, 2]
    np.testing.assert_allclose(nearness, FOCAL * 640 / found["focal"], rtol=0.05)
    assert none["room"].shape == (0, 33, 3)


def test_a_body_s_depth_is_seen_where_its_bones_are():
    """Of two limbs that cross, the picture network is told which is in front."""
    torch.manual_seed(0)
    generator = network.Generator(network.Config(channels=10))
    seen = []
    generator.stem.register_forward_pre_hook(lambda _, maps: seen.append(maps[0][0]))
    poses = torch.full((1, 33, 2), -500.0)
    poses[0, 13], poses[0, 15] = torch.tensor([10.0, 40.0]), torch.tensor([54.0, 40.0])
    known = torch.zeros(1, 33)
    known[0, 13], known[0, 15] = -0.2, 0.4
    generator.depth.forward = lambda _: known
    generator(poses, (64, 96))
    bone = [capsule[:2] for capsule in limb_maps.CAPSULES].index((13, 15))
    near, there = seen[0][bone], seen[0][4 * len(limb_maps.CAPSULES) + bone]
    row = (there / near)[9]
    assert row[2] < -0.15 and row[13] > 0.35, "as deep as its ends"
    assert abs(row[7] - 0.08) < 0.05, "and in between"


def test_pixels_are_shuffled_the_same_in_onnx(monkeypatch):
    x = torch.arange(2 * 12 * 3 * 5.0).reshape(2, 12, 3, 5)
    plain = network._shuffled(x)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    torch.testing.assert_close(network._shuffled(x), plain)
    assert plain.shape == (2, 3, 6, 10)


def test_limbs_networks_and_composite():
    networks = network.Networks(network.Config(channels=10), (100, 90))
    layers = networks.person(torch.rand(2, 33, 2) * 64, (64, 96))
    assert layers.shape == (2, 4, 96, 64) and layers.min() >= 0 and layers.max() <= 1
    assert networks.shade(torch.rand(2, 33, 2) * 90).shape == (2, 1, 12, 16)
    layers = torch.zeros(1, 4, 2, 2)
    layers[:, :3] = 0.9
    layers[0, 3, 0, 0] = 1.0
    laid = network.composite(layers, torch.full((1, 3, 2, 2), 0.5))
    torch.testing.assert_close(laid[0, :, 0, 0], torch.full((3,), 0.9))
    torch.testing.assert_close(laid[0, :, 1, 1], torch.full((3,), 0.5))
    # Where the crop lies changes nothing but where the person is drawn in it.
    poses = torch.rand(1, 33, 2) * 64
    deployed = network.Deployed(networks)
    here, shade = deployed(poses, torch.zeros(1, 2), torch.tensor([64, 96]))
    there, moved = deployed(poses + 40, torch.full((1, 2), 40.0), torch.tensor([64, 96]))
    assert here.shape == (1, 96, 64, 4) and here.dtype == torch.uint8
    layers = (networks.person(poses, (64, 96)) * 255 + 0.5).to(torch.uint8)
    assert (here == layers.permute(0, 2, 3, 1)).all()
    assert (here.int() - there.int()).abs().max() <= 1
    assert shade.shape == moved.shape == (1, 12, 16)


def test_shade_of_the_whole_picture_is_cut_to_the_crop():
    shade = torch.zeros(1, 1, 4, 8)
    shade[0, 0, 1, 2] = 1.0  # pixels 16 to 23, 8 to 15
    at = limb_losses.shade_at(shade, torch.tensor([[8.0, -8.0]]), (32, 32))[0, 0]
    row, column = divmod(int(at.argmax()), 32)
    assert 15 <= row < 24 and 7 <= column < 16, "16 - 8 across, 8 + 8 down"
    assert at.max() > 0.8 and at[0].max() == 0


def test_limbs_discriminators_see_pairs_and_details():
    discriminator = discriminators.Discriminators(network.Config())
    points = torch.rand(4, 33, 2) * 60 + 20
    outputs = discriminator(torch.rand(4, 3, 96, 96), points)
    assert [tuple(output.shape) for output, _ in outputs] == [
        (2, 1, 12, 12), (2, 1, 6, 6), (4, 1, 8, 8), (4, 1, 6, 6), (4, 1, 6, 6),
    ]  # fmt: skip
    # A square of 0.4 torsos of 50 pixels around (30, 40), between two landmarks.
    points[:, [11, 12]], points[:, [23, 24]] = torch.tensor([48.0, 20]), torch.tensor([48.0, 70])
    points[:, 15], points[:, 19] = torch.tensor([25.0, 40]), torch.tensor([35.0, 40])
    place = torch.stack(torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="xy"))
    seen = discriminators.square_around(
        place.expand(4, -1, -1, -1) + 0.5, points, (15, 19), 0.4, 21
    )
    torch.testing.assert_close(seen[0, :, 10, 10], torch.tensor([30.0, 40.0]))
    torch.testing.assert_close(seen[0, 0, 0, [0, 20]], torch.tensor([20.0, 40.0]))


def test_muon_takes_orthogonal_steps():
    weight = nn.Parameter(torch.zeros(4, 2, 3, 3))
    optimiser = Muon([weight], 0.1)
    (weight * torch.randn(4, 2, 3, 3)).sum().backward()
    optimiser.step()
    lengths = torch.linalg.svdvals(weight.detach().flatten(1)) / 0.1
    assert lengths.min() > 0.5 and lengths.max() < 1.4, "whatever the gradient's were"


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_muon_stays_finite_where_gradients_have_few_directions(rank):
    weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
    optimiser = Muon([weight], 0.1)
    weight.grad = (torch.randn(32, rank) @ torch.randn(rank, 144)).view_as(weight) * 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        optimiser.step()
    lengths = torch.linalg.svdvals(weight.detach().flatten(1)) / 0.1
    assert (lengths[:rank] > 0.5).all() and (lengths[:rank] < 1.4).all()
    assert lengths[rank:].max() < 0.01, "no direction that the gradient had not"
