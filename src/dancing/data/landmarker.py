"""See people in pictures, with the two networks of MediaPipe's pose landmarker.

One network finds people in the whole picture: for each the middle of the hips, and a point on the
circle around the whole body that tells its size and which way is up. The other looks at an upright
square around one person and gives landmarks and matte. In a video the square follows from where
the person was in the picture before, and the first network looks only when somebody is missing.

After Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking" (2020,
https://arxiv.org/abs/2006.10204); numbers and formulas, down to where a pixel's middle is, are
those of MediaPipe's graphs (pose_detector_graph.cc, pose_landmarks_detector_graph.cc and
pose_landmarker_graph.cc in https://github.com/google-ai-edge/mediapipe), so that landmarks mean
what they mean there. One thing differs: the landmarks of a video are not smoothed over time. That
is meant for a live camera, makes them late by most of a frame, and doubles their error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from dancing.data.pose_model import DETECTOR_SIZE, LANDMARKS_SIZE, networks
from dancing.data.warp import warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LANDMARKS = 33
# Two more landmarks that the network gives are the middle of the hips and the point on the circle.
_FOLLOWING = slice(33, 35)
_LEAST_SCORE = 0.5  # of being a person
_LEAST_OVERLAP = 0.5  # of two squares or boxes around the same person
_MARGIN = 1.25  # of the square around the circle
_HEATMAP_REACH = 3  # cells around a landmark
_LEAST_HEAT = 0.5
# Share of what is seen now in the visibility of a single person in a video, which trembles.
_VISIBILITY_UPDATE = 0.1


@dataclass(frozen=True, eq=False)
class Person:
    """One person seen in one picture.

    Attributes:
        points: (33, 6) float32: x, y in [0, 1] of the picture, visibility in [0, 1], and the
            world landmark's x, y, z in metres, hip-centred.
        matte: (H, W) uint8 of the picture's size, 255 where the person is.
    """

    points: NDArray[np.float32]
    matte: NDArray[np.uint8]


class Landmarker:
    """See people in pictures. Use as a context manager.

    Args:
        people: the most to look for in one picture.
        video: pictures follow each other in time, so that people are tracked, which is faster;
            False takes every picture for itself.

    Raises:
        DancingError: when the networks cannot be found or used.
    """

    def __init__(self, people: int, video: bool) -> None:
        self._people = people
        self._video = video
        self._networks = networks()
        self._squares: list[_Square] = []
        self._visibility: NDArray[np.float32] | None = None

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *_: object) -> None:
        self._squares = []

    def __call__(self, picture: NDArray[np.uint8]) -> list[Person]:
        """The people in a picture (H, W, 3) uint8 RGB."""
        squares = self._squares
        if len(squares) < self._people:
            squares = squares + self._detect(picture)
        if self._video:
            squares = _each_once(squares)
        self._squares = []
        people = []
        for square in squares[: self._people]:
            seen = self._look(picture, square)
            if seen is not None:
                person, following = seen
                people.append(person)
                if self._video:
                    self._squares.append(following)
        if self._video and self._people == 1:
            self._steady_visibility(people)
        return people

    def _detect(self, picture: NDArray[np.uint8]) -> list[_Square]:
        """Squares around people in the whole picture, the surest first."""
        height, width = picture.shape[:2]
        whole = _Square(width / 2, height / 2, max(width, height), 0.0)
        matrix = whole.matrix(DETECTOR_SIZE)
        seen = warp(picture, matrix, (DETECTOR_SIZE, DETECTOR_SIZE))
        boxes, scores = self._networks.detector(_input(seen, -1, 1))
        points = _suppressed(boxes, scores) * DETECTOR_SIZE @ matrix[:, :2].T + matrix[:, 2]
        return [_Square.around(*hips_and_circle) for hips_and_circle in points]

    def _look(self, picture: NDArray[np.uint8], square: _Square) -> tuple[Person, _Square] | None:
        """The person in a square, and where to look next; None when nobody is there."""
        if not square.usable:
            return None
        matrix = square.matrix(LANDMARKS_SIZE)
        pixels = warp(picture, matrix, (LANDMARKS_SIZE, LANDMARKS_SIZE), repeat_edges=True)
        landmarks, score, matte, heatmaps, world = self._networks.landmarks(_input(pixels, 0, 1))
        if score <= _LEAST_SCORE:
            return None
        places = _refined(landmarks[:, :2] / LANDMARKS_SIZE, heatmaps) * LANDMARKS_SIZE
        places = places @ matrix[:, :2].T + matrix[:, 2]
        points = np.empty((_LANDMARKS, 6), np.float32)
        height, width = picture.shape[:2]
        points[:, :2] = places[:_LANDMARKS] / [width, height]
        points[:, 2] = expit(landmarks[:_LANDMARKS, 3])
        points[:, 3:] = world[:_LANDMARKS]
        points[:, 3:5] = world[:_LANDMARKS, :2] @ square.turn.T
        person = Person(points, _matte_of_picture(matte, matrix, width, height))
        return person, _Square.around(*places[_FOLLOWING])

    def _steady_visibility(self, people: list[Person]) -> None:
        if not people:
            self._visibility = None
            return
        now = people[0].points[:, 2]
        if self._visibility is not None:
            now += (1 - _VISIBILITY_UPDATE) * (self._visibility - now)
        self._visibility = now.copy()


@dataclass(frozen=True)
class _Square:
    """Where in a picture to look for a person.

    Attributes:
        x, y: its middle in pixels.
        size: length of a side in pixels.
        angle: how far it is turned clockwise, in radians.
    """

    x: float
    y: float
    size: float
    angle: float

    @classmethod
    def around(cls, hips: NDArray[np.floating], circle: NDArray[np.floating]) -> _Square:
        """The square that holds a person, who stands upright in it.

        Args:
            hips: (2,) the middle of the hips in pixels.
            circle: (2,) where the circle around the body is, up along the spine.
        """
        across, down = circle - hips
        size = 2 * _MARGIN * math.hypot(across, down)
        return cls(float(hips[0]), float(hips[1]), size, math.atan2(across, -down))

    @property
    def usable(self) -> bool:
        return math.isfinite(self.x + self.y + self.size + self.angle) and self.size > 0

    @property
    def turn(self) -> NDArray[np.float64]:
        """The rotation (2, 2) from the square to the picture."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def matrix(self, pixels: int) -> NDArray[np.float64]:
        """The map (2, 3) from the square, so many pixels wide, to the picture."""
        linear = self.turn * (self.size / pixels)
        corner = np.array([self.x, self.y]) - linear.sum(1) * (pixels / 2)
        return np.column_stack([linear, corner])

    def overlap(self, other: _Square) -> float:
        """Intersection over union with another, both as if they were not turned."""
        half = (self.size + other.size) / 2
        shared = np.minimum(
            half - np.abs([self.x - other.x, self.y - other.y]), min(self.size, other.size)
        )
        common = float(np.prod(shared.clip(0)))
        return common / (self.size**2 + other.size**2 - common)


def _each_once(squares: list[_Square]) -> list[_Square]:
    """One square for each person; of two around the same person the later one stays."""
    kept: list[_Square] = []
    for square in squares:
        kept = [other for other in kept if not square.overlap(other) > _LEAST_OVERLAP]
        kept.append(square)
    return kept


def _anchors() -> NDArray[np.float64]:
    """The middles (2254, 2) of the boxes that the detector's outputs are offsets from."""
    middles = []
    for stride, boxes in ((8, 2), (16, 2), (32, 6)):
        line = (np.arange(DETECTOR_SIZE // stride) + 0.5) * stride / DETECTOR_SIZE
        y, x = np.meshgrid(line, line, indexing="ij")
        middles.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(middles)


_ANCHORS = _anchors()


def _suppressed(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Hips and circle (N, 2, 2) of each person, as shares of the detector's picture.

    Boxes that overlap belong to one person, who is where they are on average, by their scores.
    """
    chances = expit(scores.astype(np.float64).clip(-100, 100))
    sure = np.flatnonzero((chances >= _LEAST_SCORE) & (boxes[:, 2:4] >= 0).all(1))
    sure = sure[np.argsort(-chances[sure], kind="stable")]
    chances = chances[sure]
    raw = boxes[sure].astype(np.float64) / DETECTOR_SIZE
    middles, half = raw[:, :2] + _ANCHORS[sure], raw[:, 2:4] / 2
    points = raw[:, 4:8].reshape(-1, 2, 2) + _ANCHORS[sure, None]
    low, high = middles - half, middles + half
    areas = np.prod(high - low, axis=1)
    found = []
    left = np.arange(len(sure))
    while len(left):
        first = left[0]
        shared = np.minimum(high[left], high[first]) - np.maximum(low[left], low[first])
        common = np.prod(shared.clip(0), axis=1)
        union = areas[left] + areas[first] - common
        same = common > _LEAST_OVERLAP * union
        same[0] = True
        mine = left[same]
        found.append(np.average(points[mine], axis=0, weights=chances[mine]))
        left = left[~same]
    return np.array(found).reshape(-1, 2, 2)


def _refined(places: NDArray[np.floating], heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks moved to the middle of the heat around them, where there is any.

    Args:
        places: (N, 2) x, y as shares of the square.
        heatmaps: (N, cells, cells) logits.
    """
    cells = heatmaps.shape[-1]
    refined = places.astype(np.float64)
    centres = (places * cells).astype(int)
    inside = ((centres >= 0) & (centres < cells)).all(1)
    window = np.arange(-_HEATMAP_REACH, _HEATMAP_REACH + 1)
    columns, rows = (centres[:, k, None] + window for k in range(2))
    near = heatmaps[
        np.arange(len(places))[:, None, None],
        rows.clip(0, cells - 1)[:, :, None],
        columns.clip(0, cells - 1)[:, None, :],
    ]
    heat = expit(near.astype(np.float64))
    heat *= ((rows >= 0) & (rows < cells))[:, :, None]
    heat *= ((columns >= 0) & (columns < cells))[:, None, :]
    moved = inside & (heat.max((1, 2)) >= _LEAST_HEAT)
    total = heat.sum((1, 2))[moved]
    refined[moved, 0] = (heat.sum(1) * columns).sum(1)[moved] / total / cells
    refined[moved, 1] = (heat.sum(2) * rows).sum(1)[moved] / total / cells
    return refined


def _matte_of_picture(
    logits: NDArray[np.float32], matrix: NDArray[np.float64], width: int, height: int
) -> NDArray[np.uint8]:
    """The matte of a square, put where the square is in the picture.

    Args:
        logits: (S, S) of being the person.
        matrix: (2, 3) from the square's pixels to the picture's.
    """
    matte = np.zeros((height, width), np.uint8)
    grey = (expit(logits) * 255 + 0.5).astype(np.uint8)
    rows, columns = (np.flatnonzero(grey.any(axis)) for axis in (1, 0))
    if not len(rows):
        return matte
    # The box around what is not black, with a pixel on each side, in which it fades.
    x, y = ([line[0] - 1, line[-1] + 1] for line in (columns, rows))
    corners = np.array([[a, b] for a in x for b in y]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.floor(corners.min(0)).clip(0, [width, height]).astype(int)
    high = np.ceil(corners.max(0) + 1).clip(low, [width, height]).astype(int)
    across, down = (high - low).tolist()
    if across and down:
        back = np.linalg.inv(matrix[:, :2])
        inverse = np.column_stack([back, back @ (low - matrix[:, 2])])
        matte[low[1] : high[1], low[0] : high[0]] = warp(grey, inverse, (down, across))
    return matte


def _input(colours: NDArray[np.uint8], black: float, white: float) -> NDArray[np.float32]:
    """A network's input (1, 3, H, W), of a picture (3, H, W) in 0 to 255."""
    scaled = colours * np.float32((white - black) / 255)
    scaled += np.float32(black)
    return scaled[None]
