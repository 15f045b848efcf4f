"""Charts drawn by matplotlib: as SVG in the colours of the page, light or dark, or as PNG.

Charts are drawn in the colours of the light theme; in SVG each colour is replaced by the page's variable for it.
"""

import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.document.model import Chart

# Name of the page's variable: its light and its dark colour. The series differ in print, too, and for the colour-blind.
THEME = {
    "paper": ("#ffffff", "#14171b"), "card": ("#f5f6f8", "#1d2127"), "ink": ("#1b1f24", "#e6e9ed"),
    "faint": ("#5c6675", "#9ba5b3"), "line": ("#dfe3e8", "#353b45"),
    "c0": ("#0b6fa4", "#4fb0e8"), "c1": ("#c2410c", "#f59e5b"), "c2": ("#3a7d44", "#7bc98a"), "c3": ("#8a4fbd", "#c39bea"),
    "c4": ("#a16207", "#e0b44c"),
}
PAPER, INK, FAINT, LINE = (THEME[name][0] for name in ("paper", "ink", "faint", "line"))
SERIES = tuple(light for name, (light, _) in THEME.items() if re.fullmatch(r"c\d", name))
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)))  # distinguish lines without colour
HATCHES = ("", "///", "...", "\\\\\\", "xxx")  # distinguish areas without colour

_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT, "grid.color": LINE,
    "axes.axisbelow": True, "axes.titlesize": 11, "axes.titlelocation": "left", "legend.frameon": False,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
    "hatch.linewidth": 0.6,
}


@contextmanager
def _drawn(chart: "Chart") -> Iterator[Any]:
    """Yields the chart as a matplotlib figure. matplotlib is imported here, so that plain inference needn't wait for it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_STYLE, "svg.hashsalt": chart.title}):  # so that different charts of a page have different ids
        figure = Figure(figsize=chart.size, layout="constrained")
        chart.draw(figure)
        yield figure


def to_png(chart: "Chart") -> bytes:
    """Returns the chart on white, with its title and words: a picture that needs no page around it."""
    buffer = io.BytesIO()
    with _drawn(chart) as figure:
        figure.suptitle(chart.title, x=0.01, ha="left", fontsize=14, fontweight="bold")
        figure.supxlabel(textwrap.fill(chart.words, int(15 * chart.size[0])), x=0.01, ha="left", fontsize=9, color=FAINT)
        figure.savefig(buffer, format="png", dpi=150, facecolor=PAPER)
    return buffer.getvalue()


def to_svg(chart: "Chart") -> str:
    """Returns the chart as an element of a page."""
    buffer = io.StringIO()
    with _drawn(chart) as figure:
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', lambda found: (
        f'<svg viewBox="{found[1]}" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{escape(chart.title)}">'), text, count=1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would apply to the whole page
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    for name, (light, _) in THEME.items():
        text = text.replace(light, f"var(--{name})")
    return re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
