"""A contestant by itself, in a process of its own: how long until its first label map, and how much memory it takes.

`benchmarks.cpu` starts `python -m benchmarks.cpu_first FOLDER SYSTEM THREADS CLASSES`, which prints a line with the first
label map, goes on for some frames, and prints its peak memory.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from seg.errors import SegError

_MORE_RUNS = 2  # until memory has reached what it stays at
_LIMIT_S = 1800


class First(NamedTuple):
    """What was found.

    Attributes:
        seconds: from starting Python to the label map, imports, loading and compiling included; the frame is in memory.
        peak_mib: the most memory that the process took, Python and its packages included.
    """

    seconds: float
    peak_mib: float


def first(folder: Path, system: str, threads: int, classes: int) -> First:
    """Starts a process that labels the folder's frame.

    Raises:
        SegError: it fails; the message is its last line.
    """
    command = [sys.executable, "-m", "benchmarks.cpu_first", str(folder), system, str(threads), str(classes)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          cwd=Path(__file__).resolve().parent.parent) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        try:
            rest, errors = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SegError(f"{system} didn't end within {_LIMIT_S} seconds.") from None
    if process.returncode or line.strip() != "first":
        raise SegError((errors.strip().splitlines() or ["it ended without a word"])[-1].removeprefix("error: "))
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / 2**(20 if sys.platform == "darwin" else 10))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except SegError as error:
        sys.exit(f"error: {error}")
