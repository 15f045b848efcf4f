"""Colours, overlays and legends."""

import numpy as np
import pytest

from seg.label_sets import CAMVID, CITYSCAPES, LabelSet
from seg.visualize import colorize, legend, overlay, write_text_on


def test_each_class_has_its_colour_in_bgr() -> None:
    train_ids = np.array([[0, 10], [255, 3]], np.uint8)
    colors = colorize(train_ids, CAMVID)
    assert colors.dtype == np.uint8
    assert colors[0, 0].tolist() == list(CAMVID.colors[0][::-1])
    assert colors[0, 1].tolist() == list(CAMVID.colors[10][::-1])
    assert colors[1, 0].tolist() == [0, 0, 0]
    assert colors[1, 1].tolist() == list(CAMVID.colors[3][::-1])


def test_overlay_blends_and_leaves_its_inputs_alone() -> None:
    frame = np.full((4, 6, 3), 200, np.uint8)
    train_ids = np.full((4, 6), 1, np.uint8)
    blended = overlay(frame, train_ids, CAMVID, opacity=0.25)
    expected = 0.75 * 200 + 0.25 * np.array(CAMVID.colors[1][::-1])
    assert np.abs(blended.astype(float) - expected).max() <= 1
    assert (frame == 200).all()
    assert (train_ids == 1).all()
    assert (overlay(frame, train_ids, CAMVID, opacity=0) == frame).all()


def test_overlay_refuses_another_size() -> None:
    with pytest.raises(ValueError, match="agree"):
        overlay(np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4), np.uint8), CAMVID)


@pytest.mark.parametrize("width", [50, 480, 3000])
def test_legend_shows_every_class_at_any_width(width: int) -> None:
    strip = legend(CITYSCAPES, width)
    assert strip.shape[1:] == (width, 3)
    shown = {tuple(color) for color in strip.reshape(-1, 3)[:, ::-1].tolist()}
    assert set(CITYSCAPES.colors) <= shown


def test_text_is_written_in_place() -> None:
    image = np.full((40, 200, 3), 128, np.uint8)
    write_text_on(image, "12.3 frames/s")
    assert image.min() < 50
    assert image.max() == 255
    assert (image[-1] == 128).all()


def test_a_legend_with_shares_names_what_is_there() -> None:
    label_set = LabelSet("three", ("road", "sky", "car"), ((200, 0, 0), (0, 200, 0), (0, 0, 200)), (0, 1, 2))
    strip = legend(label_set, 400, [0.25, 0.0, 0.75])
    shown = {tuple(color) for color in strip.reshape(-1, 3).tolist()}
    assert {(0, 0, 200), (200, 0, 0)} <= shown and (0, 200, 0) not in shown, "BGR; no sky is there"
    assert (legend(label_set, 400, [0.25, 0.0, 0.5]) != strip).any(), "the shares are written"
