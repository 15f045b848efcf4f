"""`classes.yaml`: what the masks of a folder mean, and which pictures are held back from training.

    name: courtyard                                        # of the label set; the folder's name where it is left out
    classes:
      - {name: road, value: 0, color: [128, 64, 128]}      # masks of ids; the colour is for showing, and may be left out
      - {name: rail, value: 1, color: [230, 150, 140]}
    ignore: [255]                                          # further values, which count nowhere
    split: {val: 0.2}                                      # only where neither folders nor lists split the pictures

Without any `value` the masks hold the colours, and `ignore` is a list of colours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg.errors import SegError, did_you_mean
from seg.files import read_yaml
from seg.label_sets import Color, LabelSet

FILE = "classes.yaml"
HELD_BACK = ("val", "test")  # the splits that get a share of the pictures; the others are for training


@dataclass(frozen=True)
class Classes:
    """What a `classes.yaml` says.

    Attributes:
        label_set: names, colours, values; of colour masks the values count up from 0.
        in_colors: whether masks hold the colours.
        ignored_colors: of colour masks.
        shares: of the pictures, by the split that they are held back for; empty where folders or lists split them.
    """

    label_set: LabelSet
    in_colors: bool
    ignored_colors: tuple[Color, ...]
    shares: dict[str, float]


def read_classes(root: Path) -> Classes:
    """Reads ROOT/classes.yaml.

    Raises:
        SegError: it is missing, isn't YAML, or says something that can't be; the message names the entry.
    """
    path = root / FILE
    content = read_yaml(path, missing=f"There is no {path}. `lraspp folder {root}` looks at the masks and proposes "
                                      "it.")
    try:
        return _parse(content, root.resolve().name)
    except SegError as error:
        raise SegError(f"{path}: {error}") from None


def _parse(content: Any, default_name: str) -> Classes:
    check_keys("the file", content, ("name", "classes", "ignore", "split"), {"classes"})
    name = content.get("name", default_name)
    if not isinstance(name, str) or not name:
        raise SegError(f"name is {name!r}; it must be text, in quotes if need be.")
    entries = content["classes"]
    if not isinstance(entries, list) or not entries:
        raise SegError("classes must be a list with an entry for each class, such as - {name: road, value: 0}.")
    for number, entry in enumerate(entries, 1):
        check_keys(f"class {number}", entry, ("name", "value", "color"), {"name"})
        if not isinstance(entry["name"], str) or not entry["name"]:
            raise SegError(f"class {number} has the name {entry['name']!r}; it must be text, in quotes if need be.")
    names = tuple(entry["name"] for entry in entries)
    _check_once("name", names)
    in_colors = not any("value" in entry for entry in entries)
    for entry in entries:
        if in_colors and "color" not in entry:
            raise SegError(f"{entry['name']!r} has neither a value nor a color. Give each class its value where masks are "
                           "single-channel ids, or its color where masks are colours: there is no palette to read them by.")
        if not in_colors and "value" not in entry:
            raise SegError(f"{entry['name']!r} has no value, though others have one. Give each class a value where masks are "
                           "single-channel ids, or none where masks are colours.")
    given = [_color(entry["color"], f"the color of {entry['name']!r}") for entry in entries if "color" in entry]
    more = distinct_colors(given)
    colors = tuple(given.pop(0) if "color" in entry else next(more) for entry in entries)
    values = tuple(range(len(entries))) if in_colors else tuple(
        _value(entry["value"], f"the value of {entry['name']!r}") for entry in entries)
    ignored = content.get("ignore") or []
    if not isinstance(ignored, list):
        raise SegError(f"ignore is {ignored!r}; it must be a list of {'colours' if in_colors else 'values'}.")
    ignored_colors = tuple(_color(color, "an entry of ignore") for color in ignored) if in_colors else ()
    ignored_values = () if in_colors else tuple(_value(value, "an entry of ignore") for value in ignored)
    _check_once("color", colors + ignored_colors)
    _check_once("value", values + ignored_values)
    return Classes(LabelSet(name, names, colors, values, ignored_values), in_colors, ignored_colors,
                   _shares(content.get("split")))


def check_keys(what: str, mapping: Any, known: tuple[str, ...], needed: set[str]) -> None:
    """Checks the keys of a part of a settings file.

    Raises:
        SegError: `mapping` is none, has a key that is not known, or lacks a needed one; the message begins with `what`.
    """
    if not isinstance(mapping, dict):
        raise SegError(f"{what} is {mapping!r:.60}; it must be a mapping with {', '.join(known)}.")
    for key in mapping:
        if key not in known:
            raise SegError(f"{what} has the unknown key {key!r}. {did_you_mean(str(key), known)}")
    for key in sorted(needed - mapping.keys()):
        raise SegError(f"{what} has no {key}.")


def _check_once(what: str, entries: tuple[Any, ...]) -> None:
    twice = [entry for entry in dict.fromkeys(entries) if entries.count(entry) > 1]
    if twice:
        raise SegError(f"the {what} {twice[0]!r} is there {entries.count(twice[0])} times; it can mean one thing only.")


def _value(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise SegError(f"{what} is {value!r}; masks of ids hold whole numbers from 0 to 255.")
    return value


def _color(color: Any, what: str) -> Color:
    if not (isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color)):
        raise SegError(f"{what} is {color!r}; colours are [red, green, blue], each 0 to 255.")
    return color[0], color[1], color[2]


def _shares(split: Any) -> dict[str, float]:
    if split is None:
        return {}
    check_keys("split", split, HELD_BACK, {"val"})
    for name, share in split.items():
        if type(share) not in (int, float) or not 0 < share < 1:
            raise SegError(f"split gives {name} the share {share!r}; it must be above 0 and below 1, such as 0.2.")
    if sum(split.values()) >= 1:
        raise SegError(f"split gives {' and '.join(split)} {sum(split.values()):g} of the pictures; training needs some, too.")
    return {name: float(split[name]) for name in HELD_BACK if name in split}


def distinct_colors(taken: Iterable[Color]) -> Iterator[Color]:
    """Yields colours that are none of `taken` and not black, such as PASCAL VOC's: far apart at first, then nearer."""
    used = {(0, 0, 0), *taken}
    for index in range(1, 1 << 24):
        # bits 0, 3, 6, ... of the index become red's from the highest down; 1, 4, 7, ... green's; 2, 5, 8, ... blue's
        red, green, blue = (sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3))
        if (red, green, blue) not in used:
            yield red, green, blue
