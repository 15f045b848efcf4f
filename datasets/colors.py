"""Label files that hold colours: a table from colour to train id."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.faults import UnknownLabels
from seg.label_sets import Color

UInt8Array = npt.NDArray[np.uint8]

OUTSIDE = 254  # in tables of train ids it marks values that a label file may not hold; a label set has 254 classes at most


class ColorTable:
    """Turns colours into train ids. It takes 16 MiB, but a look-up costs one read.

    Args:
        train_ids: by colour; 255 where ignored.
        known: says what the table has; it ends the message about a colour that the table doesn't have.
    """

    def __init__(self, train_ids: Mapping[Color, int], known: str) -> None:
        self._table = np.full(1 << 24, OUTSIDE, np.uint8)
        for color, train_id in train_ids.items():
            self._table[pack(np.array(color, np.uint8))] = train_id
        self._known = known

    def __call__(self, colors_rgb: UInt8Array, path: Path) -> UInt8Array:
        """Turns (H, W, 3) RGB into (H, W) train ids.

        Raises:
            UnknownLabels: `path`, where the colours were read, holds one that isn't in the table.
        """
        packed = pack(colors_rgb)
        train_ids: UInt8Array = self._table[packed]
        outside = train_ids == OUTSIDE
        if outside.any():
            values, counts = np.unique(packed[outside], return_counts=True)
            raise UnknownLabels(path, {f"the colour {unpack(value)}": count
                                       for value, count in zip(values.tolist(), counts.tolist(), strict=True)}, self._known)
        return train_ids


def pack(colors_rgb: UInt8Array) -> npt.NDArray[np.uint32]:
    """(..., 3) uint8 -> (...) uint32, red in the highest byte."""
    red, green, blue = (colors_rgb[..., i].astype(np.uint32) for i in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def unpack(value: int) -> Color:
    """Turns one colour of `pack` back into RGB."""
    return value >> 16, value >> 8 & 255, value & 255
