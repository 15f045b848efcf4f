"""How readers report what is wrong: short lists, ranges, and labels that a table doesn't have, summed up over many files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from seg.errors import SegError


class UnknownLabels(SegError):
    """A label file holds values or colours that its data set's table doesn't have.

    The arguments stay separate, so that many files can be summed up, and so that the error can travel between processes.

    Attributes:
        path: the file.
        pixels: number of pixels with each value or colour, by its name in messages.
        known: says what the table has; the end of a sentence.
    """

    def __init__(self, path: Path, pixels: Mapping[str, int], known: str) -> None:
        super().__init__(path, dict(pixels), known)
        self.path, self.pixels, self.known = path, pixels, known

    def __str__(self) -> str:
        most = sorted(self.pixels, key=self.pixels.__getitem__, reverse=True)
        counts = listing([f"{what} in {self.pixels[what]}" for what in most])
        return f"{self.path} holds {counts} pixels; {self.known}."


def sum_up(errors: Sequence[UnknownLabels], most: int = 20) -> list[str]:
    """Returns a sentence for each unknown value or colour, or the one file's own; at most `most`, then one for the rest."""
    if len(errors) < 2:
        return list(map(str, errors))
    pixels, files = dict[str, int](), dict[str, list[UnknownLabels]]()
    for error in errors:
        for what, count in error.pixels.items():
            pixels[what] = pixels.get(what, 0) + count
            files.setdefault(what, []).append(error)
    worst = sorted(pixels, key=pixels.__getitem__, reverse=True)
    sentences = []
    for what in worst[:most]:
        places = listing([str(error.path) for error in files[what]], 3)
        hold = "file holds" if len(files[what]) == 1 else "files hold"
        sentences.append(f"{len(files[what])} {hold} {what} in {pixels[what]} pixels ({places}); {errors[0].known}.")
    if len(worst) > most:
        sentences.append(f"{len(worst) - most} more such values are in {sum(pixels[what] for what in worst[most:])} pixels. "
                         "So many come of smoothing, resizing or JPEG compression; export the labels again without it.")
    return sentences


def listing(values: Iterable[object], most: int = 8) -> str:
    """[1, 2, 3] -> "1, 2, 3", and how many more there are."""
    texts = list(map(str, values))
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def ranges(values: Iterable[int]) -> str:
    """[0, 1, 2, 5] -> "0 to 2, 5"."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(f"{first} to {last}" if last > first else str(first) for first, last in runs)
