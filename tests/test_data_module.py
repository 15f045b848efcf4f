"""Batches: their form; the same with any number of workers; exactly resumed; shared by processes without duplicates."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from datasets.mixture import OtherData
from datasets.module import SegmentationData
from datasets.sampling import EvalBatches, Growth, Key, Loader, TrainBatches
from seg.errors import SegError

COUNT, BATCH, STEPS = 9, 2, 4

Seen = tuple[list[int], int, int]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camvid")
    random = np.random.default_rng(0)
    for split, count in (("train", COUNT), ("val", 3)):
        for folder, shape, top in ((split, (40, 48, 3), 256), (f"{split}annot", (40, 48), 12)):
            (root / folder).mkdir()
            for i in range(count):
                assert cv2.imwrite(str(root / folder / f"f{i}.png"), random.integers(0, top, shape, np.uint8))
    return root


def make(root: Path, **options: Any) -> SegmentationData:
    defaults: dict[str, Any] = {"crop_hw": (32, 40), "batch_size": BATCH, "workers": 0, "seed": 3}
    return SegmentationData(str(root), **defaults | options)


def seen(loader: Loader) -> list[Seen]:
    """Returns what distinguishes batches: indices, and sums of pixels and labels."""
    return [(b["index"].tolist(), int(b["image"].sum()), int(b["labels"].sum())) for b in loader]


def seen_in(data: SegmentationData, epoch: int) -> list[Seen]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return seen(loader)


def test_a_few_frames_are_learnt_and_validated_on(root: Path) -> None:
    unchanged: dict[str, Any] = {"scale_range": (1.0, 1.0), "crop_hw": (40, 48), "flip": False, "color_jitter": 0}
    data = make(root, overfit=4, others=[OtherData(str(root))], **unchanged)
    data.setup("fit")
    learnt = {index: image for batch in data.train_dataloader()
              for index, image in zip(batch["index"].tolist(), batch["image"], strict=True)}
    assert [sample.name for sample in data.reader("val").samples] == ["train/f1", "train/f3", "train/f5", "train/f7"]
    validated = [batch["image"][0, :, :40] for batch in data.val_dataloader()]  # without what extends them to multiples of 16
    assert [torch.equal(learnt[index], image) for index, image in enumerate(validated)] == 4 * [True]


def write_pair(root: Path, split: str, name: str = "a.png", size_hw: tuple[int, int] = (32, 32), value: int = 0) -> None:
    for folder in (split, f"{split}annot"):
        (root / folder).mkdir(exist_ok=True)
        assert cv2.imwrite(str(root / folder / name), np.full(size_hw, value, np.uint8))


def test_attributes_need_no_disk() -> None:
    data = SegmentationData("nowhere")
    assert (data.classes, data.size_hw, data.label_set.name) == (11, (352, 480), "camvid")


def test_batches(root: Path) -> None:
    data = make(root)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (BATCH, 3, 32, 40) and batch["image"].dtype == torch.uint8
    assert batch["labels"].shape == (BATCH, 32, 40) and batch["labels"].dtype == torch.uint8
    assert data.on_after_batch_transfer(batch, 0)["labels"].dtype == torch.int64
    assert batch["index"].dtype == torch.int64
    whole = list(data.val_dataloader())
    assert [b["index"].tolist() for b in whole] == [[0], [1], [2]]
    image_rgb, train_ids = data.reader("val").read(1)
    assert train_ids.shape == (40, 48)
    assert torch.equal(whole[1]["image"][0, :, :40], torch.from_numpy(image_rgb).permute(2, 0, 1))
    assert torch.equal(whole[1]["labels"][0, :40], torch.from_numpy(train_ids))
    for name, value in (("image", 128), ("labels", 255)):  # as inference extends frames to multiples of 16
        assert whole[1][name].shape[-2:] == (48, 48) and (whole[1][name][..., 40:, :] == value).all()


def test_a_batch_larger_than_the_split_is_lowered_and_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr("datasets.module.rank_zero_info", said.append)
    data = make(root, batch_size=20)
    data.setup("fit")
    assert data.batch_size == COUNT, "before the task asks what a step takes of the memory"
    for _ in range(2):
        assert [b["image"].shape[0] for b in data.train_dataloader()] == [COUNT]
    assert len(said) == 1 and f"from 20 to {COUNT}" in said[0]


def test_the_same_whatever_the_workers(root: Path) -> None:
    first, second = seen_in(make(root), 0), seen_in(make(root), 1)
    assert first != second and len(first) == len(second) == STEPS
    dataset = make(root).train_dataloader().dataset
    assert not torch.equal(dataset[Key(0, 4)]["image"], dataset[Key(1, 4)]["image"])  # a sample looks new in each epoch
    loader = make(root, workers=2).train_dataloader()  # its workers live through both epochs
    for epoch, expected in ((0, first), (1, second)):
        loader.sampler.set_epoch(epoch)
        assert seen(loader) == expected
    cached = make(root, cache=True)
    assert seen_in(cached, 1) == second and seen_in(cached, 1) == second
    assert seen_in(make(root, seed=4), 0) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_in_mid_epoch(root: Path, workers: int) -> None:
    expected = seen_in(make(root), 2)
    loader = make(root, workers=workers).train_dataloader()
    loader.sampler.set_epoch(2)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()  # workers have fetched more by now
    again = make(root, workers=workers).train_dataloader()
    again.load_state_dict(state)
    again.sampler.set_epoch(2)
    assert len(again) == STEPS  # Lightning counts from the epoch's start
    assert seen(again) == expected[1:]
    after = make(root).train_dataloader()
    after.load_state_dict(again.state_dict())  # of a complete epoch
    assert seen(after) == seen_in(make(root), 3)


def test_other_order_is_refused_in_mid_epoch(root: Path) -> None:
    loader = make(root).train_dataloader()
    next(iter(loader))
    for options, name in (({"seed": 5}, "seed = 3"), ({"batch_size": 1}, "samples_per_step = 2")):
        with pytest.raises(SegError, match=name):
            make(root, **options).train_dataloader().load_state_dict(loader.state_dict())


class Recorder(pl.LightningModule):
    """Records what each step gets; saves a checkpoint, or is interrupted, at a given place."""

    def __init__(self, file: Path | None = None, save_at: tuple[int, int] | None = None,
                 interrupt_at: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.steps: list[tuple[int, int, list[int], tuple[int, ...], int]] = []
        self.file, self.save_at, self.interrupt_at = file, save_at, interrupt_at

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if (self.current_epoch, batch_idx) == self.interrupt_at:
            self.trainer.save_checkpoint(self.file)  # as a callback does that saves on an exception
            raise SegError("interrupted")
        image = batch["image"]
        self.steps.append((self.current_epoch, batch_idx, batch["index"].tolist(), image.shape[2:], int(image.sum())))
        return self.weight.sum()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (self.current_epoch, batch_idx) == self.save_at:
            self.trainer.save_checkpoint(self.file)

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(root: Path, recorder: Recorder, workers: int, grow_from: float, ckpt_path: Path | None = None) -> list[Any]:
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(recorder, make(root, workers=workers, crop_hw=(64, 128), grow_from=grow_from), ckpt_path=ckpt_path)
    return recorder.steps


@pytest.mark.parametrize(("workers", "grow_from"), [(0, 1.0), (2, 0.5)])
def test_lightning_goes_on_exactly_where_it_stopped(root: Path, tmp_path: Path, workers: int, grow_from: float) -> None:
    whole = fit(root, Recorder(), 0, grow_from)
    assert [step[:2] for step in whole] == [(epoch, step) for epoch in range(3) for step in range(STEPS)]
    sizes = [(32, 64), (32, 96), (64, 96), (64, 128)] if grow_from < 1 else [(64, 128)] * 4
    assert [step[3] for step in whole] == [size for size in sizes for _ in range(3)]
    file = tmp_path / "last.ckpt"
    for place, done in (((1, 1), STEPS + 2), ((1, STEPS - 1), 2 * STEPS)):
        fit(root, Recorder(file, save_at=place), workers, grow_from)
        assert fit(root, Recorder(), workers, grow_from, file) == whole[done:]
    with pytest.raises(SegError, match="interrupted"):
        fit(root, Recorder(file, interrupt_at=(1, 2)), workers, grow_from)
    assert fit(root, Recorder(), workers, grow_from, file) == whole[STEPS + 2 :]  # the step that was not finished comes again


@pytest.mark.parametrize(("options", "expected"), [
    ({"max_epochs": 2}, [[0, 0, 1, 1], [2, 2, 3, 3]]),
    ({"max_epochs": 1}, [[0, 1, 2, 3]]),
    ({"max_steps": 6}, [[0, 0, 1, 2], [2, 3]]),
    ({"max_steps": 6, "max_epochs": 1}, [[0, 1, 2, 3]]),
    ({"max_steps": 4, "accumulate_grad_batches": 2}, [[0, 0, 1, 1], [2, 2, 3, 3]]),
    ({"max_steps": 4, "limit_train_batches": 2}, [[0, 1], [2, 3]]),
    ({"max_epochs": 2, "limit_train_batches": 0.5}, [[0, 1], [2, 3]]),
])
def test_each_quarter_of_a_training_has_its_size(root: Path, options: dict[str, Any], expected: list[list[int]]) -> None:
    data = make(root, crop_hw=(64, 64), grow_from=0.5)
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
                              enable_model_summary=False, **options)
    batches = data.train_dataloader().sampler
    for epoch, quarters in enumerate(expected):
        batches.set_epoch(epoch)
        sizes = [[key.size for key in batch] for batch in batches][:len(quarters)]
        assert np.allclose(sizes, [[0.5 + quarter / 6] * BATCH for quarter in quarters])


def test_growing_is_said_and_needs_an_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr("datasets.module.rank_zero_info", said.append)
    data = make(root, crop_hw=(64, 128), grow_from=0.5)
    quiet: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    data.trainer = pl.Trainer(max_steps=10, **quiet)
    data.setup("fit")
    assert said[-1] == ("Training samples grow: 32x64 at scale 0.5 from epoch 0, 32x96 at scale 0.67 from epoch 0.6, "
                        "64x96 at scale 0.83 from epoch 1.2, 64x128 at scale 1 from epoch 1.9.")
    data.trainer = pl.Trainer(max_epochs=-1, **quiet)
    with pytest.raises(SegError, match=r"grow_from needs a training with an end.*max_epochs"):
        data.setup("fit")


@pytest.mark.parametrize(("count", "world_size", "batch_size"), [(9, 2, 2), (101, 4, 3), (3, 4, 1), (8, 2, 2)])
def test_processes_share_evaluation(count: int, world_size: int, batch_size: int) -> None:
    shares = [list(EvalBatches(count, batch_size, rank, world_size)) for rank in range(world_size)]
    assert len({tuple(map(len, share)) for share in shares}) == 1  # none waits for another
    indices = [index for share in shares for batch in share for _, index, _ in batch]
    assert sorted(i for i in indices if i >= 0) == list(range(count))


def test_processes_share_training() -> None:
    growth = Growth(0.5, 2, 5)
    whole = list(TrainBatches(21, 4, 1, growth=growth))
    shares = [list(TrainBatches(21, 2, 1, rank, 2, growth=growth)) for rank in range(2)]
    assert [one + other for one, other in zip(*shares, strict=True)] == whole  # a step is the same however it is divided
    with pytest.raises(SegError, match=r"has 3 samples, but a training step takes 8 \(4 on each of 2 processes\)"):
        TrainBatches(3, 4, 0, 0, 2)


@pytest.mark.parametrize("cache", [False, True])
def test_filling_samples_have_no_labels(root: Path, cache: bool) -> None:
    dataset = make(root, cache=cache).val_dataloader().dataset
    sample = dataset[Key(0, -1)]
    assert sample["index"] == -1 and (sample["labels"] == 255).all()
    assert all((dataset[Key(0, i)]["labels"] != 255).any() for i in range(3))  # and the others keep theirs


@pytest.mark.parametrize("workers", [0, 2])
def test_faults_in_workers_arrive_as_themselves(tmp_path: Path, workers: int) -> None:
    write_pair(tmp_path, "val")
    (tmp_path / "val" / "a.png").write_text("text")
    with pytest.raises(SegError, match=r"^[^\n]*val/a\.png is not a picture[^\n]*$"):
        list(make(tmp_path, workers=workers).val_dataloader())


def test_unequal_frames_need_batches_of_one(tmp_path: Path) -> None:
    write_pair(tmp_path, "val", "a.png", (32, 32))
    write_pair(tmp_path, "val", "b.png", (32, 33))
    assert len(list(make(tmp_path).val_dataloader())) == 2
    with pytest.raises(SegError, match=r"32x32 and 48x32 .*val_batch_size 1"):
        list(make(tmp_path, val_batch_size=2).val_dataloader())


def test_verify_reports_all_then_stops(root: Path, tmp_path: Path) -> None:
    make(root, verify=True).setup("fit")
    write_pair(tmp_path, "train", value=99)
    write_pair(tmp_path, "val")
    (tmp_path / "valannot" / "a.png").unlink()
    with pytest.raises(SegError, match=r"2 faults in .*\n.*trainannot/a\.png holds 99.*\n.*val/a\.png .*has no labels"):
        make(tmp_path, verify=True).setup("fit")


def test_pictures_that_do_not_fill_the_crop_are_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr("datasets.module.rank_zero_info", said.append)
    make(root, crop_hw=(64, 64)).setup("fit")
    assert not said
    make(root, crop_hw=(128, 96)).setup("fit")
    assert "don't fill the crop of 128x96, even scaled by 2: 38% of each sample and more is padding" in said[0]


def test_the_largest_frame_is_known_by_its_head(tmp_path: Path) -> None:
    for name, size_hw in (("a.png", (40, 40)), ("b.png", (48, 64)), ("c.png", (40, 70))):
        write_pair(tmp_path, "val", name, size_hw)
    assert make(tmp_path).largest_hw("val") == (48, 64)
    assert make(tmp_path, val_long_side=128).largest_hw("val") == (96, 128)


@pytest.mark.parametrize(("options", "message"), [
    ({"dataset": "camvld"}, "Did you mean 'camvid'"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"workers": -1}, "workers is -1"),
    ({"crop_hw": (16, 64)}, "at least 32"),
    ({"scale_range": (2.0, 0.5)}, "the smaller one first"),
    ({"color_jitter": 1.5}, "below 1"),
    ({"grow_from": 0.09}, "with crops of 352x480 it must lie between 0.1 and 1, so that no side is below 32 px"),
    ({"grow_from": 1.5}, "between 0.1 and 1"),
])
def test_options_that_can_not_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SegError, match=message):
        SegmentationData("nowhere", **options)


def test_readers_import_nothing_of_training() -> None:
    code = "import sys, datasets\nprint([m for m in ('torch', 'pytorch_lightning', 'albumentations') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
