"""Several data sets at once: classes mapped to the network's, shares of every batch, refusals."""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from training_runs import make_camvid

from datasets.mixture import ClassSets, OtherData, mixed_order
from datasets.module import SegmentationData
from datasets.sampling import Key
from seg.errors import SegError
from seg.label_sets import CAMVID, CITYSCAPES, LabelSet, known

GROUPS = LabelSet("groups", ("ground", "things", "sky", "rest"), ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)), (0, 1, 2, 3))
MAP: dict[str, Any] = {"ground": ["road", "pavement"], "things": ["car", "pedestrian", "bicyclist"], "rest": None}


def make_folder(root: Path, count: int = 5) -> Path:
    """Writes a folder whose masks hold 0 to 3 in stripes, and 255."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            mask = np.array([0, 1, 2, 3, 255], np.uint8).repeat(10)[:, None].repeat(70, 1)
            cv2.imwrite(str(root / "masks" / split / f"{index}.png"), mask)
            cv2.imwrite(str(root / "images" / split / f"{index}.png"), np.full((50, 70, 3), index, np.uint8))
    classes = "".join(f"  - {{name: {name}, value: {i}}}\n" for i, name in enumerate(GROUPS.classes))
    (root / "classes.yaml").write_text(f"classes:\n{classes}ignore: [255]\n")
    return root


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return (make_camvid(tmp_path_factory.mktemp("camvid"), train=6), make_folder(tmp_path_factory.mktemp("groups") / "own"))


def make(roots: tuple[Path, Path], share: float = 0.6, **options: Any) -> SegmentationData:
    other = OtherData(str(roots[1]), share=0.4, classes=MAP, scale_range=(1.0, 1.0))
    settings: dict[str, Any] = {"crop_hw": (32, 48), "batch_size": 5, "workers": 0, "share": share, "others": [other], **options}
    return SegmentationData(str(roots[0]), **settings)


def test_coarser_classes_become_sets() -> None:
    sets = ClassSets(CAMVID)
    table = sets.table(GROUPS, MAP, "here")
    assert table[:4].tolist() == [11, 12, CAMVID.classes.index("sky"), 255] and (table[4:] == 255).all()
    assert [[CAMVID.classes[i] for i in members] for members in sets.members] == [
        ["road", "pavement"], ["car", "pedestrian", "bicyclist"]]
    again = sets.table(GROUPS, {**MAP, "things": ["pavement", "road"], "ground": "tree"}, "there")
    assert again[:2].tolist() == [CAMVID.classes.index("tree"), 11], "the same set keeps its number"
    merged = sets.table(GROUPS, {"ground": "road", "things": "road", "rest": "road"}, "there")
    assert merged[:4].tolist() == [3, 3, 0, 3], "several classes may become one"


@pytest.mark.parametrize(("classes", "message"), [
    ({}, "class 'ground', which the network doesn't have"),
    ({**MAP, "grund": "road"}, "has no class 'grund'.*'ground'"),
    ({**MAP, "ground": "raod"}, "mapped to 'raod', which the network doesn't have.*'road'"),
    ({**MAP, "things": ["car", "road"]}, "both 'ground' and 'things' are mapped to 'road'; sets of classes can't overlap"),
    ({**MAP, "things": "road"}, "can't overlap"),
])
def test_maps_that_can_not_be(classes: dict[str, Any], message: str) -> None:
    with pytest.raises(SegError, match=message):
        ClassSets(CAMVID).table(GROUPS, classes, "the folder")


def test_a_known_label_set_stays_itself_in_another_form() -> None:
    other = LabelSet("mine", CITYSCAPES.classes, CITYSCAPES.colors, tuple(range(19)))
    assert known(other) is CITYSCAPES and known(GROUPS) is GROUPS


def test_every_stretch_of_the_order_has_its_shares() -> None:
    counts, shares = [40, 7, 300], [2.0, 1.0, 1.0]
    order = mixed_order(counts, shares, seed=1, epoch=0)
    assert len(order) == 80 and set(range(40)) <= set(order.tolist()), "one pass over the first"
    for begin in range(0, 80, 8):
        which = Counter("abc"[int(np.searchsorted([40, 47], i, side="right"))] for i in order[begin : begin + 8])
        assert which["a"] == 4 and abs(which["b"] - 2) <= 1 and abs(which["c"] - 2) <= 1
    seconds = [i for i in order.tolist() if 40 <= i < 47]
    assert sorted(seconds[:7]) == list(range(40, 47)), "each once before one comes again"
    assert np.array_equal(order, mixed_order(counts, shares, 1, 0))
    assert not np.array_equal(order, mixed_order(counts, shares, 1, 1))
    assert not np.array_equal(order, mixed_order(counts, shares, 2, 0))


def test_batches_hold_both_in_the_networks_labels(roots: tuple[Path, Path]) -> None:
    data = make(roots)
    assert [tuple(CAMVID.classes[i] for i in members) for members in data.class_sets] == [
        ("road", "pavement"), ("car", "pedestrian", "bicyclist")]
    data.setup("fit")
    loader = data.train_dataloader()
    assert len(loader) == 2, "6 / 0.6 samples in batches of 5"
    for batch in loader:
        theirs = batch["index"] >= 6
        assert theirs.sum() == 2
        labels = batch["labels"][theirs]
        assert set(labels.unique().tolist()) <= {0, 11, 12, 255} and (labels == 11).any()
        assert batch["labels"][~theirs][batch["labels"][~theirs] != 255].max() < 11
    assert [batch["labels"].max() <= 255 for batch in data.val_dataloader()] == [True] * 3, "validation is the first set's"


def test_the_order_is_the_same_whatever_the_workers_and_goes_on(roots: tuple[Path, Path]) -> None:
    def seen(loader: Any) -> list[Any]:
        return [(b["index"].tolist(), int(b["image"].sum()), int(b["labels"].sum())) for b in loader]

    expected = seen(make(roots).train_dataloader())
    assert seen(make(roots, cache=True).train_dataloader()) == expected
    loader = make(roots).train_dataloader()
    next(iter(loader))
    again = make(roots).train_dataloader()
    again.load_state_dict(loader.state_dict())
    assert seen(again) == expected[1:]


def test_copied_classes_come_from_either_and_are_the_same_each_time(roots: tuple[Path, Path]) -> None:
    plain, pasted = (make(roots, copy_paste=share)._dataset("train") for share in (0.0, 1.0))
    changed = [index for index in range(11) if not torch.equal(plain[Key(0, index)]["labels"], pasted[Key(0, index)]["labels"])]
    assert len(changed) > 2
    again = make(roots, copy_paste=1.0)._dataset("train")
    assert all(torch.equal(pasted[Key(3, index)]["image"], again[Key(3, index)]["image"]) for index in range(11))
    assert make(roots, copy_paste=1.0)._dataset("val").copy_paste == 0


def test_colours_come_from_either_and_are_the_same_each_time(roots: tuple[Path, Path]) -> None:
    plain, lent, again = (make(roots, borrowed_colors=share)._dataset("train") for share in (0.0, 1.0, 1.0))
    for index in range(11):
        assert torch.equal(plain[Key(0, index)]["labels"], lent[Key(0, index)]["labels"])
        assert torch.equal(lent[Key(0, index)]["image"], again[Key(0, index)]["image"])
    assert sum(not torch.equal(plain[Key(0, index)]["image"], lent[Key(0, index)]["image"]) for index in range(11)) > 2
    assert make(roots, borrowed_colors=1.0)._dataset("val").borrowed_colors == 0


def test_all_of_a_batch_grow_alike_each_with_its_own_scale(roots: tuple[Path, Path]) -> None:
    ways: dict[str, Any] = {"plain": {}, "cached": {"cache": True}, "pasted": {"copy_paste": 1.0, "borrowed_colors": 1.0}}
    for name, options in ways.items():
        data = make(roots, crop_hw=(64, 96), batch_size=2, grow_from=0.5, balanced_crops=0.5, **options)
        data.trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
        batches = list(data.train_dataloader())
        assert [tuple(batch["image"].shape[2:]) for batch in batches] == [(32, 64)] * 3 + [(64, 64), (64, 96)]
        for batch, size in zip(batches, (3 / 6, 3 / 6, 4 / 6, 5 / 6, 1), strict=True):
            theirs = batch["labels"][batch["index"] >= 6]
            if name != "pasted" and len(theirs):  # they have the factor 1 at full size, and a stripe of 10 rows of 70 pixels
                assert (theirs == 11).sum((1, 2)).tolist() == pytest.approx([10 * 70 * size**2] * len(theirs), rel=0.2)


def test_another_split_of_the_same_data_set_joins_with_its_labels_and_augmentation(roots: tuple[Path, Path]) -> None:
    train, val = (len(SegmentationData(str(roots[0])).reader(split)) for split in ("train", "val"))
    both = SegmentationData(str(roots[0]), crop_hw=(32, 48), batch_size=train + val, workers=0, share=train,
                            others=[OtherData(str(roots[0]), "camvid", share=val, split="val")])
    batch, = both.train_dataloader()
    assert sorted(batch["index"].tolist()) == list(range(train + val)) and batch["image"].shape[2:] == (32, 48)
    assert batch["labels"][batch["index"] >= train].unique().numel() > 1
    with pytest.raises(SegError, match="no split 'vall'"):
        SegmentationData(str(roots[0]), others=[OtherData(str(roots[0]), "camvid", split="vall")]).setup("fit")


def test_verify_looks_at_all(roots: tuple[Path, Path], tmp_path: Path) -> None:
    make(roots, verify=True).setup("fit")
    broken = make_folder(tmp_path / "broken")
    (broken / "masks" / "train" / "0.png").write_text("text")
    with pytest.raises(SegError, match=r"1 faults.*\n.*0\.png"):
        make((roots[0], broken), verify=True).setup("fit")


@pytest.mark.parametrize(("change", "message"), [
    ({"dataset": "foldr"}, "'folder'"), ({"share": -1.0}, "can't be negative"), ({"root": "nowhere"}, "no folder nowhere"),
    ({"scale_range": (2.0, 1.0)}, "the smaller one first"),
])
def test_others_that_can_not_be(roots: tuple[Path, Path], change: dict[str, Any], message: str) -> None:
    other = OtherData(**{"root": str(roots[1]), "classes": MAP, **change})
    with pytest.raises(SegError, match=message):
        SegmentationData(str(roots[0]), others=[other])


def test_shares_that_sum_to_nothing(roots: tuple[Path, Path]) -> None:
    with pytest.raises(SegError, match=r"shares are 0, 0.4; .*above 0"):
        make(roots, share=0.0)


def test_an_epoch_without_end_is_refused() -> None:
    with pytest.raises(SegError, match=r"its share of 1e-07, makes an epoch of 4.0e\+07 samples. Give it a larger share"):
        mixed_order((4, 4), (1e-7, 1), seed=1, epoch=0)


def test_an_empty_one_is_named(roots: tuple[Path, Path], tmp_path: Path) -> None:
    empty = make_folder(tmp_path / "empty", count=0)
    with pytest.raises(SegError, match=r"empty: no picture is in .*empty"):
        make((roots[0], empty)).setup("fit")


def test_padding_is_what_the_network_is_normalised_with(roots: tuple[Path, Path]) -> None:
    class Trainer:
        class lightning_module:
            class network:
                mean = (0.25, 0.5, 0.75)

        global_rank, world_size = 0, 1

    data = make(roots, scale_range=(0.25, 0.25), color_jitter=0)
    data.trainer = Trainer  # type: ignore[assignment]
    sample = data._dataset("train")[Key(0, 0)]
    outside = sample["labels"] == 255
    padding = sample["image"].permute(1, 2, 0)[outside].mode(0).values
    assert torch.equal(padding, torch.tensor([64, 128, 191], dtype=torch.uint8))


def test_memory_is_counted_over_all_data_sets(roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 6 * 48 * 64 * 4 + 5 * 50 * 70 * 4  # bytes of both train splits: three channels and the labels
    for spare, fits in ((1.01, True), (0.99, False)):
        monkeypatch.setattr("datasets.module.machine.available_memory_bytes", lambda spare=spare: 2 * spare * frames)
        data = make(roots, cache=True)
        if fits:
            kept, read = data._dataset("train"), make(roots)._dataset("train")
            assert torch.equal(kept[Key(0, 3)]["image"], read[Key(0, 3)]["image"])
        else:
            with pytest.raises(SegError, match=r"Keeping 11 frames takes .* more than half of"):
                data._dataset("train")


def test_what_is_copied_comes_by_share(roots: tuple[Path, Path]) -> None:
    dataset = make(roots, share=0.9, copy_paste=1.0)._dataset("train")
    random = np.random.default_rng(0)
    donors = np.array([dataset._donor(random) for _ in range(2000)])
    assert np.mean(donors < 6) == pytest.approx(0.9 / 1.3, abs=0.04)
    assert set(donors) == set(range(11))
