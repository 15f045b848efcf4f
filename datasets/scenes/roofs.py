"""Roofs of buildings: flat ones with parapets, gables along the street or towards it, mansards; chimneys and dormers."""

from typing import NamedTuple

import numpy as np

from datasets.scenes.facades import SURFACE_M
from datasets.scenes.parts import MeshBuilder


class Skin(NamedTuple):
    """The textures of a building, by index."""

    storeys: int
    ground: int
    wall: int
    roof: int
    trim: int
    pane: int
    railing: int
    awning: int
    board: int
    flat: int


class Block(NamedTuple):
    """The box of a building: bays and storeys that its front shows, and the sizes that follow."""

    bays: int
    floors: int
    width_m: float
    depth_m: float
    height_m: float


def front_face(builder: MeshBuilder, x: float, low: float, high: float, near: float, far: float, texture: int,
           uv: tuple[float, float, float, float] = (0, 0, 1, 1)) -> None:
    """Adds a face towards -x, from z = `near` to `far`."""
    builder.quad(((x, high, far), (x, high, near), (x, low, near), (x, low, far)), texture, uv=uv)


def case(builder: MeshBuilder, low: tuple[float, float, float], high: tuple[float, float, float], texture: int,
          top: int | None = None, bottom: bool = False) -> None:
    """Adds a box whose texture repeats every SURFACE_M metres."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    wide, tall, deep = (x1 - x0) / SURFACE_M, (y1 - y0) / SURFACE_M, (z1 - z0) / SURFACE_M
    front_face(builder, x0, y0, y1, z0, z1, texture, (0, 0, deep, tall))
    builder.quad(((x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)), texture, uv=(0, 0, wide, tall))
    builder.quad(((x1, y1, z1), (x0, y1, z1), (x0, y0, z1), (x1, y0, z1)), texture, uv=(0, 0, wide, tall))
    builder.quad(((x1, y1, z0), (x1, y1, z1), (x1, y0, z1), (x1, y0, z0)), texture, uv=(0, 0, deep, tall))
    builder.quad(((x0, y1, z1), (x1, y1, z1), (x1, y1, z0), (x0, y1, z0)), texture if top is None else top,
                 uv=(0, 0, wide, deep))
    if bottom:
        builder.quad(((x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)), texture, uv=(0, 0, wide, deep))


def _cornice(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin) -> None:
    out, high = rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.5)
    low = -out, block.height_m - high, -block.width_m / 2
    case(builder, low, (0.0, block.height_m + 0.02, block.width_m / 2), skin.trim, bottom=True)


def flat(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin) -> None:
    half, top = block.width_m / 2, block.height_m
    if rng.random() < 0.6:
        _cornice(builder, rng, block, skin)
    parapet = rng.uniform(0.4, 1.0)
    case(builder, (0, top, -half), (block.depth_m, top + parapet, half), skin.wall, skin.flat)
    case(builder, (-0.06, top + parapet, -half), (block.depth_m, top + parapet + 0.1, half), skin.trim, skin.flat, bottom=True)
    if rng.random() < 0.6:  # a lift's or an air plant's housing
        z = rng.uniform(-half + 1, half - 4)
        case(builder, (3, top + parapet, z), (6.5, top + parapet + rng.uniform(1.2, 2.6), z + 3), skin.trim)


def gable(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin) -> None:
    """Adds a roof whose ridge runs along the street."""
    half, top, depth = block.width_m / 2, block.height_m, block.depth_m
    rise = depth / 2 * rng.uniform(0.65, 1.0)
    out, drop = 0.4, 0.4 * rise / (depth / 2)
    across, up = block.width_m / 4, np.hypot(depth / 2, rise) / 3
    far, near, ridge = half + 0.12, -half - 0.12, top + rise
    low = top - drop + 0.1
    for edge, z0, z1 in ((-out, far, near), (depth + out, near, far)):
        builder.quad(((depth / 2, ridge, z0), (depth / 2, ridge, z1), (edge, low, z1), (edge, low, z0)), skin.roof,
                     uv=(0, 0, across, up))
    case(builder, (-out - 0.08, low - 0.12, near), (0, low + 0.04, far), skin.trim, bottom=True)  # gutter and soffit
    for z, x0, x1 in ((-half, 0.0, depth), (half, depth, 0.0)):
        builder.triangle(((x0, top, z), (depth / 2, ridge - 0.1, z), (x1, top, z)),
                         ((0, rise / SURFACE_M), (depth / 2 / SURFACE_M, 0), (depth / SURFACE_M, rise / SURFACE_M)), skin.wall)
    for z in rng.permutation([-half + 0.1, half - 1.1])[: rng.integers(1, 3)]:
        _chimney(builder, rng, depth / 2 + rng.uniform(-1.5, 0), ridge, z, skin)
    if rng.random() < 0.5:
        _dormers(builder, rng, block, skin, rise / (depth / 2))


def mansard(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin) -> None:
    """Adds a steep slope towards the street with a row of dormers in it, and a shallow one above."""
    half, top, depth = block.width_m / 2, block.height_m, block.depth_m
    _cornice(builder, rng, block, skin)
    edge, ridge, back, middle = top + 2.6, top + 3.9, 1.1, depth / 2
    across = block.width_m / 4
    builder.quad(((back, edge, half), (back, edge, -half), (0, top, -half), (0, top, half)), skin.roof, uv=(0, 0, across, 0.95))
    builder.quad(((middle, ridge, half), (middle, ridge, -half), (back, edge, -half), (back, edge, half)), skin.roof,
                 uv=(0, 0, across, 1.6))
    builder.quad(((middle, ridge, -half), (middle, ridge, half), (depth, top, half), (depth, top, -half)), skin.roof)
    for z, ends in ((-half, (0, 1, 2, 3)), (half, (3, 2, 1, 0))):
        profile = np.array(((0, top, z), (back, edge, z), (middle, ridge, z), (depth, top, z)))[list(ends)]
        uv = np.stack([profile[:, 0] / SURFACE_M, (ridge - profile[:, 1]) / SURFACE_M], 1)
        for a, b, c in ((0, 1, 2), (0, 2, 3)):
            builder.triangle(profile[[a, b, c]], uv[[a, b, c]], skin.wall)
    _dormers(builder, rng, block, skin, 2.6 / back, every=1)
    for z in (-half + 0.1, half - 1.1):
        _chimney(builder, rng, middle - 1, ridge, z, skin)


def front_gable(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin) -> None:
    """Adds a roof whose ridge runs away from the street, above a gable with a window."""
    half, top, depth = block.width_m / 2, block.height_m, block.depth_m
    rise = half * rng.uniform(0.75, 1.15)
    wide, tall = block.width_m / SURFACE_M, rise / SURFACE_M
    gable_uv = ((0, tall), (wide / 2, 0), (wide, tall))
    builder.triangle(((0, top, half), (0, top + rise, 0), (0, top, -half)), gable_uv, skin.wall)
    builder.triangle(((depth, top, -half), (depth, top + rise, 0), (depth, top, half)), gable_uv, skin.wall)
    drop, out = 0.35 * rise / half, half + 0.35
    ridge, low = top + rise + 0.06, top - drop + 0.06
    for z, x0, x1 in ((-out, -0.3, depth), (out, depth, -0.3)):
        builder.quad(((x0, ridge, 0), (x1, ridge, 0), (x1, low, z), (x0, low, z)), skin.roof,
                     uv=(0, 0, depth / 4, np.hypot(half, rise) / 3))
    for near in (-1.5, 0.3) if half > 4.5 else (-0.6,):
        front_face(builder, -0.03, top + 0.3, top + 1.7, near, near + 1.2, skin.pane)
    for side in (-1, 1):  # barge boards: the roof's edge as the street sees it
        ends = [(-0.32, ridge - 0.25, 0.0), (-0.32, ridge, 0.0), (-0.32, low, side * out), (-0.32, low - 0.25, side * out)]
        corners = [ends[1], ends[2], ends[3], ends[0]] if side < 0 else [ends[2], ends[1], ends[0], ends[3]]
        builder.quad(corners, skin.trim)
    _chimney(builder, rng, depth * 0.6, top + rise, -0.5, skin)


def _chimney(builder: MeshBuilder, rng: np.random.Generator, x: float, ridge: float, z: float, skin: Skin) -> None:
    high = ridge + rng.uniform(0.7, 1.5)
    deep = rng.uniform(0.7, 1.8)
    case(builder, (x, ridge - 1.5, z), (x + deep, high, z + 1.0), skin.wall)
    for pot in np.arange(x + 0.15, x + deep - 0.2, 0.45):
        builder.box((pot, high, z + 0.35), (pot + 0.25, high + 0.45, z + 0.62), skin.roof)


def _dormers(builder: MeshBuilder, rng: np.random.Generator, block: Block, skin: Skin, slope: float, every: int = 2) -> None:
    """Adds dormers to the slope towards the street, `slope` being its rise per metre."""
    bay_m = block.width_m / block.bays
    for bay in range(int(rng.integers(every)), block.bays, every):
        near = -block.width_m / 2 + (bay + 0.5) * bay_m - 0.65
        far, base, high = near + 1.3, block.height_m + 0.45, block.height_m + 2.0
        front, back = 0.4 / slope, (high - block.height_m) / slope + 0.3
        front_face(builder, front, base, high, near, far, skin.pane)
        middle = (near + far) / 2
        builder.triangle(((front, high, far), (front, high + 0.5, middle), (front, high, near)), ((0, 1), (0.5, 0), (1, 1)),
                         skin.trim)
        for z, eaves, x0, x1 in ((near, near - 0.12, front, back), (far, far + 0.12, back, front)):
            builder.quad(((x0, high, z), (x1, high, z), (x1, base, z), (x0, base, z)), skin.roof, uv=(0, 0, 0.3, 0.4))
            ridge, low = high + 0.55, high - 0.05
            builder.quad(((x0, ridge, middle), (x1, ridge, middle), (x1, low, eaves), (x0, low, eaves)), skin.roof,
                         uv=(0, 0, 0.4, 0.3))


ROOFS = {"flat": flat, "gable": gable, "mansard": mansard, "front": front_gable}
