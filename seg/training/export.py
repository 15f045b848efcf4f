"""From a run's checkpoints to weights: the averaged network as safetensors, with its scores and how it was trained."""

import pickle
from pathlib import Path
from typing import Any

import torch
import yaml

from seg.errors import SegError
from seg.label_sets import LabelSet
from seg.models import SegmentationNetwork, save
from seg.models.storage import NETWORKS
from seg.training.task import CHECKPOINT_KEY


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a checkpoint of `SegmentationTask` on the CPU, without unpickling code.

    Raises:
        SegError: it is missing, damaged or not such a checkpoint.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SegError(f"There is no checkpoint {path}.") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
        raise SegError(f"{path} is not a whole checkpoint: {reason[:200]}.") from None
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise SegError(f"{path} is not a checkpoint of train_seg.py.")
    return checkpoint


def network_of(checkpoint: dict[str, Any]) -> SegmentationNetwork:
    """Rebuilds the network that was validated, with the averaged weights if there are any."""
    saved = checkpoint[CHECKPOINT_KEY]
    prefix = "ema.network." if saved["averaged"] else "network."
    network = NETWORKS[saved["network"]](**saved["arguments"])
    network.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in checkpoint["state_dict"].items()
                             if name.startswith(prefix)})
    return network.eval()


def export_run(folder: Path, output: Path | None = None) -> str:
    """Writes the best weights of a finished or interrupted run; returns a sentence that says so.

    Args:
        folder: the run's folder, with `checkpoints/best.ckpt` or, if nothing was validated yet, `last.ckpt`.
        output: the safetensors file; by default NAME.safetensors in the run's folder.

    Raises:
        SegError: there is no undamaged checkpoint, or `output` can't be written.
    """
    paths = [path for name in ("best", "last") if (path := folder / "checkpoints" / f"{name}.ckpt").is_file()]
    if not paths:
        raise SegError(f"{folder} is not the folder of a run: {folder / 'checkpoints'} has neither best.ckpt nor last.ckpt.")
    whole = dict[Path, dict[str, Any]]()
    for path in paths:
        try:
            whole[path] = read_checkpoint(path)
        except SegError as error:  # damaged; the other one may be whole
            fault = error
    if not whole:
        raise fault
    # The scores belong to the first checkpoint; duration and curve come from the later one.
    paths, checkpoints = list(whole), list(whole.values())
    chosen, latest = checkpoints[0], max(checkpoints, key=lambda checkpoint: checkpoint["global_step"])
    saved, record = chosen[CHECKPOINT_KEY], latest[CHECKPOINT_KEY]["record"]
    scores: dict[str, Any] = next((entry for entry in saved["record"]["curve"] if entry["step"] == chosen["global_step"]), {})
    metrics = {"val/miou": scores.get("miou"), "val/present_miou": scores.get("present_miou"),
               "val/pixel_accuracy": scores.get("pixel_accuracy"),
               "val/per_class_iou": scores.get("per_class_iou", {}),
               "curve": [{key: entry.get(key) for key in ("step", "epoch", "miou", "present_miou")} for entry in record["curve"]]}
    settings = _settings(folder / "config.yaml")
    command = record["command"] or "python train_seg.py fit --config config.yaml --data.root DIR"
    training = {"command": command, "settings": settings, "duration_seconds": round(record["seconds"]),
                "machine": record.get("machine", ""), "versions": record["versions"], "date": record["date"],
                "step": chosen["global_step"], "steps": latest["global_step"]}
    output = output or folder / f"{folder.resolve().name}.safetensors"
    save(network_of(chosen), output, LabelSet.from_dict(saved["label_set"]), tuple(saved["train_size_hw"]),
         settings.get("license", "unknown"), metrics, training)
    score = f"val mIoU {scores['miou']:.4f} at step {scores['step']}" if scores.get("miou") is not None else "not validated"
    return f"{output}: {paths[0].name} ({score}; {record['seconds'] / 60:.1f} min of training)."


def _settings(path: Path) -> dict[str, Any]:
    """Reads a run's settings, without unset ones and without the folders of files, which are private."""
    try:
        settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegError(f"{path} can't be read: {error}.") from None
    if "data" in settings:
        settings["data"]["root"] = "DIR"
    for place in ("runs", "ckpt_path"):
        settings.pop(place, None)
    plain: dict[str, Any] = _without_places(_without_none(settings))
    return plain


def _without_places(value: Any) -> Any:
    """Keeps only the name of each absolute path, at any depth."""
    if isinstance(value, dict):
        return {key: _without_places(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_places(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~/")) else value


def _without_none(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: _without_none(value) if isinstance(value, dict) else value
            for key, value in settings.items() if value is not None}
