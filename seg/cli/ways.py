"""The predictors for `--eval` and `--also`: they evaluate frames in another way, or at another size, on the same engine."""

import argparse
from collections.abc import Callable
from typing import Any

from seg.cli.common import parse_size
from seg.cli.infer_options import InferOptions
from seg.errors import SegError, did_you_mean

EVALS = ("whole", "slide", "multiscale")


def add_arguments(group: Any) -> None:
    """Adds the options to a group of a parser."""
    group.add_argument("--eval", choices=EVALS, default="whole", help="how the network looks at a frame: whole; slide, through "
                       "windows that overlap; or multiscale, at several scales and mirrored (default: whole). Of a data set, the "
                       "report says what that does to mIoU and latency")
    group.add_argument("--window", type=parse_size, metavar="HxW", help="of --eval slide, in the size that frames are brought to "
                       "(default: that of the weights' training crops)")
    group.add_argument("--overlap", type=_share, metavar="SHARE", help="of --eval slide: least part of a window that the next "
                       "one sees too (default: 1/3)")
    group.add_argument("--scales", type=_scales, metavar="S,...", help="of --eval multiscale, times the size that frames are "
                       "brought to (default: 0.5,0.75,1,1.25,1.5)")
    group.add_argument("--also", type=_others, default=(), metavar="SIZE|WAY,...", help="score a data set in other ways too, for "
                       "the report: at sizes as of --size, and slide, multiscale, whole")


def check(options: InferOptions) -> None:
    """Refuses options that belong to another way of evaluation than the chosen one.

    Raises:
        SegError: there is such an option.
    """
    wanted = {options.eval, *options.also}
    for option, way in (("window", "slide"), ("overlap", "slide"), ("scales", "multiscale")):
        if getattr(options, option) is not None and way not in wanted:
            raise SegError(f"--{option} is for windows or scales; give --eval {way} with it.")
    if options.also and options.dataset is None:
        raise SegError("--also scores a data set in other ways; it needs --dataset NAME.")
    if options.eval != "whole" and options.video is not None:
        raise SegError(f"--eval {options.eval} runs the network many times for a frame; it is for pictures and data sets.")
    if options.find_size and (options.eval != "whole" or options.also):
        raise SegError("--find-size compares sizes of whole frames; leave --eval and --also out.")


def predictors(options: InferOptions, predictor: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the predictor that --eval chooses, and those that it is compared with, by name.

    Args:
        options: of the command line.
        predictor: a `Predictor` of whole frames.

    Raises:
        SegError: a window, a size or a scale isn't possible.
    """
    from seg.runtime.ways import OVERLAP, SCALES, WHOLE, Multiscale, Slide

    ways: dict[object, Callable[[], Any]] = {
        "whole": lambda: WHOLE,
        "slide": lambda: Slide(options.window or predictor.description.train_size_hw,
                               OVERLAP if options.overlap is None else options.overlap),
        "multiscale": lambda: Multiscale(options.scales or SCALES),
    }
    others = [*(["whole"] if options.eval != "whole" else []), *options.also]
    made = {}
    for other in dict.fromkeys(others):
        if other != options.eval:
            way = ways[other]() if other in ways else WHOLE
            made[str(way) if other in ways else _name(other)] = predictor.at(None if other in ways else other, way)
    return (predictor if options.eval == "whole" else predictor.at(way=ways[options.eval]())), made


def parse_frame_size(text: str) -> tuple[int, int] | int | str:
    """Reads a size as --size has it: "HxW", the longer side, "own" or "best"."""
    return text if text in ("own", "best") else int(text) if text.isdecimal() else parse_size(text)


def _name(size: tuple[int, int] | int | str) -> str:
    if isinstance(size, tuple):
        return f"{size[0]}x{size[1]}"
    return f"longer side {size} px" if isinstance(size, int) else f"{size} size"


def _others(text: str) -> tuple[Any, ...]:
    others: list[Any] = []
    for word in filter(None, map(str.strip, text.split(","))):
        try:
            others.append(word if word in EVALS else parse_frame_size(word))
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(f"{word!r} is neither a size, such as 512 or 360x480, nor a way. "
                                             f"{did_you_mean(word, [*EVALS, 'own', 'best'])}") from None
    if not others:
        raise argparse.ArgumentTypeError("nothing is named")
    return tuple(others)


def _share(text: str) -> float:
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, such as 0.5 or 1/3") from None


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are not scales, such as 0.75,1,1.25") from None
