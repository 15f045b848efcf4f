"""Buildings: boxes with facades, roofs, and what juts out of them.

A building's front is in the plane x = 0 and faces -x, as on the right-hand side of a street at yaw 0; from it the
building reaches to x = depth, and along z from -width / 2 to width / 2. Awnings, balconies and signs jut out to about
x = -1.4. All of it is part 0.
"""

from dataclasses import dataclass

import numpy as np

from datasets.scenes import facades, shops
from datasets.scenes.canvas import Canvas, gray
from datasets.scenes.facades import BAYS, BRICKS, FLOORS, FRAMES, STONES, SURFACE_M, Material, Style
from datasets.scenes.parts import PLAIN, TINT_1, TINT_2, Library, MeshBuilder, Texel, UInt8Array
from datasets.scenes.roofs import ROOFS, Block, Skin, case, front_face
from datasets.scenes.shops import GROUND_M

PLASTER = Material("plaster", (222, 224, 224), TINT_1)
CONCRETE = Material("panel", (142, 146, 148))
# wall, bay and floor height [m], window [m], layout, surround, band, roofs, ground floors; what a street may consist of
KINDS: tuple[tuple[Material, float, float, tuple[float, float], str, str, bool, str, str], ...] = (
    (PLASTER, 2.9, 3.0, (1.15, 1.6), "casement", "none", False, "gable flat", "homes shops"),
    (PLASTER, 2.7, 3.4, (1.1, 1.9), "casement", "frame", True, "mansard gable", "shops homes"),
    (PLASTER, 2.8, 3.3, (1.05, 1.8), "casement", "gable", True, "mansard flat", "shops shops"),
    (PLASTER, 3.2, 2.8, (1.5, 1.4), "casement", "none", False, "flat gable", "homes homes"),
    (PLASTER, 2.6, 2.7, (1.0, 1.3), "grid", "none", False, "front gable", "homes homes"),
    (PLASTER, 2.8, 2.9, (1.0, 1.65), "sash", "lintel", False, "gable front", "shops shops"),
    (Material("brick", BRICKS[0]), 2.8, 3.0, (1.05, 1.6), "sash", "lintel", False, "gable flat", "homes shops"),
    (Material("brick", BRICKS[1]), 2.9, 3.2, (1.1, 1.75), "sash", "arch", True, "flat gable", "shops shops"),
    (Material("brick", BRICKS[2]), 2.7, 3.0, (1.0, 1.6), "sash", "lintel", False, "gable front", "homes shops"),
    (Material("brick", BRICKS[3]), 2.9, 2.9, (1.1, 1.6), "grid", "lintel", False, "flat gable", "shops homes"),
    (Material("brick", BRICKS[4]), 3.3, 2.7, (1.8, 1.25), "casement", "none", False, "gable flat", "garages homes"),
    (Material("brick", BRICKS[5]), 3.0, 3.1, (1.3, 1.7), "single", "none", True, "flat flat", "lobby shops"),
    (Material("stone", STONES[0]), 2.8, 3.5, (1.1, 2.0), "casement", "gable", True, "mansard gable", "shops shops"),
    (Material("stone", STONES[1]), 2.9, 3.4, (1.1, 1.9), "casement", "frame", True, "mansard flat", "shops homes"),
    (Material("stone", STONES[2]), 3.0, 3.0, (1.0, 1.6), "grid", "lintel", False, "gable front", "homes homes"),
    (CONCRETE, 3.0, 3.2, (0, 0), "ribbon", "none", False, "flat flat", "lobby lobby"),
    (Material("brick", BRICKS[2]), 3.2, 3.2, (0, 0), "ribbon", "none", False, "flat flat", "shops shops"),
    (Material("panel", (96, 94, 92)), 2.9, 3.4, (0, 0), "ribbon", "none", False, "flat flat", "lobby lobby"),
)
TILES = ((58, 72, 108), (52, 62, 84), (78, 78, 82), (62, 64, 70), (66, 92, 122))
HEIGHTS = {"front": (1, 2), "gable": (1, 4), "mansard": (3, 5), "flat": (2, 6)}  # storeys above the ground floor, by roof


@dataclass(frozen=True)
class Building:
    """A building's mesh, with its size to the eaves or the parapet."""

    mesh: int
    width_m: float
    depth_m: float
    height_m: float


def add_buildings(library: Library, rng: np.random.Generator) -> tuple[Building, ...]:
    """Adds all buildings' textures and meshes to a library, two of each kind of facade."""
    roofs = [library.add_texture(facades.roof(rng, color, row)) for color in TILES for row in (rng.uniform(0.2, 0.3),)]
    trims = [library.add_texture(_plain(rng, value)) for value in (182.0, 148.0, 112.0)]
    railings = [library.add_texture(facades.railing(rng)) for _ in range(3)]
    awnings = [library.add_texture(_awning(rng, striped)) for striped in (False, True)]
    boards = [library.add_texture(_board(rng)) for _ in range(5)]
    flat = library.add_texture(_plain(rng, 92.0))
    buildings = []
    for wall, bay_m, floor_m, window_m, layout, surround, band, roof_kinds, uses in KINDS:
        trim = gray(rng.uniform(140, 190), rng, 4) if wall.kind != "panel" else gray(120, rng, 4)
        frame = FRAMES[rng.integers(2 if layout in ("sash", "grid") else len(FRAMES))]
        style = Style(wall, bay_m, floor_m, window_m, frame, trim, layout, surround, band)
        ribbon, bare = layout == "ribbon", facades.bare_wall(rng, wall, BAYS * bay_m, FLOORS * floor_m)
        surface = library.add_texture(facades.bare_wall(rng, wall, SURFACE_M, SURFACE_M, streaks=0.03).texture())
        storeys = library.add_texture(facades.office(rng, style, bare) if ribbon else facades.storeys(rng, style, bare))
        pane = storeys if ribbon else library.add_texture(facades.pane_texture(rng, style))
        for index, (roof_kind, use) in enumerate(zip(roof_kinds.split(), uses.split(), strict=True)):
            if index == 0 or use != uses.split()[0]:
                ground = library.add_texture(shops.ground_floor(rng, style, bare, use))
            skin = Skin(storeys, ground, surface, int(rng.choice(roofs)), trims[int(trim[1] < 160) + int(ribbon)], pane,
                        int(rng.choice(railings)), int(rng.choice(awnings)), int(rng.choice(boards)), flat)
            buildings.append(_building(library, rng, style, skin, roof_kind, use))
    return tuple(buildings)


def _plain(rng: np.random.Generator, value: float) -> UInt8Array:
    return Canvas(2, 2, 16, gray(value, rng, 3)).weather(rng, 0.04, 0.1).texture()


def _awning(rng: np.random.Generator, striped: bool) -> UInt8Array:
    canvas = Canvas(3, 1.2, 24, Texel((205, 205, 205), TINT_2))
    for x in np.arange(0, 3, 0.4) if striped else ():
        canvas.rect(x, 0, 0.2, 1.2, Texel((205, 210, 212)))
    return canvas.shade(0, 0, 3, 1.2, 1.1, 0.85).shade(0, 1.12, 3, 0.08, 0.7).weather(rng, 0.03, 0.1).texture()


def _board(rng: np.random.Generator) -> UInt8Array:
    canvas = Canvas(0.8, 0.9, 40, Texel(gray(rng.uniform(60, 210), rng, 20), TINT_2 if rng.random() < 0.5 else PLAIN))
    return canvas.scribble(rng, 0.08, 0.3, 0.7, 0.26, Texel(gray(rng.choice([40, 235]), rng))).texture()


def _building(library: Library, rng: np.random.Generator, style: Style, skin: Skin, roof: str, use: str) -> Building:
    low, high = HEIGHTS[roof]
    floors = int(rng.integers(low, high + 1))
    bays = int(rng.integers(3, 5 if roof == "front" else 9))
    bays = max(bays, int(np.ceil(8 / style.bay_m)))
    block = Block(bays, floors, bays * style.bay_m, rng.uniform(10, 14), GROUND_M + floors * style.floor_m)
    builder = MeshBuilder()
    _walls(builder, rng, block, skin, style)
    if use == "shops":
        _awnings(builder, rng, block, skin, style.bay_m)
    if style.layout != "ribbon":
        _juts(builder, rng, block, skin, style)
    ROOFS[roof](builder, rng, block, skin)
    return Building(library.add_mesh(builder.build()), block.width_m, block.depth_m, block.height_m)


def _walls(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin, style: Style) -> None:
    half, top, depth = block.width_m / 2, block.height_m, block.depth_m
    first, lowest = rng.integers(BAYS) / BAYS, int(rng.integers(FLOORS)) / FLOORS
    front_face(builder, 0, GROUND_M, top, -half, half, skin.storeys,
           (first, lowest, first + block.bays / BAYS, lowest + block.floors / FLOORS))
    front_face(builder, 0, 0, GROUND_M, -half, half, skin.ground, (first, 0, first + block.bays / BAYS, 1))
    bays = max(round(depth / style.bay_m), 1)
    windows = rng.random() < 0.5  # on the sides too, as of buildings that stand alone
    base, texture = (GROUND_M, skin.storeys) if windows else (0.0, skin.wall)
    uv = (0, 0, bays / BAYS, block.floors / FLOORS) if windows else (0, 0, depth / SURFACE_M, top / SURFACE_M)
    for x0, x1, z in ((0, depth, -half), (depth, 0, half)):
        builder.quad(((x0, top, z), (x1, top, z), (x1, base, z), (x0, base, z)), texture, uv=uv)
        if windows:
            builder.quad(((x0, base, z), (x1, base, z), (x1, 0, z), (x0, 0, z)), skin.wall,
                         uv=(0, 0, depth / SURFACE_M, base / SURFACE_M))
        elif style.layout != "ribbon" and rng.random() < 0.6:  # a few small windows
            x = depth * rng.uniform(0.2, 0.6) if x0 == 0 else depth * rng.uniform(0.3, 0.7)
            for y in np.arange(1.0, top - 2, style.floor_m) + GROUND_M:
                if y + 1.3 < top:
                    wide = 0.95 if x0 == 0 else -0.95
                    beside = z + 0.02 * np.sign(z)
                    builder.quad(((x, y + 1.3, beside), (x + wide, y + 1.3, beside), (x + wide, y, beside), (x, y, beside)),
                                 skin.pane)
    builder.quad(((depth, top, -half), (depth, top, half), (depth, 0, half), (depth, 0, -half)), skin.wall,
                 uv=(0, 0, block.width_m / SURFACE_M, top / SURFACE_M))


def _awnings(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin, bay_m: float) -> None:
    """Adds awnings above some shop windows and signs that hang across the pavement."""
    for bay in range(block.bays):
        near = -block.width_m / 2 + bay * bay_m
        if rng.random() < 0.3:
            far, out, low = near + bay_m - 0.15, -rng.uniform(0.8, 1.3), rng.uniform(2.35, 2.6)
            near += 0.15
            builder.quad(((0, 3.0, far), (0, 3.0, near), (out, low, near), (out, low, far)), skin.awning)
            builder.quad(((out, low, far), (out, low, near), (0, 3.0, near), (0, 3.0, far)), skin.awning)
            front_face(builder, out, low - 0.22, low, near, far, skin.awning, (0, 0.6, 1, 0.9))
        if rng.random() < 0.25:
            builder.box((-0.95, 3.0, near), (-0.2, 3.0 + rng.uniform(0.5, 0.9), near + 0.12), skin.board, bottom=True)


def _juts(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin, style: Style) -> None:
    """Adds balconies, or an oriel, in one or two of the bays."""
    kind = rng.choice(["none", "balconies", "oriel"], p=[0.5, 0.3, 0.2])
    if kind == "none" or block.floors < 2:
        return
    for bay in rng.choice(block.bays, min(2, block.bays), replace=False):
        near = -block.width_m / 2 + bay * style.bay_m + 0.3
        far = near + style.bay_m - 0.6
        if kind == "oriel":
            top = block.height_m - style.floor_m * 0.3
            case(builder, (-0.75, GROUND_M + 0.1, near), (0, top, far), skin.wall, skin.trim, bottom=True)
            share = (top - GROUND_M - 0.1) / style.floor_m / FLOORS
            front_face(builder, -0.77, GROUND_M + 0.1, top, near, far, skin.storeys,
                       (0.3 / style.bay_m / BAYS, 1 - share, (1 - 0.3 / style.bay_m) / BAYS, 1))
            continue
        for floor in range(block.floors):
            base = GROUND_M + floor * style.floor_m + 0.1
            builder.box((-1.0, base, near - 0.1), (0, base + 0.16, far + 0.1), skin.trim, bottom=True)
            builder.box((-1.0, base + 0.16, near - 0.1), (-0.02, base + 1.0, far + 0.1), skin.railing)
