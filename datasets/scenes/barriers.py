"""Walls and fences: segments that run along z, centred on the origin; walls are solid, fences two-sided cards."""

from dataclasses import dataclass

import numpy as np

from datasets.scenes.canvas import Canvas, gray, times
from datasets.scenes.facades import BRICKS, STONES, Material, bare_wall
from datasets.scenes.parts import PLAIN, TINT_1, TINT_2, Bgr, Library, MeshBuilder, Texel

THICK_M = 0.25  # of walls
# material, length and height [m], whether graffiti is on it
WALLS: tuple[tuple[Material, float, float, bool], ...] = (
    (Material("brick", BRICKS[0]), 5.0, 1.2, False), (Material("brick", BRICKS[2]), 6.0, 1.9, False),
    (Material("brick", BRICKS[1]), 5.0, 2.4, False), (Material("stone", STONES[0]), 5.0, 1.1, False),
    (Material("stone", STONES[2]), 6.0, 2.2, False), (Material("panel", (138, 142, 144)), 5.0, 1.0, False),
    (Material("panel", (146, 150, 152)), 6.0, 2.5, True), (Material("plaster", (214, 216, 216), TINT_1), 6.0, 2.0, False),
    (Material("plaster", (200, 204, 206), TINT_1), 5.0, 0.9, False), (Material("plaster", (160, 164, 168)), 6.0, 2.2, True))


@dataclass(frozen=True)
class Segment:
    """A piece of wall or fence along z."""

    mesh: int
    length_m: float
    height_m: float


def add_walls(library: Library, rng: np.random.Generator) -> tuple[Segment, ...]:
    """Adds walls, part 0, each with its coping."""
    walls = []
    for material, length, height, sprayed in WALLS:
        canvas = bare_wall(rng, material, length, height)
        for _ in range(int(rng.integers(3, 8)) if sprayed else 0):
            tall = height * rng.uniform(0.2, 0.5)
            canvas.scribble(rng, rng.uniform(0, length - 1.5), height * rng.uniform(0.35, 0.5), rng.uniform(0.8, 2.2), tall,
                            Texel(gray(rng.uniform(40, 190), rng, 45)))
        canvas.shade(0, height * 0.5, length, height * 0.5, 1, 0.66).shade(0, 0.0, length, 0.14, 0.6, 0.95)
        side = library.add_texture(canvas.texture())
        cap = library.add_texture(Canvas(2, 0.3, 24, gray(rng.uniform(120, 165), rng, 4)).weather(rng, 0.07, 0.1).texture())
        half, near, far = THICK_M / 2, -length / 2, length / 2
        builder = MeshBuilder()
        for x, z0, z1 in ((-half, far, near), (half, near, far)):
            builder.quad(((x, height, z0), (x, height, z1), (x, 0, z1), (x, 0, z0)), side)
        end = (0.2, 0, 0.2 + THICK_M / length, 1)
        builder.quad(((-half, height, near), (half, height, near), (half, 0, near), (-half, 0, near)), side, uv=end)
        builder.quad(((half, height, far), (-half, height, far), (-half, 0, far), (half, 0, far)), side, uv=end)
        builder.box((-half - 0.05, height, near), (half + 0.05, height + 0.09, far), cap, bottom=True)
        walls.append(Segment(library.add_mesh(builder.build()), length, height + 0.09))
    return tuple(walls)


def add_fences(library: Library, rng: np.random.Generator) -> tuple[Segment, ...]:
    """Adds fences, part 0. Bars are drawn thick enough to stay, on the whole, where they are seen from afar."""
    painted = [_planks(rng, 1.7, (78, 96, 112)), _planks(rng, 1.9, (96, 106, 112)), _planks(rng, 1.0, (206, 210, 212)),
               _bars(rng, 1.2, gray(42)), _bars(rng, 1.9, (40, 52, 38)), _bars(rng, 1.1, gray(138)), _bars(rng, 1.0, gray(66)),
               _mesh(rng, 1.8, (96, 104, 98)), _mesh(rng, 1.3, (58, 84, 58)), _hoarding(rng), _hoarding(rng)]
    fences = [_fence(library, canvas) for canvas in painted]
    return (*fences, _guard_rail(library, rng))


def _fence(library: Library, canvas: Canvas) -> Segment:
    canvas.shade(0, canvas.height_m * 0.55, canvas.width_m, canvas.height_m * 0.45, 1, 0.72)
    half, height = canvas.width_m / 2, canvas.height_m
    builder = MeshBuilder().quad(((0, height, half), (0, height, -half), (0, 0, -half), (0, 0, half)),
                                 library.add_texture(canvas.texture()))
    return Segment(library.add_mesh(builder.build(two_sided=True)), canvas.width_m, height)


def _planks(rng: np.random.Generator, height: float, color: Bgr) -> Canvas:
    length, plank = 4.0, float(rng.choice([0.1, 0.125, 0.16]))
    canvas = Canvas(length, height, 40)
    for y in (0.25, height - 0.4):
        canvas.rect(0, y, length, 0.1, Texel(times(color, 0.6)))
    for x in np.arange(0, length - 0.01, plank):
        top = rng.uniform(0, 0.03)
        canvas.rect(x + 0.012, top, plank - 0.022, height, Texel(times(color, rng.uniform(0.8, 1.15))))
    for x in (0.0, length / 2):
        canvas.rect(x, 0, 0.12, height, Texel(times(color, 0.85))).shade(x + 0.12, 0, 0.03, height, 0.6)
    return canvas.weather(rng, 0.04, 0.1)


def _bars(rng: np.random.Generator, height: float, color: Bgr) -> Canvas:
    length = 4.0
    canvas = Canvas(length, height, 44)
    for x in np.arange(0.0, length - 0.01, 0.125):
        canvas.rect(x, 0.04, 0.065, height, Texel(times(color, rng.uniform(0.85, 1.1))))
    for y in (0.08, height - 0.24):
        canvas.rect(0, y, length, 0.08, Texel(times(color, 1.15)))
    for x in (0.0, length / 2):
        canvas.rect(x, 0, 0.1, height, Texel(times(color, 1.05)))
    return canvas.weather(rng, 0.06)


def _mesh(rng: np.random.Generator, height: float, color: Bgr) -> Canvas:
    length = 4.0
    canvas = Canvas(length, height, 40)
    for x in np.arange(-height, length, 0.15):
        for turn in (0.0, height):
            canvas.line([(x + turn, 0), (x + height - turn, height)], 0.03, Texel(times(color, rng.uniform(0.9, 1.25))))
    canvas.rect(0, 0, length, 0.06, Texel(times(color, 1.1))).rect(0, height - 0.05, length, 0.05, Texel(times(color, 0.8)))
    for x in (0.0, length / 2):
        canvas.rect(x, 0, 0.09, height, Texel(times(color, 1.15)))
    return canvas


def _hoarding(rng: np.random.Generator) -> Canvas:
    """Paints boards around a building site, with posters."""
    length, height, code = 5.0, 2.1, int(rng.choice([PLAIN, TINT_2]))
    canvas = Canvas(length, height, 40, Texel(gray(rng.uniform(165, 205), rng, 4), code))
    for x in np.arange(0, length, 1.25):
        canvas.rect(x, 0, 0.05, height, Texel(gray(95)))
    for _ in range(int(rng.integers(1, 5))):
        x, y, wide = rng.uniform(0.1, 3.8), rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.1)
        canvas.rect(x, y, wide, wide * 0.8, Texel(gray(rng.uniform(70, 205), rng, 28)))
        canvas.scribble(rng, x + 0.06, y + 0.1, wide - 0.1, 0.14, Texel(gray(rng.choice([50, 220]), rng, 8)))
    return canvas.weather(rng, 0.04, 0.12)


def _guard_rail(library: Library, rng: np.random.Generator) -> Segment:
    canvas = Canvas(4, 0.34, 40, gray(158))
    for y, light in ((0.0, 1.1), (0.06, 0.75), (0.12, 0.6), (0.18, 1.05), (0.24, 0.9), (0.3, 0.6)):
        canvas.shade(0, y, 4, 0.06, light)
    rail = library.add_texture(canvas.weather(rng, 0.05, 0.15).texture())
    post = library.add_texture(Canvas(0.2, 0.8, 40, gray(120)).weather(rng, 0.06).texture())
    builder = MeshBuilder().box((-0.09, 0.42, -2), (-0.03, 0.76, 2), rail, bottom=True)
    for z in (-1.6, 0.0, 1.6):
        builder.box((-0.03, 0, z), (0.09, 0.72, z + 0.12), post)
    return Segment(library.add_mesh(builder.build()), 4.0, 0.76)
