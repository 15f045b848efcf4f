"""The interface of engines, and the errors that they share. Engines import this module, and none that knows other engines."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from seg.errors import SegError

Frame = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs one network on frames of any size. It is not for several threads at once; `Predictor` takes care of that.

    `seg.runtime.engines.make.make` describes its constructor.

    Attributes:
        name: its name in `seg.runtime.engines.table`.
        precision: of the arithmetic, read back from the engine if it can say: "fp32", "bf16", "int8".
        threads: number of threads that it uses, read back if the engine can say.
        fixed_size_hw: (H, W) of the only frames that the network was exported for; None for any size.
        first_call_ms: times of work that is done once, such as "import", "read" and "compile".
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

        The network determines s: 8 with LR-ASPP, the output stride with R-ASPP.
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
    """The engine, the processor or the weights don't support the precision."""


def check_precision(engine: str, asked: str | None, found: str) -> None:
    """Refuses a network that is computed in another precision than the one asked for.

    Raises:
        UnavailablePrecision: the precisions differ. None accepts any.
    """
    if asked not in (None, found):
        raise UnavailablePrecision(f"{engine} was asked for {asked} and computes this network in {found} on this processor. Ask "
                                   f"for {found}, or choose another engine.")
