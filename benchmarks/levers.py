"""What each lever of the street recipe gives: the same training with and without it, on a fixed number of pictures.

    python -m benchmarks.levers --pictures 6000 --seeds 1 2

Every run is `train_seg.py fit` with the settings of a configuration, changed in one thing, on one thread; several run side by
side. They are scored on the validation splits of the first data set and of each other one whose classes cover the network's. No
run learns from these splits or chooses its weights on them. A run that exists already is not repeated.
"""

import copy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.output import RESULTS, Steps, publish
from datasets import READERS
from seg.cli.common import Parser, run
from seg.document import Block, Code, Document, Origin, Table, Text
from seg.errors import SegError
from seg.evaluate import evaluate, merging_table, read_sample
from seg.files import check_writable_folder, read_settings, write_text
from seg.machine import usable_cores
from seg.runtime import Predictor

ROOT = Path(__file__).resolve().parents[1]
Settings = dict[str, Any]


def _without_data(*words: str) -> Callable[[Settings], None]:
    """Leaves out the further data sets whose root contains one of the words; the shares of the others grow."""
    def change(settings: Settings) -> None:
        data = settings["data"]
        data["others"] = [other for other in data["others"] if not any(word in other["root"] for word in words)]
    return change


def _without_sets(settings: Settings) -> None:
    data = settings["data"]
    data["others"] = [other for other in data["others"]
                      if not any(isinstance(target, list) for target in other.get("classes", {}).values())]


def _in_data(**values: Any) -> Callable[[Settings], None]:
    return lambda settings: settings["data"].update(values)


def _random_start(settings: Settings) -> None:
    settings["model"]["network"]["init_args"].pop("encoder_weights", None)


LEVERS: Mapping[str, Callable[[Settings], None]] = {
    "everything": lambda settings: None,
    "without the ImageNet start": _random_start,
    "without IDD Lite": _without_data("idd"),
    "without scenes": _without_data("scenes"),
    "without sets of classes": _without_sets,
    "without another camera": _in_data(camera_jitter=0.0, color_jitter=0.1),
    "without balanced crops": _in_data(balanced_crops=0.0),
    "with copied rare classes": _in_data(copy_paste=0.3),
    "with an auxiliary head": lambda settings: settings["model"].update(auxiliary={"weight": 0.4}),
}


def settings_of(base: Settings, change: Callable[[Settings], None], pictures: int, seed: int) -> Settings:
    """Returns the settings of one run."""
    settings = copy.deepcopy(base)
    change(settings)
    settings["seed_everything"] = seed
    settings["size_frames"] = 0
    # There is no validation during a run: the weights are those of the last step, so no validation has chosen them.
    settings["trainer"] |= {"max_epochs": -1, "max_steps": pictures // settings["data"]["batch_size"], "limit_val_batches": 0,
                            "num_sanity_val_steps": 0, "logger": False, "enable_progress_bar": False}
    return settings


def train(settings: Settings, folder: Path, name: str) -> Path:
    """Trains, unless the run exists already; returns the weights.

    Raises:
        SegError: the training failed; the message has its last line.
    """
    weights = folder / name / f"{name}.safetensors"
    file, text = folder / f"{name}.yaml", yaml.safe_dump(settings | {"name": name}, sort_keys=False)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise SegError(f"{file} is from a run with other settings. Give another --runs, or remove {folder / name} and this file.")
    if not weights.is_file():
        write_text(file, text)
        again = ["--ckpt_path", "last"] if (folder / name / "checkpoints" / "last.ckpt").is_file() else []
        command = [sys.executable, "train_seg.py", "fit", "--config", str(file.resolve()), "--runs", str(folder.resolve()),
                   "--threads", "1", *again]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise SegError(f"The run {name} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return weights


def score(weights: Path, data: Settings, long_side: int) -> dict[str, float]:
    """Returns mIoU by root, for each data set whose validation split has classes that cover the network's."""
    predictor = Predictor.load(weights, engine="fused", size=long_side)
    scores = dict[str, float]()
    for entry in ({"root": data["root"], "dataset": data["dataset"]}, *data["others"]):
        try:
            reader = READERS[entry.get("dataset", "folder")](entry["root"], "val")
            table = None if reader.label_set.classes == predictor.label_set.classes else merging_table(
                reader.label_set, predictor.label_set, entry.get("classes") or {}, entry["root"])
        except SegError:  # no such split, or classes that don't cover the network's
            continue
        samples = (read_sample(reader, index) for index in range(len(reader)))
        found = evaluate(predictor, samples, reader.label_set, warm_up_runs=0, table=table).scores
        if found is not None:
            scores[entry["root"]] = found.miou
    return scores


def rows_of(found: Mapping[str, Sequence[Mapping[str, float]]], roots: Sequence[str]) -> list[list[str]]:
    """Returns a row for each lever: for each data set the mean over seeds and half their range, in percent."""
    rows = []
    for name, seeds in found.items():
        cells = []
        for root in roots:
            values = [100 * scores[root] for scores in seeds if root in scores]
            cells.append(f"{np.mean(values):.1f} ± {(max(values) - min(values)) / 2:.1f}" if values else "–")
        rows.append([name, *cells])
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; see the head of this file."""
    parser = Parser(prog="python -m benchmarks.levers", description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "street_small.yaml", help="default: street_small")
    parser.add_argument("--root", default="data/camvid19", metavar="DIR", help="first data set (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=6000, help="pictures that each run learns from (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--size", type=int, default=640, metavar="PX", help="longer side to score at (default: 640)")
    parser.add_argument("--teacher", metavar="FILE", help="weights of a teacher, as a further lever")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "levers", metavar="DIR", help="default: runs/levers")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    base: Settings = read_settings(arguments.config, missing=f"There is no settings file {arguments.config}.")
    base["data"]["root"] = arguments.root
    if arguments.pictures < base["data"]["batch_size"]:
        raise SegError(f"--pictures is {arguments.pictures}; a step takes {base['data']['batch_size']}.")
    levers = dict(LEVERS)
    if arguments.teacher:
        levers["with a teacher"] = lambda settings: settings["model"].update(teacher=arguments.teacher)
    check_writable_folder(arguments.output)
    check_writable_folder(arguments.runs)
    origin = Origin.here("python", "-m", "benchmarks.levers", *(sys.argv[1:] if argv is None else argv))
    wanted = [(name, seed) for seed in arguments.seeds for name in levers]
    with Steps(len(wanted)) as steps, ThreadPoolExecutor(usable_cores()) as pool:
        def one(job: tuple[str, int]) -> dict[str, float]:
            name, seed = job
            settings = settings_of(base, levers[name], arguments.pictures, seed)
            weights = train(settings, arguments.runs, f"{name.replace(' ', '_')}_{arguments.pictures}_{seed}")
            scores = score(weights, base["data"], arguments.size)
            steps.done(f"{name}, seed {seed}")
            return scores
        scores = list(pool.map(one, wanted))
    found = {name: [result for (lever, _), result in zip(wanted, scores, strict=True) if lever == name] for name in levers}
    roots = list(dict.fromkeys(root for result in scores for root in result))
    blocks: list[Block] = [
        Text(*origin.sentence()),
        Text(Code(arguments.config.name), f" with {arguments.pictures} pictures, seeds {', '.join(map(str, arguments.seeds))}; "
             f"mIoU [%] on the validation splits, frames scaled to a longer side of {arguments.size} px; mean ± half the range."),
        Table.of(("", *roots), rows_of(found, roots))]
    data = {"config": arguments.config.name, "pictures": arguments.pictures, "seeds": arguments.seeds,
            "long_side": arguments.size, "miou": found}
    document = Document("What each lever gives", blocks, origin, data)
    publish(arguments.output, "levers", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
