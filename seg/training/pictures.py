"""Sample predictions as pictures after a validation: frame, truth and prediction side by side."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from seg.files import write_image


class PredictionPictures(Callback):
    """Writes `pictures/FRAME/step_NNNNNN.png` into the run folder, and to TensorBoard, for a few frames spread over val."""

    def __init__(self, count: int = 4, every_n_validations: int = 5) -> None:
        """Sets how many pictures are made.

        Args:
            count: number of frames; 0 for none.
            every_n_validations: pictures are made after the first validation, and then each time after this number of them.
        """
        self.count = count
        self.every_n_validations = max(1, every_n_validations)
        self.folder = Path("pictures")  # the command line changes it to the run's folder
        self._validations = 0

    def _due(self, trainer: Trainer) -> bool:
        return (self.count > 0 and trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.sanity_checking
                and self._validations % self.every_n_validations == 0)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
                                dataloader_idx: int = 0) -> None:
        """Draws the first frame of a batch if it is one of the chosen frames."""
        if not self._due(trainer):
            return
        batches = int(trainer.num_val_batches[dataloader_idx])
        if batch_idx % max(1, batches // self.count) or batch_idx // max(1, batches // self.count) >= self.count:
            return
        palette = pl_module.label_set.palette()  # type: ignore[operator, union-attr]
        truth = palette[batch["labels"][0].cpu().numpy().astype(np.uint8)]
        frame_rgb = batch["image"][0].permute(1, 2, 0).cpu().numpy()
        if frame_rgb.shape != truth.shape:
            frame_rgb = cv2.resize(frame_rgb, truth.shape[1::-1], interpolation=cv2.INTER_AREA)
        predicted = palette[outputs[0].cpu().numpy().astype(np.uint8)]
        picture_rgb = np.concatenate([frame_rgb, truth, predicted], axis=1)
        name = f"{int(batch['index'][0]):05d}"
        write_image(self.folder / name / f"step_{trainer.global_step:06d}.png", np.ascontiguousarray(picture_rgb[:, :, ::-1]))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"val/{name}", picture_rgb, trainer.global_step, dataformats="HWC")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the validations."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validations += 1

    def state_dict(self) -> dict[str, Any]:
        """Returns the count."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the count."""
        self._validations = state_dict["validations"]
