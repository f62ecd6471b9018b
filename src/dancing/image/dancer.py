"""Stage 2 at work: poses go in, pictures come out. ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dancing.body.drawing import draw_skeleton
from dancing.body.poses import PoseSequence
from dancing.body.retarget import retarget
from dancing.body.skeleton import ELBOWS, HEAD, N_LANDMARKS, TRUNK
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.family import ImageRuntime, family
from dancing.image.background import Background
from dancing.image.card import ANY_TURN, ImageCard
from dancing.media.video import fitting_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

STYLES = ("person", "skeleton", "side-by-side")
_BATCH = 8
_HEIGHTS = (16, 4320)
# Somebody's feet are so far below the picture, in torso lengths, who is cut off by its lower edge;
# of these, at the sides and above, only this has to stay inside.
_CUT = 0.3
_UPPER = (*HEAD, *TRUNK, *ELBOWS)
_DARK = np.array([24, 26, 32], np.uint8)


class Dancer:
    """Draws a person in given poses with the image model of a bundle.

    Args:
        bundle: name of an embedded dancer, path of a bundle, or an open `Bundle`.
        height: of the pictures in pixels, even; the width keeps the aspect. Default: the model's.

    Attributes:
        size: (width, height) of a drawn picture in pixels.
        view: (left, top, right, bottom), the part of the pose picture that is drawn, as
            fractions of that picture; it may reach outside.
        shot: the same of a picture by the camera that this person was seen with; None where it is
            not known.
        consecutive: whether a drawn picture also depends on those before it.
        placement: where this person stands in the pose picture; see `Choreographer`.
        turns: degrees by which this person may turn from the camera; None where any.

    Raises:
        DancingError: when the bundle cannot be used or holds no image model, or the height is odd
            or absurd.
    """

    def __init__(self, bundle: str | Path | Bundle = "default", height: int | None = None) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
        self._card = card = self.bundle.stage("image")
        assert isinstance(card, ImageCard)
        # What is wrong with it is to be said before a dance is made; and what was made of a photo
        # is gone when the drawing begins.
        _ = self.bundle.image
        self._drawn = card.size
        self.size = self._drawn
        if height is not None:
            if height % 2 or not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
                raise DancingError(
                    f"the height is {height}, but an even number from {_HEIGHTS[0]} to "
                    f"{_HEIGHTS[1]} is needed"
                )
            self.size = (fitting_width(*self._drawn, height), height)
        self.view = card.view
        self.shot = card.shot
        self.placement = card.placement
        self.turns = None if card.turns == ANY_TURN else card.turns
        try:
            model = family("image", card.model)
            self._runtime: ImageRuntime = model.runtime(self._run, card, self.bundle.file)
        except ValueError as error:
            raise DancingError(f"{self.bundle.path}: {error}") from error
        self.consecutive = self._runtime.consecutive

    def __call__(
        self,
        poses: PoseSequence,
        style: str = "person",
        background: Background | str | Path | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Draw every pose, streamed.

        Args:
            poses: any length; drawn frame by frame at the poses' own rate.
            style: 'person', 'skeleton' (lines instead of the person) or 'side-by-side'.
            background: what is behind the person; see `Background`. Default: the scene that the
                dancer was filmed in.

        Yields:
            (H, W, 3) uint8 RGB; side-by-side is twice as wide. With a transparent background
            (H, W, 4), straight alpha.

        Raises:
            DancingError: when style or background cannot be had.
        """
        if background is not None and not isinstance(background, Background):
            background = Background(background)
        self.check(style, background)
        if style == "skeleton":
            return self._skeletons(poses)
        if style == "person":
            return self._people(poses, background)
        pairs = zip(self._skeletons(poses), self._people(poses, background), strict=True)
        return (np.concatenate(pair, axis=1) for pair in pairs)

    def check(self, style: str, background: Background | None) -> None:
        """Refuse a style, or a background, that this dancer cannot be drawn with.

        Raises:
            DancingError: with the reason.
        """
        if style not in STYLES:
            raise DancingError(f"no style '{style}'; there are {', '.join(STYLES)}")
        if background is None:
            return
        if self._runtime.scene is None:
            raise DancingError(
                f"{self.bundle.name} is drawn together with the scene, so there can be no other "
                "background"
            )
        if style == "skeleton":
            raise DancingError("a background goes behind the person; the style skeleton has none")
        if background.transparent and style != "person":
            raise DancingError(f"the style {style} has no transparent background")

    def fit(
        self,
        poses: PoseSequence,
        source: Mapping[str, float] | None = None,
        in_place: bool = False,
    ) -> PoseSequence:
        """Poses of any body as this dancer would do them, in this dancer's place and picture.

        Args:
            poses: of any body, in any picture.
            source: `proportions` of that body, if known; see `retarget`.
            in_place: write into the landmarks of `poses`, so that a long dance is there once.

        Returns:
            Poses that lie where this dancer can be drawn; the dancer's own unchanged. Of a dancer
            whose card says nothing of the body, the poses as they are.
        """
        if self._card.proportions is None:
            return poses
        (left, top, right, bottom), (width, height) = self.view, self._drawn
        margin = np.array(self._runtime.margin) / [width, height, width, height]
        picture = (np.array([left, top, right, bottom]) + margin * [1, 1, -1, -1]).tolist()
        place = self.placement
        cut = place.floor is not None and place.floor > bottom + _CUT * place.torso
        return retarget(
            poses,
            place,
            self._card.proportions,
            picture=picture,
            inside=_UPPER if cut else range(N_LANDMARKS),
            source=source,
            in_place=in_place,
        )

    def in_view(self, landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Landmarks (..., 2) of the pose picture as fractions of the drawn one."""
        corner = np.array(self.view[:2])
        inside: NDArray[np.float64] = (landmarks - corner) / (np.array(self.view[2:]) - corner)
        return inside

    def frame_size(self, style: str) -> tuple[int, int]:
        """(width, height) of the pictures of a style."""
        return self.size[0] * (2 if style == "side-by-side" else 1), self.size[1]

    def _skeletons(self, poses: PoseSequence) -> Iterator[NDArray[np.uint8]]:
        for t, landmarks in enumerate(poses.landmarks):
            canvas = np.broadcast_to(_DARK, (self.size[1], self.size[0], 3)).copy()
            visibility = None if poses.visibility is None else poses.visibility[t]
            draw_skeleton(canvas, self.in_view(landmarks), visibility)
            yield canvas

    def _people(
        self, poses: PoseSequence, background: Background | None
    ) -> Iterator[NDArray[np.uint8]]:
        batches = (
            poses.landmarks[start : start + _BATCH] for start in range(0, len(poses), _BATCH)
        )
        return self._runtime(batches, self.size, background)

    def _run(self, inputs: dict[str, Any], **sides: int) -> list[NDArray[Any]]:
        return self.bundle.run("image", inputs, **sides)
