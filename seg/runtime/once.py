"""Work that an engine does once, and how long it took."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from seg.machine import available_memory_bytes

SIZES_KEPT = 16  # frame sizes that an engine keeps, as long as there is enough memory
_LEAST_PIXELS_KEPT = 8 * 2**20  # of all kept sizes together
_BYTES_PER_PIXEL = 100
_Made = TypeVar("_Made")


@contextmanager
def timed(costs_ms: dict[str, float], part: str) -> Iterator[None]:
    """Adds the time of the block to `costs_ms[part]`."""
    start = time.perf_counter()
    yield
    costs_ms[part] = costs_ms.get(part, 0.0) + (time.perf_counter() - start) * 1000


class BySize(Generic[_Made]):
    """Makes something once for each frame size. Only the last sizes are kept, because each holds the memory of its activations.

    The scales or windows of a frame come again and again, so as many sizes are kept as fit into a quarter of the free memory.

    Args:
        make: makes it for (H, W).
        costs_ms: the time is added to its entry "compile".
    """

    def __init__(self, make: Callable[[tuple[int, int]], _Made], costs_ms: dict[str, float]) -> None:
        self._make, self._costs_ms = make, costs_ms
        self._most_pixels = max(_LEAST_PIXELS_KEPT, (available_memory_bytes() or 0) // 4 // _BYTES_PER_PIXEL)
        self._made: OrderedDict[tuple[int, int], _Made] = OrderedDict()

    def __call__(self, size_hw: tuple[int, int]) -> _Made:
        if size_hw in self._made:
            self._made.move_to_end(size_hw)
        else:
            with timed(self._costs_ms, "compile"):
                self._made[size_hw] = self._make(size_hw)
            while len(self._made) > 1 and (len(self._made) > SIZES_KEPT or self._pixels() > self._most_pixels):
                self._made.popitem(last=False)
        return self._made[size_hw]

    def _pixels(self) -> int:
        return sum(height * width for height, width in self._made)

    def __len__(self) -> int:
        return len(self._made)
