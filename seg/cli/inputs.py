"""The sources of `infer.py` other than videos: pictures, and the samples of a data set.

Those that can't be read or labelled are left out. The others are still processed, and the failures are listed at the end.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from seg.errors import SegError
from seg.evaluate import EvalSample, read_sample
from seg.files import UInt8Array, read_image_bgr, spread
from seg.flow import Stream

T = TypeVar("T")


class _Files(ABC, Generic[T]):
    """A `seg.flow.Source` of files, in the order given.

    Attributes:
        faults: a sentence for each file that was left out, with its name and what was wrong.
    """

    def __init__(self, name: str, items: Sequence[T], check: Callable[[UInt8Array], None]) -> None:
        """Takes one item for each file, and a check that refuses a frame that can't be labelled."""
        self.faults: list[str] = []
        self._name, self._items, self._check = name, items, check
        self._taken = 0

    @abstractmethod
    def _read(self, item: T) -> EvalSample:
        """Reads one; raises a `SegError` if it can't be read."""

    @abstractmethod
    def _path(self, item: T) -> Path:
        """Returns where its frame is."""

    def open(self) -> Stream:
        return Stream(self._name, len(self._items))

    def take(self) -> EvalSample | None:
        while self._taken < len(self._items):
            item = self._items[self._taken]
            self._taken += 1
            try:
                return self._usable(item)
            except SegError as fault:
                path = str(self._path(item))
                self.faults.append(str(fault) if path in str(fault) else f"{path}: {fault}")
        return None

    def preview(self, count: int) -> Iterator[UInt8Array]:
        for item in spread(self._items, count):
            with suppress(SegError):  # the error is reported when its turn comes
                yield self._usable(item).frame_bgr

    def interrupt(self) -> None:
        pass

    def check_end(self) -> None:
        if self.faults:
            raise SegError(self.faults[0])

    def close(self) -> None:
        pass

    def _usable(self, item: T) -> EvalSample:
        sample = self._read(item)
        self._check(sample.frame_bgr)
        return sample


class PictureFiles(_Files[tuple[str, Path]]):
    """Pictures: pairs of name and path."""

    def __init__(self, pictures: Sequence[tuple[str, Path]], check: Callable[[UInt8Array], None]) -> None:
        super().__init__("pictures", pictures, check)

    def _read(self, item: tuple[str, Path]) -> EvalSample:
        name, path = item
        return EvalSample(name, read_image_bgr(path))

    def _path(self, item: tuple[str, Path]) -> Path:
        return item[1]


class DataSet(_Files[int]):
    """Samples of a data set's reader, by index, with their truth."""

    def __init__(self, reader: Any, indices: Sequence[int], check: Callable[[UInt8Array], None]) -> None:
        super().__init__(str(reader.label_set.name), indices, check)
        self._reader = reader

    def _read(self, item: int) -> EvalSample:
        return read_sample(self._reader, item)

    def _path(self, item: int) -> Path:
        return Path(self._reader.samples[item].image_path)
