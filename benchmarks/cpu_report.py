"""The results of `benchmarks.cpu` as tables, sentences, data and a chart."""

from collections.abc import Iterable
from typing import Any

from benchmarks.bars import Bar, BarPanel, draw_bars
from benchmarks.cpu_run import KERNEL, TORCH, Case, CpuFindings
from benchmarks.cpu_systems import FIRST, System
from benchmarks.measure import TOTAL, Spread
from benchmarks.reasons import three_digits
from seg.document import Block, Chart, Document, Emphasis, Heading, Strong, Table, Text
from seg.document.words import count

STAGES = ("preprocess", "network", "upsample")


def report(findings: CpuFindings) -> Document:
    """Returns the whole report."""
    blocks: list[Block] = [_how(findings), Heading("Against each other"), _headlines(findings), _chart(findings)]
    for case in findings.latencies:
        blocks += [Heading(_where(case)), _systems(findings, case)]
        if any(system.ours for system in _ran(findings, case)):
            blocks += [Text("Ours by stage, medians in ms:"), _stages(findings, case)]
        blocks += [Text(Strong(system.label), f": {findings.notes[case, system.id]}") for system in _ran(findings, case)
                   if (case, system.id) in findings.notes]
    if findings.upsampling:
        blocks += [Heading("Upsampling and argmax alone"), _upsampling(findings)]
    if findings.left_out:
        blocks += [Heading("Left out"), Table.of(("system", "why"), sorted(findings.left_out.items()), left=2)]
    return Document("From frame to labels on a CPU", blocks, findings.origin, _to_dict(findings))


def _to_dict(findings: CpuFindings) -> dict[str, Any]:
    """Returns every figure, for JSON."""
    cases = []
    for case, measurement in findings.latencies.items():
        systems = [{
            "id": system.id, "label": system.label, "runs_in": findings.runs_in[case, system.id],
            "note": findings.notes.get((case, system.id)),
            "agreement_with_torch": findings.agreements.get((case, system.id)),
            "first": [first._asdict() for first in findings.firsts.get((case, system.id), ())],
        } for system in _ran(findings, case)]
        upsampling = findings.upsampling.get(case)
        cases.append({"size_hw": list(case[0]), "threads": case[1], "systems": systems, "latency_ms": measurement.to_dict(),
                      "upsampling_ms": None if upsampling is None else upsampling.to_dict(),
                      "conversions_ms": {f"{network} {precision}": value
                                         for (at, network, precision), value in findings.conversions_ms.items() if at == case}})
    return {"rounds": findings.rounds, "cases": cases,
            "comparisons": [{"what": what, "size_hw": list(case[0]), "threads": case[1], "times_as_fast": ratio.to_dict()}
                            for what, slow, fast in _pairs() for case in findings.latencies
                            if (ratio := _ratio(findings, case, slow, fast)) is not None],
            "macs": [{"network": network, "size_hw": list(size_hw), "macs": macs}
                     for (network, size_hw), macs in findings.macs.items()],
            "peak_gmacs_per_s": [{"threads": threads, "precision": precision, "peak": peak}
                                 for (threads, precision), peak in findings.peaks.items()],
            "left_out": findings.left_out}


def _chart(findings: CpuFindings) -> Chart:
    """Returns the medians with all threads, one panel for each frame size."""
    threads = max(threads for _, threads in findings.latencies)
    panels = []
    for case, measurement in findings.latencies.items():
        if case[1] == threads:
            bars = [Bar(_name(findings, case, system), measurement.spread(system.id).median, system.ours)
                    for system in _ran(findings, case)]
            panels.append(BarPanel(_where(case), sorted(bars, key=lambda bar: -bar.latency_ms)))
    note = (f"Frame in memory to label map, median of {count(findings.rounds, 'round')}, "
            f"{findings.origin.created:%Y-%m-%d}, {findings.origin.machine.cpu}.")
    lines = sum(len(panel.bars) + 3 for panel in panels)
    return Chart("Median latency of all systems", note, lambda figure: draw_bars(figure, panels, ("ours", "the others")),
                 size=(11, 0.3 * lines + 0.8), wide=True)


def _how(findings: CpuFindings) -> Text:
    peaks = "; ".join(f"{peak:.1f} GMAC/s in {precision} with {count(threads, 'thread')}"
                      for (threads, precision), peak in sorted(findings.peaks.items()))
    return Text(
        *findings.origin.sentence(),
        " From a uint8 frame in memory to a uint8 label map of its size, 19 classes, every "
        f"system once per round in a new random order, {count(findings.rounds, 'round')}; one that takes less than 0.1 s "
        "first runs untimed for 0.1 s, until the threads of the one before it sleep. ", Emphasis("First frame"),
        " is the time from a process's start to its first label map, without / with an earlier cache; ", Emphasis("memory"),
        " is its peak; both with the most threads. ", Emphasis("Labels as in torch"),
        " is the share of pixels that get the label that the same network gives in torch in float32. ", Emphasis("Outside"),
        " is all except the network; its conversions of colour, layout and type count as outside. ", Emphasis("Of peak"),
        f" compares the network's multiply-adds per second with those of a matrix product: {peaks}.")


def _pairs() -> Iterable[tuple[str, str, str]]:
    """Yields comparisons: a sentence, the slower id, the faster id; an id ending in "-" is the fastest with that prefix."""
    for network in ("large", "small"):
        name = f"ours, {network.capitalize()}"
        for system in ("auto", "fused-fp32"):
            how = system.replace("fused-", "our engine, ")
            yield f"{name} in {how}, against torchvision eager", FIRST, f"{network}-{system}"
        yield f"{name} in auto, against torchvision in ONNX Runtime", "torchvision-onnxruntime", f"{network}-auto"
        yield (f"{name} in our engine, fp32, against the same in plain OpenVINO", f"plain-openvino-{network}-fp32",
               f"{network}-fused-fp32")
        for precision in ("fp32", "bf16", "int8"):
            yield (f"{name} in OpenVINO, {precision}, against the same in plain OpenVINO",
                   f"plain-openvino-{network}-{precision}", f"{network}-openvino-{precision}")
        yield f"{name} in int8, against bf16", f"{network}-openvino-bf16", f"{network}-openvino-int8"
        yield f"{name} in our engine, its fastest, against OpenVINO's fastest", f"{network}-openvino-", f"{network}-fused-"


def _ratio(findings: CpuFindings, case: Case, slow: str, fast: str) -> Spread | None:
    measurement = findings.latencies[case]

    def fastest(name: str) -> str | None:
        fitting = (id for id in measurement.latency_ms if id == name or (name.endswith("-") and id.startswith(name)))
        return min(fitting, key=lambda id: measurement.spread(id).median, default=None)

    slower, faster = fastest(slow), fastest(fast)
    return None if slower is None or faster is None else measurement.ratio(slower, faster)


def _headlines(findings: CpuFindings) -> Table:
    cases = list(findings.latencies)
    rows = []
    for what, slow, fast in _pairs():
        ratios = [_ratio(findings, case, slow, fast) for case in cases]
        if any(ratios):
            rows.append([what, *("–" if ratio is None else f"{ratio.median:.2f} ({ratio.q25:.2f} to {ratio.q75:.2f})"
                                 for ratio in ratios)])
    return Table.of(["times as fast, median (quartiles)", *map(_where, cases)], rows)


def _systems(findings: CpuFindings, case: Case) -> Table:
    measurement, systems = findings.latencies[case], _ran(findings, case)
    rows = []
    for system in systems:
        spread = measurement.spread(system.id)
        agreement = findings.agreements.get((case, system.id))
        starts = findings.firsts.get((case, system.id))
        rows.append([_label(system), findings.runs_in[case, system.id],
                     *(three_digits(value) for value in (spread.median, spread.p90, spread.p99)),
                     f"{measurement.ratio(systems[0].id, system.id).median:.2f}",
                     "–" if agreement is None else f"{100 * agreement:.2f} %",
                     *(("–", "–") if starts is None else
                       (" / ".join(f"{start.seconds:.1f}" for start in starts), f"{starts[0].peak_mib:.0f}"))])
    return Table.of(["system", "runs in", "median [ms]", "p90", "p99", "times as fast as the first", "labels as in torch",
                  "first frame [s]", "memory [MiB]"], rows, left=2)


def _stages(findings: CpuFindings, case: Case) -> Table:
    measurement, (size_hw, threads) = findings.latencies[case], case
    rows = []
    for system in _ran(findings, case):
        if not system.ours or system.network is None:
            continue
        medians = {stage: measurement.spread(system.id, stage).median for stage in (*STAGES, TOTAL)}
        engine, _, precision = findings.runs_in[case, system.id].partition(" ")
        # For OpenVINO's bfloat16, the conversions are those of float32: colour order and normalisation come first.
        counted = f"{engine} {'fp32' if (engine, precision) == ('openvino', 'bf16') else precision}"
        conversions = findings.conversions_ms.get((case, system.network, counted))
        outside = "–" if conversions is None else three_digits(medians[TOTAL] - medians["network"] + conversions)
        pace = findings.macs[system.network, size_hw] / medians["network"] / 1e6
        peak = findings.peaks.get((threads, precision))
        rows.append([_label(system), f"{engine} {precision}", *(three_digits(medians[stage]) for stage in STAGES), outside,
                     f"{pace:.1f}", "–" if peak is None else f"{100 * pace / peak:.0f} %"])
    return Table.of(["", "runs in", *STAGES, "outside", "GMAC/s", "of peak"], rows, left=2)


def _upsampling(findings: CpuFindings) -> Table:
    rows = []
    for case, measurement in findings.upsampling.items():
        ours, torchs = measurement.spread(KERNEL), measurement.spread(TORCH)
        rows.append([_where(case), three_digits(ours.median), three_digits(torchs.median),
                     f"{measurement.ratio(TORCH, KERNEL).median:.1f}"])
    head = ["on the scores of the frame", "ours [ms]", "torch, interpolate and argmax [ms]", "times as fast"]
    return Table.of(head, rows)


def _ran(findings: CpuFindings, case: Case) -> list[System]:
    return [system for system in findings.systems if system.id in findings.latencies[case].latency_ms]


def _name(findings: CpuFindings, case: Case, system: System) -> str:
    name = system.label.replace(", upsampling and argmax in the graph", "")
    if system.network in (None, "torchvision"):
        return name
    return f"{name}{':' if system.precision == 'auto' else ','} {findings.runs_in[case, system.id]}"


def _where(case: Case) -> str:
    return f"{case[0][0]}x{case[0][1]}, {count(case[1], 'thread')}"


def _label(system: System) -> Strong | str:
    return Strong(system.label) if system.ours else system.label
