"""Colours of HDR and wide gamuts as those of an ordinary screen."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Code points of ITU-T H.273, which FFmpeg and HEIF share.
BT709 = 1
PQ, HLG = 16, 18
_TO_BT709 = {
    code: np.array(rows, np.float32)
    for code, rows in {
        9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        11: [[1.1578, -0.1550, -0.0028], [-0.0415, 1.0459, -0.0045], [-0.0181, -0.0788, 1.0969]],
        12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0196, -0.0786, 1.0979]],
    }.items()
}
"""Linear light of BT.2020, DCI-P3 and Display P3 to that of BT.709."""
_LUMINANCE = np.array([0.2627, 0.678, 0.0593], np.float32)  # of BT.2020

_WHITE = 203.0  # candelas a square metre of HDR's white paper (ITU-R BT.2408)
_PEAK = 1000.0  # of the screen for which HLG is shown
_SHOULDER = 0.7  # light of white paper above which highlights are pressed together
_GAMMA = 2.4  # of ordinary screens (ITU-R BT.1886)
_STEPS = 4096


def is_ordinary(primaries: int, transfer: int) -> bool:
    """Whether pictures need no `to_screen`."""
    return primaries not in _TO_BT709 and transfer not in (PQ, HLG)


def to_screen(picture: NDArray[np.uint16], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of 16 bits in other colours, as (H, W, 3) 8 bits in those of BT.709.

    White paper comes out a little below white, and what is brighter, up to 1000 candelas a square
    metre, is pressed into what is left. Colours that BT.709 lacks become the nearest that it has.

    Args:
        picture: RGB, not linear.
        primaries, transfer: code points of H.273.
    """
    light = _light(transfer)[picture >> 4]
    if transfer == HLG:  # a screen's light grows faster than the scene's
        light *= (light @ _LUMINANCE)[..., None] ** np.float32(0.2)
        light *= _PEAK / _WHITE
    if primaries in _TO_BT709:
        light = light @ _TO_BT709[primaries].T
    np.maximum(light, 0, out=light)
    if transfer in (PQ, HLG):
        light *= _pressed(light.max(2, keepdims=True))
    return _codes()[(np.minimum(light, 1) * 65535).astype(np.uint16)]


def _pressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """By what to multiply colours of this light, so that the brightest becomes 1."""
    room, most = 1 - _SHOULDER, (_PEAK / _WHITE - _SHOULDER) / (1 - _SHOULDER)
    over = np.clip((light - _SHOULDER) / room, 0, most)
    pressed = _SHOULDER + room * over * (1 + over / most**2) / (1 + over)
    return np.where(over > 0, pressed / np.maximum(light, _SHOULDER), 1).astype(np.float32)


@cache
def _light(transfer: int) -> NDArray[np.float32]:
    """Light of each code: of the scene for HLG, else of the screen, 1 being white paper."""
    code = np.arange(_STEPS) / (_STEPS - 1)
    if transfer == PQ:
        root = code ** (32 / 2523)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return (light ** (16384 / 2610) * 10_000 / _WHITE).astype(np.float32)
    if transfer == HLG:
        high = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return np.where(code <= 0.5, code**2 / 3, high).astype(np.float32)
    return (code**_GAMMA).astype(np.float32)


@cache
def _codes() -> NDArray[np.uint8]:
    return np.rint(255 * (np.arange(65536) / 65535) ** (1 / _GAMMA)).astype(np.uint8)
