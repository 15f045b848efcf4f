"""Cars and vans: hulls of five rings each, with windows, wheels and lamps painted on."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from datasets.scenes import vehicle_parts as vp
from datasets.scenes.parts import GLASS, Library, MeshBuilder, Texel

TEXELS_PER_M = 76


@dataclass(frozen=True)
class CarShape:
    """A car's proportions; heights and distances behind the front bumper in metres.

    Attributes:
        size: length, width, height.
        nose_y, tail_y: height of the bonnet's front edge and of the boot's or tailgate's edge.
        cowl, rear: distance and height of the lower edges of windscreen and rear window.
        roof: distance of its front and rear edge.
        axles: distance of the wheels.
        radius: of the wheels.
        roof_width: share of the car's width.
        pillars: where the side windows are parted.
        doors: where the side has a seam.
        last_window: distance behind which the side is closed, as that of a van.
        bed: whether an open bed lies behind the cabin.
    """

    size: tuple[float, float, float]
    nose_y: float
    tail_y: float
    cowl: tuple[float, float]
    roof: tuple[float, float]
    rear: tuple[float, float]
    axles: tuple[float, float]
    radius: float = 0.31
    roof_width: float = 0.7
    pillars: tuple[float, ...] = ()
    doors: tuple[float, ...] = ()
    last_window: float = 9.0
    bed: bool = False


HATCHBACK = CarShape((4.1, 1.75, 1.46), 0.71, 0.93, (1.02, 0.95), (1.78, 3.55), (3.88, 1.0), (0.82, 3.38),
                     pillars=(2.28, 3.12), doors=(1.3, 2.3, 3.1))
SMALL = CarShape((3.55, 1.63, 1.48), 0.73, 0.92, (0.8, 0.97), (1.5, 3.08), (3.36, 1.0), (0.68, 3.02), 0.28,
                 pillars=(2.3,), doors=(1.08, 2.32))
OLD_HATCHBACK = CarShape((3.85, 1.64, 1.41), 0.7, 0.86, (1.15, 0.9), (1.72, 3.2), (3.62, 0.92), (0.75, 3.2), 0.28, 0.76,
                         pillars=(2.4,), doors=(1.2, 2.42))
SALOON = CarShape((4.6, 1.8, 1.44), 0.7, 0.97, (1.22, 0.94), (2.0, 3.2), (3.92, 0.99), (0.88, 3.64), 0.32,
                  pillars=(2.5, 3.34), doors=(1.5, 2.52, 3.4))
OLD_SALOON = CarShape((4.45, 1.7, 1.4), 0.74, 0.93, (1.28, 0.91), (1.85, 3.0), (3.5, 0.94), (0.85, 3.45), 0.3, 0.76,
                      pillars=(2.42, 3.2), doors=(1.42, 2.44, 3.26))
ESTATE = CarShape((4.65, 1.8, 1.47), 0.71, 0.95, (1.2, 0.95), (1.97, 4.22), (4.45, 1.0), (0.88, 3.62), 0.32,
                  pillars=(2.48, 3.36), doors=(1.5, 2.5, 3.4))
COUPE = CarShape((4.4, 1.8, 1.33), 0.66, 0.93, (1.32, 0.89), (2.08, 2.9), (3.88, 0.95), (0.9, 3.5), 0.33,
                 pillars=(2.6,), doors=(1.5, 2.7))
OFF_ROADER = CarShape((4.45, 1.86, 1.69), 0.9, 1.1, (1.15, 1.1), (1.85, 3.95), (4.24, 1.15), (0.9, 3.58), 0.36, 0.72,
                      pillars=(2.45, 3.3), doors=(1.45, 2.48, 3.35))
MINIVAN = CarShape((4.5, 1.83, 1.67), 0.82, 1.0, (0.85, 1.04), (1.75, 4.1), (4.36, 1.06), (0.9, 3.65), 0.32, 0.74,
                   pillars=(1.52, 2.45, 3.4), doors=(1.35, 2.48, 3.45))
SMALL_VAN = CarShape((4.3, 1.8, 1.82), 0.86, 1.1, (0.92, 1.12), (1.6, 4.12), (4.24, 1.14), (0.85, 3.55), 0.31, 0.8,
                     pillars=(2.3, 3.3), doors=(1.25, 2.34, 3.3))
PANEL_VAN = CarShape((5.3, 1.98, 2.25), 1.02, 1.2, (0.85, 1.3), (1.5, 5.12), (5.24, 1.25), (1.0, 4.25), 0.34, 0.84,
                     pillars=(2.2,), doors=(1.15, 2.22, 3.4), last_window=2.2)
PICKUP = CarShape((5.2, 1.85, 1.77), 0.97, 1.08, (1.38, 1.12), (1.98, 3.1), (3.32, 1.12), (0.98, 4.1), 0.38, 0.74,
                  pillars=(2.6,), doors=(1.6, 2.64, 3.36), bed=True)
SHAPES = (HATCHBACK, SMALL, OLD_HATCHBACK, SALOON, OLD_SALOON, ESTATE, COUPE, OFF_ROADER, MINIVAN, SMALL_VAN, PANEL_VAN,
          PICKUP)


def add_cars(library: Library, rng: np.random.Generator) -> tuple[vp.Vehicle, ...]:
    return tuple(_add_car(library, shape, rng) for shape in SHAPES)


def _add_car(library: Library, shape: CarShape, rng: np.random.Generator) -> vp.Vehicle:
    length, width, height = shape.size
    front_z, half = length / 2, width / 2
    (cowl_d, cowl_y), (rear_d, rear_y), (roof_d, roof_end) = shape.cowl, shape.rear, shape.roof
    middle = cowl_d + 0.4, rear_d - 0.45  # two points of each side, so that the belt line can bend
    share = np.array([0.55, 0.87, 1, 1, 1, 1, 0.88, 0.55])
    belt = np.interp(middle, (cowl_d, rear_d), (cowl_y, rear_y)) - 0.02
    top_y = [shape.nose_y, shape.nose_y - 0.02, shape.nose_y + 0.3 * (cowl_y - shape.nose_y), *belt,
             shape.tail_y, shape.tail_y - 0.01, shape.tail_y]
    waist = 0.3 + 0.25 * shape.nose_y
    roof = half * shape.roof_width
    rings = (
        vp.ring(share * half * 0.96, 0, (0.1, 0.17, 0.5, *middle, length - 0.42, length - 0.15, length - 0.08), front_z),
        vp.ring(share * half, waist, (0, 0.08, 0.46, *middle, length - 0.4, length - 0.07, length), front_z),
        vp.ring(share * half * 0.975, top_y, (0.09, 0.17, 0.52, *middle, length - 0.42, length - 0.15, length - 0.07), front_z),
        vp.ring(share * half * 0.89, [cowl_y] * 3 + (belt + 0.03).tolist() + [rear_y] * 3,
             (cowl_d - 0.1, cowl_d, cowl_d + 0.2, *middle, rear_d - 0.16, rear_d, rear_d + 0.04), front_z),
        vp.ring(share * roof, height - np.array([0.03, 0.05, 0.06, 0.01, 0.01, 0.05, 0.05, 0.03]),
             (roof_d - 0.08, roof_d, roof_d + 0.2, 0.65 * roof_d + 0.35 * roof_end, 0.3 * roof_d + 0.7 * roof_end,
              roof_end - 0.12, roof_end, roof_end + 0.05), front_z))
    lamps_on = bool(rng.random() < 0.35)
    coating = vp.Coating(_side(library, shape, rng), _front(library, shape, lamps_on, rng), _rear(library, shape, lamps_on, rng),
                  _top(library, shape, rng), front_z, length, width, height)
    builder = MeshBuilder()
    vp.hull(builder, rings, coating, decks=(2,))
    under = 0.45 * waist + 0.1
    tyres = vp.axle(library, width * 0.94, under, 0.2, rng)
    vp.add_axle(builder, tyres, front_z - shape.axles[0] + shape.radius * 0.8, width * 0.94, under, True)
    vp.add_axle(builder, tyres, front_z - shape.axles[1] - shape.radius * 0.8, width * 0.94, under, False)
    mirror = vp.plain(library, vp.paint(225))
    for side in (-1, 1):
        near, far = sorted((side * half * 0.93, side * (half + 0.13)))
        z = front_z - cowl_d - 0.42
        builder.box((near, cowl_y - 0.01, z), (far, cowl_y + 0.13, z + 0.1), mirror, back=tyres)
    return vp.Vehicle(library.add_mesh(builder.build()), length, width + 0.26, height)


def _side(library: Library, shape: CarShape, rng: np.random.Generator) -> int:
    (length, _, height), (cowl_d, cowl_y), (_, rear_y) = shape.size, shape.cowl, shape.rear
    panel = vp.Panel(length, height, TEXELS_PER_M)
    sill = shape.radius * 0.62
    crease = cowl_y - 0.17
    shoulder = cowl_y - 0.07, cowl_y - 0.01, cowl_y + 0.06
    panel.body((sill, sill + 0.15, 0.5 * (sill + crease), crease - 0.02, crease, *shoulder, height),
               (148, 182, 206, 222, 202, 232, 248, 228, 236))
    panel.box(0.5, sill, length - 0.5, sill + 0.09, vp.PLASTIC)
    rubbing = rng.random() < 0.5
    for start, end in ((0, 0.55), (length - 0.5, length)):
        panel.box(start, sill, end, sill + 0.1, vp.PLASTIC)
        panel.box(start, sill + 0.27, end, sill + (0.33 if rubbing else 0.28), vp.PLASTIC if rubbing else vp.paint(110))
    if rubbing:
        panel.box(shape.axles[0] + 0.4, sill + 0.22, shape.axles[1] - 0.4, sill + 0.28, vp.grey(48))
    lamp = shape.nose_y - 0.05
    panel.polygon(((0, lamp - 0.13), (0.28, lamp - 0.09), (0.42, lamp + 0.02), (0.1, lamp + 0.02), (0, lamp)), vp.grey(175))
    panel.polygon(((0.2, lamp - 0.08), (0.3, lamp - 0.07), (0.4, lamp), (0.3, lamp)), vp.AMBER)
    tail, end = shape.tail_y, length
    panel.polygon(((end, tail - 0.27), (end - 0.2, tail - 0.22), (end - 0.3, tail - 0.04), (end, tail - 0.02)), vp.RED)
    seam = vp.paint(70)
    doors = [d for d in shape.doors if not shape.bed or d < 3]
    for left, right in pairwise(doors):
        panel.line(((left, cowl_y), (left, sill + 0.1), (right, sill + 0.1), (right, rear_y)), 0.012, seam)
        panel.box(right - 0.22, crease + 0.02, right - 0.05, crease + 0.06, vp.grey(40) if rubbing else vp.paint(150))
        panel.box(right - 0.22, crease + 0.055, right - 0.05, crease + 0.07, vp.paint(255))
    if len(doors) > 1 and doors[-1] < shape.axles[1] - 0.6:
        panel.line(((doors[-1], rear_y), (doors[-1], sill + 0.1)), 0.012, seam)
    panel.line(((0.5, shape.nose_y), (cowl_d + 0.2, cowl_y - 0.06)), 0.012, vp.paint(120))
    panel.line(((length - 0.45, sill + 0.3), (length - 0.5, tail)), 0.01, vp.paint(120))
    for d in shape.axles:
        panel.wheel(d, shape.radius, "cap" if rubbing else "spokes", rng)
    _side_windows(panel, shape)
    return library.add_texture(panel.finish(rng))


def _side_windows(panel: vp.Panel, shape: CarShape) -> None:
    """Paints the side windows between the pillars, seats behind them, and the roof's gutter."""
    height, (cowl_d, cowl_y), (rear_d, rear_y) = shape.size[2], shape.cowl, shape.rear
    low_y, high_y = cowl_y + 0.05, height - 0.13
    last = min(rear_d - 0.3, shape.last_window)
    slope = (shape.roof[1] - rear_d) if last < shape.last_window else 0.0
    last_top = last + slope * 0.82
    edges = [(cowl_d + 0.34, shape.roof[0] + 0.28), *((d, d + 0.02) for d in shape.pillars if d < last_top - 0.1),
             (last, last_top)]
    for index, ((low_a, high_a), (low_b, high_b)) in enumerate(pairwise(edges)):
        gap_a, gap_b = (0.03 if index else 0.0), 0.03
        base_a, base_b = np.interp((low_a, low_b), (cowl_d, rear_d), (low_y, rear_y + 0.05))
        panel.pane(((low_a + gap_a, base_a), (high_a + gap_a, high_y), (high_b - gap_b, high_y), (low_b - gap_b, base_b)), 0.025)
        seat, top = low_b - 0.32, base_b + 0.25
        if high_a + 0.1 < seat < high_b - 0.12:
            panel.polygon(((seat - 0.04, base_b), (seat, top), (seat + 0.16, top), (seat + 0.26, base_b)), vp.SEAT)
    panel.line(((cowl_d + 0.2, cowl_y + 0.02), (shape.roof[0] + 0.2, height - 0.07), (shape.roof[1], height - 0.08)), 0.02,
                vp.paint(120))
    end_y = low_y + (rear_y - cowl_y) * (last - cowl_d) / (rear_d - cowl_d)
    panel.line(((cowl_d + 0.3, low_y - 0.03), (last, end_y - 0.03)), 0.02, vp.GAP)


def _front(library: Library, shape: CarShape, lamps_on: bool, rng: np.random.Generator) -> int:
    _, width, height = shape.size
    panel = vp.Panel(width, height, TEXELS_PER_M)
    nose, bottom, mid = shape.nose_y, shape.radius * 0.62, width / 2
    panel.body((bottom, 0.45, nose - 0.15, nose, height), (152, 208, 220, 245, 240))
    panel.box(0, bottom, width, bottom + 0.06, vp.PLASTIC)
    panel.box(mid - 0.5, bottom + 0.05, mid + 0.5, bottom + 0.2, vp.grey(18))
    for side in (-1, 1):
        panel.box(mid + side * 0.72 - 0.1, bottom + 0.07, mid + side * 0.72 + 0.1, bottom + 0.17, vp.grey(24))
        inner, outer = mid + side * width * 0.27, mid + side * width * 0.47
        low, high = nose - 0.2, nose - 0.04
        lens = ((inner, low + 0.03), (outer, low), (outer + side * 0.04, high), (inner, high - 0.02))
        panel.polygon(lens, vp.grey(120))
        panel.disc(mid + side * width * 0.39, (low + high) / 2, 0.062, vp.lit(225, 240, 245) if lamps_on else vp.grey(205))
        panel.disc(mid + side * width * 0.315, (low + high) / 2, 0.045, vp.grey(190))
        panel.line((*lens, lens[0]), 0.015, vp.grey(30))
    panel.box(mid - width * 0.24, nose - 0.19, mid + width * 0.24, nose - 0.06, vp.grey(20))
    for y in np.arange(nose - 0.17, nose - 0.06, 0.035):
        panel.box(mid - width * 0.23, y, mid + width * 0.23, y + 0.01, vp.grey(75))
    panel.disc(mid, nose - 0.12, 0.05, vp.grey(165))
    panel.line(((0, nose - 0.24), (width, nose - 0.24)), 0.012, vp.paint(120))
    panel.plate(mid, bottom + 0.24, vp.PLATE, rng)
    _screen(panel, shape.cowl[1] - 0.02, height - 0.06, width * 0.445, width * shape.roof_width / 2, dashboard=True)
    return library.add_texture(panel.finish(rng))


def _screen(panel: vp.Panel, low: float, high: float, half_low: float, half_high: float, dashboard: bool) -> None:
    """Paints windscreen or rear window with its seam, and head-rests behind it."""
    mid = panel.width_m / 2
    half_low, half_high = half_low - 0.06, half_high - 0.05
    panel.box(0, low - 0.05, panel.width_m, low + 0.02, vp.GAP if dashboard else vp.paint(225))
    panel.pane(((mid - half_low, low), (mid - half_high, high), (mid + half_high, high), (mid + half_low, low)), 0.04)
    for side in (-1, 1):
        x, top = mid + side * 0.36, low + min((high - low) * 0.6, 0.36)
        panel.box(x - 0.2, low + 0.02, x + 0.2, top - 0.14, vp.SEAT)
        panel.box(x - 0.1, low + 0.02, x + 0.1, top, vp.SEAT)
    if dashboard:
        panel.box(mid - half_low + 0.04, low + 0.01, mid + half_low - 0.04, low + 0.08, Texel((26, 26, 26), GLASS))
        panel.box(mid - 0.1, high - 0.1, mid + 0.1, high - 0.04, vp.RUBBER)


def _rear(library: Library, shape: CarShape, lamps_on: bool, rng: np.random.Generator) -> int:
    _, width, height = shape.size
    panel = vp.Panel(width, height, TEXELS_PER_M)
    tail, bottom, mid = shape.tail_y, shape.radius * 0.7, width / 2
    panel.body((bottom, 0.45, tail - 0.12, tail, height), (148, 202, 220, 245, 240))
    panel.box(0, bottom, width, bottom + 0.1, vp.PLASTIC)
    panel.box(0, bottom + 0.27, width, bottom + 0.3, vp.paint(90))
    van = shape.last_window < 9
    for side in (-1, 1):
        outer, inner = mid + side * width * 0.5, mid + side * width * (0.42 if van else 0.33)
        low, high = tail - (0.4 if van else 0.27), tail - 0.04
        panel.polygon(((outer, low), (inner, low + 0.05), (inner + side * 0.05, high), (outer, high)), vp.RED)
        panel.box(outer, low + 0.07, inner + side * 0.05, low + 0.12, vp.grey(150))
        if lamps_on:
            panel.disc(mid + side * width * 0.43, high - 0.08, 0.05, vp.lit(50, 45, 235))
        panel.line(((mid + side * width * 0.45, bottom + 0.3), (mid + side * width * 0.43, height)), 0.01, vp.paint(100))
        panel.box(mid + side * 0.6 - 0.07, bottom + 0.13, mid + side * 0.6 + 0.07, bottom + 0.16, vp.RED)
    panel.plate(mid, (tail + bottom) / 2 + 0.1, vp.YELLOW_PLATE if rng.random() < 0.4 else vp.PLATE, rng)
    panel.box(mid - 0.3, (tail + bottom) / 2 + 0.17, mid + 0.3, (tail + bottom) / 2 + 0.2, vp.grey(90))
    panel.disc(mid, tail - 0.06, 0.04, vp.grey(170))
    if van:
        panel.line(((mid, bottom + 0.3), (mid, height)), 0.015, vp.paint(60))
    _screen(panel, shape.rear[1] + 0.03, height - (0.45 if van else 0.1), width * 0.445, width * shape.roof_width / 2, False)
    if van:
        panel.box(mid - 0.05, shape.rear[1], mid + 0.05, height - 0.4, vp.paint(225))
    panel.box(mid - 0.15, height - 0.085, mid + 0.15, height - 0.06, vp.RED)
    return library.add_texture(panel.finish(rng))


def _top(library: Library, shape: CarShape, rng: np.random.Generator) -> int:
    """Paints the car from above; its panel' y runs from the rear bumper to the front one."""
    length, width, _ = shape.size
    panel = vp.Panel(width, length, 36)
    panel.box(0, 0, width, length, vp.paint(250))
    inset = width * 0.14
    for side in (inset, width - inset):
        panel.line(((side, length), (side, length - shape.cowl[0])), 0.02, vp.paint(185))
    panel.box(0.1, length - shape.cowl[0], width - 0.1, length - shape.cowl[0] + 0.1, vp.RUBBER)
    panel.box(0, length - 0.17, width, length - 0.14, vp.paint(110))
    if shape.bed:
        panel.box(0.12, 0.12, width - 0.12, length - shape.rear[0], vp.grey(32))
    elif rng.random() < 0.3:
        panel.box(0.4, length - shape.roof[0] - 0.9, width - 0.4, length - shape.roof[0] - 0.25, vp.PANE)
    return library.add_texture(panel.finish(rng, 0))
