"""What all readers share: a root that is checked, pairs of picture and labels, and faults that name their file.

A reader gives uint8 RGB frames and train ids and imports only numpy and OpenCV, so that inference can use it without
torch. A subclass names its `label_set` (or, where each root has its own, `label_set_of` a root), and says in `find` which
pairs a split has.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from datasets.colors import OUTSIDE
from datasets.faults import UnknownLabels, listing, ranges, sum_up
from seg.architecture import MIN_SIZE
from seg.errors import SegError, shortened
from seg.files import files_below, is_image, read_image_bgr, read_labels
from seg.headers import exif_orientation
from seg.label_sets import LabelSet

UInt8Array = npt.NDArray[np.uint8]
UInt16Array = npt.NDArray[np.uint16]
Layout = TypeVar("Layout")

_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
_UPRIGHT = "save it upright and without that entry, so that picture and labels have the same orientation."


@dataclass(frozen=True)
class Sample:
    """One frame of a split.

    Attributes:
        name: unique in the data set, and the same on every machine; it may be used as a relative path.
        label_path: None where the data set gives no labels for it.
    """

    name: str
    image_path: Path
    label_path: Path | None


class Found(NamedTuple):
    """What a split holds: its samples by name, and a sentence for each picture or label file without its partner."""

    samples: list[Sample]
    faults: list[str]


class Reader:
    """Reads one split of a data set: `len(reader)` samples, `read(i)` gives frame and train ids.

    Args:
        root: the folder of the data set, as it is unpacked.
        split: "train", "val" or "test".
        strict: a picture or label file without its partner is an error; else `verify` reports it.

    Attributes:
        label_set: the classes, and the values that stand for them in label files.
        samples: the frames of the split, sorted by name.
        remark: what a user should know of this copy, such as how much of the data set it holds; empty if there is nothing to say.
        submission_ending: what follows a frame's name in the names of the files for the data set's test server; None
            if there is no server.

    Raises:
        SegError: the root or the split isn't there, or has no samples, or pairs are incomplete.
    """

    label_set: LabelSet
    remark = ""
    submission_ending: ClassVar[str | None] = None

    def __init__(self, root: str | Path, split: str, *, strict: bool = True) -> None:
        self.root = check_root(root)
        self.split = split
        self.label_set = self.label_set_of(self.root)
        self.samples, self._pair_faults = self.find()
        if strict and self._pair_faults:
            raise SegError("\n  ".join([f"{len(self._pair_faults)} faults in the split {split!r}:", *shortened(self._pair_faults)]
                                       if len(self._pair_faults) > 1 else self._pair_faults))
        if not self.samples and not self._pair_faults:
            raise SegError(f"The split {split!r} below {self.root} holds no pictures.")
        table = self.label_set.to_train_ids()
        self._table = np.where(table < 0, OUTSIDE, table).astype(np.uint8)

    @classmethod
    def label_set_of(cls, root: str | Path) -> LabelSet:
        """Returns the label set of the data set below `root`; here it is the same for all roots, whatever they hold."""
        return cls.label_set

    def find(self) -> Found:
        """Finds the pairs of `self.split` below `self.root`."""
        raise NotImplementedError

    @property
    def table_name(self) -> str:
        """What messages call the table of label ids."""
        return f"the label set {self.label_set.name}"

    def meaning(self) -> dict[str, Any]:
        """Returns what else than the samples' files decides the train ids from `read`; plain types, for a cache to compare."""
        return self.label_set.to_dict()

    def read_labels(self, path: Path) -> UInt8Array:
        """Reads a label file for `to_train_ids`; here unchanged."""
        return read_labels(path)

    def to_train_ids(self, labels: UInt8Array, path: Path) -> UInt8Array:
        """Turns what a label file holds into train ids (H, W); here (H, W) label ids, by the label set's table.

        Raises:
            SegError: the file holds colours, or a value that isn't in the table.
        """
        if labels.ndim != 2:
            raise SegError(f"{path} holds colours; the labels of {self.label_set.name} are single-channel ids.")
        train_ids = cv2.LUT(labels, self._table).astype(np.uint8, copy=False)
        outside = train_ids == OUTSIDE
        if outside.any():
            values, counts = np.unique(labels[outside], return_counts=True)
            known = f"{self.table_name} has {ranges(np.flatnonzero(self._table != OUTSIDE).tolist())}"
            raise UnknownLabels(path, dict(zip(map(str, values), counts.tolist(), strict=True)), known)
        return train_ids

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> tuple[UInt8Array, UInt8Array | None]:
        """Returns the frame (H, W, 3) uint8 RGB and its train ids (H, W) uint8, 255 ignored; None without labels.

        Raises:
            SegError: a file is missing, can't be read, or holds what it may not; the message names it.
        """
        sample = self.samples[index]
        image_rgb = cv2.cvtColor(read_image_bgr(sample.image_path), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        if sample.label_path is None:
            return image_rgb, None
        labels = self.read_labels(sample.label_path)
        self._check_fits(sample.image_path, image_rgb, sample.label_path, labels)
        return image_rgb, self.to_train_ids(labels, sample.label_path)

    def _check_fits(self, image_path: Path, image_rgb: UInt8Array, label_path: Path, labels: UInt8Array) -> None:
        """Checks that labels have the orientation of their picture. OpenCV rotates pictures by EXIF, but never labels."""
        orientation = _orientation(image_path)
        (h, w), (label_h, label_w) = image_rgb.shape[:2], labels.shape[:2]
        if (h, w) != (label_h, label_w):
            as_stored = orientation > 4 and (h, w) == (label_w, label_h)
            cause = f" The picture is turned by its EXIF orientation {orientation}: {_UPRIGHT}" if as_stored else ""
            raise SegError(f"{label_path} is {label_w}x{label_h}, but its picture {image_path} is {w}x{h} (width x height); both "
                           f"must be the same.{cause}")
        if orientation != 1 and (orientation < 5 or h == w):  # else equal sizes show that labels fit the turned picture
            raise SegError(f"{image_path} is turned by its EXIF orientation {orientation}, and nothing says whether its labels "
                           f"{label_path} are, too: {_UPRIGHT}")
        if _orientation(label_path) != 1:
            raise SegError(f"The labels {label_path} have an EXIF orientation, by which labels aren't turned: {_UPRIGHT}")

    def read_instances(self, index: int) -> UInt16Array | None:
        """Returns a sample's instance ids (H, W) uint16, label id x 1000 + number; None where there are none, as here."""
        return None

    def verify(self, track: Callable[[Iterable[int]], Iterable[int]] = iter,
               on_sample: Callable[[int, UInt8Array, UInt8Array | None], None] | None = None) -> list[str]:
        """Reads everything and returns a sentence for each fault; empty where there is none.

        A value that is not allowed and occurs in several label files is reported once, with the count of files and pixels.

        Args:
            track: wraps the sequence of indices, to show progress.
            on_sample: called with each sound sample's index, frame and train ids.
        """
        faults, unknown = list(self._pair_faults), list[UnknownLabels]()
        for index in track(range(len(self))):
            try:
                image_rgb, train_ids = self.read(index)
                check_not_tiny(image_rgb, self.samples[index].image_path)
            except UnknownLabels as error:
                unknown.append(error)
            except SegError as error:
                faults.append(str(error))
            else:
                if on_sample is not None:
                    on_sample(index, image_rgb, train_ids)
        return faults + sum_up(unknown)


def _orientation(path: Path) -> int:
    try:
        return exif_orientation(path.read_bytes())
    except OSError:
        return 1  # the code that reads it says what is wrong


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a list, without spaces around them and without empty ones.

    Raises:
        SegError: it can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SegError(f"The list {path} can't be read: {error}.") from None
    return [line.strip() for line in lines if line.strip()]


def check_not_tiny(image_rgb: UInt8Array, path: Path) -> None:
    """Checks that a picture is large enough to train on and to validate on.

    Raises:
        SegError: it isn't.
    """
    height, width = image_rgb.shape[:2]
    if min(height, width) < MIN_SIZE:
        raise SegError(f"{path} is {width}x{height} (width x height); a network needs {MIN_SIZE}x{MIN_SIZE} at least.")


def check_root(root: str | Path) -> Path:
    """Returns `root` as a path if it is a folder.

    Raises:
        SegError: it isn't there, or is an archive or another file.
    """
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    if not path.exists():
        there = next(parent for parent in path.absolute().parents if parent.exists())
        raise SegError(f"There is no folder {path}. {there} is there and holds {listing(entries_in(there)) or 'nothing'}.")
    if path.suffix.lower() in _ARCHIVES:
        raise SegError(f"{path} is an archive. Unpack it, and give the folder that came out as the root.")
    raise SegError(f"{path} is a file; the root of a data set is a folder.")


def locate(root: Path, detect: Callable[[Path], Layout | None], wanted: str) -> Layout:
    """Returns what `detect` finds in `root`; if it finds nothing, the error says where near it the data set is.

    Args:
        root: the folder that the user gave.
        detect: returns the layout of a folder that is a root, None for any other folder.
        wanted: what a root holds, for the message.

    Raises:
        SegError: `root` is a level too high or too low, or it holds only archives or something else.
    """
    layout = detect(root)
    if layout is not None:
        return layout
    children = [root / name for name in folders_in(root)]
    grandchildren = [child / name for child in children for name in folders_in(child)]
    absolute = root.absolute()
    for others, where in ((children + grandchildren, "below"), (list(absolute.parents)[:2], "above")):
        for other in others:
            if detect(other) is not None:
                raise SegError(f"{root} is not the root of the data set; it is {where}: give {other} instead.")
    entries = entries_in(root)
    archives = [name for name in entries if Path(name).suffix.lower() in _ARCHIVES]
    if archives:
        raise SegError(f"{root} holds the archive {archives[0]}. Unpack it there first. Expected is {wanted}.")
    raise SegError(f"{root} is not the root of the data set: it holds {listing(entries) or 'nothing'}. Expected is {wanted}.")


def match_pairs(images: dict[str, Path], labels: dict[str, Path], split: str, label_dir: Path) -> Found:
    """Pairs pictures and label files of the same name, sorted by name."""
    samples = [Sample(name, images[name], labels[name]) for name in sorted(images.keys() & labels.keys())]
    faults = [f"The picture {images[name]} of the split {split!r} has no labels in {label_dir}."
              for name in sorted(images.keys() - labels.keys())]
    faults += [f"The labels {labels[name]} of the split {split!r} have no picture."
               for name in sorted(labels.keys() - images.keys())]
    return Found(samples, faults)


def pictures_in(folder: Path, name_of: Callable[[Path], str | None]) -> dict[str, Path]:
    """Returns the pictures that are directly in `folder` by the name of their frame, without those that `name_of` gives None.

    Raises:
        SegError: the folder can't be listed, or two pictures have the same name.
    """
    pictures: dict[str, Path] = {}
    for entry in entries_in(folder):
        path = folder / entry
        if is_image(path) and path.is_file() and (name := name_of(path)) is not None:
            _add(pictures, name, path)
    return pictures


def pictures_below(folder: Path) -> dict[str, Path]:
    """Returns the pictures in `folder` and the folders below by their path in it, with "/" and without suffix.

    Raises:
        SegError: as `pictures_in`.
    """
    pictures: dict[str, Path] = {}
    for path in files_below(folder):
        if is_image(path):
            _add(pictures, path.relative_to(folder).with_suffix("").as_posix(), path)
    return pictures


def _add(pictures: dict[str, Path], name: str, path: Path) -> None:
    other = pictures.setdefault(name, path)
    if other != path:
        raise SegError(f"{other} and {path} belong to one frame by their names; remove one of them.")


def entries_in(folder: Path) -> list[str]:
    """Returns the names of all that is in `folder`, sorted.

    Raises:
        SegError: it can't be read.
    """
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise SegError(f"The folder {folder} can't be read: {error.strerror or error}.") from None


def folders_in(folder: Path) -> list[str]:
    """Returns the names of the folders in `folder`, sorted and without hidden ones; none where it can't be read."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
