"""How reports differ from the first of them, and whether the difference is more than noise.

The frames decide: two thousand times, as many frames as there are get drawn with replacement, and the difference is computed
again (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). Both reports get the same frames each time, so a frame
that is hard for both doesn't count as a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.document.words import listed
from seg.errors import SegError
from seg.metrics import frame_miou
from seg.report.stored import StoredReport

RESAMPLINGS = 2000
_MOST_NUMBERS = 20_000_000  # of all resamplings together; with more frames there are fewer resamplings
COVERED = 95  # percent of the resamplings that lie in an interval
_SHOWN_FRAMES = 5  # of the better and of the worse ones

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value, and the interval in which most resamplings lie."""

    value: float
    low: float
    high: float

    def beyond(self, nothing: float) -> bool:
        """Returns whether the interval excludes the value that would mean no difference."""
        return self.low > nothing or self.high < nothing

    def to_dict(self) -> dict[str, float]:
        """Returns plain types, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Difference:
    """How one report differs from the first one.

    Attributes:
        name: name of the report.
        frames: number of frames with ground truth that both have.
        miou: difference of mIoU; None if one of them has none.
        miou_interval: its interval over the frames of both; None if there are no frames to draw from.
        per_class: differences of IoU by class, None if one of them has none; intervals as for mIoU.
        latency_ratio: ratio of the median latencies; None if one of them has none.
        latency_interval: its interval over the frames of both; None if there are none.
        frames_apart: name, mIoU in the first and mIoU in this one, for the frames that differ most, worse ones first.
    """

    name: str
    frames: int
    miou: float | None
    miou_interval: Interval | None
    per_class: dict[str, tuple[float | None, Interval | None]]
    latency_ratio: float | None
    latency_interval: Interval | None
    frames_apart: list[tuple[str, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        def plain(interval: Interval | None) -> dict[str, float] | None:
            return interval.to_dict() if interval else None

        return {"name": self.name, "frames": self.frames, "miou": self.miou, "miou_interval": plain(self.miou_interval),
                "per_class_iou": {name: {"difference": value, "interval": plain(interval)}
                                  for name, (value, interval) in self.per_class.items()},
                "latency_ratio": self.latency_ratio, "latency_interval": plain(self.latency_interval),
                "frames_apart": [list(row) for row in self.frames_apart]}


def check_comparable(reports: Sequence[StoredReport]) -> None:
    """Checks that all reports have the same classes and the same data.

    Raises:
        SegError: they don't.
    """
    first = reports[0]
    for other in reports[1:]:
        if first.classes != other.classes:
            missing = [name for name in first.classes if name not in other.classes]
            apart = f"{other.name} has no {listed(missing)}" if missing else f"{other.name} has them in another order, or more"
            raise SegError(f"{first.name} and {other.name} have different classes and can't be compared: {apart}.")
        data = [f"{one.data['dataset']} {one.data['split']}" if one.data["dataset"] else "no data set" for one in (first, other)]
        if data[0] != data[1]:
            raise SegError(f"{first.name} and {other.name} have different data and can't be compared: {data[0]} and {data[1]}.")
        if first.confusions is not None and other.confusions is not None:
            here, there = common(first, other)
            if not len(here):
                raise SegError(f"{first.name} and {other.name} have no frame in common and can't be compared.")
            if (first.confusions[here].sum(2) != other.confusions[there].sum(2)).any():
                raise SegError(f"{first.name} and {other.name} were scored against different labels for frames of the same name "
                               "and can't be compared.")


def compare(reports: Sequence[StoredReport], seed: int = 0) -> list[Difference]:
    """Compares each report with the first one.

    Args:
        reports: at least one, all comparable.
        seed: seed of the resamplings.

    Raises:
        SegError: see `check_comparable`.
    """
    check_comparable(reports)
    return [_difference(reports[0], other, seed) for other in reports[1:]]


def _difference(first: StoredReport, other: StoredReport, seed: int) -> Difference:
    per_class: dict[str, tuple[float | None, Interval | None]] = {}
    interval, apart, frames = None, list[tuple[str, float, float]](), 0
    intervals: dict[str, Interval | None] = {}
    if first.confusions is not None and other.confusions is not None:
        here, there = common(first, other)
        frames = len(here)
        drawn = _drawn(frames, seed)
        counts = np.stack([np.bincount(one, minlength=frames) for one in drawn])  # (resamplings, frames)
        ious = [_ious(np.vstack([np.ones((1, frames)), counts]), one) for one in
                (first.confusions[here], other.confusions[there])]  # (1 + resamplings, C); the first row is over all frames
        gain = ious[1] - ious[0]
        interval = _interval(_mean(ious[1]) - _mean(ious[0]))
        intervals = {name: _interval(gain[:, i]) for i, name in enumerate(first.classes)}
        apart = _apart(first, other, here, there)
    for name in first.classes:
        before, after = ((one.data["per_class_iou"] or {}).get(name) for one in (first, other))
        per_class[name] = None if before is None or after is None else after - before, intervals.get(name)
    ratio, ratio_interval = _latency(first, other, seed)
    before, after = first.data["miou"], other.data["miou"]
    return Difference(other.name, frames, None if before is None or after is None else after - before, interval, per_class, ratio,
                      ratio_interval, apart)


def common(first: StoredReport, other: StoredReport) -> tuple[list[int], list[int]]:
    """Returns the positions, in both reports, of the frames with the same names."""
    places = {name: i for i, name in enumerate(other.frames)}
    pairs = [(i, places[name]) for i, name in enumerate(first.frames) if name in places]
    return [i for i, _ in pairs], [i for _, i in pairs]


def _drawn(frames: int, seed: int) -> npt.NDArray[np.int64]:
    """Returns the frames in each resampling: (resamplings, frames)."""
    resamplings = max(200, min(RESAMPLINGS, _MOST_NUMBERS // max(1, frames)))
    return np.random.default_rng(seed).integers(0, frames, (resamplings, frames))


def _ious(counts: Float64Array, confusions: npt.NDArray[np.int64]) -> Float64Array:
    """Returns the IoU of each class (R, C) for R sums of frames, each weighted by `counts` (R, N); NaN for none."""
    frames, classes, _ = confusions.shape
    sums = (counts @ confusions.reshape(frames, -1).astype(np.float64)).reshape(-1, classes, classes)
    hits = sums.diagonal(axis1=1, axis2=2)
    union = sums.sum(1) + sums.sum(2) - hits
    return np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)


def _mean(ious: Float64Array) -> Float64Array:
    """Returns the mean over the classes that have an IoU."""
    there = ~np.isnan(ious)
    return np.divide(np.nansum(ious, 1), there.sum(1), out=np.full(len(ious), np.nan), where=there.any(1))


def _interval(values: Float64Array) -> Interval | None:
    """Returns the first value, and the interval with most of the other values; None if the value is missing."""
    others = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(others):
        return None
    low, high = np.percentile(others, [(100 - COVERED) / 2, (100 + COVERED) / 2])
    return Interval(float(values[0]), float(low), float(high))


def _latency(first: StoredReport, other: StoredReport, seed: int) -> tuple[float | None, Interval | None]:
    summaries = [one.data["latency_ms"] for one in (first, other)]
    if None in summaries:
        return None, None
    ratio = summaries[1]["p50"] / summaries[0]["p50"]
    both = [name for name in first.latency_ms if name in other.latency_ms]
    if not both:
        return ratio, None
    times = np.array([[one.latency_ms[name] for name in both] for one in (first, other)])
    drawn = np.vstack([np.arange(len(both)), _drawn(len(both), seed)])
    return ratio, _interval(np.median(times[1][drawn], 1) / np.median(times[0][drawn], 1))


def _apart(first: StoredReport, other: StoredReport, here: list[int], there: list[int]) -> list[tuple[str, float, float]]:
    assert first.confusions is not None and other.confusions is not None
    rows = [(first.frames[i], frame_miou(first.confusions[i]), frame_miou(other.confusions[j]))
            for i, j in zip(here, there, strict=True)]
    rows = sorted((row for row in rows if row[1] == row[1]), key=lambda row: row[2] - row[1])
    return rows if len(rows) <= 2 * _SHOWN_FRAMES else rows[:_SHOWN_FRAMES] + rows[-_SHOWN_FRAMES:]
