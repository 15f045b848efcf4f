"""A tiny copy of Cityscapes: street-like label maps with instances, groups and ignored objects, laid out like the archives."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from seg.label_sets import CITYSCAPES

SIZE_HW = (48, 96)
CITIES: dict[str, dict[str, int]] = {"train": {"aachen": 2, "ulm": 2}, "val": {"frankfurt": 2, "lindau": 1}}
# label ids of objects in the street, with their approximate height as a share of the frame's height
_THINGS = {24: 0.3, 25: 0.3, 26: 0.25, 27: 0.4, 28: 0.5, 29: 0.3, 30: 0.2, 31: 0.5, 32: 0.2, 33: 0.2}


class Frame(NamedTuple):
    """A picture (H, W, 3) RGB with its label ids (H, W) uint8 and instance ids (H, W) uint16."""

    image_rgb: np.ndarray
    label_ids: np.ndarray
    instance_ids: np.ndarray


def make_frame(seed: int = 0, size_hw: tuple[int, int] = SIZE_HW) -> Frame:
    """Draws every kind of label: every class, ignored labels, instances of 8 classes and 2 ignored ones, groups."""
    random = np.random.default_rng(seed)
    height, width = size_hw
    ids = np.zeros(size_hw, np.uint16)
    horizon = int(height * random.uniform(0.35, 0.5))
    ids[:horizon] = 23
    x = 0
    while x < width:  # objects along the street
        step = int(random.integers(width // 16, width // 6))
        ids[int(random.uniform(0, horizon)) : horizon, x : x + step] = random.choice([11, 11, 21, 21, 12, 13, 14, 15, 16])
        x += step
    ids[horizon:] = 8
    ids[horizon + (height - horizon) // 4 :] = random.choice([7, 7, 7, 9, 10])
    ids[horizon:, : width // 12] = 22
    for label_id in (17, 18, 19, 20):
        x, top = int(random.integers(0, width - 3)), int(random.integers(0, horizon))
        ids[top : top + height // 5, x : x + 3] = label_id
    numbers = dict.fromkeys(_THINGS, 0)
    for _ in range(12):
        label_id = int(random.choice(list(_THINGS)))
        tall = max(2, int(height * _THINGS[label_id] * random.uniform(0.4, 1)))
        wide = max(2, int(tall * random.uniform(0.5, 2)))
        bottom, x = int(random.integers(horizon + 2, height)), int(random.integers(0, width - 2))
        group = random.random() < 0.15
        ids[max(0, bottom - tall) : bottom, x : x + wide] = label_id if group else label_id * 1000 + numbers[label_id]
        numbers[label_id] += not group
    ids[-max(2, height // 16) :] = 1  # ego vehicle
    ids[:, :1], ids[:, -1:] = 3, 2  # outside the region, border of the rectification
    label_ids = np.where(ids > 1000, ids // 1000, ids).astype(np.uint8)
    colors = np.random.default_rng(1).integers(0, 230, (34, 3))
    colors[list(CITYSCAPES.label_ids)] = CITYSCAPES.colors
    image = np.clip(colors[label_ids] + random.integers(-20, 20, (*size_hw, 3)), 0, 255).astype(np.uint8)
    return Frame(image, label_ids, ids)


def make_dummy(seed: int = 0, size_hw: tuple[int, int] = SIZE_HW) -> Frame:
    """Makes a frame of the test split: the picture, and labels in which no pixel counts."""
    frame = make_frame(seed, size_hw)
    hidden = np.where(frame.label_ids > 3, 0, frame.label_ids)
    return Frame(frame.image_rgb, hidden, hidden.astype(np.uint16))


def make_cityscapes(root: Path, frames: Mapping[str, Mapping[str, int]] | None = None,
                    size_hw: tuple[int, int] = SIZE_HW) -> Path:
    """Writes a tree below `root` and returns `root`.

    Args:
        root: the folder that gets leftImg8bit/, gtFine/ and gtCoarse/.
        frames: number of frames by city and split; `CITIES` by default. As in the real data set, the labels of test are dummies
            and those of train_extra are coarse.
        size_hw: size of the frames [px].
    """
    seed = 0
    for split, cities in (CITIES if frames is None else frames).items():
        kind = "gtCoarse" if split == "train_extra" else "gtFine"
        for city, count in cities.items():
            for index in range(count):
                frame = (make_dummy if split == "test" else make_frame)(seed, size_hw)
                write_frame(root, split, f"{city}_{index:06d}_000019", frame, kind)
                seed += 1
    return root


def write_frame(root: Path, split: str, name: str, frame: Frame, kind: str = "gtFine") -> None:
    """Writes the files of a frame as in the archives; its city is the first part of the name."""
    city = name.split("_")[0]
    color_rgb = CITYSCAPES.palette()[CITYSCAPES.to_train_ids()[frame.label_ids]]
    for folder, ending, picture in (
            ("leftImg8bit", "leftImg8bit", frame.image_rgb[:, :, ::-1]), (kind, f"{kind}_labelIds", frame.label_ids),
            (kind, f"{kind}_instanceIds", frame.instance_ids), (kind, f"{kind}_color", color_rgb[:, :, ::-1])):
        path = root / folder / split / city / f"{name}_{ending}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)
    (root / kind / split / city / f"{name}_{kind}_polygons.json").write_text("{}")


def predict(frame: Frame, seed: int = 0) -> np.ndarray:
    """Returns train ids that are right in most blocks of 8x8 pixels, arbitrary in the others, and never those of trains."""
    random = np.random.default_rng(seed)
    height, width = frame.label_ids.shape
    right, others = (values.repeat(8, 0).repeat(8, 1)[:height, :width] for values in (
        random.random((height // 8 + 1, width // 8 + 1)) < 0.6, random.integers(0, 19, (height // 8 + 1, width // 8 + 1))))
    truth = CITYSCAPES.to_train_ids()[frame.label_ids]
    prediction = np.where(right & (truth != 255), truth, others)
    return np.where(prediction == 16, 2, prediction).astype(np.uint8)
