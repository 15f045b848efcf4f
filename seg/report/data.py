"""A result as plain data: the figures of a JSON report by name, as `schema.json` describes them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from seg.metrics import Scores
from seg.result import FrameRecord, Result, VideoFacts

KIND = "evaluation"


def as_dict(result: Result) -> dict[str, Any]:
    """Returns plain types. Scores are 0 to 1, or None if there is none; latencies are milliseconds."""
    scores = result.scores.to_dict() if result.scores else dict.fromkeys(field.name for field in fields(Scores))
    summary = result.latency.summary()
    return {
        "kind": KIND,
        **scores,
        "confusion": None if result.confusion is None else result.confusion.tolist(),
        "boundaries": _boundaries(result),
        "calibration": _calibration(result),
        "latency_ms": _rounded(summary) if summary else None,
        "frames_per_second": frames_per_second(result),
        "steadiness": _rounded(result.steadiness.to_dict()) if result.steadiness else None,
        "warm_ups": [{"size_hw": list(one.size_hw), "runs": one.runs, "settled": one.settled} for one in result.warm_ups],
        "first_frame_ms": _plain(result.first_frame_ms),
        "first_call_ms": _rounded(result.first_call_ms) or None,
        "parameters": result.parameters,
        "multiply_adds": result.multiply_adds,
        "peak_memory_mib": _plain(result.peak_memory_mib),
        "weights": result.weights,
        "network": result.network,
        "dataset": result.dataset,
        "split": result.split,
        "frames": result.frames,
        "labelled_frames": result.labelled,
        "frame_sizes_hw": [list(size) for size in result.frame_sizes],
        "size_hw": list(result.size_hw) if result.size_hw else None,
        "long_side": result.long_side,
        "network_sizes_hw": [list(size_hw) for size_hw in result.network_sizes],
        "fit": result.fit,
        "way": result.way,
        "label_set": result.label_set.to_dict(),
        "engine": result.engine,
        "precision": result.precision,
        "threads": result.threads,
        "choice": result.choice.to_dict() if result.choice else None,
        "variants": [{"name": one.name, "network_hw": list(one.network_hw), "miou": one.miou,
                      "latency_ms": _rounded(one.latency_ms)} for one in result.variants],
        "video": _video(result.video) if result.video else None,
        "per_frame": None if result.video else [_frame(record) for record in result.records],
        "notes": list(result.notes),
    }


def frames_per_second(result: Result) -> float | None:
    """Returns the frames per second of a video, all stages together; otherwise of the predictor, one frame after the other."""
    if result.video is not None:
        return result.video.frames_per_second
    summary = result.latency.summary()
    return 1000 / summary["mean"] if summary else None


def sparse(confusion: npt.NDArray[np.int64]) -> list[int]:
    """Returns a frame's matrix in compact form: the flat index of each cell that isn't 0, followed by its count."""
    flat = confusion.ravel()
    cells = np.flatnonzero(flat)
    return [int(value) for value in np.stack([cells, flat[cells]], 1).ravel()]


def dense(cells: list[int], classes: int) -> npt.NDArray[np.int64]:
    """Reverses `sparse`: returns (C, C).

    Raises:
        IndexError, ValueError: the cells don't fit this number of classes.
    """
    flat = np.zeros(classes * classes, np.int64)
    pairs = np.array(cells, np.int64).reshape(-1, 2)
    if (pairs < 0).any():
        raise ValueError("counts and cells must be at least 0")
    flat[pairs[:, 0]] = pairs[:, 1]
    return flat.reshape(classes, classes)


def _frame(record: FrameRecord) -> dict[str, Any]:
    return {"name": record.name, "size_hw": list(record.size_hw), "began_s": round(record.began_s, 4),
            "latency_ms": _rounded(record.latency_ms), "miou": _plain(record.miou, 5),
            "confusion": None if record.confusion is None else sparse(record.confusion)}


def _boundaries(result: Result) -> dict[str, Any] | None:
    found = result.boundaries
    if found is None:
        return None
    return {"trimap_miou": {str(width): _plain(value) for width, value in found.trimap_miou.items()},
            "f_score": _plain(found.f_score),
            "per_class_f_score": {name: _plain(value) for name, value in found.per_class_f_score.items()}}


def _calibration(result: Result) -> dict[str, Any] | None:
    found = result.calibration
    return None if found is None else {"expected_error": found.expected_error, **{name: list(values) for name, values in
                                                                                  asdict(found).items()}}


def _video(facts: VideoFacts) -> dict[str, Any]:
    points = [[round(at, 4), round(latency, 3), None if math.isnan(glass) else round(glass, 3)]
              for at, latency, glass in facts.over_time]
    return {**asdict(facts), "over_time": points}


def _plain(value: float | None, digits: int | None = None) -> float | None:
    return None if value is None or math.isnan(value) else value if digits is None else round(value, digits)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns numbers rounded to four decimal places, which is far finer than a clock can measure."""
    return {key: _rounded(value) if isinstance(value, Mapping) else round(value, 4) if isinstance(value, float) else value
            for key, value in values.items()}
