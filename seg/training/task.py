"""The one training task: a network, its loss, its optimizer and schedule, averaged weights, and validation by mIoU."""

import math
from copy import deepcopy
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seg.errors import SegError
from seg.files import spread
from seg.label_sets import IGNORE, LabelSet
from seg.metrics import Scores
from seg.models import SegmentationNetwork, init_from
from seg.models.pretrained import norms_are_folded, unfold_norms
from seg.training import footprint
from seg.training.auxiliary import Auxiliary, AuxiliaryHead
from seg.training.bands import bands
from seg.training.checkpoints import last_good
from seg.training.ema import EMA
from seg.training.finite import Found, LossWatch
from seg.training.layers import speed_up
from seg.training.losses import Counts, Loss, SegmentationLoss
from seg.training.memory import keep_freed_memory
from seg.training.record import RunRecord
from seg.training.schedules import Schedule, learning_rate_factor
from seg.training.teacher import Distillation, DistillationLoss, load_teacher

CHECKPOINT_KEY = "lraspp"
HELPERS = {"loss.": ("another loss, which learns,", "model.loss"),
           "distillation.": ("a teacher of features", "model.teacher and model.distillation.features"),
           "auxiliary.": ("an auxiliary head", "model.auxiliary")}  # parts that are trained beside the network but not exported
UNFOLDING_PICTURES = 24


class SegmentationTask(LightningModule):
    """Trains a network on images and labels. Batches are dicts: `image` uint8 RGB (N, 3, H, W), `labels` int64 (N, H, W)."""

    def __init__(
        self,
        network: SegmentationNetwork,
        label_set: LabelSet,
        train_size_hw: tuple[int, int],
        optimizer: OptimizerCallable = lambda parameters: AdamW(parameters, lr=2e-3, weight_decay=0.01),
        schedule: Schedule = "poly",
        poly_power: float = 0.9,
        warmup_steps: int = 100,
        loss: Loss | None = None,
        ema_decay: float = 0.998,
        init_from: str | None = None,
        init_classes: dict[str, str | list[str] | None] | None = None,
        norm_momentum: float | None = None,
        channels_last: bool = True,
        class_sets: list[tuple[int, ...]] | None = None,
        teacher: str | None = None,
        distillation: Distillation = Distillation(),  # noqa: B008  (never changed, and jsonargparse shows its fields)
        auxiliary: Auxiliary = Auxiliary(),  # noqa: B008  (as before)
    ) -> None:
        """Builds the task.

        Args:
            network: the network to train; its number of classes comes from the data.
            label_set: the meaning of the classes; comes from the data.
            train_size_hw: size of the training crops; comes from the data.
            optimizer: for example torch.optim.SGD or torch.optim.AdamW. Norms and biases get no weight decay.
            schedule: how the learning rate falls after the warm-up, step by step: poly, cosine or constant.
            poly_power: exponent of the poly schedule.
            warmup_steps: steps in which the learning rate rises first.
            loss: the loss to minimise; None is a SegmentationLoss with its defaults.
            ema_decay: decay of the averaged weights, which are validated and exported; 0 for no averaging.
            init_from: weights to start from, a file or a shipped name. A class starts from the class of the same name there.
            init_classes: if names differ, the class or classes of `init_from` from which a class starts; null starts it from
                random weights.
            norm_momentum: share of each batch in batch norm's running statistics; None keeps the network's own, which is the
                paper's 0.01 in our encoders. A short run needs 0.1, because its statistics would otherwise lag behind its
                weights.
            channels_last: memory layout of the convolutions; it is the fast one on most processors and GPUs.
            class_sets: the meaning of labels from the number of classes up; comes from the data.
            teacher: a trained network that teaches this one: weights of this project, an ONNX file, or a state dict with
                `distillation.smp`.
            distillation: how the teacher influences the loss.
            auxiliary: a second classifier on earlier features, which is trained too and discarded afterwards.

        Raises:
            SegError: an argument is out of range, or `init_from` doesn't fit.
        """
        super().__init__()
        if not 0 <= ema_decay < 1:
            raise SegError(f"model.ema_decay is {ema_decay}; it must be at least 0 and below 1.")
        self.label_set = label_set
        self.train_size_hw = (int(train_size_hw[0]), int(train_size_hw[1]))
        self.optimizer_factory = optimizer
        self.schedule: Schedule = schedule
        self.poly_power = poly_power
        self.warmup_steps = warmup_steps
        self.class_sets = class_sets or []
        self.init_from = init_from
        self.network = network
        self.untrained: list[str] = []  # classes for which `init_from` has nothing
        if init_from is not None:
            self._start_from(init_from, init_classes)
        elif init_classes:
            raise SegError("model.init_classes says from which classes to start, but model.init_from is missing; give it.")
        if norm_momentum is not None:
            self._set_norm_momentum(norm_momentum)
        if channels_last:
            self.network.to(memory_format=torch.channels_last)
        self.ema = EMA(self.network, ema_decay) if ema_decay else None
        self.loss = SegmentationLoss() if loss is None else loss
        self.teacher, self.distillation_config = teacher, distillation
        self.distillation: DistillationLoss | None = None
        self.auxiliary_config = auxiliary
        self.auxiliary: AuxiliaryHead | None = None
        self.record = RunRecord()
        self.settings: dict[str, Any] = {}  # all settings of the run, by dotted name; the command line sets them
        self._settings_before: dict[str, Any] = {}  # the settings in the checkpoint from which the run continues
        self._watch = LossWatch()
        self._optimizer_settings: list[dict[str, Any]] = []  # as the user gave them, by group of parameters
        self.scores: Scores | None = None
        classes = len(label_set)
        self.register_buffer("confusion", torch.zeros(classes, classes, dtype=torch.int64), persistent=False)
        self.confusion: Tensor

    def _start_from(self, weights: str, origins: dict[str, str | list[str] | None] | None) -> None:
        self.untrained = init_from(self.network, weights, self.label_set.classes, origins)
        if self.untrained:
            rank_zero_info(f"Starting from {weights}; classes that start from random weights: {', '.join(self.untrained)}.")

    def _set_norm_momentum(self, momentum: float) -> None:
        if not 0 < momentum <= 1:
            raise SegError(f"model.norm_momentum is {momentum}; it must be above 0 and at most 1.")
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = momentum

    @property
    def averaged(self) -> SegmentationNetwork:
        """The network that is validated and exported, with averaged weights if there are any."""
        return self.network if self.ema is None else self.ema.network  # type: ignore[return-value]

    # Training

    def setup(self, stage: str) -> None:
        """Builds the loss, which may need the train split's class frequencies, and synchronises batch norms between GPUs."""
        if stage == "fit":
            if len(self.label_set) < 2:
                raise SegError(f"The data have one class, {self.label_set.classes[0]!r}: there is nothing to tell apart. Give "
                               "what is ignored a class of its own, such as background.")
            unlabelled = getattr(self.trainer.datamodule, "unlabelled", ())  # type: ignore[attr-defined]
            if self.teacher is not None:
                self.distillation = DistillationLoss(load_teacher(self.teacher, self.distillation_config), self.label_set,
                                                     self.distillation_config, self.network)
            elif self.distillation_config != Distillation():
                raise SegError("model.distillation says how a teacher teaches, and there is none; give --model.teacher FILE.")
            elif unlabelled:
                raise SegError(f"The pictures in {unlabelled[0]} have no labels, so they are of no use without a teacher: "
                               "give --model.teacher FILE, or leave them out.")
            if self.auxiliary_config.weight:
                self.auxiliary = AuxiliaryHead(self.auxiliary_config, self.network, len(self.label_set))
            self.loss.prepare(len(self.label_set), self.class_sets, self._count_pixels)
            self._unfold_norms()
            if self.trainer.world_size > 1 and self.trainer.strategy.root_device.type == "cuda":  # it only exists for GPUs
                self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
            if self._on_processor:
                keep_freed_memory()
                speed_up(self.network)
                self._check_memory()
            self.record.start()

    def _check_memory(self) -> None:
        """Reports how much memory a step and a validation take, and refuses them if there is too little."""
        data, loss = self.trainer.datamodule, deepcopy(self.loss)  # type: ignore[attr-defined]
        if not hasattr(data, "largest_hw"):  # the data module of another project
            return
        kept = footprint.kept_bytes_per_pixel(self.network, lambda scores, labels: loss(scores, labels, 0))
        validated = bool(self.trainer.limit_val_batches)
        footprint.check_memory(kept, self.train_size_hw, data.batch_size, data.largest_hw("val") if validated else None,
                               data.val_batch_size)

    @property
    def _on_processor(self) -> bool:
        return bool(self.trainer.strategy.root_device.type == "cpu")

    def _unfold_norms(self) -> None:
        """Gives batch norms that came folded into the encoder's weights their own statistics, from training pictures."""
        if not norms_are_folded(self.network.encoder):
            return
        reader = self.trainer.datamodule.reader("train")  # type: ignore[attr-defined]
        chosen = spread(range(len(reader)), UNFOLDING_PICTURES)
        images = (torch.from_numpy(reader.read(index)[0]).permute(2, 0, 1)[None] for index in chosen)
        unfold_norms(self.network.encoder, (self.network.normalize(image) for image in images))
        if self.ema is not None:
            self.ema.network.load_state_dict(self.network.state_dict())
        rank_zero_info(f"The encoder's batch norms now have statistics from {len(chosen)} training pictures.")

    def _count_pixels(self) -> Counts:
        """Returns the pixels of each class (C,) in the train split of the first data set."""
        reader = self.trainer.datamodule.reader("train")  # type: ignore[attr-defined]
        counts = torch.zeros(IGNORE + 1, dtype=torch.int64)
        for index in range(len(reader)):
            counts += torch.bincount(torch.from_numpy(reader.read(index)[1]).flatten().long(), minlength=IGNORE + 1)
        return counts[:len(self.label_set)].numpy()

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Returns the loss of a batch."""
        images, labels = batch["image"], batch["labels"]
        logits = self.network.logits(images)
        loss: Tensor = self.loss(logits, labels, self.global_step)
        if self.auxiliary is not None:
            loss = loss + self.auxiliary_config.weight * self.loss(self.auxiliary(), labels, self.global_step)
        if self.distillation is not None:
            on_scores, on_features = self.distillation(images, logits)
            self.log_dict({"train/loss_labels": loss, "train/loss_teacher": on_scores}, batch_size=len(images))
            share = self.distillation.config.share
            loss = (1 - share) * loss + share * on_scores + on_features
        if found := self._watch.add(self.global_step, loss, batch["index"]):
            raise self._not_finite(found)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["image"]))
        return loss

    def check_finite(self) -> None:
        """Checks the losses that weren't checked yet, and the weights: no checkpoint may contain values that aren't finite.

        Raises:
            SegError: one isn't finite; the message names step, files and the last good checkpoint.
        """
        if found := self._watch.look():
            raise self._not_finite(found)
        if not torch.stack([parameter.isfinite().all() for parameter in self.network.parameters()]).all():
            raise self._not_finite(None)

    def _not_finite(self, found: Found | None) -> SegError:
        if found is None:
            what = f"The weights are not finite after step {self.global_step}, although the loss was"
        else:
            files = self.trainer.datamodule.image_paths(found.samples)  # type: ignore[attr-defined]
            what = f"The loss is {found.loss} at step {found.step}, with the batch {', '.join(map(str, files))}"
        return SegError(f"{what}. {last_good(self.trainer)} Look at the files' labels, lower the learning rate "
                        "(model.optimizer.init_args.lr), lengthen model.warmup_steps, or clip gradients "
                        "(trainer.gradient_clip_val).")

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps the optimizer, then the averaged weights, so that every checkpoint contains both from the same step."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update(self.network, self.global_step)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Returns optimizer and per-step schedule; norms and biases get no weight decay."""
        modules = [module for module in (self.network, self.loss, self.distillation, self.auxiliary) if module is not None]
        learned = [parameter for module in modules for parameter in module.parameters()]
        decayed = [p for p in learned if p.requires_grad and p.ndim > 1]
        spared = [p for p in learned if p.requires_grad and p.ndim <= 1]
        groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
        optimizer = self._make_optimizer(groups)
        factor = learning_rate_factor(self.schedule, self._steps(), self.warmup_steps, self.poly_power)
        scheduler = LambdaLR(optimizer, factor)
        self._optimizer_settings = [_settings(group) for group in optimizer.param_groups]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _make_optimizer(self, parameters: Any) -> Optimizer:
        try:
            optimizer = self.optimizer_factory(parameters)
        except (ValueError, TypeError) as error:
            raise SegError(f"model.optimizer can't be made: {error}.") from None
        if self._on_processor:
            for group in (optimizer.defaults, *optimizer.param_groups):  # one pass over all, unless the settings say otherwise
                if "fused" in group and group["fused"] is None and not (group.get("foreach") or group.get("differentiable")):
                    group["fused"] = True
        return optimizer

    def on_train_start(self) -> None:
        """Continues with the settings that are asked for now, and reports the settings that came from the checkpoint."""
        optimizer, scheduler = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(scheduler, LambdaLR)
        changed = dict[str, str]()
        for group, settings in zip(optimizer.param_groups, self._optimizer_settings, strict=True):
            changed |= {name: f"{name} {value} (was {group.get(name)})" for name, value in settings.items()
                        if group.get(name) != value and name not in changed}
            group.update(settings)
        scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
        others = [f"{name} {value} (was {self._settings_before[name]})" for name, value in self.settings.items()
                  if self._settings_before.get(name, value) != value and not name.startswith("model.optimizer")]
        if changed or others:
            rank_zero_info(f"The run continues with {', '.join([*changed.values(), *others]).replace('initial_lr', 'lr')}.")

    def _steps(self) -> int:
        """Counts the optimizer's steps of the whole training.

        `Trainer.estimated_stepping_batches` would set up the data loader before the checkpoint is read, and then Lightning 2.6
        never restores the loader's position in its epoch.
        """
        trainer = self.trainer
        batches = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        limit = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
        limits = [*([trainer.max_steps] if trainer.max_steps != -1 else []), *([epochs * per_epoch] if epochs != -1 else [])]
        if not limits:
            raise SegError("Training would never end: give trainer.max_epochs or trainer.max_steps.")
        return min(limits)

    # Validation

    def on_validation_epoch_start(self) -> None:
        """Empties the confusion matrix."""
        self.confusion.zero_()

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Counts a batch of whole frames and returns its train ids (N, H, W) uint8."""
        labels, classes = batch["labels"], len(self.confusion)
        found = torch.empty_like(labels, dtype=torch.uint8)
        for rows, predicted in bands(self.averaged.logits(batch["image"]).float(), labels.shape[1:]):
            truth = labels[:, rows].long()
            # Pixels that don't count fall into a bin behind the matrix: indexing by a mask would wait for the GPU.
            bins = (truth * classes + predicted).where(truth != IGNORE, classes * classes).flatten()
            self.confusion += torch.bincount(bins, minlength=classes * classes + 1)[:-1].view(classes, classes)
            found[:, rows] = predicted
        return found

    def on_validation_epoch_end(self) -> None:
        """Sums the confusion matrix over processes and scores it."""
        confusion = self.trainer.strategy.reduce(self.confusion.clone(), reduce_op="sum")
        self.scores = Scores.from_confusion(confusion.cpu().numpy(), self.label_set)
        split = "test" if self.trainer.testing else "val"
        self.log(f"{split}/miou", self.scores.miou, prog_bar=True)
        self.log(f"{split}/present_miou", self.scores.present_miou)
        self.log(f"{split}/pixel_accuracy", self.scores.pixel_accuracy)
        self.log_dict({f"{split}/iou/{name}": iou for name, iou in self.scores.per_class_iou.items()})
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.record.add(self.global_step, self.current_epoch, self.scores)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    # Checkpoints: plain types only, so that they load without unpickling code

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the data for rebuilding the network, and the record of the run."""
        checkpoint[CHECKPOINT_KEY] = {
            "network": type(self.network).__name__, "arguments": self.network.arguments, "label_set": self.label_set.to_dict(),
            "train_size_hw": list(self.train_size_hw), "averaged": self.ema is not None, "record": self.record.state_dict(),
            "optimizer": type(self.trainer.optimizers[0]).__name__, "settings": self.settings,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continues the record of the run.

        Raises:
            SegError: the checkpoint is from another network, from other classes or, for further training, from another optimizer.
        """
        saved = checkpoint.get(CHECKPOINT_KEY)
        if saved is None:
            raise SegError("The checkpoint is not one of this project's training.")
        now = {"network": type(self.network).__name__, **self.network.arguments, "averaged": self.ema is not None}
        then = {"network": saved["network"], **saved["arguments"], "averaged": saved["averaged"]}
        differing = [key for key in now if now[key] != then.get(key)]
        if differing:
            raise SegError("The checkpoint is from another network: " + ", ".join(
                f"{key} is {then.get(key)!r} there and {now[key]!r} here" for key in differing) + ".")
        if saved["label_set"]["classes"] != list(self.label_set.classes):
            raise SegError(f"The checkpoint has the classes {', '.join(saved['label_set']['classes'])}; the data's are "
                           f"{', '.join(self.label_set.classes)}. Start a new run from its weights: --model.init_from.")
        if self.trainer.state.fn == "fit":
            self._check_optimizer(saved.get("optimizer"), checkpoint)
        for prefix, (what, settings) in HELPERS.items():
            own = {name for name in self.state_dict() if name.startswith(prefix)}
            kept = {name for name in checkpoint["state_dict"] if name.startswith(prefix)}
            if own != kept and self.trainer.state.fn == "fit":
                raise SegError(f"The checkpoint was made {'with' if kept else 'without'} {what}. Set {settings} as it was to "
                               "continue from it.")
            for name in kept - own:  # parts that only taught the network aren't needed to score it
                del checkpoint["state_dict"][name]
        self.record.load_state_dict(saved["record"])
        self._settings_before = saved.get("settings", {})  # checkpoints of earlier versions have none

    def _check_optimizer(self, then: str | None, checkpoint: dict[str, Any]) -> None:
        """Refuses to continue with an optimizer that can't use the checkpoint's optimizer state."""
        optimizer = self._make_optimizer([nn.Parameter(torch.zeros(1))])
        now, groups = type(optimizer).__name__, checkpoint["optimizer_states"][0]["param_groups"]
        same_settings = _settings(optimizer.param_groups[0]).keys() == _settings(groups[0]).keys() - {"initial_lr"}
        if then not in (None, now) or not same_settings:
            raise SegError(f"The checkpoint was made with {then or 'another optimizer'}, but model.optimizer is {now}. Set it "
                           "back to continue, or start a new run from the weights: --model.init_from FILE --name NAME.")


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of an optimizer's group of parameters; the current learning rate is not a setting."""
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
