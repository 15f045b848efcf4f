"""The sizes of pictures, read from the headers of their files: they must be known before anything is decoded."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from seg.errors import SegError
from seg.files import read_image_bgr

# At the peak, of a pixel that is trained on with the network of configs/folder_small.yaml, and of one that is validated;
# what seg.training.footprint finds.
STEP_BYTES_PER_PIXEL = 400
VALIDATION_BYTES_PER_PIXEL = 200

_ORIENTATION = 0x0112  # of Exif 2.32 (CIPA DC-008); above 4 a picture is shown on its side


def share_hw(size_hw: tuple[int, int], share: float) -> tuple[int, int]:
    """Returns the crop that is a share of a picture: rounded to a multiple of 32 px, at least 32 px."""
    height, width = (max(32, round(side * share / 32) * 32) for side in size_hw)
    return height, width


def smaller_hw(size_hw: tuple[int, int], share: float) -> tuple[int, int]:
    """Returns a crop at a share of its full size: to whole 32 px, and never above full size."""
    if share == 1:
        return size_hw
    height, width = map(min, size_hw, share_hw(size_hw, share))
    return height, width


def size_of(path: Path) -> tuple[int, int]:
    """Returns height and width [px] of a picture as it is read, without decoding it if its header has them.

    Raises:
        SegError: it can't be read.
    """
    try:
        with Image.open(path) as picture:
            # Of a PNG without that entry before its pixels, `getexif` would decode the pixels to look behind them.
            untold = picture.format == "PNG" and "exif" not in picture.info
            if untold or picture.getexif().get(_ORIENTATION, 1) <= 4:
                return picture.height, picture.width
    except FileNotFoundError:
        raise SegError(f"There is no file {path}.") from None
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        pass  # damaged, or a format that Pillow doesn't know: OpenCV, which reads it, decides
    height, width = read_image_bgr(path).shape[:2]
    return height, width
