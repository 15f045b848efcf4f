"""Lorries: a cab, and what it carries: a box, a curtain-sided trailer, a tipper or the hopper of a refuse lorry."""

from dataclasses import dataclass

import numpy as np

from datasets.scenes import vehicle_parts as vp
from datasets.scenes.parts import PLAIN, TINT_2, Library, MeshBuilder, Texel

TEXELS_PER_M = 48
FLOOR = 1.08  # height of the chassis [m]


@dataclass(frozen=True)
class LorryShape:
    """A lorry's proportions, in metres.

    Attributes:
        size: length, width, height of what it carries.
        cab: length and height.
        gap: between cab and load.
        load: 'box', 'curtain', 'tipper' or 'hopper'.
        axles: distance of the wheels behind the front; the first one stands below the cab.
        radius: of the wheels.
    """

    size: tuple[float, float, float]
    cab: tuple[float, float]
    gap: float
    load: str
    axles: tuple[float, ...]
    radius: float = 0.48


SHAPES = (
    LorryShape((7.8, 2.48, 3.5), (1.9, 2.75), 0.12, "box", (1.2, 5.6)),
    LorryShape((6.2, 2.2, 3.1), (1.75, 2.3), 0.1, "box", (1.0, 4.5), 0.38),
    LorryShape((9.2, 2.5, 3.75), (2.1, 3.0), 0.15, "curtain", (1.35, 6.3, 7.6)),
    LorryShape((15.2, 2.53, 3.95), (2.2, 3.5), 0.6, "curtain", (1.4, 4.9, 10.9, 12.2, 13.5)),
    LorryShape((7.2, 2.45, 2.45), (1.95, 2.85), 0.15, "tipper", (1.25, 4.7, 6.0)),
    LorryShape((5.9, 2.1, 1.75), (1.75, 2.25), 0.1, "tipper", (1.0, 4.4), 0.36),
    LorryShape((8.6, 2.5, 3.35), (1.9, 2.85), 0.2, "hopper", (1.3, 5.2, 6.5)),
)


def add_lorries(library: Library, rng: np.random.Generator) -> tuple[vp.Vehicle, ...]:
    return tuple(_add_lorry(library, shape, rng) for shape in SHAPES)


def _add_lorry(library: Library, shape: LorryShape, rng: np.random.Generator) -> vp.Vehicle:
    (length, width, height), (cab_m, cab_y) = shape.size, shape.cab
    front_z, builder, half = length / 2, MeshBuilder(), width / 2
    black = vp.plain(library, vp.GAP)
    cab = vp.Coating(_cab_side(library, shape, rng), _cab_front(library, shape, rng),
                   vp.plain(library, vp.paint(170), 1 - FLOOR / cab_y),
                   vp.plain(library, vp.paint(235)), front_z, cab_m, width, cab_y)
    share = np.array([0.62, 0.93, 1, 1]) * half * 0.98
    along, rake = np.array([0, 0.06, 0.35, cab_m - 0.01]), np.array([1, 1, 0.8, 0])
    vp.hull(builder, [vp.ring(share * wide, y, along + rake * back, front_z) for wide, y, back in (
        (1, 0, 0.08), (1, 0.8, 0), (0.99, 0.52 * cab_y, 0.04), (0.96, cab_y - 0.2, 0.26), (0.84, cab_y, 0.5))], cab)
    begin = cab_m + shape.gap
    bulkhead = vp.plain(library, vp.trim(205), 1 - FLOOR / height)
    load = vp.Coating(_load_side(library, shape, rng), bulkhead, _load_rear(library, shape, rng),
                    vp.plain(library, vp.grey(58) if shape.load == "tipper" else vp.trim(225)), front_z - begin, length - begin,
                    width, height)
    slope = 0.75 if shape.load == "hopper" else 0.0
    vp.hull(builder, [vp.ring(half, y, (begin, length - back), front_z) for y, back in (
        (0, 0.15), (FLOOR, 0), (0.8 * FLOOR + 0.2 * height, 0), (height, slope))], load)
    builder.box((-0.5, 0.5, front_z - length + 0.3), (0.5, FLOOR, front_z - cab_m + 0.5), black)
    tyres = vp.axle(library, width * 0.95, 0.7, 0.3, rng)
    vp.add_axle(builder, tyres, front_z - shape.axles[0] + 0.8 * shape.radius, width * 0.95, 0.7, True)
    vp.add_axle(builder, tyres, front_z - shape.axles[-1] - 0.8 * shape.radius, width * 0.95, 0.7, False)
    for x in (-half - 0.2, half + 0.02):
        builder.box((x, cab_y * 0.58, front_z - 0.25), (x + 0.18, cab_y * 0.58 + 0.5, front_z - 0.13), black)
    return vp.Vehicle(library.add_mesh(builder.build()), length, width + 0.4, max(height, cab_y))


def _cab_side(library: Library, shape: LorryShape, rng: np.random.Generator) -> int:
    length, height = shape.cab
    panel = vp.Panel(length, height, TEXELS_PER_M)
    low, high = height * 0.54, height * 0.84
    panel.body((0.3, 0.5, 1.0, low - 0.1, low, height), (150, 195, 220, 240, 232, 240))
    panel.box(0, 0.3, length, 0.55, vp.PLASTIC)
    axle_d, radius = shape.axles[0], shape.radius
    door = min(1.25, length - 0.5)
    panel.box(axle_d - radius - 0.12, 0.3, axle_d + radius + 0.12, radius * 2 + 0.16, vp.PLASTIC)
    panel.wheel(axle_d, radius, "lorry", rng, 0.09)
    panel.line(((0.3, 0.6), (0.3, low), (0.45, high + 0.06), (door + 0.3, high + 0.06), (door + 0.3, 1.15)), 0.02, vp.paint(90))
    panel.pane(((0.4, low), (0.55, high), (door + 0.2, high), (door + 0.2, low + 0.08)), 0.04)
    panel.box(door, low - 0.2, door + 0.22, low - 0.15, vp.PLASTIC)
    panel.box(0.05, 0.75, 0.2, 0.85, vp.AMBER)
    return library.add_texture(panel.finish(rng, 0.5))


def _cab_front(library: Library, shape: LorryShape, rng: np.random.Generator) -> int:
    width, height = shape.size[1], shape.cab[1]
    panel, mid = vp.Panel(width, height, TEXELS_PER_M), width / 2
    low, high = height * 0.52, height * 0.86
    panel.body((0.28, 0.5, 1.0, low - 0.1, low, height), (150, 200, 222, 242, 230, 240))
    panel.box(0, 0.28, width, 0.42, vp.PLASTIC)
    panel.box(mid - 0.75, 0.62, mid + 0.75, low - 0.28, vp.grey(26))
    for y in np.arange(0.66, low - 0.3, 0.1):
        panel.box(mid - 0.72, y, mid + 0.72, y + 0.035, vp.grey(62))
    panel.disc(mid, low - 0.18, 0.09, vp.grey(175))
    panel.lettering(mid - 0.45, low - 0.24, 0.3, 0.09, vp.grey(190), rng)
    panel.pane(((0.16, low), (0.24, high), (width - 0.24, high), (width - 0.16, low)), 0.06)
    panel.box(0.3, low, width - 0.3, low + 0.16, vp.SEAT)
    for x in (mid - 0.6, mid + 0.6):
        panel.box(x - 0.22, low, x + 0.22, low + (high - low) * 0.55, vp.SEAT)
        panel.line(((x - 0.3, low), (x + 0.25, low + 0.45)), 0.02, vp.GAP)
    panel.box(0.2, high + 0.02, width - 0.2, high + 0.1, vp.PLASTIC)
    lamp = vp.lit(215, 232, 238) if rng.random() < 0.4 else vp.grey(205)
    for side in (-1, 1):
        panel.box(mid + side * (mid - 0.08), 0.5, mid + side * (mid - 0.5), 0.7, vp.grey(70))
        panel.disc(mid + side * (mid - 0.22), 0.6, 0.085, lamp)
        panel.disc(mid + side * (mid - 0.41), 0.6, 0.07, vp.grey(185))
        panel.box(mid + side * (mid - 0.02), 0.52, mid + side * (mid - 0.1), 0.68, vp.AMBER)
    panel.plate(mid, 0.5, vp.PLATE, rng)
    return library.add_texture(panel.finish(rng, 0.45))


def _load_side(library: Library, shape: LorryShape, rng: np.random.Generator) -> int:
    begin = shape.cab[0] + shape.gap
    length, height = shape.size[0] - begin, shape.size[2]
    panel = vp.Panel(length, height, TEXELS_PER_M if length < 8 else 34)
    panel.box(0.05, FLOOR - 0.28, length - 0.05, FLOOR, vp.grey(28))
    wheels = [d - begin for d in shape.axles[1:]]
    first = wheels[0] - shape.radius - 0.3
    panel.box(0.2, 0.5, min(1.1, first), FLOOR - 0.1, vp.grey(62))  # tank and battery
    panel.body((0.45, 0.6, 0.72), (70, 92, 60), PLAIN, 0.2, min(1.1, first))
    if first > 1.6:
        for y in (0.45, 0.72):
            panel.box(1.2, y, first, y + 0.1, vp.grey(105))
        for d in np.arange(1.3, first, 1.0):
            panel.box(d, 0.45, d + 0.06, FLOOR, vp.grey(70))
    for d in wheels:
        panel.box(d - shape.radius - 0.12, FLOOR - 0.3, d + shape.radius + 0.12, FLOOR - 0.02, vp.GAP)
        panel.wheel(d, shape.radius, "lorry", rng, 0.02)
    panel.box(length - 0.35, 0.45, length - 0.28, FLOOR, vp.GAP)
    for d in np.arange(0.5, length, 2.2):
        panel.box(d, FLOOR - 0.14, d + 0.1, FLOOR - 0.09, vp.AMBER)
    panel.body((FLOOR, FLOOR + 0.15, 1.9, height - 0.15, height), (190, 218, 232, 244, 215), TINT_2)
    pitch = {"box": 1.2, "curtain": 0.62, "tipper": 0.7, "hopper": 1.1}[shape.load]
    for d in np.arange(0.0, length, pitch):
        panel.line(((d, FLOOR), (d, height)), 0.02 if shape.load != "tipper" else 0.07, vp.trim(188))
        panel.line(((d + 0.04, FLOOR), (d + 0.04, height)), 0.02, vp.trim(250))
    for y in (FLOOR + 0.04, height - 0.05):
        panel.box(0, y - 0.04, length, y + 0.04, vp.grey(125) if shape.load in ("box", "curtain") else vp.trim(180))
    if shape.load == "curtain":
        for d in np.arange(0.3, length, pitch):
            panel.box(d, FLOOR, d + 0.04, FLOOR + 0.25, vp.grey(60))
    if shape.load == "hopper":
        panel.polygon(((length - 2.0, FLOOR), (length - 1.7, height), (length, height), (length, FLOOR)), vp.trim(205))
        panel.line(((length - 2.0, FLOOR), (length - 1.7, height)), 0.06, vp.trim(110))
        panel.polygon(((length - 0.9, 0.85), (length - 1.2, 1.7), (length, 1.7), (length, 0.85)), vp.grey(48))
    elif shape.load != "tipper":
        middle, tall = (FLOOR + height) / 2, min(0.75, height * 0.2)
        if rng.random() < 0.6:
            panel.box(0, middle - 0.95, length, middle - 0.65, vp.paint(225))
        panel.lettering(length * 0.16, middle - 0.25, length * 0.62, tall, vp.paint(225), rng)
        panel.lettering(length * 0.2, middle - 0.55, length * 0.4, 0.18, vp.grey(70), rng)
    return library.add_texture(panel.finish(rng, 0.5))


def _load_rear(library: Library, shape: LorryShape, rng: np.random.Generator) -> int:
    _, width, height = shape.size
    panel, mid = vp.Panel(width, height, TEXELS_PER_M), width / 2
    panel.box(0.1, 0.45, width - 0.1, FLOOR, vp.grey(22))
    for x in (0.08, width - 0.44):
        panel.box(x, 0.3, x + 0.36, FLOOR - 0.1, vp.GAP)  # mud flap
    panel.body((FLOOR, FLOOR + 0.2, height - 0.1, height), (195, 222, 240, 210), TINT_2)
    panel.box(0.05, 0.62, width - 0.05, 0.78, vp.grey(80))
    for x in np.arange(0.05, width - 0.3, 0.5):
        panel.polygon(((x, 0.62), (x + 0.25, 0.62), (x + 0.4, 0.78), (x + 0.15, 0.78)), Texel((30, 40, 150)))
    for x in (0.08, width - 0.48):
        panel.box(x, 0.84, x + 0.4, 1.0, vp.RED)
        panel.box(x + 0.13, 0.84, x + 0.26, 1.0, vp.AMBER)
    panel.plate(mid, 0.92, vp.YELLOW_PLATE, rng)
    if shape.load in ("box", "curtain"):
        panel.line(((mid, FLOOR), (mid, height)), 0.03, vp.grey(40))
        for x in (mid - 0.85, mid - 0.3, mid + 0.3, mid + 0.85):
            panel.line(((x, FLOOR), (x, height - 0.1)), 0.035, vp.grey(150))
            panel.box(x - 0.05, 1.4, x + 0.2, 1.46, vp.grey(60))
        panel.box(0, FLOOR - 0.05, width, FLOOR + 0.06, vp.grey(120))
        panel.box(0, height - 0.1, width, height, vp.grey(130))
        for x in (0, width - 0.06):
            panel.box(x, FLOOR, x + 0.06, height, vp.grey(130))
            for y in np.arange(FLOOR + 0.3, height, 0.6):
                panel.box(x - 0.1, y, x + 0.16, y + 0.08, vp.grey(90))
    elif shape.load == "hopper":
        panel.box(0.25, 1.15, width - 0.25, 1.95, vp.grey(16))
        panel.box(0.25, 1.1, width - 0.25, 1.2, vp.grey(95))
        panel.lettering(0.6, 2.4, 1.3, 0.25, vp.paint(230), rng)
        for x in (0.1, width - 0.22):
            panel.box(x, FLOOR, x + 0.12, height - 0.2, vp.grey(75))
        panel.disc(0.5, height - 0.15, 0.08, vp.lit(40, 150, 240))
    else:
        for x in np.arange(0.0, width, 0.6):
            panel.line(((x, FLOOR), (x, height)), 0.06, vp.trim(170))
        panel.box(0, height - 0.12, width, height, vp.trim(190))
    return library.add_texture(panel.finish(rng, 0.5))
