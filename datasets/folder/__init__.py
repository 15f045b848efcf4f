"""Any folder of pictures and masks; `lraspp folder DIR` proposes its `classes.yaml`, and checks it."""

from datasets.folder.reader import Folder

__all__ = ["Folder"]
