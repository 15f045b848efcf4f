"""Plan: how a street is laid out across, where it bends, and what its ground is made of."""

import math
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from datasets.scenes.ground import TILE_M, Surfaces
from datasets.scenes.setting import ACROSS_M, LABEL_IDS, Ground

CELL_M = 24.0  # a street is laid out in sections of this length
FAR = 1e9
WIDE_M = 45.0  # what lies further aside is as what lies there


@dataclass(frozen=True)
class Side:
    """One side of a street; all are distances from its middle [m], each at least as large as the one before it.

    Attributes:
        road: end of the lanes; parking: end of the parking bays.
        verge: end of the strip of grass; pavement: end of the pavement, where fronts and borders stand.
        front: where the houses stand.
    """

    road: float
    parking: float
    verge: float
    pavement: float
    front: float


@dataclass(frozen=True)
class Plan:
    """What a street is like.

    Attributes:
        kind: "city", "homes", "park" or "arterial".
        lanes: lanes in each direction; lane_m: their width.
        middle_m: half the width of what separates the directions; with tracks, of the trams' own way.
        tracks: whether trams run in the middle.
        right, left: its sides.
        bend: amplitude [m], radians per metre and phase of its middle.
        density: how busy it is, around 1.
    """

    kind: str
    lanes: int
    lane_m: float
    middle_m: float
    tracks: bool
    right: Side
    left: Side
    bend: tuple[float, float, float]
    density: float

    def middle(self, z: float) -> float:
        """Returns where the middle of the street lies at z [m]."""
        return self.bend[0] * math.sin(self.bend[1] * z + self.bend[2])

    def yaw(self, z: float) -> float:
        """Returns the street's direction at z, turned from +z towards +x [rad]."""
        return math.atan(self.bend[0] * self.bend[1] * math.cos(self.bend[1] * z + self.bend[2]))

    def lane(self, index: int) -> float:
        """Returns the distance of a lane's middle, counted from the middle of the street outwards [m]."""
        return self.middle_m + (index + 0.5) * self.lane_m


def some_plan(rng: Random) -> Plan:
    """Returns the plan of a street."""
    kind = rng.choices(("city", "homes", "park", "arterial"), (0.4, 0.26, 0.14, 0.2))[0]
    tracks = rng.random() < {"city": 0.22, "homes": 0.06, "park": 0.14, "arterial": 0.22}[kind]
    lanes = rng.choices((1, 2, 3), {"city": (6, 4, 0), "homes": (9, 1, 0), "park": (7, 3, 0), "arterial": (1, 5, 3)}[kind])[0]
    lane_m = rng.uniform(2.9, 3.6)
    middle_m = rng.uniform(3.1, 3.6) if tracks else rng.choice((0.0, 0.0, 0.6)) if lanes == 1 else rng.choice((0.0, 0.8, 1.6))
    road = middle_m + lanes * lane_m

    def side() -> Side:
        parking = road + (rng.uniform(2.0, 2.4) if rng.random() < {"city": 0.65, "homes": 0.6, "park": 0.35,
                                                                  "arterial": 0.2}[kind] else 0.0)
        verge = parking + (rng.uniform(1.0, 3.0) if rng.random() < {"city": 0.25, "homes": 0.4, "park": 0.75,
                                                                   "arterial": 0.55}[kind] else 0.0)
        pavement = verge + {"city": rng.uniform(2.4, 6.5), "homes": rng.uniform(1.8, 3.4), "park": rng.uniform(2.0, 4.0),
                            "arterial": rng.uniform(1.8, 3.6)}[kind]
        front = pavement + {"city": rng.choice((0.0, 0.0, 1.5)), "homes": rng.uniform(2.5, 7.0), "park": rng.uniform(5, 14),
                            "arterial": rng.choice((0.5, 3.0, 8.0))}[kind]
        return Side(road, parking, verge, pavement, front)

    straight = rng.random() < 0.35
    bend = (0.0 if straight else rng.uniform(1.0, 9.0), 2 * math.pi / rng.uniform(170, 420), rng.uniform(0, 2 * math.pi))
    return Plan(kind, lanes, lane_m, middle_m, tracks, side(), side(), bend, rng.uniform(0.5, 1.5))


def some_ground(rng: Random, plan: Plan, surfaces: Surfaces) -> Ground:
    """Returns the ground of a street, without its side streets.

    Args:
        rng: decides materials and markings.
        plan: of the street.
        surfaces: textures to choose from.
    """
    def material(texture: int, tile: str, label: str, tint: tuple[float, float, float]) -> list[float]:
        return [texture, TILE_M[tile] * rng.uniform(0.8, 1.2), *tint, LABEL_IDS[label]]

    def gray(low: float, high: float) -> tuple[float, float, float]:
        tone, warmth = rng.uniform(low, high), rng.gauss(0, 0.04)
        return tone * (1 - warmth), tone, tone * (1 + warmth)

    road = material(rng.choice(surfaces.asphalt), "asphalt", "road", gray(0.55, 1.25))
    if plan.kind == "city" and rng.random() < 0.08:
        road = material(surfaces.setts, "setts", "road", gray(0.6, 1.0))
    if rng.random() < 0.6:
        parking = [*road[:2], *(0.9 * tone for tone in road[2:5]), *road[5:]]
    else:
        parking = material(surfaces.setts, "setts", "road", gray(0.6, 1.1))
    slabs = material(rng.choice(surfaces.slabs), "slabs", "sidewalk", gray(0.7, 1.25))
    if rng.random() < 0.3:
        slabs = material(rng.choice(surfaces.asphalt), "asphalt", "sidewalk", gray(1.1, 1.7))
    grass = material(rng.choice(surfaces.grass), "grass", "terrain", gray(0.6, 1.1))
    yard = grass
    if plan.kind == "city" and rng.random() < 0.8:
        yard = slabs
    elif rng.random() < 0.25:
        yard = material(surfaces.gravel, "gravel", "terrain", gray(0.5, 1.0))
    tram_way = grass if plan.tracks and plan.kind != "city" and rng.random() < 0.4 else road
    ROAD, PARKING, SLABS, GRASS, YARD, TRAM = range(6)

    right, left = plan.right, plan.left
    edges = [-FAR, -left.pavement, -left.verge, -left.parking, -left.road, -plan.middle_m,
             plan.middle_m, right.road, right.parking, right.verge, right.pavement, FAR]
    strips = [YARD, SLABS, GRASS, PARKING, ROAD, TRAM, ROAD, PARKING, GRASS, SLABS, YARD]
    wide = [end > begin for begin, end in pairwise(edges)]
    strips = [strip for strip, is_wide in zip(strips, wide, strict=True) if is_wide]
    edges = [-FAR] + [edge for edge, is_wide in zip(edges[1:], wide, strict=True) if is_wide]
    materials = np.array([road, parking, slabs, grass, yard, tram_way], np.float32)
    if tram_way is road:  # one road then, as far as side streets, zebras and kerbs go
        strips = [ROAD if strip == TRAM else strip for strip in strips]
    driven = {ROAD, PARKING}
    kerbs = [edge for edge, (a, b) in zip(edges[1:], pairwise(strips), strict=False) if (a in driven) != (b in driven)]
    lines = _lines(rng, plan)
    aside = (np.arange(2 * round(WIDE_M / ACROSS_M)) + 0.5) * ACROSS_M - WIDE_M
    strip_at = np.array(strips, np.int32)[np.searchsorted(edges[1:-1], aside)]
    line_at = np.full(len(aside), -1, np.int32)
    if len(lines):
        distance = np.abs(aside[:, None] - lines[:, 0])
        line_at = np.where(distance.min(1) < 1.0, distance.argmin(1), -1).astype(np.int32)
    return Ground(plan.bend, strip_at, _distance(aside, kerbs), line_at, materials, lines, np.zeros((0, 4), np.float32), ROAD)


def _distance(aside: np.ndarray, places: list[float]) -> np.ndarray:
    """Returns how far it is from each of `aside` to the nearest of the places [m]."""
    if not places:
        return np.full(len(aside), FAR, np.float32)
    return np.abs(aside[:, None] - np.array(places)).min(1).astype(np.float32)


def _lines(rng: Random, plan: Plan) -> np.ndarray:
    """Returns what is painted along the street, and rails; see `Ground.lines`."""
    white = (0.60, 0.62, 0.62) if rng.random() < 0.85 else (0.20, 0.50, 0.62)
    steel, groove = (0.30, 0.29, 0.28), (0.02, 0.02, 0.02)
    width = rng.uniform(0.1, 0.18)
    painted = rng.random() < {"city": 0.85, "homes": 0.5, "park": 0.8, "arterial": 1.0}[plan.kind]
    lines: list[tuple[float, ...]] = []
    if painted:
        dash, gap = rng.choice(((3.0, 6.0), (6.0, 6.0), (2.0, 4.0), (4.0, 2.0)))
        if plan.middle_m == 0:
            lines.append((0.0, width, dash, gap if rng.random() < 0.7 else 0.0, 0.0, *white))
        elif not plan.tracks:
            lines += [(sign * plan.middle_m, width, 1.0, 0.0, 0.0, *white) for sign in (-1, 1)]
        for lane in range(1, plan.lanes):
            lines += [(sign * (plan.middle_m + lane * plan.lane_m), width, dash, gap, 1.7, *white) for sign in (-1, 1)]
        for side, sign in ((plan.left, -1), (plan.right, 1)):
            if side.parking > side.road:
                lines.append((sign * side.road, width, *rng.choice(((1.0, 0.0), (1.0, 1.0))), 0.0, *white))
            elif rng.random() < 0.4:
                lines.append((sign * (side.road - 0.35), width, 1.0, 0.0, 0.0, *white))
    if plan.tracks:
        for middle in (-plan.middle_m / 2, plan.middle_m / 2):
            for rail in (middle - 0.72, middle + 0.72):
                lines += [(rail + 0.06, 0.05, 1.0, 0.0, 0.0, *groove), (rail, 0.07, 1.0, 0.0, 0.0, *steel)]
    return np.array(lines, np.float32).reshape(-1, 8)
