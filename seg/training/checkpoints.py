"""Checkpoints of a run in a fixed folder: `best.ckpt` and `last.ckpt`, and a stop on Ctrl-C that loses nothing."""

import os
import random
import re
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from seg.errors import SegError, did_you_mean

MONITOR = "val/present_miou"  # not mIoU: on a small split a single pixel of a class without truth would decide
DEAD_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")  # torch says so at any time, also while it saves
_ASK_EVERY = 10  # batches between checks whether a signal came to any process: at each check they wait for each other


class TrainingStopped(Exception):
    """Training was asked to stop and has written `last.ckpt`. Not a KeyboardInterrupt: Lightning would end the process."""


class Checkpoints(Checkpoint):
    """Writes `best.ckpt` when val/present_miou rises, and `last.ckpt` at intervals, after each epoch and on Ctrl-C or SIGTERM.

    Lightning's ModelCheckpoint could write both names, but if it takes a checkpoint between the last batch and the
    validation after it, the resumed run skips that validation. Here no checkpoint is taken at such moments.
    """

    def __init__(self, every_minutes: float = 5.0, every_steps: int | None = None) -> None:
        """Sets how often `last.ckpt` is written within an epoch.

        Args:
            every_minutes: minutes of training between two; a power cut costs at most this much.
            every_steps: also after this many steps of the optimizer.
        """
        self.every_minutes = every_minutes
        self.every_steps = every_steps
        self.folder = Path("checkpoints")  # the command line changes it to the run's folder
        self.best = -1.0
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._random_state: dict[str, Any] | None = None
        self._stop: int | None = None
        self._handlers: dict[int, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Handles Ctrl-C before workers start, so that they survive it."""
        if stage == "fit":
            self._take_signals()

    def _take_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._ask_to_stop)
                self._handlers.setdefault(number, before)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock, and restores the random state, which starting the data workers may have changed."""
        if self._stop is None:
            self._take_signals()  # again: Lightning has put its own before ours, with which several processes may wait for ever
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        if self._random_state is not None:
            _set_random_state(self._random_state)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = number
        signal.signal(number, self._handlers[number])  # the second signal acts at once

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Writes `last.ckpt` if it is time, unless a validation follows immediately."""
        if self._validation_follows(trainer):
            return
        steps_due = self.every_steps is not None and trainer.global_step - self._saved_step >= self.every_steps
        # Each process has its own clock, and all must save together: the first process decides.
        minutes_due = time.monotonic() - self._saved_at >= 60 * self.every_minutes
        if trainer.world_size > 1 and not steps_due:
            minutes_due = bool(trainer.strategy.broadcast(minutes_due)) if trainer.global_step % 50 == 0 else False
        stop = self._stop is not None
        if trainer.world_size > 1:  # a signal may have come to only one of them
            stop = _any(trainer, stop) if (batch_idx + 1) % _ASK_EVERY == 0 else False
        if steps_due or minutes_due or stop:
            self._save_last(trainer)
        if stop:
            raise TrainingStopped(self._kept())

    @staticmethod
    def _validation_follows(trainer: Trainer) -> bool:
        done = trainer.fit_loop.epoch_loop.batch_idx + 1
        interval = trainer.val_check_batch
        return trainer.is_last_batch or (isinstance(interval, int) and done % interval == 0)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `best.ckpt` if the score rose."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or MONITOR not in trainer.callback_metrics:
            return
        score = float(trainer.callback_metrics[MONITOR])
        if score > self.best:
            self.best = score
            _save(trainer, self.folder / "best.ckpt")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `last.ckpt`."""
        self._save_last(trainer)
        if _any(trainer, self._stop is not None):
            raise TrainingStopped(self._kept())

    def _kept(self) -> str:
        return f"{self.folder / 'last.ckpt'} is written; --ckpt_path last continues from it."

    def _save_last(self, trainer: Trainer) -> None:
        _save(trainer, self.folder / "last.ckpt")
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restores the earlier signal handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def state_dict(self) -> dict[str, Any]:
        """Returns the best score and the random state, as plain types."""
        return {"best": self.best, "random": _random_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state from `state_dict`; the best score only if its checkpoint exists, as in the same run."""
        self._random_state = state_dict["random"]
        self.best = state_dict["best"] if (self.folder / "best.ckpt").is_file() else -1.0


def _any(trainer: Trainer, wish: bool) -> bool:
    """Returns whether any process wishes it; all processes must call this."""
    return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))


def last_good(trainer: Trainer) -> str:
    """Returns a sentence that names the last checkpoint of a run that fails."""
    paths = [callback.folder / "last.ckpt" for callback in trainer.callbacks  # type: ignore[attr-defined]
             if isinstance(callback, Checkpoints)]
    if not paths or not paths[0].is_file():
        return "There is no checkpoint yet."
    step = torch.load(paths[0], map_location="cpu", weights_only=True)["global_step"]
    return f"The last good checkpoint is {paths[0]}, of step {step}: --ckpt_path last continues from it."


def _save(trainer: Trainer, path: Path) -> None:
    """Writes a checkpoint under a temporary name and then renames it, so that the earlier one stays undamaged until then.

    Lightning first writes into the system's temporary folder, and if that is on another file system it copies to the final place.

    Raises:
        SegError: it can't be written, for example on a full disk, or it would contain values that aren't finite.
    """
    trainer.lightning_module.check_finite()  # type: ignore[operator]
    part = path.with_name(f".{path.name}.part")
    try:
        trainer.save_checkpoint(part, weights_only=False)  # all processes take part
        if trainer.is_global_zero:
            os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises a RuntimeError on a full disk
        if trainer.is_global_zero:
            part.unlink(missing_ok=True)
        if DEAD_WORKER.match(str(error)):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        kept = f" The earlier one is kept; --ckpt_path {path.stem} continues from it." if path.is_file() else ""
        raise SegError(f"The checkpoint {path} can't be written: {reason:.200}.{kept}") from None
    trainer.strategy.barrier()


def _random_state() -> dict[str, Any]:
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002  (the global one is what libraries use)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(words), gauss],
        "numpy": {**numpy_state, "state": {"key": numpy_state["state"]["key"].tolist(), "pos": int(numpy_state["state"]["pos"])}},
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device.cpu() for device in state["cuda"]])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    key = np.array(state["numpy"]["state"]["key"], np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})  # noqa: NPY002


def find_checkpoint(folder: Path, name_or_path: str) -> Path:
    """Returns the checkpoint called `last` or `best` in `folder`, or the path itself if it is a file.

    Raises:
        SegError: there is no such checkpoint.
    """
    path = folder / f"{name_or_path}.ckpt" if name_or_path in ("last", "best") else Path(name_or_path)
    if path.is_file():
        return path
    if name_or_path in ("last", "best"):
        raise SegError(f"There is no checkpoint {path}. Leave --ckpt_path out to start, or give the run's --name.")
    raise SegError(f"There is no checkpoint {path}. {did_you_mean(name_or_path, ('last', 'best'))} Or give a file.")
