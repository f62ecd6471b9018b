"""From videos of a person to the pictures that a dancer is drawn from, and the scene behind.

Frames are looked at a few times a second. The best of them is the first picture: it faces the
camera, sharp, with the limbs apart. More are added as long as they show parts of the body
in ways that those before do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.body.skeleton import ANKLES, FEET
from dancing.body.tracks import Tracks
from dancing.data.landmarker import Landmarker, Person
from dancing.data.people import MOST_PEOPLE
from dancing.errors import DancingError
from dancing.image.scene import uncovered
from dancing.image.warp.choice import FIRST_LIMB, HEAD, MARKS, N_GROUPS, OTHER, Looks, costs, prices
from dancing.image.warp.figure import N_ARMS, Figure, length, to_segment
from dancing.image.warp.framing import seen_often, yaw
from dancing.image.warp.plate import filled
from dancing.image.warp.sight import Sight
from dancing.listener import Listener
from dancing.media import FPS
from dancing.media.video import ahead, probe, read_frames, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dancing.body.tracks import Track

    Picture = NDArray[np.uint8]

MOST = 8
"""Pictures that a dancer is made from; heads come besides."""
MOST_HEADS = 8
_A_SECOND, _MOST_LOOKS = 6.0, 120
_LONGEST = 120.0  # seconds of footage that are looked at
_HEIGHT = 640  # of the pictures in which people are looked for
_SMALLEST = 120  # pixels of a person that can be drawn from
_SEEN = 0.5  # visibility

# Sharpness is measured at so many pixels a torso, and at such a quantile of the details.
_TORSO, _STRONG = 160, 0.9
_SHARP, _BLURRED = 0.85, 0.5  # of the clip's sharp frames: as good as these; of no use
_RADII = (0.5, 0.35, 0.16, 0.22)  # of head, trunk, arms, legs, in torso lengths

# What makes a picture a good first one, as prices.
_TURNED, _LYING, _OUTSIDE, _OFF_FEET, _CLUTTERED = 1.5, 2.0, 2.0, 0.5, 1.0
_UNLIKE = 0.5  # for the distance from the clip's other poses
# By which a further picture must lessen the costs, over parts and frames; of a head, over frames.
_WORTH, _WORTH_OF_HEAD = 0.015, 0.01
_TILTED = 0.15  # sine of the shoulders' angle across the trunk
_SPOILED = 0.4  # price of a head that is blurred or hidden: rather one that is turned otherwise

# Scenes: pictures that are compared and put together; how much of the picture behind the person
# may change on average while the camera stands; and what one place counts at most.
_SCENE_SIDE, _SCENES = 240, 16
_STEADY, _MOST_CHANGE, _BLACK = 0.03, 0.15, 16.0
_STANDING = 0.6  # of the frames, of which more show the same scene before a camera that stands
_AROUND = 0.02  # of a picture's height around a matte that may be the person, too
_CHANGED = 40  # of 255: what differs more from the scene than this is something before it


@dataclass(frozen=True, eq=False)
class _Glimpse:
    """A frame of a video, and the dancer in it.

    Attributes:
        video: the file's number.
        frame: its number among those looked at.
        points: (33, 6), x and y in [0, 1].
        matte: of the size in which people are looked for.
        picture: (h, w, 3), as small as scenes are compared.
        sharp: (`N_GROUPS`,) details of each part; NaN where it is not seen.
        aspect: width over height.
    """

    video: int
    frame: int
    points: NDArray[np.float32]
    matte: Picture
    picture: Picture
    sharp: NDArray[np.float64]
    aspect: float

    @property
    def figure(self) -> Figure:
        return Figure(self.points[:, :2] * [self.aspect, 1.0])


def sights(
    videos: Sequence[Path], listener: Listener
) -> tuple[list[Sight], dict[str, float], list[str]]:
    """Pictures of the dancer in videos, the best one first, with the scene behind.

    Args:
        listener: told of progress, and of what is damaged or left out.

    Returns:
        At most `MOST`, and `MOST_HEADS` of the head only; the proportions of the body, see
        `framing.seen_often`; and notes, one line each. Visibility is also low in the pictures where
        a part is blurred, or where something is before it.

    Raises:
        DancingError: when a video cannot be read, or nobody can be seen in it.
    """
    notes: list[str] = []
    rates = _rates(videos, notes)
    glimpses = [
        one
        for number, video in enumerate(videos)
        for one in _looked(number, video, rates[number], notes, listener)
    ]
    scenes = [_Scene([g for g in glimpses if g.video == n]) for n in range(len(videos))]
    chosen, heads = _chosen([_judged(g, glimpses, scenes[g.video]) for g in glimpses])
    standing = scenes[chosen[0].video].standing
    body = seen_often(np.array([g.points * [g.aspect, 1, 1, 1, 1, 1] for g in glimpses]))
    found = _fetched(videos, rates, [*chosen, *heads], standing, listener)
    found[len(chosen) :] = [replace(one, head=True) for one in found[len(chosen) :]]
    return found, body, notes


def _rates(videos: Sequence[Path], notes: list[str]) -> list[tuple[float, int]]:
    """For each video how many frames a second are looked at, and how many in all."""
    left = _LONGEST
    durations = []
    for video in videos:
        duration = probe(video).duration
        durations.append(min(duration, left) or min(1.0, left))
        if duration > left:
            notes.append(f"{video.name}: only {left:.0f} of its {duration:.0f} s are looked at")
        left -= durations[-1]
    rate = min(_A_SECOND, _MOST_LOOKS / sum(durations))
    return [(rate, max(1, round(duration * rate))) for duration in durations]


def _looked(
    number: int, video: Path, rate: tuple[float, int], notes: list[str], listener: Listener
) -> list[_Glimpse]:
    """The dancer in the frames of a video."""
    fps, count = rate
    tracks = Tracks()
    kept: list[list[tuple[Person, Picture, NDArray[np.float64]]]] = []
    crowded = False
    with Landmarker(MOST_PEOPLE, video=False) as look:
        for k, picture in enumerate(ahead(islice(read_frames(video, fps, None, listener), count))):
            height, width = picture.shape[:2]
            aspect = width / height
            shrink = min(1.0, _HEIGHT / height)
            people = look(resize(picture, round(width * shrink), round(height * shrink)))
            crowded |= len(people) > 1
            # Numbered as if _A_SECOND of them were looked at: somebody is followed over gaps.
            found = [(person, i) for i, person in enumerate(people)]
            tracks.add(round(k * FPS / _A_SECOND), found, aspect)
            small = _SCENE_SIDE / max(width, height)
            scene = resize(picture, max(2, round(width * small)), max(2, round(height * small)))
            kept.append([(person, scene, _sharpness(picture, person)) for person in people])
            listener.progress(f"looking at {video.name}", k + 1, max(count, k + 1))
    chosen = _followed(tracks.dancer())
    glimpses = [
        _Glimpse(number, k, person.points, person.matte, scene, sharp, aspect)
        for k, one in sorted(chosen.items())
        for person, scene, sharp in [kept[k][one]]
    ]
    if not glimpses:
        raise DancingError(f"{video}: nobody can be seen in it; film a whole person")
    if crowded:
        notes.append(f"{video.name}: several people, the largest was followed")
    return glimpses


def _followed(tracks: Sequence[Track]) -> dict[int, int]:
    """By the number of each frame that of the dancer among the people in it."""
    found: dict[int, int] = {}
    for track in sorted(tracks, key=lambda track: track.weight):
        for frame, person in zip(track.frames, track.mattes, strict=True):
            found[round(frame * _A_SECOND / FPS)] = person
    return found


def _sharpness(picture: Picture, person: Person) -> NDArray[np.float64]:
    """(`N_GROUPS`,) how strong the details of each part are against what is coarser."""
    import cv2

    height, width = picture.shape[:2]
    points = person.points[:, :2] * [width, height]
    low = np.floor(points.min(0)).clip(0, [width - 1, height - 1]).astype(int)
    high = np.ceil(points.max(0)).clip(low + 1, [width, height]).astype(int)
    figure = Figure(points)
    shrink = min(1.0, _TORSO / figure.torso)
    size = np.maximum(2, np.rint((high - low) * shrink)).astype(int)
    part = cv2.resize(
        picture[low[1] : high[1], low[0] : high[0]], size.tolist(), interpolation=cv2.INTER_AREA
    )
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = (np.abs(grey - cv2.GaussianBlur(grey, (0, 0), reach)) for reach in (1, 4))
    x, y = np.meshgrid(*(np.arange(side) + 0.5 for side in size))
    places = np.stack([x, y], -1) / shrink + low
    found = np.full(N_GROUPS, np.nan)
    lines = [[figure.face.mean(0)] * 2, [figure.hips, figure.shoulders], *figure.chains]
    for group, line in enumerate(lines):
        radius = _RADII[min(group, 2) + (group >= FIRST_LIMB + N_ARMS)] * figure.torso
        near = np.min([to_segment(places, a, b) for a, b in pairwise(line)], 0) < radius
        if near.sum() > 50:
            strong = np.quantile(coarse[near], _STRONG)
            found[group] = np.quantile(fine[near], _STRONG) / max(float(strong), 1.0)
    return found


class _Scene:
    """What is behind the dancer in one video.

    Attributes:
        standing: the frames that show one scene before a camera that stands; none where it moves.
    """

    def __init__(self, glimpses: Sequence[_Glimpse]) -> None:
        pictures = [glimpse.picture for glimpse in glimpses]
        covered = [_covered(glimpse, pictures[0].shape[:2]) for glimpse in glimpses]
        self._picture, self._hidden = uncovered(pictures, covered, 0.5)
        changes = [self._change(*each) for each in zip(pictures, covered, strict=True)]
        steady = [g for g, change in zip(glimpses, changes, strict=True) if change < _STEADY]
        self.standing = steady if len(steady) > _STANDING * len(glimpses) else []

    def _change(self, picture: Picture, covered: NDArray[np.bool_]) -> float:
        seen = ~(covered | self._hidden)
        if not seen.any():
            return 0.0
        ratio = ((picture + _BLACK) / (self._picture + _BLACK))[seen]
        # A light that changes as a whole, as with automatic exposure, is no movement.
        return float(np.minimum(np.abs(ratio / np.median(ratio, 0) - 1), _MOST_CHANGE).mean())

    def clutter(self, glimpse: _Glimpse) -> float:
        """How much of what is around the feet is not the scene, such as captions."""
        if not self.standing:
            return 0.0
        height, width = self._hidden.shape
        figure = Figure(glimpse.points[:, :2] * [width, height])
        rows, columns = np.mgrid[:height, :width]
        places = np.stack([columns, rows], -1) + 0.5
        foot = np.min([to_segment(places, *chain[2:]) for chain in figure.chains[N_ARMS:]], 0)
        near = (foot < 0.4 * figure.torso) & ~self._hidden
        near &= ~_covered(glimpse, self._hidden.shape)
        if not near.any():
            return 0.0
        change = np.abs(glimpse.picture.astype(np.int16) - self._picture).max(-1)
        return float((change > _CHANGED)[near].mean())


def _covered(glimpse: _Glimpse, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) where the person may be, at another size."""
    import cv2

    matte = cv2.resize(glimpse.matte, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    around = max(1, round(_AROUND * shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * around + 1, 2 * around + 1))
    found: NDArray[np.bool_] = cv2.dilate((matte >= 32).astype(np.uint8), disc) > 0
    return found


@dataclass(frozen=True, eq=False)
class _Judged:
    """A frame that may become a reference.

    Attributes:
        prices: (`N_GROUPS`,) how badly each part is to be seen.
        first: what speaks against it as the first one, besides.
    """

    glimpse: _Glimpse
    prices: NDArray[np.float64]
    first: float


def _judged(glimpse: _Glimpse, glimpses: Sequence[_Glimpse], scene: _Scene) -> _Judged:
    """How good a frame is as a reference; its visibility is lessened by what spoils it."""
    sharp = glimpse.sharp / np.nanquantile([one.sharp for one in glimpses], 0.9, axis=0)
    kept = np.clip((np.nan_to_num(sharp) - _BLURRED) / (_SHARP - _BLURRED), 0, 1)
    points = glimpse.points.copy()
    for group, marks in enumerate(MARKS):
        points[list(marks), 2] *= kept[group]
    outside = ((points[:, :2] < 0) | (points[:, :2] > 1)).any(1)
    points[outside, 2] = 0
    clutter = scene.clutter(glimpse)
    points[[*ANKLES, *FEET], 2] *= max(0.0, 1 - _CLUTTERED * 4 * clutter)
    points[[*ANKLES, *FEET], 2] *= 1 - _OFF_FEET * (1 - _feet_in_matte(glimpse))
    glimpse = replace(glimpse, points=points)
    figure = glimpse.figure
    turned = np.deg2rad(yaw(points)) * _TURNED
    upright = _LYING * (1 - figure.up @ [0, -1])
    return _Judged(glimpse, prices(figure, points[:, 2]), float(turned + upright))


def _feet_in_matte(glimpse: _Glimpse) -> float:
    """Share of the landmarks of the feet at which the matte is."""
    height, width = glimpse.matte.shape
    feet = glimpse.points[[*ANKLES, *FEET], :2] * [width, height]
    columns, rows = feet.astype(int).clip(0, [width - 1, height - 1]).T
    return float((glimpse.matte[rows, columns] >= 128).mean())


def _chosen(judged: Sequence[_Judged]) -> tuple[list[_Glimpse], list[_Glimpse]]:
    """The best frame, and those that show parts in other ways, each the next most useful; and
    those that show heads turned in more ways."""
    looks = Looks.of([one.glimpse.figure for one in judged])
    own = np.array([one.prices for one in judged])
    found = costs(looks, looks, skirt=True) + own[None]  # (frames, references, groups)
    first = own.sum(1) + [one.first for one in judged]
    first = first + _UNLIKE * (found.mean(0) - own).sum(1)
    numbers = [int(first.argmin())]
    best = found[:, numbers[0]] - OTHER
    while len(numbers) < min(MOST, len(judged)):
        gains = np.maximum(best[:, None] - found, 0).mean((0, 2))
        if gains.max() < _WORTH:
            break
        numbers.append(int(gains.argmax()))
        best = np.minimum(best, found[:, numbers[-1]])
    heads: list[int] = []
    found, best = found[..., HEAD], best[:, HEAD]
    shrugs = [_shrugs(one.glimpse.figure) for one in judged]
    found[:, (own[:, HEAD] > _SPOILED) | shrugs] = np.inf
    while len(heads) < MOST_HEADS:
        gains = np.maximum(best[:, None] - found, 0).mean(0)
        if gains.max() < _WORTH_OF_HEAD:
            break
        heads.append(int(gains.argmax()))
        best = np.minimum(best, found[:, heads[-1]])
    return [judged[n].glimpse for n in numbers], [judged[n].glimpse for n in heads]


def _shrugs(figure: Figure) -> bool:
    """Whether a shoulder is raised to the head, which then fits on no other trunk."""
    raised = (figure.chains[:N_ARMS, 1] - figure.shoulders) @ figure.up
    tilt = abs(figure.shoulder_line @ figure.up) / max(length(figure.shoulder_line), 1e-6)
    return bool(raised.max() > 0 or tilt > _TILTED)


def _fetched(
    videos: Sequence[Path],
    rates: Sequence[tuple[float, int]],
    chosen: Sequence[_Glimpse],
    standing: Sequence[_Glimpse],
    listener: Listener,
) -> list[Sight]:
    """The chosen frames at full size, the first with its scene.

    Args:
        standing: frames of the first one's video that show its scene; none where it moves.
    """
    spread = np.unique(np.linspace(0, len(standing) - 1, min(len(standing), _SCENES)).astype(int))
    behind = {standing[number].frame: standing[number] for number in spread}
    taken: dict[tuple[int, int], Sight] = {}
    seen: list[Picture] = []
    with Landmarker(MOST_PEOPLE, video=False) as look:
        for number in sorted({glimpse.video for glimpse in chosen}):
            wanted = {one.frame: one for one in chosen if one.video == number}
            scene = behind if number == chosen[0].video else {}
            end = max(*wanted, *scene, 0) + 1
            pictures = read_frames(videos[number], rates[number][0])
            for k, picture in enumerate(islice(pictures, end)):
                if k in wanted:
                    person = _again(wanted[k], picture, look)
                    taken[number, k] = Sight.of(videos[number], picture, person)
                    listener.progress("fetching", len(taken), len(chosen))
                if k in scene:
                    seen.append(picture)
    found = [taken[one.video, one.frame] for one in chosen]
    if seen:
        covered = [_covered(glimpse, seen[0].shape[:2]) for glimpse in behind.values()]
        empty, hidden = uncovered(seen, covered, 0.5)
        empty = filled(empty, hidden.astype(np.uint8) * 255)
        found[0] = replace(found[0], scene=resize(empty, *found[0].size))
    return found


def _again(glimpse: _Glimpse, picture: Picture, look: Landmarker) -> Person:
    """A person seen once more, in the picture at full size."""
    height, width = picture.shape[:2]

    def away(person: Person) -> float:
        return float(np.abs(person.points[:, :2] - glimpse.points[:, :2]).mean())

    person = min(look(picture), key=away, default=None)
    if person is None or away(person) > 0.05:
        person = Person(glimpse.points, resize(glimpse.matte, width, height))
    points = person.points.copy()
    points[:, 2] = glimpse.points[:, 2]
    return Person(points, person.matte)
