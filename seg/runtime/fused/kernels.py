"""The steps of a network as compiled loops, over pieces that stay in a core's cache.

A step is a record of sizes, and of offsets into two flat arrays of float32: `constants`, the weights as `program` packs them,
and `maps`, the activations, channels last. Its tasks write to different places. All threads of a frame call `run`: each takes
the next task of a step until there is none, and goes on when all of them are done.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from seg.runtime import compiled
from seg.runtime.compiled import State
from seg.runtime.fused import products, vectors
from seg.runtime.fused.products import RUN, depthwise, fill, panel_width, product, stem_product
from seg.runtime.fused.vectors import LANES, LINEAR, RELU, at, look, rest, take

BLOCK, GATE, POINTWISE, DEEP, GRID, CLASSIFY, MERGE = range(7)  # kinds of steps
NONE = -1  # the offset of what isn't there
CENTER = np.float32(127.5)  # of a byte
COUNTERS = 32  # of each step, int64: how many tasks were taken and, two cache lines further, are done
_DONE = 16

# Each kind has its own use for some of these; the rest are 0.
_FIELDS = """
    kind tasks
    in_height in_width in_channels out_height out_width out_channels expanded classes
    from_frame kernel stride dilation activation source_activation adds squeezes streams
    strips bands chunks strip chunk
    source target residual sums parts skip_target gated_weights grid
    mean expand_weights expand_bias depth_weights depth_bias project_weights project_bias classify_weights classify_bias
    reduced reduce_weights reduce_bias gate_weights gate_bias smooth
    pool_rows pool_columns intervals grid_width row_axis row_fraction column_axis column_fraction
"""
# What Numba kept on disk it knows by this file and the types of what `run` is given. So the last field's name says what the
# other files were.
_OTHERS = hashlib.sha256(b"".join(Path(str(each.__file__)).read_bytes() for each in (products, vectors))).hexdigest()[:16]
STEP = np.dtype([(name, np.int64) for name in [*_FIELDS.split(), f"others_{_OTHERS}"]])

_compile = numba.njit(nogil=True)


@_compile
def frame_line(s: Any, frame: Any, constants: Any, row: int, first: int, last: int, line: Any) -> None:
    """Writes columns first..last - 1 of a row of the frame as floats around 0, which is exact.

    What lies beside the frame has the mean colour.
    """
    inside = 0 <= row < frame.shape[0]
    left, right = (max(first, 0) * 3, min(last * 3, frame.shape[1])) if inside else (last * 3, last * 3)
    for i in range(first * 3, left):
        line[i - first * 3] = constants[s.mean + (i - first * 3) % 3]
    if inside:
        pixels, part = frame[row, left:right], line[left - first * 3:]
        for i in range(right - left):
            part[i] = pixels[i] - CENTER
    for i in range(right, last * 3):
        line[i - first * 3] = constants[s.mean + i % 3]


@_compile
def _stem_row(s: Any, frame: Any, constants: Any, y: int, begin: int, end: int, lines: Any, out: Any) -> None:
    """Computes columns begin..end - 1 of a row of the first convolution, 3x3 with stride 2, from the frame's bytes.

    Its weights hold the normalisation. So its padding, which is zero in normal colours, is the mean colour.
    """
    first, last = 2 * begin - 1, 2 * end
    length = 3 * (last - first)
    for r in range(3):
        frame_line(s, frame, constants, 2 * y - 1 + r, first, last, lines[r * length:(r + 1) * length])
    stem_product(at(lines, 0), 6, 3, length, at(constants, s.expand_weights), at(constants, s.expand_bias),
                 s.source_activation, out, 0, 0, out, s.expanded, 0, end - begin, s.expanded)


@_compile
def _block(s: Any, frame: Any, constants: Any, maps: Any, scratch: Any, task: int) -> None:
    """Runs an inverted residual, or with squeeze-and-excite all of it before the gate, row by row.

    Expanded rows are made when the depthwise convolution first needs them, and stay in a ring of as many as it spans. So
    neither they nor, without a gate, the convolution's output ever leave the cache.
    """
    chunk, strip, band = task % s.chunks, task // s.chunks % s.strips, task // s.chunks // s.strips
    first_channel = chunk * s.chunk
    channels = min(s.chunk, s.expanded - first_channel)
    x_begin, x_end = strip * s.strip, min((strip + 1) * s.strip, s.out_width)
    y_begin, y_end = band * s.out_height // s.bands, (band + 1) * s.out_height // s.bands

    padding, reach = s.kernel // 2 * s.dilation, (s.kernel - 1) * s.dilation + 1
    ring_begin, ring_end = x_begin * s.stride - padding, (x_end - 1) * s.stride - padding + reach
    in_begin, in_end = max(ring_begin, 0), min(ring_end, s.in_width)
    row_size = (ring_end - ring_begin) * channels

    # Scratch: the ring, the depthwise output of one row, its channels' sums, those of all rows, and lines of the frame.
    middle_at = reach * row_size
    sums_at = middle_at + (x_end - x_begin) * channels
    totals_at = sums_at + channels
    lines_at = totals_at + channels
    for row in range(reach):  # what lies beside the map is zero
        fill(scratch, row * row_size, row * row_size + (in_begin - ring_begin) * channels, 0.0)
        fill(scratch, (row + 1) * row_size - (ring_end - in_end) * channels, (row + 1) * row_size, 0.0)
    fill(scratch, totals_at, lines_at, 0.0)
    row_offsets = np.empty(s.kernel, np.int64)

    following = max(y_begin * s.stride - padding, 0)
    for y in range(y_begin, y_end):
        top = y * s.stride - padding
        while following < min(top + reach, s.in_height):
            place = following % reach * row_size + (in_begin - ring_begin) * channels
            pixel = s.source + (following * s.in_width + in_begin) * s.in_channels
            if s.from_frame:
                _stem_row(s, frame, constants, following, in_begin, in_end, scratch[lines_at:], at(scratch, place))
            else:
                product(at(maps, pixel), s.in_channels, s.in_channels // RUN, RUN,
                        at(constants, s.expand_weights + first_channel * s.in_channels),
                        at(constants, s.expand_bias + first_channel), s.source_activation, at(maps, pixel), 0, 0,
                        at(scratch, place), channels, 0, in_end - in_begin, channels)
            following += 1

        rows, first_tap = 0, 0
        for tap in range(s.kernel):
            row = top + tap * s.dilation
            if 0 <= row < s.in_height:
                first_tap = tap if rows == 0 else first_tap
                row_offsets[rows] = row % reach * row_size
                rows += 1
        out_pixel = y * s.out_width + x_begin
        if s.squeezes:
            out, out_stride = at(maps, s.target + out_pixel * s.expanded + first_channel), s.expanded
            fill(scratch, sums_at, totals_at, 0.0)
        else:
            out, out_stride = at(scratch, middle_at), channels
        depthwise(at(scratch, 0), row_offsets, rows, s.kernel, s.stride, s.dilation,
                  at(constants, s.depth_weights + s.kernel * s.kernel * first_channel + first_tap * s.kernel * channels),
                  at(constants, s.depth_bias + first_channel), s.activation, out, out_stride, s.squeezes * s.streams,
                  at(scratch, sums_at), s.squeezes, x_end - x_begin, channels)
        if s.squeezes:
            for c in range(channels):
                scratch[totals_at + c] += scratch[sums_at + c]
            continue
        if s.from_frame:
            added, added_stride = at(scratch, y % reach * row_size + padding * channels), channels
        else:
            added, added_stride = at(maps, s.source + out_pixel * s.in_channels), s.in_channels
        product(out, channels, channels // RUN, RUN, at(constants, s.project_weights), at(constants, s.project_bias),
                LINEAR, added, added_stride, s.adds, at(maps, s.target + out_pixel * s.out_channels), s.out_channels,
                s.streams, x_end - x_begin, s.out_channels)
        if s.skip_target != NONE:
            product(out, channels, channels // RUN, RUN, at(constants, s.classify_weights), at(constants, s.classify_bias),
                    LINEAR, out, 0, 0, at(maps, s.skip_target + out_pixel * s.classes), s.classes, 0, x_end - x_begin,
                    s.classes)
    if s.squeezes:
        part = s.sums + (band * s.strips + strip) * s.expanded + first_channel
        for c in range(channels):
            maps[part + c] = scratch[totals_at + c]


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
def _gate(s: Any, constants: Any, maps: Any) -> None:
    """Computes a squeeze-and-excite gate from the channels' sums, and multiplies the projection's weights by it."""
    means, reduced = np.zeros(s.expanded, np.float32), np.zeros(s.reduced, np.float32)
    gate = np.zeros(s.expanded, np.float32)
    for part in range(s.parts):
        for c in range(s.expanded):
            means[c] += maps[s.sums + part * s.expanded + c]
    for c in range(s.expanded):
        means[c] /= np.float32(s.in_height * s.in_width)
    _dense(means, constants[s.reduce_weights:], reduced)
    for r in range(s.reduced):
        reduced[r] = max(reduced[r] + constants[s.reduce_bias + r], np.float32(0))
    _dense(reduced, constants[s.gate_weights:], gate)
    for c in range(s.expanded):
        gate[c] = _hard_sigmoid(gate[c] + constants[s.gate_bias + c])
    begin = 0
    while begin < s.out_channels:
        size = panel_width((s.out_channels - begin) // LANES) * LANES
        for c in range(s.expanded):
            place = begin * s.expanded + c * size
            for i in range(size):
                maps[s.gated_weights + place + i] = constants[s.project_weights + place + i] * gate[c]
        begin += size


@_compile
def _pointwise(s: Any, constants: Any, maps: Any, task: int) -> None:
    """Projects some pixels with gated weights, classifies them for the skip connection, or does both."""
    pixels = s.in_height * s.in_width
    begin, end = task * pixels // s.tasks, (task + 1) * pixels // s.tasks
    source = at(maps, s.source + begin * s.expanded)
    if s.target != NONE:
        product(source, s.expanded, s.expanded // RUN, RUN, at(maps, s.gated_weights), at(constants, s.project_bias),
                LINEAR, at(maps, s.residual + begin * s.out_channels), s.out_channels, s.adds,
                at(maps, s.target + begin * s.out_channels), s.out_channels, 0, end - begin, s.out_channels)
    if s.skip_target != NONE:
        product(source, s.expanded, s.expanded // RUN, RUN, at(constants, s.classify_weights), at(constants, s.classify_bias),
                LINEAR, source, 0, 0, at(maps, s.skip_target + begin * s.classes), s.classes, 0, end - begin, s.classes)


@_compile
def _deep(s: Any, constants: Any, tables: Any, maps: Any, scratch: Any, y: int) -> None:
    """Runs the encoder's last convolution and the decoder's first on a row; adds the former up, by interval of columns."""
    sums_at = s.sums + y * s.intervals * s.expanded
    fill(maps, sums_at, sums_at + s.intervals * s.expanded, 0.0)
    for x in range(0, s.in_width, s.strip):
        count = min(s.strip, s.in_width - x)
        pixel = y * s.in_width + x
        feature, feature_at = maps, s.source + pixel * s.in_channels
        if s.expand_weights != NONE:
            source = at(maps, feature_at)
            product(source, s.in_channels, s.in_channels // RUN, RUN, at(constants, s.expand_weights),
                    at(constants, s.expand_bias), s.activation, source, 0, 0, at(scratch, 0), s.expanded, 0, count, s.expanded)
            feature, feature_at = scratch, 0
        for i in range(count):
            interval = sums_at + tables[s.pool_columns + x + i] * s.expanded
            for c in range(s.expanded):
                maps[interval + c] += feature[feature_at + i * s.expanded + c]
        source = at(feature, feature_at)
        product(source, s.expanded, s.expanded // RUN, RUN, at(constants, s.project_weights), at(constants, s.project_bias),
                RELU, source, 0, 0, at(maps, s.target + pixel * s.out_channels), s.out_channels, 0, count, s.out_channels)


@_compile
def _grid(s: Any, constants: Any, tables: Any, maps: Any, cell: int) -> None:
    """Averages a window of the decoder's pooling from the sums of `_deep`, and computes its gate."""
    mean, gate = np.zeros(s.expanded, np.float32), np.zeros(s.out_channels, np.float32)
    window = s.pool_rows + cell * 5  # first and last row, first and last interval, pixels
    for y in range(tables[window], tables[window + 1]):
        for interval in range(tables[window + 2], tables[window + 3]):
            part = s.sums + (y * s.intervals + interval) * s.expanded
            for c in range(s.expanded):
                mean[c] += maps[part + c]
    for c in range(s.expanded):
        mean[c] /= np.float32(tables[window + 4])
    _dense(mean, constants[s.gate_weights:], gate)
    for c in range(s.out_channels):
        maps[s.grid + cell * s.out_channels + c] = 1 / (1 + np.exp(-gate[c])) if s.smooth else _hard_sigmoid(gate[c])


@_compile
def _classify(s: Any, constants: Any, tables: Any, maps: Any, scratch: Any, y: int) -> None:
    """Multiplies a row of the decoder's deep feature by the gate, resized to it, and classifies it."""
    channels, gates = s.out_channels, s.grid_width * s.out_channels
    _resized_row(s, tables, constants, maps, s.grid, gates, y, scratch)
    for x in range(0, s.in_width, s.strip):
        count = min(s.strip, s.in_width - x)
        pixel = y * s.in_width + x
        for i in range(count):
            left, right = tables[s.column_axis + 2 * (x + i)] * channels, tables[s.column_axis + 2 * (x + i) + 1] * channels
            fraction = constants[s.column_fraction + x + i]
            for c in range(channels):
                gate = scratch[left + c] + (scratch[right + c] - scratch[left + c]) * fraction
                scratch[gates + i * channels + c] = maps[s.source + (pixel + i) * channels + c] * gate
        source = at(scratch, gates)
        product(source, channels, channels // RUN, RUN, at(constants, s.classify_weights), at(constants, s.classify_bias),
                LINEAR, source, 0, 0, at(maps, s.target + pixel * s.classes), s.classes, 0, count, s.classes)


@_compile
def _merge(s: Any, constants: Any, tables: Any, maps: Any, scratch: Any, scores: Any, y: int) -> None:
    """Adds the deep scores, resized, to a row of the skip connection's, and writes it class by class."""
    classes, row_at, skip_at = s.classes, s.in_width * s.classes, s.skip_target + y * s.out_width * s.classes
    _resized_row(s, tables, constants, maps, s.source, row_at, y, scratch)
    for x in range(s.out_width):
        left, right = tables[s.column_axis + 2 * x] * classes, tables[s.column_axis + 2 * x + 1] * classes
        fraction = constants[s.column_fraction + x]
        for c in range(classes):
            resized = scratch[left + c] + (scratch[right + c] - scratch[left + c]) * fraction
            scratch[row_at + x * classes + c] = resized + maps[skip_at + x * classes + c]
    for c in range(scores.shape[0]):
        for x in range(s.out_width):
            scores[c, y, x] = scratch[row_at + x * classes + c]


@_compile
def _resized_row(s: Any, tables: Any, constants: Any, maps: Any, source: int, length: int, y: int, out: Any) -> None:
    """Writes row y of a map that is resized vertically."""
    near, far = source + tables[s.row_axis + 2 * y] * length, source + tables[s.row_axis + 2 * y + 1] * length
    fraction = constants[s.row_fraction + y]
    for i in range(length):
        out[i] = maps[near + i] + (maps[far + i] - maps[near + i]) * fraction


def run(steps: Any, frame: Any, constants: Any, tables: Any, maps: Any, scratch: Any, scores: Any, counters: Any) -> None:
    """Takes part in computing a frame's scores; returns when they are whole. Compiled by `load`.

    Args:
        steps: records of `STEP`, in order.
        frame: (H, 3 W) uint8, BGR.
        constants: float32, flat.
        tables: int64, flat.
        maps: float32, flat.
        scratch: float32, this thread's own.
        scores: (classes, h, w) float32, written.
        counters: `COUNTERS` for each step, zero when the frame begins.
    """
    for index in range(len(steps)):
        s = steps[index]
        taken, done = index * COUNTERS, index * COUNTERS + _DONE
        task = take(counters, taken)
        while task < s.tasks:
            if s.kind == BLOCK:
                _block(s, frame, constants, maps, scratch, task)
            elif s.kind == GATE:
                _gate(s, constants, maps)
            elif s.kind == POINTWISE:
                _pointwise(s, constants, maps, task)
            elif s.kind == DEEP:
                _deep(s, constants, tables, maps, scratch, task)
            elif s.kind == GRID:
                _grid(s, constants, tables, maps, task)
            elif s.kind == CLASSIFY:
                _classify(s, constants, tables, maps, scratch, task)
            else:
                _merge(s, constants, tables, maps, scratch, scores, task)
            take(counters, done)
            task = take(counters, taken)
        while look(counters, done) < s.tasks:
            rest()


@cache
def load() -> Callable[..., None]:
    """Returns `run`, compiled."""
    return compiled.compiled(run, _try_out)


def state() -> State:
    """Returns whether `load` has to compile, see `seg.runtime.compiled.state`."""
    return compiled.state(run, _try_out)


def _try_out(made: Callable[..., None]) -> None:
    floats = np.zeros(1, np.float32)
    made(np.zeros(0, STEP), np.zeros((1, 3), np.uint8), floats, np.zeros(1, np.int64), floats, floats,
         np.zeros((1, 1, 1), np.float32), np.zeros(1, np.int64))
