"""From masks to a proposed `classes.yaml`: what they hold, how much of it there is, and what it may be called."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.base import UInt8Array
from datasets.camvid import COLORS_32
from datasets.colors import pack, unpack
from datasets.faults import listing
from datasets.folder.classes import distinct_colors
from datasets.folder.masks import read_mask
from datasets.folder.splits import is_split
from seg.errors import SegError
from seg.label_sets import CAMVID, CITYSCAPES, IGNORE, Color

VAL_SHARE = 0.2
MOST_CLASSES = 254  # what a label set can have
MOST_LINES = 8  # values that fill no area; poles and wires may be that thin

_BLACK = (0, 0, 0)  # in colour masks of the known data sets: not labelled
# Names by colour, of the data sets whose colours others borrow; None is ignored there.
_KNOWN: tuple[dict[Color, str | None], ...] = (
    dict(zip(CITYSCAPES.colors, CITYSCAPES.classes, strict=True)),
    dict(zip(CAMVID.colors, CAMVID.classes, strict=True)),
    {color: name if group else None for name, color, group in COLORS_32},
)


@dataclass
class Survey:
    """What the masks hold.

    Attributes:
        masks: how many there are.
        in_colors: whether what they hold are colours, as packed by `colors.pack`; else values.
        pixels, files: by value or colour, how many hold it.
        areas: values or colours that somewhere fill a square of 3x3 pixels, as what somebody has drawn does.
        richest: by value or colour, the mask with most of it, and how many pixels these are.
        palette: (256, 3) of the first mask that has one.
    """

    masks: int
    in_colors: bool = False
    pixels: dict[int, int] = field(default_factory=dict)
    files: dict[int, int] = field(default_factory=dict)
    areas: set[int] = field(default_factory=set)
    richest: dict[int, tuple[Path, int]] = field(default_factory=dict)
    palette: UInt8Array | None = None


@dataclass(frozen=True)
class Entry:
    """One value or colour of the masks, and what is proposed for it.

    Attributes:
        value: None in colour masks.
        share: of all pixels, 0 to 1.
        files: how many masks hold it.
        richest: the mask with most of it.
        ignored: whether it is to count nowhere.
    """

    name: str
    value: int | None
    color: Color
    share: float
    files: int
    richest: Path
    ignored: bool


def survey(masks: list[Path], track: Callable[[Iterable[Path]], Iterable[Path]] = iter) -> Survey:
    """Reads the masks and counts what they hold.

    Args:
        masks: the files.
        track: wraps the sequence of files, to show progress.

    Raises:
        SegError: one can't be read, some hold ids and others colours, or what they hold can't be classes.
    """
    ids, colors = Survey(len(masks)), Survey(len(masks), in_colors=True)
    ids_alone, colors_alone = list[Path](), list[Path]()
    for path in track(masks):
        mask = read_mask(path)
        if mask.ids is None:
            colors_alone.append(path)
        else:
            _count(ids, mask.ids, path)
            ids.palette = mask.palette if ids.palette is None else ids.palette
        if mask.colors is None:
            ids_alone.append(path)
        else:
            _count(colors, pack(mask.colors), path)
        if len(colors.pixels) > MOST_CLASSES and colors_alone:
            raise SegError(f"The masks up to {path} hold {len(colors.pixels)} colours; there can be {MOST_CLASSES} classes. They "
                           "may be smoothed at the edges or have been compressed: export them again without either.")
    if ids_alone and colors_alone:
        raise SegError(f"{len(ids_alone)} masks hold single-channel ids ({listing(ids_alone, 3)}), {len(colors_alone)} hold "
                       f"colours ({listing(colors_alone, 3)}). All must hold the same kind.")
    found = colors if colors_alone else ids
    if len(found.pixels) > MOST_CLASSES:
        raise SegError(f"The masks hold {len(found.pixels)} values; there can be {MOST_CLASSES} classes. They seem to be "
                       "pictures, or depth.")
    lines = [value for value in found.pixels if value not in found.areas]
    if len(lines) > max(MOST_LINES, len(found.areas)):
        example = found.richest[max(lines, key=found.pixels.__getitem__)][0]
        raise SegError(f"Of the {len(found.pixels)} {'colours' if colors_alone else 'values'} in the masks, {len(lines)} fill no "
                       f"area anywhere, not even 3x3 pixels, as in {example}: the masks seem to have been smoothed, resized with "
                       "interpolation, or compressed as JPEG. Export them again as PNG without either.")
    return found


def _count(total: Survey, labels: np.ndarray, path: Path) -> None:
    values, counts = np.unique(labels, return_counts=True)
    total.areas |= set(_areas(labels))
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        total.pixels[value] = total.pixels.get(value, 0) + count
        total.files[value] = total.files.get(value, 0) + 1
        if count > total.richest.get(value, (path, 0))[1]:
            total.richest[value] = path, count


def _areas(labels: np.ndarray) -> list[int]:
    """Returns the values of (H, W) labels that fill a square of 3x3 pixels somewhere."""
    same = np.ones((max(0, labels.shape[0] - 2), max(0, labels.shape[1] - 2)), bool)
    height, width = same.shape
    for row in range(3):
        for column in range(3):
            same &= labels[row:row + height, column:column + width] == labels[1:1 + height, 1:1 + width] if same.size else same
    found: list[int] = np.unique(labels[1:1 + height, 1:1 + width][same]).tolist() if same.size else []
    return found


def suggest(found: Survey) -> list[Entry]:
    """Returns an entry for each value, or for each colour, the most frequent first."""
    in_colors, palette = found.in_colors, found.palette
    keys = sorted(found.pixels, key=found.pixels.__getitem__, reverse=True) if in_colors else sorted(found.pixels)
    made = dict(zip(keys, distinct_colors(()), strict=False))
    own = {key: unpack(key) if in_colors else _color(palette, key) for key in keys if in_colors or palette is not None}
    colors = own if len(set(own.values())) == len(keys) else made  # two indices may share a colour of the palette
    names = _known_names(set(own.values())) if colors is own else {}
    binary = not in_colors and keys == [0, IGNORE]
    if binary:
        names = {colors[0]: "background", colors[IGNORE]: "object"}
    all_pixels = sum(found.pixels.values())
    entries = []
    for number, key in enumerate(keys):
        value, color = None if in_colors else key, colors[key]
        ignored = names.get(color, "") is None or (value == IGNORE and not binary and len(keys) > 1)
        entries.append(Entry(names.get(color) or f"class_{number if in_colors else key}", value, color,
                             found.pixels[key] / all_pixels, found.files[key], found.richest[key][0], ignored))
    return entries


def _color(palette: UInt8Array | None, index: int) -> Color:
    red, green, blue = _BLACK if palette is None else palette[index].tolist()
    return red, green, blue


def _known_names(colors: set[Color]) -> dict[Color, str | None]:
    """Returns the names of the data set that most of the colours are of, {} if there is none."""
    others = colors - {_BLACK}
    best = max(_KNOWN, key=lambda known: len(others & known.keys()))
    if len(others & best.keys()) * 2 <= len(others):
        return {}
    return {_BLACK: None, **best}


def to_yaml(entries: list[Entry], found: Survey, root: Path) -> str:
    """Returns the text of `classes.yaml`."""
    one, many = ("color", "colours") if found.in_colors else ("value", "values")
    classes = [entry for entry in entries if not entry.ignored]
    texts = [f"  - {{name: {entry.name}, {'' if entry.value is None else f'value: {entry.value}, '}color: {list(entry.color)}}}"
             for entry in classes]
    width = max(map(len, texts), default=0)
    lines = [f"# Classes of the {found.masks} masks in masks/, proposed from the {many} that they hold. Give each its name.",
             f"# What should count neither in training nor in scores: move its {one} to ignore.",
             "classes:"]
    lines += [f"{text:{width}}  # {share_text(entry.share)} of all pixels; most in {entry.richest.relative_to(root).as_posix()}"
              for text, entry in zip(texts, classes, strict=True)]
    ignored = [list(entry.color) if found.in_colors else entry.value for entry in entries if entry.ignored]
    lines.append(f"ignore: {ignored}")
    if not is_split(root):
        lines.append(f"split: {{val: {VAL_SHARE}}}  # the share of pictures for validation; a hash of their names picks them")
    return "\n".join(lines) + "\n"


def share_text(share: float) -> str:
    """0.1234 -> "12.3%"."""
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
