"""A contestant of `benchmarks.cpu` alone in a separate process, see `benchmarks.alone`.

`benchmarks.cpu` starts `python -m benchmarks.cpu_first FOLDER SYSTEM THREADS CLASSES`.
"""

import sys
from pathlib import Path

from benchmarks.alone import First, start, tell
from seg.errors import SegError


def first(folder: Path, system: str, threads: int, classes: int, caches: Path) -> First:
    """Starts a process that labels the folder's frame.

    Args:
        folder: a folder filled by `benchmarks.cpu_files.make`.
        system: id of the contestant.
        threads: how many threads it may use.
        classes: number of classes in its label map.
        caches: a folder for caches, empty for a first start.

    Raises:
        SegError: it fails; the message is its last line.
    """
    return start("benchmarks.cpu_first", [str(folder), system, str(threads), str(classes)], caches)


def _main(folder: str, name: str, threads: str, classes: str) -> None:
    from benchmarks.cpu_systems import Setup, all_systems
    from seg.machine import switch_off_telemetry
    from seg.runtime.engines.table import AUTO

    switch_off_telemetry()
    import numpy as np

    system = next(system for system in all_systems() if system.id == name)
    running = system.build(Setup(Path(folder), np.load(Path(folder) / "frame.npy"), int(threads), int(classes)))
    tell(running.run, running.runs_in, trial=system.precision == AUTO)


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except SegError as error:
        sys.exit(f"error: {error}")
