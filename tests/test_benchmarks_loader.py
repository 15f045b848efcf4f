"""The benchmark of the loader: all ways prepare the same samples, and the ratios compare their speeds."""

from pathlib import Path

import pytest
import torch

from benchmarks.loader import WAYS, document_of, loaders, main
from benchmarks.measure import Measurement
from benchmarks.training_loops import render
from seg.cli.common import run
from seg.document import Origin, Text, to_markdown


def test_all_ways_prepare_the_same(tmp_path: Path) -> None:
    render(tmp_path / "frames", 2, (64, 96))
    ways = loaders(tmp_path / "frames", tmp_path / "cache", (32, 48), 2)
    assert len(ways) == 2 * len(WAYS)
    for augmentation in ("crop alone", "augmented"):
        batches = [ways[f"{augmentation}, {way}"]() for way in WAYS]
        assert batches[0]["image"].shape == (2, 3, 32, 48)
        assert all(torch.equal(batches[0]["image"], batch["image"]) for batch in batches[1:])
    several = [ways["augmented, files"]()["image"] for _ in range(3)]  # over an epoch's end; the next has the same order
    assert several[0].shape == several[2].shape


def test_ratios_are_of_the_same_round_and_augmentation() -> None:
    times = {"crop alone, files": [80.0, 40.0], "crop alone, cache on disk": [8.0, 8.0], "augmented, files": [90.0, 90.0],
             "augmented, cache on disk": [30.0, 30.0]}
    document = document_of(Measurement({name: {"total": values} for name, values in times.items()}), 4, Text("text"),
                           Origin.here("python"))
    ratios = document.data["speed_ratios"]
    assert ratios["crop alone, cache on disk"]["median"] == 7.5 and ratios["augmented, cache on disk"]["median"] == 3
    assert ratios["crop alone, files"]["median"] == 1
    assert "| crop alone, cache on disk | 500.0 |" in to_markdown(document).replace("  ", " ")


def test_bad_arguments_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, ["--batch", "99"]) == 2
    assert "--frames, which is 8" in capsys.readouterr().err
