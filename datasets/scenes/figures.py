"""Figures of the scenes: people who walk and stand, bicycles and motorcycles, parked and ridden.

A figure is a set of flat upright meshes that are turned to the camera; `Figure.mesh` chooses the one that shows it from where the
camera stands, at its moment of walking or pedalling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes.cycles import Bicycle, Motorcycle
from datasets.scenes.parts import TINT_2, Float32Array, Library
from datasets.scenes.people import DULL, HAIRS, SHOES, SKINS, Look, dress
from datasets.scenes.poses import joined, standing, walking
from datasets.scenes.solids import Paint, Views

Float64Array = npt.NDArray[np.float64]

YAWS_DEG = (0, 45, 90, 135, 180)
STEPS = (4, 4, 8, 4, 4)  # of a stride, at each yaw
TURNS = (2, 2, 4, 2, 2)  # of the pedals
ONCE = (1, 1, 1, 1, 1)
BICYCLES = (Bicycle(low_frame=True, bar_m=1.1, load="basket"), Bicycle(0.345, 0.96, 0.98, drop_bar=True, guards=False),
            Bicycle(0.335, 1.03, guards=False), Bicycle(bar_m=1.07, load="panniers"))
MOTORCYCLES = (Motorcycle(), Motorcycle(seat_m=0.83, bar_m=1.1, fairing=True, screen_m=0.26, cases="all"),
               Motorcycle(True, 0.23, 0.1, (-0.6, 0.62), 0.79, 1.0),
               Motorcycle(True, 0.26, 0.12, (-0.64, 0.7), 0.8, 1.04, screen_m=0.3, cases="top"))


@dataclass(frozen=True)
class Figure:
    """A figure seen from all sides.

    Attributes:
        views: meshes; a tuple for each yaw, in equal steps from 0 (it comes towards the camera) over 90 (it goes to the right) to
            180 degrees (it goes away), with a mesh for each phase of its motion.
        height_m: its height.
        stride_m: distance that it covers in one cycle of its phases.
    """

    views: tuple[tuple[int, ...], ...]
    height_m: float
    stride_m: float = math.inf

    def mesh(self, yaw_rad: float, travelled_m: float = 0.0) -> tuple[int, bool]:
        """Returns the mesh to show, and whether to mirror it (scale x by -1).

        Args:
            yaw_rad: its heading as the camera sees it: 0 towards the camera, pi / 2 to the picture's right, pi away from it, and
                -pi / 2 to its left.
            travelled_m: how far it has gone so far.
        """
        yaw = math.remainder(yaw_rad, 2 * math.pi)
        phases = self.views[round(abs(yaw) / math.pi * (len(self.views) - 1))]
        return phases[int(travelled_m / self.stride_m * len(phases)) % len(phases)], yaw < 0


@dataclass(frozen=True)
class Figures:
    """All figures by kind.

    First and second tint of people are their upper and lower clothes. Of vehicles the first is their paint; ridden ones have the
    rider's coat as their second tint, the vehicle as part 0 and the rider as part 1.
    """

    walkers: tuple[Figure, ...]
    standing: tuple[Figure, ...]
    bicycles: tuple[Figure, ...]
    cyclists: tuple[Figure, ...]
    motorcycles: tuple[Figure, ...]
    motorcyclists: tuple[Figure, ...]


def add_figures(library: Library, rng: np.random.Generator) -> Figures:
    """Adds all figures to the library."""
    noise = _cloth(rng)
    faint = 0.6 + 0.4 * noise  # paint has no folds
    people = [_person(library, look, noise) for look in _looks(rng)]
    cycles = [_cycle(library, bicycle, _look(rng, locks=locks, bag=bag), faint)
              for bicycle, locks, bag in zip(BICYCLES, ("long", "helmet", "short", "cap"), ("", "", "backpack", ""), strict=True)]
    motors = [_cycle(library, motorcycle, _look(rng, locks="full helmet", bag=bag), faint)
              for motorcycle, bag in zip(MOTORCYCLES, ("", "", "backpack", ""), strict=True)]
    return Figures(*(figures for pairs in (people, cycles, motors) for figures in zip(*pairs, strict=True)))


def _look(rng: np.random.Generator, **fixed: Any) -> Look:
    """Returns a grown-up's look by chance, except for what is given."""
    skin = SKINS[int(len(SKINS) * rng.random() ** 1.8)]  # the lighter ones are listed first
    hair, shoes, extra = (table[rng.integers(len(table))] for table in (HAIRS if skin in SKINS[:3] else HAIRS[:1], SHOES, DULL))
    chance = {"height_m": rng.uniform(1.6, 1.86), "girth": rng.uniform(0.93, 1.12), "head": 1.0}
    return Look(**{**chance, "skin": skin, "hair": hair, "shoes": shoes, "extra": extra, **fixed})


def _looks(rng: np.random.Generator) -> list[Look]:
    """Returns twelve people's looks."""
    return [
        _look(rng, bag="backpack"),
        _look(rng, height_m=1.66, girth=0.92, locks="long", hem=0.5, legs="tights", bag="shoulder", scarf=True),
        _look(rng, height_m=1.74, girth=1.22, locks="bald", open_front=True, hem=0.25, beard=True),
        _look(rng, height_m=1.18, girth=0.98, head=1.28, locks="cap", legs="shorts", sleeves=False, bag="backpack"),
        _look(rng, height_m=1.68, girth=0.95, locks="bun", legs="skirt", bag="hand"),
        _look(rng, height_m=1.88, girth=0.96, hem=0.48, open_front=True),
        _look(rng, height_m=1.72, locks="hood", hem=0.16, bag="backpack"),
        _look(rng, height_m=1.62, girth=1.2, hair=HAIRS[4], hem=0.42, legs="skirt", bag="hand"),
        _look(rng, height_m=1.78, sleeves=False, legs="shorts", locks="short"),
        _look(rng, height_m=1.7, girth=0.9, locks="long", legs="tights", sleeves=False, bag="shoulder"),
        _look(rng, height_m=1.76, girth=1.1, locks="hat", hem=0.4, scarf=True, hair=HAIRS[4]),
        _look(rng, height_m=1.4, girth=0.92, head=1.14, locks="long", hem=0.14, bag="backpack"),
    ]


def _person(library: Library, look: Look, noise: Float32Array) -> tuple[Figure, Figure]:
    """Returns somebody who walks, and the same as standing."""
    steps, stride = walking(look.height_m, look.girth, _phases(STEPS))
    still = standing(look.height_m, look.girth, 0.3 if look.bag else 1.6, len(YAWS_DEG))
    views = Views((*np.repeat(YAWS_DEG, STEPS), *YAWS_DEG), 0.36 * look.height_m + 0.1, 1.06 * look.height_m)
    dress(views, joined(steps, still), look)
    count = sum(STEPS)
    walks, stands = views.add_to(library, noise, range(count)), views.add_to(library, noise, range(count, count + len(YAWS_DEG)))
    return Figure(_grouped(walks, STEPS), look.height_m, stride), Figure(_grouped(stands, ONCE), look.height_m)


def _cycle(library: Library, vehicle: Bicycle | Motorcycle, rider: Look, noise: Float32Array) -> tuple[Figure, Figure]:
    """Returns a vehicle that is parked, and the same with its rider."""
    counts, stride = (TURNS, vehicle.stride_m) if isinstance(vehicle, Bicycle) else (ONCE, math.inf)
    phases = _phases(counts)
    pose = vehicle.ridden(rider.height_m, rider.girth, phases)
    top = float(pose.head[0, 1]) + 0.09 * rider.height_m
    views = Views(np.repeat(YAWS_DEG, counts), 1.15, top + 0.03)
    vehicle.draw(views, phases)
    parked = views.add_to(library, noise, np.cumsum((0, *counts[:-1])))
    dress(views, pose, rider, Paint((228, 228, 228), TINT_2, 1), Paint((62, 54, 50), part=1))
    ridden = views.add_to(library, noise, range(len(phases)))
    return Figure(_grouped(parked, ONCE), vehicle.bar_m), Figure(_grouped(ridden, counts), top, stride)


def _phases(counts: Sequence[int]) -> Float64Array:
    """Returns all phases, 0 to 1, where a cycle has `counts` of them at each yaw."""
    return np.concatenate([np.arange(count) / count for count in counts])


def _grouped(meshes: Sequence[int], counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Returns the meshes as tuples of given lengths."""
    return tuple(tuple(meshes[end - count : end]) for end, count in zip(accumulate(counts), counts, strict=True))


def _cloth(rng: np.random.Generator) -> Float32Array:
    """Returns factors of brightness (H, W): folds, dirt and grain."""
    size = (360, 256)  # width, height
    field = np.ones(size[::-1], np.float32)
    for cells, strength in ((12, 0.05), (40, 0.05), (128, 0.04)):
        grains = rng.standard_normal((cells // 2, cells)).astype(np.float32)
        field += strength * cv2.resize(grains, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(field, 0.7, 1.3)
