"""Where a network's time goes, layer by layer, as OpenVINO really runs it: fused, reordered, and timed by OpenVINO.

An executed layer often contains several layers of the network: an activation or a residual sum is part of its convolution, and a
1x1 convolution may be fused with the depthwise one after it. The content of each is read from OpenVINO's own description of
the compiled network (layer types, shapes of inputs and weights).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import WARM_UP_RUNS
from seg.runtime.engines.openvino_engine import OpenVINOEngine

KINDS = {
    "input": "the frame's colour order, normalisation and layout, before the first convolution",
    "stem": "the first convolution",
    "1x1": "expansions, projections and the final 1x1 of the encoder",
    "depthwise": "depthwise convolutions",
    "1x1 + depthwise": "an expansion and its depthwise convolution that OpenVINO runs as one layer",
    "convolution": "any other convolution in the encoder",
    "squeeze-and-excite": "the mean, its two 1x1 convolutions, the gate and the multiplication",
    "element-wise": "activations and sums that are not part of a convolution",
    "reorder": "copies from one memory layout to another, between layers that want different ones",
    "head": "the decoder without its upsampling",
    "upsampling": "bilinear, inside the network",
    "other": "everything else",
}
PROFILE_RUNS = 10
_HEADS = ("/decoder", "/segmentation_head", "logits")  # how the exporter names the parts of the decoder


@dataclass(frozen=True)
class Layer:
    """One executed layer.

    Attributes:
        name: the first of the network's layers that it runs.
        kind: one of `KINDS`.
        kernel: the OpenVINO implementation that runs it.
        shape: shape of its output, (N, C, H, W).
        time_ms: mean over the profiled runs.
        macs: multiply-adds of its convolutions; 0 for other layers.
    """

    name: str
    kind: str
    kernel: str
    shape: tuple[int, ...]
    time_ms: float
    macs: int

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return asdict(self)


def profile(networks: Mapping[str, Path | bytes], frame_bgr: npt.NDArray[np.uint8], threads: int, runs: int = PROFILE_RUNS,
            on_run: Callable[[str], None] = lambda name: None) -> dict[str, list[Layer]]:
    """Runs networks in turn, so that a busy moment affects all of them, and returns their executed layers in order.

    Args:
        networks: exported networks, by name.
        frame_bgr: (H, W, 3) uint8.
        threads: how many threads OpenVINO may use.
        runs: number of averaged runs of each, after warm-up runs that don't count.
        on_run: called with the network's name after each run, including warm-up runs.

    Raises:
        SegError: a network can't be profiled.
    """
    engines = {name: OpenVINOEngine(file, threads, profile=True) for name, file in networks.items()}

    def run(times: int) -> dict[str, list[Any]]:
        for _ in range(times):
            for name, engine in engines.items():
                engine.logits(frame_bgr)
                on_run(name)
        return {name: _nodes(engine.request((frame_bgr.shape[0], frame_bgr.shape[1]))) for name, engine in engines.items()}

    warm = {name: [_mean_us(node) for node in nodes] for name, nodes in run(WARM_UP_RUNS).items()}
    # OpenVINO averages over all runs since compiling; this removes the warm-up from the mean.
    return {name: _layers(nodes, [max(0.0, (_mean_us(node) * (WARM_UP_RUNS + runs) - early * WARM_UP_RUNS) / runs / 1000)
                                  for node, early in zip(nodes, warm[name], strict=True)])
            for name, nodes in run(runs).items()}


def _layers(nodes: Sequence[Any], times_ms: Sequence[float]) -> list[Layer]:
    layers: list[Layer] = []
    stem_seen = False
    for node, time_ms in zip(nodes, times_ms, strict=True):
        if not _runs_each_time(node):
            continue
        kind = _kind(node) if stem_seen else "input"
        if not stem_seen and _info(node, "layerType") == "Convolution":
            kind, stem_seen = "stem", True
        name = _info(node, "originalLayersNames").partition(",")[0] or node.get_friendly_name()
        layers.append(Layer(name, kind, _info(node, "primitiveType"), _shape(node), time_ms, _macs(node)))
    return layers


@dataclass(frozen=True)
class Share:
    """The sum over all layers of one kind."""

    time_ms: float
    macs: int
    layers: int

    @property
    def gmacs_per_s(self) -> float:
        """10^9 multiply-adds per second; 0 if there are none."""
        return self.macs / self.time_ms / 1e6 if self.time_ms else 0.0


def by_kind(layers: Sequence[Layer]) -> dict[str, Share]:
    """Returns the sum of each kind that occurs, in the order of `KINDS`."""
    shares = {}
    for kind in KINDS:
        those = [layer for layer in layers if layer.kind == kind]
        if those:
            shares[kind] = Share(sum(layer.time_ms for layer in those), sum(layer.macs for layer in those), len(those))
    return shares


def total(layers: Sequence[Layer]) -> Share:
    """Returns the sum over all kinds."""
    return Share(sum(layer.time_ms for layer in layers), sum(layer.macs for layer in layers), len(layers))


def _nodes(request: Any) -> list[Any]:
    """Returns the compiled network's nodes in the order in which they run."""
    nodes = request.get_compiled_model().get_runtime_model().get_ordered_ops()
    return sorted(nodes, key=lambda node: int(_info(node, "execOrder") or 0))


def _info(node: Any, key: str) -> str:
    info = node.get_rt_info()
    return str(info[key].value) if key in info else ""


def _mean_us(node: Any) -> int:
    text = _info(node, "execTimeMcs")
    return int(text) if text.isdecimal() else 0  # "not_executed": done while compiling, or nothing to do


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.output(0).get_shape()) if node.get_output_size() else ()


def _sources(node: Any) -> list[Any]:
    return [value.get_source_output().get_node() for value in node.inputs()]


def _is_constant(node: Any) -> bool:
    """Returns whether it is a weight; OpenVINO copies some weights into another layout once, before the first run."""
    kind = _info(node, "layerType")
    return kind == "Const" or (kind in ("Reorder", "Reshape") and all(map(_is_constant, _sources(node))))


def _runs_each_time(node: Any) -> bool:
    return _info(node, "execTimeMcs").isdecimal() and not _is_constant(node)


def _weights(node: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of a convolution's weights, (out, in, h, w) or (groups, out, in, h, w); two if two are fused."""
    if _info(node, "layerType") != "Convolution":
        return []
    return [shape for source in _sources(node) if _is_constant(source) and len(shape := _shape(source)) >= 4]


def _macs(node: Any) -> int:
    weights = _weights(node)
    if not weights:
        return 0
    input_hw, output_hw = _shape(_sources(node)[0])[2:], _shape(node)[2:]
    # Of two fused convolutions the first is 1x1 with stride 1, so it works at the input's size.
    sizes = [input_hw, output_hw] if len(weights) == 2 else [output_hw]
    return sum(prod(size) * prod(shape) for size, shape in zip(sizes, weights, strict=True))


def _kind(node: Any) -> str:
    layer = _info(node, "layerType")
    names = _info(node, "originalLayersNames")
    if layer in ("Reorder", "Transpose"):
        return "reorder"
    if layer == "Interpolate":
        return "upsampling"
    if names.startswith(_HEADS):
        return "head"
    activations = [_shape(node), *(_shape(source) for source in _sources(node) if not _is_constant(source))]
    if any(shape[2:] == (1, 1) for shape in activations):
        return "squeeze-and-excite"
    weights = _weights(node)
    if len(weights) == 2:
        return "1x1 + depthwise"
    if weights:
        if len(weights[0]) == 5:
            return "depthwise"
        return "1x1" if weights[0][2:] == (1, 1) else "convolution"
    return "element-wise" if layer in ("Subgraph", "Eltwise", "Math", "Concatenation") else "other"
