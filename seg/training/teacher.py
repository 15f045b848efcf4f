"""Distillation: a trained network teaches another with its scores and, if both have features of the same size, with its features.

Source of the loss on scores: G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531. It
is computed on the student's own grid, to which the teacher's scores are resized. Features are compared by the cosine of the angle
between them at each place, after a 1x1 convolution that is trained too and discarded afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from seg.errors import SegError
from seg.label_sets import ClassMap, LabelSet, map_classes
from seg.machine import switch_off_telemetry
from seg.models import load
from seg.models.fitting import check_whole, match_names
from seg.models.network import full_precision, resize
from seg.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, read_state
from seg.weights import ForeignFile, find, read_description, read_export

_GRID = 32
_PROBE_HW = (128, 192)  # large enough that features at 1/16 and 1/32 differ in size


@dataclass
class Distillation:
    """How a teacher influences the loss.

    Attributes:
        share: share of the teacher's scores in the loss, 0 to 1; the labels have the rest. On pictures without labels, only the
            teacher counts.
        temperature: both networks' scores are first divided by it; above 1 the less likely classes count for more.
        features: weight of the loss on features, in addition to the rest; 0 for none.
        classes: maps the teacher's classes to the student's: to a name, to a list of names if the teacher's class is coarser, or
            to null if the student needn't know it. A class that is not listed must have the same name in the student.
        teacher_classes: names of the teacher's classes in the order of its scores, if its file doesn't say.
        smp: for a state dict of a segmentation-models-pytorch network: the arguments of its `create_model`, such as
            {arch: unet, encoder_name: resnet34, classes: 19}; without `arch`, of an encoder alone, which teaches features.
        mean, std: normalisation of the images for such a teacher or for another tool's ONNX; per RGB channel, 0 to 1.
    """

    share: float = 0.5
    temperature: float = 1.0
    features: float = 0.0
    classes: dict[str, str | list[str] | None] | None = None
    teacher_classes: list[str] | None = None
    smp: dict[str, Any] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None


class Told(NamedTuple):
    """A teacher's output for a batch: scores (N, C, h, w) float32 or None, and its encoder's features, if it has an encoder."""

    scores: Tensor | None
    features: Sequence[Tensor]


class TorchTeacher:
    """A network in torch: one of this project, or one of segmentation-models-pytorch on normalised images.

    Args:
        network: in evaluation mode; it is never trained.
        classes: names, in the order of its scores; empty for an encoder alone.
        mean, std: normalisation of its images; None if the network normalises them itself.
    """

    def __init__(self, network: nn.Module, classes: Sequence[str], mean: Sequence[float] | None = None,
                 std: Sequence[float] | None = None) -> None:
        self.network = network.eval().requires_grad_(False)
        self.classes, self._features = tuple(classes), list[Tensor]()
        self._normal = None if mean is None or std is None else (mean, std)
        encoder: Any = network.encoder if classes else network
        encoder.register_forward_hook(lambda _, __, features: setattr(self, "_features", list(features)))
        self.has_features = True

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Told:
        """Maps uint8 RGB images (N, 3, H, W) to the teacher's output."""
        self.network.to(images.device)
        if self._normal is None:
            out: Tensor = self.network.logits(images)  # type: ignore[operator]
        else:
            x = normalise(images, *self._normal)
            if self.classes:  # SMP's networks take no other sizes, but for their encoders; the student resizes what it is told
                x = resize(x, (-(-x.shape[2] // _GRID) * _GRID, -(-x.shape[3] // _GRID) * _GRID))
            out = self.network(x)
        features, self._features = self._features, []
        return Told(out.float() if self.classes else None, features)


class OnnxTeacher:
    """An ONNX file in ONNX Runtime, on the processor: one from `seg.export`, or any other that maps images to scores.

    If it has several outputs, the first one counts.

    Args:
        path: path of the file.
        classes: names, in the order of its scores; None takes those in the file.
        mean, std: normalisation of float images.

    Raises:
        SegError: it is not such a file, or its input or output doesn't fit; the message says what they are.
    """

    has_features = False

    def __init__(self, path: Path, classes: Sequence[str] | None, mean: Sequence[float], std: Sequence[float]) -> None:
        switch_off_telemetry()
        import onnxruntime as ort

        export = read_export(path) if classes is None else None
        if export is not None and export.output != "scores":
            raise SegError(f"{path} was exported to give {export.output}; a teacher gives scores (--output scores).")
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no narrower common class
            raise SegError(f"{path} is not an ONNX file that ONNX Runtime can run: {str(error).splitlines()[0]:.200}.") from None
        self.classes = tuple(classes) if classes is not None else read_description(path).label_set.classes
        self._mean, self._std, self.path = mean, std, path
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        has = (f"it has {', '.join(f'{i.name} {i.type} {i.shape}' for i in inputs)} -> "
               f"{', '.join(f'{o.name} {o.type} {o.shape}' for o in outputs)}")
        if len(inputs) != 1 or not outputs:
            raise SegError(f"{path} must have one input and an output; {has}.")
        self._input, self._output = inputs[0], outputs[0]
        if len(self._input.shape) != 4 or self._input.shape[1] not in (3, "3") \
                or self._input.type not in ("tensor(uint8)", "tensor(float)"):
            raise SegError(f"{path} must take one batch of RGB images (N, 3, H, W), uint8 or float32; {has}.")
        if len(self._output.shape) != 4 or self._output.type != "tensor(float)" or (
                isinstance(self._output.shape[1], int) and self._output.shape[1] != len(self.classes)):
            raise SegError(f"{path} must give float32 scores (N, {len(self.classes)}, h, w), one for each class; {has}.")

    def __call__(self, images: Tensor) -> Told:
        """Maps uint8 RGB images (N, 3, H, W) to scores; see the class."""
        if any(isinstance(wanted, int) and wanted != side for wanted, side in zip(self._input.shape, images.shape, strict=True)):
            raise SegError(f"{self.path} takes images {list(self._input.shape)} only, and is given {list(images.shape)}. Export "
                           "it for any size, or, in training, set --data.crop_hw and --data.batch_size to that.")
        x = images if self._input.type == "tensor(uint8)" else normalise(images, self._mean, self._std)
        try:
            scores = self._session.run([self._output.name], {self._input.name: x.cpu().numpy()})[0]
        except Exception as error:  # its exceptions have no narrower common class
            raise SegError(f"{self.path} can't run on images {list(images.shape)}: {str(error).splitlines()[0]:.200}.") from None
        return Told(torch.from_numpy(scores).to(images.device), ())


Teacher = TorchTeacher | OnnxTeacher


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Maps uint8 RGB images (N, 3, H, W) to float32: scaled to 0..1, `mean` subtracted, divided by `std`."""
    mean_255, std_255 = (255 * torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (mean, std))
    return (images.float() - mean_255) / std_255


def load_teacher(name_or_path: str, config: Distillation) -> Teacher:
    """Loads a teacher: weights of this project, an ONNX file, or a state dict of the network that `config.smp` describes.

    Raises:
        SegError: there is no such file, or it is something else; the message says what.
    """
    mean, std = config.mean or IMAGENET_MEAN, config.std or IMAGENET_STD
    if not len(mean) == len(std) == 3 or min(std) <= 0 or not all(map(math.isfinite, (*mean, *std))):
        raise SegError(f"model.distillation.mean {list(mean)} and .std {list(std)} must have three values each, std's above 0.")
    if len(set(config.teacher_classes or ())) < len(config.teacher_classes or ()):
        raise SegError(f"model.distillation.teacher_classes names a class twice: {', '.join(config.teacher_classes or ())}.")
    if config.smp is not None and name_or_path.endswith(".onnx"):
        raise SegError(f"model.distillation.smp describes the network of a state dict, and {name_or_path} is ONNX; leave it out.")
    if config.smp is not None:
        return _smp_teacher(Path(name_or_path), config, mean, std)
    try:
        path = find(name_or_path)
        read_description(path)
    except ForeignFile as error:
        if name_or_path.endswith(".onnx") and config.teacher_classes:
            return OnnxTeacher(Path(name_or_path), config.teacher_classes, mean, std)
        raise SegError(f"{error} " + (
            "As a teacher it also needs the names of its classes, in the order of its scores: model.distillation.teacher_classes."
            if name_or_path.endswith(".onnx") else
            "If it is the state dict of a network of segmentation-models-pytorch, describe the network in model.distillation.smp."
        )) from None
    if config.teacher_classes or config.mean or config.std:
        raise SegError(f"{path} says itself what its classes are, and normalises images itself; leave out "
                       "model.distillation.teacher_classes, .mean and .std.")
    if path.suffix == ".onnx":
        return OnnxTeacher(path, None, mean, std)
    network = load(path)
    return TorchTeacher(network, network.description.label_set.classes)


def _smp_teacher(path: Path, config: Distillation, mean: Sequence[float], std: Sequence[float]) -> TorchTeacher:
    arguments = config.smp or {}
    if "encoder_name" not in arguments:
        raise SegError(f"model.distillation.smp names {', '.join(arguments) or 'nothing'}, but no encoder_name.")
    try:
        network: nn.Module = (smp.create_model(**arguments, encoder_weights=None) if "arch" in arguments else
                              smp.encoders.get_encoder(**{"name": arguments["encoder_name"], "weights": None} | {
                                  key: value for key, value in arguments.items() if key != "encoder_name"}))
    except Exception as error:  # SMP passes on what timm and torch raise
        raise SegError(f"model.distillation.smp doesn't describe a network of segmentation-models-pytorch: {error}.") from None
    state, lacking = match_names(network, read_state(path))
    check_whole(f"{path} isn't the state dict of that network", lacking)
    network.load_state_dict(state)
    alone = "arch" not in arguments
    if alone and config.share:
        raise SegError("model.distillation.smp has no arch, so its encoder teaches only features; set "
                       "model.distillation.share to 0 and model.distillation.features above 0.")
    if alone:
        return TorchTeacher(network, (), mean, std)
    if config.teacher_classes is None:
        raise SegError("A network of segmentation-models-pytorch doesn't say what its classes are; name them, in the order of "
                       "its scores, in model.distillation.teacher_classes.")
    return TorchTeacher(network, config.teacher_classes, mean, std)


class DistillationLoss(nn.Module):
    """The loss of a student whose output differs from its teacher's.

    Args:
        teacher: it runs in each step; it is not a submodule, so that no checkpoint contains it.
        label_set: label set of the student.
        config: weights of the parts.
        student: the network whose encoder's features are compared; None if they aren't compared.

    Raises:
        SegError: a number is out of range, classes can't be mapped, or there are no features to compare.
    """

    def __init__(self, teacher: Teacher, label_set: LabelSet, config: Distillation, student: nn.Module | None = None) -> None:
        super().__init__()
        if not 0 <= config.share <= 1:
            raise SegError(f"model.distillation.share is {config.share}; it must lie between 0 and 1.")
        for name, value, least in (("temperature", config.temperature, 1e-3), ("features", config.features, 0.0)):
            if not (math.isfinite(value) and value >= least):
                raise SegError(f"model.distillation.{name} is {value}; it must be at least {least:g}.")
        if not config.share and not config.features:
            raise SegError("The teacher would teach nothing: model.distillation.share and .features are both 0.")
        self._teacher = (teacher,)  # within a tuple, a network doesn't become a submodule
        self.config = config
        self.theirs: Tensor
        if config.share:
            theirs, self._members = _groups(teacher.classes, label_set, config.classes or {})
            self.register_buffer("theirs", theirs, persistent=False)
        self.head: nn.Conv2d | None = None
        self._seen: Sequence[Tensor] = ()
        if config.features:
            if not teacher.has_features or student is None:
                raise SegError("An ONNX file has no features to compare; set model.distillation.features to 0.")
            self._watch(student)

    def _watch(self, student: Any) -> None:
        """Finds the deepest pair of features of the same size, and makes the convolution between their channels."""
        student.encoder.register_forward_hook(lambda _, __, features: setattr(self, "_seen", features))
        images = torch.zeros(2, 3, *_PROBE_HW, dtype=torch.uint8)
        was_training = student.training
        with torch.no_grad():
            student.eval().logits(images)
        student.train(was_training)
        told = self._teacher[0](images).features
        pairs = [(ours.shape[2] * ours.shape[3], -i, -j) for i, ours in enumerate(self._seen)
                 for j, theirs in enumerate(told) if ours.shape[2:] == theirs.shape[2:] and i and j]
        if not pairs:
            raise SegError("Teacher and student have no features of one size; set model.distillation.features to 0, or give both "
                           "the same encoder_output_stride.")
        _, i, j = min(pairs)
        self._pair = (-i, -j)
        self.head = nn.Conv2d(self._seen[-i].shape[1], told[-j].shape[1], 1)
        self._seen = ()

    def forward(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the teacher on images (N, 3, H, W) uint8, for which the student has just computed `logits` (N, C, h, w).

        Returns:
            The loss on scores, a mean over pixels, and the weighted loss on features; a loss that isn't used is 0.
        """
        told = self._teacher[0](images)
        on_scores = on_features = logits.new_zeros(())
        if self.config.share and told.scores is not None:
            if told.scores.shape[1] != self.theirs.shape[1]:
                raise SegError(f"The teacher gives {told.scores.shape[1]} scores per pixel, and {self.theirs.shape[1]} of its "
                               "classes are named.")
            with full_precision(logits):
                on_scores = self._on_scores(logits.float(), resize(told.scores, logits.shape[2:]))
        if self.head is not None:
            ours = self._seen[self._pair[0]]
            theirs = resize(told.features[self._pair[1]].float(), ours.shape[2:])
            self._seen = ()
            on_features = self.config.features * (1 - nn.functional.cosine_similarity(self.head(ours), theirs)).mean()
        return on_scores, on_features

    def _on_scores(self, scores: Tensor, told: Tensor) -> Tensor:
        """Computes the Kullback-Leibler divergence over groups of classes, times the square of the temperature."""
        temperature = self.config.temperature
        target = torch.einsum("gc,nchw->nghw", self.theirs, (told / temperature).softmax(1))
        known = target.sum(1, keepdim=True)  # the rest belongs to classes that the student needn't know
        target = target / known.clamp_min(1e-6)
        scores = scores / temperature
        if any(len(members) > 1 for members in self._members):
            scores = torch.stack([scores[:, members].logsumexp(1) for members in self._members], 1)
        else:
            scores = scores[:, [members[0] for members in self._members]]
        divergence = (torch.special.xlogy(target, target) - target * scores.log_softmax(1)).sum(1, keepdim=True)
        return temperature**2 * (divergence * known).sum() / known.sum().clamp_min(1e-6)


def _groups(theirs: Sequence[str], label_set: LabelSet, classes: ClassMap) -> tuple[Tensor, list[list[int]]]:
    """Returns which classes of the teacher (groups, its classes) and of the student belong together."""
    targets = map_classes(theirs, label_set.classes, classes, "The teacher")
    members = list(dict.fromkeys(ids for ids in targets.values() if ids))
    table = torch.zeros(len(members), len(theirs))
    for index, name in enumerate(theirs):
        if targets[name]:
            table[members.index(targets[name]), index] = 1
    return table, [list(ids) for ids in members]
