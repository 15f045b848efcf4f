"""A document as one HTML file: no scripts, nothing loaded from elsewhere, light or dark like the reader's system."""

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from seg.document.charts import THEME, to_svg
from seg.document.model import Block, Cell, Code, Document, Emphasis, Strong, Swatch
from seg.files import UInt8Array

if TYPE_CHECKING:
    from jinja2 import Template

_JPEG_QUALITY = 88
_TAGS: dict[type, str] = {Code: "code", Strong: "strong", Emphasis: "em"}


def to_html(document: Document) -> str:
    """Returns the whole page. The template escapes text from outside, such as names of files and classes."""
    return _template().render(document=document, theme=THEME)


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # here, because plain inference needn't load it

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"kind": _kind, "tag": lambda text: _TAGS.get(type(text)), "data_url": _data_url,
                            "svg": to_svg, "color": _color, "share": _share}
    return environment.get_template("page.html.jinja")


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _color(row: list[Cell]) -> str | None:
    """Returns the colour of the class that a row is about; None if there is none."""
    return next((f"rgb{cell.color}" for cell in row if isinstance(cell, Swatch)), None)


def _share(cell: Any) -> float:
    """Returns the length of a bar in percent."""
    return 100 * float(cell) if isinstance(cell, int | float) and cell == cell else 0.0


def _data_url(picture_bgr: UInt8Array) -> str:
    _, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
