"""Compiles the loops that are kept once per machine: `python -m seg.runtime.compile_ahead`.

When "auto" first runs on a machine, it starts this in the background, so that nobody has to wait for it. Where a machine is set
up, for example when a container is built, it can be run beforehand. It has the lowest priority, so it hardly slows other work.
"""

import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from seg.runtime.cache import Cache, default_folder
from seg.runtime.engines.table import ENGINES
from seg.runtime.loops import LOOPS

_LOWEST_PRIORITY = 19


def compile_all() -> None:
    """Compiles all loops, and returns when they are kept; of several processes at once, one works and the others wait."""
    with Cache(default_folder()).lock("compile"):
        for loop in LOOPS:
            loop()
        for entry in ENGINES.values():
            if entry.loops and find_spec(entry.package):
                loops = import_module(entry.loops)
                for precision in entry.runs:
                    if loops.state(precision) == "to compile":
                        loops.load(precision)


def main() -> None:
    """Compiles at the lowest priority."""
    with suppress(AttributeError, OSError):
        os.nice(_LOWEST_PRIORITY)
    compile_all()


if __name__ == "__main__":
    main()
