"""The network through OpenVINO, the default: float32, compiled for each frame size, fed with BGR frames as they are."""

from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.machine import switch_off_telemetry

switch_off_telemetry()
import openvino as ov  # noqa: E402
from openvino.preprocess import ColorFormat, PrePostProcessor  # noqa: E402

SIZES_KEPT = 4  # compiled networks, one per frame size; each holds its activations' memory
_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


@cache
def _core() -> Any:
    """The one core of the process, which is never released.

    With each core its plugin for processors sets up an alternate signal stack, and restores the one before it when the core
    goes. Cores that went in the order in which they came left one that was gone too, and the next signal ended the process.
    """
    return ov.Core()


class OpenVINOEngine:
    """See `Engine`.

    Args:
        model: an ONNX file, or its bytes.
        threads: how many it may use.
        profile: time every layer, which costs a little; `request` gives what was found.

    Raises:
        SegError: the file can't be read or is no such network.
    """

    name = "openvino"

    def __init__(self, model: Path | bytes, threads: int, profile: bool = False) -> None:
        self.precision, self.threads, self._profile = "fp32", threads, profile
        self._source = str(model) if isinstance(model, Path) else "The exported network"
        try:
            self._model = _core().read_model(model)
        except RuntimeError as error:
            raise SegError(f"{self._source} can't be read by OpenVINO; it may be damaged: {_last_line(error)}"
                           ) from None
        _, _, height, width = self._model.input().get_partial_shape()
        fixed = height.is_static and width.is_static
        self.fixed_size_hw = (height.get_length(), width.get_length()) if fixed else None
        self._requests: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)), which the next call overwrites.

        Raises:
            SegError: the network can't run at this size, or memory doesn't suffice.
        """
        size_hw = frame_bgr.shape[0], frame_bgr.shape[1]
        request = self.request(size_hw)
        if not frame_bgr.flags.writeable:  # OpenVINO shares writeable memory only
            frame_bgr = frame_bgr.copy()
        request.set_input_tensor(ov.Tensor(frame_bgr[None], shared_memory=True))
        try:
            request.infer()
        except RuntimeError as error:
            raise SegError(f"{self._source} can't run at {size_hw[0]}x{size_hw[1]}: {_last_line(error)}") from None
        scores: npt.NDArray[np.float32] = request.get_output_tensor().data[0]
        return scores

    def request(self, size_hw: tuple[int, int]) -> Any:
        """Returns OpenVINO's own request for frames of this size, compiled at the first call."""
        if size_hw in self._requests:
            self._requests.move_to_end(size_hw)
        else:
            self._requests[size_hw] = self._compile(size_hw)
            if len(self._requests) > SIZES_KEPT:
                self._requests.popitem(last=False)
        return self._requests[size_hw]

    def _compile(self, size_hw: tuple[int, int]) -> Any:
        """Compiles for one frame size: fixed shapes give OpenVINO its fastest kernels, in a quarter of a second."""
        height, width = size_hw
        try:
            model = self._model.clone()
            model.reshape([1, 3, height, width])
            steps = PrePostProcessor(model)  # colour order and layout become part of the compiled network
            steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
            steps.input().tensor().set_color_format(ColorFormat.BGR)
            steps.input().preprocess().convert_color(ColorFormat.RGB)
            steps.input().model().set_layout(ov.Layout("NCHW"))
            compiled = _core().compile_model(steps.build(), "CPU", {
                "INFERENCE_PRECISION_HINT": ov.Type.f32,  # OpenVINO would choose bfloat16 by itself on some processors
                "INFERENCE_NUM_THREADS": self.threads,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,  # pinned, several predictors or programs would share the same cores
                "PERF_COUNT": self._profile,
            })
        except RuntimeError as error:
            raise SegError(f"{self._source} can't be compiled by OpenVINO for {height}x{width}: "
                           f"{_last_line(error)}") from None
        self.precision = _PRECISIONS.get(compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), "unknown")
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        return compiled.create_infer_request()


def _last_line(error: Exception) -> str:
    """The part of OpenVINO's many lines that says what is wrong: the last that isn't empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
