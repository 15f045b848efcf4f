"""A contestant by itself, in a process of its own: how long until its first label map, and how much memory it takes.

`benchmarks.cpu` starts `python -m benchmarks.cpu_first FOLDER SYSTEM THREADS CLASSES`, which prints a line with the first
label map, goes on for some frames, and prints its peak memory.
"""

import os
import resource
import subprocess
import sys
import time
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
    """

    seconds: float
    peak_mib: float


def first(folder: Path, system: str, threads: int, classes: int, caches: Path) -> First:
    """Starts a process that labels the folder's frame.

    Args:
        folder: that `benchmarks.cpu_files.make` filled.
        system: its id.
        threads: how many it may use.
        classes: of its label map.
        caches: a folder, empty for a start without what an earlier one cached.

    Raises:
        SegError: it fails; the message is its last line.
    """
    command = [sys.executable, "-m", "benchmarks.cpu_first", str(folder), system, str(threads), str(classes)]
    environment = os.environ | {name: str(caches / name.lower()) for name in _CACHE_VARIABLES}
    start = time.perf_counter()
    checkout = Path(__file__).resolve().parent.parent
    with TemporaryFile("w+") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                                         env=environment, cwd=checkout) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        rest = process.stdout.read()
        if process.wait() or line.strip() != "first":
            errors.seek(0)
            raise SegError((errors.read().strip().splitlines() or ["it ended without a word"])[-1].removeprefix("error: "))
    return First(seconds, float(rest))


def _main(folder: str, name: str, threads: str, classes: str) -> None:
    from benchmarks.cpu_systems import Setup, all_systems
    from seg.machine import switch_off_telemetry

    switch_off_telemetry()
    import numpy as np

    system = next(system for system in all_systems() if system.id == name)
    running = system.build(Setup(Path(folder), np.load(Path(folder) / "frame.npy"), int(threads), int(classes)))
    running.run()
    print("first", flush=True)
    for _ in range(_MORE_RUNS):
        running.run()
    print(_peak_mib())


def _peak_mib() -> float:
    try:  # Linux counts what the process was forked from into its resource usage, but not into this
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except SegError as error:
        sys.exit(f"error: {error}")
