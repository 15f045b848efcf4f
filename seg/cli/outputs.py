"""Writes predictions: pictures, with unique names in OUTPUT/KIND/, which mirrors the tree of the inputs; and submissions."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np

from seg.errors import SegError, did_you_mean
from seg.files import UInt8Array, atomic_write, check_writable_folder, write_image
from seg.flow import Ending, Segmented, Stream
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

    If two pictures of a folder differ only in their suffix, all names of that folder keep their suffix: `a/1.jpg.png`.
    Names that differ only in case count as equal, because some file systems ignore case.
    """
    taken = Counter((path.parent, path.stem.casefold()) for path in relatives)
    clashing = {parent for (parent, _), count in taken.items() if count > 1}
    return [path.parent / ((path.name if path.parent in clashing else path.stem) + ".png") for path in relatives]


class PictureWriter:
    """Writes the wanted kinds of picture for each prediction; a `seg.flow.Sink`.

    Attributes:
        folder: where the folders of the kinds lie.
        written: number of pictures written so far.
        frames: number of frames whose pictures are all written.
        faults: a list for messages on what can't be written, instead of an error; None raises the error.
    """

    name = "pictures"
    in_callers_thread = False

    def __init__(self, folder: Path, kinds: Sequence[str], label_set: LabelSet,
                 naming: Callable[[Segmented], str] = lambda item: item.sample.name,
                 shown: Collection[int] | None = None) -> None:
        """Says what goes where.

        Args:
            folder: see above.
            kinds: some of `KINDS`.
            label_set: gives colours and label ids.
            naming: gives the PNG's name below the folder of each kind.
            shown: train ids that overlays and colours show; None for all.
        """
        self.folder = folder
        self.delays_ms: dict[int, float] = {}
        self._naming = naming
        self.kinds = tuple(kinds)
        self.written = self.frames = 0
        self.faults: list[str] | None = None
        self._label_set, self._shown = label_set, shown
        self._to_label_ids = label_set.to_label_ids()

    def check_apart_from(self, inputs: Sequence[Path]) -> None:
        """Checks that no picture to be written could replace an input or become one in the next run.

        Raises:
            SegError: an input is in a folder that will be written to.
        """
        targets = [(self.folder / kind).resolve() for kind in self.kinds]
        for path in inputs:
            for target in targets:
                if path.resolve().is_relative_to(target):
                    raise SegError(f"The input {path} is in {target}, where results would go; choose another --output.")

    def open(self, stream: Stream) -> None:
        """Makes sure that the folder can be written, if anything will be written."""
        if self.kinds:
            check_writable_folder(self.folder)

    def take(self, item: Segmented) -> bool:
        """Writes one PNG per kind."""
        try:
            for kind in self.kinds:
                write_image(self.folder / kind / self._naming(item), self._picture(kind, item.frame_bgr, item.prediction))
                self.written += 1
        except SegError as fault:
            if self.faults is None:
                raise
            self.faults.append(str(fault))
        else:
            self.frames += 1
        return True

    def close(self, ending: Ending) -> None:
        """Does nothing: each picture is already complete."""

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
            return colorize(train_ids, self._label_set, self._shown)
        return overlay(frame_bgr, train_ids, self._label_set, shown=self._shown)


class Submission:
    """What a test server takes, as a `seg.flow.Sink`: a PNG of label ids for each frame, all in one folder, and a zip of them.

    Attributes:
        packed: a sentence that says where the zip is; None while there is none.

    Args:
        folder: for the PNGs and the zip; it is made if it is missing.
        frames: the names of all samples that will be written.
        ending: of the PNGs' names, after the frame's name.
        label_set: gives the label ids.
        zip_name: of the zip. One of an earlier run is removed, so that a zip always holds the current predictions.

    Raises:
        SegError: the folder can't be written, or holds other PNGs: a server's evaluator would take them for predictions.
    """

    name = "submission"
    in_callers_thread = False

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
        self.delays_ms: dict[int, float] = {}
        self.packed: str | None = None

    def open(self, stream: Stream) -> None:
        """Does nothing: the folder was checked."""

    def take(self, item: Segmented) -> bool:
        """Writes the PNG of a frame."""
        write_image(self._files[item.sample.name], cv2.LUT(item.train_ids, self._to_label_ids).astype(np.uint8, copy=False))
        return True

    def close(self, ending: Ending) -> None:
        """Writes a zip, without folders, of the PNGs of all frames; none if some are missing."""
        if ending is not Ending.WHOLE:
            return
        with atomic_write(self.zip_path) as file, ZipFile(file, "w") as archive:  # uncompressed: PNGs don't get smaller
            for path in self._files.values():
                archive.write(path, path.name)
        megabytes = self.zip_path.stat().st_size / 1e6
        self.packed = f"Submission: {self.zip_path}, {len(self._files)} PNGs of label ids, {megabytes:.1f} MB."
