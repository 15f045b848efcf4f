"""Label sets compared with cityscapesScripts' own table."""

import json

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluator
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as cityscapes_labels

from seg import label_sets
from seg.errors import SegError
from seg.label_sets import CAMVID, CITYSCAPES, LabelSet


def test_cityscapes_is_cityscapesscripts_table() -> None:
    by_train_id = {label.trainId: label for label in cityscapes_labels if 0 <= label.trainId < 255}
    expected = [by_train_id[i] for i in range(19)]
    assert list(CITYSCAPES.classes) == [label.name for label in expected]
    assert list(CITYSCAPES.colors) == [label.color for label in expected]
    assert list(CITYSCAPES.categories) == [label.category for label in expected]
    assert [size > 0 for size in CITYSCAPES.instance_sizes] == [label.hasInstances for label in expected]
    assert [size for size in CITYSCAPES.instance_sizes if size] == [
        evaluator.args.avgClassSize[label.name] for label in expected if label.hasInstances]
    table = CITYSCAPES.to_train_ids()
    for label in cityscapes_labels:
        if label.id >= 0:
            assert table[label.id] == (label.trainId if label.trainId >= 0 else 255), label.name
    assert (table[34:] == -1).all()


def test_label_ids_and_train_ids_are_inverse() -> None:
    for label_set in (CITYSCAPES, CAMVID):
        train_ids = np.arange(len(label_set))
        assert (label_set.to_train_ids()[label_set.to_label_ids()[train_ids]] == train_ids).all()
        assert label_set.to_label_ids()[255] == 255


def test_a_label_set_survives_json() -> None:
    for label_set in (CAMVID, CITYSCAPES):
        assert LabelSet.from_dict(json.loads(json.dumps(label_set.to_dict()))) == label_set
    old = {key: value for key, value in CITYSCAPES.to_dict().items() if key not in ("categories", "instance_sizes")}
    assert LabelSet.from_dict(old).categories == (), "files from before there were categories"
    assert not {"categories", "instance_sizes"} & CAMVID.to_dict().keys()
    with pytest.raises(SegError, match="classes"):
        LabelSet.from_dict({"name": "x"})


@pytest.mark.parametrize(("arguments", "words"), [
    ((("a", "b"), ((0, 0, 0),), (0, 1)), "one of each"),
    ((("a", "a"), ((0, 0, 0),) * 2, (0, 1)), "'a' twice"),
    ((("a", "b"), ((0, 0, 0),) * 2, (1, 1)), "1 twice"),
    (((), (), ()), "1 to 254"),
    ((("a", "b"), ((0, 0, 0),) * 2, (0, 1), (), ("x",)), "1 categories for 2 classes"),
    ((("a", "b"), ((0, 0, 0),) * 2, (0, 1), (), (), (1.0,) * 3), "3 instance sizes for 2 classes"),
])
def test_label_sets_that_contradict_themselves_are_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(SegError, match=words):
        LabelSet("mine", *arguments)


def test_unknown_names_list_the_near_ones() -> None:
    with pytest.raises(SegError, match="'cityscapes'"):
        label_sets.get("cityscape")
