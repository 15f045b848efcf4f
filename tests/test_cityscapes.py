"""Cityscapes as its archives unpack: reading, messages about partial copies, every fault by name; its configs train."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from cityscapes_tree import Frame, make_cityscapes, make_dummy, make_frame, write_frame
from cityscapesscripts.helpers.labels import id2label

import train_seg
from datasets import READERS, Cityscapes, cityscapes
from seg.cli.train import main as train
from seg.errors import SegError
from seg.files import read_settings
from seg.label_sets import CITYSCAPES
from seg.weights import read_description

ROOT = Path(__file__).parent.parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path / "cityscapes")


def names(root: Path, split: str, dataset: str = "cityscapes") -> list[str]:
    return [sample.name for sample in READERS[dataset](root, split).samples]


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    assert cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def test_frames_labels_and_instances(root: Path) -> None:
    reader = Cityscapes(root, "val")
    assert names(root, "val") == ["val/frankfurt/frankfurt_000000_000019", "val/frankfurt/frankfurt_000001_000019",
                                  "val/lindau/lindau_000000_000019"]
    frame = make_frame(4)  # the tree has 4 training frames before it
    image_rgb, train_ids = reader.read(0)
    assert np.array_equal(image_rgb, frame.image_rgb)
    expected = np.vectorize(lambda label_id: id2label[label_id].trainId)(frame.label_ids)
    assert train_ids is not None and train_ids.dtype == np.uint8 and np.array_equal(train_ids, expected)
    instance_ids = reader.read_instances(0)
    assert instance_ids is not None and instance_ids.dtype == np.uint16 and np.array_equal(instance_ids, frame.instance_ids)
    assert reader.verify() == []
    assert names(root, "train") == [f"train/{city}/{city}_00000{i}_000019" for city in ("aachen", "ulm") for i in (0, 1)]


def test_each_archive_unpacked_into_its_own_folder(root: Path) -> None:
    make_cityscapes(root, {"train_extra": {"bayreuth": 1}})
    before = {split: names(root, split) for split in ("train", "val", "train_extra")}
    for target, folder in (("leftImg8bit_trainvaltest/leftImg8bit", "leftImg8bit"), ("gtFine_trainvaltest/gtFine", "gtFine"),
                           ("gtCoarse", "gtCoarse")):
        (root / "own" / target).parent.mkdir(parents=True, exist_ok=True)
        (root / folder).rename(root / "own" / target)
    extra = root / "own/leftImg8bit_trainextra/leftImg8bit"
    extra.mkdir(parents=True)
    (root / "own/leftImg8bit_trainvaltest/leftImg8bit/train_extra").rename(extra / "train_extra")
    assert {split: names(root / "own", split) for split in before} == before
    (extra / "train_extra").rename(extra.parent / "train_extra")
    extra.rmdir()
    assert names(root / "own", "train_extra") == before["train_extra"]


def test_coarse_labels_and_training_on_all(root: Path) -> None:
    make_cityscapes(root, {"train_extra": {"bayreuth": 2}})
    assert names(root, "train_extra") == ["train_extra/bayreuth/bayreuth_000000_000019",
                                          "train_extra/bayreuth/bayreuth_000001_000019"]
    everything = READERS["cityscapes_coarse"](root, "train")
    assert [sample.name for sample in everything.samples] == names(root, "train") + names(root, "train_extra")
    assert everything.remark == "train: 2 of 18 cities, 4 of 2975 frames. train_extra: 1 of 23 cities, 2 of 19998 frames."
    assert everything.verify() == []
    assert names(root, "val", "cityscapes_coarse") == names(root, "val")


def test_the_dummy_labels_of_test_are_none(tmp_path: Path) -> None:
    root = make_cityscapes(tmp_path, {"test": {"berlin": 2}})
    for _ in range(2):
        reader = Cityscapes(root, "test")
        image_rgb, train_ids = reader.read(1)
        assert np.array_equal(image_rgb, make_dummy(1).image_rgb) and train_ids is None
        assert reader.verify() == []
        shutil.rmtree(root / "gtFine", ignore_errors=True)  # in the second round there is no label file
    write_frame(root, "test", "berlin_000001_000019", make_frame(1))
    assert Cityscapes(root, "test").read(1)[1] is not None, "labels that count are read"


def test_a_part_says_how_much_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cityscapes(root, "val").remark == "val: 2 of 3 cities, 3 of 500 frames."
    for path in root.glob("leftImg8bit/val/frankfurt/frankfurt_000000*"):
        path.unlink()
    shutil.rmtree(root / "leftImg8bit/val/lindau")  # labels without pictures: the small archive is complete, the large one isn't
    assert names(root, "val") == ["val/frankfurt/frankfurt_000001_000019"]
    assert Cityscapes(root, "val").remark == "val: 1 of 3 cities, 1 of 500 frames."
    write_frame(root, "val", "atlantis_000000_000019", make_frame())
    assert Cityscapes(root, "val").remark == "val: 1 of 3 cities, 1 of 500 frames; 1 frame of atlantis, not Cityscapes' own."
    shutil.rmtree(root / "leftImg8bit/val/frankfurt")
    assert Cityscapes(root, "val").remark == "val: 1 frame of atlantis, not Cityscapes' own."
    whole = make_cityscapes(root / "whole", {"val": {"frankfurt": 1, "lindau": 1, "munster": 1}})
    monkeypatch.setitem(cityscapes._FRAMES, "val", 3)
    assert Cityscapes(whole, "val").remark == ""


def refusal(root: Path, split: str = "val") -> str:
    with pytest.raises(SegError) as refused:
        Cityscapes(root, split)
    return str(refused.value)


def test_roots_that_are_none(root: Path, tmp_path: Path) -> None:
    assert f"it is below: give {root} instead" in refusal(tmp_path)
    for too_low in ("leftImg8bit", "gtFine", "leftImg8bit/val"):
        assert f"it is above: give {root} instead" in refusal(root / too_low)
    assert "There is no folder" in refusal(root / "nowhere")
    archive = tmp_path / "archives" / "leftImg8bit_trainvaltest.zip"
    archive.parent.mkdir()
    zipfile.ZipFile(archive, "w").close()
    assert "is an archive. Unpack it" in refusal(archive)
    assert "holds the archive leftImg8bit_trainvaltest.zip. Unpack it there first" in refusal(archive.parent)
    (root / "gtFine").rename(tmp_path / "labels")
    message = refusal(root)
    assert "it holds leftImg8bit. Expected is a folder with leftImg8bit/ (pictures) and gtFine/" in message


def test_pictures_without_split_and_city_are_told_where_they_belong(root: Path) -> None:
    flat = root / "leftImg8bit"
    for path in list(flat.rglob("*.png")):
        path.rename(flat / path.name)
    for split in ("train", "val"):
        shutil.rmtree(flat / split)
    assert "leftImg8bit holds aachen_" in (message := refusal(root))
    assert "pictures are in SPLIT/CITY/ below it" in message


def test_splits_that_are_not_there(root: Path) -> None:
    assert "its splits are train, val, test, train_extra" in refusal(root, "valid")
    message = refusal(root, "train_extra")
    assert "no folder leftImg8bit/train_extra, which comes with leftImg8bit_trainextra.zip. Found are train, val." in message
    (root / "leftImg8bit/train_extra/bayreuth").mkdir(parents=True)
    assert "holds no pictures CITY/FRAME_leftImg8bit.png; it holds bayreuth" in refusal(root, "train_extra")
    write_frame(root, "train_extra", "bayreuth_000000_000019", make_frame())  # with fine labels, of which there are none
    assert "no folder gtCoarse/train_extra, which comes with gtCoarse.zip" in refusal(root, "train_extra")


def test_pictures_without_labels_are_named(root: Path) -> None:
    missing = root / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    missing.unlink()
    assert "lindau_000000_000019_leftImg8bit.png of the split 'val' has no labels in" in refusal(root)
    reader = Cityscapes(root, "val", strict=False)
    assert len(reader) == 2 and len(reader.verify()) == 1


def to_train_ids(labels: np.ndarray) -> np.ndarray:
    return CITYSCAPES.to_train_ids()[labels].astype(np.uint8)


def test_train_ids_are_recognised_by_content(root: Path) -> None:
    paths = sorted(root.glob("gtFine/val/*/*_labelIds.png"))
    rewrite(paths[0], to_train_ids)  # one of several: found when it is read
    reader = Cityscapes(root, "val")
    assert len(reader) == 3
    with pytest.raises(SegError, match=r"frankfurt_000000_000019_gtFine_labelIds.png holds train ids under the name of label id"):
        reader.read(0)
    for path in paths[1:]:
        rewrite(path, to_train_ids)
    message = refusal(root)
    assert "holds train ids under the name of label ids" in message and "255, where label ids go from 0 to 33" in message
    for path in paths:  # without ignored pixels the sky shows that they are train ids
        rewrite(path, lambda labels: np.where(labels == 255, 10, labels).astype(np.uint8))
    assert "holds train ids" in refusal(root)


def test_label_ids_that_could_be_train_ids_are_read(root: Path) -> None:
    for path in root.glob("gtFine/val/*/*_labelIds.png"):  # for example labels for a network that only knows roads
        rewrite(path, lambda labels: np.where(labels == 7, 7, 0).astype(np.uint8))
    assert set(np.unique(Cityscapes(root, "val").read(0)[1])) == {0, 255}


def test_train_ids_are_recognised_by_name(root: Path) -> None:
    for path in root.glob("gtFine/val/*/*_labelIds.png"):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    assert "holds train ids (*_gtFine_labelTrainIds.png) and no label ids (*_gtFine_labelIds.png)" in refusal(root)


@pytest.mark.parametrize(("change", "words"), [
    (lambda labels: np.where(labels == 8, 34, labels).astype(np.uint8), "holds 34 in"),
    (lambda labels: np.where(labels == 8, 255, labels).astype(np.uint8), "holds 255 in"),
    (lambda labels: labels.astype(np.uint16) * 1000, "uint16"),
    (lambda labels: np.stack([labels] * 3, -1), "holds colours"),
    (lambda labels: labels[:-4], "both must be the same"),
])
def test_labels_that_are_none(root: Path, change: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    path = root / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    rewrite(path, change)
    faults = Cityscapes(root, "val").verify()
    assert len(faults) == 1 and words in faults[0] and path.name in faults[0]


def test_instance_ids_that_are_none(root: Path) -> None:
    path = root / "gtFine/val/lindau/lindau_000000_000019_gtFine_instanceIds.png"
    reader = Cityscapes(root, "val")
    rewrite(path, lambda ids: np.full_like(ids, 13_001))  # a car, by its train id
    with pytest.raises(SegError, match="instances of the label id 13"):
        reader.read_instances(2)
    rewrite(path, lambda ids: np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SegError, match="one channel of 16 bits"):
        reader.read_instances(2)
    path.unlink()
    assert reader.read_instances(2) is None


TINY = ("--trainer.accelerator", "cpu", "--data.crop_hw", "[32, 64]", "--data.batch_size", "2", "--data.workers", "0",
        "--trainer.max_steps", "2", "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1",
        "--model.warmup_steps", "1")


@pytest.mark.parametrize(("name", "expected"), [
    ("cityscapes_small", {"lr": 0.01, "momentum": 0.9, "weight_decay": 4e-5}),
    ("cityscapes_small_long", {"lr": 0.002, "weight_decay": 0.02}),
])
def test_configs_train(name: str, expected: dict[str, float], root: Path, tmp_path: Path,
                       caplog: pytest.LogCaptureFixture) -> None:
    """Runs the shipped settings on tiny data; only their sizes change, and the teacher is trained by another run."""
    make_cityscapes(root, {"train_extra": {"bayreuth": 2}})
    teacher = ["--model.teacher", "street_large"] if name.endswith("long") else []
    caplog.set_level("INFO")
    assert train(["fit", "--config", str(ROOT / f"configs/{name}.yaml"), "--data.root", str(root), "--runs", str(tmp_path), *TINY,
                  *teacher], train_seg.data_class) == 0
    assert "train: 2 of 18 cities, 4 of 2975 frames." in caplog.messages, "a part says so as training starts"
    description = read_description(tmp_path / name / f"{name}.safetensors")
    assert description.label_set == CITYSCAPES
    assert description.training["settings"]["model"]["optimizer"]["init_args"].items() >= expected.items()


def test_ten_frames_are_learnt_by_heart(tmp_path: Path) -> None:
    """Nothing between files and scores is broken: blocks of classes, of a colour each, as large as what a network can show."""
    random = np.random.default_rng(0)
    colors = random.integers(0, 230, (34, 3))
    for number in range(10):
        ids = random.choice(CITYSCAPES.label_ids, (2, 2)).astype(np.uint8).repeat(48, 0).repeat(64, 1)
        image = (colors[ids] + random.integers(0, 25, (*ids.shape, 3))).astype(np.uint8)
        write_frame(tmp_path / "blocks", "train", f"aachen_{number:06d}_000019", Frame(image, ids, ids.astype(np.uint16)))
    assert train(["fit", "--config", str(ROOT / "configs/overfit.yaml"), "--data.dataset", "cityscapes", "--data.root",
                  str(tmp_path / "blocks"), "--runs", str(tmp_path), "--trainer.accelerator", "cpu"], train_seg.data_class) == 0
    assert read_description(tmp_path / "overfit" / "overfit.safetensors").metrics["val/miou"] > 0.95


@pytest.mark.parametrize("ending", ["", "_long"])
def test_small_and_large_have_one_recipe(ending: str) -> None:
    """Except for the encoder, and names that contain its size."""
    files = [ROOT / f"configs/cityscapes_{size}{ending}.yaml" for size in ("small", "large")]
    assert f"python train_seg.py fit --config configs/{files[1].name} --data.root DIR" in files[1].read_text()
    texts = [yaml.safe_dump(read_settings(file, "missing")) for file in files]
    recipes = [yaml.safe_load(text) for text in (texts[0].replace("small", "large"), texts[1])]
    for recipe in recipes:
        recipe["model"].pop("teacher", None)
    assert recipes[0] == recipes[1]
    assert recipes[0]["data"]["crop_hw"] == ([1024, 1024] if ending else [768, 768])
