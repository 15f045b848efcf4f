"""Fits the tensors of one network to another that is its twin except for RF2, larger kernels or gates.

Layers that RF2 halves take the strongest half of the twin's channels. A smaller depthwise kernel goes into the middle of a
larger one. Where the twin has no squeeze-and-excite, it starts as a gate that changes nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seg.errors import SegError

if TYPE_CHECKING:
    from seg.models.mobilenet import MobileNetEncoder

_OPEN_GATE = 5 / 6  # a gate at 1 lies on the hard sigmoid's flat part and would never learn


def match_names(network: nn.Module, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Finds the tensors of a network in a state dict, which may lack the name prefix of SMP's wrapper around timm's networks.

    Returns:
        The network's state dict with what was found, and a sentence for each tensor that is missing or of another shape.
        Counters of batches may be missing.
    """
    own = network.state_dict()
    prefix = "model." if all(name.startswith("model.") for name in own) else ""
    found, lacking = dict(own), list[str]()
    for name, tensor in own.items():
        other = state.get(name, state.get(name.removeprefix(prefix)))
        if other is not None and other.shape == tensor.shape:
            found[name] = other
        elif other is not None:
            lacking.append(f"{name} is {tuple(other.shape)} there and {tuple(tensor.shape)} here")
        elif not name.endswith("num_batches_tracked"):
            lacking.append(f"{name} is missing")
    return found, lacking


def check_whole(what: str, lacking: list[str]) -> None:
    """Raises SegError that begins with `what` and names the first of the tensors that are lacking, if there are any."""
    if lacking:
        more = f", and {len(lacking) - 1} more tensors don't fit" if len(lacking) > 1 else ""
        raise SegError(f"{what}: {lacking[0]}{more}.")


def fitted(state: dict[str, Tensor], encoder: "MobileNetEncoder") -> dict[str, Tensor]:
    """Fits what differs by kernel, gate or RF2. Leaves all other differences as they are, for the caller to find.

    Args:
        state: tensors of the twin, under the encoder's names.
        encoder: the one that they must fit.
    """
    own, state = encoder.state_dict(), dict(state)
    for i in range(len(encoder.blocks)):
        name = f"blocks.{i}"
        kernel = f"{name}.depthwise.conv.weight"
        if kernel in state:
            missing = own[kernel].shape[-1] - state[kernel].shape[-1]
            if missing > 0 and missing % 2 == 0:
                state[kernel] = nn.functional.pad(state[kernel], (missing // 2,) * 4)
        gate, project = f"{name}.squeeze_excite", f"{name}.project.conv.weight"
        if f"{gate}.expand.bias" in own and f"{gate}.expand.bias" not in state and kernel in state and project in state:
            state |= _open_gate(own, gate, channels=len(state[kernel]))
            state[project] = state[project] / _OPEN_GATE
    if encoder.first_halved < len(encoder.blocks):
        _halve_tail(state, own, encoder)
    return state


def _open_gate(own: dict[str, Tensor], gate: str, channels: int) -> dict[str, Tensor]:
    """Returns squeeze-and-excite that scales each of `channels` by 5/6 at first; `_halve_tail` may then pick from them."""
    reduce, expand = own[f"{gate}.reduce.weight"], own[f"{gate}.expand.weight"]
    times = -(-channels // reduce.shape[1])
    return {f"{gate}.reduce.weight": reduce.repeat(1, times, 1, 1)[:, :channels],
            f"{gate}.reduce.bias": own[f"{gate}.reduce.bias"],
            f"{gate}.expand.weight": expand.new_zeros(channels, *expand.shape[1:]),
            f"{gate}.expand.bias": expand.new_full((channels,), 6 * _OPEN_GATE - 3)}


def _halve_tail(state: dict[str, Tensor], own: dict[str, Tensor], encoder: "MobileNetEncoder") -> None:
    """Keeps the channels with the largest weights in each layer that RF2 narrows, and the same ones in layers that read it."""
    blocks = [f"blocks.{i}" for i in range(encoder.first_halved, len(encoder.blocks))]
    layers = [f"{block}.{layer}" for block in blocks for layer in ("depthwise", "project")]
    if any(f"{layer}.{leaf}" not in state for layer in layers for leaf in ("conv.weight", "norm.weight", "norm.running_var")):
        return
    kept: Tensor | None = None  # the input channels of the next layer
    while blocks:
        width = len(state[f"{blocks[0]}.project.conv.weight"])
        # Blocks whose outputs are added to each other keep the same ones.
        chain = [blocks.pop(0)]
        while blocks and len(state[f"{blocks[0]}.project.conv.weight"]) == width:
            chain.append(blocks.pop(0))
        rows = torch.stack([_strength(state, f"{block}.project") for block in chain]).sum(0)
        out = _strongest(rows, len(own[f"{chain[0]}.project.conv.weight"]))
        for block in chain:
            _halve_block(state, own, block, kept, out)
            kept = out
    if "tail.conv.weight" in state:
        _take(state, "tail.conv", kept, dim=1)
        _take_layer(state, "tail", _strongest(_strength(state, "tail"), len(own["tail.conv.weight"])))


def _halve_block(state: dict[str, Tensor], own: dict[str, Tensor], block: str, kept: Tensor | None, out: Tensor) -> None:
    if f"{block}.expand.conv.weight" in state:
        _take(state, f"{block}.expand.conv", kept, dim=1)
    columns = state[f"{block}.project.conv.weight"].flatten(2).norm(dim=0).squeeze(-1)
    inner = _strongest(_strength(state, f"{block}.depthwise") * columns, len(own[f"{block}.depthwise.conv.weight"]))
    for layer in ("expand", "depthwise"):
        if f"{block}.{layer}.conv.weight" in state:
            _take_layer(state, f"{block}.{layer}", inner)
    gate = f"{block}.squeeze_excite"
    if f"{gate}.reduce.weight" in state:
        _take(state, f"{gate}.reduce", inner, dim=1)
        _take(state, f"{gate}.expand", inner, bias=True)
        reach = state[f"{gate}.expand.weight"].flatten(2).norm(dim=0)[:, 0]
        reach = (1 + reach) * state[f"{gate}.reduce.weight"].flatten(1).norm(dim=1)  # 1: a new gate's are all zero
        squeezed = _strongest(reach, len(own[f"{gate}.reduce.weight"]))
        _take(state, f"{gate}.reduce", squeezed, bias=True)
        _take(state, f"{gate}.expand", squeezed, dim=1)
    _take(state, f"{block}.project.conv", inner, dim=1)
    _take_layer(state, f"{block}.project", out)


def _strength(state: dict[str, Tensor], layer: str) -> Tensor:
    """The most that each output channel of a convolution with norm can vary: the length (L2) of its weights after the norm."""
    scale = state[f"{layer}.norm.weight"].abs() / state[f"{layer}.norm.running_var"].clamp_min(1e-6).sqrt()
    return state[f"{layer}.conv.weight"].flatten(1).norm(dim=1) * scale


def _strongest(strength: Tensor, count: int) -> Tensor:
    return strength.topk(min(count, len(strength))).indices.sort().values


def _take_layer(state: dict[str, Tensor], layer: str, channels: Tensor) -> None:
    _take(state, f"{layer}.conv", channels)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        state[f"{layer}.norm.{leaf}"] = state[f"{layer}.norm.{leaf}"][channels]


def _take(state: dict[str, Tensor], conv: str, channels: Tensor | None, dim: int = 0, bias: bool = False) -> None:
    if channels is not None:
        leaves: Sequence[str] = ("weight", "bias") if bias else ("weight",)
        for leaf in leaves:
            state[f"{conv}.{leaf}"] = state[f"{conv}.{leaf}"].index_select(dim, channels)


__all__ = ["check_whole", "fitted", "match_names"]
