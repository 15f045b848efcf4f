"""The way from a frame to its label map: fit, network, exact upsampling with argmax; each stage timed.

`predictor = Predictor.load("camvid_small")`, then `prediction = predictor(frame_bgr)` for each frame.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg import weights as files
from seg.errors import SegError
from seg.label_sets import LabelSet
from seg.machine import available_memory_bytes, check_threads
from seg.runtime import engines
from seg.runtime.preprocess import Fit, Placement, check_size, fit_frame, place
from seg.runtime.upsample import prepare, upsample_argmax

# What a frame takes at its peak, measured with the larger of the shipped networks and rounded up: float32 activations,
# the widest of them at half resolution. OpenVINO reuses memory best.
_BYTES_PER_PIXEL = {"openvino": 80, "onnxruntime": 280, "torch": 280}


@dataclass(frozen=True)
class Prediction:
    """What one frame gave.

    Attributes:
        train_ids: (H, W) uint8 at the frame's own size.
        latency_ms: by stage, in order: "preprocess" (fitting the frame), "network" (colour order and normalisation
            included; in the first call for a frame size also compiling), "upsample"; and "total".
    """

    train_ids: npt.NDArray[np.uint8]
    latency_ms: dict[str, float]


class Predictor:
    """Labels frames. One call runs at a time, with all its threads; calls from several threads wait for each other.

    A frame with a side below 32 pixels is stretched to 32 for the network.

    Args:
        engine: runs the network.
        description: what the network's weights say of themselves.
        size_hw: (H, W) that the network runs at; None for each frame's own size, or for the one that the network was
            exported for.
        fit: how a frame gets to `size_hw`: "stretch", or "letterbox" to keep its shape. The label map has the frame's
            own size either way.
        weights: the name or file that the network came from, for reports.
        note: what a user should know about the choice of engine, if anything.

    Attributes:
        description, label_set, size_hw, fit, weights, note: as said above.

    Raises:
        SegError: the size or the fit can't be, or the network doesn't take three channels.
    """

    def __init__(self, engine: engines.Engine, description: files.Description, *,
                 size_hw: tuple[int, int] | None = None, fit: Fit = "stretch", weights: str = "",
                 note: str | None = None) -> None:
        check_size(size_hw, fit)
        if len(description.mean) != 3:
            raise SegError(f"The network takes {len(description.mean)} channels; frames have three.")
        fixed = engine.fixed_size_hw
        if fixed is not None and size_hw not in (None, fixed):
            raise SegError(f"{weights} was exported for {fixed[0]}x{fixed[1]} alone; it can't run at another size.")
        size_hw = size_hw or fixed
        self.description, self.size_hw, self.fit, self.weights, self.note = description, size_hw, fit, weights, note
        self._engine = engine
        self._lock = threading.Lock()
        self._sizes_that_fit: set[tuple[int, int]] = set()
        cv2.setNumThreads(engine.threads)

    @classmethod
    def load(cls, weights: str | Path = files.DEFAULT, engine: str = "auto", threads: int | None = None,
             size_hw: tuple[int, int] | None = None, fit: Fit = "stretch") -> "Predictor":
        """Makes a predictor.

        Args:
            weights: name of shipped weights, or a .safetensors or .onnx file. Of a safetensors file the .onnx beside it
                is run, except by the engine "torch".
            engine: "openvino", "onnxruntime", "torch", or "auto" for the first of these that is installed.
            threads: for the engine, OpenCV and the upsampling alike; None for all cores that this process may use.
            size_hw: see the class.
            fit: see the class.

        Raises:
            SegError: the weights, the engine, a package or a value is not there or can't be used.
        """
        check_size(size_hw, fit)
        engines.check_name(engine)
        path = files.find(weights)
        description = files.read_description(path)
        thread_count = check_threads(threads)
        prepare()
        made, note = engines.make(engine, path, thread_count)
        run_path = engines.model_file(path, made.name)
        if run_path != path and files.read_description(run_path) != description:
            raise SegError(f"{run_path} was not made from {path}: their descriptions differ. Make it anew: "
                           f"python -m seg.export --weights {path.with_suffix('.safetensors')}")
        return cls(made, description, size_hw=size_hw, fit=fit, weights=str(weights), note=note)

    @property
    def label_set(self) -> LabelSet:
        """What the train ids mean."""
        return self.description.label_set

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """Of the arithmetic, read back from the engine where it can say."""
        return self._engine.precision

    @property
    def threads(self) -> int:
        """How many threads work on a frame, read back from the engine where it can say."""
        return self._engine.threads

    def __call__(self, frame_bgr: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8] | None = None) -> Prediction:
        """Labels one frame.

        Args:
            frame_bgr: (H, W, 3) uint8, any strides.
            out: (H, W) uint8, C-contiguous, to write the label map into.

        Raises:
            SegError: the frame is not such an array, or too large for this machine's memory.
        """
        frame_hw = _check_frame(frame_bgr)
        placement = place(frame_hw, self.size_hw, self.fit)
        with self._lock:
            self._check_memory(placement.size_hw)
            try:
                return self._predict(frame_bgr, frame_hw, placement, out)
            except MemoryError:
                raise SegError(f"Memory doesn't suffice for a frame of {frame_hw[0]}x{frame_hw[1]}. Give a smaller "
                               "size to run at.") from None

    def _predict(self, frame_bgr: npt.NDArray[np.uint8], frame_hw: tuple[int, int], placement: Placement,
                 out: npt.NDArray[np.uint8] | None) -> Prediction:
        start = time.perf_counter()
        image = fit_frame(frame_bgr, placement, self.description.mean)
        fitted = time.perf_counter()
        logits = self._engine.logits(image)  # (C, ceil(h/s), ceil(w/s)), s = 8 or the output stride
        scored = time.perf_counter()
        if logits.shape[0] != len(self.label_set):
            raise SegError(f"The network gives {logits.shape[0]} scores per pixel and its label set "
                           f"{self.label_set.name!r} has {len(self.label_set)} classes; the file is damaged.")
        window = placement.window((logits.shape[1], logits.shape[2]))
        train_ids = upsample_argmax(logits, frame_hw, out, window=window, threads=self.threads)
        end = time.perf_counter()
        stages = {"preprocess": fitted - start, "network": scored - fitted, "upsample": end - scored,
                  "total": end - start}
        return Prediction(train_ids, {stage: seconds * 1000 for stage, seconds in stages.items()})

    def _check_memory(self, size_hw: tuple[int, int]) -> None:
        """Refuses, before the work, a size that would drive the machine out of memory."""
        if size_hw in self._sizes_that_fit:
            return
        needed = size_hw[0] * size_hw[1] * _BYTES_PER_PIXEL.get(self.engine, max(_BYTES_PER_PIXEL.values()))
        available = available_memory_bytes()
        if available is not None and needed > available:
            raise SegError(f"At {size_hw[0]}x{size_hw[1]} the network needs about {needed / 2**30:.1f} GiB and "
                           f"{available / 2**30:.1f} GiB are free. Give a smaller size to run at.")
        self._sizes_that_fit.add(size_hw)


def _check_frame(frame: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Returns the frame's (H, W) if it is one."""
    if not isinstance(frame, np.ndarray):
        raise SegError(f"The frame is a {type(frame).__name__}; expected a NumPy array (H, W, 3) uint8, BGR.")
    if frame.dtype != np.uint8:
        raise SegError(f"The frame is {frame.dtype}; expected uint8, 0 to 255: the network normalises it itself.")
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise SegError(f"The frame has the shape {frame.shape}; expected (H, W, 3), BGR. cv2.cvtColor converts grey "
                       "and BGRA.")
    if 0 in frame.shape:
        raise SegError(f"The frame has the shape {frame.shape}; it holds no pixel.")
    return frame.shape[0], frame.shape[1]
