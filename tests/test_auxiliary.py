"""The auxiliary head: it trains the encoder up to its level, and has no part in the exported network or the scores."""

from pathlib import Path

import pytest
import torch
from training_runs import load as load_checkpoint
from training_runs import make_camvid, run, write_config

from seg.errors import SegError
from seg.models import LRASPP, load
from seg.training.auxiliary import Auxiliary, AuxiliaryHead


def images(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_its_gradient_reaches_the_blocks_up_to_its_level() -> None:
    network = LRASPP("mobilenet_v3_small_rf2", classes=5).train()
    head = AuxiliaryHead(Auxiliary(weight=0.4, level=3), network, classes=5)
    network.logits(images())
    scores = head()
    assert scores.shape == (2, 5, 8, 12)
    scores.square().sum().backward()
    reached = [block.project.conv.weight.grad is not None for block in network.encoder.blocks]
    assert reached[0] and not reached[-1] and reached == sorted(reached, reverse=True)
    assert network.decoder.skip_classifier.weight.grad is None


@pytest.mark.parametrize(("config", "message"), [
    ({"weight": -1.0}, "model.auxiliary.weight is -1"), ({"weight": float("nan")}, "model.auxiliary.weight is nan"),
    ({"weight": 0.4, "level": 6}, "has features of level 1 to 5"), ({"weight": 0.4, "level": 0}, "level is 0"),
    ({"weight": 0.4, "channels": 0}, "channels is 0"),
])
def test_settings_that_can_not_be(config: dict[str, float], message: str) -> None:
    with pytest.raises(SegError, match=message):
        AuxiliaryHead(Auxiliary(**config), LRASPP("mobilenet_v3_small_rf2"), 5)  # type: ignore[arg-type]


def test_a_run_with_an_auxiliary_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_camvid(tmp_path / "camvid")
    write_config(tmp_path)
    settings = ["--model.auxiliary.weight", "0.4", "--model.auxiliary.channels", "8"]
    assert run(tmp_path, "--name", "helped", *settings) == 0
    kept = load_checkpoint(tmp_path, "helped")["state_dict"]
    assert kept["auxiliary.classifier.weight"].shape == (11, 8, 1, 1)
    assert not any("auxiliary" in name for name in load(tmp_path / "runs" / "helped" / "helped.safetensors").state_dict())
    assert run(tmp_path, "--name", "helped", "--ckpt_path", "best", subcommand="validate") == 0
    capsys.readouterr()
    assert run(tmp_path, "--name", "helped", "--ckpt_path", "last", "--trainer.max_epochs", "3") == 2
    assert "was made with an auxiliary head" in capsys.readouterr().err
    assert run(tmp_path, "--name", "helped", "--ckpt_path", "last", "--trainer.max_epochs", "3", *settings) == 0
