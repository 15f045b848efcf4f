"""The compiled loop of `seg.boundaries`, apart from it so that Numba is imported only when boundaries are scored."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from seg.compiled import compiled


def _count_near(outline: Any, other: Any, offsets: Any, counts: Any) -> None:
    """Counts, by class, the pixels of an outline, and those that are near a pixel of the other outline; compiled by `load`.

    Args:
        outline: (H, W) uint8: the class where a pixel lies on its boundary, 255 elsewhere.
        other: (H, W) uint8: the same for the outline to compare with.
        offsets: (N, 2) int64: the differences in y and x that count as near, the nearest first.
        counts: (256, 2) int64, is added to: pixels, and those that have such a pixel near.
    """
    height, width = outline.shape
    for y in range(height):
        for x in range(width):
            label = outline[y, x]
            if label == 255:
                continue
            counts[label, 0] += 1
            for i in range(len(offsets)):
                v, u = y + offsets[i, 0], x + offsets[i, 1]
                if 0 <= v < height and 0 <= u < width and other[v, u] == label:
                    counts[label, 1] += 1
                    break


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_count_near`."""
    return compiled(_count_near, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    labels = np.zeros((2, 2), np.uint8)
    kernel(labels, labels, np.zeros((1, 2), np.int64), np.zeros((256, 2), np.int64))
