"""Exact bilinear upsampling and argmax in one pass: scores at 1/8 or any other size in, a label map at any size out.

The result is `argmax(interpolate(scores, size_hw, mode="bilinear", align_corners=False))` in float64. It costs a
small part of that because of two facts. Between four neighbouring scores ("a cell") the interpolated score of every
class is the same convex combination of its four corners. Therefore:

1. where one class wins at all four corners, it wins everywhere between them: the cell is filled without arithmetic;
2. elsewhere, a class that loses to one of the corners' winners at all four corners can't win between them: it is dropped.

In street scenes about one cell in ten reaches step 2, and two or three classes are left there. Coordinates and sums are
float64, so the labels are those of the float64 computation except where two scores tie to within its rounding.

If confidence is wanted, it needs every class that adds to the softmax's sum in float32, so every cell goes through step 2.

The loop itself is `seg.runtime.upsample_loop`. It runs without the interpreter's lock: threads share a frame's rows, and
several callers can run at the same time.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seg.errors import SegError
from seg.runtime.loops import UPSAMPLING
from seg.runtime.workers import share

MAX_CLASSES = 255  # train ids are uint8, and 255 means "ignored"


class _Axis(NamedTuple):
    """How an axis of the output maps onto that of the scores, in cells: runs of outputs between the same two scores.

    Attributes:
        fraction: (outputs,) float64 in [0, 1), the weight of the cell's second score.
        near, far: (cells,) indices of the two scores; equal at the borders.
        start: (cells + 1,) first output of each cell, then the number of outputs.
    """

    fraction: npt.NDArray[np.float64]
    near: npt.NDArray[np.int64]
    far: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]


def positions(scores: int, outputs: int, begin: float, length: float) -> npt.NDArray[np.float64]:
    """Returns the positions of `outputs` pixels among the scores, by half-pixel centres: `length` scores from `begin`."""
    return np.clip(begin + (np.arange(outputs) + 0.5) * (length / outputs) - 0.5, 0.0, scores - 1)


@lru_cache(maxsize=64)
def _axis(scores: int, outputs: int, begin: float, length: float) -> _Axis:
    """Maps `outputs` pixels onto `length` scores from `begin`, by half-pixel centres."""
    position = positions(scores, outputs, begin, length)
    near = position.astype(np.int64)
    start = np.flatnonzero(np.diff(near, prepend=-1))
    cells = near[start]
    return _Axis(position - near, cells, np.minimum(cells + 1, scores - 1), np.append(start, outputs))


def upsample_argmax(
    logits_chw: npt.NDArray[np.float32],
    size_hw: tuple[int, int],
    out: npt.NDArray[np.uint8] | None = None,
    *,
    confidence: npt.NDArray[np.float32] | None = None,
    window: tuple[float, float, float, float] | None = None,
    threads: int = 1,
) -> npt.NDArray[np.uint8]:
    """Returns the class with the highest bilinearly interpolated score, (H, W) uint8, for any scale up or down.

    Equals torch's `interpolate(..., align_corners=False).argmax` in float64; if scores tie, any of them may win. Safe to
    call from several threads; if `out` is given, nothing of a frame's size is allocated.

    Args:
        logits_chw: (C, h, w) finite scores.
        size_hw: (H, W) of the label map.
        out: (H, W) uint8, C-contiguous, written and returned.
        confidence: (H, W) float32, C-contiguous; the softmax probability of each label is written into it, correct to
            float32's rounding. The labels stay the same; it takes several times as long, because every cell is interpolated.
        window: (top, left, height, width) of the scores that the label map covers, in units of scores; None for all of
            them. It undoes a letterbox.
        threads: how many threads share the rows.

    Raises:
        SegError: a shape, type or size is not as described.
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
    _check_target("out", out, np.uint8, (height, width))
    if confidence is not None:
        _check_target("confidence", confidence, np.float32, (height, width))

    kernel = UPSAMPLING()
    scores_hw = logits_chw.shape[1:]
    top, left, window_height, window_width = window or (0.0, 0.0, *map(float, scores_hw))
    rows = _axis(scores_hw[0], height, top, window_height)
    columns = _axis(scores_hw[1], width, left, window_width)
    scores = np.ascontiguousarray(logits_chw)

    share(len(rows.near), max(1, threads),
          lambda begin, end: kernel(scores, tuple(rows), tuple(columns), out, confidence, begin, end))
    return out


def _check_target(name: str, target: npt.NDArray[Any], dtype: type, shape: tuple[int, int]) -> None:
    if target.shape != shape or target.dtype != dtype or not target.flags.c_contiguous or not target.flags.writeable:
        raise SegError(f"{name} is {target.dtype} {target.shape}; expected {np.dtype(dtype)} {shape}, C-contiguous and "
                       "writeable.")
