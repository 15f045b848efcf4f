"""A result as plain data: the figures of a JSON report, by name."""

import math
from dataclasses import asdict, fields
from typing import Any

from seg.evaluate import Result, VideoFacts
from seg.metrics import Scores


def as_dict(result: Result) -> dict[str, Any]:
    """Returns plain types. Scores are 0 to 1 and None where there is none; latencies are milliseconds."""
    scores = result.scores.to_dict() if result.scores else dict.fromkeys(field.name for field in fields(Scores))
    return {
        **scores,
        "latency_ms": result.latency.summary() or None,
        "warm_up_runs": result.warm_up_runs,
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
        "label_set": result.label_set.to_dict(),
        "engine": result.engine,
        "precision": result.precision,
        "threads": result.threads,
        "choice": result.choice.to_dict() if result.choice else None,
        "first_call_ms": result.first_call_ms or None,
        "video": _video(result.video) if result.video else None,
        "notes": list(result.notes),
    }


def _video(facts: VideoFacts) -> dict[str, Any]:
    points = [[round(at, 4), round(latency, 3), None if math.isnan(glass) else round(glass, 3)]
              for at, latency, glass in facts.over_time]
    return {**asdict(facts), "over_time": points}
