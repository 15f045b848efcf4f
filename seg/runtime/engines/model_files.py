"""Which file a cell runs, and whether it belongs to the weights. Only headers are read here."""

from pathlib import Path

from seg.errors import SegError
from seg.runtime.engines.table import ENGINES, INT8_ONNX, SAFETENSORS
from seg.runtime.protocol import Cell, UnavailablePrecision
from seg.weights import int8_file, read_description, read_export, sha256


class MissingFile(SegError):
    """The file that the engine runs is not next to the weights."""


def model_file(weights: Path, cell: Cell) -> Path:
    """Returns the file that a cell runs: the weights themselves or an export next to them, as `table` says.

    Args:
        weights: a .safetensors or .onnx file.
        cell: an engine and a precision, neither of them "auto".

    Raises:
        SegError: there is no such file, or it belongs to other weights, or gives no scores; the message says how to make it.
    """
    path = _path(weights, cell)
    _check_export(path, weights)
    return path


def held_precision(path: Path) -> str:
    """Returns the precision in which a file holds its network: "fp32" unless the file says otherwise."""
    export = read_export(path) if path.suffix == ".onnx" else None
    return export.precision if export else "fp32"


def fixed_size(path: Path) -> tuple[int, int] | None:
    """Returns the only (H, W) for which a file was exported, if it names one; None for any size."""
    export = read_export(path) if path.suffix == ".onnx" else None
    return export.size_hw if export else None


def _path(weights: Path, cell: Cell) -> Path:
    kind = ENGINES[cell.engine].runs[cell.precision]
    if kind == SAFETENSORS:
        path = weights.with_suffix(".safetensors")
        if not path.is_file():
            raise MissingFile(f"The engine {cell.engine!r} runs safetensors, and next to {weights} there is no {path.name}. "
                              "Use another engine.")
        return path
    holds_int8 = held_precision(weights) == "int8"
    if kind == INT8_ONNX:
        path = weights if holds_int8 else int8_file(weights)
    elif holds_int8:
        raise UnavailablePrecision(f"{weights} holds int8; for {cell.precision} give the weights from which it was made.")
    else:
        path = weights.with_suffix(".onnx")
    if not path.is_file():
        in_int8, options = (" in int8", " --precision int8 --calibrate FOLDER") if kind == INT8_ONNX else ("", "")
        raise MissingFile(f"There is no {path.name} next to {weights}, which the engine {cell.engine!r} runs{in_int8}. "
                          f"Make it: lraspp export --weights {weights}{options}")
    return path


def _check_export(path: Path, weights: Path) -> None:
    """Refuses a file that was not made from these weights, or that gives no scores.

    Raises:
        SegError: it is such a file.
    """
    export = read_export(path) if path.suffix == ".onnx" else None
    if export is not None and export.output != "scores":
        raise SegError(f"{path} gives {export.output}, and scores are needed here. Make it again: lraspp export "
                       "--output scores")
    if path == weights:
        return
    same = read_description(path) == read_description(weights)
    if export is not None and export.weights_sha256 is not None and weights.suffix == ".safetensors":
        same = same and export.weights_sha256 == sha256(weights)
    if not same:
        more = f" --precision {export.precision} --calibrate FOLDER" if export and export.precision == "int8" else ""
        raise SegError(f"{path} was not made from {weights}: it is of other weights. Make it again: "
                       f"lraspp export --weights {weights.with_suffix('.safetensors')}{more}")
