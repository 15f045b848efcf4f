"""Which pictures are for training, validation and test: by folder, by list, or by a share of them."""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from datasets.base import read_lines
from datasets.faults import listing
from datasets.folder.classes import FILE
from seg.errors import SegError
from seg.files import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")
_EXACT = 10  # pictures of a split, up to which it has just its share: chance would give 12 pictures one or five instead of two


def split_names(root: Path, names: Sequence[str], shares: dict[str, float]) -> dict[str, list[str]]:
    """Returns the names of each split that there is; by list also such as aren't among `names`.

    Args:
        root: of the data set.
        names: of all pictures and masks: paths below `images/`, without suffix.
        shares: as `classes.yaml` gives them; empty if it doesn't.

    Raises:
        SegError: nothing divides the pictures, or two ways do, or training or validation gets none.
    """
    ways = [way for way, there in (("folders in images/", _by_folder), ("lists", _by_list)) if there(root)]
    ways += [f"split in {FILE}"] if shares else []
    if len(ways) != 1:
        found = f"{' and '.join(ways)} divide the pictures; keep one of them" if ways else "nothing divides the pictures"
        raise SegError(f"In {root} {found}. Either images/ and masks/ hold train/ and val/, or train.txt and val.txt beside "
                       f"them name a picture a line, or {FILE} says, for example, split: {{val: 0.2}}.")
    if shares:
        return _draw(root, names, shares)
    if folders := _by_folder(root):
        splits = {split: [name for name in names if name.startswith(f"{split}/")] for split in folders}
    else:
        splits = {split: _read_list(root / f"{split}.txt") for split in _by_list(root)}
        _check_apart(splits)
    for split in dict.fromkeys(["train", *splits]):
        place = f"{root / 'images' / split}/" if folders else f"{root / split}.txt"
        if split not in splits:
            raise SegError(f"There is no split {split!r}: {place} is missing. Found are {', '.join(splits)}.")
        if not splits[split]:
            raise SegError(f"The split {split!r} is empty: no picture is in {place}.")
    return splits


def is_split(root: Path) -> bool:
    """Whether folders or lists divide the pictures, so that `classes.yaml` needn't."""
    return bool(_by_folder(root) or _by_list(root))


def _by_folder(root: Path) -> list[str]:
    return [split for split in SPLITS if (root / "images" / split).is_dir()]


def _by_list(root: Path) -> list[str]:
    return [split for split in SPLITS if (root / f"{split}.txt").is_file()]


def _read_list(path: Path) -> list[str]:
    return sorted(set(map(_name, read_lines(path))))


def _name(line: str) -> str:
    """Turns "images/yard/1.jpg", "yard/1.jpg" and "yard/1" into "yard/1"."""
    path = PurePosixPath(line.replace("\\", "/"))
    if path.parts[:1] == ("images",):
        path = path.relative_to("images")
    return str(path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path)


def _check_apart(splits: dict[str, list[str]]) -> None:
    for split, names in splits.items():
        for other in list(splits)[: list(splits).index(split)]:
            both = sorted(set(names) & set(splits[other]))
            if both:
                raise SegError(f"{other}.txt and {split}.txt share {listing(both, 3)}. A score on what was trained on says "
                               "nothing: leave each in one list only.")


def _draw(root: Path, names: Sequence[str], shares: dict[str, float]) -> dict[str, list[str]]:
    """Holds back the names whose hash is lowest.

    A large split takes all whose hash is in its share of all hashes, so that further pictures don't move others from split to
    split. A small one takes its share of the names, at least one; there, a few may move as pictures are added.
    """
    if len(names) <= len(shares):
        raise SegError(f"{root} holds {len(names)} pictures; {', '.join(['train', *shares])} need one each.")
    ordered = sorted(names, key=lambda name: (_place(name), name))
    places, splits, start, bound = list(map(_place, ordered)), dict[str, list[str]](), 0, 0.0
    for waiting, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
        bound += share
        count = max(1, round(share * len(names)))
        end = start + count if count <= _EXACT else max(bisect_left(places, bound), start + 1)
        end = min(end, len(names) - waiting)
        splits[split], start = sorted(ordered[start:end]), end
    return {"train": sorted(ordered[start:]), **splits}


def _place(name: str) -> float:
    """A number in [0, 1) that the name alone decides, on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
