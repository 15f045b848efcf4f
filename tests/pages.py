"""Parses an HTML page as a browser would: its text, its tags, its pictures."""

from html.parser import HTMLParser
from typing import Self

_ALONE = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The content of a page.

    Attributes:
        open: tags that were opened but not closed.
        tags: tags of all elements, in order.
        images: sources of all pictures.
        text: all text that a reader sees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[str] = []
        self.text = ""

    @classmethod
    def of(cls, html: str) -> Self:
        """Parses a page."""
        page = cls()
        page.feed(html)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        if tag not in _ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
