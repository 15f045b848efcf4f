"""Frames at another size: shrunk by area, so that each pixel of the frame counts, or enlarged bilinearly.

Shrinking by area is OpenCV's INTER_AREA: each pixel is the mean of the area that it covers. Unless both factors are whole
numbers, OpenCV's own code takes several times as long as the loop in `seg.runtime.shrink`. The two agree to within two levels
of 255 down to a third of the size.
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
    """Which source pixels each target pixel covers along one axis.

    Attributes:
        first: (targets,) index of the first source pixel.
        weights: (targets, taps) uint16, the weights of the first and the following ones in 1/256; taps is even.
    """

    first: npt.NDArray[np.int64]
    weights: npt.NDArray[np.uint16]


@lru_cache(maxsize=64)
def _axis(sources: int, targets: int) -> _Axis:
    """Maps `targets` pixels onto `sources` pixels."""
    edges = np.arange(targets + 1) * sources  # in units of 1 / targets of a source pixel, so they are exact
    first = edges[:-1] // targets
    taps = int((-(-edges[1:] // targets) - first).max())
    taps += taps % 2
    borders = np.clip((first[:, None] + np.arange(taps + 1)) * targets, edges[:-1, None], edges[1:, None])
    shares = np.rint((borders - edges[:-1, None]) * (_ONE / sources)).astype(np.int64)  # rounded edges, so sums are exact
    return _Axis(first, np.diff(shares, axis=1).astype(np.uint16))


def resize(frame: npt.NDArray[np.uint8], size_hw: tuple[int, int], threads: int = 1) -> npt.NDArray[np.uint8]:
    """Returns the frame at another size, (h, w, 3) uint8, C-contiguous; the frame itself if it has that size.

    Args:
        frame: (H, W, 3) uint8, C-contiguous.
        size_hw: (h, w).
        threads: how many threads share the rows when the frame shrinks.
    """
    height, width = size_hw
    if frame.shape[:2] == size_hw:
        return frame
    if height > frame.shape[0] or width > frame.shape[1]:
        return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    rows, columns = _axis(frame.shape[0], height), _axis(frame.shape[1], width)
    out = np.empty((height, width, 3), np.uint8)
    if not frame.flags.writeable:  # Numba takes read-only arrays for another type and would compile for both
        frame = frame.copy()
    source, target, shrink = frame.reshape(len(frame), -1), out.reshape(height, -1), SHRINKING()
    share(height, threads, lambda begin, end: shrink(source, tuple(rows), tuple(columns), target, begin, end))
    return out
