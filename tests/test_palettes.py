"""The palette for the colour-blind, checked with another model of their vision than the one it was made with."""

import numpy as np
import pytest

from seg.label_sets import CAMVID, CITYSCAPES, LabelSet
from seg.palettes import colorblind, recolored

# Vision without long-wave or medium-wave cones by Brettel, Vienot and Mollon, in their simplified form (Vienot et al., 1999).
TO_CONES = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
WITHOUT = {"protanopia": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
           "deuteranopia": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])}


def least_distance(label_set: LabelSet, sight: str) -> float:
    """Returns the least distance of two classes' colours in CIELAB."""
    linear = (np.array(label_set.colors) / 255) ** 2.2
    if sight in WITHOUT:
        linear = np.clip(linear @ (np.linalg.inv(TO_CONES) @ WITHOUT[sight] @ TO_CONES).T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.0089))
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return float(distances[~np.eye(len(lab), dtype=bool)].min())


@pytest.mark.parametrize("label_set", [CITYSCAPES, CAMVID], ids=lambda label_set: label_set.name)
@pytest.mark.parametrize("sight", WITHOUT)
def test_classes_are_told_apart_without_a_kind_of_cone(label_set: LabelSet, sight: str) -> None:
    changed = recolored(label_set, "colorblind")
    assert least_distance(changed, sight) > 5, "twice what is just noticed"
    assert least_distance(changed, sight) > 1.5 * least_distance(label_set, sight)
    assert least_distance(changed, "whole") > 10
    assert (changed.classes, changed.label_ids) == (label_set.classes, label_set.label_ids)


def test_colours_are_as_many_as_are_wanted() -> None:
    assert recolored(CAMVID, "own") is CAMVID
    most = colorblind(254)
    assert len(set(most)) == 254 and most[:19] == colorblind(19)
    person = CITYSCAPES.classes.index("person")
    assert recolored(CITYSCAPES, "colorblind").colors[person] == (230, 159, 0), "Okabe and Ito's first, for what moves"
