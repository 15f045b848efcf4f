"""Exports of annotation tools: each becomes the mask that was drawn, by the tool's own rules, or is refused with a sentence."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from pycocotools import mask as coco

from datasets.folder import Folder
from datasets.folder.__main__ import main

H, W = 40, 64
SQUARE = [[4, 4, 20, 4, 20, 24, 4, 24]]  # x from 4 to 20, y from 4 to 24
TOP = [40, 0, 50, 0, 50, 9, 40, 9]
SMALL = [[10, 10, 14, 10, 14, 16, 10, 16]]


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    pixels = np.zeros((H, W), bool)
    pixels[top:bottom, left:right] = True
    return pixels


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8))


def write_coco(path: Path, annotations: list[dict[str, Any]], names: tuple[str, ...] = ("a.jpg",), **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": [{"id": i, "file_name": name, "height": H, "width": W} for i, name in enumerate(names)],
               "categories": [{"id": 3, "name": "sign"}, {"id": 1, "name": "wall"}, {"id": 9, "name": "never"}],
               "annotations": [{"id": i, "image_id": 0, **annotation} for i, annotation in enumerate(annotations)]}
    path.write_text(json.dumps({**content, **more}))


def read_masks(root: Path, split: str = "train") -> dict[str, np.ndarray]:
    """Returns masks as class names, by picture."""
    reader = Folder(root, split)
    names = np.array([*reader.label_set.classes, *[""] * (256 - len(reader.label_set))], object)
    return {sample.name: names[reader.read(i)[1]] for i, sample in enumerate(reader.samples)}


def both(root: Path) -> dict[str, np.ndarray]:
    return read_masks(root) | read_masks(root, "val")


def test_coco_outlines_and_run_lengths_become_pycocotools_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The smaller shape lies on top; a shape in two parts is one; run lengths come plain and compressed."""
    runs = coco.encode(np.asfortranarray(box(30, 30, 38, 60), np.uint8))
    plain = {"size": [H, W], "counts": [0, 2, H * W - 2]}  # column by column: the first two pixels of the first column
    write_coco(tmp_path / "export/annotations/instances_default.json", [
        {"category_id": 3, "segmentation": SMALL}, {"category_id": 1, "segmentation": [*SQUARE, TOP]},
        {"category_id": 1, "segmentation": {"size": [H, W], "counts": runs["counts"].decode()}, "iscrowd": 1},
        {"category_id": 3, "segmentation": plain}, {"category_id": 3, "bbox": [1, 1, 5, 5]}], ("in/a.jpg", "b.jpg"))
    picture(tmp_path / "export/images/in/a.jpg")
    picture(tmp_path / "export/images/b.jpg", 1)
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")]) == 0
    masks = both(tmp_path / "mine")
    expected = np.full((H, W), "background", object)
    for outlines in (SQUARE, [TOP]):
        expected[coco.decode(coco.merge(coco.frPyObjects(outlines, H, W))).astype(bool)] = "wall"
    expected[box(30, 30, 38, 60)] = "wall"
    expected[coco.decode(coco.merge(coco.frPyObjects(SMALL, H, W))).astype(bool)] = "sign"
    expected[:2, 0] = "sign"
    assert np.array_equal(masks["in/a"], expected) and (masks["b"] == "background").all()
    said = " ".join(capsys.readouterr().out.split())
    assert "sign lies over wall in 1 picture, 24 pixels" in said and "1 boxes and other annotations" in said
    assert yaml.safe_load((tmp_path / "mine/classes.yaml").read_text())["classes"] == [
        {"name": "background", "value": 0}, {"name": "wall", "value": 1}, {"name": "sign", "value": 2}]


def test_roboflows_splits_are_kept(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("valid", 2), ("test", 3)):
        write_coco(tmp_path / f"export/{split}/_annotations.coco.json", [{"category_id": 1, "segmentation": SQUARE}])
        picture(tmp_path / f"export/{split}/a.jpg", seed)
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export"), "--unlabelled", "ignore"]) == 0
    for split in ("train", "val", "test"):
        assert set(np.unique(read_masks(tmp_path / "mine", split)[f"{split}/a"])) == {"", "wall"}


def test_roboflows_masks(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("valid", 2)):
        folder = tmp_path / "export" / split
        picture(folder / "a.jpg", seed)
        cv2.imwrite(str(folder / "a_mask.png"), box(0, 0, 10, 10).astype(np.uint8) * 2)
        (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, kerb\n2, rail\n")
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")]) == 0
    found = read_masks(tmp_path / "mine", "val")["val/a"]
    assert np.array_equal(found == "rail", box(0, 0, 10, 10)) and (found[~box(0, 0, 10, 10)] == "background").all()


def test_labelme_paints_in_its_order(tmp_path: Path) -> None:
    png = base64.b64encode(cv2.imencode(".png", np.array([[255, 0], [255, 255]], np.uint8))[1].tobytes()).decode()
    shapes = [{"label": "car", "points": [[10, 10], [14, 10], [14, 16], [10, 16]], "shape_type": "polygon"},
              {"label": "road", "points": [[4, 4], [20, 24]], "shape_type": "rectangle"},
              {"label": "lamp", "points": [[40, 20], [44, 20]], "shape_type": "circle"},
              {"label": "car", "points": [[60, 30], [61, 31]], "shape_type": "mask", "mask": png},
              {"label": "line", "points": [[0, 0], [5, 5]], "shape_type": "line"}]
    content = {"shapes": shapes, "imageHeight": H, "imageWidth": W, "imageData": None}
    for name in ("yard/a", "yard/b"):
        picture(tmp_path / f"export/{name}.png", len(name) + ord(name[-1]))
        (tmp_path / f"export/{name}.json").write_text(json.dumps({**content, "imagePath": f"..\\yard\\{name[-1]}.png"}))
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")]) == 0
    found = both(tmp_path / "mine")["yard/a"]
    assert np.array_equal(found == "road", box(4, 4, 24, 20)), "the later shape hides the earlier one"
    y, x = np.mgrid[:H, :W] + 0.5
    assert np.array_equal(found == "lamp", np.hypot(x - 40, y - 20) <= 4)
    assert np.argwhere(found == "car").tolist() == [[30, 60], [31, 60], [31, 61]]


def test_labelme_with_the_picture_inside(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "elsewhere.png", ord(name))
        data = base64.b64encode((tmp_path / "elsewhere.png").read_bytes()).decode()
        (tmp_path / "export").mkdir(exist_ok=True)
        (tmp_path / f"export/{name}.json").write_text(json.dumps({
            "shapes": [{"label": "road", "points": [[0, 0], [64, 0], [64, 40], [0, 40]]}], "imagePath": "gone.png",
            "imageData": data, "imageHeight": H, "imageWidth": W}))
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")]) == 0
    assert all((mask == "road").all() for mask in both(tmp_path / "mine").values())
    assert (tmp_path / "mine/images/b.png").read_bytes() == (tmp_path / "elsewhere.png").read_bytes()


def test_cvat_paints_by_z_order(tmp_path: Path) -> None:
    inside = """
        <polygon label="car" points="10,10;14,10;14,16;10,16" z_order="2"/>
        <box label="road" xtl="4" ytl="4" xbr="20" ybr="24" z_order="1"/>
        <box label="road" xtl="40" ytl="10" xbr="50" ybr="14" rotation="90" z_order="0"/>
        <mask label="lamp" rle="1, 2, 1" left="60" top="30" width="2" height="2"/>
        <ellipse label="lamp" cx="30" cy="30" rx="6" ry="3"/>
        <polyline label="car" points="0,0;5,5"/>"""
    images = "".join(f'<image id="0" name="{name}.png" width="{W}" height="{H}">{inside}</image>' for name in "ab")
    (tmp_path / "export/images").mkdir(parents=True)
    (tmp_path / "export/annotations.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    for name in "ab":
        picture(tmp_path / f"export/images/{name}.png", ord(name))
    assert main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")]) == 0
    found = both(tmp_path / "mine")["a"]
    assert np.array_equal(found == "car", box(10, 10, 16, 14))
    assert np.array_equal(found == "road", (box(4, 4, 24, 20) & ~box(10, 10, 16, 14)) | box(7, 43, 17, 47))
    y, x = np.mgrid[:H, :W] + 0.5
    radius = np.hypot((x - 30) / 6, (y - 30) / 3)
    lamp = found == "lamp"
    assert lamp[radius < 0.9].all() and not lamp[(radius > 1.15) & (x < 55)].any()
    assert np.argwhere(lamp & (x > 55)).tolist() == [[30, 61], [31, 60]]


@pytest.mark.parametrize(("annotations", "more", "expected"), [
    ([{"category_id": 1, "bbox": [0, 0, 4, 4]}], {}, "no shape with an area"),
    ([{"category_id": 7, "segmentation": SQUARE}], {}, "the annotation 0 can't be read: 7"),
    ([{"category_id": 1, "segmentation": [[1, 2, 3, 4, 5, 6, 7]]}], {}, "must be pairs of numbers"),
    ([{"category_id": 1, "segmentation": {"size": [H, W], "counts": [5, 5]}}], {}, "run lengths of 10 pixels"),
    ([{"category_id": 1, "segmentation": {"size": [9, 9], "counts": [81]}}], {}, r"run lengths for \[9, 9\]"),
    ([], {"images": [{"id": 0, "file_name": "../a.jpg", "height": H, "width": W}]}, "leads out of the folder"),
    ([], {"images": [{"id": 0, "file_name": "gone.jpg", "height": H, "width": W}]}, "gone.jpg"),
    ([], {"images": []}, "names no pictures"),
    ([], {"images": [{"id": 0}]}, "its lists can't be read: KeyError 'file_name'"),
    ([{"category_id": 1, "segmentation": SQUARE}], {"categories": [{"id": i, "name": str(i)} for i in range(300)]}, None),
])
def test_what_cannot_be_converted_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                annotations: list[dict[str, Any]], more: dict[str, Any],
                                                expected: str | None) -> None:
    write_coco(tmp_path / "export/x.json", annotations, **more)
    picture(tmp_path / "export/a.jpg")
    code = main([str(tmp_path / "mine"), "--annotations", str(tmp_path / "export")])
    said = " ".join(capsys.readouterr().err.split())
    if expected is None:  # classes without shapes don't count
        assert code == 2 and "train, val need one each" in said and (tmp_path / "mine/masks/a.png").exists()
        return
    assert code == 2 and re.search(expected, said), said
    assert [path.name for path in tmp_path.iterdir()] == ["export"], "nothing half-written is left"


def test_other_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(list(words)) == 2
        return " ".join(capsys.readouterr().err.split())

    export, mine = tmp_path / "export", tmp_path / "mine"
    picture(export / "a.jpg")
    assert "is no export of a tool that is known here" in said(str(mine), "--annotations", str(export))
    (export / "a.json").write_text("{")
    assert "can't be read as JSON" in said(str(mine), "--annotations", str(export))
    (export / "a.json").unlink()
    (export / "a.xml").write_text("<annotations><track/></annotations>")
    assert "tracks through a video" in said(str(mine), "--annotations", str(export))
    (export / "a.xml").write_text("<other/>")
    assert "isn't CVAT's" in said(str(mine), "--annotations", str(export))
    mine.mkdir()
    (mine / "x").touch()
    assert "is there already" in said(str(mine), "--annotations", str(export))
    assert "needs --annotations" in said(str(mine), "--pictures", str(export))
