"""The three things `infer.py` does: pictures, a video, a data set. Each checks what can be checked before it works."""

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seg import weights
from seg.cli.common import Interruption, read_class_map
from seg.cli.inputs import DataSet, PictureFiles
from seg.cli.outputs import PictureWriter, Submission, output_names, parse_kinds
from seg.document import Origin, check_paths, show
from seg.document import write as write_document
from seg.document.words import count
from seg.errors import SegError, did_you_mean, shortened
from seg.evaluate import (
    WARM_UP_RUNS,
    Result,
    best_long_side,
    check_same_classes,
    compare_sizes,
    evaluate,
    merging_table,
)
from seg.files import UInt8Array, check_writable_folder, find_images, passed_over, spread
from seg.flow import Ending, Segmented, Sink, Sinks, Stream, opened, samples
from seg.report import ExampleCollector, evaluation_report, sizes_report
from seg.runtime import Predictor
from seg.video import VIDEO_SUFFIX, Painter, Show, VideoFile, Window, has_display, open_source, videos_in
from seg.video import run as run_video
from seg.video.pipeline import TRIED_FRAMES
from seg.video.source import PIPE

_PICTURES_FOLDER = Path("runs/infer")
_DRAWN: tuple[Show, ...] = ("overlay", "color")  # what can be a video; the other kinds are pictures
_T = TypeVar("_T")


def pictures(arguments: Namespace) -> None:
    """Segments pictures and writes what --save names."""
    kinds = parse_kinds(arguments.save or "overlay")
    inputs = spread(find_images(arguments.inputs), arguments.limit)
    predictor = _load(arguments, kinds)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, predictor.label_set)
    writer.check_apart_from([image.path for image in inputs])
    check_paths(arguments.report)
    if others := passed_over(arguments.inputs):
        _say(arguments, f"Passed over, in formats that can't be read: "
             f"{', '.join(f'{number} {suffix}' for suffix, number in others.items())}.")
    names = map(str, output_names([image.relative for image in inputs]))
    source = PictureFiles(list(zip(names, (image.path for image in inputs), strict=True)), predictor.check)
    writer.faults, examples = source.faults, ExampleCollector()
    with Interruption() as interruption, opened(source) as stream, Sinks([writer, examples], stream) as sinks:
        _choose(predictor, source.preview(TRIED_FRAMES), arguments.quiet)
        # Pictures may all differ in size, and each size would be warmed up: only where a report asks for speed.
        warm_up_runs = WARM_UP_RUNS if arguments.report else 0
        taken = _progress(samples(source, lambda: interruption.wished), stream.frames, arguments.quiet)
        result = evaluate(predictor, taken, predictor.label_set, sinks.take_sample, warm_up_runs=warm_up_runs)
        sinks.stopped = interruption.wished
    done = f"{writer.frames} of {count(len(inputs), 'picture')}"
    if writer.frames:
        if arguments.report:
            _finish(arguments, result, examples)
        else:
            for note in result.notes:
                _say(arguments, note)
        _say(arguments, f"{done} segmented; {count(writer.written, 'file')} under {writer.folder}/.")
    if interruption.wished:
        raise interruption.error(_all_of([f"{done} were segmented and kept."], source.faults))
    if source.faults:
        raise SegError(_all_of([f"{done} were segmented; what was left out:"] if len(inputs) > 1 else [], source.faults))


def dataset(arguments: Namespace, readers: Mapping[str, Any]) -> None:
    """Scores a split of a data set, and writes what --save and --submit name."""
    name, split = arguments.dataset, arguments.split or "val"
    kinds = parse_kinds(arguments.save or "overlay") if arguments.save or arguments.output else ()
    reader, indices = _open(arguments, readers)
    if arguments.submit and reader.submission_ending is None:
        raise SegError(f"--submit writes what a data set's test server takes; {name} has none.")
    predictor = _load(arguments, kinds)
    table = _table(arguments, predictor, reader)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, predictor.label_set,
                           lambda item: f"{item.sample.name}.png")
    writer.check_apart_from([reader.samples[i].image_path for i in indices])
    check_paths(arguments.report)
    submission = _submission(arguments.submit, reader, f"{name}_{split}.zip") if arguments.submit else None
    source, examples = DataSet(reader, indices, predictor.check), ExampleCollector(table=table)
    if reader.remark:
        _say(arguments, reader.remark)
    receivers: list[Sink] = [writer, examples, submission] if submission else [writer, examples]
    with Interruption() as interruption, opened(source) as stream, Sinks(receivers, stream) as sinks:
        _choose(predictor, source.preview(TRIED_FRAMES), arguments.quiet)
        taken = _progress(samples(source, lambda: interruption.wished), stream.frames, arguments.quiet)
        result = evaluate(predictor, taken, reader.label_set, sinks.take_sample, dataset=name, split=split, table=table)
        sinks.stopped = interruption.wished or bool(source.faults)
    notes = [*result.notes, *([reader.remark] if reader.remark else [])]
    if result.frames < len(reader):
        notes.append(f"These are {result.frames} of the split's {len(reader)} frames.")
    if source.faults:
        notes.append(f"{count(len(source.faults), 'frame')} could not be used, and the figures are without.")
    if result.frames and not result.labelled:
        notes.append(f"The split {split!r} has no labels, so that nothing is scored.")
    result = replace(result, notes=notes)
    if result.frames:
        _finish(arguments, result, examples)
        if kinds:
            _say(arguments, f"{count(writer.written, 'picture')} under {writer.folder}/.")
    done = f"{'Scored' if result.labelled else 'Segmented'} were {result.frames} of {count(len(indices), 'frame')}."
    no_zip = " No zip was written." if submission else ""
    if interruption.wished:
        raise interruption.error(_all_of([f"{done}{no_zip}"], source.faults))
    if source.faults:
        raise SegError(_all_of([f"{done}{no_zip} What was left out:"], source.faults))
    if submission and submission.packed:
        _say(arguments, submission.packed)


def find_size(arguments: Namespace, readers: Mapping[str, Any]) -> None:
    """Finds the long side at which the weights are most accurate on a split, and notes it in their description."""
    reader, indices = _open(arguments, readers)
    path = weights.find(arguments.weights)
    check_writable_folder(path.parent)
    predictor = Predictor.load(path, arguments.engine, arguments.precision, arguments.threads, "own")
    table = _table(arguments, predictor, reader)
    if predictor.size_hw is not None:
        raise SegError(f"{predictor.weights} was exported for one size alone; there is none to find.")
    results = compare_sizes(predictor, reader, indices, table=table,
                            track=lambda sides: _progress(sides, len(sides), arguments.quiet, "sizes"))
    best = best_long_side(results)
    if not arguments.quiet:
        show(sizes_report(results, best))
    changed = weights.describe_anew(path, long_side=best)
    _say(arguments, f"Frames are scaled to a long side of {best} px from now on; noted in {', '.join(map(str, changed))}.")


def _open(arguments: Namespace, readers: Mapping[str, Any]) -> tuple[Any, list[int]]:
    """Returns the data set's reader, and which of its samples are wanted."""
    if arguments.dataset not in readers:
        raise SegError(f"There is no data set {arguments.dataset!r}. {did_you_mean(arguments.dataset, readers)}")
    reader = readers[arguments.dataset](arguments.root, arguments.split or "val")
    return reader, spread(range(len(reader)), arguments.limit)


def _table(arguments: Namespace, predictor: Predictor, reader: Any) -> UInt8Array | None:
    """Returns what maps predictions to the data set's classes; None where they are the same, or must be."""
    if arguments.class_map is None:
        check_same_classes(predictor, reader.label_set)
        return None
    classes = read_class_map(arguments.class_map)
    return merging_table(reader.label_set, predictor.label_set, classes, arguments.root)


def _submission(folder: Path, reader: Any, zip_name: str) -> Submission:
    for sample in reader.samples:
        if sample.image_path.resolve().is_relative_to(folder.resolve()):
            raise SegError(f"The input {sample.image_path} lies in --submit {folder}; choose another folder.")
    return Submission(folder, [sample.name for sample in reader.samples], reader.submission_ending, reader.label_set, zip_name)


def video(arguments: Namespace) -> None:
    """Segments videos into windows, files and pictures."""
    with redirect_stdout(sys.stderr) if str(arguments.output) == PIPE else nullcontext():  # the video itself goes there
        kinds = parse_kinds(arguments.save or "overlay")
        if arguments.output is None and not has_display():
            raise SegError("There is no display to show the video on; write a file with --output FILE.mp4.")
        if arguments.show and not has_display():
            raise SegError("There is no display for --show.")
        folder = Path(arguments.video)
        videos = [str(path) for path in videos_in(folder)] if folder.is_dir() else []
        if len(videos) > 1 and (arguments.report or arguments.output is None or arguments.output.suffix):
            raise SegError(f"{folder} holds {len(videos)} videos; they are written into a folder, without a report: "
                           "--output FOLDER.")
        work = _Video(arguments, kinds, (videos or [arguments.video])[0])
        for name in videos[1:]:
            work.run()
            work = _Video(arguments, kinds, name, work.predictor)
        work.run()


class _Video:
    """One video: checked when it is made, worked on by `run`."""

    def __init__(self, arguments: Namespace, kinds: Sequence[str], name: str, predictor: Predictor | None = None) -> None:
        self._arguments, self._name = arguments, name
        say = (lambda text: None) if arguments.quiet else None
        self._source = open_source(name, threads=arguments.threads or 0, raw=arguments.raw, fps=arguments.fps, say=say)
        self._files = _video_targets(arguments.output, name, kinds)
        if arguments.output is None and (shown := set(kinds) - set(_DRAWN)):
            raise SegError(f"{', '.join(sorted(shown))} are pictures, one for each frame; say where they go: --output FOLDER.")
        self.predictor = predictor or _load(arguments, kinds)
        label_set = self.predictor.label_set
        self._sinks: list[Sink] = [VideoFile(path, Painter(label_set, kind), overwrite=arguments.overwrite,
                                             threads=arguments.threads or 0) for path, kind in self._files]
        pictures = [kind for kind in kinds if kind not in _DRAWN]
        if pictures:
            stem = _stem(name)  # of several videos each has a folder of its own
            self._sinks.append(PictureWriter(arguments.output, pictures, label_set, lambda item: f"{stem}/{item.index:06d}.png"))
        if arguments.show or arguments.output is None:
            self._sinks.append(Window(Painter(label_set, "color" if kinds[0] == "color" else "overlay"),
                                      say=lambda text: _say(arguments, text)))
        check_paths(arguments.report)
        for path, _ in self._files:
            if str(path) != PIPE:
                check_writable_folder(path.parent)

    def run(self) -> None:
        """Works on it, and says what came of it.

        Raises:
            SegError: as `seg.video.run`, or the source ended before its end.
        """
        arguments, examples = self._arguments, ExampleCollector()
        with Interruption() as interruption, _Bar(arguments.quiet) as bar:
            try:
                done = run_video(self._source, self.predictor, [*self._sinks, examples, bar], mode=arguments.mode,
                                 limit=arguments.limit, smooth=arguments.smooth, stop=lambda: interruption.wished)
            except SegError as fault:
                kept = self._kept()
                raise SegError(f"{fault} What was written until then is kept in {kept}." if kept else str(fault)) from None
        frames = done.result.frames
        kept = self._kept()
        if frames:
            _finish(arguments, done.result, examples)
            where = f" in {kept}" if kept else ""
            _say(arguments, f"{count(frames, 'frame')}{where}: {done.frames_per_second:.1f} frames per second "
                 f"from reading to {'showing' if arguments.output is None else 'writing'} ({done.seconds:.1f} s).")
        if interruption.wished:
            raise interruption.error(f"Kept {count(frames, 'frame')} in {kept}." if kept else "")
        if done.fault is not None:
            raise SegError(f"{done.fault} {'It is' if frames == 1 else 'They are'} kept in {kept}." if kept else str(done.fault))

    def _kept(self) -> str:
        """Returns where what was written lies, in words; nothing where nothing is."""
        files = [str(sink.kept) for sink in self._sinks if isinstance(sink, VideoFile) and sink.kept is not None]
        folders = [f"{sink.folder}/" for sink in self._sinks if isinstance(sink, PictureWriter) and sink.written]
        return " and ".join(files + folders)


class _Bar:
    """Shows on a terminal's standard error how far a video is; a `seg.flow.Sink`, used with `with`."""

    name = "progress"
    in_callers_thread = True

    def __init__(self, quiet: bool) -> None:
        self.delays_ms: dict[int, float] = {}
        self._progress = _bar(quiet)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def open(self, stream: Stream) -> None:
        self._task = self._progress.add_task("", total=stream.frames)

    def take(self, item: Segmented) -> bool:
        self._progress.advance(self._task)
        return True

    def close(self, ending: Ending) -> None:
        self._progress.remove_task(self._task)


def _video_targets(output: Path | None, source: str, kinds: Sequence[str]) -> list[tuple[Path, Show]]:
    """Returns the files to write and what each shows: `output`, or names after the source if `output` is a folder."""
    drawn: list[Show] = [kind for kind in _DRAWN if kind in kinds]
    if output is None:
        return []
    if str(output) != PIPE and (output.is_dir() or not output.suffix):
        targets = [(output / f"{_stem(source)}_{kind}{VIDEO_SUFFIX}", kind) for kind in drawn]
    elif len(kinds) > 1 or not drawn:
        raise SegError(f"A video file shows overlay or color; --save {','.join(kinds)} needs a folder: --output FOLDER.")
    else:
        targets = [(output, drawn[0])]
    for path, _ in targets:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise SegError(f"--output {path} is the video itself; choose another name.")
    return targets


def _stem(source: str) -> str:
    """Returns what files are named after."""
    if source.isdecimal():
        return f"camera{source}"
    return "stream" if "://" in source or source == PIPE else re.sub(r"_?%\d*d", "", Path(source).stem) or "frames"


def _load(arguments: Namespace, kinds: Sequence[str]) -> Predictor:
    """Loads what runs, and says how frames reach it."""
    predictor = Predictor.load(arguments.weights or weights.DEFAULT, arguments.engine, arguments.precision, arguments.threads,
                               arguments.size, arguments.fit or "stretch", confidence="confidence" in kinds)
    if predictor.size_hw is not None:
        how = {"stretch": "stretched to", "letterbox": "letterboxed into"}[predictor.fit]
        height, width = predictor.size_hw
        _say(arguments, f"Frames are {how} {height}x{width} (height x width); results have the frames' own size.")
    elif predictor.long_side is not None:
        why = f", where {predictor.weights} is most accurate" if arguments.size == "best" else ""
        _say(arguments, f"Frames are scaled to a longer side of {predictor.long_side} px{why}; results have the frames' own "
             "size. --size own leaves frames as they are.")
    return predictor


def _choose(predictor: Predictor, frames_bgr: Iterable[UInt8Array], quiet: bool) -> None:
    """Lets "auto" choose on these frames; says on a terminal what takes so long the first time."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        predictor.choose(frames_bgr)
        return
    with console.status("Finding out what is fastest here, which is then remembered..."):
        predictor.choose(frames_bgr)


def _all_of(heading: Sequence[str], faults: Sequence[str]) -> str:
    """Returns the heading and each fault on a line of its own."""
    return "\n  ".join([*heading, *shortened(faults)])


def _finish(arguments: Namespace, result: Result, examples: ExampleCollector) -> None:
    """Prints the result and writes the reports."""
    report = evaluation_report(result, Origin.here(*arguments.command), examples.examples)
    if not arguments.quiet:
        show(report)
    for path in arguments.report:
        write_document(report, path)
        _say(arguments, f"Report: {path}")


def _say(arguments: Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text)


def _progress(items: Iterable[_T], total: int | None, quiet: bool, what: str = "frames") -> Iterator[_T]:
    """Hands the items on; shows how far it is on standard error where that is a terminal."""
    with _bar(quiet, what) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            yield item
            progress.advance(task)


def _bar(quiet: bool, what: str = "frames") -> Progress:
    """Returns a progress bar on standard error, which says nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(), console=console,
                    refresh_per_second=4, transient=True, disable=quiet or not console.is_terminal)
