"""People: what they look like and wear, drawn on their poses."""

from dataclasses import dataclass

import numpy as np

from datasets.scenes.parts import TINT_1, TINT_2, Bgr
from datasets.scenes.poses import Array, Pose, xyz
from datasets.scenes.solids import Paint, Views

SKINS = ((150, 175, 215), (125, 155, 200), (105, 135, 185), (75, 105, 155), (50, 72, 112), (38, 50, 78))
HAIRS = ((28, 30, 34), (34, 44, 60), (45, 65, 95), (90, 130, 165), (150, 155, 160), (30, 50, 90))
DULL = ((45, 42, 40), (70, 62, 58), (95, 100, 105), (60, 75, 95), (85, 60, 45), (50, 50, 110), (60, 80, 65), (170, 175, 180),
        (110, 135, 150), (30, 30, 32))  # of bags, hats, scarves, shirts
SHOES = ((30, 30, 34), (40, 48, 66), (185, 185, 190), (60, 58, 58), (90, 105, 125))
COAT, TROUSERS = Paint((228, 228, 228), TINT_1), Paint((228, 228, 228), TINT_2)


@dataclass(frozen=True)
class Look:
    """What a person looks like.

    Attributes:
        height_m: body height.
        girth: of trunk and limbs, 1 is usual.
        head: size of the head, 1 is usual.
        skin, hair, shoes, extra: colours (bgr); `extra` of bag, hat, scarf and shirt.
        locks: "short", "long", "bun", "bald", "cap", "hat", "hood", "helmet" or "full helmet".
        hem: how far the upper garment reaches below the hips, in leg lengths.
        legs: "trousers", "shorts", "skirt" or "tights".
        sleeves: whether they reach the hands.
        open_front: whether a shirt shows.
        bag: "", "backpack", "shoulder" or "hand".
        scarf: whether one is worn.
        beard: whether there is one.
    """

    height_m: float
    girth: float
    head: float
    skin: Bgr
    hair: Bgr
    shoes: Bgr
    extra: Bgr
    locks: str = "short"
    hem: float = 0.12
    legs: str = "trousers"
    sleeves: bool = True
    open_front: bool = False
    bag: str = ""
    scarf: bool = False
    beard: bool = False


def dress(views: Views, pose: Pose, look: Look, upper: Paint = COAT, lower: Paint = TROUSERS) -> None:
    """Draws a person; `upper` and `lower` paint the clothes, and their part is the person's."""
    size, girth = look.height_m, look.height_m * look.girth
    skin, hair, shoes, extra = (Paint(color, part=upper.part) for color in (look.skin, look.hair, look.shoes, look.extra))
    _draw_legs(views, pose, look, lower, skin, shoes)
    _draw_arms(views, pose, girth, upper, upper if look.sleeves else skin, skin)

    # Trunk: from the hips' middle to that of the shoulders
    low, high = pose.hip.mean(0), pose.shoulder.mean(0)
    up, ahead = _trunk_axes(low, high)
    waist, chest = low + 0.1 * size * up, low + 0.21 * size * up
    wide = np.array([1.0, 0.66]) * girth
    hips, middle, breast = (tuple(wide * half) for half in (0.098, 0.086, 0.104))
    views.rod(low - 0.02 * size * up, waist, upper, hips, middle, cap=0.5, shade=(0.86, 0.95))
    views.rod(waist, chest, upper, middle, breast, cap=0.3, shade=(0.95, 1.0))
    views.rod(chest, high - 0.016 * size * up, upper, breast, (0.094 * girth, 0.046 * girth), cap=0.6)
    _draw_hem(views, pose, low, waist, look.hem, upper, hips)
    if look.legs == "skirt":
        _draw_hem(views, pose, low, waist, 0.55, lower, (0.94 * hips[0], 0.94 * hips[1]))
    front, width = (extra, 0.042) if look.open_front else (upper.darker(0.62), 0.005)  # a shirt, or a zip
    belly, breastbone, throat = (spot + depth * girth * ahead for spot, depth in (
        (low + 0.1 * (waist - low), 0.056), (chest, 0.06), (high - 0.03 * size * up, 0.036)))
    views.rod(belly, breastbone, front, (width * girth, 0.016 * girth), cap=0.5, shade=(0.8, 0.9))
    views.rod(breastbone, throat, front, (width * girth, 0.016 * girth), cap=0.5, shade=(0.9, 0.95))

    # Neck and head
    views.rod(high - 0.01 * size, pose.head - 0.03 * size * up, skin, 0.034 * size * look.girth**0.5, cap=0.3, shade=(0.7, 0.75))
    if look.scarf or look.locks == "hood":
        views.ball(high + 0.022 * size * up, extra if look.scarf else upper.darker(0.9), (0.056 * size, 0.056 * size), 0.5)
    else:
        views.ball(high + 0.008 * size * up, upper.darker(0.85), (0.06 * size, 0.045 * size), 0.45)
    _draw_head(views, pose.head, look, skin, hair, extra, upper)
    _draw_bag(views, pose, look, (low, waist, chest, high), extra)


def _draw_legs(views: Views, pose: Pose, look: Look, lower: Paint, skin: Paint, shoes: Paint) -> None:
    girth = look.height_m * look.girth
    loose = {"trousers": 1.0, "shorts": 1.05, "skirt": 0.85, "tights": 0.86}[look.legs]
    thigh = skin if look.legs == "skirt" else lower
    shank = lower if look.legs in ("trousers", "tights") else skin
    calf, hem = (0.037, 0.035) if look.legs == "trousers" else (0.034, 0.022)
    width = loose * girth
    for hip, knee, ankle, toe in zip(pose.hip, pose.knee, pose.ankle, pose.toe, strict=True):
        bulge = knee + 0.4 * (ankle - knee)
        views.rod(hip, knee, thigh, 0.051 * width, 0.04 * width, shade=(0.74, 0.96))
        views.rod(knee, bulge, shank, 0.036 * width, calf * width, shade=(0.94, 0.92))
        views.rod(bulge, ankle, shank, calf * width, hem * width, shade=(0.92, 0.8), cap=0.5)
        heel = ankle - xyz(0, 0.018 * look.height_m, 0) - (toe - ankle) * xyz(0.22, 0.044, 0.22)
        views.rod(heel, toe, shoes, 0.027 * look.height_m, 0.02 * look.height_m, shade=(0.85, 1.05))


def _draw_arms(views: Views, pose: Pose, girth: float, upper: Paint, sleeve: Paint, skin: Paint) -> None:
    for shoulder, elbow, hand in zip(pose.shoulder, pose.elbow, pose.hand, strict=True):
        wrist = elbow + 0.93 * (hand - elbow)
        views.rod(shoulder - xyz(0, 0.034 * girth, 0), elbow, upper, 0.034 * girth, 0.03 * girth, shade=(1.0, 0.9))
        views.rod(elbow, wrist, sleeve, 0.03 * girth, 0.022 * girth, shade=(0.9, 0.95))
        views.rod(hand, hand + 0.22 * (hand - elbow), skin, 0.021 * girth, 0.016 * girth)


def _draw_hem(views: Views, pose: Pose, low: Array, waist: Array, length: float, paint: Paint, hips: tuple[float, float]) -> None:
    """Draws what falls from the hips around both legs down to `length` of them."""
    legs = (pose.hip + (pose.knee - pose.hip) * length * 2 if length < 0.5 else
            pose.knee + (pose.ankle - pose.knee) * (length * 2 - 1))
    reach = np.maximum(np.ptp(legs, axis=0), (length > 0.5) * np.ptp(pose.knee, axis=0)) / 2  # (views, 3)
    around = 0.6 * hips[0]
    end = np.maximum(hips[0] * (1.06 + 0.2 * length), reach[:, 0] + around), reach[:, 2] + around * 1.35
    views.rod(0.7 * low + 0.3 * waist, legs.mean(0), paint, (1.06 * hips[0], 1.22 * hips[1]), end, cap=0, shade=(0.92, 0.82))


def _draw_head(views: Views, center: Array, look: Look, skin: Paint, hair: Paint, extra: Paint, upper: Paint) -> None:
    unit = 0.066 * look.height_m * look.head  # half a head
    center = center + xyz(0, 0.55 * (unit - 0.066 * look.height_m), 0)

    def at(x: float, y: float, z: float) -> Array:
        return center + xyz(x, y, z) * unit

    views.rod(at(0, -0.45, 0.22), at(0, 0.3, -0.02), skin, (0.55 * unit, 0.52 * unit), (0.68 * unit, 0.8 * unit))
    views.rod(at(0, 0.12, 0.72), at(0, -0.2, 0.86), skin, 0.1 * unit, 0.13 * unit)  # nose
    for side in (-1, 1):
        views.ball(at(0.3 * side, 0.14, 0.58), skin.darker(0.45), (0.15 * unit, 0.2 * unit), 0.6)  # eye
    views.rod(at(-0.62, -0.02, -0.05), at(0.62, -0.02, -0.05), skin.darker(0.9), 0.16 * unit, cap=0.8)  # ears
    if look.beard:
        views.rod(at(0, -0.75, 0.45), at(0, -0.3, 0.1), hair, (0.45 * unit, 0.4 * unit), (0.68 * unit, 0.5 * unit))
    cover = {"hood": upper, "cap": extra, "hat": extra}.get(look.locks, hair)
    if look.locks == "bald":
        views.ball(at(0, -0.1, -0.3), hair, (0.73 * unit, 0.62 * unit), 0.75)
    elif look.locks == "helmet":
        views.ball(at(0, 0.05, -0.3), hair, (0.72 * unit, 0.62 * unit), 1.1)
        views.ball(at(0, 0.5, -0.03), extra, (0.9 * unit, 1.1 * unit), 0.85)
    elif look.locks == "full helmet":
        views.rod(at(0, -0.35, 0.12), at(0, 0.3, 0.0), extra, (0.92 * unit, 1.12 * unit), (1.02 * unit, 1.15 * unit), cap=0.9)
        views.ball(at(0, 0.12, 0.42), extra.darker(0.2), (0.8 * unit, 0.86 * unit), 0.36)  # visor
    else:
        views.ball(at(0, 0.34, -0.12), cover, (0.8 * unit, 0.88 * unit), 0.95)
        views.ball(at(0, -0.05, -0.34), cover, (0.72 * unit, 0.62 * unit), 1.2)
    if look.locks == "long":
        views.rod(at(0, 0.1, -0.3), at(0, -1.5, -0.4), hair, (0.8 * unit, 0.6 * unit), (0.7 * unit, 0.3 * unit), shade=(1, 0.85))
    elif look.locks == "bun":
        views.ball(at(0, 0.45, -1.05), hair, 0.38 * unit)
    elif look.locks == "hood":
        views.rod(at(0, 0.3, -0.2), at(0, -0.9, -0.3), upper, (0.85 * unit, 0.85 * unit), (0.8 * unit, 0.6 * unit))
    elif look.locks == "cap":
        views.rod(at(0, 0.5, 0.5), at(0, 0.42, 1.25), extra, (0.55 * unit, 0.12 * unit), (0.4 * unit, 0.1 * unit), cap=0.3)
    elif look.locks == "hat":
        views.ball(at(0, 0.45, -0.05), extra, (1.1 * unit, 1.25 * unit), 0.12)
        views.ball(at(0, 0.75, -0.05), extra, (0.72 * unit, 0.85 * unit), 0.7)


def _draw_bag(views: Views, pose: Pose, look: Look, trunk: tuple[Array, Array, Array, Array], paint: Paint) -> None:
    size, girth = look.height_m, look.height_m * look.girth
    low, waist, chest, high = trunk
    up, ahead = _trunk_axes(low, high)
    if look.bag == "backpack":
        back = -0.105 * girth * ahead
        bottom, top = waist + back * 1.1, high + back - 0.035 * size * up
        views.rod(bottom, top, paint, (0.082 * size, 0.062 * size), (0.07 * size, 0.045 * size), cap=0.45, shade=(0.8, 1.0))
        views.rod(waist + back * 1.6, chest + back * 1.55, paint.darker(0.75), (0.06 * size, 0.03 * size), cap=0.4)
        for side in (-0.062, 0.062):
            front = chest + xyz(side * girth, 0, 0) + 0.066 * girth * ahead
            views.rod(front - 0.06 * size * up, front + 0.075 * size * up - 0.03 * girth * ahead, paint.darker(0.8), 0.013 * size)
    elif look.bag == "shoulder":
        bag, half, strap = waist + xyz(0.13 * girth, -0.06 * size, -0.02 * size), xyz(0, 0.05 * size, 0), paint.darker(0.8)
        views.rod(bag + half, bag - half, paint, (0.03 * size, 0.085 * size), cap=0.3, shade=(1, 0.8))
        for z in (-0.075 * girth, 0.075 * girth):
            views.rod(bag + xyz(0, 0, 0.5 * z), chest + xyz(0, 0, z), strap, 0.009 * size)
            views.rod(chest + xyz(0, 0, z), high + xyz(-0.07 * girth, 0, 0.3 * z), strap, 0.009 * size)
    elif look.bag == "hand":
        hand, down = pose.hand[1] + xyz(0.01, -0.03 * size, 0), xyz(0, -size, 0)
        views.rod(hand, hand + 0.06 * down, paint.darker(0.7), (0.006 * size, 0.03 * size))
        views.rod(hand + 0.075 * down, hand + 0.17 * down, paint, (0.035 * size, 0.085 * size), cap=0.2, shade=(1, 0.8))


def _trunk_axes(low: Array, high: Array) -> tuple[Array, Array]:
    """Returns the directions (views, 3) up the trunk and ahead of it."""
    up = (high - low) / np.linalg.norm(high - low, axis=-1, keepdims=True)
    return up, np.stack([up[:, 0], -up[:, 2], up[:, 1]], -1)
