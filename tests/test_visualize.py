"""Colours, overlays and legends."""

import numpy as np
import pytest

from seg.label_sets import CAMVID, CITYSCAPES, LabelSet
from seg.visualize import class_shares, colorize, legend, overlay, write_text_on


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


def test_a_thin_light_line_lies_between_classes_and_nowhere_else() -> None:
    """The line consists of the pixels whose right or lower neighbour has another class."""
    frame, train_ids = np.full((20, 30, 3), 10, np.uint8), np.zeros((20, 30), np.uint8)
    train_ids[5:12, 8:20] = 3
    blended = overlay(frame, train_ids, CAMVID)
    line = np.zeros((20, 30), bool)
    line[:, :-1] |= train_ids[:, :-1] != train_ids[:, 1:]
    line[:-1] |= train_ids[:-1] != train_ids[1:]
    expected = 0.45 * frame + 0.55 * CAMVID.palette()[train_ids][:, :, ::-1]
    assert np.abs(blended[~line] - expected[~line]).max() <= 1
    assert line.sum() == 37 and blended[line].min() > 140
    wide = overlay(np.zeros((8, 3000, 3), np.uint8), np.repeat(np.arange(3, dtype=np.uint8), 1000)[None].repeat(8, 0), CAMVID)
    assert ((wide[0].min(1) > 100).nonzero()[0] == [998, 999, 1998, 1999]).all(), "thicker where a picture is large"


def test_only_the_wanted_classes_are_highlighted() -> None:
    """Elsewhere the frame shows, without lines between classes that aren't highlighted."""
    frame, train_ids = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8), np.zeros((8, 12), np.uint8)
    train_ids[:, 4:8], train_ids[:, 8:10], train_ids[:, 10:] = 1, 2, 255
    blended = overlay(frame, train_ids, CAMVID, shown=(0,))
    assert (blended[:, 4:] == frame[:, 4:]).all() and (blended[:, :4] != frame[:, :4]).any()
    assert (colorize(train_ids, CAMVID, shown=(1,))[:, 8:] == 0).all()
    assert colorize(train_ids, CAMVID, shown=(1,))[0, 5].tolist() == list(CAMVID.colors[1][::-1])
    assert class_shares(train_ids, CAMVID) == pytest.approx([4 / 12, 4 / 12, 2 / 12] + [0] * 8)


def test_any_array_is_drawn_over_alike() -> None:
    """Frames with gaps, read-only frames, and given memory; areas and single pixels, including the last one."""
    random = np.random.default_rng(1)
    frame, train_ids = random.integers(0, 256, (9, 60, 3)).astype(np.uint8), random.integers(0, 11, (9, 60)).astype(np.uint8)
    train_ids[:6, :50] = np.array([[1] * 20 + [5] * 30, [7] * 50]).repeat(3, 0)
    blended = overlay(frame, train_ids, CAMVID)
    colors = CAMVID.palette()[train_ids][:, :, ::-1].astype(int)
    same = np.ones((9, 60), bool)
    same[:, :-1] &= train_ids[:, :-1] == train_ids[:, 1:]
    same[:-1] &= train_ids[:-1] == train_ids[1:]
    assert same[-1, -1] and np.abs(blended - (0.45 * frame + 0.55 * colors))[same].max() <= 1
    assert np.abs(blended - (0.45 * frame + 0.55 * 255))[~same].max() <= 1
    mirrored = np.ascontiguousarray(frame[:, ::-1])[:, ::-1]
    frame.flags.writeable = False
    out = np.zeros((10, 60, 3), np.uint8)
    assert overlay(frame, train_ids, CAMVID, out=out[:9]).base is out
    assert (out[:9] == blended).all() and (out[9] == 0).all()
    assert (overlay(mirrored, train_ids, CAMVID) == blended).all()


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
