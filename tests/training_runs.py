"""A tiny CamVid and training runs on it, within this process."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

import train_seg
from seg.cli.train import main

CONFIG = """
name: tiny
seed_everything: 3
size_frames: 0
trainer: {accelerator: cpu, max_epochs: 2, log_every_n_steps: 1, gradient_clip_val: 1.0, num_sanity_val_steps: 1}
model:
  network: {class_path: seg.models.LRASPP, init_args: {encoder_name: mobilenet_v3_small_rf2, decoder_channels: 16}}
  optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002}}
  warmup_steps: 2
  ema_decay: 0.9
data: {crop_hw: [32, 48], batch_size: 2, workers: 0}
pictures: {count: 1, every_n_validations: 1}
"""


class NormsFrozen(Callback):
    """Makes batch norm use its statistics in training too, because it can't be synchronised over CPU processes."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        for module in pl_module.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def make_camvid(root: Path, train: int = 8, val: int = 3, values: int = 12) -> Path:
    """Writes frames of 64x48 whose classes are bands of different brightness; with 12 values the last one is void."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            ids = np.repeat(np.sort(random.integers(0, values, 12)), 4).astype(np.uint8)[:, None].repeat(64, 1)
            frame = np.clip(ids[..., None] * 20 + random.integers(0, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
            for folder, picture in ((split, frame), (f"{split}annot", ids)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / folder / f"{index:03d}.png"), picture)
    return root


def write_config(folder: Path) -> Path:
    """Writes the settings of a tiny training."""
    path = folder / "tiny.yaml"
    path.write_text(CONFIG)
    return path


def run(folder: Path, *arguments: str, subcommand: str = "fit") -> int:
    """Runs train_seg.py within this process on what is in `folder`; returns its exit code."""
    return main([subcommand, "--config", str(folder / "tiny.yaml"), "--data.root", str(folder / "camvid"),
                 "--runs", str(folder / "runs"), *arguments], train_seg.data_class)


def load(folder: Path, name: str, checkpoint: str = "last") -> dict[str, Any]:
    """Loads a checkpoint of a run."""
    path = folder / "runs" / name / "checkpoints" / f"{checkpoint}.ckpt"
    checkpoint_values: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint_values
