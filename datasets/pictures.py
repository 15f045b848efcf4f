"""A folder of pictures without labels, with all folders below it: a teacher labels them, or teaches a student on them."""

from datasets.base import Found, Reader, Sample, pictures_below
from seg.label_sets import LabelSet


class Pictures(Reader):
    """Gives every picture below the root, whatever the split, with no labels."""

    label_set = LabelSet("pictures", ("unlabelled",), ((0, 0, 0),), (0,))

    def find(self) -> Found:
        """Finds the pictures.

        Raises:
            SegError: a folder can't be read, or two pictures have the same name except for their suffix.
        """
        return Found([Sample(name, path, None) for name, path in sorted(pictures_below(self.root).items())], [])
