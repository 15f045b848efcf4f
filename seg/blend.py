"""The compiled loop of `seg.visualize.overlay`, apart from it so that Numba is imported only when something is drawn."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from seg.compiled import compiled


def _blend(frame: Any, train_ids: Any, keep: Any, add: Any, group: Any, border_px: int, border_keep: int, border_add: int,
           out: Any) -> None:
    """Fills `out` with the blended frame; compiled by `load`.

    Weights are of 256: a pixel becomes (pixel * keep + add) / 256. One from which the pixel `border_px` to its right or below
    differs in its group lies on a border.

    Args:
        frame: (H, W, 3) uint8.
        train_ids: (H, W) uint8.
        keep: (256,) uint32, of the frame by train id.
        add: (256, 3) uint32, by train id.
        group: (256,) uint8, by train id.
        border_px: width of borders; 0 for none.
        border_keep: of the frame on borders.
        border_add: on borders, in every channel.
        out: (H, W, 3) uint8.
    """
    height, width = train_ids.shape
    for y in range(height):
        below = y + border_px if y + border_px < height else y
        for x in range(width):
            label = train_ids[y, x]
            here = group[label]
            right = x + border_px if x + border_px < width else x
            if here != group[train_ids[y, right]] or here != group[train_ids[below, x]]:
                for c in range(3):
                    out[y, x, c] = (np.uint32(frame[y, x, c]) * border_keep + border_add) >> 8
            else:
                weight = keep[label]
                for c in range(3):
                    out[y, x, c] = (np.uint32(frame[y, x, c]) * weight + add[label, c]) >> 8


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_blend`."""
    return compiled(_blend, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    table = np.zeros(256, np.uint32)
    frame, labels, group = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), np.zeros(256, np.uint8)
    kernel(frame, labels, table, np.zeros((256, 3), np.uint32), group, 1, 0, 0, np.empty_like(frame))
