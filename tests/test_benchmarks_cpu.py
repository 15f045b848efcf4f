"""The CPU benchmark: its contestants compute the right labels, and its report computes correctly from made-up figures."""

import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from networks import make_frame

from benchmarks import alone, cpu, cpu_files, cpu_others, cpu_report
from benchmarks.alone import First
from benchmarks.cpu_first import first
from benchmarks.cpu_run import KERNEL, TORCH, CpuFindings, _check, _contest
from benchmarks.cpu_systems import Setup, System, all_systems, choose
from benchmarks.measure import Measurement
from benchmarks.start import main as start_main
from seg import machine
from seg.document import Chart, Document, Origin, Table, to_json, to_markdown
from seg.document.charts import to_png
from seg.errors import SegError
from seg.export.exporter import export_weights
from seg.export.options import ExportOptions
from seg.label_sets import CITYSCAPES
from seg.models import load, save
from seg.runtime import Predictor

SIZE_HW = (64, 128)


# ---- contestants


def test_names_choose_systems_and_what_begins_so() -> None:
    systems = all_systems()
    assert systems[0].id == "torchvision-eager" and len({system.id for system in systems}) == len(systems)
    assert [system.id for system in choose([])] == [system.id for system in systems]
    assert [system.id for system in choose(["torchvision"])] == [
        "torchvision-eager", "torchvision-channels-last", "torchvision-compile", "torchvision-onnxruntime"]
    assert [system.id for system in choose(["small-auto", "torchvision-compile"])] == ["torchvision-compile", "small-auto"]
    assert len(choose(["large"])) == 10 and len(choose(["plain-openvino"])) == 6
    with pytest.raises(SegError, match="no system 'smal'"):
        choose(["smal"])


def test_packages_that_are_missing_are_named() -> None:
    assert System("a", "A", lambda setup: None, ("numpy", "no_such_package")).missing() == "not installed: no_such_package"
    assert System("a", "A", lambda setup: None, ("numpy",)).missing() is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files for a comparison at `SIZE_HW` with the small network in float32."""
    folder = tmp_path_factory.mktemp("cpu")
    np.save(folder / "frame.npy", make_frame(*SIZE_HW))
    save(cpu_files.build("small"), folder / "small.safetensors", CITYSCAPES, SIZE_HW)
    export_weights(folder / "small.safetensors", options=ExportOptions(size_hw=SIZE_HW))
    return folder


def test_the_networks_have_19_classes_and_the_trained_labels(folder: Path) -> None:
    images = torch.from_numpy(make_frame(96, 160).transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        given, trained = load(folder / "small.safetensors").logits(images), load("camvid_small").logits(images)
    assert given.shape[1] == 19
    assert torch.equal(given.argmax(1), trained.argmax(1))


def test_plain_openvino_gives_the_same_labels(folder: Path) -> None:
    frame = make_frame(*SIZE_HW)
    expected = Predictor.load(folder / "small.safetensors", engine="torch", threads=1)(frame).train_ids
    labels = cpu_others.plain_openvino(folder / "small.onnx", 1, "fp32")(frame)
    assert (labels.dtype, labels.shape) == (np.uint8, SIZE_HW)
    assert (labels == expected).mean() > 0.999 and len(np.unique(labels)) > 2


def test_torchvision_gives_the_labels_of_its_own_transforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.transforms.functional import normalize, to_tensor

    torch.manual_seed(0)
    network = cpu_others.torchvision_network(19)
    frame = make_frame(*SIZE_HW)
    with torch.inference_mode():
        images = normalize(to_tensor(frame[:, :, ::-1].copy()), cpu_others.MEAN, cpu_others.STD)[None]
        expected = network(images)["out"].argmax(1)[0].numpy()
    monkeypatch.setattr(cpu_others, "torchvision_network", lambda classes: network)
    cpu_others.export_torchvision(tmp_path / "t.onnx", SIZE_HW, 19)
    runs = [cpu_others.in_torch(network, 1, channels_last=last, scores=lambda given: given["out"]) for last in (False, True)]
    for label in (*runs, cpu_others.in_onnxruntime(tmp_path / "t.onnx", 1)):
        labels = label(frame)
        assert labels.dtype == np.uint8
        assert (labels == expected).mean() > 0.99


def test_a_start_is_timed_in_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    found = first(folder, "plain-openvino-small-fp32", 1, 19, tmp_path)
    assert 0.1 < found.seconds < 200 and 30 < found.peak_mib < 2000
    with pytest.raises(SegError, match=r"there is no small_int8\.onnx"):
        first(folder, "plain-openvino-small-int8", 1, 19, tmp_path)


def test_a_system_that_gives_something_else_is_found_out(folder: Path) -> None:
    system = next(system for system in all_systems() if system.id == "plain-openvino-small-fp32")
    running = system.build(Setup(folder, make_frame(*SIZE_HW), 1, 19))
    _check(running, SIZE_HW)
    with pytest.raises(SegError, match=r"not uint8 \(32, 32\)"):
        _check(running, (32, 32))


# ---- report


@pytest.fixture
def findings() -> CpuFindings:
    """Made-up findings for two sizes, in which every ratio is a round number."""
    here = machine.Machine("CPU", ("avx2",), 2, 8.0, "Linux", "3.11", {"numpy": "2"})
    found = CpuFindings(Origin("python -m benchmarks.cpu", datetime(2026, 1, 2, tzinfo=UTC), here),
                        choose(["torchvision", "small", "plain-openvino-small"]), rounds=3)
    for factor, size_hw in ((4, (1024, 2048)), (1, (512, 1024))):
        case = (size_hw, 2)
        found.latencies[case] = Measurement()
        for id, network_ms in (("torchvision-eager", 90.0), ("plain-openvino-small-fp32", 14.0), ("small-openvino-fp32", 5.0),
                               ("small-fused-fp32", 4.0), ("small-openvino-int8", 3.0), ("small-auto", 3.0)):
            ours = id.startswith("small")
            stages = {"preprocess": 0.5 * factor, "network": network_ms * factor, "upsample": 1.5 * factor} if ours else {}
            for slower in (1.0, 2.0, 1.0):  # a busy machine in one round, which affects no ratio
                found.latencies[case].add(id, slower * factor * (network_ms + (2 if ours else 0)), stages)
            engine = "fused" if "fused" in id else "openvino"
            found.runs_in[case, id] = "openvino int8" if id.endswith(("int8", "auto")) else f"{engine} fp32"
            found.firsts[case, id] = First(3.21, 456.7), First(1.23, 400.0)
        found.notes[case, "small-auto"] = "auto chose openvino int8."
        found.agreements[case, "small-openvino-int8"] = 0.9912
        found.macs["small", size_hw] = 1_000_000_000 * factor
        found.conversions_ms[case, "small", "openvino fp32"] = 0.25 * factor
        found.conversions_ms[case, "small", "fused fp32"] = 0.5 * factor
        found.upsampling[case] = Measurement()
        for name, value in ((KERNEL, 1.0), (TORCH, 60.0)):
            found.upsampling[case].add(name, value * factor, None)
    found.peaks[2, "fp32"] = 400.0
    found.left_out["small-openvino-bf16"] = "this processor has no bfloat16"
    return found


def rows_of(report: Document, heading: str) -> dict[str, list[str]]:
    table = next(block for block in report.blocks if isinstance(block, Table) and block.head[0] == heading)
    rows = [list(map(str, row)) for row in table.rows]
    return {" ".join(row[:2]) if heading in ("", "system") else row[0]: row for row in rows}


def test_ratios_are_of_rounds_and_the_right_way_round(findings: CpuFindings) -> None:
    rows = rows_of(cpu_report.report(findings), "times as fast, median (quartiles)")
    assert rows["ours, Small in our engine, fp32, against torchvision eager"][1:] == ["15.00 (15.00 to 15.00)"] * 2
    assert rows["ours, Small in auto, against torchvision eager"][1].startswith("18.00")
    assert rows["ours, Small in OpenVINO, fp32, against the same in plain OpenVINO"][1].startswith("2.00")
    assert rows["ours, Small in our engine, its fastest, against OpenVINO's fastest"][1].startswith("0.83")  # 3 + 2 by 4 + 2
    assert rows["ours, Small in our engine, fp32, against the same in plain OpenVINO"][1].startswith("2.33")
    assert not any("bf16" in what for what in rows), "what didn't run is compared"


def test_stages_count_conversions_as_outside(findings: CpuFindings) -> None:
    report = cpu_report.report(findings)
    row = rows_of(report, "")["ours, Small openvino fp32"]
    # Network 20 ms of 28 in the first case: 8 outside, and 1 of conversions. 4 GMACs in 20 ms are half of the peak.
    assert row[2:] == ["2.0", "20.0", "6.0", "9.0", "200.0", "50 %"]
    assert rows_of(report, "")["ours, Small fused fp32"][5] == "10.0"
    assert rows_of(report, "")["ours, Small openvino int8"][5:] == ["–", f"{4 / 12 * 1000:.1f}", "–"]
    assert rows_of(report, "on the scores of the frame")["1024x2048, 2 threads"][3] == "60.0"
    assert "**ours, Small, auto**: auto chose openvino int8." in to_markdown(report)
    assert rows_of(report, "system")["ours, Small openvino int8"][5:] == ["18.00", "99.12 %", "3.2 / 1.2", "457"]


def test_report_is_data_and_a_picture_too(findings: CpuFindings) -> None:
    report = cpu_report.report(findings)
    data = json.loads(to_json(report))
    assert [case["size_hw"] for case in data["cases"]] == [[1024, 2048], [512, 1024]]
    assert data["cases"][1]["latency_ms"]["small-openvino-fp32"]["network"]["median"] == 5
    assert data["left_out"] == {"small-openvino-bf16": "this processor has no bfloat16"}
    assert {entry["what"]: entry["times_as_fast"]["median"] for entry in data["comparisons"] if entry["size_hw"][0] == 512}[
        "ours, Small in auto, against torchvision eager"] == pytest.approx(18)
    chart = next(block for block in report.blocks if isinstance(block, Chart))
    image = cv2.imdecode(np.frombuffer(to_png(chart), np.uint8), cv2.IMREAD_COLOR)
    assert ((image == (0xA4, 0x6F, 0x0B)).all(2)).sum() > 5000  # our bars


# ---- the command


@pytest.mark.parametrize(("arguments", "says"), [
    (["--only", "torchvison"], "Did you mean 'torchvision"), (["--rounds", "0"], "--rounds is 0"),
    (["--threads", "999"], "999 threads"), (["--frames", "no/such"], "no file or folder no/such"),
    (["--sizes", "8x8"], "too small"),
])
def test_wrong_options_are_sentences(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cpu.main(arguments) == 2
    assert says in capsys.readouterr().err


def test_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.alone._CACHE_VARIABLES", ("LRASPP_CACHE_DIR",))  # the kernel need not be compiled again
    cv2.imwrite(str(tmp_path / "frame.png"), make_frame(50, 70))
    systems = ["plain-openvino-small-fp32", "small-openvino-fp32"]
    assert cpu.main(["--sizes", "64x128", "--threads", "1", "--rounds", "1", "--frames", str(tmp_path), "--output",
                     str(tmp_path / "out"), "--only", *systems]) == 0
    (case,) = json.loads((tmp_path / "out/cpu.json").read_text())["cases"]
    assert [system["id"] for system in case["systems"]] == systems
    assert all(system["agreement_with_torch"] > 0.999 for system in case["systems"])
    assert all(len(system["first"]) == 2 for system in case["systems"])
    assert set(case["latency_ms"]["small-openvino-fp32"]) == {"preprocess", "network", "upsample", "total"}
    assert {"small openvino fp32", "small fused fp32"} <= set(case["conversions_ms"])
    assert all(value > 0 for value in case["conversions_ms"].values()) and set(case["upsampling_ms"]) == {KERNEL, TORCH}
    assert (tmp_path / "out/cpu.png").stat().st_size > 5000
    assert "ours, Small" in (tmp_path / "out/cpu.md").read_text()


def test_what_cannot_run_is_left_out_and_said(tmp_path: Path) -> None:
    """Without exported files nothing runs, and the message gives the reasons."""
    np.save(tmp_path / "frame.npy", make_frame(*SIZE_HW))
    origin = Origin("", datetime.now(UTC), machine.describe())
    systems = choose(["plain-openvino-small-fp32", "plain-openvino-small-int8"])
    found = CpuFindings(origin, systems, rounds=1)
    with pytest.raises(SegError, match=r"none of the systems can run.*there is no small\.onnx.*there is no small_int8\.onnx"):
        _contest(found, systems, tmp_path, (SIZE_HW, 1), False, lambda what: None)


def test_what_a_start_costs_is_compared_with_the_engine_that_was_chosen(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def start(module: str, arguments: list[str], caches: Path) -> First:
        assert module == "benchmarks.start_alone" and caches.is_dir()
        asked.append(arguments[1:3])
        return First(2.5, 900.0, 450.0 if "auto" in arguments else 300.0, 1.25, "openvino bf16")

    monkeypatch.setattr("benchmarks.start.start", start)
    assert start_main(["--weights", str(tiny_weights), "--sizes", "64x96", "--engines", "auto", "onnxruntime"]) == 0
    assert asked == [["auto", "auto"]] * 3 + [["openvino", "bf16"]] * 3 + [["onnxruntime", "fp32"]] * 3
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "64x96" in line and "│" in line]
    rows = [[cell.strip() for cell in line] for line in lines]
    assert rows[0] == ["64x96", "auto", "first", "openvino bf16", "2.50", "1.25", "900", "450", "1.50"]
    assert [row[-1] for row in rows] == ["1.50"] * 3 + ["1.00"] * 3 + [""] * 3


def test_a_predictor_alone_is_timed_in_a_process_of_its_own(tiny_weights: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.alone._CACHE_VARIABLES", ("LRASPP_CACHE_DIR",))  # the kernel need not be compiled again
    found = alone.start("benchmarks.start_alone", [str(tiny_weights), "onnxruntime", "fp32", "1", "48", "64"], tmp_path)
    assert found.ran == "onnxruntime fp32"
    assert found.cpu_s > 0 and 0 < found.held_mib <= found.peak_mib
    with pytest.raises(SegError, match="computes in fp32 or int8 here"):
        alone.start("benchmarks.start_alone", [str(tiny_weights), "onnxruntime", "bf16", "1", "48", "64"], tmp_path)
