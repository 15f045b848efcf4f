"""The whole of a folder: every fault in all its splits, and how often each class is there."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.base import UInt8Array, pictures_below
from datasets.faults import listing
from datasets.folder.classes import FILE, read_classes
from datasets.folder.masks import masks_below
from datasets.folder.reader import Folder
from datasets.folder.splits import split_names
from seg.errors import SegError
from seg.label_sets import IGNORE, LabelSet


@dataclass
class Summary:
    """What a folder holds.

    Attributes:
        label_set: its classes.
        frames: sound frames by split.
        pixels: (256,) by train id, all splits together; 255 is ignored.
        files: (256,) by split: how many frames hold each train id.
        size_hw: of the largest picture.
        decoded_bytes: what all frames take as pixels and train ids.
        faults: a sentence for each.
        notes: what is no fault but worth knowing.
    """

    label_set: LabelSet
    frames: dict[str, int] = field(default_factory=dict)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    files: dict[str, np.ndarray] = field(default_factory=dict)
    size_hw: tuple[int, int] = (0, 0)
    decoded_bytes: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(root: Path, track: Callable[[Iterable[int]], Iterable[int]] = iter) -> Summary:
    """Reads all of a folder.

    Args:
        root: with `classes.yaml`.
        track: wraps the sequence of a split's indices, to show progress.

    Raises:
        SegError: `classes.yaml` or the division into splits can't be used, so that nothing can be read.
    """
    classes = read_classes(root)
    summary = Summary(classes.label_set)
    images, masks = pictures_below(root / "images"), masks_below(root / "masks")
    splits = split_names(root, sorted(images.keys() | masks.keys()), classes.shares)
    seen: dict[bytes, tuple[str, Path]] = {}  # split and picture by the hash of its pixels
    for split in splits:
        try:
            reader = Folder(root, split, strict=False)
        except SegError as error:
            summary.faults.append(str(error))
            continue
        _read(reader, summary, seen, track)
    left_out = sorted(images.keys() - {name for names in splits.values() for name in names})
    if left_out:
        summary.notes.append(f"{len(left_out)} of the {len(images)} pictures are in none of the splits: {listing(left_out, 3)}.")
    _look_at_classes(summary)
    summary.faults = list(dict.fromkeys(summary.faults))  # each split reports what is wrong with all of the folder
    return summary


def _read(reader: Folder, summary: Summary, seen: dict[bytes, tuple[str, Path]],
          track: Callable[[Iterable[int]], Iterable[int]]) -> None:
    """Reads a split into the summary."""
    split = reader.split
    summary.frames[split], summary.files[split] = 0, np.zeros(256, np.int64)
    twice = list[str]()

    def look(index: int, image_rgb: UInt8Array, train_ids: UInt8Array | None) -> None:
        assert train_ids is not None
        path = reader.samples[index].image_path
        counts = np.bincount(train_ids.ravel(), minlength=256)
        summary.frames[split] += 1
        summary.pixels += counts
        summary.files[split] += counts > 0
        summary.decoded_bytes += image_rgb.nbytes + train_ids.nbytes
        summary.size_hw = max(summary.size_hw, (image_rgb.shape[0], image_rgb.shape[1]), key=lambda size: size[0] * size[1])
        other_split, other = seen.setdefault(hashlib.blake2b(image_rgb.tobytes(), digest_size=16).digest(), (split, path))
        if other_split != split:
            twice.append(f"{path} is the same picture as {other}, but one is for {split} and the other for {other_split}. "
                         "Leave it in one of them.")

    summary.faults += reader.verify(track, look) + twice


def _look_at_classes(summary: Summary) -> None:
    """Notes what is wrong with no single file."""
    for split, files in summary.files.items():
        absent = [name for train_id, name in enumerate(summary.label_set.classes) if not files[train_id]]
        if absent and summary.frames[split]:
            what = "can't be learned" if split == "train" else "can't be scored rightly"
            summary.notes.append(f"No pixel of {split} is of {listing(absent)}: {what}.")
    if not summary.pixels[:IGNORE].any() and not summary.faults:
        summary.faults.append(f"All pixels are ignored; {FILE} leaves nothing to learn.")
