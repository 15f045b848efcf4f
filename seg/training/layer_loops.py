"""Compiled loops for training on a processor: batch norm and activation in one, and the gradient of depthwise weights.

Everything is float32 with channels last. Maps are treated as rows of `width` numbers, a whole number of pixels, long enough that
loops over a row are vectorised even if there are few channels.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from seg.compiled import compiled
from seg.instructions import intrinsic
from seg.runtime.fused import emit
from seg.runtime.fused.formats import FLOAT32
from seg.runtime.fused.processor import LANES
from seg.runtime.fused.vectors import LINEAR, RELU, RELU6, at

_ROW = 512  # smallest length of a row, whose sums stay in the fastest cache
_FLUSH = 64  # rows whose sums are taken in float32 before they are added to those in float64
_THREE, _SIX, _SIXTH, _THIRD, _HALF = (np.float32(value) for value in (3, 6, 1 / 6, 1 / 3, 0.5))
_MATH: dict[str, Any] = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}
"""Fuses multiplication and addition; allows nothing that would change the order of sums or lose a NaN."""
fast: Any = numba.njit(nogil=True, **_MATH)
Compiled = Callable[..., None]


def build(function: Compiled, *tiny: Any) -> Compiled:
    """Returns a function that is compiled once per machine; it is called with tiny inputs for that."""
    return compiled(function, lambda made: made(*tiny), **_MATH)


def row_width(channels: int) -> int:
    """Returns the length of a row, over which the constants of each channel are repeated."""
    return channels * -(-_ROW // channels)


@fast
def _flush(first: Any, second: Any, out: Any) -> None:
    """Adds two float32 sums (width,) to out (2, width) in float64, and clears them."""
    for j in range(len(first)):
        out[0, j] += first[j]
        out[1, j] += second[j]
        first[j] = second[j] = 0


def _sums(x: Any, centre: Any, out: Any) -> None:
    """Adds to out (2, width) float64 the sums, by column, of x - centre and of its square; x (count,) from a pixel's start."""
    width = len(centre)
    first, second = np.zeros(width, np.float32), np.zeros(width, np.float32)
    rows = 0
    for start in range(0, len(x), width):
        row = x[start:start + width]
        for j in range(len(row)):
            away = row[j] - centre[j]
            first[j] += away
            second[j] += away * away
        rows += 1
        if rows == _FLUSH or start + width >= len(x):
            _flush(first, second, out)
            rows = 0


def _norm_act(x: Any, scale: Any, shift: Any, activation: int, out: Any) -> None:
    """Writes activation(x * scale + shift) to out (count,); scale and shift (width,)."""
    width = len(scale)
    for start in range(0, len(x), width):
        row, found = x[start:start + width], out[start:start + width]
        if activation == LINEAR:
            for j in range(len(row)):
                found[j] = row[j] * scale[j] + shift[j]
        elif activation == RELU:
            for j in range(len(row)):
                value = row[j] * scale[j] + shift[j]
                found[j] = np.float32(0) if value < 0 else value
        elif activation == RELU6:
            for j in range(len(row)):
                value = row[j] * scale[j] + shift[j]
                value = np.float32(0) if value < 0 else value
                found[j] = _SIX if value > _SIX else value
        else:
            for j in range(len(row)):
                value = row[j] * scale[j] + shift[j]
                clipped = value + _THREE
                clipped = np.float32(0) if clipped < 0 else clipped
                clipped = _SIX if clipped > _SIX else clipped
                found[j] = value * clipped * _SIXTH


@fast
def _before_activation(row: Any, slopes: Any, scale: Any, shift: Any, activation: int, out: Any) -> None:
    """Writes the gradient of the activation's input."""
    if activation == LINEAR:
        for j in range(len(row)):
            out[j] = slopes[j]
    elif activation == RELU:
        for j in range(len(row)):
            value, slope = row[j] * scale[j] + shift[j], slopes[j]  # always read, because a conditional read would be a jump
            out[j] = slope if value > 0 else np.float32(0)
    elif activation == RELU6:
        for j in range(len(row)):
            value, slope = row[j] * scale[j] + shift[j], slopes[j]
            slope = slope if value > 0 else np.float32(0)
            out[j] = slope if value < _SIX else np.float32(0)
    else:
        for j in range(len(row)):
            value = row[j] * scale[j] + shift[j]
            steep = value * _THIRD + _HALF
            steep = np.float32(0) if value < -_THREE else steep
            steep = np.float32(1) if value > _THREE else steep
            out[j] = slopes[j] * steep


def _slope_sums(x: Any, slopes: Any, scale: Any, shift: Any, mean: Any, activation: int, out: Any) -> None:
    """Adds to out (2, width) float64 the sums of g, the gradient of the activation's input, and of g * (x - mean)."""
    width = len(scale)
    first, second, inner = np.zeros(width, np.float32), np.zeros(width, np.float32), np.empty(width, np.float32)
    rows = 0
    for start in range(0, len(x), width):
        row = x[start:start + width]
        _before_activation(row, slopes[start:start + width], scale, shift, activation, inner)
        for j in range(len(row)):
            first[j] += inner[j]
            second[j] += inner[j] * (row[j] - mean[j])
        rows += 1
        if rows == _FLUSH or start + width >= len(x):
            _flush(first, second, out)
            rows = 0


def _norm_act_back(x: Any, slopes: Any, scale: Any, shift: Any, mean: Any, factor: Any, offset: Any, activation: int,
                   out: Any) -> None:
    """Writes the gradient of x: scale * g - factor * (x - mean) - offset; all but x, slopes and out are (width,)."""
    width = len(scale)
    inner = np.empty(width, np.float32)
    for start in range(0, len(x), width):
        row, found = x[start:start + width], out[start:start + width]
        _before_activation(row, slopes[start:start + width], scale, shift, activation, inner)
        for j in range(len(row)):
            found[j] = scale[j] * inner[j] - factor[j] * (row[j] - mean[j]) - offset[j]


KERNEL = 5  # size of the only depthwise convolutions whose weights' gradient is slow in torch
_FLOATS = types.CPointer(types.float32)


@intrinsic
def _taps(typing_context: Any, source: Any, pixel_stride: Any, tap_stride: Any, slopes: Any, slope_stride: Any, count: Any,
          sums: Any, sum_stride: Any) -> Any:
    """Adds to the sums of a row of taps, for one vector of channels and `count` outputs: slope times the input under each tap."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, pixel_stride, tap_stride, slopes, slope_stride, count, sums, sum_stride = args
        places = [build.gep(sums, [build.mul(sum_stride, emit.number(t))]) for t in range(KERNEL)]

        def turn(i: Any, found: emit.Values) -> emit.Values:
            slope = FLOAT32.load(build, build.gep(slopes, [build.mul(i, slope_stride)]))
            first = build.gep(source, [build.mul(i, pixel_stride)])
            inputs = [FLOAT32.load(build, build.gep(first, [build.mul(tap_stride, emit.number(t))])) for t in range(KERNEL)]
            return [emit.fma(build, slope, value, total) for value, total in zip(inputs, found, strict=True)]

        found = emit.loop(build, count, [FLOAT32.load(build, place) for place in places], turn)
        for value, place in zip(found, places, strict=True):
            FLOAT32.store(build, value, place)
        return context.get_dummy_value()

    number = types.intp
    return types.void(_FLOATS, number, number, _FLOATS, number, number, _FLOATS, number), emit_it


def _weight_gradient(x: Any, slopes: Any, stride: int, first: int, last: int, out: Any) -> None:
    """Adds to out (5, 5, C) the gradient of a depthwise convolution's weights over the pictures first..last - 1.

    x (N, H, W, C), slopes (N, h, w, C); padding of 2; C is at least the vector's lanes. If C isn't a multiple of the lanes, the
    last vector overlaps the one before it; it is summed separately, and only its new channels are added.
    """
    _, height, width, channels = x.shape
    rows, columns = slopes.shape[1:3]
    margin, left = KERNEL // 2, channels % LANES
    padded = np.zeros((width + 2 * margin + stride) * channels, np.float32)
    spare = np.zeros(KERNEL * LANES, np.float32)
    slopes_flat, sums = slopes.reshape(-1), out.reshape(-1)
    for n in range(first, last):
        for line in range(height):
            source = x[n, line].reshape(-1)
            for j in range(len(source)):
                padded[margin * channels + j] = source[j]
            for tap in range(KERNEL):  # the output row for which this line lies under that row of taps
                place = line + margin - tap
                if place < 0 or place % stride or place // stride >= rows:
                    continue
                start = ((n * rows + place // stride) * columns) * channels
                for c in range(0, channels - left, LANES):
                    _taps(at(padded, c), stride * channels, channels, at(slopes_flat, start + c), channels, columns,
                          at(sums, tap * KERNEL * channels + c), channels)
                if left:
                    c = channels - LANES
                    spare[:] = 0
                    _taps(at(padded, c), stride * channels, channels, at(slopes_flat, start + c), channels, columns,
                          at(spare, 0), LANES)
                    for t in range(KERNEL):
                        for j in range(LANES - left, LANES):
                            sums[(tap * KERNEL + t) * channels + c + j] += spare[t * LANES + j]


@cache
def norm_loops() -> tuple[Compiled, Compiled, Compiled, Compiled]:
    """Returns `_sums`, `_norm_act`, `_slope_sums` and `_norm_act_back`, compiled."""
    x, out, sums = np.zeros(8, np.float32), np.zeros(8, np.float32), np.zeros((2, 8))
    return (build(_sums, x, x, sums), build(_norm_act, x, x, x, LINEAR, out),
            build(_slope_sums, x, x, x, x, x, LINEAR, sums),
            build(_norm_act_back, x, x, x, x, x, x, x, LINEAR, out))


@cache
def weight_gradient_loop() -> Compiled:
    """Returns `_weight_gradient`, compiled."""
    x = np.zeros((1, 8, 8, LANES), np.float32)
    return build(_weight_gradient, x, x, 1, 0, 1, np.zeros((KERNEL, KERNEL, LANES), np.float32))
