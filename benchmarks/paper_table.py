"""Every row of the paper's tables beside the measured values: parameters, multiply-adds and latency on this machine's CPU.

    python -m benchmarks.paper_table                            everything; 10 to 15 minutes on two cores
    python -m benchmarks.paper_table --rows 1 7 --rounds 30     two networks against each other, in more rounds
    python -m benchmarks.paper_table --profile 7                where one network's time goes, layer by layer

The command writes paper_table.md, paper_table.json and paper_table.png. Other load on the machine falsifies the figures: stop it
first. Source of the published figures: `seg.models.paper`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import output
from benchmarks.output import Steps
from seg.cli.common import Parser, parse_size, run
from seg.document import Origin, show
from seg.errors import SegError
from seg.files import check_writable_folder
from seg.machine import check_threads, usable_cores
from seg.runtime.preprocess import check_size

NAME = "paper_table"
ROUNDS = 12
SIZES_HW = ((1024, 2048), (512, 1024))  # the paper's


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def make_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="python -m benchmarks.paper_table", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="1 to 11 for rows of Table 7, t8-1 to t8-4 for "
                        "those of Table 8, v1, mnasnet-a1, ... (default: all)")
    parser.add_argument("--sizes", nargs="+", type=parse_size, default=SIZES_HW, metavar="HxW",
                        help="frame sizes (default: the paper's, 1024x2048 and 512x1024)")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N",
                        help="numbers of threads (default: one, and all cores that this process may use)")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how often each network is timed (default: {ROUNDS})")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for the files (default: benchmarks/results)")
    parser.add_argument("--profile", metavar="ROW", help="only print where this network's time goes, at each size and "
                        "number of threads")
    return parser


def _main(argv: Sequence[str] | None) -> None:
    arguments = make_parser().parse_args(argv)
    for size_hw in arguments.sizes:
        check_size(size_hw, "stretch")
    threads = [check_threads(number) for number in arguments.threads or (1, usable_cores())]
    sizes, threads = list(dict.fromkeys(arguments.sizes)), list(dict.fromkeys(threads))
    if arguments.profile is not None:
        for option in ("rows", "rounds", "output"):
            if getattr(arguments, option) not in (None, []):
                raise SegError(f"--profile only prints one network's profile; --{option} can't be used with it.")
    elif arguments.rounds is not None and arguments.rounds < 1:
        raise SegError(f"--rounds is {arguments.rounds}; it must be at least 1.")


    # Imported here, because torch takes seconds, and an error in the options should be reported at once.
    from benchmarks import paper_report, paper_rows, paper_run

    entries = paper_rows.choose(arguments.rows if arguments.profile is None else [arguments.profile])
    if arguments.profile is not None:
        with Steps(paper_run.profile_steps(sizes, threads)) as steps:
            document = paper_run.profile_one(entries[0], sizes, threads, steps.done)
        show(document)
        return
    folder = check_writable_folder(arguments.output or output.RESULTS)
    origin = Origin.here("python", "-m", "benchmarks.paper_table", *(sys.argv[1:] if argv is None else argv))
    plan = paper_run.PaperRun.make(entries, sizes, threads, ROUNDS if arguments.rounds is None else arguments.rounds)
    try:
        with Steps(plan.steps) as steps:
            findings = paper_run.find_out(plan, origin, steps.done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Nothing was written.") from None
    document = paper_report.report(findings)
    output.publish(folder, NAME, document)


if __name__ == "__main__":
    sys.exit(main())
