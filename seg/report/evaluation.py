"""What a result says, in the order and words that it is said in."""

from collections.abc import Sequence
from pathlib import Path

from seg.document import Block, Document, Facts, Figures, Heading, Notes, Origin, Picture, Pictures, Swatch, Table, Text
from seg.document.model import Column, number
from seg.document.words import count, milliseconds, percent, size
from seg.evaluate import Result, VideoFacts
from seg.report.data import as_dict
from seg.report.examples import Example
from seg.visualize import overlay

_PERCENTILES = ("p50", "p90", "p99", "mean")


def evaluation_report(result: Result, origin: Origin, examples: Sequence[Example] = ()) -> Document:
    """Returns the report of what ran on what."""
    blocks: list[Block] = [Figures(_headline(result)), Notes(result.notes), *_scores(result), *_latency(result),
                           *_examples(result, examples), Heading("What ran on what"), Facts(_details(result, origin))]
    return Document(_title(result), blocks, origin, as_dict(result))


def sizes_report(results: dict[int, Result], best: int) -> Document:
    """Returns scores and latency by the long side [px] that frames were scaled to, the best one marked."""
    rows = [(side, size(result.network_sizes[0]), result.scores.miou if result.scores else None,
             result.latency.summary()["p50"], "best" if side == best else "") for side, result in results.items()]
    columns = [number("long side"), number("first frames at"), number("mIoU [%]", percent),
               number("latency p50 [ms]", milliseconds), Column("")]
    return Document("The right size", [Table(columns, rows)])


def _title(result: Result) -> str:
    """Returns such as "camvid_small on camvid val"."""
    on = f" on {result.dataset} {result.split or ''}".rstrip() if result.dataset else ""
    return f"{Path(result.weights).stem}{on}"


def _headline(result: Result) -> list[tuple[str, str]]:
    """Returns the figures that sum up all others."""
    named: list[tuple[str, float | None]] = []
    if result.scores is not None:
        scores = result.scores
        named = [("mIoU", scores.miou), ("category mIoU", scores.category_miou), ("iIoU", scores.iiou),
                 ("category iIoU", scores.category_iiou), ("pixel accuracy", scores.pixel_accuracy)]
    pairs = [(name, f"{percent(value)} %") for name, value in named if value is not None]
    latency = result.latency.summary()
    if latency:
        pairs += [("median per frame", f"{latency['p50']:.1f} ms"), ("99th percentile", f"{latency['p99']:.1f} ms")]
    return [*pairs, ("frames", f"{result.frames:,}")]


def _scores(result: Result) -> list[Block]:
    scores, label_set = result.scores, result.label_set
    if scores is None:
        return []
    colors = dict(zip(label_set.classes, label_set.colors, strict=True))
    blocks: list[Block] = [Heading("IoU by class"),
                           _iou_table("class", scores.per_class_iou, scores.per_class_iiou, scores.miou, scores.iiou, colors)]
    if scores.per_category_iou is not None:
        first_colors = dict(reversed(list(zip(label_set.categories, label_set.colors, strict=True))))
        blocks += [Heading("IoU by category"),
                   _iou_table("category", scores.per_category_iou, scores.per_category_iiou, scores.category_miou,
                              scores.category_iiou, first_colors)]
    return blocks


def _iou_table(what: str, iou: dict[str, float], iiou: dict[str, float] | None, mean_iou: float | None,
               mean_iiou: float | None, colors: dict[str, tuple[int, int, int]]) -> Table:
    columns = [Column(what), *([number("iIoU [%]", percent)] if iiou is not None else []), number("IoU [%]", percent, bar=True)]
    rows = [(Swatch(name, colors[name]), *([iiou.get(name)] if iiou is not None else []), value) for name, value in iou.items()]
    return Table(columns, rows, ("mean", *([mean_iiou] if iiou is not None else []), mean_iou))


def _latency(result: Result) -> list[Block]:
    summary = result.latency.summary()
    if not summary:
        return []
    rows = [(stage, *(values[key] for key in _PERCENTILES)) for stage, values in summary["stages"].items()]
    columns = [Column("stage"), *(number(key, milliseconds) for key in _PERCENTILES)]
    return [Heading("Latency"), Text(f"Milliseconds per frame, {_warm_up(result)}."),
            Table(columns, rows, ("total", *(summary[key] for key in _PERCENTILES)))]


def _warm_up(result: Result) -> str:
    """Says what the latencies leave out."""
    if not result.warm_up_runs:
        return "without warm-up: the first runs are counted"
    return f"after {count(result.warm_up_runs, 'uncounted run')} for each frame size"


def _examples(result: Result, examples: Sequence[Example]) -> list[Block]:
    if not examples:
        return []
    blocks: list[Block] = [Heading("Examples")]
    for example in examples:
        pictures = [Picture("frame", example.frame_bgr)]
        if example.truth is not None:
            pictures.append(Picture("truth", overlay(example.frame_bgr, example.truth, result.label_set)))
        pictures.append(Picture("prediction", overlay(example.frame_bgr, example.prediction, result.label_set)))
        blocks.append(Pictures(example.name, pictures))
    return blocks


def _details(result: Result, origin: Origin) -> list[tuple[str, str]]:
    """Returns what ran on what, as pairs of a name and a value."""
    ran_at = (f"{size(result.size_hw)}, {result.fit}" if result.size_hw else "each frame's own" if result.long_side is None else
              f"{_sizes(result.network_sizes)}: longer side {result.long_side} px")
    versions = ", ".join(f"{name} {version}" for name, version in result.machine.versions.items())
    pairs = [("Weights", result.weights), ("Network", result.network),
             ("Frames", f"{result.frames} ({_sizes(result.frame_sizes)})")]
    if result.video is not None:
        pairs += _video(result.video)
    if result.scores is not None:
        pairs.append(("Scored", f"{count(result.labelled, 'frame')}, {result.scores.pixels:,} pixels, at the labels' own size"))
    pairs += [("Size it ran at", ran_at), ("Engine", f"{result.engine}, {result.precision}, {count(result.threads, 'thread')}")]
    if result.first_call_ms:
        pairs.append(("Done once", ", ".join(f"{part} {value:.0f} ms" for part, value in result.first_call_ms.items())))
    return [*pairs, ("Machine", str(result.machine)), ("Versions", f"Python {result.machine.python}, {versions}"),
            ("Command", origin.command)]


def _video(facts: VideoFacts) -> list[tuple[str, str]]:
    pairs = [("Speed", f"{facts.frames_per_second:.1f} frames per second, all stages together, for {facts.mode}")]
    for name, values in facts.glass_to_glass_ms.items():
        percentiles = ", ".join(f"{what} {values[what]:.1f}" for what in ("p50", "p90", "p99"))
        pairs.append((f"Glass to glass, {name}", f"{percentiles} ms"))
    if facts.dropped:
        pairs.append(("Dropped", count(facts.dropped, "frame")))
    return pairs


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(map(size, sizes[:3])) + (", ..." if len(sizes) > 3 else "")
