"""The record of a run: its command, the time spent over all its parts, versions, and the curve of its scores.

It is stored in every checkpoint, as plain types, and finally in the weights' metadata.
"""

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from seg import machine
from seg.metrics import Scores

_REPORTED = ("lraspp", "torch", "pytorch-lightning", "segmentation-models-pytorch", "albumentations", "numpy")


@dataclass
class RunRecord:
    """The record of one run.

    Attributes:
        command: command line of the latest part.
        seconds: time spent on training and validation before this part.
        curve: one entry per validation: step, epoch and scores.
    """

    command: str = ""
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Starts the clock of this part."""
        self._started = time.monotonic()

    def add(self, step: int, epoch: int, scores: Scores) -> None:
        """Records a validation."""
        present = None if math.isnan(scores.present_miou) else scores.present_miou
        self.curve.append({"step": step, "epoch": epoch, "present_miou": present, **scores.to_dict()})

    def state_dict(self) -> dict[str, Any]:
        """Returns plain types, for a checkpoint."""
        return {"command": self.command, "curve": list(self.curve), "versions": machine.versions_of(_REPORTED),
                "machine": str(machine.describe()),
                "seconds": self.seconds + time.monotonic() - self._started,
                "date": datetime.now(UTC).isoformat(timespec="seconds")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a checkpoint; the command remains that of this part."""
        self.seconds = state["seconds"]
        self.curve = list(state["curve"])
