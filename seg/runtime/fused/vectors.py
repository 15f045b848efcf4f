"""The innermost loops, written as LLVM instructions, because Numba's own loops don't keep sums in registers.

A tile is a few neighbouring pixels times one to four vectors of channels. Its sums stay in registers while a loop runs over
the inputs:

                    channels ->
             +---------+---------+
    pixels   |  sum    |  sum    |   one word of the pixel's inputs, spread over a vector,
      |      +---------+---------+   times a vector of weights for each vector of channels,
      v      |  sum    |  sum    |   and so on for the next word
             +---------+---------+

Then the bias and, if there is one, a residual are added, the activation is applied, and the tile is written in the format of its
array (see `formats`). Each function here is a factory or an intrinsic for Numba; offsets and strides count numbers.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from seg import instructions
from seg.instructions import element, intrinsic
from seg.runtime.fused import emit, tiles
from seg.runtime.fused.emit import INT, Values, number
from seg.runtime.fused.formats import FLOAT32, format_of
from seg.runtime.fused.processor import LANES, LOWEST_LEVEL

LINEAR, RELU, RELU6, HARD_SWISH = range(4)  # activations
_FINISHED = 4  # pixels whose sums on tiles are finished at once
_WHOLE = 1.5 * 2**23  # float32 of this size are integers: adding a number rounds it and puts it into the lowest bits


class Product(NamedTuple):
    """A product of pixels with weights: activation(bias + sum over inputs of input * weight), plus an optional addend.

    Attributes:
        source: address of the first pixel's inputs; they come in runs, each summed up in one iteration.
        source_stride: from a pixel to the next.
        runs: number of runs of a pixel.
        run_stride: from a run to the next.
        weights: packed by `packing.pack`.
        bias: float32, one for each output.
        scales: float32, one for each output; in int8 they multiply the sums, otherwise they aren't read.
        activation: its number.
        added: address of the addend of the first pixel's outputs.
        added_stride: from a pixel to the next.
        adds: whether there is an addend.
        target: address of the first pixel's outputs.
        target_stride: from a pixel to the next.
        streams: whether the outputs bypass the caches.
    """

    source: Any
    source_stride: int
    runs: int
    run_stride: int
    weights: Any
    bias: Any
    scales: Any
    activation: int
    added: Any
    added_stride: int
    adds: int
    target: Any
    target_stride: int
    streams: int


class Depthwise(NamedTuple):
    """A depthwise convolution of one row of outputs: activation(bias + sum over taps of input * weight).

    Attributes:
        source: address from which the offsets of its rows count.
        row_offsets: the start of each row of the kernel, followed by as many more offsets as fill the last word.
        pixel_stride: from a pixel to the next; taps are `dilation` times as far apart.
        weights: packed by `packing.pack_taps`.
        weight_stride: from a tap to the next.
        bias: float32, one for each channel.
        activation: its number.
        target: address of the first pixel's outputs.
        target_stride: from a pixel to the next.
        streams: whether the outputs bypass the caches.
        sums: float32; each channel's outputs are added to its sum.
        adds: whether outputs are added to `sums`.
    """

    source: Any
    row_offsets: Any
    pixel_stride: int
    weights: Any
    weight_stride: int
    bias: Any
    activation: int
    target: Any
    target_stride: int
    streams: int
    sums: Any
    adds: int


@intrinsic
def at(typing_context: Any, array: Any, offset: Any) -> Any:
    """Returns the address of an element of a flat array."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return element(context, build, signature, args, 0, 1)

    return types.CPointer(array.dtype)(array, types.intp), emit_it


@intrinsic
def beyond(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """Returns the address that lies the given number of elements after another."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return build.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), emit_it


@intrinsic
def get(typing_context: Any, array: Any, index: Any) -> Any:
    """Returns a number of an array of any format, as a float."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return format_of(array).load_one(build, element(context, build, signature, args, 0, 1))

    return types.float32(array, types.intp), emit_it


@intrinsic
def put(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Writes a float into an array of any format."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        format_of(array).store_one(build, args[2], element(context, build, signature, args, 0, 1))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.float32), emit_it


@intrinsic
def depth_of(typing_context: Any, array: Any) -> Any:
    """Returns how many numbers of an array's format make a word."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return number(format_of(array).depth)

    return types.int64(array), emit_it


@intrinsic
def stand_alone(typing_context: Any) -> Any:
    """Prevents inlining of the calling function: LLVM would otherwise copy it into each caller and compile it as often."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        build.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), emit_it


@intrinsic
def take(typing_context: Any, counters: Any, index: Any) -> Any:
    """Adds 1 to a counter that threads share, and returns its old value."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return build.atomic_rmw("add", element(context, build, signature, args, 0, 1), INT(1), "seq_cst")

    return types.int64(counters, types.intp), emit_it


@intrinsic
def look(typing_context: Any, counters: Any, index: Any) -> Any:
    """Returns a counter that threads share; after that, everything they wrote before they added to it is visible."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        return build.load_atomic(element(context, build, signature, args, 0, 1), "seq_cst", 8)

    return types.int64(counters, types.intp), emit_it


@intrinsic
def rest(typing_context: Any) -> Any:
    """Gives the core to another thread, if one is waiting for it."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        if os.name == "posix":
            build.call(cgutils.get_or_insert_function(build.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), emit_it


@intrinsic
def widen(typing_context: Any, source: Any, minus: Any, target: Any, vectors: Any) -> Any:
    """Writes vectors of bytes as numbers, each less a given number."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, minus, target, vectors = args
        minus = emit.spread(build, minus)

        def turn(i: Any, nothing: Values) -> Values:
            place = build.mul(i, number(LANES))
            read = instructions.load(build, build.gep(source, [place]), ir.VectorType(ir.IntType(8), LANES), 1)
            floats = build.sitofp(build.zext(read, emit.WORDS), emit.FLOATS)
            format_of(signature.args[2]).store(build, build.fsub(floats, minus), build.gep(target, [place]))
            return nothing

        emit.loop(build, vectors, [], turn)
        return context.get_dummy_value()

    return types.void(source, types.float32, target, types.intp), emit_it


@intrinsic
def to_levels(typing_context: Any, source: Any, factors: Any, target: Any, vectors: Any) -> Any:
    """Writes vectors of numbers as levels for a product in int8.

    Each number is multiplied by its factor and becomes the nearest level. The level of zero is stored after the factors.
    """
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, factors, target, vectors = args
        zero = FLOAT32.load_one(build, build.gep(factors, [build.mul(vectors, number(LANES))]))
        zero = emit.spread(build, build.fadd(zero, ir.Constant(emit.FLOAT, _WHOLE)))
        lowest, highest = (emit.constant(_WHOLE + LOWEST_LEVEL + levels) for levels in (0, 255))

        def turn(i: Any, nothing: Values) -> Values:
            place = build.mul(i, number(LANES))
            value = format_of(signature.args[0]).load(build, build.gep(source, [place]))
            level = emit.fma(build, value, FLOAT32.load(build, build.gep(factors, [place])), zero)
            level = emit.smaller(build, emit.larger(build, level, lowest), highest)
            level = build.trunc(build.bitcast(level, emit.WORDS), ir.VectorType(ir.IntType(8), LANES))
            instructions.store(build, level, build.gep(target, [place]), 1)
            return nothing

        emit.loop(build, vectors, [], turn)
        return context.get_dummy_value()

    return types.void(source, factors, target, types.intp), emit_it


def blend(with_beside: Callable[[Any, Any, Any], Any]) -> Any:
    """Makes a loop that interpolates between two rows of float32 and combines the result with a third row by `with_beside`."""

    @intrinsic
    def blended(typing_context: Any, near: Any, far: Any, fraction: Any, beside: Any, target: Any, count: Any) -> Any:
        """Writes `count` numbers, in whole vectors: near + (far - near) * fraction, combined with `beside`."""
        def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
            near, far, fraction, beside, target, count = args
            fraction = emit.spread(build, fraction)

            def turn(i: Any, nothing: Values) -> Values:
                place = build.mul(i, number(LANES))
                first, second = (FLOAT32.load(build, build.gep(pointer, [place])) for pointer in (near, far))
                mixed = emit.fma(build, build.fsub(second, first), fraction, first)
                other = format_of(signature.args[3]).load(build, build.gep(beside, [place]))
                format_of(signature.args[4]).store(build, with_beside(build, mixed, other), build.gep(target, [place]))
                return nothing

            emit.loop(build, build.sdiv(count, number(LANES)), [], turn)
            return context.get_dummy_value()

        return types.void(near, far, types.float32, beside, target, types.intp), emit_it

    return blended


between = blend(lambda build, mixed, other: mixed)
between_added = blend(lambda build, mixed, other: build.fadd(mixed, other))
between_multiplied = blend(lambda build, mixed, other: build.fmul(mixed, other))


@intrinsic
def add_pixels(typing_context: Any, source: Any, pixels: Any, channels: Any, sums: Any) -> Any:
    """Adds pixels, at least 1, to the sums of their channels. The sums are float32 and fill whole vectors."""
    def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, pixels, channels, sums = args

        def vector(v: Any, nothing: Values) -> Values:
            first = build.mul(v, number(LANES))
            place = build.gep(sums, [first])

            def add(p: Any, carried: Values) -> Values:
                pixel = build.gep(source, [build.add(build.mul(p, channels), first)])
                return [build.fadd(carried[0], format_of(signature.args[0]).load(build, pixel))]

            FLOAT32.store(build, emit.loop(build, pixels, [FLOAT32.load(build, place)], add)[0], place)
            return nothing

        emit.loop(build, build.sdiv(channels, number(LANES)), [], vector)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, sums), emit_it


def product_of_rows(pixels: int, width: int, words_of_run: Callable[[int], int], tile_count: int) -> Any:
    """Makes the product of pixels with a panel of weights that is `width` vectors of channels wide.

    It works in tiles of some pixels. The last tile overlaps the one before it; if there are fewer pixels than in a tile, the last
    pixel is computed several times. One iteration of the innermost loop sums up a run.

    Args:
        pixels: pixels of a tile.
        width: width of the panel in vectors.
        words_of_run: gives the words of a run for the number of values in a word.
        tile_count: for numbers that are multiplied on the processor's own tiles (see `tiles`): how many of 16 pixels are computed
            at once; 0 if such numbers have no panels of that width.
    """

    @intrinsic
    def product(typing_context: Any, job: Any, first_channel: Any, count: Any) -> Any:
        """Computes a panel of `count` pixels, at least 1, from an output channel on; see `Product`."""
        def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
            kinds = Product(*job.types)
            given = Product(*(build.extract_value(args[0], i) for i in range(len(job))))
            channel, count = args[1:]
            numbers = format_of(kinds.source)
            if numbers.tiled:
                if tile_count:
                    _product_on_tiles(build, kinds, given, channel, count, width, tile_count)
                return context.get_dummy_value()
            run = words_of_run(numbers.depth)
            inputs = build.mul(given.runs, number(run * numbers.depth))
            weights = build.gep(given.weights, [build.mul(inputs, channel)])
            bias, scales = (_of_channels(build, place, channel, width) for place in (given.bias, given.scales))
            first_sums = [numbers.first_sum(build, value) for value in bias]
            last = build.sub(count, number(1))

            def tile(index: Any, nothing: Values) -> Values:
                first = build.mul(index, number(pixels))
                first = emit.smaller_int(build, first, build.sub(count, number(pixels)))
                first = build.select(build.icmp_signed("<", first, number(0)), number(0), first)
                places = [emit.smaller_int(build, build.add(first, number(p)), last) for p in range(pixels)]
                rows = [build.gep(given.source, [build.mul(given.source_stride, place)]) for place in places]

                def turn(r: Any, sums: Values) -> Values:
                    begin = build.mul(r, given.run_stride)
                    line = build.gep(weights, [build.mul(r, number(run * width * LANES * numbers.depth))])
                    starts = [build.gep(row, [begin]) for row in rows]
                    for i in range(run):
                        factors = [numbers.load_words(build, build.gep(line, [number((i * width + v) * LANES * numbers.depth)]))
                                   for v in range(width)]
                        words = [numbers.spread_word(build, build.gep(start, [number(i * numbers.depth)])) for start in starts]
                        sums = [numbers.dot(build, words[p], factors[v], sums[p * width + v])
                                for p in range(pixels) for v in range(width)]
                    return sums

                sums = emit.loop(build, given.runs, first_sums * pixels, turn)
                sums = [numbers.sum_as_floats(build, total, scales[i % width], bias[i % width]) for i, total in enumerate(sums)]
                _finish(build, kinds, given, channel, places, sums)
                return nothing

            emit.loop(build, build.sdiv(build.add(count, number(pixels - 1)), number(pixels)), [], tile)
            return context.get_dummy_value()

        return types.void(job, types.intp, types.intp), emit_it

    return product


def _product_on_tiles(build: Any, kinds: Product, given: Product, channel: Any, count: Any, width: int, tile_count: int) -> None:
    """Emits a product on the processor's own tiles; the arguments are those of `product_of_rows`.

    The last tiles overlap those before them. If there are fewer pixels than in a tile, it reads beyond them, for which `program`
    leaves room, and only the pixels' own sums are used.
    """
    numbers = format_of(kinds.source)
    number_bytes, run = number(np.dtype(numbers.dtype).itemsize), number(tiles.ROWS * numbers.depth)
    weights = build.gep(given.weights, [build.mul(build.mul(given.runs, run), channel)])
    bias, scales = (_of_channels(build, place, channel, width) for place in (given.bias, given.scales))
    highest = build.sub(count, number(tiles.ROWS))
    rows = emit.smaller_int(build, count, number(tiles.ROWS))
    last = build.sub(rows, number(1))

    def several(index: Any, nothing: Values) -> Values:
        first = build.mul(index, number(tiles.ROWS * tile_count))
        wanted = [build.add(first, number(tiles.ROWS * t)) for t in range(tile_count)]
        starts = [emit.smaller_int(build, start, highest) for start in wanted]
        starts = [build.select(build.icmp_signed("<", start, number(0)), number(0), start) for start in starts]
        sums = tiles.multiply(build, numbers, given.source, build.mul(given.source_stride, number_bytes),
                              build.mul(given.run_stride, number_bytes), weights, given.runs, starts, width,
                              build.gep(given.bias, [channel]))

        def finish(t: int, done: Any, group: Any, nothing: Values) -> Values:
            begin = build.add(done, build.mul(group, number(_FINISHED)))
            lines = [emit.smaller_int(build, build.add(begin, number(i)), last) for i in range(_FINISHED)]
            totals = [numbers.load_sums(build, tiles.sum_at(build, sums, t * width + v, line))
                      for line in lines for v in range(width)]
            totals = [numbers.sum_as_floats(build, total, scales[i % width], bias[i % width]) for i, total in enumerate(totals)]
            _finish(build, kinds, given, channel, [build.add(starts[t], line) for line in lines], totals)
            return nothing

        for t in range(tile_count):
            done = build.sub(wanted[t], starts[t])  # rows that the tile before has, too
            left = build.sub(rows, done)
            with build.if_then(build.icmp_signed(">", left, number(0))):
                groups = build.sdiv(build.add(left, number(_FINISHED - 1)), number(_FINISHED))
                emit.loop(build, groups, [], partial(finish, t, done))
        return nothing

    size = tiles.ROWS * tile_count
    emit.loop(build, build.sdiv(build.add(count, number(size - 1)), number(size)), [], several)


def _of_channels(build: Any, place: Any, channel: Any, width: int) -> Values:
    """Loads the floats of a panel's channels."""
    return [FLOAT32.load(build, build.gep(place, [build.add(channel, number(v * LANES))])) for v in range(width)]


def _finish(build: Any, kinds: Product, given: Product, channel: Any, places: Values, sums: Values) -> None:
    """Emits what follows the sums of some pixels: activation, addend, writing."""
    width = len(sums) // len(places)
    sums = _activate(build, given.activation, sums)

    def add() -> Values:
        beside = [build.gep(given.added, [build.add(build.mul(given.added_stride, place), channel)]) for place in places]
        return [build.fadd(total, format_of(kinds.added).load(build, build.gep(beside[i // width], [number(i % width * LANES)])))
                for i, total in enumerate(sums)]

    sums = emit.either(build, build.icmp_signed("!=", given.adds, number(0)), add, sums)
    out = [build.gep(given.target, [build.add(build.mul(given.target_stride, place), channel)]) for place in places]
    _store(build, format_of(kinds.target), sums, out, given.streams)


def depthwise_tile(pixels: int, kernel: int, stride: int, dilation: int) -> Any:
    """Makes the tile of a depthwise convolution: some neighbouring pixels of an output row times one vector of channels.

    An input that several outputs of the tile share is loaded only once. If a word holds several numbers, they come from as many
    rows.
    """
    taps = [(p, t, p * stride + t * dilation) for p in range(pixels) for t in range(kernel)]

    @intrinsic
    def tile(typing_context: Any, job: Any, pixel: Any, channel: Any, pixel_step: Any, tap_stride: Any) -> Any:
        """Convolves, starting at an output pixel and a channel.

        Neighbouring outputs lie `pixel_step` input pixels apart; taps lie apart by the tile's dilation, in units of `tap_stride`
        numbers.
        """
        def emit_it(context: Any, build: Any, signature: Any, args: Any) -> Any:
            kinds = Depthwise(*job.types)
            given = Depthwise(*(build.extract_value(args[0], i) for i in range(len(job))))
            pixel, channel, pixel_step, tap_stride = args[1:]
            numbers = format_of(kinds.source)
            source = build.gep(given.source, [build.add(build.mul(build.mul(pixel, pixel_step), given.pixel_stride), channel)])
            weights = build.gep(given.weights, [build.mul(channel, number(numbers.depth))])

            def group(g: Any, sums: Values) -> Values:
                first = build.mul(g, number(numbers.depth))
                lines = [build.gep(source, [build.load(build.gep(given.row_offsets, [build.add(first, number(d))]))])
                         for d in range(numbers.depth)]
                tap = build.mul(g, number(kernel))
                factors = [numbers.load_words(build, build.gep(weights, [build.mul(build.add(tap, number(t)),
                                                                                  given.weight_stride)]))
                           for t in range(kernel)]
                found = list(sums)
                for position in sorted({place for _, _, place in taps}):
                    offset = build.mul(tap_stride, number(position))
                    words = numbers.words_of(build, [numbers.load_raw(build, build.gep(line, [offset])) for line in lines])
                    for p, t, place in taps:
                        if place == position:
                            found[p] = numbers.dot(build, words, factors[t], found[p])
                return found

            bias = FLOAT32.load(build, build.gep(given.bias, [channel]))
            groups = -(-kernel // numbers.depth)
            found = _activate(build, given.activation, emit.loop(build, number(groups), [bias] * pixels, group))
            out = [build.gep(given.target, [build.add(build.mul(given.target_stride, build.add(pixel, number(p))), channel)])
                   for p in range(pixels)]
            _store(build, format_of(kinds.target), found, out, given.streams)
            with build.if_then(build.icmp_signed("!=", given.adds, number(0))):
                place = build.gep(given.sums, [channel])
                total = FLOAT32.load(build, place)
                for value in found:
                    total = build.fadd(total, value)
                FLOAT32.store(build, total, place)
            return context.get_dummy_value()

        return types.void(job, types.intp, types.intp, types.intp, types.intp), emit_it

    return tile


def _store(build: Any, target: Any, values: Values, rows: Values, streams: Any) -> None:
    """Writes a tile, in rows of several vectors."""
    width = len(values) // len(rows)

    def write(mark: bool) -> None:
        for i, value in enumerate(values):
            target.store(build, value, build.gep(rows[i // width], [number(i % width * LANES)]), mark)

    with build.if_else(build.icmp_signed("!=", streams, number(0))) as (then, otherwise):
        with then:
            write(True)
        with otherwise:
            write(False)


def _activate(build: Any, activation: Any, values: Values) -> Values:
    """Emits the activation of that number."""
    zero, half, one, six, sixth = map(emit.constant, (0.0, 0.5, 1.0, 6.0, 1 / 6))

    def hard_swish(x: Any) -> Any:
        return build.fmul(x, emit.smaller(build, emit.larger(build, emit.fma(build, x, sixth, half), zero), one))

    functions: dict[int, Callable[[Any], Any]] = {
        RELU: lambda x: emit.larger(build, x, zero),
        RELU6: lambda x: emit.smaller(build, emit.larger(build, x, zero), six),
        HARD_SWISH: hard_swish,
    }

    def apply(function: Callable[[Any], Any], inputs: Values) -> Values:
        return [function(x) for x in inputs]

    for kind, function in functions.items():
        chosen = build.icmp_signed("==", activation, number(kind))
        values = emit.either(build, chosen, partial(apply, function, values), values)
    return values
