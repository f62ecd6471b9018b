"""The body's landmarks, joints and bones, by name: the one place that knows landmark numbers.

Landmark order and names are those of MediaPipe Pose
(https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker).
"""

from __future__ import annotations

from typing import NamedTuple

LANDMARKS = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
N_LANDMARKS = len(LANDMARKS)


class Arm(NamedTuple):
    """Landmarks of an arm."""

    shoulder: int
    elbow: int
    wrist: int
    pinky: int
    index_finger: int
    thumb: int

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(start, end), parent before child."""
        hand = ((self.wrist, end) for end in (self.pinky, self.index_finger, self.thumb))
        return (self.shoulder, self.elbow), (self.elbow, self.wrist), *hand


class Leg(NamedTuple):
    """Landmarks of a leg."""

    hip: int
    knee: int
    ankle: int
    heel: int
    toe: int

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(start, end), parent before child."""
        foot = ((self.ankle, end) for end in (self.heel, self.toe))
        return (self.hip, self.knee), (self.knee, self.ankle), *foot


NOSE = 0
HEAD = tuple(range(11))
LEFT_ARM, RIGHT_ARM = Arm(11, 13, 15, 17, 19, 21), Arm(12, 14, 16, 18, 20, 22)
LEFT_LEG, RIGHT_LEG = Leg(23, 25, 27, 29, 31), Leg(24, 26, 28, 30, 32)
ARMS, LEGS = (LEFT_ARM, RIGHT_ARM), (LEFT_LEG, RIGHT_LEG)

# Left, right. Lists, for NumPy and PyTorch take these as indices along one axis.
EYES, EARS, MOUTH = [2, 5], [7, 8], [9, 10]
SHOULDERS, ELBOWS, WRISTS = [11, 12], [13, 14], [15, 16]
HIPS, KNEES, ANKLES, HEELS, TOES = [23, 24], [25, 26], [27, 28], [29, 30], [31, 32]
TRUNK = [*SHOULDERS, *HIPS]
FEET = [*HEELS, *TOES]

BODY_JOINTS = (NOSE, *SHOULDERS, *ELBOWS, *WRISTS, *range(23, 33))
"""What counts as movement of the body: nose, arms to the wrists, hips, legs and feet."""

MID_SHOULDER, MID_HIP, MID_EAR = 33, 34, 35
"""Indices of the middles of shoulders, hips and ears, where they follow the 33 landmarks."""

LIMB_BONES = tuple(bone for limb in (*ARMS, *LEGS) for bone in limb.bones)
"""The bones of arms and legs, as (start, end), parent before child."""

BONE_KINDS: dict[str, tuple[tuple[int, int], ...]] = {
    "torso": ((MID_HIP, MID_SHOULDER),),
    "hip": tuple((MID_HIP, hip) for hip in HIPS),
    "shoulder": tuple((MID_SHOULDER, shoulder) for shoulder in SHOULDERS),
    "neck": ((MID_SHOULDER, NOSE),),
    "face": tuple((NOSE, point) for point in HEAD[1:]),
    "upper_arm": tuple(arm.bones[0] for arm in ARMS),
    "forearm": tuple(arm.bones[1] for arm in ARMS),
    "hand": tuple(bone for arm in ARMS for bone in arm.bones[2:]),
    "thigh": tuple(leg.bones[0] for leg in LEGS),
    "shin": tuple(leg.bones[1] for leg in LEGS),
    "foot": tuple(bone for leg in LEGS for bone in leg.bones[2:]),
}
"""Bones by kind: a tree from the mid-hip, each bone after those before it."""

CONNECTIONS = (
    (0, 1), (1, 2), (2, 3), (3, 7),
    (0, 4), (4, 5), (5, 6), (6, 8),
    (9, 10),
    (11, 12), (11, 23), (12, 24), (23, 24),
    (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19),
    (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20),
    (23, 25), (25, 27), (27, 29), (27, 31), (29, 31),
    (24, 26), (26, 28), (28, 30), (28, 32), (30, 32),
)  # fmt: skip
"""Pairs of landmark indices joined by a line in drawings: MediaPipe's pose connections."""


def _mirror_index(name: str) -> int:
    swapped = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
    return LANDMARKS.index(swapped)


MIRROR = tuple(_mirror_index(name) for name in LANDMARKS)
"""MIRROR[i] is the landmark that i becomes when the picture is flipped left to right."""
