"""Latencies that can be trusted: when a network is warm, how far its times spread, and what else kept the machine busy."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TOTAL = "total"
_COMPARED = 3  # runs on either side of the question whether a network still becomes faster
_FASTER = 0.95  # it does while the median of the latest takes less than this share of that of those before
_MOST_RUNS, _MOST_MS = 30, 10_000.0

# What is called stable: limits that a benchmark on a machine of its own keeps with ease.
MOST_SPREAD = 0.10  # interquartile range by median
MOST_DRIFT = 0.05  # last third of the frames against the first
MOST_OTHERS = 0.10  # of a core, taken by other processes
MOST_UNACCOUNTED = 0.02  # of a frame's time, that is in no stage
FEWEST_FRAMES = 20


@dataclass(frozen=True)
class WarmUp:
    """Runs that were not counted, before the first frame of a size.

    Attributes:
        size_hw: of the frames.
        runs: how many.
        settled: whether they had stopped to become faster.
    """

    size_hw: tuple[int, int]
    runs: int
    settled: bool


def warm_up(run: Callable[[], float], size_hw: tuple[int, int], runs: int | None = None) -> WarmUp:
    """Runs until it becomes no faster, or as often as is said.

    Args:
        run: gives the milliseconds that it took.
        size_hw: of the frames.
        runs: how many; None for as many as it takes, at most 30 and about 10 s behind the first, which may compile.
    """
    if runs is not None:
        for _ in range(runs):
            run()
        return WarmUp(size_hw, runs, True)
    times = list[float]()
    while len(times) < _MOST_RUNS and sum(times[1:]) < _MOST_MS:
        times.append(run())
        before, latest = times[-2 * _COMPARED:-_COMPARED], times[-_COMPARED:]
        if len(before) == _COMPARED and statistics.median(latest) >= _FASTER * statistics.median(before):
            return WarmUp(size_hw, len(times), True)
    return WarmUp(size_hw, len(times), False)


def percentiles_ms(values_ms: Sequence[float]) -> dict[str, float]:
    """Returns p50, p90, p99 and mean of at least one value."""
    p50, p90, p99 = np.percentile(values_ms, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "mean": float(np.mean(values_ms))}


@dataclass
class Latency:
    """Milliseconds of each frame; runs that only warm up are not in it.

    Attributes:
        stages: by stage, "total" among them: the whole, which is measured by itself and is no sum.
        sizes: (H, W) of each frame.
    """

    stages: dict[str, list[float]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def add(self, latency_ms: dict[str, float], size_hw: tuple[int, int]) -> None:
        """Takes over one prediction's stages."""
        for stage, value in latency_ms.items():
            self.stages.setdefault(stage, []).append(value)
        self.sizes.append(size_hw)

    def __len__(self) -> int:
        return len(self.sizes)

    def summary(self) -> dict[str, Any]:
        """Returns p50, p90, p99 and mean of the total in ms, the same of every stage under "stages"; {} if empty."""
        if not len(self):
            return {}
        stages = {stage: percentiles_ms(values) for stage, values in self.stages.items() if stage != TOTAL}
        return {**percentiles_ms(self.stages[TOTAL]), "stages": stages}

    def steadiness(self, warm_ups: Sequence[WarmUp], other_cores: float | None) -> "Steadiness":
        """Judges whether the figures hold.

        Args:
            warm_ups: before the frames.
            other_cores: that other processes kept busy meanwhile; None where nobody knows.
        """
        totals = np.array(self.stages[TOTAL])
        relative = np.empty_like(totals)  # to the median of the frame's size, so that frames of all sizes can be compared
        for size_hw in set(self.sizes):
            those = [size == size_hw for size in self.sizes]
            relative[those] = totals[those] / np.median(totals[those])
        q25, q75 = np.percentile(relative, [25, 75])
        third = len(relative) // 3
        drift = float(np.median(relative[-third:]) / np.median(relative[:third]) - 1) if third else 0.0
        staged = np.sum([values for stage, values in self.stages.items() if stage != TOTAL], axis=0)
        unaccounted = float(np.median(1 - staged / totals)) if len(self.stages) > 1 else 0.0
        return Steadiness(len(totals), float(q75 - q25), drift, unaccounted, other_cores, int((relative > 2).sum()),
                          all(one.settled for one in warm_ups), sum(one.runs for one in warm_ups))


@dataclass(frozen=True)
class Steadiness:
    """How far latencies can be trusted.

    Attributes:
        frames: how many were timed.
        spread: interquartile range, as a share of the median.
        drift: how much longer the last third of the frames took than the first, as a share.
        unaccounted: share of a frame's time that is in none of its stages.
        other_cores: that other processes kept busy meanwhile; None where nobody knows.
        outliers: frames that took more than twice the median.
        settled: whether the network had stopped to become faster before the first frame was counted.
        warm_up_runs: that were not counted.
    """

    frames: int
    spread: float
    drift: float
    unaccounted: float
    other_cores: float | None
    outliers: int
    settled: bool
    warm_up_runs: int

    @property
    def stable(self) -> bool:
        """Whether there is nothing against it."""
        return not self.doubts()

    def doubts(self) -> list[str]:
        """Returns a clause for each reason not to call the latency stable."""
        found = []
        if self.frames < FEWEST_FRAMES:
            found.append(f"{self.frames} frames are too few to judge by, at least {FEWEST_FRAMES} are needed")
        if self.spread > MOST_SPREAD:
            found.append(f"half of the frames spread over {self.spread:.0%} of the median, and {MOST_SPREAD:.0%} is the limit")
        if abs(self.drift) > MOST_DRIFT:
            found.append(f"the last third of the frames took {abs(self.drift):.0%} {'longer' if self.drift > 0 else 'less'} than "
                         "the first")
        if self.other_cores is not None and self.other_cores > MOST_OTHERS:
            found.append(f"other work kept {self.other_cores:.1f} of the cores busy that this process may use")
        if not self.settled:
            found.append(f"it still became faster after {self.warm_up_runs} runs that warm up")
        if not self.warm_up_runs:
            found.append("nothing warmed up before the first frame")
        if abs(self.unaccounted) > MOST_UNACCOUNTED:
            found.append(f"{self.unaccounted:.1%} of a frame's time is in no stage")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {"stable": self.stable, "doubts": self.doubts(), **vars(self)}
