"""All engines, and what each needs and can do. All knowledge about an engine is read from here.

Nothing is imported: modules and packages are given by name, because `seg.runtime` must not import torch, and the
command line lists the engines before any of them is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from seg.errors import SegError, did_you_mean
from seg.runtime.protocol import UnavailablePrecision

AUTO = "auto"
SAFETENSORS, ONNX, INT8_ONNX = "safetensors", "onnx", "int8 onnx"  # kinds of file: the weights, and exports next to them


@dataclass(frozen=True)
class Entry:
    """An engine.

    Attributes:
        module, class_name: its class; `make.make` describes how it is called.
        package: the package that must be installed for it.
        install: what to give to pip if it isn't installed.
        runs: the kind of file that it runs, by precision. These are the precisions that it supports on some processor; whether
            this processor supports them, only the engine itself knows.
        bytes_per_pixel: memory that a frame takes at its peak, measured with the larger of the shipped networks, in float32,
            and rounded up.
        last_resort: whether "auto" uses it only if there is no other engine, because it is slow to start or to run.
        loops: a module whose loops are compiled once per machine and precision, which takes seconds: `load` compiles them or
            loads the kept code, and `state` says which of the two will happen. None for an engine that comes compiled.
    """

    module: str
    class_name: str
    package: str
    install: str
    runs: Mapping[str, str]
    bytes_per_pixel: int
    last_resort: bool = False
    loops: str | None = None


ENGINES: dict[str, Entry] = {  # the order of preference for "auto" if nothing else decides
    "openvino": Entry("seg.runtime.engines.openvino_engine", "OpenVINOEngine", "openvino", "openvino",
                      {"fp32": ONNX, "bf16": ONNX, "int8": INT8_ONNX}, bytes_per_pixel=80),
    "fused": Entry("seg.runtime.engines.fused_engine", "FusedEngine", "numba", "numba",
                   {"fp32": SAFETENSORS, "bf16": SAFETENSORS, "int8": INT8_ONNX}, bytes_per_pixel=100,
                   loops="seg.runtime.fused.kernels"),
    "onnxruntime": Entry("seg.runtime.engines.onnxruntime_engine", "OnnxRuntimeEngine", "onnxruntime", "onnxruntime",
                         {"fp32": ONNX, "int8": INT8_ONNX}, bytes_per_pixel=280),
    "torch": Entry("seg.export.torch_engine", "TorchEngine", "torch", "'lraspp[export]'", {"fp32": SAFETENSORS},
                   bytes_per_pixel=280, last_resort=True),
}
PRECISIONS = ("fp32", "bf16", "int8")  # the most exact first


def names() -> tuple[str, ...]:
    """Returns the engine names that a user can give."""
    return AUTO, *ENGINES


def precisions() -> tuple[str, ...]:
    """Returns the precisions that a user can give."""
    return AUTO, *PRECISIONS


def those_with(precision: str) -> list[str]:
    """Returns the engines that have a precision, in order."""
    return [name for name, entry in ENGINES.items() if precision in entry.runs]


def check_names(engine: str, precision: str) -> None:
    """Refuses unknown names, and precisions that an engine doesn't have on any processor.

    Raises:
        SegError: a name or the pair is unknown; the message lists the possible ones.
    """
    if engine not in names():
        raise SegError(f"There is no engine {engine!r}. {did_you_mean(engine, names())}")
    if precision not in precisions():
        raise SegError(f"There is no precision {precision!r}. {did_you_mean(precision, precisions())}")
    if AUTO not in (engine, precision) and precision not in ENGINES[engine].runs:
        raise UnavailablePrecision(f"The engine {engine!r} computes in {' or '.join(ENGINES[engine].runs)} here, not in "
                                   f"{precision}; for that take {' or '.join(map(repr, those_with(precision)))}.")
