"""Makes the picture in the README: label maps that the shipped weights predict, with a legend.

    python tools/readme_picture.py ../shared/data/camvid/val docs/images/label_maps.png

It holds no camera picture: those belong to others.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from seg import Predictor
from seg.files import find_images, read_image_bgr, write_image
from seg.visualize import colorize, legend

ROWS, COLUMNS, GAP_PX = 2, 3, 6


def main(folder: str, output: str) -> None:
    """Lays out label maps of frames evenly spread over `folder`."""
    images = find_images([folder])
    predictor = Predictor.load("camvid_large")
    count = ROWS * COLUMNS
    chosen = [images[(2 * i + 1) * len(images) // (2 * count)] for i in range(count)]
    maps = [colorize(predictor(read_image_bgr(image.path)).train_ids, predictor.label_set) for image in chosen]
    framed = [cv2.copyMakeBorder(m, 0, GAP_PX, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(24, 24, 24)) for m in maps]
    grid = np.concatenate([np.concatenate(framed[row * COLUMNS:(row + 1) * COLUMNS], 1) for row in range(ROWS)])
    write_image(Path(output), np.concatenate([grid, legend(predictor.label_set, grid.shape[1])]))


if __name__ == "__main__":
    main(*sys.argv[1:])
