"""The cache returns what was written for the same facts, and nothing else; without a cache everything works."""

import os
from pathlib import Path

import numpy as np
import pytest
from networks import make_frame, write_weights

from seg.errors import SegError
from seg.export.exporter import export_weights
from seg.runtime import Predictor, cache
from seg.runtime.cache import Cache, default_folder
from seg.runtime.engines import openvino_engine
from seg.runtime.engines.openvino_engine import OpenVINOEngine

FACTS = {"size_hw": (3, 4), "cpu": "one", "versions": {"openvino": "1"}}


def test_gives_back_what_was_written_for_the_same_facts(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "new/folder")
    assert kept.read("net", FACTS) is None
    kept.write("net", FACTS, b"data")
    assert Cache(tmp_path / "new/folder").read("net", {"versions": {"openvino": "1"}, "cpu": "one", "size_hw": [3, 4]}) == b"data"
    for other in (FACTS | {"cpu": "two"}, FACTS | {"size_hw": (4, 3)}, FACTS | {"versions": {"openvino": "2"}}):
        assert kept.read("net", other) is None
    assert kept.read("choice", FACTS) is None
    kept.write("net", FACTS, b"newer")
    assert kept.read("net", FACTS) == b"newer"
    assert kept.note is None
    assert len(list((tmp_path / "new/folder").iterdir())) == 1
    assert (tmp_path / "new/folder").stat().st_mode & 0o077 == 0, "others could put code there"


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "swapped"])
def test_what_is_damaged_or_foreign_is_not_believed(damage: str, tmp_path: Path) -> None:
    kept = Cache(tmp_path)
    kept.write("net", FACTS, b"data " * 100)
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "swapped":  # a valid entry, but of other facts
        kept.write("net", FACTS | {"cpu": "two"}, b"other")
        content = next(other for other in tmp_path.iterdir() if other != path).read_bytes()
    path.write_bytes({"cut": content[:-1], "changed": content[:-1] + b"x", "empty": b""}.get(damage, content))
    assert kept.read("net", FACTS) is None
    kept.write("net", FACTS, b"new")
    assert kept.read("net", FACTS) == b"new"


def test_a_folder_that_can_not_be_written_is_noted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Cache(tmp_path / "file" / "cache")
    kept.write("net", FACTS, b"data")
    assert kept.read("net", FACTS) is None
    assert kept.note is not None
    assert "can't be written" in kept.note
    nothing = Cache(None)
    nothing.write("net", FACTS, b"data")
    assert (nothing.read("net", FACTS), nothing.note) == (None, None)


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Cache(tmp_path)
    for i in range(4):
        kept.write("net", FACTS | {"cpu": i}, bytes(1000))
    for age, i in enumerate((1, 3, 0, 2)):
        path = kept._path("net", FACTS | {"cpu": i})
        os.utime(path, (1000 - age, 1000 - age))
    assert kept.read("net", FACTS | {"cpu": 2}) is not None  # the oldest, but used just now
    monkeypatch.setattr(cache, "LIMIT_BYTES", 3800)
    kept.write("net", FACTS | {"cpu": 4}, bytes(1000))
    assert [i for i in range(5) if kept.read("net", FACTS | {"cpu": i})] == [1, 2, 4]


def test_the_folder_follows_the_systems_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", "")
    assert default_folder() is None
    monkeypatch.delenv("LRASPP_CACHE_DIR")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "lraspp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_folder() == tmp_path / ".cache/lraspp"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_folder() == tmp_path / "Library/Caches/lraspp"


# ---- what the engines keep


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets an entry for each network that is compiled (not loaded) from now on."""
    done: list[str] = []
    core = openvino_engine.core()

    class Watched:
        def compile_model(self, *arguments: object) -> object:
            done.append("compiled")
            return core.compile_model(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(core, name)

    monkeypatch.setattr(openvino_engine, "core", Watched)
    return done


def test_a_network_is_compiled_once_and_gives_the_same(tiny_weights: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    frame, path = make_frame(48, 64), tiny_weights.with_suffix(".onnx")

    def run(threads: int = 1) -> tuple[np.ndarray, int]:
        engine = OpenVINOEngine(path, threads, precision="fp32", cache=Cache(tmp_path / "cache"))
        done = compiled(monkeypatch)
        scores = engine.logits(frame).copy()
        assert (engine.precision, engine.threads) == ("fp32", threads)
        return scores, len(done)

    first, compilations = run()
    assert compilations == 1
    second, compilations = run()
    assert compilations == 0
    np.testing.assert_array_equal(first, second)
    [entry] = (tmp_path / "cache").iterdir()
    for content in (b"rubbish", entry.read_bytes()[:-5]):
        entry.write_bytes(content)
        again, compilations = run()
        assert compilations == 1
        np.testing.assert_array_equal(first, again)


def test_what_openvino_refuses_is_compiled_anew(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is undamaged and has the right facts, but contains no network."""
    monkeypatch.setattr(Cache, "read", lambda self, kind, facts: b"no network at all")
    engine = OpenVINOEngine(tiny_weights.with_suffix(".onnx"), 1, cache=Cache(tmp_path))
    done = compiled(monkeypatch)
    assert engine.logits(make_frame(48, 64)).shape == (5, 6, 8)
    assert done == ["compiled"]


def test_other_weights_are_never_taken_for_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path / "cache"))
    frame = make_frame(48, 64)
    labels = []
    for seed in (0, 1):  # the same name, another network
        weights = write_weights(tmp_path, "net", seed=seed)
        for _ in range(2):
            labels.append(Predictor.load(weights, engine="openvino", precision="fp32")(frame).train_ids)
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[2], labels[3])
    assert (labels[0] != labels[2]).any()


def test_a_read_only_cache_is_said_and_all_works(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()  # instead of a folder without write permission, which root could still write
    monkeypatch.setenv("LRASPP_CACHE_DIR", str(tmp_path / "file"))
    predictor = Predictor.load(tiny_weights, engine="openvino", precision="fp32")
    assert predictor(make_frame(48, 64)).train_ids.shape == (48, 64)
    assert f"{tmp_path / 'file'} can't be written" in predictor.notes[0]
    auto = Predictor.load(tiny_weights)
    auto(make_frame(48, 64))
    assert "auto chose" in " ".join(auto.notes)
    assert "can't be written" in " ".join(auto.notes)


def test_an_export_of_other_weights_is_refused_even_with_the_same_description(tmp_path: Path) -> None:
    weights = write_weights(tmp_path, "net")
    export_weights(weights)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(SegError, match="was not made from"):
        Predictor.load(weights, engine="openvino")
