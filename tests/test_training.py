"""Complete trainings on tiny data: they continue exactly where they stopped, and their output is right."""

import csv
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_runs import load, make_camvid, run, write_config

from seg import Predictor
from seg import load as load_weights
from seg.errors import SegError
from seg.evaluate import evaluate, read_sample
from seg.label_sets import CAMVID
from seg.metrics import Scores
from seg.models import LRASPP
from seg.training import checkpoints
from seg.training.ema import EMA
from seg.training.export import export_run
from seg.training.progress import CurvesInCsv
from seg.training.schedules import learning_rate_factor
from seg.training.task import SegmentationTask
from seg.weights import read_description

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """One thread, because another order of sums changes the last bit; tiny work is also faster this way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, settings and one finished run, `whole`, of 2 epochs of 4 steps."""
    folder = tmp_path_factory.mktemp("training")
    make_camvid(folder / "camvid")
    write_config(folder)
    assert run(folder, "--name", "whole") == 0
    return folder


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Sends a signal while the given step is computed."""
    original = SegmentationTask.training_step

    def training_step(self: SegmentationTask, batch: dict[str, Any], batch_index: int) -> torch.Tensor:
        if self.global_step == step:
            os.kill(os.getpid(), number)
        return original(self, batch, batch_index)

    monkeypatch.setattr(SegmentationTask, "training_step", training_step)


def assert_same_training(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compares all tensors of weights, averages and optimizer, bit for bit, and the schedules."""
    assert one["global_step"] == other["global_step"]
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name
    states = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (one, other)]
    for index, state in states[0].items():
        assert all(torch.equal(value, states[1][index][key]) for key, value in state.items())
    assert one["lr_schedulers"][0]["_last_lr"] == other["lr_schedulers"][0]["_last_lr"]
    curves = [checkpoint["lraspp"]["record"]["curve"] for checkpoint in (one, other)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(("step", "number"), [(0, signal.SIGINT), (3, signal.SIGINT), (5, signal.SIGTERM)])
def test_a_run_goes_on_where_ctrl_c_stopped_it(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                               step: int, number: int) -> None:
    name = f"stopped_{step}"
    with monkeypatch.context() as context:
        interrupt_at(context, step, number)
        assert run(folder, "--name", name) == 130
    assert "--ckpt_path last" in capsys.readouterr().err
    assert load(folder, name)["global_step"] == step + 1
    torch.manual_seed(99)  # other random numbers in this process must not matter
    assert run(folder, "--name", name, "--ckpt_path", "last") == 0
    assert_same_training(load(folder, "whole"), load(folder, name))


def test_max_steps_and_frequent_checkpoints_resume_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["--trainer.max_steps", "7", "--trainer.val_check_interval", "2", "--checkpoints.every_steps", "1"]
    assert run(folder, "--name", "steps_whole", *settings) == 0
    original = SegmentationTask.training_step

    def training_step(self: SegmentationTask, batch: dict[str, Any], batch_index: int) -> torch.Tensor:
        if self.global_step == 6:
            raise MemoryError  # no chance to write anything
        return original(self, batch, batch_index)

    with monkeypatch.context() as context:
        context.setattr(SegmentationTask, "training_step", training_step)
        assert run(folder, "--name", "steps", *settings) == 2
    assert load(folder, "steps")["global_step"] == 5, "step 6 is followed by a validation, behind which none was written"
    assert run(folder, "--name", "steps", *settings, "--ckpt_path", "last") == 0
    assert_same_training(load(folder, "steps_whole"), load(folder, "steps"))


def test_longer_training_continues_a_finished_one(folder: Path) -> None:
    assert run(folder, "--name", "longer", "--trainer.max_epochs", "1") == 0
    assert run(folder, "--name", "longer", "--trainer.max_epochs", "3", "--ckpt_path", "last") == 0
    assert load(folder, "longer")["global_step"] == 12
    assert [entry["step"] for entry in load(folder, "longer")["lraspp"]["record"]["curve"]] == [4, 8, 12]
    factor = learning_rate_factor("poly", steps=12, warmup_steps=2, power=0.9)
    with (folder / "runs/longer/csv/version_1/metrics.csv").open() as file:
        rates = {int(row["step"]): float(row["lr-AdamW/pg1"]) for row in csv.DictReader(file) if row["lr-AdamW/pg1"]}
    assert rates == pytest.approx({step: 0.002 * factor(step) for step in range(4, 12)}), "the schedule of the whole length"


def test_settings_that_changed_hold_when_a_run_goes_on(folder: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr("seg.training.task.rank_zero_info", said.append)
    clip = "--trainer.gradient_clip_val"
    steps = ["--name", "changed", "--model.schedule", "constant", "--trainer.max_epochs", "9", "--trainer.max_steps"]
    assert run(folder, *steps, "4") == 0
    lr, decay = "--model.optimizer.init_args.lr", "--model.optimizer.init_args.weight_decay"
    assert run(folder, *steps, "6", "--ckpt_path", "last", lr, "0.0005", decay, "0.1", clip, "0.5") == 0
    assert "weight_decay 0.1 (was 0.01)" in said[-1] and "lr 0.0005 (was 0.002)" in said[-1]
    assert "trainer.gradient_clip_val 0.5 (was 1.0)" in said[-1] and "model.schedule" not in said[-1]
    groups = load(folder, "changed")["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == [0.0005, 0.0005]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]  # norms and biases are still exempt
    capsys.readouterr()
    for wanted in ("SGD", "Adam"):
        assert run(folder, *steps, "8", "--ckpt_path", "last", "--model.optimizer", f"torch.optim.{wanted}", lr, "0.1") == 2
        assert f"made with AdamW, but model.optimizer is {wanted}" in capsys.readouterr().err
    assert load(folder, "changed")["global_step"] == 6


def test_a_loss_that_is_no_number_stops_with_step_files_and_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    original, batches = SegmentationTask.training_step, dict[int, list[int]]()

    def training_step(self: SegmentationTask, batch: dict[str, Any], batch_index: int) -> torch.Tensor:
        batches[self.global_step] = batch["index"].tolist()
        if self.global_step == 5:
            with torch.no_grad():
                next(self.network.parameters()).fill_(torch.nan)
        return original(self, batch, batch_index)

    monkeypatch.setattr(SegmentationTask, "training_step", training_step)
    assert run(folder, "--name", "nan") == 2
    said = capsys.readouterr().err
    place = folder / "runs" / "nan" / "checkpoints" / "last.ckpt"
    files = ", ".join(str(folder / "camvid" / "train" / f"{index:03d}.png") for index in batches[5])
    assert f"The loss is nan at step 5, with the batch {files}. The last good checkpoint is {place}, of step 4" in said
    assert load(folder, "nan")["global_step"] == 4


def test_weights_that_are_no_numbers_are_never_kept(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    original = SegmentationTask.optimizer_step

    def optimizer_step(self: SegmentationTask, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.global_step == 1:  # the second step, which doesn't count yet
            next(self.network.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(SegmentationTask, "optimizer_step", optimizer_step)
    assert run(folder, "--name", "nan_weights", "--checkpoints.every_steps", "1") == 2
    assert "not finite after step 2" in capsys.readouterr().err
    assert load(folder, "nan_weights")["global_step"] == 1


def test_a_worker_that_dies_is_named_with_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    from datasets.camvid import CamVid

    original, main_process = CamVid.read, os.getpid()

    def read(self: CamVid, index: int) -> Any:
        if self.samples[index].image_path.stem == "005" and os.getpid() != main_process:
            os.kill(os.getpid(), signal.SIGKILL)  # as when memory runs out
        return original(self, index)

    monkeypatch.setattr(CamVid, "read", read)
    assert run(folder, "--name", "killed", "--data.workers", "1") == 2
    assert f"was killed while it read {folder / 'camvid' / 'train' / '005.png'}." in capsys.readouterr().err


def test_no_run_is_written_over_by_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--name", "taken", "--trainer.max_steps", "2") == 0
    taken = folder / "runs" / "taken"
    before = {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()}
    other = str(folder / "runs/whole/checkpoints/last.ckpt")
    capsys.readouterr()
    assert run(folder, "--name", "taken", "--ckpt_path", other, "--trainer.max_epochs", "3") == 2
    assert "is of another run; give this one another --name" in capsys.readouterr().err
    for checkpoint in (taken / "checkpoints").iterdir():
        before.pop(checkpoint)
        checkpoint.unlink()
    assert run(folder, "--name", "taken", "--trainer.max_steps", "1") == 2, "its weights are there"
    assert "whose taken.safetensors would be written over" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()} == before
    # A run of a new name may begin with a checkpoint of another, and has its own best one.
    assert run(folder, "--name", "branch", "--ckpt_path", other, "--trainer.max_epochs", "3") == 0
    assert load(folder, "branch", "best")["global_step"] == 12


def test_a_signal_to_one_of_two_processes_stops_both_and_loses_nothing(folder: Path) -> None:
    """It goes to the second process, and the first must learn of it."""
    common = ["--config", str(folder / "tiny.yaml"), "--data.root", str(folder / "camvid"), "--runs", str(folder / "runs"),
              "--trainer.devices", "2", "--trainer.strategy", "ddp", "--data.batch_size", "1", "--trainer.max_epochs", "200",
              "--trainer.limit_val_batches", "1"]
    command = [sys.executable, str(REPOSITORY / "train_seg.py"), "fit", *common, "--name", "signal"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    children = [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    trainers = [child for child in children if b"train_seg.py" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(trainers[0], signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "--ckpt_path last continues from it" in said and "Traceback" not in said
    assert load(folder, "signal")["global_step"] >= 4


def test_curves_are_written_in_every_locale(tmp_path: Path) -> None:
    """As in a locale with ASCII texts, and with a class whose name isn't ASCII."""
    logger = CurvesInCsv(tmp_path)
    with pytest.MonkeyPatch.context() as context:
        context.setattr("locale.getpreferredencoding", lambda *_: "ascii")
        context.setattr("io.text_encoding", lambda encoding, *_: encoding or "ascii")
        for step in range(2):
            logger.log_metrics({"val/iou/街道": 0.5, f"more{step}": 1.0}, step)
            logger.save()
    (path,) = tmp_path.rglob("metrics.csv")
    assert "街道" in path.read_text(encoding="utf-8")


def test_a_run_leaves_weights_pictures_and_curves(folder: Path) -> None:
    whole = folder / "runs" / "whole"
    best, last = load(folder, "whole", "best"), load(folder, "whole")
    network = load_weights(whole / "whole.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, best["state_dict"][f"ema.network.{name}"]), "the averaged weights are those exported"
    description = read_description(whole / "whole.safetensors")
    curve = last["lraspp"]["record"]["curve"]
    assert [entry["step"] for entry in curve] == [4, 8]
    best_entry = max(curve, key=lambda entry: entry["present_miou"])
    assert (description.metrics["val/miou"], description.training["step"]) == (best_entry["miou"], best_entry["step"])
    assert set(description.metrics["val/per_class_iou"]) == set(CAMVID.classes)
    assert [entry["miou"] for entry in description.metrics["curve"]] == [entry["miou"] for entry in curve]
    assert description.label_set == CAMVID
    assert description.train_size_hw == (32, 48)
    assert "--data.root DIR" in description.training["command"]
    assert str(folder / "camvid") not in description.to_json()
    assert description.training["settings"]["model"]["optimizer"]["init_args"]["lr"] == 0.002
    assert description.training["duration_seconds"] >= 0
    assert {"torch", "pytorch-lightning"} <= set(description.training["versions"])
    pictures = sorted((whole / "pictures").rglob("*.png"))
    assert [picture.stem for picture in pictures] == ["step_000004", "step_000008"]
    assert cv2.imread(str(pictures[0])).shape == (48, 3 * 64, 3)
    rows = list(csv.DictReader((whole / "csv" / "version_0" / "metrics.csv").open()))
    assert [float(row["val/miou"]) for row in rows if row["val/miou"]] == pytest.approx([entry["miou"] for entry in curve])
    assert any((whole / "tensorboard").iterdir())
    assert (whole / "config.yaml").is_file()


def test_validation_scores_are_those_of_the_frames(folder: Path) -> None:
    from datasets import READERS
    from seg.metrics import confusion_matrix

    network = load_weights(folder / "runs" / "whole" / "whole.safetensors")
    reader = READERS["camvid"](folder / "camvid", "val")
    matrix = np.zeros((len(CAMVID), len(CAMVID)), np.int64)
    for index in range(len(reader)):
        frame_rgb, train_ids = reader.read(index)
        with torch.inference_mode():
            predicted = network(torch.from_numpy(frame_rgb.transpose(2, 0, 1).copy())[None]).argmax(1)[0]
        matrix = matrix + confusion_matrix(train_ids, predicted.numpy().astype("uint8"), len(CAMVID))
    expected = Scores.from_confusion(matrix, CAMVID)
    metrics = read_description(folder / "runs" / "whole" / "whole.safetensors").metrics
    assert metrics["val/miou"] == pytest.approx(expected.miou, abs=1e-3)
    assert metrics["val/pixel_accuracy"] == pytest.approx(expected.pixel_accuracy, abs=1e-3)


def test_validation_at_another_size_scores_as_inference_does_at_that_size(folder: Path) -> None:
    from datasets import READERS

    assert run(folder, "--name", "scaled", "--data.val_long_side", "96", "--trainer.max_epochs", "1",
               "--model.init_from", "camvid_small_scratch", "--model.network.init_args.decoder_channels", "128") == 0
    weights = folder / "runs" / "scaled" / "scaled.safetensors"
    reader = READERS["camvid"](folder / "camvid", "val")

    def accuracy(size: Any) -> float:
        predictor = Predictor.load(weights, engine="torch", size=size)
        scores = evaluate(predictor, (read_sample(reader, index) for index in range(3)), CAMVID, warm_up_runs=0).scores
        assert scores is not None
        return scores.pixel_accuracy

    assert read_description(weights).metrics["val/pixel_accuracy"] == pytest.approx(accuracy(96), abs=2e-3)
    assert abs(accuracy("own") - accuracy(96)) > 5e-3, "the size makes no difference here"


def test_a_killed_worker_is_no_fault_of_the_checkpoint(tmp_path: Path) -> None:
    """It comes from torch, from a signal handler, wherever the program happens to be."""
    def save_checkpoint(path: Path, weights_only: bool) -> None:
        path.write_bytes(b"half of it")
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    trainer: Any = SimpleNamespace(lightning_module=SimpleNamespace(check_finite=lambda: None), is_global_zero=True,
                                   save_checkpoint=save_checkpoint)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        checkpoints._save(trainer, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_can_not_be_written_leaves_the_one_before(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--name", "full", "--trainer.max_epochs", "1") == 0
    place = folder / "runs" / "full" / "checkpoints"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    original, calls = Trainer.save_checkpoint, list[Path]()

    def save_checkpoint(self: Trainer, path: Path, weights_only: bool = False) -> None:
        calls.append(Path(path))
        if len(calls) == 2:  # the disk is full in the middle of the file
            Path(path).write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        original(self, path, weights_only=weights_only)

    with monkeypatch.context() as context:
        context.setattr(Trainer, "save_checkpoint", save_checkpoint)
        assert run(folder, "--name", "full", "--ckpt_path", "last", "--trainer.max_epochs", "3", "--checkpoints.every_steps", "1",
                   "--trainer.limit_val_batches", "0") == 2
    assert "No space left on device. The earlier one is kept; --ckpt_path last" in capsys.readouterr().err
    assert {path.name for path in place.iterdir()} == set(before), "nothing half-written is left"
    assert load(folder, "full")["global_step"] == 5, "the one written before the fault"
    (place / "last.ckpt").write_bytes(b"")
    assert "best.ckpt" in export_run(folder / "runs" / "full"), "best.ckpt is whole"
    (place / "best.ckpt").write_bytes(b"")
    with pytest.raises(SegError, match="not a whole checkpoint"):
        export_run(folder / "runs" / "full")


def test_two_processes_learn_and_score_as_one(folder: Path) -> None:
    """With the same batch, if each part of it has as many labelled pixels and norms don't depend on the batch.

    The two processes share five validation frames: one of them gets a frame more, and none counts twice.
    """
    make_camvid(folder / "five", train=4, val=5, values=11)
    common = ["--data.root", str(folder / "five"), "--trainer.max_epochs", "1", "--data.scale_range", "[1.0, 1.0]",
              "--trainer.callbacks", "training_runs.NormsFrozen", "--trust", "training_runs"]
    modules = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": modules}
    command = [sys.executable, str(REPOSITORY / "train_seg.py"), "fit", "--config", str(folder / "tiny.yaml"), "--runs",
               str(folder / "runs"), *common, "--name", "two", "--trainer.devices", "2", "--trainer.strategy", "ddp",
               "--data.batch_size", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert run(folder, *common, "--name", "one", "--data.batch_size", "2") == 0
    two, one = load(folder, "two"), load(folder, "one")
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    from_two = two["lraspp"]["record"]["curve"]
    assert from_two[0]["miou"] == pytest.approx(one["lraspp"]["record"]["curve"][0]["miou"], abs=1e-3)
    assert len(from_two) == 1
    assert from_two[0]["step"] == 2, "four samples in steps of two processes with one each"
    seen: list[Scores] = []
    original = SegmentationTask.on_validation_epoch_end

    def on_validation_epoch_end(self: SegmentationTask) -> None:
        original(self)
        assert self.scores is not None
        seen.append(self.scores)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(SegmentationTask, "on_validation_epoch_end", on_validation_epoch_end)
        arguments = ["--name", "two", "--data.root", str(folder / "five"), "--ckpt_path", "last"]
        assert run(folder, *arguments, subcommand="validate") == 0
    from_one = seen[0].to_dict()
    assert {key: from_two[0][key] for key in from_one} == from_one


@pytest.mark.parametrize("arguments", [
    ["--trainer.precision", "bf16-mixed"],
    ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.init_args.lr", "0.01", "--model.schedule", "poly",
     "--model.ema_decay", "0", "--model.loss.class_weights", "enet", "--model.loss.ohem_probability", "0.7",
     "--model.loss.lovasz", "0.5", "--trainer.accumulate_grad_batches", "2"],
    ["--model.loss.pixel_stride", "2", "--model.loss.dice", "1"],
    ["--model.loss.others", '[{"loss": {"class_path": "segmentation_models_pytorch.losses.TverskyLoss", "init_args": '
     '{"mode": "multiclass", "ignore_index": 255}}, "weight": 0.2}]'],
])
def test_settings_train(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run(folder, "--runs", str(tmp_path), "--name", "other", "--trainer.max_epochs", "1", *arguments) == 0
    assert math.isfinite(read_description(tmp_path / "other" / "other.safetensors").metrics["val/miou"])


def test_fine_tuning_starts_from_the_weights_and_so_does_the_average(folder: Path) -> None:
    weights = folder / "runs" / "whole" / "whole.safetensors"
    network = LRASPP("mobilenet_v3_small_rf2", decoder_channels=16, classes=11)
    task = SegmentationTask(network, CAMVID, (32, 48), init_from=str(weights))
    expected = load_weights(weights).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in task.network.state_dict().items())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in task.averaged.state_dict().items())


@pytest.mark.parametrize("warmup_steps", [0, 1, 10])
@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_schedules_are_those_of_torch(schedule: Any, warmup_steps: int) -> None:
    steps, power = 100, 0.9
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    later: dict[str, Callable[[], lr_scheduler.LRScheduler]] = {
        "poly": lambda: lr_scheduler.PolynomialLR(optimizer, steps - warmup_steps, power),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup_steps),
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)}
    scheduler = later[schedule]()
    if warmup_steps:
        first = lr_scheduler.LinearLR(optimizer, 1 / (warmup_steps + 1), total_iters=warmup_steps)
        scheduler = lr_scheduler.SequentialLR(optimizer, [first, scheduler], [warmup_steps])
    expected = list[float]()
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    factor = learning_rate_factor(schedule, steps, warmup_steps, power)
    assert [factor(step) for step in range(steps)] == pytest.approx(expected, abs=1e-12)
    assert factor(steps + 5) == factor(steps) == (1.0 if schedule == "constant" else 0.0), "the end holds"


def test_the_average_follows_weights_and_buffers() -> None:
    network = torch.nn.BatchNorm1d(2)
    average = EMA(network, decay=0.5)
    with torch.no_grad():
        network.weight.fill_(3)
        network.running_mean.fill_(1)
        network.num_batches_tracked.fill_(7)
    average.update(network, step=1)  # the decay is still 2/11
    assert average.network.weight.tolist() == pytest.approx([3 - 2 * 2 / 11] * 2)
    assert average.network.running_mean.tolist() == pytest.approx([9 / 11] * 2)
    assert average.network.num_batches_tracked == 7


def test_the_average_is_torchs_once_its_decay_has_warmed_up() -> None:
    random = torch.Generator().manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    average = EMA(network, decay=0.8)
    expected = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    expected.n_averaged += 1  # the weights at the start count, as ours do
    for step in range(100, 110):
        for tensor in network.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape, generator=random))
        average.update(network, step)
        expected.update_parameters(network)
    for name, tensor in average.network.state_dict().items():
        torch.testing.assert_close(tensor, expected.module.state_dict()[name], msg=name)
