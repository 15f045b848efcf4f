"""From a network's weights to the steps that compute it for one frame size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.architecture import NORM_EPS, find_variant, is_variant, pool_windows, round_to_8, sliding_pool
from seg.errors import SegError
from seg.ranges import Range
from seg.runtime.fused import kernels
from seg.runtime.fused.cutting import CACHE_BYTES, Work, cut
from seg.runtime.fused.formats import INT8, Format, expanded_format_in, format_in
from seg.runtime.fused.kernels import NONE
from seg.runtime.fused.packing import Array, Blob, Map, ceil_div, line, pack, pack_taps, padded, place, with_channels
from seg.runtime.fused.processor import LANES, LOWEST_LEVEL, TILES
from seg.runtime.fused.products import STEM_RUN, run, stem_run
from seg.runtime.fused.tiles import ROWS
from seg.runtime.fused.vectors import HARD_SWISH, RELU, RELU6
from seg.runtime.protocol import UnavailablePrecision
from seg.runtime.upsample import positions
from seg.weights import Description

DEFAULTS: dict[str, Any] = {  # of `seg.models.LRASPP`; a description may omit arguments with these values
    "encoder_name": "mobilenet_v3_large_rf2", "encoder_output_stride": 16, "decoder_channels": 128, "classes": 19,
    "pool": "sliding", "skip": None, "gate": "hard", "dilate_first": False, "encoder_norm_eps": None,
    "decoder_norm_eps": NORM_EPS,
}
LAST_STEP = "sum of scores"
_ACTIVATIONS = {"relu": RELU, "relu6": RELU6, "hard_swish": HARD_SWISH}
_STREAMED_BYTES = 4 * 2**20  # larger maps don't stay in the cache that the cores share
_HEAD_PIXELS = 96 if TILES else 48  # that the decoder's steps process at once; a multiple of the pixels of a product's tile
_LARGEST_WEIGHT = 127  # in int8
_TASKS_PER_THREAD = 6  # for a step whose tasks share no borders


@dataclass(frozen=True)
class Program:
    """The input of `kernels.run`, and the sizes of its workspaces.

    Attributes:
        steps: records of `STEP`.
        names: names of the steps, for people.
        numbers, expanded: the formats of the arrays that are marked "format" and "expanded" in `kernels`.
        constants, weights, taps, tables: see `kernels`.
        whole: see `kernels`; None except in int8.
        maps_size, floats_size: lengths of the shared arrays.
        ring_size, rows_size, lines_size, levels_size: lengths of each thread's own arrays.
        scores_shape: (classes, h, w).
    """

    steps: Array
    names: tuple[str, ...]
    numbers: Format
    expanded: Format
    constants: npt.NDArray[np.float32]
    weights: Array
    taps: Array
    whole: Array | None
    tables: npt.NDArray[np.int64]
    maps_size: int
    floats_size: int
    ring_size: int
    rows_size: int
    lines_size: int
    levels_size: int
    scores_shape: tuple[int, int, int]


@dataclass(frozen=True)
class _Feature:
    """A map and its shape.

    Attributes:
        map: its number among the maps of its kind; `NONE` for a feature that is never written as a whole.
        height, width: in pixels.
        channels: number of used channels; in memory they are padded to whole vectors.
        floats: whether it lies in `floats` instead of `maps`.
    """

    map: int
    height: int
    width: int
    channels: int
    floats: bool = False

    @property
    def stored(self) -> int:
        """Number of channels in memory."""
        return padded(self.channels)

    @property
    def hw(self) -> tuple[int, int]:
        return self.height, self.width


def check_network(description: Description) -> None:
    """Refuses a network for whose parts there are no steps.

    Raises:
        UnavailablePrecision: the network has such a part.
    """
    encoder = str((DEFAULTS | description.arguments)["encoder_name"])
    if description.network != "LRASPP" or not is_variant(encoder) or len(description.mean) != 3:
        raise UnavailablePrecision(
            "The engine 'fused' runs LR-ASPP over MobileNets with three channels, and this network is "
            f"{description.network} over {encoder} with {len(description.mean)}. Choose another engine.")


def plan(description: Description, tensors: Mapping[str, Array], size_hw: tuple[int, int], threads: int,
         precision: str = "fp32", ranges: Mapping[str, Range] | None = None) -> Program:
    """Builds the program of a network for frames of one size.

    Args:
        description: of the network; `check_network` has accepted it.
        tensors: its state dict.
        size_hw: (H, W), each at least 32.
        threads: number of threads that will run it; work is cut into a few times as many tasks.
        precision: "fp32", "bf16" or "int8".
        ranges: ranges of the inputs of the 1x1 convolutions that are computed in int8.

    Raises:
        SegError: a tensor is missing or has another shape.
    """
    return _Planner(description, tensors, threads, format_in(precision), expanded_format_in(precision), ranges).plan(size_hw)


class _Planner:
    def __init__(self, description: Description, tensors: Mapping[str, Array], threads: int, numbers: Format,
                 expanded: Format, ranges: Mapping[str, Range] | None) -> None:
        self._numbers, self._number_bytes, self._expanded = numbers, np.dtype(numbers.dtype).itemsize, expanded
        self._ranges, self._whole = ranges or {}, Blob(INT8.weights_dtype)
        self._arguments, self._tensors, self._threads = DEFAULTS | description.arguments, tensors, threads
        self._mean = np.array(description.mean[::-1]) * 255 - float(kernels.CENTER)  # BGR, for bytes centred around 0
        self._std = np.array(description.std[::-1]) * 255
        self._variant = find_variant(self._arguments["encoder_name"])
        self._encoder_eps = self._arguments["encoder_norm_eps"] or NORM_EPS
        self._constants, self._tables = Blob(np.float32), Blob(np.int64)
        self._weights, self._taps = Blob(numbers.dtype), Blob(expanded.dtype)
        self._steps: list[dict[str, int]] = []
        self._map_fields: list[dict[str, _Feature]] = []  # by step, its maps by field
        self._names: list[str] = []
        self._maps: dict[bool, list[Map]] = {False: [], True: []}  # by whether they are floats
        self._ring, self._rows, self._lines, self._levels, self._widest = 0, 0, 0, 0, 0

    def plan(self, size_hw: tuple[int, int]) -> Program:
        moves = self._variant.steps(self._arguments["encoder_output_stride"], self._arguments["dilate_first"])
        at_8 = [i for i, stride in enumerate(self._variant.strides()[1:]) if stride == 8]
        kind = self._arguments["skip"] or "expansion"
        skip_block = at_8[0] if kind == "first" else at_8[-1]
        skip = self._first_block(size_hw, *moves[0])
        feature = skip
        for i, (stride, dilation) in enumerate(moves[1:], start=1):
            feature, expansion_skip = self._block(i, feature, stride, dilation, kind == "expansion" and i == skip_block)
            if i == skip_block:
                skip = expansion_skip or self._skip_scores(feature)
        self._head(feature, skip)
        if self._ranges and not self._whole.size:
            raise SegError("The int8 file has no range for any layer of this network, so nothing would be computed in int8. "
                           "Make it again: lraspp export --precision int8 --calibrate FOLDER")
        places, sizes = {}, {}
        for floats, maps in self._maps.items():
            places[floats], sizes[floats] = place(maps, line(np.float32 if floats else self._numbers.dtype))
        steps = np.zeros(len(self._steps), kernels.STEP)
        for step, fields, features in zip(steps, self._steps, self._map_fields, strict=True):
            where = {name: places[feature.floats][feature.map] for name, feature in features.items()}
            for name, value in (fields | where).items():
                step[name] = value
        # A product may read beyond its inputs: whole runs of a pixel, and with tiles as many pixels as a tile has.
        beyond = ROWS * (self._widest + line(INT8.dtype)) if TILES else line(INT8.dtype)
        return Program(steps, tuple(self._names), self._numbers, self._expanded, self._constants.join(), self._weights.join(),
                       self._taps.join(), self._whole.join() if self._ranges else None, self._tables.join(),
                       sizes[False] + beyond, sizes[True], self._ring, self._rows + beyond, self._lines, self._levels + beyond,
                       (self._arguments["classes"], *skip.hw))

    def _first_block(self, size_hw: tuple[int, int], stride: int, dilation: int) -> _Feature:
        """Adds the first convolution and the block after it, which in all variants is the only one without expansion."""
        variant = self._variant
        weight, bias = self._folded("encoder.stem", self._encoder_eps, variant.stem_channels, 3, 3)
        # The weights contain the normalisation, so the steps needn't normalise. The mean colour gives exactly the bias, however
        # the weights are rounded.
        weight = self._numbers.rounded_values(weight[:, ::-1].transpose(2, 3, 1, 0) / self._std[:, None])  # (y, x, BGR, outputs)
        bias = bias - np.einsum("yxco,c->o", weight, self._mean)
        stem = _Feature(NONE, ceil_div(size_hw[0], 2), ceil_div(size_hw[1], 2), variant.stem_channels)
        feature, _ = self._block(0, stem, stride, dilation, False, _fields(
            from_frame=1, expand_weights=self._weights.add(self._numbers.round(self._packed_stem(weight))),
            expand_bias=self._constants.add(with_channels(bias, stem.stored)), mean=self._constants.add(self._mean),
            source_activation=_ACTIVATIONS[variant.stem_activation]))
        return feature

    def _block(self, i: int, source: _Feature, stride: int, dilation: int, skips: bool,
               stem: dict[str, int] | None = None) -> tuple[_Feature, _Feature | None]:
        """Adds the steps of an inverted residual.

        Args:
            i: its number.
            source: its input.
            stride: stride of its depthwise convolution.
            dilation: dilation of that convolution.
            skips: whether the skip connection classifies that convolution's output.
            stem: fields of the first convolution, which then replaces the expansion.

        Returns:
            The block's output, and the skip connection's scores if it gives them.
        """
        spec, part, name = self._variant.blocks[i], f"encoder.blocks.{i}", f"block {i}"
        channels, stored = spec.expansion, padded(spec.expansion)
        out = self._new_map((ceil_div(source.height, stride), ceil_div(source.width, stride)), spec.out_channels)
        self._widest = max(self._widest, stored)
        work = Work(*out.hw, source.width, 27 if stem else source.channels, stored, stride, spec.kernel,
                    (spec.kernel - 1) * dilation + 1, 0 if spec.squeeze else out.stored,
                    np.dtype(self._expanded.dtype).itemsize, self._numbers.tiled)
        parts = cut(work, self._threads)
        strips, chunks = parts.strips(work), parts.chunks(work)
        frame_lines = 9 * (2 * parts.columns(work) + 1) + stem_run(self._numbers.depth) if stem else 0
        self._need(ring=parts.ring(work) + parts.row(work), rows=parts.strip * parts.chunk + frame_lines, lines=2 * parts.chunk,
                   levels=max(min(parts.columns(work), source.width) * source.stored, parts.strip * parts.chunk))
        expansion = stem
        if expansion is None:
            layer = self._layer("expand", f"{part}.expand", self._encoder_eps, (channels, source.channels), parts.chunk)
            expansion = layer | _fields(source_activation=_ACTIVATIONS[spec.activation], input_runs=self._runs(source.channels))
        depth, depth_bias = self._folded(f"{part}.depthwise", self._encoder_eps, channels, 1, spec.kernel)
        project = self._layer("project", f"{part}.project", self._encoder_eps, (spec.out_channels, channels), gated=spec.squeeze)
        adds = int(stride == 1 and source.channels == spec.out_channels)
        written = stored if spec.squeeze else out.stored
        together = 2 if self._numbers.tiled else 3  # vectors; of more channels, a product writes only a part at a time
        whole_lines = spec.squeeze or written <= together * LANES
        fields = _fields(
            kind=kernels.BLOCK, tasks=strips * chunks * parts.bands, strips=strips, bands=parts.bands, chunks=chunks,
            strip=parts.strip, chunk=parts.chunk, kernel=spec.kernel, stride=stride, dilation=dilation,
            in_height=source.height, in_width=source.width, in_channels=source.stored, expanded=stored,
            middle_runs=self._runs(channels), out_height=out.height, out_width=out.width, out_channels=out.stored,
            squeezes=int(spec.squeeze), adds=adds, streams=int(whole_lines and self._bytes(out.hw, written) > _STREAMED_BYTES),
            skip_target=NONE, depth_weights=self._taps.add(self._expanded.round(
                pack_taps(with_channels(depth, stored), parts.chunk, self._expanded.depth))), depth_bias=self._bias(depth_bias),
            activation=_ACTIVATIONS[spec.activation]) | expansion
        read = None if stem else source
        skip = self._new_map(out.hw, self._arguments["classes"], floats=True) if skips else None
        classifier = self._classifier("skip_classifier", channels) if skip else {}
        if not spec.squeeze:
            self._add(name, fields | project | classifier, source=read, target=out, skip_target=skip)
            return out, skip

        middle, sums = self._new_map(out.hw, channels), self._new_map((strips * parts.bands, 1), channels, floats=True)
        self._add(f"{name}, depthwise", fields, source=read, target=middle, sums=sums)
        if project["project_scales"] == NONE:
            gated = {"gated_weights": self._new_map((fields["middle_runs"] * run(self._numbers.depth), 1), spec.out_channels)}
        else:
            gated = {"gated_factors": self._new_map((1, 1), stored + 1, floats=True)}
        reduced, layers = round_to_8(channels / 4), f"{part}.squeeze_excite"
        reduce = _matrix(self._tensor(f"{layers}.reduce.weight", reduced, channels, 1, 1))
        expand = _matrix(self._tensor(f"{layers}.expand.weight", channels, reduced, 1, 1))
        self._add(f"{name}, gate", _fields(
            kind=kernels.GATE, tasks=1, in_height=out.height, in_width=out.width, expanded=stored, out_channels=out.stored,
            parts=strips * parts.bands, reduced=reduced, middle_runs=fields["middle_runs"],
            reduce_weights=self._constants.add(with_channels(reduce, stored)),
            reduce_bias=self._constants.add(self._tensor(f"{layers}.reduce.bias", reduced)),
            gate_weights=self._constants.add(with_channels(expand, reduced, stored)),
            gate_bias=self._bias(self._tensor(f"{layers}.expand.bias", channels))) | project,
            sums=sums, **gated)
        fields = _fields(out_channels=out.stored, adds=adds, skip_target=NONE) | project | classifier
        self._pointwise(f"{name}, projection", fields, middle, target=out, residual=read if adds else None, skip_target=skip,
                        **gated)
        return out, skip

    def _skip_scores(self, source: _Feature) -> _Feature:
        """Adds the skip connection's classifier for a block's output."""
        scores = self._new_map(source.hw, self._arguments["classes"], floats=True)
        self._pointwise("skip classifier", _fields(target=NONE) | self._classifier("skip_classifier", source.channels), source,
                        skip_target=scores)
        return scores

    def _pointwise(self, name: str, fields: dict[str, int], source: _Feature, **maps: _Feature | None) -> None:
        pixels = source.height * source.width
        tasks = max(ceil_div(pixels, max(48, CACHE_BYTES // (source.stored * self._number_bytes))),
                    min(pixels // 16, _TASKS_PER_THREAD * self._threads), 1)
        self._need(levels=ceil_div(pixels, tasks) * source.stored)
        self._add(name, _fields(kind=kernels.POINTWISE, tasks=tasks, in_height=source.height, in_width=source.width,
                                expanded=source.stored, middle_runs=self._runs(source.channels)) | fields,
                  source=source, **maps)

    def _classifier(self, layer: str, channels: int) -> dict[str, int]:
        classes = self._arguments["classes"]
        weight = _matrix(self._tensor(f"decoder.{layer}.weight", classes, channels, 1, 1))
        return _fields(classes=padded(classes), classify_weights=self._product(weight),
                       classify_bias=self._bias(self._tensor(f"decoder.{layer}.bias", classes)))

    def _head(self, deep: _Feature, skip: _Feature) -> None:
        """Adds the steps of the encoder's last convolution and the decoder."""
        arguments, variant, hw, channels = self._arguments, self._variant, deep.hw, self._arguments["decoder_channels"]
        expanded, tail = deep.channels, _fields(expand_weights=NONE)
        if variant.tail_channels is not None:
            expanded = variant.tail_channels
            tail = self._layer("expand", "encoder.tail", self._encoder_eps, (expanded, deep.channels)) | _fields(
                input_runs=self._runs(deep.channels), activation=_ACTIVATIONS[variant.stem_activation])
        project = self._layer("project", "decoder.project", arguments["decoder_norm_eps"], (channels, expanded))
        attention = self._tensor("decoder.attention.weight", channels, expanded, 1, 1)

        windows = [pool_windows(*side) for side in self._pools(hw)]
        bounds = sorted({edge for window in windows[1] for edge in window})  # borders of the intervals in the windows
        cells = [(top, bottom, bounds.index(left), bounds.index(right), (bottom - top) * (right - left))
                 for top, bottom in windows[0] for left, right in windows[1]]
        interval_of_column = np.searchsorted(bounds, np.arange(hw[1]), side="right") - 1

        feature, stored = self._new_map(hw, channels), padded(expanded)
        sums = self._new_map((hw[0], len(bounds) - 1), expanded, floats=True)
        shape = _fields(in_height=hw[0], in_width=hw[1], expanded=stored, out_channels=feature.stored, strip=_HEAD_PIXELS,
                        intervals=len(bounds) - 1, grid_width=len(windows[1]))
        self._need(rows=_HEAD_PIXELS * stored, levels=_HEAD_PIXELS * max(stored, deep.stored))
        self._add("last convolution, decoder's first", shape | tail | project | _fields(
            kind=kernels.DEEP, tasks=hw[0], in_channels=deep.stored, pool_columns=self._tables.add(interval_of_column),
            middle_runs=self._runs(expanded)), source=deep, target=feature, sums=sums)
        grid = self._new_map((len(windows[0]), len(windows[1])), channels, floats=True)
        self._add("decoder's gate", shape | _fields(
            kind=kernels.GRID, tasks=len(cells), pool_rows=self._tables.add(cells), smooth=int(arguments["gate"] == "sigmoid"),
            gate_weights=self._constants.add(with_channels(_matrix(attention), stored, feature.stored))),
            sums=sums, grid=grid)
        scores = self._new_map(hw, skip.channels, floats=True)
        self._need(rows=_HEAD_PIXELS * feature.stored, lines=grid.width * feature.stored)
        self._add("decoder's classifier", shape | self._classifier("deep_classifier", channels) | self._axes(grid.hw, hw)
                  | _fields(kind=kernels.CLASSIFY, tasks=hw[0], middle_runs=self._runs(channels)),
                  source=feature, grid=grid, target=scores)
        self._need(lines=(hw[1] + skip.width) * skip.stored)
        self._add(LAST_STEP, self._axes(hw, skip.hw) | _fields(
            kind=kernels.MERGE, tasks=skip.height, in_width=hw[1], out_width=skip.width, classes=skip.stored),
            source=scores, skip_target=skip)

    def _pools(self, hw: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Returns the side, kernel and stride of the decoder's pooling, for rows and columns."""
        if self._arguments["pool"] == "global":
            return [(side, side, side) for side in hw]
        kernel, strides = sliding_pool(self._arguments["encoder_output_stride"])
        return [(side, min(kernel, side), stride) for side, stride in zip(hw, strides, strict=True)]

    def _axes(self, source_hw: tuple[int, int], hw: tuple[int, int]) -> dict[str, int]:
        """Returns the places of the tables and fractions for bilinear resizing with half-pixel centres."""
        found = {}
        for name, old, new in zip(("row", "column"), source_hw, hw, strict=True):
            position = positions(old, new, 0.0, old)
            near = position.astype(np.int64)
            found[f"{name}_axis"] = self._tables.add(np.stack([near, np.minimum(near + 1, old - 1)], 1))
            found[f"{name}_fraction"] = self._constants.add(position - near)
        return found

    def _layer(self, name: str, part: str, eps: float, shape: tuple[int, int], chunk: int | None = None,
               gated: bool = False) -> dict[str, int]:
        """Adds a 1x1 convolution, in int8 if its inputs have a range; returns the places of its data.

        Args:
            name: prefix of the fields, "expand" or "project".
            part: the part of the network.
            eps: epsilon of its norm.
            shape: (outputs, inputs).
            chunk: number of outputs that are computed together; None for all.
            gated: whether a gate first multiplies its weights, or in int8 its factors.
        """
        weight, bias = self._folded(part, eps, *shape)
        matrix, range_ = _matrix(weight), self._ranges.get(part)
        if range_ is None:
            weights = self._constants.add(self._packed(matrix)) if gated else self._product(matrix, chunk)
            found = {"weights": weights, "bias": self._bias(bias), "scales": NONE}
        else:
            largest = np.abs(matrix).max(0)
            scales = np.where(largest > 0, largest, 1) / _LARGEST_WEIGHT
            whole, zero = np.rint(matrix / scales), range_.zero + LOWEST_LEVEL
            scales_of_sums = scales * range_.step
            found = {
                "weights": self._whole.add(pack(_filled(whole, INT8.depth), chunk, INT8.depth)),
                "bias": self._bias(bias - zero * whole.sum(0) * scales_of_sums), "scales": self._bias(scales_of_sums),
                "factors": self._constants.add([1 / range_.step] * padded(shape[1]) + [zero])}
        return {f"{name}_{kind}": place for kind, place in found.items()}

    def _folded(self, part: str, eps: float, outputs: int, inputs: int, kernel: int = 1) -> tuple[Array, Array]:
        """Returns the weight and bias of a convolution with its batch norm folded in, float64."""
        weight = self._tensor(f"{part}.conv.weight", outputs, inputs, kernel, kernel)
        gamma, beta, mean, variance = (self._tensor(f"{part}.norm.{name}", outputs)
                                       for name in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / np.sqrt(variance + eps)
        return weight * scale[:, None, None, None], beta - mean * scale

    def _tensor(self, name: str, *shape: int) -> Array:
        """Returns a tensor in float64. Its shape is checked here, because no step checks it later."""
        found = self._tensors.get(name)
        if found is None or found.shape != shape:
            there = "has none" if found is None else f"has it as {found.shape}"
            raise SegError(f"The network needs {name!r} as {shape}, and the file {there}; it doesn't hold what it describes.")
        return found.astype(np.float64)

    def _runs(self, inputs: int) -> int:
        """Returns the number of iterations in which a product sums up the inputs."""
        return ceil_div(inputs, run(self._numbers.depth))

    def _packed(self, matrix: Array, chunk: int | None = None) -> Array:
        """Returns weights (inputs, outputs) in the order in which a product reads them, not rounded yet."""
        return pack(_filled(matrix, self._numbers.depth), chunk, self._numbers.depth)

    def _packed_stem(self, weight: Array) -> Array:
        """Returns the first convolution's weights (3, 3, 3, outputs) in the order in which its product reads them, row by row."""
        depth, outputs = self._numbers.depth, weight.shape[-1]
        rows = np.pad(weight.reshape(3, STEM_RUN, outputs), ((0, 0), (0, stem_run(depth) - STEM_RUN), (0, 0)))
        return pack(with_channels(rows.reshape(-1, outputs).T, padded(outputs)).T, depth=depth)

    def _product(self, matrix: Array, chunk: int | None = None) -> int:
        """Adds weights (inputs, outputs) of a product; returns their place."""
        return self._weights.add(self._numbers.round(self._packed(matrix, chunk)))

    def _bias(self, values: Array) -> int:
        """Adds one float for each channel; returns their place."""
        return self._constants.add(with_channels(values, padded(len(values))))

    def _bytes(self, hw: tuple[int, int], channels: int) -> int:
        return hw[0] * hw[1] * channels * self._number_bytes

    def _new_map(self, hw: tuple[int, int], channels: int, floats: bool = False) -> _Feature:
        maps, self._widest = self._maps[floats], max(self._widest, padded(channels))
        maps.append(Map(hw[0] * hw[1] * padded(channels), len(self._steps), len(self._steps)))
        return _Feature(len(maps) - 1, *hw, channels, floats)

    def _need(self, ring: int = 0, rows: int = 0, lines: int = 0, levels: int = 0) -> None:
        """Makes sure that a thread's own arrays hold at least so many numbers."""
        self._ring, self._rows = max(self._ring, ring), max(self._rows, rows)
        self._lines, self._levels = max(self._lines, lines), max(self._levels, levels)

    def _add(self, name: str, fields: dict[str, int], **maps: _Feature | None) -> None:
        """Adds a step, and keeps its maps in memory until then."""
        given = {field: feature for field, feature in maps.items() if feature is not None}
        for feature in given.values():
            self._maps[feature.floats][feature.map].last = len(self._steps)
        self._steps.append(fields)
        self._map_fields.append(given)
        self._names.append(name)


def _fields(**values: int) -> dict[str, int]:
    return values


def _filled(matrix: Array, depth: int) -> Array:
    """Returns weights (inputs, outputs) padded with zeros to the whole iterations and vectors of a product."""
    return with_channels(matrix, ceil_div(len(matrix), run(depth)) * run(depth), padded(matrix.shape[1]))


def _matrix(weight: Array) -> Array:
    """Returns the weight of a 1x1 convolution as (inputs, outputs)."""
    return weight[:, :, 0, 0].T
