"""The options of `lraspp export`, and which go together. They have their own module, so that checking them needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seg.errors import SegError, did_you_mean
from seg.runtime.preprocess import check_size

FORMATS = {"onnx": ("fp32", "int8"), "openvino": ("fp32", "int8"), "pt2": ("fp32", "bf16")}  # with their precisions
PRECISIONS = ("fp32", "bf16", "int8")
OUTPUTS = ("scores", "labels")
_SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml", ".bin"), "pt2": (".pt2",)}
_WHY_NOT = {
    "bf16": "OpenVINO computes the fp32 file in bfloat16 by itself, where the processor can and is told to; for a file in "
            "bfloat16 take --format pt2.",
    "int8": "Take --format onnx or openvino, which engines run in int8.",
}


@dataclass(frozen=True)
class ExportOptions:
    """What the user asks for.

    Attributes:
        format: a key of `FORMATS`.
        precision: one of `FORMATS[format]`.
        output: "scores" of the decoder's own size, which `Predictor` takes, or "labels" of the frame's.
        size_hw: fixes (H, W); None for any size.
        calibrate: pictures, folders or globs that int8 takes its ranges from.

    Raises:
        SegError: something is unknown, or doesn't go together; the message says what does.
    """

    format: str = "onnx"
    precision: str = "fp32"
    output: str = "scores"
    size_hw: tuple[int, int] | None = None
    calibrate: Sequence[str | Path] = ()

    def __post_init__(self) -> None:
        for name, value, known in (("format", self.format, FORMATS), ("precision", self.precision, PRECISIONS),
                                   ("output", self.output, OUTPUTS)):
            if value not in known:
                hint = f" A file is named by --file {value}." if name == "output" and Path(value).suffix else ""
                raise SegError(f"There is no {name} {value!r}. {did_you_mean(value, known)}{hint}")
        check_size(self.size_hw or "own", "stretch")
        if self.precision not in FORMATS[self.format]:
            raise SegError(f"The format {self.format} has no {self.precision} here. {_WHY_NOT[self.precision]}")
        if self.precision == "int8" and not self.calibrate:
            raise SegError("int8 takes its ranges from frames like those it will see, such as a folder of training pictures. "
                           "Name some: --calibrate FOLDER")
        if self.precision != "int8" and self.calibrate:
            raise SegError(f"--calibrate is for --precision int8, and {self.precision} was asked for.")

    def file(self, weights: Path) -> Path:
        """Returns the default name, next to the weights: NAME.onnx, NAME_int8.onnx, NAME_labels.onnx, ..."""
        parts = [weights.stem]
        parts += [self.precision] if self.precision != "fp32" else []
        parts += [self.output] if self.output != "scores" else []
        return weights.with_name("_".join(parts) + _SUFFIXES[self.format][0])

    def written(self, path: Path) -> list[Path]:
        """Returns the files that an export to `path` consists of."""
        return [path.with_suffix(suffix) for suffix in _SUFFIXES[self.format]]

    def check_file(self, path: Path) -> None:
        """Refuses a file whose name doesn't have the ending of its format.

        Raises:
            SegError: it doesn't.
        """
        suffix = _SUFFIXES[self.format][0]
        if path.suffix != suffix:
            raise SegError(f"The file is {path}; the name of one in the format {self.format} ends in {suffix}.")
