"""Exact bilinear upsampling and argmax in one pass: scores at 1/8 or any other size in, a label map at any size out.

What is computed is `argmax(interpolate(scores, size_hw, mode="bilinear", align_corners=False))` in float64. It costs a
small part of that because of two facts. Between four neighbouring scores ("a cell") the interpolated score of every
class is the same convex combination of its four corners, so

1. where one class wins at all four corners it wins everywhere between them: the cell is filled without arithmetic;
2. elsewhere, a class that one of the corners' winners beats at all four corners can't win between them: it is dropped.

In street scenes about one cell in ten reaches step 2, and two or three classes are left there. Coordinates and sums are
float64, so the labels are those of the float64 computation except where two scores tie to within its rounding.

The loop itself is `seg.runtime.kernel`. It runs without the interpreter's lock: threads share a frame's rows, and
several callers run side by side.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.machine import usable_cores

MAX_CLASSES = 255  # train ids are uint8 and 255 means "ignored"


class _Axis(NamedTuple):
    """How an axis of the output falls onto that of the scores, in cells: runs of outputs between the same two scores.

    Attributes:
        fraction: (outputs,) float64 in [0, 1), the weight of the cell's far score.
        near, far: (cells,) indices of the two scores; equal at the borders.
        start: (cells + 1,) first output of each cell, then the number of outputs.
    """

    fraction: npt.NDArray[np.float64]
    near: npt.NDArray[np.int64]
    far: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]


@lru_cache(maxsize=64)
def _axis(scores: int, outputs: int, begin: float, length: float) -> _Axis:
    """Maps `outputs` pixels onto the stretch of scores from `begin`, `length` scores long, by half-pixel centres."""
    position = begin + (np.arange(outputs) + 0.5) * (length / outputs) - 0.5
    position = np.clip(position, 0.0, scores - 1)
    near = position.astype(np.int64)
    start = np.flatnonzero(np.diff(near, prepend=-1))
    cells = near[start]
    return _Axis(position - near, cells, np.minimum(cells + 1, scores - 1), np.append(start, outputs))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="seg-upsample")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool without its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


_kernel_lock = Lock()


def _kernel() -> Callable[..., None]:
    from seg.runtime.kernel import load  # here, because importing Numba takes longer than most of start-up

    with _kernel_lock:  # of several threads one compiles
        return load()


def prepare() -> None:
    """Starts to load the compiled kernel in the background, so that the first frame needn't wait for all of it."""
    _pool().submit(_kernel)


def upsample_argmax(
    logits_chw: npt.NDArray[np.float32],
    size_hw: tuple[int, int],
    out: npt.NDArray[np.uint8] | None = None,
    *,
    window: tuple[float, float, float, float] | None = None,
    threads: int = 1,
) -> npt.NDArray[np.uint8]:
    """Returns the class with the highest bilinearly interpolated score, (H, W) uint8, for any scale up or down.

    Equals torch's `interpolate(..., align_corners=False).argmax` in float64; of scores that tie, any may win. Safe to
    call from several threads; with `out` given nothing of a frame's size is allocated.

    Args:
        logits_chw: (C, h, w) finite scores.
        size_hw: (H, W) of the label map.
        out: (H, W) uint8, C-contiguous, written and returned.
        window: (top, left, height, width) of the scores that the label map covers, in units of scores; all of them for
            None. It undoes a letterbox.
        threads: how many share the rows.

    Raises:
        SegError: a shape, type or size is not as said.
    """
    if logits_chw.ndim != 3 or logits_chw.dtype != np.float32 or 0 in logits_chw.shape:
        raise SegError(f"Scores are {logits_chw.dtype} {logits_chw.shape}; expected float32 (classes, height, width).")
    if logits_chw.shape[0] > MAX_CLASSES:
        raise SegError(f"There are {logits_chw.shape[0]} classes; a label map in uint8 holds up to {MAX_CLASSES}.")
    height, width = size_hw
    if height < 1 or width < 1:
        raise SegError(f"The label map's size is {height}x{width}; both sides must be at least 1.")
    if out is None:
        out = np.empty((height, width), np.uint8)
    elif out.shape != (height, width) or out.dtype != np.uint8 or not out.flags.c_contiguous or not out.flags.writeable:
        raise SegError(f"out is {out.dtype} {out.shape}; expected uint8 {(height, width)}, C-contiguous and writeable.")

    kernel = _kernel()
    scores_hw = logits_chw.shape[1:]
    top, left, window_height, window_width = window or (0.0, 0.0, *map(float, scores_hw))
    rows = _axis(scores_hw[0], height, top, window_height)
    columns = _axis(scores_hw[1], width, left, window_width)
    scores = np.ascontiguousarray(logits_chw)

    bounds = np.linspace(0, len(rows.near), max(1, threads) + 1).astype(int)
    parts = [(scores, tuple(rows), tuple(columns), out, begin, end) for begin, end in pairwise(bounds) if begin < end]
    jobs = [_pool().submit(kernel, *part) for part in parts[1:]]
    kernel(*parts[0])
    for job in jobs:
        job.result()
    return out
