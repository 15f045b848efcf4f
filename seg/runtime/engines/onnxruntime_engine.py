"""The network in onnxruntime: float32 or int8, as in the file; any frame size without compiling."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.machine import switch_off_telemetry
from seg.runtime.cache import Cache
from seg.runtime.once import timed
from seg.runtime.protocol import check_precision
from seg.weights import EXPORT_KEY, Export

switch_off_telemetry()

import onnxruntime as ort  # noqa: E402


class OnnxRuntimeEngine:
    """See `Engine`.

    Args:
        model: an ONNX file, or its bytes.
        threads: how many threads it may use.
        precision: "fp32" or "int8", which must be the file's precision; None accepts it.
        cache: not used; reading the file takes little time.

    Raises:
        SegError: the file can't be read, is not such a network, or has another precision.
    """

    name = "onnxruntime"

    def __init__(self, model: Path | bytes, threads: int, *, precision: str | None = None, cache: Cache | None = None) -> None:
        self.first_call_ms: dict[str, float] = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors only
        # By default its threads spin for tens of milliseconds after a frame and occupy cores that other work needs then.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._source = str(model) if isinstance(model, Path) else "The exported network"
        try:
            with timed(self.first_call_ms, "read"):
                self._session = ort.InferenceSession(str(model) if isinstance(model, Path) else model, options,
                                                     providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a separate class for each kind of fault, without a common base class
            raise SegError(f"{self._source} can't be read by onnxruntime; it may be damaged: {error}") from None
        # It computes in the types of the graph, and the file's metadata names them.
        export = self._session.get_modelmeta().custom_metadata_map.get(EXPORT_KEY)
        self.precision = Export.from_json(export, self._source).precision if export else "fp32"
        check_precision(self.name, precision, self.precision)
        self.threads = int(self._session.get_session_options().intra_op_num_threads)
        images = self._session.get_inputs()[0]
        self._input = images.name
        height, width = images.shape[2:]  # names instead of numbers if any size is possible
        self.fixed_size_hw = (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)).

        Raises:
            SegError: the network can't run at this size, or there is too little memory.
        """
        images = np.stack(cv2.split(frame_bgr)[::-1])[None]  # (1, 3, H, W) RGB
        try:
            scores: npt.NDArray[np.float32] = self._session.run(None, {self._input: images})[0][0]
        except Exception as error:
            raise SegError(f"{self._source} can't run at {images.shape[2]}x{images.shape[3]}: {error}") from None
        return scores
