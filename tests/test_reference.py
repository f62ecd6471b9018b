"""Fast code against slow and plain code: the same values, and the same gradients.

What is written for speed (16-bit integers, windows moved by matrices, products of factors, sorting
by hand) is compared with its definition, pixel by pixel or in double precision, or with the
package that the field takes for it.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional import image as torchmetrics

from dancing.image.compositing import SHADE_STRIDE, darken, lay_over, scaled, within
from dancing.image.limbs import maps as limb_maps
from dancing.image.scene import _quantile
from dancing.media.video import resize
from dancing.metrics import psnr, ssim
from dancing.training import muon
from dancing.training.muon import Muon

# ------------------------------------------------------------------------------- maps of limbs

WIDTH, HEIGHT = 14, 11
# Start and end in cells: slanting, upright, backwards, beyond the edge, shorter than its radius, a
# point, and far outside.
BONES = np.array(
    [
        [[3.2, 2.1], [9.7, 7.4]], [[5.0, 1.0], [5.0, 9.0]], [[12.3, 8.8], [2.4, 8.1]],
        [[10.1, 3.3], [17.9, 5.2]], [[6.4, 5.5], [6.9, 5.3]], [[4.13, 4.29], [4.13, 4.29]],
        [[-60.0, 20.0], [-50.0, 30.0]],
    ]
)  # fmt: skip
RADII = np.array([1.2, 0.8, 2.0, 1.5, 1.1, 0.9, 1.0])


def capsule(start, end, radius, x, y):
    """The three values of one bone at one point, all lengths in cells."""
    end = end + 1e-3
    bone = end - start
    length = np.sqrt(bone @ bone)
    unit = bone / length
    offset = np.array([x, y]) - start
    place = min(max(offset @ unit, 0.0), length)  # of the nearest point of the bone
    nearest = start + place * unit
    distance = np.hypot(*(np.array([x, y]) - nearest))
    near = np.exp(max(-(distance**2) / (2 * radius**2), -30.0))
    side = (offset[0] * unit[1] - offset[1] * unit[0]) / radius
    return near, near * place / length, near * side * length / (length + 0.5)


def capsules(bones, radii, width=WIDTH, height=HEIGHT):
    """(3, bones, height, width), a pixel at a time."""
    return np.array(
        [
            [
                [capsule(start, end, radius, x + 0.5, y + 0.5) for x in range(width)]
                for y in range(height)
            ]
            for (start, end), radius in zip(bones, radii, strict=True)
        ]
    ).transpose(3, 0, 1, 2)


def fast_capsules(bones, log_radii, width=WIDTH, height=HEIGHT):
    start, end = bones[None].unbind(2)
    return torch.stack(limb_maps.capsule_maps(start, end, log_radii, width, height))[:, 0]


def test_capsule_maps_are_their_formula_at_every_pixel():
    expected = capsules(BONES, RADII)
    maps = fast_capsules(torch.from_numpy(BONES), torch.from_numpy(RADII).log())
    np.testing.assert_allclose(maps, expected, atol=1e-12)
    single = fast_capsules(torch.from_numpy(BONES).float(), torch.from_numpy(RADII).float().log())
    np.testing.assert_allclose(single, expected, atol=2e-5)


def test_capsule_maps_have_the_gradient_of_their_formula():
    """Against central differences of the plain code, for ends and radii."""
    weights = np.random.default_rng(0).normal(size=(3, len(BONES), HEIGHT, WIDTH))
    bones = torch.from_numpy(BONES).requires_grad_()
    log_radii = torch.from_numpy(np.log(RADII)).requires_grad_()
    (fast_capsules(bones, log_radii) * torch.from_numpy(weights)).sum().backward()
    step = 1e-5
    for bone in range(len(BONES)):

        def total(flat, bone=bone):
            maps = capsules([flat[:4].reshape(2, 2)], [np.exp(flat[4])])
            return (maps * weights[:, bone : bone + 1]).sum()

        values = np.append(BONES[bone].ravel(), np.log(RADII[bone]))
        slopes = [
            (total(values + step * one) - total(values - step * one)) / (2 * step)
            for one in np.eye(5)
        ]
        found = np.append(bones.grad[bone].ravel(), log_radii.grad[bone])
        np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-6, err_msg=str(BONES[bone]))


def finger_maps():
    """The module in double precision, and landmarks (3, 33, 2) of arms in a crop of 160x128."""
    torch.manual_seed(0)
    maps = limb_maps.FingerMaps().double()
    random = np.random.default_rng(5)
    landmarks = random.uniform(0, 1, (3, 33, 2)) * [160, 128]
    for shoulder in (11, 12):
        wrist, *ends = (shoulder + k for k in (4, 6, 8, 10))
        landmarks[:, ends] = landmarks[:, [wrist]] + random.normal(0, 8, (3, 3, 2))
    # One hand over the crop's corner, another outside.
    landmarks[1, 11:23:2] += [154, 122] - landmarks[1, 15]
    landmarks[2, 12:23:2] += [-100, 60] - landmarks[2, 16]
    # Fingers as long as hands of these pictures have, in all directions from the wrist.
    with torch.no_grad():
        maps.fingers.layers[-1].weight.mul_(3)
        maps.fingers.layers[-1].bias.copy_(torch.from_numpy(random.normal(0, 1, 20)))
    return maps, torch.from_numpy(landmarks)


def whole_crop(maps, landmarks, width, height):
    """Maps of all fingers over the whole crop, without the windows around hands."""
    fingers = maps.fingers(landmarks) / 2
    drawn = limb_maps.capsule_maps(*fingers.unbind(2), maps.log_radius, width // 2, height // 2)
    return torch.stack([part.sum(1) for part in drawn], 1)


def test_finger_maps_in_windows_are_those_of_the_whole_crop():
    maps, landmarks = finger_maps()
    fast, slow = maps(landmarks, 160, 128), whole_crop(maps, landmarks, 160, 128)
    assert (slow[0, 0] > 0.9).sum() > 20 and (slow[1, 0, :, 77:] > 0.5).any()
    assert torch.equal(fast > 1e-6, slow > 1e-6)
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)


def test_finger_maps_in_windows_have_the_gradients_of_the_whole_crop():
    """For the landmarks, the radii and the network that says where fingers are."""
    maps, landmarks = finger_maps()
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 3, 64, 80)))
    gradients = []
    for draw in (maps, lambda *inputs: whole_crop(maps, *inputs)):
        points = landmarks.clone().requires_grad_()
        maps.zero_grad()
        (draw(points, 160, 128) * weights).sum().backward()
        gradients.append([points.grad, *(value.grad.clone() for value in maps.parameters())])
    for fast, slow in zip(*gradients, strict=True):
        assert slow.abs().max() > 1e-3
        torch.testing.assert_close(fast, slow, atol=1e-8, rtol=1e-8)


# ---------------------------------------------------------------------------------------- Muon


def newton_schulz(singular):
    """Jordan's quintic, five times, on singular values of a matrix whose Frobenius norm is 1."""
    for _ in range(5):
        singular = 3.4445 * singular - 4.7750 * singular**3 + 2.0315 * singular**5
    return singular


@pytest.mark.parametrize("shape", [(12, 12), (8, 40), (40, 8), (1, 9)])
def test_steps_of_muon_are_orthogonal_as_far_as_newton_and_schulz_go(shape):
    """Against the singular value decomposition: vectors kept, values in their known band."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        rank = min(shape)
        left, _ = np.linalg.qr(random.normal(size=(shape[0], rank)))
        right, _ = np.linalg.qr(random.normal(size=(shape[1], rank)))
        values = np.exp(random.uniform(np.log(0.03), 0, rank)) * 10.0 ** random.uniform(-5, 5)
        matrix = (left * values) @ right.T
        found = muon._orthogonal(torch.from_numpy(matrix)).numpy()
        inner = left.T @ found @ right
        # The same vectors: nothing outside of them, nor across.
        np.testing.assert_allclose(found, left @ inner @ right.T, atol=1e-9)
        np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-9)
        scaled = values / (np.sqrt((values**2).sum()) + 1e-7)
        np.testing.assert_allclose(np.diag(inner), newton_schulz(scaled), atol=1e-9)
        if values.min() > 1e-5:  # else the guard against division by zero shows
            assert (np.diag(inner) > 0.68).all() and (np.diag(inner) < 1.21).all()


@pytest.mark.parametrize("shape", [(16, 2, 3, 3), (6, 5)])
def test_muon_is_nesterov_momentum_made_orthogonal(shape):
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=shape), random.normal(size=(3, *shape))
    weight = nn.Parameter(torch.from_numpy(start.copy()))
    optimiser = Muon([weight], 0.1, momentum=0.9)
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
    momentum, expected = np.zeros(shape), start.copy()
    for gradient in gradients:
        momentum = 0.9 * momentum + 0.1 * gradient
        ahead = (0.1 * gradient + 0.9 * momentum).reshape(shape[0], -1)
        left, values, right = np.linalg.svd(ahead, full_matrices=False)
        step = (left * newton_schulz(values / np.linalg.norm(values))) @ right
        # Tall matrices take larger steps, so that what comes out changes as much.
        factor = max(1, step.shape[0] / step.shape[1]) ** 0.5
        expected -= 0.1 * factor * step.reshape(shape)
    np.testing.assert_allclose(weight.detach(), expected, atol=1e-6)


# --------------------------------------------------------------------------------- compositing


def test_laying_over_is_exact_for_every_colour_and_matte():
    """All colours by all mattes, over every fifth shade of the scene: rounded to the nearest."""
    colour, matte = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    layers = np.stack([colour, 255 - colour, colour // 2, matte], -1).astype(np.uint8)
    for scene in range(0, 256, 5):
        frame = np.full((256, 256, 3), scene, np.uint8)
        lay_over(frame, layers, (0, 0))
        opacity = layers[..., 3:] / 255
        expected = layers[..., :3] * opacity + scene * (1 - opacity)
        # Halves cannot occur: 255 is odd.
        np.testing.assert_array_equal(frame, np.rint(expected))


def test_laying_over_touches_its_box_and_an_empty_frame_takes_the_layers():
    layers = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    frame = np.full((20, 30, 3), 90, np.uint8)
    lay_over(frame, layers, (4, 11))
    outside = np.ones((20, 30), bool)
    outside[11:16, 4:11] = False
    assert (frame[outside] == 90).all()
    opacity = layers[..., 3:] / 255
    expected = np.rint(layers[..., :3] * opacity + 90 * (1 - opacity))
    np.testing.assert_array_equal(frame[11:16, 4:11], expected)
    empty = np.zeros((20, 30, 4), np.uint8)
    lay_over(empty, layers, (4, 11))
    np.testing.assert_array_equal(empty[11:16, 4:11], layers)
    assert not empty[outside].any()


def bilinear(shade, size, frame):
    """The shade at a pixel's middle, between the middles of cells of 8x8 pixels of the picture."""
    (width, height), (rows, columns) = size, shade.shape
    smooth = np.zeros(frame)
    for i in range(frame[0]):
        for j in range(frame[1]):
            y = np.clip((i + 0.5) * height / frame[0] / SHADE_STRIDE - 0.5, 0, rows - 1)
            x = np.clip((j + 0.5) * width / frame[1] / SHADE_STRIDE - 0.5, 0, columns - 1)
            top, left = min(int(y), rows - 2), min(int(x), columns - 2)
            v, u = y - top, x - left
            smooth[i, j] = (
                shade[top, left] * (1 - v) * (1 - u)
                + shade[top, left + 1] * (1 - v) * u
                + shade[top + 1, left] * v * (1 - u)
                + shade[top + 1, left + 1] * v * u
            )
    return smooth


@pytest.mark.parametrize("frame", [(48, 80), (96, 160), (36, 60), (53, 90)])
def test_a_shadow_is_that_of_float_arithmetic(frame):
    """What is kept is rounded to 255 steps, and the product again."""
    random = np.random.default_rng(0)
    shade = np.zeros((8, 12), np.float32)
    shade[2:6, 3:9] = random.uniform(0.02, 1, (4, 6))
    expected = bilinear(shade, (80, 48), frame)
    before = random.integers(0, 256, (*frame, 3), dtype=np.uint8)
    after = before.copy()
    darken(after, shade, (80, 48))
    error = after - before * (1 - expected[..., None])
    assert np.abs(error).max() <= 1
    np.testing.assert_array_equal(after[expected == 0], before[expected == 0])


def test_shadows_of_less_than_two_steps_are_left_out():
    frame = np.full((64, 64, 3), 200, np.uint8)
    darken(frame, np.full((8, 8), 1.9 / 255, np.float32), (64, 64))
    assert (frame == 200).all()
    darken(frame, np.full((8, 8), 2.1 / 255, np.float32), (64, 64))
    assert (frame == 198).all(), "200 * 253 / 255, rounded"


@pytest.mark.parametrize("corner", [(0, 0), (10, 6), (44, 34)])
def test_a_scaled_person_is_the_mean_of_its_pixels(corner):
    """At half the size a pixel is the mean of four, wherever the person's own corner falls."""
    random = np.random.default_rng(1)
    layers = random.integers(20, 256, (14, 20, 4), dtype=np.uint8)
    canvas = np.zeros((48, 64, 4))
    canvas[corner[1] : corner[1] + 14, corner[0] : corner[0] + 20] = layers
    means = canvas.reshape(24, 2, 32, 2, 4).mean((1, 3))
    found, (left, top) = scaled(layers, corner, (64, 48), (32, 24))
    assert found.shape == (7, 10, 4) and (left, top) == (corner[0] // 2, corner[1] // 2)
    expected = means[top : top + 7, left : left + 10]
    # FFmpeg's scaler rounds twice.
    assert np.abs(found - expected).max() <= 2
    assert np.abs((found - expected).mean()) < 0.5


@pytest.mark.parametrize("wanted", [(96, 72), (40, 30)])
def test_a_scaled_person_is_cut_from_the_scaled_picture(wanted):
    layers = np.random.default_rng(1).integers(20, 256, (15, 21, 4), dtype=np.uint8)
    canvas = np.zeros((48, 64, 4), np.uint8)
    canvas[7:22, 9:30] = layers
    whole = resize(canvas, *wanted)
    found, (left, top) = scaled(layers, (9, 7), (64, 48), wanted)
    height, width = found.shape[:2]
    np.testing.assert_array_equal(found, whole[top : top + height, left : left + width])
    whole[top : top + height, left : left + width] = 0
    assert not whole[..., 3].any(), "nothing of her is left out"


@pytest.mark.parametrize("corner", [(-5, -3), (20, 10), (58, 40), (-30, 0)])
def test_what_is_within_the_picture_is_the_smallest_box_of_its_matte(corner):
    layers = np.zeros((16, 24, 4), np.uint8)
    layers[2:13, 4:21] = 200
    layers[..., :3] = 77  # colour without a matte is nothing
    canvas = np.zeros((48 + 80, 64 + 80), np.uint8)
    canvas[40 + corner[1] :][:16, 40 + corner[0] :][:, :24] = layers[..., 3]
    rows, columns = np.nonzero(canvas[40 : 40 + 48, 40 : 40 + 64])
    found, (left, top) = within(layers, np.array(corner), (64, 48))
    if not len(rows):
        assert not found.size
        return
    assert (left, top) == (columns.min(), rows.min())
    assert found.shape[:2] == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    assert (found[..., 3] == 200).all()


# ----------------------------------------------------------------------------------- quantiles


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.95, 1.0])
def test_quantiles_are_numpys_and_nothing_where_nothing_is(q):
    random = np.random.default_rng(0)
    values = random.uniform(0, 255, (50, 3, 37)).astype(np.float32)
    values[random.random(values.shape) < np.linspace(0, 0.97, 50)[:, None, None]] = np.nan
    values[7] = np.nan
    values[8, :, 1:] = np.nan
    some = ~np.isnan(values).all(-1)
    found = _quantile(values, q)
    assert np.isnan(found[~some]).all()
    np.testing.assert_allclose(found[some], np.nanquantile(values[some], q, axis=-1), rtol=1e-5)


# ------------------------------------------------------------------------------------ measures


def pictures(seed=0):
    """Two grey pictures (64, 80) in [0, 255] with structure, of which one is worse."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :80]
    a = 128 + 60 * np.sin(x / 5) * np.cos(y / 7) + 30 * (x > 40) + random.normal(0, 4, x.shape)
    b = 0.8 * np.roll(a, 1, 1) + 20 + random.normal(0, 10, x.shape)
    return a.clip(0, 255), b.clip(0, 255)


def tensor(picture):
    return torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1)[None].astype(np.float64))


def test_psnr_is_that_of_torchmetrics():
    for seed in range(3):
        a, b = pictures(seed)
        colours = np.stack([a, b, a / 2], -1), np.stack([b, a, b / 2], -1)
        for x, y in ((a, b), colours):
            x, y = x.round().astype(np.uint8), y.round().astype(np.uint8)
            expected = torchmetrics.peak_signal_noise_ratio(tensor(x), tensor(y), data_range=255.0)
            assert psnr(x, y) == pytest.approx(float(expected), abs=1e-5)
            unit = torchmetrics.peak_signal_noise_ratio(
                tensor(x / 255), tensor(y / 255), data_range=1.0
            )
            assert psnr(x / 255, y / 255, data_range=1.0) == pytest.approx(float(unit), abs=1e-5)


def test_ssim_is_that_of_torchmetrics():
    """Gaussian window of sigma 1.5, eleven pixels wide, K1 = 0.01, K2 = 0.03, on luma.

    torchmetrics averages over channels, and, after a padding by reflection, over windows that reach
    over the edge too. We take luma, and windows that lie within the picture, as the paper does: so
    it is given luma, and of its map the inner part counts.
    """

    def theirs(x, y):
        _, similarity = torchmetrics.structural_similarity_index_measure(
            tensor(x), tensor(y), gaussian_kernel=True, sigma=1.5, kernel_size=11,
            data_range=255.0, k1=0.01, k2=0.03, return_full_image=True,
        )  # fmt: skip
        assert similarity.shape[-2:] == x.shape
        return float(similarity[..., 5:-5, 5:-5].mean())

    for seed in range(3):
        a, b = pictures(seed)
        assert 0.2 < theirs(a, b) < 0.95
        assert ssim(a, b) == pytest.approx(theirs(a, b), abs=1e-7)
        colours = [np.stack([x, y, x / 2], -1) for x, y in ((a, b), (b, a))]
        luma = [picture @ [0.299, 0.587, 0.114] for picture in colours]
        assert ssim(*colours) == pytest.approx(theirs(*luma), abs=1e-7)
