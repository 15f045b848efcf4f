"""CamVid: 701 frames of four drives through Cambridge, 11 classes; training 367, validation 101, test 233 frames.

The content of a folder shows which form it holds:

- SegNet's form (480x360): `train/` + `trainannot/`, likewise `val` and `test`; label files hold ids, 11 is void.
- The original form (960x720): `701_StillsRaw_full/NAME.png` + `LabeledApproved_full/NAME_L.png`; label files hold the
  32 colours. Splits come from `train.txt`, `val.txt`, `test.txt` in the root (one name or path per line). If there is
  none of these, they come from the standard split, which is by drive and frame number.
- The original form sorted into folders: `train/NAME.png` + `train_labels/NAME_L.png`, likewise `val` and `test`.

Sources: Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (2009) for the 32 colours and the 11 groups; the
SegNet tutorial for the split and the ids.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from datasets.base import Found, Reader, Sample, UInt8Array, locate, match_pairs, pictures_in, read_lines
from datasets.colors import ColorTable
from seg.errors import SegError
from seg.label_sets import CAMVID, IGNORE, Color

SPLITS = ("train", "val", "test")

# (name, colour, class of the 11 or None for void)
COLORS_32: tuple[tuple[str, Color, str | None], ...] = (
    ("Animal", (64, 128, 64), "pedestrian"),
    ("Archway", (192, 0, 128), "building"),
    ("Bicyclist", (0, 128, 192), "bicyclist"),
    ("Bridge", (0, 128, 64), "building"),
    ("Building", (128, 0, 0), "building"),
    ("Car", (64, 0, 128), "car"),
    ("CartLuggagePram", (64, 0, 192), "pedestrian"),
    ("Child", (192, 128, 64), "pedestrian"),
    ("Column_Pole", (192, 192, 128), "pole"),
    ("Fence", (64, 64, 128), "fence"),
    ("LaneMkgsDriv", (128, 0, 192), "road"),
    ("LaneMkgsNonDriv", (192, 0, 64), "road"),
    ("Misc_Text", (128, 128, 64), "sign"),
    ("MotorcycleScooter", (192, 0, 192), "bicyclist"),
    ("OtherMoving", (128, 64, 64), "car"),
    ("ParkingBlock", (64, 192, 128), "pavement"),
    ("Pedestrian", (64, 64, 0), "pedestrian"),
    ("Road", (128, 64, 128), "road"),
    ("RoadShoulder", (128, 128, 192), "pavement"),
    ("Sidewalk", (0, 0, 192), "pavement"),
    ("SignSymbol", (192, 128, 128), "sign"),
    ("Sky", (128, 128, 128), "sky"),
    ("SUVPickupTruck", (64, 128, 192), "car"),
    ("TrafficCone", (0, 0, 64), "pole"),
    ("TrafficLight", (0, 64, 64), "sign"),
    ("Train", (192, 64, 128), "car"),
    ("Tree", (128, 128, 0), "tree"),
    ("Truck_Bus", (192, 128, 192), "car"),
    ("Tunnel", (64, 0, 64), "building"),
    ("VegetationMisc", (192, 192, 0), "tree"),
    ("Void", (0, 0, 0), None),
    ("Wall", (64, 192, 0), "building"),
)

_WANTED = ("a folder with train/ and trainannot/ (SegNet's form), with train/ and train_labels/, or with "
           "701_StillsRaw_full/ and LabeledApproved_full/ (the original form)")


class _Folders(NamedTuple):
    """The folders of pictures and labels, and whether the labels are colours."""

    images: Path
    labels: Path
    in_colors: bool


class CamVid(Reader):
    """Reads a split of CamVid in any of its forms, with the 11 classes."""

    label_set = CAMVID

    def find(self) -> Found:
        """Finds the pairs of the split; see the docstring of this module for the forms.

        Raises:
            SegError: the root holds none of the forms, or not this split.
        """
        if self.split not in SPLITS:
            raise SegError(f"CamVid has no split {self.split!r}; its splits are {', '.join(SPLITS)}.")
        layout = locate(self.root, _detect, _WANTED)
        if "" not in layout and self.split not in layout:
            raise SegError(f"{self.root} has no split {self.split!r}: there is no folder {self.root / self.split} with its "
                           f"labels. Found are {', '.join(layout)}.")
        folders = layout.get(self.split) or layout[""]
        self._in_colors = folders.in_colors
        prefix = f"{self.split}/" if self.split in layout else ""
        images = pictures_in(folders.images, lambda path: prefix + path.stem)
        # the original label files have _L after the name of their frame: 0001TP_006690_L.png
        labels = pictures_in(folders.labels, lambda path: prefix + path.stem.removesuffix("_L"))
        if self.split in layout:
            return match_pairs(images, labels, self.split, folders.labels)
        return self._select(images, labels, folders)

    def _select(self, images: dict[str, Path], labels: dict[str, Path], folders: _Folders) -> Found:
        """Selects this split's frames from all, by its list or the standard split."""
        lists = {split: self.root / f"{split}.txt" for split in SPLITS if (self.root / f"{split}.txt").is_file()}
        if not lists:
            def of_split(files: dict[str, Path]) -> dict[str, Path]:
                return {name: path for name, path in files.items() if standard_split(name) == self.split}
            return match_pairs(of_split(images), of_split(labels), self.split, folders.labels)
        if self.split not in lists:
            raise SegError(f"{self.root} has no list {self.split}.txt. Found are {', '.join(f'{s}.txt' for s in lists)}.")
        samples, faults = list[Sample](), list[str]()
        for name in _read_list(lists[self.split]):
            if name in images and name in labels:
                samples.append(Sample(name, images[name], labels[name]))
            else:
                missing = folders.images if name not in images else folders.labels
                faults.append(f"{lists[self.split]} names {name}, which {missing} does not hold.")
        return Found(samples, faults)

    def to_train_ids(self, labels: UInt8Array, path: Path) -> UInt8Array:
        """Turns SegNet's ids (H, W), or the 32 colours (H, W, 3) RGB, into train ids.

        Raises:
            SegError: an id or a colour is not one of CamVid's.
        """
        if labels.ndim == 2 and self._in_colors:
            raise SegError(f"{path} holds ids, but in the original form labels are colours. Ids are read from SegNet's form: "
                           "train/ + trainannot/.")
        if labels.ndim == 2:
            return super().to_train_ids(labels, path)
        return _color_table()(labels, path)


def standard_split(name: str) -> str | None:
    """Returns the standard split of a frame of the original set; None if it is not a frame of it.

    The drive 0016E5 gives its densely labelled part (frames 7959 to 8159, odd numbers) to validation, 0001TP gives its
    second half, and Seq05VD all of its frames, to test; the rest is for training.
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", name)
    if not match:
        return None
    drive, frame = match[1], int(match[2])
    if drive == "Seq05VD" or (drive == "0001TP" and frame > 8520):
        return "test"
    return "val" if drive == "0016E5" and 7959 <= frame <= 8159 and frame % 2 else "train"


def _detect(folder: Path) -> dict[str, _Folders] | None:
    """Returns the folders of each split, or those of all together under "", or None if this is no root."""
    layout = {split: _Folders(folder / split, folder / f"{split}{suffix}", in_colors)
              for split in SPLITS for suffix, in_colors in (("_labels", True), ("annot", False))
              if (folder / split).is_dir() and (folder / f"{split}{suffix}").is_dir()}
    images, labels = folder / "701_StillsRaw_full", folder / "LabeledApproved_full"
    if not layout and images.is_dir() and labels.is_dir():
        return {"": _Folders(images, labels, True)}
    return layout or None


def _read_list(path: Path) -> list[str]:
    # a line may also hold the label file's path after the picture's, as in SegNet's lists
    return [Path(line.split()[0]).stem for line in read_lines(path)]


@cache
def _color_table() -> ColorTable:
    """Returns the table, which is made once, at its first use."""
    return ColorTable({color: IGNORE if name is None else CAMVID.classes.index(name) for _, color, name in COLORS_32},
                      "CamVid has 32 others")
