"""Measures of pictures: fidelity, sharpness, pose fidelity and steadiness.

A picture is (H, W) grey or (H, W, 3) RGB, uint8 or on any other scale of which `data_range` is
told. All sums are float64: differences in uint8 wrap around, a mistake behind published figures.

A mask (H, W) says which pixels count: those that are True in a bool one, at least 128 in an
integer one such as a uint8 matte, at least 0.5 in a float one. A still background flatters every
score, so give figures on the person's box (`person_box(matte)`) beside those of the whole frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import correlate1d, laplace

from dancing.body.skeleton import HIPS, SHOULDERS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_LUMA = np.array([0.299, 0.587, 0.114])
_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def psnr(
    a: ArrayLike,
    b: ArrayLike,
    mask: ArrayLike | None = None,
    data_range: float | None = None,
) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(data_range^2 / mean (a - b)^2).

    The mean is over all channels of the pixels of the mask. Constant pictures of 8 and 10 in
    uint8 have 42.11 dB.

    Caveat: averages of decibels over frames reward single excellent frames, and a frame that is
    exactly right makes them infinite; a mean squared error can be averaged.

    Args:
        a: (..., H, W) or (..., H, W, 3): one picture or a stack.
        b: the same shape.
        mask: (H, W) or, for a stack, (..., H, W).
        data_range: largest minus smallest possible value; by default 255.

    Returns:
        Decibels; infinity for equal pictures. Never NaN.

    Raises:
        ValueError: for shapes that differ, an empty mask, values that are not finite, or float
            pictures within [0, 1] of which no data_range is told.
    """
    x, y, scale = _pictures(a, b, data_range)
    squares = (x - y) ** 2
    if mask is not None:
        squares = squares[_mask(mask, x.shape)]
    return decibels(float(squares.mean()), scale)


def decibels(squared_error: float, data_range: float = 255.0) -> float:
    """The PSNR of a mean squared error, such as one averaged over frames; infinity without any."""
    if not squared_error > 0:
        return float("inf")
    return float(10 * np.log10(data_range**2 / squared_error))


def ssim(
    a: ArrayLike,
    b: ArrayLike,
    mask: ArrayLike | None = None,
    data_range: float | None = None,
) -> float:
    """Mean structural similarity of two pictures, on luma (Rec. 601).

    Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Processing 13, 2004, with its settings:
    Gaussian window 11x11 of sigma 1.5, K1 = 0.01, K2 = 0.03, population covariances; only windows
    that lie within the picture count. With a mask: the windows whose centre is in it.

    Args:
        a: (H, W) or (H, W, 3), at least 11x11.
        b: the same shape.
        mask: (H, W).
        data_range: as in `psnr`.

    Returns:
        -1 to 1; 1 for equal pictures.
    """
    x, y, scale = _pictures(a, b, data_range)
    x, y = _luma(x), _luma(y)
    if min(x.shape) < _WINDOW:
        raise ValueError(f"a picture of {x.shape} is smaller than the window, {_WINDOW}x{_WINDOW}")
    reach = _WINDOW // 2
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    inner = slice(reach, -reach)

    def local(values: Floats) -> Floats:
        means: Floats = correlate1d(correlate1d(values, weights, axis=0), weights, axis=1)
        return means[inner, inner]

    # Around the mean, so that flat bright pictures lose no digits.
    centre = (x.mean() + y.mean()) / 2
    u, v = x - centre, y - centre
    mu, mv = local(u), local(v)
    variances = (local(u * u) - mu * mu) + (local(v * v) - mv * mv)
    covariance = local(u * v) - mu * mv
    mx, my = mu + centre, mv + centre
    c1, c2 = (_K1 * scale) ** 2, (_K2 * scale) ** 2
    similarity = (2 * mx * my + c1) * (2 * covariance + c2)
    similarity /= (mx * mx + my * my + c1) * (variances + c2)
    if mask is not None:
        chosen = _mask(mask, x.shape)[inner, inner]
        if not chosen.any():
            raise ValueError("the mask has no pixel that is five pixels from the picture's edge")
        similarity = similarity[chosen]
    return float(similarity.mean())


def sharpness(a: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Laplacian energy: mean of the squared 5-point Laplacian of luma.

    Use: generated / real on the same scale of values should be near 1; less is blur, more is
    noise or a checkerboard. In squared units of the picture's values (255^2 for uint8).

    Args:
        a: (H, W) or (H, W, 3).
        mask: (H, W).
    """
    values = _luma(_picture("a", a))
    energy = laplace(values, mode="nearest") ** 2
    return float((energy if mask is None else energy[_mask(mask, values.shape)]).mean())


def face_fit(a: ArrayLike, b: ArrayLike, box: tuple[slice, slice], reach: float = 0.07) -> float:
    """SSIM of the inner face, where it fits best: a face a little beside its place is still a face.

    The inner three fifths of a square around the face are compared with the other picture there and
    at up to `reach` sides of the square from there, in quarters of that distance.

    Args:
        a: (H, W) or (H, W, 3), the drawn picture.
        b: the same shape, the real one.
        box: rows and columns of the face in the real one, a square inside the picture.
        reach: at most a fifth, so that nothing outside the square is looked at.

    Returns:
        As `ssim`; the largest.
    """
    drawn, real = np.asarray(a), np.asarray(b)
    side = box[0].stop - box[0].start
    trim = side // 5
    rows, columns = (slice(part.start + trim, part.stop - trim) for part in box)
    shifts = sorted({round(reach * side * step / 4) for step in range(-4, 5)})
    return max(
        ssim(
            drawn[rows.start + y : rows.stop + y, columns.start + x : columns.stop + x],
            real[rows, columns],
        )
        for y in shifts
        for x in shifts
    )


def person_box(matte: ArrayLike, margin: int = 0) -> Flags:
    """The mask (H, W) of the smallest upright box around a matte, grown by a margin in pixels.

    Raises:
        ValueError: when the matte is empty.
    """
    matte = np.asarray(matte)
    if matte.ndim != 2:
        raise ValueError(f"a matte has shape {matte.shape}, but (H, W) is needed")
    inside = _mask(matte, matte.shape)
    box = np.zeros(inside.shape, bool)
    spans = []
    for axis in (1, 0):
        hit = np.flatnonzero(inside.any(axis))
        spans.append(slice(max(0, hit[0] - margin), hit[-1] + 1 + margin))
    box[spans[0], spans[1]] = True
    return box


def change(before: ArrayLike, after: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Sum of |after - before| over the pixels of a mask and the channels: a term of `steadiness`.

    Args:
        before: one picture.
        after: the next, of the same shape.
        mask: (H, W), of both; an empty one gives 0.
    """
    x, y = _picture("before", before), _picture("after", after)
    if x.shape != y.shape:
        raise ValueError(f"frames change shape, from {x.shape} to {y.shape}")
    difference = np.abs(y - x)
    if mask is not None:
        difference = difference[_mask(mask, x.shape, empty=True)]
    return float(difference.sum())


def steadiness(frames_a: Iterable[Any], frames_b: Iterable[Any], matte: Iterable[Any]) -> float:
    """How much consecutive frames change inside the matte, generated / real.

        mean |a(t+1) - a(t)| / mean |b(t+1) - b(t)|

    over time, channels, and the pixels that are inside the matte in both frames. Near 1 is right:
    more is flicker, less is a picture that does not follow. Frames are taken one after another,
    so arrays on disk and generators will do.

    Args:
        frames_a: T generated pictures.
        frames_b: T real pictures of the same shape.
        matte: T masks (H, W) of the person in the real pictures.

    Returns:
        At least 0. Where nothing changes in the real frames: 1 if nothing does in the generated
        ones either, else infinity.

    Raises:
        ValueError: for different lengths or shapes, less than two frames, or no pixel inside.
    """
    sums = np.zeros(2)
    count = 0
    before: tuple[Floats, Floats, Flags] | None = None
    for a, b, m in zip(frames_a, frames_b, matte, strict=True):
        x, y = _picture("frames_a", a), _picture("frames_b", b)
        if x.shape != y.shape:
            raise ValueError(f"frames have different shapes, {x.shape} and {y.shape}")
        inside = _mask(m, x.shape, empty=True)
        if before is not None:
            if before[0].shape != x.shape:
                raise ValueError(f"frames change shape, from {before[0].shape} to {x.shape}")
            both = inside & before[2]
            sums += [change(before[0], x, both), change(before[1], y, both)]
            count += int(both.sum())
        before = x, y, inside
    if not count:
        raise ValueError("no pixel is inside the matte in two consecutive frames")
    if sums[1] > 0:
        return float(sums[0] / sums[1])
    return float("inf") if sums[0] > 0 else 1.0


def pck(
    a: ArrayLike,
    b: ArrayLike,
    threshold: float = 0.1,
    *,
    visibility: ArrayLike | None = None,
    aspect: float = 1.0,
    joints: Sequence[int] | None = None,
) -> float:
    """Share of correct keypoints: those of a within `threshold` torso lengths of b's.

    After Yang and Ramanan, "Articulated human detection", PAMI 2013. The torso is that of the
    requested pose b in the same frame (mid-shoulder to mid-hip), but at least half of the clip's
    median, since it is foreshortened when a dancer bends towards the camera.

    Args:
        a: (T, 33, 2) or (33, 2), found in the picture; a landmark that was not found (NaN) is
            not correct.
        b: the same shape, the pose asked for; its NaN are left out.
        threshold: in torso lengths.
        visibility: (T, 33) or (33,) of b; what is below 0.5 is left out.
        aspect: the picture's width over height.
        joints: indices to score, by default all 33. `BODY_JOINTS` leaves out face and fingers:
            the eleven points of the face are nearly one, and easy.

    Returns:
        0 to 1.
    """
    errors = _errors(a, b, visibility, aspect, joints)
    return float((errors <= threshold).mean())


def pose_error(
    a: ArrayLike,
    b: ArrayLike,
    *,
    visibility: ArrayLike | None = None,
    aspect: float = 1.0,
    joints: Sequence[int] | None = None,
) -> float:
    """Mean distance of found landmarks to those asked for, in torso lengths.

    Arguments as in `pck`. Landmarks that were not found (NaN in a) have no distance and are left
    out, so read it beside `pck`, which counts them as wrong.

    Returns:
        At least 0; infinity when nothing was found.
    """
    errors = _errors(a, b, visibility, aspect, joints)
    found = np.isfinite(errors)
    return float(errors[found].mean()) if found.any() else float("inf")


def _errors(
    a: ArrayLike,
    b: ArrayLike,
    visibility: ArrayLike | None,
    aspect: float,
    joints: Sequence[int] | None,
) -> Floats:
    """Distances (N,) in torso lengths of all landmarks to be scored; infinity where not found."""
    found, asked = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if found.shape != asked.shape or asked.shape[-2:] != (33, 2) or asked.ndim not in (2, 3):
        raise ValueError(f"poses have shapes {found.shape} and {asked.shape}, not (T, 33, 2) both")
    if not (np.isfinite(aspect) and aspect > 0):
        raise ValueError(f"aspect is {aspect}, but a positive number is needed")
    found, asked = found.reshape(-1, 33, 2) * [aspect, 1], asked.reshape(-1, 33, 2) * [aspect, 1]
    wanted = np.isfinite(asked[..., 0]) & np.isfinite(asked[..., 1])
    if visibility is not None:
        visible = np.asarray(visibility, np.float64)
        if visible.size != wanted.size:
            raise ValueError(f"visibility has shape {visible.shape}, not {wanted.shape}")
        wanted &= visible.reshape(wanted.shape) >= 0.5
    spine = asked[:, SHOULDERS].mean(1) - asked[:, HIPS].mean(1)
    torso = np.hypot(spine[:, 0], spine[:, 1])
    known = np.isfinite(torso)
    usual = float(np.median(torso[known])) if known.any() else 0.0
    if not usual > 0:
        raise ValueError("the torso (landmarks 11, 12, 23, 24) of the requested pose has no length")
    torso = np.maximum(np.where(known, torso, usual), usual / 2)
    difference = found - asked
    errors = np.hypot(difference[..., 0], difference[..., 1]) / torso[:, None]
    chosen = list(range(33)) if joints is None else list(joints)
    errors, wanted = errors[:, chosen], wanted[:, chosen]
    if not wanted.any():
        raise ValueError("no landmark of the requested pose is visible")
    errors = errors[wanted]
    return np.where(np.isfinite(errors), errors, np.inf)


def _picture(name: str, value: ArrayLike) -> Floats:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
        raise ValueError(f"{name} is no picture: shape {array.shape}, dtype {array.dtype}")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    return values


def _pictures(a: ArrayLike, b: ArrayLike, data_range: float | None) -> tuple[Floats, Floats, float]:
    x, y = _picture("a", a), _picture("b", b)
    if x.shape != y.shape:
        raise ValueError(f"pictures have different shapes, {x.shape} and {y.shape}")
    if data_range is None:
        kinds = {np.asarray(a).dtype.kind, np.asarray(b).dtype.kind}
        largest = max(x.max(), y.max())
        if kinds & {"f", "b"} and 0 < largest <= 1:
            raise ValueError("these pictures seem to lie within [0, 1]: tell their data_range")
        if largest > 255:
            raise ValueError(f"these pictures reach {largest:g}: tell their data_range")
        data_range = 255.0
    if not (np.isfinite(data_range) and data_range > 0):
        raise ValueError(f"data_range is {data_range}, but a positive number is needed")
    return x, y, float(data_range)


def _luma(values: Floats) -> Floats:
    if values.ndim == 2:
        return values
    if values.ndim == 3 and values.shape[2] == 3:
        luma: Floats = values @ _LUMA
        return luma
    raise ValueError(f"a picture has shape {values.shape}, but (H, W) or (H, W, 3) is needed")


def _mask(mask: ArrayLike, shape: tuple[int, ...], *, empty: bool = False) -> Flags:
    """A mask as truth values of the shape of a picture's pixels."""
    values = np.asarray(mask)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"a mask has dtype {values.dtype}, but bool, uint8 or float is needed")
    # Never by what values happen to occur: a matte without a person in it is dark, not inside.
    inside = (
        values if values.dtype == bool else values >= (0.5 if values.dtype.kind == "f" else 128)
    )
    sizes = {shape, shape[:-1]} if shape[-1] == 3 else {shape}
    if inside.shape not in sizes:
        # One mask for a stack of pictures.
        fitting = [size for size in sizes if size[-inside.ndim :] == inside.shape]
        if inside.ndim != 2 or not fitting:
            raise ValueError(f"a mask of shape {inside.shape} does not fit pictures of {shape}")
        inside = np.broadcast_to(inside, fitting[0])
    if not empty and not inside.any():
        raise ValueError("the mask is empty (inside is True, 128 and more, or 0.5 and more)")
    return inside
