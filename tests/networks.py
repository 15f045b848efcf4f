"""A tiny random network for tests, varied enough that frames get many labels."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pytest
import torch
from frames import make_frame as make_frame

from seg.export.onnx_export import export_onnx
from seg.label_sets import LabelSet
from seg.models import LRASPP, save

CLASSES = 5
LABEL_SET = LabelSet("tiny", ("sky", "road", "car", "tree", "person"),
                     ((0, 0, 255), (90, 90, 90), (255, 0, 0), (0, 128, 0), (255, 255, 0)), tuple(range(CLASSES)))


def make_network(seed: int = 0, classes: int = CLASSES, pool: Literal["sliding", "global"] = "global") -> LRASPP:
    """Returns a random network whose classes win about equally often, and whose mean colour isn't the default's."""
    torch.manual_seed(seed)
    model = LRASPP("mobilenet_v3_small_rf2", classes=classes, pool=pool, mean=(0.2, 0.45, 0.7)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
        frame = torch.from_numpy(np.ascontiguousarray(make_frame(256, 256).transpose(2, 0, 1)))[None]
        scores = model.logits(frame)
        deviation, mean = torch.std_mean(scores, (0, 2, 3))
        for classifier in (model.decoder.skip_classifier, model.decoder.deep_classifier):
            classifier.weight /= deviation.view(-1, 1, 1, 1)
            classifier.bias /= deviation
        model.decoder.skip_classifier.bias -= mean / deviation
    return model


@cache
def _contents(seed: int, label_set: LabelSet) -> dict[str, bytes]:
    """Returns the bytes of the files of `write_weights` by their endings. An export takes seconds, and is always the same."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.safetensors"
        model = make_network(seed, len(label_set))
        description = save(model, path, label_set, (96, 160), training={"seed": seed})
        export_onnx(model, path.with_suffix(".onnx"), description)
        return {file.suffix: file.read_bytes() for file in Path(folder).iterdir()}


def write_weights(folder: Path, name: str = "tiny", seed: int = 0, label_set: LabelSet = LABEL_SET) -> Path:
    """Writes NAME.safetensors and NAME.onnx into the folder; returns the path of the first."""
    for ending, content in _contents(seed, label_set).items():
        (folder / f"{name}{ending}").write_bytes(content)
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The safetensors of a tiny network, with its ONNX beside it. Tests must not change them."""
    return write_weights(tmp_path_factory.mktemp("weights"))


def scores_at_own_size(model: torch.nn.Module, frame_bgr: np.ndarray) -> torch.Tensor:
    """Returns the scores (classes, H, W) of a frame that runs at its own size: extended by the mean to multiples of 16."""
    height, width = frame_bgr.shape[:2]
    padded = np.empty((-(-height // 16) * 16, -(-width // 16) * 16, 3), np.uint8)
    padded[:] = np.round(255 * np.array(model.mean))
    padded[:height, :width] = frame_bgr[:, :, ::-1]
    with torch.inference_mode():
        scores: torch.Tensor = model(torch.from_numpy(padded.transpose(2, 0, 1).copy())[None])
    return scores[0, :, :height, :width]
