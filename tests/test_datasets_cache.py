"""Caches on disk: samples equal the files', a window reads only its part, and nothing is stale, damaged or half-written."""

import errno
import os
import pickle
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from datasets import KINDS
from datasets.cache.__main__ import main
from datasets.cache.store import Store
from datasets.cache.write import CacheWriter
from datasets.mixture import OtherData
from datasets.module import SegmentationData
from datasets.sampling import Key
from datasets.sizes import size_of
from seg.errors import SegError
from seg.files import read_image_bgr

NAME = "set.camvid.train.safetensors"


def make_set(root: Path, train: int = 5, val: int = 2, size_hw: tuple[int, int] = (48, 64)) -> Path:
    """Writes random pictures and labels in CamVid's layout; each is a column wider than the one before."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for folder, channels, top in ((split, (3,), 256), (f"{split}annot", (), 12)):
            (root / folder).mkdir(parents=True)
            for i in range(count):
                shape = (size_hw[0], size_hw[1] + i, *channels)
                assert cv2.imwrite(str(root / folder / f"f{i}.png"), random.integers(0, top, shape, np.uint8))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_set(tmp_path / "set")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(root: Path, cache: Path, kind: str = "camvid", *more: str) -> int:
    return main([str(root), "--dataset", kind, "--output", str(cache), *more])


def visible(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cache.iterdir()) if not path.name.startswith(".")}


def left_over(cache: Path) -> list[str]:
    return sorted(path.suffix for path in cache.iterdir() if path.name.startswith("."))


def samples(root: Path, split: str = "train", **options: Any) -> list[Any]:
    settings = {"crop_hw": (32, 48), "batch_size": 1, "workers": 0, "seed": 3, **options}
    dataset = SegmentationData(str(root), "camvid", **settings)._dataset(split)
    return [dataset[Key(epoch, index)] for epoch in range(3) for index in range(len(dataset))]


@pytest.mark.parametrize("options", [
    {}, {"scale_range": (1, 1), "flip": False, "color_jitter": 0}, {"scale_range": (0.4, 0.7)},
    {"balanced_crops": 1.0, "copy_paste": 0.5, "borrowed_colors": 0.5, "camera_jitter": 0.3},
], ids=["usual", "cut alone", "with padding", "everything"])
def test_samples_are_those_of_the_files(options: dict[str, Any], root: Path, cache: Path, tmp_path: Path) -> None:
    """Also with a coarser data set and pictures without labels in the mixture, whose labels are mapped."""
    other = make_set(tmp_path / "other")
    pictures = tmp_path / "pictures"
    shutil.copytree(other / "train", pictures)
    assert write(root, cache) == write(other, cache) == write(pictures, cache, "pictures") == 0
    vehicles: dict[str, str | list[str] | None] = {"car": ["car", "bicyclist"], "bicyclist": ["car", "bicyclist"], "sky": None}
    others = [OtherData(str(other), "camvid", 0.5, vehicles), OtherData(str(pictures), "pictures", 0.5)]
    for split in ("train", "val"):
        read, mapped = (samples(root, split, others=others, cache=place, **options) for place in (False, str(cache)))
        assert len(read) == (45 if split == "train" else 6)
        for one, same in zip(read, mapped, strict=True):
            assert torch.equal(one["image"], same["image"]) and torch.equal(one["labels"], same["labels"])


def test_any_reader_of_the_format_sees_the_data_set(root: Path, cache: Path) -> None:
    assert write(root, cache) == 0
    tensors = load_file(cache / NAME)
    reader = KINDS["camvid"](root, "train")
    assert len(tensors) == 2 * len(reader) == 10
    for index, sample in enumerate(reader.samples):
        image_rgb, train_ids = reader.read(index)
        assert np.array_equal(tensors[f"images/{sample.name}"], image_rgb)
        assert np.array_equal(tensors[f"labels/{sample.name}"], train_ids)
    assert left_over(cache) == [".lock", ".lock"]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells which pages were read")
def test_only_the_window_is_read(tmp_path: Path, cache: Path) -> None:
    root = make_set(tmp_path / "set", 1, 1, (2000, 1500))
    assert write(root, cache) == 0
    dataset = SegmentationData(str(root), "camvid", (64, 64), cache=str(cache), color_jitter=0)._dataset("train")
    dataset[Key(0, 0)]
    maps = Path("/proc/self/smaps").read_text().split(NAME)[1]
    resident_kib = int(re.search(r"Rss:\s+(\d+)", maps)[1])
    assert 0 < resident_kib < 0.3 * 2000 * 1500 * 4 / 1024  # a window of 128 rows at most, and what the system reads around


def test_a_worker_that_is_spawned_maps_the_file_itself(root: Path, cache: Path) -> None:
    assert write(root, cache) == 0
    store = Store(cache / NAME)
    data = pickle.dumps(store)
    assert len(data) < 500
    for array, same in zip(store.read("train/f1"), pickle.loads(data).read("train/f1"), strict=True):
        assert array is not None and np.array_equal(array, same) and not array.flags.writeable


def changed_file(root: Path) -> None:
    os.utime(root / "train/f1.png", ns=(0, 0))


def new_file(root: Path) -> None:
    for folder in ("train", "trainannot"):
        shutil.copy(root / folder / "f1.png", root / folder / "g.png")


def file_gone(root: Path) -> None:
    for folder in ("train", "trainannot"):
        (root / folder / "f1.png").unlink()


@pytest.mark.parametrize(("change", "words"), [(changed_file, "1 of its frames is changed, such as train/f1"),
                                               (new_file, "1 of its frames is new, such as train/g"),
                                               (file_gone, "1 of its frames is gone, such as train/f1")])
def test_a_stale_cache_is_refused_and_written_anew(change: Any, words: str, root: Path, cache: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert write(root, cache) == 0
    change(root)
    with pytest.raises(SegError, match=f"{words}. Make it anew: lraspp cache .* --split train"):
        samples(root, cache=str(cache))
    samples(root, "val", cache=str(cache))
    capsys.readouterr()
    assert write(root, cache) == 0
    said = capsys.readouterr().out
    assert words in said and "set.camvid.val.safetensors: 2 frames, 0.00 GB, whole and of the data set as it is." in said
    assert len(samples(root, cache=str(cache))) in (12, 15, 18)


def test_other_classes_make_a_cache_stale(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "yard"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(root / folder / f"{i}.png"), np.full((40, 40), i, np.uint8))
    classes = "classes: [{name: a, value: 0}, {name: b, value: 1}, {name: c, value: 2}]\nsplit: {val: 0.4}\n"
    (root / "classes.yaml").write_text(classes)
    assert write(root, cache, "folder") == 0
    Store.of(cache, KINDS["folder"](root, "train"), "folder")
    (root / "classes.yaml").write_text(classes.replace("name: c, value: 2}]", "name: d, value: 2}]"))
    with pytest.raises(SegError, match="its classes have changed"):
        Store.of(cache, KINDS["folder"](root, "train"), "folder")


def test_damage_is_found_where_all_is_read(root: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write(root, cache) == 0
    whole = visible(cache)
    damaged = bytearray(whole[NAME])
    damaged[-10] ^= 1
    (cache / NAME).write_bytes(damaged)
    data = SegmentationData(str(root), "camvid", (32, 32), cache=str(cache), verify=True)
    with pytest.raises(SegError, match=r"train/f4 in the cache .* is damaged"):
        data.setup("fit")
    for content, words in ((bytes(damaged), "train/f4 in the cache"), (whole[NAME][:-1], "is damaged; it is written anew")):
        (cache / NAME).write_bytes(content)
        capsys.readouterr()
        assert write(root, cache) == 0
        assert words in capsys.readouterr().out
        assert visible(cache) == whole


def test_what_was_interrupted_goes_on(root: Path, cache: Path) -> None:
    """Recorded samples that are undamaged are kept; a truncated record, and a sample with other bytes, are not."""
    assert write(root, cache, "camvid", "--split", "train") == 0
    whole = visible(cache)
    (cache / NAME).unlink()
    reader = KINDS["camvid"](root, "train")
    steps = iter([True, True, True, False])
    assert CacheWriter(cache, reader, "camvid").write(go_on=lambda: next(steps)) == (0, [])
    assert not visible(cache) and left_over(cache) == [".journal", ".lock", ".part"]
    writer = CacheWriter(cache, reader, "camvid")
    assert writer.missing_bytes() < writer.size
    with writer._journal.open("a") as journal:
        journal.write(writer._journal.read_text().splitlines()[2][:-3])  # a note that was cut off
    with writer._part.open("r+b") as part:
        part.seek(writer._places[1].offset)
        part.write(b"other bytes")
    assert writer.write() == (2, [])
    assert visible(cache) == whole and left_over(cache) == [".lock"]


def test_a_full_disk_leaves_the_old_cache_whole(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """Noticed before the start, when the space is reserved, and during writing."""
    assert write(root, cache) == 0
    old = visible(cache)
    changed_file(root)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fails(name: str, replacement: Any, words: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(name, replacement)
            assert write(root, cache) == 2
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said
        assert visible(cache) == old and left_over(cache) == [".lock", ".lock"]

    usage = shutil.disk_usage(cache)._replace(free=50_000)
    fails("datasets.cache.write.shutil.disk_usage", lambda _: usage, "takes 0.0 GB more, and the disk of")
    fails("datasets.cache.write.os.posix_fallocate", full, "No space left on device. The one that is there is untouched.")
    pwrite, count = os.pwrite, iter(range(100))
    fails("datasets.cache.write.os.pwrite", lambda *given: full() if next(count) == 5 else pwrite(*given), "No space left")
    assert write(root, cache) == 0 and visible(cache) != old


def test_frames_that_can_not_be_read_are_named_and_the_others_kept(root: Path, cache: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    picture = root / "train/f2.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    assert write(root, cache) == 2
    said = capsys.readouterr()
    assert "1 frames could not be read" in said.err and "train/f2.png is not a picture" in said.err
    assert list(visible(cache)) == ["set.camvid.val.safetensors"]
    picture.write_bytes(whole)
    assert write(root, cache) == 0
    assert "4 frames were there from an earlier run" in capsys.readouterr().out
    samples(root, cache=str(cache))


def test_what_can_not_be_is_a_sentence(root: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SegError, match=r"holds no cache of the split 'train' of .* Make it: lraspp cache"):
        samples(root, cache=str(cache))
    assert write(root, cache) == 0
    twin = make_set(tmp_path / "elsewhere" / "set")
    (cache / "x.camvid.train.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    shutil.copytree(root, tmp_path / "x")
    for where, words in ((twin, "a folder of the same name; give another --output"), (tmp_path / "nowhere", "There is no folder"),
                         (tmp_path / "x", "")):
        code = write(where, cache)
        said = capsys.readouterr()
        assert (code, words in said.err) == (2 if words else 0, True), said
    assert main([str(root), "--dataset", "camvld", "--output", str(cache)]) == 2
    assert "Did you mean 'camvid'" in capsys.readouterr().err


def test_one_process_writes_at_a_time(root: Path, cache: Path) -> None:
    reader = KINDS["camvid"](root, "train")
    first, second = (CacheWriter(cache, reader, "camvid") for _ in range(2))

    def meanwhile() -> bool:
        with pytest.raises(SegError, match="Another process is writing"):
            second.write()
        return True

    assert first.write(go_on=meanwhile) == (0, [])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"])
def test_sizes_are_those_that_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.zeros((40, 70, 3), np.uint8))
    assert size_of(path) == (40, 70)
    if suffix == ".jpg":  # on its side
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
        data = path.read_bytes()
        path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
        assert size_of(path) == (70, 40) == read_image_bgr(path).shape[:2]
    path.write_bytes(b"text")
    with pytest.raises(SegError, match="is not a picture"):
        size_of(path)


def test_nothing_is_read_of_the_files(root: Path, cache: Path) -> None:
    assert write(root, cache) == 0
    expected = samples(root)
    for file in (root / "train").iterdir():
        times_ns = file.stat().st_atime_ns, file.stat().st_mtime_ns
        file.write_bytes(bytes(file.stat().st_size))  # their size and time stay
        os.utime(file, ns=times_ns)
    for one, same in zip(expected, samples(root, cache=str(cache)), strict=True):
        assert torch.equal(one["image"], same["image"])
