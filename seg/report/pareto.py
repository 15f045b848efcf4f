"""Accuracy against latency, with the Pareto front."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from seg.document.charts import FAINT, LINE, PAPER, SERIES

_NARROW_INCH = 7  # in a narrower figure the list stands below
_LABEL_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # above first, then around


class Point(NamedTuple):
    """One network.

    Attributes:
        label: short name next to the point.
        name: long name in the list next to the panels.
        group: points of one group share a colour.
        filled: filled and hollow points distinguish a second property.
        latency_ms, accuracy: position of the point.
        spread_ms: from and to, drawn as a line; None for no line.
    """

    label: str
    name: str
    group: str
    filled: bool
    latency_ms: float
    accuracy: float
    spread_ms: tuple[float, float] | None = None


class Panel(NamedTuple):
    """One pair of axes."""

    title: str
    points: Sequence[Point]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Returns the points that no other beats, fastest first: none is as fast and more accurate, or as accurate and faster."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.latency_ms, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def draw(figure: Any, panels: Sequence[Panel], accuracy: str, fill: tuple[str, str] | None = None) -> None:
    """Draws panels side by side with a common scale of accuracy, and a list of all names.

    Args:
        figure: of matplotlib, empty.
        panels: at least one, each with at least one point.
        accuracy: label of the vertical axis.
        fill: meaning of filled and of hollow points; None if all are filled.
    """
    groups = list(dict.fromkeys(point.group for panel in panels for point in panel.points))
    colors = {group: SERIES[i % len(SERIES)] for i, group in enumerate(groups)}
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        _scatter(axis, panel, colors)
    axes[0][0].set_ylabel(accuracy)
    _list_names(figure, panels, colors, fill)
    figure.draw_without_rendering()
    for axis, panel in zip(axes[0], panels, strict=True):  # after the scales are fixed
        _place_labels(axis, panel, colors)


def _scatter(axis: Any, panel: Panel, colors: dict[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    front = pareto_front(panel.points)
    axis.step([p.latency_ms for p in front], [p.accuracy for p in front], where="post", color=FAINT, lw=1.4, zorder=1)
    for p in panel.points:
        if p.spread_ms is not None:
            axis.plot(p.spread_ms, [p.accuracy] * 2, color=colors[p.group], lw=2.2, alpha=0.35, solid_capstyle="butt", zorder=2)
        axis.scatter(p.latency_ms, p.accuracy, s=58, zorder=3, linewidths=1.6, edgecolors=colors[p.group],
                     facecolors=colors[p.group] if p.filled else PAPER)
    axis.set_title(panel.title)
    axis.set_xlabel("latency [ms], logarithmic")
    axis.set_xscale("log")
    latencies = [p.latency_ms for p in panel.points]
    axis.set_xlim(min(latencies) / 1.2, max(latencies) * 1.2)
    ticks = _ticks(*axis.get_xlim())
    axis.set_xticks(ticks)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(y=0.12)
    axis.grid(axis="both", color=LINE, lw=0.8)
    axis.set_axisbelow(True)


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers within an interval of a logarithmic axis, few enough to read."""
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)):
        ticks = [step * 10.0**power for power in range(-4, 7) for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _list_names(figure: Any, panels: Sequence[Panel], colors: dict[str, str],
                fill: tuple[str, str] | None) -> None:
    """Lists label and name of every network at the right, below the meaning of colours and fillings."""
    from matplotlib.lines import Line2D

    def mark(color: str, filled: bool) -> Line2D:
        return Line2D([], [], ls="", marker="o", ms=7, mew=1.6, color=color, mfc=color if filled else PAPER)

    named = {point.label: point for panel in panels for point in panel.points}
    # Labels are padded with spaces of a digit's width.
    rows = [(mark(colors[p.group], p.filled), f"{p.label:\u2007>2}  {p.name}") for p in named.values()]
    rows.append((Line2D([], [], ls=""), ""))
    if fill is not None:
        rows += [(mark(FAINT, True), fill[0]), (mark(FAINT, False), fill[1])]
    rows.append((Line2D([], [], color=FAINT, lw=1.4), "Pareto front"))
    handles, texts = zip(*rows, strict=True)
    place = "outside right center" if figure.get_figwidth() > _NARROW_INCH else "outside lower left"
    figure.legend(handles, texts, loc=place, frameon=False, fontsize=9.5, handlelength=1.4,
                  labelspacing=0.55)


def _place_labels(axis: Any, panel: Panel, colors: dict[str, str]) -> None:
    """Writes each label next to its point where it covers the least: no point or other label, and lines only if necessary.

    The package adjustText was tried instead. It needs SciPy, which an installation for inference does not have, it took seconds
    for 20 points, and it left labels on their own points.
    """
    from matplotlib.patheffects import withStroke

    unit = axis.figure.dpi / 72  # pixels in a typographic point
    at = {p.label: axis.transData.transform((p.latency_ms, p.accuracy)) for p in panel.points}
    boxes = [(_Box(at[p.label][0], at[p.label][1], 6 * unit, 6 * unit), 10.0) for p in panel.points]
    boxes += [(box, 1.0) for box in _lines(axis, panel, unit)]
    for p in sorted(panel.points, key=lambda p: -p.accuracy):
        x, y = at[p.label]
        half_width, half_height = 3.6 * len(p.label) * unit, 5 * unit
        places = [_Box(x + right * (reach * unit + half_width - 3.6 * unit), y + up * reach * unit, half_width, half_height)
                  for reach in (12, 16, 21, 27) for right, up in _LABEL_STEPS]
        costs = [sum(cost for other, cost in boxes if place.overlaps(other)) for place in places]
        box = places[costs.index(min(costs))]
        boxes.append((box, 10.0))
        axis.annotate(p.label, (p.latency_ms, p.accuracy), xytext=((box.x - x) / unit, (box.y - y) / unit),
                      textcoords="offset points", ha="center", va="center", fontsize=9.5, fontweight="bold",
                      color=colors[p.group], zorder=4, path_effects=[withStroke(linewidth=2.5, foreground=PAPER)])


class _Box(NamedTuple):
    """A rectangle in pixels: its centre and half its sides."""

    x: float
    y: float
    half_width: float
    half_height: float

    def overlaps(self, other: "_Box") -> bool:
        return (abs(self.x - other.x) < self.half_width + other.half_width
                and abs(self.y - other.y) < self.half_height + other.half_height)


def _lines(axis: Any, panel: Panel, unit: float) -> list[_Box]:
    """Returns the steps of the front and the bars of the spreads as thin boxes."""
    front = pareto_front(panel.points)
    ends = [((a.latency_ms, a.accuracy), (b.latency_ms, a.accuracy)) for a, b in pairwise(front)]
    ends += [((b.latency_ms, a.accuracy), (b.latency_ms, b.accuracy)) for a, b in pairwise(front)]
    ends += [((p.spread_ms[0], p.accuracy), (p.spread_ms[1], p.accuracy)) for p in panel.points if p.spread_ms]
    boxes = []
    for begin, end in ends:
        (x0, y0), (x1, y1) = axis.transData.transform(begin), axis.transData.transform(end)
        boxes.append(_Box((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2 + unit, abs(y1 - y0) / 2 + unit))
    return boxes
