"""Encoders that start from a file: timm's, torchvision's or our own tensors, fitted to RF2, to larger kernels and to gates.

Where an encoder is its twin but for RF2's halved layers, those start from the strongest half of the twin's channels; a smaller
depthwise kernel goes into the middle of a larger one; squeeze-and-excite that the twin lacks starts as a gate that changes
nothing. Files in which batch norm is folded into the convolutions are unfolded on pictures by `unfold_norms`: batch statistics
would undo what the convolutions have learnt.
"""

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from seg import headers
from seg.architecture import NORM_EPS
from seg.errors import SegError
from seg.models import keymaps
from seg.models.mobilenet import TIMM_NORM_EPS, MobileNetEncoder
from seg.weights import METADATA_KEY, read_description

_OPEN_GATE = 5 / 6  # a gate at 1 lies on the hard sigmoid's flat part and would never learn
_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "state_dict_ema")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Normalisation = tuple[Sequence[float], Sequence[float]]
_HALF: Normalisation = ((0.5,) * 3, (0.5,) * 3)
_IMAGENET: Normalisation = (IMAGENET_MEAN, IMAGENET_STD)


def load_encoder(encoder: MobileNetEncoder, path: str | Path) -> Normalisation:
    """Loads the tensors of a file into an encoder of ours, fitted as the head of this module says.

    Args:
        encoder: is changed.
        path: safetensors, or a checkpoint of torch that holds tensors alone. Names are timm's, torchvision's or ours.

    Returns:
        Mean and std that images are normalised with, 0 to 1: torchvision's and timm's own weights take ImageNet's, the authors'
        (in timm `tf_...`, and folded ones) 0.5, and ours what their file says.

    Raises:
        SegError: the file can't be read, or is of another network; the message names what differs.
    """
    state = read_state(path)
    if "conv_stem.weight" in state:
        found = keymaps.encoder_from_timm(state, encoder)
        authors = encoder.timm_name.startswith("tf_") or _folded(found)  # timm's own weights come with their statistics
        eps, normalisation = (NORM_EPS, _HALF) if authors else (TIMM_NORM_EPS, _IMAGENET)
    elif "features.0.0.weight" in state or "backbone.0.0.weight" in state:
        prefix = "features." if "features.0.0.weight" in state else "backbone."
        found, normalisation = keymaps.encoder_from_torchvision(state, encoder, prefix), _IMAGENET
        eps = TIMM_NORM_EPS if f"{prefix}1.conv.0.0.weight" in state else NORM_EPS  # its V2 has torch's default
    else:
        found, eps, normalisation = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}, NORM_EPS, _HALF
        if Path(path).suffix == ".safetensors" and METADATA_KEY in headers.of_safetensors(Path(path)):
            description = read_description(path)
            eps = description.arguments.get("encoder_norm_eps") or NORM_EPS
            normalisation = (description.mean, description.std) if len(description.mean) == 3 else _HALF
    found = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}
    matched, lacking = match_names(encoder, _fitted(found, encoder))
    _check_whole(f"{path} doesn't fit the encoder {encoder.variant}", lacking)
    nn.Module.load_state_dict(encoder, matched)
    encoder.set_norm_eps(eps)
    return normalisation


def load_named(encoder: nn.Module, path: str | Path, name: str) -> None:
    """Loads the tensors of a file into an encoder of SMP or timm, by their names there.

    Raises:
        SegError: as `load_encoder`.
    """
    matched, lacking = match_names(encoder, read_state(path))
    _check_whole(f"{path} doesn't fit the encoder {name}", lacking)
    encoder.load_state_dict(matched)


def match_names(network: nn.Module, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Finds the tensors of a network in a state dict, which may lack SMP's shell around timm's networks.

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


def _check_whole(what: str, lacking: list[str]) -> None:
    if lacking:
        more = f", and {len(lacking) - 1} more tensors don't fit" if len(lacking) > 1 else ""
        raise SegError(f"{what}: {lacking[0]}{more}.")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file, or of a checkpoint of torch without unpickling code.

    Raises:
        SegError: it is missing, damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise SegError(f"There is no file {path} with weights.")
    try:
        state: Any = (load_file(path) if path.suffix == ".safetensors" else
                      torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError:
        raise SegError(f"{path} holds more than tensors, or is no checkpoint of torch; it was not loaded. Save its state dict "
                       "as safetensors.") from None
    except Exception as error:  # safetensors raises its own class, torch many
        raise SegError(f"{path} can't be read as weights: {(str(error) or type(error).__name__).splitlines()[0]:.200}.") from None
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise SegError(f"{path} holds no state dict of tensors.")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _folded(state: dict[str, Tensor]) -> bool:
    norms = [name.removesuffix("running_mean") for name in state if name.endswith("running_mean")]
    learnt = any(state[f"{norm}bias"].any() for norm in norms)
    return learnt and not any(state[f"{norm}running_mean"].any() for norm in norms)


def norms_are_folded(encoder: nn.Module) -> bool:
    """Whether no batch norm has statistics of its own, though the encoder has learnt something: see `unfold_norms`."""
    return _folded(encoder.state_dict())


@torch.no_grad()
def unfold_norms(encoder: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives batch norms the statistics that their inputs have, and changes their weights so that the function stays.

    Args:
        encoder: what it maps stays the same but for rounding.
        batches: normalised images (N, C, H, W), such as it will be trained on.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}  # count, sum, sum of squares

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        sums[norm] += torch.stack([torch.full((x.shape[1],), float(x[:, 0].numel()), dtype=torch.float64),  # type: ignore[index]
                                   x.sum((0, 2, 3)).cpu(), x.square().sum((0, 2, 3)).cpu()])

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    was_training = encoder.training
    encoder.eval()
    try:
        for batch in batches:
            encoder(batch)
    finally:
        encoder.train(was_training)
        for hook in hooks:
            hook.remove()
    for norm, (count, total, squares) in sums.items():
        if not count.all():
            raise SegError("Batch norms can't be unfolded without pictures.")
        mean, var = total / count, (squares / count - (total / count).square()).clamp_min(0)
        old_mean, old_var = norm.running_mean.double().cpu(), norm.running_var.double().cpu()  # type: ignore[union-attr]
        scale = norm.weight.double().cpu() / (old_var + norm.eps).sqrt()
        norm.bias.copy_(norm.bias.double().cpu() + scale * (mean - old_mean))
        norm.weight.copy_(scale * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(var)  # type: ignore[union-attr]


# Fitting


def _fitted(state: dict[str, Tensor], encoder: MobileNetEncoder) -> dict[str, Tensor]:
    """Fits what differs by kernel, gate or RF2; leaves alone, for the caller to find, what differs otherwise."""
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


def _halve_tail(state: dict[str, Tensor], own: dict[str, Tensor], encoder: MobileNetEncoder) -> None:
    """Keeps of each layer that RF2 narrows the channels with the largest weights, and of its readers the same ones."""
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
    """How much each output channel of a convolution with norm varies at most: the length of its weights behind the norm."""
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


__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "load_encoder", "load_named", "match_names", "norms_are_folded", "read_state",
           "unfold_norms"]
