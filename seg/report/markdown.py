"""A result as Markdown, for notes, pull requests and model cards."""

from collections.abc import Iterable, Sequence

from seg.evaluate import Result
from seg.report.facts import details, headline, iou_tables, latency_rows, milliseconds, percent, title, warm_up


def to_markdown(result: Result) -> str:
    """Returns the report with tables of IoU, latency and details."""
    parts = [f"# {_escape(title(result))}"]
    scores = [f"{name} {percent(value)} %" for name, value in headline(result)]
    if scores:
        parts.append(", ".join([f"**{scores[0]}**", *scores[1:]]))
    for ious in iou_tables(result):
        columns = 2 if ious.has_iiou else 1
        cells = [(row.name, *map(percent, (row.iou, row.iiou)[:columns])) for row in (*ious.rows, ious.mean)]
        cells[-1] = tuple(f"**{cell}**" for cell in cells[-1])
        parts.append(table((ious.what, *("IoU [%]", "iIoU [%]")[:columns]), cells, ":--" + "|--:" * columns))
    latencies = latency_rows(result)
    if latencies:
        parts.append(f"Latency in milliseconds, {warm_up(result)}:")
        parts.append(table(("stage", "p50", "p90", "p99", "mean"),
                            [(row.stage, *milliseconds(row[1:])) for row in latencies], ":--|--:|--:|--:|--:"))
    parts.append(table(("what", "value"), details(result), ":--|:--"))
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], rule: str) -> str:
    """Returns a Markdown table; `rule` aligns its columns, as in ":--|--:"."""
    lines = ["| " + " | ".join(map(_escape, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
