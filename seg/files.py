"""Pictures in, files out: reading with errors that name the file, atomic writing, folders mirrored.

Nothing here leaves a half-written file behind: everything is written under a temporary name in the target folder and
renamed when it is whole.
"""

import glob
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from seg.errors import SegError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"})

UInt8Array = npt.NDArray[np.uint8]
UInt16Array = npt.NDArray[np.uint16]
T = TypeVar("T")


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise SegError(f"There is no file {path}.") from None
    except (IsADirectoryError, PermissionError, OSError) as error:
        raise SegError(f"{path} can't be read: {error.strerror or error}.") from None
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        what = "is empty" if not data.size else "is not a picture that OpenCV can decode, or it is damaged"
        raise SegError(f"{path} {what} ({data.size} bytes).")
    return image


def read_image_bgr(path: str | Path) -> UInt8Array:
    """Reads a picture as (H, W, 3) uint8 BGR. Grey, RGBA and 16-bit pictures are converted, EXIF orientation is honoured.

    Raises:
        SegError: the file is missing, unreadable or not a picture.
    """
    path = Path(path)
    image = _decode(path, cv2.IMREAD_COLOR)
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
    """Gives a finished file of `tempfile.mkstemp` in the same folder its name, and the rights that a new file has.

    Raises:
        OSError: it can't be renamed.
    """
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner reads
    os.replace(temporary, path)


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path` and renames it to `path` when the block ends well; else removes it.

    Raises:
        SegError: the folder can't be made or written.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:
        raise SegError(f"Can't write {path}: {error.strerror or error}.") from None
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
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
    import yaml  # comes with training; inference alone does without

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SegError(missing) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SegError(f"{path} can't be read: {' '.join(str(error).split())}.") from None


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """Returns at most `limit` of the items, evenly spread; all for None."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def check_writable_folder(folder: str | Path) -> Path:
    """Makes `folder` if needed and tries to write in it, so that a long job fails before its work and not after it.

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
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


class InputImage(NamedTuple):
    """A picture to work on and where it belongs below an output folder."""

    path: Path
    relative: Path


def find_images(inputs: Iterable[str | Path]) -> list[InputImage]:
    """Expands pictures, folders (searched in depth) and globs; sorted, each picture once.

    `relative` mirrors the tree below the deepest folder that holds all inputs, so that two inputs never share an output.

    Raises:
        SegError: an input doesn't exist, a folder or glob holds no picture, a file isn't a picture by its suffix.
    """
    paths: dict[Path, None] = {}
    tops: list[Path] = []
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            path = path.resolve()
            found = sorted(p for p in path.rglob("*") if p.is_file() and is_image(p))
            if not found:
                raise SegError(f"The folder {path} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            tops.append(path)
        elif path.exists():
            if not is_image(path):
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
        paths.update(dict.fromkeys(found))
    if not paths:
        return []
    top = Path(os.path.commonpath(tops))
    return [InputImage(path, path.relative_to(top)) for path in paths]


def _without_dots(path: Path) -> Path:
    """Returns the absolute path without "..", which would lead out of a mirrored tree; a link keeps its own name."""
    return path.parent.resolve() / path.name
