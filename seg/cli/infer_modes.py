"""`infer.py` on pictures and data sets. Each mode checks all that it can before the work starts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seg import weights
from seg.cli import ways
from seg.cli.common import Interruption, read_class_map
from seg.cli.infer_common import all_of, choose, examples_for, finish, load, look, say
from seg.cli.infer_options import InferOptions
from seg.cli.inputs import DataSet, PictureFiles
from seg.cli.outputs import PictureWriter, Submission, output_names, parse_kinds
from seg.cli.progress import progress
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


def pictures(options: InferOptions) -> None:
    """Segments pictures and writes what --save names."""
    kinds = parse_kinds(options.save or "overlay")
    inputs = spread(find_images(options.inputs), options.limit)
    predictor, _ = ways.predictors(options, load(options, kinds))
    label_set, shown = look(options, predictor.label_set, kinds)
    writer = PictureWriter(options.output or _PICTURES_FOLDER, kinds, label_set, shown=shown)
    writer.check_apart_from([image.path for image in inputs])
    check_paths(options.report)
    if others := passed_over(options.inputs):
        say(options, f"Passed over, in formats that can't be read: "
             f"{', '.join(f'{number} {suffix}' for suffix, number in others.items())}.")
    names = map(str, output_names([image.relative for image in inputs]))
    source = PictureFiles(list(zip(names, (image.path for image in inputs), strict=True)), predictor.check)
    writer.faults, examples = source.faults, examples_for(options)
    with Interruption() as interruption, opened(source) as stream, Sinks([writer, *examples], stream) as sinks:
        choose(predictor, source.preview(TRIED_FRAMES), options.quiet, complete=bool(options.report))
        # Pictures may all differ in size, and each size needs its own warm-up. So warm up only if a report asks for speed.
        warm_up_runs = None if options.report else 0
        taken = progress(samples(source, lambda: interruption.wished), stream.frames, options.quiet)
        result = evaluate(predictor, taken, predictor.label_set, sinks.take_sample, warm_up_runs=warm_up_runs,
                          thorough=bool(options.report))
        sinks.stopped = interruption.wished
    done = f"{writer.frames} of {count(len(inputs), 'picture')}"
    if writer.frames:
        if options.report:
            finish(options, result, examples)
        else:
            for note in result.notes:
                say(options, note)
        say(options, f"{done} segmented; {count(writer.written, 'file')} under {writer.folder}/.")
    if interruption.wished:
        raise interruption.error(all_of([f"{done} were segmented and kept."], source.faults))
    if source.faults:
        raise SegError(all_of([f"{done} were segmented; what was left out:"] if len(inputs) > 1 else [], source.faults))


def dataset(options: InferOptions, readers: Mapping[str, Any]) -> None:
    """Scores a split of a data set, and writes what --save and --submit name."""
    name, split = options.dataset, options.split
    kinds = parse_kinds(options.save or "overlay") if options.save or options.output else ()
    reader, indices = _open(options, readers)
    if options.submit and reader.submission_ending is None:
        raise SegError(f"--submit writes what a data set's test server takes; {name} has none.")
    predictor, variants = ways.predictors(options, load(options, kinds))
    table = _table(options, predictor, reader)
    label_set, shown = look(options, predictor.label_set, kinds)
    writer = PictureWriter(options.output or _PICTURES_FOLDER, kinds, label_set, lambda item: f"{item.sample.name}.png", shown)
    writer.check_apart_from([reader.samples[i].image_path for i in indices])
    check_paths(options.report)
    submission = _submission(options.submit, reader, f"{name}_{split}.zip") if options.submit else None
    source, examples = DataSet(reader, indices, predictor.check), examples_for(options, table)
    if reader.remark:
        say(options, reader.remark)
    receivers: list[Sink] = [writer, *examples, *([submission] if submission else [])]
    with Interruption() as interruption, opened(source) as stream, Sinks(receivers, stream) as sinks:
        choose(predictor, source.preview(TRIED_FRAMES), options.quiet, complete=True)
        taken = progress(samples(source, lambda: interruption.wished), stream.frames, options.quiet)
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
        finish(options, result, examples)
        if kinds:
            say(options, f"{count(writer.written, 'picture')} under {writer.folder}/.")
    done = f"{'Scored' if result.labelled else 'Segmented'} were {result.frames} of {count(len(indices), 'frame')}."
    no_zip = " No zip was written." if submission else ""
    if interruption.wished:
        raise interruption.error(all_of([f"{done}{no_zip}"], source.faults))
    if source.faults:
        raise SegError(all_of([f"{done}{no_zip} What was left out:"], source.faults))
    if submission and submission.packed:
        say(options, submission.packed)


def find_size(options: InferOptions, readers: Mapping[str, Any]) -> None:
    """Finds the long side at which the weights are most accurate on a split, and writes it to their description."""
    reader, indices = _open(options, readers)
    path = weights.find(options.weights)
    check_writable_folder(path.parent)
    predictor = Predictor.load(path, options.engine, options.precision, options.threads, "own")
    table = _table(options, predictor, reader)
    if predictor.size_hw is not None:
        raise SegError(f"{predictor.weights} was exported for one size alone; there is none to find.")
    results = compare_sizes(predictor, reader, indices, table=table,
                            track=lambda sides: progress(sides, len(sides), options.quiet, "sizes"))
    best = best_long_side(results)
    if not options.quiet:
        show(sizes_report(results, best))
    changed = weights.describe_anew(path, long_side=best)
    say(options, f"Frames are scaled to a long side of {best} px from now on; noted in {', '.join(map(str, changed))}.")


def _open(options: InferOptions, readers: Mapping[str, Any]) -> tuple[Any, list[int]]:
    """Returns the data set's reader, and which of its samples are wanted."""
    assert options.dataset is not None
    if options.dataset not in readers:
        raise SegError(f"There is no data set {options.dataset!r}. {did_you_mean(options.dataset, readers)}")
    reader = readers[options.dataset](options.root, options.split)
    return reader, spread(range(len(reader)), options.limit)


def _table(options: InferOptions, predictor: Predictor, reader: Any) -> UInt8Array | None:
    """Returns the table from predictions to the data set's classes; None where they are the same, or have to be."""
    if options.class_map is None:
        check_same_classes(predictor, reader.label_set)
        return None
    classes = read_class_map(options.class_map)
    return merging_table(reader.label_set, predictor.label_set, classes, str(options.root))


def _submission(folder: Path, reader: Any, zip_name: str) -> Submission:
    for sample in reader.samples:
        if sample.image_path.resolve().is_relative_to(folder.resolve()):
            raise SegError(f"The input {sample.image_path} is in --submit {folder}; choose another folder.")
    return Submission(folder, [sample.name for sample in reader.samples], reader.submission_ending, reader.label_set, zip_name)
