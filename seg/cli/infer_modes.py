"""`infer.py` on pictures and data sets. Each mode checks what can be checked before it works."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seg import weights
from seg.cli import ways
from seg.cli.common import Interruption, read_class_map
from seg.cli.infer_common import all_of, choose, examples_for, finish, load, look, progress, say
from seg.cli.inputs import DataSet, PictureFiles
from seg.cli.outputs import PictureWriter, Submission, output_names, parse_kinds
from seg.document import check_paths, show
from seg.document.words import count
from seg.errors import SegError, did_you_mean
from seg.evaluate import check_same_classes, evaluate, merging_table
from seg.files import UInt8Array, check_writable_folder, find_images, passed_over, spread
from seg.flow import Sink, Sinks, opened, samples
from seg.report import sizes_report
from seg.runtime import Predictor
from seg.sizes import best_long_side, compare_sizes
from seg.video.pipeline import TRIED_FRAMES

_PICTURES_FOLDER = Path("runs/infer")


def pictures(arguments: Namespace) -> None:
    """Segments pictures and writes what --save names."""
    kinds = parse_kinds(arguments.save or "overlay")
    inputs = spread(find_images(arguments.inputs), arguments.limit)
    predictor, _ = ways.predictors(arguments, load(arguments, kinds))
    label_set, shown = look(arguments, predictor.label_set, kinds)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, label_set, shown=shown)
    writer.check_apart_from([image.path for image in inputs])
    check_paths(arguments.report)
    if others := passed_over(arguments.inputs):
        say(arguments, f"Passed over, in formats that can't be read: "
             f"{', '.join(f'{number} {suffix}' for suffix, number in others.items())}.")
    names = map(str, output_names([image.relative for image in inputs]))
    source = PictureFiles(list(zip(names, (image.path for image in inputs), strict=True)), predictor.check)
    writer.faults, examples = source.faults, examples_for(arguments)
    with Interruption() as interruption, opened(source) as stream, Sinks([writer, *examples], stream) as sinks:
        choose(predictor, source.preview(TRIED_FRAMES), arguments.quiet, complete=bool(arguments.report))
        # Pictures may all differ in size, and each size would be warmed up: only where a report asks for speed.
        warm_up_runs = None if arguments.report else 0
        taken = progress(samples(source, lambda: interruption.wished), stream.frames, arguments.quiet)
        result = evaluate(predictor, taken, predictor.label_set, sinks.take_sample, warm_up_runs=warm_up_runs,
                          thorough=bool(arguments.report))
        sinks.stopped = interruption.wished
    done = f"{writer.frames} of {count(len(inputs), 'picture')}"
    if writer.frames:
        if arguments.report:
            finish(arguments, result, examples)
        else:
            for note in result.notes:
                say(arguments, note)
        say(arguments, f"{done} segmented; {count(writer.written, 'file')} under {writer.folder}/.")
    if interruption.wished:
        raise interruption.error(all_of([f"{done} were segmented and kept."], source.faults))
    if source.faults:
        raise SegError(all_of([f"{done} were segmented; what was left out:"] if len(inputs) > 1 else [], source.faults))


def dataset(arguments: Namespace, readers: Mapping[str, Any]) -> None:
    """Scores a split of a data set, and writes what --save and --submit name."""
    name, split = arguments.dataset, arguments.split or "val"
    kinds = parse_kinds(arguments.save or "overlay") if arguments.save or arguments.output else ()
    reader, indices = _open(arguments, readers)
    if arguments.submit and reader.submission_ending is None:
        raise SegError(f"--submit writes what a data set's test server takes; {name} has none.")
    predictor, variants = ways.predictors(arguments, load(arguments, kinds))
    table = _table(arguments, predictor, reader)
    label_set, shown = look(arguments, predictor.label_set, kinds)
    writer = PictureWriter(arguments.output or _PICTURES_FOLDER, kinds, label_set, lambda item: f"{item.sample.name}.png", shown)
    writer.check_apart_from([reader.samples[i].image_path for i in indices])
    check_paths(arguments.report)
    submission = _submission(arguments.submit, reader, f"{name}_{split}.zip") if arguments.submit else None
    source, examples = DataSet(reader, indices, predictor.check), examples_for(arguments, table)
    if reader.remark:
        say(arguments, reader.remark)
    receivers: list[Sink] = [writer, *examples, *([submission] if submission else [])]
    with Interruption() as interruption, opened(source) as stream, Sinks(receivers, stream) as sinks:
        choose(predictor, source.preview(TRIED_FRAMES), arguments.quiet, complete=True)
        taken = progress(samples(source, lambda: interruption.wished), stream.frames, arguments.quiet)
        result = evaluate(predictor, taken, reader.label_set, sinks.take_sample, dataset=name, split=split, table=table,
                          thorough=True, variants=variants)
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
        finish(arguments, result, examples)
        if kinds:
            say(arguments, f"{count(writer.written, 'picture')} under {writer.folder}/.")
    done = f"{'Scored' if result.labelled else 'Segmented'} were {result.frames} of {count(len(indices), 'frame')}."
    no_zip = " No zip was written." if submission else ""
    if interruption.wished:
        raise interruption.error(all_of([f"{done}{no_zip}"], source.faults))
    if source.faults:
        raise SegError(all_of([f"{done}{no_zip} What was left out:"], source.faults))
    if submission and submission.packed:
        say(arguments, submission.packed)


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
                            track=lambda sides: progress(sides, len(sides), arguments.quiet, "sizes"))
    best = best_long_side(results)
    if not arguments.quiet:
        show(sizes_report(results, best))
    changed = weights.describe_anew(path, long_side=best)
    say(arguments, f"Frames are scaled to a long side of {best} px from now on; noted in {', '.join(map(str, changed))}.")


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
            raise SegError(f"The input {sample.image_path} is in --submit {folder}; choose another folder.")
    return Submission(folder, [sample.name for sample in reader.samples], reader.submission_ending, reader.label_set, zip_name)
