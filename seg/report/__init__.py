"""A result made readable: a terminal table, JSON for programs, Markdown for notes, HTML with pictures for people."""

from collections.abc import Sequence
from pathlib import Path

from seg.errors import SegError
from seg.evaluate import Result
from seg.files import check_writable_folder, write_text
from seg.report.examples import Example, ExampleCollector
from seg.report.html import to_html
from seg.report.json import to_json
from seg.report.markdown import to_markdown
from seg.report.terminal import print_result, print_sizes

__all__ = ["Example", "ExampleCollector", "check_report_path", "print_result", "print_sizes", "to_html", "to_json", "to_markdown",
           "write_report"]

_SUFFIXES = (".json", ".md", ".html")


def check_report_path(path: Path) -> None:
    """Checks that a report could be written there, before the work that it reports on.

    Raises:
        SegError: the suffix is none of .json, .md, .html, or the place can't be written.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise SegError(f"A report's suffix says its form: {', '.join(_SUFFIXES)}; {path} has none of them.")
    if path.is_dir():
        raise SegError(f"Can't write the report {path}: it is a folder.")
    check_writable_folder(path.parent)


def write_report(result: Result, path: Path, examples: Sequence[Example] = ()) -> None:
    """Writes the form that the suffix names; atomically. Pictures of `examples` stand in HTML alone.

    Raises:
        SegError: as `check_report_path`.
    """
    check_report_path(path)
    suffix = path.suffix.lower()
    text = to_json(result) if suffix == ".json" else to_markdown(result) if suffix == ".md" else to_html(result, examples)
    # Names of files need not be UTF-8, reports are: what isn't, stands there as in JSON.
    write_text(path, text.encode("utf-8", "backslashreplace").decode())
