"""The compiled loop of `seg.visualize`, in a module of its own so that Numba is imported only when something is drawn.

Most neighbours have the same class, so sixteen pixels are blended at once if all have the same colour; otherwise one pixel is
blended with its three channels. Values have sixteen bits. Numba doesn't make such vectors itself, so they are written for LLVM.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from seg import instructions
from seg.compiled import compiled
from seg.instructions import element, intrinsic

BORDER = 256  # the row of the table for pixels on a border
_BYTE, _SHORT = ir.IntType(8), ir.IntType(16)
BLOCK = 16  # pixels that are blended at once
WEIGHT, ADDED = 0, BLOCK  # columns of the table


def _put(lanes: int) -> Any:
    """Makes the intrinsic that blends `lanes` bytes from `at` on, by a row of the table and the added values from `added` on."""
    some_bytes, shorts = ir.VectorType(_BYTE, lanes), ir.VectorType(_SHORT, lanes)

    @intrinsic
    def put(typing_context: Any, frame: Any, at: Any, table: Any, weight: Any, added: Any, out: Any) -> Any:
        def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
            def load(array: int, offset: int, kind: Any) -> Any:
                return instructions.load(build, element(context, build, signature, args, array, offset), kind, 1)

            kept = build.mul(build.zext(load(0, 1, some_bytes), shorts), load(2, 3, shorts))
            blended = build.lshr(build.add(kept, load(2, 4, shorts)), ir.Constant(shorts, [8] * lanes))
            target = element(context, build, signature, args, 5, 1)
            instructions.store(build, build.trunc(blended, some_bytes), target, 1)
            return context.get_dummy_value()

        return types.none(frame, types.intp, table, types.intp, types.intp, out), emit_it

    return put


@intrinsic
def _alike(typing_context: Any, train_ids: Any, groups: Any, at: Any, right: Any, below: Any) -> Any:
    """Tells whether the `BLOCK` pixels from `at` on have one label, and the same group as those from `right` and `below` on."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_BYTE, BLOCK)

        def load(array: int, offset: int) -> Any:
            return instructions.load(build, element(context, build, signature, args, array, offset), kind, 1)

        labels, own = load(0, 2), load(1, 2)
        first = instructions.shuffle(build, [0] * BLOCK, labels)
        differ = build.or_(build.xor(labels, first), build.or_(build.xor(own, load(1, 3)), build.xor(own, load(1, 4))))
        every_bit = ir.IntType(8 * BLOCK)
        return build.icmp_unsigned("==", build.bitcast(differ, every_bit), ir.Constant(every_bit, 0))

    return types.boolean(train_ids, groups, types.intp, types.intp, types.intp), emit_it


_put_pixel, _put_block = _put(4), _put(BLOCK)


def _blend(frame: Any, train_ids: Any, groups: Any, table: Any, border_px: int, out: Any) -> None:
    """Fills `out` with the blended frame; compiled by `load`.

    A pixel lies on a border if the pixel `border_px` to its right or below belongs to another group.

    Args:
        frame: (H, W, 3) uint8.
        train_ids: (H, W) uint8.
        groups: (H, W) uint8.
        table: (257, 64) uint16, by train id, and then for borders: from `WEIGHT` on the weight of the frame, in 1/256; from
            `ADDED` on the value added to each channel, times 256, plus a half for rounding. Each is repeated for a block.
        border_px: width of borders; 0 for none.
        out: (H, W, 3) uint8.
    """
    height, width = train_ids.shape
    columns, end = table.shape[1], height * width - 1
    pixels, drawn, weights = frame.reshape(-1), out.reshape(-1), table.reshape(-1)
    labels, grouped = train_ids.reshape(-1), groups.reshape(-1)
    for y in range(height):
        to_below = (min(y + border_px, height - 1) - y) * width
        x = 0
        while x < width:
            at = y * width + x
            if x + BLOCK + border_px <= width and _alike(labels, grouped, at, at + border_px, at + to_below):
                row = labels[at] * columns
                for part in range(0, 3 * BLOCK, BLOCK):
                    _put_block(pixels, 3 * at + part, weights, row + WEIGHT, row + ADDED + part, drawn)
                x += BLOCK
                continue
            for _ in range(min(BLOCK, width - x)):
                at = y * width + x
                own, to_right = grouped[at], min(x + border_px, width - 1) - x
                label = BORDER if own != grouped[at + to_right] or own != grouped[at + to_below] else np.intp(labels[at])
                if at < end:  # one byte more is written, and overwritten by the next pixel
                    _put_pixel(pixels, 3 * at, weights, label * columns + WEIGHT, label * columns + ADDED, drawn)
                else:  # the byte after the last pixel is outside of the arrays
                    for c in range(3):
                        value = np.uint32(pixels[3 * at + c]) * table[label, WEIGHT] + table[label, ADDED + c]
                        drawn[3 * at + c] = value >> 8
                x += 1


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_blend`."""
    return compiled(_blend, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    frame, labels = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    kernel(frame, labels, labels, np.zeros((BORDER + 1, 4 * BLOCK), np.uint16), 1, np.empty_like(frame))
