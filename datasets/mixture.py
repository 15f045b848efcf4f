"""Several data sets as one for training: each has its share of a batch, and its classes are mapped to the network's.

A pixel's label is a train id of the network, or 255 where it is ignored. A value from the number of classes up is the number of
a set of classes: it comes from a coarser label, which only says that the pixel is of one of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datasets.base import UInt8Array
from seg.errors import SegError
from seg.label_sets import IGNORE, ClassMap, LabelSet, map_classes

_LONGEST = 10**7  # samples in an epoch; more are a share that was mistyped


@dataclass
class OtherData:
    """A further data set to learn from.

    Attributes:
        root: its folder; by default the first data set's.
        dataset: its kind, as of the first; `pictures` for a folder of pictures without labels, which a teacher labels.
        share: its part of the samples, beside the shares of the others.
        classes: what its classes are in the network's: a name, or a list of names where it is coarser; null ignores a
            class. A class that is left out must have the same name in the network.
        scale_range: its own, where its pictures are of another scale.
        cache: its own, as of the first.
        split: which of its splits is learnt from: Cityscapes' coarse labels are `train_extra`, and `val` of the first data
            set's own root makes a final training on all that is labelled.
    """

    root: str = ""
    dataset: str = "folder"
    share: float = 1.0
    classes: dict[str, str | list[str] | None] | None = None
    scale_range: tuple[float, float] | None = None
    cache: bool | str | None = None
    split: str = "train"


class ClassSets:
    """The sets of the network's classes that coarser labels stand for, each once; their numbers follow those of the classes.

    Attributes:
        members: train ids of each set, in order of their numbers.
    """

    def __init__(self, label_set: LabelSet) -> None:
        self.label_set = label_set
        self.members: list[tuple[int, ...]] = []

    def table(self, other: LabelSet, classes: ClassMap, where: str) -> UInt8Array:
        """Returns a table (256,) from the train ids of another label set to labels of the network's.

        Args:
            other: the label set of the data set.
            classes: see `OtherData`.
            where: what messages call the data set.

        Raises:
            SegError: as `map_classes`, or there are too many sets.
        """
        table = np.full(256, IGNORE, np.uint8)
        for index, ids in enumerate(map_classes(other.classes, self.label_set.classes, classes, where).values()):
            if ids:
                table[index] = ids[0] if len(ids) == 1 else self._number(ids)
        return table

    def _number(self, ids: tuple[int, ...]) -> int:
        if ids not in self.members:
            self.members.append(ids)
        number = len(self.label_set) + self.members.index(ids)
        if number >= IGNORE:
            raise SegError(f"The data sets have {len(self.members)} different sets of classes; with {len(self.label_set)} "
                           f"classes there can be {IGNORE - len(self.label_set)}.")
        return number


def check_shares(shares: Sequence[float]) -> None:
    """Checks the shares of a batch.

    Raises:
        SegError: one is negative, or the first, whose passes are counted as epochs, is not above 0.
    """
    if min(shares) < 0 or shares[0] <= 0 or not np.isfinite(sum(shares)):
        raise SegError(f"The data sets' shares are {', '.join(f'{share:g}' for share in shares)}; they can't be negative, and "
                       "the first data set, by which epochs are counted, needs one above 0.")


def mixed_order(counts: Sequence[int], shares: Sequence[float], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Returns the order of an epoch over data sets laid end to end: one pass over the first, the others by their shares.

    The next sample always comes from the data set that is furthest behind its share, so that each batch is as close to the
    mixture as whole samples allow. Within a data set every sample comes once before one comes again.
    """
    check_shares(shares)
    part = np.array(shares, np.float64) / sum(shares)
    length = round(counts[0] / part[0])
    if length > _LONGEST:
        raise SegError(f"One pass over the first data set's {counts[0]} samples, with its share of {part[0]:.1g}, makes an epoch "
                       f"of {length:.1e} samples. Give it a larger share.")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    given = np.zeros(len(counts), np.int64)
    which = np.empty(length, np.int64)
    for place in range(length):
        which[place] = np.argmax((place + 1) * part - given)
        given[which[place]] += 1
    order = np.empty(length, np.int64)
    for number, count in enumerate(counts):
        passes = _passes(count, (seed, epoch, number))
        order[which == number] = starts[number] + np.array([next(passes) for _ in range(given[number])], np.int64)
    return order


def _passes(count: int, key: tuple[int, int, int]) -> Iterator[int]:
    random = np.random.default_rng(key)
    while True:
        yield from random.permutation(count).tolist()
