"""Latencies as bars below each other, as PNG."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.plot import COLORS, FAINT, pyplot, to_png


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


def draw_bars(panels: Sequence[BarPanel], title: str, note: str, fill: tuple[str, str]) -> bytes:
    """Draws panels below each other, with the latency on one logarithmic axis each; returns a PNG.

    Args:
        panels: at least one, each with at least one bar.
        title: above all panels.
        note: below them.
        fill: what a full and a faint bar are.
    """
    from matplotlib.ticker import FuncFormatter

    plt = pyplot()
    heights = [len(panel.bars) for panel in panels]
    figure, axes = plt.subplots(len(panels), 1, figsize=(11, 0.27 * sum(heights) + 1.1 * len(panels) + 0.8), squeeze=False,
                                layout="constrained", gridspec_kw={"height_ratios": [height + 1 for height in heights]})
    try:
        for axis, panel in zip(axes[:, 0], panels, strict=True):
            colors = [COLORS[0] if bar.filled else FAINT for bar in panel.bars]
            drawn = axis.barh([bar.name for bar in panel.bars], [bar.latency_ms for bar in panel.bars], color=colors)
            axis.bar_label(drawn, [f" {bar.latency_ms:.{1 if bar.latency_ms < 100 else 0}f}" for bar in panel.bars], fontsize=9)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_xlim(min(bar.latency_ms for bar in panel.bars) / 2, max(bar.latency_ms for bar in panel.bars) * 1.5)
            axis.set_title(panel.title, loc="left", fontsize=11)
            axis.set_xlabel("latency [ms], logarithmic")
            axis.tick_params(axis="y", length=0, labelsize=9)
        handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (COLORS[0], FAINT)]
        axes[0][0].legend(handles, fill, frameon=False, loc="upper right", fontsize=9)
        figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
        figure.supxlabel(textwrap.fill(note, 150), x=0.01, ha="left", fontsize=9, color="#5f6368")
        return to_png(figure)
    finally:
        plt.close(figure)
