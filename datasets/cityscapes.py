"""Cityscapes: street scenes of 50 German cities at 1024x2048, 19 classes; 5000 frames with fine labels, 19998 with coarse ones.

It is read as its archives unpack, either all into one folder or each into a folder of its own name:

- pictures: `leftImg8bit/SPLIT/CITY/FRAME_leftImg8bit.png`, SPLIT one of train, val, test (leftImg8bit_trainvaltest.zip) and
  train_extra (leftImg8bit_trainextra.zip);
- labels: `gtFine/SPLIT/CITY/FRAME_gtFine_labelIds.png` and `..._instanceIds.png` for train and val (gtFine_trainvaltest.zip),
  `gtCoarse/...` likewise for train_extra (gtCoarse.zip). Those of test are dummies, without a pixel that counts.

A copy of a few cities or frames is read as well, and `remark` says how much it holds. Sources: Cordts et al., "The Cityscapes
Dataset for Semantic Urban Scene Understanding" (CVPR 2016); cityscapesScripts for names and ids.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.base import (
    Found,
    Reader,
    Sample,
    UInt8Array,
    UInt16Array,
    entries_in,
    folders_in,
    locate,
    match_pairs,
    pictures_in,
)
from datasets.faults import listing, ranges
from seg.errors import SegError
from seg.files import read_instance_ids, read_labels
from seg.label_sets import CITYSCAPES, IGNORE, INSTANCE_FACTOR

# The archives with pictures and labels of a split, by the folder in which they are.
_ARCHIVES = {
    "leftImg8bit": ("leftImg8bit_trainvaltest", "leftImg8bit_trainextra"),
    "gtFine": ("gtFine_trainvaltest",),
    "gtCoarse": ("gtCoarse",),
}
_WANTED = ("a folder with leftImg8bit/ (pictures) and gtFine/ or gtCoarse/ (labels), into which Cityscapes' archives were "
           "unpacked")

# A complete copy holds: cities and frames of each split.
_CITIES = {
    "train": "aachen bochum bremen cologne darmstadt dusseldorf erfurt hamburg hanover jena krefeld monchengladbach strasbourg "
             "stuttgart tubingen ulm weimar zurich",
    "val": "frankfurt lindau munster",
    "test": "berlin bielefeld bonn leverkusen mainz munich",
    "train_extra": "augsburg bad-honnef bamberg bayreuth dortmund dresden duisburg erlangen freiburg heidelberg heilbronn "
                   "karlsruhe konigswinter konstanz mannheim muhlheim-ruhr nuremberg oberhausen saarbrucken schweinfurt "
                   "troisdorf wuppertal wurzburg",
}
_FRAMES = {"train": 2975, "val": 500, "test": 1525, "train_extra": 19998}

_PROBES = 4  # number of label files that are checked for train ids, evenly spread over the split
# Train ids end at 18 and have 255. Label ids from 7 to 18 that are ignored are rare things, such as a tunnel; as train ids they
# are sky, terrain or the bicycle.
_RARE = frozenset(label_id for label_id in CITYSCAPES.ignored_label_ids if 7 <= label_id <= 18)


class Cityscapes(Reader):
    """Reads the splits train, val and test with their fine labels, and train_extra with its coarse ones."""

    label_set = CITYSCAPES
    submission_ending = "_labelIds.png"
    # What each split is made of: folder of the split, folder of its labels.
    parts: ClassVar[dict[str, tuple[tuple[str, str], ...]]] = {
        "train": (("train", "gtFine"),), "val": (("val", "gtFine"),), "test": (("test", "gtFine"),),
        "train_extra": (("train_extra", "gtCoarse"),),
    }

    def find(self) -> Found:
        """Finds the pairs of the split; see the docstring of this module for where they are.

        Raises:
            SegError: this is no root, the split or its labels aren't there, or the labels hold train ids.
        """
        if self.split not in self.parts:
            raise SegError(f"Cityscapes has no split {self.split!r}; its splits are {', '.join(self.parts)}.")
        self._check_splits()
        locate(self.root, partial(_detect, labelled=self.split != "test"), _WANTED)
        samples, faults, remarks = list[Sample](), list[str](), list[str]()
        for split, labels in self.parts[self.split]:
            found = self._find(split, labels)
            samples, faults = samples + found.samples, faults + found.faults
            remarks.append(_remark(split, found.samples))
        self.remark = " ".join(filter(None, remarks))
        return Found(samples, faults)

    def _check_splits(self) -> None:
        """Refuses folders of Cityscapes' names whose pictures are in no split and city."""
        for kind in ("leftImg8bit", "gtFine", "gtCoarse"):
            folder = self.root / kind
            if folder.is_dir() and not any((folder / split).is_dir() for split in _CITIES):
                raise SegError(f"{folder} holds {listing(entries_in(folder), 3) or 'nothing'} and none of the folders "
                               f"{', '.join(_CITIES)}: pictures are in SPLIT/CITY/ below it, as the archives have them.")

    def _find(self, split: str, kind: str) -> Found:
        """Finds the pairs of one folder of pictures; labels without their picture are normal in an incomplete copy."""
        image_dir, label_dir = _place(self.root, "leftImg8bit", split), _place(self.root, kind, split)
        if image_dir is None:
            there = [name for name in _CITIES if _place(self.root, "leftImg8bit", name)]
            archive = _ARCHIVES["leftImg8bit"][split == "train_extra"]
            raise SegError(f"{self.root} has no pictures of the split {split!r}: there is no folder leftImg8bit/{split}, which "
                           f"comes with {archive}.zip. Found are {', '.join(there) or 'none'}.")
        images = _frames(image_dir, split, "_leftImg8bit")
        if not images:
            raise SegError(f"{image_dir} holds no pictures CITY/FRAME_leftImg8bit.png; it holds "
                           f"{listing(folders_in(image_dir)) or 'no cities'}.")
        labels = _frames(label_dir, split, f"_{kind}_labelIds") if label_dir else {}
        if split == "test":
            return Found([Sample(name, images[name], labels.get(name)) for name in sorted(images)], [])
        if label_dir is None:
            raise SegError(f"{self.root} has pictures of the split {split!r} but no labels: there is no folder {kind}/{split}, "
                           f"which comes with {_ARCHIVES[kind][0]}.zip.")
        if not labels and _frames(label_dir, split, f"_{kind}_labelTrainIds"):
            raise SegError(f"{label_dir} holds train ids (*_{kind}_labelTrainIds.png) and no label ids (*_{kind}_labelIds.png). "
                           f"Label ids are what is read, and turned into train ids; {_ARCHIVES[kind][0]}.zip has them.")
        found = match_pairs(images, {name: labels[name] for name in images.keys() & labels.keys()}, split, label_dir)
        _check_label_ids(found.samples)
        return found

    def to_train_ids(self, labels: UInt8Array, path: Path) -> UInt8Array:
        """Turns label ids (H, W) into train ids.

        Raises:
            SegError: the file holds train ids, colours, or a value that is no label id.
        """
        if labels.ndim == 2 and IGNORE in labels and _are_train_ids(np.unique(labels)):
            raise _train_ids_error(path, np.unique(labels))
        return super().to_train_ids(labels, path)

    def read(self, index: int) -> tuple[UInt8Array, UInt8Array | None]:
        """Returns frame and train ids as `Reader.read` does; the dummy labels of test, all ignored, are returned as None."""
        image_rgb, train_ids = super().read(index)
        if self.split == "test" and train_ids is not None and (train_ids == IGNORE).all():
            return image_rgb, None
        return image_rgb, train_ids

    def read_instances(self, index: int) -> UInt16Array | None:
        """Returns instance ids (H, W): values above 1000 are label id x 1000 + number, others the label id. None without a file.

        Raises:
            SegError: the file can't be read or holds something else.
        """
        label_path = self.samples[index].label_path
        if label_path is None:
            return None
        path = label_path.with_name(label_path.name.replace("_labelIds", "_instanceIds"))
        if not path.is_file():
            return None
        ids = read_instance_ids(path)
        single = np.unique(ids[ids > INSTANCE_FACTOR]) // INSTANCE_FACTOR
        sizes = dict(zip(CITYSCAPES.label_ids, CITYSCAPES.instance_sizes, strict=True))
        for label_id in single.tolist():
            if not (sizes.get(label_id) or label_id in CITYSCAPES.ignored_label_ids):
                raise SegError(f"{path} holds instances of the label id {label_id}, whose class has none; instance ids are "
                               "label id x 1000 + number. Are these train ids?")
        return ids


class CityscapesCoarse(Cityscapes):
    """Reads the same, but train holds all that can be trained on: the fine labels of train and the coarse ones of train_extra."""

    parts: ClassVar[dict[str, tuple[tuple[str, str], ...]]] = {
        **Cityscapes.parts, "train": (*Cityscapes.parts["train"], *Cityscapes.parts["train_extra"])}


def _place(root: Path, kind: str, split: str) -> Path | None:
    """Returns the folder of the split in `root`, in which each archive may have been unpacked into a folder of its name."""
    inner = [path for archive in _ARCHIVES[kind] for path in (root / archive / kind, root / archive)]
    return next((path / split for path in (root / kind, *inner) if (path / split).is_dir()), None)


def _detect(folder: Path, labelled: bool) -> bool | None:
    """Returns True for a folder that has pictures of some split and, if `labelled`, labels of some; else None."""
    def has(*kinds: str) -> bool:
        return any(_place(folder, kind, split) for kind in kinds for split in _CITIES)

    return True if has("leftImg8bit") and (has("gtFine", "gtCoarse") or not labelled) else None


def _frames(folder: Path, split: str, ending: str) -> dict[str, Path]:
    """Returns the files CITY/FRAME + ending below `folder` by "SPLIT/CITY/FRAME"."""
    def name_of(path: Path) -> str | None:
        return f"{split}/{path.parent.name}/{path.stem.removesuffix(ending)}" if path.stem.endswith(ending) else None

    return {name: path for city in folders_in(folder) for name, path in pictures_in(folder / city, name_of).items()}


def _remark(split: str, samples: list[Sample]) -> str:
    """Says how much of the split the samples are; empty if they are the whole split."""
    frames = Counter(sample.image_path.parent.name for sample in samples)  # by city
    known = _CITIES[split].split()
    own = [city for city in frames if city in known]
    others = sorted(frames.keys() - set(known))
    parts = []
    if own and (others or len(samples) != _FRAMES[split]):
        parts.append(f"{len(own)} of {len(known)} cities, {sum(frames[city] for city in own)} of {_FRAMES[split]} frames")
    if others:
        number = sum(frames[city] for city in others)
        parts.append(f"{number} frame{'' if number == 1 else 's'} of {listing(others)}, not Cityscapes' own")
    return f"{split}: {'; '.join(parts)}." if parts else ""


def _check_label_ids(samples: list[Sample]) -> None:
    """Checks a few label files: train ids in files named as label ids would be trained on and scored without any error.

    Raises:
        SegError: they hold train ids.
    """
    values, paths = set[int](), [sample.label_path for sample in samples[:: max(1, len(samples) // _PROBES)] if sample.label_path]
    for path in paths[:_PROBES]:
        try:
            values.update(np.unique(read_labels(path)).tolist())
        except SegError:
            continue  # the error is reported when the sample is read
    if paths and _are_train_ids(np.array(sorted(values))):
        raise _train_ids_error(paths[0], np.array(sorted(values)))


def _are_train_ids(values: np.ndarray) -> bool:
    """Whether these values of label files can only be train ids, or are far more likely to be."""
    found = set(values.tolist())
    return all(value <= 18 or value == IGNORE for value in found) and (IGNORE in found or not found.isdisjoint(_RARE))


def _train_ids_error(path: Path, values: np.ndarray) -> SegError:
    return SegError(f"{path} holds train ids under the name of label ids: its values are {ranges(values.tolist())}, where label "
                    "ids go from 0 to 33. Label ids are what is read, and turned into train ids; take them from the archive.")
