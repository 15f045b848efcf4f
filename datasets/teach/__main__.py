"""Labels pictures by a trained network, for others to learn from.

    lraspp teach PICTURES --teacher FILE --output DIR
    lraspp teach DATA --dataset folder --class-map map.yaml --teacher FILE --output DIR

Each picture is looked at in several scales and mirrored, and pixels that the teacher is unsure of are ignored. With --dataset,
DATA is a data set whose coarser labels are respected: --class-map is a YAML that says for each of its classes which of the
teacher's it may be (a name, a list of names, or null to ignore it). DIR becomes a data set of the kind "folder", to learn
from beside one that has labels (--data.others). Given again, the command goes on where it stopped.

A teacher of another tool, an ONNX or the state dict of a network of segmentation-models-pytorch, needs --teacher-settings: a YAML
with teacher_classes, and if need be smp, mean and std, as in model.distillation of a training.
"""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import READERS
from datasets.base import Reader
from datasets.folder.classes import distinct_colors
from datasets.pictures import Pictures
from datasets.teach.write import TaughtFolder
from seg import weights
from seg.cli.common import Interruption, Parser, read_class_map, run
from seg.cli.progress import progress
from seg.errors import SegError, did_you_mean
from seg.files import read_settings
from seg.label_sets import LabelSet, known, map_classes

_SETTINGS = {"teacher_classes": (list, (str,), "a list of names"), "smp": (dict, (str,), "a mapping of names to values"),
             "mean": (list, (int, float), "a list of numbers"), "std": (list, (int, float), "a list of numbers")}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp teach", description=__doc__)
    parser.add_argument("pictures", metavar="PICTURES", help="a folder of pictures, or with --dataset a data set")
    parser.add_argument("--teacher", required=True, metavar="NAME|FILE", help="weights of this project, an ONNX of seg.export, "
                        "or with --teacher-settings a network of another tool")
    parser.add_argument("--teacher-settings", type=Path, metavar="YAML", help="the classes of another tool's network, in the "
                        "order of its scores (teacher_classes), its arguments if it is one of SMP (smp), and mean and std of its "
                        "images, as in model.distillation")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="the folder that the labels go into")
    parser.add_argument("--dataset", metavar="NAME", help=f"what PICTURES is, where it has labels: {', '.join(READERS)}")
    parser.add_argument("--split", default="train", help="of the data set (default: %(default)s)")
    parser.add_argument("--class-map", type=Path, metavar="YAML", help="what the data set's classes are in the teacher's")
    parser.add_argument("--size", type=int, metavar="PX", help="longer side that pictures are scaled to first (default: where "
                        "the teacher is most accurate, by its own description)")
    parser.add_argument("--scales", type=float, nargs="+", default=[0.75, 1.0, 1.25], metavar="S",
                        help="of that size, each of which is looked at (default: 0.75 1 1.25)")
    parser.add_argument("--no-mirror", action="store_true", help="don't look at the mirrored picture")
    parser.add_argument("--sure", type=float, default=0.7, metavar="P",
                        help="least probability of a label; pixels below are ignored (default: %(default)s)")
    parser.add_argument("--sure-within", type=float, default=0.5, metavar="P", help="the same within a coarser label, of its "
                        "classes' probabilities alone (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.class_map is not None and arguments.dataset is None:
        raise SegError("--class-map maps the classes of a data set; it needs --dataset NAME.")
    if arguments.dataset is not None and arguments.dataset not in READERS:
        raise SegError(f"There is no data set {arguments.dataset!r}. {did_you_mean(arguments.dataset, READERS)}")
    reader: Reader = (Pictures(arguments.pictures, "train") if arguments.dataset is None else
                      READERS[arguments.dataset](arguments.pictures, arguments.split))
    foreign = None if arguments.teacher_settings is None else _read_settings(arguments.teacher_settings)
    path = Path(arguments.teacher)
    if foreign is None or not path.is_file():
        try:
            path = weights.find(arguments.teacher)
            description = weights.read_description(path)
        except weights.ForeignFile as error:
            raise SegError(f"{error} For a network of another tool give --teacher-settings.") from None
        label_set, long_side = description.label_set, description.long_side
    else:
        label_set, long_side = _named(foreign["teacher_classes"]), None
    allowed = _allowed(reader, label_set, arguments.class_map) if arguments.dataset is not None else None

    from seg.training.pseudo_labels import (  # here: torch takes seconds, and wrong options should not wait for it
        Looks,
        label,
    )
    from seg.training.teacher import Distillation, load_teacher

    looks = Looks(long_side if arguments.size is None else arguments.size, tuple(arguments.scales),
                  not arguments.no_mirror, arguments.sure, arguments.sure_within)
    teacher = load_teacher(str(path), Distillation(**foreign or {}))
    if arguments.output.resolve().is_relative_to(reader.root.resolve()):
        raise SegError(f"--output {arguments.output} is in {reader.root}, where it would be taken for pictures; choose "
                       "another.")
    record = {"pictures": str(reader.root.resolve()), "teacher": weights.sha256(path), "size": looks.long_side,
              "scales": looks.scales, "mirror": looks.mirror, "sure": looks.sure, "sure_within": looks.sure_within,
              "dataset": arguments.dataset, "split": arguments.split,
              "classes": allowed, "teacher_settings": foreign}
    folder = TaughtFolder(arguments.output, label_set, record)
    waiting = [index for index, sample in enumerate(reader.samples) if not folder.has(sample)]
    done, faults = 0, list[str]()
    with Interruption() as interruption:
        for index in progress(waiting, len(waiting), what="pictures"):
            if interruption.wished:
                break
            try:
                image_rgb, truth = reader.read(index)
            except SegError as fault:  # the others are labelled all the same
                faults.append(str(fault))
                continue
            folder.write(reader.samples[index], label(teacher, image_rgb, looks, truth, allowed or ()))
            done += 1
    folder.finish(reader.samples)
    said = (f"{done} of {len(reader)} pictures were labelled, {len(reader) - len(waiting)} were already. "
            f"The data set is {arguments.output}.")
    if interruption.wished:
        raise interruption.error(f"{said} The same command goes on.")
    print(said)
    if faults:
        raise SegError("\n  ".join([f"{len(faults)} could not be read:", *faults]))


def _read_settings(path: Path) -> dict[str, Any]:
    """Reads the settings of a teacher of another tool."""
    settings = read_settings(path, f"There is no settings file {path}.")
    settings = {name: value for name, value in settings.items() if value is not None}
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise SegError(f"{path} has no setting {name!r}. {did_you_mean(str(name), _SETTINGS)}")
        kind, entries, words = _SETTINGS[name]
        if not isinstance(value, kind) or not all(type(entry) in entries and entry != "" for entry in value):
            raise SegError(f"{path}: {name} is {value!r:.100}; it must be {words}.")
    if "teacher_classes" not in settings:
        raise SegError(f"{path} must say what the teacher's classes are, in the order of its scores: teacher_classes.")
    if "arch" not in settings.get("smp", {"arch": ""}):
        raise SegError(f"{path}: smp has no arch, so it is an encoder alone, which gives no labels.")
    return settings


def _named(classes: Sequence[str]) -> LabelSet:
    """Returns the label set of these names: a known one, or one with colours of its own."""
    return known(LabelSet("taught", tuple(classes), tuple(islice(distinct_colors([]), len(classes))), tuple(range(len(classes)))))


def _allowed(reader: Reader, label_set: LabelSet, path: Path | None) -> list[tuple[int, ...]]:
    """Returns for each class of the data set which of the teacher's it may be."""
    classes = read_class_map(path) if path is not None else {}
    return list(map_classes(reader.label_set.classes, label_set.classes, classes, str(reader.root)).values())


if __name__ == "__main__":
    sys.exit(main())
