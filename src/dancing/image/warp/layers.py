"""Cut the picture of a person into layers that move against each other.

There is no network for it: pixels belong to the bone that they are nearest to, as a share of its
usual radius, and where an arm lies on the trunk, its edge is found by colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt, maximum_filter1d

from dancing.body.skeleton import EARS
from dancing.image.warp.figure import (
    LIMBS,
    N_ARMS,
    Figure,
    cross,
    folded,
    length,
    past_joint,
    to_segment,
    unit,
)
from dancing.image.warp.skinning import RADII, Part, Skin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Points = NDArray[np.float64]

_TORSO = 96
"""Pixels of a torso at the size at which parts are told apart."""
_SOLID = 40  # of 255: alpha of what belongs to the person
_MESH = 1 / 12  # torso lengths a side of a mesh's cell
_MARGIN = 0.6  # of that
_ISLAND = 0.1  # of a layer's largest piece: smaller ones are left out
_EDGE = 1.5  # pixels at that size, by which edges between parts are smoothed
_FAINT = 8  # of 255: less is not drawn
_ARMPIT = 0.6  # torso lengths from the shoulder, at most
_SEAM = 0.25, 1.2  # exponent and factor of how a seam leaves the shoulder towards the trunk
_COARSE = 4  # pixels, about, of which it is known together whether they show anything
_TRUNK_RADIUS, _NECK = 0.16, 0.14  # torso lengths
_CHIN = 0.6  # of the way from between the shoulders to the middle of the face
_HEAD = 0.75  # radius over the distance of the ears
# How far around a joint both layers have its pixels, in torso lengths.
_SHOULDER, _HIP = 0.12, 0.2
_JOINT = 0.6  # in radii
# Shares of an arm's radius in which it is surely, likely, perhaps an arm.
_SURELY, _LIKELY, _PERHAPS = 0.45, 1.05, 1.4
_LOOSE = 2.2  # radii, that a sleeve is wide at most
_SAMPLES = 12  # places along a bone where it is looked for
_AROUND = 32  # pixels around what is told by its colours that are looked at too
_FEWEST = 50  # pixels of which a colour is told
_SPREAD = 1.25  # times a hand's radius
_BODY, _OUTSIDE = 0, -1  # labels; limbs are 1 to 4
# In torso lengths: what legs are apart between which trousers show a gap; how much wider than the
# legs are apart trousers hardly are; how wide a gap is that begins at a hem, and not as a crack.
_STRIDE, _FLARE, _STEP = 0.5, 0.5, 0.19
_NARROWS = 0.75  # the legs' width over that of a skirt's hem
_SHORTEST_SKIRT, _LONGEST_SKIRT = 0.37, 1.7


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a person that is drawn as one.

    Attributes:
        pixels: (h, w, 4) uint8, colours multiplied by alpha.
        places: (N, 2) vertices in pixels of `pixels`.
        triangles: (M, 3) indices of vertices.
        shown: where of `pixels` there is anything; see `drawing.Piece`.
        skin: where the vertices go.
    """

    pixels: NDArray[np.uint8]
    places: Points
    triangles: NDArray[np.intp]
    shown: NDArray[np.uint8]
    skin: Skin


@dataclass(frozen=True, eq=False)
class Layers:
    """All layers of one reference.

    Attributes:
        figure: the reference's.
        skirt: whether cloth hangs between the legs.
        seen: (2,) the share of each arm, from the elbow to the fingertips, where it shows.
    """

    figure: Figure
    skirt: bool
    seen: Points
    layers: dict[Part, Layer]


def cut(
    colour: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    points: NDArray[np.float32],
    head: bool = False,
) -> Layers:
    """The layers of a reference.

    Args:
        colour: (H, W, 3).
        alpha: (H, W).
        points: (33, 2) landmarks in pixels.
        head: make a layer of the head only.
    """
    return _Cutter(colour, alpha, Figure(points)).layers(head)


class _Cutter:
    """One reference at the size at which parts are told apart."""

    def __init__(self, colour: NDArray[np.uint8], alpha: NDArray[np.uint8], figure: Figure) -> None:
        import cv2

        self._colour, self._alpha, self._figure = colour, alpha, figure
        height, width = alpha.shape
        shrink = min(1.0, _TORSO / figure.torso)
        self._size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = cv2.resize(alpha, self._size, interpolation=cv2.INTER_AREA)
        self._small = cv2.resize(colour, self._size, interpolation=cv2.INTER_AREA)
        self._solid: Mask = small > _SOLID
        # Of each place the nearest one that belongs to the person.
        self._nearest = tuple(distance_transform_edt(~self._solid, None, False, True))
        columns, rows = self._size
        x, y = np.meshgrid(
            (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
        )
        self._places = np.stack([x, y], -1)
        offset = self._places - figure.hips
        self._up = offset @ figure.up / figure.torso
        self._across = offset @ figure.across / figure.torso
        self._beside = np.abs(self._across)
        # (4, 3, rows, columns) distances to the limbs' bones, in their radii
        self._bones = np.array([self._to_bones(limb) for limb in range(len(LIMBS))])
        self._labels = self._told_apart()
        self._join_fingers()
        self._sleeves = np.zeros_like(self._solid)  # beyond the seams of the shoulders
        for limb in range(N_ARMS):
            self._cut_at_seam(limb)
        self._hem = self._find_hem()
        if self._hem:
            below_trunk = (self._labels > N_ARMS) & (-self._up < self._hem)
            self._labels[below_trunk] = _BODY

    def _from(self, place: Points) -> Points:
        """Distances from a place."""
        found: Points = np.hypot(*np.moveaxis(self._places - place, -1, 0))
        return found

    def _to_bones(self, limb: int) -> Points:
        joints = self._figure.chains[limb].copy()
        radii = RADII[int(limb >= N_ARMS)] * self._figure.torso
        if limb < N_ARMS:
            joints[0] += 0.1 * (joints[1] - joints[0])
        return np.array(
            [to_segment(self._places, joints[j], joints[j + 1]) / radii[j] for j in range(3)]
        )

    def _told_apart(self) -> NDArray[np.int8]:
        """(rows, columns) of labels."""
        import cv2

        figure = self._figure
        corners = np.array([figure.chains[limb][0] for limb in (0, 1, 3, 2)], np.float32)
        hull = cv2.convexHull(corners)[:, 0]
        edges = [
            to_segment(self._places, a, b) for a, b in zip(hull, np.roll(hull, 1, 0), strict=True)
        ]
        scale = np.array(self._size) / self._alpha.shape[::-1]
        inside = np.zeros(self._size[::-1], np.uint8)
        cv2.fillConvexPoly(inside, np.rint(hull * scale).astype(np.int32), 1)
        trunk = np.where(inside > 0, 0, np.min(edges, 0)) / (_TRUNK_RADIUS * figure.torso) + 0.02
        middle = figure.face.mean(0)
        radius = _HEAD * max(
            length(figure.points[EARS[0]] - figure.points[EARS[1]]), 0.35 * figure.torso
        )
        above = middle - [0, 0.15 * radius]
        head = self._from(above) / radius
        neck = to_segment(self._places, figure.shoulders, middle) / (_NECK * figure.torso)
        body = np.minimum(np.minimum(trunk, head), neck)
        limbs = self._bones.min(1)
        arms, legs = limbs[:N_ARMS], limbs[N_ARMS:]
        # Arms are before the trunk.
        arms = np.where(arms < 1, 0.35 * arms, arms)
        labels = np.concatenate([[body], arms, legs]).argmin(0).astype(np.int8)
        labels[~self._solid] = _OUTSIDE
        return self._by_colour(labels)

    def _by_colour(self, labels: NDArray[np.int8]) -> NDArray[np.int8]:
        """The edges of arms where the colours change from theirs to all else of the person."""
        import cv2

        # Fingers may be spread.
        arms = (self._bones[:N_ARMS] / [[[1.0]], [[1.0]], [[_SPREAD]]]).min(1)
        near = arms.min(0)
        rest = self._solid & (near > _PERHAPS)
        mask = np.full(labels.shape, cv2.GC_BGD, np.uint8)
        mask[self._solid & (near < _PERHAPS)] = cv2.GC_PR_BGD
        mask[self._solid & (near < _LIKELY)] = cv2.GC_PR_FGD
        mask[self._solid & (near < _SURELY)] = cv2.GC_FGD
        roots = self._figure.chains[:N_ARMS, 0]
        for root in roots:
            at_root = self._from(root) < 0.25 * self._figure.torso
            fixed = at_root & self._solid
            mask[fixed] = np.where(np.isin(labels[fixed], (1, 2)), cv2.GC_FGD, cv2.GC_BGD)
        found = self._grown(mask, rest)
        if found is None:
            return labels
        was = np.isin(labels, (1, 2))
        others = np.concatenate([[np.full(labels.shape, 1.0)], self._bones[N_ARMS:].min(1)])
        others[0] = np.where(self._up > -0.1, 0.0, 1.5)
        elsewhere = np.array([_BODY, 3, 4], np.int8)[others.argmin(0)]
        labels = np.where(found & self._solid, 1 + arms.argmin(0), labels).astype(np.int8)
        # What is on the outer side of an arm belongs to nothing else.
        inner = self._beside < self._trunk_half() + 0.1
        lost = was & ~found & self._solid & np.where(elsewhere == _BODY, inner, others.min(0) < 1)
        labels[lost] = elsewhere[lost]
        return labels

    def _join_fingers(self) -> None:
        """What lies apart from its part, and beside an arm, is of the arm: a thumb, say."""
        import cv2

        near = self._bones[:N_ARMS].min(1)
        for label in (_BODY, *range(N_ARMS + 1, len(LIMBS) + 1)):
            mine = (self._labels == label).astype(np.uint8)
            count, parts, areas, _ = cv2.connectedComponentsWithStats(mine)
            largest = areas[1:, cv2.CC_STAT_AREA].max(initial=0)
            for part in range(1, count):
                there = parts == part
                if areas[part, cv2.CC_STAT_AREA] < largest:
                    around = cv2.dilate(there.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                    arm = int(near[:, there].min(1).argmin())
                    if (self._labels[around] == 1 + arm).any():
                        self._labels[there] = 1 + arm

    def _cut_at_seam(self, limb: int) -> None:
        """Sleeves have the trunk's colours: part them from it between shoulder and armpit.

        The armpit is where the scene between arm and trunk is nearest to the shoulder.
        """
        figure = self._figure
        if folded(figure.chains[limb, :3]):
            return  # what is nearest may be beside the forearm
        shoulder, elbow = figure.chains[limb, :2]
        offset = self._places - shoulder
        bone = unit(elbow - shoulder)
        inwards = float(np.sign(cross(bone, -figure.up)))
        # Of each place how far it is along the arm, and from it towards the trunk.
        along, beside = offset @ bone, inwards * cross(bone, offset)
        between = (beside > 0) & (inwards * cross(offset, -figure.up) > 0)
        distance = np.hypot(along, beside) / figure.torso
        gap = ~self._solid & between & (distance < _ARMPIT) & (along > 0)
        if not gap.any():
            return
        armpit = np.where(gap, distance, np.inf).argmin()
        depth, width = along.flat[armpit], beside.flat[armpit]
        edge = width * _SEAM[1] * np.clip(along / depth, 0, 1) ** _SEAM[0]
        sleeve = self._solid & (along > 0) & (along < 1.6 * depth) & (beside < edge)
        sleeve &= (distance < _ARMPIT) & (self._bones[limb, 0] < _LOOSE)
        self._labels[sleeve & (self._labels == _BODY)] = 1 + limb
        self._sleeves |= sleeve
        trunk = self._solid & (along > 0) & (along < depth) & (beside > edge)
        self._labels[trunk & (self._labels == 1 + limb)] = _BODY

    def _find_hem(self) -> float:
        """How far below the hips a skirt ends, in torso lengths; 0 for trousers.

        Cloth between legs that stand apart is a skirt's; so is what is much wider than they, or
        ends at once where they are apart.
        """
        figure = self._figure
        legs = figure.chains[N_ARMS:]
        found, hem = False, 0.0
        for depth in np.arange(0.25, _LONGEST_SKIRT, 0.02):
            middles = [_at_depth(chain, figure, depth) for chain in legs]
            apart = length(middles[0] - middles[1]) / figure.torso
            row, column = self._cell(np.mean(middles, 0))
            if not (0 <= row < self._size[1] and 0 <= column < self._size[0]):
                break
            if self._labels[row, column] in (_OUTSIDE, 1, 2):
                break
            hem = depth
            if depth > _SHORTEST_SKIRT:
                width = self._width_at(depth)
                found |= apart > _STRIDE or width - apart > _FLARE
                # What is between the legs below the hem may have been taken for the person.
                if found and self._width_at(depth + 0.08) < _NARROWS * width:
                    break
        if found or (hem > _SHORTEST_SKIRT and self._gap(hem + 0.06) > _STEP):
            return hem + 0.06
        return 0.0

    def _gap(self, depth: float) -> float:
        """Between the legs so far below the hips, in torso lengths."""
        legs = self._figure.chains[N_ARMS:]
        row, column = self._cell(np.mean([_at_depth(leg, self._figure, depth) for leg in legs], 0))
        if not (0 <= row < self._size[1] and 0 <= column < self._size[0]):
            return 0.0
        solid = np.flatnonzero(self._labels[row] != _OUTSIDE)
        left, right = solid[solid <= column], solid[solid >= column]
        if not (len(left) and len(right)):
            return 0.0
        width = self._alpha.shape[1] / self._size[0]
        return float((right[0] - left[-1]) * width / self._figure.torso)

    def _width_at(self, depth: float) -> float:
        """Of trunk and legs so far below the hips, in torso lengths."""
        row = (np.abs(self._up + depth) < 0.02) & (self._labels != _OUTSIDE)
        row &= ~np.isin(self._labels, (1, 2))
        if not row.any():
            return 0.0
        return float(np.ptp(self._across[row]))

    def _cell(self, place: Points) -> tuple[int, int]:
        column, row = place * self._size / self._alpha.shape[::-1]
        return int(row), int(column)

    def layers(self, only_head: bool) -> Layers:
        figure = self._figure
        skirt = bool(self._hem)
        body = self._labels == _BODY
        arms = np.isin(self._labels, (1, 2))
        half = self._trunk_half()
        hull = (self._beside < half) & (self._up > -0.15) & (self._up < 1)
        hull &= (self._beside < self._seen_half(body) + 0.04) & ~self._sleeves
        real = body.copy()
        if not skirt:
            real |= (self._labels > N_ARMS) & (self._up > -0.18)
        for limb in range(N_ARMS):
            root = figure.chains[limb][0]
            at_root = self._from(root) < _SHOULDER * figure.torso
            real |= at_root & (self._labels == 1 + limb)
        colour, alpha = self._filled(body, real, hull & arms)
        made: dict[Part, Layer] = {}
        neck = figure.face.mean(0) - figure.shoulders
        along = (self._places - figure.shoulders) @ neck / (neck @ neck)
        # Hair beside the neck goes with the head, a collar with the trunk.
        head = self._has_colours_of_head(along)
        self._add(made, "head", None, colour, alpha, (along > 0.05) & head)
        if only_head:
            return Layers(figure, skirt, np.zeros(N_ARMS), made)
        self._add(made, "trunk", None, colour, alpha, (along < 0.25) | ~head)
        for limb in range(len(LIMBS)):
            self._add_limb(made, limb)
        seen = np.array([self._seen_part(limb) for limb in range(N_ARMS)])
        return Layers(figure, skirt, seen, made)

    def _seen_part(self, limb: int) -> float:
        """Of a limb beyond elbow or knee the share where its own pixels are."""
        joints = self._figure.chains[limb, 1:]
        ends = np.linspace(0, 1, _SAMPLES)[:, None]
        bones = [a + ends * (b - a) for a, b in pairwise(joints)]
        columns, rows = (
            np.rint(np.concatenate(bones) * self._size / self._alpha.shape[::-1]).astype(int).T
        )
        inside = (rows >= 0) & (rows < self._size[1]) & (columns >= 0) & (columns < self._size[0])
        return float((self._labels[rows[inside], columns[inside]] == 1 + limb).sum() / len(rows))

    def _has_colours_of_head(self, along: Points) -> Mask:
        """Where colours are rather those of head and hair than those of the trunk.

        Args:
            along: (rows, columns) 0 between the shoulders, 1 in the middle of the face.
        """
        import cv2

        body = self._labels == _BODY
        mask = np.full(body.shape, cv2.GC_BGD, np.uint8)
        mask[body & (along > 0)] = cv2.GC_PR_BGD
        mask[body & (along > 0.25)] = cv2.GC_PR_FGD
        neck = to_segment(self._places, self._figure.shoulders, self._figure.face.mean(0))
        inside = (along > 0.05) & (neck < _NECK * self._figure.torso)
        mask[body & (inside | (along > _CHIN))] = cv2.GC_FGD
        found = self._grown(mask, body & (along < 0))
        return np.ones_like(body) if found is None else found | ~body

    def _grown(self, mask: NDArray[np.uint8], rest: Mask) -> Mask | None:
        """What has the colours of a mask's foreground: GrabCut (Rother et al. 2004).

        None where too little is known of them, or of the background's.

        Args:
            mask: (rows, columns) of its classes.
            rest: some of the background; around the person its usual colour is taken.
        """
        import cv2

        if min(rest.sum(), (mask == cv2.GC_FGD).sum()) < _FEWEST:
            return None
        rows, columns = (np.flatnonzero((mask != cv2.GC_BGD).any(axis)) for axis in (1, 0))
        box = tuple(
            slice(max(0, line[0] - _AROUND), line[-1] + 1 + _AROUND) for line in (rows, columns)
        )
        picture = self._small[box].copy()
        picture[~self._solid[box]] = np.median(self._small[rest], 0)
        cv2.setRNGSeed(0)
        part = np.ascontiguousarray(mask[box])
        cv2.grabCut(picture, part, None, np.zeros((1, 65)), np.zeros((1, 65)), 2,
                    cv2.GC_INIT_WITH_MASK)  # fmt: skip
        found = np.zeros(mask.shape, np.uint8)
        found[box] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
        return cv2.medianBlur(found, 5) > 0

    def _trunk_half(self) -> Points:
        """How far from the spine a trunk reaches at most, in torso lengths."""
        ends = [
            length(self._figure.hip_line) / self._figure.torso / 2 + 0.12,
            length(self._figure.shoulder_line) / self._figure.torso / 2 + 0.03,
        ]
        return np.interp(self._up, [0, 1], ends)

    def _seen_half(self, body: Mask) -> Points:
        """How far it is seen to reach at this height or a little above or below, on this side."""
        level = np.clip(((self._up + 0.5) * 50).astype(int), 0, 99)
        reach = np.zeros((2, 100))
        for side in (0, 1):
            these = body & ((self._across > 0) == bool(side))
            np.maximum.at(reach[side], level[these], self._beside[these])
        reach = maximum_filter1d(reach, 15, axis=1)
        found: Points = reach[(self._across > 0).astype(int), level]
        return found

    def _add_limb(self, made: dict[Part, Layer], limb: int) -> None:
        figure = self._figure
        is_arm = limb < N_ARMS
        mine = self._labels == 1 + limb
        near = self._bones[limb]
        joints = figure.chains[limb]
        root = self._from(joints[0])
        real = mine.copy()
        if not is_arm and not self._hem:
            real |= (self._labels == _BODY) & (root < _HIP * figure.torso) & (self._up < 0.05)
        radius = RADII[int(not is_arm)][1] * figure.torso
        upper, lower = near[0], near[1:].min(0)
        if folded(joints[:3]):  # the forearm, or shin, is in front
            past = np.where(lower < 1, 1.0, upper - lower)
            if is_arm:
                past = self._folded_forearm(mine, near, past)
        else:
            past = past_joint(self._places, joints[:3]) / radius
        at_joint = self._from(joints[1])
        both = (at_joint < 1.1 * radius) & (np.abs(past) < _JOINT)
        behind: Mask
        if is_arm:
            behind = mine & (past > 0)
        else:
            behind = np.isin(self._labels, (1, 2))
            if self._hem:
                behind |= self._labels == _BODY
        for part, own in (("upper", past <= 0), ("lower", past > 0)):
            hull = near[0] if part == "upper" else near[1:].min(0)
            half = self._half_width(limb, own & mine)
            hidden = behind & (hull < half)
            if part == "lower" and is_arm:
                hidden = np.zeros_like(hidden)
            if not is_arm:
                hidden &= own
            colour, alpha = self._filled(own & mine, real & (own | both), hidden)
            self._add(made, part, limb, colour, alpha, np.ones_like(mine))

    def _folded_forearm(self, arm: Mask, near: Points, past: Points) -> Points:
        """Where a forearm lies before its upper arm, its edge where the colours change.

        Args:
            arm: pixels of both.
            near: (3, rows, columns) distances from its bones, in their radii.
            past: above 0 on the forearm as far as its bones tell.
        """
        import cv2

        distance = near[1:].min(0)
        mask = np.full(arm.shape, cv2.GC_BGD, np.uint8)
        mask[arm & (distance < _PERHAPS)] = cv2.GC_PR_BGD
        mask[arm & (past > 0)] = cv2.GC_PR_FGD
        mask[arm & ((distance < _SURELY) | (near[2] < near[0]))] = cv2.GC_FGD
        found = self._grown(mask, arm & (distance > _PERHAPS))
        return past if found is None else np.where(found, 1.0, -1.0)

    def _half_width(self, limb: int, own: Mask) -> float:
        """Half of a bone's width, in its radii."""
        distances = self._bones[limb].min(0)[own]
        # Clothes of a leg may stand out; of an arm it is the end at the elbow that is to be round.
        share = 70 if limb < N_ARMS else 95
        return float(np.percentile(distances, share)) if len(distances) > 20 else 0.8

    def _filled(
        self, source: Mask, real: Mask, hidden: Mask
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Colour and alpha at full size of a layer.

        Args:
            source: pixels to guess hidden ones from.
            real: pixels that are seen.
            hidden: pixels that lie behind another layer, to be guessed.
        """
        import cv2

        shape = self._alpha.shape[::-1]

        def full(mask: Mask) -> NDArray[np.float32]:
            soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _EDGE)
            soft = cv2.resize(soft, shape, interpolation=cv2.INTER_CUBIC)
            return (soft * 2 - 0.5).clip(0, 1)

        hidden = hidden & ~real
        # What lies outside is the nearest part's, so that the outline remains the cut-out's.
        seen = full(real[self._nearest] | hidden)
        if not hidden.any() or not source.any():
            return self._colour, (seen * self._alpha).astype(np.uint8)
        rows, columns = (np.flatnonzero((source | hidden).any(axis)) for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        small = np.ascontiguousarray(self._small[box])
        unknown = 1 - cv2.erode(source[box].astype(np.uint8), np.ones((3, 3), np.uint8))
        guess = self._small.copy()
        guess[box] = cv2.inpaint(small, unknown, 3, cv2.INPAINT_TELEA)
        guess = cv2.resize(guess, shape, interpolation=cv2.INTER_LINEAR)
        # A little farther, for the edge of what lies before is mixed with it.
        share = full(cv2.dilate(hidden.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
        alpha = seen * (self._alpha + share * (255 - self._alpha.astype(np.float32)))
        colour = self._colour + share[..., None] * (guess - self._colour.astype(np.float32))
        return colour.astype(np.uint8), alpha.astype(np.uint8)

    def _add(
        self,
        made: dict[Part, Layer],
        part: str,
        limb: int | None,
        colour: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
        region: Mask,
    ) -> None:
        import cv2

        if not region.all():
            soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), 0.7)
            soft = cv2.resize(soft, self._alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
            alpha = (alpha * soft).astype(np.uint8)
        seen = alpha > _FAINT
        count, labels, areas, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8))
        if count > 2:
            # What else lies there is of other parts, or of the scene.
            small = areas[:, cv2.CC_STAT_AREA] < _ISLAND * areas[1:, cv2.CC_STAT_AREA].max()
            seen &= ~small[labels]
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if not len(rows):
            return
        top, left = max(rows[0] - 2, 0), max(columns[0] - 2, 0)
        box = np.s_[top : rows[-1] + 3, left : columns[-1] + 3]
        alpha, seen = np.where(seen, alpha, 0)[box], seen[box]
        pixels = np.dstack([_times(colour[box], alpha), alpha])
        places, triangles = _mesh(seen, self._figure.torso * _MESH)
        corner = np.array([left, top])
        skin = Skin(self._figure, places + corner, (part, limb), bool(self._hem))
        size = tuple(-(-side // _COARSE) for side in alpha.shape[::-1])
        shown = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) > 0
        shown = cv2.dilate(np.where(shown, np.uint8(255), np.uint8(0)), np.ones((5, 5)))
        made[part, limb] = Layer(np.ascontiguousarray(pixels), places, triangles, shown, skin)


def _times(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = ((colour * alpha[..., None].astype(np.uint16) + 127) // 255).astype(
        np.uint8
    )
    return found


def _at_depth(chain: Points, figure: Figure, depth: float) -> Points:
    """The point of a leg so many torso lengths below the hips."""
    depths = (figure.hips - chain[:3]) @ figure.up / figure.torso
    depths = np.maximum.accumulate(depths + np.arange(3) * 1e-6)
    return np.array([np.interp(depth, depths, chain[:3, axis]) for axis in (0, 1)])


def _mesh(seen: Mask, side: float) -> tuple[Points, NDArray[np.intp]]:
    """Vertices (N, 2) and triangles (M, 3) of square cells that cover a mask."""
    height, width = seen.shape
    columns, rows = int(np.ceil(width / side)), int(np.ceil(height / side))
    y, x = np.nonzero(seen)
    used = np.zeros((rows + 2, columns + 2), bool)
    # With a margin, so that at the mesh's edge, where places are guessed, nothing is seen.
    margin = _MARGIN * side
    for dx in (-margin, margin):
        for dy in (-margin, margin):
            used[((y + dy) // side).astype(int) + 1, ((x + dx) // side).astype(int) + 1] = True
    j, i = np.nonzero(used)
    stride = columns + 3
    corner = j * stride + i
    quads = np.stack([corner, corner + 1, corner + stride, corner + stride + 1], 1)
    triangles = quads[:, [0, 1, 2, 1, 3, 2]].reshape(-1, 3)
    vertices, triangles = np.unique(triangles, return_inverse=True)
    places = np.stack([vertices % stride - 1, vertices // stride - 1], 1) * side
    return places, triangles.reshape(-1, 3)
