"""Reads pictures and settings, with errors that name the file; writes files atomically; mirrors folders.

Nothing here leaves a half-written file behind: everything is written under a temporary name in the target folder and
renamed when it is whole.
"""

import functools
import glob
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from seg.errors import SegError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif", ".gif",
                            ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"})
OTHER_IMAGE_SUFFIXES = frozenset({".heic", ".heif", ".jxl", ".psd", ".tga", ".svg", ".exr", ".hdr", ".raw", ".dng", ".cr2",
                                  ".cr3", ".nef", ".arw"})  # OpenCV doesn't read these: they are skipped, and the user is told

UInt8Array = npt.NDArray[np.uint8]
UInt16Array = npt.NDArray[np.uint16]
T = TypeVar("T")


_stderr_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps lines of C libraries, such as libpng's, out of standard error; our own message says in one sentence what is wrong."""
    with _stderr_lock:
        try:
            kept = os.dup(2)
        except OSError:  # standard error is closed
            yield
            return
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise SegError(f"There is no file {path}.") from None
    except (IsADirectoryError, PermissionError, OSError) as error:
        raise SegError(f"{path} can't be read: {error.strerror or error}.") from None
    try:
        image = decode(data, flags)
    except TooManyPixels:
        raise SegError(f"{path} claims to have more pixels than OpenCV reads ({data.size} bytes); it is damaged, or must be made "
                       "smaller first.") from None
    if image is None:
        what = "is empty" if not data.size else "is not a picture that OpenCV can decode, or it is damaged"
        raise SegError(f"{path} {what} ({data.size} bytes).")
    return image


class TooManyPixels(ValueError):
    """A picture claims a size for which OpenCV does not allocate memory."""


def decode(data: npt.NDArray[np.uint8], flags: int) -> np.ndarray | None:
    """Decodes a picture that is in memory; None if it is damaged or not a picture.

    Raises:
        TooManyPixels: its header claims more than OpenCV's limit; this is checked before memory is allocated.
    """
    try:
        with _quiet():
            return cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise TooManyPixels from None
        return None


def read_image_bgr(path: str | Path) -> UInt8Array:
    """Reads a picture as (H, W, 3) uint8 BGR. Grey, RGBA and 16-bit pictures are converted, EXIF orientation is applied.

    Raises:
        SegError: the file is missing, unreadable or not a picture, or has 10 or 12 bits in the lower end of 16.
    """
    path = Path(path)
    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16:
        largest = int(image.max())
        if 0 < largest < 2**12:
            bits = max(10, largest.bit_length())
            raise SegError(f"{path} has 16 bits per value and none above {largest}: it seems to hold data of {bits} bits, which "
                           "would be seen as nearly black. Scale the values to all 16 bits, or save it in 8.")
        image = image >> 8
    if image.dtype not in (np.uint8, np.uint16):
        raise SegError(f"{path} holds {image.dtype} values; pictures have 8 or 16 bits per value.")
    return image.astype(np.uint8, copy=False)


def read_labels(path: str | Path) -> UInt8Array:
    """Reads a label picture unchanged: (H, W) uint8 of ids, or (H, W, 3) uint8 RGB where labels are colours.

    Raises:
        SegError: the file is missing, unreadable or not 8-bit.
    """
    path = Path(path)
    labels = _decode(path, cv2.IMREAD_UNCHANGED)
    if labels.dtype != np.uint8:
        raise SegError(f"{path} holds {labels.dtype} values; label pictures are 8-bit.")
    if labels.ndim == 2:
        return labels
    return np.ascontiguousarray(labels[:, :, 2::-1])  # BGR(A) -> RGB


def read_instance_ids(path: str | Path) -> UInt16Array:
    """Reads a picture of instance ids: (H, W) uint16.

    Raises:
        SegError: the file is missing, unreadable, or not a picture of one channel of 8 or 16 bits.
    """
    path = Path(path)
    ids = _decode(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim != 2 or ids.dtype not in (np.uint8, np.uint16):
        raise SegError(f"{path} holds {ids.dtype} {ids.shape}; pictures of instance ids have one channel of 16 bits.")
    return ids.astype(np.uint16, copy=False)


def publish(temporary: str | Path, path: str | Path) -> None:
    """Renames a finished file of `tempfile.mkstemp` to its name in the same folder, with the permissions of a new file.

    Raises:
        OSError: it can't be renamed.
    """
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
    os.replace(temporary, path)


def temporary_prefix(path: Path) -> str:
    """Returns the beginning of a temporary file's name: hidden, never too long, and it shows which file was being made."""
    return f".{os.fsencode(path.name)[:100].decode('ascii', 'ignore')}."


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path` and renames it to `path` when the block ends without an error; otherwise removes it.

    Raises:
        SegError: the folder can't be made or written.
    """
    path = Path(path)
    # A text may contain file names, which need not be UTF-8; they are written as they are on disk.
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "surrogateescape")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path), suffix=".part")
    except OSError as error:
        raise SegError(f"Can't write {path}: {error.strerror or error}.") from None
    try:
        with os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
            yield file
        publish(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SegError(f"Can't write {path}: {error.strerror or error}.") from None
        raise


def write_image(path: str | Path, image: UInt8Array) -> None:
    """Writes (H, W) uint8, or (H, W, 3) uint8 BGR, in the format that the suffix names; atomically."""
    path = Path(path)
    try:
        _, data = cv2.imencode(path.suffix, image)
    except cv2.error:
        raise SegError(f"Can't write {path}: OpenCV knows no picture format {path.suffix!r}. Use .png.") from None
    with atomic_write(path) as file:
        file.write(data.tobytes())


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text, atomically."""
    with atomic_write(path, "w") as file:
        file.write(text)


def read_yaml(path: Path, missing: str) -> Any:
    """Reads a YAML file.

    Args:
        path: of the file.
        missing: what to say where there is none.

    Raises:
        SegError: there is none, or it isn't YAML.
    """
    import yaml  # installed with training only; inference alone must work without it

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SegError(missing) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SegError(f"{path} can't be read: {' '.join(str(error).split())}.") from None


def read_settings(path: Path, missing: str, named: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Reads a settings file. If it names another as its `base`, its own settings override those of the base.

    Groups are merged key by key. All other values replace the base's. A group with another `class_path` also replaces the base's,
    since the arguments of one class mean nothing to another.

    Args:
        path: of the file.
        missing: what to say where there is none.
        named: files that `base` may name, too; otherwise `base` is a path relative to the file.

    Returns:
        The settings, without `base`.

    Raises:
        SegError: a file is missing, can't be read or holds no settings, or is a base of itself.
    """
    chain, found = [path], list[dict[str, Any]]()
    while len(found) < len(chain):
        settings = read_yaml(chain[-1], missing)
        if not isinstance(settings, dict):
            raise SegError(f"{chain[-1]} holds no settings: it should be YAML of the form `key: value`.")
        found.append(settings)
        base = settings.pop("base", None)
        if base is None:
            continue
        if not isinstance(base, str):
            raise SegError(f"base is {base!r} in {chain[-1]}; it should be the path of one settings file, relative to that file.")
        beside = chain[-1].parent / base
        missing = f"There is no settings file {beside}, which {chain[-1]} names as its base."
        chain.append(beside if beside.is_file() else (named or {}).get(base.removesuffix(".yaml"), beside))
        if chain[-1].resolve() in [earlier.resolve() for earlier in chain[:-1]]:
            names = " -> ".join(each.name for each in chain)
            raise SegError(f"{chain[-1]} is a base of itself ({names}). Remove `base` from one of these files.")
    return functools.reduce(_over, reversed(found))


def _over(base: Any, own: Any) -> Any:
    """Returns `own`; where both are groups of the same class, what only `base` has is added."""
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("class_path", "") not in ("", base.get("class_path")):
        return own
    return base | {key: _over(base.get(key), value) for key, value in own.items()}


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds.

    Raises:
        SegError: it can't be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SegError(f"{path} can't be read as JSON: {error}.") from None


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """Returns at most `limit` of the items, evenly spread; all for None."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def check_writable_folder(folder: str | Path) -> Path:
    """Makes `folder` if needed and tries to write in it, so that a long job fails before it starts and not at its end.

    Raises:
        SegError: it can't be made, is a file or refuses writing.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SegError(f"Can't write into {folder}: {error.strerror or error}.") from None
    return folder


def is_image(path: Path) -> bool:
    """Whether the suffix is one of a picture and the name is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def is_hidden(path: Path) -> bool:
    """Whether the name begins with a dot, like the names of caches and of files that are being written."""
    return path.name.startswith(".")


def files_below(folder: Path) -> Iterator[Path]:
    """Yields the files in `folder` and the folders below, sorted, without what is hidden.

    Links are followed, but not where a link leads to a folder that contains it.

    Raises:
        SegError: a folder can't be read.
    """
    yield from _files_below(folder, frozenset())


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    place = folder.resolve()
    if place in above:
        return
    try:
        entries = sorted(folder / entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise SegError(f"The folder {folder} can't be read: {error.strerror or error}.") from None
    for entry in entries:
        if is_hidden(entry):
            continue
        if entry.is_dir():
            yield from _files_below(entry, above | {place})
        elif entry.is_file():
            yield entry


class InputImage(NamedTuple):
    """A picture to work on and where it belongs below an output folder."""

    path: Path
    relative: Path


def find_images(inputs: Iterable[str | Path]) -> list[InputImage]:
    """Expands pictures, folders (with subfolders and links, without hidden ones) and globs; sorted, each once.

    `relative` mirrors the tree below the deepest folder that holds all inputs, so that two inputs never share an output.

    Raises:
        SegError: an input doesn't exist, a folder or glob holds no picture, a file isn't a picture by its suffix.
    """
    paths: dict[Path, Path] = {}  # by their real path, links resolved
    tops: list[Path] = []
    for item in inputs:
        path = Path(item)
        if not str(item):  # an empty path would mean the current folder
            raise SegError("An input is empty: is a variable not set? Give pictures, folders or globs.")
        if path.is_dir():
            path = _without_dots(path)
            found = [file for file in files_below(path) if is_image(file)]
            if not found:
                raise SegError(f"The folder {path} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            tops.append(path)
        elif path.exists():
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                raise SegError(f"{path} is not a picture by its suffix ({', '.join(sorted(IMAGE_SUFFIXES))}). "
                               "For videos use --video.")
            found = [_without_dots(path)]
            tops.append(found[0].parent)
        elif glob.has_magic(str(item)):
            matches = map(Path, glob.glob(str(item), recursive=True))
            found = sorted(_without_dots(p) for p in matches if p.is_file() and is_image(p))
            if not found:
                raise SegError(f"The pattern {str(item)!r} matches no pictures.")
            tops.extend(p.parent for p in found)
        else:
            raise SegError(f"There is no file or folder {item}.")
        for file in found:
            paths.setdefault(file.parent.resolve() / file.name, file)
    if not paths:
        return []
    top = Path(os.path.commonpath(tops))
    return [InputImage(path, path.relative_to(top)) for path in paths.values()]


def passed_over(inputs: Iterable[str | Path]) -> dict[str, int]:
    """Counts, by suffix, the pictures in the folders among `inputs` that are in formats OpenCV doesn't read."""
    suffixes = [file.suffix.lower() for item in inputs if str(item) and Path(item).is_dir() for file in files_below(Path(item))]
    return {suffix: suffixes.count(suffix) for suffix in sorted(set(suffixes) & OTHER_IMAGE_SUFFIXES)}


def _without_dots(path: Path) -> Path:
    """Returns the absolute path without "..", which would lead out of a mirrored tree; links keep their names."""
    if ".." not in path.parts:
        return path.absolute()
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name
