"""What one run leaves for the next: compiled networks and choices, in the user's cache folder.

The folder is LRASPP_CACHE_DIR (empty: nothing is kept), else `lraspp` in the system's own place for caches. An entry is one
file: the facts that it holds for, the hash of its data, and the data. It is believed only if it carries exactly the facts
that are asked for and its data has its hash; anything else counts as missing and is written again. So an entry that is cut
off, damaged, or made for other weights, another processor or another version costs time and nothing else.
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
PATIENCE_S = 60.0  # that another process which does the same is waited for
LIMIT_BYTES = 512 * 2**20  # beyond it those that were not used for longest make room; a compiled network takes some MB

Facts = Mapping[str, Any]


def default_folder() -> Path | None:
    """Returns where this user's entries lie; None where nothing is to be kept, or there is no home."""
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
    here = machine.describe()
    return {"cpu": here.cpu, "cpu_features": here.cpu_features, "cores": here.cores, "versions": machine.versions_of(packages)}


class Cache:
    """Entries on disk. Reading and writing never fail: what can't be read is missing, what can't be written is noted.

    Args:
        folder: made when something is first written; None to keep nothing.

    Attributes:
        note: why nothing could be kept, for the user; None while all is well.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.note: str | None = None

    def read(self, kind: str, facts: Facts) -> bytes | None:
        """Returns the data that was written for just these facts; None if there is none that can be believed.

        Args:
            kind: what it is, the first part of the file's name.
            facts: plain types, as for JSON.
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
            os.utime(path)  # it was of use now
        return data

    def write(self, kind: str, facts: Facts, data: bytes) -> None:
        """Keeps data under these facts, in place of what was there."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # code will be made of what lies here
            with atomic_write(self._path(kind, facts)) as file:
                file.write(_head(facts) + hashlib.sha256(data).digest() + data)
        except (SegError, OSError):
            self.note = f"The cache folder {self.folder} can't be written, so that the next start takes as long as this one."
            return
        self._make_room()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Of all processes and threads that use the folder, lets one at a time into the block.

        It is a help as well: where nothing is kept, or another stays inside for too long, the block is entered all the same.
        """
        if self.folder is None:
            yield
            return
        from filelock import FileLock, Timeout  # here, because it takes a part of start-up, and is seldom needed

        lock = FileLock(self.folder / f".{name}.lock")
        with suppress(OSError, NotImplementedError, Timeout):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire(PATIENCE_S)
        try:
            yield
        finally:
            lock.release()

    def _path(self, kind: str, facts: Facts) -> Path:
        assert self.folder is not None
        return self.folder / f"{kind}-{hashlib.sha256(_head(facts)).hexdigest()[:32]}"

    def _make_room(self) -> None:
        assert self.folder is not None
        with suppress(OSError):  # another process may be at the same
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
