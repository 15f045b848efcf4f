"""From a frame to its label map on this machine's CPU: our networks in every engine and precision, and the usual alternatives.

    python -m benchmarks.cpu                                            everything; about an hour on two cores
    python -m benchmarks.cpu --only torchvision large --rounds 30       some, in more rounds
    python -m benchmarks.cpu --frames data/camvid/val --sizes 512x1024  on your own frames instead of rendered ones

All contestants get the same uint8 frame in memory and return a uint8 label map of its size. The command writes cpu.md, cpu.json
and cpu.png. Other load on the machine falsifies the figures: stop it first.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import output
from benchmarks.cpu_systems import choose
from benchmarks.output import Steps
from seg.cli.common import Parser, parse_size, run
from seg.document import Origin
from seg.errors import SegError
from seg.files import check_writable_folder, find_images
from seg.machine import check_threads, usable_cores
from seg.runtime.preprocess import check_size

NAME = "cpu"
ROUNDS = 12
SIZES_HW = ((1024, 2048), (512, 1024))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def make_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="SYSTEM", help="torchvision, smp, plain-openvino, large, "
                        "small, or one of them in full, such as large-openvino-int8 (default: all)")
    parser.add_argument("--sizes", nargs="+", type=parse_size, default=SIZES_HW, metavar="HxW",
                        help="frame sizes (default: 1024x2048 and 512x1024)")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N",
                        help="numbers of threads (default: one, and all cores that this process may use)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N",
                        help="how often each system is timed (default: %(default)s)")
    parser.add_argument("--frames", nargs="+", default=[], metavar="INPUT",
                        help="pictures, folders or globs from which frames are made (default: rendered scenes)")
    parser.add_argument("--output", type=Path, default=output.RESULTS, metavar="DIR",
                        help="folder for the files (default: benchmarks/results)")
    return parser


def _main(argv: Sequence[str] | None) -> None:
    arguments = make_parser().parse_args(argv)
    for size_hw in arguments.sizes:
        check_size(size_hw, "stretch")
    threads = [check_threads(number) for number in arguments.threads or (1, usable_cores())]
    if arguments.rounds < 1:
        raise SegError(f"--rounds is {arguments.rounds}; it must be at least 1.")
    systems = choose(arguments.only)
    find_images(arguments.frames)
    folder = check_writable_folder(arguments.output)

    # Imported here, because torch takes seconds, and an error in the options should be reported at once.
    from benchmarks import cpu_report, cpu_run

    origin = Origin.here("python", "-m", "benchmarks.cpu", *(sys.argv[1:] if argv is None else argv))
    plan = cpu_run.CpuRun(systems, list(dict.fromkeys(arguments.sizes)), list(dict.fromkeys(threads)), arguments.rounds,
                          arguments.frames)
    try:
        with Steps(cpu_run.steps(plan)) as steps:
            findings = cpu_run.find_out(plan, origin, steps.done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Nothing was written.") from None
    document = cpu_report.report(findings)
    output.publish(folder, NAME, document)


if __name__ == "__main__":
    sys.exit(main())
