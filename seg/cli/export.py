"""Weights to a file that other engines run, compared with the network before it gets its name.

    lraspp export --weights W                                       ONNX in float32, which Predictor runs
    lraspp export --weights W --precision int8 --calibrate FOLDER   the same in int8
    lraspp export --weights W --format openvino --output labels --size 512x1024

Each takes uint8 RGB (N, 3, H, W) and gives one tensor: scores, or labels of the frame's size.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from seg.cli.common import Parser, parse_size, run
from seg.document.words import count
from seg.export.options import FORMATS, OUTPUTS, PRECISIONS, ExportOptions
from seg.weights import find


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="lraspp export", description=__doc__)
    parser.add_argument("--weights", required=True, metavar="NAME|FILE",
                        help="shipped weights by name, or a .safetensors file")
    parser.add_argument("--format", default="onnx", metavar="|".join(FORMATS), help="default: %(default)s")
    parser.add_argument("--precision", default="fp32", metavar="|".join(PRECISIONS),
                        help="int8 goes with onnx and openvino, bf16 with pt2 (default: %(default)s)")
    parser.add_argument("--size", type=_size, default=None, metavar="HxW|dynamic",
                        help="fix the frame's size, such as 512x1024 (default: dynamic, any size)")
    parser.add_argument("--output", default="scores", metavar="|".join(OUTPUTS),
                        help="scores of the decoder's own size, which infer.py and Predictor take, or labels of the frame's "
                        "(default: %(default)s)")
    parser.add_argument("--calibrate", nargs="+", default=[], metavar="INPUT",
                        help="for int8: pictures, folders or globs of frames like those to come")
    parser.add_argument("--file", type=Path, metavar="FILE", help="default: next to the weights, such as NAME.onnx, "
                        "NAME_int8.onnx or NAME_labels.xml")
    arguments = parser.parse_args(argv)
    options = ExportOptions(arguments.format, arguments.precision, arguments.output, arguments.size, arguments.calibrate)
    weights = find(arguments.weights)
    if arguments.file is not None:
        options.check_file(arguments.file)

    # Imported here, because torch takes seconds, and wrong options should fail before that.
    from seg.export.exporter import export_weights

    path, export = export_weights(weights, arguments.file, options)
    size = sum(part.stat().st_size for part in options.written(path)) / 2**20
    kept = f"; {', '.join(export.kept_fp32)} stayed in fp32" if export.kept_fp32 else ""
    print(f"{path}: {size:.1f} MiB, {export.output} in {export.precision}{kept}. In {' and '.join(export.engines)}, on "
          f"{count(export.compared_frames, 'frame')}, it differs from torch by at most {export.largest_difference:.1e} of the "
          f"scores' spread, and {export.agreement:.3%} of the labels agree.")


def _size(text: str) -> tuple[int, int] | None:
    try:
        return None if text == "dynamic" else parse_size(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither HxW, such as 512x1024, nor dynamic") from None
