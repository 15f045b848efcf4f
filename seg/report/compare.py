"""`lraspp compare A.json B.json ...`: which network is better, by how much, and whether the difference is more than noise.

    lraspp compare small.json large.json --report comparison.html
    lraspp compare new.json --fail-under miou=0.60 --fail-over p90_ms=40
    lraspp compare new.json --baseline old.json --fail-if-worse 1% p50_ms=5%

The reports are from `lraspp infer --report FILE.json`; the others are compared with the first one. Exit code 1 means that a limit
is missed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from seg.cli.common import Parser, run
from seg.document import Origin, check_paths, show, write
from seg.errors import SegError
from seg.report import gate
from seg.report.comparison import comparison_report
from seg.report.differences import check_comparable, compare
from seg.report.stored import read_reports

EXIT_MISSED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def make_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="lraspp compare", description=__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT", help="JSON reports of lraspp infer; the others "
                        "are compared with the first one; one report is enough to check limits")
    parser.add_argument("--report", type=Path, action="append", default=[], metavar="FILE",
                        help="also write the comparison to a file; .html, .md or .json; may be given several times")
    parser.add_argument("--fail-under", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="exit code 1 if a figure is below it, such as miou=0.60")
    parser.add_argument("--fail-over", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="exit code 1 if a figure is above it, such as p90_ms=40; keys are those of the JSON, joined "
                        f"by dots, and {', '.join(gate.SHORT)}")
    parser.add_argument("--baseline", type=Path, metavar="OLD.json", help="an earlier report with which all others are compared")
    parser.add_argument("--fail-if-worse", nargs="+", action="extend", default=[], metavar="SHARE",
                        help="exit code 1 if a figure is worse than the baseline's by more than this share: 1%% for "
                        f"{', '.join(gate.GUARDED)}, or KEY=1%%")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    arguments = make_parser().parse_args(argv)
    check_paths(arguments.report)
    if bool(arguments.baseline) != bool(arguments.fail_if_worse):
        raise SegError("--baseline OLD.json and --fail-if-worse 1% belong together; give both.")
    limits = [*gate.parse_limits(arguments.fail_under, at_least=True), *gate.parse_limits(arguments.fail_over, at_least=False)]
    tolerances = gate.parse_tolerances(arguments.fail_if_worse)
    paths = [*([arguments.baseline] if arguments.baseline else []), *arguments.reports]
    if len(paths) == 1 and not limits:
        raise SegError("There is one report and nothing to compare it with; give another one, --baseline, or a limit such as "
                       "--fail-under miou=0.60.")
    every = read_reports(paths)
    check_comparable(every)
    held = every[1:] if arguments.baseline else every
    if arguments.baseline:
        limits += gate.worse_limits(every[0], tolerances)
    checks = gate.check(held, limits)
    program = ["lraspp", "compare", *(sys.argv[1:] if argv is None else argv)]
    document = comparison_report(every, compare(every), Origin.here(*program), checks)
    show(document)
    for path in arguments.report:
        write(document, path)
        print(f"Comparison: {path}")
    missed = [one for one in checks if not one.kept]
    for one in missed:
        found = "has no value" if one.found is None else f"is {one.found:.6g}"
        print(f"missed: {one.limit.key} of {one.report} {found}; the limit is {'at least' if one.limit.at_least else 'at most'} "
              f"{one.limit.value:.6g}{f' ({one.limit.why})' if one.limit.why else ''}.", file=sys.stderr)
    return EXIT_MISSED if missed else 0


if __name__ == "__main__":
    sys.exit(main())
