"""LabelMe's JSON files, one next to each picture (https://github.com/wkentaro/labelme)."""

import base64
import binascii
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from datasets.folder.annotations.places import split_of
from datasets.folder.annotations.shapes import Drawing, Shape, fault, of_outlines, of_pixels
from seg.errors import SegError
from seg.files import decode, read_json

_CORNERS = 4


def is_labelme(content: Any) -> bool:
    """Whether a JSON's content is LabelMe's."""
    return isinstance(content, dict) and content.keys() >= {"shapes", "imagePath"}


def read(path: Path, content: dict[str, Any], root: Path, pictures: Path | None) -> Drawing:
    """Reads one JSON.

    Args:
        path: of the file.
        content: what it holds; `is_labelme` is true of it.
        root: of the export; names are relative to it.
        pictures: where the pictures are; None for where the file says, or within it.

    Raises:
        SegError: something in it can't be, or its picture is missing.
    """
    name = path.relative_to(root).with_suffix("")
    said = PurePosixPath(str(content["imagePath"]).replace("\\", "/"))
    folder = pictures or path.parent
    places = folder / said, folder / said.name
    picture: Path | Callable[[], bytes] | None = next((place for place in places if place.is_file()), None)
    if picture is None and content.get("imageData"):
        _picture_in(content, path)  # what can't be read is told before anything is written
        picture = partial(_read_picture, path)
    if picture is None:
        raise SegError(f"{path} names the picture {said}, which isn't there, and doesn't hold it. Say where the pictures are: "
                       "--pictures DIR.")
    try:
        size_hw = int(content["imageHeight"]), int(content["imageWidth"])
        labels = tuple(sorted({str(entry["label"]) for entry in content["shapes"]}))
    except (KeyError, TypeError, ValueError) as error:
        raise fault(path, "the picture's size or a shape's label", f"{type(error).__name__} {error}") from None
    shapes = content["shapes"]  # and not the rest, which may hold the picture
    return Drawing(name.as_posix(), picture, said.suffix or ".png", size_hw, labels, split_of(*name.parts[:-1]),
                   lambda skipped: _draw(shapes, size_hw, skipped, path), path)


def _picture_in(content: dict[str, Any], path: Path) -> bytes:
    try:
        return base64.b64decode(content["imageData"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise fault(path, "its imageData", error) from None


def _read_picture(path: Path) -> bytes:
    return _picture_in(read_json(path), path)


def _draw(entries: Any, size_hw: tuple[int, int], skipped: Counter[str], path: Path) -> list[Shape]:
    """Shapes in the file's order, as LabelMe itself paints them."""
    shapes = []
    for number, entry in enumerate(entries, 1):
        try:
            kind, shape = str(entry.get("shape_type") or "polygon"), _shape(entry, size_hw)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise fault(path, f"shape {number}", error) from None
        if shape is None:
            skipped[f"shapes of the kind {kind} without an area"] += 1
        else:
            shapes.append(shape)
    return shapes


def _shape(entry: dict[str, Any], size_hw: tuple[int, int]) -> Shape | None:
    label, kind = str(entry["label"]), entry.get("shape_type") or "polygon"
    points = np.asarray(entry["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("its points must be finite numbers")
    if kind == "rectangle" and len(points) < _CORNERS:
        (left, top), (right, bottom) = np.min(points, 0), np.max(points, 0)
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind in ("polygon", "rectangle", "oriented_rectangle"):
        return of_outlines(label, [points.ravel().tolist()], size_hw)
    if kind == "circle":  # its centre, and a point on it
        y, x = np.ogrid[:size_hw[0], :size_hw[1]]
        return of_pixels(label, np.hypot(x + 0.5 - points[0, 0], y + 0.5 - points[0, 1]) <= np.hypot(*(points[1] - points[0])))
    if kind == "mask":
        return of_pixels(label, _pasted(entry["mask"], points[0], size_hw))
    return None


def _pasted(png: str, corner: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The pixels (H, W) of a mask that is stored as a picture of its own, from its upper left corner on."""
    stored = decode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        raise ValueError("its mask is no picture")
    left, top = np.round(corner).astype(int)
    if left < 0 or top < 0:
        raise ValueError("its mask begins outside the picture")
    pixels = np.zeros(size_hw, bool)
    place = pixels[top:top + stored.shape[0], left:left + stored.shape[1]]
    place[:] = stored[:place.shape[0], :place.shape[1]] > 0
    return pixels
