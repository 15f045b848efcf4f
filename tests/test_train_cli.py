"""The command line of training: what it refuses, in one sentence and with exit code 2, and what it must not import."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from training_runs import make_camvid, run, write_config

import train_seg
from seg.cli import best_weights, train
from seg.cli.train import main
from seg.cli.trust import split_trust
from seg.errors import SegError

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and settings."""
    folder = tmp_path_factory.mktemp("train_cli")
    make_camvid(folder / "camvid")
    write_config(folder)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str, subcommand: str = "fit") -> str:
    """Runs a training that must be refused; returns the sentence."""
    capsys.readouterr()
    assert run(folder, *arguments, subcommand=subcommand) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(("arguments", "words"), [
    (["--model.ema_decai", "0.9"], ("ema_decai",)),
    (["--config", "nowhere.yaml"], ("nowhere.yaml",)),
    (["--model.ema_decay", "1.5"], ("model.ema_decay", "1.5")),
    (["--model.schedule", "linear"], ("schedule", "linear")),
    (["--model.network.encoder_name", "mobilenet_v3_smal"], ("mobilenet_v3_smal", "mobilenet_v3_small")),
    (["--model.loss.dise", "1"], ("SegmentationLoss has no setting 'dise'", "'dice'")),
    (["--model.loss.terms", "{dice: 1}"], ("no terms any more", "--model.loss.dice 0.5")),
    (["--model.loss.class_weights", "[1, 2]"], ("2 numbers", "11")),
    (["--model.init_from", "camvid_smalll"], ("camvid_smalll",)),
    (["--model.warmup_steps", "x"], ("model.warmup_steps is x; it takes int.",)),
    (["--model.norm_momentum", "x"], ("model.norm_momentum is x; it takes float or null.",)),
    (["--data.others", '[{"root": "x", "share": "y"}]'], ("share in data.others is y; it takes float.",)),
    (["--data.others", '[{"root": "x", "share": null}]'], ("share, dataset and split can't be null",)),
    (["--data.others", '[{"root": "x", "classes": {"a": 3}}]'],
     ("classes in data.others is {'a': 3}; it takes dict[str, str | list[str] | None] or null.",)),
    (["--model.network.init_args.pool", "mean"], ("pool in model.network is mean; it takes one of 'sliding', 'global'",)),
    (["--data.others", '[{"root": "x", "scale_range": [1]}]'],
     ("scale_range in data.others is [1]; it takes tuple[float, float] or null.",)),
    (["--model.init_classes", "{tree: vegetation}"], ("model.init_from is missing",)),
    (["--model.optimizer.init_args.lr", "-1"], ("optimizer",)),
    (["--data.root", "nowhere"], ("nowhere",)),
    (["--data.dataset", "camvit"], ("camvit", "camvid")),
    (["--ckpt_path", "last"], ("last.ckpt", "no checkpoint")),
    (["--ckpt_path", "lasst"], ("lasst", "last")),
    (["--threads", "1000000"], ("1000000",)),
    (["--trainer.precision", "64-true"], ("64-true", "32-true, 16-mixed, bf16-mixed")),
    (["--trainer.precision", "bf16-true"], ("bf16-true",)),
    (["--trainer.accelerator", "tpu"], ("torch_xla", "pip install")),
    (["--trainer.logger", "pytorch_lightning.loggers.WandbLogger"], ("wandb", "pip install")),
    (["--name", ""], ("--name is empty",)),
    (["--data.root="], ("--data.root is empty",)),
    (["--trainer.accelerator", "gpu"], ("trainer",)) if not torch.cuda.is_available() else (["--no"], ()),
])
def test_refusals_are_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                   words: tuple[str, ...]) -> None:
    message = refusal(capsys, folder, "--runs", str(tmp_path / "runs"), *arguments)
    assert all(word in message for word in words), message
    assert not (tmp_path / "runs" / "tiny").exists(), "a run that fails at its start leaves nothing"


@pytest.mark.parametrize(("given", "found"), [
    ({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")])
def test_threads_know_how_to_wait_before_torch_is_there(given: dict[str, str], found: str) -> None:
    """Libgomp reads it when it is loaded, with torch."""
    code = """if True:
        import os, sys
        from pathlib import Path
        class Watch:
            def find_spec(self, name, *_):
                if name == "torch":
                    print(os.environ.get("GOMP_SPINCOUNT"))
                    os._exit(0)
        sys.meta_path.insert(0, Watch())
        from seg.cli.train import main
        main(["fit", "--name", "x"], lambda: None, Path("configs"))
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | given
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout == f"{found}\n"


def test_wrong_keys_in_a_file_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.yaml").write_text("model: {warmup_stepps: 3}\n")
    assert "warmup_stepps" in refusal(capsys, folder, "--config", str(tmp_path / "more.yaml"))
    (tmp_path / "more.yaml").write_text("model: [\n")
    assert "more.yaml" in refusal(capsys, folder, "--config", str(tmp_path / "more.yaml"))


def test_a_run_is_never_overwritten(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "tiny" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"precious")
    message = refusal(capsys, folder, "--runs", str(tmp_path))
    assert "--ckpt_path last" in message
    assert "--name" in message
    assert checkpoint.read_bytes() == b"precious"
    message = refusal(capsys, folder, "--runs", str(tmp_path), "--ckpt_path", "last")
    assert "last.ckpt" in message
    assert "checkpoint" in message


def test_checkpoints_of_another_network_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--runs", str(tmp_path), "--trainer.max_steps", "1") == 0
    message = refusal(capsys, folder, "--runs", str(tmp_path), "--ckpt_path", "last", "--model.network.decoder_channels", "8")
    assert "decoder_channels is 16 there and 8 here" in message


def test_checkpoints_of_other_classes_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--runs", str(tmp_path), "--trainer.max_steps", "1") == 0
    path = tmp_path / "tiny" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["lraspp"]["label_set"]["classes"][0] = "heaven"
    torch.save(checkpoint, path)
    assert "has the classes heaven, " in refusal(capsys, folder, "--runs", str(tmp_path), "--ckpt_path", "last")


def test_one_class_teaches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(tmp_path)
    for kind in ("images", "masks"):
        for split in ("train", "val"):
            folder = tmp_path / "camvid" / kind / split
            folder.mkdir(parents=True)
            for number in range(2):
                cv2.imwrite(str(folder / f"{number}.png"), np.zeros((48, 64, 3 if kind == "images" else 1), np.uint8))
    (tmp_path / "camvid" / "classes.yaml").write_text("classes: [{name: road, value: 0}]")
    terms = ["--data.dataset", "folder", "--model.loss.lovasz", "1"]
    assert "one class, 'road': there is nothing to tell apart" in refusal(capsys, tmp_path, *terms)


def test_validation_needs_weights_and_says_whose_it_scores(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--ckpt_path best" in refusal(capsys, folder, subcommand="validate")
    said = list[str]()
    monkeypatch.setattr("seg.cli.lightning.rank_zero_info", said.append)
    shipped = ["--runs", str(tmp_path), "--model.network.decoder_channels", "128", "--model.init_from"]
    assert run(folder, *shipped, "camvid_small", "--model.network.pool", "global", subcommand="validate") == 0
    assert said == [f"Scored is camvid_small (model.init_from); {tmp_path / 'tiny'} has no checkpoint yet."]
    (tmp_path / "tiny" / "checkpoints").mkdir(parents=True)
    (tmp_path / "tiny" / "checkpoints" / "best.ckpt").touch()
    message = refusal(capsys, folder, *shipped, "street_small", "--model.network.pool", "global", subcommand="validate")
    assert f"which would be scored untrained. --ckpt_path best scores what {tmp_path / 'tiny'} has learnt." in message


def test_what_is_typed_holds_before_and_behind_the_files(folder: Path, tmp_path: Path) -> None:
    assert main(["fit", "--name", "mine", "--trainer.max_steps=1", "--config", str(folder / "tiny.yaml"),
                 "--data.root", str(folder / "camvid"), "--runs", str(tmp_path)], train_seg.data_class) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_run_records_its_base_as_settings_of_its_own(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another class in the base's place gets none of the base's arguments, even if it would accept them."""
    (folder / "sgd.yaml").write_text("{base: tiny.yaml, name: sgd, trainer: {max_steps: 1},\n"
                                     "model: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.5}}}}\n")
    (folder / "adamw.yaml").write_text("{base: sgd.yaml, model: {optimizer: {class_path: torch.optim.AdamW}}}")
    arguments = ["--data.root", str(folder / "camvid"), "--runs", str(tmp_path)]
    assert main(["fit", "--config", str(folder / "sgd.yaml"), *arguments], train_seg.data_class) == 0
    recorded = yaml.safe_load((tmp_path / "sgd" / "config.yaml").read_text())
    assert "base" not in recorded
    assert recorded["model"]["network"]["init_args"]["decoder_channels"] == 16
    assert recorded["model"]["optimizer"]["init_args"]["lr"] == 0.5
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", f"--config={folder / 'adamw.yaml'}", *arguments, "--print_config"], train_seg.data_class)
    assert yaml.safe_load(capsys.readouterr().out)["model"]["optimizer"]["init_args"]["lr"] != 0.5
    (folder / "adamw.yaml").write_text("base: gone.yaml")
    assert "gone.yaml" in refusal(capsys, folder, "--config", str(folder / "adamw.yaml"))


def test_a_finished_run_says_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--ckpt_path", "last"]):
        assert run(folder, "--runs", str(tmp_path), "--trainer.max_steps", "1", *more) == 0
        assert ("all 1 steps were done" in capsys.readouterr().out) == bool(more)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `stranger` on the path, with classes for every place, whose import leaves a mark; returns the mark."""
    mark = tmp_path / "imported"
    (tmp_path / "stranger.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "import torch\nfrom pytorch_lightning.callbacks import Callback\nfrom pytorch_lightning.loggers import CSVLogger\n"
        "class Mine(Callback):\n    pass\n"
        "class Log(CSVLogger):\n    pass\n"
        "class SGD(torch.optim.SGD):\n    pass\n"
        "from seg.training import Loss\n"
        "class Margin(Loss):\n"
        "    def __init__(self, power: float = 1.0):\n"
        "        super().__init__()\n        self.power, self.scale = power, torch.nn.Parameter(torch.ones(()))\n"
        "    def prepare(self, classes, class_sets, count_pixels):\n        self.classes = classes\n"
        "    def forward(self, logits, labels, step=0):\n"
        "        return (self.scale * logits).abs().mean() ** self.power + logits.shape[1] - self.classes\n"
        "def make(parameters):\n    return torch.optim.SGD(parameters, lr=0.1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return mark


@pytest.mark.parametrize("arguments", [
    ["--trainer.callbacks", "stranger.Mine"],
    ["--trainer.callbacks+=stranger.Mine"],
    ["--trainer.callbacks", "[{class_path: stranger.Mine}]"],
    ["--trainer.callbacks.class_path", "stranger.Mine"],
    ["--trainer.logger=stranger.Log"],
    ["--trainer.strategy=stranger.Mine"],
    ["--trainer.strategy.class_path", "stranger.Mine"],
    ["--trainer.plugins", "[stranger.Mine]"],
    ["--model.optimizer", "stranger.SGD"],
    ["--model.optimizer", "stranger.make"],
    ["--model.optimizer.class_path", "stranger.SGD"],
    ["--model.network", "stranger.Mine"],
    ["--model.loss", "stranger.Margin"],
    ["--model.loss.others", "[{loss: {class_path: stranger.Margin}}]"],
    ["--config", "FILE:trainer: {callbacks: [{class_path: stranger.Mine}]}"],
    ["--config", "FILE:model: {optimizer: {class_path: stranger.SGD, init_args: {lr: 0.1}}}"],
    ["--config", "FILE:trainer: {logger: stranger.Log}"],
    ["--model.optimizer", "FILE:class_path: stranger.SGD"],
    ["--model", "FILE:optimizer: {class_path: stranger.SGD}"],
    ["--trainer.callbacks.help", "stranger.Mine"],
])
def test_strange_classes_are_refused_before_they_are_imported(
        folder: Path, tmp_path: Path, stranger: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    last = arguments[-1]
    if last.startswith("FILE:"):
        path = tmp_path / "strange.yaml"
        path.write_text(last.removeprefix("FILE:"))
        arguments = [*arguments[:-1], str(path)]
    message = refusal(capsys, folder, "--runs", str(tmp_path / "runs"), *arguments)
    assert not stranger.exists()
    assert "stranger" not in sys.modules
    assert "strange" in message


@pytest.mark.parametrize("path", ["os.system", "builtins.eval", "subprocess.Popen", "pytorch_lightning.callbacks.os.system",
                                  "seg.training.checkpoints.signal.signal", "torch.load", "torch.hub.load", "builtins.exec"])
def test_callables_of_other_modules_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                path: str) -> None:
    message = refusal(capsys, folder, "--runs", str(tmp_path), "--model.optimizer", path)
    assert path.rsplit(".", 1)[1] in message


def test_trusted_packages_are_imported(folder: Path, tmp_path: Path, stranger: Path) -> None:
    """A callback, and a loss with a parameter, which is trained too."""
    (tmp_path / "loss.yaml").write_text("model: {loss: {class_path: stranger.Margin, init_args: {power: 2}}}")
    arguments = ["--config", str(tmp_path / "loss.yaml"), "--runs", str(tmp_path / "runs"), "--trainer.max_steps", "2"]
    try:
        assert run(folder, *arguments, "--trainer.callbacks", "stranger.Mine", "--trust", "stranger") == 0
    finally:
        sys.modules.pop("stranger", None)
    assert stranger.exists()
    assert torch.load(tmp_path / "runs/tiny/checkpoints/last.ckpt", weights_only=True)["state_dict"]["loss.scale"] != 1


def test_trust_is_taken_out_of_the_arguments() -> None:
    assert split_trust(["fit", "--trust", "one", "--x", "1", "--trust=two.three"]) == (["fit", "--x", "1"], ["one", "two.three"])
    for wrong in (["--trust"], ["--trust", "--x"], ["--trust=a b"], ["--trust", "*"]):
        with pytest.raises(SegError, match="--trust"):
            split_trust(wrong)


def test_weights_of_an_interrupted_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--runs", str(tmp_path), "--trainer.max_steps", "2") == 0
    (tmp_path / "tiny" / "checkpoints" / "best.ckpt").unlink(missing_ok=True)
    (tmp_path / "tiny" / "tiny.safetensors").unlink()
    assert best_weights.main([str(tmp_path / "tiny"), "--output", str(tmp_path / "mine.safetensors")]) == 0
    assert "mine.safetensors" in capsys.readouterr().out
    from seg import load

    assert load(tmp_path / "mine.safetensors").arguments["classes"] == 11
    assert best_weights.main([str(tmp_path / "other")]) == 2
    assert "checkpoints" in capsys.readouterr().err


def test_a_damaged_checkpoint_and_a_malicious_one_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    for content in (b"", b"nonsense"):
        checkpoint.write_bytes(content)
        assert best_weights.main([str(tmp_path / "run")]) == 2
        assert "last.ckpt" in capsys.readouterr().err

    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"lraspp": Malice()}, checkpoint)
    assert best_weights.main([str(tmp_path / "run")]) == 2
    assert not (tmp_path / "harmed").exists()


def test_help_comes_from_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        train.main(["fit", "--help"], train_seg.data_class)
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--model.ema_decay", "of the averaged weights", "--model.loss.help", "--data.root", "--name",
                  "--checkpoints.every_minutes", "a power cut costs at most this much"):
        assert words in text


def test_the_command_ends_with_exit_code_2_and_no_traceback() -> None:
    command = [sys.executable, "train_seg.py", "fit", "--config", "missing.yaml"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "missing.yaml" in done.stderr
    assert "Traceback" not in done.stderr
