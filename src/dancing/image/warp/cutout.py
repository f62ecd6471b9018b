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

from dancing.body.skeleton import ARMS, LEGS, LIMB_BONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_MATTE_SIZE = 256
"""Pixels a side of the coarse matte, a little wider than the person is high."""
_AROUND = 12
"""Pixels of the coarse matte around the person that are looked at."""
_WORK = 640
"""Pixels that the longer side has where the edge is searched for."""
_CELLS = 24
"""Cells of place along the longer side."""
_BINS = 16
"""Bins of each of three colours."""


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
    pixel = size / _MATTE_SIZE
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
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORK / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    share = _edge(small, coarse, points * [scale, scale, 1], pixel * scale)
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    fine = _guided(picture, share, max(1, round(1.5 * pixel)), 1e-4)
    fine = ((fine - 0.08) / 0.84).clip(0, 1)
    return (fine * 255 + 0.5).astype(np.uint8)


def _edge(
    picture: NDArray[np.uint8], matte: NDArray[np.uint8], points: NDArray[np.floating], pixel: float
) -> Floats:
    """Where the person is, in [0, 1], nearly always 0 or 1."""
    prior = _prior(matte, points, pixel)
    bins = _bins(picture)
    evidence = prior
    for sure in (2.0, 1.0):
        colours = _evidence(bins, evidence > sure, evidence < -sure)
        evidence = _guided(picture, prior + colours, max(1, round(2 * pixel)), 1e-3)
    return 1 / (1 + np.exp(-2 * evidence.clip(-20, 20)))


def _prior(matte: NDArray[np.uint8], points: NDArray[np.floating], pixel: float) -> Floats:
    """The logit of being the person, without looking at colours."""
    import cv2

    person = (matte > 127).astype(np.uint8)
    inside = cv2.distanceTransform(person, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - person, cv2.DIST_L2, 3)
    distance = (inside - outside) / pixel
    return (1.2 * distance).clip(-6, 6)


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
    counts = [_histogram(bins[where], shape) for where in (person, scene)]
    a, b = (c / (c.sum((2, 3, 4), keepdims=True) + 1) for c in counts)
    return np.log((a + 1e-3) / (b + 1e-3)).ravel()[bins].clip(-4, 4)


def _histogram(bins: NDArray[np.int32], shape: tuple[int, ...]) -> Floats:
    counts = np.bincount(bins, minlength=math.prod(shape)).astype(np.float32).reshape(shape)
    for axis in range(5):
        times = 2 if axis < 2 else 1
        for _ in range(times):
            padded = np.pad(counts, [(1, 1) if k == axis else (0, 0) for k in range(5)])
            n = counts.shape[axis]
            take = lambda k: np.take(padded, np.arange(k, k + n), axis)
            counts = take(0) + 2 * take(1) + take(2)
    return counts


def _guided(picture: NDArray[np.uint8], values: Floats, radius: int, floor: float) -> Floats:
    """Smooth values but not across the picture's edges.

    Args:
        picture: (H, W, 3) uint8.
        values: (H, W).
        radius: of the windows, in pixels.
        floor: variance in a window, of colours in [0, 1], that counts as flat.
    """
    import cv2

    def mean(plane: Floats) -> Floats:
        return cv2.blur(plane, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101)

    planes = [plane.astype(np.float32) / 255 for plane in cv2.split(picture)]
    values = values.astype(np.float32)
    means = [mean(plane) for plane in planes]
    average = mean(values)
    with_values = [mean(p * values) - m * average for p, m in zip(planes, means, strict=True)]
    (rr, rg, rb), (gg, gb), (bb,) = (
        [mean(planes[i] * planes[j]) - means[i] * means[j] for j in range(i, 3)] for i in range(3)
    )
    rr, gg, bb = rr + floor, gg + floor, bb + floor
    # The inverse of the symmetric matrix of covariances, by cofactors.
    inverse = {
        (0, 0): gg * bb - gb * gb, (0, 1): rb * gb - rg * bb, (0, 2): rg * gb - rb * gg,
        (1, 1): rr * bb - rb * rb, (1, 2): rg * rb - rr * gb, (2, 2): rr * gg - rg * rg,
    }  # fmt: skip
    determinant = rr * inverse[0, 0] + rg * inverse[0, 1] + rb * inverse[0, 2]
    slopes = [
        sum(inverse[min(i, j), max(i, j)] * with_values[j] for j in range(3)) / determinant
        for i in range(3)
    ]
    offset = average - sum(s * m for s, m in zip(slopes, means, strict=True))
    return mean(offset) + sum(mean(s) * p for s, p in zip(slopes, planes, strict=True))


def _foreground(
    picture: NDArray[np.uint8], alpha: NDArray[np.uint8], pixel: float
) -> NDArray[np.uint8]:
    """The person's colours: the picture's inside, continued outside.

    After Forte, "Approximate Fast Foreground Colour Estimation", 2021, https://doi.org/10.1109/
    ICIP42928.2021.9506164.
    """
    import cv2

    share = (alpha.astype(np.float32) / 255)[..., None]
    colours = picture.astype(np.float32)
    person, scene = colours, colours
    for radius in (max(8, round(10 * pixel)), max(2, round(pixel))):
        size = (2 * radius + 1, 2 * radius + 1)
        weight = cv2.blur(share[..., 0], size)[..., None]
        inside = cv2.blur(person * share, size) / (weight + 1e-5)
        outside = cv2.blur(scene * (1 - share), size) / (1 - weight + 1e-5)
        person = inside + share * (colours - share * inside - (1 - share) * outside)
        person = person.clip(0, 255)
        scene = outside
    return np.where(share == 1, picture, (person + 0.5).astype(np.uint8))
