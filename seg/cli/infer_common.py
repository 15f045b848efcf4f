"""What the modes of `infer.py` share: loading the network, telling the user what happens, reports."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Console

from seg.cli.infer_options import InferOptions
from seg.document import Origin, show
from seg.document import write as write_document
from seg.errors import SegError, shortened
from seg.files import UInt8Array
from seg.label_sets import LabelSet
from seg.palettes import recolored
from seg.report import ExampleCollector, evaluation_report
from seg.result import Result
from seg.runtime import Predictor
from seg.video import Show

DRAWN: tuple[Show, ...] = ("overlay", "color")  # kinds of output that are drawn, and can be a video; the others are data


def load(options: InferOptions, kinds: Sequence[str]) -> Predictor:
    """Loads the predictor, and tells the user how frames are passed to it."""
    predictor = Predictor.load(options.weights, options.engine, options.precision, options.threads,
                               options.size, options.fit, confidence="confidence" in kinds)
    if predictor.size_hw is not None:
        how = {"stretch": "stretched to", "letterbox": "letterboxed into"}[predictor.fit]
        height, width = predictor.size_hw
        say(options, f"Frames are {how} {height}x{width} (height x width); results have the frames' own size.")
    elif predictor.long_side is not None:
        why = f", where {predictor.weights} is most accurate" if options.size == "best" else ""
        say(options, f"Frames are scaled to a longer side of {predictor.long_side} px{why}; results have the frames' own "
             "size. --size own doesn't scale them.")
    return predictor


def look(options: InferOptions, label_set: LabelSet, kinds: Sequence[str]) -> tuple[LabelSet, tuple[int, ...] | None]:
    """Returns the label set in the wanted colours, and the train ids that are highlighted, None for all.

    Raises:
        SegError: there is no such class, or no drawn output is wanted in which it could be seen.
    """
    names = None if options.classes is None else [name.strip() for name in options.classes.split(",") if name.strip()]
    drawn = not set(DRAWN).isdisjoint(kinds)
    if names is not None and not drawn:
        raise SegError("--classes says what is highlighted in overlays and colours, and none are made; add --save overlay.")
    if options.palette != "own" and not drawn and not options.report:
        raise SegError("--palette says in which colours overlays are drawn, and none are made; add --save overlay.")
    if names == []:
        raise SegError("--classes names no class; write their names with commas between, such as road,car.")
    return recolored(label_set, options.palette), None if names is None else label_set.train_ids_of(names)


def choose(predictor: Predictor, frames_bgr: Iterable[UInt8Array], quiet: bool, complete: bool) -> None:
    """Lets "auto" choose on these frames, see `Predictor.choose`; on a terminal it says why this takes long the first time."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        predictor.choose(frames_bgr, complete)
        return
    with console.status("Finding out what is fastest here, which is then remembered..."):
        predictor.choose(frames_bgr, complete)


def all_of(heading: Sequence[str], faults: Sequence[str]) -> str:
    """Returns the heading and each fault on a line of its own."""
    return "\n  ".join([*heading, *shortened(faults)])


def examples_for(options: InferOptions, table: UInt8Array | None = None) -> list[ExampleCollector]:
    """Returns collectors of frames for a report with pictures; none if no such report is wanted."""
    return [ExampleCollector(table)] if any(path.suffix.lower() == ".html" for path in options.report) else []


def finish(options: InferOptions, result: Result, examples: Sequence[ExampleCollector]) -> None:
    """Prints the result and writes the reports."""
    result = replace(result, label_set=recolored(result.label_set, options.palette))
    shown = [example for collector in examples for example in collector.examples()]
    report = evaluation_report(result, Origin.here(*options.command), shown)
    if not options.quiet:
        show(report)
    for path in options.report:
        write_document(report, path)
        say(options, f"Report: {path}")


def say(options: InferOptions, text: str) -> None:
    if not options.quiet:
        print(text)
