"""Writes the cache of a split: its place on the disk is taken first, a sample is noted when it is whole, the name comes last.

While it is written, `.NAME.part` fills sample by sample beside its place, and `.NAME.journal` notes each by what it
follows from. So a killed run goes on: what the journal names and still has its checksum is kept. A cache that is
there is untouched until the new one is whole.
"""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from datasets.base import Reader, UInt8Array, check_not_tiny
from datasets.cache.store import DIGITS, FORMAT, Facts, Store, checksum, differences, facts_of, path_of
from datasets.sizes import size_of
from seg.errors import SegError
from seg.files import check_writable_folder, publish

Track = Callable[[Iterable[Any]], Iterable[Any]]
_PAGE = 4096  # bytes; heads end at a page, so that one of another length seldom moves what follows


class Place(NamedTuple):
    """Where a sample stands in the file [bytes], and how large its picture is [px]."""

    offset: int
    size_hw: tuple[int, int]
    labelled: bool

    @property
    def length(self) -> int:
        """Bytes of picture and labels."""
        return self.size_hw[0] * self.size_hw[1] * (4 if self.labelled else 3)


class CacheWriter:
    """Writes the cache of a split, or finds that it is there.

    Args:
        folder: that it goes into.
        reader: of the split.
        kind: the data set's name.
        track: wraps a sequence, to show progress: a cache that is there is read to its end, else the pictures' heads are.

    Attributes:
        path: of the cache.
        size: that it has or will have [bytes].
        why: why one that is there is written anew, a sentence; empty where there is none, or all is well.

    Raises:
        SegError: the size of a picture can't be read, or the path is taken by something else.
    """

    def __init__(self, folder: Path, reader: Reader, kind: str, track: Track = iter) -> None:
        self.reader, self.path = reader, path_of(folder, reader, kind)
        self.facts = facts_of(reader, kind)
        self.why = ""
        self._part, self._journal, self._lock = (folder / f".{self.path.name}.{end}" for end in ("part", "journal", "lock"))
        self.is_there = self.path.exists()
        if self.is_there:
            self.why = self._why_anew(track)
            self.is_there = not self.why
        if self.is_there:
            self.size = self.path.stat().st_size
            return
        self._sizes = [size_of(reader.samples[index].image_path) for index in track(range(len(reader)))]
        self._head, self._places = _layout(self.facts, self._sizes, reader)
        self.size = self._places[-1].offset + self._places[-1].length

    def _why_anew(self, track: Track) -> str:
        """Says why the cache that is there can't stay; nothing where it can."""
        try:
            store = Store(self.path)
        except SegError as error:
            if "is damaged" not in str(error):
                raise
            return f"{self.path} is damaged; it is written anew."
        changed = differences(store.facts, self.facts)
        if changed:
            if store.root != str(self.reader.root.resolve()) and Path(store.root).is_dir():
                raise SegError(f"{self.path} is the cache of {store.root}, a folder of the same name; give another --output.")
            return f"{self.path} is of another state of {self.reader.root} ({changed}); it is written anew."
        faults = store.verify(track)
        return f"{faults[0]} All of it is written anew." if faults else ""

    def missing_bytes(self) -> int:
        """Returns how much of the disk the work will take: nothing where the cache is there, and less what it has taken."""
        if self.is_there:
            return 0
        with suppress(OSError):
            return max(0, self.size - self._part.stat().st_blocks * 512)
        return self.size

    def write(self, track: Track = iter, go_on: Callable[[], bool] = lambda: True) -> tuple[int, list[str]]:
        """Writes what is missing, and gives the cache its name once all of it is there.

        Args:
            track: wraps a sequence of indices, to show progress.
            go_on: asked before each sample.

        Returns:
            How many samples were kept from an earlier run, and a sentence for each that can't be read; with any of these there
            is no cache.

        Raises:
            SegError: another process writes it, or the disk is full. Then all that this run took is given back.
        """
        check_writable_folder(self.path.parent)
        try:
            with FileLock(self._lock, timeout=0):
                return self._write(track, go_on)
        except Timeout:
            raise SegError(f"Another process is writing {self.path}.") from None

    def _write(self, track: Track, go_on: Callable[[], bool]) -> tuple[int, list[str]]:
        faults = list[str]()
        with self._gives_back(), self._part.open("r+b" if self._part.exists() else "w+b", buffering=0) as part:
            checksums = self._kept(part)
            kept = len(checksums)
            _reserve(part.fileno(), self.size)
            with self._journal.open("ab", buffering=0) as journal:
                for index in track([index for index in range(len(self.reader)) if index not in checksums]):
                    if not go_on():
                        return kept, faults
                    try:
                        image_rgb, train_ids = self._decode(index)
                    except SegError as fault:  # the others are written all the same, and needn't be again
                        faults.append(str(fault))
                        continue
                    _write_at(part.fileno(), self._places[index].offset, image_rgb, train_ids)
                    checksums[index] = checksum(image_rgb, train_ids)
                    journal.write(f"{self._key(index)} {checksums[index]}\n".encode())
            if faults:
                return kept, faults
            texts = "".join(checksums[index] for index in range(len(self.reader)))
            head = self._head.replace(b"0" * len(texts), texts.encode(), 1)
            os.pwrite(part.fileno(), head, 0)
            os.fsync(part.fileno())
            publish(self._part, self.path)
        self._journal.unlink(missing_ok=True)
        return kept, faults

    @contextmanager
    def _gives_back(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            for path in (self._part, self._journal):
                path.unlink(missing_ok=True)
            there = " The one that is there is untouched." if self.path.exists() else ""
            raise SegError(f"Can't write {self.path}: {error.strerror or error}.{there}") from None

    def _decode(self, index: int) -> tuple[UInt8Array, UInt8Array | None]:
        image_rgb, train_ids = self.reader.read(index)
        path, place = self.reader.samples[index].image_path, self._places[index]
        check_not_tiny(image_rgb, path)
        if image_rgb.shape[:2] != place.size_hw:
            (h, w), (head_h, head_w) = image_rgb.shape[:2], place.size_hw
            raise SegError(f"{path} is {w}x{h}, but its head says {head_w}x{head_h} (width x height); save it anew.")
        if place.labelled and train_ids is None:
            raise SegError(f"{self.reader.samples[index].label_path} holds no label that counts; leave the split out.")
        return image_rgb, train_ids

    def _kept(self, part: Any) -> dict[int, str]:
        """Returns the checksums of the samples that an earlier run has written whole, by index."""
        noted = dict[str, str]()
        with suppress(FileNotFoundError):
            for line in self._journal.read_bytes().split(b"\n")[:-1]:  # behind the last one a line may have been cut off
                key, _, text = line.decode("ascii", "replace").partition(" ")
                noted[key] = text
        kept = dict[int, str]()
        for index, place in enumerate(self._places):
            if (before := noted.get(self._key(index))) is not None:
                data = np.frombuffer(os.pread(part.fileno(), place.length, place.offset), np.uint8)
                if len(data) == place.length and checksum(data, None) == before:
                    kept[index] = before
        return kept

    def _key(self, index: int) -> str:
        name = self.reader.samples[index].name
        what = [self.facts["kind"], self.facts["meaning"], name, self.facts["samples"][name], self._places[index]]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _layout(facts: Facts, sizes: list[tuple[int, int]], reader: Reader) -> tuple[bytes, list[Place]]:
    """Returns the head of the file, with zeros for checksums, and where each sample stands."""
    header: dict[str, Any] = {"__metadata__": {
        "crc32": "0" * DIGITS * len(sizes), "format": FORMAT, "root": str(reader.root.resolve()), "facts": json.dumps(facts)}}
    starts, end = list[int](), 0
    for sample, (height, width) in zip(reader.samples, sizes, strict=True):
        starts.append(end)
        shapes = {"images": [height, width, 3], **({"labels": [height, width]} if sample.label_path is not None else {})}
        for what, shape in shapes.items():
            begin, end = end, end + int(np.prod(shape))
            header[f"{what}/{sample.name}"] = {"dtype": "U8", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _PAGE)
    head = struct.pack("<Q", len(text)) + text
    return head, [Place(len(head) + start, size, sample.label_path is not None)
                  for start, size, sample in zip(starts, sizes, reader.samples, strict=True)]


def _reserve(file: int, size: int) -> None:
    """Takes the disk for a file now, where the system can, so that it can't run full in the midst of the work."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    os.ftruncate(file, size)


def _write_at(file: int, offset: int, image_rgb: UInt8Array, train_ids: UInt8Array | None) -> None:
    for array in (image_rgb, train_ids):
        if array is None:
            continue
        data = np.ascontiguousarray(array).data.cast("B")
        while data:  # a write may stop early
            written = os.pwrite(file, data, offset)
            data, offset = data[written:], offset + written


def check_space(folder: Path, needed: int) -> None:
    """Refuses what the disk has no room for.

    Raises:
        SegError: it hasn't.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SegError(f"The cache takes {needed / 1e9:.1f} GB more, and the disk of {folder} has {free / 1e9:.1f} GB free. Give "
                       "an --output on another one, or make room.")
