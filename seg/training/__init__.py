"""Training: the Lightning task, its losses, averaged weights, schedules, and the callbacks of a run."""

from seg.training.losses import Loss, SegmentationLoss
from seg.training.task import SegmentationTask

__all__ = ["Loss", "SegmentationLoss", "SegmentationTask"]
