"""Any folder: the content of its masks, its splits, its classes.yaml and how it is proposed, and every fault by name."""

import pickle
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import train_seg
from datasets import READERS
from datasets.folder import Folder
from datasets.folder.__main__ import main
from datasets.folder.check import check
from datasets.folder.classes import read_classes
from datasets.folder.corrections import Corrections
from datasets.folder.masks import read_mask
from datasets.folder.splits import split_names
from datasets.module import SegmentationData
from seg.cli import infer
from seg.cli.train import main as train
from seg.errors import SegError
from seg.files import read_labels
from seg.label_sets import CAMVID, CITYSCAPES
from seg.weights import read_description

SIZE_HW = (40, 64)
COLORS = np.array([(10, 20, 30), (200, 0, 0), (0, 200, 0), (0, 0, 0)], np.uint8)  # of the classes 0 to 2, and of what is ignored
IDS: dict[str, Any] = {"classes": [{"name": "road", "value": 0}, {"name": "rail", "value": 7}, {"name": "other", "value": 200}],
                       "ignore": [255]}
IN_COLORS = {"classes": [{"name": name, "color": COLORS[i].tolist()} for i, name in enumerate(("road", "rail", "other"))],
             "ignore": [[0, 0, 0]]}
VALUES = np.array([0, 7, 200, 255], np.uint8)
CORRECTIONS = Path(train_seg.__file__).parent / "configs" / "corrections"


def which(seed: int) -> np.ndarray:
    """Returns in blocks which of the three classes a pixel has, or 3 for ignored."""
    small = np.random.default_rng(seed).integers(0, 4, (SIZE_HW[0] // 8, SIZE_HW[1] // 8))
    return small.repeat(8, 0).repeat(8, 1)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE_HW, 3), np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1] if image.ndim == 3 else image)


def write_classes(root: Path, classes: dict[str, Any], **more: Any) -> None:
    (root / "classes.yaml").write_text(yaml.safe_dump({**classes, **more}))


def make(root: Path, names: list[str], in_colors: bool = False) -> Path:
    """Writes pictures and masks, without classes.yaml."""
    for seed, name in enumerate(names):
        write(root / "images" / f"{name}.png", picture(seed))
        write(root / "masks" / f"{name}.png", COLORS[which(seed)] if in_colors else VALUES[which(seed)])
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ids in 9 masks, one of them in a subfolder; a fifth of the pictures is for validation."""
    root = make(tmp_path / "yard", [*(f"p{i}" for i in range(8)), "night/p0"])
    write_classes(root, IDS, split={"val": 0.2})
    return root


def palette_png(ids: np.ndarray, palette: np.ndarray, bits: int) -> bytes:
    """Returns a PNG with palette indices, written according to the specification."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    rows = np.packbits(np.unpackbits(ids[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(ids), -1), axis=1)
    header = ids.shape[1].to_bytes(4, "big") + ids.shape[0].to_bytes(4, "big") + bytes([bits, 3, 0, 0, 0])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", b"\0")
            + chunk(b"bKGD", b"\0") + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
            + chunk(b"IEND", b""))


# ---- what masks hold


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_indices_of_a_palette_stay_indices(tmp_path: Path, bits: int) -> None:
    random = np.random.default_rng(bits)
    ids = random.integers(0, 2**bits, (13, 21), np.uint8)
    palette = random.integers(0, 256, (2**bits, 3), np.uint8)
    palette[-1] = palette[0]  # two indices of one colour
    path = tmp_path / "mask.png"
    path.write_bytes(palette_png(ids, palette, bits))
    mask = read_mask(path)
    assert mask.ids is not None and mask.colors is not None and mask.palette is not None
    assert np.array_equal(mask.ids, ids)
    assert np.array_equal(mask.colors, read_labels(path))  # OpenCV's own expansion
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SegError, match=r"mask\.png is not a picture"):
        read_mask(path)


def test_every_kind_of_mask_gives_the_same_train_ids(tmp_path: Path) -> None:
    truth = which(0)
    expected = np.where(truth == 3, 255, truth)
    palette = np.zeros((256, 3), np.uint8)
    palette[VALUES] = COLORS
    kinds: dict[str, tuple[Callable[[Path], object], dict[str, Any]]] = {
        "ids": (lambda path: write(path, VALUES[truth]), IDS),
        "ids in three channels": (lambda path: write(path, VALUES[truth][:, :, None].repeat(3, 2)), IDS),
        "indices": (lambda path: path.write_bytes(palette_png(VALUES[truth], palette, 8)), IDS),
        "colours": (lambda path: write(path, COLORS[truth]), IN_COLORS),
        "colours of a palette": (lambda path: path.write_bytes(palette_png(VALUES[truth], palette, 8)), IN_COLORS),
    }
    for kind, (write_mask, classes) in kinds.items():
        root = make(tmp_path / kind, ["train/a", "val/b"])
        write_mask(root / "masks/train/a.png")
        write_classes(root, classes)
        image_rgb, train_ids = Folder(root, "train").read(0)
        assert np.array_equal(image_rgb, picture(0)), kind
        assert np.array_equal(train_ids, expected), kind


def test_the_label_set_is_the_folders(root: Path) -> None:
    assert READERS["folder"] is Folder
    label_set = Folder.label_set_of(root)
    assert (label_set.name, label_set.classes, label_set.label_ids) == ("yard", ("road", "rail", "other"), (0, 7, 200))
    assert len({*label_set.colors, (0, 0, 0)}) == 4  # made, as none are given
    assert Folder(root, "train").label_set == label_set
    assert READERS["camvid"].label_set_of("nowhere") is CAMVID
    data = SegmentationData(str(root), "folder", crop_hw=0.8)
    assert (data.classes, data.label_set, data.size_hw) == (3, label_set, (32, 64))
    with pytest.raises(SegError, match=r"crop_hw is 1\.5; .* a share above 0 and up to 1"):
        SegmentationData(str(root), "folder", crop_hw=1.5)


# ---- splits


def test_a_share_is_held_back_and_stays(root: Path) -> None:
    names = [f"drive/{i}" for i in range(300)]
    before = split_names(root, names, {"val": 0.2, "test": 0.1})
    assert sorted(name for split in before.values() for name in split) == sorted(names)
    assert 40 < len(before["val"]) < 80 and 15 < len(before["test"]) < 45
    after = split_names(root, names + [f"more/{i}" for i in range(300)], {"val": 0.2, "test": 0.1})
    assert all(set(before[split]) == set(after[split]) & set(names) for split in before)
    for count, val, test in ((12, 2, 1), (50, 10, 5)):
        small = split_names(root, names[:count], {"val": 0.2, "test": 0.1})
        assert (len(small["val"]), len(small["test"])) == (val, test), "chance has no say in few pictures"
    few = split_names(root, ["a", "b", "c"], {"val": 0.001, "test": 0.001})
    assert [len(few[split]) for split in ("train", "val", "test")] == [1, 1, 1]
    assert len(split_names(root, ["a", "b"], {"val": 0.999})["train"]) == 1
    with pytest.raises(SegError, match=r"holds 2 pictures; train, val, test need one each"):
        split_names(root, ["a", "b"], {"val": 0.1, "test": 0.1})


def test_splits_of_the_reader_have_all_frames_once(root: Path) -> None:
    names = {split: [sample.name for sample in Folder(root, split).samples] for split in ("train", "val")}
    assert names["val"] and sorted(names["train"] + names["val"]) == ["night/p0", *(f"p{i}" for i in range(8))]


def test_splits_by_list(root: Path) -> None:
    write_classes(root, IDS)
    (root / "train.txt").write_text("images/p0.png\np1\n\n night/p0.png \n", encoding="utf-8-sig")
    (root / "val.txt").write_text("p2\n")
    assert [sample.name for sample in Folder(root, "train").samples] == ["night/p0", "p0", "p1"]
    assert check(root).notes[0].startswith("5 of the 9 pictures are in none of the splits: p3, p4, p5 and 2 more")
    (root / "val.txt").write_text("p2\nnobody\n")
    with pytest.raises(SegError, match=r"val\.txt names nobody, which .*images does not hold"):
        Folder(root, "val")


def test_splits_by_folder(tmp_path: Path) -> None:
    root = make(tmp_path, ["train/day/a", "train/night/a", "val/a"])
    write_classes(root, IDS)
    assert [sample.name for sample in Folder(root, "train").samples] == ["train/day/a", "train/night/a"]
    with pytest.raises(SegError, match=r"no split 'test'\. Found are train, val"):
        Folder(root, "test")


def no_split(root: Path) -> None:
    write_classes(root, IDS)


def lists(train: str, val: str) -> Callable[[Path], None]:
    def make_lists(root: Path) -> None:
        write_classes(root, IDS)
        (root / "train.txt").write_text(train)
        (root / "val.txt").write_text(val)
    return make_lists


@pytest.mark.parametrize(("spoil", "message"), [
    (no_split, r"nothing divides the pictures.*split: \{val: 0\.2\}"),
    (lambda r: (r / "train.txt").write_text("p0"), r"lists and split in classes\.yaml divide the pictures; keep one"),
    (lists("p0\np1\np2", "p2\np3\np1"), r"train\.txt and val\.txt share p1, p2\."),
    (lists("p0", "\n"), r"split 'val' is empty: no picture is in .*val\.txt"),
    (lambda r: (no_split(r), (r / "val.txt").write_text("p0")), r"no split 'train': .*train\.txt is missing\. Found are val\."),
    (lambda r: (no_split(r), (r / "images/train").mkdir(), (r / "images/val").mkdir()), r"'train' is empty: .*images/train/"),
])
def test_splits_that_can_not_be(root: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(root)
    with pytest.raises(SegError, match=message):
        Folder(root, "train")


def test_training_alone_is_a_split_too_but_none_to_validate_on(root: Path) -> None:
    no_split(root)
    (root / "train.txt").write_text("p0")
    assert [sample.name for sample in Folder(root, "train").samples] == ["p0"]
    with pytest.raises(SegError, match=r"no split 'val'\. Found are train\. Training needs it"):
        Folder(root, "val")


# ---- faults


def test_roots_that_are_none(root: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    write(bare / "images" / "a.png", picture(0))
    write(bare / "labels" / "a.png", VALUES[which(0)])
    (tmp_path / "yard.zip").write_bytes(b"")
    for place, message in ((bare, r"bare has images/ but no masks/; next to images/ it holds labels\. Expected is"),
                           (root / "images", rf"it is above: give {root} instead"),
                           (tmp_path / "yard.zip", r"yard\.zip is an archive\. Unpack it"),
                           (tmp_path / "nowhere", r"no folder .*nowhere")):
        with pytest.raises(SegError, match=message):
            Folder(place, "val")
        with pytest.raises(SegError, match=message):
            SegmentationData(str(place), "folder")


@pytest.mark.parametrize(("text", "message"), [
    ("classes: [", r"can't be read: .*line 1"),
    ("", r"the file is None; it must be a mapping"),
    ("names: {}", r"the unknown key 'names'\. .*'name'"),
    ("ignore: [0]", r"has no classes"),
    ("classes: []", r"a list with an entry for each class"),
    ("classes: [road, rail]", r"class 1 is 'road'; it must be a mapping with name, value, color"),
    ("classes: [{name: road, colour: [0, 0, 0]}]", r"class 1 has the unknown key 'colour'\. Did you mean 'color'"),
    ("classes: [{value: 1}]", r"class 1 has no name"),
    ("classes: [{name: no, value: 1}]", r"class 1 has the name False; it must be text, in quotes"),
    ("classes: [{name: a, value: 1}, {name: a, value: 2}]", r"the name 'a' is there 2 times"),
    ("classes: [{name: a, value: 1}, {name: b, value: 1}]", r"the value 1 is there 2 times"),
    ("{classes: [{name: a, value: 1}], ignore: [1]}", r"the value 1 is there 2 times"),
    ("classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [1, 2, 3]}]", r"the color \(1, 2, 3\) is there 2 times"),
    ("classes: [{name: a, value: 256}]", r"the value of 'a' is 256; .*0 to 255"),
    ("classes: [{name: a, value: true}]", r"the value of 'a' is True"),
    ("classes: [{name: a, color: red}]", r"the color of 'a' is 'red'; colours are \[red, green, blue\]"),
    ("classes: [{name: a, value: 1}, {name: b, color: [1, 1, 1]}]", r"'b' has no value, though others have"),
    ("classes: [{name: a}, {name: b}]", r"'a' has neither a value nor a color.*no palette to read them by"),
    ("{classes: [{name: a, value: 1}], ignore: 255}", r"ignore is 255; it must be a list of values"),
    ("{classes: [{name: a, color: [1, 1, 1]}], ignore: [255]}", r"an entry of ignore is 255; colours are"),
    ("{classes: [{name: a, value: 1}], split: {validation: 0.1}}", r"unknown key 'validation'"),
    ("{classes: [{name: a, value: 1}], split: {val: 20}}", r"split gives val the share 20; .* such as 0\.2"),
    ("{classes: [{name: a, value: 1}], split: {val: 0.5, test: 0.5}}", r"split gives val and test 1 of the pictures"),
    ("{classes: [{name: a, value: 1}], name: 3}", r"name is 3; it must be text"),
])
def test_classes_that_can_not_be(root: Path, text: str, message: str) -> None:
    (root / "classes.yaml").write_text(text)
    with pytest.raises(SegError, match=rf"^{root}/classes\.yaml.*{message}"):
        read_classes(root)


def correct(root: Path, text: str) -> None:
    (root / "corrections.yaml").write_text(text)


def test_wrong_masks_are_set_right_where_they_are_read(root: Path) -> None:
    before = {sample.name: Folder(root, "train").read(i)[1] for i, sample in enumerate(Folder(root, "train").samples)}
    name = next(iter(before))
    correct(root, f"- of: [road, rail]\n  elsewhere: {{road: other, rail: ignored}}\n  pictures:\n"
                  f"    {name}: [[8, 0, 40, 24, rail], [24, 8, 64, 99, ignored], [30, 10, 34, 14, other]]\n"
                  f"- of: [other]\n  pictures: {{{name}: [[0, 0, 16, 16, road]]}}\n")
    reader = Folder(root, "train")
    for i, sample in enumerate(reader.samples):
        truth = before[sample.name]
        expected = np.where(truth == 0, 2, np.where(truth == 1, 255, truth))
        if sample.name == name:
            for y, x in np.ndindex(SIZE_HW):
                if truth[y, x] == 2 and x < 16 and y < 16:
                    expected[y, x] = 0
                if truth[y, x] in (0, 1):
                    if 8 <= x < 40 and y < 24:
                        expected[y, x] = 1
                    if x >= 24 and y >= 8:
                        expected[y, x] = 255
                    if 30 <= x < 34 and 10 <= y < 14:
                        expected[y, x] = 2
        np.testing.assert_array_equal(reader.read(i)[1], expected)


@pytest.mark.parametrize("name", ["camvid19", "idd_lite"])
def test_shipped_corrections_fit_cityscapes_classes(name: str, tmp_path: Path) -> None:
    correct(tmp_path, (CORRECTIONS / f"{name}.yaml").read_text())
    assert len(Corrections(tmp_path, CITYSCAPES).names) > 100


def test_corrections_are_a_part_of_what_labels_mean(root: Path) -> None:
    """A cache of the labels before is not taken for that of the corrected ones."""
    before = Folder(root, "train").meaning()
    correct(root, "- of: [road]\n  elsewhere: {road: rail}\n")
    assert Folder(root, "train").meaning() != before


@pytest.mark.parametrize(("text", "message"), [
    ("3", "it is 3; it must be a list"), ("- 1", "entry 1 is 1; it must have of"), ("- pictures: {}", "it must have of"),
    ("- of: road", "it must have of, the list"), ("- of: [raod]", "of in entry 1 names 'raod'.*road"),
    ("- {of: [road]}\n- {of: [rail, road]}", "of has 'road' twice"), ("- {of: [road], els: {}}", "unknown key 'els'.*elsewhere"),
    ("- {of: [road], elsewhere: {rail: road}}", "elsewhere in entry 1 changes 'rail', which is not in of"),
    ("- {of: [road], elsewhere: [rail]}", r"elsewhere in entry 1 is \['rail'\]; it must be a mapping"),
    ("- {of: [road], elsewhere: {road: tree}}", "elsewhere in entry 1 names 'tree'"),
    ("- {of: [road], pictures: {0012: [[0, 0, 8, 9, rail]]}}", "pictures in entry 1 has the name 10; it must be text, in quotes"),
    ("- {of: [road], pictures: {p0: 3}}", "p0 has 3; it must have a list"),
    ("- {of: [road], pictures: {p0: [[0, 0, 8, rail]]}}", r"\[left, top, right, bottom, class\]"),
    ("- {of: [road], pictures: {p0: [[8, 0, 8, 9, rail]]}}", r"\[left, top, right, bottom, class\]"),
    ("- {of: [road], pictures: {p0: [[0, 0, 8, 9, tree]]}}", "a rectangle of p0 names 'tree'"),
    ("- {of: [road], pictures: {p99: [[0, 0, 8, 9, rail]]}}", "corrects p99, which .*masks does not hold"),
    ("- of: [", "corrections.yaml")])
def test_corrections_that_can_not_be(root: Path, text: str, message: str) -> None:
    correct(root, text)
    with pytest.raises(SegError, match=f"corrections.yaml.*{message}" if message != "corrections.yaml" else message):
        Folder(root, "train")


def test_a_rectangle_outside_of_its_mask_is_a_fault(root: Path) -> None:
    reader = Folder(root, "train")
    name = reader.samples[0].name
    correct(root, f"- {{of: [road], pictures: {{{name}: [[64, 0, 70, 9, rail]]}}}}\n")
    with pytest.raises(SegError, match=f"corrections.yaml: a rectangle of {name} begins at 64, 0, outside of its mask of 40x64"):
        Folder(root, "train").read(0)


def test_corrections_that_lead_to_no_file_are_not_left_out(root: Path) -> None:
    (root / "corrections.yaml").symlink_to(root / "moved.yaml")
    with pytest.raises(SegError, match=r"corrections\.yaml leads to no file"):
        Folder(root, "train")


@pytest.mark.parametrize("text", ["- {of: [raod]}", "- {of: [road], pictures: {p99: [[0, 0, 8, 9, rail]]}}"])
def test_a_fault_of_the_corrections_is_reported_once(root: Path, text: str) -> None:
    """Not once for each split."""
    correct(root, text)
    assert sum("corrections.yaml" in fault for fault in check(root).faults) == 1


def test_without_classes_the_command_that_makes_them_is_named(root: Path) -> None:
    (root / "classes.yaml").unlink()
    with pytest.raises(SegError, match=rf"no {root}/classes\.yaml\. `lraspp folder {root}`"):
        Folder(root, "train")


def put(name: str, value: int, count: int) -> Callable[[Path], None]:
    def put_into(root: Path) -> None:
        ids = VALUES[which(0)]
        ids.flat[:count] = value
        write(root / "masks" / name, ids)
    return put_into


def turn(root: Path, orientation: int, kind: str = "images") -> None:
    """Gives a picture or mask an EXIF orientation."""
    block = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    path = root / kind / "p1.png"
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    ok, data = cv2.imencodeWithMetadata(".png", image, [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(block, np.uint8)])
    assert ok
    path.write_bytes(data.tobytes())


def disguise(root: Path) -> None:
    ok, data = cv2.imencode(".jpg", VALUES[which(0)])
    assert ok
    (root / "masks/p1.png").write_bytes(data.tobytes())


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "value": (put("p1.png", 9, 5), r"masks/p1\.png holds 9 in 5 pixels; .*classes\.yaml has 0, 7, 200, 255\."),
    "colours": (lambda r: write(r / "masks/p1.png", COLORS[which(0)]), r"masks/p1\.png holds colours, but .*classes\.yaml gives"),
    "size": (lambda r: write(r / "masks/p1.png", VALUES[which(0)][:32]), r"masks/p1\.png is 64x32, .*images/p1\.png is 64x40"),
    "no mask": (lambda r: (r / "masks/p1.png").unlink(), r"images/p1\.png of the split 'train' has no labels in .*masks"),
    "no picture": (lambda r: (r / "images/p1.png").unlink(), r"labels .*masks/p1\.png of the split 'train' have no picture"),
    "JPEG inside": (disguise, r"masks/p1\.png is a JPEG by its content\. Compression changes labels.*again as PNG"),
    "tiny": (lambda r: [write(r / f"{kind}/p1.png", np.zeros((20, 40), np.uint8)) for kind in ("images", "masks")],
             r"images/p1\.png is 40x20 .*a network needs 32x32 at least"),
    "turned": (lambda r: turn(r, 3), r"images/p1\.png is turned by its EXIF orientation 3, and nothing says whether its labels"),
    "turned by 90": (lambda r: turn(r, 6), r"masks/p1\.png is 64x40, but .*images/p1\.png is 40x64 .*by its EXIF orientation 6"),
    "turned labels": (lambda r: turn(r, 3, "masks"), r"labels .*masks/p1\.png have an EXIF orientation"),
    "12 bits": (lambda r: write(r / "images/p1.png", picture(1).astype(np.uint16) << 4), r"images/p1\.png has 16 bits .*12 bits"),
    "damaged": (lambda r: (r / "masks/p1.png").write_bytes(b"x"), r"masks/p1\.png is not a picture"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_named(root: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [sample.name for sample in Folder(root, "train").samples]
    assert "p1" in names  # the hash says so
    spoil, message = FAULTS[what]
    spoil(root)
    data = SegmentationData(str(root), "folder", crop_hw=(32, 32), batch_size=1, workers=0)
    with pytest.raises(SegError, match=message):  # training comes to the same judgement as the check
        list(data.train_dataloader())
    assert main([str(root)]) == 2
    with pytest.raises(SegError, match=rf"1 fault in .*\n  .*{message}"):
        raise SegError(capsys.readouterr().err)


def test_labels_of_the_size_that_a_turned_picture_is_shown_at_are_taken(root: Path) -> None:
    turn(root, 6)
    labels = VALUES[which(1)].T
    write(root / "masks/p1.png", np.ascontiguousarray(labels))
    reader = Folder(root, "train")
    image_rgb, train_ids = reader.read([sample.name for sample in reader.samples].index("p1"))
    assert image_rgb.shape[:2] == train_ids.shape == labels.shape


@pytest.mark.parametrize("how", ["blurred", "jpeg", "resized"])
@pytest.mark.parametrize("in_colors", [False, True])
def test_masks_that_were_smoothed_are_no_list_of_classes(how: str, in_colors: bool, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        here = np.roll(which(seed), (3, 3), (0, 1))  # off the grid of JPEG
        mask = COLORS[here] if in_colors else VALUES[here]
        smoothed = {"blurred": lambda mask: cv2.GaussianBlur(mask, (3, 3), 0),
                    "jpeg": lambda mask: cv2.imdecode(cv2.imencode(".jpg", mask)[1], cv2.IMREAD_UNCHANGED),
                    "resized": lambda mask: cv2.resize(mask, (96, 60), interpolation=cv2.INTER_LINEAR)}[how](mask)
        write(tmp_path / f"images/{seed}.png", picture(seed))
        write(tmp_path / f"masks/{seed}.png", smoothed)
    assert main([str(tmp_path)]) == 2
    assert re.search(r"smoothed", capsys.readouterr().err)
    assert not (tmp_path / "classes.yaml").exists()


def test_masks_that_lose_detail_are_refused(root: Path) -> None:
    for name in ("p1", "p2"):
        (root / f"masks/{name}.png").unlink()
        write(root / f"masks/{name}.jpg", VALUES[which(0)])
    message = r"2 of the 9 masks in .*masks are in a format that loses detail \(jpg\): p1\.jpg, p2\.jpg\. .*as PNG"
    with pytest.raises(SegError, match=message):
        Folder(root, "train")
    (root / "classes.yaml").unlink()
    assert main([str(root)]) == 2
    assert not (root / "classes.yaml").exists()


def test_colours_that_no_class_has(tmp_path: Path) -> None:
    root = make(tmp_path, ["train/a", "val/b"], in_colors=True)
    write_classes(root, IN_COLORS)
    assert check(root).faults == []
    mask = COLORS[which(0)]
    mask[0, :3] = (9, 9, 9)
    write(root / "masks/train/a.png", mask)
    with pytest.raises(SegError, match=r"a\.png holds the colour \(9, 9, 9\) in 3 pixels; .*classes\.yaml has others"):
        Folder(root, "train").read(0)
    write(root / "masks/train/a.png", np.arange(64, dtype=np.uint8)[None].repeat(40, 0))
    with pytest.raises(SegError, match=r"a\.png holds single-channel ids, but .*classes\.yaml gives its classes no value"):
        Folder(root, "train").read(0)


def test_unknown_values_are_summed_up_over_the_files(root: Path) -> None:
    for name, value, count in (("p1.png", 9, 5), ("p2.png", 9, 50), ("p3.png", 11, 2)):
        put(name, value, count)(root)
    (root / "masks/p4.png").write_bytes(b"x")
    faults = Folder(root, "train", strict=False).verify()
    assert len(faults) == 3 and "p4.png is not a picture" in faults[0]
    assert f"2 files hold 9 in 55 pixels ({root}/masks/p1.png, {root}/masks/p2.png); {root}/classes.yaml has 0, 7" in faults[1]
    assert f"1 file holds 11 in 2 pixels ({root}/masks/p3.png)" in faults[2]
    with pytest.raises(SegError, match=r"3 faults in .*\n.*\n  2 files hold 9 in 55 pixels"):
        SegmentationData(str(root), "folder", crop_hw=0.8, workers=0, verify=True).setup("fit")
    with pytest.raises(SegError, match=r"p1\.png holds 9 in 5 pixels"):  # without it, the first that is met
        for split in ("train", "val"):
            Folder(root, split).verify()
            for index in range(len(Folder(root, split))):
                Folder(root, split).read(index)


def test_faults_travel_between_processes(root: Path) -> None:
    with pytest.raises(SegError) as caught:
        Folder(root, "train").to_train_ids(np.full((2, 2), 9, np.uint8), Path("m.png"))
    assert str(pickle.loads(pickle.dumps(caught.value))) == f"m.png holds 9 in 4 pixels; {root}/classes.yaml has 0, 7, 200, 255."


def test_without_yaml_the_other_readers_work(root: Path) -> None:
    code = ("import sys; sys.modules['yaml'] = None\nfrom datasets import READERS\nfrom seg.cli.common import run\n"
            f"sys.exit(run(lambda _: READERS['folder']({str(root)!r}, 'val')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stdout) == (2, "") and "This needs yaml, which is not installed" in done.stderr


# ---- the command


def test_the_whole_folder_is_summed_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "classes.yaml").read_bytes()
    assert main([str(root)]) == 0
    text = capsys.readouterr().out
    assert (root / "classes.yaml").read_bytes() == before
    labels = np.concatenate([VALUES[which(seed)].ravel() for seed in range(9)])
    share = (labels == 7).sum() / (labels != 255).sum()
    assert any("rail" in line and f"{share:.1%}" in line for line in text.splitlines())
    assert f"{(labels == 255).mean():.1%} of all pixels ignored" in text
    assert f"--config configs/folder_small.yaml --data.root {root}" in text
    summary = check(root)
    assert summary.decoded_bytes == 9 * 4 * summary.size_hw[0] * summary.size_hw[1]
    said = " ".join(text.split())
    assert "a step on 4 samples of" in said and f"take {summary.decoded_bytes / 1e6:.1f} MB, in memory or on disk" in said


def test_one_picture_in_two_splits_is_a_fault(root: Path) -> None:
    splits = {split: Folder(root, split).samples for split in ("train", "val")}
    (root / f"images/{splits['val'][0].name}.png").write_bytes(splits["train"][0].image_path.read_bytes())
    (fault,) = check(root).faults
    assert f"{splits['val'][0].image_path} is the same picture as {splits['train'][0].image_path}" in fault


def test_classes_without_pixels_are_noted(root: Path) -> None:
    write_classes(root, {**IDS, "classes": [*IDS["classes"], {"name": "crane", "value": 3}]}, split={"val": 0.2})
    assert check(root).notes == ["No pixel of train is of crane: can't be learned.",
                                 "No pixel of val is of crane: can't be scored rightly."]


def proposal(root: Path) -> dict[str, Any]:
    assert main([str(root)]) == 0
    written: dict[str, Any] = yaml.safe_load((root / "classes.yaml").read_text())
    assert check(root).faults == []
    return written


def test_ids_are_proposed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "classes.yaml").unlink()
    written = proposal(root)
    assert {entry["name"]: entry["value"] for entry in written["classes"]} == {"class_0": 0, "class_7": 7, "class_200": 200}
    assert (written["ignore"], written["split"]) == ([255], {"val": 0.2})
    labels = [VALUES[which(seed)] for seed in range(9)]
    share = np.mean([ids == 7 for ids in labels])
    assert f"{share:.1%} of all pixels; most in masks/" in (root / "classes.yaml").read_text()
    out = capsys.readouterr().out
    assert f"{share:.1%}" in out and f"lraspp folder {root}" in out
    (root / "classes.yaml").write_text("classes: [")
    assert main([str(root)]) == 2  # it is checked, not replaced
    assert (root / "classes.yaml").read_text() == "classes: ["
    assert main([str(root), "--overwrite"]) == 0
    assert yaml.safe_load((root / "classes.yaml").read_text()) == written


@pytest.mark.parametrize("label_set", [CITYSCAPES, CAMVID], ids=lambda label_set: label_set.name)
@pytest.mark.parametrize("kind", ["colours", "palette"])
def test_known_colours_give_names(tmp_path: Path, label_set: Any, kind: str) -> None:
    palette = label_set.palette()[:14]
    ids = np.arange(SIZE_HW[0] * SIZE_HW[1] // 16).reshape(SIZE_HW[0] // 4, -1).repeat(4, 0).repeat(4, 1).astype(np.uint8) % 14
    root = make(tmp_path, ["train/a", "val/b"])
    for name in ("train/a", "val/b"):
        if kind == "palette":
            (root / f"masks/{name}.png").write_bytes(palette_png(ids, palette, 8))
        else:
            write(root / f"masks/{name}.png", palette[ids])
    if kind == "palette" and label_set is CAMVID:
        palette[11:] = (1, 2, 3), (4, 5, 6), (0, 0, 0)  # black thrice would leave the palette without a say
        for name in ("train/a", "val/b"):
            (root / f"masks/{name}.png").write_bytes(palette_png(ids, palette, 8))
    written = proposal(root)
    names = {tuple(entry["color"]): entry["name"] for entry in written["classes"]}
    for color, name in list(zip(label_set.colors, label_set.classes, strict=True))[:14]:
        assert names[color] == name
    assert "split" not in written  # the folders say it
    assert (0, 0, 0) not in names


def test_a_mask_of_black_and_white_is_no_ignored_white(tmp_path: Path) -> None:
    root = make(tmp_path, ["a", "b", "c"])
    for name in ("a", "b", "c"):
        write(root / f"masks/{name}.png", np.where(which(1) == 1, 255, 0).astype(np.uint8))
    written = proposal(root)
    assert [(entry["name"], entry["value"]) for entry in written["classes"]] == [("background", 0), ("object", 255)]
    assert written["ignore"] == []


@pytest.mark.parametrize(("masks", "message"), [
    ({"a": VALUES[which(0)], "b": COLORS[which(1)]}, r"1 masks hold single-channel ids \(.*a\.png\), 1 hold colours \(.*b"),
    ({"a": picture(0), "b": picture(1)}, r"hold \d+ colours; there can be 254 classes\. They may be smoothed"),
    ({"a": np.arange(2560).reshape(40, 64).astype(np.uint8)}, r"The masks hold 256 values; there can be 254"),
])
def test_masks_that_nothing_can_be_proposed_for(tmp_path: Path, masks: dict[str, np.ndarray], message: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    for name, mask in masks.items():
        write(tmp_path / f"images/{name}.png", picture(0))
        write(tmp_path / f"masks/{name}.png", mask)
    assert main([str(tmp_path)]) == 2
    with pytest.raises(SegError, match=message):
        raise SegError(capsys.readouterr().err)
    assert not (tmp_path / "classes.yaml").exists()


# ---- from pictures to a network


def test_from_pictures_to_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "yard", [f"p{i}" for i in range(8)])
    assert main([str(root)]) == 0
    config = str(Path(__file__).parents[1] / "configs/folder_small.yaml")
    short = ["--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.accelerator", "cpu",
             "--trainer.logger", "false", "--trainer.num_sanity_val_steps", "0", "--data.batch_size", "2", "--data.workers", "0"]
    assert train(["fit", "--config", config, "--data.root", str(root), "--runs", str(tmp_path / "runs"), *short],
                 train_seg.data_class) == 0
    weights = tmp_path / "runs/mine/mine.safetensors"
    assert read_description(weights).label_set == Folder.label_set_of(root)
    capsys.readouterr()
    network = ["--weights", str(weights), "--engine", "torch"]  # which needs no export; tests of its own are about that
    arguments = ["--dataset", "folder", "--root", str(root), *network]
    assert infer.main(arguments, READERS) == 0
    assert "class_200" in capsys.readouterr().out
    assert infer.main([str(root / "images"), *network, "--output", str(tmp_path / "out")], READERS) == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 8
    (root / "classes.yaml").write_text((root / "classes.yaml").read_text().replace("class_7", "rail"))
    assert infer.main(arguments, READERS) == 2  # the classes are told apart by their names
    assert "'yard' has the classes class_0, rail, class_200" in capsys.readouterr().err
