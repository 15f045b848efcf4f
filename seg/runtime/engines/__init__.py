"""What runs the network: OpenVINO, our own, onnxruntime, or torch as the reference, in the precisions that each has.

Each is imported when asked for. A pair of engine and precision is called a cell here; `make` gives the engine of one cell,
or for "auto" one that chooses among several when the first frame comes (`seg.runtime.choice`).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from seg import weights as files
from seg.errors import SegError, did_you_mean
from seg.machine import available_memory_bytes
from seg.runtime.cache import Cache

Frame = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]

# Module and class; "auto" prefers them in this order. By name, because no torch may come with `seg.runtime`.
_ENGINES = {
    "openvino": ("seg.runtime.engines.openvino_engine", "OpenVINOEngine"),
    "fused": ("seg.runtime.engines.fused_engine", "FusedEngine"),
    "onnxruntime": ("seg.runtime.engines.onnxruntime_engine", "OnnxRuntimeEngine"),
    "torch": ("seg.export.torch_engine", "TorchEngine"),
}
_PRECISIONS = {"openvino": ("fp32", "bf16", "int8"), "fused": ("fp32", "bf16"), "onnxruntime": ("fp32", "int8"),
               "torch": ("fp32",)}
_PACKAGES = {"openvino": "openvino", "fused": "numba", "onnxruntime": "onnxruntime", "torch": "torch"}
_PIP_NAMES = {**_PACKAGES, "torch": "'lraspp[export]'"}
NAMES = ("auto", *_ENGINES)
SIZES_KEPT = 16  # of what an engine makes for a frame size, as long as memory is plentiful
_LEAST_PIXELS_KEPT = 8 * 2**20  # of all of them together
_BYTES_PER_PIXEL = 100
_Made = TypeVar("_Made")
PRECISIONS = ("auto", "fp32", "bf16", "int8")


class Engine(Protocol):
    """Runs one network on frames of any size. Not for several threads at once: `Predictor` sees to that.

    Attributes:
        name: "openvino", "fused", "onnxruntime" or "torch".
        precision: of the arithmetic, as read back from the engine where it can say: "fp32", "bf16", "int8".
        threads: how many it uses, as read back where the engine can say.
        fixed_size_hw: (H, W) of the only frames that the network was exported for; None for any.
        first_call_ms: what was done once, such as "import", "read" and "compile".
    """

    @property
    def name(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def fixed_size_hw(self) -> tuple[int, int] | None: ...
    @property
    def first_call_ms(self) -> dict[str, float]: ...

    def logits(self, frame_bgr: Frame) -> Scores:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)), which the next call overwrites.

        The network decides on s: 8 with LR-ASPP, the output stride with R-ASPP.
        """
        ...


class Cell(NamedTuple):
    """An engine in one of its precisions."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class MissingEngine(SegError):
    """The engine's package is not installed."""


class UnavailablePrecision(SegError):
    """The engine, the processor or the weights don't have it."""


@contextmanager
def timed(costs_ms: dict[str, float], part: str) -> Iterator[None]:
    """Adds how long the block takes to `costs_ms[part]`."""
    start = time.perf_counter()
    yield
    costs_ms[part] = costs_ms.get(part, 0.0) + (time.perf_counter() - start) * 1000


class BySize(Generic[_Made]):
    """What an engine makes once for each frame size, and keeps for the latest of them, for it holds activations' memory.

    Several scales or windows of a frame go round and round; so many sizes are kept as fit into a quarter of the free memory.

    Args:
        make: makes it for (H, W).
        costs_ms: how long that took is added to "compile" there.
    """

    def __init__(self, make: Callable[[tuple[int, int]], _Made], costs_ms: dict[str, float]) -> None:
        self._make, self._costs_ms = make, costs_ms
        free = available_memory_bytes() or 0
        self._most_pixels = max(_LEAST_PIXELS_KEPT, free // 4 // _BYTES_PER_PIXEL)
        self._made: OrderedDict[tuple[int, int], _Made] = OrderedDict()

    def __call__(self, size_hw: tuple[int, int]) -> _Made:
        if size_hw in self._made:
            self._made.move_to_end(size_hw)
        else:
            with timed(self._costs_ms, "compile"):
                self._made[size_hw] = self._make(size_hw)
            while len(self._made) > 1 and (len(self._made) > SIZES_KEPT or self._pixels() > self._most_pixels):
                self._made.popitem(last=False)
        return self._made[size_hw]

    def _pixels(self) -> int:
        return sum(height * width for height, width in self._made)

    def __len__(self) -> int:
        return len(self._made)


def check_precision(engine: str, asked: str | None, found: str) -> None:
    """Refuses a network that is computed in another precision than was asked for.

    Raises:
        UnavailablePrecision: it is. None asks for nothing.
    """
    if asked not in (None, found):
        raise UnavailablePrecision(f"{engine} was asked for {asked} and computes this network in {found} on this processor. Ask "
                                   f"for {found}, or take another engine.")


def check_names(engine: str, precision: str) -> None:
    """Refuses what no engine is called, and precisions that an engine doesn't have on any processor.

    Raises:
        SegError: the message lists what there is.
    """
    if engine not in NAMES:
        raise SegError(f"There is no engine {engine!r}. {did_you_mean(engine, NAMES)}")
    if precision not in PRECISIONS:
        raise SegError(f"There is no precision {precision!r}. {did_you_mean(precision, PRECISIONS)}")
    if engine != "auto" and precision not in ("auto", *_PRECISIONS[engine]):
        others = [name for name, precisions in _PRECISIONS.items() if precision in precisions]
        raise UnavailablePrecision(f"The engine {engine!r} computes in {' or '.join(_PRECISIONS[engine])} here, not in "
                                   f"{precision}; for that take {' or '.join(map(repr, others))}.")


def model_file(weights: Path, cell: Cell) -> Path:
    """Returns the file that a cell runs: the safetensors for torch and our own engine, else an ONNX beside it.

    Raises:
        SegError: there is none; the message says how it is made.
    """
    if cell.engine in ("fused", "torch"):
        path = weights.with_suffix(".safetensors")
        if not path.is_file():
            raise SegError(f"The engine {cell.engine!r} runs safetensors, and beside {weights} there is no {path.name}. "
                           "Use another engine.")
        return path
    holds_int8 = held_precision(weights) == "int8"
    if cell.precision == "int8":
        path = weights if holds_int8 else files.int8_file(weights)
    elif holds_int8:
        raise UnavailablePrecision(f"{weights} holds int8; for {cell.precision} give the weights that it was made from.")
    else:
        path = weights.with_suffix(".onnx")
    if not path.is_file():
        in_int8, options = (" in int8", " --precision int8 --calibrate FOLDER") if cell.precision == "int8" else ("", "")
        raise SegError(f"There is no {path.name} beside {weights}, and that is what the engine {cell.engine!r} runs{in_int8}. "
                       f"Make it: python -m seg.export --weights {weights}{options}")
    return path


def held_precision(path: Path) -> str:
    """Returns in what precision a weights file or an export holds its network: "fp32" unless it says otherwise."""
    export = files.read_export(path) if path.suffix == ".onnx" else None
    return export.precision if export else "fp32"


def make(cell: Cell, weights: Path, threads: int, cache: Cache) -> Engine:
    """Makes the engine of a cell.

    Args:
        cell: neither of its names is "auto".
        weights: a .safetensors or .onnx file; `model_file` says what is run.
        threads: how many it may use.
        cache: for what it compiles.

    Raises:
        SegError: a package, a file or a precision is missing, or the file can't be run or is of other weights.
    """
    module_name, class_name = _ENGINES[cell.engine]
    costs_ms: dict[str, float] = {}
    try:
        with timed(costs_ms, "import"):
            module = import_module(module_name)
    except ImportError as error:
        raise MissingEngine(f"The engine {cell.engine!r} can't be used: {error}. "
                            f"Install it: pip install {_PIP_NAMES[cell.engine]}") from None
    path = model_file(weights, cell)
    _check_export(path, weights)
    made: Engine = getattr(module, class_name)(path, threads, precision=cell.precision, cache=cache)
    made.first_call_ms.update(costs_ms)
    return made


def cells(engine: str, precision: str, weights: Path) -> tuple[list[Cell], str | None]:
    """Returns which cells "auto" has to choose among, those that it prefers first, and a note if an engine is missing.

    What only the engine itself knows, such as whether the processor has bfloat16, is not asked here. torch, which takes
    seconds to import, is left for where nothing else is installed.

    Args:
        engine: one of `NAMES`.
        precision: one of `PRECISIONS`; together they passed `check_names`.
        weights: see `make`.

    Raises:
        MissingEngine: no engine that has the precision is installed.
        UnavailablePrecision: none of them runs what the file holds.
    """
    named = [name for name in (_ENGINES if engine == "auto" else [engine])
             if precision == "auto" or precision in _PRECISIONS[name]]
    if engine == "auto" and "fused" in named and not weights.with_suffix(".safetensors").is_file():
        named.remove("fused")
    # An engine that was asked for by name is not looked for: importing it says best what is wrong with it.
    installed = named if engine != "auto" else [name for name in named if find_spec(_PACKAGES[name]) is not None]
    if not installed:
        raise MissingEngine("There is no engine to run the network. Install the fastest one: pip install openvino")
    missing = named[:named.index(installed[0])]
    note = (f"{' and '.join(missing)} can't be used here (pip install {_PIP_NAMES[missing[0]]}); running on {installed[0]}."
            if missing else None)
    if installed[0] != "torch":
        installed = [name for name in installed if name != "torch"]
    if precision != "auto":
        wanted: tuple[str, ...] = (precision,)
    elif held_precision(weights) == "int8":
        wanted = ("int8",)
    else:
        wanted = ("fp32", "bf16", "int8") if files.int8_file(weights).is_file() else ("fp32", "bf16")
    found = [Cell(name, one) for one in wanted for name in installed if one in _PRECISIONS[name]]
    if not found:
        raise UnavailablePrecision(f"{weights} holds {wanted[0]}, which {' and '.join(installed)} can't run here.")
    return found, note


def _check_export(path: Path, weights: Path) -> None:
    """Refuses a file that was not made from these weights, or that gives no scores.

    Raises:
        SegError: it is such a file.
    """
    export = files.read_export(path) if path.suffix == ".onnx" else None
    if export is not None and export.output != "scores":
        raise SegError(f"{path} gives {export.output}, and scores are needed here. Make it anew: python -m seg.export "
                       "--output scores")
    if path == weights:
        return
    same = files.read_description(path) == files.read_description(weights)
    if export is not None and export.weights_sha256 is not None and weights.suffix == ".safetensors":
        same = same and export.weights_sha256 == files.sha256(weights)
    if not same:
        more = f" --precision {export.precision} --calibrate FOLDER" if export and export.precision == "int8" else ""
        raise SegError(f"{path} was not made from {weights}: it is of other weights. Make it anew: "
                       f"python -m seg.export --weights {weights.with_suffix('.safetensors')}{more}")
