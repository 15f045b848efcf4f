"""Segments pictures, videos and data sets. Needs no torch.

    python infer.py street.jpg frames/ --save overlay,train-ids
    python infer.py --video drive.mp4 --output drive_overlay.mp4
    python infer.py --dataset cityscapes --root DIR --split val --report report.html

`python infer.py --help` lists the options; the work is done in `seg.cli.infer`.
"""

import sys

from datasets import READERS
from seg.cli.infer import main

if __name__ == "__main__":
    sys.exit(main(readers=READERS))
