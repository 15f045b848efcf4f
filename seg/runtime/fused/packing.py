"""How weights and activations lie in the flat arrays that the steps read and write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.runtime.fused.processor import LANES
from seg.runtime.fused.products import panel

Array = npt.NDArray[Any]
LINE_BYTES = 64  # of a cache line


def ceil_div(a: int, b: int) -> int:
    """Returns a / b, rounded up."""
    return -(-a // b)


def padded(channels: int) -> int:
    """Returns the channels of as many vectors as it takes."""
    return ceil_div(channels, LANES) * LANES


def line(dtype: npt.DTypeLike) -> int:
    """Returns how many numbers a cache line holds."""
    return LINE_BYTES // np.dtype(dtype).itemsize


def with_channels(values: Array, *counts: int) -> Array:
    """Appends zeros along the first axes until they are as long as said."""
    missing = [(0, count - size) for count, size in zip(counts, values.shape, strict=False)]
    return np.pad(values, missing + [(0, 0)] * (values.ndim - len(missing)))


class Blob:
    """Arrays that become one, each at the beginning of a cache line.

    Attributes:
        size: of the one, so far.
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
        """Returns the one that they became."""
        return np.concatenate(self._parts)


def pack(matrix: Array, chunk: int | None = None, depth: int = 1) -> Array:
    """Lays weights (inputs, outputs) out as products read them: panel by panel, and those of a chunk of outputs together.

    Args:
        matrix: its outputs fill whole vectors.
        chunk: outputs.
        depth: inputs in a word; these lie beside each other.
    """
    parts, chunk = [], chunk or matrix.shape[1]
    for first in range(0, matrix.shape[1], chunk):
        block, begin = matrix[:, first:first + chunk], 0
        while begin < block.shape[1]:
            size = panel((block.shape[1] - begin) // LANES) * LANES
            words = block[:, begin:begin + size].reshape(-1, depth, size)
            parts.append(words.transpose(0, 2, 1).ravel())
            begin += size
    return np.concatenate(parts)


def pack_taps(weight: Array, chunk: int, depth: int = 1) -> Array:
    """Lays weights (channels, 1, k, k) of a depthwise convolution out: tap by tap, those of a chunk of channels together.

    Of `depth` rows of taps, those that are one above the other lie beside each other.
    """
    channels, _, kernel, _ = weight.shape
    rows = np.pad(weight[:, 0], ((0, 0), (0, -kernel % depth), (0, 0)))
    words = rows.reshape(channels, -1, depth, kernel).transpose(1, 3, 0, 2)  # groups of rows, columns, channels, rows of a group
    return np.concatenate([words[:, :, first:first + chunk].ravel() for first in range(0, channels, chunk)])


@dataclass
class Map:
    """Activations: how many numbers they are, and by index the first and the last step that has to do with them."""

    size: int
    first: int
    last: int


def place(maps: Sequence[Map], unit: int) -> tuple[list[int], int]:
    """Gives each map a place of its own for as long as it is needed, the largest first.

    Args:
        maps: to be placed.
        unit: each begins at a multiple of it.

    Returns:
        Where each begins, and how many numbers there are in all.
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

