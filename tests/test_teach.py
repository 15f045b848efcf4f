"""Labels by a teacher: the average over views, a coarser truth, the written folder, continuing, and refusals."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from networks import CLASSES, LABEL_SET, make_frame, make_network, write_weights

from datasets.folder import Folder
from datasets.teach.__main__ import main
from seg.errors import SegError
from seg.training.pseudo_labels import Looks, label, probabilities
from seg.training.teacher import TorchTeacher


@pytest.fixture(scope="module")
def teacher() -> TorchTeacher:
    return TorchTeacher(make_network(), LABEL_SET.classes)


@pytest.fixture(scope="module")
def frame_rgb() -> np.ndarray:
    return np.ascontiguousarray(make_frame(90, 120)[:, :, ::-1])


def test_views_are_averaged(teacher: TorchTeacher, frame_rgb: np.ndarray) -> None:
    network, image = make_network(), torch.from_numpy(frame_rgb).permute(2, 0, 1)[None]
    with torch.no_grad():
        views = []
        for size in ((48, 64), (96, 128)):
            scaled = torch.from_numpy(cv2.resize(frame_rgb, size[::-1], interpolation=cv2.INTER_AREA if size[0] < 90 else 1))
            for flip in ([], [3]):
                scores = network.logits(scaled.permute(2, 0, 1)[None].flip(flip)).flip(flip)
                views.append(torch.nn.functional.interpolate(scores, (90, 120), mode="bilinear").softmax(1)[0])
    found = probabilities(teacher, frame_rgb, Looks(long_side=128, scales=(0.5, 1.0)))
    # Frames are shrunk to within two levels of OpenCV's; a missing view would change some pixels by a hundred times as much.
    torch.testing.assert_close(found, torch.stack(views).mean(0), rtol=1e-3, atol=2e-4)
    assert (found - torch.stack(views[:3]).mean(0)).abs().max() > 2e-2
    own = probabilities(teacher, frame_rgb, Looks(scales=(1.0,), mirror=False))
    assert own.shape == (CLASSES, 90, 120) and image.shape[2:] == (90, 120)


def test_unsure_pixels_are_ignored(teacher: TorchTeacher, frame_rgb: np.ndarray) -> None:
    found = probabilities(teacher, frame_rgb, Looks())
    best, expected = (part.numpy() for part in found.max(0))
    for sure in (0.0, 0.5, 0.8):
        labels = label(teacher, frame_rgb, Looks(sure=sure))
        assert np.array_equal(labels, np.where(best >= sure, expected, 255))
    assert (label(teacher, frame_rgb, Looks(sure=1.0)) == 255).mean() > 0.9


def test_a_coarser_truth_is_respected(teacher: TorchTeacher, frame_rgb: np.ndarray) -> None:
    truth = np.repeat(np.array([0, 1, 2, 255], np.uint8), [30, 30, 30, 30])[None].repeat(90, 0)
    allowed = [(1, 3), (), (4,)]
    labels = label(teacher, frame_rgb, Looks(sure=0.6, sure_within=0.7), truth, allowed)
    found = probabilities(teacher, frame_rgb, Looks()).numpy()
    pair = found[[1, 3]] / found[[1, 3]].sum(0)
    assert np.array_equal(labels[:, :30], np.where(pair.max(0) >= 0.7, np.array([1, 3])[pair.argmax(0)], 255)[:, :30])
    assert (labels[:, 30:60] == 255).all(), "a class that is none of the teacher's"
    assert (labels[:, 60:90] == 4).all(), "where the truth leaves one class, the teacher isn't asked"
    assert np.array_equal(labels[:, 90:], np.where(found.max(0) >= 0.6, found.argmax(0), 255)[:, 90:])


def make_pictures(root: Path, count: int = 3) -> Path:
    for index in range(count):
        path = root / ("town" if index else "") / f"p{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), make_frame(64, 96, index))
    return root


def test_a_folder_comes_out_that_can_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, pictures, out = write_weights(tmp_path), make_pictures(tmp_path / "pictures"), tmp_path / "out"
    command = [str(pictures), "--teacher", str(weights), "--output", str(out), "--sure", "0.4"]
    assert main(command) == 0
    assert "3 of 3 pictures were labelled, 0 were already" in capsys.readouterr().out
    reader = Folder(out, "train")
    assert [sample.name for sample in reader.samples] == ["p0", "town/p1", "town/p2"]
    assert reader.label_set.classes == LABEL_SET.classes and reader.verify() == []
    image_rgb, train_ids = reader.read(1)
    assert train_ids is not None and np.array_equal(image_rgb[:, :, ::-1], make_frame(64, 96, 1))
    teacher = TorchTeacher(make_network(), LABEL_SET.classes)
    assert np.array_equal(train_ids, label(teacher, image_rgb, Looks(sure=0.4)))

    mask = out / "masks" / "town" / "p1.png"
    (out / "masks" / "p0.png").unlink()
    mask.write_bytes(mask.read_bytes() + b"mark")
    make_pictures(pictures, 4)
    assert main(command) == 0
    assert "2 of 4 pictures were labelled, 2 were already" in capsys.readouterr().out
    assert mask.read_bytes().endswith(b"mark"), "what is there isn't written again"
    assert len(Folder(out, "train")) == 4

    assert main([*command[:-1], "0.5"]) == 2
    assert "were made otherwise: sure was 0.4 and is 0.5 now" in capsys.readouterr().err
    other = make_pictures(tmp_path / "other")
    assert main([str(pictures), "--teacher", str(weights), "--output", str(other)]) == 2
    assert "holds something else: p0.png, town. Give a new folder" in capsys.readouterr().err
    assert main([str(pictures), "--teacher", str(weights), "--output", str(pictures / "out")]) == 2
    assert "would be taken for pictures" in capsys.readouterr().err
    assert main([str(other), *command[1:]]) == 2
    assert "were made otherwise: pictures was" in capsys.readouterr().err
    (other / "p0.png").write_text("text")
    assert main([str(other), "--teacher", str(weights), "--output", str(tmp_path / "partly")]) == 2
    said = capsys.readouterr()
    assert "2 of 3 pictures were labelled" in said.out and "p0.png is not a picture" in said.err
    assert len(Folder(tmp_path / "partly", "train")) == 2


def test_a_data_set_with_coarser_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, data = write_weights(tmp_path), tmp_path / "data"
    make_pictures(data / "images", 2)
    for name in ("p0", "town/p1"):
        (data / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(data / "masks" / f"{name}.png"), np.repeat(np.array([0, 1], np.uint8), 48)[None].repeat(64, 0))
    (data / "train.txt").write_text("p0\ntown/p1\n")
    (data / "classes.yaml").write_text("classes: [{name: ground, value: 0}, {name: car, value: 1}]\n")
    command = [str(data), "--dataset", "folder", "--teacher", str(weights), "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "has the class 'ground', which the network doesn't have" in capsys.readouterr().err
    (tmp_path / "map.yaml").write_text("ground: [road, tree]\n")
    assert main([*command, "--class-map", str(tmp_path / "map.yaml")]) == 0
    for index in range(2):
        _, train_ids = Folder(tmp_path / "out", "train").read(index)
        assert train_ids is not None and (train_ids[:, 48:] == 2).all() and set(np.unique(train_ids[:, :48])) <= {1, 3, 255}
    assert json.loads((tmp_path / "out" / "teach.json").read_text())["classes"] == [[1, 3], [2]]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A network of segmentation-models-pytorch, and the file of its state dict."""
    torch.manual_seed(0)
    network = smp.create_model("fpn", encoder_name="mobilenet_v2", encoder_weights=None, classes=3).eval()
    path = tmp_path_factory.mktemp("theirs") / "theirs.pth"
    torch.save(network.state_dict(), path)
    return path, network


THEIRS = "smp: {arch: fpn, encoder_name: mobilenet_v2, classes: 3}\nteacher_classes: [road, sky, car]\n"


def test_a_teacher_of_another_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                   theirs: tuple[Path, torch.nn.Module]) -> None:
    pictures, settings, (path, network) = make_pictures(tmp_path / "pictures", 1), tmp_path / "teacher.yaml", theirs
    command = [str(pictures), "--teacher", str(path), "--output", str(tmp_path / "out"), "--sure", "0", "--scales", "1",
               "--no-mirror"]
    assert main(command) == 2
    assert "For a network of another tool give --teacher-settings" in capsys.readouterr().err
    command += ["--teacher-settings", str(settings)]
    settings.write_text(THEIRS.replace("car]", "car, bus]"))
    assert main(command) == 2
    assert "gives 3 scores per pixel, and 4 of its classes are named" in capsys.readouterr().err
    settings.write_text(THEIRS + "mean: [0.5, 0.5, 0.5]\nstd: [1, 0.25, 0.25]\n")
    assert main(command) == 0, "a folder without labels can still begin otherwise"
    reader = Folder(tmp_path / "out", "train")
    assert reader.label_set.classes == ("road", "sky", "car") and len(set(reader.label_set.colors)) == 3
    image_rgb, train_ids = reader.read(0)
    with torch.inference_mode():
        x = (torch.from_numpy(image_rgb.copy()).permute(2, 0, 1)[None] / 255 - 0.5) / torch.tensor([1, 0.25, 0.25]).view(3, 1, 1)
        assert train_ids is not None and np.array_equal(train_ids, network(x)[0].argmax(0).numpy())
    settings.write_text(THEIRS)
    assert main(command) == 2
    assert "were made otherwise: teacher_settings was" in capsys.readouterr().err


def test_a_teacher_of_another_tool_takes_pictures_of_any_size(tmp_path: Path, theirs: tuple[Path, torch.nn.Module]) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), make_frame(75, 100))
    (tmp_path / "teacher.yaml").write_text(THEIRS)
    assert main([str(tmp_path), "--teacher", str(theirs[0]), "--output", str(tmp_path.parent / "any"), "--sure", "0",
                 "--teacher-settings", str(tmp_path / "teacher.yaml")]) == 0
    assert Folder(tmp_path.parent / "any", "train").read(0)[0].shape == (75, 100, 3)


@pytest.mark.parametrize(("text", "message"), [
    ("clases: [a]", "has no setting 'clases'"), ("1: [a]", "has no setting 1"), ("[a]", "holds no settings"),
    ("mean: 3", "mean is 3; it must be a list of numbers"), ("mean: [yes, no, no]", "must be a list of numbers"),
    ("teacher_classes: [a, '']", "must be a list of names"), ("smp: {arch: fpn}", "must say what the teacher's classes are"),
    ("teacher_classes: [a, b]\nsmp: {arch: fpn}", "no encoder_name"), ("teacher_classes: [a, a]", "'a' twice"),
    ("teacher_classes: [a]\nsmp: {encoder_name: resnet18}", "gives no labels"),
    (THEIRS + "std: [.nan, 1, 1]", "must have three values each"),
])
def test_settings_of_a_teacher_that_can_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               theirs: tuple[Path, torch.nn.Module], text: str, message: str) -> None:
    (tmp_path / "teacher.yaml").write_text(text)
    assert main([str(make_pictures(tmp_path / "pictures", 1)), "--teacher", str(theirs[0]), "--output", str(tmp_path / "out"),
                 "--teacher-settings", str(tmp_path / "teacher.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", [".safetensors", ".onnx"])
def test_weights_that_name_their_classes_take_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_weights: Path,
                                                        ending: str) -> None:
    (tmp_path / "teacher.yaml").write_text("teacher_classes: [a, b, c, d, e]")
    assert main([str(make_pictures(tmp_path / "pictures", 1)), "--teacher", str(tiny_weights.with_suffix(ending)), "--output",
                 str(tmp_path / "out"), "--teacher-settings", str(tmp_path / "teacher.yaml")]) == 2
    assert "says itself what its classes" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--dataset", "foldr"], "'folder'"), (["--class-map", "map.yaml"], "needs --dataset"), (["--scales", "0"], "above 0"),
    (["--scales", "1", "nan"], "The scales are 1, nan"), (["--scales", "inf"], "above 0"),
    (["--sure", "1.5"], "sure is 1.5"), (["--size", "8"], "at least 32"), (["--size", "0"], "at least 32"),
])
def test_options_that_can_not_be(tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                 message: str) -> None:
    pictures = make_pictures(tmp_path / "pictures", 1)
    command = [str(pictures), "--teacher", str(tiny_weights), "--output", str(tmp_path / "out"), *arguments]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_an_encoder_gives_no_labels(frame_rgb: np.ndarray) -> None:
    alone: Any = TorchTeacher(make_network().encoder, (), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(SegError, match="only an encoder"):
        label(alone, frame_rgb, Looks())
