"""lraspp: street-scene segmentation that runs live on a CPU.

Names are imported when first used (PEP 562): running a network must not pay for importing torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg import video as video
    from seg.errors import SegError as SegError
    from seg.models import LRASPP as LRASPP
    from seg.models import RASPP as RASPP
    from seg.models import load as load
    from seg.runtime import Prediction as Prediction
    from seg.runtime import Predictor as Predictor

__version__ = "0.1.0"

_HOMES = {"LRASPP": "seg.models", "RASPP": "seg.models", "load": "seg.models", "Prediction": "seg.runtime",
          "Predictor": "seg.runtime", "SegError": "seg.errors"}
__all__ = ["LRASPP", "RASPP", "Prediction", "Predictor", "SegError", "load"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "video":  # `seg.video.segment` without a further import
        return import_module("seg.video")
    if name not in _HOMES:
        raise AttributeError(f"module 'seg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "video"})
