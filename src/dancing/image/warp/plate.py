"""The scene behind a person: filled in where the person is, and continued beyond its borders.

What is hidden is put together from what is seen: small patches that fit each other are sought on
a small picture, from coarse to fine (Wexler et al., "Space-Time Completion of Video", 2007,
https://doi.org/10.1109/TPAMI.2007.60; the search is that of Barnes et al., "PatchMatch", 2009,
https://doi.org/10.1145/1531326.1531330, for all pixels at once), and then the picture's own detail
is copied from where they lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]
    _T = TypeVar("_T", bound=np.generic)

_LEVELS = (56, 112, 224)
"""Pixels of the longer side of the pictures that patches are sought on, from coarse to fine."""
_ROUNDS = (8, 4, 2)
"""How often patches are sought and laid on each of them."""
_RADIUS = 3
"""Of a patch, in pixels."""
_TILT = 300.0
"""What a patch costs that comes from another height: steps of colour for the picture's height.
Floors and walls look the same at the same height."""
_CERTAIN = 1.3
"""By how much less a patch counts for each pixel that it lies deeper in the hole."""
_NOTHING = 0.98
"""Share of the picture that the person hides from which the scene cannot be guessed."""
_TRACE = 8
"""Alpha above which there is something of the person."""
_RIM = 0.012
"""Width of the rim of the person, as a share of its height or width."""


def filled(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The scene without the person.

    Args:
        picture: (H, W, 3) uint8.
        alpha: (H, W) uint8, the person's.

    Returns:
        (H, W, 3) uint8: the picture, and behind the person and near it what may be there.
    """
    import cv2

    rows, columns = (np.flatnonzero((alpha > _TRACE).any(axis)) for axis in (1, 0))
    if not len(rows):
        return picture.copy()
    rim = max(4, round(_RIM * max(np.ptp(rows), np.ptp(columns))))
    hidden = _hidden(alpha, rim)
    if hidden.mean() > _NOTHING:
        return np.full_like(picture, np.median(picture, (0, 1)))
    # Patches from far away seldom fit.
    around = max(np.ptp(rows), np.ptp(columns)) // 2 + 4 * rim
    top, bottom = max(rows[0] - around, 0), rows[-1] + 1 + around
    left, right = max(columns[0] - around, 0), columns[-1] + 1 + around
    plate = picture.copy()
    box = np.s_[top:bottom, left:right]
    guess = _detailed(picture[box], hidden[box])
    fade = rim // 2
    near = cv2.blur(hidden[box].astype(np.float32), (2 * fade + 1, 2 * fade + 1))
    # All of it where the person is, less and less of it outside.
    share = np.where(hidden[box], 1, (2 * near).clip(0, 1))[..., None]
    plate[box] = (guess * share + picture[box] * (1 - share) + 0.5).astype(np.uint8)
    return plate


def _hidden(alpha: NDArray[np.uint8], rim: int) -> Flags:
    """Where the person or its rim is, or its shadow on the floor may be, and gaps too narrow."""
    import cv2

    def disc(across: int, down: int) -> NDArray[np.uint8]:
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * across + 1, 2 * down + 1))

    # Wide discs are slow on large pictures.
    height, width = alpha.shape
    step = max(1, rim // 4)
    rim = -(-rim // step)
    size = (-(-width // step), -(-height // step))
    trace = (alpha > _TRACE).astype(np.float32)
    person = (cv2.resize(trace, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    rows = np.flatnonzero(person.any(1))
    feet = person.copy()
    feet[: max(rows[-1] - 5 * rim, 0)] = 0
    # The shadow lies between the feet, too.
    feet = np.maximum.accumulate(feet, 1) & np.maximum.accumulate(feet[:, ::-1], 1)[:, ::-1]
    hidden = cv2.dilate(person, disc(rim, rim)) | cv2.dilate(feet, disc(3 * rim, round(1.5 * rim)))
    # Beyond the border there is none of the person.
    apart = np.pad(hidden, 3 * rim)
    closed = cv2.morphologyEx(apart, cv2.MORPH_CLOSE, disc(2 * rim, 2 * rim))
    closed = closed[3 * rim : -3 * rim, 3 * rim : -3 * rim].astype(np.float32)
    return cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def _detailed(picture: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> Floats:
    """The picture with all that is hidden made up: (H, W, 3) in 0 to 255."""
    import cv2

    height, width = hidden.shape
    small, origin = _sought(picture, hidden)
    rows, columns = small.shape[:2]
    y, x = (np.arange(n, dtype=np.float32) for n in (height, width))
    # Each pixel of the small picture says by how much its part of the picture is shifted. Blended
    # between the four around a pixel, so that no edges show between parts.
    steps = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)
    shift = (origin - steps) * np.array([width / columns, height / rows])
    at_y = ((y + 0.5) * rows / height - 0.5).clip(0, rows - 1)
    at_x = ((x + 0.5) * columns / width - 0.5).clip(0, columns - 1)
    # What is copied keeps its detail, and takes on the light of where it comes to lie.
    seen = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    light = small - _at(seen, origin)
    where = np.nonzero(hidden)
    detail = np.zeros((len(where[0]), 3), np.float32)
    low_y, low_x = at_y[where[0]].astype(int), at_x[where[1]].astype(int)
    part_y, part_x = at_y[where[0]] - low_y, at_x[where[1]] - low_x
    for down in (0, 1):
        for across in (0, 1):
            share = np.abs(1 - down - part_y) * np.abs(1 - across - part_x)
            part = np.minimum(low_y + down, rows - 1), np.minimum(low_x + across, columns - 1)
            moved = shift[part]
            from_y = np.rint(where[0] + moved[:, 1]).astype(int).clip(0, height - 1)
            from_x = np.rint(where[1] + moved[:, 0]).astype(int).clip(0, width - 1)
            detail += (picture[from_y, from_x] + light[part]) * share[:, None]
    whole = picture.astype(np.float32)
    whole[where] = detail
    return whole.clip(0, 255)


def _sought(picture: NDArray[np.uint8], hidden: Flags) -> tuple[Floats, NDArray[np.int64]]:
    """A small picture without what is hidden.

    Returns:
        (h, w, 3) the picture, and (h, w, 2) x and y in it of the place that each pixel was copied
        from, its own where it is seen.
    """
    import cv2

    height, width = hidden.shape
    random = np.random.default_rng(0)
    before: tuple[Floats, NDArray[np.int64]] | None = None
    for level, rounds in zip(_LEVELS, _ROUNDS, strict=True):
        scale = min(1.0, level / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        hole = cv2.resize(hidden.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        if before is None:
            origin = _mirrored(hole)
            whole = _at(small, origin)
            lost = hole[origin[..., 1], origin[..., 0]]
            if lost.any():
                rest = cv2.inpaint(
                    whole.astype(np.uint8), lost.astype(np.uint8), 3, cv2.INPAINT_TELEA
                )
                whole = np.where(lost[..., None], rest, whole).astype(np.float32)
        else:
            whole = cv2.resize(before[0], size, interpolation=cv2.INTER_CUBIC)
            whole = np.where(hole[..., None], whole, small)
            origin = np.where(hole[..., None], _enlarged(before[1], size), _places(size))
        before = _Search(whole, origin, hole, random).matched(rounds)
    assert before is not None
    whole, origin = before
    return _joined(whole, origin, hole), origin


def _places(size: tuple[int, int]) -> NDArray[np.int64]:
    """(height, width, 2): x and y of each pixel."""
    return np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1)


def _mirrored(hole: Flags) -> NDArray[np.int64]:
    """(H, W, 2) where each pixel of a hole is mirrored to, across the nearer edge in its row."""
    height, width = hole.shape
    x = np.arange(width)
    before = np.maximum.accumulate(np.where(hole, -width, x), axis=1)
    after = np.minimum.accumulate(np.where(hole, 2 * width, x)[:, ::-1], axis=1)[:, ::-1]
    nearer = np.where(x - before <= after - x, before, after)
    nearer = np.where((nearer < 0) | (nearer >= width), x, nearer)
    origin = _places((width, height))
    mirrored = 2 * nearer - x
    usable = (mirrored >= 0) & (mirrored < width)
    mirrored = np.where(usable, mirrored, nearer)
    # Behind the edge there may be another part of the hole.
    again = hole[np.arange(height)[:, None], mirrored]
    origin[..., 0] = np.where(again, nearer, mirrored)
    return origin


def _enlarged(origin: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    """Origins for a larger picture of (width, height), the same shift for the same place."""
    rows, columns = origin.shape[:2]
    y = np.arange(size[1]) * rows // size[1]
    x = np.arange(size[0]) * columns // size[0]
    coarse = np.stack(np.meshgrid(x, y), -1)
    shift = (origin[y[:, None], x] - coarse) * np.array(size) / [columns, rows]
    fine = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1)
    return (fine + np.rint(shift).astype(np.int64)).clip(0, np.array(size) - 1)


class _Search:
    """Seeks for each patch with something hidden the seen one that is most like it.

    Args:
        whole: (h, w, 3) a first guess of the picture.
        origin: (h, w, 2) a first guess of where each pixel was copied from.
        hole: (h, w) what is hidden.
        random: where chance comes from.
    """

    def __init__(
        self, whole: Floats, origin: NDArray[np.int64], hole: Flags, random: np.random.Generator
    ) -> None:
        import cv2

        height, width = hole.shape
        side = 2 * _RADIUS + 1
        near = cv2.dilate(hole.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
        self._whole, self._origin, self._hole, self._random = whole, origin, hole, random
        self._source = ~near
        border = np.ones_like(hole)
        border[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = False
        self._source[border] = False
        self._y, self._x = np.nonzero(near)
        self._number = np.full(hole.shape, -1)
        self._number[near] = np.arange(len(self._y))
        padded = np.pad(np.arange(height * width).reshape(height, width), _RADIUS, mode="edge")
        window = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
        self._window = window.reshape(height, width, -1)
        self._mine = self._window[self._y, self._x]
        # What lies deep in the hole is less certain than what lies at its edge.
        deep = cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3)
        self._certain = (_CERTAIN ** -deep[1:-1, 1:-1]).clip(1e-3)[self._y, self._x]

    def matched(self, rounds: int) -> tuple[Floats, NDArray[np.int64]]:
        """The picture filled in, and where each of its pixels was copied from."""
        seen = np.argwhere(self._source)[:, ::-1]
        if not len(seen):
            return self._whole, self._origin
        height, width = self._hole.shape
        self._best = self._origin[self._y, self._x]
        lost = ~self._source[self._best[:, 1], self._best[:, 0]]
        self._best[lost] = seen[self._random.integers(0, len(seen), int(lost.sum()))]
        for _ in range(rounds):
            self._flat = self._whole.reshape(-1, 3)
            self._patches = self._flat[self._mine]
            everything = np.arange(len(self._best))
            self._price = self._cost(self._best, everything)
            for step in (3, 1, 1):
                for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
                    y, x = (self._y + dy).clip(0, height - 1), (self._x + dx).clip(0, width - 1)
                    other = self._number[y, x]
                    self._try(np.where(other[:, None] >= 0, self._best[other] - [dx, dy], -1))
                reach = max(width, height) // 2
                while reach >= 2:
                    away = self._random.integers(-reach, reach + 1, self._best.shape)
                    away[:, 1] //= 4
                    self._try(self._best + away)
                    reach //= 4
            self._lay()
        origin = self._origin.copy()
        origin[self._y, self._x] = self._best
        own = _places((width, height))
        return self._whole, np.where(self._hole[..., None], origin, own)

    def _cost(self, places: NDArray[np.int64], which: NDArray[np.int64]) -> Floats:
        """How unlike the patches at places (n, 2) are to those of these numbers."""
        differences = self._flat[self._window[places[:, 1], places[:, 0]]]
        differences -= self._patches[which]
        squares = np.einsum("nkc,nkc->n", differences, differences) / differences.shape[1]
        return squares + (_TILT * (places[:, 1] - self._y[which]) / len(self._hole)) ** 2

    def _try(self, places: NDArray[np.int64]) -> None:
        """Take these places (N, 2) where they are better than the best so far."""
        height, width = self._hole.shape
        inside = ((places >= 0) & (places < [width, height])).all(1)
        inside &= (places != self._best).any(1)
        which = np.flatnonzero(inside)
        which = which[self._source[places[which, 1], places[which, 0]]]
        price = self._cost(places[which], which)
        better = price < self._price[which]
        which = which[better]
        self._best[which], self._price[which] = places[which], price[better]

    def _lay(self) -> None:
        """Each hidden pixel becomes what the patches over it say, good and certain ones louder."""
        pixels = self._hole.size
        loud = np.exp(-self._price / (2 * np.median(self._price) + 1)) * self._certain + 1e-9
        said = self._flat[self._window[self._best[:, 1], self._best[:, 0]]] * loud[:, None, None]
        mine = self._mine.ravel()
        votes = np.bincount(mine, np.repeat(loud, self._mine.shape[1]), pixels)
        sums = [np.bincount(mine, said[..., k].ravel(), pixels) for k in range(3)]
        mean = np.stack(sums, -1) / np.maximum(votes, 1e-12)[:, None]
        mean = mean.reshape(self._whole.shape)
        self._whole = np.where(self._hole[..., None], mean, self._whole).astype(np.float32)


def _joined(whole: Floats, origin: NDArray[np.int64], hole: Flags) -> Floats:
    """The picture with the steps of light taken out where copies from different places meet.

    Differences between neighbours become what they are where one of the two was copied from,
    however much these places differ, and the rest follows (Perez et al., "Poisson Image Editing",
    2003, https://doi.org/10.1145/882262.882269). So a step of light where copies meet, which
    neither has, is spread over all that is hidden, and an edge, which one of them has, stays.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    height, width = hole.shape
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    end = np.array([width, height]) - 1
    firsts, seconds, steps = [], [], []
    for dx, dy in ((1, 0), (0, 1)):
        here, there = np.s_[: height - dy, : width - dx], np.s_[dy:, dx:]
        pairs = hole[here] | hole[there]
        step = whole[there] - whole[here]
        # The likelier of the two copies is the one that is more like what is here.
        copied, unlike = step.copy(), np.full(step.shape[:2], np.inf)
        apart = np.array([dx, dy])
        for start, stop in (
            (origin[here], np.minimum(origin[here] + apart, end)),
            (np.maximum(origin[there] - apart, 0), origin[there]),
        ):
            other = _at(whole, stop) - _at(whole, start)
            far = np.abs(other - step).max(-1)
            better = (far < unlike) & ~_at(hole, start) & ~_at(hole, stop)
            copied[better], unlike[better] = other[better], far[better]
        steps.append(copied[pairs])
        place = np.arange(height * width).reshape(height, width)
        firsts.append(place[here][pairs])
        seconds.append(place[there][pairs])
    first, second, step = (np.concatenate(parts) for parts in (firsts, seconds, steps))
    flat, unknown = whole.reshape(-1, 3), number.ravel()
    count = int(hole.sum())
    right = np.zeros((count, 3))
    rows, columns, values = [], [], []
    for mine, other, sign in ((first, second, -1), (second, first, 1)):
        inside = unknown[mine] >= 0
        me, them = unknown[mine[inside]], unknown[other[inside]]
        np.add.at(right, me, sign * step[inside])
        known = them < 0
        np.add.at(right, me[known], flat[other[inside][known]])
        rows += [me, me[~known]]
        columns += [me, them[~known]]
        values += [np.ones(len(me)), -np.ones((~known).sum())]
    matrix = coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    )
    joined = whole.copy()
    joined[hole] = splu(matrix.tocsc()).solve(right)
    return joined


def _at(whole: NDArray[_T], places: NDArray[np.int64]) -> NDArray[_T]:
    """What a picture has at places (..., 2), x and y."""
    return whole[places[..., 1], places[..., 0]]


def extended(
    plate: NDArray[np.uint8], left: int, top: int, right: int, bottom: int
) -> NDArray[np.uint8]:
    """The scene with so many pixels more on each side.

    The picture is mirrored, and the farther from it, the softer.

    Args:
        plate: (H, W, 3) uint8.
        left, top, right, bottom: pixels, at least 0.

    Returns:
        (top + H + bottom, left + W + right, 3) uint8.
    """
    import cv2

    height, width = plate.shape[:2]
    whole = cv2.copyMakeBorder(plate, top, bottom, left, right, cv2.BORDER_REFLECT)
    rows, columns = whole.shape[:2]
    y, x = np.arange(rows), np.arange(columns)
    down = np.maximum(top - y, y - (top + height - 1)).clip(0)
    across = np.maximum(left - x, x - (left + width - 1)).clip(0)
    distance = np.hypot(down[:, None], across).astype(np.float32)
    # Blur of a seventh of the distance; each step of the pyramid doubles it.
    level = np.log2(np.maximum(distance * 0.15, 0.5)) + 1
    result = whole.astype(np.float32)
    blurred = whole
    for step in range(1, 9):
        blurred = cv2.pyrDown(blurred)
        if min(blurred.shape[:2]) < 2 or level.max() < step - 1:
            break
        smooth = cv2.resize(blurred, (columns, rows), interpolation=cv2.INTER_CUBIC)
        share = (level - (step - 1)).clip(0, 1)[..., None]
        result += (smooth - result) * share
    return (result + 0.5).clip(0, 255).astype(np.uint8)
