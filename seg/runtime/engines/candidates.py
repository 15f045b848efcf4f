"""The cells among which "auto" chooses: those that are installed and have a file to run."""

from importlib.util import find_spec
from pathlib import Path

from seg.errors import SegError
from seg.runtime.engines.model_files import MissingFile, held_precision, model_file
from seg.runtime.engines.table import AUTO, ENGINES, ONNX, PRECISIONS
from seg.runtime.protocol import Cell, MissingEngine, UnavailablePrecision


def candidates(engine: str, precision: str, weights: Path) -> tuple[dict[Cell, Path], list[str]]:
    """Returns the available cells with the file of each, in order of preference, and sentences about missing ones.

    Only the engine itself knows some facts, such as whether the processor has bfloat16. They aren't asked here: nothing is
    imported.

    Args:
        engine: one of `table.names()`.
        precision: one of `table.precisions()`; `table.check_names` has accepted the pair.
        weights: a .safetensors or .onnx file.

    Raises:
        SegError: there is no cell: no engine with the precision is installed, none can run the kind of file, or the file that
            they run is missing or belongs to other weights.
    """
    named = list(ENGINES) if engine == AUTO else [engine]
    named = [name for name in named if precision in (AUTO, *ENGINES[name].runs)]
    # An engine that was asked for by name is not searched for: importing it gives the best error message.
    installed = named if engine != AUTO else [name for name in named if find_spec(ENGINES[name].package) is not None]
    if not installed:
        raise MissingEngine(f"There is no engine to run the network. Install the fastest one: pip install "
                            f"{ENGINES[(named or list(ENGINES))[0]].install}")
    if precision != AUTO:
        wanted: tuple[str, ...] = (precision,)
    else:
        wanted = ("int8",) if held_precision(weights) == "int8" else PRECISIONS
    cells = [Cell(name, one) for one in wanted for name in installed if one in ENGINES[name].runs]
    if not cells:
        raise UnavailablePrecision(f"{weights} holds {wanted[0]}, which {' and '.join(installed)} can't run here.")
    notes = [_not_installed(named[:named.index(installed[0])])] if named[0] != installed[0] else []
    runnable, faults = _with_files(cells, weights)
    if not runnable:
        raise next(iter(faults.values()))
    return runnable, notes + _told(faults, precision)


def _with_files(cells: list[Cell], weights: Path) -> tuple[dict[Cell, Path], dict[Cell, SegError]]:
    """Returns the file of each cell that has one to run, and the fault of each other cell."""
    paths: dict[Cell, Path] = {}
    faults: dict[Cell, SegError] = {}
    for cell in cells:
        try:
            paths[cell] = model_file(weights, cell)
        except SegError as fault:
            faults[cell] = fault
    return paths, faults


def _told(faults: dict[Cell, SegError], precision: str) -> list[str]:
    """Returns sentences on cells without a file. Each missing file is named once, and only if a user would expect it."""
    told, missing = [], set[str]()
    for cell, fault in faults.items():
        kind = ENGINES[cell.engine].runs[cell.precision]
        if not isinstance(fault, MissingFile):
            told.append(f"{cell} was left out: {fault}")
        elif kind == ONNX and kind not in missing:
            missing.add(kind)
            others = [name for name in dict.fromkeys(cell.engine for cell in faults) if ENGINES[name].runs.get("fp32") == kind]
            told.append(f"{' and '.join(others)} can't be tried: {fault}")
    return told


def _not_installed(names: list[str]) -> str:
    return f"{' and '.join(names)} can't be used here (pip install {' '.join(ENGINES[name].install for name in names)})."
