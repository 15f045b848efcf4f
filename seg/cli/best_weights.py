"""`lraspp weights RUN`: the best weights of a training run, finished or interrupted, as safetensors."""

import sys
from collections.abc import Sequence
from pathlib import Path

from seg.cli.common import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp weights", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as runs/camvid_small")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: RUN/NAME.safetensors")
    arguments = parser.parse_args(argv)

    from seg.training.export import export_run  # here: torch takes seconds to import; options are checked first

    print(export_run(arguments.run, arguments.output))


if __name__ == "__main__":
    sys.exit(main())
