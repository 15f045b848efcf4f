"""Trains a network: `python train_seg.py fit --config configs/camvid_small.yaml --data.root DIR`.

`python train_seg.py fit --help` lists all settings; see seg/cli/train.py and docs/training.md.
"""

import sys
from pathlib import Path

from seg.cli.train import main


def data_class() -> type:
    """Imports the data module when it is needed; `seg` itself knows no data sets."""
    from datasets.module import SegmentationData

    return SegmentationData


if __name__ == "__main__":
    sys.exit(main(None, data_class, Path(__file__).parent / "configs"))
