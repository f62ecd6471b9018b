"""The image model `warp` at work: the person's own pictures, deformed pose by pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.poses import torso_length
from dancing.body.retarget import proportions
from dancing.body.skeleton import HEELS, MIRROR, N_LANDMARKS, TOES
from dancing.image.background import Background
from dancing.image.compositing import SHADE_STRIDE, darken
from dancing.image.warp.card import Card
from dancing.image.warp.choice import Chooser
from dancing.image.warp.drawing import lay_over
from dancing.image.warp.figure import N_ARMS, Figure
from dancing.image.warp.layers import cut
from dancing.image.warp.painter import Painted, paint
from dancing.image.warp.reference import Reference, read_plate, read_references
from dancing.image.warp.refining import Refiner
from dancing.media.video import ahead

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What tells besides the torso how large a person is drawn; the torso's length over the one that
# goes with the limbs, below which it is bent; and how fast the size follows.
_LIMBS = ("thigh", "shin", "upper_arm", "forearm")
_BENT = 0.88
_REMEMBERED = 24  # frames, in which hardly every one of them points at the camera
_FOLLOWED = 0.3  # of each batch
_FARTHEST = 3.0  # times as large or as small as the card says
_HIDDEN = 0.6  # of an arm: if less is seen, that may be something else
_RESOLUTION = 1.5  # of a reference over the drawn person's; more is made smaller first
# The shadow under a foot, and the wide one: radii in torso lengths, and how dark.
_FOOT_SHADOW, _BODY_SHADOW = (0.2, 0.05, 0.4), (0.55, 0.12, 0.22)
_RISE = 0.15  # torso lengths at which a foot's shadow has faded


class Runtime:
    """Draws a person with a `warp` model.

    Args:
        run: the network; see `refining.Refiner`.
        card: what the bundle says of the model.
        file: the content of a file of the bundle, by name.

    Attributes:
        scene: what the dancer was seen in front of.
        margin: left, top, right, bottom, pixels by which the person may reach out of the frame.
        consecutive: yes, size and references follow the dance.

    Raises:
        ValueError: when a picture is no PNG of the card's size.
    """

    consecutive = True

    def __init__(
        self,
        run: Callable[..., list[NDArray[Any]]],
        card: Card,
        file: Callable[[str], bytes],
    ) -> None:
        self._card = card
        self.margin = card.margin
        self.scene = Background(read_plate(card, file))
        self._references = read_references(card, file)
        self._refine = Refiner(run)

    def __call__(
        self,
        batches: Iterator[NDArray[np.float32]],
        size: tuple[int, int],
        background: Background | None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames (H, W, 3 or 4) uint8 of batches (N, 33, 2) of landmarks in [0, 1] of the frame.

        Args:
            size: (width, height) of the frames.
            background: what is behind the person; default: `scene`.
        """
        scene = background or self.scene
        standing = self._card.placement.torso * size[1]
        pictures = [_fitting(one, standing * _RESOLUTION) for one in self._references]
        with ThreadPoolExecutor() as pool:
            references = list(pool.map(lambda each: cut(*each), pictures))
        visibility = [one.points[:, 2] for one in self._references]
        # An arm that no picture shows is like the other one.
        seen = np.array([one.seen for one in references])
        hidden = [arm for arm in range(N_ARMS) if seen[:, arm].max() < _HIDDEN]
        other = {int(seen[:, 1 - arm].argmax()) for arm in hidden}
        references += [cut(*_mirrored(*pictures[number][:3])) for number in other]
        visibility += [visibility[number][list(MIRROR)] for number in other]
        chooser = Chooser(references, visibility, len(other))
        scale = _Scale(self._card, standing, size)

        def painted() -> Iterator[tuple[Figure, Painted]]:
            for batch in batches:
                points = batch * np.array(size, np.float32)
                torso = scale(batch)
                for one in points:
                    pose = Figure(one, torso)
                    chooser(pose)
                    yield pose, paint(chooser.layers_of, pose, chooser.skirt, size)

        frames = scene.frames(*size)
        for pose, rough in ahead(painted(), 8):
            person = self._refine(rough, pose)
            frame = next(frames).copy()
            if scene.shaded:
                darken(frame, _shade(pose, size), size)
            for part, corner in person:
                _lay_over(frame, part, corner)
            yield frame


class _Scale:
    """How large the person is drawn: as long as the torso was of late; if that is bent, the limbs
    tell, less surely."""

    def __init__(self, card: Card, standing: float, size: tuple[int, int]) -> None:
        self._proportions, self._aspect, self._height = card.proportions, size[0] / size[1], size[1]
        # A placement has the median of a dance; somebody upright is as much larger.
        self._upright = standing * (card.proportions["torso"] if card.proportions else 1.0)
        self._seen = np.empty((0, N_LANDMARKS, 2), np.float32)
        self._now: float | None = None

    def __call__(self, batch: NDArray[np.float32]) -> float:
        """Length in pixels of the torso of somebody upright, so large as in this batch."""
        wanted = self._proportions
        if wanted is None:
            return self._upright
        self._seen = np.concatenate([self._seen, batch])[-_REMEMBERED:]
        seen = proportions(self._seen, self._aspect)
        # Limbs are measured on few pictures: some are too long in the card, some too short.
        limbs = float(np.median([seen[kind] / wanted[kind] for kind in _LIMBS]))
        torso = max(seen["torso"], _BENT * limbs * wanted["torso"])
        found = torso * torso_length(self._seen, self._aspect) * self._height
        found = float(np.clip(found, self._upright / _FARTHEST, self._upright * _FARTHEST))
        self._now = found if self._now is None else self._now + _FOLLOWED * (found - self._now)
        return self._now


def _fitting(
    reference: Reference, torso: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], bool]:
    """Colour, alpha and landmarks (33, 2) in pixels, no larger than a torso of this length; and
    whether it is of a head only."""
    import cv2

    points = reference.points[:, :2]
    shrink = torso / Figure(points).torso
    if shrink >= 1:
        return reference.colour, reference.alpha, points, reference.head
    height, width = reference.alpha.shape
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    colour, alpha = (
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        for picture in (reference.colour, reference.alpha)
    )
    points = points * np.array([size[0] / width, size[1] / height], np.float32)
    return colour, alpha, points, reference.head


def _mirrored(
    colour: NDArray[np.uint8], alpha: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """A picture, its alpha and landmarks, in a mirror."""
    moved = points[list(MIRROR)] * [-1, 1] + [alpha.shape[1], 0]
    return (
        np.ascontiguousarray(colour[:, ::-1]),
        np.ascontiguousarray(alpha[:, ::-1]),
        moved.astype(np.float32),
    )


def _shade(pose: Figure, size: tuple[int, int]) -> NDArray[np.float32]:
    """How far the floor is darkened around the feet, in cells of the picture."""
    columns, rows = (-(-side // SHADE_STRIDE) for side in size)
    x = (np.arange(columns) + 0.5) * SHADE_STRIDE
    y = (np.arange(rows)[:, None] + 0.5) * SHADE_STRIDE
    feet = (pose.points[HEELS] + pose.points[TOES]) / 2
    floor = float(feet[:, 1].max())
    spots = [
        (foot[0], foot[1], *_FOOT_SHADOW[:2],
         _FOOT_SHADOW[2] * np.exp(-(floor - foot[1]) / (_RISE * pose.torso)))
        for foot in feet
    ]  # fmt: skip
    spots.append((feet[:, 0].mean(), floor, *_BODY_SHADOW))
    light = np.ones((rows, columns), np.float32)
    for middle, level, across, down, dark in spots:
        beside = np.exp(-(((x - middle) / (across * pose.torso)) ** 2))
        below = np.exp(-(((y - level) / (down * pose.torso)) ** 2))
        light *= (1 - dark * below * beside).astype(np.float32)
    return 1 - light


def _lay_over(frame: NDArray[np.uint8], person: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    """Lay a person over a frame (H, W, 3), or an empty one (H, W, 4), with straight alpha."""
    left, top = (max(0, place) for place in corner)
    seen = person[top - corner[1] :, left - corner[0] :]
    seen = seen[: max(0, len(frame) - top), : max(0, frame.shape[1] - left)]
    if frame.shape[2] == 3 and seen.size:
        lay_over(frame, seen, (left, top))
    elif seen.size:
        alpha = seen[..., 3:]
        colour = seen[..., :3] * np.uint16(255) // np.maximum(alpha, 1)
        frame[top : top + len(seen), left : left + seen.shape[1]] = np.dstack([colour, alpha])
