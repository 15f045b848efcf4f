"""Which classes a configuration may name. LightningCLI imports whatever a `class_path` says, and importing runs code.

The modules below and their contents are allowed; `--trust NAME` allows a package of the user's own. Everything else is
refused before it is imported. jsonargparse enforces the rule, for every way in which a value can name a class: `class_path`,
`--trainer.logger=pkg.Cls`, `--trainer.callbacks+=pkg.Cls` and callables alike.
"""

from collections.abc import Sequence

from seg.errors import SegError

ALLOWED_MODULES = (
    "datasets.mixture",
    "datasets.module",
    "pytorch_lightning.accelerators",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "pytorch_lightning.plugins",
    "pytorch_lightning.profilers",
    "pytorch_lightning.strategies",
    "seg.models",
    "seg.training",
    "segmentation_models_pytorch.losses",
    "torch.optim",
)


def split_trust(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes `--trust NAME` and `--trust=NAME` out of the arguments; returns the others, and the names.

    Raises:
        SegError: a name is missing or is not the name of a package.
    """
    others: list[str] = []
    trusted: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option != "--trust":
            others.append(argument)
            continue
        name = value if equals else next(arguments, "")
        if not name or not all(part.isidentifier() for part in name.split(".")):
            raise SegError(f"--trust got {name!r}; it takes the name of a package, as in --trust my_package.")
        trusted.append(name)
    return others, trusted


def allow_only(trusted: Sequence[str]) -> None:
    """Makes jsonargparse refuse every class outside `ALLOWED_MODULES` and `trusted`, for the rest of the process."""
    import jsonargparse  # installed with training only; `split_trust` must work without it

    jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*ALLOWED_MODULES, *trusted])
