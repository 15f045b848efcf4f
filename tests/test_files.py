"""Pictures are read whatever their form, outputs are whole or absent, folders are mirrored without collisions."""

import os
import stat
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg.cli.outputs import output_names
from seg.errors import SegError
from seg.files import (
    atomic_write,
    check_writable_folder,
    find_images,
    read_image_bgr,
    read_labels,
    write_image,
    write_text,
)


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def test_grey_rgba_and_16_bit_pictures_become_bgr(frame: np.ndarray, tmp_path: Path) -> None:
    grey = frame[:, :, 0]
    forms = {"grey": (grey, cv2.merge([grey] * 3)), "rgba": (np.dstack([frame, grey]), frame),
             "deep": (frame.astype(np.uint16) * 257, frame), "grey16": (grey.astype(np.uint16) * 257, cv2.merge([grey] * 3)),
             "rgba16": (np.dstack([frame, grey]).astype(np.uint16) * 257, frame)}
    for name, (stored, expected) in forms.items():
        path = tmp_path / f"{name}.png"
        assert cv2.imwrite(str(path), stored)
        image = read_image_bgr(path)
        assert image.dtype == np.uint8
        assert image.shape == (24, 40, 3)
        assert np.abs(image.astype(int) - expected).max() <= 1, name


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, :16] = 255  # the left half is white
    path = tmp_path / "turned.jpg"
    _, data = cv2.imencode(".jpg", upright)
    # An APP1 segment with one entry, orientation (0x0112) = 6: "turn by 90 degrees clockwise to see it upright".
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    image = read_image_bgr(path)
    assert image.shape == (32, 16, 3)
    assert image[:12].mean() > 240
    assert image[20:].mean() < 15


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_picture_cut_off_is_an_error(suffix: str, frame: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"whole{suffix}"
    assert cv2.imwrite(str(path), frame)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(SegError, match="cut"):
        read_image_bgr(cut)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name, words in (("text.png", "not a picture"), ("empty.png", "is empty"), ("absent.png", "There is no file")):
        with pytest.raises(SegError, match=words) as error:
            read_image_bgr(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(SegError, match="can't be read"):
        read_image_bgr(tmp_path)


def test_labels_come_back_unchanged(frame: np.ndarray, tmp_path: Path) -> None:
    ids = frame[:, :, 0]
    write_image(tmp_path / "ids.png", ids)
    write_image(tmp_path / "colors.png", frame)
    assert (read_labels(tmp_path / "ids.png") == ids).all()
    assert (read_labels(tmp_path / "colors.png") == frame[:, :, ::-1]).all()
    cv2.imwrite(str(tmp_path / "deep.png"), ids.astype(np.uint16))
    with pytest.raises(SegError, match="8-bit"):
        read_labels(tmp_path / "deep.png")


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_write(path, "w") as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_have_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "new" / "file.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file.txt").stat().st_mode) == 0o644


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (lambda: check_writable_folder(tmp_path / "file" / "below"), lambda: check_writable_folder(tmp_path / "file"),
                    lambda: write_text(tmp_path / "file" / "a.txt", "a")):
        with pytest.raises(SegError, match=r"Can.t write"):
            attempt()
    with pytest.raises(SegError, match="no picture format"):
        write_image(tmp_path / "a.xyz", np.zeros((2, 2), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_inputs_are_mirrored(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/deep/2.jpg", "b/.hidden.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def relatives(*inputs: Path | str) -> list[str]:
        return [image.relative.as_posix() for image in find_images(inputs)]

    assert relatives(tmp_path) == ["a/1.png", "b/1.png", "b/deep/2.jpg"]
    assert relatives(tmp_path / "b") == ["1.png", "deep/2.jpg"]
    assert relatives(tmp_path / "a/1.png", tmp_path / "b/1.png") == ["a/1.png", "b/1.png"]
    assert relatives(f"{tmp_path}/*/1.png", tmp_path / "a") == ["a/1.png", "b/1.png"]
    assert relatives(tmp_path / "a/1.png", tmp_path / "a/../a/1.png") == ["1.png"]
    assert relatives(tmp_path / "a/1.png", tmp_path / "a/../b/1.png") == ["a/1.png", "b/1.png"]
    assert relatives(tmp_path / "a/..", f"{tmp_path}/a/../b/*.png") == ["a/1.png", "b/1.png", "b/deep/2.jpg"]
    assert relatives() == []


def test_inputs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for item, words in ((tmp_path / "absent", "no file or folder"), (tmp_path, "holds no pictures"),
                        (tmp_path / "notes.txt", "not a picture"), (f"{tmp_path}/*.png", "matches no pictures")):
        with pytest.raises(SegError, match=words):
            find_images([item])


NAMES = st.lists(st.text("ab1.", min_size=1, max_size=5).filter(lambda stem: set(stem) != {"."}), min_size=1, max_size=8)


@given(NAMES, st.lists(st.sampled_from([".png", ".jpg", ".PNG", ".jpg.png"]), min_size=8, max_size=8),
       st.lists(st.sampled_from(["", "x", "y"]), min_size=8, max_size=8))
def test_outputs_never_share_a_name(stems: list[str], suffixes: list[str], folders: list[str]) -> None:
    inputs = sorted({Path(folder) / (stem + suffix) for stem, suffix, folder in zip(stems, suffixes, folders, strict=False)})
    names = output_names(inputs)
    assert len(set(names)) == len(inputs)
    assert all(name.suffix == ".png" and name.parent == path.parent for name, path in zip(names, inputs, strict=True))


def test_output_names_are_simple_where_they_can_be() -> None:
    paths = [Path("a/1.jpg"), Path("b/1.jpg"), Path("b/1.png"), Path("b/2.png")]
    assert [name.as_posix() for name in output_names(paths)] == ["a/1.png", "b/1.jpg.png", "b/1.png.png", "b/2.png.png"]
