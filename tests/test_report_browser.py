"""Reports in a real browser, opened from disk: nothing is fetched, there are no errors, and everything is visible."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import browser
from test_compare import FRAMES, noisy, stored

from seg.document import Origin, write
from seg.label_sets import CITYSCAPES
from seg.latency import Latency, WarmUp
from seg.metrics import Scores, frame_miou
from seg.report import Example, evaluation_report
from seg.report.compare import main
from seg.result import FrameRecord, Result, Variant
from seg.runtime.choice import Choice, Trial

__all__ = ["browser"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with every possible part, 19 classes, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    random = np.random.default_rng(0)
    latency, records = Latency(), []
    for i in range(100):
        matrix = np.diag(random.integers(500, 3000, 19)) + random.integers(0, 40, (19, 19))
        stages = {"preprocess": 1.0, "network": float(random.normal(30, 1)), "upsample": 2.0}
        stages["total"] = sum(stages.values()) + 0.1
        latency.add(stages, (1024, 2048))
        records.append(FrameRecord(f"city_{i}", (1024, 2048), i / 20, stages, matrix, frame_miou(matrix)))
    confusion = np.sum([record.confusion for record in records], axis=0)
    warm_ups = [WarmUp((1024, 2048), 9, True)]
    origin = Origin.here("python", "infer.py", "--dataset", "cityscapes", "--root", "/a/rather/long/path" * 8)
    scores = Scores.from_confusion(confusion, CITYSCAPES)
    result = Result(weights="large.safetensors", network="LRASPP mobilenet_v3_large_rf2", dataset="cityscapes", split="val",
                    frame_sizes=[(1024, 2048)], network_sizes=[(1024, 2048)], size_hw=None, long_side=None, fit="stretch",
                    label_set=CITYSCAPES, machine=origin.machine, engine="openvino", precision="fp32", threads=2, scores=scores,
                    confusion=confusion, latency=latency, warm_ups=warm_ups, records=records,
                    steadiness=latency.steadiness(warm_ups, 0.01), parameters=1_510_000, multiply_adds=9_740_000_000,
                    variants=[Variant("own size", (512, 1024), 0.7, {"p50": 9.0, "p90": 9.5, "p99": 10.0, "mean": 9.1})],
                    notes=Choice("openvino", "fp32", (8, 8), (8, 8), 1, (Trial("openvino", "fp32", 1.0, 0.0),)).sentences())
    frame, ids = random.integers(0, 255, (64, 128, 3), np.uint8), random.integers(0, 19, (64, 128), np.uint8)
    write(evaluation_report(result, origin, [Example("city_1", frame, ids, ids, "best", 0.9)]), folder / "report.html")
    reports = [stored(folder / f"{name}.json", noisy(0.8, i), noisy(10, i), name) for i, name in enumerate(("one", "two"))]
    assert len(records) > FRAMES
    assert main([*map(str, reports), "--fail-over", "p90_ms=99", "--report", str(folder / "comparison.html")]) == 0
    return {name: folder / f"{name}.html" for name in ("report", "comparison")}


@pytest.fixture(params=[(390, "light"), (1280, "light"), (390, "dark"), (1280, "dark")], ids=lambda one: f"{one[0]} {one[1]}")
def context(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield context
    context.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_the_page_is_whole(name: str, pages: dict[str, Path], context: Any) -> None:
    faults, fetched = list[str](), list[str]()
    tab = context.new_page()
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda request: fetched.append(request.url))
    tab.goto(pages[name].as_uri())
    assert faults == []
    assert [url for url in fetched if not url.startswith("data:")] == [pages[name].as_uri()]
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    width, seen = tab.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
    assert seen == width, "the page must not be wider than the window"
    charts = tab.evaluate("[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)")
    assert len(charts) >= 1 and min(charts) > 100

    # The smallest letters of a chart, as they come out on the screen, and how far words stand out from the paper behind them.
    smallest = tab.evaluate("""Math.min(...[...document.querySelectorAll('svg text')].map(
        text => parseFloat(getComputedStyle(text).fontSize) * Math.hypot(text.getCTM().a, text.getCTM().b)))""")
    assert smallest >= 6.5
    luminance = tab.evaluate("""(() => {
        const of = color => {
            const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = of(getComputedStyle(document.body).backgroundColor);
        return [paper, ...[...document.querySelectorAll('p, td, th, figcaption, svg text')].map(
            node => of(node.matches('svg text') ? getComputedStyle(node).fill : getComputedStyle(node).color))];
    })()""")
    paper, *words = luminance
    contrasts = [(max(word, paper) + 0.05) / (min(word, paper) + 0.05) for word in words]
    assert min(contrasts) >= 4.5, "WCAG's AA"
