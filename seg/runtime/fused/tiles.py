"""Products on the processor's tiles (Intel AMX): 16 pixels times 16 outputs at once, 64 bytes of inputs deep.

A tile is a register of 16 rows of 64 bytes. One instruction multiplies a tile of inputs by a tile of weights and adds the
products to a tile of sums:

    inputs   a pixel in each row: the inputs of one run, as they lie in memory
    weights  a word of inputs in each row, for 16 outputs, as `packing.pack` packs them
    sums     a pixel in each row: 32 bits for each of 16 outputs

Four of the eight tiles hold sums, two inputs and two weights. For four multiplications four or five tiles are loaded, and loading
one takes half as long as multiplying.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from seg.instructions import intrinsic
from seg.runtime.fused import emit
from seg.runtime.fused.emit import Values, number
from seg.runtime.fused.formats import format_of

ROWS = 16  # pixels of a tile of inputs, words of a tile of weights
ROW_BYTES = 64
SUMS = 4  # tiles of sums; inputs and weights take two each of those after them
BYTE = ir.IntType(8)
_ROW_FLOATS, _TILE_FLOATS = ROW_BYTES // 4, ROWS * ROW_BYTES // 4


@intrinsic
def use_tiles(typing_context: Any, weights: Any) -> Any:
    """Gives this thread all tiles in their full size, if products of numbers like these weights run on tiles."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        if format_of(weights).tiled:
            # The first byte is the palette; rows have their bytes from 16 on, in 16 bits, and tiles their rows from 48 on.
            settings = bytes([1] + [0] * 15 + [ROW_BYTES, 0] * 8 + [0] * 16 + [ROWS] * 8 + [0] * 8)
            kind = ir.ArrayType(BYTE, len(settings))
            place = cgutils.alloca_once_value(build, ir.Constant(kind, bytearray(settings)))
            _call(build, "ldtilecfg", _bytes(build, place))
        return context.get_dummy_value()

    return types.void(weights), emit_it


@intrinsic
def release_tiles(typing_context: Any, weights: Any) -> Any:
    """Gives the tiles back, so that the system needn't keep them when it changes threads."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        if format_of(weights).tiled:
            _call(build, "tilerelease")
        return context.get_dummy_value()

    return types.void(weights), emit_it


def multiply(build: Any, numbers: Any, source: Any, pixel_bytes: Any, run_bytes: Any, weights: Any, runs: Any,
             starts: Values, width: int, bias: Any) -> Any:
    """Emits the sums of some tiles of pixels for a panel of weights.

    Args:
        build: where to.
        numbers: the format of inputs and weights.
        source: address of the first pixel's inputs.
        pixel_bytes: from a pixel to the next.
        run_bytes: from a run of inputs, which fills a row of a tile, to the next.
        weights: address of the panel.
        runs: number of runs, at least 1.
        starts: the first pixel of each tile.
        width: vectors of outputs in the panel; together with the pixels there are at most `SUMS` tiles of sums.
        bias: address of the outputs' biases, with which sums in floats begin.

    Returns:
        The address of the sums, 32 bits each: tile by tile, all outputs of the first pixels first, row by row.
    """
    inputs_at, weights_at, line_bytes = SUMS, SUMS + 2, number(width * ROW_BYTES)
    rows = [build.gep(_bytes(build, source), [build.mul(pixel_bytes, start)]) for start in starts]
    panel = _bytes(build, weights)
    for place in range(len(starts) * width):
        if numbers.starts_with_bias:  # one line in all rows
            line = build.gep(_bytes(build, bias), [number(place % width * ROW_BYTES)])
            _call(build, "tileloadd64", BYTE(place), line, number(0))
        else:
            _call(build, "tilezero", BYTE(place))

    def turn(r: Any, nothing: Values) -> Values:
        begin, line = build.mul(r, run_bytes), build.gep(panel, [build.mul(r, number(ROWS * width * ROW_BYTES))])
        for v in range(width):
            _call(build, "tileloadd64", BYTE(weights_at + v % 2), build.gep(line, [number(v * ROW_BYTES)]), line_bytes)
            for p, row in enumerate(rows):
                if v == 0:
                    _call(build, "tileloadd64", BYTE(inputs_at + p % 2), build.gep(row, [begin]), pixel_bytes)
                emit.call(build, numbers.tile_dot, ir.VoidType(), BYTE(p * width + v), BYTE(inputs_at + p % 2),
                          BYTE(weights_at + v % 2))
        return nothing

    emit.loop(build, runs, [], turn)
    sums = cgutils.alloca_once(build, ir.ArrayType(emit.FLOAT, SUMS * _TILE_FLOATS))
    first = _bytes(build, sums)
    for place in range(len(starts) * width):
        _call(build, "tilestored64", BYTE(place), build.gep(first, [number(4 * place * _TILE_FLOATS)]), number(ROW_BYTES))
    return build.bitcast(first, emit.FLOAT.as_pointer())


def sum_at(build: Any, sums: Any, tile: int, row: Any) -> Any:
    """Returns the address of a row of sums of a tile."""
    return build.gep(sums, [build.add(number(tile * _TILE_FLOATS), build.mul(row, number(_ROW_FLOATS)))])


def _bytes(build: Any, pointer: Any) -> Any:
    return build.bitcast(pointer, BYTE.as_pointer())


def _call(build: Any, name: str, *args: Any) -> None:
    emit.call(build, f"llvm.x86.{name}", ir.VoidType(), *args)
