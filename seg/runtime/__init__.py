"""Frame in, label map out; no torch.

Names are imported when first used (PEP 562): the command line asks which engines there are before OpenCV has to be there.
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
