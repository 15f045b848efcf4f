"""Rail vehicles of a street: trams of two and three sections, and a railcar.

A vehicle is a nose section, middle sections, and the nose section again, turned round; dark bellows join them.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from datasets.scenes import vehicle_parts as vp
from datasets.scenes.parts import TINT_2, Library, Mesh, MeshBuilder

TEXELS_PER_M = 36
BELLOWS_M = 0.55


@dataclass(frozen=True)
class TramShape:
    """A rail vehicle's proportions, in metres.

    Attributes:
        end, middle: length of a nose section and of a middle one (0: there is none).
        width, height: of the body.
        window: lower and upper edge of the windows.
        skirt: height of the skirt's lower edge.
        rake: how far the roof's front lies behind the nose's tip.
        nose: share of the width that the nose keeps.
        doors: distance of each double door on a nose section.
        band: whether the windows are in one dark band.
    """

    end: float
    middle: float
    width: float
    height: float
    window: tuple[float, float]
    skirt: float
    rake: float
    nose: float
    doors: tuple[float, ...]
    band: bool

    @property
    def length_m(self) -> float:
        joints = 2 if self.middle else 1
        return 2 * self.end + self.middle + joints * BELLOWS_M


SHAPES = (
    TramShape(9.6, 8.2, 2.55, 3.3, (1.05, 2.65), 0.18, 1.25, 0.6, (2.9, 6.6), True),
    TramShape(12.4, 0, 2.35, 3.2, (1.45, 2.5), 0.32, 0.25, 0.72, (1.2, 6.0, 10.2), False),
    TramShape(14.0, 0, 2.8, 3.75, (1.65, 2.75), 0.3, 0.8, 0.74, (4.0, 9.4), True),
)


def add_trams(library: Library, rng: np.random.Generator) -> tuple[vp.Vehicle, ...]:
    return tuple(_add_tram(library, shape, rng) for shape in SHAPES)


def _add_tram(library: Library, shape: TramShape, rng: np.random.Generator) -> vp.Vehicle:
    front_z, height, half = shape.length_m / 2, shape.height, shape.width / 2
    side, roof = _side(library, shape, shape.end, True, rng), _roof(library, rng)
    black, equipment = vp.plain(library, vp.GAP, 1 - shape.skirt / height), vp.plain(library, vp.grey(118))
    meshes = []
    for ahead in (True, False):
        face = _face(library, shape, ahead, rng)
        coating = vp.Coating(side, face, black, roof, front_z, shape.end, shape.width, height)
        builder = MeshBuilder()
        share, tip = np.array([shape.nose * 0.6, (shape.nose + 0.75) / 2, 1, 1]), np.array([1, 0.85, 0.3, 0])
        along = np.array([0, 0.18, 1.3, shape.end])
        vp.hull(builder, [vp.ring(share * half * wide, y, along + tip * back, front_z) for wide, y, back in (
            (0.97, 0, 0.3), (1, 0.75, 0), (1, shape.window[0], 0.05 * shape.rake), (0.98, height - 0.45, 0.8 * shape.rake),
            (0.92, height - 0.12, shape.rake), (0.75, height, shape.rake + 0.2))], coating)
        for d in (0.45, 0.72):
            z = front_z - d * shape.end
            builder.box((-half * 0.6, height - 0.02, z - 0.9), (half * 0.6, height + 0.26, z + 0.9), equipment)
        if ahead:
            _add_pantograph(builder, black, front_z - 0.58 * shape.end, height)
        mesh = builder.build()
        meshes.append(mesh if ahead else replace(mesh, corners=mesh.corners * np.array([-1, 1, -1], np.float32)))
    joints = [front_z - shape.end, -front_z + shape.end + BELLOWS_M][: 2 if shape.middle else 1]
    folds, builder = _bellows(library, shape, rng), MeshBuilder()
    for z in joints:
        builder.box((-half * 0.9, 0.3, z - BELLOWS_M), (half * 0.9, height - 0.12, z), folds, top=black)
    if shape.middle:
        coating = vp.Coating(_side(library, shape, shape.middle, False, rng), black, black, roof, shape.middle / 2, shape.middle,
                         shape.width, height)
        ends = np.array([0, shape.middle])
        vp.hull(builder, [vp.ring(half * wide, y, ends, shape.middle / 2) for wide, y in (
            (0.97, 0), (1, 0.75), (1, shape.window[0]), (0.98, height - 0.45), (0.92, height - 0.12), (0.75, height))], coating)
        builder.box((-half * 0.6, height - 0.02, -1.6), (half * 0.6, height + 0.26, 1.6), equipment)
    meshes.append(builder.build())
    joined = Mesh(np.concatenate([mesh.corners for mesh in meshes]), np.concatenate([mesh.uv for mesh in meshes]),
                  np.concatenate([mesh.texture for mesh in meshes]), np.concatenate([mesh.part for mesh in meshes]))
    return vp.Vehicle(library.add_mesh(joined), shape.length_m, shape.width, height + 1.1)


def _add_pantograph(builder: MeshBuilder, black: int, z: float, height: float) -> None:
    """Adds a lower and an upper arm, seen from both sides, and the bow that touches the wire."""
    knee, tip = (height + 0.6, z + 0.75), (height + 1.05, z - 0.15)
    for (y0, z0), (y1, z1) in (((height, z - 0.3), knee), (knee, tip)):
        for x in (-0.25, 0.25):
            corners = ((x, y0 + 0.06, z0), (x, y1 + 0.06, z1), (x, y1, z1), (x, y0, z0))
            builder.quad(corners, black).quad(corners[::-1], black)
        corners = ((-0.27, y0, z0), (-0.2, y0, z0), (-0.2, y1, z1), (-0.27, y1, z1))
        for shift in (0, 0.47):
            moved = np.add(corners, (shift, 0, 0))
            builder.quad(moved, black).quad(moved[::-1], black)
    builder.box((-0.75, tip[0], tip[1] - 0.12), (0.75, tip[0] + 0.06, tip[1] + 0.12), black)


def _side(library: Library, shape: TramShape, length: float, nose: bool, rng: np.random.Generator) -> int:
    height, (low, high) = shape.height, shape.window
    panel = vp.Panel(length, height, TEXELS_PER_M)
    skirt = shape.skirt
    panel.body((skirt, skirt + 0.2, low - 0.15, low, high, height - 0.25, height), (150, 192, 228, 242, 236, 244, 200))
    panel.body((skirt, skirt + 0.2, skirt + 0.42), (140, 185, 205), TINT_2)
    panel.body((high + 0.12, height - 0.18), (225, 235), TINT_2)
    for d in np.arange(1.1, length, 1.6):
        panel.line(((d, skirt), (d, low - 0.1)), 0.014, vp.paint(160))
    panel.line(((0, low - 0.22), (length, low - 0.22)), 0.02, vp.paint(175))
    for d in (3.3, length - 2.0) if nose else (length / 2,):  # bogies behind the skirt
        panel.box(d - 1.0, 0.04, d + 1.0, skirt + 0.02, vp.grey(20))
        panel.line(((d - 1.1, skirt), (d - 1.1, 0.75), (d + 1.1, 0.75), (d + 1.1, skirt)), 0.02, vp.paint(110))
    first = shape.rake * 0.7 + 0.9 if nose else 0.3
    if shape.band:
        panel.box(0 if nose else 0.12, low - 0.05, length - 0.15, high + 0.08, vp.grey(24))
    edges = np.linspace(first, length - 0.3, max(2, round((length - first) / (1.5 if shape.band else 1.15))) + 1)
    for left, right in pairwise(edges):
        gap = 0.03 if shape.band else 0.09
        panel.pane(((left + gap, low), (left + gap, high), (right - gap, high), (right - gap, low)), 0.035)
        for seat in np.arange(left + 0.2, right - 0.3, 0.7):
            panel.box(seat, low, seat + 0.22, low + 0.25, vp.SEAT)
            if rng.random() < 0.25:
                panel.disc(seat + 0.12, low + 0.4, 0.12, vp.SEAT)
        if not shape.band or rng.random() < 0.4:
            panel.line(((left + gap, high - 0.3), (right - gap, high - 0.3)), 0.03, vp.RUBBER)
    if nose:
        panel.pane(((shape.rake * 0.25 + 0.35, low), (shape.rake * 0.75 + 0.35, high - 0.1), (first - 0.08, high - 0.1),
                    (first - 0.08, low)), 0.04)
    for left in shape.doors if nose else (length * 0.22, length * 0.65):
        panel.box(left - 0.06, skirt + 0.04, left + 1.36, high + 0.12, vp.grey(46))
        for leaf in (left, left + 0.66):
            panel.box(leaf, skirt + 0.06, leaf + 0.64, high + 0.08, vp.trim(225))
            panel.pane(((leaf + 0.08, 0.75), (leaf + 0.08, high), (leaf + 0.56, high), (leaf + 0.56, 0.75)), 0.04)
    if nose:
        panel.box(shape.end * 0.5, high - 0.02, shape.end * 0.5 + 1.3, high + 0.1, vp.GAP)
        panel.lettering(shape.end * 0.5 + 0.05, high - 0.01, 1.2, 0.1, vp.lit(30, 150, 235), rng)
    for d in (0.0, length - 0.05):
        panel.box(d, skirt, d + 0.05, height, vp.paint(120))
    return library.add_texture(panel.finish(rng, 0.45))


def _face(library: Library, shape: TramShape, ahead: bool, rng: np.random.Generator) -> int:
    """Paints the nose: white lamps where it goes ahead, red ones where it follows."""
    width, height, (low, high) = shape.width, shape.height, shape.window
    panel, mid = vp.Panel(width, height, TEXELS_PER_M * 1.5), width / 2
    panel.body((shape.skirt, 0.5, low - 0.25, low, height), (150, 205, 236, 245, 235))
    panel.body((shape.skirt, shape.skirt + 0.3), (140, 195), TINT_2)
    panel.box(mid - 0.3, shape.skirt, mid + 0.3, shape.skirt + 0.3, vp.grey(35))
    screen_low = low - 0.05
    panel.box(0, screen_low - 0.06, width, high + 0.05, vp.GAP)
    panel.pane(((0.1, screen_low), (0.18, high - 0.02), (width - 0.18, high - 0.02), (width - 0.1, screen_low)), 0.05)
    if not shape.band:
        for x in (mid - 0.4, mid + 0.4):
            panel.line(((x, screen_low), (x, high)), 0.06, vp.paint(200))
    panel.box(0.2, screen_low, width - 0.2, screen_low + 0.2, vp.SEAT)
    panel.box(mid - 0.25, screen_low, mid + 0.25, screen_low + 0.6, vp.SEAT)
    panel.line(((mid - 0.1, screen_low), (mid + 0.5, screen_low + 0.7)), 0.03, vp.GAP)
    panel.box(mid - 0.85, high + 0.03, mid + 0.85, min(high + 0.4, height - 0.12), vp.GAP)
    panel.lettering(mid - 0.78, high + 0.1, 0.35, 0.2, vp.lit(30, 150, 240), rng)
    panel.lettering(mid - 0.32, high + 0.12, 1.1, 0.16, vp.lit(30, 150, 240), rng)
    lamp = vp.lit(220, 236, 240) if ahead else vp.lit(45, 40, 225)
    reach = shape.nose * mid * 0.72
    for side in (-1, 1):
        panel.box(mid + side * (reach + 0.22), 0.72, mid + side * (reach - 0.2), 0.92, vp.grey(40))
        panel.disc(mid + side * reach, 0.82, 0.085, lamp)
        panel.disc(mid + side * (reach - 0.15), 0.82, 0.05, vp.RED if ahead else vp.grey(150))
    panel.lettering(mid - 0.25, low - 0.28, 0.5, 0.14, vp.trim(215), rng)
    return library.add_texture(panel.finish(rng))


def _roof(library: Library, rng: np.random.Generator) -> int:
    panel = vp.Panel(2, 4, 12)
    panel.box(0, 0, 2, 4, vp.paint(200))
    panel.box(0.4, 0, 1.6, 4, vp.grey(140))
    return library.add_texture(panel.finish(rng, 0))


def _bellows(library: Library, shape: TramShape, rng: np.random.Generator) -> int:
    panel = vp.Panel(BELLOWS_M, shape.height - 0.4, 60)
    panel.box(0, 0, BELLOWS_M, shape.height, vp.grey(30))
    for x in np.arange(0.03, BELLOWS_M, 0.11):
        panel.box(x, 0, x + 0.04, shape.height, vp.grey(62))
    return library.add_texture(panel.finish(rng, 0.2))
