"""Makes the engine of a cell."""

from importlib import import_module
from pathlib import Path

from seg.runtime.cache import Cache
from seg.runtime.engines.model_files import model_file
from seg.runtime.engines.table import ENGINES
from seg.runtime.once import timed
from seg.runtime.protocol import Cell, Engine, MissingEngine


def make(cell: Cell, weights: Path, threads: int, cache: Cache) -> Engine:
    """Makes the engine of a cell: its class is called with the file that it runs, `threads`, `precision` and `cache`.

    Args:
        cell: neither of its names is "auto".
        weights: a .safetensors or .onnx file; `model_file` says what is run.
        threads: how many it may use.
        cache: for what it compiles.

    Raises:
        SegError: a package, a file or a precision is missing, or the file can't be run or is of other weights.
    """
    entry = ENGINES[cell.engine]
    costs_ms: dict[str, float] = {}
    try:
        with timed(costs_ms, "import"):
            module = import_module(entry.module)
    except ImportError as error:
        raise MissingEngine(f"The engine {cell.engine!r} can't be used: {error}. Install it: pip install {entry.install}"
                            ) from None
    path = model_file(weights, cell)
    made: Engine = getattr(module, entry.class_name)(path, threads, precision=cell.precision, cache=cache)
    made.first_call_ms.update(costs_ms)
    return made
