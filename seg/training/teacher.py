"""Distillation: a trained network teaches another by its scores and, where both have some of one size, by its features.

Source of the loss on scores: G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531. It
is taken on the student's own grid, with the teacher's scores resized to it. Features are compared by the cosine of the angle
between them at each place, behind a 1x1 convolution that is trained along and then thrown away.
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
from seg.weights import find, read_description, read_export

_PROBE_HW = (128, 192)  # large enough that features at 1/16 and 1/32 differ in size


@dataclass
class Distillation:
    """How a teacher's word counts.

    Attributes:
        share: of the teacher's scores in the loss, 0 to 1; the labels have the rest. Pictures without labels are the
            teacher's alone.
        temperature: by which both networks' scores are divided first; above 1 the classes that are not the likeliest count
            for more.
        features: weight of the loss on features, beside the rest; 0 for none.
        classes: what the teacher's classes are in the student's: a name, or a list of names where it is coarser; null for
            what the student needn't know. A class that is left out must have the same name in the student.
        teacher_classes: names of the teacher's classes in the order of its scores, where its file doesn't say.
        smp: for a state dict of a segmentation-models-pytorch network: the arguments of its `create_model`, such as
            {arch: unet, encoder_name: resnet34, classes: 19}; with no `arch`, of an encoder alone, which teaches features.
        mean, std: that the images of such a teacher, or of another tool's ONNX, are normalised with; per RGB channel, 0 to 1.
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
    """What a teacher says of a batch: scores (N, C, h, w) float32 or None, and its encoder's features, if it has one."""

    scores: Tensor | None
    features: Sequence[Tensor]


class TorchTeacher:
    """A network in torch: one of this project, or one of segmentation-models-pytorch on normalised images.

    Args:
        network: in evaluation mode; never trained.
        classes: names, in the order of its scores; empty for an encoder alone.
        mean, std: that it wants images normalised with; None where it does so itself.
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
        """Maps uint8 RGB images (N, 3, H, W) to what it says of them."""
        self.network.to(images.device)
        x = images if self._normal is None else normalise(images, *self._normal)
        out: Tensor = self.network.logits(x) if self._normal is None else self.network(x)  # type: ignore[operator]
        features, self._features = self._features, []
        return Told(out.float() if self.classes else None, features)


class OnnxTeacher:
    """An ONNX file in ONNX Runtime, on the processor: one of `seg.export`, or any that maps images to scores.

    Args:
        path: of the file.
        classes: names, in the order of its scores; None takes those that the file says.
        mean, std: that float images are normalised with.

    Raises:
        SegError: the file is none, or its input or output doesn't fit; the message says what it has.
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
        except Exception as error:  # its exceptions have no class in common but this
            raise SegError(f"{path} is no ONNX file that ONNX Runtime can run: {str(error).splitlines()[0]:.200}.") from None
        self.classes = tuple(classes) if classes is not None else read_description(path).label_set.classes
        self._mean, self._std, self.path = mean, std, path
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        has = (f"it has {', '.join(f'{i.name} {i.type} {i.shape}' for i in inputs)} -> "
               f"{', '.join(f'{o.name} {o.type} {o.shape}' for o in outputs)}")
        self._input, self._output = inputs[0], outputs[0]
        if len(inputs) != 1 or len(self._input.shape) != 4 or self._input.shape[1] not in (3, "3") \
                or self._input.type not in ("tensor(uint8)", "tensor(float)"):
            raise SegError(f"{path} must take one batch of RGB images (N, 3, H, W), uint8 or float32; {has}.")
        if len(self._output.shape) != 4 or self._output.type != "tensor(float)" or (
                isinstance(self._output.shape[1], int) and self._output.shape[1] != len(self.classes)):
            raise SegError(f"{path} must give float32 scores (N, {len(self.classes)}, h, w), one for each class; {has}.")

    def __call__(self, images: Tensor) -> Told:
        """Maps uint8 RGB images (N, 3, H, W) to scores; see the class."""
        if any(isinstance(wanted, int) and wanted != side for wanted, side in zip(self._input.shape, images.shape, strict=True)):
            raise SegError(f"{self.path} takes images {list(self._input.shape)} alone; training hands it {list(images.shape)}. "
                           "Set --data.crop_hw and --data.batch_size to that, or export it for any size.")
        x = images if self._input.type == "tensor(uint8)" else normalise(images, self._mean, self._std)
        scores = self._session.run([self._output.name], {self._input.name: x.cpu().numpy()})[0]
        return Told(torch.from_numpy(scores).to(images.device), ())


Teacher = TorchTeacher | OnnxTeacher


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Maps uint8 RGB images (N, 3, H, W) to float32 ones with `mean` subtracted and divided by `std`, both for 0..1."""
    mean_255, std_255 = (255 * torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (mean, std))
    return (images.float() - mean_255) / std_255


def load_teacher(name_or_path: str, config: Distillation) -> Teacher:
    """Loads a teacher: weights of this project, an ONNX file, or a state dict of the network that `config.smp` describes.

    Raises:
        SegError: there is none, or it is something else; the message says what.
    """
    mean, std = config.mean or IMAGENET_MEAN, config.std or IMAGENET_STD
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise SegError(f"model.distillation.mean {list(mean)} and .std {list(std)} must have three values each, std's above 0.")
    if config.smp is not None:
        return _smp_teacher(Path(name_or_path), config, mean, std)
    path = find(name_or_path)
    if path.suffix == ".onnx":
        return OnnxTeacher(path, config.teacher_classes, mean, std)
    network = load(path)
    return TorchTeacher(network, network.description.label_set.classes)


def _smp_teacher(path: Path, config: Distillation, mean: Sequence[float], std: Sequence[float]) -> TorchTeacher:
    arguments = config.smp or {}
    try:
        network: nn.Module = (smp.create_model(**arguments, encoder_weights=None) if "arch" in arguments else
                              smp.encoders.get_encoder(**{"name": arguments["encoder_name"], "weights": None} | {
                                  key: value for key, value in arguments.items() if key != "encoder_name"}))
    except Exception as error:  # SMP lets through what timm and torch raise
        raise SegError(f"model.distillation.smp describes no network of segmentation-models-pytorch: {error}.") from None
    state, lacking = match_names(network, read_state(path))
    check_whole(f"{path} isn't the state dict of that network", lacking)
    network.load_state_dict(state)
    alone = "arch" not in arguments
    if alone and config.share:
        raise SegError("model.distillation.smp has no arch, so that its encoder teaches features alone; set "
                       "model.distillation.share to 0 and model.distillation.features above 0.")
    if alone:
        return TorchTeacher(network, (), mean, std)
    if config.teacher_classes is None:
        raise SegError("A network of segmentation-models-pytorch doesn't say what its classes are; name them, in the order of "
                       "its scores, in model.distillation.teacher_classes.")
    return TorchTeacher(network, config.teacher_classes, mean, std)


class DistillationLoss(nn.Module):
    """What a student loses by saying something else than its teacher.

    Args:
        teacher: is asked in each step; no part of the module, so that no checkpoint carries it.
        label_set: the student's.
        config: how much which part counts.
        student: whose encoder's features are compared; None where they aren't.

    Raises:
        SegError: a number lies outside its range, classes can't be mapped, or there are no features to compare.
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
        self._teacher = (teacher,)  # in a tuple, a network is no submodule
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
        """Finds the deepest pair of features of one size, and makes the convolution between their channels."""
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
        """Asks the teacher about images (N, 3, H, W) uint8, of which the student has just said `logits` (N, C, h, w).

        Returns:
            The loss on scores, a mean over pixels, and the weighted loss on features; 0 where one isn't asked for.
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
            ours, theirs = self._seen[self._pair[0]], told.features[self._pair[1]]
            self._seen = ()
            on_features = self.config.features * (1 - nn.functional.cosine_similarity(self.head(ours), theirs.float())).mean()
        return on_scores, on_features

    def _on_scores(self, scores: Tensor, told: Tensor) -> Tensor:
        """The Kullback-Leibler divergence over groups of classes, times the temperature's square."""
        temperature = self.config.temperature
        target = torch.einsum("gc,nchw->nghw", self.theirs, (told / temperature).softmax(1))
        known = target.sum(1, keepdim=True)  # the rest it gives to classes that the student needn't know
        target = target / known.clamp_min(1e-6)
        scores = scores / temperature
        if any(len(members) > 1 for members in self._members):
            scores = torch.stack([scores[:, members].logsumexp(1) for members in self._members], 1)
        else:
            scores = scores[:, [members[0] for members in self._members]]
        divergence = (torch.special.xlogy(target, target) - target * scores.log_softmax(1)).sum(1, keepdim=True)
        return temperature**2 * (divergence * known).sum() / known.sum().clamp_min(1e-6)


def _groups(theirs: Sequence[str], label_set: LabelSet, classes: ClassMap) -> tuple[Tensor, list[list[int]]]:
    """Returns which of the teacher's classes (groups, its classes) and of the student's belong together."""
    targets = map_classes(theirs, label_set.classes, classes, "The teacher")
    members = list(dict.fromkeys(ids for ids in targets.values() if ids))
    if not members:
        raise SegError("model.distillation.classes leaves nothing that the teacher could teach.")
    table = torch.zeros(len(members), len(theirs))
    for index, name in enumerate(theirs):
        if targets[name]:
            table[members.index(targets[name]), index] = 1
    return table, [list(ids) for ids in members]
