"""Something that labels frames by itself, in a process of its own: how long until its first label map, and what memory it takes.

`start` starts a module of `benchmarks` as a process, which makes ready what it measures and calls `tell`.
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

CACHE_VARIABLE = "LRASPP_CACHE_DIR"  # names the folder where the predictor keeps what it compiled and chose
_CACHE_VARIABLES = (CACHE_VARIABLE, "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_MORE_RUNS = 2  # until memory has reached what it stays at


class First(NamedTuple):
    """What was found.

    Attributes:
        seconds: from starting Python to the label map, imports, loading and compiling included; the frame is in memory.
        peak_mib: the most memory that the process took, Python and its packages included.
        held_mib: what it held at last.
        cpu_s: processor time until the label map, of all threads: what else runs here changes it least.
        ran: in which engine and precision, where that says anything.
    """

    seconds: float
    peak_mib: float
    held_mib: float = 0.0
    cpu_s: float = 0.0
    ran: str = ""


def start(module: str, arguments: Sequence[str], caches: Path) -> First:
    """Starts a process.

    Args:
        module: what is started.
        arguments: for it.
        caches: a folder, empty for a start without what an earlier one cached.

    Raises:
        SegError: it fails; the message is its last line.
    """
    environment = os.environ | {name: str(caches / name.lower()) for name in _CACHE_VARIABLES}
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
            raise SegError((errors.read().strip().splitlines() or ["it ended without a word"])[-1].removeprefix("error: "))
    peak_mib, held_mib, cpu_s, ran = rest.split(maxsplit=3)
    return First(seconds, float(peak_mib), float(held_mib), float(cpu_s), ran.strip())


def tell(run: Callable[[], object], runs_in: Callable[[], str]) -> None:
    """Runs something for the first time and then some more, and tells `start` what it took.

    What is compiled beside the work is waited for, so that the next start finds it.
    """
    run()
    cpu_s = time.process_time()
    print("first", flush=True)
    for _ in range(_MORE_RUNS):
        run()
    held_mib = _memory_mib("VmRSS")
    print(max(held_mib, _memory_mib("VmHWM")), held_mib, cpu_s, runs_in())  # Linux is a page behind with the peak
    from seg.runtime import compile_ahead

    compile_ahead.wait()


def _memory_mib(field: str) -> float:
    try:  # Linux counts what the process was forked from into its resource usage, but not into this
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 2**10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes, and knows the peak alone
