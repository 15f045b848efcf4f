"""Our own way to run a network: its steps fused and compiled for this processor, see `seg.runtime.fused`."""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from seg import weights as files
from seg.runtime.cache import Cache
from seg.runtime.fused.kernels import COUNTERS, load
from seg.runtime.fused.packing import LINE
from seg.runtime.fused.program import Program, check_network, plan
from seg.runtime.once import BySize, timed
from seg.runtime.protocol import UnavailablePrecision, check_precision
from seg.runtime.workers import pool


class _Workspace(NamedTuple):
    """A program and what it writes to."""

    program: Program
    maps: npt.NDArray[np.float32]
    scratch: list[npt.NDArray[np.float32]]
    scores: npt.NDArray[np.float32]


class FusedEngine:
    """See `Engine`. All threads work on one step at a time, each on the next of its tasks.

    Args:
        model: a safetensors file.
        threads: how many it may use.
        precision: "fp32" or None.
        cache: not used; what was compiled is the same for all networks and kept by Numba.

    Raises:
        SegError: the file can't be read, the network is of another kind, or the processor or the precision is.
    """

    name = "fused"
    precision = "fp32"
    fixed_size_hw = None

    def __init__(self, model: Path, threads: int, *, precision: str | None = None, cache: Cache | None = None) -> None:
        check_precision(self.name, precision, self.precision)
        check_processor()
        self.threads = threads
        self.first_call_ms: dict[str, float] = {}
        with timed(self.first_call_ms, "read"):
            self._description = files.read_description(model)
            check_network(self._description)
            self._tensors = files.read_tensors(model)
        self._workspaces = BySize(self._make_workspace, self.first_call_ms)

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/8), ceil(W/8)), which the next call overwrites."""
        workspace = self._workspaces((frame_bgr.shape[0], frame_bgr.shape[1]))
        if not frame_bgr.flags.writeable:  # for Numba these are two types, and it would compile for both
            frame_bgr = frame_bgr.copy()
        self._run(workspace, workspace.program.steps, frame_bgr)
        return workspace.scores

    def profile(self, frame_bgr: npt.NDArray[np.uint8], runs: int) -> dict[str, float]:
        """Returns the median milliseconds of each step by itself, in their order. They add up to a little more than all."""
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
        program, maps, scratch, scores = workspace
        counters = np.zeros(len(steps) * COUNTERS, np.int64)
        given = (steps, frame_bgr.reshape(len(frame_bgr), -1), program.constants, program.tables, maps)
        run = load()
        for own in scratch[1:]:  # who comes late finds all tasks taken; so nobody is waited for
            pool().submit(run, *given, own, scores, counters)
        run(*given, scratch[0], scores, counters)

    def _make_workspace(self, size_hw: tuple[int, int]) -> _Workspace:
        load()
        program = plan(self._description, self._tensors, size_hw, self.threads)
        return _Workspace(program, _aligned(program.maps_size), [_aligned(program.scratch_size) for _ in range(self.threads)],
                          np.empty(program.scores_shape, np.float32))


def check_processor() -> None:
    """Refuses a processor on which the loops would be slower than anything else.

    Raises:
        UnavailablePrecision: it multiplies and adds in two steps.
    """
    features = llvm.get_host_cpu_features()
    if features.get("sse2") and not features.get("fma"):
        raise UnavailablePrecision("The engine 'fused' needs a processor with FMA instructions, and this one has none. Take "
                                   "another engine.")


def _aligned(size: int) -> npt.NDArray[np.float32]:
    """Returns floats that begin at a cache line: what threads write lies in lines of their own then."""
    room = np.zeros(size + LINE, np.float32)
    begin = -room.ctypes.data // room.itemsize % LINE
    return room[begin:begin + size]
