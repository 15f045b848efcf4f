"""The compiled loops that frames need with every engine: loaded once per process, in the background."""

import time
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from threading import Lock

from seg.runtime.workers import pool

_lock = Lock()


class Loop:
    """A loop that the function `load` of a module compiles; imported late, because Numba takes longer than the rest of start-up.

    Args:
        module: full name of the module.

    Attributes:
        module: see the argument.
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def __call__(self) -> Callable[..., None]:
        """Returns the loop; waits until it is loaded, or compiled."""
        with _lock:  # if several threads come at once, one compiles
            return self._loaded[0]

    @property
    def load_ms(self) -> float:
        """Returns how long that took in this process."""
        with _lock:
            return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Callable[..., None], float]:
        start = time.perf_counter()
        return import_module(self.module).load(), (time.perf_counter() - start) * 1000


SHRINKING, UPSAMPLING = Loop("seg.runtime.shrink"), Loop("seg.runtime.upsample_loop")
LOOPS = SHRINKING, UPSAMPLING  # in the order that a frame needs them


def prepare() -> None:
    """Starts to load them in the background, so that the first frame waits less."""
    pool().submit(lambda: [loop() for loop in LOOPS])


def load_ms() -> float:
    """Returns how long this process took to load or compile all of them; waits until that is done."""
    return sum(loop.load_ms for loop in LOOPS)
