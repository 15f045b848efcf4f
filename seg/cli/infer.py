"""`infer.py`: pictures, a video or a data set in; pictures, a video, scores and latencies out."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seg import palettes
from seg.cli import ways
from seg.cli.common import Parser, run
from seg.cli.infer_options import InferOptions
from seg.errors import SegError
from seg.runtime.engines.table import names, precisions
from seg.weights import DEFAULT

Readers = Mapping[str, Callable[[str, str], Any]]
PROGRAM = "python infer.py"
_PORT = "8000"  # default of the page
_DESCRIPTION = """Segments pictures, a video or a data set.

  {program} street.jpg frames/ "more/*.png"                pictures, folders, globs
  {program} --video drive.mp4 --output drive_overlay.mp4   a file, a camera (0, 1, ...) or a URL
  {program} --dataset cityscapes --root DIR --split val    mIoU and latency
"""


def make_parser(datasets: Sequence[str] = (), program: str = PROGRAM) -> Parser:
    """Returns the parser of the command `program`; `datasets` are the names that --dataset may have."""
    parser = Parser(prog=program, description=_DESCRIPTION.format(program=program))
    what = parser.add_argument_group("what to work on (one of)")
    what.add_argument("inputs", nargs="*", metavar="INPUT", help="pictures, folders (searched in depth) or globs")
    what.add_argument("--video", metavar="SRC", help="a video file, the index of a camera, a URL, - for a pipe, a folder of "
                      "videos, or frames as a folder of pictures or a pattern such as f/%%06d.png; shown in a window, or written "
                      "where --output says")
    what.add_argument("--fps", type=float, metavar="N", help="frames per second of a video that is given as pictures "
                      "(default: 25)")
    what.add_argument("--raw", metavar="HxW[@FPS]", help="what is piped in by --video - is bare BGR bytes, frame after frame, of "
                      "this size; without it, a container such as NUT, Matroska or MPEG-TS")
    what.add_argument("--dataset", metavar="NAME",
                      help=f"a data set to score: {', '.join(datasets)}")
    what.add_argument("--root", metavar="DIR", help="where the data set is")
    what.add_argument("--split", help="which part of the data set (default: val)")
    what.add_argument("--class-map", type=Path, metavar="YAML", help="for a data set with coarser classes than the weights': "
                      "which of theirs each of its own is, a name or a list of names; scores are of the data set's classes")
    what.add_argument("--find-size", action="store_true", help="find the size at which the weights are most accurate on the data "
                      "set, and note it in their file and its exports")
    what.add_argument("--limit", type=_positive, metavar="N",
                      help="at most N frames: the first of a video, else evenly spread")

    how = parser.add_argument_group("how to run")
    how.add_argument("--weights", metavar="NAME|FILE",
                     help=f"shipped weights by name, or a file (default: {DEFAULT})")
    how.add_argument("--engine", default="auto", choices=names(),
                     help="what runs the network (default: auto, the fastest of those installed)")
    how.add_argument("--precision", default="auto", choices=precisions(),
                     help="of its arithmetic (default: auto, the fastest that leaves 99%% of the labels as in fp32); what is "
                     "auto is tried on the first frames and remembered")
    how.add_argument("--size", type=ways.parse_frame_size, default="best", metavar="HxW|PX|own|best",
                     help="bring frames to this size first; PX scales them to that longer side, own is their own size, best "
                     "scales them to where the weights say that they are most accurate (default: best). Results come back, and "
                     "are scored, at the frame's own size")
    how.add_argument("--fit", choices=("stretch", "letterbox"),
                     help="how frames are brought to --size (default: stretch)")
    ways.add_arguments(how)
    how.add_argument("--threads", type=_positive, metavar="N", help="for the engine, OpenCV and our own code together "
                     "(default: all cores that this process may use)")
    how.add_argument("--mode", choices=("latency", "throughput"), help="of a video: latency works on one frame with all threads, "
                     "throughput on a frame for each thread (default: latency)")
    how.add_argument("--smooth", action="store_true", help="of a video: blend scores over time where the picture stays the same, "
                     "so that labels flicker less")

    out = parser.add_argument_group("what comes out")
    out.add_argument("--save", metavar="KIND,...", help="train-ids, label-ids, color, overlay, confidence (default for pictures "
                     "and video: overlay)")
    out.add_argument("--classes", metavar="NAME,...", help="highlight only these classes in overlays and colours, such as "
                     "road,car")
    out.add_argument("--palette", choices=palettes.NAMES, default="own", help="colours of the classes: the label set's own, or "
                     "ones that the colour-blind tell apart, too (default: own)")
    out.add_argument("--output", type=Path, metavar="PATH", help="folder for pictures (default: runs/infer), "
                     ".mp4, .mov, .mkv or .webm file for a video, or a folder, or - for a pipe")
    out.add_argument("--overwrite", action="store_true", help="replace the video file that is there")
    out.add_argument("--show", action="store_true", help="show a video in a window, also where --output writes it")
    out.add_argument("--serve", nargs="?", const=_PORT, metavar="[HOST:]PORT", help="show a video on a page for browsers, also "
                     f"where --output writes it (default: port {_PORT}, for this machine alone)")
    out.add_argument("--report", type=Path, action="append", default=[], metavar="FILE",
                     help="write a report; .json, .md or .html; may be given several times")
    out.add_argument("--submit", type=Path, metavar="DIR", help="write what the data set's test server takes: a PNG of label "
                     "ids for each frame of --split test (or val), and a zip of them")
    out.add_argument("--quiet", action="store_true", help="print errors only")
    return parser


def main(argv: Sequence[str] | None = None, readers: Readers | None = None, program: str = PROGRAM) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: arguments after the program's name; None takes those of the process.
        readers: data sets by name, each made of (root, split).
        program: what the command is called.
    """
    return run(partial(_infer, readers=readers or {}, program=program), argv)


def _infer(argv: Sequence[str] | None, readers: Readers, program: str) -> None:
    arguments = make_parser(sorted(readers), program).parse_args(argv)
    _check(arguments, program)
    options = InferOptions.of(arguments, [*program.split(), *(sys.argv[1:] if argv is None else argv)], DEFAULT)
    ways.check(options)
    import cv2

    # OpenCV and the engines take a while to import, so the arguments are checked first
    from seg.cli import infer_modes, infer_video

    # Our own message says in one sentence what is wrong with a video or picture.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

    if options.video is not None:
        infer_video.video(options)
    elif options.dataset is not None:
        work = infer_modes.find_size if options.find_size else infer_modes.dataset
        work(options, readers)
    else:
        infer_modes.pictures(options)


def _check(arguments: argparse.Namespace, program: str) -> None:
    """Refuses options that don't go together, so that no option is silently ignored."""
    modes = [name for name, given in (("INPUT", bool(arguments.inputs)), ("--video", arguments.video is not None),
                                      ("--dataset", arguments.dataset is not None)) if given]
    if not modes:
        raise SegError(f"Nothing to work on. Give pictures or folders, --video SRC, or --dataset NAME --root DIR; "
                       f"{program} --help shows examples.")
    if len(modes) > 1:
        raise SegError(f"{' and '.join(modes)} were given together; give one of them at a time.")
    if arguments.video is None:
        for option, what in (("fps", "gives pictures a time"), ("raw", "says what is piped in"), ("mode", "is for videos"),
                             ("smooth", "goes from frame to frame"), ("show", "opens a window for a video"),
                             ("serve", "shows a video on a page"),
                             ("overwrite", "replaces a video")):
            if getattr(arguments, option) not in (None, False):
                raise SegError(f"--{option} {what}; it needs --video SRC.")
    if modes != ["--dataset"]:
        for option, what in (("root", "says which data set"), ("split", "says which data set"),
                             ("submit", "writes what a data set's test server takes"),
                             ("class_map", "says what a data set's classes are"),
                             ("find_size", "measures sizes on a data set")):
            if getattr(arguments, option) not in (None, False):
                raise SegError(f"--{option.replace('_', '-')} {what}; it needs --dataset NAME.")
    elif arguments.root is None:
        raise SegError("--dataset needs --root DIR, the folder where the data set is.")
    if arguments.smooth and arguments.mode == "throughput":
        raise SegError("--smooth goes from frame to frame, and --mode throughput works on several at once; give one of them.")
    if arguments.submit is not None and arguments.limit is not None:
        raise SegError("A test server takes all frames of a split: give --submit without --limit.")
    if arguments.submit is not None and arguments.split not in (None, "val", "test"):
        raise SegError(f"--submit is for --split test, or val to try it out; it got {arguments.split!r}.")
    others = [name for name in ("save", "output", "submit", "fit") if getattr(arguments, name) is not None]
    others += [name for name, given in (("size", arguments.size != "best"), ("report", bool(arguments.report))) if given]
    if arguments.find_size and arguments.weights is None:
        raise SegError("--find-size changes the weights' description; name them: --weights FILE.")
    if arguments.submit is not None and arguments.class_map is not None:
        raise SegError("--submit writes the weights' own classes, which --class-map says are not the data set's.")
    if arguments.find_size and others:
        raise SegError(f"--find-size measures sizes and writes nothing but the best one; leave --{others[0]} out.")
    if arguments.fit is not None and not isinstance(arguments.size, tuple):
        raise SegError("--fit says how frames are brought to --size; give --size HxW too.")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
