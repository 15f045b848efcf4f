"""Compiles the loops that are kept once per machine: `python -m seg.runtime.compile_ahead`.

"auto" starts it in a process of its own when it first runs here, so that nobody waits for it; where a machine is set up, such
as in the making of a container, it can be run before. It has the lowest priority: what else runs is hardly slowed.
"""

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from seg.runtime.cache import Cache, default_folder
from seg.runtime.engines.table import ENGINES
from seg.runtime.loops import LOOPS

_ROOT = Path(__file__).resolve().parents[2]  # of the package, which need not be installed
_LOWEST_PRIORITY = 19


@cache
def start() -> "subprocess.Popen[bytes] | None":
    """Starts it, once in this process; returns None where no Python can be started, as in a frozen program."""
    paths = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen([sys.executable, "-m", __name__], stdin=nothing, stdout=nothing, stderr=nothing,
                                start_new_session=True, env=os.environ | {"PYTHONPATH": paths})
    except (OSError, ValueError, TypeError):
        return None


def wait() -> None:
    """Waits for what this process started, if it did."""
    if start.cache_info().currsize and (process := start()) is not None:
        process.wait()


def compile_all() -> None:
    """Compiles what there is, and returns when it is kept; of several processes at once, one works and the others wait."""
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
    """Does it at the lowest priority."""
    with suppress(AttributeError, OSError):
        os.nice(_LOWEST_PRIORITY)
    compile_all()


if __name__ == "__main__":
    main()
