"""Latencies that can be trusted: when a network is warm, how much its times spread, and the other load on the machine."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TOTAL = "total"
_COMPARED = 3  # runs that are compared with as many earlier ones, to see whether a network still gets faster
_FASTER = 0.95  # it gets faster while the median of the latest runs is below this share of the earlier ones' median
_MOST_RUNS, _MOST_MS = 30, 10_000.0

# Limits for a latency to be called stable; a benchmark on an otherwise idle machine easily keeps them.
MOST_SPREAD = 0.10  # interquartile range divided by the median
MOST_DRIFT = 0.05  # last third of the frames compared with the first
MOST_OTHERS = 0.10  # of a core, used by other processes
MOST_UNACCOUNTED = 0.02  # of a frame's time, outside all stages
FEWEST_FRAMES = 20


@dataclass(frozen=True)
class WarmUp:
    """Warm-up runs before the first frame of a size; they don't count.

    Attributes:
        size_hw: size of the frames.
        runs: number of runs.
        settled: whether they had stopped getting faster.
    """

    size_hw: tuple[int, int]
    runs: int
    settled: bool


def warm_up(run: Callable[[], float], size_hw: tuple[int, int], runs: int | None = None) -> WarmUp:
    """Runs until it gets no faster, or a given number of times.

    Args:
        run: runs once and returns the milliseconds.
        size_hw: size of the frames.
        runs: number of runs; None for as many as needed, at most 30 and about 10 s after the first, which may compile.
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
    """Returns p50, p90, p99 and mean of one or more values."""
    p50, p90, p99 = np.percentile(values_ms, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "mean": float(np.mean(values_ms))}


@dataclass
class Latency:
    """Milliseconds of each frame, without warm-up runs.

    Attributes:
        stages: by stage, including "total", which is measured separately and is not a sum.
        sizes: (H, W) of each frame.
    """

    stages: dict[str, list[float]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def add(self, latency_ms: dict[str, float], size_hw: tuple[int, int]) -> None:
        """Adds one prediction's stages."""
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
        """Judges whether the figures can be trusted.

        Args:
            warm_ups: warm-up runs before the frames.
            other_cores: cores that other processes kept busy during the run; None if unknown.
        """
        totals = np.array(self.stages[TOTAL])
        relative = np.empty_like(totals)  # relative to the median of the frame's size, so that all frames can be compared
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
    """How far the latencies can be trusted.

    Attributes:
        frames: number of timed frames.
        spread: interquartile range, as a share of the median.
        drift: how much longer the last third of the frames took than the first, as a share.
        unaccounted: share of a frame's time that belongs to no stage.
        other_cores: cores that other processes kept busy during the run; None if unknown.
        outliers: frames that took more than twice the median.
        settled: whether the network had stopped getting faster before the first frame was counted.
        warm_up_runs: number of warm-up runs.
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
        """Whether there are no doubts."""
        return not self.doubts()

    def doubts(self) -> list[str]:
        """Returns a clause for each reason why the latency can't be called stable."""
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
