"""Three ways to train on the same frames, each in a separate process that does one step at each request.

`ours` is train_seg.py's own loop: Lightning, the task, its data module. `plain` is a hand-written loop with the same network.
`torchvision` is its network, trained as in its reference scripts: transforms on tensors, full-size scores, SGD. They are separate
processes, because memory settings and threads belong to a process.
"""

import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from seg.errors import SegError

STAGES = ("data", "forward", "loss", "backward", "optimizer", "EMA")


class Job(NamedTuple):
    """What to train: an encoder of ours on the frames of `root`, in batches of crops, with `threads` threads."""

    way: str
    encoder: str
    root: str
    crop_hw: tuple[int, int]
    batch_size: int
    threads: int
    precision: str = "32-true"
    compiled: bool = False


class Clock:
    """Milliseconds by stage of one step; time outside the named stages counts for none."""

    def __init__(self) -> None:
        self.stages_ms = dict.fromkeys(STAGES, 0.0)
        self._last = time.perf_counter()

    def start(self) -> None:
        """Starts a step."""
        self.stages_ms, self._last = dict.fromkeys(STAGES, 0.0), time.perf_counter()

    def ends(self, stage: str) -> None:
        """Records that a stage has just ended; it began where the one before it ended."""
        now = time.perf_counter()
        self.stages_ms[stage] += 1000 * (now - self._last)
        self._last = now


def serve(job: Job, connection: Connection) -> None:
    """Does a step for each message, and replies with its stages; None ends the loop."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    if job.way == "ours":
        _serve_ours(job, connection)
        return
    steps = _plain(job) if job.way == "plain" else _torchvision(job)
    while connection.recv() is not None:
        connection.send(next(steps))


def data_of(job: Job) -> Any:
    """Returns the data module: decoded frames in memory, with the augmentation of the shipped configurations."""
    from datasets.module import SegmentationData

    return SegmentationData(job.root, "cityscapes", crop_hw=job.crop_hw, batch_size=job.batch_size, workers=0, cache="memory")


def network_of(job: Job, classes: int) -> nn.Module:
    """Returns the network, with scores at full size."""
    from seg.models import LRASPP

    return LRASPP(job.encoder, classes=classes, pool="global")


def _serve_ours(job: Job, connection: Connection) -> None:
    import logging

    import pytorch_lightning as pl

    from seg.training import SegmentationTask

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    clock = Clock()

    class Watch(pl.Callback):
        """Waits before each step until it is requested, and reports the stages."""

        def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            pl_module.network.decoder.register_forward_hook(lambda *_: clock.ends("forward"))
            update = pl_module.ema.update

            def watched(*arguments: Any) -> None:
                clock.ends("optimizer")
                update(*arguments)
                clock.ends("EMA")

            pl_module.ema.update = watched
            self.await_order(trainer)

        @staticmethod
        def await_order(trainer: pl.Trainer) -> None:
            if connection.recv() is None:
                trainer.should_stop = True
            clock.start()

        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            clock.ends("data")

        def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Any) -> None:
            clock.ends("loss")

        def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
            clock.ends("backward")

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            connection.send(clock.stages_ms)
            self.await_order(trainer)

    data = data_of(job)
    network: Any = network_of(job, data.classes)
    task = SegmentationTask(network, data.label_set, data.size_hw)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=10**6, precision=job.precision, logger=False,  # type: ignore[arg-type]
                         enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
                         callbacks=[Watch()], use_distributed_sampler=False)
    trainer.fit(task, datamodule=data)


def _endless(make: Callable[[], Any]) -> Iterator[Any]:
    while True:
        yield from make()


def _plain(job: Job) -> Iterator[dict[str, float]]:
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    data = data_of(job)
    network = network_of(job, data.classes).train()
    scores_of = torch.compile(network) if job.compiled else network
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss(ignore_index=255)
    batches, clock = _endless(data.train_dataloader), Clock()
    while True:
        clock.start()
        batch = next(batches)
        clock.ends("data")
        scores = scores_of(batch["image"])
        clock.ends("forward")
        loss = criterion(scores, batch["labels"].long())
        _learn(loss, optimizer, clock)
        averaged.update_parameters(network)
        clock.ends("EMA")
        yield clock.stages_ms


def _learn(loss: torch.Tensor, optimizer: torch.optim.Optimizer, clock: Clock) -> None:
    """The second half of a step, in the usual form."""
    clock.ends("loss")
    optimizer.zero_grad()
    loss.backward()
    clock.ends("backward")
    optimizer.step()
    clock.ends("optimizer")


def _torchvision(job: Job) -> Iterator[dict[str, float]]:
    from torchvision import tv_tensors
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large
    from torchvision.transforms import v2

    data = data_of(job)
    frames = [tuple(torch.from_numpy(array) for array in data.reader("train").read(index))
              for index in range(len(data.reader("train")))]
    height, width = frames[0][1].shape
    change = v2.Compose([
        v2.RandomResize(min(height, width) // 2, 2 * min(height, width), antialias=True),
        v2.RandomCrop(job.crop_hw, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
        v2.RandomHorizontalFlip(0.5), v2.ColorJitter(0.3, 0.3, 0.3), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=data.classes).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    clock, place = Clock(), 0
    while True:
        clock.start()
        samples = []
        for _ in range(job.batch_size):
            image, labels = frames[place % len(frames)]
            samples.append(change(tv_tensors.Image(image.permute(2, 0, 1)), tv_tensors.Mask(labels)))
            place += 1
        images = torch.stack([image for image, _ in samples])
        labels = torch.stack([labels for _, labels in samples]).long()
        clock.ends("data")
        scores = network(images)["out"]
        clock.ends("forward")
        loss = nn.functional.cross_entropy(scores, labels, ignore_index=255)
        _learn(loss, optimizer, clock)
        yield clock.stages_ms


def render(root: Path, frames: int, size_hw: tuple[int, int]) -> None:
    """Renders frames for training, in Cityscapes' layout, and one for validation, which the data module needs."""
    from datasets.scenes.__main__ import main

    for split, count, seed in (("train", frames, "0"), ("val", 1, "1")):
        if main([str(root), "--frames", str(count), "--size", f"{size_hw[0]}x{size_hw[1]}", "--split", split, "--seed", seed]):
            raise SegError("The frames couldn't be rendered; see the reason above.")
