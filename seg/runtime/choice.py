"""Which engine and precision "auto" takes, from how each did; and why, in words and as data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from seg.runtime.protocol import Cell

MOST_CHANGED = 0.01  # of the reference's labels; what changes more is never taken
INT8_GAIN = 1.2  # int8 changes most, so that it must be this many times as fast as the best in floating point
_TELLABLE = 1.05  # times; a short trial can't tell less, and the first one then stays


@dataclass(frozen=True)
class Trial:
    """How a cell did.

    Attributes:
        engine, precision: the cell.
        latency_ms: median of the network alone.
        changed: share of the labels that differ from the reference's.
    """

    engine: str
    precision: str
    latency_ms: float
    changed: float

    @property
    def cell(self) -> Cell:
        """What was tried."""
        return Cell(self.engine, self.precision)

    def __str__(self) -> str:
        changed = f", {self.changed:.2%} of the labels changed" if self.changed else ""
        return f"{self.cell} ({self.latency_ms:.1f} ms{changed})"


@dataclass(frozen=True)
class Choice:
    """What was chosen and why; `str` makes sentences of it.

    Attributes:
        engine, precision: the cell that was chosen.
        size_hw: (H, W) of the first frame that it was tried on, as the network saw it.
        frames: on how many.
        trials: of all cells that ran, the reference first.
        left_out: sentences about those that didn't run, or were not taken although they were faster.
        earlier: whether it is one that the cache kept.
    """

    engine: str
    precision: str
    size_hw: tuple[int, int]
    frames: int
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...]
    earlier: bool = False

    @property
    def cell(self) -> Cell:
        """What was chosen."""
        return Cell(self.engine, self.precision)

    def __str__(self) -> str:
        chosen = next(trial for trial in self.trials if trial.cell == self.cell)
        others = ", ".join(str(trial) for trial in self.trials if trial is not chosen)
        tried = (f"tried {'earlier ' if self.earlier else ''}on {self.frames} frame{'' if self.frames == 1 else 's'}, "
                 f"{self.size_hw[0]}x{self.size_hw[1]}")
        return " ".join([f"auto chose {chosen}{f' over {others}' if others else ''}; {tried}.", *self.left_out])

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {**asdict(self), "size_hw": list(self.size_hw)}

    def to_json(self) -> bytes:
        """Returns what the cache keeps."""
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Choice":
        """Rebuilds what `to_json` gave, as an earlier choice.

        Raises:
            ValueError, TypeError, KeyError, StopIteration: it isn't that.
        """
        values = json.loads(text)
        trials = tuple(Trial(**trial) for trial in values.pop("trials"))
        choice = replace(cls(**values, trials=trials), size_hw=tuple(values["size_hw"]), left_out=tuple(values["left_out"]),
                         earlier=True)
        str(choice)  # which needs all of it
        return choice


def choose(trials: Sequence[Trial]) -> tuple[Trial, list[str]]:
    """Chooses the fastest of those that leave the labels as they are, int8 only for a gain that is worth it.

    Args:
        trials: the reference first.

    Returns:
        The chosen, and sentences on those that were not although they were faster.
    """
    agreeing = [trial for trial in trials if trial.changed <= MOST_CHANGED]
    in_float = [trial for trial in agreeing if trial.precision != "int8"]
    first, fastest = (in_float or agreeing)[0], min(in_float or agreeing, key=_latency)
    chosen = fastest if first.latency_ms > _TELLABLE * fastest.latency_ms else first
    reasons = []
    in_int8 = min((trial for trial in agreeing if trial.precision == "int8"), key=_latency, default=chosen)
    if in_int8.precision != chosen.precision:
        gain = chosen.latency_ms / in_int8.latency_ms
        if gain >= INT8_GAIN:
            chosen = in_int8
        else:
            reasons.append(f"{in_int8.cell} is {gain:.2f} times as fast as {chosen.cell}; below {INT8_GAIN:g} it isn't taken.")
    reasons += [f"{trial.cell} is faster, but changes more than {MOST_CHANGED:.0%} of the labels." for trial in trials
                if trial not in agreeing and trial.latency_ms < chosen.latency_ms]
    return chosen, reasons


def _latency(trial: Trial) -> float:
    return trial.latency_ms
