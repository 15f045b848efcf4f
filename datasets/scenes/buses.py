"""Buses: a city bus, an older one, a coach and a double-decker."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from datasets.scenes import vehicle_parts as vp
from datasets.scenes.parts import GLASS, TINT_2, Library, MeshBuilder, Texel

TEXELS_PER_M = 44


@dataclass(frozen=True)
class BusShape:
    """A bus's proportions, in metres.

    Attributes:
        size: length, width, height.
        decks: lower and upper edge of each row of windows.
        screens: lower and upper edge of each windscreen.
        axles: distance of the wheels behind the front.
        doors: distance of each double door.
        rake: how far the roof's front lies behind the bumper.
        pane_m: about the width of a window.
        stripe: whether a stripe in the second tint runs below the windows, rather than a skirt.
    """

    size: tuple[float, float, float]
    decks: tuple[tuple[float, float], ...]
    screens: tuple[tuple[float, float], ...]
    axles: tuple[float, ...]
    doors: tuple[float, ...]
    rake: float = 0.15
    pane_m: float = 1.4
    stripe: bool = False


SHAPES = (
    BusShape((12.0, 2.55, 3.05), ((1.2, 2.5),), ((0.95, 2.5),), (2.7, 8.6), (0.45, 5.3)),
    BusShape((11.0, 2.5, 3.0), ((1.35, 2.35),), ((1.15, 2.35),), (2.5, 7.8), (0.4, 4.6), 0.05, 1.15, True),
    BusShape((12.2, 2.55, 3.55), ((1.75, 3.05),), ((1.1, 2.95),), (2.7, 8.7, 10.0), (0.5,), 0.45, 1.75, True),
    BusShape((10.4, 2.5, 4.3), ((1.15, 2.05), (2.75, 3.65)), ((0.95, 2.1), (2.75, 3.7)), (2.6, 7.9), (0.4,), 0.2, 1.3, True),
)


def add_buses(library: Library, rng: np.random.Generator) -> tuple[vp.Vehicle, ...]:
    return tuple(_add_bus(library, shape, rng) for shape in SHAPES)


def _add_bus(library: Library, shape: BusShape, rng: np.random.Generator) -> vp.Vehicle:
    length, width, height = shape.size
    front_z = length / 2
    distances = np.array([0, 0.07, 0.38, length - 0.2, length - 0.03, length])
    share = np.array([0.62, 0.93, 1, 1, 0.95, 0.62]) * width / 2
    back = np.array([1, 1, 0.8, 0, 0, 0])
    rings = [vp.ring(share * wide, y, distances + back * ahead - back[::-1] * behind, front_z) for wide, y, ahead, behind in (
        (0.98, 0, 0.06, 0.05), (1, 0.9, 0, 0), (0.99, height - 0.35, shape.rake, 0.05),
        (0.95, height - 0.1, shape.rake + 0.15, 0.15), (0.8, height, shape.rake + 0.45, 0.4))]
    coating = vp.Coating(_side(library, shape, rng), _front(library, shape, rng), _rear(library, shape, rng),
                     _top(library, shape, rng), front_z, length, width, height)
    builder = MeshBuilder()
    vp.hull(builder, rings, coating)
    tyres = vp.axle(library, width * 0.95, 0.6, 0.3, rng)
    vp.add_axle(builder, tyres, front_z - shape.axles[0] + 0.4, width * 0.95, 0.6, True)
    vp.add_axle(builder, tyres, front_z - shape.axles[-1] - 0.4, width * 0.95, 0.6, False)
    black = vp.plain(library, vp.PLASTIC)
    top, z = shape.screens[0][1], front_z - 0.12 - 0.7 * shape.rake
    for x in (-width / 2 - 0.2, width / 2):
        builder.box((x, top - 0.5, z), (x + 0.2, top - 0.1, z + 0.12), black)
    return vp.Vehicle(library.add_mesh(builder.build()), length, width + 0.44, height)


def _side(library: Library, shape: BusShape, rng: np.random.Generator) -> int:
    length, _, height = shape.size
    panel = vp.Panel(length, height, TEXELS_PER_M)
    low, high = shape.decks[0]
    panel.body((0.28, 0.45, low - 0.3, low - 0.05, high + 0.1, height - 0.12, height), (165, 205, 226, 240, 236, 246, 215))
    if shape.stripe:
        panel.body((low - 0.42, low - 0.14), (215, 225), TINT_2)
    else:
        panel.body((0.28, 0.45, 0.8), (160, 200, 212), TINT_2)
    for d in np.arange(1.2, length, 1.45):
        panel.line(((d, 0.3), (d, low)), 0.012, vp.paint(165))
    panel.line(((0, low - 0.5), (length, low - 0.5)), 0.015, vp.paint(170))
    for low, high in shape.decks:
        panel.box(0.5, low - 0.04, length - 0.35, high + 0.04, vp.RUBBER)
        count = round((length - 1) / shape.pane_m)
        edges = np.linspace(0.55, length - 0.4, count + 1)
        for left, right in pairwise(edges):
            panel.pane(((left + 0.03, low), (left + 0.03, high), (right - 0.03, high), (right - 0.03, low)))
            for seat in np.arange(left + 0.15, right - 0.3, 0.62):
                panel.box(seat, low, seat + 0.22, low + 0.28, vp.SEAT)
                if rng.random() < 0.2:
                    panel.disc(seat + 0.12, low + 0.42, 0.12, vp.SEAT)
            if rng.random() < 0.5:
                panel.line(((left, high - 0.3), (right, high - 0.3)), 0.025, vp.RUBBER)
    low, high = shape.decks[0]
    for left in shape.doors:
        panel.box(left - 0.05, 0.3, left + 1.3, high + 0.1, vp.grey(32))
        for leaf in (left, left + 0.63):
            panel.pane(((leaf + 0.04, 0.5), (leaf + 0.04, high), (leaf + 0.57, high), (leaf + 0.57, 0.5)), 0.04)
            panel.line(((leaf + 0.3, 1.1), (leaf + 0.3, 1.5)), 0.03, Texel((60, 160, 180)))
    if len(shape.decks) == 1:
        panel.box(2.2, high - 0.28, 3.6, high - 0.02, vp.GAP)
        panel.lettering(2.3, high - 0.22, 1.2, 0.14, vp.lit(40, 150, 230), rng)
    else:
        panel.lettering(length * 0.35, 2.25, 3.4, 0.34, vp.trim(250), rng)
    for d in shape.axles:
        panel.wheel(d, 0.48, "lorry", rng, 0.1)
        panel.box(d + 0.75, 0.5, d + 0.9, 0.58, vp.AMBER)
    return library.add_texture(panel.finish(rng, 0.45))


def _front(library: Library, shape: BusShape, rng: np.random.Generator) -> int:
    _, width, height = shape.size
    panel, mid = vp.Panel(width, height, TEXELS_PER_M), width / 2
    panel.body((0.25, 0.5, 0.95, height - 0.1, height), (170, 215, 238, 240, 220))
    panel.box(0, 0.25, width, 0.5, vp.grey(60) if shape.stripe else vp.trim(200))
    low, high = shape.screens[0]
    panel.box(0.08, low - 0.05, width - 0.08, high + 0.05, vp.RUBBER)
    for index, (low, high) in enumerate(shape.screens):
        for left, right in ((0.12, mid - 0.02), (mid + 0.02, width - 0.12)):
            panel.pane(((left, low), (left, high), (right, high), (right, low)))
        if index == 0:
            panel.box(0.2, low, width - 0.2, low + 0.22, vp.SEAT)
            panel.box(mid + 0.35, low + 0.1, mid + 0.85, low + 0.55, vp.SEAT)
            panel.disc(mid + 0.6, low + 0.7, 0.14, Texel((50, 58, 70), GLASS))
            for x in (mid - 0.1, mid + 0.1):
                panel.line(((x, low), (x + 0.5 * np.sign(x - mid), low + 0.6)), 0.02, vp.GAP)
    sign_y = shape.screens[0][1] + 0.06
    panel.box(0.25, sign_y, width - 0.25, min(sign_y + 0.38, height - 0.1), vp.GAP)
    panel.lettering(0.35, sign_y + 0.07, 0.45, 0.22, vp.lit(30, 150, 240), rng)
    panel.lettering(0.95, sign_y + 0.09, width - 1.5, 0.18, vp.lit(30, 150, 240), rng)
    for side in (-1, 1):
        panel.box(mid + side * 1.15, 0.58, mid + side * 0.68, 0.8, vp.grey(60))
        panel.disc(mid + side * 1.0, 0.69, 0.09, vp.lit(215, 235, 240))
        panel.disc(mid + side * 0.79, 0.69, 0.08, vp.grey(190))
    panel.plate(mid, 0.42, vp.PLATE, rng)
    panel.disc(mid, 0.75, 0.08, vp.grey(170))
    return library.add_texture(panel.finish(rng))


def _rear(library: Library, shape: BusShape, rng: np.random.Generator) -> int:
    _, width, height = shape.size
    panel, mid = vp.Panel(width, height, TEXELS_PER_M), width / 2
    panel.body((0.3, 0.6, 1.0, height - 0.1, height), (150, 200, 225, 236, 215))
    panel.box(0, 0.3, width, 0.5, vp.grey(55))
    panel.box(mid - 0.8, 0.6, mid + 0.8, 1.15, vp.grey(40))
    for y in np.arange(0.64, 1.15, 0.07):
        panel.box(mid - 0.78, y, mid + 0.78, y + 0.025, vp.grey(70))
    panel.line(((0.3, 0.55), (0.3, 1.5), (width - 0.3, 1.5), (width - 0.3, 0.55)), 0.02, vp.paint(110))
    for low, high in shape.decks:
        low, high = max(low, 1.65), high - 0.05
        if high - low > 0.5:
            panel.pane(((0.3, low), (0.35, high), (width - 0.35, high), (width - 0.3, low)), 0.05)
    panel.box(0.35, 1.3, 0.8, 1.5, vp.GAP)
    panel.lettering(0.4, 1.34, 0.35, 0.13, vp.lit(30, 150, 240), rng)
    for x in (0.05, width - 0.2):
        for y, color in ((0.6, vp.RED), (0.8, vp.AMBER), (1.0, vp.RED), (height - 0.3, vp.RED)):
            panel.box(x, y, x + 0.15, y + 0.16, color)
    if rng.random() < 0.5:
        panel.disc(0.125, 1.08, 0.07, vp.lit(50, 45, 235))
        panel.disc(width - 0.125, 1.08, 0.07, vp.lit(50, 45, 235))
    panel.plate(mid, 0.52, vp.YELLOW_PLATE, rng)
    return library.add_texture(panel.finish(rng, 0.6))


def _top(library: Library, shape: BusShape, rng: np.random.Generator) -> int:
    length, width, _ = shape.size
    panel = vp.Panel(width, length, 10)
    panel.box(0, 0, width, length, vp.paint(225))
    for y in np.arange(1.5, length - 1, 2.4):
        panel.box(width * 0.3, y, width * 0.7, y + 0.7, vp.grey(150))
    return library.add_texture(panel.finish(rng, 0))
