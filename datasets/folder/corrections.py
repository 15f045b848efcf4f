"""`corrections.yaml`: where the masks of a folder are wrong, and what is right there. The masks stay as they are.

    - of: [car, truck, bus]                                # classes that were taken for each other; pixels of others stay
      elsewhere: {truck: car, bus: ignored}                # what they are outside the rectangles; others stay
      pictures:
        train/0001TP_006690: [[275, 130, 290, 205, bus], [385, 160, 480, 235, ignored]]
    - of: [person, rider]
      pictures: ...

Each rectangle is [left, top, right, bottom, class] in the mask's pixels, right and bottom not included; `ignored` is no class.
All look at the mask as it is; where rectangles overlap, the last one counts.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.folder.classes import check_keys
from seg.errors import SegError, did_you_mean
from seg.files import UInt8Array, read_yaml
from seg.label_sets import IGNORE, LabelSet

FILE = "corrections.yaml"
IGNORED = "ignored"

Rectangle = tuple[int, int, int, int, int]  # left, top, right, bottom in pixels, and the train id there


@dataclass(frozen=True)
class Confusion:
    """What a section of `corrections.yaml` says, in train ids.

    Attributes:
        of: the train ids that were taken for each other.
        elsewhere: what each of them is outside the rectangles.
        rectangles: of each picture, by its name.
    """

    of: tuple[int, ...]
    elsewhere: Mapping[int, int]
    rectangles: Mapping[str, tuple[Rectangle, ...]]

    def apply(self, name: str, before: UInt8Array, corrected: UInt8Array) -> None:
        """Corrects train ids (H, W) of a picture in place, by what they were before all corrections.

        Raises:
            SegError: a rectangle lies outside of the mask.
        """
        height, width = before.shape
        for train_id, correct_id in self.elsewhere.items():
            corrected[before == train_id] = correct_id
        for left, top, right, bottom, train_id in self.rectangles.get(name, ()):
            if left >= width or top >= height:
                raise SegError(f"a rectangle of {name} begins at {left}, {top}, outside of its mask of {height}x{width}.")
            inside = slice(top, bottom), slice(left, right)
            corrected[inside][np.isin(before[inside], self.of)] = train_id

    def meaning(self) -> list[Any]:
        """Returns all of it as plain types."""
        return [list(self.of), list(self.elsewhere.items()), {name: list(found) for name, found in self.rectangles.items()}]


class Corrections:
    """What is wrong in the masks below a root.

    Args:
        root: of the folder; without its corrections.yaml, nothing is wrong.
        label_set: of the masks.

    Attributes:
        names: of the pictures that have rectangles.

    Raises:
        SegError: the file isn't YAML, or says something that can't be; the message names the entry.
    """

    def __init__(self, root: Path, label_set: LabelSet) -> None:
        self._path = root / FILE
        there = os.path.lexists(self._path)  # also as a link to nothing: wrong masks would go unnoticed
        content = read_yaml(self._path, f"{self._path} leads to no file.") if there else []
        with self._named():
            self._confusions = _parse(content, label_set)
        self.names = frozenset(name for confusion in self._confusions for name in confusion.rectangles)

    def apply(self, name: str, train_ids: UInt8Array) -> UInt8Array:
        """Returns the corrected train ids (H, W) of a picture.

        Raises:
            SegError: a rectangle lies outside of them.
        """
        if not self._confusions:
            return train_ids
        corrected = train_ids.copy()
        with self._named():
            for confusion in self._confusions:
                confusion.apply(name, train_ids, corrected)
        return corrected

    def meaning(self) -> list[Any]:
        """Returns all of it as plain types."""
        return [confusion.meaning() for confusion in self._confusions]

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Puts the file's path before the message of an error."""
        try:
            yield
        except SegError as error:
            raise SegError(f"{self._path}: {error}") from None


def _parse(content: Any, label_set: LabelSet) -> tuple[Confusion, ...]:
    if not isinstance(content, list):
        raise SegError(f"it is {content!r:.60}; it must be a list of entries with of, and elsewhere or pictures.")
    confusions = tuple(_confusion(entry, f"entry {number}", label_set) for number, entry in enumerate(content, 1))
    of = [train_id for confusion in confusions for train_id in confusion.of]
    twice = [label_set.classes[train_id] for train_id in of if of.count(train_id) > 1]
    if twice:
        raise SegError(f"of has {twice[0]!r} twice; each class can be in one list only.")
    return confusions


def _confusion(entry: Any, what: str, label_set: LabelSet) -> Confusion:
    if not isinstance(entry, dict) or not isinstance(entry.get("of"), list) or not entry["of"]:
        raise SegError(f"{what} is {entry!r:.60}; it must have of, the list of classes that are corrected.")
    check_keys(what, entry, ("of", "elsewhere", "pictures"), {"of"})
    of = {name: _train_id(name, f"of in {what}", label_set.classes) for name in entry["of"]}
    elsewhere = _mapping(entry, "elsewhere", what)
    for name in elsewhere:
        if name not in of:
            raise SegError(f"elsewhere in {what} changes {name!r}, which is not in of.")
    with_ignored = (*label_set.classes, IGNORED)
    rectangles = dict[str, tuple[Rectangle, ...]]()
    for name, found in _mapping(entry, "pictures", what).items():
        if not isinstance(name, str):
            raise SegError(f"pictures in {what} has the name {name!r}; it must be text, in quotes if need be.")
        if not isinstance(found, list):
            raise SegError(f"{name} has {found!r:.60}; it must have a list of rectangles.")
        rectangles[name] = tuple(_rectangle(sides, f"a rectangle of {name}", with_ignored) for sides in found)
    return Confusion(tuple(of.values()), {of[name]: _train_id(right, f"elsewhere in {what}", with_ignored)
                                          for name, right in elsewhere.items()}, rectangles)


def _mapping(entry: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    found = entry.get(key) or {}
    if not isinstance(found, dict):
        raise SegError(f"{key} in {what} is {found!r:.60}; it must be a mapping.")
    return found


def _rectangle(sides: Any, what: str, classes: tuple[str, ...]) -> Rectangle:
    if not (isinstance(sides, list) and len(sides) == 5 and all(type(side) is int and side >= 0 for side in sides[:4])
            and sides[0] < sides[2] and sides[1] < sides[3]):
        raise SegError(f"{what} is {sides!r:.60}; it must be [left, top, right, bottom, class], in whole pixels.")
    left, top, right, bottom = sides[:4]
    return left, top, right, bottom, _train_id(sides[4], what, classes)


def _train_id(name: Any, where: str, known: tuple[str, ...]) -> int:
    if name not in known:
        raise SegError(f"{where} names {name!r}, which is no class. {did_you_mean(str(name), known)}")
    return IGNORE if name == IGNORED else known.index(name)
