"""The report of a result: its sections in order, and their words."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seg.document import (
    Block,
    Chart,
    Code,
    Document,
    Facts,
    Figures,
    Heading,
    Inline,
    Notes,
    Origin,
    Swatch,
    Table,
    Text,
    Verdict,
)
from seg.document.model import Column, number
from seg.document.words import count, listed, milliseconds, missing, percent, size
from seg.label_sets import LabelSet
from seg.latency import TOTAL
from seg.report import charts
from seg.report.data import as_dict, frames_per_second
from seg.report.examples import Example
from seg.report.pareto import Panel, Point, draw
from seg.result import Result, Variant, VideoFacts

_PERCENTILES = ("p50", "p90", "p99", "mean")
_CONFUSED_PAIRS = 6
_NOTEWORTHY = 0.05  # of a class's pixels; rarer confusions are not mentioned


def evaluation_report(result: Result, origin: Origin, examples: Sequence[Example] = ()) -> Document:
    """Returns the report of a run."""
    blocks: list[Block] = [Verdict(verdict(result)), Figures(_headline(result)), Notes(result.notes), *_scores(result),
                           *_boundaries(result), *_calibration(result), *_latency(result), *_variants(result),
                           *_examples(result, examples), Heading("Details of the run"), Facts(_details(result, origin))]
    return Document(_title(result), blocks, origin, as_dict(result))


def sizes_report(results: dict[int, Result], best: int) -> Document:
    """Returns scores and latency by the long side [px] to which frames were scaled; the best one is marked."""
    rows = []
    for side, result in results.items():
        scores = (result.scores.miou, result.scores.present_miou) if result.scores else (None, None)
        mark = "best" if side == best else ""
        rows.append((side, size(result.network_sizes[0]), *scores, result.latency.summary()["p50"], mark))
    columns = [number("long side"), number("first frames at"), number("mIoU [%]", percent),
               number("of the truth's classes [%]", percent), number("latency p50 [ms]", milliseconds), Column("")]
    return Document("The right size", [Table(columns, rows)])


def verdict(result: Result) -> str:
    """Returns one sentence that sums up the report."""
    if not result.frames:
        return "No frame was predicted."
    summary = result.latency.summary()
    where = f"{result.machine.cpu}, {count(result.threads, 'thread')}, {result.engine} in {result.precision}"
    sizes = "frames of several sizes" if len(result.network_sizes) > 1 else size(result.network_sizes[0])
    speed = (f"{summary['p50']:.1f} / {summary['p90']:.1f} / {summary['p99']:.1f} ms per frame (p50 / p90 / p99) at {sizes}, "
             f"{frames_per_second(result):.1f} frames a second; {where}.")
    miou = None if result.scores is None or missing(result.scores.miou) else result.scores.miou
    accuracy = f"mIoU {percent(miou)} %" if miou is not None else "Without labels, nothing is scored"
    doubts = result.steadiness.doubts() if result.steadiness else []
    steady = "The latency is stable." if not doubts else f"The latency can't be called stable: {'; '.join(doubts)}."
    return f"{accuracy}; {speed} {steady}"


def _title(result: Result) -> str:
    """Returns for example "camvid_small on camvid val"."""
    on = f" on {result.dataset} {result.split or ''}".rstrip() if result.dataset else ""
    return f"{Path(result.weights).stem}{on}"


def _headline(result: Result) -> list[tuple[str, str]]:
    """Returns the most important figures."""
    named: list[tuple[str, float | None]] = []
    if result.scores is not None:
        scores = result.scores
        named = [("mIoU", scores.miou), ("category mIoU", scores.category_miou), ("iIoU", scores.iiou),
                 ("category iIoU", scores.category_iiou), ("pixel accuracy", scores.pixel_accuracy)]
    if result.boundaries is not None:
        named.append(("boundary F-score", result.boundaries.f_score))
    if result.calibration is not None:
        named.append(("calibration error", result.calibration.expected_error))
    pairs = [(name, f"{percent(value)} %") for name, value in named if value is not None]
    summary = result.latency.summary()
    if summary:
        pairs += [("median per frame", f"{summary['p50']:.1f} ms"), ("99th percentile", f"{summary['p99']:.1f} ms"),
                  ("frames a second", f"{frames_per_second(result):.1f}")]
    if result.first_frame_ms is not None:
        pairs.append(("time to the first labels", f"{result.first_frame_ms / 1000:.2f} s"))
    if result.parameters is not None:
        pairs.append(("parameters", f"{result.parameters / 1e6:.2f} M"))
    if result.multiply_adds is not None:
        pairs.append((f"multiply-adds at {size(result.network_sizes[0])}", f"{result.multiply_adds / 1e9:.2f} G"))
    if result.peak_memory_mib is not None:
        pairs.append(("peak memory of the process", f"{result.peak_memory_mib:.0f} MiB"))
    return [*pairs, ("frames", f"{result.frames:,}")]


def _scores(result: Result) -> list[Block]:
    scores, label_set = result.scores, result.label_set
    if scores is None:
        return []
    colors = dict(zip(label_set.classes, label_set.colors, strict=True))
    iiou = scores.per_class_iiou
    columns = [Column("class"), number("IoU [%]", percent, bar=True),
               *([number("iIoU [%]", percent)] if iiou is not None else []), number("precision [%]", percent),
               number("recall [%]", percent), number("share of pixels [%]", percent)]
    rows = [(Swatch(name, colors[name]), value, *([iiou.get(name)] if iiou is not None else []),
             scores.per_class_precision[name], scores.per_class_recall[name], scores.per_class_share[name])
            for name, value in _sorted(scores.per_class_iou)]
    total = ("mean", scores.miou, *([scores.iiou] if iiou is not None else []), _mean(scores.per_class_precision),
             _mean(scores.per_class_recall), None)
    blocks: list[Block] = [Heading("IoU by class"), Table(columns, rows, total)]
    if scores.per_category_iou is not None:
        blocks += [Heading("IoU by category"), _categories(result, scores.per_category_iou)]
    return [*blocks, *_confusion(result.confusion, label_set)]


def _categories(result: Result, ious: dict[str, float]) -> Table:
    scores, label_set = result.scores, result.label_set
    assert scores is not None
    colors = dict(reversed(list(zip(label_set.categories, label_set.colors, strict=True))))  # of the first class of each category
    iiou = scores.per_category_iiou
    columns = [Column("category"), number("IoU [%]", percent, bar=True),
               *([number("iIoU [%]", percent)] if iiou is not None else [])]
    rows = [(Swatch(name, colors[name]), value, *([iiou.get(name)] if iiou is not None else [])) for name, value in _sorted(ious)]
    return Table(columns, rows, ("mean", scores.category_miou, *([scores.category_iiou] if iiou is not None else [])))


def _sorted(ious: dict[str, float]) -> list[tuple[str, float]]:
    """Returns them sorted, the best first and those without a value last."""
    return sorted(ious.items(), key=lambda item: -1.0 if math.isnan(item[1]) else item[1], reverse=True)


def _mean(values: dict[str, float]) -> float | None:
    existing = [value for value in values.values() if not math.isnan(value)]
    return sum(existing) / len(existing) if existing else None


def _confusion(matrix: npt.NDArray[np.int64] | None, label_set: LabelSet) -> list[Block]:
    """Returns the most confused pairs in words, and the matrix with rows as shares of the class's pixels."""
    if matrix is None or not matrix.sum():
        return []
    pixels = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, pixels, out=np.full(matrix.shape, np.nan), where=pixels > 0)
    wrong = np.nan_to_num(shares * ~np.eye(len(matrix), dtype=bool))
    pairs = [divmod(int(cell), len(matrix)) for cell in np.argsort(wrong, axis=None)[::-1][:_CONFUSED_PAIRS]]
    words = [f"{wrong[truth, taken]:.0%} of {label_set.classes[truth]} are taken for {label_set.classes[taken]}"
             for truth, taken in pairs if wrong[truth, taken] >= _NOTEWORTHY]
    told = f"{listed(words)}." if words else f"No class is taken for any other class in {_NOTEWORTHY:.0%} or more of its pixels."
    side = max(4.5, 0.36 * len(matrix) + 1.6)
    return [Heading("Confused classes"), Text(told),
            Chart("Confusion matrix, normalised by the truth [%]", "Each row is a class and sums to 100 %; correct pixels are on "
                  "the diagonal.", partial(charts.confusion, shares=shares, names=label_set.classes), (side, side - 0.3),
                  wide=len(matrix) > 8)]


def _boundaries(result: Result) -> list[Block]:
    found = result.boundaries
    if found is None or result.scores is None:
        return []
    bands = [(f"within {width} px of a boundary", miou) for width, miou in found.trimap_miou.items()]
    return [Heading("Boundaries"),
            Text(f"mIoU near the boundaries of the truth, and a boundary F-score of {percent(found.f_score)} %: a boundary pixel "
                 "counts as found if the other boundary is at most 0.75 % of the diagonal away."),
            Table([Column("pixels"), number("mIoU [%]", percent, bar=True)], [*bands, ("all", result.scores.miou)])]


def _calibration(result: Result) -> list[Block]:
    found = result.calibration
    if found is None:
        return []
    more = sum(share * (confidence - accuracy) for confidence, accuracy, share
               in zip(found.confidence, found.accuracy, found.share, strict=True))
    words = (f"Expected calibration error {percent(found.expected_error)} %; on average the network's confidence is "
             f"{100 * abs(more):.1f} points {'above' if more > 0 else 'below'} its accuracy.")
    return [Heading("Calibration"), Chart("Is it right as often as it says?", words, partial(charts.reliability, found=found),
                                          (4.4, 4.2))]


def _latency(result: Result) -> list[Block]:
    summary, steadiness = result.latency.summary(), result.steadiness
    if not summary or steadiness is None:
        return []
    rows = [(stage, *(values[key] for key in _PERCENTILES)) for stage, values in summary["stages"].items()]
    columns = [Column("stage"), *(number(key, milliseconds) for key in _PERCENTILES)]
    covered = ("" if not rows else f" The stages together are {1 - steadiness.unaccounted:.1%} of the whole, which is "
               "measured separately.")
    others = ("" if steadiness.other_cores is None else
              f" Meanwhile other processes kept {steadiness.other_cores:.2f} of the usable cores busy.")
    blocks: list[Block] = [
        Heading("Latency"), Text(f"Milliseconds per frame, {_warm_up(result)}.{covered}{others}"),
        Table(columns, rows, ("whole", *(summary[key] for key in _PERCENTILES)))]
    totals = result.latency.stages[TOTAL]
    if len(totals) > 1:
        spread = (f"Half of the frames spread over {steadiness.spread:.1%} of the median; "
                  f"{count(steadiness.outliers, 'frame')} took more than twice the median.")
        blocks.append(Chart("How long frames take", spread,
                            partial(charts.latency_histogram, totals_ms=totals, percentiles=summary)))
    if len(totals) > 2 and result.video is None:
        stages = {stage: values for stage, values in result.latency.stages.items() if stage != TOTAL}
        drift = "about as long as" if abs(steadiness.drift) < 0.01 else (
            f"{abs(steadiness.drift):.1%} {'longer' if steadiness.drift > 0 else 'less'} than")
        blocks.append(Chart("Over time, by stage", f"The last third of the frames took {drift} the first.", partial(
            charts.latency_over_time, began_s=[record.began_s for record in result.records], stages_ms=stages, totals_ms=totals)))
    if result.video is not None and len(result.video.over_time) > 1:
        blocks.append(Chart("Over the video's time", "The network's latency, and from glass to glass where there is any.",
                            partial(charts.video_over_time, points=result.video.over_time)))
    return blocks


def _warm_up(result: Result) -> str:
    """Says which runs the latencies leave out."""
    runs = sum(one.runs for one in result.warm_ups)
    if not runs:
        return "without warm-up: the first runs count"
    first, sizes = result.warm_ups[0], len(result.warm_ups)
    further = f", and {runs - first.runs} for {count(sizes - 1, 'further frame size')}" if sizes > 1 else ""
    return f"without {count(first.runs, 'warm-up run')} at the beginning{further}"


def _variants(result: Result) -> list[Block]:
    if not result.variants:
        return []
    summary = result.latency.summary()
    miou = None if result.scores is None else result.scores.miou
    own = Variant(f"{result.way} (this report)", result.network_sizes[0], miou, {key: summary[key] for key in _PERCENTILES})
    every = [own, *result.variants]
    rows = [(one.name, size(one.network_hw), one.miou, *(one.latency_ms[key] for key in ("p50", "p90"))) for one in every]
    columns = [Column("way or size"), number("first frame at"), number("mIoU [%]", percent), number("p50 [ms]", milliseconds),
               number("p90 [ms]", milliseconds)]
    blocks: list[Block] = [Heading("Other ways and sizes"), Text("Each frame went through all of them, one after the other."),
                           Table(columns, rows)]
    points = [Point(chr(ord("A") + i), one.name, "", True, one.latency_ms["p50"], 100 * one.miou)
              for i, one in enumerate(every) if one.miou is not None and not math.isnan(one.miou)]
    if len(points) > 1:
        panel = Panel("", points)
        blocks.append(Chart("mIoU against latency", "Up and to the left is better.",
                            lambda figure: draw(figure, [panel], "mIoU [%]"), (5.4, 3.4 + 0.2 * len(points))))
    return blocks


def _examples(result: Result, examples: Sequence[Example]) -> list[Block]:
    if not examples:
        return []
    scored = any(example.why for example in examples)
    return [Heading("The best, median and worst frames" if scored else "Examples"),
            Table([Column("what the colours mean")], [[Swatch(name, color)] for name, color in zip(
                result.label_set.classes, result.label_set.colors, strict=True)]) if not result.scores else Text(
                "The colours are those of the table of classes."),
            *(example.pictures(result.label_set) for example in examples)]


def _details(result: Result, origin: Origin) -> list[tuple[str, Inline]]:
    """Returns the details of the run, as pairs of a name and a value."""
    ran_at = (f"{size(result.size_hw)}, {result.fit}" if result.size_hw else "each frame's own" if result.long_side is None else
              f"{_sizes(result.network_sizes)}: longer side {result.long_side} px")
    versions = ", ".join(f"{name} {version}" for name, version in result.machine.versions.items())
    pairs: list[tuple[str, Inline]] = [("Weights", result.weights), ("Network", result.network),
                                       ("Frames", f"{result.frames} ({_sizes(result.frame_sizes)})")]
    if result.video is not None:
        pairs += _video(result.video)
    if result.scores is not None:
        pairs.append(("Scored", f"{count(result.labelled, 'frame')}, {result.scores.pixels:,} pixels, at the labels' own size"))
    pairs += [("Size it ran at", ran_at), ("Way", result.way),
              ("Engine", f"{result.engine}, {result.precision}, {count(result.threads, 'thread')}")]
    if result.first_call_ms:
        pairs.append(("Done once", ", ".join(f"{part} {value:.0f} ms" for part, value in result.first_call_ms.items())))
    return [*pairs, ("Machine", str(result.machine)), ("Versions", f"Python {result.machine.python}, {versions}"),
            ("Command", Code(origin.command))]


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
