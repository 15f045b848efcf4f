"""The measurements of a soak test, their check, and the document about them."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seg.document import Block, Chart, Document, Origin, Table, Text, Verdict
from seg.document.charts import DASHES, SERIES
from seg.document.words import listed

MOST_GROWTH, MOST_SLOWER = 0.02, 0.20
SETTLED, COMPARED = 0.1, 1 / 6  # shares of the time: before the memory is first checked, and at each end for the latency
_LATEST = 10  # observations at the end: while a file is closed and opened again, there are fewer threads and files for a moment
_SLICES = 120  # of the time, in the chart and in JSON


class Look(NamedTuple):
    """The state at one moment: seconds since the start, resident memory [MiB], open files, threads."""

    seconds: float
    memory_mib: float
    files: int
    threads: int


class Check(NamedTuple):
    """A requirement for a value.

    Attributes:
        what: name of the value.
        wanted: the requirement in words.
        before, after: values at the two ends that are compared.
        found: the result in words.
        kept: whether the requirement is met.
    """

    what: str
    wanted: str
    before: float
    after: float
    found: str
    kept: bool


@dataclass
class Course:
    """The course of a soak test.

    Attributes:
        seconds: time since the start, of each frame.
        latency_ms: of each frame. Both are arrays, because lists of so many numbers would themselves be memory that grows.
        looks: about one observation per second, the last one at the end.
    """

    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    looks: list[Look] = field(default_factory=list)

    def checks(self) -> list[Check]:
        """Returns the checks of everything that must stay level."""
        share = np.array(self.seconds) / self.seconds[-1]
        times = np.array(self.latency_ms)
        first, last = (float(np.percentile(times[part], 99)) for part in (share <= COMPARED, share >= 1 - COMPARED))
        after = [look for look in self.looks if look.seconds >= SETTLED * self.looks[-1].seconds]
        early = [*(look for look in self.looks if look.seconds < SETTLED * self.looks[-1].seconds), *after[:_LATEST]]
        before_mib, after_mib = after[0].memory_mib, after[-1].memory_mib
        minutes = f"{self.seconds[-1] / 60 * COMPARED:.3g} min"
        found = [Check("resident memory, growth after the first tenth of the time", f"less than {MOST_GROWTH:.0%}", before_mib,
                       after_mib, f"{after_mib / before_mib - 1:+.1%}, {before_mib:.0f} to {after_mib:.0f} MiB",
                       after_mib < before_mib * (1 + MOST_GROWTH))]
        for what, counts in (("open files", [(look.files for look in part) for part in (early, self.looks[-_LATEST:])]),
                             ("threads", [(look.threads for look in part) for part in (early, self.looks[-_LATEST:])])):
            begin, end = map(max, counts)
            found.append(Check(what, "not more", begin, end, f"{begin} to {end}", end <= begin))
        found.append(Check(f"99th percentile, of the last {minutes} against the first", f"{MOST_SLOWER:.0%} more at most", first,
                           last, f"{last / first - 1:+.0%}, {first:.1f} to {last:.1f} ms", last <= first * (1 + MOST_SLOWER)))
        return found

    def over_time(self) -> list[dict[str, float]]:
        """Returns equal parts of the time: their end [s], frames, median and 99th percentile [ms], and their last observation."""
        edges = np.linspace(0, self.seconds[-1], min(_SLICES, len(self.looks)) + 1)
        bounds = np.searchsorted(np.array(self.seconds), edges, side="right")
        rows = []
        for end_s, begin, end in zip(edges[1:], [0, *bounds[1:-1]], bounds[1:], strict=True):
            times, looks = self.latency_ms[begin:end], [look for look in self.looks if look.seconds <= end_s]
            if times and looks:
                rows.append({"until_s": float(end_s), "frames": len(times), "p50_ms": float(np.percentile(times, 50)),
                             "p99_ms": float(np.percentile(times, 99)), "memory_mib": looks[-1].memory_mib,
                             "files": looks[-1].files, "threads": looks[-1].threads})
        return rows


def document_of(course: Course, what: str, facts: Mapping[str, Any], origin: Origin) -> Document:
    """Makes the result.

    Args:
        course: the measurements.
        what: description of what ran, in words.
        facts: the same as data, for JSON.
        origin: where it was measured.
    """
    checks, rows = course.checks(), course.over_time()
    frames, minutes = len(course.seconds), course.seconds[-1] / 60
    missed = [f"{check.what.split(',')[0]} ({check.found})" for check in checks if not check.kept]
    verdict = f"It does not stay level: {listed(missed)}." if missed else "It stays as fast, and nothing grows."
    blocks: list[Block] = [
        Verdict(f"{frames:,} frames in {minutes:.1f} minutes. {verdict}"), Text(*origin.sentence()),
        Text(f"A video in a loop, opened again each time: decoded, labelled and drawn over. {what}; "
             f"{frames / minutes / 60:.1f} frames per second in all."),
        Table.of(("what", "wanted", "found", ""), [(check.what, check.wanted, check.found, "yes" if check.kept else "no")
                                                   for check in checks]),
        Chart("Latency, memory, threads and open files over time", f"{checks[-1].what}: {checks[-1].found}. "
              f"Resident memory: {checks[0].found}.", partial(_draw, rows=rows), (6, 6))]
    data = {"kind": "soak", **facts, "frames": frames, "minutes": minutes, "frames_per_second": frames / minutes / 60,
            "checks": [check._asdict() for check in checks], "over_time": rows}
    return Document("Soak", blocks, origin, data)


def _draw(figure: Any, rows: list[dict[str, float]]) -> None:
    """Draws three charts, one above the other, over the same time."""
    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([row[name] for row in rows])

    minutes = column("until_s") / 60
    latency, memory, counts = figure.subplots(3, sharex=True, height_ratios=(2, 1.3, 1.3))
    for axis, lines in ((latency, (("p50_ms", "median"), ("p99_ms", "99th percentile"))), (memory, (("memory_mib", ""),)),
                        (counts, (("threads", "threads"), ("files", "open files")))):
        for i, (name, label) in enumerate(lines):
            axis.plot(minutes, column(name), color=SERIES[i], ls=DASHES[i], lw=1.3, label=label)
        axis.set_ylim(0, 1.15 * max(column(name).max() for name, _ in lines))
        axis.margins(x=0)
        if len(lines) > 1:
            axis.legend(fontsize=9.5, ncols=2, loc="lower left")
    latency.set_ylabel("frame [ms]")
    memory.set_ylabel("memory [MiB]")
    counts.set_xlabel("minutes")
