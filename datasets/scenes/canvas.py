"""A canvas in metres on which textures are painted: twice as fine as the texture, then averaged down."""

from collections.abc import Sequence
from copy import copy
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import HOLE, PLAIN, Float32Array, UInt8Array

FINER = 2  # pixels of the canvas to a texel, each way

Color = tuple[float, float, float]  # blue, green, red; 0 to 255


def gray(value: float, rng: np.random.Generator | None = None, spread: float = 6.0) -> Color:
    """Returns a grey; with `rng`, one that leans towards some colour by about `spread`."""
    blue, green, red = (value, value, value) if rng is None else value + rng.normal(0, spread, 3)
    return float(blue), float(green), float(red)


def times(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: tuple[int, int], octaves: int = 3) -> Float32Array:
    """Returns smooth noise (H, W) about 0, roughly within -1 and 1, that repeats seamlessly.

    Its coarsest bumps are `cells` down and across; each octave has twice as many, half as high.
    """
    total = np.zeros(size_hw, np.float32)
    for octave in range(octaves):
        rows, columns = min(cells[0] << octave, size_hw[0]), min(cells[1] << octave, size_hw[1])
        bumps = np.pad(rng.uniform(-1, 1, (rows, columns)).astype(np.float32), 1, mode="wrap")
        tall, wide = -(-size_hw[0] // rows), -(-size_hw[1] // columns)  # pixels of a bump
        grown = cv2.resize(bumps, ((columns + 2) * wide, (rows + 2) * tall), interpolation=cv2.INTER_LINEAR)
        inner = grown[tall:-tall, wide:-wide]
        if inner.shape != size_hw:
            inner = cv2.resize(inner, size_hw[::-1], interpolation=cv2.INTER_AREA)
        total += inner * 0.5**octave
    return total


class Canvas:
    """Painted with codes and colours; x runs to the right and y down, in metres from the upper left corner.

    Attributes:
        bgr: (H, W, 3) uint8; code: (H, W) uint8; both of the finer picture.
    """

    def __init__(self, width_m: float, height_m: float, texels_per_m: float, color: Color | None = None,
                 code: int = PLAIN) -> None:
        self.width_m, self.height_m = width_m, height_m
        self._scale = texels_per_m * FINER  # pixels of a metre
        size_hw = round(height_m * texels_per_m) * FINER, round(width_m * texels_per_m) * FINER
        self.bgr: UInt8Array = np.zeros((*size_hw, 3), np.uint8)
        self.code: UInt8Array = np.full(size_hw, HOLE if color is None else code, np.uint8)
        if color is not None:
            self.rect(0, 0, width_m, height_m, color)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.code.shape[0], self.code.shape[1]

    def crop(self, width_m: float, height_m: float) -> "Canvas":
        """Returns a canvas that holds the lower left part of this one."""
        part = copy(self)
        height, width = (round(side * self._scale / FINER) * FINER for side in (height_m, width_m))
        part.bgr, part.code = self.bgr[-height:, :width].copy(), self.code[-height:, :width].copy()
        part.width_m, part.height_m = width_m, height_m
        return part

    def _section(self, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
        left, top = max(round(x * self._scale), 0), max(round(y * self._scale), 0)
        right, bottom = round((x + width) * self._scale), round((y + height) * self._scale)
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))

    def rect(self, x: float, y: float, width: float, height: float, color: Color, code: int | None = None) -> Self:
        """Fills a rectangle; without `code` that of its texels stays."""
        rows, columns = self._section(x, y, width, height)
        corners = (columns.start, rows.start), (columns.stop - 1, rows.stop - 1)
        cv2.rectangle(self.bgr, *corners, color, cv2.FILLED)
        if code is not None:
            self.code[rows, columns] = code
        return self

    def shade(self, x: float, y: float, width: float, height: float, top: float, bottom: float | None = None) -> Self:
        """Multiplies a rectangle's colours by `top`, running evenly to `bottom` at its lower edge."""
        part = self.bgr[self._section(x, y, width, height)]
        if bottom is None and part.size:
            part[:] = cv2.convertScaleAbs(part, alpha=top)
        elif bottom is not None:
            ramp = np.linspace(top, bottom, len(part), dtype=np.float32)[:, None, None]
            np.minimum(part * ramp, 255, out=part, casting="unsafe")
        return self

    def multiply(self, factor: Float32Array) -> Self:
        """Multiplies all colours by a factor each, given at the texture's size (H, W)."""
        fine = cv2.resize(factor.astype(np.float32), self.size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        self.bgr = cv2.multiply(self.bgr, cv2.merge([fine, fine, fine]), dtype=cv2.CV_8U)
        return self

    def polygon(self, points: npt.ArrayLike, color: Color, code: int | None = None) -> Self:
        """Fills a polygon of points (N, 2) [m]."""
        corners = np.round(np.asarray(points, np.float64) * self._scale * 16).astype(np.int32)
        cv2.fillPoly(self.bgr, [corners], color, shift=4)
        if code is not None:
            cv2.fillPoly(self.code, [corners], code, shift=4)
        return self

    def line(self, points: npt.ArrayLike, width_m: float, color: Color, code: int | None = None) -> Self:
        """Draws an open line through points (N, 2) [m]."""
        corners = np.round(np.asarray(points, np.float64) * self._scale * 16).astype(np.int32)
        width = max(round(width_m * self._scale), 1)
        cv2.polylines(self.bgr, [corners], False, color, width, shift=4)
        if code is not None:
            cv2.polylines(self.code, [corners], False, code, width, shift=4)
        return self

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, color: Color, code: int | None = None) -> Self:
        """Fills an ellipse around (x, y)."""
        center = round(x * self._scale * 16), round(y * self._scale * 16)
        axes = round(radius_x * self._scale * 16), round(radius_y * self._scale * 16)
        cv2.ellipse(self.bgr, center, axes, 0, 0, 360, color, cv2.FILLED, shift=4)
        if code is not None:
            cv2.ellipse(self.code, center, axes, 0, 0, 360, code, cv2.FILLED, shift=4)
        return self

    def scribble(self, rng: np.random.Generator, x: float, y: float, width: float, height: float, color: Color,
                 code: int | None = None) -> Self:
        """Fills a rectangle with what looks like a line of letters from afar."""
        at, end = x, x + width
        stroke = height * 0.17
        while at + height * 0.5 < end:
            wide = height * rng.uniform(0.4, 0.7)
            low, high = y + height, y + (0 if rng.random() < 0.4 else height * 0.25)
            middle = (low + high) / 2
            strokes: Sequence[Sequence[tuple[float, float]]] = (
                ((at, low), (at, high), (at + wide, high)), ((at, high), (at + wide, high), (at + wide, low), (at, low)),
                ((at, low), (at, high), (at + wide, middle), (at, middle)), ((at, high), (at + wide / 2, low), (at + wide, high)),
                ((at, high), (at, low), (at + wide, low)), ((at + wide, high), (at, high), (at, low), (at + wide, low)))
            self.line(strokes[int(rng.integers(len(strokes)))], stroke, color, code)
            at += wide + height * (0.28 if rng.random() < 0.85 else 0.8)
        return self

    def text(self, words: str, x: float, y: float, height: float, color: Color) -> Self:
        """Writes words of capitals and digits `height` tall, centred at (x, y)."""
        scale = height * self._scale / 22
        thick = max(round(3.2 * scale), 1)
        (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        origin = round(x * self._scale - wide / 2), round(y * self._scale + tall / 2)
        cv2.putText(self.bgr, words, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thick)
        return self

    def weather(self, rng: np.random.Generator, strength: float, streaks: float = 0.0) -> Self:
        """Roughens colours by blotches and grain, and by streaks that rain washed down."""
        height, width = self.size_hw[0] // FINER, self.size_hw[1] // FINER
        factor = 1 + strength * (noise(rng, (height, width), (3, 3), 4) + 0.5 * rng.standard_normal((height, width), np.float32))
        if streaks:
            columns = np.minimum(noise(rng, (1, width), (1, max(width // 6, 1)), 2), 0)
            factor += streaks * columns * (1 + noise(rng, (height, width), (2, 4), 1))
        return self.multiply(np.clip(factor, 0.35, 1.4))

    def texture(self) -> UInt8Array:
        """Returns the texture (H, W, 4) uint8."""
        height, width = self.size_hw[0] // FINER, self.size_hw[1] // FINER
        size = width, height
        if self.code.min() > HOLE:
            color, code = cv2.resize(self.bgr, size, interpolation=cv2.INTER_AREA), self.code[::FINER, ::FINER]
        else:  # the colour is the mean of what is there
            solid = (self.code > HOLE).astype(np.float32)
            share = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
            color = cv2.resize(self.bgr * np.float32(solid[..., None]), size, interpolation=cv2.INTER_AREA)
            color /= np.maximum(share, 1e-3)[..., None]
            code = np.where(share >= 0.5, self.code.reshape(height, FINER, width, FINER).max((1, 3)), HOLE)
        return np.dstack([np.clip(color, 0, 255), code]).astype(np.uint8)
