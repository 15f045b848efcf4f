"""`lraspp card WEIGHTS`: the model card of a weights file, as Markdown, from the file's own description alone."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seg.cli.common import Parser, run
from seg.document import Block, Column, Document, Facts, Heading, Listing, Table, Text, to_markdown
from seg.document.model import number
from seg.document.words import percent
from seg.files import write_text
from seg.weights import Description, find, read_description


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp card", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="name of shipped weights, or a .safetensors file")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the .md next to the weights")
    arguments = parser.parse_args(argv)
    path = find(arguments.weights)
    output = arguments.output or path.with_suffix(".md")
    write_text(output, to_markdown(model_card(path.stem, read_description(path))))
    print(f"{output} written.")


def model_card(name: str, description: Description) -> Document:
    """Returns the card: what the network is, how well it does, and how it was made."""
    training, metrics = description.training, description.metrics
    blocks: list[Block] = [Facts(_facts(description))]
    if metrics.get("val/per_class_iou"):
        blocks += [Heading("Accuracy on the validation split"), _scores(description)]
    if metrics.get("curve"):
        blocks += [Heading("Course of training"), Text("Validation mIoU of the averaged weights."), *_curve(metrics["curve"])]
    if training.get("settings"):
        import yaml  # installed with training only; inference alone must work without it

        settings = yaml.safe_dump(training["settings"], sort_keys=False, default_flow_style=None, width=110)
        blocks += [Heading("Recipe"), Listing(training.get("command", "")), Listing(settings, "yaml")]
    return Document(name, blocks)


def _facts(description: Description) -> list[tuple[str, str]]:
    arguments, training, label_set = description.arguments, description.training, description.label_set
    pairs: list[tuple[str, str]] = [
        ("network", f"{description.network} on {arguments['encoder_name']}, output stride "
                    f"{arguments['encoder_output_stride']}, F = {arguments['decoder_channels']}, "
                    f"{arguments.get('pool', 'global')} pooling"),  # R-ASPP always pools globally
        ("classes", f"{len(label_set)} of {label_set.name}: {', '.join(label_set.classes)}"),
        ("trained at", "{}x{} crops".format(*description.train_size_hw)),
        ("best at", f"frames whose longer side is {description.long_side} px, to which they are scaled by default; measured on "
                    "validation frames" if description.long_side else "not measured: frames run at their own size"),
        ("licence", description.license),
    ]
    if "data" in (training.get("settings") or {}):
        pairs.insert(-1, ("learnt from", _sources(training["settings"])))
    if training:
        pairs += [("steps", f"{training.get('step', '?')} of {training.get('steps', '?')}"),
                  ("duration", f"{training.get('duration_seconds', 0) / 60:.0f} min"),
                  ("date", str(training.get("date", "?"))[:10]),
                  ("versions", ", ".join(f"{package} {version}" for package, version in training.get("versions", {}).items()))]
        pairs += [(key, training[key]) for key in ("machine", "note") if training.get(key)]
    return pairs


def _sources(settings: dict[str, Any]) -> str:
    """Names the data sets with their shares, the weights that the network started from, and its teacher."""
    data, model = settings["data"] or {}, settings.get("model") or {}
    first = {"root": "?", "dataset": "camvid", "share": 1.0} | data
    others = [] if data.get("overfit") else [{"dataset": "folder", "share": 1.0} | other for other in data.get("others") or []]
    total = sum(place["share"] for place in (first, *others))
    told = []
    for place in (first, *others):
        kind = place["dataset"] if place.get("split", "train") == "train" else f"{place['split']} of {place['dataset']}"
        share = f", {place['share'] / total:.0%}" if others else ""
        told.append(f"{place.get('root') or first['root']} ({kind}{share})")
    encoder = ((model.get("network") or {}).get("init_args") or {}).get("encoder_weights")
    told += [f"{what} {value}" for what, value in (("started from", model.get("init_from") or encoder),
                                                   ("teacher", model.get("teacher"))) if value]
    return "; ".join(told)


def _scores(description: Description) -> Table:
    metrics = description.metrics
    rows = [(name, metrics["val/per_class_iou"].get(name)) for name in description.label_set.classes]
    return Table([Column("class"), number("IoU [%]", percent)], rows, ("mean", metrics["val/miou"]))


def _curve(curve: list[dict[str, Any]]) -> list[Block]:
    columns = [number("epoch"), number("step"), number("mIoU [%]", percent)]
    rows: list[tuple[Any, ...]] = [(entry["epoch"] + 1, entry["step"], entry["miou"]) for entry in curve]
    if all(entry.get("present_miou") is None for entry in curve):  # an older file
        return [Table(columns, rows)]
    rows = [(*row, entry["present_miou"]) for row, entry in zip(rows, curve, strict=True)]
    remark = Text("The best checkpoint is the best in the classes that the labels have; in the mIoU of all, a class that they "
                  "lack counts 0 as soon as it is predicted.")
    return [remark, Table([*columns, number("of the labels' classes [%]", percent)], rows)]


if __name__ == "__main__":
    sys.exit(main())
