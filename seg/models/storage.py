"""Saves networks to weights files and loads them: safetensors with metadata that rebuilds the network. Nothing is unpickled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from seg.errors import SegError, did_you_mean
from seg.files import atomic_write
from seg.label_sets import LabelSet
from seg.models.lraspp import LRASPP
from seg.models.network import SegmentationNetwork
from seg.models.raspp import RASPP
from seg.weights import METADATA_KEY, Description, find, read_description

NETWORKS: dict[str, type[SegmentationNetwork]] = {"LRASPP": LRASPP, "RASPP": RASPP}
Origins: TypeAlias = Mapping[str, str | list[str] | None]  # from names of our classes to those of a weights file, see `init_from`


def describe(model: SegmentationNetwork, label_set: LabelSet, train_size_hw: tuple[int, int], license: str = "unknown",
             metrics: dict[str, Any] | None = None, training: dict[str, Any] | None = None,
             long_side: int | None = None) -> Description:
    """Returns the description that a weights file of `model` carries.

    Raises:
        SegError: the label set has another number of classes than the network.
    """
    if len(label_set) != model.arguments["classes"]:
        raise SegError(f"The network has {model.arguments['classes']} classes and the label set {label_set.name!r} has "
                       f"{len(label_set)}; they must agree.")
    return Description(type(model).__name__, model.arguments, label_set, model.mean, model.std, train_size_hw, license,
                       metrics or {}, training or {}, long_side)


def save(model: SegmentationNetwork, path: str | Path, label_set: LabelSet, train_size_hw: tuple[int, int],
         license: str = "unknown", metrics: dict[str, Any] | None = None,
         training: dict[str, Any] | None = None, long_side: int | None = None) -> Description:
    """Writes `model` to `path` (safetensors, atomically) with everything that rebuilds it; returns the description.

    Raises:
        SegError: the label set doesn't fit, or the file can't be written.
    """
    description = describe(model, label_set, train_size_hw, license, metrics, training, long_side)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_write(path) as file:
        file.write(to_bytes(tensors, metadata={METADATA_KEY: description.to_json()}))
    return description


def load(name_or_path: str | Path) -> SegmentationNetwork:
    """Rebuilds a network from a weights file, or from shipped weights by name; in eval mode, on the CPU.

    The description comes back as the attribute `description`.

    Raises:
        SegError: there are no such weights, or the file is damaged or doesn't fit the network it describes.
    """
    path = find(name_or_path)
    description, tensors = _read(path)
    model = _build(description, path)
    differing = _differing(model.state_dict(), tensors)
    if differing:
        raise SegError(f"{path} doesn't fit the network that it describes: {differing[0]}.")
    model.load_state_dict(tensors)
    model.description = description
    return model.eval()


def init_from(model: SegmentationNetwork, name_or_path: str | Path, classes: Sequence[str],
              origins: Origins | None = None) -> list[str]:
    """Takes over all weights for fine-tuning; a class takes the weights of the classes that it comes from, or starts anew.

    Args:
        model: is changed in place.
        name_or_path: the weights file, or a shipped name.
        classes: names of the model's classes.
        origins: for each of them, the file's class or classes that it starts from: the mean of their classifiers' weights.
            None starts it anew. A class that is left out starts from the one of its own name, if the file has it.

    Returns:
        The classes that start anew.

    Raises:
        SegError: anything but the classifiers doesn't fit, or a name is unknown; the message names it.
    """
    path = find(name_or_path)
    description, tensors = _read(path)
    origins = origins or {}
    theirs = description.label_set.classes
    for name in origins:
        if name not in classes:
            raise SegError(f"The network has no class {name!r} that could start from {path}. {did_you_mean(name, classes)}")
    rows = [_rows(origins.get(name, name if name in theirs else None), theirs, path) for name in classes]
    own = model.state_dict()
    classifiers = set(model.classifier_names())
    # A classifier that differs in more than its number of classes belongs to another network.
    differing = _differing(*({name: tensor[:0] if name in classifiers else tensor for name, tensor in state.items()}
                             for state in (own, tensors)))
    if differing:
        raise SegError(f"{path} can't start this network: {'; '.join(differing[:5])}"
                       f"{f' and {len(differing) - 5} more' if len(differing) > 5 else ''}. Build the network with the "
                       "arguments of the file, or leave init_from out.")
    for name in classifiers:
        tensors[name] = torch.stack([tensors[name][ids].mean(0) if ids else anew
                                     for ids, anew in zip(rows, own[name], strict=True)])
    model.load_state_dict(tensors)
    return [name for name, ids in zip(classes, rows, strict=True) if not ids]


def _rows(origin: str | list[str] | None, theirs: Sequence[str], path: Path) -> list[int]:
    names = [] if origin is None else [origin] if isinstance(origin, str) else origin
    for name in names:
        if name not in theirs:
            raise SegError(f"{path} has no class {name!r} to start from. {did_you_mean(name, theirs)}")
    return [theirs.index(name) for name in names]


def _read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    if path.suffix == ".onnx":
        raise SegError(f"{path} is an exported network; its weights can't be loaded back. Give the .safetensors next to it.")
    description = read_description(path)
    try:
        return description, load_file(path)
    except Exception as error:  # for damage safetensors raises its own class, which has no stable import path
        raise SegError(f"{path} is damaged: {error}.") from None


def _build(description: Description, path: Path) -> SegmentationNetwork:
    if description.network not in NETWORKS:
        raise SegError(f"{path} describes a network {description.network!r}; known are {', '.join(NETWORKS)}.")
    try:
        return NETWORKS[description.network](**description.arguments)
    except TypeError as error:
        raise SegError(f"{path} describes a network with arguments that this version doesn't take: {error}.") from None


def _differing(own: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    lines = [f"{name} is missing" for name in own if name not in other]
    lines += [f"{name} is not part of this network" for name in other if name not in own]
    lines += [f"{name} is {tuple(other[name].shape)} there and {tuple(own[name].shape)} here"
              for name in own if name in other and own[name].shape != other[name].shape]
    return lines


__all__ = ["describe", "init_from", "load", "save"]
