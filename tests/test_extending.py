"""Runs the code of docs/extending.md as it is printed, and uses what it adds."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from networks import make_frame
from test_report import ORIGIN, in_terminal, result

from datasets import READERS, Reader
from seg.document import to_html, to_markdown
from seg.errors import SegError
from seg.evaluate import EvalSample
from seg.flow import Segmented, Sinks, Stream
from seg.models import LRASPP
from seg.report import evaluation_report
from seg.result import Result
from seg.runtime import Prediction
from seg.training.losses import OtherLoss, SegmentationLoss

__all__ = ["result"]  # the fixture
PAGE = (Path(__file__).resolve().parent.parent / "docs/extending.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def added(section: str) -> dict[str, Any]:
    """Runs the code of a section, and returns what it defines."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)
    names: dict[str, Any] = {"__name__": "added"}
    exec(compile(code, f"docs/extending.md, {section}", "exec"), names)
    return names


def test_each_section_is_tested() -> None:
    assert list(SECTIONS) == ["A data set", "An engine", "An encoder", "A loss", "A sink", "A report section"]
    assert "tests/test_engines.py" in SECTIONS["An engine"]


def test_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "rain", Reader)  # so that it is gone behind the test
    added("A data set")
    for folder, shape in (("val", (32, 48, 3)), ("val_labels", (32, 48))):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "a.png"), np.full(shape, 26, np.uint8))  # 26 is a car's label id
    reader = READERS["rain"](tmp_path, "val")
    image_rgb, train_ids = reader.read(0)
    assert train_ids is not None and image_rgb.shape == (32, 48, 3)
    assert np.unique(train_ids).tolist() == [reader.label_set.classes.index("car")]
    (tmp_path / "val_labels" / "a.png").unlink()
    with pytest.raises(SegError, match=r"a\.png .*has no labels in .*val_labels"):
        READERS["rain"](tmp_path, "val")


def test_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(smp.encoders.encoders, "plain", {})
    added("An encoder")
    network = LRASPP("plain", encoder_output_stride=32, pool="global", classes=5, decoder_channels=8).eval()
    images = torch.randint(0, 256, (1, 3, 70, 101), dtype=torch.uint8)
    with torch.inference_mode():
        assert network(images).shape == (1, 5, 70, 101) and network.logits(images).shape == (1, 5, 9, 13)


def test_a_loss() -> None:
    distance = added("A loss")["Distance"]
    loss = SegmentationLoss(cross_entropy=0.0, others=[OtherLoss(distance(power=3.0), weight=2.0)])
    loss.prepare(2, (), lambda: np.ones(2, np.int64))
    logits, labels = torch.zeros(1, 2, 4, 4), torch.randint(0, 2, (1, 16, 16))
    labels[0, :4] = 255
    assert float(loss(logits, labels)) == pytest.approx(2 * 0.5**3)  # both classes have a probability of 0.5


def test_a_sink(tmp_path: Path) -> None:
    sink = added("A sink")["RoadShares"](tmp_path / "shares.csv")
    with Sinks([sink], Stream("two frames", 2)) as sinks:
        for index in range(2):
            train_ids = np.zeros((10, 10), np.uint8)
            train_ids[: 2 + index] = 3
            prediction = Prediction(train_ids, {"total": 1.0})
            sinks.take(Segmented(index, EvalSample("", make_frame(10, 10)), prediction))
    assert (tmp_path / "shares.csv").read_text() == "seconds,share\n0.00,0.800\n0.00,0.700\n"


def test_a_report_section(result: Result) -> None:
    report = evaluation_report(result, ORIGIN)
    report = replace(report, blocks=[*report.blocks, *added("A report section")["slowest"](result, frames=2)])
    for shown in (in_terminal(report), to_markdown(report), to_html(report)):
        section = shown[shown.rindex("The slowest frames"):]
        assert section.index("frame 2") < section.index("30.00") < section.index("frame 1") and "frame 0" not in section
