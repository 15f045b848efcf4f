"""`lraspp VERB`: one command for all that the project does. Each verb is imported only when it is called.

So `lraspp infer` starts without torch. If a verb's packages are missing, it says which, and the other verbs still work.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from seg.cli.common import run
from seg.errors import SegError, did_you_mean

Main = Callable[..., int]


@dataclass(frozen=True)
class Verb:
    """One row of the table.

    Attributes:
        module: holds the verb's `main(argv)`.
        summary: what it does, for --help.
        hands: takes the folder of `datasets` and `configs`; returns further arguments of `main` that `seg` itself doesn't know.
    """

    module: str
    summary: str
    hands: Callable[[Path], dict[str, object]] = lambda folder: {}


def _readers(folder: Path) -> dict[str, object]:
    return {"readers": import_module("datasets").READERS, "program": "lraspp infer"}


def _data_class(folder: Path) -> dict[str, object]:
    return {"data_class": lambda: import_module("datasets.module").SegmentationData, "configs": folder / "configs",
            "program": "lraspp train"}


VERBS = {
    "infer": Verb("seg.cli.infer", "segment pictures, a video or a data set, without torch", _readers),
    "compare": Verb("seg.report.compare", "which network is better, by its reports; limits that they must keep"),
    "folder": Verb("datasets.folder.__main__", "make a data set of your own pictures and masks, and check it"),
    "cache": Verb("datasets.cache.__main__", "decode a data set once, so that training reads only the windows that it needs"),
    "train": Verb("seg.cli.train", "train and validate a network (needs the extra train)", _data_class),
    "weights": Verb("seg.cli.best_weights", "the best weights of a training run that was interrupted (train)"),
    "export": Verb("seg.cli.export", "weights to ONNX, OpenVINO or torch's export, int8 too (needs the extra export)"),
    "card": Verb("seg.cli.card", "the model card of a weights file"),
    "scenes": Verb("datasets.scenes.__main__", "render street scenes with labels"),
    "teach": Verb("datasets.teach.__main__", "label pictures by a trained network (train)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the verb that is the first argument and returns its exit code.

    Args:
        argv: arguments after the program's name; None takes those of the process.
    """
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"lraspp {import_module('seg').__version__}")
        return 0
    if name not in VERBS:
        raise SegError(f"lraspp has no verb {name!r}. {did_you_mean(name, VERBS)} lraspp --help says what each does.")
    folder = _beside()
    sys.path.insert(0, str(folder))
    verb = VERBS[name]
    verb_main: Main = import_module(verb.module).main
    return verb_main(rest, **verb.hands(folder))


def _help() -> str:
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {name:{width}}  {verb.summary}" for name, verb in VERBS.items())
    return ("usage: lraspp VERB ...\n\nSegments street scenes, and does what belongs to it.\n\n"
            f"{rows}\n\nlraspp VERB --help lists the options of each.")


def _beside() -> Path:
    """Returns where `datasets` and `configs` lie: beside `seg` in a checkout, or where `setup.py` put them in the package.

    Directly in site-packages, `datasets` is another well-known package, which must not be replaced or used instead.
    """
    package = Path(__file__).resolve().parents[1]
    bundle = package / "bundle"
    return bundle if bundle.is_dir() else package.parent
