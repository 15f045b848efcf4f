"""Compiles the loops that are kept once per machine: `python -m seg.runtime.compile_ahead`.

"auto" starts it in a separate process when it first runs on a machine, so that nobody has to wait for it. Where a machine is set
up, for example when a container is built, it can be run beforehand. It has the lowest priority, so it hardly slows other work.
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

_ROOT = Path(__file__).resolve().parents[2]  # the folder of the package, which need not be installed
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
    """Waits for the process that `start` started, if there is one."""
    if start.cache_info().currsize and (process := start()) is not None:
        process.wait()


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
