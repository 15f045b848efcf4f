"""Several reports side by side as a document; the others are compared with the first one."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from seg.document import Block, Chart, Document, Heading, Notes, Origin, Table, Verdict
from seg.document.model import Column, number
from seg.document.words import count, listed, milliseconds, percent, points
from seg.report.differences import COVERED, Difference, Interval, common
from seg.report.gate import Check, table
from seg.report.pareto import Panel, Point, draw, pareto_front
from seg.report.stored import StoredReport


def comparison_report(reports: Sequence[StoredReport], differences: Sequence[Difference], origin: Origin,
                      checks: Sequence[Check] = ()) -> Document:
    """Returns the comparison; the checks of limits follow the verdict. For JSON see `comparison.schema.json`."""
    first = reports[0]
    asked: list[Block] = [Heading("The limits"), table(checks)] if checks else []
    blocks: list[Block] = [*(Verdict(_verdict(first.name, one)) for one in differences), *asked, Notes(_notes(reports)),
                           Heading("Summary"), _overview(reports, differences)]
    points_ = [Point(chr(ord("A") + i % 26), one.name, str(i), True, one.data["latency_ms"]["p50"], 100 * one.data["miou"])
               for i, one in enumerate(reports) if one.data["miou"] is not None and one.data["latency_ms"]]
    if len(points_) > 1:
        front = listed(point.name for point in pareto_front(points_))
        blocks.append(Chart("mIoU against median latency", f"Up and to the left is better. On the Pareto front: {front}.",
                            partial(_draw, points=points_), (5.4, 3.4 + 0.2 * len(points_))))
    if first.data["per_class_iou"] is not None:
        blocks += [Heading("IoU by class"), _classes(reports, differences)]
    for one in differences:
        if one.frames_apart:
            blocks += [Heading(f"Where {one.name} differs most from {first.name}"), _frames(first.name, one)]
    data = {"kind": "comparison", "reports": [_short(one) for one in reports],
            "differences": [one.to_dict() for one in differences], "checks": [one.to_dict() for one in checks]}
    return Document(" against ".join([*(one.name for one in reports[1:]), first.name]), blocks, origin, data)


def _draw(figure: Any, points: Sequence[Point]) -> None:
    draw(figure, [Panel("", points)], "mIoU [%]")


def _verdict(name: str, one: Difference) -> str:
    """Says how a report differs from the first one, and whether the difference is more than noise."""
    clauses = []
    if one.miou is not None:
        better = "as good as" if one.miou == 0 else "better than" if one.miou > 0 else "worse than"
        clauses.append(f"{one.name} is {better} {name}: mIoU {points(one.miou)} points{_noise(one.miou_interval, 0.0, points)}")
    if one.latency_ratio is not None:
        who = "it" if clauses else one.name
        clauses.append(f"{who} takes {one.latency_ratio:.2f} times as long"
                       f"{_noise(one.latency_interval, 1.0, lambda value: f'{value:.2f}')}")
    return f"{'; '.join(clauses)}." if clauses else f"{one.name} and {name} have nothing in common that could be compared."


def _noise(interval: Interval | None, nothing: float, write: Any) -> str:
    if interval is None:
        return "; without frames it is unknown whether that is more than noise"
    told = "more than noise" if interval.beyond(nothing) else "no more than noise"
    return f" ({write(interval.low)} to {write(interval.high)} in {COVERED} % of resamplings of the frames: {told})"


def _notes(reports: Sequence[StoredReport]) -> list[str]:
    """Says what a reader should know about the differences."""
    first, notes = reports[0], []
    for other in reports[1:]:
        apart = [f"{what} ({before} and {after})" for what, before, after in _settings(first, other) if before != after]
        if apart:
            notes.append(f"{first.name} and {other.name} ran with different {listed(apart)}.")
        both = len(common(first, other)[0])
        if first.confusions is not None and other.confusions is not None and both < max(len(first.frames), len(other.frames)):
            notes.append(f"{first.name} has {count(len(first.frames), 'frame')} with labels and {other.name} "
                         f"{len(other.frames)}; intervals are computed on the {both} that both have.")
    for one in reports:
        steadiness = one.data["steadiness"]
        if steadiness is not None and not steadiness["stable"]:
            notes.append(f"The latency of {one.name} can't be called stable: {'; '.join(steadiness['doubts'])}.")
        if one.confusions is None and one.data["miou"] is not None:
            notes.append(f"The report of {one.name} has no frames, like all of format_version 1, and so no intervals.")
    if len(reports) > 1:
        notes.append("Each latency is from a separate run: what slowed one of the runs is part of the ratio. Intervals take "
                     "frames as independent; frames of one drive resemble each other, so the true intervals are wider.")
    return notes


def _settings(first: StoredReport, other: StoredReport) -> list[tuple[str, str, str]]:
    def told(one: StoredReport) -> dict[str, str]:
        data = one.data
        sizes = ", ".join(f"{height}x{width}" for height, width in data.get("network_sizes_hw", [])[:3])
        return {"processors": data["machine"]["cpu"], "threads": str(data["threads"]), "engines": data["engine"],
                "precisions": data["precision"], "sizes": sizes, "ways": data["way"]}

    return [(what, before, told(other)[what]) for what, before in told(first).items()]


def _overview(reports: Sequence[StoredReport], differences: Sequence[Difference]) -> Table:
    rows: list[list[Any]] = []
    for one, difference in zip(reports, [None, *differences], strict=True):
        latency = one.data["latency_ms"] or {}
        interval = difference.miou_interval if difference else None
        rows.append([one.name, one.data["miou"], difference.miou if difference else None,
                     f"{points(interval.low)} to {points(interval.high)}" if interval else None,
                     latency.get("p50"), latency.get("p90"), latency.get("p99"),
                     difference.latency_ratio if difference else None, one.data["parameters"]])
    return Table([Column("report"), number("mIoU [%]", percent, bar=True), number("difference", points),
                  number(f"in {COVERED} % of resamplings"), number("p50 [ms]", milliseconds), number("p90 [ms]", milliseconds),
                  number("p99 [ms]", milliseconds), number("times as long", milliseconds),
                  number("parameters [M]", lambda value: f"{value / 1e6:.2f}")], rows)


def _classes(reports: Sequence[StoredReport], differences: Sequence[Difference]) -> Table:
    """Returns IoU by class, the largest gain first; an exclamation mark means that a difference is more than noise."""
    def told(one: Difference, name: str) -> str | None:
        value, interval = one.per_class[name]
        return None if value is None else points(value) + (" !" if interval is not None and interval.beyond(0.0) else "")

    def gain(name: str) -> float:
        value = differences[0].per_class[name][0] if differences else None
        return -2.0 if value is None else value

    columns = [Column("class"), *(number(f"{one.name} [%]", percent) for one in reports),
               *(number(f"difference{f' of {one.name}' if len(differences) > 1 else ''}") for one in differences)]
    rows = [[name, *((one.data["per_class_iou"] or {}).get(name) for one in reports), *(told(one, name) for one in differences)]
            for name in sorted(reports[0].classes, key=gain, reverse=True)]
    return Table(columns, rows, caption="! marks a difference that is more than noise." if differences else "")


def _frames(first: str, one: Difference) -> Table:
    rows = [(name, before, after, after - before) for name, before, after in one.frames_apart]
    return Table([Column("frame"), number(f"{first}, mIoU [%]", percent), number(f"{one.name} [%]", percent),
                  number("difference", points)], rows, caption="mIoU over the classes that are in the frame.")


def _short(one: StoredReport) -> dict[str, Any]:
    data = one.data
    return {"name": one.name, **{key: data[key] for key in ("weights", "engine", "precision", "threads", "way", "miou",
                                                            "per_class_iou", "latency_ms", "parameters", "created")}}
