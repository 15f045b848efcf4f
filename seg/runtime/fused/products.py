"""Matrix products and depthwise convolutions of rows of pixels, from the tiles in `vectors`."""

from collections.abc import Callable
from typing import Any

import numba

from seg.runtime.fused.processor import LANES, REGISTERS, TILES
from seg.runtime.fused.tiles import ROWS
from seg.runtime.fused.vectors import depth_of, depthwise_tile, product_of_rows, stand_alone

_RUN = 4  # words that a product sums up in one iteration; fewer if they hold more than
_RUN_NUMBERS = 8  # this many numbers: channels come in multiples of it, so that no iteration is wasted
STEM_RUN = 9  # inputs in an iteration of the first convolution: three pixels of three colours
# Pixels that a product computes at once, by the width of the panel in vectors: their sums, a vector of weights for each column
# and one of inputs fill the registers.
_AT_ONCE = {1: 8, 2: 8, 3: 8, 4: 6} if REGISTERS == 32 else {1: 8, 2: 6, 3: 4}
PIXELS = _AT_ONCE[2]
_WIDEST = max(_AT_ONCE)
_TILED = {1: 4, 2: 2}  # on the processor's own tiles: how many of 16 pixels are computed at once, by the width of the panel
_TILED_FROM = 2 if TILES else 99  # numbers in a word whose products are computed on tiles: all but float32
_ROW = 8  # pixels of a depthwise convolution's tile
_compile = numba.njit(nogil=True)


def panel(vectors_left: int, depth: int) -> int:
    """Returns how many of the remaining vectors of channels a product computes at once; weights are packed in the same way."""
    if depth >= _TILED_FROM:
        return min(vectors_left, 2)
    if vectors_left <= _WIDEST:
        return vectors_left
    if _WIDEST == 3:
        return 3 if vectors_left % 2 else 2
    return 4 if vectors_left % 4 in (0, 3) else 3


panel_width = _compile(panel)


def run(depth: int) -> int:
    """Returns how many inputs a product sums up in one iteration, if a word holds `depth` numbers."""
    if depth >= _TILED_FROM:
        return ROWS * depth
    return min(_RUN * depth, _RUN_NUMBERS)


@_compile
def taps_of(kernel: int, weights: Any) -> int:
    """Returns the number of weights per channel of a depthwise convolution: whole words of taps, one above the other."""
    depth = depth_of(weights)
    return -(-kernel // depth) * depth * kernel


def stem_run(depth: int) -> int:
    """Returns how many numbers the first convolution sums up in one iteration, in whole words."""
    if depth >= _TILED_FROM:
        return ROWS * depth
    return -(-STEM_RUN // depth) * depth


_run, _stem_run = _compile(run), _compile(stem_run)


@_compile
def run_of(weights: Any) -> int:
    """Returns how many inputs a product with such weights sums up in one iteration."""
    return _run(depth_of(weights))


@_compile
def stem_run_of(weights: Any) -> int:
    """Returns how many numbers the first convolution with such weights sums up in one iteration."""
    return _stem_run(depth_of(weights))


def _product_by(words_of_run: Callable[[int], int]) -> Any:
    """Makes the product of pixels with weights in panels; see `Product` and `product_of_rows`."""
    one, two, three = (product_of_rows(_AT_ONCE[width], width, words_of_run, _TILED.get(width, 0)) for width in (1, 2, 3))
    four = product_of_rows(_AT_ONCE[4], 4, words_of_run, 0) if _WIDEST == 4 else three

    @_compile
    def product(job: Any, count: int, channels: int) -> None:
        stand_alone()
        c = 0
        while c < channels:
            width = panel_width((channels - c) // LANES, depth_of(job.weights))
            if width == 2:
                two(job, c, count)
            elif width == 3:
                three(job, c, count)
            elif width == 1:
                one(job, c, count)
            else:
                four(job, c, count)
            c += width * LANES

    return product


product, stem_product = _product_by(lambda depth: run(depth) // depth), _product_by(lambda depth: stem_run(depth) // depth)

_3_1_1, _3_2_1, _5_1_1, _5_2_1, _5_1_2 = (
    depthwise_tile(_ROW, *form) for form in ((3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (5, 1, 2)))
_single_3, _single_5 = (depthwise_tile(1, kernel, 1, 1) for kernel in (3, 5))


@_compile
def depthwise(job: Any, kernel: int, stride: int, dilation: int, count: int, channels: int) -> None:
    """Computes `count` pixels of a row; see `Depthwise`. All channels of some pixels come before the next pixels."""
    stand_alone()
    step = job.pixel_stride
    p = 0
    while p < count:
        many = count - p >= _ROW and (dilation == 1 or (kernel == 5 and stride == 1 and dilation == 2))
        for c in range(0, channels, LANES):
            if not many and kernel == 3:
                _single_3(job, p, c, stride, dilation * step)
            elif not many:
                _single_5(job, p, c, stride, dilation * step)
            elif kernel == 3 and stride == 1:
                _3_1_1(job, p, c, stride, step)
            elif kernel == 3:
                _3_2_1(job, p, c, stride, step)
            elif dilation == 2:
                _5_1_2(job, p, c, stride, step)
            elif stride == 1:
                _5_1_1(job, p, c, stride, step)
            else:
                _5_2_1(job, p, c, stride, step)
        p += _ROW if many else 1


@_compile
def fill(out: Any, begin: int, end: int, value: float) -> None:
    for i in range(begin, end):
        out[i] = value
