"""A puppet with a skeleton that steps and waves in time: dances to learn from in tests."""

import numpy as np

from dancing.body import kinematics
from dancing.body.poses import PoseSequence

FOCAL = 1.5
ASPECT = 9 / 16


def a_walk(frames, tempo=110.0, seed=0, start=0.3):
    """World landmarks (T, 33, 3) in metres and the mid-hip's place in the room (T, 3).

    A foot steps sideways on every beat, arms swing, and the body bounces.
    """
    random = np.random.default_rng(seed)
    beat = (np.arange(frames) / 30 - start) * tempo / 60
    size = random.uniform(0.7, 1.3)
    hips = np.zeros((frames, 3))
    ease = (1 - np.cos(np.pi * np.clip(2 * (beat % 1) - 1, 0, 1))) / 2
    feet = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        odd = 0 if side == "left" else 1
        steps = np.floor((beat + odd) / 2)
        here, there = (0.13 + 0.06 * ((steps + k) % 2) for k in (0, 1))
        going = np.where(np.floor(beat + odd) % 2 == 1, ease, 0.0)
        x = sign * size * (here + (there - here) * going)
        lift = 0.08 * np.sin(np.pi * going)
        feet[side] = np.stack([x, 0.86 - lift, np.zeros(frames)], -1)
    hips[:, 0] = 0.05 * size * np.sin(np.pi * beat)
    hips[:, 1] = 0.03 * size * np.cos(2 * np.pi * beat)
    world = np.zeros((frames, 33, 3))
    world[:, :11] = [0.0, -0.75, -0.1]
    world[:, 1:11, 0] += np.linspace(-0.06, 0.06, 10)[[5, 6, 7, 4, 3, 2, 8, 1, 6, 3]]
    for k, (side, sign) in enumerate((("left", 1.0), ("right", -1.0))):
        shoulder, hip = 11 + k, 23 + k
        world[:, shoulder] = [0.18 * sign, -0.5, 0.0]
        world[:, hip] = [0.1 * sign, 0.0, 0.0]
        swing = 0.6 * size * np.sin(np.pi * beat + k * np.pi)
        upper = np.stack([0.3 * sign + 0 * swing, np.cos(swing), -np.sin(swing)], -1)
        upper /= np.linalg.norm(upper, axis=-1, keepdims=True)
        lower = np.stack([0.1 * sign + 0 * swing, np.cos(swing), -np.sin(swing) - 0.7], -1)
        lower /= np.linalg.norm(lower, axis=-1, keepdims=True)
        world[:, shoulder + 2] = world[:, shoulder] + 0.28 * upper
        world[:, shoulder + 4] = world[:, shoulder + 2] + 0.25 * lower
        for j, reach in enumerate((0.08, 0.09, 0.07)):
            world[:, shoulder + 6 + 2 * j] = world[:, shoulder + 4] + reach * lower
        ankle = feet[side] - hips
        wanted = world[:, hip] + np.array([0.0, 0.45, -0.05])
        thigh = wanted - world[:, hip]
        shank = np.broadcast_to([0.0, 0.42, 0.02], ankle.shape)
        knee, reached = kinematics._bend(
            world[:, hip], world[:, hip] + thigh, world[:, hip] + thigh + shank, ankle
        )
        world[:, hip + 2], world[:, hip + 4] = knee, reached
        world[:, hip + 6] = reached + np.array([0.0, 0.05, 0.05])
        world[:, hip + 8] = reached + np.array([0.02 * sign, 0.05, -0.15])
    return world, hips + np.array([0.0, 0.1, 3.5])


def a_dance(seconds, tempo, seed, start=0.3):
    """The puppet's dance as poses, with its beats, and music whose loudness pulses with it."""
    frames = round(seconds * 30)
    world, place = a_walk(frames, tempo, seed, start)
    landmarks = kinematics.project(world + place[:, None], FOCAL, ASPECT)
    beats = np.arange(start, seconds, 60 / tempo)
    poses = PoseSequence(landmarks, world=world, beats=beats, aspect=ASPECT)
    beat = (np.arange(frames) / 30 - start) * tempo / 60
    mfcc = np.zeros((frames, 13), np.float32)
    mfcc[:, 0] = -300 + 50 * np.cos(2 * np.pi * beat)
    return poses, mfcc
