"""Shapes as they are drawn, and the mask that they make; outlines and run lengths are COCO's, by pycocotools."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from datasets.base import UInt8Array
from seg.errors import SegError

UNPAINTED = -1


@dataclass(frozen=True)
class Shape:
    """A filled shape.

    Attributes:
        label: the class.
        runs: its pixels, as pycocotools' compressed run lengths.
    """

    label: str
    runs: dict[str, Any]

    @property
    def area(self) -> int:
        """How many pixels it covers."""
        return int(coco.area(self.runs))

    def pixels(self) -> npt.NDArray[np.bool_]:
        """Returns (H, W)."""
        return np.asarray(coco.decode(self.runs), bool)


@dataclass(frozen=True)
class Drawing:
    """A picture and what was drawn on it.

    Attributes:
        name: with its folders and without suffix; unlike any other's of the export.
        picture: its file, or what reads the file's content where the export holds that: of all together no memory has the room.
        suffix: of the picture's file.
        size_hw: of the picture, as the export says [px].
        labels: the classes that its shapes may have, in the order that the tool gives them.
        split: "train", "val" or "test"; None where the export doesn't say.
        draw: makes the shapes, from the lowest to the topmost. What has no area is counted by its kind.
        source: the file that describes it, for messages.
    """

    name: str
    picture: Path | Callable[[], bytes]
    suffix: str
    size_hw: tuple[int, int]
    labels: tuple[str, ...]
    split: str | None
    draw: Callable[[Counter[str]], list[Shape]]
    source: Path


def of_outlines(label: str, outlines: Sequence[Sequence[float]], size_hw: tuple[int, int]) -> Shape | None:
    """Returns what one or more outlines enclose together, None where that is nothing.

    Args:
        label: the class.
        outlines: each x, y, x, y, ... [px]; (0, 0) is the corner of the first pixel.
        size_hw: of the picture.

    Raises:
        ValueError: an outline isn't pairs of finite numbers.
    """
    corners = [np.asarray(outline, np.float64).ravel() for outline in outlines]
    if any(len(points) % 2 or not np.isfinite(points).all() for points in corners):
        raise ValueError("an outline must be pairs of numbers")
    areas = [points.tolist() for points in corners if len(points) >= 6]
    if not areas:
        return None
    return _unless_empty(Shape(label, coco.merge(coco.frPyObjects(areas, *size_hw))))


def of_pixels(label: str, pixels: npt.NDArray[np.bool_]) -> Shape | None:
    """Returns the shape of (H, W) pixels, None where there are none."""
    return _unless_empty(Shape(label, coco.encode(np.asfortranarray(pixels, dtype=np.uint8))))


def of_runs(label: str, runs: dict[str, Any], size_hw: tuple[int, int]) -> Shape | None:
    """Returns the shape of COCO's run lengths, compressed or not; None where it has no pixels.

    Raises:
        ValueError: they aren't run lengths of a picture of this size.
    """
    if list(runs.get("size", [])) != list(size_hw):
        raise ValueError(f"run lengths for {runs.get('size')} (height, width)")
    counts = runs.get("counts")
    if not isinstance(counts, str | bytes | list):
        raise ValueError("run lengths without counts")
    if isinstance(counts, list) and sum(counts) != size_hw[0] * size_hw[1]:
        raise ValueError(f"run lengths of {sum(counts)} pixels for a picture of {size_hw[0] * size_hw[1]}")
    packed = coco.frPyObjects(runs, *size_hw) if isinstance(counts, list) else {"size": list(size_hw), "counts": counts}
    coco.decode(packed)  # refuses what is longer than the picture
    return _unless_empty(Shape(label, packed))


def _unless_empty(shape: Shape) -> Shape | None:
    return shape if shape.area else None


def paint(shapes: Iterable[Shape], values: dict[str, int], size_hw: tuple[int, int],
          overlaps: Counter[tuple[str, str]]) -> npt.NDArray[np.int16]:
    """Paints shapes one over another.

    Args:
        shapes: from the lowest to the topmost.
        values: of the classes in the mask.
        size_hw: of the mask.
        overlaps: gets the pixels of each class (the first) that were painted over another one (the second).

    Returns:
        The mask (H, W), `UNPAINTED` where nothing was drawn.
    """
    mask = np.full(size_hw, UNPAINTED, np.int16)
    names = {value: name for name, value in values.items()}
    for shape in shapes:
        pixels, value = shape.pixels(), values[shape.label]
        below, counts = np.unique(mask[pixels], return_counts=True)
        for under, count in zip(below.tolist(), counts.tolist(), strict=True):
            if under not in (UNPAINTED, value):
                overlaps[shape.label, names[under]] += count
        mask[pixels] = value
    return mask


def fault(source: Path, what: str, error: object) -> SegError:
    """Returns the error for something in an export that can't be read."""
    return SegError(f"{source}: {what} can't be read: {error}. Export it again, or take it out.")


def as_mask(painted: npt.NDArray[np.int16], unpainted: int) -> UInt8Array:
    """Returns the mask that is written, with a value for what nothing was drawn on."""
    return np.where(painted == UNPAINTED, unpainted, painted).astype(np.uint8)
