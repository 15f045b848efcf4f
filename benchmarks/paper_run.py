"""The work of `benchmarks.paper_table`: builds, counts, exports, times and profiles the chosen networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.layers import PROFILE_RUNS, Layer, profile, total
from benchmarks.measure import WARM_UP_RUNS, measure
from benchmarks.networks import export, frame_to_labels, make_frame
from benchmarks.paper_report import PaperFindings, Size
from benchmarks.paper_rows import HEADLINES, Entry, first_alike
from benchmarks.peak import peak_gmacs
from benchmarks.reasons import kinds_table
from seg.document import Block, Document, Heading, Origin, Table
from seg.document.words import count, size
from seg.models.network import SegmentationNetwork
from seg.models.paper import FULL_MADDS_HW, HALF_MADDS_HW, madds
from seg.runtime import Predictor

ENGINE = "openvino"  # the fastest for all of these networks
_TEMPORARY = "lraspp-benchmark-"

Done = Callable[[str], None]
"""Called after each step with a description of it."""


@dataclass(frozen=True)
class PaperRun:
    """The settings of a run.

    Attributes:
        entries: the networks, in the tables' order.
        networks: the different networks, by id.
        first_alike: by each entry's id, the id of its network.
        sizes_hw: frame sizes.
        threads: numbers of threads; each is timed separately.
        rounds: how often each network is timed.
    """

    entries: Sequence[Entry]
    networks: dict[str, SegmentationNetwork]
    first_alike: dict[str, str]
    sizes_hw: Sequence[Size]
    threads: Sequence[int]
    rounds: int

    @classmethod
    def make(cls, entries: Sequence[Entry], sizes_hw: Sequence[Size], threads: Sequence[int], rounds: int) -> "PaperRun":
        """Builds the networks, with random weights."""
        torch.manual_seed(0)
        built = {entry.id: entry.network.build() for entry in entries}
        alike = first_alike(built)
        return cls(entries, {id: built[id] for id in dict.fromkeys(alike.values())}, alike, sizes_hw, threads, rounds)

    @property
    def profiled(self) -> list[str]:
        """The ids in the paper's comparisons for which both networks were chosen."""
        return [id for pair in HEADLINES if set(pair) <= set(self.first_alike) for id in pair]

    @property
    def steps(self) -> int:
        """The number of steps that `find_out` reports."""
        timed = len(self.networks) * (WARM_UP_RUNS + self.rounds) * len(self.threads)
        profiled = len(self.profiled) * (WARM_UP_RUNS + PROFILE_RUNS)
        return len(self.networks) + len(self.sizes_hw) * (len(self.networks) + timed + profiled)


def find_out(plan: PaperRun, origin: Origin, done: Done) -> PaperFindings:
    """Measures everything; it takes about a minute for each size and number of threads, and ten seconds for a network.

    Raises:
        SegError: a network can't be exported or run, or there is too little memory.
    """
    findings = PaperFindings(origin, plan.entries, plan.first_alike, plan.rounds, min(plan.threads))
    sizes_counted = dict.fromkeys((FULL_MADDS_HW, HALF_MADDS_HW, *plan.sizes_hw))
    counted, parameters = {}, {}
    for id, network in plan.networks.items():
        counted[id] = {size_hw: madds(network, size_hw) for size_hw in sizes_counted}
        parameters[id] = sum(parameter.numel() for parameter in network.parameters())
        done(f"counted {id}")
    findings.madds = {id: counted[alike] for id, alike in plan.first_alike.items()}
    findings.parameters = {id: parameters[alike] for id, alike in plan.first_alike.items()}
    for size_hw in plan.sizes_hw:
        with TemporaryDirectory(prefix=_TEMPORARY) as folder:
            files = {}
            for id, network in plan.networks.items():
                files[id] = export(network, Path(folder) / f"{id}.onnx", size_hw)
                done(f"{size(size_hw)}: exported {id}")
            for threads in plan.threads:
                _time(findings, files, size_hw, threads, done)
            _profile(findings, {id: files[id] for id in plan.profiled}, size_hw, done)
    return findings


def _time(findings: PaperFindings, files: dict[str, Path], size_hw: Size, threads: int, done: Done) -> None:
    """Times all networks against each other at one size and number of threads; only these are in memory during that time."""
    frame = make_frame(size_hw)
    predictors = {id: Predictor.load(path, engine=ENGINE, precision="fp32", threads=threads, size="own")
                  for id, path in files.items()}
    before = peak_gmacs(threads)
    where = f"{size(size_hw)}, {count(threads, 'thread')}"
    findings.latencies[size_hw, threads] = measure(
        {id: frame_to_labels(predictor, frame) for id, predictor in predictors.items()}, findings.rounds,
        on_run=lambda id: done(f"{where}: timed {id}"))
    findings.peaks[threads] = max(before, peak_gmacs(threads), findings.peaks.get(threads, 0.0))
    one = next(iter(predictors.values()))
    findings.engine = f"{one.engine} in {one.precision}"


def _profile(findings: PaperFindings, files: dict[str, Path], size_hw: Size, done: Done) -> None:
    where = f"{size(size_hw)}, {count(findings.profile_threads, 'thread')}"
    profiles = profile(files, make_frame(size_hw), findings.profile_threads, on_run=lambda id: done(f"{where}: profiled {id}"))
    findings.profiles.update({(size_hw, id): layers for id, layers in profiles.items()})


def profile_one(entry: Entry, sizes_hw: Sequence[Size], threads: Sequence[int], done: Done) -> Document:
    """Returns the profile of one network: by kind of layer and layer by layer, at each size and number of threads.

    Raises:
        SegError: see `find_out`.
    """
    network = entry.network.build()
    blocks: list[Block] = []
    for size_hw in sizes_hw:
        with TemporaryDirectory(prefix=_TEMPORARY) as folder:
            file = export(network, Path(folder) / "network.onnx", size_hw)
            done(entry.id)
            for number in threads:
                layers = profile({entry.id: file}, make_frame(size_hw), number, on_run=done)[entry.id]
                blocks += [Heading(f"{size(size_hw)}, {count(number, 'thread')}, {peak_gmacs(number):.1f} GMAC/s in a matrix "
                                   "product"), _layers_table(layers), kinds_table([(entry.name(), layers)])]
    return Document(f"Where the time of {entry.name()} goes", blocks)


def profile_steps(sizes_hw: Sequence[Size], threads: Sequence[int]) -> int:
    """Returns the number of steps that `profile_one` reports."""
    return len(sizes_hw) * (1 + len(threads) * (WARM_UP_RUNS + PROFILE_RUNS))


def _layers_table(layers: Sequence[Layer]) -> Table:
    whole = total(layers).time_ms or 1.0
    rows = [(layer.name, layer.kind, layer.kernel, "x".join(map(str, layer.shape)), f"{layer.time_ms:.2f}",
             f"{100 * layer.time_ms / whole:.1f}", f"{layer.macs / 1e6:.1f}" if layer.macs else "–") for layer in layers]
    return Table.of(("layer", "kind", "kernel", "output", "ms", "%", "MMACs"), rows, left=4)
