"""The ranges of activations that an int8 ONNX was calibrated to, read without a package.

They stand in its DequantizeLinear nodes, https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html. The fields of a file have
the numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seg.headers import protobuf_fields, varint

_GRAPH = 7  # field of ModelProto
_NODE, _INITIALIZER = 1, 5  # of GraphProto
_INPUT, _OUTPUT, _NAME, _OP_TYPE = 1, 2, 3, 4  # of NodeProto
_DATA_TYPE, _FLOATS, _INTS, _TENSOR_NAME, _RAW = 2, 4, 5, 8, 9  # of TensorProto
_TYPES = {1: "<f4", 2: "u1", 3: "i1"}  # of scales and zero points
_SCOPE = "/conv/Conv"  # how the exporter names a convolution that has a norm behind it


class Range(NamedTuple):
    """How activations become bytes: a value is (level - zero) * step, with levels from 0 to 255."""

    step: float
    zero: int


def read(path: Path) -> dict[str, Range]:
    """Returns the range of each convolution's input that is quantised, by the convolution's name in the network's state dict.

    Raises:
        OSError: the file can't be read.
        ValueError, KeyError, IndexError: it is damaged.
    """
    nodes, tensors = [], dict[str, bytes]()
    for graph in (content for number, content in _fields(path.read_bytes()) if number == _GRAPH):
        for number, content in _fields(graph):
            if number == _NODE:
                nodes.append(_Node.of(content))
            elif number == _INITIALIZER:
                tensors[_text(content, _TENSOR_NAME)] = content
    makers = {output: node for node in nodes for output in node.outputs}
    found = {}
    for node in nodes:
        maker = makers.get(node.inputs[0]) if node.op_type == "Conv" and node.name.endswith(_SCOPE) else None
        if maker is not None and maker.op_type == "DequantizeLinear" and (range_ := _range(maker, tensors)) is not None:
            found[node.name.removesuffix(_SCOPE).strip("/").replace("/", ".")] = range_
    return found


class _Node(NamedTuple):
    name: str
    op_type: str
    inputs: list[str]
    outputs: list[str]

    @classmethod
    def of(cls, content: bytes) -> "_Node":
        fields = list(_fields(content))
        inputs, outputs = ([text.decode() for number, text in fields if number == wanted] for wanted in (_INPUT, _OUTPUT))
        return cls(_text(content, _NAME), _text(content, _OP_TYPE), inputs, outputs)


def _range(node: _Node, tensors: Mapping[str, bytes]) -> Range | None:
    """Returns what a DequantizeLinear says; None where it says it for each channel, as it does in front of depthwise ones."""
    steps, zeros = (_numbers(tensors[name]) for name in node.inputs[1:3])
    if steps.size != 1 or zeros.size != 1:
        return None
    if not 0 < steps[0] < np.inf:
        raise ValueError("a range has no width")
    return Range(float(steps[0]), int(zeros[0]) + (128 if zeros.dtype == np.int8 else 0))


def _numbers(tensor: bytes) -> Any:
    """Returns a TensorProto's numbers, flat."""
    fields = dict(_fields(tensor))
    dtype = np.dtype(_TYPES[varint(BytesIO(fields[_DATA_TYPE]))])
    if _INTS in fields:
        file, numbers = BytesIO(fields[_INTS]), []
        while file.tell() < len(fields[_INTS]):
            numbers.append(varint(file))
        return np.array([number & 0xFF for number in numbers], np.uint8).view(dtype)  # negative ones come in 64 bits
    return np.frombuffer(fields[_FLOATS] if _FLOATS in fields else fields[_RAW], dtype)


def _text(message: bytes, wanted: int) -> str:
    return next((content.decode() for number, content in _fields(message) if number == wanted), "")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    file = BytesIO(message)
    for number, length in protobuf_fields(file, len(message)):
        yield number, file.read(length)
