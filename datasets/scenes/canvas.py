"""Textures are painted in metres: `Painter` draws shapes, `Canvas` is one with y down, for all that isn't a vehicle.

A picture is painted FINER times as fine as its texture and then averaged down. Each shape takes a colour, which leaves the
codes of the texels as they are, or a `Texel`, which sets both.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import ClassVar, Self, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import HOLE, Bgr, Float32Array, Texel, UInt8Array

FINER = 2  # pixels that are painted for a texel, each way
SHIFT = 4  # fractional bits of OpenCV's coordinates

Float64Array = npt.NDArray[np.float64]
Length = TypeVar("Length", float, Float64Array)


def gray(value: float, rng: np.random.Generator | None = None, spread: float = 6.0) -> Bgr:
    """Returns a grey; with `rng`, one that leans towards some colour by about `spread`."""
    blue, green, red = (value, value, value) if rng is None else value + rng.normal(0, spread, 3)
    return float(blue), float(green), float(red)


def times(color: Bgr, factor: float) -> Bgr:
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


class Painter(ABC):
    """Paints shapes on a picture that begins as holes; where a height lies on it is for the subclass to say.

    Args:
        width_m: width of what is painted [m].
        height_m: its height [m].
        texels_per_m: how fine the texture becomes.

    Attributes:
        size: width and height of the texture [texels].
        bgr: (H, W, 3) uint8; code: (H, W) uint8; both of the finer picture.
    """

    STEPS: ClassVar[int] = 1 << SHIFT  # of a pixel, to which corners are rounded
    CENTER: ClassVar[float] = 0.0  # where the middle of the first pixel lies [px]

    def __init__(self, width_m: float, height_m: float, texels_per_m: float) -> None:
        self.width_m, self.height_m = width_m, height_m
        self.size = round(width_m * texels_per_m), round(height_m * texels_per_m)
        self._across = self._down = texels_per_m * FINER  # pixels of a metre
        size_hw = self.size[1] * FINER, self.size[0] * FINER
        self.bgr: UInt8Array = np.zeros((*size_hw, 3), np.uint8)
        self.code: UInt8Array = np.full(size_hw, HOLE, np.uint8)

    @abstractmethod
    def _row(self, y: Length) -> Length:
        """Returns where a height [m] lies, in pixels from the upper edge."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the finer picture [px]."""
        return self.code.shape[0], self.code.shape[1]

    def polygon(self, points: npt.ArrayLike, paint: Bgr | Texel) -> Self:
        """Fills a polygon of points (N, 2) [m]."""
        corners, (color, code) = self._corners(points), _parted(paint)
        cv2.fillPoly(self.bgr, [corners], color, shift=SHIFT)
        if code is not None:
            cv2.fillPoly(self.code, [corners], code, shift=SHIFT)
        return self

    def line(self, points: npt.ArrayLike, width_m: float, paint: Bgr | Texel) -> Self:
        """Draws an open line through points (N, 2) [m]."""
        corners, (color, code) = self._corners(points), _parted(paint)
        width = max(round(width_m * self._down), 1)
        cv2.polylines(self.bgr, [corners], False, color, width, shift=SHIFT)
        if code is not None:
            cv2.polylines(self.code, [corners], False, code, width, shift=SHIFT)
        return self

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, paint: Bgr | Texel) -> Self:
        """Fills an ellipse around (x, y)."""
        (center,), (color, code) = self._corners([(x, y)]).tolist(), _parted(paint)
        axes = self._fixed(np.array([radius_x, radius_y]) * self._down).tolist()
        cv2.ellipse(self.bgr, center, axes, 0, 0, 360, color, cv2.FILLED, shift=SHIFT)
        if code is not None:
            cv2.ellipse(self.code, center, axes, 0, 0, 360, code, cv2.FILLED, shift=SHIFT)
        return self

    def averaged(self) -> tuple[UInt8Array, UInt8Array]:
        """Returns colours (H, W, 3) and codes (H, W) at the size of the texture; holes count as black."""
        color = np.asarray(cv2.resize(self.bgr, self.size, interpolation=cv2.INTER_AREA), np.uint8)
        return color, self.code[::FINER, ::FINER]

    def _fill(self, section: tuple[slice, slice], paint: Bgr | Texel) -> None:
        (rows, columns), (color, code) = section, _parted(paint)
        corners = (columns.start, rows.start), (columns.stop - 1, rows.stop - 1)
        cv2.rectangle(self.bgr, *corners, color, cv2.FILLED)
        if code is not None:
            self.code[rows, columns] = code

    def _section(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Returns the rows and columns between edges [m], one of each at least."""
        rows = max(round(self._row(top)), 0), round(self._row(bottom))
        columns = max(round(left * self._across), 0), round(right * self._across)
        return slice(rows[0], max(rows[1], rows[0] + 1)), slice(columns[0], max(columns[1], columns[0] + 1))

    def _corners(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        x, y = np.asarray(points, np.float64).T
        return self._fixed(np.stack([x * self._across, self._row(y)], -1) - self.CENTER)

    def _fixed(self, pixels: Float64Array) -> npt.NDArray[np.int32]:
        """Returns distances in pixels as OpenCV takes them."""
        return np.rint(pixels * self.STEPS).astype(np.int32) * ((1 << SHIFT) // self.STEPS)


def _parted(paint: Bgr | Texel) -> tuple[Bgr, int | None]:
    """Returns a colour, and the code to set, if any."""
    return (paint.bgr, paint.code) if isinstance(paint, Texel) else (paint, None)


class Canvas(Painter):
    """A painter whose x runs to the right and y down, in metres from the upper left corner.

    Args:
        width_m: width of what is painted [m].
        height_m: its height [m].
        texels_per_m: how fine the texture becomes.
        paint: what fills it at first; without it there are holes.
    """

    def __init__(self, width_m: float, height_m: float, texels_per_m: float, paint: Bgr | Texel | None = None) -> None:
        super().__init__(width_m, height_m, texels_per_m)
        if paint is not None:
            texel = paint if isinstance(paint, Texel) else Texel(paint)
            self.code[:] = texel.code
            self.rect(0, 0, width_m, height_m, texel.bgr)

    def _row(self, y: Length) -> Length:
        return y * self._down

    def crop(self, width_m: float, height_m: float) -> "Canvas":
        """Returns a canvas that holds the lower left part of this one."""
        part = copy(self)
        width, height = (round(side * self._down / FINER) for side in (width_m, height_m))
        part.bgr, part.code = (plane[-height * FINER :, : width * FINER].copy() for plane in (self.bgr, self.code))
        part.width_m, part.height_m, part.size = width_m, height_m, (width, height)
        return part

    def rect(self, x: float, y: float, width: float, height: float, paint: Bgr | Texel) -> Self:
        """Fills a rectangle, from its upper left corner on."""
        self._fill(self._section(x, y, x + width, y + height), paint)
        return self

    def shade(self, x: float, y: float, width: float, height: float, top: float, bottom: float | None = None) -> Self:
        """Multiplies a rectangle's colours by `top`, running evenly to `bottom` at its lower edge."""
        part = self.bgr[self._section(x, y, x + width, y + height)]
        if bottom is None and part.size:
            part[:] = cv2.convertScaleAbs(part, alpha=top)
        elif bottom is not None:
            ramp = np.linspace(top, bottom, len(part), dtype=np.float32)[:, None, None]
            np.minimum(part * ramp, 255, out=part, casting="unsafe")
        return self

    def multiply(self, factor: Float32Array) -> Self:
        """Multiplies all colours by a factor each, given at the texture's size (H, W)."""
        fine = cv2.resize(factor.astype(np.float32), self.size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        self.bgr = np.asarray(cv2.multiply(self.bgr, cv2.merge([fine, fine, fine]), dtype=cv2.CV_8U), np.uint8)
        return self

    def scribble(self, rng: np.random.Generator, x: float, y: float, width: float, height: float, paint: Bgr | Texel) -> Self:
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
            self.line(strokes[int(rng.integers(len(strokes)))], stroke, paint)
            at += wide + height * (0.28 if rng.random() < 0.85 else 0.8)
        return self

    def text(self, words: str, x: float, y: float, height: float, color: Bgr) -> Self:
        """Writes words of capitals and digits `height` tall, centred at (x, y)."""
        scale = height * self._down / 22
        thick = max(round(3.2 * scale), 1)
        (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        origin = round(x * self._across - wide / 2), round(self._row(y) + tall / 2)
        cv2.putText(self.bgr, words, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thick)
        return self

    def weather(self, rng: np.random.Generator, strength: float, streaks: float = 0.0) -> Self:
        """Roughens colours by blotches and grain, and by streaks that rain washed down."""
        width, height = self.size
        factor = 1 + strength * (noise(rng, (height, width), (3, 3), 4) + 0.5 * rng.standard_normal((height, width), np.float32))
        if streaks:
            columns = np.minimum(noise(rng, (1, width), (1, max(width // 6, 1)), 2), 0)
            factor += streaks * columns * (1 + noise(rng, (height, width), (2, 4), 1))
        return self.multiply(np.clip(factor, 0.35, 1.4))

    def texture(self) -> UInt8Array:
        """Returns the texture (H, W, 4) uint8."""
        if self.code.min() > HOLE:
            return np.dstack(self.averaged())
        width, height = self.size
        solid = (self.code > HOLE).astype(np.float32)
        share = cv2.resize(solid, self.size, interpolation=cv2.INTER_AREA)
        color = cv2.resize(self.bgr * np.float32(solid[..., None]), self.size, interpolation=cv2.INTER_AREA)
        color = color / np.maximum(share, 1e-3)[..., None]  # the mean of what is there
        code = np.where(share >= 0.5, self.code.reshape(height, FINER, width, FINER).max((1, 3)), HOLE)
        return np.dstack([np.clip(color, 0, 255), code]).astype(np.uint8)
