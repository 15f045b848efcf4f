"""The time that our own engine spends on converting data, which is part of its larger steps."""

import statistics
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from seg.runtime.engines.fused_engine import FusedEngine, check_processor
from seg.runtime.fused import kernels, program
from seg.runtime.workers import pool
from seg.weights import read_description, read_tensors

PROFILE_RUNS = 10


def conversions_ms(weights: Path, frame_bgr: npt.NDArray[np.uint8], threads: int, precision: str = "fp32",
                   runs: int = PROFILE_RUNS) -> float:
    """Returns the milliseconds of everything that is neither a convolution nor part of one.

    This is the conversion of the frame's bytes to floats, and all of the last step. The first step does the conversion line by
    line; here it is timed separately, including the lines that neighbouring strips and bands both need. The last step resizes
    the deep scores, adds them to the others and writes the sum class by class.

    Args:
        weights: a safetensors file that the engine can run.
        frame_bgr: (H, W, 3) uint8.
        threads: number of threads.
        precision: precision of the engine.
        runs: number of measured runs; the median counts.

    Raises:
        UnavailablePrecision: the processor doesn't support the precision.
    """
    check_processor(precision)
    size_hw = frame_bgr.shape[0], frame_bgr.shape[1]
    steps = program.plan(read_description(weights), read_tensors(weights), size_hw, threads, precision)
    frame = np.ascontiguousarray(frame_bgr).reshape(len(frame_bgr), -1)
    lines = [np.empty(frame.shape[1] + 6, steps.numbers.dtype) for _ in range(threads)]

    def convert() -> None:
        given = [(steps.steps, frame, steps.constants, lines[i], i, threads) for i in range(threads)]
        jobs = [pool().submit(_convert, *each) for each in given[1:]]
        _convert(*given[0])
        for job in jobs:
            job.result()

    convert()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        convert()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times) + _last_step_ms(weights, frame_bgr, threads, precision, runs)


def _last_step_ms(weights: Path, frame_bgr: npt.NDArray[np.uint8], threads: int, precision: str, runs: int) -> float:
    return FusedEngine(weights, threads, precision=precision).profile(frame_bgr, runs)[program.LAST_STEP]


@numba.njit(nogil=True)
def _convert(steps: Any, frame: Any, constants: Any, line: Any, begin: int, every: int) -> None:
    """Converts the lines of every `every`-th task of the first step."""
    s = steps[0]
    padding, reach = s.kernel // 2 * s.dilation, (s.kernel - 1) * s.dilation + 1
    for task in range(begin, s.tasks, every):
        strip, band = task // s.chunks % s.strips, task // s.chunks // s.strips
        y_begin, y_end = band * s.out_height // s.bands, (band + 1) * s.out_height // s.bands
        first = max(strip * s.strip * s.stride - padding, 0)
        last = min((min((strip + 1) * s.strip, s.out_width) - 1) * s.stride - padding + reach, s.in_width)
        top, bottom = y_begin * s.stride - padding, (y_end - 1) * s.stride - padding + reach
        for y in range(max(top, 0), min(bottom, s.in_height)):
            for r in range(3):
                kernels.frame_line(s, frame, constants, 2 * y - 1 + r, 2 * first - 1, 2 * last, line)
