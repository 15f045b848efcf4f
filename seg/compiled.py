"""Functions that Numba compiles once per machine.

What it compiled it keeps on disk by its own rules: NUMBA_CACHE_DIR, else beside the function's file, else the user's cache
folder; keyed by that file, the processor and Numba's version. A cache on disk is only a help: where none can be written or what
is there is damaged, this process compiles anew.
"""

from collections.abc import Callable
from typing import Any

import numba

from seg.errors import SegError


def compiled(function: Callable[..., None], try_out: Callable[[Callable[..., None]], None],
             **settings: Any) -> Callable[..., None]:
    """Returns a function compiled, which takes no interpreter's lock.

    Args:
        function: what Numba can compile.
        try_out: calls it once on tiny inputs, which compiles it or loads it from disk, so that no frame waits for that.
        settings: further ones of Numba's, such as fastmath.

    Raises:
        SegError: Numba is told not to compile; a frame would take minutes.
    """
    if getattr(numba.config, "DISABLE_JIT", False):
        raise SegError("NUMBA_DISABLE_JIT is set, and without compiling a frame would take minutes. Unset it.")
    options: dict[str, Any] = {"nogil": True, **settings}
    try:
        made = numba.njit(cache=True, **options)(function)
        try_out(made)
    except Exception:  # Numba lets pickle's, the file system's and its own errors through
        made = numba.njit(**options)(function)
        try_out(made)
    return made


def can_keep(function: Callable[..., None]) -> bool:
    """Whether Numba has a place to keep what it makes of the function."""
    try:
        numba.njit(cache=True)(function)
    except RuntimeError:
        return False
    return True
