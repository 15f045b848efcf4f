"""The contestants of `benchmarks.cpu`: our networks in every engine and precision, and what users would pick instead.

Each has an id, says which packages it needs, and is built for one frame size and number of threads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import cpu_others as others
from benchmarks.cpu_others import Frame, Labels
from seg.errors import SegError, did_you_mean
from seg.runtime.engines.table import AUTO, ENGINES, PRECISIONS
from seg.weights import int8_file

FIRST = "torchvision-eager"  # with which all others are compared


class Setup(NamedTuple):
    """The inputs for building a contestant.

    Attributes:
        folder: a folder filled by `benchmarks.cpu_files.make`.
        frame: (H, W, 3) uint8 BGR.
        threads: how many threads may work on it.
        classes: number of classes in its label map.
    """

    folder: Path
    frame: Frame
    threads: int
    classes: int


class Running(NamedTuple):
    """A contestant that is ready to run.

    Attributes:
        run: labels the frame; returns the label map, and milliseconds by stage if they are known.
        runs_in: returns, after a run, engine and precision, read back if possible.
        note: returns, after a run, a remark about the choice of both.
    """

    run: Callable[[], tuple[Labels, Mapping[str, float]]]
    runs_in: Callable[[], str]
    note: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class System:
    """A contestant.

    Attributes:
        id: name on the command line.
        label: name in tables.
        build: builds it; a SegError says why it can't run here.
        packages: packages that it needs.
        network: one of `benchmarks.cpu_files.NETWORKS`, or "torchvision"; None if it needs no file.
        precision: precision of its arithmetic, if the network is ours; "auto" for the fastest one.
        ours: whether `seg.Predictor` runs it.
    """

    id: str
    label: str
    build: Callable[[Setup], Running]
    packages: tuple[str, ...] = ("torch",)
    network: str | None = None
    precision: str | None = None
    ours: bool = False

    def missing(self) -> str | None:
        """Returns a sentence that names the missing packages; None if all are installed."""
        names = [name for name in self.packages if find_spec(name) is None]
        return f"not installed: {', '.join(names)}" if names else None


def all_systems() -> list[System]:
    """Returns every contestant; the others are compared with the first one."""
    systems = [
        _torch(FIRST, "torchvision LR-ASPP, eager"),
        _torch("torchvision-channels-last", "torchvision LR-ASPP, channels last", channels_last=True),
        _torch("torchvision-compile", "torchvision LR-ASPP, torch.compile", compiled=True),
        System("torchvision-onnxruntime", "torchvision LR-ASPP, ONNX Runtime, upsampling and argmax in the graph",
               lambda setup: _running(others.in_onnxruntime(setup.folder / "torchvision.onnx", setup.threads), setup.frame,
                                      "onnxruntime fp32"), ("torchvision", "onnx", "onnxruntime"), "torchvision"),
        _smp("smp-deeplabv3plus", "DeepLabV3Plus", "mobilenet_v2", "SMP DeepLabV3+, MobileNetV2"),
        _smp("smp-unet", "Unet", "mobilenet_v2", "SMP Unet, MobileNetV2"),
        _smp("smp-segformer", "Segformer", "mit_b0", "SMP SegFormer, MiT-B0"),
    ]
    cells = [*((engine, precision) for engine, entry in ENGINES.items() for precision in entry.runs), (AUTO, AUTO)]
    for network in ("large", "small"):
        systems += [_plain(network, precision) for precision in PRECISIONS]
        systems += [_ours(network, engine, precision) for engine, precision in cells]
    return systems


def choose(names: Sequence[str]) -> list[System]:
    """Returns the systems with these ids or with ids that begin with them up to a hyphen, in order; all for no names.

    Raises:
        SegError: no system has such an id.
    """
    systems = all_systems()
    for name in names:
        if not any(_fits(system.id, name) for system in systems):
            raise SegError(f"There is no system {name!r}. {did_you_mean(name, [system.id for system in systems])}")
    return [system for system in systems if not names or any(_fits(system.id, name) for name in names)]


def _fits(id: str, name: str) -> bool:
    return id == name or id.startswith(f"{name}-")


def _running(label: others.Label, frame: Frame, runs_in: str) -> Running:
    return Running(lambda: (label(frame), {}), lambda: runs_in)


def _torch(id: str, label: str, channels_last: bool = False, compiled: bool = False) -> System:
    def build(setup: Setup) -> Running:
        run = others.in_torch(others.torchvision_network(setup.classes), setup.threads, channels_last=channels_last,
                              compiled=compiled, scores=lambda given: given["out"])
        return _running(run, setup.frame, "torch fp32")

    return System(id, label, build, ("torch", "torchvision"))


def _smp(id: str, kind: str, encoder: str, label: str) -> System:
    def build(setup: Setup) -> Running:
        run = others.in_torch(others.smp_network(kind, encoder, setup.classes), setup.threads)
        return _running(run, setup.frame, "torch fp32")

    return System(id, label, build, ("torch", "segmentation_models_pytorch"))


def _plain(network: str, precision: str) -> System:
    def build(setup: Setup) -> Running:
        if precision == "bf16":
            from seg.runtime.engines.openvino_engine import check_bf16

            check_bf16()
        run = others.plain_openvino(_file(setup.folder, network, precision), setup.threads, precision)
        return _running(run, setup.frame, f"openvino {precision}")

    return System(f"plain-openvino-{network}-{precision}",
                  f"our {network.capitalize()} in plain OpenVINO, upsampling and argmax in the graph", build, ("openvino",),
                  network, precision)


def _ours(network: str, engine: str, precision: str) -> System:
    def build(setup: Setup) -> Running:
        from seg.runtime import Predictor

        predictor = Predictor.load(setup.folder / f"{network}.safetensors", engine=engine, precision=precision,
                                   threads=setup.threads, size="own")
        out = np.empty(setup.frame.shape[:2], np.uint8)

        def run() -> tuple[Labels, Mapping[str, float]]:
            prediction = predictor(setup.frame, out)
            return prediction.train_ids, prediction.latency_ms

        return Running(run, lambda: f"{predictor.engine} {predictor.precision}", lambda: " ".join(predictor.notes))

    id = f"{network}-{AUTO}" if engine == AUTO else f"{network}-{engine}-{precision}"
    packages = () if engine == AUTO else (ENGINES[engine].package,)
    label = f"ours, {network.capitalize()}{', auto' if engine == AUTO else ''}"
    return System(id, label, build, packages, network, precision, ours=True)


def _file(folder: Path, network: str, precision: str) -> Path:
    path = folder / f"{network}.onnx"
    path = int8_file(path) if precision == "int8" else path
    if not path.is_file():
        raise SegError(f"there is no {path.name}")
    return path
