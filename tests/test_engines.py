"""The table of engines: each row is true, and another engine can be added as docs/engines.md says."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from networks import make_frame

from benchmarks import cpu_systems
from seg.cli.infer import main, make_parser
from seg.errors import SegError
from seg.files import write_image
from seg.runtime import Predictor
from seg.runtime.engines import table
from seg.runtime.engines.table import ENGINES, INT8_ONNX, ONNX, PRECISIONS, SAFETENSORS
from seg.runtime.protocol import Cell

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/engines.md").read_text()
FRAME = make_frame(101, 75)


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_is_of_its_class(name: str) -> None:
    entry = ENGINES[name]
    made = getattr(import_module(entry.module), entry.class_name)
    assert made.name == name
    assert find_spec(entry.package) is not None
    assert set(entry.runs) <= set(PRECISIONS) and set(entry.runs.values()) <= {SAFETENSORS, ONNX, INT8_ONNX}
    assert entry.loops is None or import_module(entry.loops).state("fp32") in ("kept", "to compile", "unkeepable")


def test_the_page_on_inference_names_every_cell() -> None:
    [head, *rows] = re.search(r"### Precisions\n\n((?:\|.*\n)+)", (ROOT / "docs/inference.md").read_text())[1].splitlines()
    names = re.findall(r"`(\w+)`", head)
    said = {Cell(name, precision) for row in rows[1:] for precision in re.findall(r"^\| `(\w+)`", row)
            for name, text in zip(names, row.split("|")[2:], strict=False) if text.strip() != "–"}
    assert names == list(ENGINES)
    assert said == {Cell(name, precision) for name, entry in ENGINES.items() for precision in entry.runs}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The engine of the page, added as it says; its name."""
    module, row = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "opencv_engine.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    [[name, entry]] = eval(f"{{{row}}}", vars(table)).items()
    assert entry.module == "seg.runtime.engines.opencv_engine"
    monkeypatch.setitem(sys.modules, entry.module, import_module("opencv_engine"))
    monkeypatch.setitem(ENGINES, name, entry)
    yield name
    del sys.modules["opencv_engine"]


def test_an_engine_is_added_as_the_page_says(added: str, tiny_weights: Path, tmp_path: Path) -> None:
    expected = Predictor.load(tiny_weights, engine="torch")(FRAME).train_ids
    predictor = Predictor.load(tiny_weights, engine=added, precision="fp32", threads=1)
    assert (predictor(FRAME).train_ids == expected).mean() > 0.999
    assert (predictor.engine, predictor.precision, predictor.threads) == (added, "fp32", 1)

    action = next(action for action in make_parser()._actions if action.dest == "engine")
    assert action.choices is not None and added in action.choices
    write_image(tmp_path / "frame.png", FRAME)
    assert main([str(tmp_path / "frame.png"), "--weights", str(tiny_weights), "--engine", added, "--save", "train-ids",
                 "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert list((tmp_path / "out").rglob("*.png"))

    with pytest.raises(SegError, match="The engine 'opencv' computes in fp32 here, not in int8; for that take 'openvino'"):
        Predictor.load(tiny_weights, engine=added, precision="int8")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_weights.with_suffix(".onnx").read_bytes().replace(b"HardSwish", b"HardSwosh"))
    with pytest.raises(SegError, match="can't be read by OpenCV"):
        Predictor.load(broken, engine=added)(FRAME)


def test_auto_and_the_benchmarks_read_the_row(added: str, tiny_weights: Path) -> None:
    predictor = Predictor.load(tiny_weights, precision="fp32", threads=1)
    predictor(FRAME)
    assert predictor.choice is not None
    trial = next(trial for trial in predictor.choice.trials if trial.engine == added)
    assert trial.changed < 0.001
    assert f"small-{added}-fp32" in [system.id for system in cpu_systems.all_systems()]


def test_scores_of_what_was_added_are_written_anew(added: str, tiny_weights: Path) -> None:
    engine = Predictor.load(tiny_weights, engine=added, precision="fp32", threads=1)._engine
    first, other = engine.logits(FRAME).copy(), engine.logits(make_frame(64, 64, 1))
    assert other.shape[1:] == (8, 8)
    np.testing.assert_array_equal(engine.logits(FRAME), first)
