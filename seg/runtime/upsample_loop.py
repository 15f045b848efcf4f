"""The compiled inner loop of `seg.runtime.upsample`, in a module of its own so that Numba is imported only when a frame comes.

All loops are plain loops over plain arrays: Numba makes slice assignments several times slower. `load` compiles the loop once
per machine, see `seg.compiled`.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from seg.compiled import compiled


@numba.njit(nogil=True)
def _winners(scores: Any, row: int, best: Any, winner: Any) -> None:
    """Writes the winning class of each score in one row; on a tie the lowest class. Goes class by class, so it vectorises."""
    for x in range(scores.shape[2]):
        best[x], winner[x] = scores[0, row, x], 0
    for c in range(1, scores.shape[0]):
        for x in range(scores.shape[2]):
            higher = scores[c, row, x] > best[x]
            best[x] = scores[c, row, x] if higher else best[x]
            winner[x] = c if higher else winner[x]


# If another class is this much higher at all four corners, a class adds less than 255 exp(-25) = 4e-9 to a softmax's sum,
# together with all such classes. That is less than float32 can distinguish from 1.
_NEGLIGIBLE = 25.0


@numba.njit(nogil=True)
def _fill_confidence(scores: Any, rows: Any, columns: Any, cell_row: int, upper: Any, lower: Any, confidence: Any) -> None:
    """Writes the softmax probability of the highest class for the output rows of a row of cells.

    `upper` and `lower` are the winning classes of the two rows of scores around it.
    """
    row_fraction, row_near, row_far, row_start = rows
    column_fraction, column_near, column_far, column_start = columns
    near, far = row_near[cell_row], row_far[cell_row]
    classes = scores.shape[0]
    corner = np.empty((4, classes), np.float64)
    start, slope = np.empty(classes, np.float64), np.empty(classes, np.float64)
    for cell in range(len(column_near)):
        left, right = column_near[cell], column_far[cell]
        winners = (upper[left], upper[right], lower[left], lower[right])
        kept = 0
        for c in range(classes):
            a, b = np.float64(scores[c, near, left]), np.float64(scores[c, near, right])
            d, e = np.float64(scores[c, far, left]), np.float64(scores[c, far, right])
            dropped = False
            for w in winners:
                dropped = dropped or (scores[w, near, left] - a > _NEGLIGIBLE and scores[w, near, right] - b > _NEGLIGIBLE
                                      and scores[w, far, left] - d > _NEGLIGIBLE and scores[w, far, right] - e > _NEGLIGIBLE)
            if not dropped:
                corner[0, kept], corner[1, kept], corner[2, kept], corner[3, kept] = a, b, d, e
                kept += 1
        for y in range(row_start[cell_row], row_start[cell_row + 1]):
            v = row_fraction[y]
            for k in range(kept):
                start[k] = corner[0, k] + (corner[2, k] - corner[0, k]) * v
                slope[k] = corner[1, k] + (corner[3, k] - corner[1, k]) * v - start[k]
            for x in range(column_start[cell], column_start[cell + 1]):
                u = column_fraction[x]
                highest = start[0] + slope[0] * u
                for k in range(1, kept):
                    highest = max(highest, start[k] + slope[k] * u)
                total = 0.0
                for k in range(kept):
                    total += math.exp(start[k] + slope[k] * u - highest)
                confidence[y, x] = 1.0 / total


def _label_rows(scores: Any, rows: Any, columns: Any, out: Any, confidence: Any, first_cell: int, last_cell: int) -> None:
    """Labels the output rows of the cells first_cell..last_cell - 1; see `upsample` for the two steps. Compiled by `load`.

    `confidence` is also filled, unless it is None. Numba compiles one kernel for None and another for an array.
    """
    row_fraction, row_near, row_far, row_start = rows
    column_fraction, column_near, column_far, column_start = columns
    classes, _, width = scores.shape
    # The winning class of each score in the two rows around a cell.
    upper, lower = np.empty(width, np.uint8), np.empty(width, np.uint8)
    lower_is = -1  # the row of scores that `lower` describes
    best = np.empty(width, np.float32)
    mixed = np.empty(len(column_near), np.int64)  # the cells of a row whose corners disagree
    corner = np.empty((4, classes), np.float64)  # of the remaining classes in a mixed cell
    label = np.empty(classes, np.uint8)
    start, slope = np.empty(classes, np.float64), np.empty(classes, np.float64)

    for cell_row in range(first_cell, last_cell):
        near, far = row_near[cell_row], row_far[cell_row]
        if near == lower_is:
            upper, lower = lower, upper
        else:
            _winners(scores, near, best, upper)
        if far == near:
            for x in range(width):
                lower[x] = upper[x]
        else:
            _winners(scores, far, best, lower)
        lower_is = far

        # Step 1 makes one row; the other rows of the cell are copies of it.
        y_begin, y_end = row_start[cell_row], row_start[cell_row + 1]
        first_row = out[y_begin]
        mixed_count = 0
        for cell in range(len(column_near)):
            left, right = column_near[cell], column_far[cell]
            winner = upper[left]
            if winner == upper[right] and winner == lower[left] and winner == lower[right]:
                for x in range(column_start[cell], column_start[cell + 1]):
                    first_row[x] = winner
            else:
                mixed[mixed_count] = cell
                mixed_count += 1
        for y in range(y_begin + 1, y_end):
            for x in range(out.shape[1]):
                out[y, x] = first_row[x]

        for index in range(mixed_count):  # step 2
            cell = mixed[index]
            left, right = column_near[cell], column_far[cell]
            winners = (upper[left], upper[right], lower[left], lower[right])
            kept = 0
            for c in range(classes):
                a, b = scores[c, near, left], scores[c, near, right]
                d, e = scores[c, far, left], scores[c, far, right]
                dropped = False
                for w in winners:
                    dropped = dropped or (w != c and scores[w, near, left] >= a and scores[w, near, right] >= b
                                          and scores[w, far, left] >= d and scores[w, far, right] >= e)
                # A corner's winner is always kept: two classes that tie at all corners would drop each other.
                if not dropped or c == winners[0] or c == winners[1] or c == winners[2] or c == winners[3]:
                    corner[0, kept], corner[1, kept], corner[2, kept], corner[3, kept] = a, b, d, e
                    label[kept] = c
                    kept += 1
            x_begin, x_end = column_start[cell], column_start[cell + 1]
            for y in range(y_begin, y_end):
                v = row_fraction[y]
                for k in range(kept):
                    start[k] = corner[0, k] + (corner[2, k] - corner[0, k]) * v
                    slope[k] = corner[1, k] + (corner[3, k] - corner[1, k]) * v - start[k]
                for x in range(x_begin, x_end):
                    u = column_fraction[x]
                    winner, highest = label[0], start[0] + slope[0] * u
                    for k in range(1, kept):
                        score = start[k] + slope[k] * u
                        if score > highest:
                            winner, highest = label[k], score
                    out[y, x] = winner

        if confidence is not None:
            _fill_confidence(scores, rows, columns, cell_row, upper, lower, confidence)


@cache
def load() -> Callable[..., None]:
    """Returns the compiled `_label_rows`."""
    return compiled(_label_rows, _try_out)


def _try_out(kernel: Callable[..., None]) -> None:
    axis = (np.array([0.0, 0.5]), np.zeros(1, np.int64), np.ones(1, np.int64), np.array([0, 2]))
    kernel(np.eye(2, dtype=np.float32).reshape(1, 2, 2), axis, axis, np.empty((2, 2), np.uint8), None, 0, 1)
