"""Training from the command line: LightningCLI over one task and one data class, in a fixed run folder.

    python train_seg.py fit --config configs/camvid_small.yaml --data.root DIR
    python train_seg.py fit --config configs/camvid_small.yaml --data.root DIR --ckpt_path last
    python train_seg.py validate --config configs/camvid_small.yaml --data.root DIR --ckpt_path best

`runs/NAME/` holds `checkpoints/best.ckpt` and `last.ckpt`, `config.yaml`, `pictures/`, the loggers' files and, at the end,
`NAME.safetensors`. `lraspp weights runs/NAME` makes the latter of a run that was interrupted.
"""

import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seg.cli.common import check_not_empty, run
from seg.cli.trust import split_trust
from seg.errors import SegError, did_you_mean
from seg.files import read_settings
from seg.machine import let_waiting_threads_sleep

PROGRAM = "python train_seg.py"


def main(argv: Sequence[str] | None, data_class: Callable[[], type[Any]], configs: Path | None = None,
         program: str = PROGRAM) -> int:
    """Runs `fit`, `validate` or `test` and returns the exit code.

    Args:
        argv: arguments after the program's name; None takes the process's.
        data_class: imports and returns the data module, a LightningDataModule; `seg` knows no data sets.
        configs: the folder of the settings that --config may name, such as `camvid_small`.
        program: what the command is called.
    """
    return run(lambda arguments: _main(sys.argv[1:] if arguments is None else arguments, data_class, configs, program), argv)


def _main(argv: Sequence[str], data_class: Callable[[], type[Any]], configs: Path | None, program: str) -> None:
    check_not_empty(argv)
    arguments, trusted = split_trust(argv)
    named = {path.stem: path for path in configs.glob("*.yaml")} if configs else {}
    arguments = _files_first(_with_settings_files(arguments, named))
    let_waiting_threads_sleep()

    import jsonargparse  # imported late: an installation for inference alone lacks what training needs
    from lightning_fabric.utilities.exceptions import MisconfigurationException
    from pytorch_lightning.utilities import rank_zero_only

    from seg.cli.lightning import train
    from seg.training.checkpoints import TrainingStopped

    # The command is stored in the weights file, and nobody else needs to know where the data is.
    command = re.sub(r"(--data\.root)[= ]\S+", r"\1 DIR", f"{program} {shlex.join(argv)}")
    command = re.sub(r"""(?<=[\s="':])~?/(?:[^\s"',/]+/)*""", "", command)  # other paths: only the name
    try:
        train(arguments, trusted, data_class(), program, command)
    except jsonargparse.ArgumentError as error:
        raise SegError(_sentence(str(error), program)) from None
    except MisconfigurationException as error:
        raise SegError(f"The trainer can't do that: {' '.join(str(error).split())}") from None
    except TrainingStopped as stop:
        if getattr(rank_zero_only, "rank", 0):  # the first process says it; where another ended with an error, it would be killed
            return
        raise KeyboardInterrupt(str(stop)) from None
    except ValueError as error:  # raised by a class that the settings name; jsonargparse wraps it
        lacking = re.search(r"(?:Requirement|Module) '([\w-]+)[^']*' not (?:met|found)|No module named '([\w-]+)", str(error))
        if lacking is None:
            raise
        package = lacking[1] or lacking[2]
        raise SegError(f"The settings need {package}, which is not installed: pip install {package}.") from None
    except RuntimeError as error:
        if not re.search(r"gloo|NCCL", str(error)):
            raise
        reason = " ".join(str(error).split())
        raise SegError(f"Another process of this training has ended ({reason:.120}). Go on from what is kept: --ckpt_path "
                       "last") from None


def _files_first(arguments: Sequence[str]) -> list[str]:
    """Moves the files behind `--config` to the front, in their order, so that typed options win, wherever they are."""
    if not arguments or arguments[0].startswith("-"):  # the subcommand comes first; before it only settings for all subcommands
        return list(arguments)
    files, others, rest = list[str](), list[str](), iter(arguments[1:])
    for argument in rest:
        if argument in ("--config", "-c"):
            files += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        elif argument.startswith(("--config=", "-c=")):
            files.append(argument)
        else:
            others.append(argument)
    return [arguments[0], *files, *others]


def _with_settings_files(arguments: Sequence[str], named: Mapping[str, Path]) -> list[str]:
    """Returns the arguments with the settings as text after each --config, instead of the file.

    The files are read here because LightningCLI doesn't know `base`, and so that an error in a file is found before torch is
    imported, and names the file.
    """
    taken: list[str] = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        behind = bool(taken) and taken[-1] in ("--config", "-c")
        if not behind and not (equals and option in ("--config", "-c")):
            taken.append(argument)
            continue
        path = Path(argument if behind else value)
        path = path if path.is_file() else named.get(str(path), path)
        hint = f" {did_you_mean(str(path), named)}" if named and not path.suffix else ""
        settings = read_settings(path, f"There is no settings file {path}.{hint}", named)
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        taken.append(text if behind else f"{option}={text}")
    return taken


def _sentence(message: str, program: str) -> str:
    """Makes one sentence of jsonargparse's message, which may span many lines, and adds what helps."""
    text = " ".join(message.split())
    refused = re.search(r"Importing '([\w.]+)' is not allowed", text)
    if refused:
        package = refused[1].split(".")[0]
        return (f"The settings name {refused[1]}, which is not one of the modules that settings may name, and was not imported. "
                f"If you trust it: --trust {package}.")
    foreign = re.search(r"class_path '([\w.]+)\.(\w+)': Option '([^']+)' is not accepted", text)
    if foreign and foreign[3].partition(".")[0] != "terms":
        known = inspect.signature(getattr(sys.modules[foreign[1]], foreign[2])).parameters
        return f"{foreign[1]}.{foreign[2]} has no setting {foreign[3]!r}. {did_you_mean(foreign[3], tuple(known))}"
    if foreign and foreign[2] == "SegmentationLoss":
        return "model.loss has no terms any more: their weights are settings of their own, as --model.loss.dice 0.5."
    text = _misfit(text) or text
    key, value = re.search(r'Parser key "([\w.]+)"', text), re.search(r"Got value: (\S+?)\.?(?: |$)", text)
    if key and value and len(text) > 200:  # a list of all types that it is not
        text = f"{key[1]} can't be {value[1]}"
    return f"{text.rstrip('.')}. {program} fit --help lists the settings and what they take."


def _misfit(text: str) -> str | None:
    """Returns which value doesn't fit and what fits, from jsonargparse's message; None if it is about something else.

    About a value within another one it names both, the outer one first. Of unions it says the value afterwards, from the inside
    out.
    """
    keys = list(re.finditer(r'Parser key "([\w.]+)": ', text))
    if not keys:
        return None
    rest = text[keys[-1].end():]
    single = re.match(r"Expected a (<class '[\w.]+'>|typing\.Literal\[.*?\])\. Got value: (.*?)\.?(?= - |$)", rest)
    union = re.search(r"Subtypes: \[(.+?)\] Errors: ", rest)
    given = re.findall(r"Given value: (.*?)(?= - (?:Expected|Does not|Problem)|\.?$)", rest)
    if single:
        kinds, value = single[1], single[2]
    elif union and len(given) >= len(keys):
        kinds, value = union[1], given[-len(keys)]
    else:
        return None
    kinds = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", re.sub(r"<class '([\w.]+)'>", r"\1", kinds))
    kinds = re.sub(r"\b(?:[a-z_]+\.)+([A-Z])", r"\1", kinds)  # a class without its module
    where = keys[0][1] if len(keys) == 1 else f"{keys[-1][1]} in {keys[0][1]}"
    return f"{where} is {value}; it takes {kinds.replace(', NoneType', ' or null')}"
