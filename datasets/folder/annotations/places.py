"""Where an export's pictures are, and which split a file or folder name means."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from seg.errors import SegError, shortened

_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def split_of(*names: str) -> str | None:
    """Returns the split that a file's or folder's name speaks of, such as "instances_val2017" or "valid"; None for none."""
    for name in names:
        for word in re.split(r"[^a-z]+", name.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def relative(name: str, source: Path) -> PurePosixPath:
    """Returns a picture's name in an export as a path that stays within a folder.

    Raises:
        SegError: it leads out of it.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise SegError(f"{source} names the picture {name!r}, which leads out of the folder. Export it with names relative to "
                       "it.")
    return path


def find_pictures(names: Iterable[str], source: Path, folders: Iterable[Path]) -> dict[str, Path]:
    """Returns the file of each name.

    Args:
        names: as the export gives them, relative to one of the folders.
        source: the file that names them, for messages.
        folders: where to look, the likeliest first.

    Raises:
        SegError: some aren't there.
    """
    places, found, lost = [folder for folder in folders if folder.is_dir()], dict[str, Path](), list[str]()
    for name in names:
        path = relative(name, source)
        file = next((folder / path for folder in places if (folder / path).is_file()), None)
        if file is None:
            lost.append(name)
        else:
            found[name] = file
    if lost:
        where = " or ".join(map(str, places))
        raise SegError("\n  ".join([f"{source} names {len(found) + len(lost)} pictures; {len(lost)} of them are not below "
                                    f"{where}. Say where they are: --pictures DIR. Missing are:", *shortened(lost)]))
    return found
