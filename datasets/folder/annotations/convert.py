"""From an export of an annotation tool to a folder of pictures, masks and `classes.yaml`."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from datasets.base import check_root, entries_in
from datasets.faults import listing
from datasets.folder.annotations import coco, cvat, labelme, roboflow
from datasets.folder.annotations.places import split_of
from datasets.folder.annotations.shapes import UNPAINTED, Drawing, as_mask, paint
from datasets.folder.classes import FILE
from datasets.folder.propose import MOST_CLASSES, VAL_SHARE
from seg.errors import SegError
from seg.files import files_below, read_json, temporary_prefix, write_image, write_text
from seg.label_sets import IGNORE

_Named = tuple[str, Drawing]
BACKGROUND = "background"
KINDS = "COCO, LabelMe, CVAT (CVAT for images 1.1) and Roboflow (COCO, or semantic segmentation masks)"


@dataclass
class Report:
    """What became of an export.

    Attributes:
        tool: whose export it is.
        pictures: how many.
        shapes: by class.
        overlaps: pixels of a class (the first) that lie over another one's (the second).
        overlapping: in how many pictures, likewise.
        skipped: what has no area, by kind.
        unlabelled: share of the pixels that nothing was drawn on, 0 to 1.
    """

    tool: str
    pictures: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    overlaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    overlapping: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    unlabelled: float = 0.0


def convert(source: Path, root: Path, pictures: Path | None, ignore_unlabelled: bool,
            track: Callable[[Iterable[_Named]], Iterable[_Named]] = iter) -> Report:
    """Writes the folder `root`: images/ with links to the pictures, masks/, and `classes.yaml`.

    Args:
        source: what the tool exported, a file or a folder.
        root: a new folder; it gets its name when all is written.
        pictures: where the pictures are; None to look where the tools put them.
        ignore_unlabelled: whether pixels that nothing was drawn on count nowhere; else they are the class "background".
        track: wraps the sequence of pictures, to show progress.

    Raises:
        SegError: the source is no such export, something in it can't be read, or `root` is there already.
    """
    if root.exists() and (not root.is_dir() or entries_in(root)):
        raise SegError(f"{root} is there already. Give a new folder for what {source} becomes.")
    tool, drawings = read(source, pictures)
    report, names = Report(tool, len(drawings)), _names(drawings)
    labels = list(dict.fromkeys(label for drawing in drawings for label in drawing.labels))
    background = next((label for label in labels if label.strip("_ ").lower() == BACKGROUND), BACKGROUND)
    labels = labels if ignore_unlabelled else [background, *(label for label in labels if label != background)]
    if len(labels) > MOST_CLASSES:
        raise SegError(f"{source} has {len(labels)} classes; there can be {MOST_CLASSES}.")
    values = {label: value for value, label in enumerate(labels)}
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(root), dir=root.parent))
    try:
        unpainted = IGNORE if ignore_unlabelled else values[background]
        used = _write(temporary, track(list(zip(names, drawings, strict=True))), values, unpainted, report)
        write_text(temporary / FILE, _classes([label for label in labels if values[label] in used], values, names))
        temporary.chmod(0o755)
        temporary.rename(root)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise SegError(f"Can't write {root}: {error.strerror or error}.") from None
        raise
    return report


def read(source: Path, pictures: Path | None) -> tuple[str, list[Drawing]]:
    """Finds out which tool an export is of, and reads it.

    Returns:
        The tool's name, and the drawings.

    Raises:
        SegError: it is of none, or something in it can't be read.
    """
    if source.is_file():
        files, root = [source], source.parent
    else:
        root = check_root(source)
        files = sorted(files_below(root))
    tables = [path for path in files if path.name == roboflow.TABLE]
    if tables:
        return "Roboflow", [drawing for table in tables for drawing in roboflow.read(table, root)]
    whole, single = dict[Path, Any](), list[Path]()
    for path in (path for path in files if path.suffix.lower() == ".json"):
        content = read_json(path)
        if coco.is_coco(content):
            whole[path] = content
        elif labelme.is_labelme(content):  # which may hold its picture, so that one after the other is read below
            single.append(path)
    if whole:
        return "COCO", [drawing for path, content in whole.items() for drawing in coco.read(path, content, pictures)]
    if single:
        return "LabelMe", [labelme.read(path, read_json(path), root, pictures) for path in single]
    if xml := [path for path in files if path.suffix.lower() == ".xml"]:
        return "CVAT", [drawing for path in xml for drawing in cvat.read(path, pictures)]
    raise SegError(f"{source} is no export of a tool that is known here: {KINDS}. "
                   f"{f'It holds {listing(entries_in(source), 5)}.' if source.is_dir() else 'Unpack archives first.'}")


def _names(drawings: list[Drawing]) -> list[str]:
    """Returns where in images/ and masks/ each goes, without suffix: below its split, where there are several."""
    if not drawings:
        raise SegError("The export names no pictures.")
    splits = {drawing.split for drawing in drawings}
    names = []
    for drawing in drawings:
        parts = PurePosixPath(drawing.name).parts
        inner = [part for part in parts[:-1] if split_of(part) is None] + [parts[-1]]
        names.append("/".join(([drawing.split or "train"] if len(splits) > 1 else []) + inner))
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SegError(f"{len(twice)} names stand for several pictures: {listing(twice, 3)}. Give each its own in the export.")
    return names


def _write(root: Path, drawings: Iterable[_Named], values: dict[str, int], unpainted: int, report: Report) -> set[int]:
    """Writes pictures and masks; returns the values that the masks hold."""
    used, empty, total = set[int](), 0, 0
    for name, drawing in drawings:
        shapes = drawing.draw(report.skipped)
        report.shapes.update(shape.label for shape in shapes)
        overlaps = Counter[tuple[str, str]]()
        painted = paint(shapes, values, drawing.size_hw, overlaps)
        report.overlaps.update(overlaps)
        report.overlapping.update(overlaps.keys())
        empty, total = empty + int((painted == UNPAINTED).sum()), total + painted.size
        mask = as_mask(painted, unpainted)
        used |= set(np.unique(mask).tolist())
        _write_picture(root / "images" / f"{name}{drawing.suffix}", drawing.picture)
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / "masks" / f"{name}.png", mask)
    if not report.shapes:
        skipped = "".join(f" {count} {kind}." for kind, count in report.skipped.items())
        raise SegError(f"The export holds no shape with an area.{skipped} Export polygons or masks: boxes and points don't say "
                       "what each pixel is.")
    report.unlabelled = empty / max(1, total)
    return used


def _write_picture(path: Path, picture: Path | Callable[[], bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, Path):
        os.symlink(picture.resolve(), path)
    else:
        path.write_bytes(picture())


def _classes(labels: list[str], values: dict[str, int], names: list[str]) -> str:
    content: dict[str, Any] = {"classes": [{"name": label, "value": values[label]} for label in labels], "ignore": [IGNORE]}
    if not any("/" in name and split_of(name.partition("/")[0]) for name in names):
        content["split"] = {"val": VAL_SHARE}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True)
