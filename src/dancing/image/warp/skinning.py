"""How the places of a reference move when its person takes another pose.

Two bones that meet share their joint; between them the angle is blended, not the places, so that a
joint that bends by a right angle or more keeps its width. Along a bone the picture is stretched as
the bone is foreshortened, across it is scaled with the whole person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.skeleton import EYES, MOUTH
from dancing.image.warp.figure import (
    LEFT,
    N_ARMS,
    Figure,
    angle,
    cross,
    folded,
    length,
    past_joint,
    smooth,
    to_segment,
    unit,
    wrapped,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]
    Complex = NDArray[np.complex128]

Part = tuple[str, int | None]
"""'trunk' or 'head', and None; or 'upper' or 'lower', and the index of a limb in `LIMBS`."""
# Radii in torso lengths: upper arm, forearm, hand; thigh, shin, foot.
RADII = np.array([(0.15, 0.11, 0.10), (0.24, 0.16, 0.14)])
# An arm goes up past the side of the body; the other way round only so far, in radians.
_INWARDS = np.deg2rad(-120)
_MOST_AT_END = np.deg2rad(50)  # a hand or foot turns from the reference's, against its limb
_MOST_TILT = 0.5  # of shoulders and hips, in radians
_CHIN = 1.5  # from the middle of a face to the chin, in distances of eyes and mouth
_MOST_NOD = 0.7  # of the head against the trunk, in radians
_STRETCH = (0.15, 3.0)
_STRETCH_AT_END = (0.7, 1.3)
_STRETCH_OF_SKIRT = (0.5, 1.6)
_DEEP = 0.6  # a trunk's depth over its width: what is seen of its side
_LEAST = 0.03  # torso lengths of a bone that may be stretched
# In radii, over which two bones share the skin: at shoulder or hip, elbow or knee, wrist or ankle.
_SHARED = (1.3, 1.6, 1.4)
# A joint turned so far from the reference's, in radians: the skin between the bones begins to fold,
# and is parted into two stiff ones that lie over each other; at shoulder or hip over the trunk's.
_FOLDS = np.deg2rad((60.0, 110.0))
_ROOT = 0.35  # of the skin at shoulder or hip moves with the limb


def skinned(skins: Sequence[Skin], pose: Figure) -> list[Points]:
    """Of each skin (N, 2) pixels where its places are in a pose."""
    limbs = [skin for skin in skins if skin.limb is not None]
    found = iter(_with_bones(limbs, pose) if limbs else [])
    return [skin.with_body(pose) if skin.limb is None else next(found) for skin in skins]


class Skin:
    """Places of a reference that move with its person; see `skinned`.

    Args:
        figure: the reference's.
        places: (N, 2) in pixels of the reference.
        part: 'trunk', 'head', or 'upper' or 'lower' and the index of a limb in `LIMBS`.
        skirt: cloth hangs between the legs.

    Attributes:
        rest: the figure.
        limb: the index of the limb, or None.
        lower: whether it is the limb's lower part.
        lean, raised: radians of the trunk, and of the limb against it.
        lengths, directions, angles: (3,), (3, 2), (3,) of the limb's bones.
        joint: (N,) which of the limb's first three joints each place hangs on.
        share: (N,) how far it moves with the bone after the joint, not with the one before.
        offset: (N,) from the joint, as complex numbers.
        before, after: (N,) what of the offset is along the bone before the joint, and after it.
    """

    rest: Figure
    limb: int | None
    lower: bool
    lean: float
    raised: float
    lengths: Points
    directions: Points
    angles: Points
    joint: NDArray[np.intp]
    share: Points
    offset: Complex
    before: Complex
    after: Complex

    def __init__(self, figure: Figure, places: Points, part: Part, skirt: bool) -> None:
        self.rest = figure
        name, self.limb = part
        self._places = places
        if self.limb is None:
            self._prepare_body(skirt)
        else:
            self._prepare_limb(self.limb, name == "lower")

    def _prepare_body(self, skirt: bool) -> None:
        rest, places = self.rest, self._places
        self._trunk = _Trunk(rest, places)
        middle = rest.face.mean(0)
        neck = middle - rest.shoulders
        # Where the trunk's share ends: below the chin, which is part of the head.
        face = length(rest.face[list(EYES)].mean(0) - rest.face[list(MOUTH)].mean(0))
        end = np.clip(1 - _CHIN * face / length(neck), 0.25, 0.62)
        along = (places - rest.shoulders) @ unit(neck) / length(neck)
        self._head = smooth((along - 0.12) / (end - 0.12))[:, None]
        below = (rest.hips - places) @ rest.up / rest.torso
        self._legs = smooth(below / 0.5 if skirt else (below + 0.02) / 0.35)[:, None]
        half = max(length(rest.hip_line) / 2, 0.12 * rest.torso)
        beside = (places - rest.hips) @ rest.across
        self._left = smooth(beside / (2.6 * half) + 0.5)[:, None]

    def with_body(self, pose: Figure) -> Points:
        """(N, 2) pixels where the places of trunk or head are in a pose."""
        rest, places = self.rest, self._places
        scale = pose.torso / rest.torso
        moved = self._trunk(pose)
        # The head: turned and moved as its landmarks are, not stretched.
        here, there = rest.face.mean(0), pose.face.mean(0)
        a, b = rest.face - here, pose.face - there
        lean = float(angle(pose.up) - angle(rest.up))
        nod = wrapped(np.arctan2(cross(a, b).sum(), (a * b).sum()) - lean)
        head = there + _turned((places - here) * scale, lean + np.clip(nod, -_MOST_NOD, _MOST_NOD))
        moved += self._head * (head - moved)
        if (self._legs > 0).any():
            left, right = (self._with_thigh(limb, pose, scale) for limb in (2, 3))
            moved += self._legs * (self._left * left + (1 - self._left) * right - moved)
        return moved

    def _with_thigh(self, limb: int, pose: Figure, scale: float) -> Points:
        here, there = self.rest.chains[limb], pose.chains[limb]
        bone, wanted = here[1] - here[0], there[1] - there[0]
        stretch = np.clip(length(wanted) / (length(bone) * scale), *_STRETCH_OF_SKIRT)
        offset = (self._places - here[0]) * scale
        offset = _stretched(offset, unit(bone), float(stretch))
        return there[0] + _turned(offset, float(angle(wanted) - angle(bone)))

    def _prepare_limb(self, limb: int, lower: bool) -> None:
        self.lower = lower
        rest, places = self.rest, self._places
        joints = rest.chains[limb]
        radii = RADII[int(limb >= N_ARMS)] * rest.torso
        bones = np.diff(joints, axis=0)
        self.directions = unit(bones)
        self.lean, self.angles = float(angle(rest.up)), angle(bones)
        self.raised = float(_raised(bones[:1], rest, [limb])[0])
        self.lengths = np.maximum(np.hypot(*bones.T), _LEAST * rest.torso)
        near = np.stack([to_segment(places, *joints[j : j + 2]) for j in range(3)], 1)
        # How much of each of the places moves with the bone after elbow or knee, wrist or ankle.
        after = [
            smooth(past_joint(places, joints[j : j + 3]) / (_SHARED[j + 1] * radii[j]) + 0.5)
            for j in range(2)
        ]
        # Halves that are bent may lie near each other, and are told apart by layer, not by place.
        near[:, 0 if lower else slice(1, 3)] = np.inf
        if folded(joints[:3]):
            after[0] = np.full(len(places), float(lower))
        along = (places - joints[0]) @ self.directions[0]
        root = smooth(along / (_SHARED[0] * radii[0]) + _ROOT)
        # Each place hangs on the joint that is nearest along its bone.
        bone = near.argmin(1)
        along = ((places - joints[bone]) * self.directions[bone]).sum(1)
        self.joint = np.minimum(bone + (along > self.lengths[bone] / 2), 2)
        self.share = np.choose(self.joint, [root, *after])
        self.offset = _complex(places - joints[self.joint])
        directions = _complex(self.directions)
        after_joint, before_joint = directions[self.joint], directions[self.joint - 1]
        self.after = (self.offset * after_joint.conj()).real * after_joint
        self.before = (self.offset * before_joint.conj()).real * before_joint
        self.before[self.joint == 0] = 0  # the trunk, which is not stretched along a bone


def _with_bones(skins: Sequence[Skin], pose: Figure) -> list[Points]:
    """As `skinned`, of parts of limbs, all at once: K skins of three joints each."""
    limbs = [skin.limb for skin in skins if skin.limb is not None]
    there = pose.chains[limbs]
    scale = pose.torso / np.array([skin.rest.torso for skin in skins])[:, None]
    lengths = np.array([skin.lengths for skin in skins]) * scale
    bones = np.diff(there, axis=1)
    stretch = np.clip(np.hypot(bones[..., 0], bones[..., 1]) / lengths, *_STRETCH)
    stretch[:, 2] = np.clip(stretch[:, 2], *_STRETCH_AT_END)
    turn = angle(bones) - np.array([skin.angles for skin in skins])
    turns = np.empty((len(skins), 4))
    turns[:, 0] = angle(pose.up) - np.array([skin.lean for skin in skins])
    turns[:, 1] = turns[:, 0] + _raised(bones[:, 0], pose, limbs)
    turns[:, 1] -= np.array([skin.raised for skin in skins])
    turns[:, 2] = turns[:, 1] + wrapped(turn[:, 1] - turns[:, 1])
    bend = np.clip(wrapped(turn[:, 2] - turns[:, 2]), -_MOST_AT_END, _MOST_AT_END)
    turns[:, 3] = turns[:, 2] + bend
    directions = _complex(np.array([skin.directions for skin in skins]))
    moved = directions * lengths * stretch * np.exp(1j * turns[:, 1:])
    joints = _complex(there[:, :1]) + np.cumsum(np.pad(moved[:, :2], ((0, 0), (1, 0))), 1)
    bends = np.diff(turns, axis=1)
    stiff = np.interp(np.abs(bends), _FOLDS, (0, 1))
    stiff[:, 2] = 0
    own = np.array([(1.0, skin.lower, 0) for skin in skins])

    # From here on, each of the places of all skins
    counts = [len(skin.joint) for skin in skins]
    which = np.repeat(np.arange(len(skins)), counts)
    joint = np.concatenate([skin.joint for skin in skins])
    share, offset, before, after = (
        np.concatenate([getattr(skin, name) for skin in skins])
        for name in ("share", "offset", "before", "after")
    )
    share = share + stiff[which, joint] * (own[which, joint] - share)
    longer = np.pad(stretch - 1, ((0, 0), (1, 0)))
    offset = offset + (1 - share) * longer[which, joint] * before
    offset += share * longer[which, joint + 1] * after
    turned = turns[which, joint] + share * bends[which, joint]
    found = joints[which, joint] + scale[which, 0] * offset * np.exp(1j * turned)
    places = found.view(np.float64).reshape(-1, 2)
    return np.split(places, np.cumsum(counts)[:-1])


class _Trunk:
    """Places that move with the trunk, which leans, tilts, and turns from the camera."""

    def __init__(self, rest: Figure, places: Points) -> None:
        self._rest = rest
        offset = places - rest.hips
        along = offset @ rest.up / rest.torso
        self._along = np.clip(along, 0, 1)
        self._beyond = along - self._along
        self._beside = offset @ rest.across
        self._upper = smooth(along)

    def __call__(self, pose: Figure) -> Points:
        rest = self._rest
        scale = pose.torso / rest.torso
        width, tilt = (
            (1 - self._upper) * low + self._upper * high
            for low, high in (
                (_width(rest.hip_line, pose.hip_line, scale),
                 _width(rest.shoulder_line, pose.shoulder_line, scale)),
                (_tilt(pose.hip_line, pose) - _tilt(rest.hip_line, rest),
                 _tilt(pose.shoulder_line, pose) - _tilt(rest.shoulder_line, rest)),
            )
        )  # fmt: skip
        across = angle(pose.across) + tilt.clip(-_MOST_TILT, _MOST_TILT)
        # The stretch of the torso ends with the torso.
        rise = self._along * length(pose.shoulders - pose.hips) + self._beyond * pose.torso
        sideways = scale * width * self._beside
        moved: Points = (
            pose.hips
            + rise[:, None] * pose.up
            + sideways[:, None] * np.stack([np.cos(across), np.sin(across)], 1)
        )
        return moved


def _width(rest: Points, pose: Points, scale: float) -> float:
    """How wide a trunk is seen whose shoulders or hips are seen so: an ellipse that turns."""
    seen = min(1.0, length(pose) / max(length(rest) * scale, 1e-3))
    return float(np.sqrt(seen**2 + _DEEP**2 * (1 - seen**2)))


def _tilt(line: Points, figure: Figure) -> float:
    """Of shoulders or hips against the spine's normal, in radians."""
    if length(line) < 0.15 * figure.torso:
        return 0.0
    return float(np.arctan2(cross(figure.across, line), abs(figure.across @ line)))


def _raised(bones: Points, figure: Figure, limbs: Sequence[int]) -> Points:
    """The angles of arms and legs (K, 2) from the trunk's downward direction, outwards."""
    sides = np.where(np.array(LEFT)[limbs], 1, -1)
    outwards = np.sign(cross(-figure.up, figure.across)) * sides
    down = wrapped(angle(bones) - angle(-figure.up))
    found: Points = outwards * wrapped(outwards * down, _INWARDS)
    return found


def _stretched(offset: Points, direction: Points, factor: float) -> Points:
    """Offsets (N, 2) longer in one direction."""
    longer: Points = offset + ((factor - 1) * (offset @ direction))[:, None] * direction
    return longer


def _turned(offset: Points, angles: Points | float) -> Points:
    """Offsets (..., 2) turned by one angle, or each by its own."""
    x, y = offset[..., 0], offset[..., 1]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def _complex(vectors: Points) -> Complex:
    """Vectors (..., 2) as complex numbers (...)."""
    found: Complex = vectors[..., 0] + 1j * vectors[..., 1]
    return found
