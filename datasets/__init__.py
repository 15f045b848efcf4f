"""Data sets by name. The readers need numpy and OpenCV only; `transforms` and `module` are apart, for training."""

from datasets.base import Reader, Sample
from datasets.camvid import CamVid
from datasets.cityscapes import Cityscapes, CityscapesCoarse
from datasets.folder import Folder

READERS: dict[str, type[Reader]] = {
    "camvid": CamVid, "cityscapes": Cityscapes, "cityscapes_coarse": CityscapesCoarse, "folder": Folder}

__all__ = ["READERS", "CamVid", "Cityscapes", "CityscapesCoarse", "Folder", "Reader", "Sample"]
