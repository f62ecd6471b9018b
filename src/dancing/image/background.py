"""What is behind the dancer: a colour, a picture, a video, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Listener, Silent
from dancing.media import FPS
from dancing.media.picture import NotAPicture, is_moving, on_white, read_moving, read_picture
from dancing.media.video import LONGEST_HELD, fitting_width, probe, read_frames, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRANSPARENT = "transparent"
# The basic colours of CSS.
_COLOURS = {
    "black": "#000000", "silver": "#c0c0c0", "gray": "#808080", "grey": "#808080",
    "white": "#ffffff", "maroon": "#800000", "red": "#ff0000", "purple": "#800080",
    "fuchsia": "#ff00ff", "magenta": "#ff00ff", "green": "#008000", "lime": "#00ff00",
    "olive": "#808000", "yellow": "#ffff00", "orange": "#ffa500", "navy": "#000080",
    "blue": "#0000ff", "teal": "#008080", "aqua": "#00ffff", "cyan": "#00ffff",
}  # fmt: skip


class Background:
    """What is behind the dancer, at any size.

    Pictures and videos cover the frame: they are scaled, and cut at two sides where their shape is
    another. A video, or a moving picture, plays at its own speed, from its start, again and again.
    What is transparent in them is white.

    Args:
        what: 'transparent'; a colour, as #rrggbb, #rgb or a basic name of CSS; a picture or video
            file; or a picture itself, (H, W, 3) uint8 RGB.
        listener: told of what is damaged in a video, and of a picture's transparency.

    Attributes:
        transparent: whether frames have a fourth channel, alpha, all 0.
        shaded: whether the dancer's shadow falls on it: on pictures and videos, which it ties the
            dancer to, but on no colour, for one is often chosen to be cut out again.

    Raises:
        DancingError: when it is none of these, or the file cannot be read.
    """

    def __init__(
        self, what: str | Path | NDArray[np.uint8], listener: Listener | None = None
    ) -> None:
        self._listener = listener
        self.transparent = isinstance(what, str) and what == TRANSPARENT
        self.shaded = False
        self._colour: NDArray[np.uint8] | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._video: Path | None = None
        self._moving: Path | None = None
        if self.transparent:
            self._colour = np.zeros(4, np.uint8)
        elif isinstance(what, str) and (colour := _colour(what)) is not None:
            self._colour = colour
        else:
            self.shaded = True
            if isinstance(what, np.ndarray):
                self._picture = what
            else:
                self._open(Path(what))

    def frames(self, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        """Frames without end, 30 a second: (height, width, 3) uint8 RGB, or RGBA if transparent.

        The same array may come again: it is to be copied, not changed.
        """
        if self._video is not None:
            return self._played(self._video, width, height)
        if self._moving is not None:
            return self._moved(self._moving, width, height)
        if self._picture is not None:
            return repeat(_fitted(self._picture, width, height))
        assert self._colour is not None
        return repeat(np.broadcast_to(self._colour, (height, width, len(self._colour))))

    def _open(self, path: Path) -> None:
        if not path.is_file():
            raise DancingError(
                f"{path}: as a background no file, no colour (#rrggbb or a basic name, such as "
                f"white), and not '{TRANSPARENT}'"
            )
        try:
            moving = is_moving(path)
        except NotAPicture:
            probe(path)
            self._video = path
            return
        picture = read_picture(path)
        if picture.shape[2] == 4:
            (self._listener or Listener()).note(f"{path}: what is transparent in it becomes white")
        if moving:
            self._moving = path
        else:
            self._picture = on_white(picture)

    def _played(self, path: Path, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        info = probe(path)
        _, scaled_height = _covering((info.height, info.width), width, height)
        listener = self._listener
        while True:
            for frame in read_frames(path, FPS, scaled_height, listener):
                yield _middle(frame, width, height)
            listener = Silent()  # it has been told

    def _moved(self, path: Path, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        while True:
            until, count = 0.0, 0
            for picture, seconds in read_moving(path):
                frame = _fitted(on_white(picture), width, height)
                until += min(seconds, LONGEST_HELD)
                while count == 0 or count / FPS < until - 0.5 / FPS:
                    yield frame
                    count += 1


def _colour(text: str) -> NDArray[np.uint8] | None:
    code = _COLOURS.get(text.lower(), text)
    if not re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", code):
        if code.startswith("#"):
            raise DancingError(f"{text}: a colour is written as #rrggbb or #rgb")
        return None
    digits = code[1:] if len(code) == 7 else "".join(digit * 2 for digit in code[1:])
    return np.frombuffer(bytes.fromhex(digits), np.uint8)


def _covering(shape: tuple[int, ...], width: int, height: int) -> tuple[int, int]:
    """(width, height), even, at which a picture (H, W, ...) covers a frame."""
    have_height, have_width = shape[:2]
    wanted = 2 * int(np.ceil(max(height, width * have_height / have_width) / 2))
    while (covering := fitting_width(have_width, have_height, wanted)) < width:
        wanted += 2
    return covering, wanted


def _middle(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    left, top = (picture.shape[1] - width) // 2, (picture.shape[0] - height) // 2
    return picture[top : top + height, left : left + width]


def _fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The middle of a picture, scaled to cover a frame."""
    rows, columns = picture.shape[:2]
    # Of a shape far from the frame's, most would be scaled in vain.
    columns = min(columns, int(np.ceil(2 * rows * width / height)))
    rows = min(rows, int(np.ceil(2 * columns * height / width)))
    picture = _middle(picture, columns, rows)
    return _middle(resize(picture, *_covering(picture.shape, width, height)), width, height)
