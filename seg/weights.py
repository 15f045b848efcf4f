"""Weights files: the names of those shipped, and the description that each carries in its own header.

A weights file is safetensors. Its metadata holds one JSON text under the key `lraspp`: everything needed to rebuild the
network and to use it rightly (`Description`). Beside each shipped `NAME.safetensors` lies `NAME.onnx`, which carries the
same text, so that running needs no torch. Format: https://github.com/huggingface/safetensors#format
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from seg.errors import SegError, did_you_mean
from seg.label_sets import LabelSet

METADATA_KEY = "lraspp"
FORMAT_VERSION = 1
SHIPPED_FOLDER = Path(__file__).parent / "assets"
DEFAULT = "scenes_small"
_MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit


@dataclass(frozen=True)
class Description:
    """What a weights file says of itself.

    Attributes:
        network: class in `seg.models`, for example "LRASPP".
        arguments: the constructor's keyword arguments; those left out have their defaults.
        label_set: what the scores' channels mean.
        mean, std: per RGB channel in units of 0 to 1; the network normalises with them itself.
        train_size_hw: (H, W) that it was trained at, the sensible size to run at.
        license: SPDX name, or a sentence where there is none.
        metrics: measured when the file was made, such as {"val/miou": 0.6}.
        training: how the weights came about: command, duration, versions, date.
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


def shipped() -> list[str]:
    """Returns the names of the weights in the package."""
    return sorted(path.stem for path in SHIPPED_FOLDER.glob("*.safetensors"))


def find(name_or_path: str | Path) -> Path:
    """Returns the file of shipped weights by name, or the path itself if it is a file.

    Raises:
        SegError: neither; the message lists the near names.
    """
    path = Path(name_or_path)
    if path.is_file():
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
        SegError: the file is missing, damaged, or of another project.
    """
    path = Path(path)
    kind, read = ("ONNX", _onnx_metadata) if path.suffix == ".onnx" else ("safetensors", _safetensors_metadata)
    try:
        text = read(path)
    except FileNotFoundError:
        raise SegError(f"There is no weights file {path}.") from None
    except OSError as error:
        raise SegError(f"{path} can't be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SegError(f"{path} is not a whole {kind} file: {error}.") from None
    if text is None:
        raise SegError(f"{path} is {kind}, but carries no {METADATA_KEY!r} metadata: it isn't weights of lraspp.")
    return Description.from_json(text, path)


def _safetensors_metadata(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - 8):
            raise ValueError("its header doesn't fit into it")
        header = json.loads(file.read(length))
    ends = (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
    end = 8 + length + max(ends, default=0)
    if end != size:
        raise ValueError(f"it should have {end} bytes and has {size}")
    text: str | None = (header.get("__metadata__") or {}).get(METADATA_KEY)
    return text


_ONNX_METADATA_PROPS = 14  # field of ModelProto, repeated; each holds a key (1) and a value (2)


def _onnx_metadata(path: Path) -> str | None:
    """Finds our entry among an ONNX file's top-level protobuf fields; needs no package, and skips the graph unread."""
    found = None
    with path.open("rb") as file:
        size = path.stat().st_size
        for field_number, length in _protobuf_fields(file, size):
            end = file.tell() + length
            if field_number == _ONNX_METADATA_PROPS:
                entry = {number: file.read(part) for number, part in _protobuf_fields(file, end)}
                if entry.get(1) == METADATA_KEY.encode():
                    found = entry.get(2, b"").decode()
            file.seek(end)
    return found


def _protobuf_fields(file: IO[bytes], end: int) -> Iterator[tuple[int, int]]:
    """Yields number and remaining length of each field up to `end`; the file then stands at the field's content.

    Encoding: https://protobuf.dev/programming-guides/encoding
    """
    while file.tell() < end:
        tag = _varint(file)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or wire_type not in (0, 1, 2, 5):
            raise ValueError("it isn't a protobuf message")
        if wire_type == 0:
            _varint(file)
        length = {0: 0, 1: 8, 5: 4}[wire_type] if wire_type != 2 else _varint(file)
        if file.tell() + length > end:
            raise ValueError("it ends too early")
        yield number, length


def _varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it isn't a protobuf message")
