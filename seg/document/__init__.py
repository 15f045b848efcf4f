"""A document: headings, texts, tables, charts and pictures, made once, and shown in a terminal or as JSON, Markdown or HTML.

Reports, model cards, checks and benchmarks are such documents. The code that makes a document decides its content; this package
decides its look.
"""

from collections.abc import Sequence
from pathlib import Path

from seg.document.html import to_html
from seg.document.json import FORMAT_VERSION, to_json
from seg.document.markdown import to_markdown
from seg.document.model import (
    Block,
    Cell,
    Chart,
    Code,
    Column,
    Document,
    Emphasis,
    Facts,
    Figures,
    Heading,
    Inline,
    Listing,
    Notes,
    Origin,
    Picture,
    Pictures,
    Strong,
    Swatch,
    Table,
    Text,
    Verdict,
)
from seg.document.terminal import show
from seg.errors import SegError
from seg.files import check_writable_folder, write_text

__all__ = ["FORMAT_VERSION", "Block", "Cell", "Chart", "Code", "Column", "Document", "Emphasis", "Facts", "Figures", "Heading",
           "Inline", "Listing", "Notes", "Origin", "Picture", "Pictures", "Strong", "Swatch", "Table", "Text", "Verdict",
           "check_paths", "show", "to_html", "to_json", "to_markdown", "write"]

_FORMS = {".json": to_json, ".md": to_markdown, ".html": to_html}


def check_paths(paths: Sequence[Path]) -> None:
    """Checks that documents could be written to these paths, before the long work whose results they show.

    Raises:
        SegError: a suffix is not .json, .md or .html, or a path can't be written.
    """
    for path in paths:
        if path.suffix.lower() not in _FORMS:
            raise SegError(f"A report's suffix determines its form: {', '.join(_FORMS)}; {path} has none of them.")
        if path.is_dir():
            raise SegError(f"Can't write the report {path}: it is a folder.")
        check_writable_folder(path.parent)


def write(document: Document, path: Path) -> None:
    """Writes the form that the suffix names, atomically.

    Raises:
        SegError: see `check_paths`.
    """
    check_paths([path])
    text = _FORMS[path.suffix.lower()](document)
    # Names of files need not be UTF-8, but documents are: other names are escaped as in JSON.
    write_text(path, text.encode("utf-8", "backslashreplace").decode())
