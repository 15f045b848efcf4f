"""`corrections.yaml`: where the masks of a folder are wrong, and what is right there. The masks stay as they are.

    of: [car, truck, bus]                                  # the classes that are corrected; pixels of others stay
    elsewhere: {truck: car, bus: ignored}                  # what they are outside the rectangles; others stay
    pictures:
      train/0001TP_006690: [[275, 130, 290, 205, bus], [385, 160, 480, 235, ignored]]

Each rectangle is [left, top, right, bottom, class] in the mask's pixels, right and bottom not included; `ignored` is no class.
All look at the mask as it is; where rectangles overlap, the last one counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg.errors import SegError, did_you_mean
from seg.files import UInt8Array, read_yaml
from seg.label_sets import IGNORE, LabelSet

FILE = "corrections.yaml"
IGNORED = "ignored"


@dataclass(frozen=True)
class Corrections:
    """What a `corrections.yaml` says, in train ids.

    Attributes:
        of: the train ids that are corrected.
        elsewhere: (256,) uint8, the train id of each train id outside the rectangles.
        rectangles: of each picture's name: left, top, right, bottom in pixels, and the train id there.
    """

    of: tuple[int, ...] = ()
    elsewhere: tuple[int, ...] = tuple(range(256))
    rectangles: Mapping[str, tuple[tuple[int, int, int, int, int], ...]] = field(default_factory=dict)

    def apply(self, name: str, train_ids: UInt8Array) -> UInt8Array:
        """Returns the corrected train ids (H, W) of a picture."""
        if not self.of:
            return train_ids
        corrected = np.array(self.elsewhere, np.uint8)[train_ids]
        corrigible = np.isin(train_ids, self.of)
        for left, top, right, bottom, train_id in self.rectangles.get(name, ()):
            inside = slice(top, bottom), slice(left, right)
            corrected[inside][corrigible[inside]] = train_id
        return corrected

    def meaning(self) -> list[Any]:
        """Returns all of it as plain types."""
        return [list(self.of), list(self.elsewhere), {name: list(map(list, found)) for name, found in self.rectangles.items()}]


def read_corrections(root: Path, label_set: LabelSet) -> Corrections:
    """Reads ROOT/corrections.yaml; without the file nothing is corrected.

    Raises:
        SegError: it isn't YAML, or says something that can't be; the message names the entry.
    """
    path = root / FILE
    if not path.is_file():
        return Corrections()
    content = read_yaml(path, missing=f"There is no {path}.")
    try:
        return _parse(content, label_set)
    except SegError as error:
        raise SegError(f"{path}: {error}") from None


def _parse(content: Any, label_set: LabelSet) -> Corrections:
    known = ("of", "elsewhere", "pictures")
    if not isinstance(content, dict) or not content.get("of"):
        raise SegError("it must be a mapping with of, the list of classes that are corrected, and elsewhere or pictures.")
    for key in content:
        if key not in known:
            raise SegError(f"it has the unknown key {key!r}. {did_you_mean(str(key), known)}")
    if not isinstance(content["of"], list):
        raise SegError(f"of is {content['of']!r}; it must be a list of classes.")
    of = tuple(_train_id(name, "of", label_set.classes) for name in content["of"])
    elsewhere = list(range(256))
    for source, target in _mapping(content, "elsewhere").items():
        if source not in content["of"]:
            raise SegError(f"elsewhere changes {source!r}, which is not in of.")
        elsewhere[label_set.classes.index(source)] = _train_id(target, "elsewhere", (*label_set.classes, IGNORED))
    rectangles = {}
    for name, entries in _mapping(content, "pictures").items():
        if not isinstance(entries, list):
            raise SegError(f"{name} has {entries!r:.60}; it must have a list of rectangles.")
        rectangles[str(name)] = tuple(_rectangle(entry, str(name), label_set) for entry in entries)
    return Corrections(of, tuple(elsewhere), rectangles)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key) or {}
    if not isinstance(found, dict):
        raise SegError(f"{key} is {found!r:.60}; it must be a mapping.")
    return found


def _rectangle(entry: Any, name: str, label_set: LabelSet) -> tuple[int, int, int, int, int]:
    what = f"a rectangle of {name}"
    if not (isinstance(entry, list) and len(entry) == 5 and all(type(side) is int and side >= 0 for side in entry[:4])
            and entry[0] < entry[2] and entry[1] < entry[3]):
        raise SegError(f"{what} is {entry!r:.60}; it must be [left, top, right, bottom, class], in whole pixels.")
    left, top, right, bottom = entry[:4]
    return left, top, right, bottom, _train_id(entry[4], what, (*label_set.classes, IGNORED))


def _train_id(name: Any, where: str, known: tuple[str, ...]) -> int:
    if name not in known:
        raise SegError(f"{where} names {name!r}, which is no class. {did_you_mean(str(name), known)}")
    return IGNORE if name == IGNORED else known.index(name)
