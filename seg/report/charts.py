"""The charts of a report, as functions that draw into an empty figure of matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.calibration import Calibration
from seg.document.charts import DASHES, FAINT, HATCHES, INK, LINE, SERIES

_MOST_POINTS = 400  # of a curve; the eye can't distinguish more


def confusion(figure: Any, shares: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    """Draws a confusion matrix (C, C). The rows are the truth; each sums up to 1 or is NaN. What rounds to 0% stays blank."""
    axis = figure.subplots()
    count = len(names)
    for truth, predicted in zip(*np.nonzero(shares > 0.005), strict=True):
        value = float(shares[truth, predicted])
        color = SERIES[0] if truth == predicted else SERIES[1]
        axis.add_patch(_cell(predicted, truth, color, 0.08 + 0.82 * value))
        axis.text(predicted, truth, f"{100 * value:.0f}", ha="center", va="center", fontsize=8 if count > 12 else 10)
    axis.set_xlim(-0.5, count - 0.5)
    axis.set_ylim(count - 0.5, -0.5)
    axis.set_xticks(range(count), names, rotation=90)
    axis.set_yticks(range(count), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("truth")
    axis.tick_params(length=0)
    for at in np.arange(-0.5, count):
        axis.axhline(at, color=LINE, lw=0.5, zorder=0)
        axis.axvline(at, color=LINE, lw=0.5, zorder=0)


def _cell(x: int, y: int, color: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, alpha=alpha, edgecolor="none")


def latency_histogram(figure: Any, totals_ms: Sequence[float], percentiles: Mapping[str, float]) -> None:
    """Draws how many frames took how long; values far beyond the 99th percentile are drawn at the right edge."""
    axis = figure.subplots()
    end = max(percentiles["p99"] * 1.25, percentiles["p50"] * 1.1)
    shown = np.minimum(totals_ms, end)
    axis.hist(shown, bins=int(np.clip(len(shown) / 4, 8, 40)), color=SERIES[0], alpha=0.55, edgecolor=SERIES[0], linewidth=0.6)
    top = axis.get_ylim()[1]
    for (name, value), dash in zip(((name, percentiles[name]) for name in ("p50", "p90", "p99")), DASHES, strict=False):
        axis.axvline(value, color=INK, lw=1.3, ls=dash, label=f"{name}: {value:.1f} ms")
    axis.set_ylim(0, top * 1.05)
    figure.legend(fontsize=9.5, loc="outside upper left", ncols=3)
    axis.set_xlabel("whole frame [ms]")
    axis.set_ylabel("frames")


def latency_over_time(figure: Any, began_s: Sequence[float], stages_ms: Mapping[str, Sequence[float]],
                      totals_ms: Sequence[float]) -> None:
    """Draws the stages of each frame as a stack, and the whole as a line; of many frames, medians of neighbouring ones."""
    axis = figure.subplots()
    size = -(-len(began_s) // _MOST_POINTS)
    at = _medians(began_s, size)
    layers = axis.stackplot(at, [_medians(values, size) for values in stages_ms.values()], labels=list(stages_ms),
                            colors=[SERIES[i % len(SERIES)] for i in range(len(stages_ms))], alpha=0.5)
    for layer, hatch in zip(layers, HATCHES, strict=False):
        layer.set_hatch(hatch)
        layer.set_hatchcolor(INK)
        layer.set_linewidth(0)
    axis.plot(at, _medians(totals_ms, size), color=INK, lw=0.9, label="whole")
    if size > 1:  # medians hide single slow frames
        peaks = np.array([max(totals_ms[i:i + size]) for i in range(0, len(totals_ms), size)])
        axis.plot(at, peaks, color=FAINT, lw=0, marker=".", ms=3, label=f"slowest of {size}")
    axis.set_ylim(0, np.percentile(totals_ms, 99.5) * 1.15)
    axis.margins(x=0)
    figure.legend(fontsize=9.5, loc="outside upper left", ncols=3)
    axis.set_xlabel("time since the first frame [s]")
    axis.set_ylabel("[ms]")


def _medians(values: Sequence[float], size: int) -> npt.NDArray[np.float64]:
    return np.array([np.median(values[i:i + size]) for i in range(0, len(values), size)])


def video_over_time(figure: Any, points: Sequence[tuple[float, float, float]]) -> None:
    """Draws the predictor's latency, and the one from glass to glass if it is known, over a video's time."""
    axis = figure.subplots()
    at, network, glass = np.array(points, np.float64).T
    axis.plot(at, network, color=SERIES[0], lw=1.2, ls=DASHES[0], label="predictor")
    if not np.isnan(glass).all():
        axis.plot(at, glass, color=SERIES[1], lw=1.2, ls=DASHES[1], label="glass to glass")
    axis.set_ylim(0)
    axis.margins(x=0)
    axis.legend(fontsize=9.5)
    axis.set_xlabel("time in the video [s]")
    axis.set_ylabel("[ms]")


def reliability(figure: Any, found: Calibration) -> None:
    """Draws how often a network is right over its confidence; the size of a point is its share of the pixels."""
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=DASHES[1], label="as often as it says")
    axis.plot(found.confidence, found.accuracy, color=SERIES[0], lw=1)
    axis.scatter(found.confidence, found.accuracy, s=[20 + 300 * share for share in found.share], color=SERIES[0], alpha=0.6,
                 label="this network")
    axis.set_xlim(0, 1.03)
    axis.set_ylim(0, 1.03)
    axis.legend(fontsize=9.5, loc="upper left", markerscale=0.5)
    axis.set_xlabel("claimed probability")
    axis.set_ylabel("share that is right")
