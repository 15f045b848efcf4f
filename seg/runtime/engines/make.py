"""Makes the engine of a cell."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from seg.runtime.cache import Cache
from seg.runtime.engines.model_files import model_file
from seg.runtime.engines.table import ENGINES
from seg.runtime.once import timed
from seg.runtime.protocol import Cell, Engine, MissingEngine


def engine_class(name: str) -> type[Engine]:
    """Imports an engine.

    Raises:
        MissingEngine: its package is missing or broken.
    """
    entry = ENGINES[name]
    try:
        found: type[Engine] = getattr(import_module(entry.module), entry.class_name)
    except ImportError as error:
        raise MissingEngine(f"The engine {name!r} can't be used: {error}. Install it: pip install {entry.install}") from None
    return found


def make(cell: Cell, weights: Path, threads: int, cache: Cache) -> Engine:
    """Makes the engine of a cell: calls its class with the file that it runs, `threads`, `precision` and `cache`.

    Args:
        cell: an engine and a precision, neither of them "auto".
        weights: a .safetensors or .onnx file; `model_file` determines which file is run.
        threads: how many threads it may use.
        cache: for compiled networks.

    Raises:
        SegError: a package, a file or a precision is missing, or the file can't be run or belongs to other weights.
    """
    costs_ms: dict[str, float] = {}
    with timed(costs_ms, "import"):
        make_it: Callable[..., Engine] = engine_class(cell.engine)
    made = make_it(model_file(weights, cell), threads, precision=cell.precision, cache=cache)
    made.first_call_ms.update(costs_ms)
    return made
