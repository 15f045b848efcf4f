"""Makes the picture in the README: what the default weights predict on a real street and on a rendered one.

    python tools/readme_picture.py docs/images/streets.jpg

The real frame is one of docs/images/highway/, with its licence next to it.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from datasets.scenes.catalog import catalog
from datasets.scenes.renderer import Renderer
from datasets.scenes.street import Street
from seg import Predictor
from seg.files import read_image_bgr, write_image
from seg.visualize import legend, overlay

SIZE_HW, GAP_PX, SEED = (405, 720), 6, "12 7"
REAL = Path(__file__).resolve().parents[1] / "docs" / "images" / "highway" / "200.jpg"


def main(output: str) -> None:
    """Puts each frame beside its overlay, with the legend below."""
    predictor = Predictor.load()
    frames = [read_image_bgr(REAL), Renderer(catalog().library, (540, 960)).render(Street(catalog(), SEED).scene()).bgr]
    rows = []
    for frame in frames:
        pair = (frame, overlay(frame, predictor(frame).train_ids, predictor.label_set))
        small = [cv2.resize(picture, SIZE_HW[::-1], interpolation=cv2.INTER_AREA) for picture in pair]
        rows.append(np.concatenate([cv2.copyMakeBorder(picture, 0, GAP_PX, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(24, 24, 24))
                                    for picture in small], 1))
    grid = np.concatenate(rows)
    write_image(Path(output), np.concatenate([grid, legend(predictor.label_set, grid.shape[1])]))


if __name__ == "__main__":
    main(*sys.argv[1:])
