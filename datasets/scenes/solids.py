"""Draws rounded solids as they look from several sides: textures of a figure that is turned to the camera.

A figure is made of tapered rods with elliptic cross-sections and of wheels, in its object's frame [m]: x right, y up,
z ahead. They are projected in parallel from horizontal directions, with a depth buffer and the soft shading of an
overcast sky, so that one description of a figure gives all its views.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import HOLE, PLAIN, Bgr, Library, MeshBuilder

Array = npt.NDArray[np.floating]

TEXELS_PER_M = 70
Point = npt.ArrayLike  # (3,) or (views, 3): x, y, z [m]
Radius = npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike]  # [m], () or (views,); or that along x and that along z


class Paint(NamedTuple):
    """What a solid is painted with: colour, the code of its texels, and which of the object's classes it belongs to."""

    bgr: Bgr
    code: int = PLAIN
    part: int = 0

    def darker(self, factor: float) -> "Paint":
        """Returns the same with its colour times `factor`."""
        blue, green, red = self.bgr
        return self._replace(bgr=(blue * factor, green * factor, red * factor))


class Views:
    """Views of a figure, all drawn at once: most of the time would go into starting numpy's operations.

    Args:
        yaw_deg: (views,); 0 shows a figure that comes towards the camera, 90 one that goes to the right, 180 one that goes away.
        reach_m: how far it extends from its origin to all sides.
        height_m: how high it is.
    """

    def __init__(self, yaw_deg: npt.ArrayLike, reach_m: float, height_m: float) -> None:
        yaw = np.radians(np.asarray(yaw_deg, np.float32))[:, None, None]
        self._sin, self._cos = np.sin(yaw), np.cos(yaw)
        self._shape = (len(yaw), int(height_m * TEXELS_PER_M) + 3, 2 * int(reach_m * TEXELS_PER_M) + 4)
        self._depth = np.full(self._shape, -9, np.float32)
        self._shade = np.zeros(self._shape, np.float32)
        self._index = np.zeros(self._shape, np.uint8)  # of the paint
        self._paints: list[Paint] = [Paint((0, 0, 0), HOLE, -1)]

    def rod(self, start: Point, end: Point, paint: Paint, radius: Radius, end_radius: Radius | None = None, *,
            cap: float = 1.0, shade: tuple[float, float] = (1.0, 1.0)) -> "Views":
        """Draws a tapered rod.

        Args:
            start: where its axis begins.
            end: where it ends.
            paint: its paint.
            radius: at its start.
            end_radius: at its end, the same by default.
            cap: how far its rounded ends reach beyond the axis, in radii; 0 cuts them off.
            shade: factors of its brightness at start and end.
        """
        (x0, y0, z0), (x1, y1, z1) = self._project(start), self._project(end)
        (r0, bulge), (r1, bulge1) = self._radii(radius), self._radii(radius if end_radius is None else end_radius)
        margin = np.maximum(r0, r1) * max(cap, 1.0)
        texels, x, y = self._patch(np.minimum(x0, x1) - margin, np.maximum(x0, x1) + margin,
                                   np.minimum(y0, y1) - margin, np.maximum(y0, y1) + margin)
        length = np.hypot(x1 - x0, y1 - y0)
        short = length < 1e-3  # seen end on
        z0, z1 = np.where(short, np.maximum(z0, z1), z0), np.where(short, np.maximum(z0, z1), z1)
        length = np.maximum(length, 1e-3)
        ux, uy = np.where(short, 0, (x1 - x0) / length), np.where(short, 1, (y1 - y0) / length)  # the axis's direction
        x, y = x - x0, y - y0
        over = x * ux + y * uy
        across = x * uy - y * ux
        share = np.minimum(np.maximum(over, 0), length)
        over -= share
        share *= 1 / length
        inverse = 1 / (r0 + (r1 - r0) * share)
        across *= inverse
        over *= inverse * (1 / max(cap, 1e-3))
        facing = 1 - across * across
        facing -= over * over
        facing = np.sqrt(np.maximum(facing, 0, out=facing), out=facing)
        across *= -0.16 * ux
        over *= 0.16 * np.where(length > margin, 0, uy)  # a joint's rounding is not to be seen, a ball's is
        across += over
        light = across + 0.4 * facing
        light += 0.6
        if shade != (1.0, 1.0):
            light *= shade[0] + (shade[1] - shade[0]) * share
        depth = (bulge + (bulge1 - bulge) * share) * facing
        depth += z0 + (z1 - z0) * share
        self._put(texels, facing > 0, depth, light, paint)
        return self

    def ball(self, center: Point, paint: Paint, radius: Radius, height: float = 1.0) -> "Views":
        """Draws an ellipsoid; `height` is its vertical radius in those across."""
        return self.rod(center, center, paint, radius, cap=height)

    def wheel(self, center: Point, radius: float, tyre: float, rubber: Paint, rim: Paint, spokes: int, filled: float) -> "Views":
        """Draws a wheel that rolls along z.

        Args:
            center: of its hub.
            radius: to the outside [m].
            tyre: the tyre's thickness [m].
            rubber: paint of the tyre.
            rim: paint of rim and spokes.
            spokes: how many.
            filled: how much of the disc is not open, 0 to 1; its darkness is that of what is seen through a turning wheel.
        """
        cx, cy, cz = self._project(center)
        wide, half_tyre = np.abs(self._sin), 0.5 * tyre * np.abs(self._cos)
        reach = radius * wide + half_tyre
        texels, x, y = self._patch(cx - reach, cx + reach, cy - radius, cy + radius)
        up, aside = y - cy, np.abs(x - cx)
        along = np.maximum(aside - half_tyre, 0) / np.maximum(wide, 1e-3) * np.sign(x - cx)
        distance = np.hypot(along, up) + 1e-6
        depth = np.broadcast_to(cz + along * self._cos * np.sign(self._sin), texels.shape)
        share = distance / radius
        off = np.abs(distance - (radius - tyre / 2)) / tyre
        angle = np.arctan2(up, along) * (spokes / (2 * np.pi))
        off_spoke = np.abs(angle - np.round(angle)) * (2 * np.pi / spokes) * distance * np.maximum(wide, 0.4)
        solid = (share < 0.2 + 0.3 * filled) | (share > 1 - 0.4 * filled) | (off_spoke < 0.012 + 0.1 * (filled >= 1))
        inside = (share < 1) & (wide > 0.3)
        self._put(texels, inside & solid, depth - 0.02, 0.7 + 0.3 * share, rim.darker(0.5))
        self._put(texels, inside & ((off_spoke < 0.004) | (share < 0.12)), depth - 0.01, 1.0 - 0.3 * share, rim)
        self._put(texels, inside & (np.abs(distance - radius + tyre * 1.2) < 0.009), depth, 0.8 + 0 * share, rim)
        light = 1.0 - 0.4 * np.minimum(off, 1) + 0.3 * up
        self._put(texels, (off < 0.5) | ((share < 1) & (wide <= 0.3)), depth + 0.01, light, rubber)
        return self

    def add_to(self, library: Library, noise: Array, chosen: Iterable[int]) -> tuple[int, ...]:
        """Adds views, as they are by now, as flat meshes that are to be seen from -z, with a face for each part; returns indices.

        Args:
            library: takes textures and meshes.
            noise: (H, W) factors of the brightness, at least as large as any figure.
            chosen: which views.
        """
        owners = np.array([paint.part for paint in self._paints], np.int8)
        colors = np.array([paint.bgr for paint in self._paints], np.float32)
        codes = np.array([paint.code for paint in self._paints], np.uint8)
        _, height, width = self._shape
        meshes = []
        for view in chosen:
            index, shade = self._index[view], self._shade[view]
            builder, owner = MeshBuilder(), owners.take(index)
            for part in range(owners.max() + 1):
                mine = owner == part
                rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
                if len(rows) == 0:
                    continue
                top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
                window = np.s_[top:bottom, left:right]
                ground = np.minimum(0.8 + 0.3 / TEXELS_PER_M * (height - np.arange(top, bottom)), 1)[:, None]  # is dark
                light = shade[window] * noise[window] * ground
                texture = np.empty((*light.shape, 4), np.uint8)
                texture[..., :3] = np.minimum(colors.take(index[window], 0) * light[..., None], 255)
                texture[..., 3] = codes.take(index[window]) * mine[window]
                x0, x1 = (left - width / 2) / TEXELS_PER_M, (right - width / 2) / TEXELS_PER_M
                y0, y1 = (height - 1 - bottom) / TEXELS_PER_M, (height - 1 - top) / TEXELS_PER_M
                z = -0.01 * part  # nearer than what it may cover
                builder.quad(((x0, y1, z), (x1, y1, z), (x1, y0, z), (x0, y0, z)), library.add_texture(texture), part)
            meshes.append(library.add_mesh(builder.build(two_sided=True)))
        return tuple(meshes)

    def _project(self, point: Point) -> tuple[Array, Array, Array]:
        """Returns x to the right and y upward on the pictures, and how near it is [m]; each (views, 1, 1)."""
        x, y, z = np.asarray(point, np.float32).T[..., None, None]
        return z * self._sin - x * self._cos, y + 0 * self._sin, z * self._cos + x * self._sin

    def _radii(self, radius: Radius) -> tuple[Array, Array]:
        """Returns half the width on the pictures, and half of what it extends to the camera [m]; each (views, 1, 1)."""
        side, ahead = (np.asarray(each, np.float32)[..., None, None] for each in
                       (radius if isinstance(radius, tuple) else (radius, radius)))
        return np.hypot(side * self._cos, ahead * self._sin), np.hypot(side * self._sin, ahead * self._cos)

    def _patch(self, left: Array, right: Array, bottom: Array, top: Array,
               ) -> tuple[npt.NDArray[np.intp], Array, Array]:
        """Returns the texels (views, h, w) around rectangles [m] as flat indices, with x and y of their centres [m]."""
        count, height, width = self._shape
        h = min(int(float((top - bottom).max()) * TEXELS_PER_M) + 2, height)
        w = min(int(float((right - left).max()) * TEXELS_PER_M) + 2, width)
        first_row = np.maximum((height - 1 - top * TEXELS_PER_M).astype(np.intp), 0)
        first_column = np.maximum((left * TEXELS_PER_M + width / 2).astype(np.intp), 0)
        row = np.minimum(first_row, height - h) + np.arange(h)[:, None]  # (views, h, 1)
        column = np.minimum(first_column, width - w) + np.arange(w)  # (views, 1, w)
        texels = (np.arange(count)[:, None, None] * height + row) * width + column
        x, y = (column + (0.5 - width / 2)) / TEXELS_PER_M, (height - 1.5 - row) / TEXELS_PER_M
        return texels, x.astype(np.float32), y.astype(np.float32)

    def _put(self, texels: npt.NDArray[np.intp], mask: npt.NDArray[np.bool_], depth: Array, shade: Array,
             paint: Paint) -> None:
        """Paints texels where the mask is set and nothing nearer stands."""
        if paint not in self._paints:
            self._paints.append(paint)
        seen = np.flatnonzero(mask & (depth > self._depth.take(texels)))
        where = texels.take(seen)
        self._depth.put(where, depth.take(seen))
        self._shade.put(where, shade.take(seen))
        self._index.put(where, self._paints.index(paint))
