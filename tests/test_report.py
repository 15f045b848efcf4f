"""A result as a report: what it says, in each of its forms."""

import dataclasses
import io
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pages import Page
from rich.console import Console

from seg import machine
from seg.document import Document, Origin, show, to_html, to_json, to_markdown
from seg.evaluate import Latency, Result, VideoFacts
from seg.label_sets import LabelSet
from seg.metrics import InstanceCounts, Scores
from seg.report import Example, ExampleCollector, evaluation_report

LABEL_SET = LabelSet("three", ("road", "a|b <c>", "never"), ((1, 2, 3), (200, 10, 10), (0, 0, 255)), (0, 1, 2))
ORIGIN = Origin("python infer.py --dataset camvid", datetime(2030, 1, 2, 3, 4, tzinfo=UTC), machine.describe())


@pytest.fixture
def result() -> Result:
    latency = Latency()
    for value in (10.0, 20.0, 30.0):
        latency.add({"preprocess": 1.0, "network": value - 1, "total": value})
    scores = Scores.from_confusion([[6, 2, 0], [0, 4, 0], [0, 0, 0]], LABEL_SET)
    return Result(weights="nets/one.safetensors", network="LRASPP small", dataset="camvid", split="val", frames=3, labelled=3,
                  frame_sizes=[(4, 6)], network_sizes=[(8, 12)], size_hw=(8, 12), long_side=None, fit="letterbox",
                  label_set=LABEL_SET, machine=machine.describe(), engine="openvino", precision="fp32", threads=2,
                  scores=scores, latency=latency)


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


def test_every_key_of_the_json_report_is_documented(result: Result) -> None:
    text = (Path(__file__).parent.parent / "docs/inference.md").read_text()
    example = json.loads(re.search(r"## The JSON report.*?```json\n(.*?)```", text, re.DOTALL)[1])
    assert set(example) == set(json.loads(to_json(report(result))))


def test_without_truth_and_without_frames(result: Result) -> None:
    result.scores, result.latency, result.frames = None, Latency(), 0
    document = report(result)
    found = json.loads(to_json(document))
    assert (found["miou"], found["latency_ms"]) == (None, None)
    for text in (to_markdown(document), to_html(document), in_terminal(document)):
        assert "IoU" not in text


def test_every_form_has_classes_mean_and_stages(result: Result) -> None:
    document = report(result)
    for text in (in_terminal(document), Page.of(to_html(document)).text):
        for words in ("one on camvid val", "road", "75.0", "a|b <c>", "mean", "70.8", "preprocess", "p99", "29.80", "letterbox",
                      "openvino", "python infer.py --dataset camvid"):
            assert words in text, words
    markdown = to_markdown(document)
    for words in ("| road | 75.0 |", "| a\\|b \\<c> | 66.7 |", "| never | – |", "| **mean** | **70.8** |",
                  "| **total** | **20.00** | **28.00** | **29.80** | **20.00** |"):
        assert words in markdown, words


def test_examples_stand_in_the_page(result: Result) -> None:
    frame, ids = np.full((4, 6, 3), 90, np.uint8), np.zeros((4, 6), np.uint8)
    page = Page.of(to_html(report(result, (Example("a<b>", frame, ids, ids), Example("no truth", frame, None, ids)))))
    assert len(page.images) == 3 + 2
    assert "a<b>" in page.text


def test_categories_and_instances_have_their_own_rows(result: Result) -> None:
    """Road is a category of its own; the other two are things, and only the second one's instances are told apart."""
    label_set = dataclasses.replace(LABEL_SET, categories=("flat", "thing", "thing"), instance_sizes=(0, 8.0, 0))
    instances = InstanceCounts(label_set)
    instances.add(np.array([[1001, 1001, 1001, 1002]], np.uint16), np.array([[1, 0, 1, 1]], np.uint8))
    result.label_set, result.scores = label_set, Scores.from_confusion([[6, 2, 0], [1, 3, 0], [0, 0, 0]], label_set, instances)
    document = report(result)
    # two instances weigh 8 each: 2/3 of the one and all of the other are right; 2 pixels of road were taken for it
    iiou = (16 / 3 + 8) / (16 + 2)
    assert json.loads(to_json(document))["per_class_iiou"] == {"a|b <c>": pytest.approx(iiou)}
    markdown = to_markdown(document)
    assert "| class | iIoU [%] | IoU [%] |\n|:--|--:|--:|" in markdown
    assert f"| a\\|b \\<c> | {100 * iiou:.1f} | 50.0 |" in markdown
    assert "| thing | – | 50.0 |" in markdown, "a category has an iIoU only if all of its classes have"
    assert "| **mean** | **–** | **58.3** |" in markdown
    for text in (markdown, Page.of(to_html(document)).text, in_terminal(document)):
        for words in ("category mIoU", "iIoU", "flat", "thing", f"{100 * iiou:.1f}", "58.3"):
            assert words in text, words


@pytest.mark.parametrize(("total", "passed", "expected"), [(1, 1, ["0"]), (6, 6, list("012345")), (100, 100, None),
                                                             (None, 400, None), (None, 3, [])])
def test_examples_are_evenly_spread_and_small(total: int | None, passed: int, expected: list[str] | None) -> None:
    collector = ExampleCollector(total)
    ids = np.arange(1000, dtype=np.uint16).astype(np.uint8)[None].repeat(500, 0)
    for i in range(passed):
        collector.offer(str(i), np.zeros((500, 1000, 3), np.uint8), ids, ids)
    picked = [int(example.name) for example in collector.examples]
    if expected is not None:
        assert picked == list(map(int, expected))
    else:
        assert len(picked) == 6
        assert len(set(np.diff(picked) // 10)) <= 2
    for example in collector.examples:
        assert example.truth is not None
        assert example.frame_bgr.shape == (320, 640, 3)
        assert example.truth.shape == example.prediction.shape == (320, 640)
        assert set(np.unique(example.truth)) <= set(np.unique(ids))


def test_a_videos_report_has_its_speed(result: Result) -> None:
    result = dataclasses.replace(result, video=VideoFacts(
        31.25, "latency", 7, {"out.mp4": {"p50": 40.0, "p90": 50.0, "p99": 60.0, "mean": 42.0}},
        [(0.0, 10.0, 40.0), (0.5, 30.0, math.nan), (1.0, 20.0, 80.0)]))
    document = report(result)
    found = json.loads(to_json(document))["video"]
    assert (found["frames_per_second"], found["dropped"], found["over_time"][1]) == (31.25, 7, [0.5, 30.0, None])
    assert "p50 40.0, p90 50.0, p99 60.0 ms" in to_markdown(document)
