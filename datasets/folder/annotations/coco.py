"""COCO's JSON (https://cocodataset.org/#format-data): outlines and run lengths; CVAT and Roboflow write it, too."""

from collections import Counter
from pathlib import Path
from typing import Any

from datasets.folder.annotations.places import find_pictures, relative, split_of
from datasets.folder.annotations.shapes import Drawing, Shape, fault, of_outlines, of_runs

KEYS = {"images", "annotations", "categories"}


def is_coco(content: Any) -> bool:
    """Whether a JSON's content has COCO's three lists."""
    return isinstance(content, dict) and content.keys() >= KEYS


def read(path: Path, content: dict[str, Any], pictures: Path | None) -> list[Drawing]:
    """Reads one JSON.

    Args:
        path: of the file.
        content: what it holds; `is_coco` is true of it.
        pictures: where the pictures are; None to look next to the file.

    Raises:
        SegError: something in it can't be, or pictures are missing.
    """
    split = split_of(path.stem, path.parent.name)
    try:
        names = {int(category["id"]): str(category["name"]) for category in content["categories"]}
        images = {image["id"]: (str(image["file_name"]), (int(image["height"]), int(image["width"])))
                  for image in content["images"]}
        by_image: dict[Any, list[dict[str, Any]]] = {key: [] for key in images}
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
    except (KeyError, TypeError, ValueError) as error:
        raise fault(path, "its lists", f"{type(error).__name__} {error}") from None
    used = {annotation.get("category_id") for annotations in by_image.values() for annotation in annotations}
    labels = tuple(dict.fromkeys(names[number] for number in sorted(names) if number in used))
    files = find_pictures([name for name, _ in images.values()], path, [pictures] if pictures else _places(path, split))

    def drawing(key: Any) -> Drawing:
        name, size_hw = images[key]
        return Drawing(str(relative(name, path).with_suffix("")), files[name], files[name].suffix, size_hw, labels,
                       split, lambda skipped: _draw(by_image[key], names, size_hw, skipped, path), path)

    return [drawing(key) for key in images]


def _places(path: Path, split: str | None) -> list[Path]:
    """The layouts of COCO itself, of CVAT and of Roboflow."""
    folder, above = path.parent, path.parent.parent
    places = [folder, folder / "images", above / "images"]
    for name in filter(None, (split, path.stem.split("_")[-1])):
        places += [above / "images" / name, above / name, folder / name, folder / "images" / name]
    return places


def _draw(annotations: list[dict[str, Any]], names: dict[int, str], size_hw: tuple[int, int], skipped: Counter[str],
          path: Path) -> list[Shape]:
    """The smaller shape lies on top: COCO has no order, and what is small stands before what is large."""
    shapes = list[Shape]()
    for annotation in annotations:
        try:
            label, what = names[annotation["category_id"]], annotation.get("segmentation")
            shape = (of_runs(label, what, size_hw) if isinstance(what, dict) else
                     of_outlines(label, what, size_hw) if what else None)
        except (KeyError, TypeError, ValueError) as error:
            raise fault(path, f"the annotation {annotation.get('id')!r}", error) from None
        if shape is None:
            skipped["boxes and other annotations without an area"] += 1
        else:
            shapes.append(shape)
    return sorted(shapes, key=lambda shape: shape.area, reverse=True)
