"""Which engine and precision "auto" takes, from how each did; and why, in words and as data.

It takes the fastest that is right. Right is what changes at most 1% of the labels of float32 on the frames that it was tried on,
whatever the precision: of the others, a user would see more of the error than of the time. What is faster by less than a short
trial can tell isn't faster, and of those the one that changes the fewest labels is taken.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seg.runtime.protocol import Cell

MOST_CHANGED = 0.01  # of the reference's labels; what changes more is never taken
TELLABLE = 1.05  # times; a short trial can't tell less


@dataclass(frozen=True)
class Trial:
    """How a cell did.

    Attributes:
        engine, precision: the cell.
        latency_ms: median of the network alone, on what was tried.
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
    """What was chosen and why; `sentences` says it.

    Attributes:
        engine, precision: the cell that was chosen.
        frame_hw: (H, W) of the first frame, as the network sees it.
        size_hw: (H, W) of what was tried: the frames, or their middle.
        frames: on how many.
        trials: of all cells that ran, the reference first.
        left_out: sentences about those that didn't run, or were not taken although they were faster.
        pending: cells that are to be tried at a later start, since their loops were not compiled yet.
        earlier: whether it is one that the cache kept.
    """

    engine: str
    precision: str
    frame_hw: tuple[int, int]
    size_hw: tuple[int, int]
    frames: int
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    pending: tuple[Cell, ...] = ()
    earlier: bool = False

    @property
    def cell(self) -> Cell:
        """What was chosen."""
        return Cell(self.engine, self.precision)

    def sentences(self) -> list[str]:
        """Says what was chosen over what, where more than one ran, and why."""
        return [*([self._chosen()] if len(self.trials) > 1 else []), *self.left_out]

    def _chosen(self) -> str:
        chosen = next(trial for trial in self.trials if trial.cell == self.cell)
        others = ", ".join(str(trial) for trial in self.trials if trial is not chosen)
        size = f"{self.size_hw[0]}x{self.size_hw[1]}"
        if self.size_hw != self.frame_hw:
            size = f"the middle {size} of {self.frame_hw[0]}x{self.frame_hw[1]}"
        return (f"auto chose {chosen} over {others}; tried {'earlier ' if self.earlier else ''}on {self.frames} "
                f"frame{'' if self.frames == 1 else 's'}, {size}.")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        return {**asdict(self), "frame_hw": list(self.frame_hw), "size_hw": list(self.size_hw),
                "pending": [list(cell) for cell in self.pending]}

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
        (frame_height, frame_width), (height, width) = values["frame_hw"], values["size_hw"]
        values |= {"trials": tuple(Trial(**trial) for trial in values["trials"]), "frame_hw": (frame_height, frame_width),
                   "size_hw": (height, width), "left_out": tuple(map(str, values["left_out"])),
                   "pending": tuple(Cell(*cell) for cell in values["pending"]), "earlier": True}
        choice = cls(**values)
        choice._chosen()  # which needs all of it
        return choice


def choose(trials: Sequence[Trial]) -> tuple[Trial, list[str]]:
    """Chooses the fastest of those that leave the labels as they are; of those as fast, the one that changes the fewest.

    Args:
        trials: the reference first, and then those that are preferred first.

    Returns:
        The chosen, and sentences on those that were not although they were faster.
    """
    right = [trial for trial in trials if trial.changed <= MOST_CHANGED]
    fastest_ms = min(trial.latency_ms for trial in right)
    chosen = min((trial for trial in right if trial.latency_ms <= TELLABLE * fastest_ms), key=lambda trial: trial.changed)
    return chosen, [f"{trial.cell} is faster, but changes more than {MOST_CHANGED:.0%} of the labels." for trial in trials
                    if trial not in right and trial.latency_ms < chosen.latency_ms]
