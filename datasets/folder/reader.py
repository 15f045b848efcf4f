"""Any folder: `images/`, `masks/` with the same names and folders, and `classes.yaml` next to them.

Masks are PNGs (or BMP, TIFF, PGM, PPM) that hold ids, indices into a palette, or colours; `classes.py` says what is in
`classes.yaml`, `splits.py` how pictures are divided into training, validation and test, and `corrections.py` how wrong masks are
set right.
"""

from pathlib import Path
from typing import Any

from datasets.base import Found, Reader, UInt8Array, check_root, entries_in, locate, match_pairs, pictures_below
from datasets.colors import ColorTable
from datasets.faults import listing
from datasets.folder.classes import FILE, read_classes
from datasets.folder.corrections import FILE as CORRECTIONS
from datasets.folder.corrections import Corrections
from datasets.folder.masks import masks_below, read_mask
from datasets.folder.splits import split_names
from seg.errors import SegError
from seg.label_sets import IGNORE, LabelSet

_WANTED = "a folder with images/, and masks/ with a mask of the same name for each picture"


def find_root(root: str | Path) -> Path:
    """Returns `root` if it holds pictures and masks.

    Raises:
        SegError: it doesn't, or is no folder; the message says what it holds.
    """
    path = check_root(root)
    if (path / "images").is_dir() and not (path / "masks").is_dir():
        others = [name for name in entries_in(path) if name != "images"]
        raise SegError(f"{path} has images/ but no masks/; next to images/ it holds {listing(others) or 'nothing'}. Expected is "
                       f"{_WANTED}.")
    return locate(path, lambda folder: folder if all((folder / n).is_dir() for n in ("images", "masks")) else None, _WANTED)


class Folder(Reader):
    """Reads a split of a folder with its own classes."""

    @classmethod
    def label_set_of(cls, root: str | Path) -> LabelSet:
        """Returns what the root's `classes.yaml` says.

        Raises:
            SegError: there is none, it can't be used, or the root is something else.
        """
        return read_classes(find_root(root)).label_set

    def find(self) -> Found:
        """Finds the pairs of the split.

        Raises:
            SegError: the split isn't there, or the pictures aren't divided as they should be.
        """
        self._classes = read_classes(self.root)
        label_set = self.label_set
        self._corrections = Corrections(self.root, label_set)
        ids = dict(zip(label_set.colors, range(len(label_set)), strict=True))
        self._to_train_ids = ColorTable({**ids, **dict.fromkeys(self._classes.ignored_colors, IGNORE)},
                                        f"{self.table_name} has others") if self._classes.in_colors else None
        images, masks = pictures_below(self.root / "images"), masks_below(self.root / "masks")
        self._names = {path: name for name, path in masks.items()}
        splits = split_names(self.root, sorted(images.keys() | masks.keys()), self._classes.shares)
        if self.split not in splits:
            needed = " Training needs it to validate on." if self.split == "val" else ""
            raise SegError(f"{self.root} has no split {self.split!r}. Found are {', '.join(splits)}.{needed}")
        names = splits[self.split]
        found = match_pairs({name: images[name] for name in names if name in images},
                            {name: masks[name] for name in names if name in masks}, self.split, self.root / "masks")
        absent = [f"{self.root / self.split}.txt names {name}, which {self.root / 'images'} does not hold."
                  for name in names if name not in images and name not in masks]
        absent += [f"{self.root / CORRECTIONS} corrects {name}, which {self.root / 'masks'} does not hold."
                   for name in sorted(self._corrections.names - masks.keys())]
        return Found(found.samples, absent + found.faults)

    @property
    def table_name(self) -> str:
        """What messages call the table of values."""
        return str(self.root / FILE)

    def meaning(self) -> dict[str, Any]:
        """Returns the label set, which colours are ignored, and the corrections."""
        return {**super().meaning(), "ignored_colors": [list(color) for color in self._classes.ignored_colors],
                "corrections": self._corrections.meaning()}

    def read_labels(self, path: Path) -> UInt8Array:
        """Reads a mask: ids (H, W), or colours (H, W, 3) RGB where `classes.yaml` gives no values.

        Raises:
            SegError: it holds the other of the two.
        """
        mask = read_mask(path)
        labels = mask.colors if self._classes.in_colors else mask.ids
        if labels is not None:
            return labels
        if self._classes.in_colors:
            raise SegError(f"{path} holds single-channel ids, but {self.table_name} gives its classes no value. Give each class "
                           "its value.")
        raise SegError(f"{path} holds colours, but {self.table_name} gives its classes values. Where masks are colours, each "
                       "class has its color there and no value.")

    def to_train_ids(self, labels: UInt8Array, path: Path) -> UInt8Array:
        """Turns what `read_labels` gave into train ids (H, W), and corrects them.

        Raises:
            SegError: a value or a colour is not in `classes.yaml`.
        """
        convert = self._to_train_ids or super().to_train_ids
        return self._corrections.apply(self._names.get(path, ""), convert(labels, path))
