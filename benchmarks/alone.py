"""Measures something that labels frames, in a separate process: the time until its first label map, and its memory.

`start` starts a module of `benchmarks` as a process. The module builds what it measures and calls `tell`.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from seg.errors import SegError

CACHE_VARIABLE = "LRASPP_CACHE_DIR"  # names the folder where the predictor keeps compiled networks and choices
_CACHE_VARIABLES = (CACHE_VARIABLE, "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_MORE_RUNS = 2  # until the memory no longer grows


class First(NamedTuple):
    """The measured values.

    Attributes:
        seconds: from starting Python to the label map, including imports, loading and compiling; the frame is in memory.
        peak_mib: the process's peak memory, including Python and its packages, and that of the process that held its trial.
        held_mib: its memory at the end.
        cpu_s: processor time of all threads and of the trial's process until the label map; other load on the machine changes
            it least.
        ran: the engine and precision, if they are known.
    """

    seconds: float
    peak_mib: float
    held_mib: float = 0.0
    cpu_s: float = 0.0
    ran: str = ""


def start(module: str, arguments: Sequence[str], caches: Path) -> First:
    """Starts a process and measures it.

    Args:
        module: the module to start.
        arguments: its arguments.
        caches: a folder for caches, empty for a first start.

    Raises:
        SegError: the process fails; the message is its last line.
    """
    environment = os.environ | {name: str(caches / name.lower()) for name in _CACHE_VARIABLES}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start compiles our modules anew, which a user's doesn't
    began = time.perf_counter()
    checkout = Path(__file__).resolve().parent.parent
    with TemporaryFile("w+") as errors, subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE,
                                                         stderr=errors, text=True, env=environment, cwd=checkout) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        rest = process.stdout.read()
        if process.wait() or line.strip() != "first":
            errors.seek(0)
            raise SegError((errors.read().strip().splitlines() or ["it ended without a message"])[-1].removeprefix("error: "))
    peak_mib, held_mib, cpu_s, ran = rest.split(maxsplit=3)
    return First(seconds, float(peak_mib), float(held_mib), float(cpu_s), ran.strip())


def tell(run: Callable[[], object], runs_in: Callable[[], str], trial: bool = False) -> None:
    """Runs something for the first time and then a few more times, and sends `start` the measured values.

    It waits for what is compiled and tried in the background when a program has ended, so that the next start finds it.

    Args:
        run: labels a frame.
        runs_in: names the engine and precision.
        trial: whether the first run may hold a trial in another process, whose time and memory count, too. Not for others: torch
            starts a small process when it is imported, and Linux counts the memory of the forking process for it.
    """
    run()
    cpu_s = sum(os.times()[:4 if trial else 2])
    print("first", flush=True)
    for _ in range(_MORE_RUNS):
        run()
    held_mib = _memory_mib("VmRSS")
    peak_mib = max(held_mib, _memory_mib("VmHWM"))  # Linux may be a page behind with the peak
    print(peak_mib + (_resource_mib(resource.RUSAGE_CHILDREN) if trial else 0.0), held_mib, cpu_s, runs_in())
    from seg.runtime import apart

    apart.finish()


def _memory_mib(field: str) -> float:
    try:  # Linux counts the memory of the forking process into its resource usage, but not into this value
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 2**10
    except (OSError, IndexError):
        return _resource_mib(resource.RUSAGE_SELF)  # only the peak


def _resource_mib(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
