"""`infer.py` on Cityscapes: its report has the scores of cityscapesScripts' evaluator on the PNGs that --submit wrote."""

import json
import math
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cityscapes_tree import SIZE_HW, make_cityscapes, make_frame, predict
from networks import LABEL_SET, write_weights

from datasets import READERS, Cityscapes
from seg.cli.infer import main
from seg.files import read_labels
from seg.label_sets import CITYSCAPES
from seg.runtime import Prediction, Predictor

# The evaluator calls np.in1d, which NumPy 2.4 has removed.
EVALUATOR = ("import numpy; numpy.in1d = numpy.isin; "
             "from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import main; main()")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"), label_set=CITYSCAPES)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cityscapes(tmp_path_factory.mktemp("data") / "cityscapes",
                           {"val": {"frankfurt": 2, "lindau": 1}, "test": {"berlin": 1, "munich": 1}})


def infer(root: Path, weights: Path, *more: str) -> int:
    return main(["--dataset", "cityscapes", "--root", str(root), "--weights", str(weights), *more], READERS)


def answer_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes predictors return labels as a trained network would: mostly right."""
    answers = {frame.image_rgb.tobytes(): predict(frame) for frame in map(make_frame, range(3))}
    original = Predictor.__call__

    def call(self: Predictor, frame_bgr: np.ndarray, *rest: Any) -> Prediction:
        return Prediction(answers[frame_bgr[:, :, ::-1].tobytes()], original(self, frame_bgr, *rest).latency_ms)

    monkeypatch.setattr(Predictor, "__call__", call)


def test_the_report_is_what_cityscapesscripts_says_of_the_submission(
        root: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer_well(monkeypatch)
    reports = [tmp_path / name for name in ("r.json", "r.md", "r.html")]
    assert infer(root, weights, "--submit", str(tmp_path / "out"), *(f"--report={path}" for path in reports)) == 0
    printed = capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "out/cityscapes_val.zip") as archive:
        assert archive.namelist() == [f"{name}_000019_labelIds.png" for name in (
            "frankfurt_000000", "frankfurt_000001", "lindau_000000")], "flat, as the server wants it"
        archive.extractall(tmp_path / "results")

    environment = {**os.environ, "CITYSCAPES_DATASET": str(root), "CITYSCAPES_RESULTS": str(tmp_path / "results"),
                   "CITYSCAPES_EXPORT_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", EVALUATOR], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "resultPixelLevelSemanticLabeling.json").read_text())
    ours = json.loads(reports[0].read_text())
    for key, mean, their_key, their_mean in (
            ("per_class_iou", "miou", "classScores", "averageScoreClasses"),
            ("per_class_iiou", "iiou", "classInstScores", "averageScoreInstClasses"),
            ("per_category_iou", "category_miou", "categoryScores", "averageScoreCategories"),
            ("per_category_iiou", "category_iiou", "categoryInstScores", "averageScoreInstCategories")):
        assert ours[mean] == pytest.approx(theirs[their_mean], abs=1e-6)
        assert {name: value for name, value in ours[key].items() if value is not None} == pytest.approx(
            {name: value for name, value in theirs[their_key].items() if not math.isnan(value)}, abs=1e-6)
    assert all(0.05 < ours[mean] < 0.95 for mean in ("miou", "iiou", "category_miou", "category_iiou"))
    for text in (printed, *(path.read_text() for path in reports[1:])):
        for words in ("category mIoU", "category iIoU", "pixel accuracy", "iIoU [%]", "construction", "motorcycle",
                      "val: 2 of 3 cities, 3 of 500 frames."):
            assert words in text, words
        for mean in ("miou", "iiou", "category_miou", "category_iiou", "pixel_accuracy"):
            assert f"{100 * ours[mean]:.1f}" in text, mean
    assert " ".join(ours["notes"]).count("3 of 500") == 1


def test_the_test_split_is_segmented_without_labels(root: Path, weights: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert infer(root, weights, "--split", "test", "--submit", str(out), "--report", str(tmp_path / "r.json")) == 0
    printed = capsys.readouterr().out
    assert "Submission: " in printed
    assert "test: 2 of 6 cities, 2 of 1525 frames." in printed
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["miou"], report["iiou"], report["frames"], report["labelled_frames"]) == (None, None, 2, 0)
    assert "has no labels" in " ".join(report["notes"])
    names = [f"{city}_000000_000019_labelIds.png" for city in ("berlin", "munich")]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "cityscapes_test.zip"])
    predictor, reader = Predictor.load(weights), Cityscapes(root, "test")
    for i, name in enumerate(names):
        predicted = predictor(np.ascontiguousarray(reader.read(i)[0][:, :, ::-1])).train_ids
        assert np.array_equal(read_labels(out / name), np.array(CITYSCAPES.label_ids, np.uint8)[predicted])
        assert read_labels(out / name).shape == SIZE_HW


def test_frames_without_instance_ids_have_no_iiou(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", {"val": {"lindau": 2}})
    for said, path in zip(("iIoU is left out: 1 of 2 frames have instance ids.", ""), sorted(root.rglob("*_instanceIds.png")),
                          strict=True):
        path.unlink()
        assert infer(root, weights, "--report", str(tmp_path / "r.json")) == 0
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["iiou"] is report["per_class_iiou"] is report["category_iiou"] is None
        assert report["category_miou"] is not None
        assert "iIoU [%]" not in capsys.readouterr().out
        notes = " ".join(report["notes"])
        assert said in notes and bool(said) == ("iIoU" in notes)


@pytest.mark.parametrize(("arguments", "words"), [
    ("--submit out --limit 1", "give --submit without --limit"),
    ("--submit out --split train", "--submit is for --split test, or val"),
    ("--submit taken", "taken/other.png, which would be taken for predictions. Give an empty folder"),
    ("--submit file", "Can't write into file"),
    ("--submit ROOT", "is in --submit"),
    ("--submit out --weights OTHER", "Choose weights trained on these classes"),
    ("--submit out --split val --dataset plain", "plain has none"),
])
def test_what_does_not_go_together(arguments: str, words: str, root: Path, weights: Path, tiny_weights: Path, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Plain(Cityscapes):
        submission_ending = None

    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("taken/other.png").touch()
    Path("file").touch()
    more = arguments.replace("ROOT", str(root)).replace("OTHER", str(tiny_weights)).split()
    assert len(LABEL_SET) != len(CITYSCAPES)
    assert main(["--dataset", "cityscapes", "--root", str(root), "--weights", str(weights), *more],
                {**READERS, "plain": Plain}) == 2
    assert words in capsys.readouterr().err
    assert not Path("out").exists()


def test_submit_needs_a_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["street.jpg", "--submit", "out"], READERS) == 2
    assert "--submit writes what a data set's test server takes; it needs --dataset NAME" in capsys.readouterr().err


def test_no_zip_of_an_interrupted_run_or_an_earlier_one(root: Path, weights: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--split", "val", "--submit", str(tmp_path), "--quiet"]
    assert infer(root, weights, *arguments) == 0
    assert (tmp_path / "cityscapes_val.zip").is_file()
    assert infer(root, weights, *arguments) == 0, "its own files are written again"
    monkeypatch.setattr(Cityscapes, "read", lambda self, index, read=Cityscapes.read: (
        os.kill(os.getpid(), signal.SIGINT) if index == 1 else None, read(self, index))[1])
    assert infer(root, weights, *arguments) == 130
    assert "Scored were 2 of 3 frames. No zip was written." in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*"))
