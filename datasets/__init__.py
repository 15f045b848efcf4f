"""Data sets by name. The readers need numpy and OpenCV only; `transforms` and `module` are apart, for training."""

from datasets.base import Reader, Sample
from datasets.camvid import CamVid
from datasets.cityscapes import Cityscapes, CityscapesCoarse
from datasets.folder import Folder
from datasets.pictures import Pictures

READERS: dict[str, type[Reader]] = {
    "camvid": CamVid, "cityscapes": Cityscapes, "cityscapes_coarse": CityscapesCoarse, "folder": Folder}
UNLABELLED = "pictures"
KINDS: dict[str, type[Reader]] = {**READERS, UNLABELLED: Pictures}  # the last one only beside a data set with labels

__all__ = ["KINDS", "READERS", "UNLABELLED", "CamVid", "Cityscapes", "CityscapesCoarse", "Folder", "Pictures", "Reader", "Sample"]
