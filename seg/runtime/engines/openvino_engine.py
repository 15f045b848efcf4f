"""The network in OpenVINO, the default engine: compiled for each frame size; it takes BGR frames unchanged."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.machine import switch_off_telemetry
from seg.runtime.cache import Cache, this_machine
from seg.runtime.once import BySize, timed
from seg.runtime.protocol import UnavailablePrecision, check_precision

switch_off_telemetry()
import openvino as ov  # noqa: E402

from seg.runtime.engines.openvino_graph import for_size, split_scores  # noqa: E402

_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}


@cache
def core() -> Any:
    """Returns the one OpenVINO core of the process, which is never released.

    Each core's CPU plugin installs an alternate signal stack, and restores the previous one when the core is released. If cores
    were released in the order of their creation, a released stack stayed installed, and the next signal ended the process.
    """
    return ov.Core()


def check_bf16() -> None:
    """Refuses bfloat16 if the processor lacks it; OpenVINO would silently compute in float32.

    Raises:
        UnavailablePrecision: this processor has no bfloat16.
    """
    if "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UnavailablePrecision("This processor has no bfloat16 arithmetic that OpenVINO could use. Ask for fp32 or int8.")


class OpenVINOEngine:
    """See `Engine`.

    In int8, the parts that the file keeps in float32 are computed in float32. In bfloat16 the scores are, see `openvino_graph`.

    Args:
        model: an ONNX file, or its bytes.
        threads: how many threads it may use.
        profile: whether every layer is timed, which costs a little time; `request` gives the times.
        precision: "fp32", "bf16" or "int8", which must be the file's precision; None for the file's precision.
        cache: for compiled networks; None keeps none.

    Raises:
        SegError: the file can't be read or is not such a network, or the processor doesn't support the precision.
    """

    name = "openvino"

    def __init__(self, model: Path | bytes, threads: int, profile: bool = False, *, precision: str | None = None,
                 cache: Cache | None = None) -> None:
        self.precision, self.threads, self._asked, self._profile = precision or "fp32", threads, precision, profile
        self.first_call_ms: dict[str, float] = {}
        self._source = str(model) if isinstance(model, Path) else "The exported network"
        if precision == "bf16":
            check_bf16()
        self._cache = cache
        try:
            with timed(self.first_call_ms, "read"):
                data = model.read_bytes() if isinstance(model, Path) else model
                self._hash = hashlib.sha256(data).hexdigest()
                self._model = core().read_model(data)
                _, _, height, width = self._model.input().get_partial_shape()
        except OSError as error:
            raise SegError(f"{self._source} can't be read: {error.strerror or error}.") from None
        except (RuntimeError, ValueError) as error:  # ValueError if its message is not UTF-8
            raise SegError(f"{self._source} can't be read by OpenVINO; it may be damaged: {_last_line(error)}"
                           ) from None
        fixed = height.is_static and width.is_static
        self.fixed_size_hw = (height.get_length(), width.get_length()) if fixed else None
        self._requests = BySize(self._compile, self.first_call_ms)

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)), which the next call overwrites.

        Raises:
            SegError: the network can't run at this size, or there is too little memory.
        """
        size_hw = frame_bgr.shape[0], frame_bgr.shape[1]
        requests = self._requests(size_hw)
        if not frame_bgr.flags.writeable:  # OpenVINO shares only writeable memory
            frame_bgr = frame_bgr.copy()
        requests[0].set_input_tensor(ov.Tensor(frame_bgr[None], shared_memory=True))
        try:
            for request in requests:
                request.infer()
        except RuntimeError as error:
            raise SegError(f"{self._source} can't run at {size_hw[0]}x{size_hw[1]}: {_last_line(error)}") from None
        scores: npt.NDArray[np.float32] = requests[-1].get_output_tensor().data[0]
        return scores

    def request(self, size_hw: tuple[int, int]) -> Any:
        """Returns OpenVINO's own request for frames of this size, compiled at the first call.

        In bfloat16 it is the request for everything except the scores.
        """
        return self._requests(size_hw)[0]

    def _compile(self, size_hw: tuple[int, int]) -> list[Any]:
        """Compiles for one frame size, because fixed shapes give OpenVINO its fastest kernels. Returns requests in order."""
        try:
            if self._asked == "bf16":
                parts: list[ov.Model] = []

                def part(index: int) -> ov.Model:
                    parts.extend(parts or split_scores(for_size(self._model, size_hw)))
                    return parts[index]

                compiled = [self._load_or_compile(size_hw, "features", ov.Type.bf16, lambda: part(0)),
                            self._load_or_compile(size_hw, "scores", ov.Type.f32, lambda: part(1))]
            else:
                # Otherwise OpenVINO would choose bfloat16 on some processors.
                compiled = [self._load_or_compile(size_hw, "all", ov.Type.f32, lambda: for_size(self._model, size_hw))]
        except RuntimeError as error:
            raise SegError(f"{self._source} can't be compiled by OpenVINO for {size_hw[0]}x{size_hw[1]}: "
                           f"{_last_line(error)}") from None
        self.precision, self.threads = _precision(compiled[0]), int(compiled[0].get_property("INFERENCE_NUM_THREADS"))
        check_precision(self.name, self._asked, self.precision)
        requests = [each.create_infer_request() for each in compiled]
        for index in range(len(compiled[0].outputs) if len(requests) == 2 else 0):
            requests[1].set_input_tensor(index, requests[0].get_output_tensor(index))
        return requests

    def _load_or_compile(self, size_hw: tuple[int, int], part: str, precision: ov.Type, model: Callable[[], ov.Model]) -> Any:
        """Takes a compiled network from the cache, or compiles it and keeps it there."""
        config = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # otherwise several predictors or programs would be pinned to the same cores
            "PERF_COUNT": self._profile,
        }
        if self._cache is None:
            return core().compile_model(model(), "CPU", config)
        facts = {"network": self._hash, "size_hw": size_hw, "part": part, "precision": precision.to_string(),
                 **this_machine("openvino")}
        kept = self._cache.read("openvino", facts)
        if kept is not None:
            try:
                return core().import_model(kept, "CPU", config)
            except RuntimeError:  # a network that OpenVINO refuses is compiled again
                pass
        compiled = core().compile_model(model(), "CPU", config)
        self._cache.write("openvino", facts, compiled.export_model().getvalue())
        return compiled


def _precision(compiled: Any) -> str:
    """Reads back the precision of a compiled network's convolutions; the lowest counts, because int8 leaves some in float32."""
    found = {_PRECISIONS.get(info["runtimePrecision"].astype(str).lower())
             for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
             if info["layerType"].astype(str) == "Convolution"}
    hint = _PRECISIONS.get(compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), "unknown")
    return next((precision for precision in ("int8", "bf16", "fp16", "fp32") if precision in found), hint)


def _last_line(error: Exception) -> str:
    """Returns the last line of OpenVINO's long message that isn't empty: it says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
