"""Frame in, label map out; no torch."""

from seg.runtime.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
