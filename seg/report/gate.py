"""Limits for the figures of a report: if a release misses one, the exit code says so."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seg.document import Table
from seg.document.model import Column, number
from seg.errors import SegError, did_you_mean
from seg.report.stored import StoredReport, figures

# Short names of the most used figures.
SHORT = {"p50_ms": "latency_ms.p50", "p90_ms": "latency_ms.p90", "p99_ms": "latency_ms.p99", "mean_ms": "latency_ms.mean",
         "fps": "frames_per_second", "ece": "calibration.expected_error", "boundary_f_score": "boundaries.f_score"}
GUARDED = ("miou", "p50_ms", "p90_ms")  # figures for which a limit without a key is meant
_LESS_IS_BETTER = ("_ms", "_mib", "ece", "expected_error", "parameters", "multiply_adds", "spread", "drift", "other_cores",
                   "unaccounted", "outliers", "dropped", "memory_gib")


@dataclass(frozen=True)
class Limit:
    """A limit for a figure.

    Attributes:
        key: as the user wrote it.
        value: the limit.
        at_least: whether it is the smallest allowed value; otherwise it is the largest.
        why: where the limit comes from, such as "60.3 % of OLD.json, 1 % worse at most"; empty if the user gave it.
    """

    key: str
    value: float
    at_least: bool
    why: str = ""


@dataclass(frozen=True)
class Check:
    """A limit and the report's value; None if the report has no such value."""

    report: str
    limit: Limit
    found: float | None

    @property
    def kept(self) -> bool:
        """Whether the report meets the limit; without a value it doesn't."""
        if self.found is None:
            return False
        return self.found >= self.limit.value if self.limit.at_least else self.found <= self.limit.value

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {"report": self.report, **asdict(self.limit), "found": self.found, "kept": self.kept}


def parse_limits(texts: Sequence[str], at_least: bool) -> list[Limit]:
    """Reads "miou=0.60" and "p90_ms=40".

    Raises:
        SegError: one of them has another form.
    """
    limits = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise SegError(f"A limit is KEY=VALUE, such as miou=0.60; got {text!r}.")
        limits.append(Limit(key.strip(), _number(value, text), at_least))
    return limits


def parse_tolerances(texts: Sequence[str]) -> dict[str, float]:
    """Reads "1%" for all of `GUARDED`, and "p50_ms=5%" for one key; if a key is given twice, the last one counts.

    Raises:
        SegError: one of them has another form.
    """
    shares: dict[str, float] = {}
    for text in texts:
        key, equals, value = text.partition("=") if "=" in text else ("", "", text)
        if not value.strip().endswith("%") or (equals and not key):
            raise SegError(f"--fail-if-worse takes a share such as 1%, or KEY=1%; got {text!r}.")
        share = _number(value.strip()[:-1], text) / 100
        if share < 0:
            raise SegError(f"--fail-if-worse takes a share of at least 0%; got {text!r}.")
        shares |= {key.strip(): share} if key else dict.fromkeys(GUARDED, share)
    return shares


def worse_limits(baseline: StoredReport, shares: Mapping[str, float]) -> list[Limit]:
    """Returns limits that allow each figure to be worse than in an earlier report by a share.

    Raises:
        SegError: the earlier report has no such figure.
    """
    limits = []
    for key, share in shares.items():
        before = value_of(baseline.data, key)
        if before is None:
            if key in GUARDED and len(shares) > 1:  # for example mIoU of reports without labels
                continue
            raise SegError(f"The baseline has no value for {key}, so nothing can be compared with it.")
        at_least = not less_is_better(key)
        limits.append(Limit(key, before * (1 - share if at_least else 1 + share), at_least,
                            f"{before:.6g} before, at most {share:.3g} of it worse"))
    return limits


def less_is_better(key: str) -> bool:
    """Returns whether a smaller value of a figure is better."""
    return any(part.endswith(_LESS_IS_BETTER) for part in SHORT.get(key, key).split("."))


def value_of(data: Mapping[str, Any], key: str) -> float | None:
    """Returns a figure of a report by its key; None if the report has no value, for example mIoU without labels.

    Raises:
        SegError: there is no such key; the message lists similar ones.
    """
    path = SHORT.get(key, key)
    there = dict(figures(data))
    if path in there:
        return there[path]
    value: Any = data
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            if value is None:  # the part with the figure is missing in this report
                return None
            raise SegError(f"A report has no figure {key!r}. {did_you_mean(key, [*SHORT, *there])}")
        value = value[part]
    if value is None:
        return None
    raise SegError(f"{key!r} of a report is no number. {did_you_mean(key, [*SHORT, *there])}")


def check(reports: Sequence[StoredReport], limits: Sequence[Limit]) -> list[Check]:
    """Checks every report against every limit.

    Raises:
        SegError: a key is unknown.
    """
    return [Check(report.name, limit, value_of(report.data, limit.key)) for report in reports for limit in limits]


def table(checks: Sequence[Check]) -> Table:
    """Returns the limits and the found values."""
    rows = [(one.report, one.limit.key, f"{'at least' if one.limit.at_least else 'at most'} {one.limit.value:.6g}"
             + (f" ({one.limit.why})" if one.limit.why else ""), one.found, "kept" if one.kept else "MISSED") for one in checks]
    return Table([Column("report"), Column("figure"), Column("asked"), number("found", lambda value: f"{value:.6g}"), Column("")],
                 rows)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise SegError(f"{text!r} in {whole!r} is no number.") from None
    if not math.isfinite(value):
        raise SegError(f"{text!r} in {whole!r} is no finite number.")
    return value
