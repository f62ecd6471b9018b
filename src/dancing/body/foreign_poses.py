"""Poses as other tools write them: OpenPose, COCO key points, MediaPipe's landmark lists.

Formats as their makers describe them:

- OpenPose: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
- COCO: https://cocodataset.org/#format-data; whole body: https://github.com/jin-s13/COCO-WholeBody
- MediaPipe: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker

What cannot be read for want of landmarks is refused by name: feet are drawn from heel and toes,
which 17 or 18 key points do not have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dancing.body.skeleton import LANDMARKS, N_LANDMARKS
from dancing.errors import DancingError

_Frames = list[NDArray[np.float64] | None]


class _Layout(NamedTuple):
    """Key points of a format: its name, and which of them is which landmark."""

    name: str
    landmarks: dict[str, int]


def _sides(**points: tuple[int, int]) -> dict[str, int]:
    found = {}
    for name, (left, right) in points.items():
        found |= {f"left_{name}": left, f"right_{name}": right}
    return found


_BODY_25 = _Layout(
    "OpenPose's BODY_25",
    {
        "nose": 0,
        **_sides(
            eye=(16, 15), ear=(18, 17), shoulder=(5, 2), elbow=(6, 3), wrist=(7, 4), hip=(12, 9),
            knee=(13, 10), ankle=(14, 11), heel=(21, 24), foot_index=(19, 22),
        ),
    },
)  # fmt: skip
_WHOLE_BODY = _Layout(
    "COCO-WholeBody",
    {
        "nose": 0,
        **_sides(
            eye=(1, 2), ear=(3, 4), shoulder=(5, 6), elbow=(7, 8), wrist=(9, 10), hip=(11, 12),
            knee=(13, 14), ankle=(15, 16), heel=(19, 22), foot_index=(17, 20),
            thumb=(94, 115), index=(96, 117), pinky=(108, 129),
        ),
        "mouth_right": 71,
        "mouth_left": 77,
    },
)  # fmt: skip
_LAYOUTS = {25: _BODY_25, 133: _WHOLE_BODY}
_WITHOUT_FEET = {15: "MPII's 15", 16: "MPII's 16", 17: "COCO's 17", 18: "OpenPose's COCO 18"}
# Of OpenPose's 21 points of a hand, the knuckles that MediaPipe Pose names.
_HAND = {"thumb": 2, "index": 5, "pinky": 17}


def read_folder(folder: Path) -> dict[str, Any]:
    """OpenPose's folder of one file a frame, in the order of their numbers."""
    files = sorted(folder.glob("*.json"), key=_by_numbers)
    if not files:
        raise DancingError("a folder of poses holds one .json a frame, as OpenPose writes them")
    values = convert([json.loads(file.read_text(encoding="utf-8")) for file in files])
    if values is None:
        raise DancingError("its files are not those of OpenPose")
    return values


def convert(values: Any) -> dict[str, Any] | None:
    """Poses, as in `dancing.body.pose_files.Poses`, of what a JSON file holds; None if of no kind.

    Where nobody was seen, landmarks are NaN.

    Raises:
        DancingError: for a known format without the landmarks that are needed.
    """
    about: dict[str, Any] = {}
    if isinstance(values, dict) and "annotations" in values:
        return _coco(values)
    if isinstance(values, dict) and isinstance(values.get("frames"), list):
        about = {key: values[key] for key in ("fps", "aspect", "width", "height") if key in values}
        values = values["frames"]
    elif isinstance(values, dict) and "people" in values:
        values = [values]
    if not isinstance(values, list) or not values:
        return None
    if any(isinstance(frame, dict) and "people" in frame for frame in values):
        return _of_key_points(_openpose(values)) | about
    if any(isinstance(frame, dict) and "keypoints" in frame for frame in values):
        return _of_key_points(_by_image(values)) | about
    found = [_mediapipe(frame) for frame in values]
    if all(landmarks is None for landmarks, _ in found):
        return None
    points = _stacked([landmarks for landmarks, _ in found], (N_LANDMARKS, 4))
    result = about | {"landmarks": points[..., :2]}
    if not np.isnan(points[..., 3]).all():
        result["visibility"] = np.nan_to_num(points[..., 3])
    world = [world for _, world in found]
    if any(rows is not None for rows in world):
        result["world"] = _stacked(world, (N_LANDMARKS, 4))[..., :3]
    return result


# ------------------------------------------------------------------------------------- key points


def _openpose(frames: Sequence[Any]) -> _Frames:
    """Key points (N, 3) of one person in each frame, with those of the hands behind the body's."""
    people = []
    for frame in frames:
        seen = []
        for person in (frame or {}).get("people") or ():
            body = _rows(person.get("pose_keypoints_2d") or person.get("pose_keypoints"))
            for side in ("left", "right"):
                hand = person.get(f"hand_{side}_keypoints_2d")
                rows = _rows(hand) if hand else np.zeros((21, 3))
                body = np.concatenate([body, rows])
            seen.append(body)
        people.append(seen)
    return _one_person(people)


def _by_image(annotations: Sequence[Any]) -> _Frames:
    """Key points of one person in each image of a list of annotations, as MMPose and others."""
    images: dict[str, list[NDArray[np.float64]]] = {}
    for entry in annotations:
        image = images.setdefault(str(entry.get("image_id", len(images))), [])
        if entry.get("keypoints"):
            image.append(_rows(entry["keypoints"]))
    return _one_person([images[name] for name in sorted(images, key=_by_numbers)])


def _coco(values: dict[str, Any]) -> dict[str, Any]:
    images = [image for image in values.get("images") or () if isinstance(image, dict)]
    found = _of_key_points(_by_image(values["annotations"]))
    sizes = {(image.get("width"), image.get("height")) for image in images}
    if len(sizes) == 1 and None not in (size := sizes.pop()):
        found["width"], found["height"] = size
    return found


def _of_key_points(frames: _Frames) -> dict[str, Any]:
    counts = {len(rows) for rows in frames if rows is not None}
    if not counts:
        raise DancingError("nobody is in any of its frames")
    count = min(counts)
    hands = count - 42 if count - 42 in (*_LAYOUTS, *_WITHOUT_FEET) else None
    layout = _LAYOUTS.get(count if hands is None else hands)
    if layout is None:
        name = _WITHOUT_FEET.get(count if hands is None else hands, str(count))
        raise DancingError(
            f"{name} key points a person lack the feet (heel and toes), which are drawn too: "
            "estimate BODY_25, COCO-WholeBody or MediaPipe's 33 landmarks"
        )
    points = _stacked(frames, (count, 3))
    points[points[..., 2] <= 0] = np.nan  # key points that were not found
    where = dict(layout.landmarks)
    if hands is not None:
        for side, first in (("left", hands), ("right", hands + 21)):
            where |= {f"{side}_{name}": first + place for name, place in _HAND.items()}
    found = {name: points[:, place] for name, place in where.items()}
    _derive(found)
    rows = np.stack([found[name] for name in LANDMARKS], 1)
    result: dict[str, Any] = {"landmarks": rows[..., :2]}
    if np.nanmax(rows[..., :2]) > 4 and layout is _BODY_25:
        # OpenPose tells no size. Any picture that holds the movement will do: pixels are square.
        result["width"], result["height"] = np.ceil(np.nanmax(rows[..., :2], (0, 1)) * 1.05)
    return result


def _derive(found: dict[str, NDArray[np.float64]]) -> None:
    """Landmarks that key points lack, from their neighbours.

    Of the head, what is hidden lies where its neighbour is. A hand that was not looked for goes on
    as the forearm does, its knuckles a third of the forearm away.
    """
    for side in ("left", "right"):
        _fall_back(found, "nose", found[f"{side}_ear"])
    for side in ("left", "right"):
        _fall_back(found, f"{side}_eye", found["nose"])
        _fall_back(found, f"{side}_ear", found[f"{side}_eye"])
        for part in ("inner", "outer"):
            found[f"{side}_eye_{part}"] = found[f"{side}_eye"]
    eyes = (found["left_eye"] + found["right_eye"]) / 2
    for side in ("left", "right"):
        mouth = found["nose"] + 0.7 * (found["nose"] - eyes)
        mouth = mouth + 0.4 * (found[f"{side}_eye"] - eyes)
        _fall_back(found, f"mouth_{side}", mouth)
        wrist, elbow = found[f"{side}_wrist"], found[f"{side}_elbow"]
        ahead = wrist + 0.35 * (wrist - elbow)
        across = 0.08 * (wrist - elbow)[:, [1, 0, 2]] * [1, -1, 0]
        for name, place in (("index", -1), ("pinky", 1), ("thumb", -1)):
            near = (ahead if name != "thumb" else (wrist + ahead) / 2) + place * across
            _fall_back(found, f"{side}_{name}", near)


def _fall_back(
    found: dict[str, NDArray[np.float64]], name: str, other: NDArray[np.float64]
) -> None:
    points = found.get(name, np.full_like(other, np.nan))
    found[name] = np.where(np.isnan(points), other, points)


def _one_person(people: Sequence[Sequence[NDArray[np.float64]]]) -> _Frames:
    """The person who is largest when first seen, then whoever is nearest to where they were."""
    frames: _Frames = []
    before: NDArray[np.float64] | None = None
    for seen in people:
        if not seen:
            frames.append(None)
            continue
        if before is None:
            chosen = max(seen, key=lambda rows: float(np.ptp(_found(rows), 0).sum()))
        else:
            chosen = min(seen, key=lambda rows: float(np.hypot(*(_middle(rows) - before))))
        before = _middle(chosen)
        frames.append(chosen)
    return frames


def _found(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    points = rows[rows[:, 2] > 0, :2]
    return points if len(points) else np.zeros((1, 2))


def _middle(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.median(_found(rows), 0)


def _rows(numbers: Any) -> NDArray[np.float64]:
    """(N, 3) x, y and confidence of a flat list, or of a list of threes or pairs."""
    rows = np.array(numbers if numbers is not None else [], np.float64)
    rows = rows.reshape(-1, 3) if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise DancingError("its key points are not lists of x, y and confidence")
    return rows if rows.shape[1] == 3 else np.pad(rows, ((0, 0), (0, 1)), constant_values=1)


# -------------------------------------------------------------------------------------- MediaPipe


def _mediapipe(frame: Any) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Landmarks and world landmarks (33, 4) of a frame; x, y, z, visibility."""
    if not isinstance(frame, dict):
        return _points(frame), None
    names = {key.lower().replace("_", ""): key for key in frame}

    def entry(*known: str) -> NDArray[np.float64] | None:
        return next((_points(frame[names[name]]) for name in known if name in names), None)

    return (
        entry("poselandmarks", "landmarks", "landmark", "normalizedlandmarks"),
        entry("poseworldlandmarks", "worldlandmarks"),
    )


def _points(value: Any) -> NDArray[np.float64] | None:
    if isinstance(value, dict):
        value = value.get("landmark", value.get("landmarks"))
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        first = value[0]
        if isinstance(first, list) and first and isinstance(first[0], dict):
            value = first  # the first person of several
        if isinstance(first, dict) and "landmark" in first:
            value = first["landmark"]
    if not isinstance(value, list) or len(value) != N_LANDMARKS:
        return None
    rows = np.full((N_LANDMARKS, 4), np.nan)
    for row, point in zip(rows, value, strict=True):
        if isinstance(point, dict):
            row[:] = [
                np.nan if point.get(key) is None else float(point[key])
                for key in ("x", "y", "z", "visibility")
            ]
        else:
            row[: len(point)] = [np.nan if number is None else number for number in point][:4]
    return rows


# ---------------------------------------------------------------------------------------- columns


def csv_landmarks(names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Which landmark and axis ('x', 'y', 'z', 'visibility') a column of a CSV file tells.

    Columns are named by landmark, as in `nose_x` or `NOSE_X`, or numbered from 0 or 1, as in `x0`,
    `x_0` or `0_x`.
    """
    by_name = {name: number for number, name in enumerate(LANDMARKS)}
    named: dict[str, tuple[int, str]] = {}
    numbered: dict[str, tuple[int, str]] = {}
    for name in names:
        text = name.strip().lower().replace(" ", "_").replace(".", "_").removeprefix("landmark_")
        if match := re.fullmatch(r"(.+)_(x|y|z|v|visibility)", text):
            place = by_name.get(match[1])
            if place is not None:
                named[name] = place, _AXES[match[2]]
            elif match[1].isdigit():
                numbered[name] = int(match[1]), _AXES[match[2]]
        elif match := re.fullmatch(r"(x|y|z|v|visibility)_?(\d+)", text):
            numbered[name] = int(match[2]), _AXES[match[1]]
    if named or not numbered:
        return named
    first = min(number for number, _ in numbered.values())
    return {name: (number - first, axis) for name, (number, axis) in numbered.items()}


_AXES = {"x": "x", "y": "y", "z": "z", "v": "visibility", "visibility": "visibility"}


def _stacked(
    frames: Sequence[NDArray[np.float64] | None], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """(T, *shape), NaN where there is nothing."""
    missing = np.full(shape, np.nan)
    return np.stack([missing if rows is None else rows[: shape[0]] for rows in frames])


def _by_numbers(name: Path | str) -> list[tuple[int, int, str]]:
    """Sort 'frame_10' behind 'frame_9'."""
    parts = re.findall(r"\d+|\D+", str(name))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
