"""What the modes of `infer.py` share: loading what runs, saying what happens, reports."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seg import weights
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
_T = TypeVar("_T")


def load(arguments: Namespace, kinds: Sequence[str]) -> Predictor:
    """Loads what runs, and says how frames reach it."""
    predictor = Predictor.load(arguments.weights or weights.DEFAULT, arguments.engine, arguments.precision, arguments.threads,
                               arguments.size, arguments.fit or "stretch", confidence="confidence" in kinds)
    if predictor.size_hw is not None:
        how = {"stretch": "stretched to", "letterbox": "letterboxed into"}[predictor.fit]
        height, width = predictor.size_hw
        say(arguments, f"Frames are {how} {height}x{width} (height x width); results have the frames' own size.")
    elif predictor.long_side is not None:
        why = f", where {predictor.weights} is most accurate" if arguments.size == "best" else ""
        say(arguments, f"Frames are scaled to a longer side of {predictor.long_side} px{why}; results have the frames' own "
             "size. --size own leaves frames as they are.")
    return predictor


def look(arguments: Namespace, label_set: LabelSet, kinds: Sequence[str]) -> tuple[LabelSet, tuple[int, ...] | None]:
    """Returns the label set in the wanted colours, and the train ids that are highlighted, None for all.

    Raises:
        SegError: there is no such class, or nothing is drawn that it would be seen in.
    """
    names = None if arguments.classes is None else [name.strip() for name in arguments.classes.split(",") if name.strip()]
    drawn = not set(DRAWN).isdisjoint(kinds)
    if names is not None and not drawn:
        raise SegError("--classes says what is highlighted in overlays and colours, and none are made; add --save overlay.")
    if arguments.palette != "own" and not drawn and not arguments.report:
        raise SegError("--palette says in which colours overlays are drawn, and none are made; add --save overlay.")
    if names == []:
        raise SegError("--classes names no class; write their names with commas between, such as road,car.")
    return recolored(label_set, arguments.palette), None if names is None else label_set.train_ids_of(names)


def choose(predictor: Predictor, frames_bgr: Iterable[UInt8Array], quiet: bool, complete: bool) -> None:
    """Lets "auto" choose on these frames, see `Predictor.choose`; says on a terminal what takes so long the first time."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        predictor.choose(frames_bgr, complete)
        return
    with console.status("Finding out what is fastest here, which is then remembered..."):
        predictor.choose(frames_bgr, complete)


def all_of(heading: Sequence[str], faults: Sequence[str]) -> str:
    """Returns the heading and each fault on a line of its own."""
    return "\n  ".join([*heading, *shortened(faults)])


def examples_for(arguments: Namespace, table: UInt8Array | None = None) -> list[ExampleCollector]:
    """Returns what keeps frames for a report that shows pictures, where one is wanted."""
    return [ExampleCollector(table)] if any(path.suffix.lower() == ".html" for path in arguments.report) else []


def finish(arguments: Namespace, result: Result, examples: Sequence[ExampleCollector]) -> None:
    """Prints the result and writes the reports."""
    result = replace(result, label_set=recolored(result.label_set, arguments.palette))
    shown = [example for collector in examples for example in collector.examples()]
    report = evaluation_report(result, Origin.here(*arguments.command), shown)
    if not arguments.quiet:
        show(report)
    for path in arguments.report:
        write_document(report, path)
        say(arguments, f"Report: {path}")


def say(arguments: Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text)


def progress(items: Iterable[_T], total: int | None, quiet: bool, what: str = "frames") -> Iterator[_T]:
    """Hands the items on; shows how far it is on standard error where that is a terminal."""
    with progress_bar(quiet, what) as bar:
        task = bar.add_task("", total=total)
        for item in items:
            yield item
            bar.advance(task)


def progress_bar(quiet: bool, what: str = "frames") -> Progress:
    """Returns a progress bar on standard error, which says nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(), console=console,
                    refresh_per_second=4, transient=True, disable=quiet or not console.is_terminal)
