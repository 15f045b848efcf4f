"""Reads the texts in the metadata of safetensors and ONNX files, and the orientation of pictures; needs no other package.

Formats: https://github.com/huggingface/safetensors#format, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and, for
pictures, Exif 2.32 (CIPA DC-008), whose entries are TIFF's.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
_ONNX_METADATA_PROPS = 14  # field of ModelProto, repeated; each holds a key (1) and a value (2)
_EXIF_MARKS = ((b"\xff\xd8", b"Exif\0\0", 6), (b"\x89PNG", b"eXIf", 4), (b"RIFF", b"EXIF", 8))  # head, mark, its length
_ORIENTATION = 0x0112


def of_safetensors(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file. The file must have the length that its header says.

    Raises:
        OSError: it can't be read.
        ValueError, KeyError, TypeError, AttributeError: it is damaged.
    """
    return dict(safetensors_header(path)[0].get("__metadata__") or {})


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """Returns the header of a safetensors file, with metadata and tensors, and the position where the tensors' bytes begin.

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
    """Returns the metadata of an ONNX file, found among its top-level protobuf fields; the graph is skipped.

    Raises:
        OSError: it can't be read.
        ValueError, TypeError, IndexError: it is damaged.
    """
    found = {}
    with path.open("rb") as file:
        size = path.stat().st_size
        for field_number, length in protobuf_fields(file, size):
            end = file.tell() + length
            if field_number == _ONNX_METADATA_PROPS:
                entry = {number: file.read(part) for number, part in protobuf_fields(file, end)}
                found[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            file.seek(end)
    return found


def with_texts(path: Path, texts: dict[str, str]) -> bytes:
    """Returns the bytes of a safetensors or ONNX file with these texts in its metadata; all else stays.

    Raises:
        OSError: it can't be read.
        ValueError, KeyError, TypeError, AttributeError, IndexError: it is damaged.
    """
    data = path.read_bytes()
    if path.suffix != ".onnx":
        header, begin = safetensors_header(path)
        header["__metadata__"] = {**(header.get("__metadata__") or {}), **texts}
        head = json.dumps(header, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 8)  # the format requires aligned tensors
        return struct.pack("<Q", len(head)) + head + data[begin:]
    kept = list[bytes]()
    with path.open("rb") as file:
        start = 0
        for number, length in protobuf_fields(file, len(data)):
            end = file.tell() + length
            if number != _ONNX_METADATA_PROPS:
                kept.append(data[start:end])
            start = end
            file.seek(end)
    for key, text in {**of_onnx(path), **texts}.items():
        entry = _protobuf_bytes(1, key.encode()) + _protobuf_bytes(2, text.encode())
        kept.append(_protobuf_bytes(_ONNX_METADATA_PROPS, entry))
    return b"".join(kept)


def exif_orientation(picture: bytes) -> int:
    """Returns the orientation that a JPEG, PNG, WebP or TIFF states: 1 is upright, 2 to 8 are as Exif defines them."""
    block = picture if picture[:4] in (b"II*\0", b"MM\0*") else b""
    for head, mark, length in _EXIF_MARKS:
        if picture.startswith(head) and (place := picture.find(mark)) >= 0:
            block = picture[place + length :]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        if order is None:
            return 1
        start = struct.unpack_from(f"{order}I", block, 4)[0]
        for number in range(struct.unpack_from(f"{order}H", block, start)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _protobuf_bytes(number: int, content: bytes) -> bytes:
    """Returns a field of bytes or text, or a message that is encoded already."""
    return bytes([number << 3 | 2]) + _to_varint(len(content)) + content


def _to_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def protobuf_fields(file: IO[bytes], end: int) -> Iterator[tuple[int, int]]:
    """Yields each field's number and its content's length, up to `end`. The file is then at the content; the caller must move on.

    Encoding: https://protobuf.dev/programming-guides/encoding
    """
    while file.tell() < end:
        tag = varint(file)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or wire_type not in (0, 1, 2, 5):
            raise ValueError("it isn't a protobuf message")
        if wire_type == 0:
            begin = file.tell()
            varint(file)
            length = file.tell() - begin
            file.seek(begin)
        else:
            length = varint(file) if wire_type == 2 else {1: 8, 5: 4}[wire_type]
        if file.tell() + length > end:
            raise ValueError("it ends too early")
        yield number, length


def varint(file: IO[bytes]) -> int:
    """Reads a number of variable length."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it isn't a protobuf message")
