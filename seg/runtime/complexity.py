"""The size of a network in counts: parameters from the weights file, multiply-adds from the exported graph. It needs no torch."""

from math import prod
from pathlib import Path
from typing import Any

from seg import headers

# Tensors of a safetensors file that are not parameters: the statistics of normalisation layers.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def parameters(weights: Path) -> int | None:
    """Returns the number of learnt parameters; None if the weights are only an export."""
    path = weights.with_suffix(".safetensors")
    if not path.is_file():
        return None
    header, _ = headers.safetensors_header(path)
    return sum(prod(entry["shape"]) for name, entry in header.items()
               if name != "__metadata__" and not name.endswith(_STATISTICS))


def multiply_adds(weights: Path, size_hw: tuple[int, int]) -> int | None:
    """Returns the multiply-adds of all convolutions and matrix products for an image of (H, W).

    None if there is no ONNX next to the weights, or no installed package can read it.
    """
    path = weights.with_suffix(".onnx")
    if not path.is_file():
        return None
    try:
        from seg.runtime.engines.openvino_engine import core
    except ImportError:
        return None
    model = core().read_model(path)
    try:
        model.reshape([1, 3, *size_hw])
    except RuntimeError:  # it was exported for another size
        return None
    return sum(map(_of_node, model.get_ordered_ops()))


def _of_node(node: Any) -> int:
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    given, weight, out = (tuple(port.get_shape()) for port in (node.input(0), node.input(1), node.output(0)))
    if kind == "MatMul":
        attributes = node.get_attributes()
        return prod(out) * given[-2 if attributes["transpose_a"] else -1]
    # (out, in, h, w), or (groups, out, in, h, w): each weight is used once for each pixel of the output
    return prod(weight) * prod(out[2:])
