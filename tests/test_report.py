"""A result in its four forms: the same facts in each, strict JSON, HTML that stands alone."""

import base64
import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from seg import machine
from seg.errors import SegError
from seg.evaluate import Latency, Result, VideoFacts
from seg.label_sets import LabelSet
from seg.metrics import InstanceCounts, Scores
from seg.report import Example, ExampleCollector, check_report_path, print_result, write_report
from seg.report.json import as_dict

LABEL_SET = LabelSet("three", ("road", "a|b <c>", "never"), ((1, 2, 3), (200, 10, 10), (0, 0, 255)), (0, 1, 2))


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


def test_json_has_what_programs_look_for(result: Result, tmp_path: Path) -> None:
    write_report(result, tmp_path / "r.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    report = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert report["miou"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert report["per_class_iou"] == {"road": pytest.approx(0.75), "a|b <c>": pytest.approx(2 / 3), "never": None}
    assert {key: report["latency_ms"][key] for key in ("p50", "mean")} == {"p50": 20.0, "mean": 20.0}
    assert report["latency_ms"]["p90"] == pytest.approx(28.0)
    assert set(report["latency_ms"]["stages"]) == {"preprocess", "network"}
    assert set(report["latency_ms"]["stages"]["network"]) == {"p50", "p90", "p99", "mean"}
    assert (report["format_version"], report["size_hw"], report["fit"]) == (1, [8, 12], "letterbox")
    assert (report["engine"], report["precision"], report["threads"]) == ("openvino", "fp32", 2)
    assert report["machine"]["cores"] >= 1


def test_every_key_of_the_json_report_is_documented(result: Result) -> None:
    text = (Path(__file__).parent.parent / "docs/inference.md").read_text()
    example = json.loads(re.search(r"## The JSON report.*?```json\n(.*?)```", text, re.DOTALL)[1])
    assert set(example) == set(as_dict(result))


def test_without_truth_and_without_frames(result: Result, tmp_path: Path) -> None:
    result.scores, result.latency, result.frames = None, Latency(), 0
    for name in ("r.json", "r.md", "r.html"):
        write_report(result, tmp_path / name)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["miou"] is None
    assert report["latency_ms"] is None
    assert "IoU" not in (tmp_path / "r.md").read_text()
    print_result(result, Console(file=io.StringIO()))


def test_markdown_tables_are_whole(result: Result, tmp_path: Path) -> None:
    write_report(result, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert "| road | 75.0 |" in text
    assert "| a\\|b <c> | 66.7 |" in text
    assert "| never | – |" in text
    assert "| **mean** | **70.8** |" in text
    assert "| total | 20.00 | 28.00 | 29.80 | 20.00 |" in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_terminal_shows_classes_mean_and_stages(result: Result) -> None:
    out = io.StringIO()
    print_result(result, Console(file=out, width=100, highlight=False))
    text = out.getvalue()
    for words in ("one on camvid val", "road", "75.0", "a|b <c>", "mean", "70.8", "preprocess", "p99", "29.80", "letterbox",
                  "openvino"):
        assert words in text, words


class _Page(HTMLParser):
    """Collects the pictures of a page and whether its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_stands_alone(result: Result, tmp_path: Path) -> None:
    frame = np.full((4, 6, 3), 90, np.uint8)
    ids = np.zeros((4, 6), np.uint8)
    examples = [Example("a<b>", frame, ids, ids), Example("no truth", frame, None, ids)]
    write_report(result, tmp_path / "r.html", examples)
    html = (tmp_path / "r.html").read_text()
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert "a|b <c>" in page.text
    assert "a<b>" in page.text
    assert "70.8 %" in page.text
    assert "<script" not in html
    assert not re.search(r'(src|href)="(?!data:)|@import|url\(', html)
    assert "prefers-color-scheme: dark" in html
    assert len(page.images) == 3 + 2
    for source in page.images:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (4, 6, 3)


def test_categories_and_instances_have_their_own_rows(result: Result, tmp_path: Path) -> None:
    """Road is a category of its own; the other two are things, and only the second one's instances are told apart."""
    label_set = dataclasses.replace(LABEL_SET, categories=("flat", "thing", "thing"), instance_sizes=(0, 8.0, 0))
    instances = InstanceCounts(label_set)
    instances.add(np.array([[1001, 1001, 1001, 1002]], np.uint16), np.array([[1, 0, 1, 1]], np.uint8))
    result.label_set, result.scores = label_set, Scores.from_confusion([[6, 2, 0], [1, 3, 0], [0, 0, 0]], label_set, instances)
    for name in ("r.json", "r.md", "r.html"):
        write_report(result, tmp_path / name)
    out = io.StringIO()
    print_result(result, Console(file=out, width=100, highlight=False))
    # two instances weigh 8 each: 2/3 of the one and all of the other are right; 2 pixels of road were taken for it
    iiou = (16 / 3 + 8) / (16 + 2)
    assert json.loads((tmp_path / "r.json").read_text())["per_class_iiou"] == {"a|b <c>": pytest.approx(iiou)}
    markdown, page = (tmp_path / "r.md").read_text(), _Page()
    assert "| class | IoU [%] | iIoU [%] |\n|:--|--:|--:|" in markdown
    assert f"| a\\|b <c> | 50.0 | {100 * iiou:.1f} |" in markdown
    assert "| thing | 50.0 | – |" in markdown, "a category has an iIoU only if all of its classes have"
    assert "| **mean** | **58.3** | **–** |" in markdown
    page.feed((tmp_path / "r.html").read_text())
    assert page.open == []
    for text in (markdown, page.text, out.getvalue()):
        for words in ("category mIoU", "iIoU", "flat", "thing", f"{100 * iiou:.1f}", "58.3"):
            assert words in text, words


def test_report_paths_are_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "r.pdf", "suffix"), (tmp_path / "r", "suffix"), (tmp_path / "folder.json", "folder"),
                        (tmp_path / "file" / "r.json", "Can't write")):
        with pytest.raises(SegError, match=words):
            check_report_path(path)
    check_report_path(tmp_path / "new" / "R.HTML")


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


def test_a_videos_report_has_speed_and_latency_over_time(result: Result, tmp_path: Path) -> None:
    result = dataclasses.replace(result, video=VideoFacts(
        31.25, "latency", 7, {"out.mp4": {"p50": 40.0, "p90": 50.0, "p99": 60.0, "mean": 42.0}},
        [(0.0, 10.0, 40.0), (0.5, 30.0, math.nan), (1.0, 20.0, 80.0)]))
    for suffix in ("json", "md", "html"):
        write_report(result, tmp_path / f"r.{suffix}")
    found = json.loads((tmp_path / "r.json").read_text())["video"]
    assert (found["frames_per_second"], found["dropped"], found["over_time"][1]) == (31.25, 7, [0.5, 30.0, None])
    assert "p50 40.0, p90 50.0, p99 60.0 ms" in (tmp_path / "r.md").read_text()
    page = (tmp_path / "r.html").read_text()
    lines = [[tuple(map(float, point.split(","))) for point in text.split()]
             for text in re.findall(r'polyline points="(.*?)"', page)]
    assert [len(line) for line in lines] == [3, 2]
    assert lines[0][1][0] == pytest.approx((lines[0][0][0] + lines[0][2][0]) / 2), "half the time lies in the middle"
    assert lines[1][1][1] < lines[0][1][1] < lines[0][0][1], "what takes longer stands higher"
