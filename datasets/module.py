"""SegmentationData: a data set's splits as batches for Lightning.

A batch is a dict: `image` uint8 (N, 3, H, W) RGB, `labels` (N, H, W) with 255 ignored and, in training, sets of classes from the
number of classes up (see `datasets.mixture`), `index` int64 (N,), the sample's place in its data sets. Loaders give uint8 labels,
an eighth of the bytes; those of training become int64 on the device. Under several processes a split for
evaluation may be filled up with samples of index -1, whose labels are all ignored.
"""

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from rich.progress import track
from torch.utils.data import Dataset, get_worker_info

from datasets import KINDS, READERS, UNLABELLED
from datasets.base import Reader, UInt8Array, check_not_tiny
from datasets.cache import Store
from datasets.mixture import ClassSets, OtherData, check_shares, mixed_order
from datasets.sampling import PADDING, EvalBatches, Growth, Key, Loader, ResumableLoader, TrainBatches
from datasets.sizes import share_hw, size_of, smaller_hw
from datasets.transforms import MEAN_RGB, Augmentation, Fitted, borrow_colors, paste_class
from seg import machine
from seg.architecture import MIN_SIZE
from seg.errors import SegError, did_you_mean
from seg.files import spread
from seg.label_sets import IGNORE, known

MEMORY = "memory"
_LOOKED_AT = 64  # number of pictures that are checked for whether they fill the crop


class _Place(NamedTuple):
    """A data set to read from: its kind, root and split, the table of its labels, and its own scale range and cache."""

    kind: str
    root: str
    split: str
    table: UInt8Array | None
    scale_range: tuple[float, float]
    cache: bool | str

    def reader(self, strict: bool = True) -> Reader:
        """Returns the reader that finds and reads its files."""
        return KINDS[self.kind](self.root, self.split, strict=strict)

    @property
    def in_memory(self) -> bool:
        """Whether decoded frames stay in memory."""
        return self.cache in (True, MEMORY)

    def store(self, reader: Reader) -> Store | None:
        """Returns the store with the decoded split on disk, if the settings ask for it."""
        on_disk = isinstance(self.cache, str) and not self.in_memory
        return Store.of(Path(str(self.cache)), reader, self.kind) if on_disk else None


class Part:
    """The samples of one data set, in the network's labels.

    Args:
        reader: of the files.
        augmentation: what is done to samples; it maps the reader's train ids to the network's labels, where they differ.
        store: has them decoded on disk; None reads the files.
    """

    def __init__(self, reader: Reader, augmentation: Augmentation | Fitted, store: Store | None = None) -> None:
        self.reader, self.augmentation, self.store = reader, augmentation, store
        self._kept: list[tuple[UInt8Array, UInt8Array | None]] = []

    def __len__(self) -> int:
        return len(self.reader)

    def decoded_bytes(self) -> int:
        """Returns the memory that all decoded samples take [bytes], by the headers of their files."""
        sizes = [size_of(sample.image_path) for sample in self.reader.samples]
        return sum(4 * height * width for height, width in sizes)  # three colours and a label

    def keep(self) -> None:
        """Reads all samples into memory. Call it before workers start, so that they share the memory."""
        self._kept = [self._read(index) for index in range(len(self))]

    def sample(self, index: int, key: tuple[int, ...], size: float = 1.0) -> tuple[UInt8Array, UInt8Array]:
        """Returns frame and labels, augmented by `key` at a share of full size; all labels ignored where the data set has none.

        Raises:
            SegError: as the reader's `read`, or the sample has no labels.
        """
        image, train_ids = self._kept[index] if self._kept else self._read(index)
        if train_ids is None:
            if not isinstance(self.reader, KINDS[UNLABELLED]):
                raise SegError(f"{self.reader.samples[index].image_path} has no labels; training and evaluation need them.")
            train_ids = np.full(image.shape[:2], IGNORE, np.uint8)
        return self.augmentation(image, train_ids, key, size)

    def _read(self, index: int) -> tuple[UInt8Array, UInt8Array | None]:
        sample = self.reader.samples[index]
        if self.store is not None:
            return self.store.read(sample.name)
        image_rgb, train_ids = self.reader.read(index)
        check_not_tiny(image_rgb, sample.image_path)
        return image_rgb, train_ids


class SegmentationDataset(Dataset[Any]):
    """Samples of one data set or of several, laid end to end, as tensors by `Key`.

    Args:
        parts: the data sets.
        seed: decides all that is random, together with the key.
        copy_paste: share of the samples into which a class of another sample is copied, see `paste_class`.
        borrowed_colors: share of the samples that get the colours of another sample, see `borrow_colors`.
        shares: how often each part is copied from, in proportion; by default in proportion to its samples.
        classes: how many the network has; labels from there up are sets, and never copied.
        workers: how many processes read from it.
    """

    def __init__(self, parts: Sequence[Part], seed: int, copy_paste: float = 0.0, borrowed_colors: float = 0.0,
                 classes: int = IGNORE, shares: Sequence[float] = (), workers: int = 0) -> None:
        self.parts, self.seed, self.classes = parts, seed, classes
        self.copy_paste, self.borrowed_colors = copy_paste, borrowed_colors
        self._starts = [0, *accumulate(map(len, parts))]
        weights = np.asarray(shares or list(map(len, parts)), float)
        self._chances = weights / max(weights.sum(), 1e-9)
        # For each worker: its process id and the sample that it reads, in memory that outlives the worker.
        self._reading = torch.full((workers, 2), -1).share_memory_()

    @property
    def reader(self) -> Reader:
        """The reader of the first data set."""
        return self.parts[0].reader

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: Key) -> dict[str, Any] | SegError:
        """Returns one sample, or the error from reading it: if a worker raised it, its type would be lost."""
        epoch, index, size = key
        try:
            image, train_ids = self._sample(max(index, 0), (self.seed, epoch, index), size)
            if self.copy_paste:
                random = np.random.default_rng((self.seed, epoch, index, 1))
                if random.random() < self.copy_paste:
                    donor = self._sample(self._donor(random), (self.seed, epoch, index, 2), size)
                    image, train_ids = paste_class((image, train_ids), donor, self.classes, random)
            if self.borrowed_colors:
                random = np.random.default_rng((self.seed, epoch, index, 3))
                if random.random() < self.borrowed_colors:
                    image = borrow_colors(image, self._sample(self._donor(random), (self.seed, epoch, index, 4), size)[0])
        except SegError as error:
            return error
        image_chw = np.empty((3, *image.shape[:2]), np.uint8)  # both are copies: a cached array is never returned
        cv2.split(image, list(image_chw))
        labels = np.full_like(train_ids, IGNORE) if index == PADDING else train_ids.copy()
        return {"image": torch.from_numpy(image_chw), "labels": torch.from_numpy(labels), "index": index}

    def image_path(self, index: int) -> Path:
        """Returns the file of the picture that has `index` in a batch."""
        part, index = self._place(max(index, 0))
        return part.reader.samples[index].image_path

    def read_by(self, pids: Sequence[int]) -> list[Path]:
        """Returns the pictures that workers of these process ids read last."""
        return [self.image_path(index) for pid, index in self._reading.tolist() if pid in pids]

    def _place(self, index: int) -> tuple[Part, int]:
        """Returns the data set that `index` is in, and its place there."""
        part = bisect_right(self._starts, index) - 1
        return self.parts[part], index - self._starts[part]

    def _donor(self, random: np.random.Generator) -> int:
        part = random.choice(len(self.parts), p=self._chances)
        return self._starts[part] + int(random.integers(len(self.parts[part])))

    def _sample(self, index: int, key: tuple[int, ...], size: float) -> tuple[UInt8Array, UInt8Array]:
        if (worker := get_worker_info()) is not None:
            self._reading[worker.id] = torch.tensor([os.getpid(), index])
        part, index = self._place(index)
        return part.sample(index, key, size)


class SegmentationData(pl.LightningDataModule):
    """A data set for training and evaluation.

    Args:
        root: the data set's folder, as it is unpacked.
        dataset: its name; see docs/data.md for the list.
        crop_hw: height and width of training samples [px], or one number up to 1: their share of the first training
            picture, to whole 32 px. Evaluation uses whole frames.
        batch_size: training samples per step and process; as many as there are, where that is fewer.
        val_batch_size: frames at once in evaluation, per process; above 1 all frames must have one size.
        val_long_side: that frames are scaled to in evaluation [px], as infer.py does with weights that say at which size they are
            best; None for the frames' own size. Labels are scored at theirs either way.
        workers: processes that prepare samples; 0 prepares them in the main process. The samples are the same.
        scale_range: bounds of the random factor that training samples are resized by.
        flip: mirror half of the training samples.
        color_jitter: change brightness, contrast and saturation by up to this share, 0 to 1.
        camera_jitter: how often each thing comes that another camera does, 0 to 1: white balance, gamma, blur, noise, JPEG.
        balanced_crops: share of the training samples that are cut around a class drawn evenly from those in the frame.
        copy_paste: share of the training samples into which a class of another one is copied, of those that fill no large part
            of it: what is rare is seen more often, and in front of other streets.
        borrowed_colors: share of the training samples that get the colours of another one, see
            `datasets.transforms.borrow_colors`.
        grow_from: share of full size that crops and scale factors have in the first quarter of the training. They grow with
            each quarter and have full size in the last one; 1 for full size from the start. Without a trainer, which knows
            how long the training is, samples have full size.
        share: of the first data set in the samples, beside the shares of `others`; an epoch is one pass over the first.
        others: further data sets to learn from. The first one decides classes and is validated on.
        seed: decides order and augmentation, together with epoch and sample.
        cache: `memory` (or true) keeps decoded frames in memory, for a data set that fits there; a folder names the caches that
            `lraspp cache` has written; false decodes files anew each time.
        verify: read all files before the start and list every fault.
        overfit: learn from so many frames of the training split alone, evenly spread over it, and evaluate on the same ones;
            `others` are left out. What can't learn even these by heart is broken.
    """

    def __init__(self, root: str, dataset: str = "camvid", crop_hw: tuple[int, int] | float = (352, 480), batch_size: int = 8,
                 val_batch_size: int = 1, workers: int = 2, scale_range: tuple[float, float] = (0.5, 2.0), flip: bool = True,
                 color_jitter: float = 0.3, seed: int = 0, cache: bool | str = False, verify: bool = False,
                 camera_jitter: float = 0.0, balanced_crops: float = 0.0, copy_paste: float = 0.0, share: float = 1.0,
                 others: list[OtherData] | None = None, val_long_side: int | None = None,
                 overfit: int | None = None, borrowed_colors: float = 0.0, grow_from: float = 1.0) -> None:
        super().__init__()
        self.overfit = overfit
        self.others = [replace(other, root=other.root or root) for other in others or [] if overfit is None]
        for name, known_kinds in ((dataset, READERS), *((other.dataset, KINDS) for other in self.others)):
            if name not in known_kinds:
                raise SegError(f"There is no data set {name!r}. {did_you_mean(name, known_kinds)}")
        self.unlabelled = [other.root for other in self.others if other.dataset == UNLABELLED]
        for other in self.others:
            if None in (other.share, other.dataset, other.split):
                raise SegError(f"--data.others: share, dataset and split can't be null, as one of {other.root} is.")
            if other.dataset == UNLABELLED and other.classes:
                raise SegError(f"{other.root}: pictures without labels have no classes to map; leave out its classes.")
        for name, value, least in (("batch_size", batch_size, 1), ("val_batch_size", val_batch_size, 1),
                                   ("workers", workers, 0), ("seed", seed, 0), ("overfit", 1 if overfit is None else overfit, 1)):
            if value < least:
                raise SegError(f"--data.{name} is {value}; it must be at least {least}.")
        for factors in (scale_range, *(other.scale_range for other in self.others if other.scale_range)):
            if not 0 < factors[0] <= factors[1]:
                raise SegError(f"--data.scale_range is {list(factors)}; it takes two factors above 0, the smaller one first.")
        if not 0 <= color_jitter < 1:
            raise SegError(f"--data.color_jitter is {color_jitter}; it must be at least 0 and below 1.")
        for name, often in (("camera_jitter", camera_jitter), ("balanced_crops", balanced_crops), ("copy_paste", copy_paste),
                            ("borrowed_colors", borrowed_colors)):
            if not 0 <= often <= 1:
                raise SegError(f"--data.{name} is {often}; it must lie between 0 and 1.")
        if val_long_side is not None and val_long_side < MIN_SIZE:
            raise SegError(f"--data.val_long_side is {val_long_side}; it must be at least {MIN_SIZE}.")
        self.val_long_side = val_long_side
        self.shares = [share, *(other.share for other in self.others)]
        check_shares(self.shares)
        self.root, self.dataset, self.seed, self.cache, self.verify = root, dataset, seed, cache, verify
        self.batch_size, self.val_batch_size, self.workers = batch_size, val_batch_size, workers
        self.label_set = known(READERS[dataset].label_set_of(root))
        self.classes = len(self.label_set)
        self.size_hw = self._crop(crop_hw)
        smallest = math.ceil(100 * MIN_SIZE / min(self.size_hw)) / 100
        if not smallest <= grow_from <= 1:
            raise SegError(f"--data.grow_from is {grow_from}; with crops of {self.size_hw[0]}x{self.size_hw[1]} it must lie "
                           f"between {smallest:g} and 1, so that no side is below {MIN_SIZE} px.")
        self.grow_from = grow_from
        self.scale_range, self.flip, self.color_jitter = (scale_range[0], scale_range[1]), flip, color_jitter
        self.camera_jitter, self.balanced_crops = camera_jitter, balanced_crops
        self.copy_paste, self.borrowed_colors = copy_paste, borrowed_colors
        sets = ClassSets(self.label_set)
        self._tables = [None if other.dataset == UNLABELLED else
                        sets.table(READERS[other.dataset].label_set_of(other.root), other.classes or {}, other.root)
                        for other in self.others]
        self.class_sets = sets.members
        self._datasets: dict[str, SegmentationDataset] = {}

    def reader(self, split: str) -> Reader:
        """Returns the reader of a split; its `samples[i].name` is the name of the sample with index i in a batch."""
        return self._dataset(split).reader

    def image_paths(self, indices: Iterable[int]) -> list[Path]:
        """Returns the files of the pictures of a training batch, by its `index`."""
        return [self._dataset("train").image_path(index) for index in indices]

    def read_by(self, pids: Sequence[int]) -> list[Path]:
        """Returns the pictures that processes of these ids were preparing."""
        return [path for dataset in self._datasets.values() for path in dataset.read_by(pids)]

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
        if stage == "fit":
            self._say_padding()
            self._say_growth(self._batches().growth)  # here: it fits the batch size, on which the memory of a step depends

    def largest_hw(self, split: str) -> tuple[int, int]:
        """Returns height and width of the largest frame that a split for evaluation gives [px], by the file headers."""
        height, width = max((size_of(sample.image_path) for sample in self.reader(split).samples), key=math.prod)
        return self._fitted().size_hw((height, width))

    def _say_padding(self) -> None:
        """Says if pictures are too small for the crop at every scale factor; it checks some of them."""
        largest = self.scale_range[1]
        filled = [min(1.0, largest * size[0] / self.size_hw[0]) * min(1.0, largest * size[1] / self.size_hw[1])
                  for size in (size_of(sample.image_path) for sample in spread(self.reader("train").samples, _LOOKED_AT))]
        if max(filled) < 1:
            rank_zero_info(f"The pictures don't fill the crop of {self.size_hw[0]}x{self.size_hw[1]}, even scaled by "
                           f"{largest:g}: {1 - max(filled):.0%} of each sample and more is padding. Lower --data.crop_hw.")

    def train_dataloader(self) -> ResumableLoader:
        """Returns augmented batches, shuffled again each epoch; an incomplete last batch is left out."""
        dataset, trainer, batches = self._dataset("train"), self.trainer, self._batches()
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

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
        """Gives the labels of training samples the type that losses need; whole frames are processed in bands."""
        return {**batch, "labels": batch["labels"].long()} if self.trainer is None or self.trainer.training else batch

    def _batches(self) -> TrainBatches:
        """Returns the batches of the training split; lowers the batch size first if it has too few samples."""
        rank, world_size = self._share()
        count, order = self._order()
        self._fit_batch_size(count, world_size)
        batches = TrainBatches(count, self.batch_size, self.seed, rank, world_size, order)
        if self.grow_from < 1 and self.trainer is not None:
            batches.growth = self._growth(len(batches))
        return batches

    def _growth(self, batches: int) -> Growth:
        """Returns how samples grow during the trainer's training, if an epoch has so many batches."""
        trainer = self.trainer
        assert trainer is not None
        limit = trainer.limit_train_batches
        batches = max(1, min(batches, limit) if isinstance(limit, int) else int(batches * limit))
        steps = math.ceil(batches / trainer.accumulate_grad_batches)
        ends = [*([trainer.max_steps / steps] if trainer.max_steps != -1 else []),
                *([trainer.max_epochs] if trainer.max_epochs not in (None, -1) else [])]
        if not ends:
            raise SegError("--data.grow_from needs a training with an end: give trainer.max_epochs or trainer.max_steps.")
        return Growth(self.grow_from, min(ends), batches)

    def _say_growth(self, growth: Growth) -> None:
        if growth.start < 1:
            sizes = [(smaller_hw(self.size_hw, size), size, begin) for begin, size in growth.parts]
            rank_zero_info("Training samples grow: " + ", ".join(
                f"{height}x{width} at scale {size:.2g} from epoch {round(begin, 1):g}"
                for (height, width), size, begin in sizes) + ".")

    def _order(self) -> tuple[int, Callable[[int], list[int]] | None]:
        """Returns how many samples an epoch of training has, and their order by epoch; None for one data set's own."""
        counts = [len(part) for part in self._dataset("train").parts]
        if len(counts) == 1:
            return counts[0], None
        order = lru_cache(2)(lambda epoch: mixed_order(counts, self.shares, self.seed, epoch).tolist())
        return len(order(0)), order

    def _fit_batch_size(self, count: int, world_size: int) -> None:
        """Lowers the batch size to the samples that each process has in an epoch of `count` samples, and says so."""
        if world_size <= count < self.batch_size * world_size:
            lowered = count // world_size
            rank_zero_info(f"An epoch has {count} samples, and a step takes {self.batch_size * world_size}: --data.batch_size is "
                           f"lowered from {self.batch_size} to {lowered}.")
            self.batch_size = lowered

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
        return share_hw(size_of(samples[0].image_path), crop_hw)

    def _places(self, split: str) -> list[_Place]:
        """Returns which data sets a split is read from, the first one before the others."""
        own = split if self.overfit is None else "train"
        first = _Place(self.dataset, self.root, own, None, self.scale_range, self.cache)
        others = [_Place(other.dataset, other.root, other.split, table, other.scale_range or self.scale_range,
                         self.cache if other.cache is None else other.cache)
                  for other, table in zip(self.others, self._tables, strict=True)] if split == "train" else []
        return [first, *others]

    def _dataset(self, split: str) -> SegmentationDataset:
        if split not in self._datasets:
            places = self._places(split)
            parts = [self._part(place, augmented=split == "train") for place in places]
            self._keep([part for part, place in zip(parts, places, strict=True) if place.in_memory])
            copy_paste, borrowed_colors = (self.copy_paste, self.borrowed_colors) if split == "train" else (0.0, 0.0)
            shares = self.shares if len(parts) > 1 else ()
            self._datasets[split] = SegmentationDataset(parts, self.seed, copy_paste, borrowed_colors, self.classes, shares,
                                                        self.workers)
        return self._datasets[split]

    def _keep(self, parts: Sequence[Part]) -> None:
        """Reads all that must stay in memory, and says first how much it is; more than half of the free memory is refused."""
        if not parts:
            return
        copies = self.trainer.num_devices if self.trainer else 1  # each process on this machine has its own
        needed, available = copies * sum(part.decoded_bytes() for part in parts), machine.available_memory_bytes()
        said = f"{sum(map(len, parts))} frames takes {needed / 1e9:.2f} GB of memory"
        if available is not None and needed > available / 2:
            raise SegError(f"Keeping {said}, more than half of the {available / 1e9:.1f} GB that are free. Map them from the "
                           f"disk instead: lraspp cache {self.root} --dataset {self.dataset} --output DIR, then "
                           "--data.cache DIR.")
        rank_zero_info(f"Keeping {said}{'' if available is None else f'; {available / 1e9:.1f} GB are free'}.")
        for part in parts:
            part.keep()

    def _part(self, place: _Place, augmented: bool) -> Part:
        reader = place.reader()
        if reader.remark:
            rank_zero_info(reader.remark)
        store = place.store(reader)
        reader.samples = spread(reader.samples, self.overfit)  # after the store is opened, which holds all samples
        return Part(reader, self._augmentation(place) if augmented else self._fitted(), store)

    def _augmentation(self, place: _Place) -> Augmentation:
        return Augmentation(self.size_hw, (place.scale_range[0], place.scale_range[1]), self.flip, self.color_jitter,
                            self.camera_jitter, self.balanced_crops, self._padding_rgb(), place.table)

    def _fitted(self) -> Fitted:
        return Fitted(self.val_long_side, self._padding_rgb())

    def _padding_rgb(self) -> Sequence[float]:
        """Returns the colour that is zero for the network."""
        network = getattr(self.trainer.lightning_module, "network", None) if self.trainer else None
        return MEAN_RGB if network is None else network.mean

    def _verify(self, splits: Iterable[str]) -> None:
        places = [place for split in splits for place in self._places(split)]
        faults, count, roots = list[str](), 0, dict.fromkeys(place.root for place in places)
        for place in places:
            reader = place.reader(strict=False)
            count += len(reader)
            show = partial(track, description=f"Reading {place.split} of {place.root}", transient=True)
            store = place.store(reader)
            faults += reader.verify(show) if store is None else store.verify(show)
        if faults:
            raise SegError("\n  ".join([f"{len(faults)} faults in {' and '.join(roots)}:", *faults]))
        rank_zero_info(f"All {count} samples of {' and '.join(splits)} in {' and '.join(roots)} are sound.")


def _collate(items: list[dict[str, Any] | SegError]) -> dict[str, torch.Tensor] | SegError:
    samples = list[dict[str, Any]]()
    for item in items:
        if isinstance(item, SegError):
            return item
        samples.append(item)
    sizes = sorted({tuple(sample["labels"].shape) for sample in samples})
    if len(sizes) > 1:
        (h, w), (other_h, other_w) = sizes[:2]
        return SegError(f"Frames of {w}x{h} and {other_w}x{other_h} can't be in one batch; set --data.val_batch_size 1.")
    return {"image": torch.stack([sample["image"] for sample in samples]),
            "labels": torch.stack([sample["labels"] for sample in samples]),
            "index": torch.tensor([sample["index"] for sample in samples])}
