"""A label set: the classes a network tells apart, their colours, and how they are stored in label files.

Train ids are what networks predict: 0 to C-1, and 255 for pixels that are ignored. Label ids are what a data set's files
hold. Sources: cityscapesScripts' `labels.py` and evaluator for Cityscapes; Brostow et al. (2009) and the SegNet tutorial for
CamVid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seg.errors import SegError, did_you_mean

IGNORE = 255
ClassMap: TypeAlias = Mapping[str, str | list[str] | None]  # from names of classes to those of a network, see `map_classes`
Color: TypeAlias = tuple[int, int, int]  # red, green, blue; 0 to 255
INSTANCE_FACTOR = 1000  # an instance id is label id x 1000 + number; up to here it is a label id, of a group or of no instance


@dataclass(frozen=True)
class LabelSet:
    """Names, colours and ids of the classes; entry i of each tuple belongs to train id i.

    Attributes:
        name: what reports call it.
        classes: class names.
        colors: the colour of each class.
        label_ids: the value of each class in the data set's own label files.
        ignored_label_ids: further values that such files may hold; they become 255.
        categories: the group that each class belongs to; empty where a data set has none.
        instance_sizes: mean size of an instance of each class [px], which iIoU weighs by; 0 for a class whose instances
            aren't told apart, empty where none are.
    """

    name: str
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    label_ids: tuple[int, ...]
    ignored_label_ids: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    instance_sizes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.classes) == len(self.colors) == len(self.label_ids):
            raise SegError(f"Label set {self.name!r} has {len(self.classes)} names, {len(self.colors)} colours and "
                           f"{len(self.label_ids)} label ids; there must be one of each for every class.")
        if not 0 < len(self.classes) < IGNORE:
            raise SegError(f"Label set {self.name!r} has {len(self.classes)} classes; there can be 1 to 254.")
        for what, values in (("class name", self.classes), ("label id", self.label_ids)):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise SegError(f"Label set {self.name!r} has the {what} {sorted(twice)[0]!r} twice.")
        for what, entries in (("categories", self.categories), ("instance sizes", self.instance_sizes)):
            if len(entries) not in (0, len(self.classes)):
                raise SegError(f"Label set {self.name!r} has {len(entries)} {what} for {len(self.classes)} classes; there must "
                               "be one for each class, or none.")

    def __len__(self) -> int:
        return len(self.classes)

    def train_ids_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Returns the train ids of classes.

        Raises:
            SegError: there is none of a name; the message lists the near ones.
        """
        for name in names:
            if name not in self.classes:
                raise SegError(f"The label set {self.name!r} has no class {name!r}. {did_you_mean(name, self.classes)}")
        return tuple(map(self.classes.index, names))

    def category_names(self) -> tuple[str, ...]:
        """Returns the categories, each once, in the order of their first class."""
        return tuple(dict.fromkeys(self.categories))

    def palette(self) -> npt.NDArray[np.uint8]:
        """Returns (256, 3) uint8 RGB: the colour of each train id, black for all others."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette

    def to_train_ids(self) -> npt.NDArray[np.int16]:
        """Returns a table (256,) from label id to train id: 255 where ignored, -1 where a file may not hold the value."""
        table = np.full(256, -1, np.int16)
        table[[i for i in self.ignored_label_ids if 0 <= i < 256]] = IGNORE
        table[list(self.label_ids)] = np.arange(len(self))
        return table

    def to_label_ids(self) -> npt.NDArray[np.uint8]:
        """Returns a table (256,) uint8 from train id to label id; train ids without a class become 255."""
        table = np.full(256, 255, np.uint8)
        table[: len(self)] = self.label_ids
        return table

    def to_dict(self) -> dict[str, Any]:
        """Returns plain types, for JSON."""
        values: dict[str, Any] = {
            "name": self.name, "classes": list(self.classes), "colors": [list(c) for c in self.colors],
            "label_ids": list(self.label_ids), "ignored_label_ids": list(self.ignored_label_ids)}
        if self.categories:
            values["categories"] = list(self.categories)
        if self.instance_sizes:
            values["instance_sizes"] = list(self.instance_sizes)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LabelSet":
        """Rebuilds what `to_dict` gave.

        Raises:
            SegError: a key is missing or a value has the wrong form.
        """
        try:
            return cls(str(values["name"]), tuple(map(str, values["classes"])),
                       tuple((int(r), int(g), int(b)) for r, g, b in values["colors"]),
                       tuple(map(int, values["label_ids"])), tuple(map(int, values.get("ignored_label_ids", ()))),
                       tuple(map(str, values.get("categories", ()))), tuple(map(float, values.get("instance_sizes", ()))))
        except (KeyError, TypeError, ValueError) as error:
            raise SegError(f"A label set can't be read: {type(error).__name__} {error}.") from None


CAMVID = LabelSet(
    name="camvid",
    classes=("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    colors=((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
            (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
    label_ids=tuple(range(11)),
    ignored_label_ids=(11, 255),
)

CITYSCAPES = LabelSet(
    name="cityscapes",
    classes=("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
             "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    colors=((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
            (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
            (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
    label_ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    ignored_label_ids=(0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30),
    categories=("flat",) * 2 + ("construction",) * 3 + ("object",) * 3 + ("nature",) * 2 + ("sky",) + ("human",) * 2
               + ("vehicle",) * 6,
    # of the training set, from cityscapesScripts' evaluator
    instance_sizes=(0,) * 11 + (3462.4756337644, 3930.4788056518, 12794.0202738185, 27855.1264367816, 35732.1511111111,
                                67583.7075812274, 6298.7200839748, 4672.3249222261),
)

LABEL_SETS = {label_set.name: label_set for label_set in (CAMVID, CITYSCAPES)}


def known(label_set: LabelSet) -> LabelSet:
    """Returns the label set above that has the same classes in the same order, else the given one.

    A network that learns a known label set's classes from files of another form is one of the known label set all the same.
    """
    return next((other for other in LABEL_SETS.values() if other.classes == label_set.classes), label_set)


def map_classes(theirs: Sequence[str], ours: Sequence[str], classes: ClassMap, whose: str) -> dict[str, tuple[int, ...]]:
    """Says what the classes of a data set or a teacher are in the classes of a network.

    Args:
        theirs: names of those classes.
        ours: the network's.
        classes: a name or a list of names of the network's classes for each of theirs, None for none; what is left out must have
            the same name here.
        whose: theirs, in messages.

    Returns:
        The train ids of each of their classes, in rising order; none where it has no place here.

    Raises:
        SegError: a name on either side is unknown, sets overlap, a class is neither mapped nor of the same name, or none is left.
    """
    for name in classes:
        if name not in theirs:
            raise SegError(f"{whose} has no class {name!r}, which the map of its classes names. {did_you_mean(name, theirs)}")
    targets = dict[str, tuple[int, ...]]()
    for name in theirs:
        if name not in classes and name not in ours:
            raise SegError(f"{whose} has the class {name!r}, which the network doesn't have. A map of its classes must say which "
                           f"of {', '.join(ours)} it is, or null to leave it out.")
        target = classes.get(name, name)
        if target == []:
            raise SegError(f"{whose}: {name!r} is mapped to an empty list; null leaves a class out.")
        names = [] if target is None else [target] if isinstance(target, str) else list(dict.fromkeys(target))
        for unknown in (n for n in names if n not in ours):
            raise SegError(f"{whose}: {name!r} is mapped to {unknown!r}, which the network doesn't have. "
                           f"{did_you_mean(unknown, ours)}")
        targets[name] = tuple(sorted(ours.index(n) for n in names))
        for rival, ids in targets.items():
            shared = set(ids) & set(targets[name])
            if shared and ids != targets[name]:
                raise SegError(f"{whose}: both {rival!r} and {name!r} are mapped to {ours[min(shared)]!r}; sets of classes can't "
                               "overlap. Leave it out of one of them.")
    if not any(targets.values()):
        raise SegError(f"{whose}: the map of its classes leaves out all of them.")
    return targets


def get(name: str) -> LabelSet:
    """Returns the label set of that name.

    Raises:
        SegError: there is none; the message lists the near names.
    """
    if name not in LABEL_SETS:
        raise SegError(f"There is no label set {name!r}. {did_you_mean(name, LABEL_SETS)}")
    return LABEL_SETS[name]
