"""From a person in a photo to where a dancer stands, and how much of the scene is to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.retarget import PERCENTILE
from dancing.body.skeleton import (
    ANKLES,
    BONE_KINDS,
    ELBOWS,
    FEET,
    HIPS,
    KNEES,
    MID_HIP,
    MID_SHOULDER,
    MIRROR,
    SHOULDERS,
    TRUNK,
    WRISTS,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

# In a dance the 90th percentile of the torso's lengths, which is about its true one, over their
# median, which `Placement` has: measured on dances of the default motion model.
_UPRIGHT = 1.04
_SOLE = 0.12  # torso lengths from ankle to floor
# Depths are estimated so roughly that a bone counts as seen in its full length of which so much
# is; and one of which less than that is as pointing at the camera.
_SURE, _SHORTEST = 0.8, 0.4
_FLAT = ("neck", "face", "hand")  # of which no depth is worth believing
# Bones over the torso's true length, of people in photos: what is taken where one points at the
# camera or is hidden.
_USUAL = {
    "hip": 0.19,
    "shoulder": 0.34,
    "upper_arm": 0.53,
    "forearm": 0.48,
    "thigh": 0.73,
    "shin": 0.72,
    "foot": 0.35,
}
_USUAL_WEIGHT = 0.1  # of a bone that is fully seen
# In so many pictures of somebody who is turned by at most so many degrees, bones tell their length.
_OFTEN, _FACING, _VISIBLE = 12, 40.0, 0.5
_MIDDLES = (SHOULDERS, HIPS)
_JOINTS = [*TRUNK, *ELBOWS, *WRISTS, *KNEES, *ANKLES]
# How much of the arms' span dances take up; of 27 dances of 45 s the widest pose took 0.89, and in
# nine of ten none more than 0.88.
_SPREAD = 0.88
_BELOW = 0.15  # torso lengths of floor below the feet
_PORTRAIT = (720, 1280)
_LONGEST = 1280
_PIXELS = 720 * 1280
_WIDEST = 16 / 9
_ENLARGED = 1.3  # times that a photo's pixels are at most
_LEAST_SIDE = 64


@dataclass(frozen=True)
class Body:
    """A person in a photo, in its pixels.

    Attributes:
        hips: x, y of their middle.
        torso: length, as a `Placement` has it.
        floor: y of the lowest landmark.
        proportions: see `dancing.body.retarget.proportions`.
        cut: whether the photo's lower edge cuts the person off.
    """

    hips: tuple[float, float]
    torso: float
    floor: float
    proportions: dict[str, float]
    cut: bool

    @property
    def legs(self) -> float:
        """Height of the hips above the floor of somebody who stands, in pixels."""
        return self.torso * (self.proportions["thigh"] + self.proportions["shin"] + _SOLE)

    @property
    def arm(self) -> float:
        """Length from shoulder to knuckles in pixels."""
        return self.torso * sum(self.proportions[k] for k in ("upper_arm", "forearm", "hand"))


def measured(points: Floats, height: int, known: Mapping[str, float] | None = None) -> Body:
    """The body of somebody in a photo.

    Args:
        points: (33, 6) landmarks: x, y in pixels, visibility, and x, y, z in metres.
        height: of the photo in pixels.
        known: what is known of the proportions; see `seen_often`.
    """
    known = known or {}
    lengths = _lengths(points)
    torso = lengths["torso"] / known.get("torso", _UPRIGHT)
    hips = points[HIPS, :2].mean(0)
    floor = float(points[FEET, 1].max())
    cut = floor > height
    body = Body(
        (float(hips[0]), float(hips[1])),
        torso,
        floor,
        {
            kind: known.get(kind) or max(round(length / torso, 4), 1e-4)
            for kind, length in lengths.items()
        },
        cut,
    )
    if not cut:
        return body
    # Where feet are that are not seen is a guess; so that the hips stay where they are, it is that
    # of somebody who stands.
    return Body(body.hips, torso, max(body.hips[1] + body.legs, height), body.proportions, cut)


def seen_often(points: Floats) -> dict[str, float]:
    """The proportions of somebody who was seen in many pictures, from any distance.

    As `dancing.body.retarget.proportions` has them, and only of bones that were often seen to lie
    across, by somebody who faced the camera.

    Args:
        points: (N, 33, 6), as for `measured`, of pictures of any sizes.
    """
    facing = np.array([one for one in points if yaw(one) < _FACING], np.float64)
    if len(facing) < _OFTEN:
        return {}
    joints = np.concatenate([facing, *(facing[:, p].mean(1, keepdims=True) for p in _MIDDLES)], 1)
    lengths: dict[str, NDArray[np.float64]] = {}
    for kind, bones in BONE_KINDS.items():
        starts, ends = joints[:, [b[0] for b in bones]], joints[:, [b[1] for b in bones]]
        bone = ends - starts
        metres = np.maximum(np.linalg.norm(bone[..., 3:], axis=-1), 1e-9)
        shown = np.minimum(starts[..., 2], ends[..., 2]) >= _VISIBLE
        if kind not in _FLAT:
            shown &= np.hypot(bone[..., 3], bone[..., 4]) >= _SURE * metres
        # Pixels to a metre tell how far away somebody is.
        lengths[kind] = (np.hypot(bone[..., 0], bone[..., 1]) / _scales(facing)[:, None])[shown]
    torso = lengths["torso"]
    if len(torso) < _OFTEN:
        return {}
    return {
        kind: max(round(float(np.percentile(each, PERCENTILE) / np.median(torso)), 4), 1e-4)
        for kind, each in lengths.items()
        if len(each) >= _OFTEN * len(BONE_KINDS[kind])
    }


def upright_torsos(points: Floats, world: Floats) -> NDArray[np.float64]:
    """(N,) pixels of a torso that does not lean, from exact landmarks.

    Args:
        points: (N, 33, 2) in pixels.
        world: (N, 33, 3) in metres.
    """
    # Pixels of a metre: what makes the world landmarks as large as those of the picture.
    flat, seen = (each - each.mean(1, keepdims=True) for each in (world[..., :2], points))
    scale = (flat * seen).sum((1, 2)) / (flat**2).sum((1, 2)).clip(1e-9)
    spine = world[:, SHOULDERS].mean(1) - world[:, HIPS].mean(1)
    found: NDArray[np.float64] = scale * np.linalg.norm(spine, axis=1)
    return found


def _scales(points: Floats) -> NDArray[np.float64]:
    """(N,) pixels to a metre, by least squares of the joints that are seen."""
    joints = points[:, _JOINTS]
    weight = joints[..., 2:3] + 1e-6
    picture, metres = (
        each - (weight * each).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
        for each in (joints[..., :2], joints[..., 3:5])
    )
    along = (weight * picture * metres).sum((1, 2))
    found: NDArray[np.float64] = along / np.maximum((weight * metres**2).sum((1, 2)), 1e-9)
    return np.maximum(found, 1e-9)


def _lengths(points: Floats) -> dict[str, float]:
    """Of each kind of bone, in pixels.

    What points at the camera looks short, and is made longer by as much as the landmarks in metres
    say. Of a left and a right bone, and what is usual, that counts more that lies more across and
    is seen better.
    """
    middles = [points[pair].mean(0, keepdims=True) for pair in _MIDDLES]
    joints = np.concatenate([points, *middles]).astype(np.float64)
    mirror = [*MIRROR, MID_SHOULDER, MID_HIP]

    def bone(kind: str, start: int, end: int) -> tuple[float, float]:
        """Length and weight."""
        across, metres = joints[end, :2] - joints[start, :2], joints[end, 3:] - joints[start, 3:]
        part = float(np.hypot(*metres[:2]) / max(np.linalg.norm(metres), 1e-9))
        seen = 1.0 if kind in _FLAT else min(1.0, max(part, _SHORTEST) / _SURE)
        visible = float(min(joints[start, 2], joints[end, 2]))
        return float(np.hypot(*across)) / seen, part**8 * visible + 1e-6

    lengths = {"torso": bone("torso", MID_HIP, MID_SHOULDER)[0]}
    for kind, bones in BONE_KINDS.items():
        usual = [(_USUAL[kind] * lengths["torso"], _USUAL_WEIGHT)] if kind in _USUAL else []
        pairs = [
            [bone(kind, start, end), bone(kind, mirror[start], mirror[end]), *usual]
            for start, end in bones
        ]
        lengths[kind] = max(
            sum(length * weight for length, weight in pair) / sum(weight for _, weight in pair)
            for pair in pairs
        )
    return lengths


def yaw(points: Floats) -> float:
    """Degrees by which shoulders and hips are turned from the camera: 0 faces it, 180 is the back.

    Args:
        points: (33, 6), as for `measured`.
    """
    left, right = (points[[pair[side] for pair in (SHOULDERS, HIPS)], 3:] for side in (0, 1))
    line = (left - right).sum(0)
    return float(np.degrees(np.arctan2(abs(line[2]), line[0])))


def margins(
    points: Floats, matte: NDArray[np.uint8], body: Body
) -> tuple[float, float, float, float]:
    """Pixels of a photo by which somebody reaches beyond the landmarks: left, top, right, bottom.

    Args:
        points: (33, 6), as for `measured`.
        matte: (H, W) of the photo.
    """
    rows, columns = (np.flatnonzero((matte >= 128).any(axis)) for axis in (1, 0))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    beyond = [*(low - [columns[0], rows[0]]), *([columns[-1], rows[-1]] - high)]
    left, top, right, bottom = np.clip(beyond, 0.05 * body.torso, 0.6 * body.torso).tolist()
    return left, top, right, bottom


@dataclass(frozen=True)
class Frame:
    """What of a photo a video shows.

    Attributes:
        box: left, top, right, bottom in pixels of the photo; it may reach outside.
        size: (width, height) of the video in pixels, even.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the video for one of the photo."""
        return self.size[1] / (self.box[3] - self.box[1])


def framed(
    body: Body, margin: Sequence[float], photo: tuple[int, int], resolution: float = 1.0
) -> Frame:
    """The smallest view of a photo's scene in which the person has room to dance.

    Of somebody who is cut off by the photo's lower edge, the photo's framing stays as far as head
    and elbows have room in it: hands may leave the video.

    Args:
        body: of the person.
        margin: see `margins`.
        photo: (width, height).
        resolution: pixels that there are to one of the photo; above 1 where it was made smaller.
    """
    shoulder, upper_arm, neck = (
        body.torso * body.proportions[kind] for kind in ("shoulder", "upper_arm", "neck")
    )
    shoulders = body.floor - body.legs - _UPRIGHT * body.torso
    if body.cut:
        half = shoulder + upper_arm
        top = min(shoulders - max(upper_arm, neck) - margin[1], 0.0)
        bottom: float = photo[1]
    else:
        half = _SPREAD * (shoulder + body.arm)
        top = shoulders - body.arm - margin[1]
        bottom = body.floor + _BELOW * body.torso + margin[3]
    left, right = body.hips[0] - half - margin[0], body.hips[0] + half + margin[2]
    needed = (right - left, bottom - top)
    portrait = photo[0] < photo[1]
    aspect = _PORTRAIT[0] / _PORTRAIT[1] if portrait else min(photo[0] / photo[1], _WIDEST)
    height = max(needed[1], needed[0] / aspect)
    # Pixels of the video for one of the photo.
    scale = min(
        _ENLARGED * resolution,
        _LONGEST / (height * max(aspect, 1)),
        (_PIXELS / (height * height * aspect)) ** 0.5,
    )
    size = tuple(max(_LEAST_SIDE, 2 * round(height * scale * each / 2)) for each in (aspect, 1))
    width = height * size[0] / size[1]
    x = _placed(left, right, width, photo[0])
    y = photo[1] - height if body.cut else _placed(top, bottom, height, photo[1])
    box = (round(x), round(y), round(x + width), round(y + height))
    return Frame(box, (size[0], size[1]))


def _placed(low: float, high: float, length: float, photo: float) -> float:
    """Where a stretch of such a length begins that holds [low, high], and not more than it must of
    what is beyond [0, photo]."""
    start = (low + high - length) / 2
    first, last = sorted((0.0, photo - length))
    start = min(max(start, first), last)
    return min(max(start, high - length), low)
