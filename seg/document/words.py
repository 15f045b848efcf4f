"""Numbers as words, in the same way in all documents."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

NOTHING = "–"  # shown if there is no value


def missing(value: Any) -> bool:
    """Returns whether there is no value: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """Returns 0.613 as "61.3", and a dash for no value."""
    return NOTHING if missing(value) else f"{100 * value:.1f}"  # type: ignore[operator]


def points(value: float) -> str:
    """Returns a difference of two shares in percentage points: 0.013 as "+1.3"."""
    return f"{100 * value:+.1f}"


def milliseconds(value: float) -> str:
    """Returns a time with two decimal places."""
    return f"{value:.2f}"


def count(number: int, what: str) -> str:
    """Returns for example "1 frame" or "2 frames"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def size(size_hw: Sequence[int]) -> str:
    """Returns (360, 480) as "360x480"."""
    return f"{size_hw[0]}x{size_hw[1]}"


def listed(words: Iterable[str]) -> str:
    """Returns "a", "a and b", "a, b and c"."""
    items = list(words)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
