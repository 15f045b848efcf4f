"""What this machine can do at most, measured: multiply-adds per second of a large float32 matrix product.

A network's multiply-adds divided by it are the least time that the network can take; how much longer it takes says how
far the engine is from the machine's limit.
"""

import time
from collections.abc import Callable

_SIDE = 1024  # 4 MiB a matrix: beyond the caches next to a core, and long enough that starting threads doesn't count
_RUNS = 20


def peak_gmacs(threads: int) -> float:
    """Returns 10^9 multiply-adds per second in float32, the best of several products.

    Args:
        threads: how many work on it. It is a setting of torch for the whole process, and is set back.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
        out = torch.empty(_SIDE, _SIDE)
        torch.mm(a, b, out=out)
        best_s = min(_timed(lambda: torch.mm(a, b, out=out)) for _ in range(_RUNS))
    finally:
        torch.set_num_threads(before)
    return _SIDE**3 / best_s / 1e9


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
