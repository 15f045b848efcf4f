"""A folder of taught labels: `images/` links to the pictures, `masks/` holds the labels, `teach.json` says how they were made."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from datasets.base import Sample, entries_in
from datasets.faults import listing
from datasets.folder.classes import FILE
from seg.errors import SegError
from seg.files import UInt8Array, check_writable_folder, write_image, write_text
from seg.label_sets import IGNORE, LabelSet

RECORD = "teach.json"


class TaughtFolder:
    """The folder that labels are written into, begun or gone on with.

    Args:
        root: of the folder.
        label_set: of the labels.
        record: how they are made, as plain types; a folder whose record differs is refused.

    Raises:
        SegError: the folder holds something else or labels that were made otherwise, or can't be written.
    """

    def __init__(self, root: Path, label_set: LabelSet, record: dict[str, Any]) -> None:
        self.root = root
        record = json.loads(json.dumps(record))
        if root.is_dir() and entries_in(root):
            before = _read_record(root)
            differing = [key for key in record if record[key] != before.get(key)]
            if differing and any((root / "masks").rglob("*.png")):
                key = differing[0]
                how = ("by another teacher" if key == "teacher" else
                       f"otherwise: {key} was {before.get(key)!r:.100} and is {record[key]!r:.100} now")
                raise SegError(f"The labels in {root} were made {how}. Give another --output, or what was given then.")
        check_writable_folder(root)
        write_text(root / RECORD, json.dumps(record, indent=1))
        classes = [{"name": name, "value": index, "color": list(color)}
                   for index, (name, color) in enumerate(zip(label_set.classes, label_set.colors, strict=True))]
        content = {"name": label_set.name, "classes": classes, "ignore": [IGNORE]}
        write_text(root / FILE, yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True))

    def has(self, sample: Sample) -> bool:
        """Whether a picture has its labels already; they are never written again."""
        return self._mask(sample).is_file()

    def write(self, sample: Sample, labels: UInt8Array) -> None:
        """Writes the labels (H, W) of a picture, and a link to it."""
        link = self.root / "images" / f"{sample.name}{sample.image_path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.unlink(missing_ok=True)  # of a picture that has moved
            os.symlink(sample.image_path.resolve(), link)
        write_image(self._mask(sample), np.ascontiguousarray(labels))

    def finish(self, samples: Iterable[Sample]) -> None:
        """Lists the pictures for training."""
        names = sorted(sample.name for sample in samples if self.has(sample))
        write_text(self.root / "train.txt", "".join(f"{name}\n" for name in names))

    def _mask(self, sample: Sample) -> Path:
        return self.root / "masks" / f"{sample.name}.png"


def _read_record(root: Path) -> dict[str, Any]:
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SegError(f"{root} holds something else: {listing(entries_in(root), 3)}. Give a new folder as --output.") from None
    except (OSError, ValueError) as error:
        raise SegError(f"{root / RECORD} can't be read: {error}.") from None
    return record if isinstance(record, dict) else {}
