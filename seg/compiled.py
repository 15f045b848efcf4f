"""Functions that Numba compiles once per machine.

Numba keeps compiled code on disk by its own rules: in NUMBA_CACHE_DIR, otherwise next to the function's file, otherwise in the
user's cache folder; the key is that file, the processor and Numba's version. The cache only saves time: if it can't be written
or is damaged, this process compiles again.
"""

from collections.abc import Callable
from typing import Any, Literal

import numba

from seg.errors import SegError

State = Literal["kept", "to compile", "unkeepable"]


def compiled(function: Callable[..., None], try_out: Callable[[Callable[..., None]], None],
             **settings: Any) -> Callable[..., None]:
    """Returns a function compiled, which takes no interpreter's lock.

    function: a function that Numba can compile.
    try_out: calls it once with tiny inputs, which compiles it or loads it from disk, so that no frame has to wait for that.
    settings: further settings of Numba, such as fastmath.

    Raises:
        SegError: Numba is told not to compile; without compiling, a frame would take minutes.
    """
    if getattr(numba.config, "DISABLE_JIT", False):
        raise SegError("NUMBA_DISABLE_JIT is set, but without compiling a frame would take minutes. Unset it.")
    try:
        made = numba.njit(cache=True, nogil=True, **settings)(function)
        try_out(made)
    except Exception:  # Numba passes on errors of pickle and of the file system besides its own
        made = numba.njit(nogil=True, **settings)(function)
        try_out(made)
    return made


def state(function: Callable[..., None], try_out: Callable[[Callable[..., None]], None]) -> State:
    """Returns what `compiled` would have to do: only load the kept code, compile once, or compile at every start.

    Args:
        function: see `compiled`.
        try_out: see `compiled`; the function that it calls here only looks at its arguments.
    """
    try:
        dispatcher: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba found no place for its cache
        return "unkeepable"
    kept = False

    def look(*given: Any) -> None:
        nonlocal kept
        # Numba has no other way to ask; it asks in the same way itself when the function is called.
        kept = dispatcher._cache.load_overload(tuple(map(numba.typeof, given)), dispatcher.targetctx) is not None

    try_out(look)
    return "kept" if kept else "to compile"
