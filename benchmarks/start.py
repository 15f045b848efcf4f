"""The cost of a start: seconds until the first label map, and memory, each in a separate process.

    python -m benchmarks.start                                      the engine "auto", and then what it chose by name
    python -m benchmarks.start --engines openvino fused             others, each in float32

Each engine is started three times: the first start on a machine, the next one, and a later one. What "auto" compiles in the
background in the first start, it tries when that program has ended. The memory of "auto" in the end is compared with that of its
chosen engine, started by name.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.alone import First, start
from benchmarks.output import Steps
from seg.cli.common import Parser, parse_size, run
from seg.document import Document, Origin, Table, Text, show
from seg.document.words import count
from seg.machine import check_threads
from seg.runtime.engines.table import AUTO, ENGINES, names
from seg.weights import DEFAULT, find

STARTS = ("first", "next", "later")
HEAD = ("frame", "engine", "start", "ran in", "seconds", "processor [s]", "peak [MiB]", "held [MiB]", "of the chosen one's")


def starts(weights: Path, size_hw: tuple[int, int], engine: str, precision: str, threads: int, steps: Steps) -> list[First]:
    """Returns the results of each of `STARTS`, beginning with an empty cache.

    Raises:
        SegError: the engine can't run.
    """
    arguments = [str(weights), engine, precision, str(threads), *map(str, size_hw)]
    found = []
    with TemporaryDirectory(prefix="lraspp-start-") as caches:
        for name in STARTS:
            found.append(start("benchmarks.start_alone", arguments, Path(caches)))
            steps.done(f"{engine}, {name} start")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--weights", default=DEFAULT, metavar="NAME|FILE", help="(default: %(default)s)")
    parser.add_argument("--sizes", nargs="+", type=parse_size, default=[(512, 1024), (1024, 2048)], metavar="HxW",
                        help="frame sizes (default: 512x1024 and 1024x2048)")
    parser.add_argument("--engines", nargs="+", default=[AUTO], choices=names(), metavar="NAME", help="(default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="(default: all cores that this process may use)")
    arguments = parser.parse_args(argv)
    weights, threads = find(arguments.weights), check_threads(arguments.threads)
    rows: list[list[str]] = []
    processes = len(STARTS) * sum(2 if engine == AUTO else 1 for engine in arguments.engines)
    with Steps(len(arguments.sizes) * processes) as steps:
        for size_hw in arguments.sizes:
            for engine in arguments.engines:
                found = starts(weights, size_hw, engine, AUTO if engine == AUTO else next(iter(ENGINES[engine].runs)), threads,
                               steps)
                name, precision = found[-1].ran.split()
                chosen = starts(weights, size_hw, name, precision, threads, steps) if engine == AUTO else None
                rows += _rows(size_hw, engine, found, chosen)
    origin = Origin.here("python", "-m", "benchmarks.start", *(sys.argv[1:] if argv is None else argv))
    show(Document(f"What a start of {arguments.weights} costs", [
        Text(*origin.sentence()),
        Text(f"{count(threads, 'thread')}. Seconds count from starting Python. Processor seconds are those of all threads; they "
             "change least with other load on the machine. Processor seconds and the peak include the process of the trial."),
        Table.of(HEAD, rows, left=4)], origin, {}))


def _rows(size_hw: tuple[int, int], engine: str, found: Sequence[First], chosen: Sequence[First] | None) -> list[list[str]]:
    """Returns a row for each start; the rows are compared with the same start of the chosen engine."""
    rows = []
    for asked, group in ((engine, found), *([("by name", chosen)] if chosen else [])):
        for name, each, like in zip(STARTS, group, chosen or group, strict=True):
            share = f"{each.held_mib / like.held_mib:.2f}" if chosen else ""
            rows.append([f"{size_hw[0]}x{size_hw[1]}", asked, name, each.ran, f"{each.seconds:.2f}", f"{each.cpu_s:.2f}",
                         f"{each.peak_mib:.0f}", f"{each.held_mib:.0f}", share])
    return rows


if __name__ == "__main__":
    sys.exit(main())
