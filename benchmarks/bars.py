"""Latencies as bars below each other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seg.document.charts import FAINT, SERIES


class Bar(NamedTuple):
    """One system.

    Attributes:
        name: what stands beside its bar.
        latency_ms: how long the bar is.
        filled: one of those that the others are compared with has a faint bar.
    """

    name: str
    latency_ms: float
    filled: bool


class BarPanel(NamedTuple):
    """Bars below each other."""

    title: str
    bars: Sequence[Bar]


def draw_bars(figure: Any, panels: Sequence[BarPanel], fill: tuple[str, str]) -> None:
    """Draws panels below each other, with the latency on one logarithmic axis each.

    Args:
        figure: of matplotlib, empty.
        panels: at least one, each with at least one bar.
        fill: what a full and a faint bar are.
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
