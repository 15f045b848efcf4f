"""How vehicles are made: sides painted in metres, and hulls of rings that the sides are projected onto.

A place along a vehicle is told by its distance `d` [m] behind the front bumper.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import (
    GLASS,
    GLOW,
    PLAIN,
    TINT_1,
    TINT_2,
    Float32Array,
    Library,
    MeshBuilder,
    UInt8Array,
)

SUPER = 2  # pixels painted per texel and direction
SHIFT = 3  # fractional bits of OpenCV's coordinates
Color = tuple[int, int, int, int]


def paint(level: int) -> Color:
    """Returns the first tint at a brightness of 0 to 255."""
    return level, level, level, TINT_1


def trim(level: int) -> Color:
    """Returns the second tint at a brightness of 0 to 255."""
    return level, level, level, TINT_2


def grey(level: int) -> Color:
    """Returns a grey that no tint changes."""
    return level, level, level, PLAIN


def lit(blue: int, green: int, red: int) -> Color:
    """Returns a lamp that shines."""
    return blue, green, red, GLOW


RUBBER, PLASTIC, GAP = grey(22), grey(38), grey(10)
PANE: Color = (44, 40, 36, GLASS)
FAR_PANE: Color = (62, 58, 53, GLASS)
SEAT: Color = (20, 19, 19, GLASS)
RED: Color = (34, 26, 128, PLAIN)
AMBER: Color = (30, 90, 190, PLAIN)
DIRT = np.array([78, 88, 96], np.float32)


@dataclass(frozen=True)
class Vehicle:
    """A mesh and the room that it takes, in metres."""

    mesh: int
    length_m: float
    width_m: float
    height_m: float


class Panel:
    """A side of a vehicle, painted in metres: x right from its left edge, y up from the ground; holes at first."""

    def __init__(self, width_m: float, height_m: float, texels_per_m: float) -> None:
        self.width_m, self.height_m = width_m, height_m
        self.size = round(width_m * texels_per_m), round(height_m * texels_per_m)
        self.image = np.zeros((self.size[1] * SUPER, self.size[0] * SUPER, 4), np.uint8)
        self._words = self.image.view(np.uint32)[..., 0]  # a pixel at a time
        self._scale = np.array([self.image.shape[1] / width_m, self.image.shape[0] / height_m])

    def polygon(self, points: npt.ArrayLike, color: Color) -> None:
        cv2.fillPoly(self.image, [self._pixels(points)], color, cv2.LINE_8, SHIFT)

    def box(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        (across, down), (left, right) = self._scale, sorted((left, right))
        rows = max(round((self.height_m - top) * down), 0), round((self.height_m - bottom) * down)
        columns = max(round(left * across), 0), round(right * across)
        self._words[rows[0] : max(rows[1], rows[0] + 1), columns[0] : max(columns[1], columns[0] + 1)] = _word(color)

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        (center,) = self._pixels(((x, y),)).tolist()
        cv2.circle(self.image, center, round(radius * self._scale[1] * 2**SHIFT), color, -1, cv2.LINE_8, SHIFT)

    def line(self, points: npt.ArrayLike, width_m: float, color: Color) -> None:
        thickness = max(1, round(width_m * self._scale[1]))
        cv2.polylines(self.image, [self._pixels(points)], False, color, thickness, cv2.LINE_8, SHIFT)

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
        rows = self.height_m - (np.arange(len(self.image)) + 0.5) / self._scale[1]
        inside = (rows >= heights[0]) & (rows <= heights[-1])
        ends = np.round(np.array([left, self.width_m if right is None else right]) * self._scale[0]).astype(int)
        shades = np.interp(rows[inside], heights, levels).astype(np.uint8)[:, None].repeat(4, 1)
        shades[:, 3] = code
        self._words[inside, ends[0] : ends[1]] = shades.view(np.uint32)

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

    def plate(self, x: float, y: float, color: Color, rng: np.random.Generator) -> None:
        """Paints a number plate around (x, y)."""
        self.box(x - 0.26, y - 0.06, x + 0.26, y + 0.06, color)
        self.lettering(x - 0.2, y - 0.03, 0.4, 0.06, grey(35), rng)

    def lettering(self, left: float, bottom: float, width: float, height: float, color: Color,
                  rng: np.random.Generator) -> None:
        """Paints what reads as a word from afar: upright and level strokes."""
        x, pitch = left, height * 0.8
        while x < left + width - pitch:
            if rng.random() < 0.9:
                stroke = height * 0.22
                self.box(x, bottom, x + stroke, bottom + height, color)
                for level in rng.choice(3, 2, replace=False):
                    low = bottom + level * (height - stroke) / 2
                    self.box(x, low, x + pitch * 0.7, low + stroke, color)
                if rng.random() < 0.5:
                    self.box(x + pitch * 0.7 - stroke, bottom, x + pitch * 0.7, bottom + height, color)
            x += pitch

    def finish(self, rng: np.random.Generator, dirt: float = 0.35) -> UInt8Array:
        """Returns the texture (H, W, 4): with stains all over and road dirt that thins out upwards from the ground."""
        texture = np.asarray(cv2.resize(self.image, self.size, interpolation=cv2.INTER_AREA), np.uint8)
        coarse = 1 + 0.035 * rng.standard_normal((4, 9), np.float32)
        fine = 1 + 0.02 * rng.standard_normal((self.size[1] // 2 + 1, self.size[0] // 2 + 1), np.float32)
        gain = cv2.resize(coarse, self.size, interpolation=cv2.INTER_CUBIC) * cv2.resize(fine, self.size)
        rows = self.height_m * (1 - (np.arange(self.size[1], dtype=np.float32) + 0.5) / self.size[1])
        share = (dirt * rng.uniform(0.6, 1) * np.exp(-rows / 0.3))[:, None, None].astype(np.float32)
        color = texture[..., :3] * (gain[..., None] * (1 - share)) + share * DIRT
        texture[..., :3] = np.minimum(color, 255)
        texture[..., 3] = self.image[::SUPER, ::SUPER, 3]
        return texture

    def _pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        xy = np.array(points, np.float64)
        xy[:, 1] = self.height_m - xy[:, 1]
        pixels: npt.NDArray[np.int32] = np.rint((xy * self._scale - 0.5) * 2**SHIFT).astype(np.int32)
        return pixels


@dataclass(frozen=True)
class Views:
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


def _word(color: Color) -> np.uint32:
    """Returns a pixel as one number."""
    return np.uint32(int.from_bytes(bytes(color), sys.byteorder))


def _cross(a: Float32Array, b: Float32Array) -> Float32Array:
    """Returns the cross products of (F, 3) vectors; `np.cross` is slow for few."""
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]


def ring(half_widths: npt.ArrayLike, heights: npt.ArrayLike, distances: npt.ArrayLike, front_z: float) -> Float32Array:
    """Returns an outline (2N, 3) [m], clockwise from above: N points down the right side, mirrored up the left one."""
    x, y, d = np.broadcast_arrays(*(np.asarray(values, np.float32) for values in (half_widths, heights, distances)))
    right = np.stack([x, y, front_z - d], -1)
    return np.concatenate([right, right[::-1] * np.array([-1, 1, 1], np.float32)])


def hull(builder: MeshBuilder, rings: Sequence[Float32Array], views: Views, decks: Sequence[int] = ()) -> None:
    """Adds the skin between rings (2N, 3), from the lowest one up, and the lid of the last.

    Args:
        builder: takes the faces.
        rings: outlines of equal length.
        views: the textures.
        decks: the gaps, counted from the lowest, whose faces may be seen from above: bonnet and boot.
    """
    for gap, (lower, upper) in enumerate(pairwise(rings)):
        lower_next, upper_next = np.roll(lower, -1, axis=0), np.roll(upper, -1, axis=0)
        views.faces(builder, np.stack([upper_next, upper, lower, lower_next], axis=1), gap in decks)
    count = len(rings[-1]) // 2
    right, left = rings[-1][:count], rings[-1][: count - 1 : -1]
    views.faces(builder, np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1), True)


def plain(library: Library, color: Color, share: float = 1.0) -> int:
    """Returns a texture of one colour, which fills an upper share of it."""
    texture = np.zeros((16, 4, 4), np.uint8)
    texture[: round(16 * share)] = color
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
