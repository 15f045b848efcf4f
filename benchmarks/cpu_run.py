"""The work of `benchmarks.cpu`: makes the files, builds the contestants, and measures them against each other."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import cpu_files
from benchmarks.alone import CACHE_VARIABLE, First
from benchmarks.cpu_first import first
from benchmarks.cpu_systems import Running, Setup, System
from benchmarks.fused_steps import conversions_ms
from benchmarks.layers import by_kind, profile
from benchmarks.measure import WARM_UP_RUNS, Measurement, measure
from benchmarks.peak import peak_gmacs
from seg.document import Origin
from seg.document.words import count, size
from seg.errors import SegError
from seg.models.paper import madds
from seg.runtime import Predictor
from seg.runtime.protocol import UnavailablePrecision
from seg.runtime.upsample import upsample_argmax
from seg.weights import int8_file

Size = tuple[int, int]
Case = tuple[Size, int]
"""A frame size and a number of threads."""
_SETTLE_S = 0.1  # ONNX Runtime's threads spin for more than 20 ms, and disturb the next contestant
_CONVERSIONS = ("input", "reorder")  # kinds of layers that only convert data
KERNEL, TORCH = "upsample_argmax", "torch"  # the separate comparison of the upsampling


@dataclass
class CpuFindings:
    """The data of the report.

    Attributes:
        systems: the chosen systems, in order.
        left_out: by id (and by case if not all cases are affected), why a system didn't run.
        latencies: by case, then by id.
        runs_in: by case and id, engine and precision.
        notes: by case and id, remarks about that choice.
        agreements: by case and id, share of the labels that equal those of the same network in torch.
        firsts: by case and id, a start without a cache and one with the earlier start's cache.
        macs: by network and frame size, multiply-adds of its convolutions.
        peaks: by threads and precision, 10^9 multiply-adds per second of a matrix product.
        conversions_ms: by case, network, and engine with precision: the network's time for colour order, normalisation
            and layout.
        upsampling: by case, our kernel against torch's interpolation and argmax.
        rounds: how often each system was timed.
    """

    origin: Origin
    systems: Sequence[System]
    rounds: int
    left_out: dict[str, str] = field(default_factory=dict)
    latencies: dict[Case, Measurement] = field(default_factory=dict)
    runs_in: dict[tuple[Case, str], str] = field(default_factory=dict)
    notes: dict[tuple[Case, str], str] = field(default_factory=dict)
    agreements: dict[tuple[Case, str], float] = field(default_factory=dict)
    firsts: dict[tuple[Case, str], tuple[First, First]] = field(default_factory=dict)
    macs: dict[tuple[str, Size], int] = field(default_factory=dict)
    peaks: dict[tuple[int, str], float] = field(default_factory=dict)
    conversions_ms: dict[tuple[Case, str, str], float] = field(default_factory=dict)
    upsampling: dict[Case, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class CpuRun:
    """The settings of a run.

    Attributes:
        systems: systems to measure.
        sizes_hw: frame sizes.
        threads: numbers of threads; each is measured separately.
        rounds: how often each system is timed.
        pictures: pictures for the frames; if there are none, scenes are rendered.
    """

    systems: Sequence[System]
    sizes_hw: Sequence[Size]
    threads: Sequence[int]
    rounds: int
    pictures: Sequence[str | Path] = ()


Done = Callable[[str], None]
"""Called after each step with a description of it."""


def find_out(plan: CpuRun, origin: Origin, done: Done) -> CpuFindings:
    """Makes the files and measures all cases.

    Raises:
        SegError: a network can't be exported, a picture can't be read, or no system runs.
    """
    findings = CpuFindings(origin, plan.systems, plan.rounds)
    findings.left_out = {system.id: reason for system in plan.systems if (reason := system.missing())}
    there = [system for system in plan.systems if system.id not in findings.left_out]
    wanted = {(system.network, precision) for system in there if system.network
              for precision in (("fp32", "int8") if system.precision == "auto" else ("fp32", system.precision))}
    for size_hw in plan.sizes_hw:
        with TemporaryDirectory(prefix="lraspp-benchmark-") as name, _cache_in(Path(name) / "cache"):
            folder = Path(name)
            failed = cpu_files.make(folder, size_hw, wanted, plan.pictures, done)
            findings.left_out.update({f"int8 of {network} at {size(size_hw)}": why for network, why in failed.items()})
            _count(findings, size_hw)
            for threads in plan.threads:
                _contest(findings, there, folder, (size_hw, threads), threads == max(plan.threads), done)
    return findings


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Keeps earlier choices out of this run, and this run's compiled networks out of the user's folder."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[CACHE_VARIABLE]
        if before is not None:
            os.environ[CACHE_VARIABLE] = before


def _count(findings: CpuFindings, size_hw: Size) -> None:
    for network in cpu_files.NETWORKS:
        findings.macs[network, size_hw] = madds(cpu_files.build(network), size_hw).convolutions


def _contest(findings: CpuFindings, systems: Sequence[System], folder: Path, case: Case, with_firsts: bool, done: Done) -> None:
    """Builds all systems and times them in turn; then, if asked, measures each alone in a separate process."""
    size_hw, threads = case
    where = f"{size(size_hw)}, {count(threads, 'thread')}"
    setup = Setup(folder, np.load(folder / cpu_files.FRAME), threads, cpu_files.CLASSES)
    running: dict[str, Running] = {}
    for system in systems:
        try:
            built = system.build(setup)
            _check(built, size_hw)
        except (SegError, RuntimeError, ModuleNotFoundError) as error:  # compilers and engines raise their own kinds of errors
            findings.left_out[f"{system.id} at {where}"] = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        else:
            running[system.id] = built
        done(f"{where}: built {system.id}")
    if not running:
        reasons = "; ".join(f"{id}: {why}" for id, why in findings.left_out.items())
        raise SegError(f"At {where} none of the systems can run. {reasons}")
    before = peak_gmacs(threads)
    findings.latencies[case] = measure({id: _timed(built) for id, built in running.items()}, findings.rounds,
                                       on_run=lambda id: done(f"{where}: timed {id}"), settle_s=_SETTLE_S)
    findings.peaks[threads, "fp32"] = max(before, peak_gmacs(threads), findings.peaks.get((threads, "fp32"), 0.0))
    ran = [system for system in systems if system.id in running]
    for system in ran:
        findings.runs_in[case, system.id] = running[system.id].runs_in()
        if note := running[system.id].note():
            findings.notes[case, system.id] = note
    _agree(findings, ran, running, setup, case)
    for precision in {system.precision for system in ran if system.precision in ("bf16", "int8")}:
        findings.peaks[threads, precision] = max(peak_gmacs(threads, precision), findings.peaks.get((threads, precision), 0.0))
    _inside(findings, ran, setup, case)
    if with_firsts:
        running.clear()  # frees the memory for the next step
        for system in ran:
            with TemporaryDirectory(dir=folder) as caches:
                # in its second start "auto" tries what the first start compiled
                cold, _, warm = (first(folder, system.id, threads, setup.classes, Path(caches)) for _ in range(3))
            findings.firsts[case, system.id] = cold, warm
            done(f"{where}: started {system.id}")


def _timed(running: Running) -> Callable[[], Mapping[str, float]]:
    return lambda: running.run()[1]


def _check(running: Running, size_hw: Size) -> None:
    """Refuses a system that returns something other than a label map.

    Raises:
        SegError: the result is not a label map.
    """
    labels, _ = running.run()
    if labels.dtype != np.uint8 or labels.shape != size_hw:
        raise SegError(f"it gives {labels.dtype} {labels.shape}, not uint8 {size_hw}")


def _agree(findings: CpuFindings, systems: Sequence[System], running: Mapping[str, Running], setup: Setup, case: Case) -> None:
    """Compares the labels of our networks with those of torch."""
    for network in {system.network for system in systems} & set(cpu_files.NETWORKS):
        weights = setup.folder / f"{network}.safetensors"
        expected = Predictor.load(weights, engine="torch", threads=setup.threads, size="own")(setup.frame).train_ids
        for system in systems:
            if system.network == network:
                findings.agreements[case, system.id] = float((running[system.id].run()[0] == expected).mean())


def _inside(findings: CpuFindings, systems: Sequence[System], setup: Setup, case: Case) -> None:
    """Profiles our networks in OpenVINO and in our engine, and times the upsampling against torch's."""
    networks = [name for name in cpu_files.NETWORKS if any(system.ours and system.network == name for system in systems)]
    files = {(name, "fp32"): setup.folder / f"{name}.onnx" for name in networks}
    files |= {(name, "int8"): path for (name, _), weights in list(files.items()) if (path := int8_file(weights)).is_file()}
    if not files:
        return
    profiles = profile({"/".join(key): path for key, path in files.items()}, setup.frame, setup.threads)
    for name, precision in files:
        kinds = by_kind(profiles[f"{name}/{precision}"])
        findings.conversions_ms[case, name, f"openvino {precision}"] = sum(
            kinds[kind].time_ms for kind in _CONVERSIONS if kind in kinds)
    for name in networks:
        for precision in ("fp32", "bf16"):
            with suppress(UnavailablePrecision):
                findings.conversions_ms[case, name, f"fused {precision}"] = conversions_ms(
                    setup.folder / f"{name}.safetensors", setup.frame, setup.threads, precision)
    findings.upsampling[case] = _upsampling(next(iter(files.values())), setup, findings.rounds)


def _upsampling(path: Path, setup: Setup, rounds: int) -> Measurement:
    """Times our kernel and torch's interpolation with argmax on the scores of the frame."""
    import torch
    from torch.nn import functional as F

    from seg.runtime.engines.openvino_engine import OpenVINOEngine

    scores = OpenVINOEngine(path, setup.threads).logits(setup.frame).copy()
    size_hw = setup.frame.shape[0], setup.frame.shape[1]
    out = np.empty(size_hw, np.uint8)
    torch.set_num_threads(setup.threads)

    def in_torch() -> None:
        with torch.inference_mode():
            large = F.interpolate(torch.from_numpy(scores)[None], size_hw, mode="bilinear", align_corners=False)
            large.argmax(1).to(torch.uint8)

    def kernel() -> None:
        upsample_argmax(scores, size_hw, out, threads=setup.threads)

    return measure({KERNEL: kernel, TORCH: in_torch}, rounds)


def steps(plan: CpuRun) -> int:
    """Returns the largest number of steps that `find_out` reports."""
    there = [system for system in plan.systems if not system.missing()]
    files = len({system.network for system in there if system.network}) * 2 + 1
    each = len(there) * (1 + WARM_UP_RUNS + plan.rounds)
    return len(plan.sizes_hw) * (files + len(plan.threads) * each + len(there))
