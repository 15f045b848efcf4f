"""The model card says what the file says."""

from pathlib import Path

from seg.cli import card
from seg.label_sets import LabelSet
from seg.models import LRASPP, save

LABEL_SET = LabelSet("two", ("road", "sky"), ((1, 2, 3), (4, 5, 6)), (0, 1))


def test_a_card_is_written_beside_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    metrics = {"val/miou": 0.5, "val/per_class_iou": {"road": 0.75, "sky": None},
               "curve": [{"epoch": 0, "step": 10, "miou": 0.125}]}
    training = {"command": "python train_seg.py fit --config c.yaml",
                "settings": {"name": "mine", "trainer": {"max_epochs": 3},
                             "model": {"init_from": "theirs", "teacher": "wise.onnx"},
                             "data": {"root": "DIR", "dataset": "camvid", "share": 3.0,
                                      "others": [{"root": "data/more", "dataset": "folder", "share": 1.0}]}},
                "duration_seconds": 120, "step": 10, "steps": 12, "date": "2030-01-02T03:04:05", "versions": {"torch": "9.9"}}
    save(LRASPP("mobilenet_v3_small_rf2", classes=2), path, LABEL_SET, (32, 64), "For nothing", metrics, training)
    assert card.main([str(path)]) == 0
    text = path.with_suffix(".md").read_text()
    for words in ("# mine", "mobilenet_v3_small_rf2", "| road | 75.0 |", "| sky | – |", "| **mean** | **50.0** |",
                  "| 1 | 10 | 12.5 |", "32x64 crops", "For nothing", "2 min", "10 of 12", "2030-01-02", "torch 9.9",
                  "train_seg.py fit --config c.yaml", "max_epochs: 3",
                  "| learnt from | DIR (camvid, 75%); data/more (folder, 25%); started from theirs; teacher wise.onnx |"):
        assert words in text, words


def test_the_course_shows_what_the_checkpoint_was_chosen_by(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    curve = [{"epoch": 0, "step": 10, "miou": 0.125, "present_miou": 0.25},
             {"epoch": 1, "step": 20, "miou": 0.5, "present_miou": None}]
    save(LRASPP("mobilenet_v3_small_rf2", classes=2), path, LABEL_SET, (32, 64), metrics={"val/miou": 0.5, "curve": curve})
    assert card.main([str(path)]) == 0
    text = path.with_suffix(".md").read_text()
    assert "| 1 | 10 | 12.5 | 25.0 |" in text and "| 2 | 20 | 50.0 | – |" in text
    assert "best in the classes that the labels have" in text


def test_weights_without_a_history_have_a_card_too(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save(LRASPP("mobilenet_v3_small_rf2", classes=2), path, LABEL_SET, (32, 64))
    assert card.main([str(path), "--output", str(tmp_path / "x.md")]) == 0
    assert "Accuracy" not in (tmp_path / "x.md").read_text()
