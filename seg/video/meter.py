"""Live figures of a running video: frames per second, and latency percentiles, current and second by second."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from seg.flow import Segmented
from seg.latency import percentiles_ms

GLASS = "glass to glass"
_NOW_S = 10.0  # time span of the current figures
_KEPT_ROWS = 180  # seconds
_ANEW_S = 0.5  # how long figures stay before they are computed again, so that people can read them


class Row(NamedTuple):
    """The figures of one second.

    Attributes:
        second: since the first frame.
        frames_per_second: frames that came in it.
        latency_ms: p50, p90 and p99 of the predictor's total.
        glass_ms: the same from a frame's capture until it was shown; None if it wasn't shown anywhere.
    """

    second: int
    frames_per_second: float
    latency_ms: tuple[float, float, float]
    glass_ms: tuple[float, float, float] | None


class Meter:
    """Measures a running video; may be called from several threads.

    Args:
        clock: returns the time in seconds.

    Attributes:
        rows: the last three minutes, one row for each whole second with at least one frame.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.rows: deque[Row] = deque(maxlen=_KEPT_ROWS)
        self._clock, self._lock = clock, threading.Lock()
        self._frames = deque[tuple[float, dict[str, float]]]()  # arrival time, and latency by stage
        self._shown = deque[tuple[float, float]]()
        self._start_s = 0.0
        self._second = 0
        self._numbers: tuple[float, dict[str, Any]] | None = None

    def add(self, item: Segmented) -> None:
        """Counts a frame that came."""
        now_s = self._clock()
        with self._lock:
            self._start_s = self._start_s or now_s
            self._turn(now_s)
            self._frames.append((now_s, item.latency_ms))

    def shown(self, item: Segmented) -> float:
        """Counts a frame that is shown now; returns the milliseconds since its capture."""
        now_s = self._clock()
        delay_ms = (now_s - item.sample.captured_s) * 1000
        with self._lock:
            self._turn(now_s)
            self._shown.append((now_s, delay_ms))
        return delay_ms

    def numbers(self) -> dict[str, Any]:
        """Returns the figures of the last ten seconds: `frames_per_second`, and `latency_ms` with p50, p90 and p99 by stage."""
        now_s = self._clock()
        with self._lock:
            if self._numbers is None or now_s - self._numbers[0] >= _ANEW_S:
                self._numbers = now_s, self._compute(now_s)
            return self._numbers[1]

    def _compute(self, now_s: float) -> dict[str, Any]:
        for queue in (self._frames, self._shown):
            while queue and queue[0][0] < now_s - _NOW_S:
                queue.popleft()
        latency_ms = {}
        if self._shown:
            latency_ms[GLASS] = _percentiles([delay for _, delay in self._shown])
        if self._frames:
            for stage in self._frames[-1][1]:
                latency_ms[stage] = _percentiles([stages[stage] for _, stages in self._frames if stage in stages])
        passed_s = min(_NOW_S, now_s - self._start_s)
        return {"frames_per_second": len(self._frames) / passed_s if passed_s > 0 else 0.0, "latency_ms": latency_ms}

    def _turn(self, now_s: float) -> None:
        """Adds a row for the second that has passed."""
        second = int(now_s - self._start_s)
        if second == self._second:
            return
        begin_s = self._start_s + self._second
        totals = [stages["total"] for at_s, stages in self._frames if begin_s <= at_s < begin_s + 1]
        glass = [delay for at_s, delay in self._shown if begin_s <= at_s < begin_s + 1]
        if totals:
            self.rows.append(Row(self._second, float(len(totals)), _percentiles(totals), _percentiles(glass) if glass else None))
        self._second = second


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    found = percentiles_ms(values)
    return found["p50"], found["p90"], found["p99"]
