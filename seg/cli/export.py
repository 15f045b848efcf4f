"""`python -m seg.export`: weights to ONNX, compared with the network before the file gets its name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from seg.cli.common import Parser, run
from seg.weights import find


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m seg.export", description=__doc__)
    parser.add_argument("--weights", required=True, metavar="NAME|FILE",
                        help="shipped weights by name, or a .safetensors file")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the .onnx beside the weights")
    parser.add_argument("--size", type=_size, default=None, metavar="HxW|dynamic",
                        help="fix the frame's size, such as 512x1024 (default: dynamic, any size)")
    arguments = parser.parse_args(argv)

    weights = find(arguments.weights)

    # Here, because torch takes seconds, and wrong options should not wait for it.
    from seg.export.onnx_export import export_weights

    path, comparison = export_weights(weights, arguments.output, arguments.size)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB. In {' and '.join(comparison.engines)} its scores differ "
          f"from torch's by at most {comparison.largest_difference:.1e} of their spread, and {comparison.agreement:.3%}"
          " of the winners agree.")


def _size(text: str) -> tuple[int, int] | None:
    if text == "dynamic":
        return None
    height, x, width = text.lower().partition("x")
    if not (x and height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither HxW, such as 512x1024, nor dynamic")
    return int(height), int(width)
