"""Writes the locks from what the current environment has installed.

`requirements.lock` contains exactly what `pyproject.toml` needs with all its extras, including the packages' own requirements, at
the installed versions. `requirements-inference.lock` contains the part that inference needs, without torch. They are installed
with `pip --no-deps`, because pip would otherwise install two packages that are left out here on purpose:
`opencv-python-headless`, which overwrites the `cv2` of opencv-python and has no windows, and `typing`, a copy of the standard
library's module for Python 2.

    python tools/lock.py            writes both
    python tools/lock.py --check    checks whether they match the environment; exit code 1 if they don't
"""

import argparse
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
INFERENCE_LOCK = ROOT / "requirements-inference.lock"
INFERENCE_EXTRAS: tuple[str, ...] = ()  # extras of the package that inference needs
LEFT_OUT = {"opencv-python-headless", "typing"}
HEADER = """\
# Exact versions of {what}, for Linux and macOS with Python 3.11 or newer. Written by `make lock`, not by hand.
# Install:  pip install --no-deps -r {name}
# Without --no-deps, Albumentations would pull opencv-python-headless, which overwrites opencv-python's cv2.
"""


def wanted(extras: tuple[str, ...] | None = None) -> list[Requirement]:
    """Returns the requirements in pyproject.toml: of the build, of the package, and of the given extras (default: all)."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    project = pyproject["project"]
    optional = project["optional-dependencies"]
    groups = [pyproject["build-system"]["requires"], project["dependencies"]]
    groups += [optional[extra] for extra in (optional if extras is None else extras)]
    requirements = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def closure(roots: list[Requirement], platform: dict[str, str]) -> set[str]:
    """Returns the names of all packages that `roots` need on a platform, in the packages' own spelling.

    Raises:
        SystemExit: one of them is not installed, or its version is out of range.
    """
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    queue = [(root, extra) for root in roots for extra in ("", *root.extras)]
    while queue:
        requirement, extra = queue.pop()
        key = canonicalize_name(requirement.name)
        if key in LEFT_OUT or (key, extra) in seen:
            continue
        seen.add((key, extra))
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{requirement} is needed but not installed.") from None
        if not requirement.specifier.contains(package.version, prereleases=True):
            raise SystemExit(f"{requirement} is needed, but {package.version} is installed.")
        found.add(package.metadata["Name"])
        for text in package.requires or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({**platform, "extra": extra}):
                queue += [(child, further) for further in ("", *child.extras)]
    return found


def lock(path: Path, what: str, roots: list[Requirement]) -> str:
    """Returns the text of the lock at `path`, which contains `what`: `roots` and all that they need."""
    everywhere = closure(roots, {"platform_system": "Darwin", "sys_platform": "darwin"})
    on_linux = closure(roots, {"platform_system": "Linux", "sys_platform": "linux"})
    lines = []
    for name in sorted(everywhere | on_linux, key=str.lower):
        version = metadata.version(name).split("+")[0]  # a local build has the same number in the package index
        lines.append(f"{name}=={version}" + ("" if name in everywhere else ' ; platform_system == "Linux"'))
    return HEADER.format(what=what, name=path.name) + "\n".join(lines) + "\n"


def locks() -> dict[Path, str]:
    """Returns the text of each lock."""
    return {LOCK: lock(LOCK, "everything", wanted()),
            INFERENCE_LOCK: lock(INFERENCE_LOCK, "what inference needs", wanted(INFERENCE_EXTRAS))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only check whether the locks match the environment")
    check = parser.parse_args().check
    for path, text in locks().items():
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.name} does not agree with what is installed; run `make lock`.")


if __name__ == "__main__":
    main()
