"""What each lever of a recipe gives: the same training with and without it, on a fixed number of pictures.

    python -m benchmarks.levers --pictures 6000 --seeds 1 2
    python -m benchmarks.levers --config configs/camvid_small_scratch.yaml --root data/camvid --levers "with OHEM" "with SGD"

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
from seg.errors import SegError, did_you_mean
from seg.evaluate import evaluate, merging_table, read_sample
from seg.files import check_writable_folder, read_settings, spread, write_text
from seg.machine import usable_cores
from seg.runtime import Predictor

ROOT = Path(__file__).resolve().parents[1]
Settings = dict[str, Any]


def _without_data(*words: str) -> Callable[[Settings], None]:
    """Leaves out the further data sets whose root contains one of the words; the shares of the others grow."""
    def change(settings: Settings) -> None:
        _keep_others(settings, lambda other: not any(word in other["root"] for word in words))
    return change


def _without_sets(settings: Settings) -> None:
    _keep_others(settings, lambda other: not any(isinstance(target, list) for target in other.get("classes", {}).values()))


def _keep_others(settings: Settings, wanted: Callable[[Settings], bool]) -> None:
    if "others" in settings["data"]:
        settings["data"]["others"] = list(filter(wanted, settings["data"]["others"]))


def _in(*path: str, **values: Any) -> Callable[[Settings], None]:
    """Sets values of the group at `path`, which is made where the settings have none."""
    def change(settings: Settings) -> None:
        for name in path:
            settings = settings.setdefault(name, {})
        settings.update(values)
    return change


def _random_start(settings: Settings) -> None:
    settings["model"]["network"]["init_args"].pop("encoder_weights", None)


def _pixels(**values: Any) -> Callable[[Settings], None]:
    """Decides which pixels count how much in cross-entropy, in the place of what the recipe says of that."""
    def change(settings: Settings) -> None:
        loss = settings["model"].get("loss", {})
        kept = {name: value for name, value in loss.items() if name not in ("ohem_probability", "class_weights")}
        settings["model"]["loss"] = kept | values
    return change


def _longer(times: int) -> Callable[[Settings], None]:
    """Trains for so many times as many steps; the schedule is as much longer."""
    def change(settings: Settings) -> None:
        settings["trainer"]["max_steps"] *= times
    return change


def _crops(factor: float) -> Callable[[Settings], None]:
    """Makes both sides of the crop larger, to whole 32 px; a crop that is a share of the picture stays within it."""
    def change(settings: Settings) -> None:
        crop = settings["data"]["crop_hw"]
        settings["data"]["crop_hw"] = ([max(32, 32 * round(factor * side / 32)) for side in crop] if isinstance(crop, list)
                                       else min(1.0, factor * crop))
    return change


def _scales(power: float) -> Callable[[Settings], None]:
    """Widens the range of random scales, of each data set that has its own, about the middle of its logarithms."""
    def change(settings: Settings) -> None:
        for data in (settings["data"], *settings["data"].get("others", [])):
            if "scale_range" in data:
                low, high = data["scale_range"]
                middle, half = (low * high) ** 0.5, (high / low) ** (power / 2)
                data["scale_range"] = [round(middle / half, 3), round(middle * half, 3)]
    return change


# As configs/cityscapes_small.yaml has it.
_SGD: Settings = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9, "weight_decay": 4e-5}}
BASELINE, HALVES_AT_RANDOM = "everything", "with an ImageNet start, halved layers at random"
STREETS: Mapping[str, Callable[[Settings], None]] = {  # which run where none are named
    BASELINE: lambda settings: None,
    "without the ImageNet start": _random_start,
    "without IDD Lite": _without_data("idd"),
    "without scenes": _without_data("scenes"),
    "without sets of classes": _without_sets,
    "without another camera": _in("data", camera_jitter=0.0, color_jitter=0.1),
    "without balanced crops": _in("data", balanced_crops=0.0),
    "with copied rare classes": _in("data", copy_paste=0.3),
    "with an auxiliary head": _in("model", auxiliary={"weight": 0.4}),
}
LEVERS: Mapping[str, Callable[[Settings], None]] = {
    **STREETS,
    "three times as long": _longer(3),
    "ten times as long": _longer(10),
    "with all pixels alike": _pixels(),
    "with OHEM": _pixels(ohem_probability=0.7),
    "with class weights": _pixels(class_weights="enet"),
    "with more of another camera": _in("data", camera_jitter=0.6, color_jitter=0.6),
    "with borrowed colours": _in("data", borrowed_colors=0.5),
    "with borrowed colours instead of another camera": _in("data", camera_jitter=0.0, color_jitter=0.1, borrowed_colors=0.5),
    "with growing pictures": _in("data", grow_from=0.5),
    "with smaller crops": _crops(2 / 3),
    "with larger crops": _crops(4 / 3),
    "with a narrower range of scales": _scales(0.5),
    "with a wider range of scales": _scales(1.5),
    "without averaged weights": _in("model", ema_decay=0.0),
    "with SGD": _in("model", optimizer=_SGD),
    "with SGD at five times the rate": _in("model", optimizer=_SGD | {"init_args": _SGD["init_args"] | {"lr": 0.05}}),
    "with slow norms": _in("model", norm_momentum=0.01),
    "with fast norms": _in("model", norm_momentum=0.1),
    "with the skip from the output": _in("model", "network", "init_args", skip="last"),
    "with a sliding pool": _in("model", "network", "init_args", pool="sliding"),
}


def chosen_levers(names: Sequence[str], base: Settings, teacher: str | None = None,
                  encoder: str | None = None, halves: Path | None = None) -> dict[str, Callable[[Settings], None]]:
    """Returns the levers that are to be tried on a recipe, the recipe itself first.

    Args:
        names: of levers; none for those of the street recipe that change something of this one.
        base: the recipe.
        teacher: weights whose teaching is a lever too.
        encoder: weights from which the encoder starts, as a lever too.
        halves: folder of the weights of `halves_at_random`, for its lever.

    Raises:
        SegError: there is no such lever, or it changes nothing.
    """
    levers = dict(LEVERS)
    if teacher:
        levers["with a teacher"] = _in("model", teacher=teacher)
    if encoder:
        levers["with an ImageNet start"] = _in("model", "network", "init_args", encoder_weights=encoder)
    if halves:
        levers[HALVES_AT_RANDOM] = lambda settings: settings["model"].update(
            init_from=str(_halves_file(halves, settings["seed_everything"])))
    plain = settings_of(base, levers[BASELINE], 1000, 1)
    idle = [name for name in levers if name != BASELINE and settings_of(base, levers[name], 1000, 1) == plain]
    for name in names:
        if name not in levers:
            raise SegError(f"There is no lever {name!r}. {did_you_mean(name, levers)}")
        if name in idle:
            raise SegError(f"The lever {name!r} changes nothing of these settings; leave it out.")
    usual = [name for name in levers if name not in LEVERS or name in STREETS]
    return {name: levers[name] for name in dict.fromkeys([BASELINE, *(names or usual)]) if name not in idle}


def _halves_file(folder: Path, seed: int) -> Path:
    return folder.resolve() / f"halves_at_random_{seed}.safetensors"


def halves_at_random(base: Settings, encoder: str, folder: Path, seed: int) -> Path:
    """Writes weights whose encoder starts from a file, but for the layers that RF2 halves; these and the decoder are random.

    Norms that came folded get statistics from training pictures here, as training would give them, so that the random layers keep
    the norms of a random start.

    Args:
        base: the recipe.
        encoder: weights of the encoder.
        folder: for the weights.
        seed: of the random layers.

    Raises:
        SegError: the encoder halves none, or the file doesn't fit it.
    """
    import torch  # here, because training runs in processes of its own and takes the memory

    from seg.label_sets import LabelSet
    from seg.models import LRASPP, save
    from seg.models.pretrained import norms_are_folded, unfold_norms
    from seg.training.task import UNFOLDING_PICTURES

    torch.manual_seed(seed)
    arguments = {key: value for key, value in base["model"]["network"]["init_args"].items() if key != "encoder_weights"}
    network, fresh = LRASPP(**arguments, classes=1, encoder_weights=encoder), LRASPP(**arguments, classes=1)
    ours, theirs = network.encoder, fresh.encoder
    if ours.first_halved == len(ours.blocks):
        raise SegError(f"{arguments['encoder_name']} has no halved layers.")
    if norms_are_folded(ours):
        reader = READERS[base["data"]["dataset"]](base["data"]["root"], "train")
        images = (torch.from_numpy(reader.read(index)[0]).permute(2, 0, 1)[None]
                  for index in spread(range(len(reader)), UNFOLDING_PICTURES))
        unfold_norms(ours, map(network.normalize, images))
    for kept, drawn in zip((*ours.blocks[ours.first_halved:], ours.tail), (*theirs.blocks[ours.first_halved:], theirs.tail),
                           strict=True):
        kept.load_state_dict(drawn.state_dict())
    path = _halves_file(folder, seed)
    save(network, path, LabelSet("none", ("none",), ((0, 0, 0),), (0,)), (64, 64))
    return path


def without_unseen(base: Settings, words: Sequence[str]) -> Settings:
    """Returns a recipe without the data sets whose root contains one of the words.

    If the first one is left out, the next one with the network's classes takes its place.

    Raises:
        SegError: a word is in no root, or no data set is left that could be the first.
    """
    data = base["data"]
    roots = [data["root"], *(other["root"] for other in data.get("others", []))]
    for word in words:
        if not any(word in root for root in roots):
            raise SegError(f"--unseen {word}: no data set of the recipe has this in its root. They are {', '.join(roots)}.")
    kept = copy.deepcopy(base)
    _without_data(*words)(kept)
    if not any(word in data["root"] for word in words):
        return kept
    others = kept["data"].get("others", [])
    first = next((other for other in others if "classes" not in other and other.get("dataset", "folder") in READERS), None)
    if first is None:
        raise SegError(f"Without {data['root']} the recipe has no data set with the network's classes to learn from.")
    others.remove(first)
    kept["data"] |= {"dataset": "folder"} | first
    return kept


def settings_of(base: Settings, change: Callable[[Settings], None], pictures: int, seed: int) -> Settings:
    """Returns the settings of one run."""
    settings = copy.deepcopy(base)
    settings["seed_everything"] = seed
    settings["size_frames"] = 0
    # There is no validation during a run: the weights are those of the last step, so no validation has chosen them.
    settings["trainer"] |= {"max_epochs": -1, "max_steps": pictures // settings["data"]["batch_size"], "limit_val_batches": 0,
                            "num_sanity_val_steps": 0, "logger": False, "enable_progress_bar": False}
    change(settings)
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
    for entry in ({"root": data["root"], "dataset": data["dataset"]}, *data.get("others", [])):
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
    parser.add_argument("--levers", nargs="+", default=[], metavar="NAME",
                        help=f"which to try beside {BASELINE!r} (default: those of the street recipe, the first of these): "
                             f"{', '.join(repr(name) for name in LEVERS if name != BASELINE)}")
    parser.add_argument("--unseen", nargs="+", default=[], metavar="WORD",
                        help="no run learns from data sets whose root contains the word; they are scored all the same")
    parser.add_argument("--teacher", metavar="FILE", help="weights of a teacher, as the lever 'with a teacher'")
    parser.add_argument("--encoder", metavar="FILE", help="weights of the encoder, as the lever 'with an ImageNet start' "
                        f"and, where it is named, {HALVES_AT_RANDOM!r}")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "levers", metavar="DIR", help="default: runs/levers")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    arguments = parser.parse_args(argv)
    base: Settings = read_settings(arguments.config, missing=f"There is no settings file {arguments.config}.")
    base["data"]["root"] = arguments.root
    for other in base["data"].get("others", []):
        other.setdefault("root", arguments.root)  # as training takes it
    if arguments.pictures < base["data"]["batch_size"]:
        raise SegError(f"--pictures is {arguments.pictures}; a step takes {base['data']['batch_size']}.")
    learnt = without_unseen(base, arguments.unseen)
    halves = arguments.runs if HALVES_AT_RANDOM in arguments.levers else None
    if halves and not arguments.encoder:
        raise SegError(f"The lever {HALVES_AT_RANDOM!r} needs --encoder FILE.")
    levers = chosen_levers(arguments.levers, learnt, arguments.teacher, arguments.encoder, halves)
    check_writable_folder(arguments.output)
    check_writable_folder(arguments.runs)
    if halves:
        for seed in arguments.seeds:
            halves_at_random(base, arguments.encoder, halves, seed)
    origin = Origin.here("python", "-m", "benchmarks.levers", *(sys.argv[1:] if argv is None else argv))
    wanted = [(name, seed) for seed in arguments.seeds for name in levers]
    with Steps(len(wanted)) as steps, ThreadPoolExecutor(usable_cores()) as pool:
        def one(job: tuple[str, int]) -> dict[str, float]:
            name, seed = job
            settings = settings_of(learnt, levers[name], arguments.pictures, seed)
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
             f"mIoU [%] on the validation splits, frames scaled to a longer side of {arguments.size} px; mean ± half the range.",
             *(f" No run learnt from data sets with {word} in their root." for word in arguments.unseen)),
        Table.of(("", *roots), rows_of(found, roots))]
    data = {"config": arguments.config.name, "pictures": arguments.pictures, "seeds": arguments.seeds,
            "long_side": arguments.size, "unseen": arguments.unseen, "miou": found}
    document = Document("What each lever gives", blocks, origin, data)
    publish(arguments.output, "levers", document)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
