"""A result as tables in the terminal."""

from rich.console import Console
from rich.table import Table

from seg.evaluate import Result
from seg.report.facts import details, iou_rows, latency_rows, milliseconds, percent, title, warm_up

_BAR_CELLS = 20


def print_result(result: Result, console: Console | None = None) -> None:
    """Prints IoU per class with the mean, latency per stage, and what ran on what.

    Args:
        result: to print.
        console: where to; None for standard output.
    """
    console = console or Console(highlight=False)
    if result.scores is not None:
        console.print(title(result), style="bold", markup=False)
        table = Table()
        for heading in ("class", "IoU [%]"):
            table.add_column(heading, justify="right" if "IoU" in heading else "left")
        table.add_column("", min_width=_BAR_CELLS)
        for name, iou, (red, green, blue) in iou_rows(result):
            bar = "" if iou != iou else "█" * round(iou * _BAR_CELLS)
            table.add_row(name, percent(iou), f"[rgb({red},{green},{blue})]{bar}[/]")
        table.add_section()
        table.add_row("[bold]mean[/]", f"[bold]{percent(result.scores.miou)}[/]",
                      f"pixel accuracy {percent(result.scores.pixel_accuracy)}")
        console.print(table)
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
