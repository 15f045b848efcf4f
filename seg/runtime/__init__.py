"""From a frame to its label map, without torch.

Names are imported when they are first used (PEP 562), because the command line lists the engines before it needs OpenCV.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.runtime.predictor import Prediction as Prediction
    from seg.runtime.predictor import Predictor as Predictor

__all__ = ["Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'seg.runtime' has no attribute {name!r}")
    from seg.runtime import predictor

    return getattr(predictor, name)
