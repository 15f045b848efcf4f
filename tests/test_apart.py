"""Calls in a process of their own: the result, the errors, what happens where there is no process, and what waits for the end."""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from seg.errors import SegError
from seg.machine import check_threads
from seg.runtime import apart
from seg.runtime.cache import Cache, default_folder


def test_a_call_is_made_in_another_process_and_its_result_comes_back() -> None:
    assert apart.call(os.getpid) not in (os.getpid(), os.getppid())
    assert apart.call(partial(divmod, 17, 5)) == (3, 2)


def test_what_a_library_prints_does_not_disturb_the_result() -> None:
    assert apart.call(partial(os.write, 1, b"noise")) == 5


def test_it_finds_the_packages_that_this_program_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_here.py").write_text("import os\n\n\ndef where():\n    return os.getpid()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])  # no str: Python ignores it
    assert apart.call(import_module("found_here").where) != os.getpid()


def test_its_error_is_raised_here() -> None:
    with pytest.raises(SegError) as here:
        check_threads(0)
    with pytest.raises(SegError) as there:
        apart.call(partial(check_threads, 0))
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_a_process_that_crashes_does_not_take_this_one_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_python", lambda: [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"])
    with pytest.raises(apart.Killed, match="killed by signal 11"):
        apart.call(os.getpid)


@pytest.mark.parametrize("way", ["ends", "says nothing", "frozen", "no Python", "not to be found"])
def test_without_a_process_the_call_is_made_in_this_one(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"ends": "raise SystemExit(3)", "says nothing": ""}
    if way in codes:
        monkeypatch.setattr(apart, "_python", lambda: [sys.executable, "-c", codes[way]])
    elif way == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", "" if way == "no Python" else "/not/there")
    assert apart.call(os.getpid) == os.getpid()


def test_what_is_left_is_done_when_the_program_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_left", None)
    apart.later(partial(Path.touch, tmp_path / "done"))
    apart.later(partial(Path.touch, tmp_path / "second"))
    assert not (tmp_path / "done").exists()
    apart.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["done"], "one process is enough"


def test_of_several_programs_one_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_left", None)
    with Cache(default_folder()).lock("later"):
        apart.later(partial(Path.touch, tmp_path / "done"))
        apart.finish()
    assert not list(tmp_path.iterdir())


def test_it_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_left", None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    apart.later(lambda: None)  # can't be pickled
    assert apart._left is None
    monkeypatch.setattr(apart, "_python", lambda: ["/not/there"])
    apart.later(None)
    assert not list(tmp_path.iterdir())


def test_while_the_program_runs_it_only_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_left", None)
    apart.later(partial(Path.touch, tmp_path / "done"))
    assert apart._left is not None
    assert apart._left.wait(300) == 0
    apart.finish()
    assert not list(tmp_path.iterdir())
