"""R-ASPP and V2 from start to end: weights files, fine-tuning, export, engines, model card, training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import CLASSES, LABEL_SET, make_frame, scores_at_own_size
from parity import randomize
from training_runs import make_camvid, run, write_config

from seg.cli import card
from seg.errors import SegError
from seg.export.onnx_export import export_onnx
from seg.models import LRASPP, RASPP, init_from, load, save
from seg.runtime import Predictor
from seg.weights import read_description

ENCODER = "mobilenet_v2_035_rf2"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[RASPP, Path]:
    """A random network, its weights file, and the ONNX beside it."""
    model = randomize(RASPP(ENCODER, classes=CLASSES, decoder_channels=24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)))
    path = tmp_path_factory.mktemp("raspp") / "net.safetensors"
    description = save(model, path, LABEL_SET, (96, 160), "Apache-2.0", {"val/miou": 0.5})
    export_onnx(model, path.with_suffix(".onnx"), description)
    return model, path


def test_the_file_alone_rebuilds_the_network(saved: tuple[RASPP, Path]) -> None:
    model, path = saved
    again = load(path)
    images = torch.from_numpy(make_frame(70, 90).transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert isinstance(again, RASPP)
    assert again.arguments == model.arguments
    assert read_description(path).network == "RASPP"


@pytest.mark.parametrize("size_hw", [(96, 160), (75, 101)])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_every_engine_gives_the_networks_labels(saved: tuple[RASPP, Path], engine: str, size_hw: tuple[int, int]) -> None:
    model, path = saved
    frame = make_frame(*size_hw, seed=3)
    expected = scores_at_own_size(model, frame).argmax(0).numpy()
    train_ids = Predictor.load(path, engine=engine)(frame).train_ids
    assert train_ids.shape == size_hw
    assert len(np.unique(expected)) > 1
    assert (train_ids == expected).mean() > 0.999


def test_a_letterbox_is_undone_at_the_networks_own_stride(saved: tuple[RASPP, Path]) -> None:
    model, path = saved
    frame = make_frame(96, 160)
    padded = np.empty((160, 160, 3), np.uint8)
    padded[:] = np.round(np.array(model.mean[::-1]) * 255)
    padded[32:128] = frame
    with torch.inference_mode():
        expected = model(torch.from_numpy(padded[:, :, ::-1].transpose(2, 0, 1).copy())[None])[0].argmax(0).numpy()[32:128]
    train_ids = Predictor.load(path, size=(160, 160), fit="letterbox")(frame).train_ids
    assert (train_ids == expected).mean() > 0.99


def test_other_classes_keep_all_but_the_classifier(saved: tuple[RASPP, Path]) -> None:
    model, path = saved
    tuned = RASPP(ENCODER, classes=9, decoder_channels=24)
    names = [f"class {index}" for index in range(9)]
    assert init_from(tuned, path, names) == names
    assert torch.equal(tuned.decoder.pooled_branch.conv.weight, model.decoder.pooled_branch.conv.weight)
    with pytest.raises(SegError, match=r"decoder\.\w+"):
        init_from(LRASPP(ENCODER, classes=9, decoder_channels=24), path, names)


def test_a_model_card_is_written(saved: tuple[RASPP, Path], tmp_path: Path) -> None:
    assert card.main([str(saved[1]), "--output", str(tmp_path / "card.md")]) == 0
    text = (tmp_path / "card.md").read_text()
    assert f"RASPP on {ENCODER}, output stride 16, F = 24, global pooling" in text


def test_train_seg_trains_it_and_leaves_its_weights(tmp_path: Path) -> None:
    make_camvid(tmp_path / "camvid", train=4, val=2)
    write_config(tmp_path)
    network = f"{{class_path: seg.models.RASPP, init_args: {{encoder_name: {ENCODER}, decoder_channels: 16}}}}"
    assert run(tmp_path, "--model.network", network, "--trainer.max_epochs", "1") == 0
    trained = load(tmp_path / "runs/tiny/tiny.safetensors")
    assert (type(trained), trained.arguments["encoder_name"], trained.arguments["classes"]) == (RASPP, ENCODER, 11)
