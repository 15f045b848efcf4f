"""CVAT's XML, "CVAT for images 1.1" (https://docs.cvat.ai/docs/manual/advanced/xml_format/)."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from datasets.folder.annotations.places import find_pictures, relative, split_of
from datasets.folder.annotations.shapes import Drawing, Shape, fault, of_outlines, of_pixels
from seg.errors import SegError


def read(path: Path, pictures: Path | None) -> list[Drawing]:
    """Reads one XML.

    Args:
        path: of the file.
        pictures: where the pictures are; None to look next to the file.

    Raises:
        SegError: it isn't CVAT's, something in it can't be, or pictures are missing.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise SegError(f"{path} can't be read: {error}.") from None
    if root.tag != "annotations":
        raise SegError(f"{path} isn't CVAT's: it begins with <{root.tag}>, not <annotations>.")
    if root.find("track") is not None:
        raise SegError(f"{path} holds tracks through a video. Export the task as \"CVAT for images 1.1\", with its pictures.")
    images = root.findall("image")
    if any(image.get("name") is None for image in images):
        raise fault(path, "an image", "it has no name")
    names = [image.attrib["name"] for image in images]
    folder = path.parent
    subsets = [image.get("subset") or "" for image in images]
    places = [pictures] if pictures else [folder / "images", folder, *(folder / "images" / name for name in sorted(set(subsets)))]
    files = find_pictures(names, path, places)

    def drawing(image: ElementTree.Element, subset: str) -> Drawing:
        name = relative(image.attrib["name"], path)
        try:
            size_hw = int(image.attrib["height"]), int(image.attrib["width"])
        except (KeyError, ValueError) as error:
            raise fault(path, f"the size of {name}", error) from None
        labels = tuple(sorted({element.attrib["label"] for element in image if "label" in element.attrib}))
        return Drawing(str(name.with_suffix("")), files[image.attrib["name"]], name.suffix, size_hw, labels,
                       split_of(subset, *name.parts[:-1]), lambda skipped: _draw(image, size_hw, skipped, path), path)

    return [drawing(image, subset) for image, subset in zip(images, subsets, strict=True)]


def _draw(image: ElementTree.Element, size_hw: tuple[int, int], skipped: Counter[str], path: Path) -> list[Shape]:
    """Shapes by their z-order, those of one order as they are in the file."""
    found = list[tuple[int, Shape]]()
    for element in image:
        try:
            shape, order = _shape(element, size_hw), int(element.get("z_order", 0))
        except (KeyError, ValueError) as error:
            raise fault(path, f"a {element.tag} on {image.get('name')}", error) from None
        if shape is not None:
            found.append((order, shape))
        elif element.tag != "tag":
            skipped[f"shapes of the kind {element.tag} without an area"] += 1
    return [shape for _, shape in sorted(found, key=lambda pair: pair[0])]


def _shape(element: ElementTree.Element, size_hw: tuple[int, int]) -> Shape | None:
    if element.tag not in ("polygon", "box", "ellipse", "mask"):
        return None
    label = element.attrib["label"]

    def number(key: str, default: str | None = None) -> float:
        return float(element.attrib[key] if default is None else element.get(key, default))

    if element.tag == "polygon":
        points = [[float(part) for part in pair.split(",")] for pair in element.attrib["points"].split(";")]
        return of_outlines(label, [np.ravel(points).tolist()], size_hw)
    if element.tag == "mask":
        runs = np.array([int(part) for part in element.attrib["rle"].split(",")])
        top, left, height, width = (int(number(key)) for key in ("top", "left", "height", "width"))
        if (runs < 0).any() or runs.sum() != height * width or min(top, left) < 0 or top + height > size_hw[0] or (
                left + width > size_hw[1]):
            raise ValueError("its runs don't fill its box, or the box lies outside the picture")
        pixels = np.zeros(size_hw, bool)  # runs of what is not in it and of what is, in turn, row by row
        pixels[top:top + height, left:left + width] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        return of_pixels(label, pixels)
    if element.tag == "box":
        low, high = np.array([number("xtl"), number("ytl")]), np.array([number("xbr"), number("ybr")])
        center, half = (low + high) / 2, (high - low) / 2
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    else:
        center, half = np.array([number("cx"), number("cy")]), np.array([number("rx"), number("ry")])
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)  # within 1/6000 of its radius
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * half
    turn = np.deg2rad(number("rotation", "0"))
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + center
    return of_outlines(label, [turned.ravel().tolist()], size_hw)
