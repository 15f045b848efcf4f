"""What an engine is, and the errors that all of them share. Engines import this, and nothing that knows of other engines."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from seg.errors import SegError

Frame = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs one network on frames of any size. Not for several threads at once: `Predictor` sees to that.

    What it takes when it is made stands at `seg.runtime.engines.make.make`.

    Attributes:
        name: its name in `seg.runtime.engines.table`.
        precision: of the arithmetic, as read back from the engine where it can say: "fp32", "bf16", "int8".
        threads: how many it uses, as read back where the engine can say.
        fixed_size_hw: (H, W) of the only frames that the network was exported for; None for any.
        first_call_ms: what was done once, such as "import", "read" and "compile".
    """

    @property
    def name(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def fixed_size_hw(self) -> tuple[int, int] | None: ...
    @property
    def first_call_ms(self) -> dict[str, float]: ...

    def logits(self, frame_bgr: Frame) -> Scores:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)), which the next call overwrites.

        The network decides on s: 8 with LR-ASPP, the output stride with R-ASPP.
        """
        ...


class Cell(NamedTuple):
    """An engine in one of its precisions."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class MissingEngine(SegError):
    """The engine's package is not installed."""


class UnavailablePrecision(SegError):
    """The engine, the processor or the weights don't have it."""


def check_precision(engine: str, asked: str | None, found: str) -> None:
    """Refuses a network that is computed in another precision than was asked for.

    Raises:
        UnavailablePrecision: it is. None asks for nothing.
    """
    if asked not in (None, found):
        raise UnavailablePrecision(f"{engine} was asked for {asked} and computes this network in {found} on this processor. Ask "
                                   f"for {found}, or take another engine.")
