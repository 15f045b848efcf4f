"""How weights and activations lie in the flat arrays that the steps read and write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.runtime.fused.processor import LANES
from seg.runtime.fused.products import panel

Array = npt.NDArray[Any]
LINE_BYTES = 64  # size of a cache line


def ceil_div(a: int, b: int) -> int:
    """Returns a / b, rounded up."""
    return -(-a // b)


def padded(channels: int) -> int:
    """Returns the number of channels rounded up to whole vectors."""
    return ceil_div(channels, LANES) * LANES


def line(dtype: npt.DTypeLike) -> int:
    """Returns how many numbers a cache line holds."""
    return LINE_BYTES // np.dtype(dtype).itemsize


def with_channels(values: Array, *counts: int) -> Array:
    """Appends zeros along the first axes until these have the given lengths."""
    missing = [(0, count - size) for count, size in zip(counts, values.shape, strict=False)]
    return np.pad(values, missing + [(0, 0)] * (values.ndim - len(missing)))


class Blob:
    """Arrays that are joined into one; each begins at a cache line.

    Attributes:
        size: length of the joined array so far.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._parts: list[Array] = []
        self._dtype, self._line, self.size = dtype, line(dtype), 0

    def add(self, values: Any) -> int:
        """Appends an array; returns where it begins."""
        flat = np.asarray(values, self._dtype).ravel()
        begin = self.size
        self._parts.append(np.pad(flat, (0, -len(flat) % self._line)))
        self.size += len(self._parts[-1])
        return begin

    def join(self) -> Array:
        """Returns the joined array."""
        return np.concatenate(self._parts)


def pack(matrix: Array, chunk: int | None = None, depth: int = 1) -> Array:
    """Packs weights (inputs, outputs) in the order in which products read them: panel by panel, within each chunk of outputs.

    Args:
        matrix: its outputs fill whole vectors.
        chunk: number of outputs in a chunk; None for all.
        depth: number of inputs in a word; they lie beside each other.
    """
    parts, chunk = [], chunk or matrix.shape[1]
    for first in range(0, matrix.shape[1], chunk):
        block, begin = matrix[:, first:first + chunk], 0
        while begin < block.shape[1]:
            size = panel((block.shape[1] - begin) // LANES, depth) * LANES
            words = block[:, begin:begin + size].reshape(-1, depth, size)
            parts.append(words.transpose(0, 2, 1).ravel())
            begin += size
    return np.concatenate(parts)


def pack_taps(weight: Array, chunk: int, depth: int = 1) -> Array:
    """Packs the weights (channels, 1, k, k) of a depthwise convolution tap by tap, within each chunk of channels.

    Taps of `depth` rows that are one above the other lie beside each other.
    """
    channels, _, kernel, _ = weight.shape
    rows = np.pad(weight[:, 0], ((0, 0), (0, -kernel % depth), (0, 0)))
    words = rows.reshape(channels, -1, depth, kernel).transpose(1, 3, 0, 2)  # groups of rows, columns, channels, rows of a group
    return np.concatenate([words[:, :, first:first + chunk].ravel() for first in range(0, channels, chunk)])


@dataclass
class Map:
    """Activations: how many numbers they have, and the indices of the first and the last step that use them."""

    size: int
    first: int
    last: int


def place(maps: Sequence[Map], unit: int) -> tuple[list[int], int]:
    """Gives each map a place of its own for the time in which it is used, the largest first.

    Args:
        maps: maps to be placed.
        unit: each map begins at a multiple of it.

    Returns:
        The start of each map, and the total length.
    """
    def end(map_: Map, begin: int) -> int:
        return begin + ceil_div(map_.size, unit) * unit

    places = [0] * len(maps)
    placed: list[int] = []
    for index in sorted(range(len(maps)), key=lambda i: -maps[i].size):
        mine, begin = maps[index], 0
        for low, high in sorted((places[i], end(maps[i], places[i])) for i in placed
                                if maps[i].first <= mine.last and mine.first <= maps[i].last):
            if end(mine, begin) <= low:
                break
            begin = max(begin, high)
        places[index] = begin
        placed.append(index)
    return places, max(map(end, maps, places), default=0)

