"""Proposes classes.yaml for a folder of pictures and masks; where it is there, checks all.

    lraspp folder DIR
    lraspp folder DIR --annotations EXPORT

With --annotations, DIR is made from what an annotation tool exports: COCO (polygons and run lengths), LabelMe, CVAT ("CVAT for
images 1.1") or Roboflow (COCO, or semantic segmentation masks).
"""

import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.progress import track as rich_track

from datasets.base import pictures_below
from datasets.faults import listing
from datasets.folder.check import Summary, check
from datasets.folder.classes import FILE
from datasets.folder.masks import masks_below
from datasets.folder.propose import share_text, suggest, survey, to_yaml
from datasets.folder.reader import find_root
from datasets.sizes import STEP_BYTES_PER_PIXEL, VALIDATION_BYTES_PER_PIXEL, share_hw
from seg.cli.common import Parser, run
from seg.document import (
    Block,
    Cell,
    Code,
    Column,
    Document,
    Heading,
    Listing,
    Notes,
    Swatch,
    Table,
    Text,
    check_paths,
    show,
    write,
)
from seg.document.model import number
from seg.document.words import count
from seg.errors import SegError
from seg.files import read_settings, write_text
from seg.label_sets import IGNORE, Color
from seg.machine import available_memory_bytes

CONFIG = Path(__file__).resolve().parents[2] / "configs/folder_small.yaml"  # which the check recommends
LARGE_PX = 3_000_000
MOST_OVERLAPS = 12
_T = TypeVar("_T")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp folder", description=__doc__)
    parser.add_argument("root", metavar="DIR", help="the folder with images/ and masks/")
    parser.add_argument("--overwrite", action="store_true", help=f"propose {FILE} anew, over the one that is there")
    parser.add_argument("--annotations", type=Path, metavar="EXPORT", help="a file or an unpacked folder of COCO, LabelMe, CVAT "
                        "or Roboflow; DIR is made from it, with links to its pictures")
    parser.add_argument("--pictures", type=Path, metavar="PICTURES", help="where the export's pictures are (default: where the "
                        "tools put them)")
    parser.add_argument("--unlabelled", choices=("background", "ignore"), default="background", help="what pixels are that "
                        "nothing was drawn on: a class, or nothing that counts (default: %(default)s)")
    parser.add_argument("--report", type=Path, action="append", default=[], metavar="FILE",
                        help="write what is found, too; .json, .md or .html; may be given several times")
    arguments = parser.parse_args(argv)
    if arguments.annotations is not None:
        show(_converted(arguments.annotations, Path(arguments.root), arguments.pictures, arguments.unlabelled == "ignore"))
    elif arguments.pictures is not None:
        raise SegError("--pictures says where the pictures of an export are; it needs --annotations EXPORT.")
    root = find_root(arguments.root)
    check_paths(arguments.report)
    if (root / FILE).exists() and not arguments.overwrite:
        summary = check(root, _track)
        document = _checked(root, summary)
    else:
        summary, document = None, _proposed(root)
    show(document)
    faults = summary.faults if summary else []
    for path in arguments.report:
        write(replace(document, blocks=[*document.blocks, *_faults(faults)]), path)
    if faults:
        raise SegError("\n  ".join([f"{count(len(faults), 'fault')} in {root}:", *faults]))


def _converted(export: Path, root: Path, pictures: Path | None, ignored: bool) -> Document:
    """Makes the folder from an export, and tells what became of that."""
    try:
        from datasets.folder.annotations.convert import convert
    except ModuleNotFoundError as error:
        raise SegError(f"Reading annotations takes the package {error.name}, which isn't installed: make install, or "
                       "pip install '.[train]'.") from None
    report = convert(export, root, pictures, ignored, _track)
    notes = []
    if report.unlabelled:
        notes.append(f"{share_text(report.unlabelled)} of all pixels have nothing drawn on them; they "
                     f"{'are ignored' if ignored else 'are the class background'} (--unlabelled).")
    notes += [f"Left out: {left_out} {kind}." for kind, left_out in report.skipped.most_common()]
    overlaps = report.overlaps.most_common()
    notes += [f"{top} lies over {below} in {count(report.overlapping[top, below], 'picture')}, {count(pixels, 'pixel')}; "
              f"they are {top}." for (top, below), pixels in overlaps[:MOST_OVERLAPS]]
    if rest := overlaps[MOST_OVERLAPS:]:
        notes.append(f"{count(len(rest), 'further pair')} of classes overlap, in {sum(pixels for _, pixels in rest):,} pixels.")
    table = Table([Column("class"), number("shapes")], report.shapes.most_common())
    return Document(f"{report.tool}: {count(report.pictures, 'picture')}", [table, Notes(notes)])


def _proposed(root: Path) -> Document:
    """Writes `classes.yaml`, and tells what is in it and what to do next."""
    images, masks = pictures_below(root / "images"), masks_below(root / "masks")
    if not masks:
        raise SegError(f"{root / 'masks'} holds no masks.")
    found = survey(list(masks.values()), _track)
    entries, path = suggest(found), root / FILE
    text = to_yaml(entries, found, root)
    write_text(path, text)
    notes = []
    for what, some, lacked, others in (("pictures", images, "mask", masks), ("masks", masks, "picture", images)):
        alone = sorted(some.keys() - others.keys())
        if alone:
            notes.append(f"{len(alone)} of the {len(some)} {what} have no {lacked}: {listing(alone, 3)}.")
    in_colors = entries[0].value is None
    columns = [*([] if in_colors else [number("value")]), Column("colour"), Column("proposed name"),
               number("pixels", share_text), number("masks")]
    rows = [(*(() if in_colors else (entry.value,)), _swatch(entry.color), "(ignored)" if entry.ignored else entry.name,
             entry.share, entry.files) for entry in entries]
    return Document(f"What the masks of {root} hold", [
        Table(columns, rows), Text(Code(str(path)), ":"), Listing(text, "yaml"), Notes(notes),
        Text("Next: give the classes their names in ", Code(str(path)), "; then check everything:"),
        Listing(f"lraspp folder {shlex.quote(str(root))}", "bash")])


def _checked(root: Path, summary: Summary) -> Document:
    """Tells what the folder holds and, where all of it is sound, what to do next."""
    notes = list(summary.notes)
    height, width = summary.size_hw
    if height * width > LARGE_PX:
        notes.append(f"The largest picture is {width}x{height}. Pictures and masks of about {LARGE_PX / 1e6:g} million pixels at "
                     "most train in a fraction of the time, and a network sees more of the scene at once: shrink both alike.")
    if not summary.faults:
        notes += _memory(root, summary)
    blocks: list[Block] = [_counted(summary), Notes(notes)]
    frames = " and ".join(f"{number} for {split}" for split, number in summary.frames.items())
    if not summary.faults and "val" not in summary.frames:
        blocks += [Text(f"All pictures and masks are sound: {frames}. None are there to validate on: learn from them beside a "
                        "data set that has some."), Listing(f"--data.others {shlex.quote(f'[{{root: {root}}}]')}")]
    elif not summary.faults:
        command = f"python train_seg.py fit --config configs/folder_small.yaml --data.root {shlex.quote(str(root))}"
        blocks += [Text(f"All pictures and masks are sound: {frames}. Next: train on them."), Listing(command, "bash")]
    return Document(f"The pictures and masks of {root}", blocks)


def _memory(root: Path, summary: Summary) -> list[str]:
    """Says what training and a cache take beside what this machine has."""
    data = read_settings(CONFIG, missing=f"There is no file {CONFIG}.")["data"]
    crop_hw, frame_px = share_hw(summary.size_hw, data["crop_hw"]), summary.size_hw[0] * summary.size_hw[1]
    step = STEP_BYTES_PER_PIXEL * data["batch_size"] * crop_hw[0] * crop_hw[1]
    free, disk = available_memory_bytes(), shutil.disk_usage(root).free
    has = f"{'' if free is None else f'{_gigabytes(free)} of memory and '}{_gigabytes(disk)} of disk are free here"
    notes = [f"As configs/{CONFIG.name} has it, a step on {data['batch_size']} samples of {crop_hw[0]}x{crop_hw[1]} takes about "
             f"{_gigabytes(step)} of memory, validation about {_gigabytes(VALIDATION_BYTES_PER_PIXEL * frame_px)}; all frames "
             f"decoded (--data.cache) take {_gigabytes(summary.decoded_bytes)}, in memory or on disk. {has}."]
    if free is not None and max(step, VALIDATION_BYTES_PER_PIXEL * frame_px) > free:
        notes.append("That is more memory than is free: shrink pictures and masks, or lower --data.crop_hw and "
                     "--data.batch_size.")
    return notes


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _counted(summary: Summary) -> Table:
    columns = [Column("class"), Column("colour"), number("pixels", lambda share: share_text(share) if share else "none"),
               *(number(f"files in {split}") for split in summary.files)]
    counted = max(1, int(summary.pixels[:IGNORE].sum()))
    rows: list[list[Cell]] = [
        [name, _swatch(color), int(summary.pixels[train_id]) / counted,
         *(int(files[train_id]) for files in summary.files.values())]
        for train_id, (name, color) in enumerate(zip(summary.label_set.classes, summary.label_set.colors, strict=True))]
    ignored = summary.pixels[IGNORE] / max(1, int(summary.pixels.sum()))
    return Table(columns, rows, caption=f"{share_text(ignored) if ignored else 'None'} of all pixels ignored; the shares are of "
                                        "the others")


def _faults(faults: Sequence[str]) -> list[Block]:
    return [Heading("Faults"), Notes(faults)] if faults else []


def _swatch(color: Color) -> Swatch:
    return Swatch(" ".join(map(str, color)), color)


def _track(items: Iterable[_T]) -> Iterable[_T]:
    """Shows how far reading is, where that can be seen."""
    return rich_track(items, "Reading", transient=True, disable=not sys.stdout.isatty())


if __name__ == "__main__":
    sys.exit(main())
