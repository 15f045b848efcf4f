"""The texts that safetensors and ONNX files carry in their metadata, read without a package and without their tensors.

Formats: https://github.com/huggingface/safetensors#format and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
_ONNX_METADATA_PROPS = 14  # field of ModelProto, repeated; each holds a key (1) and a value (2)


def of_safetensors(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file whose length is what its header says.

    Raises:
        OSError: it can't be read.
        ValueError, KeyError, TypeError, AttributeError: it is damaged.
    """
    return dict(safetensors_header(path)[0].get("__metadata__") or {})


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """Returns what the header of a safetensors file says of metadata and tensors, and where the tensors' bytes begin.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: as above.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - 8):
            raise ValueError("its header doesn't fit into it")
        header: dict[str, Any] = json.loads(file.read(length))
    ends = (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
    end = 8 + length + max(ends, default=0)
    if end != size:
        raise ValueError(f"it should have {end} bytes and has {size}")
    return header, 8 + length


def of_onnx(path: Path) -> dict[str, str]:
    """Returns the metadata of an ONNX file, found among its top-level protobuf fields; the graph is skipped unread.

    Raises:
        OSError: it can't be read.
        ValueError, TypeError, IndexError: it is damaged.
    """
    found = {}
    with path.open("rb") as file:
        size = path.stat().st_size
        for field_number, length in _protobuf_fields(file, size):
            end = file.tell() + length
            if field_number == _ONNX_METADATA_PROPS:
                entry = {number: file.read(part) for number, part in _protobuf_fields(file, end)}
                found[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
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
