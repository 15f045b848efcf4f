"""Data sets by name. The readers need numpy and OpenCV only; `transforms` and `module` are apart, for training."""

from datasets.base import Reader, Sample
from datasets.camvid import CamVid

READERS: dict[str, type[Reader]] = {"camvid": CamVid}

__all__ = ["READERS", "CamVid", "Reader", "Sample"]
