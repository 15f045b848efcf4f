"""CamVid in its forms, and every fault that a data set can have, each with the file's name."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets import READERS, CamVid
from datasets.camvid import COLORS_32, standard_split
from seg.errors import SegError
from seg.label_sets import CAMVID

REAL = Path(__file__).parents[2] / "shared" / "data" / "camvid"
SIZE_HW = (32, 48)


def write_rgb(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1] if image.ndim == 3 else image)


def frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE_HW, 3), np.uint8)


def ids(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 12, SIZE_HW, np.uint8)


def colors() -> tuple[np.ndarray, np.ndarray]:
    """All 32 colours as a picture, and the train ids that they stand for."""
    which = np.arange(SIZE_HW[0] * SIZE_HW[1]).reshape(SIZE_HW) % 32
    train_ids = [255 if name is None else CAMVID.classes.index(name) for _, _, name in COLORS_32]
    return np.array([color for _, color, _ in COLORS_32], np.uint8)[which], np.array(train_ids, np.uint8)[which]


@pytest.fixture
def segnet(tmp_path: Path) -> Path:
    root = tmp_path / "CamVid"
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            write_rgb(root / split / f"f{i}.png", frame(i))
            write_rgb(root / f"{split}annot" / f"f{i}.png", ids(i))
    return root


@pytest.fixture
def original(tmp_path: Path) -> Path:
    root = tmp_path / "original"
    for name in ("0001TP_006690", "0001TP_008550", "0006R0_f00930", "0016E5_07959", "0016E5_08640", "Seq05VD_f00000"):
        write_rgb(root / "701_StillsRaw_full" / f"{name}.png", frame())
        write_rgb(root / "LabeledApproved_full" / f"{name}_L.png", colors()[0])
    return root


def test_segnet_form(segnet: Path) -> None:
    reader = READERS["camvid"](segnet, "train")
    assert [sample.name for sample in reader.samples] == ["train/f0", "train/f1", "train/f2"]
    image_rgb, train_ids = reader.read(1)
    assert image_rgb.dtype == np.uint8 and np.array_equal(image_rgb, frame(1))  # RGB, not BGR
    assert train_ids is not None and train_ids.dtype == np.uint8
    assert np.array_equal(train_ids, np.where(ids(1) == 11, 255, ids(1)))
    assert len(CamVid(segnet, "val")) == 2
    assert reader.verify() == []


def test_original_form_by_the_standard_split(original: Path) -> None:
    names = {split: [sample.name for sample in CamVid(original, split).samples] for split in ("train", "val", "test")}
    assert names == {"train": ["0001TP_006690", "0006R0_f00930", "0016E5_08640"], "val": ["0016E5_07959"],
                     "test": ["0001TP_008550", "Seq05VD_f00000"]}
    _, train_ids = CamVid(original, "val").read(0)
    assert train_ids is not None and np.array_equal(train_ids, colors()[1])


def test_original_form_by_lists(original: Path) -> None:
    (original / "train.txt").write_text("0001TP_008550\n701_StillsRaw_full/0016E5_07959.png x/0016E5_07959_L.png\n\n")
    assert [sample.name for sample in CamVid(original, "train").samples] == ["0001TP_008550", "0016E5_07959"]
    with pytest.raises(SegError, match=r"no list val\.txt.*train\.txt"):
        CamVid(original, "val")
    (original / "train.txt").write_text("0001TP_008550\nnobody\n")
    with pytest.raises(SegError, match=r"train\.txt names nobody, which .*701_StillsRaw_full does not hold"):
        CamVid(original, "train")


def test_original_form_in_folders(tmp_path: Path) -> None:
    write_rgb(tmp_path / "val" / "a.png", frame())
    write_rgb(tmp_path / "val_labels" / "a_L.png", colors()[0])
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\n")
    reader = CamVid(tmp_path, "val")
    _, train_ids = reader.read(0)
    assert reader.samples[0].name == "val/a"
    assert train_ids is not None and np.array_equal(train_ids, colors()[1])


def test_ids_in_a_color_form_are_refused(tmp_path: Path) -> None:
    write_rgb(tmp_path / "val" / "a.png", frame())
    write_rgb(tmp_path / "val_labels" / "a_L.png", ids())
    with pytest.raises(SegError, match=r"a_L\.png holds ids"):
        CamVid(tmp_path, "val").read(0)


def test_the_32_colors() -> None:
    assert len({color for _, color, _ in COLORS_32}) == len({name for name, _, _ in COLORS_32}) == 32
    assert {name for _, _, name in COLORS_32} == {*CAMVID.classes, None}
    by_name = {name: (color, target) for name, color, target in COLORS_32}
    assert by_name["Road"] == ((128, 64, 128), "road") and by_name["SUVPickupTruck"][1] == "car"
    assert by_name["LaneMkgsDriv"][1] == "road" and by_name["Void"] == ((0, 0, 0), None)


def put_value(root: Path) -> None:
    labels = ids()
    labels[3, 4:6] = 37
    write_rgb(root / "trainannot" / "f0.png", labels)


def put_color(root: Path) -> None:
    labels = colors()[0]
    labels[3, 4] = (1, 2, 3)
    write_rgb(root / "trainannot" / "f0.png", labels)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "unlabelled": (lambda r: (r / "trainannot/f0.png").unlink(), r"train/f0\.png .*has no labels in .*trainannot"),
    "labels alone": (lambda r: (r / "train/f0.png").unlink(), r"trainannot/f0\.png .*have no picture"),
    "size": (lambda r: write_rgb(r / "trainannot/f0.png", ids()[:20]), r"annot/f0\.png is 48x20, .*f0\.png is 48x32"),
    "value": (put_value, r"trainannot/f0\.png holds 37 in 2 pixels; .* camvid has 0 to 11, 255"),
    "color": (put_color, r"trainannot/f0\.png holds the colour \(1, 2, 3\).*1 pixels"),
    "no picture": (lambda r: (r / "train/f0.png").write_text("text"), r"train/f0\.png is not a picture"),
    "empty": (lambda r: (r / "trainannot/f0.png").write_bytes(b""), r"trainannot/f0\.png is empty"),
    "16 bit": (lambda r: write_rgb(r / "trainannot/f0.png", ids().astype(np.uint16)), r"f0\.png holds uint16"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_named(segnet: Path, what: str) -> None:
    make, message = FAULTS[what]
    make(segnet)
    with pytest.raises(SegError, match=message):
        CamVid(segnet, "train").read(0)
    faults = CamVid(segnet, "train", strict=False).verify()
    assert len(faults) == 1
    with pytest.raises(SegError, match=message):
        raise SegError(faults[0])


def test_verify_lists_all_faults_at_once(segnet: Path) -> None:
    (segnet / "trainannot" / "f0.png").unlink()
    (segnet / "train" / "f1.png").write_text("text")
    write_rgb(segnet / "trainannot" / "f2.png", ids()[:20])
    write_rgb(segnet / "trainannot" / "stray.png", ids())
    faults = CamVid(segnet, "train", strict=False).verify()
    assert len(faults) == 4
    for name in ("f0.png", "f1.png", "f2.png", "stray.png"):
        assert any(name in fault for fault in faults)
    with pytest.raises(SegError, match=r"2 faults in the split 'train':\n  .*f0\.png.*\n  .*stray\.png"):
        CamVid(segnet, "train")


def test_roots_that_are_none(segnet: Path, tmp_path: Path) -> None:
    archive = tmp_path / "only_zip" / "camvid.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x", "")
    for root, message in ((tmp_path / "nowhere", rf"no folder .*nowhere\. {tmp_path} is there and holds CamVid, only_zip"),
                          (archive, r"camvid\.zip is an archive\. Unpack it"),
                          (archive.parent, r"holds the archive camvid\.zip\. Unpack"),
                          (segnet / "train" / "f0.png", "is a file"),
                          (tmp_path, rf"it is below: give {segnet} instead"),
                          (segnet / "train", rf"it is above: give {segnet} instead")):
        with pytest.raises(SegError, match=message):
            CamVid(root, "train")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "other" / "things").mkdir(parents=True)
    with pytest.raises(SegError, match=r"it holds things\. Expected is a folder with train/ and trainannot/"):
        CamVid(tmp_path / "a" / "b" / "other", "train")


def test_splits_that_are_none(segnet: Path) -> None:
    with pytest.raises(SegError, match=r"no split 'test'.*Found are train, val"):
        CamVid(segnet, "test")
    with pytest.raises(SegError, match=r"no split 'trian'; its splits are train, val, test"):
        CamVid(segnet, "trian")
    for folder in ("val", "valannot"):
        for path in (segnet / folder).iterdir():
            path.unlink()
    with pytest.raises(SegError, match=r"'val' below .* holds no pictures"):
        CamVid(segnet, "val")


def test_two_pictures_of_one_name(segnet: Path) -> None:
    cv2.imwrite(str(segnet / "train" / "f0.jpg"), frame())
    with pytest.raises(SegError, match=r"f0\.jpg and .*f0\.png belong to one frame"):
        CamVid(segnet, "train")


@pytest.mark.skipif(not REAL.is_dir(), reason="CamVid isn't at ../shared/data/camvid")
def test_the_real_one() -> None:
    for split, count in (("train", 367), ("val", 101)):
        reader = CamVid(REAL, split)
        assert len(reader) == count
        assert {standard_split(Path(sample.name).name) for sample in reader.samples} == {split}
        image_rgb, train_ids = reader.read(0)
        assert image_rgb.shape == (360, 480, 3)
        assert train_ids is not None and set(np.unique(train_ids)) <= {*range(11), 255}
