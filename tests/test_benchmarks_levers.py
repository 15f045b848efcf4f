"""The benchmark of levers on tiny data: a run changes one thing, existing runs aren't repeated, and the table is right."""

import json
from pathlib import Path

import pytest
import yaml
from training_runs import CONFIG, make_camvid

from benchmarks import levers
from benchmarks.levers import LEVERS, ROOT, main, rows_of, settings_of
from seg.files import read_settings


def test_a_lever_changes_one_thing() -> None:
    base = read_settings(ROOT / "configs" / "street_small.yaml", "missing")
    everything = settings_of(base, LEVERS["everything"], 800, 1)
    assert everything["trainer"]["max_steps"] == 100
    for name, change in LEVERS.items():
        settings = settings_of(base, change, 800, 1)
        differing = [(group, key) for group in ("model", "data") for key in settings[group]
                     if settings[group][key] != everything[group].get(key)]
        assert len(differing) == (0 if name == "everything" else 2 if name == "without another camera" else 1), (name, differing)
    kept = settings_of(base, LEVERS["without sets of classes"], 800, 1)["data"]["others"]
    assert [other["root"] for other in kept] == ["data/idd_labels19", "data/scenes"]
    assert [other["root"] for other in settings_of(base, LEVERS["without IDD Lite"], 800, 1)["data"]["others"]] == [
        "data/camvid", "data/scenes"]


def test_means_and_ranges() -> None:
    found = {"all": [{"a": 0.5, "b": 0.25}, {"a": 0.54, "b": 0.25}], "none": [{"a": 0.1}]}
    assert rows_of(found, ["a", "b"]) == [["all", "52.0 ± 2.0", "25.0 ± 0.0"], ["none", "10.0 ± 0.0", "–"]]


def test_runs_are_made_once_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_camvid(tmp_path / "camvid")
    settings = yaml.safe_load(CONFIG)
    settings["data"] |= {"dataset": "camvid", "others": [{"root": str(root), "dataset": "camvid", "share": 1.0}]}
    settings.pop("pictures")
    settings["trainer"].pop("num_sanity_val_steps")
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(levers, "LEVERS", {name: LEVERS[name] for name in ("everything", "with copied rare classes")})
    command = ["--config", str(config), "--root", str(root), "--pictures", "4", "--seeds", "1", "--size", "64",
               "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "results")]
    assert main(command) == 0
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.safetensors")}
    assert len(made) == 2
    found = json.loads((tmp_path / "results" / "levers.json").read_text())["miou"]
    assert all(0 <= scores[0][str(root)] <= 1 for scores in found.values())
    assert "with copied rare classes" in (tmp_path / "results" / "levers.md").read_text()
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.safetensors")} == made
