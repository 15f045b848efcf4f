"""Proposes classes.yaml for a folder of pictures and masks; where it is there, checks all.

    python -m datasets.folder DIR
    python -m datasets.folder DIR --annotations EXPORT

With --annotations, DIR is made from what an annotation tool exports: COCO (polygons and run lengths), LabelMe, CVAT ("CVAT for
images 1.1") or Roboflow (COCO, or semantic segmentation masks).
"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track
from rich.table import Table

from datasets.base import pictures_below
from datasets.colors import Color
from datasets.faults import listing
from datasets.folder.check import Summary, check
from datasets.folder.classes import FILE
from datasets.folder.masks import masks_below
from datasets.folder.propose import Entry, share_text, suggest, survey, to_yaml
from datasets.folder.reader import find_root
from seg.cli.common import Parser, run
from seg.errors import SegError
from seg.files import write_text
from seg.label_sets import IGNORE

LARGE_PX = 3_000_000
MOST_OVERLAPS = 12
_T = TypeVar("_T")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m datasets.folder", description=__doc__)
    parser.add_argument("root", metavar="DIR", help="the folder with images/ and masks/")
    parser.add_argument("--overwrite", action="store_true", help=f"propose {FILE} anew, over the one that is there")
    parser.add_argument("--annotations", type=Path, metavar="EXPORT", help="a file or an unpacked folder of COCO, LabelMe, CVAT "
                        "or Roboflow; DIR is made from it, with links to its pictures")
    parser.add_argument("--pictures", type=Path, metavar="PICTURES", help="where the export's pictures are (default: where the "
                        "tools put them)")
    parser.add_argument("--unlabelled", choices=("background", "ignore"), default="background", help="what pixels are that "
                        "nothing was drawn on: a class, or nothing that counts (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.annotations is not None:
        _convert(arguments)
    elif arguments.pictures is not None:
        raise SegError("--pictures says where the pictures of an export are; it needs --annotations EXPORT.")
    root = find_root(arguments.root)
    if (root / FILE).exists() and not arguments.overwrite:
        _check(root)
    else:
        _propose(root)


def _convert(arguments: argparse.Namespace) -> None:
    try:
        from datasets.folder.annotations.convert import convert
    except ModuleNotFoundError as error:
        raise SegError(f"Reading annotations takes the package {error.name}, which isn't installed: make install, or pip install "
                       "'.[train]'.") from None
    report = convert(arguments.annotations, Path(arguments.root), arguments.pictures, arguments.unlabelled == "ignore", _track)
    table = Table("class", "shapes", title=f"{report.tool}: {report.pictures} pictures")
    for label, count in report.shapes.most_common():
        table.add_row(label, str(count))
    _print(table)
    if report.unlabelled:
        what = "are the class background" if arguments.unlabelled == "background" else "are ignored"
        print(f"Note: {share_text(report.unlabelled)} of all pixels have nothing drawn on them; they {what} (--unlabelled).")
    for kind, count in report.skipped.most_common():
        print(f"Note: left out: {count} {kind}.")
    for (top, below), pixels in report.overlaps.most_common(MOST_OVERLAPS):
        count = report.overlapping[top, below]
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        print(f"Note: {top} lies over {below} in {pictures}, {pixels} pixels; they are {top}.")
    if len(report.overlaps) > MOST_OVERLAPS:
        rest = report.overlaps.most_common()[MOST_OVERLAPS:]
        print(f"Note: {len(rest)} further pairs of classes overlap, in {sum(pixels for _, pixels in rest)} pixels.")


def _propose(root: Path) -> None:
    images, masks = pictures_below(root / "images"), masks_below(root / "masks")
    if not masks:
        raise SegError(f"{root / 'masks'} holds no masks.")
    found = survey(list(masks.values()), _track)
    entries, path = suggest(found), root / FILE
    _print(_proposed(entries))
    text = to_yaml(entries, found, root)
    write_text(path, text)
    print(f"\n{path}:\n\n{text}")
    for what, some, lacked, others in (("pictures", images, "mask", masks), ("masks", masks, "picture", images)):
        alone = sorted(some.keys() - others.keys())
        if alone:
            print(f"Attention: {len(alone)} of the {len(some)} {what} have no {lacked}: {listing(alone, 3)}.\n")
    print(f"Next: give the classes their names in {path}; then check everything:\n\n"
          f"    python -m datasets.folder {shlex.quote(str(root))}\n")


def _check(root: Path) -> None:
    summary = check(root, _track)
    _print(_counted(summary))
    notes = list(summary.notes)
    height, width = summary.size_hw
    if height * width > LARGE_PX:
        notes.append(f"The largest picture is {width}x{height}. Pictures and masks of about {LARGE_PX / 1e6:g} million pixels at "
                     "most train in a fraction of the time, and a network sees more of the scene at once: shrink both alike.")
    for note in notes:
        print(f"Note: {note}")
    if summary.faults:
        count = "1 fault" if len(summary.faults) == 1 else f"{len(summary.faults)} faults"
        raise SegError("\n  ".join([f"{count} in {root}:", *summary.faults]))
    frames = " and ".join(f"{count} for {split}" for split, count in summary.frames.items())
    if "val" not in summary.frames:
        print(f"All pictures and masks are sound: {frames}. None are there to validate on: learn from them beside a data set "
              f"that has some.\n\n    --data.others {shlex.quote(f'[{{root: {root}}}]')}\n")
        return
    print(f"All pictures and masks are sound: {frames}.\nNext: train on them.\n\n"
          f"    python train_seg.py fit --config configs/folder_small.yaml --data.root {shlex.quote(str(root))}\n")


def _proposed(entries: list[Entry]) -> Table:
    in_colors = entries[0].value is None
    table = Table(*(() if in_colors else ("value",)), "colour", "proposed name", "pixels", "masks")
    for entry in entries:
        table.add_row(*(() if in_colors else (str(entry.value),)), _swatch(entry.color),
                      "[dim](ignored)[/dim]" if entry.ignored else entry.name, share_text(entry.share), str(entry.files))
    return table


def _counted(summary: Summary) -> Table:
    table = Table("class", "colour", "pixels", *(f"files in {split}" for split in summary.files))
    counted = max(1, int(summary.pixels[:IGNORE].sum()))
    for train_id, (name, color) in enumerate(zip(summary.label_set.classes, summary.label_set.colors, strict=True)):
        share = summary.pixels[train_id] / counted
        table.add_row(name, _swatch(color), share_text(share) if share else "none",
                      *(str(files[train_id]) for files in summary.files.values()))
    ignored = summary.pixels[IGNORE] / max(1, int(summary.pixels.sum()))
    table.caption = f"{share_text(ignored) if ignored else 'None'} of all pixels ignored; the shares are of the others"
    return table


def _track(items: Iterable[_T]) -> Iterable[_T]:
    """Shows how far reading is, where that can be seen."""
    return rich_track(items, "Reading", transient=True, disable=not sys.stdout.isatty())


def _swatch(color: Color) -> str:
    return f"[on rgb({','.join(map(str, color))})]  [/] {' '.join(map(str, color))}"


def _print(table: Table) -> None:
    for column in table.columns:
        column.justify = "left" if column.header in ("class", "colour", "proposed name") else "right"
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
