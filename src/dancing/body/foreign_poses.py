"""Poses as other tools write them: OpenPose, COCO key points, MediaPipe's landmark lists.

Formats as their makers describe them:

- OpenPose: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
- COCO: https://cocodataset.org/#format-data; whole body: https://github.com/jin-s13/COCO-WholeBody
- Halpe: https://github.com/Fang-Haoshu/Halpe-FullBody
- MMPose's predictions: https://mmpose.readthedocs.io/en/latest/user_guides/inference.html
- MediaPipe: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker

What cannot be read for want of landmarks is refused by name. The feet are drawn from heel and toes,
which 17 or 18 key points do not have and from which they cannot be told: guessed from shins and
head, the toes of dancers miss by half a foot. Face and hands can, see `_completed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dancing.body.repair import bridged
from dancing.body.skeleton import HEAD, LANDMARKS, N_LANDMARKS
from dancing.body.tracks import Tracks
from dancing.errors import DancingError

MOST_FRAMES = 6 * 3600 * 30
_MOST_OF_A_FRAME = 1 << 22  # bytes of a frame's file
_MOST_PEOPLE = 10  # of a frame, that are told apart
_LISTS = re.compile(r"(pose_?)?(world_?)?landmarks", re.IGNORECASE)
_MOST_TRACKS = 2000  # stretches in which people could be followed
_FRACTIONS = 4.0  # below, points are fractions of the picture

Points = NDArray[np.float32]
"""(33, 6), as `dancing.data.landmarker.Person` has them: x, y, visibility, world x, y and z. NaN
for what is not told."""


_NOT_SO = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class _Layout:
    """Key points of a format.

    Attributes:
        name: of the format.
        landmarks: which of its points is which landmark.
        hands: where the 21 points of the left and the right hand begin.
    """

    name: str
    landmarks: dict[str, int]
    hands: tuple[int, int] | None = None

    @cached_property
    def places(self) -> tuple[list[int], list[int]]:
        """Numbers of landmarks, and of the points that they are."""
        points = dict(self.landmarks)
        for side, first in zip(("left", "right"), self.hands or (), strict=False):
            points |= {f"{side}_{name}": first + place for name, place in _HAND.items()}
        return [LANDMARKS.index(name) for name in points], list(points.values())


def _sides(**points: tuple[int, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, (left, right) in points.items():
        found |= {f"left_{name}": left, f"right_{name}": right}
    return found


_COCO = {
    "nose": 0,
    **_sides(
        eye=(1, 2), ear=(3, 4), shoulder=(5, 6), elbow=(7, 8), wrist=(9, 10), hip=(11, 12),
        knee=(13, 14), ankle=(15, 16),
    ),
}  # fmt: skip
_BODY_25 = {
    "nose": 0,
    **_sides(
        eye=(16, 15), ear=(18, 17), shoulder=(5, 2), elbow=(6, 3), wrist=(7, 4), hip=(12, 9),
        knee=(13, 10), ankle=(14, 11), heel=(21, 24), foot_index=(19, 22),
    ),
}  # fmt: skip
_HALPE = {**_COCO, **_sides(foot_index=(20, 21), heel=(24, 25))}
_WHOLE_BODY = {
    **_COCO,
    **_sides(foot_index=(17, 20), heel=(19, 22)),
    "mouth_right": 71,
    "mouth_left": 77,
}
LAYOUTS = {
    25: _Layout("OpenPose's BODY_25", _BODY_25),
    26: _Layout("Halpe's 26", _HALPE),
    133: _Layout("COCO-WholeBody's 133", _WHOLE_BODY, (91, 112)),
    136: _Layout("Halpe's 136", _HALPE, (94, 115)),
}
"""By the number of key points."""

_WITHOUT_FEET = {15: "MPII's 15", 16: "MPII's 16", 17: "COCO's 17", 18: "OpenPose's COCO 18"}
_HAND = {"thumb": 2, "index": 5, "pinky": 17}  # the knuckles, of the 21 points of a hand

# Where landmarks lie that key points lack, as rendered dancers have them. Of the head, from the
# nose, in parts of the way to the eye and the ear of the same side and of the other: within 0.01
# of the distance between the ears. Of the left hand, from the wrist, in lengths of the forearm
# along it and across: within 0.1.
_HEAD = {
    "left_eye_inner": (0.79, 0.26, -0.02, -0.06),
    "left_eye_outer": (1.03, -0.09, 0.13, -0.01),
    "mouth_left": (-0.25, -1.29, 0.28, 0.44),
}
_PALM = {"index": 0.28 + 0.03j, "pinky": 0.265 + 0.012j, "thumb": 0.195 + 0.05j}


def read_folder(folder: Path) -> dict[str, Any]:
    """OpenPose's folder of one file a frame, in the order of their numbers."""
    files = sorted(folder.glob("*.json"), key=_in_order)
    if not files:
        raise DancingError("a folder of poses holds one .json a frame, as OpenPose writes them")
    if len(files) > MOST_FRAMES:
        raise DancingError(f"it holds {len(files)} files, at most {MOST_FRAMES} frames are taken")
    people = []
    for file in files:
        try:
            if file.stat().st_size > _MOST_OF_A_FRAME:
                raise ValueError(f"larger than {_MOST_OF_A_FRAME >> 20} MB")
            frame = json.loads(file.read_bytes())
            if not (isinstance(frame, dict) and "people" in frame):
                raise ValueError("no entry 'people'")
            people.append(_people(frame))
        except (*_NOT_SO, RecursionError) as error:
            raise DancingError(
                f"{file.name} is no frame as OpenPose writes it ({error})"
            ) from error
    # The last number of 'dance_2_000000000017_keypoints.json'.
    return _sequence(people, [_last_number(file.stem) for file in files], {})


def is_folder(path: Path) -> bool:
    """Whether it is a folder that OpenPose wrote."""
    return path.is_dir() and any(path.glob("*_keypoints.json"))


def convert(values: Any) -> dict[str, Any] | None:
    """Poses, as in `dancing.body.pose_files.Poses`, of what a JSON file holds; None if of no kind.

    Where nobody was seen, landmarks are NaN.

    Raises:
        DancingError: for a known format without the landmarks that are needed, or too many frames.
    """
    where = "it"
    try:
        frames = _frames(values)
        if frames is None:
            return None
        if len(frames) > MOST_FRAMES:
            raise DancingError(
                f"it holds {len(frames)} frames, at most {MOST_FRAMES} are taken from other tools"
            )
        people = []
        for t, frame in enumerate(frames):
            where = f"its frame {t} (counted from 0)"
            people.append(_people(frame))
        where = "it"
        return _sequence(people, [_number_of(frame) for frame in frames], _about(values))
    except _NOT_SO as error:
        raise DancingError(f"{where} is not as OpenPose, COCO or MediaPipe write poses") from error


def _sequence(
    people: Sequence[Sequence[Points]], numbers: Sequence[Any], about: dict[str, float]
) -> dict[str, Any]:
    """Poses of the people in each frame; the frames may have numbers."""
    if not any(people):
        raise DancingError("it holds no landmarks in a form known here, or nobody is in its frames")
    at, total = positions(numbers)
    points = np.full((total, N_LANDMARKS, 6), np.nan, np.float32)
    points[at] = _one_person(people)
    landmarks: NDArray[Any] = points[..., :2]
    result: dict[str, Any] = {"foreign": True, **about}
    of_key_points = np.isnan(points[:, LANDMARKS.index("left_eye_inner"), 0]).all()
    if of_key_points:
        landmarks = _completed(landmarks, float(about.get("fps", 30.0)))
        high = float(np.nanmax(np.abs(landmarks), initial=0))
        if high > _FRACTIONS and not {"width", "height"} <= about.keys():
            # Key points are pixels, which are square, of a picture whose size OpenPose never tells.
            result["guessed_size"] = high, high
    elif np.isfinite(points[..., 2]).any():
        result["visibility"] = np.nan_to_num(points[..., 2]).clip(0, 1)
    if np.isfinite(points[..., 3:]).any():
        result["world"] = points[..., 3:]
    return result | {"landmarks": landmarks}


# -------------------------------------------------------------------------------- whole files


def _frames(values: Any) -> list[Any] | None:
    """What a file tells of each frame."""
    if isinstance(values, list):
        if any(isinstance(entry, dict) and "image_id" in entry for entry in values):
            return _by_image(values, [])
        return ([values] if values and _is_point(values[0]) else values) or None
    if not isinstance(values, dict):
        return None
    if isinstance(values.get("annotations"), list):
        return _by_image(values["annotations"], values.get("images"))
    for name in ("frames", "instance_info"):
        if isinstance(values.get(name), list):
            return _frames(values[name])
    if "people" in values:
        return [values]
    lists = {key: value for key, value in values.items() if _LISTS.fullmatch(str(key))}
    if lists:
        lists = {key: value for key, value in lists.items() if value}
        columns = list(lists.values())
        if any(isinstance(column, dict) or _is_point(column[0]) for column in columns):
            return [lists]
        return [dict(zip(lists, frame, strict=False)) for frame in zip_longest(*columns)]
    if values and all(re.search(r"\d", name) for name in values):  # frames by name or number
        return [values[name] for name in sorted(values, key=_in_order)]
    return None


def _by_image(annotations: Sequence[Any], images: Any) -> list[Any]:
    """The people of each image of COCO's annotations, also of images without."""
    found: dict[str, dict[str, Any]] = {}
    for image in images or ():
        found[str(image["id"])] = {"instances": []}
    for entry in annotations:
        frame = found.setdefault(str(entry["image_id"]), {"instances": []})
        frame["instances"].append(entry)
    for name, frame in found.items():
        frame["frame"] = _last_number(name)
    return [found[name] for name in sorted(found, key=_in_order)]


def _about(values: Any) -> dict[str, float]:
    """Frame rate and size of the picture, under the names that they are given."""
    if not isinstance(values, dict):
        return {}
    parts = [values, *(part for part in values.values() if isinstance(part, dict))]
    images = values.get("images")
    if isinstance(images, list) and images and all(isinstance(image, dict) for image in images):
        sizes = {(image.get("width"), image.get("height")) for image in images}
        if len(sizes) == 1:
            parts.append(images[0])
    found: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            name = re.sub(r"^(image|img|frame|video|picture)_?(?=[whrf])", "", str(key).lower())
            name = {"framerate": "fps", "frame_rate": "fps", "rate": "fps"}.get(name, name)
            if name in ("fps", "aspect", "width", "height") and isinstance(value, int | float):
                found.setdefault(name, float(value))
    return found


def positions(numbers: Sequence[Any]) -> tuple[NDArray[np.intp], int]:
    """Where frames lie that have numbers, so that those left out leave gaps; how many it makes.

    Numbers in even steps count as frames; where they do not rise so, or are missing, the frames
    follow each other.

    Raises:
        DancingError: when most frames would be missing.
    """
    every = np.arange(len(numbers))
    try:
        counted = np.array(numbers, np.float64)
    except (TypeError, ValueError):
        return every, len(numbers)
    steps = np.diff(counted)
    if counted.ndim != 1 or not len(steps) or not (np.isfinite(steps) & (steps > 0)).all():
        return every, len(numbers)
    at = (counted - counted[0]) / steps.min()
    if not np.allclose(at, np.rint(at), atol=1e-6):
        return every, len(numbers)
    if at[-1] >= max(len(numbers), min(10 * len(numbers), MOST_FRAMES)):
        raise DancingError(
            f"its {len(numbers)} frames are numbered up to {counted[-1]:.0f}: most are missing"
        )
    return np.rint(at).astype(np.intp), round(at[-1]) + 1


def _number_of(frame: Any) -> Any:
    if isinstance(frame, dict):
        for name in ("frame", "frame_id", "frame_index", "frame_number", "frameIndex"):
            if name in frame:
                return frame[name]
    return None


# -------------------------------------------------------------------------------- people of a frame


def _people(frame: Any) -> list[Points]:
    """The people in what is told of a frame."""
    if not isinstance(frame, dict):
        return [_of_rows(points, third_is_z=True) for points in _lists(frame)]
    for name in ("people", "instances", "predictions", "poses"):
        if isinstance(frame.get(name), list):
            entries = frame[name][:_MOST_PEOPLE]
            return [person for entry in entries for person in _people(entry)]
    if body := frame.get("pose_keypoints_2d", frame.get("pose_keypoints")):
        points = _of_rows(body)
        for side in ("left", "right"):
            if hand := frame.get(f"hand_{side}_keypoints_2d"):
                _add_hand(points, side, _rows(hand))
        return [points]
    if body := frame.get("keypoints"):
        return [_of_rows(body, frame.get("keypoint_scores"))]
    return _mediapipe(frame)


def _mediapipe(frame: dict[str, Any]) -> list[Points]:
    names = {re.sub("[^a-z]", "", str(key).lower()): value for key, value in frame.items()}

    def lists(*known: str) -> list[Any]:
        return next((found for name in known if (found := _lists(names.get(name)))), [])

    here = lists("poselandmarks", "landmarks", "landmark", "normalizedlandmarks", "pose")
    people = [_of_rows(points, third_is_z=True) for points in here]
    there = lists("poseworldlandmarks", "worldlandmarks")
    for person, points in zip(people, there, strict=False):
        rows = _rows(points, third_is_z=True)
        if len(rows) == N_LANDMARKS:
            person[:, 3:] = rows[:, :3]
    return people


def _lists(value: Any) -> list[Any]:
    """The lists of points in lists and objects around them."""
    if isinstance(value, dict):
        return _lists(value.get("landmark", value.get("landmarks")))
    if not isinstance(value, list) or not value:
        return []
    first = next((entry for entry in value if entry is not None), None)
    if first is None:
        return []
    if _is_point(first) or isinstance(first, int | float):
        return [value]
    return [points for entry in value for points in _lists(entry)]


def _of_rows(values: Any, scores: Any = None, third_is_z: bool = False) -> Points:
    """A person of MediaPipe's 33 landmarks, or of key points."""
    rows = _rows(values, third_is_z)
    if scores is not None:
        rows[:, 3] = np.array(scores, np.float64)
    points = np.full((N_LANDMARKS, 6), np.nan, np.float32)
    if len(rows) == N_LANDMARKS:
        points[:, :3] = rows[:, [0, 1, 3]]
        return points
    layout = LAYOUTS.get(len(rows))
    if layout is None:
        poor = _WITHOUT_FEET.get(len(rows))
        what = (
            f"{poor} key points a person lack the feet (heel and toes), which are drawn too"
            if poor
            else f"points a person: {len(rows)}, as in no format known here"
        )
        raise DancingError(f"{what}: estimate BODY_25, COCO-WholeBody or MediaPipe's 33 landmarks")
    if third_is_z:
        rows = _rows(values)
    landmarks, places = layout.places
    rows = rows[places]
    rows[~(rows[:, 3] > 0)] = np.nan  # key points that were not found are 0
    points[landmarks, :2] = rows[:, :2]
    return points


def _add_hand(points: Points, side: str, rows: NDArray[np.float64]) -> None:
    if len(rows) == 21:
        for name, place in _HAND.items():
            if rows[place, 3] > 0:
                points[LANDMARKS.index(f"{side}_{name}"), :2] = rows[place, :2]


def _is_point(value: Any) -> bool:
    """Whether it is an object with x, or two to four numbers."""
    if isinstance(value, dict):
        return "x" in value
    numbers = isinstance(value, list) and all(isinstance(n, int | float | None) for n in value)
    return numbers and 2 <= len(value) <= 4


def _rows(values: Any, third_is_z: bool = False) -> NDArray[np.float64]:
    """(N, 4) x, y, z and visibility or confidence of points, NaN for what is not told.

    Args:
        values: objects with names, lists of two to four numbers, or all numbers in one list; None
            for points that were not found.
        third_is_z: of three numbers. Default: the third is the confidence.
    """
    first = next((value for value in values if value is not None), None)
    if isinstance(first, dict):
        found = [
            [
                point.get("x"), point.get("y"), point.get("z"),
                point.get("visibility", point.get("score", point.get("confidence"))),
            ]
            for point in (value or {} for value in values)
        ]  # fmt: skip
        return np.array(found, np.float64).reshape(-1, 4)
    if isinstance(first, list):
        nothing = [None] * len(first)
        rows = np.array([nothing if value is None else value for value in values], np.float64)
    else:
        size = len(values) // N_LANDMARKS if third_is_z and len(values) % N_LANDMARKS == 0 else 3
        rows = np.array(values, np.float64).reshape(-1, size)
    if rows.ndim != 2 or not 2 <= rows.shape[1] <= 4:
        raise DancingError("its points are not two to four numbers each")
    points = np.full((len(rows), 4), np.nan)
    points[:, : rows.shape[1]] = rows
    if rows.shape[1] == 3 and not third_is_z:
        points[:, 2:] = points[:, [3, 2]]
    elif rows.shape[1] == 2 and not third_is_z:
        points[:, 3] = 1
    return points


# ----------------------------------------------------------------------------------- all frames


class _Somebody(NamedTuple):
    points: Points


def _whole(points: Points) -> Points:
    """(33, 2) with what was not found in the middle of what was."""
    known = np.isfinite(points[:, 0])
    middle = points[known, :2].mean(0) if known.any() else 0
    return np.where(known[:, None], points[:, :2], middle)


def _one_person(frames: Sequence[Sequence[Points]]) -> NDArray[np.float32]:
    """(T, 33, 6) of the person who is largest over time, NaN where that one was not seen."""
    found = np.full((len(frames), N_LANDMARKS, 6), np.nan, np.float32)
    if all(len(people) <= 1 for people in frames):
        for row, people in zip(found, frames, strict=True):
            row[:] = people[0] if people else np.nan
        return found
    tracks = Tracks()
    for number, people in enumerate(frames):
        seen = []
        for k, points in enumerate(people):
            if np.isfinite(points[:, 0]).any():
                seen.append((_Somebody(_whole(points)), k))
        tracks.add(number, seen, 1.0)
        if len(tracks.tracks) > _MOST_TRACKS:
            raise DancingError("it holds too many people to tell which is the dancer")
    for track in tracks.dancer():
        for frame, k in zip(track.frames, track.mattes, strict=True):
            found[frame] = frames[frame][k]
    return found


def _completed(points: NDArray[Any], fps: float) -> NDArray[np.float64]:
    """(T, 33, 2) with the landmarks that key points lack, from their neighbours.

    Of the head, what is hidden lies where its neighbour is, as on a head seen from the side. Other
    parts that were not found stay NaN.
    """
    filled = bridged(points, fps)
    now = {name: filled[:, number] for number, name in enumerate(LANDMARKS)}

    def fall_back(name: str, other: NDArray[np.float64]) -> None:
        now[name] = np.where(np.isnan(now[name]), other, now[name])

    sides = (("left", "right"), ("right", "left"))
    for side, _ in sides:
        fall_back("nose", now[f"{side}_ear"])
    for side, _ in sides:
        fall_back(f"{side}_eye", now["nose"])
        fall_back(f"{side}_ear", now[f"{side}_eye"])
    derived = [LANDMARKS[place] for place in HEAD]
    for side, other in sides:
        ways = [
            now[f"{one}_{part}"] - now["nose"] for part in ("eye", "ear") for one in (side, other)
        ]
        for name, parts in _HEAD.items():
            fall_back(name.replace("left", side), now["nose"] + np.tensordot(parts, ways, 1))
        forearm = (now[f"{side}_wrist"] - now[f"{side}_elbow"]) @ [1, 1j]
        for name, way in _PALM.items():
            ahead = forearm * (way if side == "left" else way.conjugate())
            knuckle = now[f"{side}_wrist"] + np.stack([ahead.real, ahead.imag], 1)
            fall_back(f"{side}_{name}", knuckle)
            derived.append(f"{side}_{name}")
    result = np.array(points, np.float64)
    for name in derived:
        result[:, LANDMARKS.index(name)] = now[name]
    result[np.isnan(points).all((1, 2))] = np.nan
    return result


# ---------------------------------------------------------------------------------------- columns

_AXES = {"x": "x", "y": "y", "z": "z", "v": "visibility", "visibility": "visibility"}


def csv_landmarks(names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Which landmark and axis ('x', 'y', 'z', 'visibility') a column of a CSV file tells.

    Columns are named by landmark, as in `nose_x` or `NOSE_X`, or numbered from 0 or 1, as in `x0`,
    `x_0` or `0_x`.
    """
    by_name = {name.replace("_", ""): number for number, name in enumerate(LANDMARKS)}
    named: dict[str, tuple[int, str]] = {}
    numbered: dict[str, tuple[int, str]] = {}
    for name in names:
        text = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
        text = re.sub(r"^(pose_)?(landmarks?|keypoints?)_?(?=.)", "", text)
        if match := re.fullmatch(r"(x|y|z|v|visibility)_?(\d{1,4})", text):
            numbered[name] = int(match[2]), _AXES[match[1]]
        elif match := re.fullmatch(r"(\d{1,4})_?(x|y|z|v|visibility)", text):
            numbered[name] = int(match[1]), _AXES[match[2]]
        elif match := re.fullmatch(r"(.+?)_?(x|y|z|v|visibility)", text):
            place = by_name.get(match[1].replace("_", ""))
            if place is not None:
                named[name] = place, _AXES[match[2]]
    if named or not numbered:
        return named
    first = min(number for number, _ in numbered.values())
    return {name: (number - first, axis) for name, (number, axis) in numbered.items()}


def _last_number(name: str) -> str | None:
    return next(reversed(re.findall(r"\d{1,18}", name)), None)


def _in_order(name: Path | str) -> list[tuple[int, int, str]]:
    """Sort 'frame_10' behind 'frame_9'."""
    parts = re.findall(r"\d{1,18}|\D+", Path(name).name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
