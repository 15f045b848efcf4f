"""Exports to ONNX: uint8 RGB in; scores of the decoder's own size, or labels of the frame's, out; with the description inside.

The graph holds only plain operators (convolutions, means, Resize): no adaptive pooling, no branches.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg.errors import SegError
from seg.export.compare import Comparison, Runner, compare, made_up_frames
from seg.export.options import ExportOptions
from seg.files import atomic_write
from seg.models import SegmentationNetwork
from seg.models.lraspp import SlidingPool
from seg.models.network import resize
from seg.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from seg.runtime.engines.openvino_engine import OpenVINOEngine
from seg.weights import EXPORT_KEY, METADATA_KEY, Description, Export

OPSET = 17
INPUT = "images"
OUTPUTS = {"scores": "logits", "labels": "labels"}


class Exported(nn.Module):
    """A network whose forward gives what an export gives; exporters trace it.

    Args:
        model: stays as it is.
        output: "scores" or "labels".
    """

    def __init__(self, model: SegmentationNetwork, output: str) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 RGB (N, 3, H, W) to float32 scores (N, C, h, w), or uint8 labels (N, H, W)."""
        scores = self.model.logits(images)
        if self.output == "scores":
            return scores
        return resize(scores, images.shape[2:]).argmax(1).to(torch.uint8)


class _FixedPool(SlidingPool):
    """The sliding pool with the window of one frame size as constants, which is how ONNX can hold it."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = (min(self.kernel, int(x.shape[2])), min(self.kernel, int(x.shape[3])))
        # Nothing is padded. This only makes engines average what a window at the edge contains, as torch does.
        return F.avg_pool2d(x, kernel, self.stride, ceil_mode=True, count_include_pad=False)


class OnnxFile:
    """An ONNX file that is being made; see `seg.export.exporter.Artifact`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def runners(self) -> Sequence[Runner]:
        threads = torch.get_num_threads()
        return OpenVINOEngine(self._data, threads), OnnxRuntimeEngine(self._data, threads)

    def write(self, path: Path, metadata: dict[str, str]) -> None:
        import onnx

        model = onnx.load_model_from_string(self._data)
        onnx.helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
        with atomic_write(path) as file:
            file.write(data)


def export_onnx(model: SegmentationNetwork, path: str | Path, description: Description,
                size_hw: tuple[int, int] | None = None) -> Comparison:
    """Writes `model` in float32 as ONNX: `images` (N, 3, H, W) uint8 RGB to `logits` (N, C, h, w) float32.

    The file gets its name only after its outputs matched the network's, in onnxruntime and in OpenVINO, on frames of
    several sizes, odd ones among them.

    Args:
        model: stays as it is; exported as in evaluation.
        path: ends in .onnx.
        description: goes into the file's metadata.
        size_hw: fixes (H, W); None for any size.

    Returns:
        The comparison.

    Raises:
        SegError: the network can't be exported in this way, or its export computes something else.
    """
    options, path = ExportOptions(size_hw=size_hw), Path(path)
    options.check_file(path)
    was_training = model.training
    model.eval()
    try:
        artifact = OnnxFile(trace(model, options))
        frames = made_up_frames((size_hw,)) if size_hw else made_up_frames()
        comparison = compare(model, artifact.runners(), frames, options.output)
    finally:
        model.train(was_training)
    comparison.check(options.precision)
    export = Export(options.precision, options.output, size_hw, comparison.largest_difference, comparison.agreement,
                    comparison.compared_frames, comparison.engines)
    artifact.write(path, metadata(description, export))
    return comparison


def metadata(description: Description, export: Export) -> dict[str, str]:
    """Returns the texts that every export carries: what the network is, and how it was exported."""
    return {METADATA_KEY: description.to_json(), EXPORT_KEY: export.to_json()}


def check_size_is_fixed(model: SegmentationNetwork, size_hw: tuple[int, int] | None) -> None:
    """Refuses to export a sliding pool without a fixed size.

    Raises:
        SegError: the network has a sliding pool and no size is given.
    """
    if size_hw is None and model.arguments.get("pool") == "sliding":
        raise SegError("The network pools with a sliding window, whose size follows from the frame's: an export can hold it "
                       "for one frame size. Give it: --size HxW")


def trace(model: SegmentationNetwork, options: ExportOptions) -> bytes:
    """Returns ONNX in float32, by tracing. Torch's newer exporter gives the same graph, but takes fifty times as long.

    Raises:
        SegError: the network needs a fixed size.
    """
    check_size_is_fixed(model, options.size_hw)
    height, width = options.size_hw or (96, 128)
    axes = {0: "batch"} if options.size_hw else {0: "batch", 2: "height", 3: "width"}
    output_axes = {0: "batch"}
    if options.size_hw is None:
        output_axes |= {2: "height_small", 3: "width_small"} if options.output == "scores" else {1: "height", 2: "width"}
    buffer = io.BytesIO()
    decoder = model.decoder
    pool = decoder.pool
    if isinstance(pool, SlidingPool):
        decoder.pool = _FixedPool(model.arguments["encoder_output_stride"])
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's deprecation, and the tracer's about our checks of the input
            name = OUTPUTS[options.output]
            torch.onnx.export(Exported(model, options.output).eval(), (images,),
                              buffer,  # type: ignore[arg-type]  # tracing takes a buffer
                              input_names=[INPUT], output_names=[name], opset_version=OPSET, dynamo=False,
                              dynamic_axes={INPUT: axes, name: output_axes})
    finally:
        decoder.pool = pool
    return buffer.getvalue()
