"""From a network's weights to the steps that compute it for one frame size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.architecture import NORM_EPS, find_variant, is_variant, pool_windows, round_to_8, sliding_pool
from seg.errors import SegError
from seg.runtime.fused import kernels
from seg.runtime.fused.cutting import CACHE_FLOATS, Work, cut
from seg.runtime.fused.kernels import NONE
from seg.runtime.fused.packing import Array, Blob, Map, ceil_div, pack, pack_taps, padded, place
from seg.runtime.fused.vectors import HARD_SWISH, LANES, RELU, RELU6
from seg.runtime.protocol import UnavailablePrecision
from seg.runtime.upsample import positions
from seg.weights import Description

DEFAULTS: dict[str, Any] = {  # of `seg.models.LRASPP`: a description may leave out what is as there
    "encoder_name": "mobilenet_v3_large_rf2", "encoder_output_stride": 16, "decoder_channels": 128, "classes": 19,
    "pool": "sliding", "skip": None, "gate": "hard", "dilate_first": False, "encoder_norm_eps": None,
    "decoder_norm_eps": NORM_EPS,
}
LAST_STEP = "sum of scores"
_ACTIVATIONS = {"relu": RELU, "relu6": RELU6, "hard_swish": HARD_SWISH}
_STREAMED_FLOATS = 1024 * 1024  # maps from this size on don't stay in the cache that cores share
_HEAD_PIXELS = 48  # that the decoder's steps work on at once; a multiple of what products do
_TASKS_PER_THREAD = 6  # of a step without borders between its tasks


@dataclass(frozen=True)
class Program:
    """What `kernels.run` takes, and how large its workspaces are.

    Attributes:
        steps: records.
        names: of the steps, for people.
        constants: float32, packed weights and the fractions of resizing.
        tables: int64, where resizing and pooling find their pixels.
        maps_size, scratch_size: in floats; the second for each thread.
        scores_shape: (classes, h, w).
    """

    steps: Array
    names: tuple[str, ...]
    constants: npt.NDArray[np.float32]
    tables: npt.NDArray[np.int64]
    maps_size: int
    scratch_size: int
    scores_shape: tuple[int, int, int]


@dataclass(frozen=True)
class _Feature:
    """A map by its number, and its shape; channels fill whole vectors."""

    map: int
    height: int
    width: int
    channels: int

    @property
    def hw(self) -> tuple[int, int]:
        return self.height, self.width


def check_network(description: Description) -> None:
    """Refuses a network that isn't made of what there are steps for.

    Raises:
        UnavailablePrecision: it isn't.
    """
    encoder = str((DEFAULTS | description.arguments)["encoder_name"])
    if description.network != "LRASPP" or not is_variant(encoder) or len(description.mean) != 3:
        raise UnavailablePrecision(
            "The engine 'fused' runs LR-ASPP over MobileNets with three channels, and this network is "
            f"{description.network} over {encoder} with {len(description.mean)}. Take another engine.")


def plan(description: Description, tensors: Mapping[str, Array], size_hw: tuple[int, int], threads: int) -> Program:
    """Lays a network out for frames of one size.

    Args:
        description: of the network; `check_network` let it pass.
        tensors: its state dict.
        size_hw: (H, W), each at least 32.
        threads: that will run it; work is cut into a few times as many tasks.

    Raises:
        SegError: a tensor is missing or of another shape.
    """
    return _Planner(description, tensors, threads).plan(size_hw)


class _Planner:
    def __init__(self, description: Description, tensors: Mapping[str, Array], threads: int) -> None:
        self._arguments, self._tensors, self._threads = DEFAULTS | description.arguments, tensors, threads
        self._mean = np.array(description.mean[::-1]) * 255 - float(kernels.CENTER)  # BGR, of bytes around 0
        self._std = np.array(description.std[::-1]) * 255
        self._variant = find_variant(self._arguments["encoder_name"])
        self._encoder_eps = self._arguments["encoder_norm_eps"] or NORM_EPS
        self._constants, self._tables = Blob(np.float32), Blob(np.int64)
        self._steps: list[dict[str, int]] = []
        self._map_fields: list[dict[str, int]] = []  # of each step, maps by field
        self._names: list[str] = []
        self._maps: list[Map] = []
        self._scratch = 0

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
        places, maps_size = place(self._maps)
        steps = np.zeros(len(self._steps), kernels.STEP)
        for step, fields, maps in zip(steps, self._steps, self._map_fields, strict=True):
            for name, value in (fields | {name: places[number] for name, number in maps.items()}).items():
                step[name] = value
        return Program(steps, tuple(self._names), self._constants.join(), self._tables.join(), maps_size, self._scratch,
                       (self._arguments["classes"], *skip.hw))

    def _first_block(self, size_hw: tuple[int, int], stride: int, dilation: int) -> _Feature:
        """Adds the first convolution with the block behind it, which in all variants is the only one that expands nothing."""
        variant = self._variant
        weight, bias = self._folded("encoder.stem", self._encoder_eps, variant.stem_channels, 3, 3)
        weight = weight[:, ::-1].transpose(2, 3, 1, 0) / self._std[:, None]  # (rows, columns, BGR, outputs)
        bias = bias - np.einsum("yxco,c->o", weight, self._mean)  # so the steps needn't normalise
        stem = _Feature(NONE, ceil_div(size_hw[0], 2), ceil_div(size_hw[1], 2), variant.stem_channels)
        feature, _ = self._block(0, stem, stride, dilation, False, _fields(
            from_frame=1, expand_weights=self._constants.add(pack(weight.reshape(27, -1))),
            expand_bias=self._constants.add(bias), mean=self._constants.add(self._mean),
            source_activation=_ACTIVATIONS[variant.stem_activation]))
        return feature

    def _block(self, i: int, source: _Feature, stride: int, dilation: int, skips: bool,
               stem: dict[str, int] | None = None) -> tuple[_Feature, _Feature | None]:
        """Adds the steps of an inverted residual.

        Args:
            i: its number.
            source: what it reads.
            stride: of its depthwise convolution.
            dilation: of the same.
            skips: whether that convolution's output is what the skip connection classifies.
            stem: fields of the first convolution, which then takes the expansion's place.

        Returns:
            The block's output, and the skip connection's scores if it gives them.
        """
        spec, part, name = self._variant.blocks[i], f"encoder.blocks.{i}", f"block {i}"
        channels = spec.expansion
        out_hw = ceil_div(source.height, stride), ceil_div(source.width, stride)
        work = Work(*out_hw, source.width, 27 if stem else source.channels, channels, stride, spec.kernel,
                    (spec.kernel - 1) * dilation + 1, 0 if spec.squeeze else spec.out_channels)
        parts = cut(work, self._threads)
        strips, chunks = parts.strips(work), parts.chunks(work)
        lines = 9 * (2 * ((parts.strip - 1) * stride + work.reach) + 1)  # of the frame, where it is read
        self._need_scratch(parts.ring(work) + parts.strip * parts.chunk + 2 * parts.chunk + lines)
        expansion = stem
        if expansion is None:
            weight, bias = self._folded(f"{part}.expand", self._encoder_eps, channels, source.channels)
            expansion = _fields(source_activation=_ACTIVATIONS[spec.activation], expand_bias=self._constants.add(bias),
                                expand_weights=self._constants.add(pack(_matrix(weight), parts.chunk)))
        depth, depth_bias = self._folded(f"{part}.depthwise", self._encoder_eps, channels, 1, spec.kernel)
        project, project_bias = self._folded(f"{part}.project", self._encoder_eps, spec.out_channels, channels)
        adds = int(stride == 1 and source.channels == spec.out_channels)
        stored = channels if spec.squeeze else spec.out_channels
        whole_lines = spec.squeeze or stored <= 3 * LANES  # of more channels, a product writes a part at a time
        fields = _fields(
            kind=kernels.BLOCK, tasks=strips * chunks * parts.bands, strips=strips, bands=parts.bands, chunks=chunks,
            strip=parts.strip, chunk=parts.chunk, kernel=spec.kernel, stride=stride, dilation=dilation,
            in_height=source.height, in_width=source.width, in_channels=source.channels, expanded=channels,
            out_height=out_hw[0], out_width=out_hw[1], out_channels=spec.out_channels, squeezes=int(spec.squeeze), adds=adds,
            streams=int(whole_lines and out_hw[0] * out_hw[1] * stored > _STREAMED_FLOATS), skip_target=NONE,
            depth_weights=self._constants.add(pack_taps(depth, parts.chunk)), depth_bias=self._constants.add(depth_bias),
            project_weights=self._constants.add(pack(_matrix(project))), project_bias=self._constants.add(project_bias),
            activation=_ACTIVATIONS[spec.activation]) | expansion
        read = None if stem else source
        out = self._new_map(out_hw, spec.out_channels)
        skip = self._new_map(out_hw, padded(self._arguments["classes"])) if skips else None
        classifier = self._classifier("skip_classifier", channels) if skip else {}
        if not spec.squeeze:
            self._add(name, fields | classifier, source=read, target=out, skip_target=skip)
            return out, skip

        middle, sums = self._new_map(out_hw, channels), self._new_map((strips * parts.bands, 1), channels)
        self._add(f"{name}, depthwise", fields, source=read, target=middle, sums=sums)
        gated = self._new_map((channels, 1), spec.out_channels)
        reduced, layers = round_to_8(channels / 4), f"{part}.squeeze_excite"
        self._add(f"{name}, gate", _fields(
            kind=kernels.GATE, tasks=1, in_height=out_hw[0], in_width=out_hw[1], expanded=channels,
            out_channels=spec.out_channels,
            parts=strips * parts.bands, reduced=reduced, project_weights=fields["project_weights"],
            reduce_weights=self._constants.add(_matrix(self._tensor(f"{layers}.reduce.weight", reduced, channels, 1, 1))),
            reduce_bias=self._constants.add(self._tensor(f"{layers}.reduce.bias", reduced)),
            gate_weights=self._constants.add(_matrix(self._tensor(f"{layers}.expand.weight", channels, reduced, 1, 1))),
            gate_bias=self._constants.add(self._tensor(f"{layers}.expand.bias", channels))),
            sums=sums, gated_weights=gated)
        self._pointwise(f"{name}, projection", _fields(
            out_channels=spec.out_channels, project_bias=fields["project_bias"], adds=adds, skip_target=NONE) | classifier,
            middle, target=out, gated_weights=gated, residual=read if adds else None, skip_target=skip)
        return out, skip

    def _skip_scores(self, source: _Feature) -> _Feature:
        """Adds the skip connection's classifier of a block's output."""
        scores = self._new_map(source.hw, padded(self._arguments["classes"]))
        self._pointwise("skip classifier", _fields(target=NONE) | self._classifier("skip_classifier", source.channels), source,
                        skip_target=scores)
        return scores

    def _pointwise(self, name: str, fields: dict[str, int], source: _Feature, **maps: _Feature | None) -> None:
        pixels = source.height * source.width
        tasks = max(ceil_div(pixels, max(48, CACHE_FLOATS // source.channels)),
                    min(pixels // 16, _TASKS_PER_THREAD * self._threads), 1)
        self._add(name, _fields(kind=kernels.POINTWISE, tasks=tasks, in_height=source.height, in_width=source.width,
                                expanded=source.channels) | fields, source=source, **maps)

    def _classifier(self, layer: str, channels: int) -> dict[str, int]:
        classes = self._arguments["classes"]
        weight = _matrix(self._tensor(f"decoder.{layer}.weight", classes, channels, 1, 1))
        missing = ((0, -channels % LANES), (0, -classes % LANES))
        return _fields(classes=padded(classes), classify_weights=self._constants.add(pack(np.pad(weight, missing))),
                       classify_bias=self._constants.add(np.pad(self._tensor(f"decoder.{layer}.bias", classes), missing[1])))

    def _head(self, deep: _Feature, skip: _Feature) -> None:
        """Adds the steps of the encoder's last convolution and the decoder."""
        arguments, variant, hw, given = self._arguments, self._variant, deep.hw, self._arguments["decoder_channels"]
        channels, expanded, tail = padded(given), deep.channels, _fields(expand_weights=NONE)
        if variant.tail_channels is not None:
            expanded = variant.tail_channels
            weight, bias = self._folded("encoder.tail", self._encoder_eps, expanded, deep.channels)
            tail = _fields(expand_weights=self._constants.add(pack(_matrix(weight))), expand_bias=self._constants.add(bias),
                           activation=_ACTIVATIONS[variant.stem_activation])
        project, project_bias = self._folded("decoder.project", arguments["decoder_norm_eps"], given, expanded)
        attention = self._tensor("decoder.attention.weight", given, expanded, 1, 1)
        missing = ((0, 0), (0, channels - given))

        windows = [pool_windows(*side) for side in self._pools(hw)]
        bounds = sorted({edge for window in windows[1] for edge in window})  # of intervals, which windows are made of
        cells = [(top, bottom, bounds.index(left), bounds.index(right), (bottom - top) * (right - left))
                 for top, bottom in windows[0] for left, right in windows[1]]
        interval_of_column = np.searchsorted(bounds, np.arange(hw[1]), side="right") - 1

        shape = _fields(in_height=hw[0], in_width=hw[1], expanded=expanded, out_channels=channels, strip=_HEAD_PIXELS,
                        intervals=len(bounds) - 1, grid_width=len(windows[1]))
        sums, feature = self._new_map((hw[0], len(bounds) - 1), expanded), self._new_map(hw, channels)
        self._need_scratch(_HEAD_PIXELS * expanded)
        self._add("last convolution, decoder's first", shape | tail | _fields(
            kind=kernels.DEEP, tasks=hw[0], in_channels=deep.channels, pool_columns=self._tables.add(interval_of_column),
            project_weights=self._constants.add(pack(np.pad(_matrix(project), missing))),
            project_bias=self._constants.add(np.pad(project_bias, missing[1]))), source=deep, target=feature, sums=sums)
        grid = self._new_map((len(windows[0]), len(windows[1])), channels)
        self._add("decoder's gate", shape | _fields(
            kind=kernels.GRID, tasks=len(cells), pool_rows=self._tables.add(cells), smooth=int(arguments["gate"] == "sigmoid"),
            gate_weights=self._constants.add(np.pad(_matrix(attention), missing))),
            sums=sums, grid=grid)
        scores = self._new_map(hw, skip.channels)
        self._need_scratch((grid.width + _HEAD_PIXELS) * channels)
        self._add("decoder's classifier", shape | self._classifier("deep_classifier", given) | self._axes(grid.hw, hw)
                  | _fields(kind=kernels.CLASSIFY, tasks=hw[0]), source=feature, grid=grid, target=scores)
        self._need_scratch((hw[1] + skip.width) * skip.channels)
        self._add(LAST_STEP, self._axes(hw, skip.hw) | _fields(
            kind=kernels.MERGE, tasks=skip.height, in_width=hw[1], out_width=skip.width, classes=skip.channels),
            source=scores, skip_target=skip)

    def _pools(self, hw: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Returns side, kernel and stride of the decoder's pooling, for rows and columns."""
        if self._arguments["pool"] == "global":
            return [(side, side, side) for side in hw]
        kernel, strides = sliding_pool(self._arguments["encoder_output_stride"])
        return [(side, min(kernel, side), stride) for side, stride in zip(hw, strides, strict=True)]

    def _axes(self, source_hw: tuple[int, int], hw: tuple[int, int]) -> dict[str, int]:
        """Returns where the tables and fractions of a bilinear resizing with half-pixel centres are."""
        found = {}
        for name, old, new in zip(("row", "column"), source_hw, hw, strict=True):
            position = positions(old, new, 0.0, old)
            near = position.astype(np.int64)
            found[f"{name}_axis"] = self._tables.add(np.stack([near, np.minimum(near + 1, old - 1)], 1))
            found[f"{name}_fraction"] = self._constants.add(position - near)
        return found

    def _folded(self, part: str, eps: float, outputs: int, inputs: int, kernel: int = 1) -> tuple[Array, Array]:
        """Returns weight and bias of a convolution with its batch norm in it, float64."""
        weight = self._tensor(f"{part}.conv.weight", outputs, inputs, kernel, kernel)
        gamma, beta, mean, variance = (self._tensor(f"{part}.norm.{name}", outputs)
                                       for name in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / np.sqrt(variance + eps)
        return weight * scale[:, None, None, None], beta - mean * scale

    def _tensor(self, name: str, *shape: int) -> Array:
        """Returns a tensor in float64. Its shape is looked at, for no step does so any more."""
        found = self._tensors.get(name)
        if found is None or found.shape != shape:
            there = "has none" if found is None else f"has it as {found.shape}"
            raise SegError(f"The network needs {name!r} as {shape}, and the file {there}; it doesn't hold what it describes.")
        return found.astype(np.float64)

    def _new_map(self, hw: tuple[int, int], channels: int) -> _Feature:
        self._maps.append(Map(hw[0] * hw[1] * channels, len(self._steps), len(self._steps)))
        return _Feature(len(self._maps) - 1, *hw, channels)

    def _need_scratch(self, floats: int) -> None:
        self._scratch = max(self._scratch, floats)

    def _add(self, name: str, fields: dict[str, int], **maps: _Feature | None) -> None:
        """Adds a step, and keeps the maps that it names until then."""
        given = {field: feature.map for field, feature in maps.items() if feature is not None}
        for number in given.values():
            self._maps[number].last = len(self._steps)
        self._steps.append(fields)
        self._map_fields.append(given)
        self._names.append(name)


def _fields(**values: int) -> dict[str, int]:
    return values


def _matrix(weight: Array) -> Array:
    """Returns the weight of a 1x1 convolution as (inputs, outputs)."""
    return weight[:, :, 0, 0].T
