"""Poses: how people stand, walk and ride.

A body is a set of joints in metres (x right, y up, z ahead): (views, 3), or (2, views, 3) of pairs, left and right; the views may
show it at several moments. Proportions are fractions of an adult's height; they and the gait's angles, those of
a steady walk, are chosen by eye.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

THIGH, SHANK, ANKLE, UPPER_ARM, FOREARM = 0.245, 0.246, 0.045, 0.176, 0.156  # of the body's height
HIP_DEG = (28, 24, 11, -2, -12, -6, 14, 28)  # of a leg, forward, in steps of an eighth of a stride from when its heel strikes
KNEE_DEG = (6, 16, 12, 6, 12, 40, 58, 28)
FOOT_DEG = (16, 0, 0, -4, -24, -58, -24, 8)  # toe up


@dataclass
class Pose:
    """Joints [m]: pairs (2, views, 3), and the head's centre (views, 3)."""

    hip: Array
    knee: Array
    ankle: Array
    toe: Array
    shoulder: Array
    elbow: Array
    hand: Array
    head: Array


def walking(height_m: float, girth: float, phases: npt.ArrayLike) -> tuple[Pose, float]:
    """Returns the poses at phases (views,) of a stride, 0 to 1 from where the right heel strikes, and the stride's length [m]."""
    moments = (np.asarray(phases) + np.array([[0.5], [0.0]])) % 1 * 8
    hips, knees, feet = (np.radians(np.interp(moments, np.arange(9), (*table, table[0]))) for table in
                         (HIP_DEG, KNEE_DEG, FOOT_DEG))
    swing = 0.75 * hips[::-1] - 0.1
    pose = _upright(height_m, girth, _legs(hips, hips - knees, feet), swing, 0.3 + 0.25 * np.maximum(swing, 0))
    step = np.radians([HIP_DEG[::4], KNEE_DEG[::4]])[..., None]  # both legs', when a heel strikes
    ankles = _legs(step[0], step[0] - step[1], 0 * step[0])[2]
    return pose, 2 * height_m * float(ankles[0, 0, 2] - ankles[1, 0, 2])


def standing(height_m: float, girth: float, bend: float, count: int) -> Pose:
    """Returns a person who stands, in `count` views, the right elbow bent [rad]: above 1 as if holding something."""
    one = np.ones(count)
    legs = _legs(np.array([[0.09], [-0.04]]) * one, np.array([[0.03], [-0.06]]) * one, np.zeros((2, count)))
    return _upright(height_m, girth, legs, np.array([[-0.04], [0.03 - 0.1 * bend]]) * one, np.array([[0.15], [bend]]) * one)


def joined(first: Pose, second: Pose) -> Pose:
    """Returns the views of both."""
    return Pose(*(np.concatenate(joints, axis=-2) for joints in zip(vars(first).values(), vars(second).values(), strict=True)))


def riding(height_m: float, girth: float, hip: npt.ArrayLike, feet: Array, hand: npt.ArrayLike, lean: float) -> Pose:
    """Returns a rider.

    Args:
        height_m: body height.
        girth: of the trunk, 1 is usual.
        hip: (3,) between the hips [m].
        feet: (2, views, 3) of the ankles [m].
        hand: (3,) the right one [m].
        lean: of the trunk, forward [rad].
    """
    neck = np.asarray(hip) + height_m * 0.29 * xyz(0, np.cos(lean), np.sin(lean))
    head = neck + height_m * xyz(0, 0.105 - 0.02 * lean, 0.035 + 0.06 * lean)
    count = feet.shape[1]
    hips = mirrored(np.asarray(hip) + xyz(0.05 * height_m, 0, 0), count)
    shoulders = mirrored(neck + height_m * xyz(0.104 * girth**0.5, -0.012, 0), count)
    hands = mirrored(hand, count)
    knees = _bent(hips, feet, THIGH * height_m, SHANK * height_m, xyz(0, 0.4, 1.0))
    elbows = _bent(shoulders, hands, UPPER_ARM * height_m, FOREARM * height_m, xyz(0, -1.0, -0.3))
    toes = feet + height_m * xyz(0, -0.035, 0.1)
    return Pose(hips, knees, feet, toes, shoulders, elbows, hands, np.tile(head, (count, 1)))


def xyz(x: float, y: float, z: float) -> Array:
    """Returns a point or an offset (3,) [m]: right, up, ahead."""
    return np.array([x, y, z], float)


def mirrored(right: npt.ArrayLike, count: int) -> Array:
    """Returns a point (3,) and its mirror image for `count` views, (2, views, 3), left and right."""
    return np.array([[[-1.0, 1, 1]], [[1.0, 1, 1]]]) * np.tile(np.asarray(right, float), (count, 1))


def _legs(thighs: Array, shanks: Array, feet: Array) -> tuple[Array, Array, Array, Array]:
    """Returns hips, knees, ankles, toes (2, views, 3) of a body of height 1, by angles [rad] forward; the lower foot is at 0."""
    sides = np.array([[-0.048], [0.048]]) + 0 * thighs
    hips = np.stack([sides, 0 * sides, 0 * sides], -1)
    knees = hips + THIGH * np.stack([0 * sides, -np.cos(thighs), np.sin(thighs)], -1)
    ankles = knees + SHANK * np.stack([-0.12 * sides, -np.cos(shanks), np.sin(shanks)], -1)
    toes = ankles + 0.105 * np.stack([0.4 * sides, np.sin(feet), np.cos(feet)], -1) - xyz(0, 0.028, 0)
    ground = np.minimum(ankles[..., 1] - ANKLE, toes[..., 1] - 0.02).min(0)
    for joints in (hips, knees, ankles, toes):
        joints[..., 1] -= ground
    return hips, knees, ankles, toes


def _upright(height_m: float, girth: float, legs: tuple[Array, Array, Array, Array], swing: Array, bend: Array) -> Pose:
    """Returns a pose in metres; legs of a body of height 1, `swing` of the upper arms forward and `bend` of elbows [rad]."""
    hips, knees, ankles, toes = legs
    neck = hips.mean(0) + xyz(0, 0.288, 0.012)
    out = np.array([[-1.0], [1.0]]) + 0 * swing
    shoulders = neck + out[..., None] * xyz(0.104 * girth**0.5, 0, 0) - xyz(0, 0.012, 0)
    elbows = shoulders + UPPER_ARM * np.stack([0.12 * girth * out, -np.cos(swing), np.sin(swing)], -1)
    hands = elbows + FOREARM * np.stack([-0.03 * girth * out, -np.cos(swing + bend), np.sin(swing + bend)], -1)
    joints = (hips, knees, ankles, toes, shoulders, elbows, hands, neck + xyz(0, 0.105, 0.015))
    return Pose(*(joint * height_m for joint in joints))


def _bent(start: Array, end: Array, first: float, second: float, towards: Array) -> Array:
    """Returns the joints (2, views, 3) between two bones of given lengths, bent `towards` a direction."""
    axis = end - start
    distance = np.linalg.norm(axis, axis=-1, keepdims=True)
    axis = axis / distance
    distance = np.minimum(distance, 0.999 * (first + second))
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = towards - (towards * axis).sum(-1, keepdims=True) * axis
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True)
    return start + axis * along + aside * np.sqrt(np.maximum(first**2 - along**2, 0))
