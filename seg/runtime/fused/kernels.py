"""The steps of a network as compiled loops, over pieces that stay in a core's cache.

A step is one record of sizes and of places in flat arrays: what it reads, what it writes, and where its weights are. It is cut
into tasks, which write to different places. All threads of a frame call `run`: each takes the next task of a step until none is
left, and when all tasks are done, all threads go on to the next step.

Where values lie:

    constants   float32   biases, gates' weights, fractions of resizing, as `program` packs them
        weights     format    weights of products
        taps        expanded  weights of depthwise convolutions
        whole       int8      weights of products in int8
        maps        format    activations, channels last; gated weights
        floats      float32   sums for means, gates, scores
        ring        expanded  a thread's own, in its cache: expanded rows
        rows        format    a thread's own: lines of the frame, the depthwise convolution's output, features of the decoder
        lines       float32   a thread's own: sums, resized rows
        levels      uint8     a thread's own: inputs of a product in int8

"format" and "expanded" are each one of `formats`, mostly the same. Each precision has its own `run`, which Numba compiles from
the same functions for the arrays' types. Except in int8, `whole` and `levels` are None, and Numba omits the code that uses them.
"""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np

from seg import compiled, instructions
from seg.runtime.fused import emit, formats, processor, products, tiles, vectors
from seg.runtime.fused.formats import INT8, expanded_format_in, format_in
from seg.runtime.fused.processor import LANES
from seg.runtime.fused.products import (
    STEM_RUN,
    depthwise,
    fill,
    panel_width,
    product,
    run_of,
    stem_product,
    stem_run_of,
    taps_of,
)
from seg.runtime.fused.tiles import release_tiles, use_tiles
from seg.runtime.fused.vectors import (
    LINEAR,
    RELU,
    Depthwise,
    Product,
    add_pixels,
    at,
    between,
    between_added,
    between_multiplied,
    beyond,
    depth_of,
    look,
    put,
    rest,
    take,
    to_levels,
    widen,
)

BLOCK, GATE, POINTWISE, DEEP, GRID, CLASSIFY, MERGE = range(7)  # kinds of steps
NONE = -1  # the offset of something that doesn't exist
CENTER = np.float32(127.5)  # middle of a byte's range
COUNTERS = 32  # int64 values of each step: the number of taken tasks and, two cache lines further, of finished tasks
_DONE = 16

# Each kind of step uses some of these; the others are 0. Channels are counted with the padding in memory, in whole vectors;
# `input_runs` and `middle_runs` are the iterations in which products sum them up.
_FIELDS = """
    kind tasks
    in_height in_width in_channels out_height out_width out_channels expanded classes
    input_runs middle_runs
    from_frame kernel stride dilation activation source_activation adds squeezes streams
    strips bands chunks strip chunk
    source target residual sums parts skip_target gated_weights gated_factors grid
    mean expand_weights expand_bias depth_weights depth_bias project_weights project_bias classify_weights classify_bias
    expand_scales expand_factors project_scales project_factors
    reduced reduce_weights reduce_bias gate_weights gate_bias smooth
    pool_rows pool_columns intervals grid_width row_axis row_fraction column_axis column_fraction
"""
# Numba identifies what it kept on disk by this file and by the argument types of `run`. So the name of the last field depends on
# the contents of the other files, and on what `processor` found out.
_MADE_OF = instructions, emit, formats, processor, products, tiles, vectors
_SOURCES = b"".join(Path(str(each.__file__)).read_bytes() for each in _MADE_OF)
_OTHERS = hashlib.sha256(_SOURCES + bytes([LANES, processor.TILES])).hexdigest()[:16]
STEP = np.dtype([(name, np.int64) for name in [*_FIELDS.split(), f"others_{_OTHERS}"]])


class Arrays(NamedTuple):
    """Arrays that the threads share; see the module."""

    constants: Any
    weights: Any
    taps: Any
    whole: Any
    tables: Any  # int64: where resizing and pooling find their pixels
    maps: Any
    floats: Any


class Scratch(NamedTuple):
    """Arrays of one thread; see the module."""

    ring: Any
    rows: Any
    lines: Any
    levels: Any


_compile = numba.njit(nogil=True)


@_compile
def frame_line(s: Any, frame: Any, constants: Any, row: int, first: int, last: int, line: Any) -> None:
    """Writes columns first..last - 1 of a row of the frame as numbers around 0, which every format holds exactly.

    Outside the frame they have the mean colour.
    """
    inside = 0 <= row < frame.shape[0]
    left, right = (max(first, 0) * 3, min(last * 3, frame.shape[1])) if inside else (last * 3, last * 3)
    for i in range(first * 3, left):
        put(line, i - first * 3, constants[s.mean + (i - first * 3) % 3])
    if inside:
        vectors = (right - left) // LANES
        if vectors:
            widen(at(frame[row], left), CENTER, at(line, left - first * 3), vectors)
        for i in range(left + vectors * LANES, right):
            put(line, i - first * 3, np.float32(frame[row, i]) - CENTER)
    for i in range(right, last * 3):
        put(line, i - first * 3, constants[s.mean + i % 3])


class _Whole(NamedTuple):
    """The data of a layer for int8.

    Attributes:
        weights: start of the weights.
        scales: start of the scales of the outputs, which turn sums into floats; `NONE` for a layer that isn't in int8.
        factors: address of the factors of the inputs, which turn them into levels; see `to_levels`.
        inputs: number of inputs, with the padding in memory.
        first: first output channel.
    """

    weights: int
    scales: int
    factors: Any
    inputs: int
    first: int


@_compile
def _multiply(job: Any, layer: _Whole, arrays: Arrays, levels: Any, count: int, channels: int) -> None:
    """Computes a product, see `Product`: in the format of the job, or in int8 if the layer has the data for it.

    Args:
        job: the product; its bias is the one for the chosen way.
        layer: its data for int8.
        arrays: the shared arrays.
        levels: `scratch.levels`; None tells Numba that there is no int8.
        count: pixels.
        channels: of the output.
    """
    if levels is not None and layer.scales != NONE:
        inputs, run = layer.inputs, run_of(arrays.whole)
        for p in range(count):
            to_levels(beyond(job.source, p * job.source_stride), layer.factors, at(levels, p * inputs), inputs // LANES)
        runs = -(-job.runs * job.run_stride // run)
        weights = at(arrays.whole, layer.weights + layer.first * runs * run)
        scales = at(arrays.constants, layer.scales + layer.first)
        product(Product(at(levels, 0), inputs, runs, run, weights, job.bias, scales, job.activation, job.added, job.added_stride,
                        job.adds, job.target, job.target_stride, job.streams), count, channels)
        return
    product(job, count, channels)


class _Part(NamedTuple):
    """A task's part of a block.

    Attributes:
        number: its number among the parts that lie one above or beside the other, all channels counted together.
        x_begin, x_end, y_begin, y_end: its place in the output.
        first_channel, channels: its expanded channels.
        padding: rows and columns that the depthwise convolution reads beyond the map.
        reach: rows and columns that the depthwise convolution spans.
        ring_begin, ring_end: columns of the expanded rows.
        in_begin, in_end: those of these columns that lie within the map.
        row_size: numbers in an expanded row.
    """

    number: int
    x_begin: int
    x_end: int
    y_begin: int
    y_end: int
    first_channel: int
    channels: int
    padding: int
    reach: int
    ring_begin: int
    ring_end: int
    in_begin: int
    in_end: int
    row_size: int


@_compile
def _part(s: Any, task: int) -> _Part:
    chunk, strip, band = task % s.chunks, task // s.chunks % s.strips, task // s.chunks // s.strips
    first_channel = chunk * s.chunk
    channels = min(s.chunk, s.expanded - first_channel)
    x_begin, x_end = strip * s.strip, min((strip + 1) * s.strip, s.out_width)
    y_begin, y_end = band * s.out_height // s.bands, (band + 1) * s.out_height // s.bands
    padding, reach = s.kernel // 2 * s.dilation, (s.kernel - 1) * s.dilation + 1
    ring_begin, ring_end = x_begin * s.stride - padding, (x_end - 1) * s.stride - padding + reach
    return _Part(band * s.strips + strip, x_begin, x_end, y_begin, y_end, first_channel, channels, padding, reach, ring_begin,
                 ring_end, max(ring_begin, 0), min(ring_end, s.in_width), (ring_end - ring_begin) * channels)


@_compile
def _expand(s: Any, frame: Any, arrays: Arrays, scratch: Scratch, part: _Part, row: int, lines_at: int) -> None:
    """Makes an expanded row and puts it into the ring. In the first block it is a row of the first convolution."""
    place = at(scratch.ring, row % part.reach * part.row_size + (part.in_begin - part.ring_begin) * part.channels)
    bias = at(arrays.constants, s.expand_bias + part.first_channel)
    count = part.in_end - part.in_begin
    if s.from_frame:
        # 3x3 with stride 2. The weights contain the normalisation, so padding (zero in normalised colours) is the mean colour.
        first, last = 2 * part.in_begin - 1, 2 * part.in_end
        length = 3 * (last - first)
        for r in range(3):
            begin = lines_at + r * length
            frame_line(s, frame, arrays.constants, 2 * row - 1 + r, first, last, scratch.rows[begin:begin + length])
        end = lines_at + 3 * length
        fill(scratch.rows, end, end + stem_run_of(arrays.weights) - STEM_RUN, 0)  # a run reads more than its inputs
        line = at(scratch.rows, lines_at)
        stem_product(Product(line, 6, 3, length, at(arrays.weights, s.expand_weights), bias, bias, s.source_activation, line, 0,
                             0, place, part.channels, 0), count, part.channels)
    else:
        run = run_of(arrays.weights)
        pixel = at(arrays.maps, s.source + (row * s.in_width + part.in_begin) * s.in_channels)
        weights = at(arrays.weights, s.expand_weights + part.first_channel * s.input_runs * run)
        _multiply(Product(pixel, s.in_channels, s.input_runs, run, weights, bias, bias, s.source_activation, pixel, 0,
                          0, place, part.channels, 0),
                  _Whole(s.expand_weights, s.expand_scales, at(arrays.constants, s.expand_factors), s.in_channels,
                         part.first_channel), arrays, scratch.levels, count, part.channels)


@_compile
def _block(s: Any, frame: Any, arrays: Arrays, scratch: Scratch, task: int) -> None:
    """Runs an inverted residual row by row; with squeeze-and-excite only the part before the gate.

    Expanded rows are made when the depthwise convolution first needs them. They stay in a ring of as many rows as it spans. So
    the expanded rows never leave the cache, and without a gate the convolution's output doesn't either.
    """
    part, ring, floats = _part(s, task), scratch.ring, scratch.lines
    channels, size = part.channels, part.row_size
    # Ring: the expanded rows, a row of zeros. Rows: the depthwise convolution's output, lines of the frame. Lines: the channels'
    # sums of one row, and of all rows.
    nothing_at, lines_at, totals_at = part.reach * size, (part.x_end - part.x_begin) * channels, channels
    for row in range(part.reach):  # outside the map it is zero
        fill(ring, row * size, row * size + (part.in_begin - part.ring_begin) * channels, 0)
        fill(ring, (row + 1) * size - (part.ring_end - part.in_end) * channels, (row + 1) * size, 0)
    fill(ring, nothing_at, nothing_at + size, 0)
    fill(floats, totals_at, 2 * channels, 0.0)
    row_offsets = np.full(8, nothing_at, np.int64)
    depth_weights = at(arrays.taps, s.depth_weights + taps_of(s.kernel, arrays.taps) * part.first_channel)
    depth_bias = at(arrays.constants, s.depth_bias + part.first_channel)

    following = max(part.y_begin * s.stride - part.padding, 0)
    for y in range(part.y_begin, part.y_end):
        top = y * s.stride - part.padding
        while following < min(top + part.reach, s.in_height):
            _expand(s, frame, arrays, scratch, part, following, lines_at)
            following += 1

        for tap in range(s.kernel):
            row = top + tap * s.dilation
            row_offsets[tap] = row % part.reach * size if 0 <= row < s.in_height else nothing_at
        out_pixel = y * s.out_width + part.x_begin
        out, out_stride = at(scratch.rows, 0), channels
        if s.squeezes:
            out, out_stride = at(arrays.maps, s.target + out_pixel * s.expanded + part.first_channel), s.expanded
            fill(floats, 0, totals_at, 0.0)
        count = part.x_end - part.x_begin
        depthwise(Depthwise(at(ring, 0), at(row_offsets, 0), channels, depth_weights, channels * depth_of(arrays.taps),
                            depth_bias, s.activation, out, out_stride, s.squeezes * s.streams, at(floats, 0), s.squeezes),
                  s.kernel, s.stride, s.dilation, count, channels)
        if s.squeezes:
            for c in range(channels):
                floats[totals_at + c] += floats[c]
            continue
        if s.from_frame and s.adds:
            _project(s, arrays, scratch, at(ring, y % part.reach * size + part.padding * channels), channels, out_pixel, count)
        else:
            _project(s, arrays, scratch, at(arrays.maps, s.source + out_pixel * s.in_channels), s.in_channels, out_pixel, count)
        if s.skip_target != NONE:
            _classified(s, arrays, out, channels, s.middle_runs, s.skip_target + out_pixel * s.classes, count)
    if s.squeezes:
        place = s.sums + part.number * s.expanded + part.first_channel
        for c in range(channels):
            arrays.floats[place + c] = floats[totals_at + c]


@_compile
def _project(s: Any, arrays: Arrays, scratch: Scratch, added: Any, added_stride: int, out_pixel: int, count: int) -> None:
    """Projects a depthwise convolution's output, which is at the start of `rows`, to some pixels of the block's output."""
    bias = at(arrays.constants, s.project_bias)
    _multiply(Product(at(scratch.rows, 0), s.expanded, s.middle_runs, run_of(arrays.weights),
                      at(arrays.weights, s.project_weights), bias, bias, LINEAR, added, added_stride, s.adds,
                      at(arrays.maps, s.target + out_pixel * s.out_channels), s.out_channels, s.streams),
              _Whole(s.project_weights, s.project_scales, at(arrays.constants, s.project_factors), s.expanded, 0),
              arrays, scratch.levels, count, s.out_channels)


@_compile
def _classified(s: Any, arrays: Arrays, source: Any, stride: int, runs: int, target: int, count: int) -> None:
    """Writes the scores of some pixels, in float32."""
    scores, bias = at(arrays.floats, target), at(arrays.constants, s.classify_bias)
    product(Product(source, stride, runs, run_of(arrays.weights), at(arrays.weights, s.classify_weights), bias, bias, LINEAR,
                    scores, 0, 0, scores, s.classes, 0), count, s.classes)


@_compile
def _hard_sigmoid(x: Any) -> Any:
    return min(max(x + np.float32(3), np.float32(0)), np.float32(6)) / np.float32(6)


@_compile
def _dense(inputs: Any, weights: Any, out: Any) -> None:
    """Adds inputs times weights, (inputs, outputs) flat, to out."""
    for i in range(len(inputs)):
        for o in range(len(out)):
            out[o] += inputs[i] * weights[i * len(out) + o]


@_compile
def _gate(s: Any, arrays: Arrays) -> None:
    """Computes a squeeze-and-excite gate from the channels' sums, and multiplies the projection's weights by it.

    In int8 it multiplies instead the factors that turn the projection's inputs into levels.
    """
    constants, depth = arrays.constants, depth_of(arrays.weights)
    means, reduced = np.zeros(s.expanded, np.float32), np.zeros(s.reduced, np.float32)
    inputs = s.middle_runs * run_of(arrays.weights)
    gate = np.zeros(max(s.expanded, inputs), np.float32)  # beyond the channels, where weights are 0
    for part in range(s.parts):
        for c in range(s.expanded):
            means[c] += arrays.floats[s.sums + part * s.expanded + c]
    for c in range(s.expanded):
        means[c] /= np.float32(s.in_height * s.in_width)
    _dense(means, constants[s.reduce_weights:], reduced)
    for r in range(s.reduced):
        reduced[r] = max(reduced[r] + constants[s.reduce_bias + r], np.float32(0))
    _dense(reduced, constants[s.gate_weights:], gate[:s.expanded])
    for c in range(s.expanded):
        gate[c] = _hard_sigmoid(gate[c] + constants[s.gate_bias + c])
    if s.project_scales != NONE:
        for c in range(s.expanded):
            arrays.floats[s.gated_factors + c] = gate[c] * constants[s.project_factors + c]
        arrays.floats[s.gated_factors + s.expanded] = constants[s.project_factors + s.expanded]
        return
    begin = 0
    while begin < s.out_channels:
        size = panel_width((s.out_channels - begin) // LANES, depth) * LANES
        for c in range(0, inputs, depth):
            place = begin * inputs + c * size
            for i in range(size):
                for d in range(depth):
                    weight = constants[s.project_weights + place + i * depth + d]
                    put(arrays.maps, s.gated_weights + place + i * depth + d, weight * gate[c + d])
        begin += size


@_compile
def _pointwise(s: Any, arrays: Arrays, levels: Any, task: int) -> None:
    """Projects some pixels with gated weights, classifies them for the skip connection, or does both."""
    pixels, maps = s.in_height * s.in_width, arrays.maps
    begin, end = task * pixels // s.tasks, (task + 1) * pixels // s.tasks
    source = at(maps, s.source + begin * s.expanded)
    if s.target != NONE:
        bias = at(arrays.constants, s.project_bias)
        _multiply(Product(source, s.expanded, s.middle_runs, run_of(arrays.weights), at(maps, s.gated_weights), bias, bias,
                          LINEAR, at(maps, s.residual + begin * s.out_channels), s.out_channels, s.adds,
                          at(maps, s.target + begin * s.out_channels), s.out_channels, 0),
                  _Whole(s.project_weights, s.project_scales, at(arrays.floats, s.gated_factors), s.expanded, 0),
                  arrays, levels, end - begin, s.out_channels)
    if s.skip_target != NONE:
        _classified(s, arrays, source, s.expanded, s.middle_runs, s.skip_target + begin * s.classes, end - begin)


@_compile
def _deep(s: Any, arrays: Arrays, scratch: Scratch, y: int) -> None:
    """Runs the encoder's last convolution and the decoder's first on a row; sums up the former by intervals of columns."""
    sums_at = s.sums + y * s.intervals * s.expanded
    fill(arrays.floats, sums_at, sums_at + s.intervals * s.expanded, 0.0)
    rows, run = scratch.rows, run_of(arrays.weights)
    for x in range(0, s.in_width, s.strip):
        count = min(s.strip, s.in_width - x)
        pixel = y * s.in_width + x
        feature, feature_at = arrays.maps, s.source + pixel * s.in_channels
        if s.expand_weights != NONE:
            source, bias = at(arrays.maps, feature_at), at(arrays.constants, s.expand_bias)
            _multiply(Product(source, s.in_channels, s.input_runs, run, at(arrays.weights, s.expand_weights), bias, bias,
                              s.activation, source, 0, 0, at(rows, 0), s.expanded, 0),
                      _Whole(s.expand_weights, s.expand_scales, at(arrays.constants, s.expand_factors), s.in_channels, 0),
                      arrays, scratch.levels, count, s.expanded)
            feature, feature_at = rows, 0
        i = 0
        while i < count:
            interval, begin = arrays.tables[s.pool_columns + x + i], i
            while i < count and arrays.tables[s.pool_columns + x + i] == interval:
                i += 1
            add_pixels(at(feature, feature_at + begin * s.expanded), i - begin, s.expanded,
                       at(arrays.floats, sums_at + interval * s.expanded))
        source, bias = at(feature, feature_at), at(arrays.constants, s.project_bias)
        _multiply(Product(source, s.expanded, s.middle_runs, run, at(arrays.weights, s.project_weights), bias, bias, RELU, source,
                          0, 0, at(arrays.maps, s.target + pixel * s.out_channels), s.out_channels, 0),
                  _Whole(s.project_weights, s.project_scales, at(arrays.constants, s.project_factors), s.expanded, 0),
                  arrays, scratch.levels, count, s.out_channels)


@_compile
def _grid(s: Any, arrays: Arrays, cell: int) -> None:
    """Averages a window of the decoder's pooling from the sums of `_deep`, and computes its gate."""
    mean, gate = np.zeros(s.expanded, np.float32), np.zeros(s.out_channels, np.float32)
    tables, floats = arrays.tables, arrays.floats
    window = s.pool_rows + cell * 5  # first and last row, first and last interval, number of pixels
    for y in range(tables[window], tables[window + 1]):
        for interval in range(tables[window + 2], tables[window + 3]):
            part = s.sums + (y * s.intervals + interval) * s.expanded
            for c in range(s.expanded):
                mean[c] += floats[part + c]
    for c in range(s.expanded):
        mean[c] /= np.float32(tables[window + 4])
    _dense(mean, arrays.constants[s.gate_weights:], gate)
    for c in range(s.out_channels):
        floats[s.grid + cell * s.out_channels + c] = 1 / (1 + np.exp(-gate[c])) if s.smooth else _hard_sigmoid(gate[c])


@_compile
def _classify(s: Any, arrays: Arrays, scratch: Scratch, y: int) -> None:
    """Multiplies a row of the decoder's deep feature by the gate, resized to it, and classifies it."""
    channels, gates, tables = s.out_channels, scratch.lines, arrays.tables
    _resized_row(s, arrays, s.grid, s.grid_width * channels, y, gates)
    for x in range(0, s.in_width, s.strip):
        count = min(s.strip, s.in_width - x)
        pixel = y * s.in_width + x
        for i in range(count):
            left, right = tables[s.column_axis + 2 * (x + i)] * channels, tables[s.column_axis + 2 * (x + i) + 1] * channels
            fraction = arrays.constants[s.column_fraction + x + i]
            between_multiplied(at(gates, left), at(gates, right), fraction, at(arrays.maps, s.source + (pixel + i) * channels),
                               at(scratch.rows, i * channels), channels)
        _classified(s, arrays, at(scratch.rows, 0), channels, s.middle_runs, s.target + pixel * s.classes, count)


@_compile
def _merge(s: Any, arrays: Arrays, lines: Any, scores: Any, y: int) -> None:
    """Adds the resized deep scores to a row of the skip connection's scores, and writes it class by class."""
    classes, row_at, skip_at = s.classes, s.in_width * s.classes, s.skip_target + y * s.out_width * s.classes
    _resized_row(s, arrays, s.source, row_at, y, lines)
    tables = arrays.tables
    for x in range(s.out_width):
        left, right = tables[s.column_axis + 2 * x] * classes, tables[s.column_axis + 2 * x + 1] * classes
        fraction = arrays.constants[s.column_fraction + x]
        between_added(at(lines, left), at(lines, right), fraction, at(arrays.floats, skip_at + x * classes),
                      at(lines, row_at + x * classes), classes)
    for c in range(scores.shape[0]):
        for x in range(s.out_width):
            scores[c, y, x] = lines[row_at + x * classes + c]


@_compile
def _resized_row(s: Any, arrays: Arrays, source: int, length: int, y: int, out: Any) -> None:
    """Writes row y of a map of floats, resized vertically."""
    floats, tables = arrays.floats, arrays.tables
    near, far = source + tables[s.row_axis + 2 * y] * length, source + tables[s.row_axis + 2 * y + 1] * length
    between(at(floats, near), at(floats, far), arrays.constants[s.row_fraction + y], at(floats, near), at(out, 0), length)


def run(steps: Any, frame: Any, arrays: Arrays, scratch: Scratch, scores: Any, counters: Any) -> None:
    """Does a thread's share of computing a frame's scores; returns when all scores are written. Compiled by `load`.

    Args:
        steps: records of `STEP`, in order.
        frame: (H, 3 W) uint8, BGR.
        arrays: the arrays that all threads share.
        scratch: this thread's own arrays.
        scores: (classes, h, w) float32, written.
        counters: `COUNTERS` for each step, zero at the start of a frame.
    """
    use_tiles(at(arrays.weights, 0))
    for index in range(len(steps)):
        s = steps[index]
        taken, done = index * COUNTERS, index * COUNTERS + _DONE
        task = take(counters, taken)
        while task < s.tasks:
            if s.kind == BLOCK:
                _block(s, frame, arrays, scratch, task)
            elif s.kind == GATE:
                _gate(s, arrays)
            elif s.kind == POINTWISE:
                _pointwise(s, arrays, scratch.levels, task)
            elif s.kind == DEEP:
                _deep(s, arrays, scratch, task)
            elif s.kind == GRID:
                _grid(s, arrays, task)
            elif s.kind == CLASSIFY:
                _classify(s, arrays, scratch, task)
            else:
                _merge(s, arrays, scratch.lines, scores, task)
            take(counters, done)
            task = take(counters, taken)
        while look(counters, done) < s.tasks:
            rest()
    release_tiles(at(arrays.weights, 0))


@cache
def load(precision: str) -> Callable[..., None]:
    """Returns `run`, compiled for arrays of that precision."""
    return compiled.compiled(run, partial(_try_out, precision))


def state(precision: str) -> compiled.State:
    """Returns whether `load` has to compile, see `seg.compiled.state`; never for a precision that the processor lacks."""
    return "kept" if processor.missing(precision) else compiled.state(run, partial(_try_out, precision))


def _try_out(precision: str, made: Callable[..., None]) -> None:
    values, floats = np.zeros(1, format_in(precision).dtype), np.zeros(1, np.float32)
    expanded = np.zeros(1, expanded_format_in(precision).dtype)
    whole, levels = ((np.zeros(1, dtype) for dtype in (INT8.weights_dtype, INT8.dtype)) if precision == "int8" else (None, None))
    made(np.zeros(0, STEP), np.zeros((1, 3), np.uint8), Arrays(floats, values, expanded, whole, np.zeros(1, np.int64), values,
                                                                       floats),
         Scratch(expanded, values, floats, levels), np.zeros((1, 1, 1), np.float32), np.zeros(1, np.int64))
