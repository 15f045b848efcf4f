"""Networks to files that run without torch, and the torch engine that they are compared with."""

from seg.export.onnx_export import Comparison, export_onnx, export_weights

__all__ = ["Comparison", "export_onnx", "export_weights"]
