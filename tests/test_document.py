"""One document in its four forms: the same words in each, strict JSON, and HTML that is self-contained and escapes everything."""

import base64
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from pages import Page
from rich.console import Console

from seg import machine
from seg.document import (
    Chart,
    Code,
    Column,
    Document,
    Emphasis,
    Facts,
    Figures,
    Heading,
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
    check_paths,
    show,
    to_html,
    to_json,
    to_markdown,
    write,
)
from seg.document.charts import THEME, to_png, to_svg
from seg.document.model import number
from seg.document.words import percent
from seg.errors import SegError

HOSTILE = "<script>alert('x')</script>|*_`[a](b)\""


def chart(title: str = "A chart") -> Chart:
    def draw(figure: object) -> None:
        axis = figure.subplots()  # type: ignore[attr-defined]
        axis.bar(["one", HOSTILE], [1, 2], color=THEME["c0"][0], hatch="//")

    return Chart(title, "Two is larger.", draw)


@pytest.fixture
def document() -> Document:
    """A document with a block of each kind."""
    table = Table([Column("class"), number("IoU [%]", percent, bar=True), Column("where")],
                  [(Swatch("road", (1, 2, 3)), 0.75, Code("a.py")), (HOSTILE, math.nan, Strong("b")), ("sky", None, "c")],
                  ("mean", 0.5, "all"), caption="below")
    origin = Origin("python x.py 'a b'", datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
                    machine.Machine("CPU", (), 2, 8.0, "Linux", "3.11", {"numpy": "2"}))
    picture = np.full((4, 6, 3), 90, np.uint8)
    return Document("A title", [
        Verdict("All in all."), Figures([("mIoU", "75.0 %")]), Heading("A section"),
        Text("Plain ", Code("code"), " and ", Strong("strong"), " and ", Emphasis("term"), ". " + HOSTILE), table,
        Notes(["First.", HOSTILE]), Listing("do this --now\n", "bash"), Facts([("machine", "x86")]), chart(),
        Pictures("a frame", [Picture("truth", picture), Picture("prediction", picture)])],
        origin, {"miou": 0.75, "rows": [[1], [2]]})


def in_terminal(document: Document, width: int = 160) -> str:
    out = io.StringIO()
    show(document, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def as_page_text(document: Document) -> str:
    page = Page.of(to_html(document))
    return page.text


@pytest.mark.parametrize("form", [in_terminal, as_page_text, to_markdown, to_json], ids=lambda form: form.__name__)
def test_every_form_says_all_of_it(document: Document, form: Callable[[Document], str]) -> None:
    text = form(document)
    for words in ("A title", "All in all.", "mIoU", "A section", "code", "strong", "term", "road", "75.0" if form is not to_json
                  else "0.75", "a.py", "below", "First.", "do this --now", "x86", "A chart", "Two is larger."):
        assert words in text, words


def test_what_comes_from_outside_is_words_everywhere(document: Document) -> None:
    page = Page.of(to_html(document))
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 3
    assert HOSTILE in in_terminal(document)
    markdown = to_markdown(document)
    assert "<script" not in markdown.replace("\\<", "")
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_markdown_looks_like_this(document: Document) -> None:
    text = to_markdown(document)
    assert text.startswith("# A title\n\n**All in all.**\n\n**mIoU 75.0 %**\n\n## A section\n\n"
                           "Plain `code` and **strong** and *term*")
    assert "| class | IoU [%] | where |\n|:--|--:|:--|\n| road | 75.0 | `a.py` |" in text
    assert "| – | **b** |" in text
    assert "| **mean** | **50.0** | **all** |" in text
    assert "- First." in text
    assert "```bash\ndo this --now\n```" in text


def test_json_is_strict_and_has_origin_figures_and_blocks(document: Document) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads(to_json(document), parse_constant=refuse)
    assert (data["format_version"], data["title"], data["miou"]) == (2, "A title", 0.75)
    assert (data["command"], data["created"], data["machine"]["cores"]) == ("python x.py 'a b'", "2030-01-02T03:04:00+00:00", 2)
    table = next(block for block in data["blocks"] if block["kind"] == "table")
    assert table["columns"] == ["class", "IoU [%]", "where"]
    assert table["rows"] == [["road", 0.75, "a.py"], [HOSTILE, None, "b"], ["sky", None, "c"]]
    assert [block["kind"] for block in data["blocks"]] == ["verdict", "figures", "heading", "text", "table", "notes", "listing",
                                                           "facts", "chart", "pictures"]


def test_html_stands_alone(document: Document) -> None:
    html = to_html(document)
    page = Page.of(html)
    assert not re.search(r'(src|href)="(?!data:|#)|@import|url\((?!#)', html)
    assert "prefers-color-scheme: dark" in html
    assert len(page.images) == 2
    for source in page.images:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (4, 6, 3)
    assert page.tags.count("svg") == 1


def test_charts_take_the_pages_colours_and_share_no_id() -> None:
    svg = to_svg(chart())
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace("#000000", "")), "a colour that is not the theme's"
    assert "var(--c0)" in svg and "var(--ink)" in svg
    html = to_html(Document("two", [chart("one"), chart("other")]))
    ids = re.findall(r' id="([^"]*)"', html)
    assert ids and len(ids) == len(set(ids))
    assert set(re.findall(r"(?:href=\"|url\()#([\w-]+)", html)) <= set(ids)


def test_a_chart_as_png_has_its_title_and_the_light_colours() -> None:
    image = cv2.imdecode(np.frombuffer(to_png(chart()), np.uint8), cv2.IMREAD_COLOR)
    assert (image[0, 0] == 255).all()
    light = THEME["c0"][0]
    assert (image == [int(light[i:i + 2], 16) for i in (5, 3, 1)]).all(2).sum() > 1000


def test_an_empty_document_and_a_table_without_rows_have_all_forms() -> None:
    empty = Document("Nothing", [Table([Column("a")], []), Notes([])])
    for form in (in_terminal, to_html, to_markdown, to_json):
        assert "Nothing" in form(empty)


def test_a_name_that_is_not_utf8_can_be_written(document: Document, tmp_path: Path) -> None:
    odd = dataclasses.replace(document, title="caf\udce9")
    for suffix in ("json", "md", "html"):
        write(odd, tmp_path / f"r.{suffix}")
        assert "caf" in (tmp_path / f"r.{suffix}").read_text()


def test_paths_are_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "r.pdf", "suffix"), (tmp_path / "r", "suffix"), (tmp_path / "folder.json", "folder"),
                        (tmp_path / "file" / "r.json", "Can't write")):
        with pytest.raises(SegError, match=words):
            check_paths([path])
    check_paths([tmp_path / "new" / "R.HTML"])
