"""How vehicles are made: sides painted in metres, and hulls of rings that the sides are projected onto.

A place along a vehicle is told by its distance `d` [m] behind the front bumper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes.canvas import Length, Painter
from datasets.scenes.parts import (
    GLASS,
    GLOW,
    TINT_1,
    TINT_2,
    Float32Array,
    Library,
    MeshBuilder,
    Texel,
    UInt8Array,
)


def paint(level: int) -> Texel:
    """Returns the first tint at a brightness of 0 to 255."""
    return Texel((level, level, level), TINT_1)


def trim(level: int) -> Texel:
    """Returns the second tint at a brightness of 0 to 255."""
    return Texel((level, level, level), TINT_2)


def grey(level: int) -> Texel:
    """Returns a grey that no tint changes."""
    return Texel((level, level, level))


def lit(blue: int, green: int, red: int) -> Texel:
    """Returns a lamp that shines."""
    return Texel((blue, green, red), GLOW)


RUBBER, PLASTIC, GAP = grey(22), grey(38), grey(10)
PANE, FAR_PANE, SEAT = Texel((44, 40, 36), GLASS), Texel((62, 58, 53), GLASS), Texel((20, 19, 19), GLASS)
RED, AMBER = Texel((34, 26, 128)), Texel((30, 90, 190))
PLATE, YELLOW_PLATE = Texel((205, 212, 214)), Texel((70, 190, 215))
DIRT = np.array([78, 88, 96], np.float32)


@dataclass(frozen=True)
class Vehicle:
    """A mesh and the room that it takes, in metres."""

    mesh: int
    length_m: float
    width_m: float
    height_m: float


class Panel(Painter):
    """A side of a vehicle, painted in metres: x right from its left edge, y up from the ground.

    Its texture ends exactly where the side does, so a texel may be a little wider than high.
    """

    STEPS = 8
    CENTER = 0.5

    def __init__(self, width_m: float, height_m: float, texels_per_m: float) -> None:
        super().__init__(width_m, height_m, texels_per_m)
        self._down, self._across = self.code.shape[0] / height_m, self.code.shape[1] / width_m

    def _row(self, y: Length) -> Length:
        return (self.height_m - y) * self._down

    def box(self, left: float, bottom: float, right: float, top: float, paint: Texel) -> None:
        """Fills a rectangle between edges."""
        left, right = sorted((left, right))
        self._fill(self._section(left, top, right, bottom), paint)

    def disc(self, x: float, y: float, radius: float, paint: Texel) -> None:
        """Fills a circle around (x, y)."""
        self.ellipse(x, y, radius, radius, paint)

    def pane(self, points: Sequence[tuple[float, float]], seam_m: float = 0.03) -> None:
        """Paints a window with its rubber seam; it is brighter above, where panes on the far side shine through.

        Args:
            points: lower left, upper left, upper right, lower right.
            seam_m: width of the seam.
        """
        self.polygon(points, PANE)
        low_left, left, right, low_right = np.asarray(points, np.float64)
        self.polygon((0.45 * low_left + 0.55 * left, left, right, 0.45 * low_right + 0.55 * right), FAR_PANE)
        self.line((*points, points[0]), seam_m, RUBBER)

    def body(self, heights: Sequence[float], levels: Sequence[float], code: int = TINT_1, left: float = 0.0,
             right: float | None = None) -> None:
        """Paints a wall from the first height to the last, of greys that are given at heights."""
        rows = self.height_m - (np.arange(len(self.code)) + 0.5) / self._down
        inside = (rows >= heights[0]) & (rows <= heights[-1])
        columns = slice(round(left * self._across), round((self.width_m if right is None else right) * self._across))
        self.bgr[inside, columns] = np.interp(rows[inside], heights, levels).astype(np.uint8)[:, None, None]
        self.code[inside, columns] = code

    def wheel(self, x: float, radius: float, rim: str, rng: np.random.Generator, arch: float = 0.06) -> None:
        """Paints a wheel that stands on the ground, in its arch; rim is 'spokes', 'cap' or 'lorry'."""
        angles = np.linspace(0, np.pi, 15)
        around = np.stack([x + np.cos(angles) * (radius + arch), radius + np.sin(angles) * (radius + arch)], -1)
        bottom = min(0.2, radius)
        self.polygon(((x + radius + arch, bottom), *around, (x - radius - arch, bottom)), GAP)
        self.disc(x, radius, radius, RUBBER)
        self.disc(x, radius, radius * 0.96, grey(34))
        inner = radius * (0.58 if rim == "lorry" else 0.7)
        level = int(rng.integers(105, 165))
        self.disc(x, radius, inner, grey(level - 40))
        self.disc(x, radius, inner * 0.93, grey(level if rim != "lorry" else level - 50))
        if rim == "lorry":
            self.disc(x, radius, inner * 0.7, grey(45))
            self.disc(x, radius, inner * 0.4, grey(95))
            return
        count, start = int(rng.integers(5, 9)), rng.uniform(0, np.pi)
        half = np.pi / count * (0.55 if rim == "spokes" else 0.2)
        for angle in start + np.arange(count) * 2 * np.pi / count:
            ends = np.array([angle - half, angle + half])
            near, far = inner * (0.3 if rim == "spokes" else 0.6), inner * 0.86
            corners = [(x + np.cos(a) * r, radius + np.sin(a) * r)
                       for a, r in zip((*ends, *ends[::-1]), (far, far, near, near), strict=True)]
            self.polygon(corners, grey(28 if rim == "spokes" else level - 70))
        self.disc(x, radius, inner * 0.14, grey(level - 50))

    def plate(self, x: float, y: float, paint: Texel, rng: np.random.Generator) -> None:
        """Paints a number plate around (x, y)."""
        self.box(x - 0.26, y - 0.06, x + 0.26, y + 0.06, paint)
        self.lettering(x - 0.2, y - 0.03, 0.4, 0.06, grey(35), rng)

    def lettering(self, left: float, bottom: float, width: float, height: float, paint: Texel,
                  rng: np.random.Generator) -> None:
        """Paints what reads as a word from afar: upright and level strokes."""
        x, pitch = left, height * 0.8
        while x < left + width - pitch:
            if rng.random() < 0.9:
                stroke = height * 0.22
                self.box(x, bottom, x + stroke, bottom + height, paint)
                for level in rng.choice(3, 2, replace=False):
                    low = bottom + level * (height - stroke) / 2
                    self.box(x, low, x + pitch * 0.7, low + stroke, paint)
                if rng.random() < 0.5:
                    self.box(x + pitch * 0.7 - stroke, bottom, x + pitch * 0.7, bottom + height, paint)
            x += pitch

    def finish(self, rng: np.random.Generator, dirt: float = 0.35) -> UInt8Array:
        """Returns the texture (H, W, 4): with stains all over and road dirt that thins out upwards from the ground."""
        color, code = self.averaged()
        coarse = 1 + 0.035 * rng.standard_normal((4, 9), np.float32)
        fine = 1 + 0.02 * rng.standard_normal((self.size[1] // 2 + 1, self.size[0] // 2 + 1), np.float32)
        gain = cv2.resize(coarse, self.size, interpolation=cv2.INTER_CUBIC) * cv2.resize(fine, self.size)
        rows = self.height_m * (1 - (np.arange(self.size[1], dtype=np.float32) + 0.5) / self.size[1])
        share = (dirt * rng.uniform(0.6, 1) * np.exp(-rows / 0.3))[:, None, None].astype(np.float32)
        dirty = color * (gain[..., None] * (1 - share)) + share * DIRT
        return np.dstack([np.minimum(dirty, 255), code]).astype(np.uint8)


@dataclass(frozen=True)
class Coating:
    """The textures of a hull, and the room that each of them shows the whole of.

    Attributes:
        side: of both sides, from its front at the left to its rear.
        front, rear: as seen from ahead and from behind.
        top: as seen from above, front up.
        front_z: where the hull begins [m], in the object's frame.
        length_m, width_m, height_m: of the room, which begins at the ground.
    """

    side: int
    front: int
    rear: int
    top: int
    front_z: float
    length_m: float
    width_m: float
    height_m: float

    def faces(self, builder: MeshBuilder, corners: Float32Array, deck: bool) -> None:
        """Adds faces (F, 4, 3), each with the texture of the view that it turns to; upwards only where `deck`."""
        x, y, z = _cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]).T
        steep = np.maximum(np.abs(x), np.abs(z))
        right, back = corners[..., 0] / self.width_m + 0.5, (self.front_z - corners[..., 2]) / self.length_m
        down = 1 - corners[..., 1] / self.height_m
        cases = (deck & (y > steep), np.abs(x) > np.abs(z), z > 0)
        texture = np.select(cases, (self.top, self.side, self.front), self.rear)
        u = np.select([case[:, None] for case in cases], (right, back, 1 - right), right)
        uv = np.clip(np.stack([u, np.where(cases[0][:, None], back, down)], -1), 0.002, 0.998)
        for pick in ([0, 1, 2], [0, 2, 3]):
            a, b, c = corners[:, pick].swapaxes(0, 1)
            for face in np.flatnonzero(np.abs(_cross(b - a, c - a)).max(axis=1) > 1e-6):
                builder.triangle(corners[face, pick], uv[face, pick], int(texture[face]))


def _cross(a: Float32Array, b: Float32Array) -> Float32Array:
    """Returns the cross products of (F, 3) vectors; `np.cross` is slow for few."""
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]


def ring(half_widths: npt.ArrayLike, heights: npt.ArrayLike, distances: npt.ArrayLike, front_z: float) -> Float32Array:
    """Returns an outline (2N, 3) [m], clockwise from above: N points down the right side, mirrored up the left one."""
    x, y, d = np.broadcast_arrays(*(np.asarray(values, np.float32) for values in (half_widths, heights, distances)))
    right = np.stack([x, y, front_z - d], -1)
    return np.concatenate([right, right[::-1] * np.array([-1, 1, 1], np.float32)])


def hull(builder: MeshBuilder, rings: Sequence[Float32Array], coating: Coating, decks: Sequence[int] = ()) -> None:
    """Adds the skin between rings (2N, 3), from the lowest one up, and the lid of the last.

    Args:
        builder: takes the faces.
        rings: outlines of equal length.
        coating: its textures.
        decks: the gaps, counted from the lowest, whose faces may be seen from above: bonnet and boot.
    """
    for gap, (lower, upper) in enumerate(pairwise(rings)):
        lower_next, upper_next = np.roll(lower, -1, axis=0), np.roll(upper, -1, axis=0)
        coating.faces(builder, np.stack([upper_next, upper, lower, lower_next], axis=1), gap in decks)
    count = len(rings[-1]) // 2
    right, left = rings[-1][:count], rings[-1][: count - 1 : -1]
    coating.faces(builder, np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1), True)


def plain(library: Library, paint: Texel, share: float = 1.0) -> int:
    """Returns a texture of one colour, which fills an upper share of it."""
    texture = np.zeros((16, 4, 4), np.uint8)
    texture[: round(16 * share)] = (*paint.bgr, paint.code)
    return library.add_texture(texture)


def axle(library: Library, width_m: float, height_m: float, tyre_m: float, rng: np.random.Generator) -> int:
    """Returns the texture of what is seen below a bumper: two tyres, and the dark underbody between them."""
    panel = Panel(width_m, height_m, 40)
    panel.box(0.1, height_m * 0.45, width_m - 0.1, height_m, grey(12))
    for left in (0.03, width_m - 0.03 - tyre_m):
        panel.box(left, 0, left + tyre_m, height_m, RUBBER)
    return library.add_texture(panel.finish(rng, 0.2))


def add_axle(builder: MeshBuilder, texture: int, z: float, width_m: float, height_m: float, ahead: bool) -> None:
    """Adds an axle's upright face at z; `ahead` where it is seen from the front."""
    x = width_m / 2 * (1 if ahead else -1)
    builder.quad(((x, height_m, z), (-x, height_m, z), (-x, 0, z), (x, 0, z)), texture)
