"""Which reference each part of a person is drawn from in a pose.

That which shows the part most as the pose wants it: the head turned so, the limb foreshortened and
bent so. What is nearly as good as the present one is left alone, so that nothing flickers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.skeleton import ARMS, EYES, LEGS, MOUTH, NOSE, TRUNK
from dancing.image.warp.figure import LEFT, LIMBS, N_ARMS, Figure, cross, folded, length
from dancing.media import FPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.image.warp.layers import Layer, Layers
    from dancing.image.warp.skinning import Part

    Floats = NDArray[np.floating[Any]]

HEAD, TRUNK_GROUP, FIRST_LIMB = 0, 1, 2
N_GROUPS = FIRST_LIMB + len(LIMBS)
"""Parts that are chosen for themselves: head, trunk, and each of `LIMBS`."""
MARKS: tuple[tuple[int, ...], ...] = (
    (NOSE,),
    tuple(TRUNK),
    *((arm.elbow, arm.wrist, arm.index_finger) for arm in ARMS),
    *((leg.knee, leg.ankle, leg.toe) for leg in LEGS),
)
"""Of each group the landmarks by whose visibility it is told whether it is seen."""

# Costs are in shares: about 1 is the most that anything can be wrong by.
_TURNED_HEAD = 2.0  # for a distance of shapes, which is 0.5 from the front to the side
_NODDED = 0.6  # of a face's height: how high a nose is seen differs from person to person
_HAIR = 0.3  # of what the head is wrong by, for the trunk, on which the hair falls
_WIDTH, _SPREAD = 0.5, 0.25  # of shoulders and of hips; of legs below a skirt
_FORESHORTENED = 0.5  # of each bone
_STRETCHED = 1.5  # times as bad: a bone that is longer than in the reference
_RAISED, _BENT = 0.15, (0.2, 0.1)  # for a radian; of elbow or knee, of wrist or ankle
# Prices, whatever the pose.
_UNSEEN, _FOLDED, _BEFORE_FACE, _CROSSED = 1.0, 0.5, 0.6, 0.3
_MIRRORED = 0.3
_BEFORE_TRUNK, _HIDDEN_TRUNK = 0.25, 0.15  # for the arm, for the trunk
_NEAR_FACE = 0.4  # torso lengths from the middle of a face to fingers that may be before it
_NEVER = 1e6
_LEAST = 1e-6

# A head that is turned only a little otherwise does not look like this person's.
OTHER = np.array([0.03, 0.1, *[0.1] * len(LIMBS)])
"""Of each group the price of any reference but the first, which is the best of all."""
_GAINS = np.array([0.15, 0.25, *[0.2] * len(LIMBS)])  # by which another reference must be better
_RESTS = round(FPS / 3)  # frames until the next change
_FADE = 3  # frames in which the old one fades within the outline of the new one


@dataclass(frozen=True, eq=False)
class Looks:
    """How the parts of N bodies look, so far as it tells what to draw them from.

    Attributes:
        faces: (N, 11) complex landmarks of the head, about their middle, of length 1 together;
            up is towards 1.
        widths: (N, 2) shoulders and hips in torso lengths; negative seen from behind.
        spread: (N,) torso lengths between the knees, across.
        bones: (N, 4, 2) of each limb the first and second bone's length in torso lengths.
        raised: (N, 4) complex, the first bone's direction as seen from the trunk.
        bent: (N, 4, 2) complex, the second bone's as seen from the first, and the hand's or foot's
            as seen from the second.
    """

    faces: NDArray[np.complex128]
    widths: Floats
    spread: Floats
    bones: Floats
    raised: NDArray[np.complex128]
    bent: NDArray[np.complex128]

    @classmethod
    def of(cls, figures: Sequence[Figure]) -> Looks:
        """Of bodies in poses."""
        faces = _complex(np.array([f.face for f in figures]))
        faces = faces - faces.mean(1, keepdims=True)
        up = faces[:, EYES].mean(1) - faces[:, MOUTH].mean(1)
        faces *= _unit(up).conj()[:, None]
        faces.real *= _NODDED
        faces /= np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), _LEAST)
        torso = np.array([f.torso for f in figures])
        widths = [[line @ f.across for line in (f.shoulder_line, f.hip_line)] for f in figures]
        # Seen from behind, the person's left is where the left joints are not.
        knees = [(f.chains[N_ARMS, 1] - f.chains[N_ARMS + 1, 1]) @ f.across for f in figures]
        bones = _complex(np.diff(np.array([f.chains for f in figures]), axis=2))
        down = -_complex(np.array([f.up for f in figures]))[:, None]
        outwards = np.array([[_outwards(f, limb) for limb in range(len(LIMBS))] for f in figures])
        raised = _mirrored(bones[..., 0] * down.conj(), outwards)
        bent = _mirrored(bones[..., 1:] * bones[..., :-1].conj(), outwards[..., None])
        return cls(
            faces,
            np.array(widths) / torso[:, None],
            np.array(knees) / torso,
            np.abs(bones[..., :2]) / torso[:, None, None],
            _unit(raised),
            _unit(bent),
        )


def costs(poses: Looks, references: Looks, skirt: bool) -> NDArray[np.float64]:
    """How far each part would be from what poses want, drawn from references.

    Args:
        poses: of T bodies.
        references: of R bodies.
        skirt: cloth hangs over the legs.

    Returns:
        (T, R, `N_GROUPS`).
    """
    found = np.empty((len(poses.spread), len(references.spread), N_GROUPS))
    # The distance of shapes: full Procrustes (Dryden and Mardia, "Statistical Shape Analysis").
    alike = np.abs(poses.faces @ references.faces.conj().T)
    found[..., HEAD] = _TURNED_HEAD * np.sqrt(np.maximum(1 - alike**2, 0))
    full = np.maximum(np.abs(references.widths).max(0), _LEAST)
    apart = _apart(poses.widths, references.widths) / full
    found[..., TRUNK_GROUP] = _WIDTH * np.minimum(np.abs(apart), 1).sum(-1)
    found[..., TRUNK_GROUP] += _HAIR * found[..., HEAD]
    if skirt:
        apart = np.abs(_apart(poses.spread, references.spread))
        found[..., TRUNK_GROUP] += _SPREAD * np.minimum(apart, 1)
    full = np.maximum(references.bones.max(0), _LEAST)
    longer = _apart(np.minimum(poses.bones / full, 1), references.bones / full)
    short = np.maximum(longer * _STRETCHED, -longer)
    found[..., FIRST_LIMB:] = _FORESHORTENED * short.sum(-1)
    raised = np.abs(np.angle(poses.raised[:, None] * references.raised.conj()))
    bent = np.abs(np.angle(poses.bent[:, None] * references.bent.conj()))
    found[..., FIRST_LIMB:] += _RAISED * raised + bent @ _BENT
    return found


def prices(figure: Figure, visibility: Floats) -> NDArray[np.float64]:
    """(`N_GROUPS`,) how badly a reference shows each part, whatever the pose.

    Args:
        figure: the reference's.
        visibility: (33,) of its landmarks.
    """
    found = _UNSEEN * np.array([1 - visibility[list(marks)].min() for marks in MARKS])
    found[FIRST_LIMB:] += [_FOLDED * folded(joints[:3]) for joints in figure.chains]
    middle = figure.face.mean(0)
    half = max(length(figure.shoulder_line), length(figure.hip_line)) / 2
    for arm in range(N_ARMS):
        hand = figure.chains[arm, 2:]
        if np.hypot(*(hand - middle).T).min() < _NEAR_FACE * figure.torso:
            found[HEAD] += _BEFORE_FACE
        ends = figure.chains[arm, 1:] - figure.hips
        up, beside = ends @ figure.up / figure.torso, np.abs(ends @ figure.across)
        if ((up > -0.2) & (up < 1) & (beside < half)).any():
            found[FIRST_LIMB + arm] += _BEFORE_TRUNK
            found[TRUNK_GROUP] += _HIDDEN_TRUNK
    left, right = figure.chains[N_ARMS:, :3]
    if ((left - right)[1:] @ figure.across * (figure.hip_line @ figure.across) < 0).any():
        found[FIRST_LIMB + N_ARMS :] += _CROSSED
    return found


def group_of(part: Part) -> int:
    """The group that a part is chosen with."""
    name, limb = part
    if limb is not None:
        return FIRST_LIMB + limb
    return HEAD if name == "head" else TRUNK_GROUP


class Chooser:
    """Chooses references pose by pose, and fades from one to the next.

    Args:
        references: the layers of each.
        visibility: of each, (33,) of the landmarks.
        mirrored: how many of the last references are others in a mirror, for their arms alone.

    Attributes:
        skirt: whether cloth hangs over the legs, as most references have it.
    """

    def __init__(
        self, references: Sequence[Layers], visibility: Sequence[Floats], mirrored: int = 0
    ) -> None:
        self._references = references
        groups = [{group_of(part) for part in one.layers} for one in references]
        shown = np.array([[group in each for group in range(N_GROUPS)] for each in groups])
        whole = [one for one, each in zip(references, groups, strict=True) if TRUNK_GROUP in each]
        self.skirt = sum(one.skirt for one in whole) * 2 > len(whole)
        figures = [one.figure for one in references]
        self._looks = Looks.of(figures)
        self._prices = np.array([prices(*each) for each in zip(figures, visibility, strict=True)])
        self._prices[1:] += OTHER
        arms = np.s_[FIRST_LIMB : FIRST_LIMB + N_ARMS]
        self._prices[:, arms] += _UNSEEN * (1 - np.array([one.seen for one in references]))
        if mirrored:
            self._prices[-mirrored:, arms] += _MIRRORED
            self._prices[-mirrored:, : arms.start] = self._prices[-mirrored:, arms.stop :] = _NEVER
        # Of a skirt and trousers no person can be put together.
        others = [one.skirt != self.skirt for one in references]
        self._prices[np.ix_(others, [TRUNK_GROUP, *range(FIRST_LIMB + N_ARMS, N_GROUPS)])] = _NEVER
        self._prices[~shown] = _NEVER
        self._now = np.full(N_GROUPS, -1)
        self._before = np.full(N_GROUPS, -1)
        self._since = np.full(N_GROUPS, _RESTS)

    def __call__(self, pose: Figure) -> NDArray[np.intp]:
        """Go on to the next pose; (`N_GROUPS`,) the number of each part's reference."""
        found = costs(Looks.of([pose]), self._looks, self.skirt)[0] + self._prices
        best = found.argmin(0)
        self._since += 1
        for group in range(N_GROUPS):
            now = self._now[group]
            if now < 0:
                self._now[group] = best[group]
            elif self._since[group] > _RESTS and (
                found[now, group] - found[best[group], group] > _GAINS[group]
            ):
                self._before[group], self._now[group] = now, best[group]
                self._since[group] = 0
        return self._now.copy()

    def layers_of(self, part: Part) -> list[tuple[Layer, float]]:
        """What to draw a part from in the present pose: one layer, or none.

        While references change, also the one before, with how much of it is still seen; but of a
        head, for a moment with four eyes is worse than a quick turn.
        """
        group = group_of(part)
        old, new = self._before[group], self._now[group]
        left = 1 - (self._since[group] + 1) / _FADE
        fading = group != HEAD and old >= 0 and left > 0
        shares = [(new, 1.0), (old, left)] if fading else [(new, 1.0)]
        layers = [(self._references[number].layers.get(part), share) for number, share in shares]
        if layers[0][0] is None:
            return []
        return [(layer, share) for layer, share in layers if layer is not None]


def _complex(points: Floats) -> NDArray[np.complex128]:
    return points[..., 0] + 1j * points[..., 1]


def _unit(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return values / np.maximum(np.abs(values), _LEAST)


def _mirrored(values: NDArray[np.complex128], mirror: Floats) -> NDArray[np.complex128]:
    return np.where(mirror < 0, values.conj(), values)


def _apart(poses: Floats, references: Floats) -> Floats:
    return poses[:, None] - references[None]


def _outwards(figure: Figure, limb: int) -> float:
    """The sign of a turn that raises an arm or leg away from the body."""
    return float(np.sign(cross(-figure.up, figure.across))) * (1 if LEFT[limb] else -1)
