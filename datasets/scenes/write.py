"""Writes scenes to disk: a split in Cityscapes' layout, a drive as a video, or a sheet of pictures to look at."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from threading import local

import cv2
import numpy as np

from datasets.scenes.catalog import Catalog
from datasets.scenes.parts import UInt8Array
from datasets.scenes.renderer import Frame, Renderer
from datasets.scenes.street import Street
from seg.errors import SegError
from seg.files import check_writable_folder, publish, write_image
from seg.label_sets import CITYSCAPES
from seg.visualize import colorize

FRAMES_PER_SECOND = 17.0  # as Cityscapes was recorded
SPLITS = ("train", "val", "test")
SHEETS = (".jpg", ".png")
LEAST_SIDE, MOST_PIXELS = 32, 4096 * 8192


def check_size(size_hw: tuple[int, int]) -> None:
    """Raises a `SegError` unless pictures of this size can be rendered."""
    if min(size_hw) < LEAST_SIDE or size_hw[0] * size_hw[1] > MOST_PIXELS:
        raise SegError(f"The size is {size_hw[0]}x{size_hw[1]} (height x width); sides are {LEAST_SIDE} pixels at least, "
                       f"and {MOST_PIXELS / 2**20:.0f} megapixels is the most.")


def drive(parts: Catalog, seed: int | str, size_hw: tuple[int, int],
          frames_per_second: float = FRAMES_PER_SECOND) -> Iterator[Frame]:
    """Renders a drive along one street, without end.

    Args:
        parts: what there is to see.
        seed: names the street.
        size_hw: height and width of the frames [px].
        frames_per_second: how much time lies between two of them.
    """
    street, renderer = Street(parts, seed), Renderer(parts.library, size_hw)
    number = 0
    while True:
        yield renderer.render(street.scene(number / frames_per_second))
        number += 1


def write_split(root: Path, parts: Catalog, split: str, frames: int, size_hw: tuple[int, int], seed: int, *, sequence: int = 1,
                threads: int = 1, on_frame: Callable[[], None] = lambda: None) -> None:
    """Writes pictures, label ids and instance ids as `leftImg8bit/` and `gtFine/` below `root`.

    Args:
        root: the data set's folder.
        parts: what there is to see.
        split: the split's name.
        frames: how many.
        size_hw: height and width of the pictures [px].
        seed: names the streets; other seeds have other streets.
        sequence: how many frames each street is driven along; with 1 each frame has its own street.
        threads: how many render at once; the pictures are the same.
        on_frame: called after each frame, in this thread.

    Raises:
        SegError: there is such a split already, or it can't be written.
    """
    check_size(size_hw)
    city = f"scenes{seed}"
    folders = [root / kind / split / city for kind in ("leftImg8bit", "gtFine")]
    for folder in folders:
        if folder.exists() and any(folder.iterdir()):
            raise SegError(f"{folder} holds files already. Remove it, or choose another folder or seed.")
        check_writable_folder(folder)
    renderers = local()
    parts.library.pack()  # here, so that no two threads do it

    def write_street(index: int) -> int:
        if not hasattr(renderers, "own"):
            renderers.own = Renderer(parts.library, size_hw)
        street = Street(parts, f"{seed} {index}")
        count = min(sequence, frames - index * sequence)
        for number in range(count):
            frame = renderers.own.render(street.scene(number / FRAMES_PER_SECOND))
            name = f"{city}_{index:06d}_{number:06d}"
            write_image(folders[1] / f"{name}_gtFine_labelIds.png", frame.label_ids)
            write_image(folders[1] / f"{name}_gtFine_instanceIds.png", frame.instance_ids.astype("uint16"))
            # the picture last: where it stands, its labels do
            write_image(folders[0] / f"{name}_leftImg8bit.png", frame.bgr)
        return count

    streets = iter(range(-(-frames // sequence)))
    with ThreadPoolExecutor(threads) as pool:
        pending: set[Future[int]] = {pool.submit(write_street, index) for index in islice(streets, threads)}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                pending |= {pool.submit(write_street, index) for index in islice(streets, len(done))}
                for future in done:
                    for _ in range(future.result()):
                        on_frame()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_video(path: Path, parts: Catalog, frames: int, size_hw: tuple[int, int], seed: int,
                on_frame: Callable[[], None] = lambda: None) -> None:
    """Writes a drive along one street as an MP4.

    Raises:
        SegError: it can't be written; height and width must be even.
    """
    check_size(size_hw)
    if size_hw[0] % 2 or size_hw[1] % 2:
        raise SegError(f"The size is {size_hw[0]}x{size_hw[1]} (height x width); both must be even in a video.")
    check_writable_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".scenes") as folder:
        temporary = Path(folder) / "drive.mp4"
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, size_hw[::-1])
        if not writer.isOpened():
            raise SegError(f"OpenCV can't write MP4 here, so {path} can't be made.")
        try:
            for frame in islice(drive(parts, seed, size_hw), frames):
                writer.write(frame.bgr)
                on_frame()
        finally:
            writer.release()
        publish(temporary, path)


def write_sheet(path: Path, parts: Catalog, frames: int, size_hw: tuple[int, int], seed: int,
                on_frame: Callable[[], None] = lambda: None) -> None:
    """Writes scenes above their labels, side by side, as one picture.

    Raises:
        SegError: it can't be written.
    """
    check_size(size_hw)
    check_writable_folder(path.parent)
    train_ids = CITYSCAPES.to_train_ids().astype(np.uint8)  # by label id
    renderer, columns = Renderer(parts.library, size_hw), list[UInt8Array]()
    for index in range(frames):
        frame = renderer.render(Street(parts, f"{seed} {index}").scene())
        columns.append(np.concatenate([frame.bgr, colorize(train_ids[frame.label_ids], CITYSCAPES)]))
        on_frame()
    write_image(path, np.concatenate(columns, 1))
