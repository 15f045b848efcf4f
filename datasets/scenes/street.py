"""Street: an endless street of one seed, section by section: what stands at its sides, and the picture at any time."""

import math
from dataclasses import replace
from random import Random
from typing import NamedTuple

import numpy as np

from datasets.scenes.catalog import Catalog
from datasets.scenes.furniture import Post
from datasets.scenes.parts import Bgr, Float32Array
from datasets.scenes.plan import CELL_M, Side, some_ground, some_plan
from datasets.scenes.plants import Plant
from datasets.scenes.renderer import Scene
from datasets.scenes.setting import TABLE_AHEAD_M, TABLE_BEHIND_M
from datasets.scenes.stage import Stage
from datasets.scenes.traffic import Traffic
from datasets.scenes.weather import some_lens, some_light

BEHIND_M, AHEAD_M = 16.0, 150.0  # of the camera; what is shown
BORDERS = ("hedge", "fence", "wall")
PLASTERS: tuple[Bgr, ...] = ((196, 214, 222), (170, 196, 214), (214, 220, 224), (160, 178, 190), (176, 208, 216),
                               (190, 190, 188), (150, 170, 196), (206, 214, 206), (140, 150, 158), (186, 202, 226))
TRIMS: tuple[Bgr, ...] = ((70, 60, 52), (60, 72, 40), (48, 44, 110), (110, 84, 52), (40, 40, 40), (120, 130, 140),
                            (60, 110, 150), (90, 50, 40), (200, 200, 200), (44, 96, 60))
MUTED: tuple[Bgr, ...] = ((255, 255, 255), (215, 228, 235), (232, 228, 222), (205, 215, 225), (228, 235, 226))


class Place(NamedTuple):
    """A side of the street in one section: everything that is there is put relative to it."""

    side: Side
    sign: int  # 1 on the right, -1 on the left
    begin: float  # of the section along the street [m]
    rng: Random


class Street:
    """An endless street that is the same for the same seed.

    Args:
        catalog: what there is to put into it. In a town all streets have one plan, one light and one camera.
        seed: decides everything.
    """

    def __init__(self, catalog: Catalog, seed: int | str) -> None:
        self.catalog, self.seed = catalog, seed
        rng = Random(f"street {seed}" if catalog.town is None else f"town {catalog.town}")
        self.plan = some_plan(rng)
        self.light, self.lens = some_light(rng), some_lens(rng)
        self._clock = rng.randrange(10**6)
        self._mirrored = rng.random() < 0.4  # they drive on the left
        self._every = rng.choice((0, 3, 4, 5, 6))  # sections from side street to side street
        self._first = rng.randrange(8)
        self._half_crossing_m = rng.uniform(4.0, 7.0)
        self._zebra_m, self._signals = rng.choice((0.0, 3.0, 3.5)), rng.random() < 0.65
        self._tree_gap_m = rng.choice((0.0, 8.0, 12.0))
        self._avenue_trees = rng.sample(catalog.plants.trees, 2)
        self._lamp = rng.choice(catalog.furniture.lamps)
        self._border = rng.choices(BORDERS, (2, 4, 3))[0]
        self.ground = some_ground(rng, self.plan, catalog.surfaces)
        self._eye_m, self._focal = rng.uniform(1.2, 2.1), rng.uniform(1.15, 2.4)
        self._tilt, self._roll, self._aside = rng.gauss(-0.01, 0.03), rng.gauss(0, 0.008), rng.gauss(0, 0.04)
        self._start = (rng if catalog.town is None else Random(f"start {seed}")).uniform(0, 8 * CELL_M)
        self.traffic = Traffic(catalog, self.plan, seed, self._start)
        self._sections: dict[int, Stage] = {}

    def scene(self, time_s: float = 0.0) -> Scene:
        """Returns what the camera sees at a time."""
        plan = self.plan
        z = self._start + self.traffic.own_speed * time_s
        along = plan.lane(self.traffic.own_lane)
        x, yaw = plan.middle(z) + along, plan.yaw(z) + self._aside
        stage = Stage()
        first, last = math.floor((z - BEHIND_M) / CELL_M), math.floor((z + AHEAD_M) / CELL_M)
        for k in range(first, last + 1):
            if k not in self._sections:
                self._sections[k] = self._section(k)
            stage.extend(self._sections[k])
        self._backdrop(stage, z + AHEAD_M + 14)
        self.traffic.add_to(stage, z, time_s, [k for k in range(first - 1, last + 2) if self._is_crossing(k)])
        pitch = self._tilt + 0.0025 * math.sin(7.0 * time_s) + 0.0015 * math.sin(17.0 * time_s)  # it drives over bumps
        camera = np.array([x, self._eye_m, z, *_rotation(yaw, pitch, self._roll).ravel(), self._focal, 0.0, 0.0])
        ground = self.ground._replace(crossings=self._crossings(z))
        scene = Scene(*stage.arrays((x, z)), camera, self.light, ground, self.lens, self._clock + round(25 * time_s))
        return mirror(scene) if self._mirrored else scene

    def _is_crossing(self, k: int) -> bool:
        return self._every > 0 and (k + self._first) % self._every == 0

    def _crossings(self, z: float) -> Float32Array:
        """Returns the side streets that may be seen from z, see `Ground.crossings`."""
        first, last = math.floor((z - TABLE_BEHIND_M) / CELL_M) - 1, math.floor((z + TABLE_AHEAD_M) / CELL_M) + 1
        middles = [(k + 0.5) * CELL_M for k in range(first, last + 1) if self._is_crossing(k)]
        return np.array([(middle - self._half_crossing_m, middle + self._half_crossing_m, self._zebra_m, self._signals)
                         for middle in middles], np.float32).reshape(-1, 4)

    def _section(self, k: int) -> Stage:
        """Puts up what stands along one section."""
        stage = Stage()
        for side, sign in ((self.plan.right, 1), (self.plan.left, -1)):
            place = Place(side, sign, k * CELL_M, Random(f"section {self.seed} {k} {sign}"))
            if self._is_crossing(k):
                self._corner(stage, place)
            else:
                self._front(stage, place)
                self._kerbside(stage, place)
        return stage

    def _put(self, stage: Stage, place: Place, mesh: int, aside: float, along: float, *, labels: tuple[str, ...],
             turn: float = 0.0, scale: tuple[float, float, float] = (1, 1, 1), tints: tuple[Bgr, Bgr] | None = None) -> None:
        """Puts an object `aside` from the street's middle and `along` the section; yaw 0 fits the right-hand side."""
        z = place.begin + along
        yaw = self.plan.yaw(z) + turn + (math.pi if place.sign < 0 else 0.0)
        shade = place.rng.choice(MUTED)
        stage.add(mesh, self.plan.middle(z) + place.sign * aside, z, yaw, labels=labels, scale=scale,
                  tints=tints or (shade, shade))

    def _front(self, stage: Stage, place: Place) -> None:
        """Puts up houses or what there is instead: walls, fences, parks."""
        rng, side, kind, plants = place.rng, place.side, self.plan.kind, self.catalog.plants
        weights = {"city": (80, 8, 6, 6), "homes": (76, 14, 5, 5), "park": (25, 50, 12, 13), "arterial": (40, 18, 20, 22)}[kind]
        use = rng.choices(("houses", "green", "wall", "fence"), weights)[0]
        if use == "houses":
            self._houses(stage, place, side.front)
            if side.front - side.pavement > 2.2:
                if rng.random() < 0.75:
                    border = self._border if rng.random() < 0.7 else rng.choice(BORDERS)
                    self._border_line(stage, place, border, side.pavement + 0.2)
                for _ in range(rng.randrange(4)):
                    self._plant(stage, place, rng.choice(plants.bushes), rng.uniform(side.pavement + 1, side.front - 0.8))
                if rng.random() < 0.4 and side.front - side.pavement > 4:
                    self._plant(stage, place, rng.choice(plants.trees), rng.uniform(side.pavement + 2, side.front - 1.5))
            return
        if use in ("wall", "fence") or rng.random() < 0.5:
            self._border_line(stage, place, use if use != "green" else rng.choice(BORDERS), side.pavement + 0.25)
        for _ in range(rng.randrange(2, 9) if use == "green" else rng.randrange(1, 5)):
            self._plant(stage, place, rng.choice(plants.trees), side.pavement + rng.uniform(2.0, 18.0))
        for _ in range(rng.randrange(5)):
            self._plant(stage, place, rng.choice(plants.bushes), side.pavement + rng.uniform(1.0, 9.0))
        if rng.random() < 0.55:
            self._houses(stage, place, side.pavement + rng.uniform(14, 30))
        else:  # woods close the view
            for j in range(5):
                self._plant(stage, place, rng.choice(plants.trees), side.pavement + rng.uniform(20, 26),
                            along=(j + 0.5) * CELL_M / 5, larger=1.5)

    def _houses(self, stage: Stage, place: Place, aside: float) -> None:
        rng, buildings = place.rng, self.catalog.buildings
        row = [rng.choice(buildings)]
        left = CELL_M - row[0].width_m
        if left > 6:
            row.append(min(rng.sample(buildings, 8), key=lambda building: abs(building.width_m - left)))
        fit = CELL_M / sum(building.width_m for building in row)
        along = 0.0
        for building in row:
            width = building.width_m * fit
            setback = rng.choice((0, 0, rng.uniform(0, 0.8)))
            self._put(stage, place, building.mesh, aside + setback, along + width / 2, labels=("building",),
                      scale=(1, rng.uniform(0.88, 1.2), fit), tints=(rng.choice(PLASTERS), rng.choice(TRIMS)))
            along += width

    def _plant(self, stage: Stage, place: Place, plant: Plant, aside: float, along: float | None = None,
               larger: float = 1.0) -> None:
        rng = place.rng
        size = rng.uniform(0.75, 1.25) * larger
        along = rng.uniform(0.5, CELL_M - 0.5) if along is None else along
        self._put(stage, place, plant.mesh, aside, along, labels=("vegetation",),
                  turn=rng.uniform(0, 6.28), scale=(size, size * rng.uniform(0.85, 1.15), size))

    def _border_line(self, stage: Stage, place: Place, what: str, aside: float) -> None:
        """Draws a wall, a fence or a hedge along the section, perhaps with a gap for a drive."""
        rng = place.rng
        furniture, plants = self.catalog.furniture, self.catalog.plants
        label = what
        if what == "hedge":
            hedge = rng.choice(plants.hedges)
            mesh, length, label = hedge.mesh, hedge.width_m, "vegetation"
        else:
            segment = rng.choice(furniture.walls if what == "wall" else furniture.fences)
            mesh, length = segment.mesh, segment.length_m
        count = max(2, round(CELL_M / length))
        gap = rng.randrange(count) if rng.random() < 0.35 else -1
        fit, height = CELL_M / count / length, rng.uniform(0.85, 1.35)
        tints = (rng.choice(PLASTERS), rng.choice(TRIMS))
        for j in range(count):
            if j != gap:
                self._put(stage, place, mesh, aside, (j + 0.5) * CELL_M / count, labels=(label,), scale=(1, height, fit),
                          tints=tints)

    def _kerbside(self, stage: Stage, place: Place) -> None:
        """Puts up what stands between houses and road: trees, lamps, signs, bins, parked vehicles."""
        rng, side, furniture = place.rng, place.side, self.catalog.furniture
        verge_middle = (side.parking + side.verge) / 2 if side.verge > side.parking else side.parking + 0.9
        if self._tree_gap_m and side.pavement - side.parking > 2.0:
            for j in range(int(CELL_M / self._tree_gap_m)):
                if rng.random() < 0.8:
                    self._plant(stage, place, rng.choice(self._avenue_trees), verge_middle, (j + 0.5) * self._tree_gap_m)
        near_kerb = side.parking + 0.45
        if rng.random() < 0.6:
            self._put(stage, place, self._lamp.mesh, near_kerb, rng.uniform(2, 22), labels=("pole",), turn=math.pi)
        for post in rng.sample(furniture.poles, rng.choice((0, 0, 1, 2))):
            self._put(stage, place, post.mesh, near_kerb + rng.choice((0, 0.3, 1.2)), rng.uniform(1, 23), labels=("pole",))
        for _ in range(rng.choice((0, 1, 1, 2))):
            toward = place.sign > 0 or rng.random() < 0.35
            sign, aside = rng.choice(furniture.signs), near_kerb + rng.choice((0, 0.2, 0.8))
            self._sign(stage, place, sign, aside, rng.uniform(1, 23), toward)
        for box in rng.sample(furniture.boxes, rng.choice((0, 0, 1))):
            self._put(stage, place, box.mesh, side.pavement - 0.5, rng.uniform(2, 22), labels=("static",))
        self.traffic.park(stage, place.side, place.sign, place.begin, rng)

    def _sign(self, stage: Stage, place: Place, post: Post, aside: float, along: float, toward: bool) -> None:
        faces_camera = place.sign > 0
        self._put(stage, place, post.mesh, aside, along, labels=("pole", "traffic light", "traffic sign", "static"),
                  turn=(0.0 if toward == faces_camera else math.pi) + place.rng.gauss(0, 0.12))

    def _corner(self, stage: Stage, place: Place) -> None:
        """Puts up what stands at a side street: signals, signs, and the houses that close its view."""
        rng, side, furniture = place.rng, place.side, self.catalog.furniture
        middle, half = CELL_M / 2, self._half_crossing_m
        near_kerb = side.parking + 0.6
        if self._signals:
            for along, toward in ((middle - half - 1.0, place.sign > 0), (middle + half + 1.0, place.sign < 0),
                                  (middle + half + 1.2, place.sign > 0)):
                hangs = toward == (place.sign > 0) and rng.random() < 0.3  # an arm reaches over the lanes
                if rng.random() < 0.9:
                    post = rng.choice(furniture.masts if hangs else furniture.lights)
                    self._sign(stage, place, post, near_kerb, along, toward)
        for _ in range(rng.choice((0, 1, 2))):
            sign, along = rng.choice(furniture.signs), middle + rng.choice((-1, 1)) * (half + rng.uniform(0.8, 3))
            self._sign(stage, place, sign, near_kerb, along, rng.random() < 0.7)
        for post in rng.sample(furniture.poles, 1):
            self._put(stage, place, post.mesh, near_kerb, middle + half + 2.4, labels=("pole",))
        building = rng.choice(self.catalog.buildings)
        self._put(stage, place, building.mesh, side.front + rng.uniform(26, 50), middle, labels=("building",),
                  scale=(1, 1.1, max(1.0, 26 / building.width_m)), tints=(rng.choice(PLASTERS), rng.choice(TRIMS)))
        for _ in range(3):
            self._plant(stage, place, rng.choice(self.catalog.plants.trees), side.front + rng.uniform(10, 26),
                        middle + rng.choice((-1, 1)) * (half + 1.5))

    def _backdrop(self, stage: Stage, z: float) -> None:
        """Closes the view far ahead, with woods or houses."""
        rng = Random(f"backdrop {self.seed}")
        wooded = rng.random() < (0.3 if self.plan.kind == "city" else 0.6)
        for j in range(-9, 10):
            if wooded:
                plant, size = rng.choice(self.catalog.plants.trees), rng.uniform(1.0, 1.8)
                stage.add(plant.mesh, j * 7.0, z, rng.uniform(0, 6), labels=("vegetation",), scale=(size * 1.3, size, size))
            else:
                building = rng.choice(self.catalog.buildings)
                stage.add(building.mesh, j * 12.0, z, -math.pi / 2, labels=("building",), scale=(1, rng.uniform(0.8, 1.3), 1),
                          tints=(rng.choice(PLASTERS), rng.choice(TRIMS)))


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Returns the rotation (3, 3) from the world to a camera that looks along `yaw`, `pitch` upwards."""
    sy, cy, sp, cp, sr, cr = (f(a) for a in (yaw, pitch, roll) for f in (math.sin, math.cos))
    ahead = np.array([sy * cp, sp, cy * cp])
    right = np.array([cy, 0.0, -sy])
    up = np.cross(ahead, right)
    return np.stack([cr * right + sr * up, cr * up - sr * right, ahead])


def mirror(scene: Scene) -> Scene:
    """Returns the scene with left and right exchanged."""
    placement, camera = scene.placement.copy(), scene.camera.copy()
    placement[:, [0, 3, 5]] *= -1  # position, sine of the yaw, scale
    camera[0] *= -1
    turned = camera[3:12].reshape(3, 3)
    turned[0, 1:] *= -1
    turned[1:, 0] *= -1
    return replace(scene, placement=placement, camera=camera, ground=scene.ground.mirrored())
