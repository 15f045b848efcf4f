"""What a network costs by count: parameters from the weights file, multiply-adds from the exported graph. Neither needs torch."""

from math import prod
from pathlib import Path
from typing import Any

from seg import headers

# What a safetensors file holds beside parameters: statistics that normalisation has counted.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def parameters(weights: Path) -> int | None:
    """Returns how many a network learns; None where the weights are an export alone."""
    path = weights.with_suffix(".safetensors")
    if not path.is_file():
        return None
    header, _ = headers.safetensors_header(path)
    return sum(prod(entry["shape"]) for name, entry in header.items()
               if name != "__metadata__" and not name.endswith(_STATISTICS))


def multiply_adds(weights: Path, size_hw: tuple[int, int]) -> int | None:
    """Returns those of all convolutions and matrix products for an image of (H, W).

    None where there is no ONNX next to the weights, or nothing here that reads it.
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
