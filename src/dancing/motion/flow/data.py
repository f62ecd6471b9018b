"""Training data of `flow`: windows of dances in beat time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from torch.utils.data import Dataset as TorchDataset

from dancing.body import kinematics
from dancing.body.skeleton import ARMS, BODY_JOINTS, HEAD, HIPS, LEGS
from dancing.data.dataset import Clip
from dancing.errors import DancingError
from dancing.motion.flow.features import FRAMES, context, music_at
from dancing.motion.flow.network import Config
from dancing.motion.flow.pulse import pulse
from dancing.music.counts import count
from dancing.training.sampler import Draw, with_random


class Phrases(TorchDataset[dict[str, torch.Tensor]]):
    """Windows of dances in beat time: `config.counts` counts of FRAMES poses each.

    'dance' (T, CHANNELS) standardised packed poses; 'valid' (T,) 0 beyond the end of a short clip;
    'known' and 'mask' (T, CHANNELS) what the model is told of the dance, and 1 where it is; 'mfcc'
    (T, n_mfcc) standardised, 0 where unknown; 'context' (T, CONTEXT + genres), see
    `dancing.motion.flow.features`.

    Where a clip has no beats, the counts are those of its footfalls (`dancing.motion.flow.pulse`),
    and any music goes with it, so that music is not what tells such dances from others.

    Args:
        clips: clips of open datasets with world landmarks; others are left out, and those of less
            than half as many counts as a window.
        config: the model's.
        facts: those of the data that the model began with, when it goes on with others; the scale
            of everything is theirs, and only the body and the camera are these data's.
        augment: mirror, change tempo, hide parts of what is known at random, and repeat a small
            set, so that an epoch is not too short.

    Raises:
        DancingError: when no clip fits.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        config: Config,
        *,
        augment: bool,
        facts: dict[str, Any] | None = None,
    ) -> None:
        counts, n_mfcc, frames = config.counts, config.n_mfcc, FRAMES
        self.frames = frames
        self._counts, self._augment, self._config = counts, augment, config
        usable = [clip for clip in clips if clip.world is not None]
        if not usable:
            raise DancingError(
                "no clip has world landmarks, which this model needs ('dancing prepare' finds them "
                "in videos)"
            )
        self._dances: list[dict[str, Any]] = []
        focal = kinematics.fit_focal(
            [(c.landmarks, c.world, c.aspect) for c in usable if c.world is not None]
        )
        homes, lengths, heights = [], [], []
        for clip in usable:
            if clip.mfcc is not None and clip.mfcc.shape[1] != n_mfcc:
                raise DancingError(
                    f"clip '{clip.name}' has {clip.mfcc.shape[1]} MFCC, the model wants {n_mfcc}"
                )
            found = _in_counts(clip, focal, frames, n_mfcc)
            if found is not None and len(found[0]["dance"]) >= counts * frames // 2:
                self._dances.append(found[0])
                homes.append(found[1])
                heights.append(found[2])
                lengths.append(kinematics.bone_lengths(clip.world))  # type: ignore[arg-type]
        if not self._dances:
            raise DancingError(
                f"no clip lasts {counts // 2} counts of music or steps; this model needs longer "
                "ones"
            )
        # One floor for all, whether a dance is upright or low.
        for dance, height in zip(self._dances, heights, strict=True):
            dance["dance"][:, kinematics.LOWER_HEIGHTS] += float(np.median(heights)) - height
        self._songs = [dance for dance in self._dances if dance["heard"]]
        self.facts = (facts or self._facts()) | {
            "body": {
                "focal": round(focal, 4),
                "home": np.median(homes, 0).round(4).tolist(),
                "bones": np.median(lengths, 0).round(5).tolist(),
                "floor": round(float(np.median(heights)), 4),
            }
        }
        # Dances of no genre that the model knows are danced without one.
        named = any(dance["genre"] in self.facts["genres"] for dance in self._dances)
        self.facts["genre"] = "auto" if named else "own"
        self._mean, self._std = (np.array(self.facts[key], np.float32) for key in ("mean", "std"))
        music = self.facts["music"]
        self._mfcc_std = np.array(music["mfcc_std"], np.float32)
        self._vigour = music["vigour_mean"], music["vigour_std"]
        self._genres = {name: row for row, name in enumerate(self.facts["genres"])}
        self.order, self.signs = kinematics.mirror_map()
        starts = [max(1, len(d["dance"]) // frames - counts + 1) for d in self._dances]
        step = 1 if augment else counts // 2
        self._windows = [(k, at) for k, n in enumerate(starts) for at in range(0, n, step)]
        self._repeats = -(-config.least_epoch // len(self._windows)) if augment else 1

    def __len__(self) -> int:
        return len(self._windows) * self._repeats

    def __getitem__(self, draw: Draw | int) -> dict[str, torch.Tensor]:
        index, random = with_random(draw)
        which, start = self._windows[index % len(self._windows)]
        source, config = self._dances[which], self._config
        part = slice(start * self.frames, (start + self._counts) * self.frames)
        raw = source["dance"][part]
        if self._augment and random.random() < config.mirror_probability:
            raw = raw[:, self.order] * self.signs
        dance = ((raw - self._mean) / self._std).astype(np.float32)
        mfcc = source["mfcc"][part] / self._mfcc_std
        phase, vigour, tempo = (source[key][part] for key in ("phase", "vigour", "tempo"))
        heard = source["heard"]
        genre = np.zeros(len(self._genres))
        if source["genre"] in self._genres:
            genre[self._genres[source["genre"]]] = 1
        if self._augment:
            if not heard and self._songs and random.random() < config.borrowed_probability:
                heard, mfcc, phase = 1.0, *self._borrowed(len(dance), random)
            if random.random() < config.no_genre_probability:
                genre = 0 * genre
            # The same dance a little slower or faster is as vigorous for its tempo.
            faster = random.uniform(-config.tempo_change, config.tempo_change)
            tempo, vigour = tempo + faster, vigour + faster
            mfcc = mfcc + random.normal(0, config.mfcc_offset_noise, mfcc.shape[1])
            mfcc = mfcc + random.normal(0, config.mfcc_noise, mfcc.shape)
            if not heard or random.random() < config.unheard_probability:
                heard, mfcc = 0.0, 0 * mfcc
            if random.random() < config.unheard_probability:
                phase = 0 * phase
        told = context(phase, heard, (vigour - self._vigour[0]) / self._vigour[1], tempo, genre)
        mask = _hidden(random, config)
        known = dance + random.normal(0, config.known_noise, dance.shape).astype(np.float32)
        arrays = {"dance": dance, "known": known, "mask": mask, "mfcc": mfcc, "context": told}
        frames = self._counts * self.frames
        arrays = {k: np.pad(v, ((0, frames - len(v)), (0, 0)), "edge") for k, v in arrays.items()}
        arrays["valid"] = (np.arange(frames) < len(dance)).astype(np.float32)
        arrays["mask"] = mask * arrays["valid"][:, None]
        return {key: torch.from_numpy(np.float32(value)) for key, value in arrays.items()}

    def _borrowed(
        self, length: int, random: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """MFCC, standardised, and places in the phrase of some other dance's music."""
        song = self._songs[int(random.integers(len(self._songs)))]
        counts = max(len(song["dance"]) - length, 0) // self.frames + 1
        start = int(random.integers(counts)) * self.frames
        rows = np.minimum(np.arange(start, start + length), len(song["dance"]) - 1)
        return song["mfcc"][rows] / self._mfcc_std, song["phase"][rows]

    def standardised(self) -> Iterator[NDArray[np.float64]]:
        """Whole dances (T, CHANNELS)."""
        for dance in self._dances:
            yield (dance["dance"] - self._mean) / self._std

    def _facts(self) -> dict[str, Any]:
        """Scale of channels and music, and how vigour goes with tempo and loudness."""
        every = np.concatenate([d["dance"] for d in self._dances])
        change = np.concatenate([np.diff(d["dance"], axis=0) for d in self._dances])
        std = np.maximum(every.std(0), 0.005)
        vigour = np.concatenate([d["vigour"] for d in self._dances])
        tempo = np.concatenate([d["tempo"] for d in self._dances])
        heard = [d["mfcc"] for d in self._dances if d["heard"]] or [np.ones((1, 1))]
        rise = float(np.clip(np.cov(tempo, vigour)[0, 1] / max(tempo.var(), 1e-4), 0.0, 1.0))
        within = [d["vigour"] - d["vigour"].mean() for d in self._dances]
        names = sorted({d["genre"] for d in self._dances} - {""})
        # How much more vigorous than others of their tempo the dances of each genre are.
        expected = vigour.mean() + rise * (tempo - tempo.mean())
        owner = np.concatenate([np.full(len(d["tempo"]), d["genre"]) for d in self._dances])
        offsets = [float((vigour - expected)[owner == name].mean()) for name in names]
        return {
            "genres": names,
            "genre_vigour": [round(offset, 4) for offset in offsets],
            "mean": every.mean(0).round(5).tolist(),
            "std": std.round(5).tolist(),
            "change_std": (change.std(0) / std).clip(0.01).round(5).tolist(),
            "music": {
                "mfcc_std": np.concatenate(heard).std(0).clip(1.0).round(4).tolist(),
                "vigour_mean": round(float(vigour.mean()), 4),
                "vigour_std": round(float(vigour.std()), 4),
                "vigour_at_tempo": round(rise, 4),
                "tempo_mean": round(float(tempo.mean()), 4),
                "vigour_within": round(float(np.concatenate(within).std()), 4),
            },
        }


def principal_components(phrases: Phrases, components: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The directions in which counts of a dance, and their mirror images, vary most.

    Returns:
        basis (components, frames * CHANNELS), orthonormal, and the variance (components,) in each,
        the largest first; of standardised poses, about 0.
    """
    total = np.zeros(())
    number = 0
    for dance in phrases.standardised():
        for poses in (dance, dance[:, phrases.order] * phrases.signs):
            rows = poses[: len(poses) // phrases.frames * phrases.frames]
            rows = rows.reshape(-1, phrases.frames * kinematics.CHANNELS)
            total = total + rows.T @ rows
            number += len(rows)
    variance, axes = np.linalg.eigh(total / number)
    best = np.argsort(variance)[::-1][:components]
    return (
        torch.from_numpy(np.float32(axes.T[best])),
        torch.from_numpy(np.float32(variance[best].clip(1e-6))),
    )


# Of the body, by their landmarks: what may be known alone.
_PARTS = (HEAD, *ARMS, tuple(HIPS), *(leg[1:] for leg in LEGS))


def _hidden(random: np.random.Generator, config: Config) -> NDArray[np.float32]:
    """A random mask (T, CHANNELS), 1 for what is known."""
    half = config.counts // 2 * FRAMES
    mask = np.zeros((config.window, kinematics.CHANNELS), np.float32)
    kind = random.random()
    start = config.known_half + config.known_start
    ends = start + config.known_ends
    parts = ends + config.known_parts
    if kind < config.known_half:
        mask[:half] = 1
    elif kind < start:
        mask[: int(random.integers(1, half))] = 1
    elif kind < ends:
        gap = np.sort(random.integers(0, config.window, 2))
        mask[: gap[0]] = mask[gap[1] :] = 1
    if ends <= kind < parts or random.random() < config.known_parts_too:
        for part in _PARTS:
            if random.random() < 0.5:
                channels = [3 * joint + axis for joint in part for axis in range(3)]
                mask[:, channels] = 1
    return mask


def _in_counts(
    clip: Clip, focal: float, frames: int, n_mfcc: int
) -> tuple[dict[str, Any], NDArray[np.float64], float] | None:
    """A clip in beat time, where in the room its dancer is at home, and how far above the floor.

    None if it has neither beats nor steps to count by.
    """
    assert clip.world is not None
    place = kinematics.locate(clip.landmarks, clip.world, clip.aspect, focal, clip.fps)
    home = np.median(place, axis=0)
    place = place - home
    world = clip.world.astype(np.float64)
    down = kinematics.contacts(world + place[:, None], clip.fps)
    height = kinematics.floor_of(world + place[:, None])
    seconds = np.arange(len(clip)) / clip.fps
    beats, downbeats, rows = clip.beats, clip.downbeats, clip.features_at_poses()
    if beats is None or len(beats) < _FEWEST:
        beats, downbeats, rows = pulse(clip), None, None
    counts = count(beats, downbeats, clip.duration)
    if not counts.heard:
        return None
    first = int(np.ceil(counts.positions(np.array([0.0]))[0]))
    last = int(counts.positions(seconds[-1:])[0])
    positions = np.arange(first * frames, last * frames) / frames
    times = counts.at(positions)
    packed = kinematics.pack(world, place, 2.0 * down - 1)
    dance = CubicSpline(seconds, packed)(times) if len(seconds) > 3 else packed[:0]
    dance[:, -2:] = np.clip(dance[:, -2:], -1, 1)
    joints = list(BODY_JOINTS)
    speed = np.linalg.norm(np.diff((world + place[:, None])[:, joints], axis=0), axis=-1)
    curve = np.append(speed.mean(1), 0.0)[: len(seconds) - 1] * clip.fps
    smooth = gaussian_filter1d(
        np.interp(times, seconds[:-1] + 0.5 / clip.fps, curve), 2.0 * frames, mode="nearest"
    )
    silence = np.zeros((1, n_mfcc))
    mfcc, phase, tempo = music_at(counts, positions, silence if rows is None else rows, clip.fps)
    found = {
        "dance": dance,
        "mfcc": mfcc,
        "heard": float(rows is not None),
        "phase": phase,
        "vigour": np.log(smooth + 0.05),
        "tempo": tempo,
        "genre": clip.genre,
    }
    return found, home, height


_FEWEST = 4  # beats that make counts
