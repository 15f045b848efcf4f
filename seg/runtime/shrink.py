"""The compiled loop of `seg.runtime.resize`, in a module of its own so that Numba is imported only when a frame is shrunk.

A row of the target is made in two steps: first the rows that it covers are summed up with their weights, in sixteen bits per
value; then the columns of that sum are summed up. The second step takes the three channels of a pixel and two of its columns at
once: the processor multiplies sixteen-bit numbers in pairs and adds each pair. Numba doesn't find such instructions itself, so
they are written for LLVM.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from seg import instructions
from seg.compiled import compiled
from seg.instructions import WORD, element, intrinsic, shuffle
from seg.runtime.fused import emit
from seg.runtime.fused.emit import INT

_CHANNELS = 3
_SHORT, _FOUR_BYTES = ir.IntType(16), ir.VectorType(ir.IntType(8), 4)
_FOUR_SHORTS, _EIGHT_SHORTS = ir.VectorType(_SHORT, 4), ir.VectorType(_SHORT, 8)
_FOUR_WORDS, _EIGHT_WORDS = ir.VectorType(WORD, 4), ir.VectorType(WORD, 8)
_SHIFT = 2**15  # sums of rows are 0 to 255 * 256; this is subtracted, because the instruction takes signed numbers
_HALF = 2**15  # half of the divisor of a sum, for rounding
_SLACK = 8  # values by which a vector reaches beyond the end of a row


def _put(pairs: int | None) -> Any:
    """Makes the intrinsic that writes a target pixel and one more byte, from `pairs` pairs of columns; None for any number."""

    @intrinsic
    def put(typing_context: Any, sums: Any, at: Any, weights: Any, first: Any, count: Any, out: Any, to: Any) -> Any:
        def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
            source, factors, target = (element(context, build, signature, args, array, array + 1) for array in (0, 2, 5))

            def add(pair: Any, carried: list[Any]) -> list[Any]:
                here = build.gep(source, [build.mul(pair, INT(2 * _CHANNELS))])
                columns = [instructions.load(build, build.gep(here, [INT(offset)]), _FOUR_SHORTS, 2) for offset in (0, _CHANNELS)]
                both = instructions.load(build, build.gep(factors, [build.mul(pair, INT(2))]), WORD, 2)
                weight = build.bitcast(instructions.spread(build, both, 4), _EIGHT_SHORTS)
                values = instructions.interleave(build, *columns)
                products = build.mul(build.sext(values, _EIGHT_WORDS), build.sext(weight, _EIGHT_WORDS))
                added = build.add(shuffle(build, [0, 2, 4, 6], products), shuffle(build, [1, 3, 5, 7], products))
                return [build.add(carried[0], added)]

            total = [ir.Constant(_FOUR_WORDS, [_SHIFT * 256 + _HALF] * 4)]
            if pairs is None:
                total = emit.loop(build, args[4], total, add)
            else:
                for pair in range(pairs):
                    total = add(INT(pair), total)
            pixel = build.trunc(build.lshr(total[0], ir.Constant(_FOUR_WORDS, [16] * 4)), _FOUR_BYTES)
            instructions.store(build, pixel, target, 1)
            return context.get_dummy_value()

        return types.none(sums, types.intp, weights, types.intp, types.intp, out, types.intp), emit_it

    return put


_put_one, _put_two, _put_many = _put(1), _put(2), _put(None)  # small numbers are unrolled: twice as fast


@numba.njit(nogil=True)
def _sum_rows(source: Any, first: int, weights: Any, sums: Any) -> None:
    """Sums up the rows from `first` with their weights, minus `_SHIFT`, in sixteen-bit arithmetic that wraps around."""
    width, shift = source.shape[1], np.uint16(_SHIFT)
    top, one = source[first], weights[0]
    below, two = source[min(first + 1, len(source) - 1)], weights[1]
    for x in range(width):
        sums[x] = np.uint16(top[x]) * one + np.uint16(below[x]) * two - shift
    for tap in range(2, len(weights)):
        weight = weights[tap]
        if weight:  # otherwise the row may lie beyond the last one
            row = source[first + tap]
            for x in range(width):
                sums[x] += np.uint16(row[x]) * weight


def _shrink(source: Any, rows: Any, columns: Any, target: Any, begin: int, end: int) -> None:
    """Fills the rows begin..end - 1 of `target`; compiled by `load`.

    Args:
        source: (H, 3 W) uint8.
        rows: first (h,) int64 and weights (h, taps) uint16 of the rows that each target row covers, an even number of taps; the
            weights of a row add up to 256.
        columns: the same for columns.
        target: (h, 3 w) uint8.
        begin: first row.
        end: the row after the last one.
    """
    first_row, row_weights = rows
    first_column, column_weights = columns
    width, taps = column_weights.shape
    weights, pairs = column_weights.reshape(-1), taps // 2
    sums = np.zeros(source.shape[1] + _CHANNELS * taps + _SLACK, np.uint16)
    line = np.empty(_CHANNELS * width + 1, np.uint8)
    for y in range(begin, end):
        _sum_rows(source, first_row[y], row_weights[y], sums)
        if pairs == 1:
            for x in range(width):
                _put_one(sums, _CHANNELS * first_column[x], weights, taps * x, pairs, line, _CHANNELS * x)
        elif pairs == 2:
            for x in range(width):
                _put_two(sums, _CHANNELS * first_column[x], weights, taps * x, pairs, line, _CHANNELS * x)
        else:
            for x in range(width):
                _put_many(sums, _CHANNELS * first_column[x], weights, taps * x, pairs, line, _CHANNELS * x)
        row = target[y]
        for x in range(_CHANNELS * width):
            row[x] = line[x]


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_shrink`."""
    return compiled(_shrink, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    whole = np.full((1, 2), 128, np.uint16)
    axis = np.zeros(1, np.int64), whole
    kernel(np.zeros((2, 6), np.uint8), axis, axis, np.empty((1, 3), np.uint8), 0, 1)
