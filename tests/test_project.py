"""The project's own files agree with each other and with the code: dependencies, documents, weights, modules."""

import ast
import importlib
import inspect
import io
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seg
from seg import weights
from seg.cli import trust, verbs
from seg.cli.verbs import VERBS
from seg.files import read_settings

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
INFERENCE_LOCK = (ROOT / "requirements-inference.lock").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "seg/assets").glob("*.md")]
CONDA_NAMES = {"opencv-python": "opencv", "torch": "pytorch"}  # names that differ on conda-forge


def declared() -> dict[str, Requirement]:
    """Returns the requirements in pyproject.toml, build and all extras together, by canonical name."""
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    texts = [*PYPROJECT["build-system"]["requires"], *PYPROJECT["project"]["dependencies"]]
    requirements = map(Requirement, texts + [text for extra in extras for text in extra])
    return {canonicalize_name(r.name): r for r in requirements if r.name != PYPROJECT["project"]["name"]}


def conda() -> list[str]:
    """Returns the requirements in environment.yml, first conda's and then pip's."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = [text for entry in dependencies if isinstance(entry, dict) for text in entry["pip"]]
    return [entry for entry in dependencies if isinstance(entry, str)] + from_pip


def locked(lock: str = LOCK) -> dict[str, Requirement]:
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


# ---- dependencies


@pytest.mark.parametrize("name", sorted(declared()))
def test_lock_and_environment_agree_with_pyproject(name: str) -> None:
    wanted = declared()[name].specifier
    pin = [specifier for specifier in locked()[name].specifier if specifier.operator == "=="]
    assert len(pin) == 1 and wanted.contains(pin[0].version), f"the lock's {locked()[name]} is not {name}{wanted}"

    by_name = {canonicalize_name(Requirement(text).name): Requirement(text) for text in conda()}
    assert by_name[canonicalize_name(CONDA_NAMES.get(name, name))].specifier == wanted, f"environment.yml has not {name}{wanted}"


def test_one_package_has_one_range() -> None:
    ranges: dict[str, set[str]] = {}
    for text in sum(PYPROJECT["project"]["optional-dependencies"].values(), PYPROJECT["project"]["dependencies"]):
        ranges.setdefault(Requirement(text).name, set()).add(str(Requirement(text).specifier))
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", [LOCK, INFERENCE_LOCK], ids=["all", "inference"])
def test_locks_are_whole_and_pin_names_alone(lock: str) -> None:
    tool = runpy.run_path(str(ROOT / "tools/lock.py"))
    roots = tool["wanted"](*([] if lock is LOCK else [tool["INFERENCE_EXTRAS"]]))
    needed = {canonicalize_name(name) for name in tool["closure"](roots, {})}
    here = {name for name, pin in locked(lock).items() if pin.marker is None or pin.marker.evaluate()}
    assert needed == here, "run `make lock`"
    assert not re.search(r"https?:|file:|@|--hash|index-url", lock.replace("--no-deps", ""))


def test_inference_is_locked_at_the_same_versions_and_without_torch() -> None:
    inference = locked(INFERENCE_LOCK)
    assert inference.items() <= locked().items()
    assert inference.keys().isdisjoint({"torch", "torchvision", "pytorch-lightning", "albumentations"})


def test_the_demo_installs_inference_alone(tmp_path: Path) -> None:
    """Unless all is installed already."""
    def lock_of(target: str) -> str:
        command = ["make", "-n", target, f"VENV={tmp_path}"]
        planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return re.search(r"-r (\S+)", planned)[1]

    assert lock_of("demo") == "requirements-inference.lock"
    assert lock_of("train-demo") == lock_of("test") == "requirements.lock"
    (tmp_path / ".installed").touch()
    os.utime(tmp_path / ".installed", (0, 0))
    assert lock_of("demo") == "requirements.lock"


def test_environment_has_the_same_python() -> None:
    assert f"python{PYPROJECT['project']['requires-python']}" in conda()


def test_cv2_has_windows() -> None:
    gui = re.search(r"GUI:\s*(\w+)", cv2.getBuildInformation())
    assert gui and gui[1] != "NONE", "cv2 is a headless build: some package has overwritten opencv-python"
    assert "opencv-python-headless" not in {package.metadata["Name"] for package in metadata.distributions()}
    assert "opencv-python-headless" not in locked()


def test_every_import_is_declared() -> None:
    """A package that is installed only because another package needs it may be missing in that package's next version."""
    own = {"seg", "datasets", "benchmarks", *(file.stem for file in (*ROOT.glob("*.py"), *(ROOT / "tests").rglob("*.py")))}
    names = {canonicalize_name(name) for name in declared()}
    packages = metadata.packages_distributions()
    missing = set()
    folders = ("seg", "datasets", "tests", "tools", "benchmarks")
    for file in [*ROOT.glob("*.py"), *(file for folder in folders for file in (ROOT / folder).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {(module or "").split(".")[0] for module in modules} - own - set(sys.stdlib_module_names):
                if names.isdisjoint(canonicalize_name(name) for name in packages.get(top, [top])):
                    missing.add(f"{file.relative_to(ROOT)}: {top}")
    assert not missing


# ---- modules


@pytest.mark.parametrize("package", ["seg", "datasets", "benchmarks"])
def test_every_module_imports(package: str) -> None:
    names = [module.name for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")]
    assert names
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_lazy_exports_are_there() -> None:
    assert {"LRASPP", "load", "Predictor", "SegError"} <= set(seg.__all__)
    for name in seg.__all__:
        assert getattr(seg, name) is not None
    assert set(seg.__all__) <= set(dir(seg))


# ---- weights


LICENSES = {"scenes_small": "Apache-2.0"} | dict.fromkeys(
    ("camvid_large", "camvid_large_trainval", "camvid_small", "camvid_small_scratch", "camvid_small_trainval", "street_large",
     "street_small"), "non-commercial")


def test_weights_are_shipped() -> None:
    assert list(weights.shipped()) == sorted(LICENSES)


@pytest.mark.parametrize("name", LICENSES)
def test_shipped_weights_are_whole(name: str) -> None:
    import onnx

    path = weights.find(name)
    model = onnx.load(path.with_suffix(".onnx"))
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert weights.Description.from_json(texts[weights.METADATA_KEY], path) == weights.read_description(path)
    card = path.with_suffix(".md").read_text()
    assert name in card and LICENSES[name] in card and LICENSES[name] in weights.read_description(path).license


# ---- documents


def programs() -> list[str]:
    """Returns every command of the project in the form in which the documents write it."""
    modules = [file for folder in ("benchmarks", "tests/faults") for file in sorted((ROOT / folder).glob("*.py"))]
    named = [re.search(r'prog="(python -m [\w.]+)"', file.read_text()) for file in modules]
    return ["python infer.py", "python train_seg.py fit", "python train_seg.py validate", "lraspp",
            *(f"lraspp {name}" for name in VERBS), *(match[1] for match in named if match), "python -m seg.runtime.compile_ahead"]


@cache
def commands() -> dict[str, list[str]]:
    """Returns by program the commands in the documents: in blocks, where a command may span lines, and within sentences."""
    found: dict[str, list[str]] = {}
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = re.findall(r"```(?:bash|sh|console|yaml)\n(.*?)```", text, re.DOTALL)
        lines = [line.split(" #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        within = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for command in (" ".join(typed.replace("\\|", "|").split()).replace(".venv/bin/", "") for typed in (*lines, *within)):
            if program := re.match(r"(python -m [\w.]+|python \w+\.py( (fit|validate|test)\b)?|lraspp( \w+)?)(?= |$)", command):
                found.setdefault(program[1], []).append(command)
    return found


def help_of(program: str) -> str:
    """Returns the output of `program --help`; it runs in this process, because starting a process for each takes seconds."""
    _, *words = program.split()
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        if program.startswith("lraspp"):
            with suppress(SystemExit):
                verbs.main([*words, *(["fit"] if program == "lraspp train" else []), "--help"])
            return printed.getvalue()
        script, *rest = [f"{words[1].replace('.', '/')}.py"] if words[0] == "-m" else words
        patch.setattr(sys, "argv", [script, *rest, "--help"])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(ROOT / script), run_name="__main__")
    assert not left.value.code, printed.getvalue()
    return printed.getvalue()


@pytest.mark.parametrize("program", programs())
def test_commands_in_documents_have_options_that_exist(program: str) -> None:
    assert commands().get(program), f"no document shows {program}"
    typed = {(command, option.partition(".init_args.")[0])  # help doesn't list what each class takes
             for command in commands()[program] for option in re.findall(r"(?<!\S)--[\w.-]+", command)}
    printed = help_of(program) if typed else ""
    for command, option in sorted(typed):
        known = re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", printed)
        assert known, f"`{command}` has {option}, which `{program} --help` doesn't know"


def test_documents_show_no_command_that_is_not_there() -> None:
    assert {program for program in commands() if program not in programs()} == set()


def test_documents_show_the_main_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in ("make demo", "make test", "python train_seg.py fit", "python infer.py"):
        assert command in readme


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"`make ([a-z-]+)", document.read_text())) <= targets, document.name


def test_links_in_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
            assert "://" in link or (document.parent / link).exists(), f"{document.name} links to {link}"


def test_trusted_modules_are_documented() -> None:
    text = (ROOT / "docs/training.md").read_text()
    assert [name for name in trust.ALLOWED_MODULES if f"`{name}`" not in text] == []


def test_console_scripts_have_a_function_to_call() -> None:
    for target in PYPROJECT["project"]["scripts"].values():
        module, _, function = target.partition(":")
        signature = inspect.signature(getattr(importlib.import_module(module), function))
        signature.bind()  # they are called without arguments


def test_configs_named_in_documents_exist() -> None:
    for document in DOCUMENTS:
        for name in re.findall(r"configs/[\w.-]+\.yaml", document.read_text()):
            assert (ROOT / name).is_file(), f"{document.name} names {name}"


CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_are_yaml_with_a_header(path: Path) -> None:
    text = path.read_text()
    added = f"--config configs/{path.name}" in text.split("python train_seg.py fit --config", 1)[-1]  # to one named before it
    absent = {"name", "model"} if added else {"name", "data"} if path.stem == "base" else set()
    assert set(read_settings(path, "missing")) >= {"name", "model", "data", "trainer"} - absent
    assert text.startswith("#") and "python train_seg.py fit" in text, "its header says which command runs it"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_repeat_nothing_of_their_base(path: Path) -> None:
    def repeated(own: dict[str, Any], base: dict[str, Any]) -> list[str]:
        return [key for key in own if own[key] == base.get(key)] + [
            f"{key}.{inner}" for key in own if isinstance(own[key], dict) for inner in repeated(own[key], base.get(key) or {})]

    own = yaml.safe_load(path.read_text())
    if "base" in own:
        assert repeated(own, read_settings(path.parent / own.pop("base"), "missing")) == []
