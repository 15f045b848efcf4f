"""The results of `benchmarks.paper_table` as tables, sentences, data and a chart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.layers import Layer
from benchmarks.measure import TOTAL, Measurement, Spread
from benchmarks.paper_rows import HEADLINES, Entry
from benchmarks.reasons import Pair, explain, less, three_digits
from seg.document import Block, Chart, Document, Emphasis, Heading, Origin, Table, Text
from seg.document.words import count, size
from seg.models.paper import FULL_HW, FULL_MADDS_HW, HALF_MADDS_HW, MAdds
from seg.report.pareto import Panel, Point, draw

Size = tuple[int, int]
NETWORK = "network"  # the predictor's stage; fitting the frame and making the label map are not part of it
PHONE = "Pixel 3, one core (published)"


@dataclass
class PaperFindings:
    """The data of the report.

    Attributes:
        entries: the networks, in the tables' order.
        first_alike: by id, the id under which the same network was timed.
        parameters, madds: by id; multiply-adds also by frame size.
        latencies: by frame size and threads, then by id.
        peaks: by threads, 10^9 multiply-adds per second of a matrix product.
        profiles: by frame size and id, with `profile_threads` threads.
        rounds: how often each network was timed.
        engine: name and precision, read back from the engine.
    """

    origin: Origin
    entries: Sequence[Entry]
    first_alike: Mapping[str, str]
    rounds: int
    profile_threads: int
    engine: str = ""
    parameters: dict[str, int] = field(default_factory=dict)
    madds: dict[str, dict[Size, MAdds]] = field(default_factory=dict)
    latencies: dict[tuple[Size, int], Measurement] = field(default_factory=dict)
    peaks: dict[int, float] = field(default_factory=dict)
    profiles: dict[tuple[Size, str], list[Layer]] = field(default_factory=dict)

    @property
    def sizes(self) -> list[Size]:
        """The frame sizes that were timed."""
        return list(dict.fromkeys(size for size, _ in self.latencies))

    @property
    def threads(self) -> list[int]:
        """The numbers of threads that were timed."""
        return list(dict.fromkeys(threads for _, threads in self.latencies))

    def spread(self, entry: Entry, size_hw: Size, threads: int, stage: str) -> Spread:
        """Returns the latency of a network's stage, in ms."""
        return self.latencies[size_hw, threads].spread(self.first_alike[entry.id], stage)

    def headlines(self) -> list[tuple[Entry, Entry]]:
        """Returns the pairs (slow, fast) that the paper compares, if both were timed."""
        by_id = {entry.id: entry for entry in self.entries}
        return [(by_id[slow], by_id[fast]) for slow, fast in HEADLINES if slow in by_id and fast in by_id]


def report(findings: PaperFindings) -> Document:
    """Returns the whole report."""
    blocks: list[Block] = [_how(findings), *_chart(findings)]
    if findings.headlines():
        blocks += [Heading("Less time"), _headline_table(findings)]
    for size_hw in findings.sizes:
        blocks += [Heading(f"Latency at {size(size_hw)}"), _latency_table(findings, size_hw)]
    blocks += [Heading("Parameters and multiply-adds"), _counts(), _arithmetic_table(findings, FULL_MADDS_HW),
               _arithmetic_table(findings, HALF_MADDS_HW)]
    for pair, size_hw in _pairs(findings):
        blocks += [Heading(f"Why: {pair.fast} against {pair.slow} at {size(size_hw)}, "
                           f"{count(findings.profile_threads, 'thread')}"), *explain(pair)]
    return Document("The paper's networks, as published and as measured here", blocks, findings.origin, _to_dict(findings))


def _to_dict(findings: PaperFindings) -> dict[str, Any]:
    """Returns every figure, for JSON."""
    networks = []
    for entry in findings.entries:
        row = entry.row
        published = {"miou": row.miou, "miou_on": "val" if entry.in_table_7 else "test", "params_millions": row.millions,
                     "madds_full": row.madds_full, "madds_half": row.madds_half, "cpu_full_s": row.cpu_full_s,
                     "cpu_half_s": row.cpu_half_s} if row else None
        networks.append({
            "id": entry.id, "label": entry.network.label, "timed_as": findings.first_alike[entry.id], "published": published,
            "arguments": entry.network.arguments, "class": entry.network.kind.__name__, "params": findings.parameters[entry.id],
            "madds": [{"size_hw": list(size_hw), **vars(madds)} for size_hw, madds in findings.madds[entry.id].items()]})
    return {
        "engine": findings.engine, "rounds": findings.rounds, "networks": networks,
        "latency_ms": [{"size_hw": list(size_hw), "threads": threads, "networks": measurement.to_dict()}
                       for (size_hw, threads), measurement in findings.latencies.items()],
        "ratios": [{"slow": pair.slow, "fast": pair.fast, "size_hw": list(size_hw), "threads": findings.profile_threads,
                    "published": pair.published_ratio, "network": pair.measured_ratio.to_dict(), "multiply_adds": pair.macs_ratio}
                   for pair, size_hw in _pairs(findings)],
        "peak_gmacs_per_s": {str(threads): peak for threads, peak in findings.peaks.items()},
        "profiles": [{"size_hw": list(size_hw), "threads": findings.profile_threads, "network": id,
                      "layers": [layer.to_dict() for layer in layers]}
                     for (size_hw, id), layers in findings.profiles.items()],
    }


def _chart(findings: PaperFindings) -> list[Block]:
    """Returns published accuracy on val against latency, on the phone and here with the fewest threads; may be empty."""
    shown = [entry for entry in findings.entries if entry.in_table_7]
    if not shown:
        return []
    threads = min(findings.threads)
    panels = [Panel(f"{PHONE}, {size(FULL_HW)}", [_point(entry, 1000 * entry.row.cpu_full_s) for entry in shown if entry.row])]
    for size_hw in findings.sizes:
        spreads = [(entry, findings.spread(entry, size_hw, threads, TOTAL)) for entry in shown]
        panels.append(Panel(f"Here, {count(threads, 'thread')}, {size(size_hw)}",
                            [_point(entry, spread.median, (spread.q25, spread.q75)) for entry, spread in spreads]))
    note = (f"Accuracy: Cityscapes val, as published (Table 7). Latency here: frame to labels, {findings.engine}, median of "
            f"{count(findings.rounds, 'round')} and interquartile range, {findings.origin.created:%Y-%m-%d}, "
            f"{findings.origin.machine.cpu}.")
    return [Chart("Accuracy against latency", note, lambda figure: draw(figure, panels, "mIoU [%]", ("LR-ASPP", "R-ASPP")),
                  size=(4.6 * len(panels) + 3.2, 6.0), wide=True)]


def _point(entry: Entry, latency_ms: float, spread_ms: tuple[float, float] | None = None) -> Point:
    assert entry.row is not None
    label = entry.network.label
    family = label.partition(",")[0].partition(" ")[0]
    return Point(entry.id, label, family, entry.network.decoder == "LR-ASPP", latency_ms, entry.row.miou, spread_ms)


def _how(findings: PaperFindings) -> Text:
    peaks = ", ".join(f"{peak:.1f} GMAC/s with {count(threads, 'thread')}" for threads, peak in sorted(findings.peaks.items()))
    return Text(
        *findings.origin.sentence(),
        f" Random weights; {findings.engine}; every network once per round in a new random order, "
        f"{count(findings.rounds, 'round')}; median, and in brackets the interquartile range. ", Emphasis("Network"),
        " is the network alone, colour order and normalisation included; ", Emphasis("labels"),
        f" is a frame in memory to its label map at full size. A float32 matrix product reaches {peaks} here; ",
        Emphasis("of peak"), " says which share of it the network's convolutions reach.")


def _counts() -> Text:
    return Text(
        Emphasis("Convolutions"), " counts only their multiply-adds; ", Emphasis("with element-wise"),
        " adds residual sums, gates, h-swish, pools and resizes; ", Emphasis("as the authors' graph"),
        " adds that LR-ASPP resizes its features there before it classifies them, and here afterwards. The difference is "
        "between the last count and the paper's figure.")


def _headline_table(findings: PaperFindings) -> Table:
    head, rows = ["", "frame", PHONE], list[list[str]]()
    for threads in findings.threads:
        head += [f"{count(threads, 'thread')}: network", "labels"]
    for slow, fast in findings.headlines():
        for size_hw in findings.sizes:
            published = _published_ratio(slow, fast, size_hw)
            cells = [f"{fast.name()} against {slow.name()}", size(size_hw), "–" if published is None else less(published)]
            for threads in findings.threads:
                measurement = findings.latencies[size_hw, threads]
                for stage in (NETWORK, TOTAL):
                    ratio = measurement.ratio(findings.first_alike[fast.id], findings.first_alike[slow.id], stage)
                    cells.append(f"{less(ratio.median)} ({100 - 100 * ratio.q75:.1f} to {100 - 100 * ratio.q25:.1f})")
            rows.append(cells)
    return Table.of(head, rows, left=2)


def _latency_table(findings: PaperFindings, size_hw: Size) -> Table:
    head, rows = ["N", "network", "mIoU", "Pixel 3 [ms]"], list[list[str]]()
    for threads in findings.threads:
        head += [f"{count(threads, 'thread')}: network [ms]", "labels [ms]", "of peak"]
    for entry in findings.entries:
        published_s = entry.published_s(size_hw)
        cells = [entry.id, entry.network.label, _miou(entry), "–" if published_s is None else f"{1000 * published_s:.0f}"]
        for threads in findings.threads:
            network, labels = (findings.spread(entry, size_hw, threads, stage) for stage in (NETWORK, TOTAL))
            reached = findings.madds[entry.id][size_hw].convolutions / network.median / 1e6 / findings.peaks[threads]
            cells += [_spread(network), _spread(labels), f"{reached:.0%}".replace("%", " %")]
        rows.append(cells)
    return Table.of(head, rows, left=2)


def _arithmetic_table(findings: PaperFindings, size_hw: Size) -> Table:
    full = size_hw == FULL_MADDS_HW
    where = f"GMAdds at {size(size_hw)}"
    head = ["N", "network", *(["params [M], paper", "here"] if full else []), f"{where}: paper", "convolutions",
            "with element-wise", "as the authors' graph", "difference"]
    rows = []
    for entry in findings.entries:
        row, madds = entry.row, findings.madds[entry.id][size_hw]
        published = None if row is None else row.madds_full if full else row.madds_half
        cells = [entry.id, entry.network.label]
        if full:
            millions = None if row is None else row.millions
            cells += ["–" if millions is None else f"{millions:.2f}", f"{findings.parameters[entry.id] / 1e6:.3f}"]
        cells += ["–" if published is None else f"{published:.2f}",
                  *(f"{value / 1e9:.2f}" for value in (madds.convolutions, madds.with_elementwise, madds.as_published)),
                  "–" if published is None else f"{madds.as_published / 1e9 / published - 1:+.1%}".replace("%", " %")]
        rows.append(cells)
    return Table.of(head, rows, left=2)


def _pairs(findings: PaperFindings) -> Iterable[tuple[Pair, Size]]:
    """Yields the paper's comparisons, each with the data that explain it, by frame size."""
    threads = findings.profile_threads
    for slow, fast in findings.headlines():
        for size_hw in findings.sizes:
            ids = findings.first_alike[slow.id], findings.first_alike[fast.id]
            ratio = findings.latencies[size_hw, threads].ratio(ids[1], ids[0], NETWORK)
            yield Pair(slow.name(), fast.name(), _published_ratio(slow, fast, size_hw), ratio,
                       findings.profiles[size_hw, ids[0]], findings.profiles[size_hw, ids[1]], findings.peaks[threads]), size_hw


def _published_ratio(slow: Entry, fast: Entry, size_hw: Size) -> float | None:
    slow_s, fast_s = slow.published_s(size_hw), fast.published_s(size_hw)
    return None if slow_s is None or fast_s is None else fast_s / slow_s


def _miou(entry: Entry) -> str:
    if entry.row is None:
        return "–"
    return f"{entry.row.miou:.2f}" if entry.in_table_7 else f"{entry.row.miou:.1f} (test)"


def _spread(spread: Spread) -> str:
    return f"{three_digits(spread.median)} ({three_digits(spread.iqr)})"

