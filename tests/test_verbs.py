"""`lraspp VERB`: as a function in the working tree, and as installed by pip, without a checkout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import seg
from seg.cli import verbs

ROOT = Path(__file__).resolve().parent.parent
TRAINING = ("albumentations", "jsonargparse", "lightning_fabric", "pytorch_lightning", "torch", "torchvision")

OPENVINO = ("--engine", "openvino", "--precision", "fp32", "--threads", "1", "--size", "own")

Installed = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in verbs.VERBS)
    assert verbs.main([]) == 0
    assert capsys.readouterr().out == listed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lraspp {seg.__version__}\n"


def test_an_unknown_verb_names_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(["exprot", "--weights", "camvid_small"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: lraspp has no verb 'exprot'. Did you mean 'export'?") and said.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in verbs.VERBS if name != "train"])
def test_each_verb_is_what_its_help_calls_it(name: str, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as left:
        verbs.main([name, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: lraspp {name} ")


# ---- installed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Installs the project into a separate folder; returns a function that runs the installed `lraspp` in a given folder."""
    folder = tmp_path_factory.mktemp("installed")
    source, target = folder / "source", folder / "target"
    caches = shutil.ignore_patterns("__pycache__", *(f"{name}*" for name in ("camvid", "scenes_small", "street_large")))
    shutil.copytree(ROOT / "seg", source / "seg", ignore=caches)  # only the default weights, to save time
    for name in ("datasets", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile",
                    "--no-build-isolation", "--no-index", "--target", target, source], check=True, timeout=250)
    assert sorted(path.name for path in target.iterdir() if not path.name.endswith(".dist-info")) == ["bin", "seg"]
    # Python treats a module that is None in sys.modules as one that isn't installed.
    (target / "without_training.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({TRAINING}))\n")

    def run(*arguments: str, cwd: Path, training: bool = False) -> "subprocess.CompletedProcess[str]":
        script = str(target / "bin" / "lraspp")
        environment = {**os.environ, "PYTHONPATH": str(target)}
        start = "" if training else "import without_training\n"
        code = f"{start}import runpy, sys\nsys.argv = {[script, *arguments]}\nrunpy.run_path({script!r}, run_name='__main__')"
        return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=250)

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures with masks of two classes."""
    for name in "ab":
        for kind, shape in (("images", (64, 96, 3)), ("masks", (64, 96))):
            (tmp_path / "mine" / kind).mkdir(parents=True, exist_ok=True)
            picture = np.full(shape, (ord(name) if kind == "images" else 0), np.uint8)
            picture[:, 48:] = 1
            assert cv2.imwrite(str(tmp_path / "mine" / kind / f"{name}.png"), picture)
    return tmp_path / "mine"


def test_installed_without_torch_it_segments_and_reads_data_sets(installed: Installed, pictures: Path) -> None:
    done = installed("infer", "mine/images/a.png", *OPENVINO, cwd=pictures.parent)
    assert done.returncode == 0, done.stderr
    assert (pictures.parent / "runs/infer/overlay/a.png").is_file()
    for _ in range(2):  # proposes classes.yaml, then checks it
        done = installed("folder", "mine", cwd=pictures.parent)
        assert done.returncode == 0, done.stderr
    assert "All pictures and masks are sound" in done.stdout
    done = installed("infer", "--dataset", "folder", "--root", "mine", *OPENVINO, cwd=pictures.parent)
    assert done.returncode == 2
    assert "class" in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


def test_installed_without_torch_training_says_what_to_install(installed: Installed, tmp_path: Path) -> None:
    for arguments in (["train", "fit", "--config", "folder_small"], ["export", "--weights", "street_small"]):
        done = installed(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "which is not installed. In a checkout: make install, or pip install '.[train" in done.stderr


def test_installed_training_finds_its_settings_and_its_data_class(installed: Installed, tmp_path: Path) -> None:
    done = installed("train", "fit", "--config", "folder_small", "--data.root", "nowhere", cwd=tmp_path, training=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: There is no folder nowhere"), done.stderr
    done = installed("train", "fit", "--config", "folder_smal", cwd=tmp_path)
    assert done.stderr.startswith("error: There is no settings file folder_smal. Did you mean 'folder_small'"), done.stderr
