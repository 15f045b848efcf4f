"""The benchmark of levers on tiny data: a run changes one thing, existing runs aren't repeated, and the table is right."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from training_runs import CONFIG, make_camvid

from benchmarks.levers import (
    HALVES_AT_RANDOM,
    LEVERS,
    ROOT,
    STREETS,
    chosen_levers,
    halves_at_random,
    main,
    rows_of,
    settings_of,
    without_unseen,
)
from seg.errors import SegError
from seg.files import read_settings
from seg.models import LRASPP, load
from seg.models.pretrained import norms_are_folded

STREET = read_settings(ROOT / "configs" / "street_small.yaml", "missing")


def test_a_lever_changes_one_thing() -> None:
    everything = settings_of(STREET, LEVERS["everything"], 800, 1)
    assert everything["trainer"]["max_steps"] == 100
    several = {"everything": 0, "with all pixels alike": 0, "without another camera": 2, "with more of another camera": 2,
               "with borrowed colours instead of another camera": 3, "with a narrower range of scales": 2,
               "with a wider range of scales": 2}
    for name, change in LEVERS.items():
        settings = settings_of(STREET, change, 800, 1)
        differing = [(group, key) for group in ("trainer", "model", "data") for key in settings[group]
                     if settings[group][key] != everything[group].get(key)]
        assert len(differing) == several.get(name, 1), (name, differing)
    kept = settings_of(STREET, LEVERS["without sets of classes"], 800, 1)["data"]["others"]
    assert [other["root"] for other in kept] == ["data/idd_labels19", "data/scenes"]
    assert [other["root"] for other in settings_of(STREET, LEVERS["without IDD Lite"], 800, 1)["data"]["others"]] == [
        "data/camvid", "data/scenes"]


def test_levers_keep_what_they_do_not_change() -> None:
    def changed(name: str) -> dict[str, Any]:
        return settings_of(STREET, LEVERS[name], 800, 1)

    assert changed("three times as long")["trainer"]["max_steps"] == 300
    assert changed("with smaller crops")["data"]["crop_hw"] == [192, 256]
    wider = changed("with a wider range of scales")["data"]
    assert wider["scale_range"] == pytest.approx([0.6 * 0.3**0.25, 2.0 / 0.3**0.25], abs=1e-3)
    assert wider["others"][2]["scale_range"][0] < 0.9
    assert changed("with OHEM")["model"]["loss"] == {"dice": 0.5, "pixel_stride": 4, "ohem_probability": 0.7}
    assert changed("with a sliding pool")["model"]["network"]["init_args"]["encoder_name"] == "mobilenet_v3_small_rf2"


def test_levers_are_chosen_by_name() -> None:
    assert list(chosen_levers(["with SGD"], STREET)) == ["everything", "with SGD"]
    assert list(chosen_levers([], STREET, "large.safetensors")) == [*STREETS, "with a teacher"]
    camvid = read_settings(ROOT / "configs" / "camvid_small_scratch.yaml", "missing")
    usual = chosen_levers([], camvid)
    started = chosen_levers(["with an ImageNet start"], camvid, encoder="encoder.safetensors")["with an ImageNet start"]
    assert settings_of(camvid, started, 800, 1)["model"]["network"]["init_args"]["encoder_weights"] == "encoder.safetensors"
    assert "with an auxiliary head" in usual and "without scenes" not in usual, "CamVid's recipe has no scenes to leave out"
    for names, words in ((["with SDG"], "Did you mean 'with SGD'"), (["without scenes"], "changes nothing of these settings"),
                         (["with class weights"], "changes nothing")):
        with pytest.raises(SegError, match=words):
            chosen_levers(names, camvid)


def test_unseen_data_sets_are_left_out_of_every_run() -> None:
    street = {**STREET, "data": {**STREET["data"], "root": "data/camvid19"}}
    roots = ["data/idd_labels19", "data/idd_coarse", "data/scenes"]
    unseen = without_unseen(street, ["camvid"])["data"]
    assert [unseen["root"], *(other["root"] for other in unseen["others"])] == roots
    assert (unseen["dataset"], unseen["share"], unseen["scale_range"]) == ("folder", 0.13, [0.9, 2.4])
    assert unseen["crop_hw"] == street["data"]["crop_hw"] and street["data"]["root"] == "data/camvid19"
    kept = without_unseen(street, ["idd"])["data"]
    assert [kept["root"], *(other["root"] for other in kept["others"])] == ["data/camvid19", "data/camvid", "data/scenes"]
    assert without_unseen(street, []) == street
    for words, said in ((["kitti"], "no data set of the recipe has this"), (["data/"], "no data set with the network's")):
        with pytest.raises(SegError, match=said):
            without_unseen(street, words)


def test_means_and_ranges() -> None:
    found = {"all": [{"a": 0.5, "b": 0.25}, {"a": 0.54, "b": 0.25}], "none": [{"a": 0.1}]}
    assert rows_of(found, ["a", "b"]) == [["all", "52.0 ± 2.0", "25.0 ± 0.0"], ["none", "10.0 ± 0.0", "–"]]


def test_halved_layers_at_random(tmp_path: Path) -> None:
    torch.manual_seed(1)
    twin = timm.create_model("mobilenetv3_small_100")
    for norm in (module for module in twin.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.bias, -1, 1)  # as if the statistics were folded
    save_file(twin.state_dict(), tmp_path / "twin.safetensors")
    base = {"model": {"network": {"init_args": {"encoder_name": "mobilenet_v3_small_rf2", "pool": "global"}}},
            "data": {"dataset": "camvid", "root": str(make_camvid(tmp_path / "camvid"))}}
    weights = str(tmp_path / "twin.safetensors")
    one, other = (load(halves_at_random(base, weights, tmp_path, seed)).encoder for seed in (1, 2))
    usual = LRASPP("mobilenet_v3_small_rf2", classes=1, encoder_weights=weights).encoder
    for i, (block, theirs, others) in enumerate(zip(one.blocks, usual.blocks, other.blocks, strict=True)):
        kept = block.depthwise.conv.weight
        assert torch.equal(kept, theirs.depthwise.conv.weight) == torch.equal(kept, others.depthwise.conv.weight) == (
            i < one.first_halved), i
    assert torch.equal(one.stem.conv.weight, usual.stem.conv.weight)
    assert float(one.stem.norm.running_var.min()) != 1.0 and not norms_are_folded(one), "training would unfold the random ones"
    assert torch.equal(one.tail.norm.weight, torch.ones_like(one.tail.norm.weight))
    with pytest.raises(SegError, match="has no halved layers"):
        base["model"]["network"]["init_args"]["encoder_name"] = "mobilenet_v3_small"
        halves_at_random(base, weights, tmp_path, 1)
    with pytest.raises(SegError, match="needs --encoder"):
        main(["--config", str(ROOT / "configs" / "camvid_small_scratch.yaml"), "--root", "x", "--levers", HALVES_AT_RANDOM])


def test_runs_are_made_once_and_scored(tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "camvid")
    settings = yaml.safe_load(CONFIG)
    settings["data"] |= {"dataset": "camvid", "others": [{"dataset": "camvid", "share": 1.0}]}
    settings.pop("pictures")
    settings["trainer"].pop("num_sanity_val_steps")
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = ["--config", str(config), "--root", str(root), "--pictures", "4", "--seeds", "1", "--size", "64", "--levers",
               "with class weights", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "results")]
    assert main(command) == 0
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.safetensors")}
    assert len(made) == 2
    found = json.loads((tmp_path / "results" / "levers.json").read_text())["miou"]
    assert all(0 <= scores[0][str(root)] <= 1 for scores in found.values())
    assert list(found) == ["everything", "with class weights"]
    assert "with class weights" in (tmp_path / "results" / "levers.md").read_text()
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.safetensors")} == made
