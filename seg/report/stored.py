"""Reads JSON reports: those of this version unchanged, those of version 1 upgraded; others are refused by name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.document import FORMAT_VERSION
from seg.errors import SegError
from seg.report.data import KIND, dense

# Keys that version 1 didn't have, with their values in an upgraded report; see `schema.json`.
_NEW_IN_2: dict[str, Any] = {
    "kind": KIND, "title": "", "command": "", "per_class_precision": None, "per_class_recall": None, "per_class_share": None,
    "confusion": None, "boundaries": None, "calibration": None, "frames_per_second": None, "steadiness": None, "warm_ups": [],
    "first_frame_ms": None, "parameters": None, "multiply_adds": None, "peak_memory_mib": None, "way": "whole", "variants": [],
    "per_frame": None, "blocks": [],
}


@dataclass(frozen=True)
class StoredReport:
    """A report that was read from a file.

    Attributes:
        name: short name, different from that of the other reports in the comparison.
        data: as described in `schema.json`.
        confusions: (N, C, C) of the frames that had ground truth; None if the report has no frames.
        frames: their names, in order.
    """

    name: str
    data: dict[str, Any]
    confusions: npt.NDArray[np.int64] | None
    frames: tuple[str, ...]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in order."""
        return list(self.data["label_set"]["classes"])

    @property
    def latency_ms(self) -> dict[str, float]:
        """Latency of each frame as a whole, by name; empty if the report has no frames."""
        return {frame["name"]: float(frame["latency_ms"]["total"]) for frame in self.data["per_frame"] or ()}


def read_reports(paths: list[Path]) -> list[StoredReport]:
    """Reads reports. Those of the same weights get names with their engine and size, and if needed with their file.

    Raises:
        SegError: a file can't be read, is not a report, or has an unknown version.
    """
    read = [_checked(path) for path in paths]
    names = [Path(data["weights"]).stem for data in read]
    for more in (lambda i: f"{read[i]['engine']} {read[i]['precision']}", lambda i: read[i]["way"].partition(",")[0],
                 lambda i: str(paths[i])):
        if len(set(names)) < len(names):
            names = [f"{name}, {more(i)}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [_stored(path, data, name) for path, data, name in zip(paths, read, names, strict=True)]


def _checked(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SegError(f"There is no report {path}.") from None
    except (OSError, ValueError) as error:
        raise SegError(f"{path} can't be read as JSON: {error}. It must be a report of infer.py --report FILE.json.") from None
    if not isinstance(data, dict) or "format_version" not in data or "latency_ms" not in data or "label_set" not in data:
        raise SegError(f"{path} is not a report of infer.py; make one with --report FILE.json.")
    version = data["format_version"]
    if version == 1:
        data = _upgraded(data)
    elif version != FORMAT_VERSION:
        raise SegError(f"{path} has format_version {version}; this lraspp reads 1 and {FORMAT_VERSION}. "
                       "Make the report again, or use the lraspp that made it.")
    return data


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Returns a report of version 1 as one of version 2. It has no frames, because version 1 had none."""
    notes = data.get("notes", [data["note"]] if data.get("note") else [])
    kept = {key: value for key, value in data.items() if key not in ("note", "warm_up_runs")}
    return {**_NEW_IN_2, **kept, "notes": notes, "format_version": FORMAT_VERSION}


def _stored(path: Path, data: dict[str, Any], name: str) -> StoredReport:
    """Extracts from a report what comparisons need.

    Raises:
        SegError: it is damaged.
    """
    try:
        classes = len(data["label_set"]["classes"])
        labelled = [frame for frame in data["per_frame"] or () if frame["confusion"] is not None]
        confusions = np.stack([dense(frame["confusion"], classes) for frame in labelled]) if labelled else None
        return StoredReport(name, data, confusions, tuple(str(frame["name"]) for frame in labelled))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SegError(f"{path} is damaged: {type(error).__name__} {error}. Make the report again.") from None


def figures(data: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yields every number of a report with its key, such as "latency_ms.p90"; lists are left out."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from figures(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)
