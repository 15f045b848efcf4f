"""What `infer.py` reads that is no video, as sources: pictures, and the samples of a data set."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2

from seg.errors import SegError
from seg.evaluate import EvalSample, read_sample
from seg.files import UInt8Array, read_image_bgr, spread
from seg.flow import Stream


class PictureFiles:
    """Pictures, in the order given; a `seg.flow.Source`. One that can't be read is left out.

    Attributes:
        faults: what was wrong with those.
    """

    def __init__(self, pictures: Sequence[tuple[str, Path]]) -> None:
        """Takes pairs of the name that a picture goes by and its path."""
        self.faults: list[SegError] = []
        self._pictures = pictures
        self._read = 0

    def open(self) -> Stream:
        return Stream("pictures", len(self._pictures))

    def take(self) -> EvalSample | None:
        while self._read < len(self._pictures):
            name, path = self._pictures[self._read]
            self._read += 1
            try:
                return EvalSample(name, read_image_bgr(path))
            except SegError as fault:  # the others are worked on all the same; what failed is said at the end
                self.faults.append(fault)
        return None

    def preview(self, count: int) -> Iterator[UInt8Array]:
        for _, path in spread(self._pictures, count):
            with suppress(SegError):  # it is said when its turn comes
                yield read_image_bgr(path)

    def check_end(self) -> None:
        if self.faults:
            raise self.faults[0]

    def close(self) -> None:
        pass


class DataSet:
    """Samples of a data set's reader, with their truth; a `seg.flow.Source`."""

    def __init__(self, reader: Any, indices: Sequence[int]) -> None:
        """Says which samples."""
        self._reader, self._indices = reader, indices
        self._read = 0

    def open(self) -> Stream:
        return Stream(str(self._reader.label_set.name), len(self._indices))

    def take(self) -> EvalSample | None:
        if self._read == len(self._indices):
            return None
        self._read += 1
        return read_sample(self._reader, self._indices[self._read - 1])

    def preview(self, count: int) -> Iterator[UInt8Array]:
        for i in spread(self._indices, count):
            yield cv2.cvtColor(self._reader.read(i)[0], cv2.COLOR_RGB2BGR)

    def check_end(self) -> None:
        pass

    def close(self) -> None:
        pass
