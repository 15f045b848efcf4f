"""Which engine and precision "auto" chooses from the results of the trials; and why, in words and as data.

It chooses the fastest one that is right. Right means that at most 1% of the labels differ from those of float32 on the tried
frames, in any precision: beyond that, a user would notice the errors more than the saved time. If the difference in speed is
too small for a short trial to measure, the engines count as equally fast, and the one that changes the fewest labels is chosen.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seg.runtime.protocol import Cell

MOST_CHANGED = 0.01  # share of the reference's labels; an engine that changes more is never chosen
TELLABLE = 1.05  # ratio of times; a short trial can't measure a smaller difference


@dataclass(frozen=True)
class Trial:
    """The result of a cell.

    Attributes:
        engine, precision: the cell.
        latency_ms: median of the network alone, on the tried frames.
        changed: share of the labels that differ from the reference's.
    """

    engine: str
    precision: str
    latency_ms: float
    changed: float

    @property
    def cell(self) -> Cell:
        """The cell that was tried."""
        return Cell(self.engine, self.precision)

    def __str__(self) -> str:
        changed = f", {self.changed:.2%} of the labels changed" if self.changed else ""
        return f"{self.cell} ({self.latency_ms:.1f} ms{changed})"


@dataclass(frozen=True)
class Choice:
    """What was chosen and why; `sentences` puts it into words.

    Attributes:
        engine, precision: the chosen cell.
        frame_hw: (H, W) of the first frame, as the network sees it.
        size_hw: (H, W) of the tried image: the whole frames, or their middle.
        frames: number of tried frames.
        trials: results of all cells that ran, the reference first.
        left_out: a sentence for each cell that didn't run, or was faster but not chosen.
        pending: cells to be tried at a later start, because their loops were not compiled yet.
        earlier: whether the choice comes from the cache.
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
        """The chosen cell."""
        return Cell(self.engine, self.precision)

    def sentences(self) -> list[str]:
        """Says what was chosen, over which others if more than one ran, and why."""
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
        """Returns the form that the cache keeps."""
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Choice":
        """Rebuilds a choice from `to_json`, marked as an earlier one.

        Raises:
            ValueError, TypeError, KeyError, StopIteration: the text is not such a choice.
        """
        values = json.loads(text)
        (frame_height, frame_width), (height, width) = values["frame_hw"], values["size_hw"]
        values |= {"trials": tuple(Trial(**trial) for trial in values["trials"]), "frame_hw": (frame_height, frame_width),
                   "size_hw": (height, width), "left_out": tuple(map(str, values["left_out"])),
                   "pending": tuple(Cell(*cell) for cell in values["pending"]), "earlier": True}
        choice = cls(**values)
        choice._chosen()  # fails if a part is missing
        return choice


def choose(trials: Sequence[Trial]) -> tuple[Trial, list[str]]:
    """Chooses the fastest of those that keep the labels; among equally fast ones, the one that changes the fewest labels.

    Args:
        trials: the reference first, then in order of preference.

    Returns:
        The chosen one, and a sentence for each faster one that was not chosen.
    """
    right = [trial for trial in trials if trial.changed <= MOST_CHANGED]
    fastest_ms = min(trial.latency_ms for trial in right)
    chosen = min((trial for trial in right if trial.latency_ms <= TELLABLE * fastest_ms), key=lambda trial: trial.changed)
    return chosen, [f"{trial.cell} is faster, but changes more than {MOST_CHANGED:.0%} of the labels." for trial in trials
                    if trial not in right and trial.latency_ms < chosen.latency_ms]
