"""Functions that Numba compiles once per machine.

What it compiled it keeps on disk by its own rules: NUMBA_CACHE_DIR, else next to the function's file, else the user's cache
folder; keyed by that file, the processor and Numba's version. A cache on disk is only a help: where none can be written or what
is there is damaged, this process compiles again.
"""

from collections.abc import Callable
from typing import Any, Literal

import numba

from seg.errors import SegError

State = Literal["kept", "to compile", "unkeepable"]


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
    try:
        made = numba.njit(cache=True, nogil=True, **settings)(function)
        try_out(made)
    except Exception:  # Numba lets pickle's, the file system's and its own errors through
        made = numba.njit(nogil=True, **settings)(function)
        try_out(made)
    return made


def state(function: Callable[..., None], try_out: Callable[[Callable[..., None]], None]) -> State:
    """Returns what `compiled` would have to do: nothing but load what is kept, compile once, or compile at every start.

    Args:
        function: see `compiled`.
        try_out: see `compiled`; what it calls here only looks at what it is given.
    """
    try:
        dispatcher: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba found no place
        return "unkeepable"
    kept = False

    def look(*given: Any) -> None:
        nonlocal kept
        # Numba has no other way to ask, and itself asks like this when the function is called.
        kept = dispatcher._cache.load_overload(tuple(map(numba.typeof, given)), dispatcher.targetctx) is not None

    try_out(look)
    return "kept" if kept else "to compile"
