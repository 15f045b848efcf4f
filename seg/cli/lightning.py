"""LightningCLI with a run folder: `seg.cli.train` runs it after it has checked that the arguments are safe."""

import logging
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import torch
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

from seg.cli.trust import allow_only
from seg.errors import SegError, did_you_mean
from seg.files import check_writable_folder, spread, write_text
from seg.machine import check_threads, usable_cores
from seg.runtime import Predictor
from seg.sizes import best_long_side, compare_sizes
from seg.training import SegmentationTask
from seg.training.checkpoints import DEAD_WORKER, Checkpoints, find_checkpoint, last_good
from seg.training.export import export_run, read_checkpoint
from seg.training.pictures import PredictionPictures
from seg.training.progress import CurvesInCsv, ProgressLines
from seg.weights import describe_anew

SUBCOMMANDS = ("fit", "validate", "test")
PRECISIONS: tuple[Any, ...] = ("32-true", "16-mixed", "bf16-mixed", "32", "16", "bf16", 32, 16, None)
NOISE = ("GPU available", "TPU available", "HPU available", "💡 Tip", "Restor", "Loaded model weights", "`Trainer.fit` stopped")


class _SaveConfig(SaveConfigCallback):
    """Writes the settings to `config.yaml` in the run folder; a resumed run writes them again."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.is_global_zero and stage == "fit":
            write_text(Path(trainer.default_root_dir) / "config.yaml", self.parser.dump(self.config, skip_unset=False))


class TrainCLI(LightningCLI):
    """LightningCLI with a run folder."""

    command = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Runs the subcommand, with LightningCLI's arguments. A run that fails before its first step leaves no folder behind."""
        self._made_folder = False
        self._start = 0  # step of the checkpoint from which training is resumed
        try:
            super().__init__(*args, **kwargs)
        except BaseException as error:
            if self._made_folder and not getattr(getattr(self, "trainer", None), "global_step", 0):
                shutil.rmtree(self.folder, ignore_errors=True)
            dead = DEAD_WORKER.match(str(error))
            if dead is not None and isinstance(error, RuntimeError):
                raise self._dead_worker([int(pid) for pid in dead[1].split(",")]) from None
            raise

    def _dead_worker(self, pids: list[int]) -> SegError:
        """Returns an error that says what the processes that prepared samples were reading when they died."""
        files = ", ".join(map(str, self.datamodule.read_by(pids)))
        return SegError(f"A process that prepares samples was killed{f' while it read {files}' if files else ''}. If the file is "
                        "sound, the machine may lack memory: lower --data.workers or --data.batch_size. "
                        f"{last_good(self.trainer)}")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Returns the subcommands, and which arguments of the Trainer's methods we set ourselves."""
        return {name: {*LightningCLI.subcommands()[name], "weights_only"} for name in SUBCOMMANDS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the run's name and folder, and links the model's settings that the data decides."""
        parser.add_argument("--name", type=str, required=True, help="Name of the run; its folder is RUNS/NAME.")
        parser.add_argument("--runs", type=str, default="runs", help="Folder of all runs.")
        parser.add_argument("--license", type=str, default="unknown",
                            help="Licence of the weights, noted in their file: an SPDX name or a sentence.")
        parser.add_argument("--size_frames", type=int, default=32, help="Validation frames on which it is tried, at the "
                            "end, at which size the network is most accurate; its weights note it. 0 leaves it open.")
        parser.add_argument("--threads", type=int | None, default=None, help="Threads of torch on the CPU; by default all cores.")
        parser.add_lightning_class_args(Checkpoints, "checkpoints")
        parser.add_lightning_class_args(PredictionPictures, "pictures")
        parser.set_defaults({"model.loss": {"class_path": "seg.training.losses.SegmentationLoss"}})
        parser.link_arguments("data.classes", "model.network.init_args.classes", apply_on="instantiate")
        parser.link_arguments("data.label_set", "model.label_set", apply_on="instantiate")
        parser.link_arguments("data.class_sets", "model.class_sets", apply_on="instantiate")
        parser.link_arguments("data.size_hw", "model.train_size_hw", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses; for an unknown setting, it names those that may have been meant."""
        try:
            super().parse_arguments(parser, args)
        except jsonargparse.ArgumentError as error:
            unknown = re.search(r"not accept option '([\w.]+)'|unrecognized arguments: --([\w.]+)", str(error))
            if unknown is None:
                raise
            name = unknown[1] or unknown[2]
            known = [action.dest for action in self._subcommand_parsers["fit"]._actions]
            raise SegError(f"There is no setting {name!r}. {did_you_mean(name, known)}") from None

    @property
    def settings(self) -> jsonargparse.Namespace:
        """The settings of the subcommand."""
        return self.config[self.subcommand]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.settings.runs) / self.settings.name

    def before_instantiate_classes(self) -> None:
        """Finds the checkpoint or refuses to overwrite one, before anything is built."""
        if self.settings.threads is not None:
            torch.set_num_threads(check_threads(self.settings.threads))
        if self.settings.trainer.precision not in PRECISIONS:
            raise SegError(f"trainer.precision is {self.settings.trainer.precision!r}; the weights of networks here stay in "
                           f"float32, so that it can be {', '.join(PRECISIONS[:3])}.")
        checkpoints = self.folder / "checkpoints"
        if self.settings.ckpt_path is not None:
            path = find_checkpoint(checkpoints, self.settings.ckpt_path)
            self._start = read_checkpoint(path)["global_step"]  # read here: a damaged one would end in a traceback of Lightning
            self.settings.ckpt_path = str(path)
            if self.subcommand == "fit" and path.resolve().parent != checkpoints.resolve():
                self._check_free(f"{path} is of another run; give this one another")
        elif self.subcommand == "fit":
            self._check_free("Go on with it by --ckpt_path last, or give another")
        elif self.settings.model.init_from is None:
            raise SegError(f"{self.subcommand} needs weights: --ckpt_path best (or last, or a file), or --model.init_from.")
        if self.subcommand == "fit":
            self._made_folder = not self.folder.exists() and not getattr(rank_zero_only, "rank", 0)
            check_writable_folder(self.folder)

    def _check_free(self, advice: str) -> None:
        """Refuses to overwrite a run."""
        if getattr(rank_zero_only, "rank", 0) != 0:  # the first process may have begun to write before the others come here
            return
        weights = self.folder / f"{self.folder.resolve().name}.safetensors"
        for path in (*sorted((self.folder / "checkpoints").glob("*.ckpt")), weights):
            if path.exists():
                raise SegError(f"{self.folder} already holds a run, whose {path.name} would be written over. {advice} --name.")

    def _parse_ckpt_path(self) -> None:
        """Leaves the settings as they are: Lightning would look for settings in the checkpoint, and ours holds none."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds run folder, loggers and progress bar where the settings don't give them."""
        given = self._get(self.config_init, "trainer")
        self._get(self.config_init, "checkpoints").folder = self.folder / "checkpoints"
        self._get(self.config_init, "pictures").folder = self.folder / "pictures"
        callbacks = given["callbacks"] or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        if self.subcommand != "fit":
            logger: Any = False
        elif given["logger"] in (None, True):
            # TensorBoard reads several files of a run as one; the CSV of a resumed run is a new version.
            logger = [TensorBoardLogger(self.folder, name="tensorboard", version=""), CurvesInCsv(self.folder, name="csv")]
        else:
            logger = given["logger"]
        if logger:
            callbacks.append(LearningRateMonitor("step"))
        bar = given["enable_progress_bar"] is not False
        if bar:
            callbacks.append(RichProgressBar() if sys.stdout.isatty() else ProgressLines())
        try:
            return super().instantiate_trainer(
                **{"default_root_dir": str(self.folder), **kwargs, "callbacks": callbacks, "logger": logger,
                   "enable_progress_bar": bar and sys.stdout.isatty()})
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise SegError(f"The trainer can't be made: {' '.join(str(error).split())}") from None

    def after_instantiate_classes(self) -> None:
        """Tells the task what the weights file will say about the training, and tells the user which weights are scored."""
        self.model.record.command = self.command
        plain = yaml.safe_load(self._parser(self.subcommand).dump(self.settings, skip_unset=False, skip_validation=True))
        self.model.settings = {name: value for group in ("seed_everything", "model", "data", "trainer")
                               for name, value in _flat(group, plain.get(group))}
        if self.subcommand == "fit" or self.settings.ckpt_path is not None:
            return
        own = " or ".join(path.stem for path in sorted((self.folder / "checkpoints").glob("*.ckpt")))
        advice = f"--ckpt_path {own} scores what {self.folder} has learnt" if own else f"{self.folder} has no checkpoint yet"
        if self.model.untrained:
            raise SegError(f"{self.settings.model.init_from} lacks {', '.join(self.model.untrained)}, which would be scored "
                           f"untrained. {advice}.")
        rank_zero_info(f"Scored is {self.settings.model.init_from} (model.init_from); {advice}.")

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        return {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True}

    def after_fit(self) -> None:
        """Writes the best weights, once all epochs are done."""
        if self.trainer.is_global_zero and not self.settings.trainer.fast_dev_run:
            if self._start and self._start == self.trainer.global_step:
                print(f"{self.settings.ckpt_path} is of a finished training: all {self._start} steps were done, and none was "
                      "added. To train longer, raise --trainer.max_epochs or --trainer.max_steps.")
            print(export_run(self.folder))
            if self.settings.size_frames:
                try:
                    print(self._find_size(self.folder / f"{self.folder.resolve().name}.safetensors"))
                except SegError as error:  # the training is done and its weights are saved
                    print(f"The size at which it is most accurate was not found: {error}")

    def _find_size(self, weights: Path) -> str:
        """Writes to the weights file at which size it is most accurate; returns a sentence that says so."""
        reader = self.trainer.datamodule.reader("val")  # type: ignore[attr-defined]
        chosen = spread(range(len(reader)), self.settings.size_frames)
        threads = min(torch.get_num_threads(), usable_cores())  # as in training
        predictor = Predictor.load(weights, engine="torch", size="own", threads=threads)
        results = compare_sizes(predictor, reader, chosen, warm_up_runs=0)
        best = best_long_side(results)
        describe_anew(weights, long_side=best)
        scores = results[best].scores
        assert scores is not None
        return (f"Most accurate on frames whose longer side is scaled to {best} px: mIoU {scores.present_miou:.4f}, "
                f"of the classes that occur, on {len(chosen)} of the validation frames. infer.py scales them so by itself.")


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the settings below `name`, by dotted names."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _flat(f"{name}.{key}", entry)
    else:
        yield name, value


def train(arguments: Sequence[str], trusted: Sequence[str], data_class: type[LightningDataModule], program: str,
          command: str) -> None:
    """Parses `arguments` and runs the subcommand.

    Args:
        arguments: those of LightningCLI.
        trusted: packages of the user's own whose classes the settings may name.
        data_class: the data module.
        program: what the command is called.
        command: as typed, for the record.
    """
    allow_only(trusted)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not str(record.msg).lstrip().startswith(NOISE))
    for noise in (".*does not have many workers.*", ".*LeafSpec.*is deprecated.*", ".*args parameter is intended to run from.*",
                  ".*Checkpoint directory .* exists and is not empty.*", ".*smaller than the logging interval.*"):
        warnings.filterwarnings("ignore", noise)
    errors = {"exit_on_error": False}
    TrainCLI.command = command
    TrainCLI(
        SegmentationTask, data_class, args=list(arguments), seed_everything_default=0, save_config_callback=_SaveConfig,
        auto_configure_optimizers=False, load_from_checkpoint_support=False,
        # The data module distributes samples to processes itself, and repeats none in evaluation.
        trainer_defaults={"use_distributed_sampler": False, "enable_model_summary": False},
        parser_kwargs={"prog": program,
                       "description": "Trains and validates networks. --trust PACKAGE lets the settings name its classes.",
                       **errors, **{name: dict(errors) for name in SUBCOMMANDS}},
    )
