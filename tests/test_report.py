"""A result as a report: its content in each form."""

import dataclasses
import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pages import Page
from rich.console import Console

import seg.report
from seg import machine
from seg.boundaries import BoundaryScores
from seg.calibration import Calibration
from seg.document import Document, Origin, show, to_html, to_json, to_markdown
from seg.label_sets import LabelSet
from seg.latency import Latency, WarmUp
from seg.metrics import InstanceCounts, Scores, frame_miou
from seg.report import Example, ExampleCollector, evaluation_report
from seg.report.data import dense, sparse
from seg.report.examples import error_map
from seg.result import FrameRecord, Result, Variant, VideoFacts

LABEL_SET = LabelSet("three", ("road", "a|b <c>", "never"), ((1, 2, 3), (200, 10, 10), (0, 0, 255)), (0, 1, 2))
ORIGIN = Origin("python infer.py --dataset camvid", datetime(2030, 1, 2, 3, 4, tzinfo=UTC), machine.describe())


SCHEMA = json.loads((Path(seg.report.__file__).parent / "schema.json").read_text())
CONFUSION = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])


@pytest.fixture
def result() -> Result:
    """A result of three frames; all errors are in the second one."""
    latency, records = Latency(), []
    matrices = [np.diag([3, 1, 0]), np.array([[1, 2, 0], [0, 2, 0], [0, 0, 0]]), np.diag([2, 1, 0])]
    for i, (value, matrix) in enumerate(zip((10.0, 20.0, 30.0), matrices, strict=True)):
        stages = {"preprocess": 1.0, "network": value - 1, "total": value}
        latency.add(stages, (4, 6))
        records.append(FrameRecord(f"frame {i}", (4, 6), i / 10, stages, matrix, frame_miou(matrix)))
    warm_ups = [WarmUp((4, 6), 7, True)]
    return Result(weights="nets/one.safetensors", network="LRASPP small", dataset="camvid", split="val",
                  frame_sizes=[(4, 6)], network_sizes=[(8, 12)], size_hw=(8, 12), long_side=None, fit="letterbox",
                  label_set=LABEL_SET, machine=machine.describe(), engine="openvino", precision="fp32", threads=2,
                  scores=Scores.from_confusion(CONFUSION, LABEL_SET), confusion=CONFUSION, latency=latency, warm_ups=warm_ups,
                  records=records, steadiness=latency.steadiness(warm_ups, 0.0), parameters=468_702, multiply_adds=2_000_000_000,
                  first_frame_ms=1234.0, peak_memory_mib=321.0,
                  boundaries=BoundaryScores({3: 0.25, 5: 0.5, 9: math.nan}, 0.75,
                                            {"road": 0.75, "a|b <c>": 0.75, "never": math.nan}),
                  calibration=Calibration((0.5, 1.0), (0.25, 1.0), (0.4, 0.6)), notes=["The first.", "The second."],
                  variants=[Variant("whole", (8, 12), 0.6, {"p50": 5.0, "p90": 6.0, "p99": 7.0, "mean": 5.5})])


def report(result: Result, examples: tuple[Example, ...] = ()) -> Document:
    return evaluation_report(result, ORIGIN, examples)


def in_terminal(document: Document) -> str:
    out = io.StringIO()
    show(document, Console(file=out, width=120, highlight=False))
    return out.getvalue()


def test_json_has_what_programs_look_for(result: Result) -> None:
    found = json.loads(to_json(report(result)))
    assert found["miou"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert found["per_class_iou"] == {"road": pytest.approx(0.75), "a|b <c>": pytest.approx(2 / 3), "never": None}
    assert {key: found["latency_ms"][key] for key in ("p50", "mean")} == {"p50": 20.0, "mean": 20.0}
    assert found["latency_ms"]["p90"] == pytest.approx(28.0)
    assert set(found["latency_ms"]["stages"]) == {"preprocess", "network"}
    assert set(found["latency_ms"]["stages"]["network"]) == {"p50", "p90", "p99", "mean"}
    assert (found["format_version"], found["size_hw"], found["fit"]) == (2, [8, 12], "letterbox")
    assert (found["engine"], found["precision"], found["threads"]) == ("openvino", "fp32", 2)
    assert found["machine"]["cores"] >= 1
    assert found["command"] == "python infer.py --dataset camvid"


def test_json_is_what_the_schema_says(result: Result) -> None:
    """With everything, without truth, of a video, and without any frame."""
    bare = dataclasses.replace(result, scores=None, confusion=None, boundaries=None, calibration=None, latency=Latency(),
                               records=[], steadiness=None, parameters=None, first_frame_ms=None, variants=[])
    video = dataclasses.replace(result, video=VideoFacts(25.0, "latency", 1, {}, [(0.0, 1.0, math.nan)]))
    for one in (result, bare, video):
        data = json.loads(to_json(report(one)))
        jsonschema.validate(data, SCHEMA, jsonschema.Draft202012Validator)
        assert set(data) == set(SCHEMA["properties"]) == set(SCHEMA["required"]), "a key that the schema doesn't describe"


def test_the_schema_is_strict(result: Result) -> None:
    data = json.loads(to_json(report(result)))
    for key, wrong in (("miou", 61.3), ("latency_ms", {"p50": 1}), ("format_version", 1), ("warm_ups", 2), ("notes", "joined")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**data, key: wrong}, SCHEMA, jsonschema.Draft202012Validator)


def test_frames_are_whole_in_json_in_a_compact_form(result: Result) -> None:
    frames = json.loads(to_json(report(result)))["per_frame"]
    assert [frame["name"] for frame in frames] == ["frame 0", "frame 1", "frame 2"]
    assert frames[1]["confusion"] == [0, 1, 1, 2, 4, 2]
    np.testing.assert_array_equal(sum(dense(frame["confusion"], 3) for frame in frames), CONFUSION)
    assert frames[1]["miou"] == pytest.approx((1 / 3 + 2 / 4) / 2, abs=1e-5)
    random = np.random.default_rng(0).integers(0, 3, (19, 19))
    np.testing.assert_array_equal(dense(sparse(random), 19), random)


def test_without_truth_and_without_frames(result: Result) -> None:
    result = dataclasses.replace(result, scores=None, confusion=None, boundaries=None, calibration=None, variants=[], notes=[],
                                 records=[dataclasses.replace(record, confusion=None, miou=None) for record in result.records])
    nothing = dataclasses.replace(result, latency=Latency(), records=[], steadiness=None)
    for one in (result, nothing):
        document = report(one)
        assert json.loads(to_json(document))["miou"] is None
        for text in (to_markdown(document), to_html(document), in_terminal(document)):
            assert "IoU" not in text
    assert "Without labels, nothing is scored" in to_markdown(report(result))
    assert "No frame was predicted" in to_markdown(report(nothing))


def test_the_verdict_says_what_was_reached_where_and_whether_it_holds(result: Result) -> None:
    text = to_markdown(report(result))
    for words in ("mIoU 70.8 %", "20.0 / 28.0 / 29.8 ms per frame (p50 / p90 / p99) at 8x12", "50.0 frames a second", "2 threads",
                  "openvino in fp32", result.machine.cpu, "can't be called stable: 3 frames are too few"):
        assert words in text, words


def test_what_is_confused_is_said_in_words(result: Result) -> None:
    text = Page.of(to_html(report(result))).text
    assert "25% of road are taken for a|b <c>." in text
    assert "of never" not in text


def test_every_form_has_classes_mean_and_stages(result: Result) -> None:
    document = report(result)
    for text in (in_terminal(document), Page.of(to_html(document)).text):
        for words in ("one on camvid val", "road", "75.0", "a|b <c>", "mean", "70.8", "preprocess", "p99", "29.80", "letterbox",
                      "openvino", "python infer.py --dataset camvid", "The first.", "The second.", "0.47 M", "2.00 G", "1.23 s",
                      "321 MiB", "within 3 px", "F-score of 75.0 %", "calibration error 10.0 %", "without 7 warm-up runs",
                      "whole"):
            assert words in text, words
    markdown = to_markdown(document)
    for words in ("| road | 75.0 | 100.0 | 75.0 | 66.7 |", "| a\\|b \\<c> | 66.7 | 66.7 | 100.0 | 33.3 |",
                  "| never | – | – | – | 0.0 |", "| **mean** | **70.8** |",
                  "| **whole** | **20.00** | **28.00** | **29.80** | **20.00** |"):
        assert words in markdown, words


def test_classes_are_sorted_by_iou(result: Result) -> None:
    scores = Scores.from_confusion([[1, 2, 0], [0, 4, 0], [0, 0, 0]], LABEL_SET)
    text = to_markdown(report(dataclasses.replace(result, scores=scores)))
    assert text.index("| a\\|b") < text.index("| road") < text.index("| never")


def test_examples_stand_in_the_page(result: Result) -> None:
    frame, ids = np.full((4, 6, 3), 90, np.uint8), np.zeros((4, 6), np.uint8)
    examples = Example("a<b>", frame, ids, ids, "worst", 0.5), Example("no truth", frame, None, ids)
    page = Page.of(to_html(report(result, examples)))
    assert len(page.images) == 4 + 2
    assert "Worst: a<b>, mIoU 50.0 %" in page.text


def test_an_error_map_shows_what_is_wrong_and_what_is_not_scored() -> None:
    frame = np.full((1, 3, 3), 100, np.uint8)
    shown = error_map(frame, np.array([[0, 1, 255]], np.uint8), np.array([[0, 0, 0]], np.uint8))
    assert shown[0].tolist() == [[80, 80, 80], [40, 220, 255], [0, 0, 0]]


def test_categories_and_instances_have_their_own_rows(result: Result) -> None:
    """Road is its own category; the other two classes are things, and only the second one has instances."""
    label_set = dataclasses.replace(LABEL_SET, categories=("flat", "thing", "thing"), instance_sizes=(0, 8.0, 0))
    instances = InstanceCounts(label_set)
    instances.add(np.array([[1001, 1001, 1001, 1002]], np.uint16), np.array([[1, 0, 1, 1]], np.uint8))
    result.label_set, result.scores = label_set, Scores.from_confusion([[6, 2, 0], [1, 3, 0], [0, 0, 0]], label_set, instances)
    document = report(result)
    # two instances weigh 8 each: 2/3 of the one and all of the other are right; 2 pixels of road were taken for it
    iiou = (16 / 3 + 8) / (16 + 2)
    assert json.loads(to_json(document))["per_class_iiou"] == {"a|b <c>": pytest.approx(iiou)}
    markdown = to_markdown(document)
    assert "| class | IoU [%] | iIoU [%] | precision" in markdown
    assert f"| a\\|b \\<c> | 50.0 | {100 * iiou:.1f} |" in markdown
    assert "| thing | 50.0 | – |" in markdown, "a category has an iIoU only if all of its classes have"
    assert "| **mean** | **58.3** | **–** |" in markdown
    for text in (markdown, Page.of(to_html(document)).text, in_terminal(document)):
        for words in ("category mIoU", "iIoU", "flat", "thing", f"{100 * iiou:.1f}", "58.3"):
            assert words in text, words


def collected(scores: list[float | None]) -> list[Example]:
    collector = ExampleCollector()
    ids = np.arange(1000, dtype=np.uint16).astype(np.uint8)[None].repeat(500, 0)
    frame = np.zeros((500, 1000, 3), np.uint8)
    for i, score in enumerate(scores):
        collector.offer(str(i), frame, None if score is None else ids, ids, score)
    return collector.examples()


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["0"]), (6, list("012345")), (130, None)])
def test_examples_without_a_score_are_evenly_spread(count: int, expected: list[str] | None) -> None:
    names = [example.name for example in collected([None] * count)]
    if expected is not None:
        assert names == expected
    else:
        steps = np.diff([0, *map(int, names), count])
        assert len(names) == 6 and steps[1:-1].min() >= 0.6 * count / 6 and steps.max() <= 1.4 * count / 6


def test_examples_are_the_best_the_median_and_the_worst_and_small() -> None:
    scores = np.random.default_rng(0).permutation(41) / 41
    examples = collected([*map(float, scores), math.nan])
    found = {(example.why, example.miou) for example in examples}
    assert found == {("best", 40 / 41), ("best", 39 / 41), ("median", 20 / 41), ("median", 19 / 41), ("worst", 0),
                     ("worst", 1 / 41)}
    assert [example.why for example in examples] == ["best", "best", "median", "median", "worst", "worst"]
    for example in examples:
        assert example.truth is not None
        assert example.frame_bgr.shape == (320, 640, 3)
        assert example.truth.shape == example.prediction.shape == (320, 640)
        assert set(np.unique(example.truth)) <= set(range(256))


def test_of_many_frames_the_best_and_the_worst_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg.report.examples._MOST_SCORED", 8)
    scores = np.random.default_rng(1).permutation(101) / 101
    examples = collected(list(map(float, scores)))
    by_why = {why: sorted(example.miou for example in examples if example.why == why) for why in ("best", "median", "worst")}
    assert by_why["best"] == [99 / 101, 100 / 101] and by_why["worst"] == [0, 1 / 101]
    assert 0.2 < by_why["median"][0] < 0.8


def test_a_videos_report_has_its_speed(result: Result) -> None:
    result = dataclasses.replace(result, video=VideoFacts(
        31.25, "latency", 7, {"out.mp4": {"p50": 40.0, "p90": 50.0, "p99": 60.0, "mean": 42.0}},
        [(0.0, 10.0, 40.0), (0.5, 30.0, math.nan), (1.0, 20.0, 80.0)]))
    document = report(result)
    found = json.loads(to_json(document))["video"]
    assert (found["frames_per_second"], found["dropped"], found["over_time"][1]) == (31.25, 7, [0.5, 30.0, None])
    assert "p50 40.0, p90 50.0, p99 60.0 ms" in to_markdown(document)
