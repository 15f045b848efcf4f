"""Roboflow's "Semantic Segmentation Masks": NAME.jpg and NAME_mask.png, and the values' names in `_classes.csv`.

Its other exports with outlines are COCO's.
"""

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from datasets.folder.annotations.places import split_of
from datasets.folder.annotations.shapes import Drawing, Shape, fault, of_pixels
from seg.errors import SegError
from seg.files import files_below, is_image, read_labels

TABLE = "_classes.csv"
_MASK = "_mask"


def read(table: Path, root: Path) -> list[Drawing]:
    """Reads the folder of one `_classes.csv`.

    Args:
        table: the file.
        root: of the export; names are relative to it.

    Raises:
        SegError: something can't be read, or a mask has no picture.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            names = {int(row[0]): row[1].strip() for row in list(csv.reader(file))[1:] if row}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise fault(table, "the table", error) from None
    pictures = {path.stem: path for path in files_below(table.parent) if is_image(path) and not path.stem.endswith(_MASK)}
    drawings = []
    for mask in sorted(path for path in files_below(table.parent) if is_image(path) and path.stem.endswith(_MASK)):
        picture = pictures.get(mask.stem.removesuffix(_MASK))
        if picture is None:
            raise SegError(f"{mask} has no picture: {mask.stem.removesuffix(_MASK)} with any suffix is not next to it.")
        name = picture.relative_to(root).with_suffix("").as_posix()
        drawings.append(_drawing(name, picture, mask, names, split_of(table.parent.name)))
    return drawings


def _drawing(name: str, picture: Path, mask: Path, names: dict[int, str], split: str | None) -> Drawing:
    def draw(skipped: Counter[str]) -> list[Shape]:
        values = read_labels(mask)
        unknown = sorted(set(np.unique(values).tolist()) - names.keys())
        if unknown:
            raise SegError(f"{mask} holds the values {unknown}, which {TABLE} doesn't name.")
        return [shape for value, label in names.items() if (shape := of_pixels(label, values == value)) is not None]

    height, width = read_labels(mask).shape
    return Drawing(name, picture, picture.suffix, (height, width), tuple(names.values()), split, draw, mask)
