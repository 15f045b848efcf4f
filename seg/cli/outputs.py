"""Predictions on disk: pictures, where OUTPUT/KIND/ mirrors the tree of the inputs and no two share a name; submissions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np

from seg.errors import SegError, did_you_mean
from seg.files import UInt8Array, atomic_write, check_writable_folder, write_image
from seg.label_sets import LabelSet
from seg.runtime import Prediction
from seg.visualize import colorize, overlay

KINDS = ("train-ids", "label-ids", "color", "overlay", "confidence")


def parse_kinds(text: str) -> tuple[str, ...]:
    """Reads "color,overlay".

    Raises:
        SegError: a kind is unknown, or there is none.
    """
    kinds = tuple(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise SegError(f"--save knows no {kind!r}. {did_you_mean(kind, KINDS)}")
    if not kinds:
        raise SegError(f"--save needs at least one of {', '.join(KINDS)}.")
    return kinds


def output_names(relatives: Sequence[Path]) -> list[Path]:
    """Returns the PNG below each kind's folder for each input: `a/1.png` for `a/1.jpg`.

    Where two pictures of a folder differ in their suffix alone, all names of that folder keep theirs: `a/1.jpg.png`.
    Case doesn't tell names apart, for not every file system does.
    """
    taken = Counter((path.parent, path.stem.casefold()) for path in relatives)
    clashing = {parent for (parent, _), count in taken.items() if count > 1}
    return [path.parent / ((path.name if path.parent in clashing else path.stem) + ".png") for path in relatives]


class PictureWriter:
    """Writes the wanted kinds of picture for each prediction.

    Attributes:
        folder: where the folders of the kinds lie.
        written: pictures so far.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], label_set: LabelSet) -> None:
        self.folder = folder
        self.kinds = tuple(kinds)
        self.written = 0
        self._label_set = label_set
        self._to_label_ids = label_set.to_label_ids()

    def check_apart_from(self, inputs: Sequence[Path]) -> None:
        """Checks that no picture to be written could replace an input or become one in the next run.

        Raises:
            SegError: an input lies in a folder that will be written to.
        """
        targets = [(self.folder / kind).resolve() for kind in self.kinds]
        for path in inputs:
            for target in targets:
                if path.resolve().is_relative_to(target):
                    raise SegError(f"The input {path} lies in {target}, where results would go; choose another --output.")

    def write(self, name: Path, frame_bgr: UInt8Array, prediction: Prediction) -> None:
        """Writes one PNG per kind.

        Args:
            name: below the folder of each kind, as `output_names` gives it.
            frame_bgr: (H, W, 3).
            prediction: of this frame, with confidence where that kind is wanted.
        """
        for kind in self.kinds:
            write_image(self.folder / kind / name, self._picture(kind, frame_bgr, prediction))
            self.written += 1

    def _picture(self, kind: str, frame_bgr: UInt8Array, prediction: Prediction) -> UInt8Array:
        train_ids = prediction.train_ids
        if kind == "confidence":
            assert prediction.confidence is not None
            return np.rint(prediction.confidence * 255).astype(np.uint8)
        if kind == "train-ids":
            return train_ids
        if kind == "label-ids":
            return cv2.LUT(train_ids, self._to_label_ids).astype(np.uint8, copy=False)
        if kind == "color":
            return colorize(train_ids, self._label_set)
        return overlay(frame_bgr, train_ids, self._label_set)


class Submission:
    """What a test server takes: a PNG of label ids for each frame, all in one folder, and a zip of them beside it.

    Args:
        folder: for the PNGs and the zip, made where it isn't there.
        frames: the samples' names, all that will be written.
        ending: of the PNGs' names, behind the frame's.
        label_set: gives the label ids.
        zip_name: of the zip. One that an earlier run left is removed, so that there is none but of these predictions.

    Raises:
        SegError: the folder can't be written, or holds other PNGs: a server's evaluator would take them for predictions.
    """

    def __init__(self, folder: Path, frames: Iterable[str], ending: str, label_set: LabelSet, zip_name: str) -> None:
        self.folder, self.zip_path = folder, folder / zip_name
        self._files = {name: folder / f"{Path(name).name}{ending}" for name in frames}
        self._to_label_ids = label_set.to_label_ids()
        check_writable_folder(folder)
        others = sorted(set(folder.rglob("*.png")) - set(self._files.values()))
        if others:
            raise SegError(f"--submit {folder} holds other pictures, such as {others[0]}, which would be taken for predictions. "
                           "Give an empty folder.")
        self.zip_path.unlink(missing_ok=True)

    def write(self, frame: str, train_ids: UInt8Array) -> None:
        """Writes the PNG of a frame; train ids are (H, W)."""
        write_image(self._files[frame], cv2.LUT(train_ids, self._to_label_ids).astype(np.uint8, copy=False))

    def pack(self) -> str:
        """Writes the zip, flat, of the PNGs of all frames; returns a sentence that says where."""
        with atomic_write(self.zip_path) as file, ZipFile(file, "w") as archive:  # stored: PNGs don't get smaller
            for path in self._files.values():
                archive.write(path, path.name)
        megabytes = self.zip_path.stat().st_size / 1e6
        return f"Submission: {self.zip_path}, {len(self._files)} PNGs of label ids, {megabytes:.1f} MB."
