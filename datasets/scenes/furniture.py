"""Street furniture: lamps, poles, traffic lights, signs, walls, fences, and boxes of all kinds.

Parts: 0 is the pole (or the wall, the fence, the box), 1 a traffic light's head, 2 a sign's face, 3 its back. Signs and
lights face -z, towards a camera that looks along +z. Lamps reach out to +x, masts with a signal above the road to -x.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datasets.scenes import signs
from datasets.scenes.barriers import Segment, add_fences, add_walls
from datasets.scenes.canvas import Canvas, gray
from datasets.scenes.parts import GLASS, TINT_2, Bgr, Library, MeshBuilder, Texel

SIGNAL, FACE, BACK = 1, 2, 3  # parts
VEHICLE, WALKER = ("red", "amber", "green"), ("red", "green")  # lamps of a signal head


@dataclass(frozen=True)
class Post:
    """What stands on one foot."""

    mesh: int
    height_m: float


@dataclass(frozen=True)
class Furniture:
    """All street furniture, by kind; masts are traffic lights whose arm reaches out over the road, to -x."""

    lamps: tuple[Post, ...]
    poles: tuple[Post, ...]
    lights: tuple[Post, ...]
    masts: tuple[Post, ...]
    signs: tuple[Post, ...]
    walls: tuple[Segment, ...]
    fences: tuple[Segment, ...]
    boxes: tuple[Post, ...]


def add_furniture(library: Library, rng: np.random.Generator) -> Furniture:
    """Adds all furniture's textures and meshes to a library."""
    metals = [_metal(library, rng, color) for color in (gray(128), gray(92), (52, 58, 48), gray(44), (150, 152, 150))]
    lights, masts = _add_lights(library, rng, metals)
    return Furniture(_add_lamps(library, rng, metals), _add_poles(library, rng, metals), lights, masts,
                     _add_signs(library, rng, metals), add_walls(library, rng), add_fences(library, rng),
                     _add_boxes(library, rng))


def _metal(library: Library, rng: np.random.Generator, color: Bgr) -> int:
    return library.add_texture(Canvas(0.4, 2, 32, color).weather(rng, 0.07, 0.15).texture())


def tube(builder: MeshBuilder, start: npt.ArrayLike, end: npt.ArrayLike, radius: float, end_radius: float, texture: int,
         part: int = 0, sides: int = 6) -> MeshBuilder:
    """Adds a tapered tube from `start` to `end` without caps."""
    low, high = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (high - low) / np.linalg.norm(high - low)
    across = np.cross(axis, (0, 0, 1) if abs(axis[2]) < 0.9 else (1, 0, 0))
    first = across / np.linalg.norm(across)
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    ring = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * np.cross(first, axis)
    for k in range(sides):
        builder.quad((high + end_radius * ring[k], high + end_radius * ring[k + 1], low + radius * ring[k + 1],
                      low + radius * ring[k]), texture, part, uv=(k / sides, 0, (k + 1) / sides, 1))
    return builder


def _add_lamps(library: Library, rng: np.random.Generator, metals: list[int]) -> tuple[Post, ...]:
    head = library.add_texture(Canvas(0.8, 0.3, 40, gray(150)).shade(0, 0, 0.8, 0.3, 1, 0.8).texture())
    lens = library.add_texture(Canvas(0.6, 0.3, 40, (212, 220, 222)).texture())
    lamps = []
    for kind, height, reach in (("arm", 8.0, 1.6), ("arm", 9.5, 2.2), ("arm", 7.0, 0.9), ("curve", 8.5, 1.8), ("curve", 7.5, 1.2),
                                ("ball", 4.2, 0), ("lantern", 4.6, 0), ("double", 9.0, 1.5)):
        metal = metals[rng.integers(len(metals))]
        builder = tube(MeshBuilder(), (0, 0, 0), (0, 1.2, 0), 0.12, 0.1, metal)  # foot
        tube(builder, (0, 1.2, 0), (0, height, 0), 0.085, 0.06, metal)
        for side in (1, -1) if kind == "double" else (1,):
            if kind in ("arm", "double"):
                tip = side * reach, height + 0.12 * reach
                tube(builder, (0, height - 0.05, 0), (*tip, 0), 0.05, 0.04, metal, sides=4)
            elif kind == "curve":
                knee, tip = (reach * 0.35, height + 0.55), (reach, height + 0.7)
                tube(builder, (0, height, 0), (*knee, 0), 0.06, 0.05, metal, sides=4)
                tube(builder, (*knee, 0), (*tip, 0), 0.05, 0.045, metal, sides=4)
            else:
                break
            low, high = sorted((tip[0] - side * 0.1, tip[0] + side * 0.65))
            builder.box((low, tip[1] - 0.09, -0.16), (high, tip[1] + 0.07, 0.16), head, bottom=True)
        if kind == "ball":
            for y0, y1, r0, r1 in ((0, 0.12, 0.1, 0.25), (0.12, 0.32, 0.25, 0.25), (0.32, 0.5, 0.25, 0.06)):
                tube(builder, (0, height + y0, 0), (0, height + y1, 0), r0, r1, lens, sides=8)
        elif kind == "lantern":
            tube(builder, (0, height, 0), (0, height + 0.5, 0), 0.13, 0.24, lens, sides=4)
            tube(builder, (0, height + 0.5, 0), (0, height + 0.75, 0), 0.3, 0.02, metal, sides=4)
        lamps.append(Post(library.add_mesh(builder.build()), height))
    return tuple(lamps)


def _add_poles(library: Library, rng: np.random.Generator, metals: list[int]) -> tuple[Post, ...]:
    banded = Canvas(0.4, 1, 60, gray(48))
    for y in (0.08, 0.28):
        banded.rect(0, y, 0.4, 0.08, (206, 206, 206))
    striped = Canvas(0.4, 1, 60, (216, 216, 216))
    for y in (0.0, 0.4, 0.8):
        striped.rect(0, y, 0.4, 0.2, (44, 40, 160))
    bands = [library.add_texture(canvas.weather(rng, 0.05).texture()) for canvas in (banded, striped)]
    wood = _metal(library, rng, (72, 86, 98))
    poles = []
    for height, radius, texture in ((1.0, 0.07, bands[0]), (0.95, 0.1, metals[3]), (1.1, 0.06, bands[1]), (1.0, 0.08, metals[1]),
                                    (3.2, 0.05, metals[0]), (4.5, 0.07, metals[4]), (8.0, 0.13, wood), (7.0, 0.12, metals[1])):
        builder = tube(MeshBuilder(), (0, 0, 0), (0, height, 0), radius, radius * (0.75 if height > 4 else 1), texture)
        if height < 2:
            tube(builder, (0, height, 0), (0, height + 0.07, 0), radius, 0.01, texture)
        if texture == wood:  # a telegraph pole
            builder.box((-0.9, height - 0.6, -0.06), (0.9, height - 0.46, 0.06), wood, bottom=True)
        elif height > 4:
            builder.box((-0.18, height, -0.15), (0.18, height + 0.35, 0.15), metals[4], bottom=True)
        poles.append(Post(library.add_mesh(builder.build()), height))
    return tuple(poles)


def _head(builder: MeshBuilder, x: float, bottom: float, front: int, lamps: int, case: int, board: bool) -> None:
    """Adds a signal head at x with its front towards -z, and a hood above each lamp."""
    high = 0.31 * lamps
    z = -0.12
    if board:
        builder.box((x - 0.3, bottom - 0.12, z + 0.18), (x + 0.3, bottom + high + 0.12, z + 0.2), case, bottom=True, part=SIGNAL)
    builder.box((x - 0.16, bottom, z - 0.2), (x + 0.16, bottom + high, z + 0.05), case, back=front, bottom=True, part=SIGNAL)
    for lamp in range(lamps):
        y = bottom + 0.31 * lamp + 0.29
        builder.box((x - 0.13, y - 0.03, z - 0.4), (x + 0.13, y, z - 0.2), case, bottom=True, part=SIGNAL)


def _add_lights(library: Library, rng: np.random.Generator, metals: list[int]) -> tuple[tuple[Post, ...], tuple[Post, ...]]:
    case = library.add_texture(Canvas(0.3, 0.9, 32, gray(38)).weather(rng, 0.06).texture())
    fronts = [library.add_texture(signs.signal(VEHICLE, lit)) for lit in ("red", "green", "amber")]
    walkers = [library.add_texture(signs.signal(WALKER, lit)) for lit in WALKER]
    lights, masts = [], []
    for front, height in ((0, 3.3), (1, 3.3), (0, 3.6), (1, 3.5), (2, 3.3), (0, 3.4)):
        metal = metals[(1, 3, 0)[rng.integers(3)]]
        builder = tube(MeshBuilder(), (0, 0, 0), (0, height - 0.1, 0), 0.07, 0.06, metal)
        _head(builder, 0, height - 0.95, fronts[front], 3, case, bool(rng.random() < 0.5))
        if rng.random() < 0.5:
            _head(builder, 0.34, height - 1.6, walkers[front % 2], 2, case, False)
        lights.append(Post(library.add_mesh(builder.build()), height))
    for walker in walkers:
        builder = tube(MeshBuilder(), (0, 0, 0), (0, 2.9, 0), 0.06, 0.06, metals[1])
        _head(builder, 0, 2.2, walker, 2, case, False)
        lights.append(Post(library.add_mesh(builder.build()), 2.9))
    for front, reach in ((0, 4.0), (1, 4.5), (0, 5.5)):
        builder = tube(MeshBuilder(), (0, 0, 0), (0, 6.0, 0), 0.12, 0.09, metals[0])
        tube(builder, (0, 5.8, 0), (-reach, 6.0, 0), 0.07, 0.05, metals[0])
        _head(builder, -reach + 0.2, 5.1, fronts[front], 3, case, True)
        _head(builder, 0, 2.4, fronts[front], 3, case, False)
        masts.append(Post(library.add_mesh(builder.build()), 6.0))
    return tuple(lights), tuple(masts)


def _add_signs(library: Library, rng: np.random.Generator, metals: list[int]) -> tuple[Post, ...]:
    plates = signs.plates(rng)
    rectangle = library.add_texture(Canvas(0.5, 0.5, 24, gray(116)).weather(rng, 0.05).texture())
    faces = [library.add_texture(plate.texture) for plate in plates]
    backs = [library.add_texture(signs.back_of(plate)) if signs.outlined(plate.texture) else rectangle for plate in plates]
    small = [index for index, plate in enumerate(plates) if plate.width_m <= 0.9]
    posts = []
    for first in range(len(plates)):
        chosen = [first]
        if first in small and rng.random() < 0.35:
            chosen.append(int(rng.choice(small)))
        bottom = rng.uniform(1.9, 2.4) if first in small else rng.uniform(1.1, 2.6)
        top = bottom + sum(plates[index].height_m + 0.04 for index in chosen)
        builder, metal = MeshBuilder(), metals[(0, 4, 1)[rng.integers(3)]]
        wide = plates[first].width_m
        for x in (-wide * 0.35, wide * 0.35) if wide > 1.2 else (0.0,):
            tube(builder, (x, 0, 0), (x, top - 0.03, 0), 0.04, 0.04, metal)
        for index in reversed(chosen):  # from the lowest up
            half, high = plates[index].width_m / 2, bottom + plates[index].height_m
            for z, x, texture, part in ((-0.06, -half, faces[index], FACE), (-0.05, half, backs[index], BACK)):
                builder.quad(((x, high, z), (-x, high, z), (-x, bottom, z), (x, bottom, z)), texture, part)
            bottom = high + 0.04
        posts.append(Post(library.add_mesh(builder.build()), top))
    return tuple(posts)


def _add_boxes(library: Library, rng: np.random.Generator) -> tuple[Post, ...]:
    def plain(width: float, height: float, paint: Bgr | Texel) -> Canvas:
        return Canvas(width, height, 40, paint).shade(0, height * 0.7, width, height * 0.3, 1, 0.7).weather(rng, 0.05, 0.12)

    def poster(width: float, height: float) -> Canvas:
        canvas = plain(width, height, gray(rng.uniform(70, 190), rng, 16))
        canvas.rect(width * 0.1, height * 0.3, width * 0.5, height * 0.5, gray(rng.uniform(60, 200), rng, 22))
        return canvas.scribble(rng, width * 0.1, height * 0.1, width * 0.8, height * 0.1, Texel(gray(225)))

    def boxed(canvas: Canvas, deep: float, front: Canvas | None = None) -> Post:
        half, side = canvas.width_m / 2, library.add_texture(canvas.texture())
        face = side if front is None else library.add_texture(front.texture())
        builder = MeshBuilder().box((-deep / 2, 0, -half), (deep / 2, canvas.height_m, half), side, front=face, back=face)
        return Post(library.add_mesh(builder.build()), canvas.height_m)

    def round_box(canvas: Canvas, roof: float) -> Post:
        radius, side = canvas.width_m / 2 / np.pi, library.add_texture(canvas.texture())
        lid = library.add_texture(Canvas(0.5, 0.5, 24, gray(70)).texture())
        builder = tube(MeshBuilder(), (0, 0, 0), (0, canvas.height_m, 0), radius, radius, side, sides=8)
        tube(builder, (0, canvas.height_m, 0), (0, canvas.height_m + roof, 0), radius * 1.1, 0.01, lid, sides=8)
        return Post(library.add_mesh(builder.build()), canvas.height_m + roof)

    column = plain(3.8, 3.0, gray(120))
    for x in (0.1, 1.0, 1.9, 2.8):
        column.rect(x, 0.5, 0.8, 1.9, gray(rng.uniform(70, 200), rng, 20))
        column.scribble(rng, x + 0.08, 0.7, 0.65, 0.2, gray(225)).shade(x, 1.5, 0.8, 0.6, rng.uniform(0.5, 0.9))
    cabinet = plain(1.1, 1.25, (122, 132, 128))
    cabinet.shade(0.53, 0.05, 0.03, 1.15, 0.6)
    shelter = MeshBuilder()
    frame = library.add_texture(plain(1, 1, gray(72)).texture())
    glass = library.add_texture(Canvas(3.4, 2.1, 24, Texel((92, 92, 88), GLASS)).rect(1.1, 0, 0.06, 2.1, Texel(gray(70)))
                                .rect(2.2, 0, 0.06, 2.1, Texel(gray(70))).rect(0, 1.5, 3.4, 0.3, Texel(gray(62))).texture())
    lit = library.add_texture(poster(1.3, 2.1).texture())
    shelter.box((-0.7, 2.25, -1.8), (0.8, 2.4, 1.8), frame, bottom=True)
    shelter.box((0.6, 0.1, -1.7), (0.64, 2.25, 1.7), glass)
    shelter.box((-0.6, 0.1, 1.62), (0.6, 2.25, 1.74), frame, front=lit, back=lit)
    tube(shelter, (-0.6, 0, -1.6), (-0.6, 2.25, -1.6), 0.04, 0.04, frame)
    return (round_box(plain(1.35, 0.85, (58, 74, 52)), 0.1), round_box(plain(1.2, 0.95, gray(52)), 0.06), round_box(column, 0.5),
            boxed(plain(0.55, 1.05, (70, 84, 60)), 0.6), boxed(cabinet, 0.4),
            boxed(plain(0.6, 0.95, Texel(gray(176), TINT_2)), 0.4), boxed(plain(0.5, 1.4, (36, 34, 150)), 0.5),
            boxed(plain(0.25, 1.9, gray(64)), 1.2, poster(1.2, 1.9)), boxed(plain(1.0, 2.3, (66, 60, 56)), 1.0, poster(1.0, 2.3)),
            Post(library.add_mesh(shelter.build()), 2.4))
