"""SegmentationData: a data set's splits as batches for Lightning.

A batch is a dict: `image` uint8 (N, 3, H, W) RGB, `labels` int64 (N, H, W) with 255 ignored, `index` int64 (N,), the
sample's place in its reader. Under several processes a split for evaluation may be filled up with samples of index -1,
whose labels are all ignored.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from rich.progress import track
from torch.utils.data import Dataset

from datasets import READERS
from datasets.base import Reader, UInt8Array
from datasets.sampling import PADDING, EvalBatches, Key, Loader, ResumableLoader, TrainBatches
from datasets.transforms import Augmentation
from seg import machine
from seg.errors import SegError, did_you_mean
from seg.files import read_image_bgr
from seg.label_sets import IGNORE


class SegmentationDataset(Dataset[Any]):
    """Samples of a reader as tensors, by key (epoch, index).

    Args:
        augmentation: what is done to training samples; None leaves them as they are.
        cache: keep all decoded samples in memory; they are read here, so that the workers share them.
    """

    def __init__(self, reader: Reader, seed: int, augmentation: Augmentation | None = None, cache: bool = False) -> None:
        self.reader, self.seed, self.augmentation = reader, seed, augmentation
        self._cached = _read_all(reader) if cache else None

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, key: Key) -> dict[str, Any] | SegError:
        """Returns one sample, or the error that reading it gave: raised in a worker it would lose its form."""
        epoch, index = key
        try:
            image, train_ids = self._cached[index] if self._cached else _read(self.reader, max(index, 0))
        except SegError as error:
            return error
        if self.augmentation:
            image, train_ids = self.augmentation(image, train_ids, (self.seed, epoch, index))
        image_chw = torch.from_numpy(image.transpose(2, 0, 1).copy())  # copy: a cached array is never handed out
        labels = torch.from_numpy(train_ids).long()
        if index == PADDING:
            labels.fill_(IGNORE)
        return {"image": image_chw, "labels": labels, "index": index}


class SegmentationData(pl.LightningDataModule):
    """A data set for training and evaluation.

    Args:
        root: the data set's folder, as it is unpacked.
        dataset: its name; see docs/data.md for the list.
        crop_hw: height and width of training samples [px], or one number up to 1: their share of the first training
            picture, to whole 32 px. Evaluation uses whole frames.
        batch_size: training samples per step and process.
        val_batch_size: frames at once in evaluation, per process; above 1 all frames must have one size.
        workers: processes that prepare samples; 0 prepares them in the main process. The samples are the same.
        scale_range: bounds of the random factor that training samples are resized by.
        flip: mirror half of the training samples.
        color_jitter: change brightness, contrast and saturation by up to this share, 0 to 1.
        seed: decides order and augmentation, together with epoch and sample.
        cache: keep decoded frames in memory; for a data set that fits there.
        verify: read all files before the start and list every fault.
    """

    def __init__(self, root: str, dataset: str = "camvid", crop_hw: tuple[int, int] | float = (352, 480), batch_size: int = 8,
                 val_batch_size: int = 1, workers: int = 2, scale_range: tuple[float, float] = (0.5, 2.0), flip: bool = True,
                 color_jitter: float = 0.3, seed: int = 0, cache: bool = False, verify: bool = False) -> None:
        super().__init__()
        if dataset not in READERS:
            raise SegError(f"There is no data set {dataset!r}. {did_you_mean(dataset, READERS)}")
        for name, value, least in (("batch_size", batch_size, 1), ("val_batch_size", val_batch_size, 1),
                                   ("workers", workers, 0), ("seed", seed, 0)):
            if value < least:
                raise SegError(f"--data.{name} is {value}; it must be at least {least}.")
        if not 0 < scale_range[0] <= scale_range[1]:
            raise SegError(f"--data.scale_range is {list(scale_range)}; it takes two factors above 0, the smaller one first.")
        if not 0 <= color_jitter < 1:
            raise SegError(f"--data.color_jitter is {color_jitter}; it must be at least 0 and below 1.")
        self.root, self.dataset, self.seed, self.cache, self.verify = root, dataset, seed, cache, verify
        self.batch_size, self.val_batch_size, self.workers = batch_size, val_batch_size, workers
        self.label_set = READERS[dataset].label_set_of(root)
        self.classes = len(self.label_set)
        self.size_hw = self._crop(crop_hw)
        self.augmentation = Augmentation(self.size_hw, (scale_range[0], scale_range[1]), flip, color_jitter)
        self._datasets: dict[str, SegmentationDataset] = {}

    def reader(self, split: str) -> Reader:
        """Returns the reader of a split; its `samples[i].name` names what has index i in a batch."""
        return self._dataset(split).reader

    def setup(self, stage: str) -> None:
        """Finds the samples, so that a wrong root fails before the network is set up; reads them all if `verify` says so.

        Raises:
            SegError: something is missing; with `verify`, one line for each fault.
        """
        splits = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage, ())
        if self.verify:
            self._verify(splits)
        for split in splits:
            self._dataset(split)

    def train_dataloader(self) -> ResumableLoader:
        """Returns augmented batches, shuffled anew each epoch; an incomplete last one is left out."""
        dataset, trainer = self._dataset("train"), self.trainer
        rank, world_size = self._share()
        batches = TrainBatches(len(dataset), self.batch_size, self.seed, rank, world_size)
        if trainer is None:
            return ResumableLoader(dataset, batches, self.workers, _collate)
        batches.epoch = trainer.current_epoch
        progress = trainer.fit_loop.epoch_loop.batch_progress

        def processed() -> int:
            return int(progress.current.processed)  # type: ignore[attr-defined]

        return ResumableLoader(dataset, batches, self.workers, _collate, processed)

    def val_dataloader(self) -> Loader:
        """Returns the whole frames of the validation split."""
        return self._eval_loader("val")

    def test_dataloader(self) -> Loader:
        """Returns the whole frames of the test split."""
        return self._eval_loader("test")

    def _eval_loader(self, split: str) -> Loader:
        dataset = self._dataset(split)
        batches = EvalBatches(len(dataset), self.val_batch_size, *self._share())
        return Loader(dataset, batches, self.workers, _collate, persistent=False)

    def _share(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _crop(self, crop_hw: tuple[int, int] | float) -> tuple[int, int]:
        if isinstance(crop_hw, tuple | list):
            if min(crop_hw) < 32:
                raise SegError(f"--data.crop_hw is {list(crop_hw)}; both sides must be at least 32.")
            return crop_hw[0], crop_hw[1]
        if not 0 < crop_hw <= 1:
            raise SegError(f"--data.crop_hw is {crop_hw}; it takes height and width in pixels, or a share above 0 and up to 1.")
        samples = READERS[self.dataset](self.root, "train", strict=False).samples
        if not samples:
            raise SegError(f"No picture of the split 'train' below {self.root} has labels.")
        height, width, _ = read_image_bgr(samples[0].image_path).shape
        return max(32, round(height * crop_hw / 32) * 32), max(32, round(width * crop_hw / 32) * 32)

    def _dataset(self, split: str) -> SegmentationDataset:
        if split not in self._datasets:
            augmentation = self.augmentation if split == "train" else None
            reader = READERS[self.dataset](self.root, split)
            if reader.remark:
                rank_zero_info(reader.remark)
            self._datasets[split] = SegmentationDataset(reader, self.seed, augmentation, self.cache)
        return self._datasets[split]

    def _verify(self, splits: Iterable[str]) -> None:
        faults, count = list[str](), 0
        for split in splits:
            reader = READERS[self.dataset](self.root, split, strict=False)
            count += len(reader)
            faults += reader.verify(partial(track, description=f"Reading {split}", transient=True))
        if faults:
            raise SegError("\n  ".join([f"{len(faults)} faults in {self.root}:", *faults]))
        rank_zero_info(f"All {count} samples of {' and '.join(splits)} in {self.root} are sound.")


def _read(reader: Reader, index: int) -> tuple[UInt8Array, UInt8Array]:
    image_rgb, train_ids = reader.read(index)
    if train_ids is None:
        raise SegError(f"{reader.samples[index].image_path} has no labels; training and evaluation need them.")
    return image_rgb, train_ids


def _read_all(reader: Reader) -> list[tuple[UInt8Array, UInt8Array]]:
    pairs = []
    for index in range(len(reader)):
        pairs.append(_read(reader, index))
        if index == 0:
            needed_gib = len(reader) * sum(array.nbytes for array in pairs[0]) / 2**30
            memory_gib = machine.describe().memory_gib
            if needed_gib > memory_gib / 2:
                raise SegError(f"Keeping {len(reader)} frames would take about {needed_gib:.1f} GiB of this machine's "
                               f"{memory_gib:g} GiB. Set --data.cache false.")
    return pairs


def _collate(items: list[dict[str, Any] | SegError]) -> dict[str, torch.Tensor] | SegError:
    samples = list[dict[str, Any]]()
    for item in items:
        if isinstance(item, SegError):
            return item
        samples.append(item)
    sizes = sorted({tuple(sample["image"].shape[1:]) for sample in samples})
    if len(sizes) > 1:
        (h, w), (other_h, other_w) = sizes[:2]
        return SegError(f"Frames of {w}x{h} and {other_w}x{other_h} can't be in one batch; set --data.val_batch_size 1.")
    return {"image": torch.stack([sample["image"] for sample in samples]),
            "labels": torch.stack([sample["labels"] for sample in samples]),
            "index": torch.tensor([sample["index"] for sample in samples])}
