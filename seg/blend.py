"""The compiled loop of `seg.visualize`, apart from it so that Numba is imported only when something is drawn.

A pixel's three channels are blended at once, in sixteen bits. Numba doesn't make vectors of three channels by itself, so that one
line is written for LLVM.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types

from seg.compiled import compiled

BORDER = 256  # the row of the table for what lies on a border
_intrinsic: Any = extending.intrinsic  # type checkers don't know that Numba passes the first argument by itself
_BYTES, _SHORTS = ir.VectorType(ir.IntType(8), 4), ir.VectorType(ir.IntType(16), 4)


@_intrinsic
def _put(typing_context: Any, frame: Any, at: Any, table: Any, row: Any, out: Any) -> Any:
    """Writes a blended pixel and one byte more, from as many bytes of the frame."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        def pointer(array: int, offset: Any, kind: Any) -> Any:
            data = context.make_array(signature.args[array])(context, build, args[array]).data
            return build.bitcast(build.gep(data, [offset]), kind.as_pointer())

        def load(array: int, offset: Any, kind: Any) -> Any:
            loaded = build.load(pointer(array, offset, kind))
            loaded.align = 1
            return loaded

        entry = build.mul(args[3], ir.IntType(64)(8))
        kept = build.mul(build.zext(load(0, args[1], _BYTES), _SHORTS), load(2, entry, _SHORTS))
        blended = build.add(kept, load(2, build.add(entry, ir.IntType(64)(4)), _SHORTS))
        pixel = build.trunc(build.lshr(blended, ir.Constant(_SHORTS, [8] * 4)), _BYTES)
        build.store(pixel, pointer(4, args[1], _BYTES)).align = 1
        return context.get_dummy_value()

    return types.none(frame, types.intp, table, types.intp, out), emit_it


def _blend(frame: Any, train_ids: Any, groups: Any, table: Any, border_px: int, out: Any) -> None:
    """Fills `out` with the blended frame; compiled by `load`.

    A pixel from which the one `border_px` to its right or below belongs to another group lies on a border.

    Args:
        frame: (H, W, 3) uint8.
        train_ids: (H, W) uint8.
        groups: (H, W) uint8.
        table: (257, 8) uint16, by train id and then of borders: four times the weight of the frame, of 256; then what is added to
            each channel, times 256, and the half that rounds.
        border_px: width of borders; 0 for none.
        out: (H, W, 3) uint8.
    """
    height, width = train_ids.shape
    pixels, drawn, weights = frame.reshape(-1), out.reshape(-1), table.reshape(-1)
    rows = np.empty(width, np.uint16)  # of the table, by pixel
    for y in range(height):
        labels, own = train_ids[y], groups[y]
        below = groups[min(y + border_px, height - 1)]
        inner = max(0, width - border_px)
        for x in range(inner):
            rows[x] = BORDER if (own[x] != own[x + border_px]) | (own[x] != below[x]) else labels[x]
        for x in range(inner, width):
            rows[x] = BORDER if own[x] != below[x] else labels[x]
        start = 3 * width * y
        for x in range(width - 1):
            _put(pixels, start + 3 * x, weights, np.intp(rows[x]), drawn)
        for c in range(3):  # whose fourth byte would be another row's, or nobody's
            at = start + 3 * (width - 1) + c
            drawn[at] = (np.uint32(pixels[at]) * table[rows[width - 1], 0] + table[rows[width - 1], 4 + c]) >> 8


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_blend`."""
    return compiled(_blend, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    frame, labels = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    kernel(frame, labels, labels, np.zeros((257, 8), np.uint16), 1, np.empty_like(frame))
