"""From a frame to its label map: fitting, network, exact upsampling with argmax; each stage is timed.

`predictor = Predictor.load("camvid_small")`, then `prediction = predictor(frame_bgr)` for each frame.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.label_sets import LabelSet
from seg.machine import check_threads
from seg.runtime import complexity
from seg.runtime.auto import AutoEngine, make_engine
from seg.runtime.cache import Cache, default_folder
from seg.runtime.choice import Choice
from seg.runtime.engines.table import check_names
from seg.runtime.loops import load_ms, prepare
from seg.runtime.memory import check_memory
from seg.runtime.once import timed
from seg.runtime.preprocess import Fit, Placement, Size, check_size, fit_frame, place
from seg.runtime.protocol import Engine
from seg.runtime.upsample import upsample_argmax
from seg.runtime.ways import WHOLE, Way
from seg.weights import DEFAULT, Description, find, read_description


@dataclass(frozen=True)
class Prediction:
    """The result for one frame.

    Attributes:
        train_ids: (H, W) uint8 at the frame's own size.
        latency_ms: by stage, in order: "preprocess" (fitting the frame); "network" (includes colour order and normalisation; the
            first call for a frame size also includes compiling, and the very first call the trial of "auto"); "upsample"; and
            "total", which is not a sum but measured separately, around all stages.
        confidence: (H, W) float32, the softmax probability of each label; None if it was not asked for.
    """

    train_ids: npt.NDArray[np.uint8]
    latency_ms: dict[str, float]
    confidence: npt.NDArray[np.float32] | None = None


class Predictor:
    """Labels frames. One call runs at a time, with all its threads; calls from several threads wait for each other.

    A frame with a side below 32 pixels is stretched to 32 for the network.

    Args:
        engine: runs the network.
        description: what the weights file says about the network.
        size: (H, W) at which the network runs. A number scales each frame to that longer side [px] and keeps its shape; "best"
            scales to the side at which the weights are most accurate by their own description; "own" keeps each frame's own
            size, extended to multiples of 16. For a network that was exported for one size only, "best" and "own" mean that size.
        fit: how a frame is brought to a size given as (H, W): "stretch", or "letterbox" to keep its shape. In both cases the
            label map has the frame's own size.
        weights: the name or file of the network, for reports.
        way: how the network looks at a frame, see `seg.runtime.ways`.
        notes: sentences about the engine that a user should know.
        confidence: whether predictions include it; it takes several times as long as the labels alone.
        cache: where compiled networks and choices are kept.

    Attributes:
        description, label_set, fit, weights, confidence: see the arguments.
        size_hw: the one (H, W) at which the network runs; None if each frame has its own.
        long_side: the longer side to which frames are scaled [px]; None if they aren't scaled.
        way: see the argument.
        blend: takes the frame as the network sees it and its scores, and returns new scores; None changes nothing.
            Its time is the stage "smooth".

    Raises:
        SegError: the size or the fit is not valid, or the network doesn't take three channels.
    """

    def __init__(self, engine: Engine, description: Description, *,
                 size: Size = "best", fit: Fit = "stretch", weights: str = "", notes: Sequence[str] = (),
                 confidence: bool = False, cache: Cache | None = None, way: Way = WHOLE) -> None:
        check_size(size, fit)
        if len(description.mean) != 3:
            raise SegError(f"The network takes {len(description.mean)} channels; frames have three.")
        fixed = engine.fixed_size_hw
        if fixed is not None and size not in ("best", "own", fixed):
            raise SegError(f"{weights} was exported for {fixed[0]}x{fixed[1]} only; it can't run at another size.")
        if fixed is not None and way != WHOLE:
            raise SegError(f"{weights} was exported for {fixed[0]}x{fixed[1]} only; windows and scales need other sizes.")
        size_hw = size if isinstance(size, tuple) else fixed
        self.long_side = None if fixed else description.long_side if size == "best" else size if isinstance(size, int) else None
        self.description, self.size_hw, self.fit, self.weights, self.confidence = description, size_hw, fit, weights, confidence
        self._engine, self._notes, self._cache = engine, list(notes), cache or Cache(None)
        self.way = way
        self._lock = threading.Lock()
        self._begun_ms = dict[str, float]()  # times of loading, choosing and the first call
        self.blend: Callable[[npt.NDArray[np.uint8], npt.NDArray[np.float32]], npt.NDArray[np.float32]] | None = None
        self._loaded: tuple[Path, Size] | None = None
        self._sizes_that_fit: set[tuple[int, int]] = set()

    @classmethod
    def load(cls, weights: str | Path = DEFAULT, engine: str = "auto", precision: str = "auto",
             threads: int | None = None, size: Size = "best", fit: Fit = "stretch", confidence: bool = False) -> "Predictor":
        """Makes a predictor.

        Args:
            weights: name of shipped weights, or a .safetensors or .onnx file. For a safetensors file, the engines run the .onnx
                next to it, or NAME_int8.onnx in int8; "fused" and "torch" run the file itself.
            engine: "openvino", "fused", "onnxruntime", "torch", or "auto" for the fastest of the first three.
            precision: "fp32", "bf16", "int8", or "auto" for the fastest one that keeps 99% of the float32 labels.
                "auto" is tried on the first frame, or on the frames given to `choose`, and its choice is then remembered.
            threads: for the engine, OpenCV and the upsampling; None for all cores that this process may use.
            size: see the class.
            fit: see the class.
            confidence: see the class.

        Raises:
            SegError: the weights, the engine, its precision, a package or a value is missing or can't be used.
        """
        start = time.perf_counter()
        check_size(size, fit)
        check_names(engine, precision)
        path = find(weights)
        description = read_description(path)
        thread_count = check_threads(threads)
        prepare()
        cache = Cache(default_folder())
        made, notes = make_engine(engine, precision, path, thread_count, cache)
        predictor = cls(made, description, size=size, fit=fit, weights=str(weights), notes=notes, confidence=confidence,
                        cache=cache)
        predictor._loaded = path, size
        predictor._begun_ms["load"] = (time.perf_counter() - start) * 1000
        return predictor

    def at(self, size: Size | None = None, way: Way = WHOLE) -> "Predictor":
        """Returns a predictor for another size or way. Both share one engine and must not run at the same time.

        Args:
            size: None for this predictor's size.
            way: see the class.

        Raises:
            SegError: the size is not valid, or the network was exported for another size only.
        """
        same: Size = self.size_hw or self.long_side or "own"
        other = Predictor(self._engine, self.description, size=same if size is None else size, fit=self.fit, weights=self.weights,
                          notes=self._notes, confidence=self.confidence, cache=self._cache, way=way)
        other._loaded = self._loaded
        other._begun_ms = {part: value for part, value in self._begun_ms.items() if part == "load"}
        return other

    def replicas(self) -> list["Predictor"]:
        """Returns one predictor for each thread of this one, with the engine chosen here; they may run at the same time.

        Raises:
            SegError: it wasn't made by `load`.
        """
        if self._loaded is None:
            raise SegError("Only a predictor that was made by Predictor.load can be replicated.")
        path, size = self._loaded
        return [Predictor.load(path, self.engine, self.precision, 1, size, self.fit, self.confidence)
                for _ in range(self.threads)]

    @property
    def label_set(self) -> LabelSet:
        """The meaning of the train ids."""
        return self.description.label_set

    @property
    def engine(self) -> str:
        """The engine's name; with "auto", that of the reference until the first frame."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """Precision of the arithmetic, read back from the engine if it can say."""
        return self._engine.precision

    @property
    def threads(self) -> int:
        """Number of threads that work on a frame, read back from the engine if it can say."""
        return self._engine.threads

    @property
    def choice(self) -> Choice | None:
        """What "auto" chose; None before the first frame, and if there was nothing to choose."""
        choice = self._found
        return choice if choice and len(choice.trials) > 1 else None

    @property
    def _found(self) -> Choice | None:
        return self._engine.choice if isinstance(self._engine, AutoEngine) else None

    @property
    def notes(self) -> list[str]:
        """Sentences for the user about the engine, its choice and the cache."""
        found = self._found.sentences() if self._found else []
        return [*self._notes, *found, *([self._cache.note] if self._cache.note else [])]

    @property
    def first_call_ms(self) -> dict[str, float]:
        """Times of the work that is done only once, so far, in milliseconds, in the order in which it is done.

        "import": the engine's package; "read": the network's file; "trial": what "auto" tried, including all that it compiled;
        "compile": compiling for each frame size, or loading what was compiled earlier; "kernel": loading or compiling, in the
        background, the loops that bring frames to the network's size and labels to the frame's size.
        """
        costs_ms = {**self._engine.first_call_ms, "kernel": load_ms()}
        return {part: costs_ms[part] for part in ("import", "read", "trial", "compile", "kernel") if part in costs_ms}

    @property
    def first_frame_ms(self) -> float | None:
        """Time from nothing to the labels of the first frame: loading, choosing and the first call; None before that."""
        return sum(self._begun_ms.values()) if "first call" in self._begun_ms else None

    @property
    def parameters(self) -> int | None:
        """Number of learnt parameters; None if the weights are only an export."""
        return None if self._loaded is None else complexity.parameters(self._loaded[0])

    def multiply_adds(self, frame_hw: tuple[int, int]) -> int | None:
        """Returns the multiply-adds of the network's convolutions for a whole frame of (H, W); None if they can't be counted."""
        return None if self._loaded is None else complexity.multiply_adds(self._loaded[0], self.network_size(frame_hw))

    def choose(self, frames_bgr: Iterable[npt.NDArray[np.uint8]], complete: bool = False) -> None:
        """Lets "auto" choose on these frames instead of on the first labelled one.

        If there is nothing to choose, or it was chosen before for the size of the first frame, no more frames are taken.

        Args:
            frames_bgr: (H, W, 3) uint8.
            complete: whether what isn't compiled yet for this machine is compiled first. Otherwise that happens in the
                background, where it would disturb the latencies.

        Raises:
            SegError: see `__call__`.
        """
        if not isinstance(self._engine, AutoEngine):
            return

        def images() -> Iterable[npt.NDArray[np.uint8]]:
            for frame in frames_bgr:
                placement = self._place(_check_frame(frame))
                self._check_memory(placement.size_hw)
                yield fit_frame(frame, placement, self.description.mean)

        with self._lock, timed(self._begun_ms, "choose"):
            self._engine.choose(images(), complete)

    def check(self, frame_bgr: npt.NDArray[np.uint8]) -> None:
        """Checks, before the work, that a frame can be labelled here.

        Raises:
            SegError: see `__call__`.
        """
        self._check_memory(self._place(_check_frame(frame_bgr)).size_hw)

    def __call__(self, frame_bgr: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8] | None = None) -> Prediction:
        """Labels one frame.

        Args:
            frame_bgr: (H, W, 3) uint8, any strides.
            out: (H, W) uint8, C-contiguous; the label map is written into it.

        Raises:
            SegError: the frame is not such an array, or too large for this machine's memory.
        """
        frame_hw = _check_frame(frame_bgr)
        with self._lock:
            start = time.perf_counter()
            placement = self._place(frame_hw)
            self._check_memory(self.way.largest(placement.size_hw))
            try:
                train_ids, stages_ms, confidence = self._predict(frame_bgr, frame_hw, placement, out)
            except MemoryError:
                raise SegError(f"There is too little memory for a frame of {frame_hw[0]}x{frame_hw[1]}. Give a smaller "
                               "size to run at.") from None
            total_ms = (time.perf_counter() - start) * 1000
            self._begun_ms.setdefault("first call", total_ms)
        return Prediction(train_ids, {**stages_ms, "total": total_ms}, confidence)

    def network_size(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Returns the (H, W) that the network runs at for frames of (H, W)."""
        return self._place(frame_hw).size_hw

    def _place(self, frame_hw: tuple[int, int]) -> Placement:
        return place(frame_hw, self.size_hw, self.fit, self.long_side)

    def _predict(self, frame_bgr: npt.NDArray[np.uint8], frame_hw: tuple[int, int], placement: Placement,
                 out: npt.NDArray[np.uint8] | None,
                 ) -> tuple[npt.NDArray[np.uint8], dict[str, float], npt.NDArray[np.float32] | None]:
        if cv2.getNumThreads() != self.threads:  # a setting of the whole process, which another predictor may have changed
            cv2.setNumThreads(self.threads)
        stages_ms = dict[str, float]()
        with timed(stages_ms, "preprocess"):
            image = fit_frame(frame_bgr, placement, self.description.mean, self.threads)
        with timed(stages_ms, "network"):
            logits = self.way(self._engine.logits, image)  # (C, ceil(h/s), ceil(w/s)), s = 8 or the output stride
        if logits.shape[0] != len(self.label_set):
            raise SegError(f"The network gives {logits.shape[0]} scores per pixel and its label set "
                           f"{self.label_set.name!r} has {len(self.label_set)} classes; the file is damaged.")
        if self.blend is not None:
            with timed(stages_ms, "smooth"):
                logits = self.blend(image, logits)
        with timed(stages_ms, "upsample"):
            window = placement.window((logits.shape[1], logits.shape[2]))
            confidence = np.empty(frame_hw, np.float32) if self.confidence else None
            train_ids = upsample_argmax(logits, frame_hw, out, confidence=confidence, window=window, threads=self.threads)
        return train_ids, stages_ms, confidence

    def _check_memory(self, size_hw: tuple[int, int]) -> None:
        """Refuses, before the work, a size for which the machine's memory is too small."""
        if size_hw in self._sizes_that_fit:
            return
        check_memory(size_hw, self.engine)
        self._sizes_that_fit.add(size_hw)


def _check_frame(frame: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Returns the frame's (H, W), or refuses what is not a frame."""
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
