"""How much memory a frame takes, so that a frame that is too large is refused before the work starts."""

from seg.errors import SegError
from seg.machine import available_memory_bytes
from seg.runtime.engines.table import ENGINES


def check_memory(size_hw: tuple[int, int], engine: str) -> None:
    """Refuses a size for which the machine's memory is too small.

    Raises:
        SegError: the memory is too small.
    """
    needed = size_hw[0] * size_hw[1] * ENGINES[engine].bytes_per_pixel
    available = available_memory_bytes()
    if available is not None and needed > available:
        raise SegError(f"At {size_hw[0]}x{size_hw[1]} the network needs about {needed / 2**30:.1f} GiB and "
                       f"{available / 2**30:.1f} GiB are free. Give a smaller size to run at.")
