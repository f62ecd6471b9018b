"""Cut a person out of a picture: a sharp matte from a coarse one, and colours without the scene's.

The pose network's matte is right but for a few of its pixels, each of which is many of a large
picture. So it serves as a prior: what the colours are near a place on either side of its edge
(histograms over cells of place and colour, which know several colours a side) says where the edge
runs, and the picture's own edges make that neat: the evidence is smoothed by a filter that does
not cross them (Rhemann et al., "Fast Cost-Volume Filtering", 2011, https://doi.org/10.1109/
CVPR.2011.5995372; He et al., "Guided Image Filtering", 2010, https://doi.org/10.1007/
978-3-642-15549-9_1), and so is the alpha that comes of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from dancing.body.skeleton import ARMS, LEGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    _Line = tuple[NDArray[np.floating], NDArray[np.floating], float]

_MATTE_SIZE = 256
"""Pixels a side of the coarse matte, a little wider than the person is high."""
_AROUND = 12
"""Pixels of the coarse matte around the person that are looked at."""
_WORK = 640
"""Pixels that the longer side has where the edge is searched for."""
_BROAD = 1600
"""Pixels that the longer side has where the mean colours around are taken."""
_CELLS = 24
"""Cells of place along the longer side."""
_BINS = 16
"""Bins of each of three colours."""
_FLAT = 3e-5
"""Variance of colours in [0, 1] that is noise, no edge."""
_LEAST_RADIUS = 3
"""Radius in pixels from which windows of the smoothing are found on a smaller picture."""
_SURE = 3.0
"""Logit of the prior beyond which colours are not asked."""
_PLAIN = 4.0
"""Logit of prior and colours beyond which no other edge is sought."""
_CUT = 0.12
"""Share below which a pixel is none of the person, and above whose complement wholly."""
_FEW = 30.0
"""Pixels known near a place that tell as much of its colours as all the others together."""
_LITTLE = 1e-3
"""Share of the person, or of the scene, in the surroundings that tells nothing of its colour."""
_SEEN = 0.5
"""Least visibility of a landmark that says where the person is."""


def cut_out(
    picture: NDArray[np.uint8], matte: NDArray[np.uint8], points: NDArray[np.floating]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut a person out of a picture.

    Args:
        picture: (H, W, 3) uint8.
        matte: (H, W) uint8, as `dancing.data.landmarker` gives it: right but for some pixels of a
            picture of 256x256 around the person.
        points: (33, 6) landmarks: x, y in pixels of the picture, then visibility in [0, 1].

    Returns:
        (H, W, 3) uint8, the person's colours, without the scene's where both are mixed, and
        continued outside the person; (H, W) uint8, 255 where the person is, 0 where not.
    """
    places = points[:, :2]
    size = float(np.ptp(places, axis=0).max())
    rows, columns = (np.flatnonzero((matte > 127).any(axis)) for axis in (1, 0))
    if not len(rows):
        return picture.copy(), np.zeros_like(matte)
    size = max(size, float(np.ptp(rows)), float(np.ptp(columns))) * 1.2
    pixel = max(size, 1.0) / _MATTE_SIZE
    around = math.ceil(_AROUND * pixel)
    top, bottom = max(rows[0] - around, 0), rows[-1] + 1 + around
    left, right = max(columns[0] - around, 0), columns[-1] + 1 + around
    box = np.s_[top:bottom, left:right]
    alpha = np.zeros_like(matte)
    alpha[box] = _alpha(picture[box], matte[box], points[:, :3] - [left, top, 0], pixel)
    colour = picture.copy()
    colour[box] = _foreground(picture[box], alpha[box], pixel)
    return colour, alpha


def _alpha(
    picture: NDArray[np.uint8], matte: NDArray[np.uint8], points: NDArray[np.floating], pixel: float
) -> NDArray[np.uint8]:
    """The matte of a person at full size.

    Args:
        picture, matte, points: as of `cut_out`, of the box around the person.
        pixel: the width of a pixel of the coarse matte.
    """
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORK / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    person = _person(small, coarse, points * [scale, scale, 1], pixel * scale)
    share = cv2.resize(person.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # An edge lies somewhere within a pixel, not between two.
    share = cv2.GaussianBlur(share, (0, 0), 0.8)
    fine = _guided(picture, share, pixel)
    return (((fine - _CUT) / (1 - 2 * _CUT)).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _person(
    picture: NDArray[np.uint8], matte: NDArray[np.uint8], points: NDArray[np.floating], pixel: float
) -> NDArray[np.uint8]:
    """Where the person is: 1, elsewhere 0. Arguments as of `_alpha`, but small."""
    import cv2

    prior = _prior(matte, points, pixel)
    bins = _bins(picture)
    evidence = prior
    for sure in (2.0, 1.0):
        colours = _evidence(bins, evidence > sure, evidence < -sure)
        evidence = _guided(picture, prior + 2 * colours, pixel)
    cut = np.where(evidence > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cut[(prior > _SURE) | (evidence > _PLAIN)] = cv2.GC_FGD
    cut[(prior < -_SURE) | (evidence < -_PLAIN)] = cv2.GC_BGD
    kinds = cut & 1
    if kinds.any() and not kinds.all():
        model = np.zeros((2, 1, 65))
        blue_first = np.ascontiguousarray(picture[..., ::-1])
        cv2.grabCut(blue_first, cut, None, *model, 2, cv2.GC_INIT_WITH_MASK)
    return _whole(cut & 1, points, pixel)


def _prior(matte: NDArray[np.uint8], points: NDArray[np.floating], pixel: float) -> Floats:
    """The logit of being the person, without looking at colours; beyond _SURE it is settled."""
    import cv2

    person = (matte > 127).astype(np.uint8)
    inside = cv2.distanceTransform(person, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - person, cv2.DIST_L2, 3)
    # In pixels of the coarse matte; where nothing ends, OpenCV says the largest number there is.
    distance = (inside - outside).clip(-8 * pixel, 8 * pixel) / pixel
    share = matte.astype(np.float32).clip(4, 251) / 255
    prior = 0.5 * np.log(share / (1 - share)) + (0.4 * distance).clip(-3, 3)
    # The coarse matte often misses thin limbs, hands and feet: there colours decide. They do where
    # it fills the gaps between fingers, too; skin is seldom like the scene, but shoes often are.
    limbs, hands = np.zeros_like(matte), np.zeros_like(matte)
    for lines, drawn in ((_limbs(points), limbs), (_hands(points), hands)):
        for first, last, thickness in lines:
            a, b = (tuple(int(v) for v in np.rint(end)) for end in (first, last))
            cv2.line(drawn, a, b, 255, max(1, round(thickness)))
    prior[limbs > 0] = prior[limbs > 0].clip(0)
    prior[hands > 0] = prior[hands > 0].clip(0, 1)
    return prior


def _limbs(points: NDArray[np.floating]) -> Iterator[_Line]:
    """Start, end and thickness of a line along each bone of arms, legs and feet that is seen."""
    places, seen = points[:, :2], points[:, 2] > _SEEN
    bones = [(bone, 0.2) for limb in (*ARMS, *LEGS) for bone in limb.bones[:2]]
    for leg in LEGS:
        bones += [((leg.ankle, leg.heel), 0.5), ((leg.heel, leg.toe), 0.3)]
    for (first, last), share in bones:
        if seen[[first, last]].all():
            length = float(np.linalg.norm(places[last] - places[first]))
            yield places[first], places[last], share * length


def _hands(points: NDArray[np.floating]) -> Iterator[_Line]:
    """Start, end and thickness of lines along the fingers that are seen."""
    places, seen = points[:, :2], points[:, 2] > _SEEN
    for arm in ARMS:
        hand = [arm.wrist, arm.pinky, arm.index_finger, arm.thumb]
        if seen[hand].all():
            palm = float(np.linalg.norm(places[hand[1:3]].mean(0) - places[arm.wrist]))
            # Landmarks are on the knuckles, and on the thumb's last joint.
            for joint, beyond, share in zip(
                hand[1:], (0.6, 0.6, 0.3), (0.4, 0.4, 0.3), strict=True
            ):
                reach = places[joint] - places[arm.wrist]
                yield places[arm.wrist], places[joint] + beyond * reach, share * palm


def _whole(
    person: NDArray[np.uint8], points: NDArray[np.floating], pixel: float
) -> NDArray[np.uint8]:
    """The person without islands that no landmark is on, and without specks of scene inside."""
    import cv2

    height, width = person.shape
    _, islands = cv2.connectedComponents(person, connectivity=4)
    seen = np.rint(points[points[:, 2] > _SEEN, :2]).astype(int)
    seen = seen[((seen >= 0) & (seen < [width, height])).all(1)]
    mine = np.zeros(islands.max() + 1, bool)
    mine[islands[seen[:, 1], seen[:, 0]]] = True
    if len(mine) > 1:
        mine[1 + np.bincount(islands.ravel())[1:].argmax()] = True
    mine[0] = False
    person = mine[islands].astype(np.uint8)
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - person, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < (2 * pixel) ** 2
    return person | small[holes]


def _bins(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The bin of place and colour of each pixel, as in a flat histogram."""
    import cv2

    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32)
    lab[..., 0] >>= 4
    lab[..., 1:] = ((lab[..., 1:] - 128) // 5 + _BINS // 2).clip(0, _BINS - 1)
    height, width = picture.shape[:2]
    side = max(height, width) / _CELLS
    y = (np.arange(height) / side).astype(np.int32)
    x = (np.arange(width) / side).astype(np.int32)
    cells = y[:, None] * (x[-1] + 1) + x
    return ((cells * _BINS + lab[..., 0]) * _BINS + lab[..., 1]) * _BINS + lab[..., 2]


def _evidence(
    bins: NDArray[np.int32], person: NDArray[np.bool_], scene: NDArray[np.bool_]
) -> Floats:
    """The logarithm of how much likelier each pixel's colour is for the person than the scene."""
    height, width = bins.shape
    side = max(height, width) / _CELLS
    cells = (int((height - 1) / side) + 1, int((width - 1) / side) + 1)
    shape = (*cells, _BINS, _BINS, _BINS)
    likely = []
    for where in (person, scene):
        counts = _histogram(bins[where], shape)
        everywhere = counts.sum((0, 1)) / max(float(counts.sum()), 1)
        # Where few are known, as elsewhere.
        total = counts.sum((2, 3, 4), keepdims=True) + _FEW
        likely.append((counts + _FEW * everywhere) / total)
    a, b = likely
    return np.log((a + 1e-3) / (b + 1e-3)).ravel()[bins].clip(-4, 4)


def _histogram(bins: NDArray[np.int32], shape: tuple[int, ...]) -> Floats:
    """Counts of pixels by place and colour, each shared out to the neighbouring bins."""
    counts = np.bincount(bins, minlength=math.prod(shape)).astype(np.float32).reshape(shape)
    for axis, times in enumerate((2, 2, 1, 1, 1)):
        for _ in range(times):
            counts = ndimage.convolve1d(counts, [0.25, 0.5, 0.25], axis, mode="constant")
    return counts


def _guided(picture: NDArray[np.uint8], values: Floats, radius: float) -> Floats:
    """Smooth values but not across the picture's edges.

    What is fitted in a window changes slowly and is found on a smaller picture where windows are
    large (He and Sun, "Fast Guided Filter", 2015, https://arxiv.org/abs/1505.00996).

    Args:
        picture: (H, W, 3) uint8.
        values: (H, W).
        radius: of the windows, in pixels.
    """
    import cv2

    height, width = values.shape
    step = max(1, int(radius / _LEAST_RADIUS))
    size = (-(-width // step), -(-height // step))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    few = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    side = 2 * max(1, round(radius / step)) + 1

    def mean(planes: Floats) -> Floats:
        return cv2.blur(planes, (side, side), borderType=cv2.BORDER_REFLECT)

    planes = cv2.split(small)
    means = [mean(plane) for plane in planes]
    average = mean(few)
    shared = [mean(p * few) - m * average for p, m in zip(planes, means, strict=True)]
    rr, rg, rb, gg, gb, bb = (
        mean(planes[i] * planes[j]) - means[i] * means[j] for i in range(3) for j in range(i, 3)
    )
    rr, gg, bb = rr + _FLAT, gg + _FLAT, bb + _FLAT
    # The inverse of the symmetric matrix of covariances, by cofactors.
    first = (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg)
    second = (first[1], rr * bb - rb * rb, rg * rb - rr * gb)
    third = (first[2], second[2], rr * gg - rg * rg)
    determinant = rr * first[0] + rg * first[1] + rb * first[2]
    fit = [
        (row[0] * shared[0] + row[1] * shared[1] + row[2] * shared[2]) / determinant
        for row in (first, second, third)
    ]
    fit.append(average - fit[0] * means[0] - fit[1] * means[1] - fit[2] * means[2])
    red, green, blue, offset = (
        cv2.resize(mean(plane), (width, height), interpolation=cv2.INTER_LINEAR) for plane in fit
    )
    colours = picture.astype(np.float32) / 255
    return colours[..., 0] * red + colours[..., 1] * green + colours[..., 2] * blue + offset


def _foreground(
    picture: NDArray[np.uint8], alpha: NDArray[np.uint8], pixel: float
) -> NDArray[np.uint8]:
    """The person's colours: the picture's inside, continued outside.

    After Forte, "Approximate Fast Foreground Colour Estimation", 2021, https://doi.org/10.1109/
    ICIP42928.2021.9506164.
    """
    import cv2

    if not alpha.any():
        return picture
    height, width = alpha.shape
    scale = min(1.0, _BROAD / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    colours: Floats = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share: Floats = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = share[..., None] / np.float32(255)
    person = outside = colours
    inside = np.broadcast_to((colours * share).sum((0, 1)) / share.sum(), colours.shape)
    for radius in (max(8, round(10 * pixel * scale)), max(2, round(pixel * scale))):
        # Where there is none of either near, it is as it is farther around.
        inside = _around(person, share, inside, radius)
        outside = _around(outside, 1 - share, outside, radius)
        person = _unmixed(colours, share, inside, outside)
    rim = alpha < 255
    inside, outside = (cv2.resize(planes, (width, height))[rim] for planes in (inside, outside))
    share = alpha[rim].astype(np.float32)[:, None] / np.float32(255)
    colour = picture.copy()
    person = _unmixed(picture[rim].astype(np.float32), share, inside, outside)
    colour[rim] = (person + 0.5).astype(np.uint8)
    return colour


def _unmixed(mixed: Floats, share: Floats, inside: Floats, outside: Floats) -> Floats:
    """The person's colours, of what is mixed of the person's and the scene's that are near."""
    return (inside + share * (mixed - share * inside - (1 - share) * outside)).clip(0, 255)


def _around(colours: Floats, weights: Floats, otherwise: Floats, radius: int) -> Floats:
    """Means of colours (H, W, 3) in windows, by weights (H, W, 1); otherwise, if all are 0."""
    import cv2

    height, width = colours.shape[:2]
    step = max(1, radius // 4)
    size = (-(-width // step), -(-height // step))
    side = 2 * max(1, radius // step) + 1

    def mean(planes: Floats) -> Floats:
        few = cv2.resize(planes, size, interpolation=cv2.INTER_AREA)
        smooth = cv2.resize(cv2.blur(few, (side, side)), (width, height))
        return smooth.reshape(height, width, -1)

    return (mean(colours * weights) + _LITTLE * otherwise) / (mean(weights) + _LITTLE)
