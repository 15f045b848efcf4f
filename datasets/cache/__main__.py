"""Decodes a data set once, so that training reads just the windows that it needs.

    lraspp cache data/cityscapes --dataset cityscapes --output cache
    lraspp train fit --config cityscapes_small --data.root data/cityscapes --data.cache cache

Each split becomes one file of uint8 pictures and labels, which training maps into memory. Its size is said
beforehand, and the free space is looked at. A file gets its name when it is whole. Given again, the command goes on
where it was killed, checks what is there, and writes anew what is damaged or of files that have changed since. One
DIR may hold the caches of several data sets.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

from datasets import KINDS, UNLABELLED
from datasets.cache.write import CacheWriter, Track, check_space
from seg.cli.common import Interruption, Parser, run
from seg.errors import SegError, did_you_mean, shortened
from seg.files import check_writable_folder

_T = TypeVar("_T")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp cache", description=__doc__)
    parser.add_argument("root", metavar="ROOT", help="the data set's folder, as for training")
    parser.add_argument("--dataset", required=True, metavar="NAME", help=f"what it is: {', '.join(KINDS)}")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="the folder that the caches go into")
    parser.add_argument("--split", nargs="+", metavar="SPLIT", help="default: train and val, which training reads; a folder of "
                        "pictures alone has only train")
    arguments = parser.parse_args(argv)
    if arguments.dataset not in KINDS:
        raise SegError(f"There is no data set {arguments.dataset!r}. {did_you_mean(arguments.dataset, KINDS)}")
    splits = arguments.split or (["train"] if arguments.dataset == UNLABELLED else ["train", "val"])
    readers = [KINDS[arguments.dataset](arguments.root, split) for split in dict.fromkeys(splits)]
    folder = check_writable_folder(arguments.output)
    writers = [CacheWriter(folder, reader, arguments.dataset, _track("Looking")) for reader in readers]
    for writer in writers:
        print(writer.why or f"{writer.path}: {len(writer.reader)} frames, {writer.size / 1e9:.2f} GB"
                            f"{', whole and of the data set as it is' if writer.is_there else ''}.")
    waiting = [writer for writer in writers if not writer.is_there]
    check_space(folder, sum(writer.missing_bytes() for writer in waiting))
    faults = list[str]()
    with Interruption() as interruption:
        for writer in waiting:
            kept, found = writer.write(_track("Decoding"), lambda: not interruption.wished)
            if interruption.wished:
                raise interruption.error("The same command goes on.")
            faults += found
            if not found:
                print(f"{writer.path} is written{f'; {kept} frames were there from an earlier run' if kept else ''}.")
    if faults:
        raise SegError("\n  ".join([f"{len(faults)} frames could not be read, so that their split has no cache yet; the others "
                                    "needn't be decoded again:", *shortened(faults)]))
    print(f"Training reads from there by --data.cache {folder}")


def _track(what: str) -> Track:
    """Returns what shows how far a work is, where that can be seen."""
    console = Console(stderr=True)

    def track(items: Iterable[_T]) -> Iterable[_T]:
        return rich_track(items, what, console=console, transient=True, disable=not console.is_terminal)

    return track


if __name__ == "__main__":
    sys.exit(main())
