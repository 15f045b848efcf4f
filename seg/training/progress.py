"""Progress as plain lines for logs, because a progress bar makes a log file unreadable; and curves as CSV."""

import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment


class CurvesInCsv(CSVLogger):
    """Lightning's CSV logger with a UTF-8 file in every locale, because classes may have names in any script."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The object that writes the file."""
        writer = super().experiment
        if not isinstance(writer._fs, _Utf8):
            writer._fs = _Utf8(writer._fs)
        return writer


class _Utf8:
    """A file system of fsspec that opens text files as UTF-8."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def open(self, path: str, mode: str = "r", **settings: Any) -> Any:
        return self._system.open(path, mode, **{"encoding": "utf-8", **settings})


class ProgressLines(Callback):
    """Prints a line after each epoch, and every half minute within long ones: the progress, the loss and the scores."""

    def __init__(self, every_seconds: float = 30.0) -> None:
        """Sets how often a line is printed within an epoch."""
        self.every_seconds = every_seconds
        self._started = self._printed = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._started = self._printed = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Prints a line if it is time."""
        if time.monotonic() - self._printed > self.every_seconds:
            self._print(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints a line with the scores of the latest validation."""
        self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self._printed = time.monotonic()
        steps = int(trainer.estimated_stepping_batches)
        done = trainer.global_step - self._first_step
        minutes = (self._printed - self._started) / 60
        line = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step} of {steps}"
        for name in ("train/loss", "val/miou"):
            if name in trainer.callback_metrics:
                line += f", {name} {float(trainer.callback_metrics[name]):.3f}"
        line += f", {minutes:.1f} min"
        if done and steps > trainer.global_step:
            line += f", about {minutes / done * (steps - trainer.global_step):.1f} min to go"
        print(line, flush=True)
