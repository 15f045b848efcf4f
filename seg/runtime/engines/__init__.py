"""What runs the network: OpenVINO, onnxruntime, or torch as the reference. Each is imported when asked for."""

from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seg.errors import SegError, did_you_mean

# Module and class; "auto" tries them in this order. By name, because no torch may come with `seg.runtime`.
_ENGINES = {
    "openvino": ("seg.runtime.engines.openvino_engine", "OpenVINOEngine"),
    "onnxruntime": ("seg.runtime.engines.onnxruntime_engine", "OnnxRuntimeEngine"),
    "torch": ("seg.export.torch_engine", "TorchEngine"),
}
_PIP_NAMES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "'lraspp[export]'"}
NAMES = ("auto", *_ENGINES)


class Engine(Protocol):
    """Runs one network on frames of any size. Not for several threads at once: `Predictor` sees to that.

    Attributes:
        name: "openvino", "onnxruntime" or "torch".
        precision: of the arithmetic, as read back from the engine where it can say: "fp32", "bf16", "fp16".
        threads: how many it uses, as read back where the engine can say.
        fixed_size_hw: (H, W) of the only frames that the network was exported for; None for any.
    """

    name: str
    precision: str
    threads: int
    fixed_size_hw: tuple[int, int] | None

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a C-contiguous (H, W, 3) frame to scores (C, ceil(H/s), ceil(W/s)), which the next call overwrites.

        The network decides on s: 8 with LR-ASPP, the output stride with R-ASPP.
        """
        ...


class MissingEngine(SegError):
    """The engine's package is not installed."""


def check_name(name: str) -> None:
    """Refuses an unknown engine.

    Raises:
        SegError: the message lists the known ones.
    """
    if name not in NAMES:
        raise SegError(f"There is no engine {name!r}. {did_you_mean(name, NAMES)}")


def model_file(weights: Path, engine: str) -> Path:
    """Returns the file that `engine` runs: the safetensors for torch, the ONNX beside it for the others.

    Raises:
        SegError: there is none; the message says how it is made.
    """
    if engine == "torch":
        path = weights.with_suffix(".safetensors")
        if not path.is_file():
            raise SegError(f"The engine 'torch' runs safetensors, and beside {weights} there is no {path.name}. "
                           "Use another engine.")
        return path
    path = weights.with_suffix(".onnx")
    if not path.is_file():
        raise SegError(f"There is no {path.name} beside {weights}, and that is what the engine {engine!r} runs. "
                       f"Make it: python -m seg.export --weights {weights}")
    return path


def make(name: str, weights: Path, threads: int) -> tuple[Engine, str | None]:
    """Makes the engine, or for "auto" the first whose package is installed.

    Args:
        name: one of `NAMES`.
        weights: a .safetensors or .onnx file; `model_file` says what is run.
        threads: how many it may use.

    Returns:
        The engine, and a note where "auto" fell back to another than its first choice.

    Raises:
        SegError: the name is unknown, a package or a file is missing, or the file can't be run.
    """
    check_name(name)
    if name != "auto":
        return _make(name, weights, threads), None
    missing: list[str] = []
    for candidate in _ENGINES:
        try:
            engine = _make(candidate, weights, threads)
        except MissingEngine:
            missing.append(candidate)
            continue
        if not missing:
            return engine, None
        return engine, (f"{' and '.join(missing)} can't be used here (pip install {_PIP_NAMES[missing[0]]}); running on "
                        f"{candidate}.")
    raise MissingEngine("There is no engine to run the network. Install the fastest one: pip install openvino")


def _make(name: str, weights: Path, threads: int) -> Engine:
    module_name, class_name = _ENGINES[name]
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise MissingEngine(f"The engine {name!r} can't be used: {error}. "
                            f"Install it: pip install {_PIP_NAMES[name]}") from None
    engine: Engine = getattr(module, class_name)(model_file(weights, name), threads)
    return engine
