"""Renders street scenes to disk: `lraspp scenes OUT --frames N --size HxW --seed S`.

OUT is a folder, for a split in Cityscapes' layout; an .mp4, for a drive; or a .jpg or .png, for a sheet of scenes and labels.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.scenes.catalog import catalog
from datasets.scenes.write import SHEETS, SPLITS, write_sheet, write_split, write_video
from seg.cli.common import Parser, parse_size, run
from seg.cli.progress import progress_bar
from seg.errors import SegError
from seg.files import is_image
from seg.machine import check_threads

OTHER_FILES = (".avi", ".m4v", ".mkv", ".mov", ".webm", ".zip")  # what OUT can't be


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp scenes", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT",
                        help="folder of a data set in Cityscapes' layout, or FILE.mp4, .jpg, .png")
    parser.add_argument("--frames", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--size", type=parse_size, default=(512, 1024), metavar="HxW",
                        help="height x width (default: 512x1024)")
    parser.add_argument("--seed", type=int, default=0, help="which streets; each seed has its own (default: %(default)s)")
    parser.add_argument("--town", type=int, default=None, metavar="N",
                        help="streets of one town: of one plan, light and camera, with few kinds of things, for a network that "
                             "must learn them in minutes (default: streets of everywhere)")
    parser.add_argument("--split", choices=SPLITS, default=None, help="of a data set (default: val)")
    parser.add_argument("--sequence", type=int, default=None, metavar="N",
                        help="frames along each street of a data set (default: 1, each frame its own street)")
    parser.add_argument("--threads", type=int, default=None, help="default: all cores")
    arguments = parser.parse_args(argv)
    if arguments.frames < 1 or (arguments.sequence or 1) < 1:
        raise SegError(f"--frames is {arguments.frames} and --sequence {arguments.sequence or 1}; both must be at least 1.")
    if arguments.seed < 0:
        raise SegError(f"--seed is {arguments.seed}; it must be at least 0.")
    if (arguments.town or 0) < 0:
        raise SegError(f"--town is {arguments.town}; it must be at least 0.")
    parts = catalog() if arguments.town is None else catalog().of_town(arguments.town)
    write = {".mp4": write_video, **dict.fromkeys(SHEETS, write_sheet)}.get(arguments.out.suffix.lower())
    if write and (arguments.split, arguments.sequence, arguments.threads) != (None, None, None):
        raise SegError(f"{arguments.out} is one file: --split, --sequence and --threads belong to a data set, that is to a "
                       "folder.")
    if not write and (arguments.out.suffix.lower() in OTHER_FILES or is_image(arguments.out)):
        raise SegError(f"{arguments.out} can't be written: a drive is an .mp4, a sheet a .jpg or .png, a data set a folder.")
    with progress_bar() as progress:
        task = progress.add_task("", total=arguments.frames)

        def on_frame() -> None:
            progress.advance(task)

        if write:
            write(arguments.out, parts, arguments.frames, arguments.size, arguments.seed, on_frame)
        else:
            write_split(arguments.out, parts, arguments.split or "val", arguments.frames, arguments.size, arguments.seed,
                        sequence=arguments.sequence or 1, threads=check_threads(arguments.threads), on_frame=on_frame)
    print(f"{arguments.frames} frames of {arguments.size[0]}x{arguments.size[1]} in {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
