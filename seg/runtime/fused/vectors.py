"""The innermost loops, written as LLVM instructions: Numba's own loops don't keep sums in registers.

Everything is in float32, with channels last and in vectors of `LANES`. A tile is a few pixels times one to three vectors of
channels, whose sums stay in registers while a loop runs over what is summed. LLVM makes two registers of a vector where the
processor's are shorter.

Each function here is a factory or an intrinsic for Numba; offsets and strides count floats.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic  # type checkers don't know that Numba passes the first argument by itself
LANES = 8
LINEAR, RELU, RELU6, HARD_SWISH = range(4)  # activations

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_POINTER = types.CPointer(types.float32)
Values = list[Any]


@intrinsic
def at(typing_context: Any, array: Any, offset: Any) -> Any:
    """Returns the address of an element of a flat array."""
    def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, build, args[0]).data
        return build.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), emit


@intrinsic
def beyond(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """Returns the address that many elements after another."""
    def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return build.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), emit


@intrinsic
def take(typing_context: Any, counters: Any, index: Any) -> Any:
    """Adds 1 to a counter that threads share, and returns what it was."""
    def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, build, args[0]).data
        return build.atomic_rmw("add", build.gep(data, [args[1]]), _INT(1), "seq_cst")

    return types.int64(counters, types.intp), emit


@intrinsic
def look(typing_context: Any, counters: Any, index: Any) -> Any:
    """Returns a counter that threads share; what they wrote before they added to it is seen then."""
    def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, build, args[0]).data
        return build.load_atomic(build.gep(data, [args[1]]), "seq_cst", 8)

    return types.int64(counters, types.intp), emit


@intrinsic
def rest(typing_context: Any) -> Any:
    """Lets another thread have the core, if there is one that waits for it."""
    def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
        if os.name == "posix":
            build.call(cgutils.get_or_insert_function(build.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), emit


def product_of_rows(pixels: int, width: int, run: int) -> Any:
    """Makes the product of rows of pixels with a panel of weights, which is `width` vectors of channels wide.

    It goes by tiles of some pixels, the last of which overlaps the one before it; where there are fewer pixels than that, by
    single ones. A pixel's inputs are runs of `run` numbers, which one turn of the innermost loop sums up.
    """

    @intrinsic
    def product(typing_context: Any, source: Any, pixel_stride: Any, runs: Any, run_stride: Any, weights: Any, bias: Any,
                activation: Any, added: Any, added_stride: Any, adds: Any, out: Any, out_stride: Any, streams: Any,
                count: Any) -> Any:
        """For each pixel: activation(bias + sum over inputs of input * weights) + added, if adds."""
        def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
            (source, pixel_stride, runs, run_stride, weights, bias, activation, added, added_stride, adds, out, out_stride,
             streams, count) = args
            start = [_load(build, bias, v) for v in range(width)]

            def tile(first: Any, size: int) -> None:
                rows = [build.gep(source, [build.mul(pixel_stride, build.add(first, _INT(p)))]) for p in range(size)]

                def turn(r: Any, sums: Values) -> Values:
                    place, line = build.mul(r, run_stride), build.gep(weights, [build.mul(r, _INT(run * width * LANES))])
                    starts = [build.gep(row, [place]) for row in rows]
                    for i in range(run):
                        factors = [_load(build, line, i * width + v) for v in range(width)]
                        inputs = [_spread(build, build.load(build.gep(start, [_INT(i)]))) for start in starts]
                        sums = [_fma(build, inputs[p], factors[v], sums[p * width + v])
                                for p in range(size) for v in range(width)]
                    return sums

                sums = _activate(build, activation, _loop(build, runs, start * size, turn))

                def add() -> Values:
                    beside = [build.gep(added, [build.mul(added_stride, build.add(first, _INT(p)))]) for p in range(size)]
                    return [build.fadd(sums[p * width + v], _load(build, beside[p], v))
                            for p in range(size) for v in range(width)]

                found = _either(build, build.icmp_signed("!=", adds, _INT(0)), add, sums)
                _store(build, found, build.gep(out, [build.mul(out_stride, first)]), out_stride, size, width, streams)

            def tiles(i: Any, nothing: Values) -> Values:
                tile(_smaller_int(build, build.mul(i, _INT(pixels)), build.sub(count, _INT(pixels))), pixels)
                return nothing

            def singles(i: Any, nothing: Values) -> Values:
                tile(i, 1)
                return nothing

            with build.if_else(build.icmp_signed(">=", count, _INT(pixels))) as (many, few):
                with many:
                    _loop(build, build.sdiv(build.add(count, _INT(pixels - 1)), _INT(pixels)), [], tiles)
                with few:
                    _loop(build, count, [], singles)
            return context.get_dummy_value()

        number = types.intp
        return types.void(_POINTER, number, number, number, _POINTER, _POINTER, number, _POINTER, number, number, _POINTER,
                          number, number, number), emit

    return product


def depthwise_tile(pixels: int, kernel: int, stride: int, dilation: int) -> Any:
    """Makes the tile of a depthwise convolution: some neighbouring pixels of an output row times one vector of channels.

    An input that several outputs of the tile share is loaded once.
    """
    taps = [(p, t, p * stride + t * dilation) for p in range(pixels) for t in range(kernel)]

    @intrinsic
    def tile(typing_context: Any, source: Any, row_offsets: Any, rows: Any, pixel_stride: Any, weights: Any,
             weight_stride: Any, bias: Any, activation: Any, out: Any, out_stride: Any, streams: Any, sums: Any,
             adds: Any) -> Any:
        """Convolves over the rows that lie within the map, which start at `row_offsets`; adds the outputs to `sums`, if adds."""
        def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
            (source, row_offsets, rows, pixel_stride, weights, weight_stride, bias, activation, out, out_stride, streams,
             channel_sums, adds) = args

            def row(r: Any, sums: Values) -> Values:
                line = build.gep(source, [build.load(build.gep(row_offsets, [r]))])
                first = build.mul(r, _INT(kernel))
                factors = [_load(build, build.gep(weights, [build.mul(build.add(first, _INT(t)), weight_stride)]), 0)
                           for t in range(kernel)]
                found = list(sums)
                for position in sorted({place for _, _, place in taps}):
                    value = _load(build, build.gep(line, [build.mul(pixel_stride, _INT(position))]), 0)
                    for p, t, place in taps:
                        if place == position:
                            found[p] = _fma(build, value, factors[t], found[p])
                return found

            found = _activate(build, activation, _loop(build, rows, [_load(build, bias, 0)] * pixels, row))
            _store(build, found, out, out_stride, pixels, 1, streams)
            with build.if_then(build.icmp_signed("!=", adds, _INT(0))):
                total = _load(build, channel_sums, 0)
                for value in found:
                    total = build.fadd(total, value)
                _store(build, [total], channel_sums, _INT(0), 1, 1, _INT(0))
            return context.get_dummy_value()

        number = types.intp
        return types.void(_POINTER, types.CPointer(types.int64), number, number, _POINTER, number, _POINTER, number, _POINTER,
                          number, number, _POINTER, number), emit

    return tile


def weight_gradient_row(kernel: int) -> Any:
    """Makes what a row of outputs adds to the gradient of depthwise weights: of a row of taps, for a vector of channels."""

    @intrinsic
    def row(typing_context: Any, source: Any, pixel_stride: Any, tap_stride: Any, slopes: Any, slope_stride: Any, count: Any,
            sums: Any, sum_stride: Any) -> Any:
        """Adds to each tap's sum, over the outputs: gradient of the output times the input under that tap."""
        def emit(context: Any, build: Any, signature: Any, args: Any) -> Any:
            source, pixel_stride, tap_stride, slopes, slope_stride, count, sums, sum_stride = args

            def turn(i: Any, found: Values) -> Values:
                slope = _load(build, build.gep(slopes, [build.mul(i, slope_stride)]), 0)
                first = build.gep(source, [build.mul(i, pixel_stride)])
                return [_fma(build, slope, _load(build, build.gep(first, [build.mul(tap_stride, _INT(t))]), 0), found[t])
                        for t in range(kernel)]

            starts = [_load(build, build.gep(sums, [build.mul(sum_stride, _INT(t))]), 0) for t in range(kernel)]
            _store(build, _loop(build, count, starts, turn), sums, sum_stride, kernel, 1, _INT(0))
            return context.get_dummy_value()

        number = types.intp
        return types.void(_POINTER, number, number, _POINTER, number, number, _POINTER, number), emit

    return row


def _load(build: Any, pointer: Any, vector: int) -> Any:
    loaded = build.load(build.bitcast(build.gep(pointer, [_INT(vector * LANES)]), _VECTOR.as_pointer()))
    loaded.align = 4
    return loaded


def _store(build: Any, values: Sequence[Any], out: Any, stride: Any, pixels: int, vectors: int, streams: Any) -> None:
    """Writes a tile; past the caches if `streams`, for what is too large for them anyway: nothing is read in first then."""
    def write(mark: bool) -> None:
        for p in range(pixels):
            row = build.gep(out, [build.mul(stride, _INT(p))])
            for v in range(vectors):
                place = build.bitcast(build.gep(row, [_INT(v * LANES)]), _VECTOR.as_pointer())
                stored = build.store(values[p * vectors + v], place)
                stored.align = 4 * LANES if mark else 4
                if mark:
                    stored.set_metadata("nontemporal", build.module.add_metadata([ir.IntType(32)(1)]))

    with build.if_else(build.icmp_signed("!=", streams, _INT(0))) as (then, otherwise):
        with then:
            write(True)
        with otherwise:
            write(False)


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _spread(build: Any, scalar: Any) -> Any:
    """Fills a vector with one value."""
    anything = ir.Constant(_VECTOR, ir.Undefined)
    first = build.insert_element(anything, scalar, ir.IntType(32)(0))
    return build.shuffle_vector(first, anything, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _fma(build: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return build.call(cgutils.get_or_insert_function(build.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])


def _larger(build: Any, a: Any, b: Any) -> Any:
    return build.select(build.fcmp_ordered(">", a, b), a, b)


def _smaller(build: Any, a: Any, b: Any) -> Any:
    return build.select(build.fcmp_ordered("<", a, b), a, b)


def _smaller_int(build: Any, a: Any, b: Any) -> Any:
    return build.select(build.icmp_signed("<", a, b), a, b)


def _loop(build: Any, count: Any, start: Values, body: Callable[[Any, Values], Values]) -> Values:
    """Emits `for i in range(count)`, count at least 1, with values that each turn hands to the next; returns the last."""
    before, top, after = build.block, build.append_basic_block("turn"), build.append_basic_block("after")
    build.branch(top)
    build.position_at_end(top)
    i, carried = build.phi(_INT), [build.phi(value.type) for value in start]
    found = body(i, carried)
    following, end = build.add(i, _INT(1)), build.block
    for phi, first, later in zip([i, *carried], [_INT(0), *start], [following, *found], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, end)
    build.cbranch(build.icmp_signed("<", following, count), top, after)
    build.position_at_end(after)
    return found


def _either(build: Any, condition: Any, make: Callable[[], Values], otherwise: Values) -> Values:
    """Emits `make() if condition else otherwise`."""
    before, then, after = build.block, build.append_basic_block("then"), build.append_basic_block("after")
    build.cbranch(condition, then, after)
    build.position_at_end(then)
    made, end = make(), build.block
    build.branch(after)
    build.position_at_end(after)
    merged = []
    for one, other in zip(made, otherwise, strict=True):
        phi = build.phi(one.type)
        phi.add_incoming(one, end)
        phi.add_incoming(other, before)
        merged.append(phi)
    return merged


def _activate(build: Any, activation: Any, values: Values) -> Values:
    """Emits the activation of that number."""
    zero, three, six, sixth = map(_constant, (0.0, 3.0, 6.0, 1 / 6))

    def hard_swish(x: Any) -> Any:
        clipped = _smaller(build, _larger(build, build.fadd(x, three), zero), six)
        return build.fmul(build.fmul(x, clipped), sixth)

    functions: dict[int, Callable[[Any], Any]] = {
        RELU: lambda x: _larger(build, x, zero),
        RELU6: lambda x: _smaller(build, _larger(build, x, zero), six),
        HARD_SWISH: hard_swish,
    }
    def apply(function: Callable[[Any], Any], inputs: Values) -> Values:
        return [function(x) for x in inputs]

    for number, function in functions.items():
        chosen = build.icmp_signed("==", activation, _INT(number))
        values = _either(build, chosen, partial(apply, function, values), values)
    return values
