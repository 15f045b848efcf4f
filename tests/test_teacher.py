"""Distillation: its loss compared with torch's own, different classes, every kind of teacher, features, and refusals."""

import math
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from networks import LABEL_SET, make_frame, make_network, write_weights
from parity import images
from safetensors.torch import save_file
from training_runs import load as load_checkpoint
from training_runs import make_camvid, run, write_config

from seg.errors import SegError
from seg.label_sets import CAMVID, LabelSet
from seg.models import LRASPP, save
from seg.training.teacher import Distillation, DistillationLoss, OnnxTeacher, Told, TorchTeacher, load_teacher

CLASSES = LABEL_SET.classes


class Says:
    """A teacher with a fixed output."""

    has_features = False

    def __init__(self, scores: torch.Tensor, classes: tuple[str, ...] = CLASSES) -> None:
        self.scores, self.classes = scores, classes

    def __call__(self, images: torch.Tensor) -> Told:
        return Told(self.scores, ())


def on_scores(teacher: torch.Tensor, student: torch.Tensor, names: tuple[str, ...] = CLASSES, **config: Any) -> torch.Tensor:
    loss = DistillationLoss(Says(teacher, names), LABEL_SET, Distillation(**config))  # type: ignore[arg-type]
    return loss(images(8, 8), student)[0]


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 5, 6, 7, generator=generator) * 3 for _ in range(2))
    return teacher, student


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_it_is_the_kullback_leibler_divergence(scores: tuple[torch.Tensor, torch.Tensor], temperature: float) -> None:
    teacher, student = scores
    expected = F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).log_softmax(1), reduction="none",
                        log_target=True).sum(1).mean() * temperature**2
    torch.testing.assert_close(on_scores(teacher, student, temperature=temperature), expected)
    assert float(on_scores(teacher, teacher)) == pytest.approx(0, abs=1e-6)
    small = F.interpolate(teacher, size=(12, 14), mode="bilinear")  # a teacher of another stride
    assert float(on_scores(small, F.interpolate(small, size=(6, 7), mode="bilinear"))) == pytest.approx(0, abs=1e-6)


def test_probabilities_are_summed_where_one_tells_more_classes_apart(scores: tuple[torch.Tensor, torch.Tensor]) -> None:
    teacher, student = scores
    names = ("sky", "street", "bus", "lorry", "person")  # street is road or tree, bus and lorry are cars
    found = on_scores(teacher, student, names, classes={"street": ["road", "tree"], "bus": "car", "lorry": "car"})
    q, p = teacher.double().softmax(1), student.double().softmax(1)
    told = torch.stack([q[:, 0], q[:, 1], q[:, 2] + q[:, 3], q[:, 4]], 1)
    said = torch.stack([p[:, 0], p[:, 1] + p[:, 3], p[:, 2], p[:, 4]], 1)
    assert float(found) == pytest.approx(float((told * (told / said).log()).sum(1).mean()), rel=1e-5)


def test_what_the_student_needs_not_know_counts_nothing(scores: tuple[torch.Tensor, torch.Tensor]) -> None:
    teacher, student = scores
    teacher[:, 4, :3] = 80.0  # there the teacher is sure of a class that is left out
    found = on_scores(teacher, student, classes={"person": None})
    q, p = teacher[:, :4, 3:].double(), student[:, :4, 3:].double()
    known = teacher.double().softmax(1)[:, :4, 3:].sum(1)
    divergence = F.kl_div(p.log_softmax(1), q.log_softmax(1), reduction="none", log_target=True).sum(1)
    assert float(found) == pytest.approx(float((divergence * known).sum() / known.sum()), rel=1e-4)


def test_teachers_of_this_project_in_torch_and_onnx_say_the_same(tiny_weights: Path) -> None:
    batch = torch.from_numpy(make_frame(64, 96)[:, :, ::-1].transpose(2, 0, 1).copy())[None].repeat(2, 1, 1, 1)
    one, other = (load_teacher(str(path), Distillation()) for path in (tiny_weights, tiny_weights.with_suffix(".onnx")))
    assert isinstance(one, TorchTeacher) and isinstance(other, OnnxTeacher) and one.classes == other.classes == CLASSES
    expected = make_network().logits(batch)
    for teacher in (one, other):
        said = teacher(batch).scores
        assert said is not None and not said.requires_grad
        torch.testing.assert_close(said, expected, rtol=1e-3, atol=1e-3)


def write_foreign_onnx(path: Path, shape: tuple[Any, ...] = ("n", 3, "h", "w"), classes: int = 5) -> Path:
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, (classes, 3, 1, 1), [float(i) for i in range(3 * classes)])
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, (shape[0], classes, *shape[2:]))], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_another_tools_onnx_gets_normalised_images(tmp_path: Path) -> None:
    path = write_foreign_onnx(tmp_path / "theirs.onnx")
    with pytest.raises(SegError, match=r"carries no 'lraspp' metadata.*the names of its classes.*distillation\.teacher_classes"):
        load_teacher(str(path), Distillation())
    with pytest.raises(SegError, match="names a class twice: sky, sky"):
        load_teacher(str(path), Distillation(teacher_classes=["sky", "sky"]))
    teacher = load_teacher(str(path), Distillation(teacher_classes=list(CLASSES), mean=[0.5, 0.5, 0.5], std=[0.25, 0.5, 1.0]))
    batch = images(4, 6)
    x = (batch / 255 - 0.5) / torch.tensor([0.25, 0.5, 1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(teacher(batch).scores, torch.einsum("kc,nchw->nkhw", torch.arange(15.0).view(5, 3), x),
                               rtol=1e-4, atol=1e-4)


def test_an_onnx_that_does_not_fit_says_what_it_has(tmp_path: Path, tiny_weights: Path) -> None:
    names = Distillation(teacher_classes=list(CLASSES))
    with pytest.raises(SegError, match=r"must take one batch of RGB images .*; it has x tensor\(float\) \['n', 4, 'h', 'w'\]"):
        import onnx

        path = write_foreign_onnx(tmp_path / "four.onnx")
        model = onnx.load(path)
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
        model.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("w", 1, (5, 4, 1, 1), [0.0] * 20))
        onnx.save(model, path)
        load_teacher(str(path), names)
    with pytest.raises(SegError, match=r"must give float32 scores \(N, 5, h, w\).* \['n', 7, "):
        load_teacher(str(write_foreign_onnx(tmp_path / "seven.onnx", classes=7)), names)
    fixed = load_teacher(str(write_foreign_onnx(tmp_path / "fixed.onnx", (1, 3, 32, 32))), names)
    with pytest.raises(SegError, match=r"takes images \[1, 3, 32, 32\] only, and is given \[1, 3, 32, 64\]"):
        fixed(images(32, 64))
    with pytest.raises(SegError, match="must have one input and an output; it has  -> y"):
        y = onnx.helper.make_tensor_value_info("y", 1, [1, 5, 8, 8])
        zeros = onnx.helper.make_node("Constant", [], ["y"], value=onnx.helper.make_tensor("y", 1, (1, 5, 8, 8), [0.0] * 320))
        lone = onnx.helper.make_model(onnx.helper.make_graph([zeros], "lone", [], [y]),
                                      opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(lone, tmp_path / "lone.onnx")
        load_teacher(str(tmp_path / "lone.onnx"), names)
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(SegError, match="is not a whole ONNX file"):
        load_teacher(str(tmp_path / "text.onnx"), names)


def test_networks_of_smp_teach(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = smp.create_model("fpn", encoder_name="mobilenet_v2", encoder_weights=None, classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "fpn.pth")
    config = Distillation(smp={"arch": "fpn", "encoder_name": "mobilenet_v2", "classes": 5}, teacher_classes=list(CLASSES))
    teacher = load_teacher(str(tmp_path / "fpn.pth"), config)
    batch = images(64, 64)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (batch / 255 - mean) / std
    torch.testing.assert_close(teacher(batch).scores, network(x))
    with pytest.raises(SegError, match="isn't the state dict of that network"):
        load_teacher(str(tmp_path / "fpn.pth"), Distillation(smp={"arch": "unet", "encoder_name": "resnet18", "classes": 5}))
    with pytest.raises(SegError, match="doesn't describe a network"):
        load_teacher(str(tmp_path / "fpn.pth"), Distillation(smp={"arch": "unit", "encoder_name": "resnet18"}))
    with pytest.raises(SegError, match="smp names arch, but no encoder_name"):
        load_teacher(str(tmp_path / "fpn.pth"), Distillation(smp={"arch": "fpn"}))
    save_file(network.state_dict(), tmp_path / "fpn.safetensors")
    for name in ("fpn.pth", "fpn.safetensors"):
        with pytest.raises(SegError, match=r"describe the network in model\.distillation\.smp"):
            load_teacher(str(tmp_path / name), Distillation())
    with pytest.raises(SegError, match=r"name them.*teacher_classes"):
        load_teacher(str(tmp_path / "fpn.pth"), Distillation(smp={"arch": "fpn", "encoder_name": "mobilenet_v2", "classes": 5}))


@pytest.mark.parametrize("arch", [{"arch": "fpn", "classes": 5}, {}], ids=["network", "encoder alone"])
def test_networks_of_smp_teach_features_on_crops_of_any_size(tmp_path: Path, arch: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = smp.create_model("fpn", encoder_name="mobilenet_v2", encoder_weights=None, classes=5)
    torch.save((network if arch else network.encoder).state_dict(), tmp_path / "theirs.pth")
    config = Distillation(smp={"encoder_name": "mobilenet_v2", **arch}, features=1.0, share=0.5 if arch else 0.0,
                          teacher_classes=list(CLASSES) if arch else None)
    student = LRASPP("mobilenet_v3_small_rf2", classes=5).eval()
    loss = DistillationLoss(load_teacher(str(tmp_path / "theirs.pth"), config), LABEL_SET, config, student)
    for batch in (images(64, 96), images(48, 80), images(75, 101)):
        assert all(part.isfinite() for part in loss(batch, student.logits(batch)))


def test_features_of_one_size_are_drawn_together(tmp_path: Path) -> None:
    teacher = make_network(1)
    student = LRASPP("mobilenet_v3_small_050", classes=5)
    torch.manual_seed(0)
    loss = DistillationLoss(TorchTeacher(teacher, CLASSES), LABEL_SET, Distillation(features=2.0, share=0), student)
    assert loss.head is not None and not [name for name in loss.state_dict() if "teacher" in name]
    batch = images(64, 96).repeat(2, 1, 1, 1)
    optimizer = torch.optim.Adam([*student.parameters(), *loss.parameters()], lr=3e-3)
    course = []
    for _ in range(12):
        zero, on_features = loss(batch, student.logits(batch))
        assert float(zero) == 0
        on_features.backward()
        optimizer.step()
        optimizer.zero_grad()
        course.append(float(on_features.detach()))
    assert course[0] > 1 and course[-1] < 0.6 * course[0]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_an_encoder_alone_teaches_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "encoder.safetensors")
    config = Distillation(smp={"encoder_name": "tu-mobilenetv3_small_050", "output_stride": 16}, share=0, features=1.0)
    teacher = load_teacher(str(tmp_path / "encoder.safetensors"), config)
    student = LRASPP("mobilenet_v3_small_rf2", classes=5)
    loss = DistillationLoss(teacher, LABEL_SET, config, student)
    batch = images(64, 96)
    assert 0 < float(loss(batch, student.eval().logits(batch))[1]) < 2
    with pytest.raises(SegError, match="teaches only features"):
        load_teacher(str(tmp_path / "encoder.safetensors"), Distillation(smp=config.smp, features=1.0))


@pytest.mark.parametrize(("config", "classes", "message"), [
    ({"share": 1.5}, CLASSES, "share is 1.5"), ({"temperature": 0.0}, CLASSES, "temperature is 0"),
    ({"features": -1.0}, CLASSES, "features is -1"), ({"share": 0.0}, CLASSES, "would teach nothing"),
    ({"features": 1.0}, CLASSES, "no features to compare"),
    ({}, ("sky", "road", "bus"), "The teacher has the class 'bus', which the network doesn't have"),
    ({"classes": {"bus": None}}, CLASSES, "The teacher has no class 'bus'"),
    ({"classes": dict.fromkeys(CLASSES)}, CLASSES, "leaves out all of them"),
    ({"classes": {CLASSES[0]: []}}, CLASSES, "mapped to an empty list; null leaves a class out"),
])
def test_settings_that_can_not_be(config: dict[str, Any], classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(SegError, match=message):
        DistillationLoss(Says(torch.zeros(1), classes), LABEL_SET, Distillation(**config))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    make_camvid(folder / "camvid")
    write_config(folder)
    colors = tuple((i, i, i) for i in range(3))
    coarse = LabelSet("coarse", ("ground", "vehicles", "rest"), colors, (0, 1, 2))
    save(make_network(3, 3), folder / "teacher.safetensors", coarse, (64, 96))
    return folder


@pytest.mark.parametrize(("settings", "message"), [
    (["--model.distillation.temperature", "2"], "there is none; give --model.teacher"),
    (["--data.others", '[{"root": "ROOT", "dataset": "pictures", "classes": {"sky": "sky"}}]'],
     "pictures without labels have no classes to map"),
])
def test_settings_without_effect_are_refused(folder: Path, capsys: pytest.CaptureFixture[str], settings: list[str],
                                             message: str) -> None:
    root = str(folder / "camvid" / "val")
    assert run(folder, "--name", "idle", *(text.replace("ROOT", root) for text in settings)) == 2
    assert message in capsys.readouterr().err


def test_a_run_with_a_teacher_and_pictures_without_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = '{"ground": ["road", "pavement"], "vehicles": "car", "rest": null}'
    settings = ["--model.teacher", str(folder / "teacher.safetensors"), "--model.distillation.classes", maps,
                "--model.distillation.features", "0.5", "--model.distillation.temperature", "2",
                "--data.others", f'[{{"root": "{folder / "camvid" / "val"}", "dataset": "pictures", "share": 1.0}}]']
    assert run(folder, "--name", "taught", "--size_frames", "3", *settings) == 0
    assert "Most accurate on frames" in capsys.readouterr().out
    checkpoint = load_checkpoint(folder, "taught")
    assert checkpoint["global_step"] == 16, "two epochs, half of whose samples are pictures without labels"
    names = [name for name in checkpoint["state_dict"] if name.startswith("distillation")]
    assert names == ["distillation.head.weight", "distillation.head.bias"], "no checkpoint carries the teacher"
    assert run(folder, "--name", "taught", "--ckpt_path", "best", subcommand="validate") == 0, "scoring needs no teacher"
    assert run(folder, "--name", "taught", "--ckpt_path", "last", "--trainer.max_epochs", "3", *settings[:4], *settings[-2:]) == 2
    assert "was made with a teacher of features" in capsys.readouterr().err
    log = next((folder / "runs" / "taught" / "csv").rglob("metrics.csv")).read_text().splitlines()
    assert "train/loss_teacher" in log[0]
    assert run(folder, "--name", "untaught", *settings[-2:]) == 2
    assert "they are of no use without a teacher" in capsys.readouterr().err
    assert run(folder, "--name", "unmapped", *settings[:2]) == 2
    assert "The teacher has the class 'ground'" in capsys.readouterr().err
    assert run(folder, "--name", "nobody", "--model.teacher", "nobody.safetensors") == 2
    assert "There is no weights file nobody.safetensors" in capsys.readouterr().err


def test_frames_without_labels_are_the_teachers_alone() -> None:
    teacher, student = torch.zeros(1, 11, 4, 4), torch.zeros(1, 11, 4, 4, requires_grad=True)
    teacher[:, 3] = 5
    loss = DistillationLoss(Says(teacher, CAMVID.classes), CAMVID, Distillation())  # type: ignore[arg-type]
    found = loss(images(32, 32), student)[0]
    found.backward()
    assert student.grad is not None and (student.grad[:, 3] < 0).all() and math.isfinite(float(found))


def test_weights_that_are_none_are_named(tmp_path: Path) -> None:
    write_weights(tmp_path, "other", label_set=LABEL_SET)
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(SegError, match="not a whole safetensors file"):
        load_teacher(str(tmp_path / "text.safetensors"), Distillation())
