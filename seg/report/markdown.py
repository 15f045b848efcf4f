"""A result as Markdown, for notes, pull requests and model cards."""

from collections.abc import Iterable, Sequence

from seg.evaluate import Result
from seg.report.facts import details, iou_rows, latency_rows, milliseconds, percent, title, warm_up


def to_markdown(result: Result) -> str:
    """Returns the report with one table each for IoU, latency and details."""
    parts = [f"# {_escape(title(result))}"]
    if result.scores is not None:
        miou, accuracy = percent(result.scores.miou), percent(result.scores.pixel_accuracy)
        rows = [*((name, percent(iou)) for name, iou, _ in iou_rows(result)), ("**mean**", f"**{miou}**")]
        parts.append(f"**mIoU {miou} %**, pixel accuracy {accuracy} %")
        parts.append(table(("class", "IoU [%]"), rows, ":--|--:"))
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
