"""How weights and activations lie in the flat arrays that the steps read and write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.runtime.fused.products import panel
from seg.runtime.fused.vectors import LANES

Array = npt.NDArray[Any]
LINE = 16  # floats in a cache line


def ceil_div(a: int, b: int) -> int:
    """Returns a / b, rounded up."""
    return -(-a // b)


def padded(channels: int) -> int:
    """Returns the channels of as many vectors as it takes."""
    return ceil_div(channels, LANES) * LANES


class Blob:
    """Arrays that become one, each at the beginning of a cache line."""

    def __init__(self, dtype: Any) -> None:
        self._parts: list[Array] = []
        self._dtype, self._size = dtype, 0

    def add(self, values: Any) -> int:
        """Appends an array; returns where it begins."""
        flat = np.asarray(values, self._dtype).ravel()
        begin = self._size
        self._parts.append(np.pad(flat, (0, -len(flat) % LINE)))
        self._size += len(self._parts[-1])
        return begin

    def join(self) -> Array:
        """Returns the one that they became."""
        return np.concatenate(self._parts)


def pack(matrix: Array, chunk: int | None = None) -> Array:
    """Lays weights (inputs, outputs) out as products read them: panel by panel, and those of a chunk of outputs together."""
    parts, chunk = [], chunk or matrix.shape[1]
    for first in range(0, matrix.shape[1], chunk):
        block, begin = matrix[:, first:first + chunk], 0
        while begin < block.shape[1]:
            size = panel((block.shape[1] - begin) // LANES) * LANES
            parts.append(block[:, begin:begin + size].ravel())
            begin += size
    return np.concatenate(parts)


def pack_taps(weight: Array, chunk: int) -> Array:
    """Lays weights (channels, 1, k, k) of a depthwise convolution out: tap by tap, those of a chunk of channels together."""
    taps = weight.reshape(len(weight), -1).T
    return np.concatenate([taps[:, first:first + chunk].ravel() for first in range(0, taps.shape[1], chunk)])


@dataclass
class Map:
    """Activations: how many floats they are, and by index the first and the last step that has to do with them."""

    size: int
    first: int
    last: int


def place(maps: Sequence[Map]) -> tuple[list[int], int]:
    """Gives each map a place of its own for as long as it is needed, the largest first.

    Returns:
        Where each begins, and how many floats there are in all.
    """
    places = [0] * len(maps)
    placed: list[int] = []
    for index in sorted(range(len(maps)), key=lambda i: -maps[i].size):
        mine, begin = maps[index], 0
        for low, high in sorted((places[i], _end(maps[i], places[i])) for i in placed
                                if maps[i].first <= mine.last and mine.first <= maps[i].last):
            if _end(mine, begin) <= low:
                break
            begin = max(begin, high)
        places[index] = begin
        placed.append(index)
    return places, max(map(_end, maps, places))


def _end(map_: Map, begin: int) -> int:
    return begin + ceil_div(map_.size, LINE) * LINE
