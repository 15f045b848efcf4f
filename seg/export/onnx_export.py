"""A network to ONNX: uint8 RGB in, scores of the decoder's own size out, description inside, outputs compared with torch's.

The graph holds plain operators alone (convolutions, means, one Resize): no adaptive pooling, no branches.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seg import weights as files
from seg.errors import SegError
from seg.export.torch_engine import TorchEngine
from seg.files import atomic_write
from seg.models import SegmentationNetwork, load
from seg.models.lraspp import SlidingPool
from seg.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from seg.runtime.engines.openvino_engine import OpenVINOEngine

OPSET = 17
COMPARED_SIZES_HW = ((32, 32), (33, 47), (96, 160), (101, 75), (180, 241))
TOLERANCE = 1e-3  # of the scores' spread; float32 in another order of summation stays well below


@dataclass(frozen=True)
class Comparison:
    """How far an export is from the network it was made from, over all engines and sizes compared.

    Attributes:
        largest_difference: of scores, in units of their standard deviation.
        agreement: share of the scores' positions with the same winner.
        engines: which ran it.
    """

    largest_difference: float
    agreement: float
    engines: tuple[str, ...]


class _Logits(nn.Module):
    """The network's `logits` as a forward, which exporters want."""

    def __init__(self, model: SegmentationNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.logits(images)


class _FixedPool(SlidingPool):
    """The sliding pool with the window of one frame size as constants, which is how ONNX can hold it."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = (min(self.kernel, int(x.shape[2])), min(self.kernel, int(x.shape[3])))
        # Nothing is padded. It only makes engines average what a window at the edge holds, as torch does.
        return F.avg_pool2d(x, kernel, self.stride, ceil_mode=True, count_include_pad=False)


def export_onnx(model: SegmentationNetwork, path: str | Path, description: files.Description,
                size_hw: tuple[int, int] | None = None) -> Comparison:
    """Writes `model` as ONNX: `images` (N, 3, H, W) uint8 RGB to `logits` (N, C, h, w) float32.

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
        SegError: the network can't be exported so, or its export computes something else.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise SegError(f"The output is {path}; an ONNX file's name ends in .onnx.")
    if size_hw is None and model.arguments.get("pool") == "sliding":
        raise SegError("The network pools with a sliding window, whose size follows from the frame's: ONNX can hold it "
                       "for one frame size. Give it: --size HxW")
    was_training = model.training
    model.eval()
    try:
        exported = _with_description(_trace(model, size_hw), description)
        comparison = _compare(model, exported, (size_hw,) if size_hw else COMPARED_SIZES_HW)
    finally:
        model.train(was_training)
    with atomic_write(path) as file:
        file.write(exported)
    return comparison


def export_weights(weights: str | Path, output: str | Path | None = None,
                   size_hw: tuple[int, int] | None = None) -> tuple[Path, Comparison]:
    """Exports shipped weights by name, or a .safetensors file; by default to the .onnx beside it.

    Raises:
        SegError: as `export_onnx`, or there are no such weights.
    """
    source = files.find(weights)
    model = load(source)
    path = Path(output) if output is not None else source.with_suffix(".onnx")
    return path, export_onnx(model, path, files.read_description(source), size_hw)


def _trace(model: SegmentationNetwork, size_hw: tuple[int, int] | None) -> bytes:
    """Exports by tracing. Torch's newer exporter gives the same graph, and takes fifty times as long."""
    height, width = size_hw or (96, 128)
    axes = {0: "batch"} if size_hw else {0: "batch", 2: "height", 3: "width"}
    scores_axes = {0: "batch"} if size_hw else {0: "batch", 2: "height_small", 3: "width_small"}
    buffer = io.BytesIO()
    decoder = model.decoder
    pool = decoder.pool
    if isinstance(pool, SlidingPool):
        decoder.pool = _FixedPool(model.arguments["encoder_output_stride"])
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's deprecation, and the tracer's about our checks of the input
            torch.onnx.export(_Logits(model).eval(), (images,), buffer,  # type: ignore[arg-type]  # tracing takes a buffer
                              input_names=["images"], output_names=["logits"], opset_version=OPSET, dynamo=False,
                              dynamic_axes={"images": axes, "logits": scores_axes})
    finally:
        decoder.pool = pool
    return buffer.getvalue()


def _with_description(exported: bytes, description: files.Description) -> bytes:
    import onnx

    model = onnx.load_model_from_string(exported)
    onnx.helper.set_model_props(model, {files.METADATA_KEY: description.to_json()})
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _compare(model: SegmentationNetwork, exported: bytes, sizes_hw: tuple[tuple[int, int], ...]) -> Comparison:
    threads = torch.get_num_threads()
    reference = TorchEngine(model, threads)
    engines = (OpenVINOEngine(exported, threads), OnnxRuntimeEngine(exported, threads))
    random = np.random.default_rng(0)
    largest, agreeing, positions = 0.0, 0, 0
    for height, width in sizes_hw:
        # Coarse blobs and noise: frames whose scores differ from place to place.
        blobs = random.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)
        frame = (blobs[:height, :width] + random.integers(0, 56, (height, width, 3))).astype(np.uint8)
        expected = reference.logits(frame)
        for engine in engines:
            scores = engine.logits(frame)
            if scores.shape != expected.shape:
                raise SegError(f"In {engine.name} the export gives scores {scores.shape} at {height}x{width}; the "
                               f"network gives {expected.shape}. It was not written.")
            largest = max(largest, float(np.abs(scores - expected).max() / max(expected.std(), 1e-12)))
            agreeing += int((scores.argmax(0) == expected.argmax(0)).sum())
            positions += expected[0].size
    if not largest <= TOLERANCE:
        raise SegError(f"The export's scores differ from the network's by {largest:.2g} of their spread, above "
                       f"{TOLERANCE:g}. It was not written.")
    return Comparison(largest, agreeing / positions, tuple(engine.name for engine in engines))
