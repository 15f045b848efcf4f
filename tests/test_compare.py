"""Compared reports: made-up frames with known differences, limits that are met or missed, and reports that can't be compared."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pages import Page

import seg.report
from seg import machine
from seg.document import Origin, write
from seg.label_sets import LabelSet
from seg.latency import Latency, WarmUp
from seg.metrics import Scores, frame_miou
from seg.report import evaluation_report
from seg.report.compare import main
from seg.report.differences import compare
from seg.report.stored import read_reports
from seg.result import FrameRecord, Result

LABEL_SET = LabelSet("two", ("road", "sky"), ((1, 2, 3), (4, 5, 6)), (0, 1))
ORIGIN = Origin("python infer.py", datetime(2030, 1, 2, tzinfo=UTC), machine.describe())
FRAMES = 60
SCHEMA = json.loads((Path(seg.report.__file__).parent / "comparison.schema.json").read_text())


def result(right: Sequence[float], ms: Sequence[float], weights: str = "one", **changes: Any) -> Result:
    """Returns a result for frames with 500 road pixels and 500 sky pixels, of which a share is right."""
    latency, records = Latency(), []
    for i, (share, total) in enumerate(zip(right, ms, strict=True)):
        hits = round(500 * share)
        matrix = np.array([[hits, 500 - hits], [500 - hits, hits]])
        latency.add({"network": total, "total": total}, (20, 50))
        stages = {"network": total, "total": total}
        records.append(FrameRecord(f"frame {i}", (20, 50), i / 10, stages, matrix, frame_miou(matrix)))
    confusion = np.sum([record.confusion for record in records], axis=0)
    warm_ups = [WarmUp((20, 50), 6, True)]
    made = Result(weights=f"{weights}.safetensors", network="LRASPP small", dataset="camvid", split="val", frame_sizes=[(20, 50)],
                  network_sizes=[(20, 50)], size_hw=None, long_side=None, fit="stretch", label_set=LABEL_SET,
                  machine=machine.describe(), engine="openvino", precision="fp32", threads=2,
                  scores=Scores.from_confusion(confusion, LABEL_SET), confusion=confusion, latency=latency, warm_ups=warm_ups,
                  records=records, steadiness=latency.steadiness(warm_ups, 0.0), parameters=468_702)
    return dataclasses.replace(made, **changes)


def stored(path: Path, *arguments: Any, **changes: Any) -> Path:
    write(evaluation_report(result(*arguments, **changes), ORIGIN), path)
    return path


def noisy(mean: float, seed: int, spread: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, FRAMES)


def check_schema(data: dict[str, Any]) -> None:
    jsonschema.validate(data, SCHEMA, jsonschema.Draft202012Validator)
    assert set(data) == set(SCHEMA["properties"]) == set(SCHEMA["required"]), "a key that the schema doesn't describe"
    for name in ("reports", "differences", "checks"):
        described = SCHEMA["properties"][name]["items"]
        assert all(set(one) == set(described["properties"]) == set(described["required"]) for one in data[name])


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A report, one whose frames are all a little better at twice the latency, and one that differs only by noise."""
    base, ms = noisy(0.8, 0), noisy(10, 1, 0.2)
    return [stored(tmp_path / "a.json", base, ms, "first"), stored(tmp_path / "b.json", base + 0.01, 2 * ms, "better"),
            stored(tmp_path / "c.json", noisy(0.8, 2), noisy(10, 3, 0.2), "alike")]


def test_a_small_gain_in_every_frame_is_more_than_noise_and_chance_is_not(three: list[Path]) -> None:
    better, alike = compare(read_reports(three))
    assert better.miou is not None and better.miou_interval is not None and alike.miou_interval is not None
    assert better.miou_interval.value == pytest.approx(better.miou), "all frames are in both"
    assert better.miou_interval.beyond(0) and better.miou_interval.low < better.miou < better.miou_interval.high
    assert not alike.miou_interval.beyond(0)
    for value, interval in better.per_class.values():
        assert value is not None and interval is not None and interval.beyond(0)
    assert better.latency_ratio == pytest.approx(2, abs=1e-4)
    assert better.latency_interval is not None and better.latency_interval.beyond(1)
    assert alike.latency_interval is not None and not alike.latency_interval.beyond(1)


def test_the_interval_is_as_wide_as_statistics_says(three: list[Path]) -> None:
    """Accuracy on frames of one size is a plain mean, and IoU of two symmetric classes is accuracy / (2 - accuracy)."""
    _, alike = compare(read_reports(three))
    shares = [noisy(0.8, 2), noisy(0.8, 0)]
    means = [float(one.mean()) for one in shares]
    slope = 2 / (2 - np.mean(means)) ** 2
    deviation = slope * np.std(shares[0] - shares[1]) / np.sqrt(FRAMES)
    assert alike.miou_interval is not None
    assert (alike.miou_interval.high - alike.miou_interval.low) / (2 * 1.96 * deviation) == pytest.approx(1, abs=0.15)


def test_frames_on_which_two_differ_most_are_named(tmp_path: Path) -> None:
    base = np.full(FRAMES, 0.8)
    other = base.copy()
    other[7], other[11] = 0.2, 0.99
    paths = [stored(tmp_path / "a.json", base, base), stored(tmp_path / "b.json", other, base, "two")]
    apart = compare(read_reports(paths))[0].frames_apart
    assert (apart[0][0], apart[-1][0]) == ("frame 7", "frame 11")
    assert apart[0][1:] == (pytest.approx(0.8 / 1.2, abs=1e-3), pytest.approx(0.2 / 1.8, abs=1e-3))


def test_the_comparison_has_all_forms(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [tmp_path / f"out/r.{suffix}" for suffix in ("html", "md", "json")]
    assert main([*map(str, three), *(f"--report={path}" for path in reports)]) == 0
    page = Page.of(reports[0].read_text())
    assert page.open == [] and page.tags.count("svg") == 1
    for text in (capsys.readouterr().out, page.text, reports[1].read_text()):
        for words in ("better", "more than noise", "no more than noise",
                      "takes 2.00 times as long", "Pareto front", "road", "sky", "frame "):
            assert words in text, words
    data = json.loads(reports[2].read_text())
    check_schema(data)
    assert (data["kind"], data["checks"]) == ("comparison", [])
    assert [one["name"] for one in data["differences"]] == ["better", "alike"]
    assert data["differences"][0]["miou_interval"]["low"] > 0


def test_settings_that_differ_and_an_unsteady_latency_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = noisy(0.8, 0)
    paths = [stored(tmp_path / "a.json", base, np.full(FRAMES, 10.0)),
             stored(tmp_path / "b.json", base[:40], np.linspace(10, 20, 40), "two", threads=1, precision="int8")]
    assert main(list(map(str, paths))) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "one and two ran with different threads (2 and 1) and precisions (fp32 and int8)." in out
    assert "The latency of two can't be called stable" in out and "The latency of one can't" not in out
    assert "intervals are computed on the 40 that both have" in out


def test_reports_of_the_same_weights_get_names_of_their_own(tmp_path: Path) -> None:
    base = noisy(0.8, 0)
    paths = [stored(tmp_path / "a.json", base, base), stored(tmp_path / "b.json", base, base, engine="fused"),
             stored(tmp_path / "c.json", base, base, engine="fused"), stored(tmp_path / "d.json", base, base, "two")]
    names = [report.name for report in read_reports(paths)]
    assert names[0] == "one, openvino fp32" and names[3] == "two" and len(set(names)) == 4


# ---- limits


@pytest.mark.parametrize(("limits", "code", "says"), [
    (["--fail-under", "miou=0.60", "--fail-over", "p90_ms=40"], 0, ""),
    (["--fail-under", "miou=0.99"], 1, "missed: miou of first is 0.67"),
    (["--fail-over", "p90_ms=5", "latency_ms.stages.network.p50=99"], 1, "missed: p90_ms of first is 10."),
    (["--fail-under", "per_class_iou.road=0.5", "--fail-over", "parameters=1e6"], 0, ""),
    (["--fail-under", "boundary_f_score=0.5"], 1, "missed: boundary_f_score of first has no value; the limit is at least 0.5"),
    (["--fail-under", "iiou=0.1"], 1, "iiou of first has no value"),
    (["--fail-over", "p95_ms=40"], 2, "no figure 'p95_ms'. Did you mean"),
    (["--fail-under", "per_class_iou.rode=0.5"], 2, "'per_class_iou.road'"),
    (["--fail-under", "engine=1"], 2, "'engine' of a report is no number"),
    (["--fail-under", "miou"], 2, "A limit is KEY=VALUE"),
    (["--fail-under", "miou=high"], 2, "'high' in 'miou=high' is no number"),
    (["--fail-under", "miou=nan"], 2, "no finite number"),
    ([], 2, "nothing to compare it with"),
])
def test_limits(limits: list[str], code: int, says: str, three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(three[0]), *limits]) == code
    error = capsys.readouterr().err
    assert says in error and bool(error) == bool(code)


@pytest.mark.parametrize(("new", "share", "code", "says"), [
    (("right", 0.0, 1.0), ["1%"], 0, ""),
    (("right", -0.02, 1.0), ["1%"], 1, "missed: miou of new is 0.6"),
    (("right", -0.02, 1.0), ["5%"], 0, ""),
    (("right", 0.0, 1.03), ["1%"], 1, "missed: p50_ms of new"),
    (("right", 0.0, 1.03), ["1%", "p50_ms=5%", "p90_ms=5%"], 0, ""),
    (("right", 0.05, 0.5), ["0%"], 0, ""),
    (("right", 0.0, 1.0), ["1"], 2, "a share such as 1%"),
    (("right", 0.0, 1.0), ["miou=-1%"], 2, "a share of at least 0%"),
    (("right", 0.0, 1.0), ["iiou=1%"], 2, "The baseline has no value for iiou"),
])
def test_a_baseline_guards_against_getting_worse(new: tuple[str, float, float], share: list[str], code: int, says: str,
                                                  tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, ms = np.full(FRAMES, 0.8), np.linspace(10, 10.2, FRAMES)
    old = stored(tmp_path / "old.json", base, ms, "old")
    path = stored(tmp_path / "new.json", base + new[1], ms * new[2], "new")
    assert main([str(path), "--baseline", str(old), "--fail-if-worse", *share]) == code
    assert says in capsys.readouterr().err


# ---- what can't be compared


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_older_report_is_upgraded_and_has_no_intervals(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    old = json.loads(three[0].read_text())
    kept = ("created", "miou", "per_class_iou", "pixel_accuracy", "pixels", "category_miou", "latency_ms", "weights", "network",
            "dataset", "split", "frames", "labelled_frames", "size_hw", "fit", "label_set", "engine", "precision", "threads",
            "machine")
    of_old = {"format_version": 1, "warm_up_runs": 2, "note": "Of old."}
    three[0].write_text(json.dumps({**{key: old[key] for key in kept}, **of_old}))
    assert read_reports(three[:1])[0].data["notes"] == ["Of old."]
    report = three[0].with_name("out.json")
    limits = ["--fail-under", "boundary_f_score=0.5", "--fail-over", "p90_ms=30"]
    assert main([*map(str, three[:2]), *limits, "--report", str(report)]) == 1
    data = json.loads(report.read_text())
    check_schema(data)
    assert data["differences"][0]["miou_interval"] is None
    assert [(one["report"], one["key"], one["at_least"], one["found"] is None, one["kept"]) for one in data["checks"]] == [
        ("first", "boundary_f_score", True, True, False), ("first", "p90_ms", False, False, True),
        ("better", "boundary_f_score", True, True, False), ("better", "p90_ms", False, False, True)]
    out = " ".join(capsys.readouterr().out.split())
    assert "without frames it is unknown whether that is more than noise" in out
    assert "first has no frames, like all of format_version 1" in out


@pytest.mark.parametrize(("values", "says"), [
    ({"split": "test"}, "different data and can't be compared: camvid val and camvid test"),
    ({"dataset": "cityscapes"}, "camvid val and cityscapes val"),
    ({"label_set": {"classes": ["road", "tree"]}}, "different classes and can't be compared: better has no sky"),
    ({"label_set": {"classes": ["sky", "road"]}}, "in another order"),
    ({"format_version": 3}, "has format_version 3; this lraspp reads 1 and 2"),
    ({"per_frame": [{"name": "frame 0", "latency_ms": {"total": 1}, "confusion": [0, 7]}]}, "different labels for frames"),
    ({"per_frame": [{"name": "other", "latency_ms": {"total": 1}, "confusion": [0, 7]}]}, "no frame in common"),
    ({"per_frame": [{"name": "frame 0", "latency_ms": {"total": 1}, "confusion": [99, 7]}]}, "is damaged: IndexError"),
    ({"per_frame": [{"name": "frame 0", "latency_ms": {"total": 1}, "confusion": [1]}]}, "is damaged: ValueError"),
    ({"per_frame": [{}]}, "is damaged: KeyError"),
])
def test_what_can_not_be_compared_is_refused(values: dict[str, Any], says: str, three: list[Path],
                                             capsys: pytest.CaptureFixture[str]) -> None:
    changed(three[1], **values)
    assert main(list(map(str, three[:2]))) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and error.count("\n") == 1


@pytest.mark.parametrize(("content", "says"), [
    (None, "There is no report"), ("{", "can't be read as JSON"), ("[]", "is not a report of infer.py"),
    ("{\"a\": 1}", "is not a report"),
])
def test_what_is_no_report_is_refused(content: str | None, says: str, three: list[Path], tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert main([str(three[0]), str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_options_that_belong_together(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(three[0]), "--baseline", str(three[1])]) == 2
    assert "belong together" in capsys.readouterr().err
    assert main([*map(str, three), "--report", "r.pdf"]) == 2
    assert ".json, .md, .html" in capsys.readouterr().err
