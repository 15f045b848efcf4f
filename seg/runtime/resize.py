"""Frames at another size: shrunk by area, which loses no detail to chance, or enlarged bilinearly.

Area is what OpenCV calls INTER_AREA: each pixel is the mean of what it covers. OpenCV's own takes, unless both factors are whole
numbers, several times as long as the loop in `seg.runtime.shrink`, which agrees with it to two levels of 255
down to a third of the size.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from seg.runtime.loops import SHRINKING
from seg.runtime.workers import share

_ONE = 256  # the sum of a pixel's weights


class _Axis(NamedTuple):
    """Which source pixels each target pixel covers along an axis.

    Attributes:
        first: (targets,) index of the first one.
        weights: (targets, taps) uint16, of the first and those after it, as shares of 256; an even number of them.
    """

    first: npt.NDArray[np.int64]
    weights: npt.NDArray[np.uint16]


@lru_cache(maxsize=64)
def _axis(sources: int, targets: int) -> _Axis:
    """Covers `sources` pixels with `targets`."""
    edges = np.arange(targets + 1) * sources  # in units of 1 / targets of a source pixel: exact
    first = edges[:-1] // targets
    taps = int((-(-edges[1:] // targets) - first).max())
    taps += taps % 2
    borders = np.clip((first[:, None] + np.arange(taps + 1)) * targets, edges[:-1, None], edges[1:, None])
    shares = np.rint((borders - edges[:-1, None]) * (_ONE / sources)).astype(np.int64)  # edges are rounded, so sums are exact
    return _Axis(first, np.diff(shares, axis=1).astype(np.uint16))


def resize(frame: npt.NDArray[np.uint8], size_hw: tuple[int, int], threads: int = 1) -> npt.NDArray[np.uint8]:
    """Returns the frame at another size, (h, w, 3) uint8, C-contiguous; itself if it has that size.

    Args:
        frame: (H, W, 3) uint8, C-contiguous.
        size_hw: (h, w).
        threads: how many share the rows of a smaller one.
    """
    height, width = size_hw
    if frame.shape[:2] == size_hw:
        return frame
    if height > frame.shape[0] or width > frame.shape[1]:
        return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    rows, columns = _axis(frame.shape[0], height), _axis(frame.shape[1], width)
    out = np.empty((height, width, 3), np.uint8)
    if not frame.flags.writeable:  # for Numba these are two types, and it would compile for both
        frame = frame.copy()
    source, target, shrink = frame.reshape(len(frame), -1), out.reshape(height, -1), SHRINKING()
    share(height, threads, lambda begin, end: shrink(source, tuple(rows), tuple(columns), target, begin, end))
    return out
