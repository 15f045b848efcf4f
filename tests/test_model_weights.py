"""Weights files: a network is rebuilt from the file alone, and mismatches are named."""

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from seg import weights
from seg.errors import SegError
from seg.label_sets import CAMVID, CITYSCAPES
from seg.models import LRASPP, init_from, load, save

SMALL = "mobilenet_v3_small_rf2"
IMAGES = torch.randint(0, 256, (1, 3, 40, 56), dtype=torch.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[LRASPP, Path]:
    model = LRASPP(SMALL, classes=11, decoder_channels=24, pool="global", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)).eval()
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save(model, path, CAMVID, (40, 56), "Apache-2.0", {"val/miou": 0.5}, {"command": "by hand"})
    return model, path


def test_the_file_alone_rebuilds_the_network(saved: tuple[LRASPP, Path]) -> None:
    model, path = saved
    again = load(path)
    with torch.no_grad():
        assert torch.equal(again(IMAGES), model(IMAGES))
    assert not again.training
    assert again.arguments == model.arguments
    assert (again.description.label_set, again.description.metrics) == (CAMVID, {"val/miou": 0.5})


def test_the_description_is_read_without_the_tensors(saved: tuple[LRASPP, Path]) -> None:
    description = weights.read_description(saved[1])
    assert description.network == "LRASPP"
    assert description.train_size_hw == (40, 56)
    assert description.mean == (0.4, 0.5, 0.6)
    assert description.license == "Apache-2.0"
    assert weights.Description.from_json(description.to_json(), "text") == description


def test_classes_start_from_those_of_their_name_or_as_is_said_and_the_rest_anew(saved: tuple[LRASPP, Path]) -> None:
    model, path = saved
    tuned = LRASPP(SMALL, classes=19, decoder_channels=24)
    before = {name: tuned.state_dict()[name].clone() for name in tuned.classifier_names()}
    fresh = init_from(tuned, path, CITYSCAPES.classes, {"vegetation": "tree", "rider": ["pedestrian", "bicyclist"], "sky": None})
    named = {"road": ["road"], "building": ["building"], "fence": ["fence"], "pole": ["pole"], "car": ["car"],
             "vegetation": ["tree"], "rider": ["pedestrian", "bicyclist"]}
    assert fresh == [name for name in CITYSCAPES.classes if name not in named]
    for tensor_name, random in before.items():
        tensor, theirs = tuned.state_dict()[tensor_name], model.state_dict()[tensor_name]
        for index, name in enumerate(CITYSCAPES.classes):
            rows = [theirs[CAMVID.classes.index(origin)] for origin in named.get(name, [])]
            assert torch.equal(tensor[index], sum(rows) / len(rows) if rows else random[index]), (tensor_name, name)
    assert torch.equal(tuned.decoder.attention.weight, model.decoder.attention.weight)
    assert torch.equal(tuned.encoder.stem.norm.running_var, model.encoder.stem.norm.running_var)


@pytest.mark.parametrize(("origins", "message"), [
    ({"vegetatoin": "tree"}, "no class 'vegetatoin'.*'vegetation'"), ({"vegetation": "treee"}, "no class 'treee'.*'tree'"),
])
def test_unknown_classes_to_start_from_are_refused(saved: tuple[LRASPP, Path], origins: dict, message: str) -> None:
    with pytest.raises(SegError, match=message):
        init_from(LRASPP(SMALL, classes=19, decoder_channels=24), saved[1], CITYSCAPES.classes, origins)


def test_the_same_classes_keep_everything(saved: tuple[LRASPP, Path]) -> None:
    model, path = saved
    tuned = LRASPP(SMALL, classes=11, decoder_channels=24)
    assert init_from(tuned, path, CAMVID.classes) == []
    assert all(torch.equal(a, b) for a, b in zip(tuned.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize("other", [{"decoder_channels": 32}, {"encoder_name": "mobilenet_v3_large_rf2"}, {"skip": "last"}])
def test_weights_of_another_network_are_refused_by_name(saved: tuple[LRASPP, Path], other: dict) -> None:
    tuned = LRASPP(**{"encoder_name": SMALL, "classes": 19, "decoder_channels": 24} | other)
    before = {name: tensor.clone() for name, tensor in tuned.state_dict().items()}
    with pytest.raises(SegError, match=r"(decoder|encoder)\.\w+"):
        init_from(tuned, saved[1], CITYSCAPES.classes)
    assert all(torch.equal(before[name], tensor) for name, tensor in tuned.state_dict().items())


def test_a_label_set_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="11 classes"):
        save(LRASPP(SMALL, classes=11), tmp_path / "net.safetensors", CITYSCAPES, (40, 56))
    assert list(tmp_path.iterdir()) == []


def _truncated(path: Path) -> bytes:
    return path.read_bytes()[:-100]


def _pickled(path: Path) -> bytes:
    import pickle

    return pickle.dumps({"not": "safetensors"})


def _other_project(path: Path) -> bytes:
    save_file({"x": torch.zeros(2)}, path)
    return path.read_bytes()


def _newer_format(path: Path) -> bytes:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["lraspp"]) | {"format_version": 99}
    header["__metadata__"]["lraspp"] = json.dumps(description)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(("damage", "words"), [
    (_truncated, "should have"), (_pickled, "safetensors"), (lambda _path: b"", "safetensors"),
    (_other_project, "isn't weights of lraspp"), (_newer_format, "format version 99"),
])
def test_files_that_are_not_weights_are_named(saved: tuple[LRASPP, Path], tmp_path: Path, damage, words: str) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(saved[1].read_bytes())
    path.write_bytes(damage(path))
    with pytest.raises(SegError, match=words):
        load(path)


def test_unknown_names_list_the_near_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "shipped", lambda: ["camvid_large", "camvid_small"])
    with pytest.raises(SegError, match="'camvid_small'"):
        weights.find("camvid_smal")
    with pytest.raises(SegError, match=r"no weights file here/net\.safetensors"):
        weights.find("here/net.safetensors")


def test_a_changed_file_has_another_hash(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    found = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert weights.sha256(path) == weights.sha256(path) == hashlib.sha256(content).hexdigest()
        found.append(path.stat())
    path.write_bytes(b"six")
    os.utime(path, ns=(found[1].st_atime_ns, found[1].st_mtime_ns))
    assert weights.sha256(path) == hashlib.sha256(b"six").hexdigest(), "a time can be set, but not that of the setting"
