"""A result as tables in the terminal."""

import math

from rich.console import Console
from rich.table import Table

from seg.evaluate import Result
from seg.report.facts import (
    IouRow,
    IouTable,
    details,
    headline,
    iou_tables,
    latency_rows,
    milliseconds,
    percent,
    title,
    warm_up,
)

_BAR_CELLS = 20


def print_result(result: Result, console: Console | None = None) -> None:
    """Prints IoU per class and category with the means, latency per stage, and what ran on what.

    Args:
        result: to print.
        console: where to; None for standard output.
    """
    console = console or Console(highlight=False)
    if result.scores is not None:
        console.print(title(result), style="bold", markup=False)
    for ious in iou_tables(result):
        console.print(_table(ious))
    scores = [f"{name} {percent(value)} %" for name, value in headline(result)]
    if scores:
        console.print(", ".join(scores), style="bold", soft_wrap=True)
    rows = latency_rows(result)
    if rows:
        console.print("latency in milliseconds", style="bold", end="")
        console.print(f", {warm_up(result)}")
        table = Table()
        table.add_column("stage")
        for heading in ("p50", "p90", "p99", "mean"):
            table.add_column(heading, justify="right")
        for row in rows:
            if row.stage == "total":
                table.add_section()
            table.add_row(row.stage, *milliseconds(row[1:]))
        console.print(table)
    for name, value in details(result):
        console.print(f"{name}: {value}", markup=False, soft_wrap=True)


def print_sizes(results: dict[int, Result], best: int, console: Console | None = None) -> None:
    """Prints scores and latency by the long side that frames were scaled to.

    Args:
        results: by long side [px], in the order to print.
        best: the long side to mark.
        console: where to; None for standard output.
    """
    table = Table()
    for heading in ("long side", "first frames at", "mIoU [%]", "latency p50 [ms]"):
        table.add_column(heading, justify="right")
    for side, result in results.items():
        height, width = result.network_sizes[0]
        cells = (str(side), f"{height}x{width}", percent(result.scores.miou if result.scores else math.nan),
                 *milliseconds([result.latency.summary()["p50"]]))
        table.add_row(*cells, style="bold" if side == best else None)
    (console or Console(highlight=False)).print(table)


def _table(ious: IouTable) -> Table:
    table = Table()
    table.add_column(ious.what)
    for heading in ("IoU [%]", "iIoU [%]")[: 2 if ious.has_iiou else 1]:
        table.add_column(heading, justify="right")
    table.add_column("", min_width=_BAR_CELLS)
    for row in ious.rows:
        red, green, blue = row.color
        bar = "" if row.iou != row.iou else "█" * round(row.iou * _BAR_CELLS)
        table.add_row(row.name, *_cells(row, ious), f"[rgb({red},{green},{blue})]{bar}[/]")
    table.add_section()
    table.add_row(*(f"[bold]{cell}[/]" for cell in (ious.mean.name, *_cells(ious.mean, ious))))
    return table


def _cells(row: IouRow, ious: IouTable) -> list[str]:
    return [percent(row.iou), *([percent(row.iiou)] if ious.has_iiou else [])]
