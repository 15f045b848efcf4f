"""Traffic: who and what moves along a street, at any time, and who has parked.

A lane is a conveyor without end: its n-th place lies at `n * gap + shift + speed * time`, and what is there follows from
seed, lane and n alone. So every moment of a sequence can be drawn without the one before it.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from datasets.scenes.catalog import Catalog
from datasets.scenes.parts import Bgr
from datasets.scenes.plan import CELL_M, Plan, Side
from datasets.scenes.stage import Stage

BEHIND_M, AHEAD_M = 18.0, 130.0  # of the camera; what is shown
FIGURES_M = 75.0  # further ahead, people and cycles would be a few pixels: they are left out
JITTER = 0.13  # how far what is in a lane may be from its place, as a share of the gap
CLEAR_M = (-9.0, 9.5)  # on the camera's own lane, nothing stands nearer behind and ahead
MOVING = ("car", "truck", "bus", "motorcycle")
SHARES = {"city": (58, 11, 13, 18), "homes": (68, 12, 6, 14), "park": (60, 13, 11, 16), "arterial": (56, 19, 11, 14)}
CLOTHES: tuple[Bgr, ...] = ((52, 48, 46), (88, 70, 60), (120, 116, 112), (62, 60, 92), (90, 52, 40), (180, 184, 190),
                              (70, 88, 110), (48, 64, 52), (46, 40, 120), (150, 128, 96), (36, 34, 34), (96, 120, 150),
                              (190, 170, 140), (60, 52, 160), (70, 110, 170), (110, 140, 70))
TROUSERS: tuple[Bgr, ...] = ((92, 66, 50), (60, 46, 40), (44, 42, 42), (112, 98, 88), (70, 84, 104), (130, 150, 168),
                               (36, 34, 36))


class Lane(NamedTuple):
    """A conveyor: its place across, the distance of its places, and its speed, against +z if negative [m, m/s]."""

    name: str
    aside: float
    gap: float
    speed: float
    filled: float  # share of places where something stands
    kinds: tuple[str, ...]
    shares: tuple[float, ...]
    own: bool = False  # the camera drives there


class Traffic:
    """What moves along a street.

    Args:
        start: where the camera is at time 0 [m].
    """

    def __init__(self, catalog: Catalog, plan: Plan, seed: int | str, start: float) -> None:
        self.catalog, self.plan, self.seed, self.start = catalog, plan, seed, start
        rng = Random(f"traffic {seed}")
        self.own_lane = rng.randrange(plan.lanes)
        pace = rng.uniform(6.0, 13.0)
        self.own_speed = pace
        self._lanes: list[Lane] = []
        for sign in (1, -1):
            for index in range(plan.lanes):
                own = sign > 0 and index == self.own_lane
                speed = pace if own else pace * rng.uniform(0.75, 1.3) * sign
                self._lanes.append(Lane(f"{sign} {index}", sign * plan.lane(index), rng.uniform(17, 44) / plan.density, speed,
                                        rng.uniform(0.35, 0.85), MOVING, SHARES[plan.kind], own))
            edge = sign * ((plan.right if sign > 0 else plan.left).road - 0.7)
            self._lanes.append(Lane(f"{sign} cycles", edge, rng.uniform(10, 30), rng.uniform(3.5, 5.5) * sign,
                                    rng.uniform(0.15, 0.7), ("bicycle",), (1,)))
            if plan.tracks:
                self._lanes.append(Lane(f"{sign} trams", sign * plan.middle_m / 2, rng.uniform(50, 110), pace * 0.9 * sign,
                                        rng.uniform(0.3, 0.8), ("train",), (1,)))
        self._parked = rng.uniform(0.35, 0.95)
        self._walkers = {"city": 4.4, "homes": 2.0, "park": 2.4, "arterial": 2.0}[plan.kind] * plan.density
        self._cycles_parked = rng.choice((0.2, 0.4, 0.7))

    def add_to(self, stage: Stage, eye_z: float, time_s: float, crossings: list[int]) -> None:
        """Adds all that moves to a stage.

        Args:
            stage: where to.
            eye_z: where the camera is along the street [m].
            time_s: since the drive began [s].
            crossings: the sections near it that are side streets.
        """
        for lane in self._lanes:
            for z, rng in self._places(lane, eye_z, time_s):
                kind = rng.choices(lane.kinds, lane.shares)[0]
                if kind in ("bicycle", "motorcycle") and z - eye_z > FIGURES_M:
                    continue
                turn = 0.0 if lane.speed > 0 else math.pi
                if kind in ("bicycle", "motorcycle"):
                    if not (lane.own and CLEAR_M[0] < z - eye_z < CLEAR_M[1]):
                        self._add_ridden(stage, kind, lane.aside, z, turn, abs(lane.speed) * time_s, rng)
                else:
                    self._add_vehicle(stage, kind, lane.aside + rng.gauss(0, 0.15), z, turn, rng,
                                      room=(1 - 2 * JITTER) * lane.gap, clear_of=eye_z if lane.own else None)
        for side, sign in ((self.plan.right, 1), (self.plan.left, -1)):
            for k in range(math.floor((eye_z - 3 * CELL_M) / CELL_M), math.floor((eye_z + FIGURES_M) / CELL_M)):
                self._add_walkers(stage, side, sign, k, time_s)
        for k in (k for k in crossings if (k + 0.5) * CELL_M < eye_z + FIGURES_M):
            self._add_crossing(stage, k, time_s)

    def park(self, stage: Stage, side: Side, sign: int, begin: float, rng: Random) -> None:
        """Adds what has parked along a section."""
        turn = 0.0 if sign > 0 else math.pi
        if side.parking > side.road:
            middle = sign * (side.road + side.parking) / 2
            for j in range(4):
                if rng.random() < self._parked:
                    kind = rng.choices(("car", "truck"), (93, 7))[0]
                    away = math.pi if rng.random() < 0.12 else 0.0
                    aside, z = middle + rng.gauss(0, 0.1), begin + 3 + 6 * j + rng.gauss(0, 0.25)
                    self._add_vehicle(stage, kind, aside, z, turn + away, rng, room=6.0, clear_of=None)
        row = rng.random() < self._cycles_parked
        for _ in range(rng.randrange(1, 8) if row else rng.randrange(2)):
            kind = rng.choices(("bicycle", "motorcycle"), (72, 28))[0]
            near_wall = rng.random() < 0.4
            aside = side.pavement - 0.5 if near_wall else side.verge + 0.4
            figures = self.catalog.figures
            z = begin + rng.uniform(1, CELL_M - 1)
            heading = self.plan.yaw(z) + rng.choice((0.0, math.pi, 1.2, -1.2)) + rng.gauss(0, 0.2)
            stage.add_figure(rng.choice(figures.bicycles if kind == "bicycle" else figures.motorcycles),
                             self.plan.middle(z) + sign * aside, z, heading, labels=(kind,), tints=_clothes(rng))

    def _places(self, lane: Lane, eye_z: float, time_s: float) -> Iterator[tuple[float, Random]]:
        """Yields the places of a lane that are near the camera and filled."""
        moved = lane.speed * time_s + self.start
        first = math.ceil((eye_z - BEHIND_M - moved) / lane.gap)
        for n in range(first, math.floor((eye_z + AHEAD_M - moved) / lane.gap) + 1):
            rng = Random(f"{self.seed} {lane.name} {n}")
            if rng.random() < lane.filled:
                yield n * lane.gap + moved + rng.uniform(-JITTER, JITTER) * min(lane.gap, 30.0), rng

    def _add_vehicle(self, stage: Stage, kind: str, aside: float, z: float, turn: float, rng: Random, room: float,
                     clear_of: float | None) -> None:
        vehicles = self.catalog.vehicles
        choice = {"car": vehicles.cars, "truck": vehicles.trucks, "bus": vehicles.buses, "train": vehicles.trains}[kind]
        fitting = [vehicle for vehicle in choice if vehicle.length_m < room - 1.0 + 0.5 * (kind == "car")]
        if not fitting:
            kind, fitting = "car", [car for car in vehicles.cars if car.length_m < room - 0.5]
        if not fitting:
            return
        vehicle = rng.choice(fitting)
        if clear_of is not None and CLEAR_M[0] - vehicle.length_m / 2 < z - clear_of < CLEAR_M[1] + vehicle.length_m / 2:
            return
        paints = {"car": vehicles.car_paints, "truck": vehicles.truck_paints, "bus": vehicles.bus_paints,
                  "train": vehicles.train_paints}[kind]
        first, second = paints.pick(rng)
        size = rng.uniform(0.96, 1.05)
        stage.add(vehicle.mesh, self.plan.middle(z) + aside, z, self.plan.yaw(z) + turn, labels=(kind,),
                  scale=(size, size, size), tints=(first, second), gloss=rng.uniform(0.2, 0.9))

    def _add_ridden(self, stage: Stage, kind: str, aside: float, z: float, turn: float, travelled_m: float, rng: Random) -> None:
        figures = self.catalog.figures
        figure = rng.choice(figures.cyclists if kind == "bicycle" else figures.motorcyclists)
        x = self.plan.middle(z) + aside + rng.gauss(0, 0.3)
        stage.add_figure(figure, x, z, self.plan.yaw(z) + turn, travelled_m, labels=(kind, "rider"), tints=_clothes(rng))

    def _add_walkers(self, stage: Stage, side: Side, sign: int, k: int, time_s: float) -> None:
        """Adds people on the pavement, who set out in section `k` or stand there."""
        rng = Random(f"walkers {self.seed} {sign} {k}")
        figures = self.catalog.figures
        for _ in range(_poisson(rng, self._walkers)):
            inner = max(side.verge, side.parking) + 0.5
            aside, z = sign * rng.uniform(inner, max(inner, side.pavement - 0.3)), (k + rng.random()) * CELL_M
            clothes = _clothes(rng)
            if rng.random() < 0.22:
                stage.add_figure(rng.choice(figures.standing), self.plan.middle(z) + aside, z, rng.uniform(0, 2 * math.pi),
                                 labels=("person",), tints=clothes)
                continue
            speed, ahead = rng.uniform(0.9, 1.6), rng.choice((1, -1))
            companions = rng.choices((1, 2, 3), (7, 3, 1))[0]
            for j in range(companions):
                here = z + ahead * speed * time_s + rng.gauss(0, 0.15)
                x = self.plan.middle(here) + aside + sign * min(0.6 * j, side.pavement - inner)
                heading = self.plan.yaw(here) + (0.0 if ahead > 0 else math.pi)
                stage.add_figure(rng.choice(figures.walkers), x, here, heading, speed * time_s + rng.uniform(0, 2),
                                 labels=("person",), tints=clothes if j == 0 else _clothes(rng))

    def _add_crossing(self, stage: Stage, k: int, time_s: float) -> None:
        """Adds people who cross the street at a side street, and vehicles that wait there."""
        rng = Random(f"crossing {self.seed} {k}")
        width = self.plan.right.verge + self.plan.left.verge
        for _ in range(rng.choice((0, 0, 1, 2, 4))):
            speed, ahead = rng.uniform(1.0, 1.6), rng.choice((1, -1))
            gone = (rng.uniform(0, width) + speed * time_s) % width
            aside = gone - self.plan.left.verge if ahead > 0 else self.plan.right.verge - gone
            z = (k + 0.5) * CELL_M - rng.uniform(8.0, 11.0)
            stage.add_figure(rng.choice(self.catalog.figures.walkers), self.plan.middle(z) + aside, z,
                             self.plan.yaw(z) + ahead * math.pi / 2, speed * time_s + rng.uniform(0, 2), labels=("person",),
                             tints=_clothes(rng))
        for side, sign in ((self.plan.right, 1), (self.plan.left, -1)):
            if rng.random() < 0.6:
                kind = rng.choices(MOVING, SHARES[self.plan.kind])[0]
                z = (k + 0.5) * CELL_M + sign * rng.uniform(1.4, 2.2)
                if kind != "motorcycle":
                    self._add_vehicle(stage, kind, sign * (side.pavement + rng.uniform(2, 14)), z, -sign * math.pi / 2, rng,
                                      room=14.0, clear_of=None)


def _clothes(rng: Random) -> tuple[Bgr, Bgr]:
    return rng.choice(CLOTHES), rng.choice(TROUSERS)


def _poisson(rng: Random, mean: float) -> int:
    """Returns a number by Knuth's product of chances, for small means."""
    count, chance = 0, rng.random()
    while chance > math.exp(-mean):
        count += 1
        chance *= rng.random()
    return count
