"""Converts a network to int8 by post-training quantisation: from ONNX to ONNX with QuantizeLinear and DequantizeLinear.

The result is one file that both OpenVINO and onnxruntime run in int8 and that can be shipped like the float32 one. NNCF
measures the ranges of activations on frames that the user names, and corrects biases. Weights have a scale for each channel.

Some parts always stay in float32, since eight bits would change labels there and save little time: the classifiers, their sum
and all that follows, where many scores would become equal; our decoders' projection before the classifiers, whose input has a few
large values that rare classes consist of, beyond the range of most frames; and the gates (squeeze-and-excite, the decoder's
attention), which are small. Which other parts stay is found by trying: `_ATTEMPTS` are made from the fastest on, until one keeps
99% of the labels on frames that weren't used for calibration.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seg.errors import SegError
from seg.export.compare import compare, read_frames, to_images
from seg.export.onnx_export import INPUT, OnnxFile
from seg.export.options import ExportOptions
from seg.files import find_images
from seg.models import SegmentationNetwork

FRAMES = 80  # taken evenly from those that the user names
EVERY = 5  # every fifth of them is kept for the comparison
GOAL = 0.99  # share of labels that agree; `Predictor` never chooses an export below this by itself
_ALWAYS = ("scores", "gates")
_ATTEMPTS: tuple[tuple[str, ...], ...] = ((), ("1/2",), ("1/2", "1/4"))  # also kept in float32: nodes at this part of the size
_PROJECTION = "/decoder/project/"  # how the exporter names its nodes
_SHAPES_HW = (256, 512)  # size used to tell the parts apart in a network that takes any size


class Quantized(NamedTuple):
    """What `quantize` gives.

    Attributes:
        network: ONNX in int8.
        kept_fp32: which parts stayed in float32.
        calibration_frames: how many frames the ranges come from.
        held_out: pictures that weren't among them, to compare on.
    """

    network: bytes
    kept_fp32: tuple[str, ...]
    calibration_frames: int
    held_out: list[Path]


def split(inputs: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Returns pictures to calibrate on and pictures to compare on; a single picture serves for both.

    Raises:
        SegError: an input doesn't exist or holds no pictures.
    """
    paths = [image.path for image in find_images(inputs)]
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).astype(int))]
    compared = chosen[EVERY // 2::EVERY] or chosen[-1:]
    return [path for path in chosen if path not in compared] or chosen, compared


def quantize(model: SegmentationNetwork, exported: bytes, options: ExportOptions) -> Quantized:
    """Quantises an ONNX export of `model`; a few seconds for each attempt.

    Args:
        model: the network to compare with. It is loaded from a file, whose description says at which size frames are used.
        exported: the ONNX in float32.
        options: those of the export; they also name the frames.

    Raises:
        SegError: a frame can't be read, or no engine reads the network in int8.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # NNCF imports it; it warns of no GPU
    import nncf
    import onnx

    nncf.set_log_level(logging.ERROR)
    calibration, held_out = split(options.calibrate)
    network = onnx.load_model_from_string(exported)
    parts = parts_of(network, options.size_hw or _SHAPES_HW)
    dataset = nncf.Dataset(_Pictures(calibration, options, model))
    best, highest = Quantized(exported, (), len(calibration), held_out), -1.0
    for more in _ATTEMPTS:
        kept = (*_ALWAYS, *more)
        with redirect_stdout(sys.stderr):  # NNCF's progress
            quantized = nncf.quantize(
                network, dataset, subset_size=len(calibration),
                preset=nncf.QuantizationPreset.MIXED,  # h-swish gives values that aren't symmetric about 0
                # Not validated, because NNCF has no nodes for parts that lead to no output.
                ignored_scope=nncf.IgnoredScope(names=sorted(set().union(*(parts[part] for part in kept))), validate=False),
                # Weights have 7 bits: with 8, processors without VNNI lose what overflows 16 bits, which makes labels wrong.
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
            ).SerializeToString()
        frames = read_frames(held_out, options.size_hw, model)
        try:
            runners = OnnxFile(quantized).runners()
        except SegError as error:  # the file was made a moment ago, so it isn't damaged
            raise SegError("The engines can't run this network in int8 as NNCF makes it; leave it in fp32. "
                           f"({str(error).rpartition(': ')[2]:.200})") from None
        agreement = compare(model, runners, frames, options.output).agreement
        if agreement > highest:
            best, highest = best._replace(network=quantized, kept_fp32=kept), agreement
        if highest >= GOAL:
            break
    return best


class _Pictures:
    """Pictures in the form that NNCF needs: the network's input by its name, each read only when it is its turn."""

    def __init__(self, paths: Sequence[Path], options: ExportOptions, model: SegmentationNetwork) -> None:
        self._paths, self._options, self._model = paths, options, model

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Any:
        for frame in read_frames(self._paths, self._options.size_hw, self._model):
            yield {INPUT: to_images(frame)}


def parts_of(network: Any, size_hw: tuple[int, int]) -> dict[str, set[str]]:
    """Returns the names of an ONNX network's nodes by part; but for the projection they are found by what they are.

    "scores" are the last convolutions on each path to the output, all that follows them, and our decoders' projection. "gates"
    are the nodes with fewer positions than the deepest feature, and the multiplications by them. "1/2" and "1/4" are the nodes
    with at least that part of the frame's size.
    """
    import onnx

    sized = onnx.ModelProto()
    sized.CopyFrom(network)
    for dim, side in zip(sized.graph.input[0].type.tensor_type.shape.dim, (1, 3, *size_hw), strict=True):
        dim.dim_value = side
    del sized.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(sized, data_prop=True).graph.value_info
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}
    whole = size_hw[0] * size_hw[1]
    deepest = ceil(size_hw[0] / 32) * ceil(size_hw[1] / 32)
    parts: dict[str, set[str]] = {"scores": _scores(network.graph), "gates": set(), "1/2": set(), "1/4": set()}
    for node in network.graph.node:
        shape = shapes.get(node.output[0], [])
        positions = shape[2] * shape[3] if len(shape) == 4 else 0
        if node.name.startswith(_PROJECTION):
            parts["scores"].add(node.name)
        if node.op_type in ("Mul", "Resize") or 0 < positions < deepest:
            parts["gates"].add(node.name)
        for part, smaller in (("1/2", 4), ("1/4", 16)):
            if positions * smaller >= whole:
                parts[part].add(node.name)
    return parts


def _scores(graph: Any) -> set[str]:
    """Walks from the output back to the convolutions that it comes from."""
    makers = {output: node for node in graph.node for output in node.output}
    names: set[str] = set()
    waiting = [graph.output[0].name]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in names:
            continue
        names.add(node.name)
        if node.op_type not in ("Conv", "Shape"):  # a Shape only says how large something is
            waiting.extend(node.input)
    return names
