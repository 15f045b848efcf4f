"""Pictures are read in any form, outputs are complete or absent, folders are mirrored without collisions."""

import os
import resource
import stat
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.base import pictures_below
from seg.cli.outputs import output_names
from seg.errors import SegError
from seg.files import (
    atomic_write,
    check_writable_folder,
    find_images,
    passed_over,
    read_image_bgr,
    read_labels,
    read_settings,
    write_image,
    write_text,
)
from seg.headers import exif_orientation


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


def exif(orientation: int) -> bytes:
    """Returns Exif's TIFF block with only the orientation."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_that_is_read_is_the_one_that_opencv_turns_by(suffix: str, orientation: int, tmp_path: Path) -> None:
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32] = 255
    block = np.frombuffer(exif(orientation), np.uint8)
    _, data = cv2.imencodeWithMetadata(suffix, stored, [cv2.IMAGE_METADATA_EXIF], [block])
    (tmp_path / f"a{suffix}").write_bytes(data.tobytes())
    shown = read_image_bgr(tmp_path / f"a{suffix}")
    expected = {1: stored, 3: stored[::-1, ::-1], 6: stored.transpose(1, 0, 2)[:, ::-1]}[exif_orientation(data.tobytes())]
    assert exif_orientation(data.tobytes()) == orientation
    assert np.abs(shown.astype(int) - expected).max() < 40


@pytest.mark.parametrize("data", [b"", b"MM", b"MM\0*", b"II*\0\xff\xff\xff\xff", exif(9), exif(0), b"\xff\xd8Exif\0\0MM"])
def test_an_orientation_that_is_none_is_upright(data: bytes) -> None:
    assert exif_orientation(data) == 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_data_of_10_and_12_bits_in_16_is_refused(suffix: str, frame: np.ndarray, tmp_path: Path) -> None:
    for bits in (10, 12):
        path = tmp_path / f"bits{bits}{suffix}"
        cv2.imwrite(str(path), (frame.astype(np.uint16) * 257) >> (16 - bits))
        with pytest.raises(SegError, match=f"data of {bits} bits"):
            read_image_bgr(path)
    cv2.imwrite(str(tmp_path / f"black{suffix}"), np.zeros((8, 8, 3), np.uint16))
    assert not read_image_bgr(tmp_path / f"black{suffix}").any()


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".jpe", ".jfif", ".dib", ".pnm", ".pbm"])
def test_what_opencv_reads_is_found_and_read(suffix: str, tmp_path: Path) -> None:
    picture = np.full((40, 48, 3), 255, np.uint8)
    written = ".jpg" if suffix == ".jfif" else suffix
    assert cv2.imwrite(str(tmp_path / f"a{written}"), picture[:, :, 0] if suffix == ".pbm" else picture)
    (tmp_path / f"a{written}").rename(tmp_path / f"b{suffix}")
    (found,) = find_images([tmp_path])
    assert np.abs(read_image_bgr(found.path).astype(int) - 255).max() <= 3


def test_pictures_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    for name in ("1.heic", "deep/2.HEIC", "3.tga", "notes.txt", "a.png", ".hidden/4.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert passed_over([tmp_path, tmp_path / "1.heic"]) == {".heic": 2, ".tga": 1}


def test_a_picture_that_claims_too_much_takes_no_memory(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_image_bgr, read_labels):
        with pytest.raises(SegError, match="more pixels than OpenCV reads"):
            read(tmp_path / "huge.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; the picture would take 10 GiB


def test_nothing_of_a_library_reaches_the_terminal(frame: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in (".png", ".jpg"):
        data = bytearray(cv2.imencode(suffix, frame)[1].tobytes())
        data[len(data) // 2] ^= 255
        data[-30:-20] = b"\xff\xd9" + bytes(8)
        (tmp_path / f"bad{suffix}").write_bytes(data)
        with suppress(SegError):
            read_image_bgr(tmp_path / f"bad{suffix}")
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


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


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "街" * 83 + ".png", os.fsdecode(b"\xff\xfe.png")])
def test_names_that_the_file_system_takes_are_written(name: str, tmp_path: Path) -> None:
    write_image(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_texts_carry_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.png")
    write_text(tmp_path / "list.txt", f"{name}\n")
    assert (tmp_path / "list.txt").read_bytes() == b"a\xff.png\n"


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


def write_settings(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


def test_settings_override_those_of_their_bases(tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    write_settings(tmp_path / "shipped",
                   first="{a: 1, group: {b: [1, 2], c: 3, d: 4}, way: {class_path: X, init_args: {lr: 1, w: 2}}}")
    write_settings(tmp_path, second="{base: first.yaml, group: {b: [5], c: null}, way: {init_args: {lr: 7}}}",
                   third="{base: second.yaml, way: {class_path: Y, init_args: {m: 8}}}")
    named = {"first": tmp_path / "shipped" / "first.yaml"}
    second = {"a": 1, "group": {"b": [5], "c": None, "d": 4}, "way": {"class_path": "X", "init_args": {"lr": 7, "w": 2}}}
    assert read_settings(tmp_path / "second.yaml", "", named) == second
    assert read_settings(tmp_path / "third.yaml", "", named) == second | {"way": {"class_path": "Y", "init_args": {"m": 8}}}
    write_settings(tmp_path, first="{e: 6}")
    assert "e" in read_settings(tmp_path / "second.yaml", "", named), "what lies beside the file comes before what is shipped"


@pytest.mark.parametrize(("text", "words"), [
    ("base: nowhere.yaml", ("nowhere.yaml", "mine.yaml names as its base")),
    ("base: mine.yaml", ("a base of itself (mine.yaml -> mine.yaml)",)),
    ("base: other.yaml", ("a base of itself (mine.yaml -> other.yaml -> mine.yaml)",)),
    ("base: [a.yaml, b.yaml]", ("['a.yaml', 'b.yaml']", "the path of one settings file")),
    ("base: text.yaml", ("text.yaml holds no settings",)),
])
def test_bases_that_are_none(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    write_settings(tmp_path, mine=text, other="base: mine.yaml", text="words")
    with pytest.raises(SegError) as error:
        read_settings(tmp_path / "mine.yaml", "")
    assert all(word in str(error.value) for word in words), error.value


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


def test_hidden_folders_are_passed_over_and_links_followed_everywhere(tmp_path: Path) -> None:
    """In `infer.py`, in a glob, and in the readers of data sets."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    for path in (outside / "linked.png", root / "a/1.png", root / ".cache/2.png", root / "a/.3.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "b").symlink_to(outside)
    (root / "a" / "round").symlink_to(root)  # it leads into itself
    (root / "gone").symlink_to(tmp_path / "nowhere")
    assert [image.relative.as_posix() for image in find_images([root])] == ["a/1.png", "b/linked.png"]
    assert sorted(pictures_below(root)) == ["a/1", "b/linked"]
    assert [image.relative.as_posix() for image in find_images([f"{root}/*/*.png"])] == ["a/1.png", "b/linked.png"]
    named = find_images([root / ".cache", root / "a/.3.png"])
    assert [image.path.name for image in named] == ["2.png", ".3.png"]


def test_inputs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for item, words in ((tmp_path / "absent", "no file or folder"), (tmp_path, "holds no pictures"),
                        (tmp_path / "notes.txt", "not a picture"), (f"{tmp_path}/*.png", "matches no pictures"),
                        ("", "is empty")):
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
