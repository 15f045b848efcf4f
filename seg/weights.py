"""Weights files: the names of those shipped, and the description that each carries in its own header.

A weights file is safetensors. Its metadata holds one JSON text under the key `lraspp`: everything needed to rebuild the
network and to use it correctly (`Description`). Beside each shipped `NAME.safetensors` are `NAME.onnx` and `NAME_int8.onnx`,
which carry the same text, so that running needs no torch.

An exported file also describes the export itself, under the key `lraspp_export` (`Export`): precision, output, and how close its
results are to the network's. The same network in int8 is `NAME_int8.onnx`.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg import headers, ranges
from seg.errors import SegError, did_you_mean
from seg.label_sets import LabelSet

METADATA_KEY, EXPORT_KEY = "lraspp", "lraspp_export"
FORMAT_VERSION = 2  # version 2 added `long_side`
SHIPPED_FOLDER = Path(__file__).parent / "assets"
DEFAULT = "street_small"
# Files that users give as weights by mistake.
_OTHERS = {".ckpt": "a checkpoint of a training", ".pt": "a file of torch", ".pth": "a file of torch",
           ".pt2": "an export for torch", ".xml": "an export for OpenVINO", ".bin": "a part of an export for OpenVINO"}
_NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}  # of safetensors


class ForeignFile(SegError):
    """A file that is not of this project, and may be a network's all the same."""


@dataclass(frozen=True)
class Description:
    """What a weights file says of itself.

    Attributes:
        network: class in `seg.models`, for example "LRASPP".
        arguments: the constructor's keyword arguments; those left out have their defaults.
        label_set: what the scores' channels mean.
        mean, std: per RGB channel in units of 0 to 1; the network normalises with them itself.
        train_size_hw: (H, W) of the training crops.
        license: SPDX name, or a sentence where there is none.
        metrics: measured when the file was made, such as {"val/miou": 0.6}.
        training: how the weights came about: command, duration, versions, date.
        long_side: longer side of the frames on which it is most accurate [px], found by measurement: a network recognises
            things best at the scale that it learnt. None if nobody measured it; frames then run at their own size.
        format_version: of this description.
    """

    network: str
    arguments: dict[str, Any]
    label_set: LabelSet
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_size_hw: tuple[int, int]
    license: str = "unknown"
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    long_side: int | None = None
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Returns the text that goes into the file's metadata."""
        return json.dumps({**asdict(self), "label_set": self.label_set.to_dict()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> "Description":
        """Rebuilds what `to_json` gave.

        Raises:
            SegError: the text isn't such a description, or is of a newer format. `source` is named in the message.
        """
        try:
            values = json.loads(text)
            version = int(values["format_version"])
        except (ValueError, TypeError, KeyError):
            raise SegError(f"{source} carries a description that can't be read; it isn't a weights file of lraspp.") from None
        if version > FORMAT_VERSION:
            raise SegError(f"{source} has format version {version}; this lraspp reads up to {FORMAT_VERSION}. Update lraspp.")
        try:
            values["label_set"] = LabelSet.from_dict(values["label_set"])
            for key in ("mean", "std", "train_size_hw"):
                values[key] = tuple(values[key])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise SegError(f"The description in {source} is not whole: {error}.") from None


@dataclass(frozen=True)
class Export:
    """What an exported file says about how it was made, and about how close its results are to the network's.

    Attributes:
        precision: "fp32", "bf16" or "int8": of the weights and, except for `kept_fp32`, of the arithmetic.
        output: "scores" of the decoder's own size, or "labels" of the frame's.
        size_hw: the only (H, W) that it takes; None for any.
        largest_difference: for scores, the largest difference from those of the network, in units of the standard deviation of
            the network's scores. For labels, the most by which the network scores one of them below its own label, in the
            same units.
        agreement: share of the pixels that get the same label.
        compared_frames: the number of frames on which both were measured.
        engines: that ran it.
        weights_sha256: of the safetensors file; None for a network that came from none.
        kept_fp32: the parts that int8 leaves in float32.
        calibration_frames: the number of frames that the ranges of int8 come from.
        format_version: of this text.
    """

    precision: str
    output: str
    size_hw: tuple[int, int] | None
    largest_difference: float
    agreement: float
    compared_frames: int
    engines: tuple[str, ...]
    weights_sha256: str | None = None
    kept_fp32: tuple[str, ...] = ()
    calibration_frames: int = 0
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Returns the text that goes into the file's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> "Export":
        """Rebuilds what `to_json` gave; what a later version added is left out.

        Raises:
            SegError: the text isn't such a description. `source` is named in the message.
        """
        try:
            given: dict[str, Any] = json.loads(text)
            values = {entry.name: given[entry.name] for entry in fields(cls)}
            for key in ("engines", "kept_fp32"):
                values[key] = tuple(values[key])
            values["size_hw"] = values["size_hw"] and tuple(values["size_hw"])
            return cls(**values)
        except (ValueError, TypeError, KeyError):
            raise SegError(f"{source} doesn't say as expected how it was exported; export it again: "
                           "lraspp export") from None


def sha256(path: Path) -> str:
    """Returns the hash of a file's bytes, which identifies the weights that an export came from.

    Raises:
        SegError: it can't be read.
    """
    try:
        found = path.stat()
        return _sha256(path.resolve(), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except OSError as error:
        raise SegError(f"{path} can't be read: {error.strerror or error}.") from None


@lru_cache
def _sha256(path: Path, *_version: int) -> str:
    """A start asks for the same file several times, once for each engine; `_version` tells apart what a file was and is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped() -> list[str]:
    """Returns the names of the weights in the package."""
    return sorted(path.stem for path in SHIPPED_FOLDER.glob("*.safetensors"))


def find(name_or_path: str | Path) -> Path:
    """Returns the file of shipped weights by name, or the path itself if it is a file.

    Raises:
        ForeignFile: it is a file of torch.
        SegError: it is another file that holds no weights, or there is none; the message lists the near names.
    """
    path = Path(name_or_path)
    if path.is_file():
        if path.suffix.lower() in _OTHERS:
            run = path.parent.parent if path.parent.name == "checkpoints" else "RUN"
            kind = ForeignFile if path.suffix.lower() in (".pt", ".pth") else SegError
            raise kind(f"{path} is {_OTHERS[path.suffix.lower()]}, and no weights file. " + (
                f"Make one of it: lraspp weights {run}" if path.suffix.lower() == ".ckpt" else
                "Give a .safetensors, which training ends with, or an .onnx that was made of it."))
        return path
    name = str(name_or_path)
    if name in shipped():
        return SHIPPED_FOLDER / f"{name}.safetensors"
    if path.suffix or len(path.parts) > 1:
        raise SegError(f"There is no weights file {name}. Give a .safetensors or .onnx file, or one of: {', '.join(shipped())}.")
    raise SegError(f"There are no weights {name!r}. {did_you_mean(name, shipped())} Or give the path of a file.")


def read_description(path: str | Path) -> Description:
    """Reads what a .safetensors or .onnx file says of itself; loads no tensor and runs no code.

    Raises:
        ForeignFile: it is of another project.
        SegError: the file is missing or damaged.
    """
    path = Path(path)
    text = _metadata(path).get(METADATA_KEY)
    if text is None:
        raise ForeignFile(f"{path} is {_kind(path)}, but carries no {METADATA_KEY!r} metadata: it isn't weights of lraspp.")
    return Description.from_json(text, path)


def read_export(path: str | Path) -> Export | None:
    """Reads how an .onnx file was exported; None for one that doesn't say, which holds float32 and gives scores.

    Raises:
        SegError: the file is missing or damaged.
    """
    path = Path(path)
    text = _metadata(path).get(EXPORT_KEY)
    return None if text is None else Export.from_json(text, path)


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads the tensors of a safetensors file that are of a type that NumPy has.

    Raises:
        SegError: the file is missing or damaged.
    """
    with _faults_named(path):
        header, begin = headers.safetensors_header(path)
        data = path.read_bytes()
        entries = {name: entry for name, entry in header.items() if entry.get("dtype") in _NUMPY_TYPES}
        return {name: np.frombuffer(data[begin + entry["data_offsets"][0]:begin + entry["data_offsets"][1]],
                                    _NUMPY_TYPES[entry["dtype"]]).reshape(entry["shape"]) for name, entry in entries.items()}


def read_ranges(path: Path) -> dict[str, ranges.Range]:
    """Returns the ranges of activations in an int8 .onnx file, see `ranges.read`.

    Raises:
        SegError: the file is missing or damaged, or holds none.
    """
    with _faults_named(path):
        found = ranges.read(path)
    if not found:
        raise SegError(f"{path} holds no ranges of activations, so it isn't a network in int8. Make it again: lraspp "
                       "export --precision int8 --calibrate FOLDER")
    return found


def describe_anew(path: str | Path, **changes: Any) -> list[Path]:
    """Changes attributes of the description in a weights file and in its exports next to it; returns the changed files.

    Raises:
        SegError: a file can't be read or written, or is damaged.
    """
    from seg.files import atomic_write  # here, because it imports OpenCV, and reading a description needs none

    path = Path(path)
    family = [path.with_suffix(".safetensors"), path.with_suffix(".onnx"), int8_file(path)]
    written, before, after = list[Path](), None, None
    for file in family if path in family else [path]:
        if not file.is_file():
            continue
        texts = {METADATA_KEY: replace(read_description(file), **changes, format_version=FORMAT_VERSION).to_json()}
        if file.suffix == ".onnx" and before is not None and (export := read_export(file)) is not None:
            if export.weights_sha256 not in (None, before):  # an export of other weights that were here before
                continue
            texts[EXPORT_KEY] = replace(export, weights_sha256=export.weights_sha256 and after).to_json()
        if file.suffix == ".safetensors":
            before = sha256(file)
        with _faults_named(file):
            data = headers.with_texts(file, texts)
        with atomic_write(file) as target:
            target.write(data)
        if file.suffix == ".safetensors":
            after = sha256(file)
        written.append(file)
    return written


def int8_file(weights: Path) -> Path:
    """Returns the path where the same network in int8 is expected: NAME_int8.onnx next to NAME.safetensors or NAME.onnx."""
    return weights.with_name(f"{weights.stem}_int8.onnx")


def _kind(path: Path) -> str:
    return "ONNX" if path.suffix == ".onnx" else "safetensors"


def _metadata(path: Path) -> dict[str, str]:
    """Returns the texts in a file's metadata."""
    with _faults_named(path):
        return headers.of_onnx(path) if path.suffix == ".onnx" else headers.of_safetensors(path)


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Turns errors from a missing, unreadable or damaged file into a SegError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise SegError(f"There is no weights file {path}.") from None
    except OSError as error:
        raise SegError(f"{path} can't be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SegError(f"{path} is not a whole {_kind(path)} file: {error}.") from None
