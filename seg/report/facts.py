"""What all forms of a report say, in the order and words that they say it in."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seg.evaluate import Result, VideoFacts


class LatencyRow(NamedTuple):
    """One stage, in milliseconds."""

    stage: str
    p50: float
    p90: float
    p99: float
    mean: float


class IouRow(NamedTuple):
    """IoU and iIoU of a class or category; NaN where there is none."""

    name: str
    iou: float
    iiou: float
    color: tuple[int, int, int]


class IouTable(NamedTuple):
    """Classes or categories (`what`) with their means, all in 0 to 1; `has_iiou` says whether any iIoU was counted."""

    what: str
    rows: list[IouRow]
    mean: IouRow
    has_iiou: bool


def title(result: Result) -> str:
    """Returns such as "camvid_small on camvid val"."""
    on = f" on {result.dataset} {result.split or ''}".rstrip() if result.dataset else ""
    return f"{Path(result.weights).stem}{on}"


def details(result: Result) -> list[tuple[str, str]]:
    """Returns what ran on what, as pairs of a name and a value."""
    size = (f"{_size(result.size_hw)}, {result.fit}" if result.size_hw else "each frame's own" if result.long_side is None else
            f"{_sizes(result.network_sizes)}: longer side {result.long_side} px")
    versions = ", ".join(f"{name} {version}" for name, version in result.machine.versions.items())
    pairs = [
        ("Weights", result.weights),
        ("Network", result.network),
        ("Frames", f"{result.frames} ({_sizes(result.frame_sizes)})"),
        ("Size it ran at", size),
        ("Engine", f"{result.engine}, {result.precision}, {count(result.threads, 'thread')}"),
        ("Machine", str(result.machine)),
        ("Versions", f"Python {result.machine.python}, {versions}"),
    ]
    if result.first_call_ms:
        once = ", ".join(f"{part} {value:.0f} ms" for part, value in result.first_call_ms.items())
        pairs.insert(5, ("Done once", once))
    if result.scores is not None:
        scored = f"{count(result.labelled, 'frame')}, {result.scores.pixels:,} pixels, at the labels' own size"
        pairs.insert(3, ("Scored", scored))
    if result.video is not None:
        pairs[3:3] = _video(result.video)
    if result.note:
        pairs.append(("Note", result.note))
    return pairs


def _video(facts: VideoFacts) -> list[tuple[str, str]]:
    pairs = [("Speed", f"{facts.frames_per_second:.1f} frames per second, all stages together, for {facts.mode}")]
    for name, values in facts.glass_to_glass_ms.items():
        percentiles = ", ".join(f"{what} {values[what]:.1f}" for what in ("p50", "p90", "p99"))
        pairs.append((f"Glass to glass, {name}", f"{percentiles} ms"))
    if facts.dropped:
        pairs.append(("Dropped", count(facts.dropped, "frame")))
    return pairs


def latency_rows(result: Result) -> list[LatencyRow]:
    """Returns each stage and then the total; empty if nothing was timed."""
    summary: dict[str, Any] = result.latency.summary()
    if not summary:
        return []
    stages: dict[str, dict[str, float]] = {**summary["stages"], "total": summary}
    return [LatencyRow(name, *(float(values[key]) for key in LatencyRow._fields[1:])) for name, values in stages.items()]


def iou_tables(result: Result) -> list[IouTable]:
    """Returns the table of the classes and, where the label set has them, that of the categories; empty if nothing was scored."""
    scores, label_set = result.scores, result.label_set
    if scores is None:
        return []
    tables = [_iou_table("class", scores.per_class_iou, scores.per_class_iiou, scores.miou, scores.iiou,
                         dict(zip(label_set.classes, label_set.colors, strict=True)))]
    if scores.per_category_iou is not None:
        first_colors = dict(reversed(list(zip(label_set.categories, label_set.colors, strict=True))))
        tables.append(_iou_table("category", scores.per_category_iou, scores.per_category_iiou, scores.category_miou,
                                 scores.category_iiou, first_colors))
    return tables


def _iou_table(what: str, iou: dict[str, float], iiou: dict[str, float] | None, mean_iou: float | None,
               mean_iiou: float | None, colors: dict[str, tuple[int, int, int]]) -> IouTable:
    rows = [IouRow(name, value, (iiou or {}).get(name, math.nan), colors[name]) for name, value in iou.items()]
    iou_of_all, iiou_of_all = (math.nan if mean is None else mean for mean in (mean_iou, mean_iiou))
    return IouTable(what, rows, IouRow("mean", iou_of_all, iiou_of_all, (0, 0, 0)), iiou is not None)


def headline(result: Result) -> list[tuple[str, float]]:
    """Returns the scores that sum up all others, by name; empty if nothing was scored."""
    if result.scores is None:
        return []
    scores = result.scores
    named = (("mIoU", scores.miou), ("category mIoU", scores.category_miou), ("iIoU", scores.iiou),
             ("category iIoU", scores.category_iiou), ("pixel accuracy", scores.pixel_accuracy))
    return [(name, value) for name, value in named if value is not None]


def percent(value: float) -> str:
    """Returns 0.613 as "61.3" and NaN as a dash."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def milliseconds(values: Sequence[float]) -> list[str]:
    """Returns each with two digits behind the point."""
    return [f"{value:.2f}" for value in values]


def warm_up(result: Result) -> str:
    """Says what the latencies leave out."""
    if not result.warm_up_runs:
        return "without warm-up: the first runs are counted"
    return f"after {count(result.warm_up_runs, 'uncounted run')} for each frame size"


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(map(_size, sizes[:3])) + (", ..." if len(sizes) > 3 else "")


def _size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"


def count(number: int, what: str) -> str:
    """Returns such as "1 frame" and "2 frames"."""
    return f"{number} {what}" + ("" if number == 1 else "s")
