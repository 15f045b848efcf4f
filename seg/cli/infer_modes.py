"""The three things `infer.py` does: pictures, a video, a data set. Each checks what can be checked before it works."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seg import weights
from seg.cli.common import Interruption, read_class_map
from seg.cli.outputs import PictureWriter, Submission, output_names, parse_kinds
from seg.errors import SegError, did_you_mean
from seg.evaluate import (
    WARM_UP_RUNS,
    EvalSample,
    Result,
    best_long_side,
    check_same_classes,
    compare_sizes,
    evaluate,
    merging_table,
    read_sample,
)
from seg.files import UInt8Array, check_writable_folder, find_images, passed_over, read_image_bgr, spread
from seg.report import ExampleCollector, check_report_path, print_result, print_sizes, write_report
from seg.report.facts import count
from seg.runtime import Prediction, Predictor
from seg.video import VIDEO_SUFFIX, VideoFile, VideoSource, Window, has_display, segment_video

_PICTURES_FOLDER = Path("runs/infer")
_FAULTS_SHOWN = 20
_TRIED_FRAMES = 3  # that "auto" chooses on, spread over all
_T = TypeVar("_T")


def pictures(arguments: Namespace) -> None:
    """Segments pictures and writes what --save names."""
    kinds = parse_kinds(arguments.save or "overlay")
    inputs = spread(find_images(arguments.inputs), arguments.limit)
    predictor = _load(arguments, kinds)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, predictor.label_set)
    writer.check_apart_from([image.path for image in inputs])
    _check_reports(arguments)
    check_writable_folder(writer.folder)
    names = dict(zip(map(str, output_names([image.relative for image in inputs])), inputs, strict=True))
    examples = ExampleCollector(len(inputs))
    kept = 0
    faults: list[str] = []  # of single pictures: the others are worked on all the same, and these are named at the end
    if others := passed_over(arguments.inputs):
        _say(arguments, f"Passed over, in formats that can't be read: "
             f"{', '.join(f'{number} {suffix}' for suffix, number in others.items())}.")

    def samples() -> Iterator[EvalSample]:
        for name, image in _progress(names.items(), len(names), arguments.quiet):
            if interruption.wished:
                return
            try:
                frame_bgr = read_image_bgr(image.path)
                predictor.check(frame_bgr)
            except SegError as fault:
                faults.append(_about(image.path, fault))
            else:
                yield EvalSample(name, frame_bgr)

    def save(sample: EvalSample, prediction: Prediction) -> None:
        nonlocal kept
        try:
            writer.write(Path(sample.name), sample.frame_bgr, prediction)
        except SegError as fault:
            faults.append(str(fault))
        else:
            kept += 1
            examples.offer(sample.name, sample.frame_bgr, None, prediction.train_ids)

    with Interruption() as interruption:
        _choose(predictor, _usable(predictor, lambda image: read_image_bgr(image.path), spread(inputs, _TRIED_FRAMES)),
                arguments.quiet)
        # Pictures may all differ in size, and each size would be warmed up: only where a report asks for speed.
        warm_up_runs = WARM_UP_RUNS if arguments.report else 0
        result = evaluate(predictor, samples(), predictor.label_set, save, warm_up_runs=warm_up_runs)
    done = f"{kept} of {count(len(inputs), 'picture')}"
    if kept:
        if arguments.report:
            _finish(arguments, result, examples)
        elif result.note:
            _say(arguments, result.note)
        _say(arguments, f"{done} segmented; {count(writer.written, 'file')} under {writer.folder}/.")
    if interruption.wished:
        raise KeyboardInterrupt(_all_of([f"{done} were segmented and kept."], faults))
    if faults:
        raise SegError(_all_of([f"{done} were segmented; what was left out:"] if len(inputs) > 1 else [], faults))


def dataset(arguments: Namespace, readers: Mapping[str, Any]) -> None:
    """Scores a split of a data set, and writes what --save and --submit name."""
    name, split = arguments.dataset, arguments.split or "val"
    kinds = parse_kinds(arguments.save or "overlay") if arguments.save or arguments.output else ()
    reader, indices = _open(arguments, readers)
    if arguments.submit and reader.submission_ending is None:
        raise SegError(f"--submit writes what a data set's test server takes; {name} has none.")
    predictor = _load(arguments, kinds)
    table = _table(arguments, predictor, reader)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, predictor.label_set)
    writer.check_apart_from([reader.samples[i].image_path for i in indices])
    _check_reports(arguments)
    if kinds:
        check_writable_folder(writer.folder)
    submission = _submission(arguments.submit, reader, f"{name}_{split}.zip") if arguments.submit else None
    examples = ExampleCollector(len(indices))
    faults: list[str] = []  # of single frames: the others are scored all the same, and these are named at the end
    if reader.remark:
        _say(arguments, reader.remark)

    def samples() -> Iterator[EvalSample]:
        for i in _progress(indices, len(indices), arguments.quiet):
            if interruption.wished:
                return
            try:
                sample = read_sample(reader, i)
                predictor.check(sample.frame_bgr)
            except SegError as fault:
                faults.append(_about(reader.samples[i].image_path, fault))
            else:
                yield sample

    def save(sample: EvalSample, prediction: Prediction) -> None:
        writer.write(Path(f"{sample.name}.png"), sample.frame_bgr, prediction)
        if submission:
            submission.write(sample.name, prediction.train_ids)
        shown = prediction.train_ids if table is None else table[prediction.train_ids]
        examples.offer(sample.name, sample.frame_bgr, sample.train_ids, shown)

    with Interruption() as interruption:
        _choose(predictor, _usable(predictor, lambda i: read_sample(reader, i).frame_bgr, spread(indices, _TRIED_FRAMES)),
                arguments.quiet)
        result = evaluate(predictor, samples(), reader.label_set, save, dataset=name, split=split, table=table)
    notes = [result.note, reader.remark]
    if result.frames < len(reader):
        notes.append(f"These are {result.frames} of the split's {len(reader)} frames.")
    if faults:
        notes.append(f"{count(len(faults), 'frame')} could not be used, and the figures are without.")
    if result.frames and not result.labelled:
        notes.append(f"The split {split!r} has no labels, so that nothing is scored.")
    result = replace(result, note=" ".join(filter(None, notes)) or None)
    if result.frames:
        _finish(arguments, result, examples)
        if kinds:
            _say(arguments, f"{count(writer.written, 'picture')} under {writer.folder}/.")
    done = f"{'Scored' if result.labelled else 'Segmented'} were {result.frames} of {count(len(indices), 'frame')}"
    no_zip = " No zip was written." if submission else ""
    if interruption.wished:
        raise KeyboardInterrupt(_all_of([f"{done}.{no_zip}"], faults))
    if faults:
        raise SegError(_all_of([f"{done}.{no_zip} What was left out:"], faults))
    if submission:
        _say(arguments, submission.pack())


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
        print_sizes(results, best)
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
    """Segments a video into a window or a file."""
    kinds = parse_kinds(arguments.save or "overlay")
    if kinds not in (("overlay",), ("color",)):
        raise SegError("A video shows overlay or color, so --save takes one of them; ids would not survive compression.")
    if arguments.output is None and not has_display():
        raise SegError("There is no display to show the video on; write a file with --output FILE.mp4.")
    with VideoSource(arguments.video, arguments.threads or 0) as source:
        target = _video_target(arguments.output, arguments.video, kinds[0])
        predictor = _load(arguments, kinds)
        _check_reports(arguments)
        if target is not None:
            check_writable_folder(target.parent)
        total = min(filter(None, (source.frames, arguments.limit)), default=None)
        examples = ExampleCollector(total)

        def frames() -> Iterator[UInt8Array]:
            for number, frame in enumerate(_progress(source, total, arguments.quiet), 1):
                if interruption.wished:
                    return
                yield frame
                if number == arguments.limit:
                    return

        def offer(sample: EvalSample, prediction: Prediction) -> None:
            examples.offer(sample.name, sample.frame_bgr, None, prediction.train_ids)

        with Interruption() as interruption, _sink(target, source) as sink:
            run = segment_video(predictor, frames(), sink, "color" if kinds == ("color",) else "overlay", offer)
        done = run.result.frames
        kept = count(done, "frame") + (f" in {target}" if target else "")
        if done:
            _finish(arguments, run.result, examples)
            _say(arguments, f"{kept}: {run.frames_per_second:.1f} frames per second from reading to "
                 f"{'writing' if target else 'showing'} ({run.busy_s:.1f} s), {run.predictor_frames_per_second:.1f} "
                 "by the predictor alone.")
        if interruption.wished:
            raise KeyboardInterrupt(f"Kept {kept}." if done and target else "")
        if not run.closed and done != arguments.limit:
            try:
                source.check_whole()
            except SegError as fault:
                raise SegError(f"{fault} They are kept in {target}." if done and target else str(fault)) from None


def _sink(target: Path | None, source: VideoSource) -> VideoFile | Window:
    if target is not None:
        return VideoFile(target, source.fps, source.live)
    return Window(f"{source.name} (q quits)", None if source.live else source.fps)


def _video_target(output: Path | None, source: str, kind: str) -> Path | None:
    """Returns the file to write: `output`, or one named after the source if `output` is a folder."""
    if output is None:
        return None
    if output.is_dir() or not output.suffix:
        stem = f"camera{source}" if source.isdecimal() else "stream" if "://" in source else Path(source).stem
        output = output / f"{stem}_{kind}{VIDEO_SUFFIX}"
    if output.suffix.lower() != VIDEO_SUFFIX:
        raise SegError(f"Videos are written as {VIDEO_SUFFIX}; --output {output} has another suffix.")
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise SegError(f"--output {output} is the video itself; choose another name.")
    return output


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


def _usable(predictor: Predictor, read: Callable[[_T], UInt8Array], items: Iterable[_T]) -> Iterator[UInt8Array]:
    """Reads frames, without those that can't be used: what is wrong with them is said when their turn comes."""
    for item in items:
        with suppress(SegError):
            frame_bgr = read(item)
            predictor.check(frame_bgr)
            yield frame_bgr


def _about(path: Path, fault: SegError) -> str:
    """Returns what is wrong with a file in words that name it."""
    return str(fault) if str(path) in str(fault) else f"{path}: {fault}"


def _all_of(heading: Sequence[str], faults: Sequence[str]) -> str:
    """Returns the heading and each fault on a line of its own."""
    shown = [*faults[:_FAULTS_SHOWN], *([f"And {len(faults) - _FAULTS_SHOWN} more."] if len(faults) > _FAULTS_SHOWN else [])]
    return "\n  ".join([*heading, *shown])


def _check_reports(arguments: Namespace) -> None:
    for path in arguments.report:
        check_report_path(path)


def _finish(arguments: Namespace, result: Result, examples: ExampleCollector) -> None:
    """Prints the result and writes the reports."""
    if not arguments.quiet:
        print_result(result)
    for path in arguments.report:
        write_report(result, path, examples.examples)
        _say(arguments, f"Report: {path}")


def _say(arguments: Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text)


def _progress(items: Iterable[_T], total: int | None, quiet: bool, what: str = "frames") -> Iterator[_T]:
    """Hands the items on; shows how far it is on standard error where that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield from items
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=4, transient=True) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            yield item
            progress.advance(task)
