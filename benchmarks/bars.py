"""Latencies as horizontal bars."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seg.document.charts import FAINT, SERIES


class Bar(NamedTuple):
    """One system.

    Attributes:
        name: label of its bar.
        latency_ms: length of the bar.
        filled: whether the bar is strong; the systems for comparison have faint bars.
    """

    name: str
    latency_ms: float
    filled: bool


class BarPanel(NamedTuple):
    """A group of bars."""

    title: str
    bars: Sequence[Bar]


def draw_bars(figure: Any, panels: Sequence[BarPanel], fill: tuple[str, str]) -> None:
    """Draws panels one below the other, each with a logarithmic latency axis.

    Args:
        figure: an empty matplotlib figure.
        panels: at least one, each with at least one bar.
        fill: meaning of a strong and of a faint bar.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter

    heights = [len(panel.bars) + 1 for panel in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        colors = [SERIES[0] if bar.filled else FAINT for bar in panel.bars]
        drawn = axis.barh([bar.name for bar in panel.bars], [bar.latency_ms for bar in panel.bars], color=colors)
        axis.bar_label(drawn, [f" {bar.latency_ms:.{1 if bar.latency_ms < 100 else 0}f}" for bar in panel.bars], fontsize=9)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_xlim(min(bar.latency_ms for bar in panel.bars) / 2, max(bar.latency_ms for bar in panel.bars) * 1.5)
        axis.set_title(panel.title)
        axis.set_xlabel("latency [ms], logarithmic")
        axis.tick_params(axis="y", length=0, labelsize=9)
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in (SERIES[0], FAINT)]
    axes[0][0].legend(handles, fill, loc="upper right", fontsize=9)
