"""Compares several contestants on a machine that may be busy: a warm-up, then rounds in which all of them run in turn.

A contestant is never compared with one that ran much earlier: a round runs each once, in a new random order, and ratios are
taken within a round. What slows the machine for some seconds slows both sides of a ratio.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from seg.errors import SegError

WARM_UP_RUNS = 2  # the first run compiles, the second fills caches
TOTAL = "total"

Contestant = Callable[[], Mapping[str, float] | None]
"""One run, from the input in memory to the result in memory. It may return milliseconds by stage; the total is timed outside."""


@dataclass(frozen=True)
class Spread:
    """A summary of repeated measurements: the `median`, the quartiles `q25` and `q75`, and percentiles."""

    median: float
    q25: float
    q75: float
    p90: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Any) -> "Spread":
        """Summarises one or more values.

        Raises:
            SegError: there is no value.
        """
        if not len(values):
            raise SegError("There is nothing to summarise: no round was finished.")
        median, q25, q75, p90, p99 = np.percentile(values, [50, 25, 75, 90, 99])
        return cls(float(median), float(q25), float(q75), float(p90), float(p99), len(values))

    @property
    def iqr(self) -> float:
        """The interquartile range: half of all measurements lie within it."""
        return self.q75 - self.q25

    def to_dict(self) -> dict[str, float]:
        """Returns plain types, for JSON."""
        return asdict(self)


@dataclass
class Measurement:
    """The results of `measure`.

    Attributes:
        latency_ms: by contestant, then by stage, one value for each round; one of the stages is always "total".
    """

    latency_ms: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, name: str, total_ms: float, stages_ms: Mapping[str, float] | None) -> None:
        """Adds one run; its total was measured outside."""
        stages = self.latency_ms.setdefault(name, {})
        for stage, value in {**(stages_ms or {}), TOTAL: total_ms}.items():
            stages.setdefault(stage, []).append(value)

    def spread(self, name: str, stage: str = TOTAL) -> Spread:
        """Returns the spread of a contestant's stage, in ms."""
        return Spread.of(self.latency_ms[name][stage])

    def ratio(self, name: str, to: str, stage: str = TOTAL) -> Spread:
        """Returns how many times as long `name` takes as `to`, from the ratios within the rounds."""
        pairs = zip(self.latency_ms[name][stage], self.latency_ms[to][stage], strict=True)
        return Spread.of([mine / other for mine, other in pairs])

    def to_dict(self) -> dict[str, Any]:
        """Returns every value, and the spread of each stage, for JSON."""
        return {name: {stage: {**Spread.of(values).to_dict(), "values": [round(value, 4) for value in values]}
                       for stage, values in stages.items()} for name, stages in self.latency_ms.items()}


def measure(contestants: Mapping[str, Contestant], rounds: int, *, warm_up_runs: int = WARM_UP_RUNS, seed: int = 0,
            clock: Callable[[], float] = time.perf_counter, on_run: Callable[[str], None] = lambda name: None,
            settle_s: float = 0.0) -> Measurement:
    """Runs every contestant `rounds` times, interleaved, after warm-up runs that don't count.

    Args:
        contestants: by name.
        rounds: how often each is timed.
        warm_up_runs: warm-up runs of each contestant, before the first round.
        seed: seed of the order within the rounds.
        clock: returns seconds.
        on_run: called with the contestant's name after each run, including warm-up runs; this is not timed.
        settle_s: a contestant that takes less than this first runs untimed for this long. By then the threads of the one before
            it, which may spin while they wait for work, sleep.

    Raises:
        SegError: there is no contestant, or the number of rounds is below 1.
    """
    if not contestants:
        raise SegError("There is nothing to measure.")
    if rounds < 1:
        raise SegError(f"{rounds} rounds were asked for; at least 1 is needed.")
    latest_s = dict.fromkeys(contestants, 0.0)
    for name, contestant in contestants.items():
        for _ in range(warm_up_runs):
            start = clock()
            contestant()
            latest_s[name] = clock() - start
            on_run(name)
    measurement = Measurement({name: {} for name in contestants})
    for name in _turns(list(contestants), rounds, seed):
        begin = clock()
        while latest_s[name] < settle_s and clock() - begin < settle_s:
            contestants[name]()
        start = clock()
        stages_ms = contestants[name]()
        latest_s[name] = clock() - start
        measurement.add(name, latest_s[name] * 1000, stages_ms)
        on_run(name)
    return measurement


def _turns(names: list[str], rounds: int, seed: int) -> Iterator[str]:
    """Yields all names once per round, shuffled, so that no contestant always follows the same one."""
    shuffle = random.Random(seed).shuffle
    for _ in range(rounds):
        shuffle(names)
        yield from names
