"""What one run keeps for the next: compiled networks and choices, in the user's cache folder.

The folder is LRASPP_CACHE_DIR (empty: nothing is kept), otherwise `lraspp` in the system's cache folder. An entry is one
file: the facts that it is valid for, the hash of its data, and the data. It is used only if its facts are exactly those
asked for and its data matches the hash; anything else counts as missing and is written again. So an entry that is truncated,
damaged, or made for other weights, another processor or another version costs only time.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seg import machine
from seg.errors import SegError
from seg.files import atomic_write, is_hidden

FORMAT = b"lraspp cache 1\n"
PATIENCE_S = 60.0  # for another process that does the same work
LIMIT_BYTES = 512 * 2**20  # above it, the entries that were unused for longest are deleted; a compiled network takes some MB

Facts = Mapping[str, Any]


def default_folder() -> Path | None:
    """Returns the folder of this user's entries; None if nothing is to be kept, or there is no home folder."""
    if "LRASPP_CACHE_DIR" in os.environ:
        given = os.environ["LRASPP_CACHE_DIR"]
        return Path(given) if given else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "lraspp"
    if sys.platform == "darwin":
        return home / "Library/Caches/lraspp"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "lraspp"


def this_machine(*packages: str) -> dict[str, Any]:
    """Returns the facts on which compiled code and speed depend: the processor, and the versions of packages."""
    cpu, features = machine.processor()
    return {"cpu": cpu, "cpu_features": features, "cores": machine.usable_cores(), "versions": machine.versions_of(packages)}


class Cache:
    """Entries on disk. Reading and writing never fail: an unreadable entry counts as missing, and a failed write sets `note`.

    Args:
        folder: created at the first write; None keeps nothing.

    Attributes:
        note: why nothing could be kept, as a sentence for the user; None if there was no problem.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.note: str | None = None

    def read(self, kind: str, facts: Facts) -> bytes | None:
        """Returns the data that was written for exactly these facts; None if there is no valid entry.

        Args:
            kind: kind of entry, the first part of the file's name.
            facts: plain types that JSON can hold.
        """
        if self.folder is None:
            return None
        path = self._path(kind, facts)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        head = _head(facts)
        digest, data = content[len(head):len(head) + 32], content[len(head) + 32:]
        if not content.startswith(head) or digest != hashlib.sha256(data).digest():
            return None
        with suppress(OSError):
            os.utime(path)  # marks it as used
        return data

    def write(self, kind: str, facts: Facts, data: bytes) -> None:
        """Keeps data under these facts; replaces an earlier entry."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # private, because code is loaded from here
            with atomic_write(self._path(kind, facts)) as file:
                file.write(_head(facts) + hashlib.sha256(data).digest() + data)
        except (SegError, OSError):
            self.note = f"The cache folder {self.folder} can't be written, so that the next start takes as long as this one."
            return
        self._make_room()

    @contextmanager
    def lock(self, name: str, patience_s: float = PATIENCE_S) -> Iterator[bool]:
        """Lets only one process or thread that uses the folder into the block at a time; gives False if there is another.

        The lock only saves work: if nothing is kept, or another process stays inside for too long, the block is entered anyway.

        Args:
            name: of the lock.
            patience_s: how long to wait for another process.
        """
        if self.folder is None:
            yield True
            return
        from filelock import FileLock, Timeout  # here, because it takes a part of start-up and is seldom needed

        lock, alone = FileLock(self.folder / f".{name}.lock"), True
        with suppress(OSError, NotImplementedError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                lock.acquire(patience_s)
            except Timeout:
                alone = False
        try:
            yield alone
        finally:
            lock.release()

    def _path(self, kind: str, facts: Facts) -> Path:
        assert self.folder is not None
        return self.folder / f"{kind}-{hashlib.sha256(_head(facts)).hexdigest()[:32]}"

    def _make_room(self) -> None:
        assert self.folder is not None
        with suppress(OSError):  # another process may delete the same entries
            entries = [(status.st_mtime, status.st_size, path) for path in self.folder.iterdir()
                       if path.is_file() and not is_hidden(path) and (status := path.stat())]
            total = sum(size for _, size, _ in entries)
            for _, size, path in sorted(entries):
                if total <= LIMIT_BYTES:
                    break
                path.unlink(missing_ok=True)
                total -= size


def _head(facts: Facts) -> bytes:
    return FORMAT + json.dumps(facts, sort_keys=True).encode() + b"\n"
