"""Our own engine: the network's steps are fused and compiled for this processor, see `seg.runtime.fused`."""

import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.runtime.cache import Cache
from seg.runtime.fused import processor
from seg.runtime.fused.formats import INT8
from seg.runtime.fused.kernels import COUNTERS, Arrays, Scratch, load
from seg.runtime.fused.packing import line
from seg.runtime.fused.program import Program, check_network, plan
from seg.runtime.once import BySize, timed
from seg.runtime.protocol import UnavailablePrecision
from seg.runtime.workers import pool
from seg.weights import read_description, read_export, read_ranges, read_tensors, sha256


class _Workspace(NamedTuple):
    """A program and the memory that it writes to."""

    program: Program
    arrays: Arrays
    scratch: list[Scratch]
    scores: npt.NDArray[np.float32]


class FusedEngine:
    """See `Engine`. All threads work on the same step, and each takes the step's next free task.

    Args:
        model: a safetensors file; for int8 the int8 ONNX beside it.
        threads: how many threads it may use.
        precision: "fp32", "bf16", "int8", or None for "fp32".
        cache: not used; the compiled code is the same for all networks, and Numba keeps it.

    Raises:
        SegError: a file can't be read or belongs to other weights, or the network, the processor or the precision isn't
            supported.
    """

    name = "fused"
    fixed_size_hw = None

    def __init__(self, model: Path, threads: int, *, precision: str | None = None, cache: Cache | None = None) -> None:
        self.precision = precision or "fp32"
        check_processor(self.precision)
        self.threads = threads
        self.first_call_ms: dict[str, float] = {}
        with timed(self.first_call_ms, "read"):
            self._ranges = read_ranges(model) if self.precision == "int8" else None
            weights = _weights_of(model) if self.precision == "int8" else model
            self._description = read_description(weights)
            check_network(self._description)
            self._tensors = read_tensors(weights)
        self._workspaces = BySize(self._make_workspace, self.first_call_ms)

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/8), ceil(W/8)), which the next call overwrites."""
        workspace = self._workspaces((frame_bgr.shape[0], frame_bgr.shape[1]))
        if not frame_bgr.flags.writeable:  # Numba takes read-only arrays for another type and would compile for both
            frame_bgr = frame_bgr.copy()
        self._run(workspace, workspace.program.steps, frame_bgr)
        return workspace.scores

    def profile(self, frame_bgr: npt.NDArray[np.uint8], runs: int) -> dict[str, float]:
        """Returns the median milliseconds of each step alone, in order. Their sum is a little above the whole network's time."""
        self.logits(frame_bgr)
        workspace = self._workspaces((frame_bgr.shape[0], frame_bgr.shape[1]))
        times_ms: dict[str, list[float]] = {name: [] for name in workspace.program.names}
        for _ in range(runs):
            for index, name in enumerate(workspace.program.names):
                start = time.perf_counter()
                self._run(workspace, workspace.program.steps[index:index + 1], frame_bgr)
                times_ms[name].append((time.perf_counter() - start) * 1000)
        return {name: statistics.median(times) for name, times in times_ms.items()}

    def _run(self, workspace: _Workspace, steps: npt.NDArray[np.void], frame_bgr: npt.NDArray[np.uint8]) -> None:
        _, arrays, scratch, scores = workspace
        counters = np.zeros(len(steps) * COUNTERS, np.int64)
        run, frame = load(self.precision), frame_bgr.reshape(len(frame_bgr), -1)
        for own in scratch[1:]:  # a thread that starts late finds no task left, so no thread has to be waited for
            pool().submit(run, steps, frame, arrays, own, scores, counters)
        run(steps, frame, arrays, scratch[0], scores, counters)

    def _make_workspace(self, size_hw: tuple[int, int]) -> _Workspace:
        load(self.precision)
        program = plan(self._description, self._tensors, size_hw, self.threads, self.precision, self._ranges)
        dtype = program.numbers.dtype
        arrays = Arrays(program.constants, program.weights, program.taps, program.whole, program.tables,
                        _aligned(program.maps_size, dtype), _aligned(program.floats_size, np.float32))
        scratch = [Scratch(_aligned(program.ring_size, program.expanded.dtype), _aligned(program.rows_size, dtype),
                           _aligned(program.lines_size, np.float32),
                           None if program.whole is None else _aligned(program.levels_size, INT8.dtype))
                   for _ in range(self.threads)]
        return _Workspace(program, arrays, scratch, np.empty(program.scores_shape, np.float32))


def check_processor(precision: str) -> None:
    """Refuses a precision for which the processor has no instructions; the loops would be slower than any other engine.

    Raises:
        UnavailablePrecision: the processor lacks them.
    """
    lacks = processor.missing(precision)
    if lacks is not None:
        other = "engine" if precision == "fp32" else "precision or engine"
        raise UnavailablePrecision(f"This processor has no {lacks} instructions, which the engine 'fused' needs for {precision}. "
                                   f"Choose another {other}.")


def _weights_of(int8_model: Path) -> Path:
    """Returns the weights file beside an int8 ONNX, from which the ONNX was made.

    Raises:
        UnavailablePrecision: there is no weights file.
        SegError: the ONNX was made from other weights.
    """
    weights = int8_model.with_name(f"{int8_model.stem.removesuffix('_int8')}.safetensors")
    if not weights.is_file():
        raise UnavailablePrecision(f"The engine 'fused' takes its weights from safetensors, in int8 too, and beside {int8_model} "
                                   f"there is no {weights.name}. Choose another engine.")
    export = read_export(int8_model)
    if export is None or export.weights_sha256 not in (None, sha256(weights)):
        raise SegError(f"{int8_model} was not made from {weights}: it is of other weights. Make it again: lraspp export "
                       f"--weights {weights} --precision int8 --calibrate FOLDER")
    return weights


def _aligned(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Returns an array that begins at a cache line, so that threads that write to different arrays never share a line."""
    unit = line(dtype)
    room = np.zeros(size + unit, dtype)
    begin = -room.ctypes.data // room.itemsize % unit
    return room[begin:begin + size]
