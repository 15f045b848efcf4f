"""Encoders that start from a file: timm's, torchvision's or our own tensors, fitted by `seg.models.fitting`.

If batch norm is folded into the convolutions of a file, `unfold_norms` separates it again, with the help of pictures. Otherwise
the batch statistics in training would undo what the convolutions have learnt.
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
from seg.models.fitting import check_whole, fitted, match_names
from seg.models.mobilenet import TIMM_NORM_EPS, MobileNetEncoder
from seg.weights import METADATA_KEY, read_description

_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "state_dict_ema")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Normalisation = tuple[Sequence[float], Sequence[float]]
_HALF: Normalisation = ((0.5,) * 3, (0.5,) * 3)
_IMAGENET: Normalisation = (IMAGENET_MEAN, IMAGENET_STD)


def load_encoder(encoder: MobileNetEncoder, path: str | Path) -> Normalisation:
    """Loads the tensors of a file into an encoder of ours, fitted as the docstring of this module says.

    Args:
        encoder: is changed in place.
        path: safetensors, or a checkpoint of torch that holds only tensors. Names are timm's, torchvision's or ours.

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
    matched, lacking = match_names(encoder, fitted(found, encoder))
    check_whole(f"{path} doesn't fit the encoder {encoder.variant}", lacking)
    nn.Module.load_state_dict(encoder, matched)
    encoder.set_norm_eps(eps)
    return normalisation


def load_named(encoder: nn.Module, path: str | Path, name: str) -> None:
    """Loads the tensors of a file into an encoder of SMP or timm, by their names there.

    Raises:
        SegError: as `load_encoder`.
    """
    matched, lacking = match_names(encoder, read_state(path))
    check_whole(f"{path} doesn't fit the encoder {name}", lacking)
    encoder.load_state_dict(matched)


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
    except Exception as error:  # safetensors raises its own class, torch many different ones
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
    """Gives batch norms the statistics of their inputs, and changes their weights so that the network computes the same.

    Args:
        encoder: its outputs stay the same except for rounding.
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


__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "load_encoder", "load_named", "norms_are_folded", "read_state",
           "unfold_norms"]
