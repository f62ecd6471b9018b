"""What a card says of a `flow` model."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.body.kinematics import BONES, CHANNELS
from dancing.card import StageCard, numbers
from dancing.motion.flow.features import CONTEXT, FRAMES
from dancing.music.mfcc import N_MFCC
from dancing.onnx_check import Tensor


@dataclass(frozen=True)
class MusicScale:
    """The scale of the music's features, and how vigour goes with them, in the training data.

    Attributes:
        mfcc_std: standard deviation of each MFCC.
        vigour_mean, vigour_std: of the logarithm of the mean speed of joints, in m/s.
        vigour_at_tempo: how much it rises with the logarithm of the tempo.
        vigour_within: its standard deviation within a dance.
        tempo_mean: of the logarithm of the tempo over 100 counts a minute.
    """

    mfcc_std: tuple[float, ...]
    vigour_mean: float
    vigour_std: float
    vigour_at_tempo: float
    tempo_mean: float
    vigour_within: float

    def __post_init__(self) -> None:
        numbers("mfcc_std", self.mfcc_std, N_MFCC, least=1e-6)
        numbers("vigour_std", [self.vigour_std], 1, least=1e-6)


@dataclass(frozen=True)
class Body:
    """The dancer of the training data, in the room of `dancing.body.kinematics`.

    Attributes:
        focal: the camera's focal length in frame heights.
        home: where the mid-hip is at home, metres.
        bones: lengths of `dancing.body.kinematics.BONES`, metres.
        floor: how far below `home` the floor is, metres; None where dances differ in it.
    """

    focal: float
    home: tuple[float, float, float]
    bones: tuple[float, ...]
    floor: float | None = None

    def __post_init__(self) -> None:
        numbers("focal", [self.focal], 1, least=1e-2)
        numbers("home", self.home, 3)
        numbers("bones", self.bones, len(BONES), least=1e-3)


@dataclass(frozen=True, kw_only=True)
class Card(StageCard):
    """The card of a `flow` model.

    Attributes:
        window: poses that are made at a time.
        mean, std: of each channel of packed poses.
        change_std: of its change from pose to pose, over std.
        music, body: see there.
        genres: names of the genres that it tells apart.
        genre_vigour: for each, how much the logarithm of the mean speed of its dances is above that
            of all dances at their tempo.
        genre: what it dances unless another is asked for: 'auto', by the song, or 'own', which is
            none of them, but how the dances of its last training were.
    """

    window: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    change_std: tuple[float, ...]
    music: MusicScale
    body: Body
    genres: tuple[str, ...] = ()
    genre_vigour: tuple[float, ...] = ()
    genre: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window % FRAMES or not 2 * FRAMES <= self.window <= 10_000:
            raise ValueError(f"window is {self.window}, not two counts of {FRAMES} or more")
        numbers("mean", self.mean, CHANNELS)
        numbers("std", self.std, CHANNELS, least=0)
        numbers("change_std", self.change_std, CHANNELS)
        numbers("genre_vigour", self.genre_vigour, len(self.genres))

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the ONNX model takes, by name."""
        sides = {"point": CHANNELS, "mask": CHANNELS, "mfcc": N_MFCC}
        sides["context"] = CONTEXT + len(self.genres)
        found = {key: Tensor("float32", ("N", self.window, side)) for key, side in sides.items()}
        return found | {"time": Tensor("float32", ("N",))}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it returns."""
        return {"dance": Tensor("float32", ("N", self.window, CHANNELS))}
