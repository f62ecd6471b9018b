"""Is footage fit to learn a dancer from? Steady scenes, size, clothes, parts of the body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation

from dancing.body.skeleton import ANKLES, EARS, KNEES, NOSE, TOES, TRUNK, WRISTS
from dancing.data.dataset import Clip
from dancing.data.landmarker import Landmarker
from dancing.errors import DancingError
from dancing.listener import Listener
from dancing.media import FPS
from dancing.media.video import probe, read_frames, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shot = tuple[Clip, range]
    """A run of frames of a clip."""

PERSON_HEIGHT = 352
"""Height in pixels at which a dancer is learned at most: larger ones take too long."""
LARGEST = 640
"""Height in pixels of the pictures at most."""
DIFFERENT_CLOTHES = 60.0
"""Of 255, by which trunks of different colours differ."""
_LOOK_EVERY = 2.0  # seconds
_LOOKS = 12
_SHRINK = 8
# How much the picture behind the dancer may change on average while the camera counts as steady;
# how much a place counts at most, so that captions and passers-by are no movement; and of 255,
# what is dark enough for its noise not to count.
_STEADY = 0.03
_MOST = 0.15
_BLACK = 16.0
# A scene that was seen for so many frames is known again when it comes back.
_MEMORABLE = FPS
_SHORTEST_SHOT = FPS // 2
_SAMPLES = 20
_PARTS = {
    "the head": (NOSE, *EARS),
    "the hands": WRISTS,
    "the legs": KNEES,
    "the feet": (*ANKLES, *TOES),
}


def fitting_height(videos: Sequence[str | Path], seconds: float) -> int:
    """The height at which to store the videos' pictures, so that the dancer is not too large.

    Args:
        videos: files with a person.
        seconds: how much of each to look at, at most.

    Returns:
        An even number of pixels, at most 640 and at most a video's own height.

    Raises:
        DancingError: when a video cannot be read, or shows nobody.
    """
    heights = []
    with Landmarker(1, video=False) as look:
        for video in videos:
            own = probe(video).height
            pictures = read_frames(video, 1 / _LOOK_EVERY, min(own - own % 2, LARGEST))
            found = map(look, islice(pictures, max(1, int(seconds / _LOOK_EVERY))))
            # What is below the picture's edge is a guess.
            spans = [
                float(np.ptp(people[0].points[:, 1].clip(0, 1)))
                for people in islice(filter(None, found), _LOOKS)
            ]
            if not spans:
                raise DancingError(f"{video}: nobody can be seen in it; film a whole person")
            heights.append(min(own, LARGEST, PERSON_HEIGHT / np.percentile(spans, 90)))
    return max(64, 2 * int(min(heights) / 2))


class _Scene:
    """What is behind the dancer, as far as it has been seen, at an eighth of the size."""

    def __init__(self, picture: NDArray[np.float32], covered: NDArray[np.bool_]) -> None:
        self.shots: list[tuple[Clip, list[int]]] = []
        self.length = 0
        self._picture = picture
        self._hidden = covered

    def shows(self, picture: NDArray[np.float32], covered: NDArray[np.bool_]) -> bool:
        """Whether this is the scene; if so, places that come into sight are learned."""
        if picture.shape != self._picture.shape:
            return False
        seen = ~(covered | self._hidden)
        light: float | NDArray[np.float32] = 1.0
        if seen.any():
            ratio = ((picture + _BLACK) / (self._picture + _BLACK))[seen]
            # A light that changes as a whole, as with automatic exposure, is no movement.
            light = np.median(ratio, axis=0)
            if np.minimum(np.abs(ratio / light - 1), _MOST).mean() > _STEADY:
                return False
        new = self._hidden & ~covered
        self._picture[new] = (picture[new] + _BLACK) / light - _BLACK
        self._hidden &= covered
        return True

    def add(self, clip: Clip, frame: int) -> None:
        """Take a frame in, the next one of a shot or the first of a new one."""
        self.length += 1
        if self.shots and self.shots[-1][0] is clip and self.shots[-1][1][-1] == frame - 1:
            self.shots[-1][1].append(frame)
        else:
            self.shots.append((clip, [frame]))


def steady_scenes(clips: Sequence[Clip], listener: Listener) -> list[list[Shot]]:
    """Shots by the scene that they show, as a camera sees it that does not move.

    What lies outside the mattes is compared with what was seen there before: a cut, or a camera
    that has moved, is another scene, until the first one comes back.

    Args:
        clips: with pictures and mattes, in order of time.
        listener: told of progress.

    Returns:
        The longest scene first. Shots under half a second are left out.
    """
    scenes: list[_Scene] = []
    current: _Scene | None = None
    total, done = sum(clip.n_pictures for clip in clips), 0
    for clip in clips:
        assert clip.frames is not None and clip.matte is not None
        for t in range(clip.n_pictures):
            picture = _shrunk(clip.frames[t]).astype(np.float32)
            covered = binary_dilation(_shrunk(clip.matte[t]) >= 32, iterations=2)
            known = [scene for scene in scenes if scene.length >= _MEMORABLE]
            tried = known if current is None else [current, *known]
            current = next((scene for scene in tried if scene.shows(picture, covered)), None)
            if current is None:
                current = _Scene(picture, covered)
                scenes.append(current)
            current.add(clip, t)
            done += 1
            listener.progress("finding steady shots", done, total)
    shots = [
        [
            (clip, range(frames[0], frames[-1] + 1))
            for clip, frames in scene.shots
            if len(frames) >= _SHORTEST_SHOT
        ]
        for scene in scenes
    ]
    return sorted(filter(None, shots), key=length, reverse=True)


def length(shots: Iterable[Shot]) -> float:
    """Seconds of shots together."""
    return sum(len(frames) / clip.fps for clip, frames in shots)


def clothes(shots: Sequence[Shot]) -> NDArray[np.float64]:
    """The median colour of the dancer's trunk, (3,) RGB in 0 to 255; NaN where it is never seen.

    Args:
        shots: of clips with pictures and mattes.
    """
    colours = []
    for clip, frames in shots:
        assert clip.frames is not None and clip.matte is not None
        height, width = clip.frames.shape[1:3]
        for t in frames[:: max(1, len(frames) // _SAMPLES)]:
            points = clip.landmarks[t] * [width, height]
            colours.append(trunk_colour(clip.frames[t], clip.matte[t], points))
    colours = [colour for colour in colours if np.isfinite(colour).all()]
    return np.median(colours, axis=0) if colours else np.full(3, np.nan)


def trunk_colour(
    picture: NDArray[np.uint8], matte: NDArray[np.uint8], points: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """The median colour of somebody's trunk, (3,) RGB in 0 to 255; NaN where it is not seen.

    Args:
        picture: (H, W, 3).
        matte: (H, W), 128 and more where the person is.
        points: (33, 2) landmarks in pixels.
    """
    low, high = points[TRUNK].min(0).astype(int), points[TRUNK].max(0).astype(int) + 1
    low, high = low.clip(0), high.clip(0)
    inside = np.s_[low[1] : high[1], low[0] : high[0]]
    person = matte[inside] >= 128
    if not person.any():
        return np.full(3, np.nan)
    return np.asarray(np.median(picture[inside][person], axis=0), np.float64)


def missing_parts(shots: Sequence[Shot]) -> list[str]:
    """What of the body is outside the picture most of the time, in words."""
    landmarks = np.concatenate([clip.landmarks[frames] for clip, frames in shots])
    inside = ((landmarks > 0) & (landmarks < 1)).all(-1).mean(0)
    return [part for part, points in _PARTS.items() if inside[list(points)].mean() < 0.5]


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return resize(picture, max(2, width // _SHRINK), max(2, height // _SHRINK))
