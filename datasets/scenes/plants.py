"""Trees, bushes, hedges and ivy: cards of ragged leaves around a trunk, two-sided; all of it is part 0, vegetation.

The leaves of a card are a relief: lumps with smaller lumps on them, lit from above, with dark gaps, and holes at its edge.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.scenes.canvas import noise, times
from datasets.scenes.parts import HOLE, PLAIN, Bgr, Float32Array, Library, MeshBuilder, UInt8Array

CARD = 192  # texels across a crown
# How lit leaves differ from shaded ones, and one lump's from the next one's; blue, green, red
WARM, AUTUMNAL = np.array((-0.22, 0, 0.12), np.float32), np.array((0.5, 0.4, 1.4), np.float32)


@dataclass(frozen=True)
class Plant:
    """A plant's mesh and its size; hedges and ivy stretch along z, all others are round."""

    mesh: int
    height_m: float
    width_m: float


@dataclass(frozen=True)
class Plants:
    """All plants, by kind."""

    trees: tuple[Plant, ...]
    bushes: tuple[Plant, ...]
    hedges: tuple[Plant, ...]


@dataclass(frozen=True)
class Species:
    """A tree: its leaves' colour, height, and the crown's width, height and shape "round", "column", "cone" or "bare"."""

    color: Bgr
    height_m: float
    crown_m: tuple[float, float]
    shape: str
    trunk_m: float = 0.32


SPECIES = (  # blue, green, red
    Species((58, 104, 92), 9.5, (7.0, 7.0), "round"),
    Species((50, 94, 76), 12.0, (8.5, 9.2), "round", 0.45),
    Species((68, 116, 110), 8.0, (5.6, 5.6), "round", 0.26),
    Species((54, 84, 74), 6.5, (4.6, 4.2), "round", 0.2),
    Species((62, 104, 122), 9.0, (6.4, 6.4), "round", 0.32),
    Species((54, 92, 86), 10.5, (7.0, 7.8), "round", 0.36),
    Species((56, 98, 86), 13.5, (3.2, 12.2), "column", 0.34),
    Species((58, 76, 60), 11.0, (5.0, 9.8), "cone", 0.34),
    Species((64, 114, 100), 4.6, (2.3, 2.6), "round", 0.1),
    Species((58, 104, 90), 5.6, (3.0, 3.4), "round", 0.12),
    Species((78, 84, 88), 11.0, (8.0, 8.6), "bare", 0.4),
    Species((84, 89, 93), 8.0, (5.6, 6.0), "bare", 0.26),
)


def add_plants(library: Library, rng: np.random.Generator) -> Plants:
    """Adds all plants' textures and meshes to a library."""
    bark = library.add_texture(_bark(rng))
    trees = tuple(_tree(library, rng, species, bark) for species in SPECIES)
    bushes = []
    for width, height in ((1.6, 1.1), (2.2, 1.6), (1.3, 0.8), (2.8, 2.3), (3.4, 3.0), (1.8, 1.4)):
        color = times(SPECIES[rng.integers(4)].color, rng.uniform(0.85, 1.15))
        bushes.append(_bush(library, rng, color, width, height))
    hedges = [_hedge(library, rng, length, height, deep) for length, height, deep in
              ((5.0, 1.2, 0.8), (6.0, 1.7, 0.9), (4.0, 0.8, 0.6), (5.0, 2.6, 0.25))]
    return Plants(trees, tuple(bushes), tuple(hedges))


def leaves(rng: np.random.Generator, outline: Float32Array, color: Bgr, leaf: int, ragged: float) -> UInt8Array:
    """Returns a card of leaves.

    Args:
        rng: of its lumps and leaves.
        outline: (H, W) relief of the lumps; leaves are where it is above 0, and thin out towards 0.
        color: of a leaf in plain light.
        leaf: texels across a tuft of leaves.
        ragged: how deep the edge is eaten into.
    """
    size_hw = outline.shape
    tufts = noise(rng, size_hw, (size_hw[0] // leaf, size_hw[1] // leaf), 3)
    lumps = noise(rng, size_hw, (6, 6), 2)
    relief = 0.55 * np.maximum(outline, 0) + 0.18 * lumps + 0.12 * tufts
    there = outline + ragged * (tufts + 0.5 * lumps) > 0.12
    soft = cv2.GaussianBlur(relief, (0, 0), size_hw[1] / 28)
    from_above = np.clip(soft - np.roll(soft, -max(size_hw[0] // 24, 1), 0), -1, 1)  # falls below a lump's top
    rise = np.clip(relief - np.roll(relief, 2, 0), -0.12, 0.12)
    light = (0.95 - 2.0 * from_above + 1.8 * rise + 1.2 * (relief - soft)) * np.where(tufts < -0.5, 0.6, 1).astype(np.float32)
    light *= np.linspace(1.15, 0.72, size_hw[0], dtype=np.float32)[:, None]
    light *= 1 + 0.10 * rng.standard_normal(size_hw, np.float32)
    light = np.clip(light, 0.28, 1.55)[..., None]
    sunny = np.array(color, np.float32) * (1 + (light - 1) * WARM)
    sunny *= light * (1 + 0.08 * lumps[..., None] * AUTUMNAL)
    return np.dstack([np.clip(sunny, 0, 255), np.where(there, PLAIN, HOLE)]).astype(np.uint8)


def lumps_in(rng: np.random.Generator, size_hw: tuple[int, int], shape: str, count: int) -> Float32Array:
    """Returns the relief (H, W) of `count` lumps that fill a crown's outline, falling below 0 away from them."""
    height, width = size_hw
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    square = np.full(size_hw, 9, np.float32)  # of the distance to the nearest lump's middle, in its radii
    for _ in range(count):
        up = rng.uniform(0.05, 0.95)  # from the crown's top down
        half = {"round": np.sqrt(1 - (2 * up - 1) ** 2) * (0.9 + 0.1 * up), "column": np.sin(np.pi * up**0.7) ** 0.5,
                "cone": 0.12 + 0.88 * up}.get(shape, 1.0)
        radius = width * {"cone": 0.05 + 0.11 * up, "column": rng.uniform(0.14, 0.24)}.get(shape, rng.uniform(0.07, 0.17))
        x = width / 2 + rng.uniform(-1, 1) * max(half * width / 2 - radius, 0)
        y = np.clip(up * height, radius * 0.8, height - radius * 0.8)
        flat = 0.5 if shape == "cone" else 0.85
        top, low = max(int(y - 2 * radius), 0), int(y + 2 * radius) + 1
        left, right = max(int(x - 2 * radius), 0), int(x + 2 * radius) + 1
        near = ((columns[left:right] - x) / radius) ** 2 + ((rows[top:low] - y) / (radius * flat)) ** 2
        np.minimum(square[top:low, left:right], near, out=square[top:low, left:right])
    return (0.6 * np.where(square < 1, np.sqrt(np.maximum(1 - square, 0)), 1 - square)).astype(np.float32)


def branches(rng: np.random.Generator, size_hw: tuple[int, int], color: Bgr) -> UInt8Array:
    """Returns a card of a bare crown: boughs that fork into twigs, from the middle of the lower edge."""
    height, width = size_hw
    card = np.zeros((*size_hw, 4), np.uint8)
    card[..., :3] = color
    ends = np.array([(width / 2, height, turn, 0.3 * height) for turn in (-0.5, -0.15, 0.15, 0.5)])  # x, y, angle, length
    thick = 0.028 * width
    for _ in range(6):
        ahead = ends[:, 3:] * np.stack([np.sin(ends[:, 2]), -np.cos(ends[:, 2])], 1)
        _lines(card, rng, color, ends[:, :2], ends[:, :2] + ahead, thick)
        ends[:, :2] += ahead
        ends = np.repeat(ends, 3, 0)
        ends[:, 2] = 0.88 * ends[:, 2] + rng.normal(np.tile((-0.5, 0.05, 0.5), len(ends) // 3), 0.2)  # twigs bend up
        ends[:, 3] *= rng.uniform(0.55, 0.78, len(ends))
        thick *= 0.6
    inner = np.argwhere(lumps_in(rng, size_hw, "round", 40) > 0.1)  # the finest twigs, all over the crown
    roots = inner[rng.integers(len(inner), size=height * width // 26)][:, ::-1]
    tips = roots + rng.normal((0, -3.5), (3.2, 2.0), roots.shape) * width / 192
    _lines(card, rng, times(color, 1.15), roots, tips, 1)
    return card


def _lines(card: UInt8Array, rng: np.random.Generator, color: Bgr, start: np.ndarray, end: np.ndarray, thick: float) -> None:
    """Draws lines from `start` (N, 2) to `end` (N, 2) in a few shades."""
    lines = np.round(16 * np.stack([start, end], 1)).astype(np.int32)
    for part in np.array_split(lines, 4):
        shade = rng.uniform(0.65, 1.15)
        cv2.polylines(card, list(part), False, (*times(color, shade), PLAIN), max(round(thick), 1), shift=4)


def _bark(rng: np.random.Generator) -> UInt8Array:
    grooves = noise(rng, (96, 48), (4, 16), 3)
    light = 1 + 0.22 * grooves + 0.06 * rng.standard_normal((96, 48), np.float32)
    light *= 0.62 + 0.4 * np.sin(np.linspace(0.25, np.pi - 0.25, 48, dtype=np.float32))  # round, though it is a flat card
    color = np.array((62, 72, 80), np.float32) * np.clip(light, 0.3, 1.5)[..., None]
    return np.dstack([np.clip(color, 0, 255), np.full((96, 48), PLAIN)]).astype(np.uint8)


def _card(builder: MeshBuilder, center: tuple[float, float, float], turn: float, tilt: float, width: float, height: float,
          texture: int, mirror: bool = False) -> None:
    """Adds an upright card around `center` that is turned about the upright axis and leans back by `tilt`, both [rad]."""
    right = np.array((np.cos(turn), 0, -np.sin(turn))) * width / 2
    back = np.array((np.sin(turn), 0, np.cos(turn)))
    up = (np.array((0, np.cos(tilt), 0)) + back * np.sin(tilt)) * height / 2
    middle = np.array(center)
    builder.quad((middle - right + up, middle + right + up, middle + right - up, middle - right - up), texture,
                 uv=(1, 0, 0, 1) if mirror else (0, 0, 1, 1))


def _tree(library: Library, rng: np.random.Generator, species: Species, bark: int) -> Plant:
    wide, high = species.crown_m
    rows = int(np.clip(CARD * high / wide, CARD * 0.8, 1.6 * CARD)) // 2 * 2
    bare = species.shape == "bare"
    finer = 1.75 if bare else 1 if wide > 3.5 else 0.5  # twigs are thin, young trees small
    size_hw = round(rows * finer), round(CARD * finer)
    if bare:
        crowns = [library.add_texture(branches(rng, size_hw, species.color)) for _ in range(2)]
    else:
        ragged = 0.42 if species.shape == "cone" else 0.62
        crowns = [library.add_texture(leaves(rng, lumps_in(rng, size_hw, species.shape, count), species.color,
                                             4, ragged)) for count in (60, 46)]
    builder = MeshBuilder()
    base = species.height_m - high
    middle = base + high / 2
    start = rng.uniform(0, np.pi)
    for index in range(4 if bare else 3):
        _card(builder, (0, middle, 0), start + index * np.pi / (4 if bare else 3), 0, wide, high, crowns[index % 2], index > 1)
    if species.shape == "round":  # clumps around the middle, which give the crown its depth
        tuft = library.add_texture(leaves(rng, lumps_in(rng, (CARD // 2, CARD // 2), "round", 26), species.color, 4, 0.55))
        for index in range(10):
            turn, level = index * 2.4 + rng.uniform(-0.3, 0.3), (index + 0.5) / 10 - 0.5
            out = wide * 0.29 * np.sqrt(1 - (1.7 * level) ** 2)
            center = out * np.sin(turn), middle + level * high * 0.72, out * np.cos(turn)
            _card(builder, center, turn, -0.9 * level, wide * rng.uniform(0.42, 0.56), high * rng.uniform(0.36, 0.48), tuft,
                  index % 2 > 0)
    trunk_top = base + high * (0.45 if species.shape == "round" else 0.12)
    for turn in (start, start + np.pi / 2):
        thick = species.trunk_m
        right = np.array((np.cos(turn), 0, -np.sin(turn))) * thick / 2
        top = np.array((0, trunk_top, 0))
        builder.quad((top - 0.6 * right, top + 0.6 * right, 1.15 * right, -1.15 * right), bark, uv=(0, 0, 1, 2))
    return Plant(library.add_mesh(builder.build(two_sided=True)), species.height_m, wide)


def _bush(library: Library, rng: np.random.Generator, color: Bgr, width: float, height: float) -> Plant:
    size_hw = (round(96 * np.clip(height / width, 0.6, 1.2)), 112)
    relief = lumps_in(rng, size_hw, "round", 44)
    low = lumps_in(rng, size_hw, "block", 14)
    low[: size_hw[0] // 2] = -1
    texture = library.add_texture(leaves(rng, np.maximum(relief, low), color, 4, 0.4))
    builder = MeshBuilder()
    for index in range(3):
        _card(builder, (0, height / 2, 0), index * np.pi / 3, 0, width, height, texture, index == 1)
    for index in range(5):
        turn = index * 1.257 + 0.5
        center = width * 0.27 * np.sin(turn), height * 0.36, width * 0.27 * np.cos(turn)
        _card(builder, center, turn, 0.15, width * 0.62, height * 0.74, texture, index % 2 > 0)
    return Plant(library.add_mesh(builder.build(two_sided=True)), height, width)


def _hedge(library: Library, rng: np.random.Generator, length: float, height: float, deep: float) -> Plant:
    """Adds a hedge along z; the thinnest is ivy on a wall."""
    size_hw = (max(round(height * 44), 48), round(length * 36))
    rows = np.linspace(0, 1, size_hw[0], dtype=np.float32)[:, None]
    relief = (0.34 + 0.2 * noise(rng, size_hw, (4, 9), 2)) * np.minimum(1, rows * 9) * np.ones(size_hw, np.float32)
    color = times((54, 90, 76), rng.uniform(0.8, 1.2))
    side = library.add_texture(leaves(rng, np.maximum(relief, 0.3 * (rows > 0.2)).astype(np.float32), color, 5, 0.2))
    top = library.add_texture(leaves(rng, np.full((48, size_hw[1]), 0.5, np.float32), color, 5, 0.2))
    low, near, far = -deep / 2, -length / 2, length / 2
    builder = MeshBuilder()
    for x in (low, -low, 0.0):
        up = height if x else height * 1.04
        builder.quad(((x, up, far), (x, up, near), (x, 0, near), (x, 0, far)), side, uv=(1, 0, 0, 1) if x > 0 else (0, 0, 1, 1))
    share = max(deep / length, 0.1)
    for z in (near, far):
        builder.quad(((low, height, z), (-low, height, z), (-low, 0, z), (low, 0, z)), side, uv=(0.3, 0, 0.3 + share, 1))
    up = height * 0.93
    builder.quad(((low, up, far), (-low, up, far), (-low, up, near), (low, up, near)), top, uv=(0, 0, 1, 1))
    return Plant(library.add_mesh(builder.build(two_sided=True)), height, length)
