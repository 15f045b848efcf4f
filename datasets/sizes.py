"""How large pictures are, by what their files' heads say: what must be known before anything is decoded."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from seg.errors import SegError
from seg.files import read_image_bgr

_ORIENTATION = 0x0112  # of Exif 2.32 (CIPA DC-008); above 4 a picture is shown on its side


def size_of(path: Path) -> tuple[int, int]:
    """Returns height and width [px] of a picture as it is read, without decoding it where its head tells.

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
        pass  # whether it is damaged or of a format that Pillow doesn't know, OpenCV decides, which reads it
    height, width = read_image_bgr(path).shape[:2]
    return height, width
