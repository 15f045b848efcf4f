"""One split of a data set, decoded, in one file: what stands in it, and how it is read.

It is a safetensors file (https://github.com/huggingface/safetensors#format) of uint8: `images/NAME` (H, W, 3) RGB
and, where there are labels, `labels/NAME` (H, W) train ids. Its metadata carries the checksum of each sample, and the
facts that it holds for: what the labels mean, and of each source file path, size and time. A file whose facts aren't
those of the data set as it is now is not used.
"""

import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import Reader, Sample, UInt8Array
from seg.errors import SegError
from seg.headers import safetensors_header

FORMAT = "lraspp decoded data set 1"
DIGITS = 8  # of a checksum, which is CRC-32 in hexadecimal

Facts = dict[str, Any]


def facts_of(reader: Reader, kind: str) -> Facts:
    """Returns what the decoded samples of a reader follow from, as plain types.

    Raises:
        SegError: a file is gone.
    """
    facts: Facts = json.loads(json.dumps({"kind": kind, "split": reader.split, "meaning": reader.meaning()}))
    facts["samples"] = {sample.name: _identity(sample, reader.root) for sample in reader.samples}
    return facts


def _identity(sample: Sample, root: Path) -> list[Any]:
    """Path below the root, size [bytes] and time of change [ns] of a sample's files."""
    files = list[Any]()
    for path in (sample.image_path, sample.label_path):
        if path is None:
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise SegError(f"{path} can't be read: {error.strerror or error}.") from None
        files += [Path(os.path.relpath(path, root)).as_posix(), status.st_size, status.st_mtime_ns]
    return files


def differences(then: Facts, now: Facts) -> str:
    """Says what has changed between the facts of a cache and those of the data set, the end of a sentence; empty if nothing."""
    for key, what in (("kind", "kind"), ("split", "split"), ("meaning", "classes")):
        if then.get(key) != now[key]:
            return f"its {what} {'have' if what == 'classes' else 'has'} changed"
    before, after = then.get("samples", {}), now["samples"]
    for names, what in ((after.keys() - before.keys(), "new"), (before.keys() - after.keys(), "gone"),
                        ({name for name in after.keys() & before.keys() if before[name] != after[name]}, "changed")):
        if names:
            return f"{len(names)} of its frames {'are' if len(names) > 1 else 'is'} {what}, such as {min(names)}"
    return ""


def path_of(folder: Path, reader: Reader, kind: str) -> Path:
    """Returns the file in `folder` that holds a split."""
    return folder / f"{reader.root.resolve().name}.{kind}.{reader.split}.safetensors"


def command(folder: Path, reader: Reader, kind: str) -> str:
    """Returns what writes that file."""
    return f"lraspp cache {reader.root} --dataset {kind} --split {reader.split} --output {folder}"


class Store:
    """The decoded samples of a split, mapped into memory: what isn't looked at isn't read.

    Args:
        path: of the file.

    Attributes:
        facts: that it holds for.
        names: of the samples.
        root: the data set's folder when it was written.

    Raises:
        SegError: it isn't there, is damaged, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            header, self._begin = safetensors_header(path)
            metadata = header.pop("__metadata__")
            known = metadata["format"] == FORMAT
            self.facts: Facts = json.loads(metadata["facts"]) if known else {}
            self.root: str = metadata.get("root", "")
            self._checksums: str = metadata.get("crc32", "")
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise SegError(f"There is no cache {path}.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SegError(f"The cache {path} is damaged ({error}). Remove it.") from None
        if not known:
            raise SegError(f"{path} is no cache of a data set: its format is {metadata['format']!r:.60}.")
        self._tensors: dict[str, Any] = header
        self.names = list(self.facts["samples"])

    @classmethod
    def of(cls, folder: Path, reader: Reader, kind: str) -> "Store":
        """Opens the cache of a split, and makes sure that it is of the data set as it is now.

        Raises:
            SegError: there is none, or it is of another state; the message names the command that makes it.
        """
        path = path_of(folder, reader, kind)
        if not path.is_file():
            raise SegError(f"{folder} holds no cache of the split {reader.split!r} of {reader.root}. Make it: "
                           f"{command(folder, reader, kind)}")
        store = cls(path)
        changed = differences(store.facts, facts_of(reader, kind))
        if changed:
            raise SegError(f"The cache {path} is of another state of {reader.root}: {changed}. Make it anew: "
                           f"{command(folder, reader, kind)}")
        return store

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return type(self), (self.path,)  # a worker that is spawned maps the file itself

    def read(self, name: str) -> tuple[UInt8Array, UInt8Array | None]:
        """Returns the sample of a name as `Reader.read` does, but as views of the file that can't be written to."""
        return self._array(f"images/{name}"), self._array(f"labels/{name}") if f"labels/{name}" in self._tensors else None

    def _array(self, name: str) -> UInt8Array:
        entry = self._tensors[name]
        begin, end = entry["data_offsets"]
        return np.frombuffer(self._map, np.uint8, end - begin, self._begin + begin).reshape(entry["shape"])

    def verify(self, track: Callable[[Iterable[str]], Iterable[str]] = iter) -> list[str]:
        """Reads everything and returns a sentence for each sample that isn't as it was written."""
        digits = iter(self._checksums)
        faults = list[str]()
        for name in track(self.names):
            if checksum(*self.read(name)) != "".join(islice(digits, DIGITS)):
                faults.append(f"{name} in the cache {self.path} is damaged.")
        return faults


def checksum(image_rgb: UInt8Array, train_ids: UInt8Array | None) -> str:
    """Returns the checksum of a sample."""
    value = zlib.crc32(np.ascontiguousarray(image_rgb).data)
    if train_ids is not None:
        value = zlib.crc32(np.ascontiguousarray(train_ids).data, value)
    return f"{value:0{DIGITS}x}"
