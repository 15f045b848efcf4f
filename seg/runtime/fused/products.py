"""Matrix products and depthwise convolutions of rows of pixels, from the tiles in `vectors`."""

from typing import Any

import numba

from seg.runtime.fused.vectors import LANES, at, beyond, depthwise_tile, product_of_rows

RUN = 4  # inputs that a product sums up in one turn; they come in whole vectors, so that it divides them
STEM_RUN = 9  # three pixels of three colours
_compile = numba.njit(nogil=True)


def panel(vectors_left: int) -> int:
    """Returns how many vectors of channels a product computes at once, of those that are left; weights are packed so."""
    return min(vectors_left, 3 if vectors_left % 2 else 2)


panel_width = _compile(panel)


def _product_by(run: int) -> Any:
    """Makes the product of pixels, each of some runs of `run` inputs, with weights in panels; see `product_of_rows`."""
    # The sums of a tile, its weights and one input fill the registers.
    one, two, three = (product_of_rows(pixels, width, run) for pixels, width in ((8, 1), (6, 2), (4, 3)))

    @_compile
    def product(source: Any, stride: int, runs: int, run_stride: int, weights: Any, bias: Any, activation: int, added: Any,
                added_stride: int, adds: int, out: Any, out_stride: int, streams: int, count: int,
                channels: int) -> None:
        c = 0
        while c < channels:
            width = panel_width((channels - c) // LANES)
            w, b, a, o = beyond(weights, runs * run * c), beyond(bias, c), beyond(added, c), beyond(out, c)
            if width == 2:
                two(source, stride, runs, run_stride, w, b, activation, a, added_stride, adds, o, out_stride, streams, count)
            elif width == 3:
                three(source, stride, runs, run_stride, w, b, activation, a, added_stride, adds, o, out_stride, streams, count)
            else:
                one(source, stride, runs, run_stride, w, b, activation, a, added_stride, adds, o, out_stride, streams, count)
            c += width * LANES

    return product


product, stem_product = _product_by(RUN), _product_by(STEM_RUN)

_3_1_1, _3_2_1, _5_1_1, _5_2_1, _5_1_2 = (
    depthwise_tile(8, *form) for form in ((3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (5, 1, 2)))
_single_3, _single_5 = depthwise_tile(1, 3, 1, 1), depthwise_tile(1, 5, 1, 1)


@_compile
def depthwise(source: Any, row_offsets: Any, rows: int, kernel: int, stride: int, dilation: int, weights: Any, bias: Any,
              activation: int, out: Any, out_stride: int, streams: int, sums: Any, adds: int, count: int, channels: int) -> None:
    """See `depthwise_tile`; the weights of a tap are `channels` floats. All channels of some pixels come first."""
    starts = at(row_offsets, 0)
    p = 0
    while p < count:
        many = count - p >= 8 and (dilation == 1 or (kernel == 5 and stride == 1 and dilation == 2))
        for c in range(0, channels, LANES):
            i, w, b = beyond(source, p * stride * channels + c), beyond(weights, c), beyond(bias, c)
            o, t = beyond(out, p * out_stride + c), beyond(sums, c)
            if not many and kernel == 3:
                _single_3(i, starts, rows, dilation * channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            elif not many:
                _single_5(i, starts, rows, dilation * channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            elif kernel == 3 and stride == 1:
                _3_1_1(i, starts, rows, channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            elif kernel == 3:
                _3_2_1(i, starts, rows, channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            elif dilation == 2:
                _5_1_2(i, starts, rows, channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            elif stride == 1:
                _5_1_1(i, starts, rows, channels, w, channels, b, activation, o, out_stride, streams, t, adds)
            else:
                _5_2_1(i, starts, rows, channels, w, channels, b, activation, o, out_stride, streams, t, adds)
        p += 8 if many else 1


@_compile
def fill(out: Any, begin: int, end: int, value: float) -> None:
    for i in range(begin, end):
        out[i] = value
